"""Yes or no."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, distributions
from torch.nn.functional import softplus

from latens.distributions import noise
from latens.distributions.base import Family, Shape
from latens.distributions.bounds import parameters
from latens.distributions.elementwise import Elementwise, Univariate

LARGEST = 1e4


class BernoulliElement(Univariate, distributions.Bernoulli):
    """p(x = 1) = sigmoid(logits)."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__(logits.shape)
        self.logits = logits

    def log_prob(self, x: Tensor) -> Tensor:
        """x logits - log(1 + exp(logits))."""
        return x * self.logits - softplus(self.logits)

    def draw(self, shape: Shape) -> Tensor:
        """1 where uniform noise falls below the probability."""
        return (noise.uniform(shape, self.logits) < self.probs).to(self.logits.dtype)


@dataclass(frozen=True, repr=False)
class Bernoulli(Family):
    """p(x) = s^x (1 - s)^(1 - x) with s = sigmoid(logit), for data in {0, 1}.

    Example:
        >>> import torch
        >>> p = Bernoulli()(torch.zeros(5, 3), (3,))
        >>> round(p.log_prob(torch.ones(5, 3))[0].item(), 4)  # -3 log 2
        -2.0794
    """

    measure = "counting"
    support = "binary"

    def param_shape(self, event_shape: Shape) -> Shape:
        """A logit for each element."""
        return event_shape

    def __call__(
        self, params: Tensor, event_shape: Shape, shared: Tensor | None = None, offset: Tensor | None = None
    ) -> Elementwise:
        """The distribution with these logits."""
        (logits,) = parameters(params, 1, event_shape)
        logits = logits if offset is None else logits + offset
        return Elementwise(BernoulliElement(logits.clamp(-LARGEST, LARGEST)), len(event_shape))
