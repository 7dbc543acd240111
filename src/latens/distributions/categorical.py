"""One of n."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.distributions.kl import register_kl

from latens.distributions import noise
from latens.distributions.base import Family, Shape
from latens.distributions.bounds import HALF
from latens.distributions.elementwise import Elementwise, Univariate
from latens.utils.errors import InputError

LARGEST = 1e4


class CategoricalElement(Univariate):
    """P(x = j) proportional to exp(logits[..., j])."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__(logits.shape[:-1])
        self.log_probs = logits.log_softmax(-1)

    def log_prob(self, x: Tensor) -> Tensor:
        """The log mass of the class with index x."""
        index = x.long().unsqueeze(-1)
        shape = np.broadcast_shapes(index.shape[:-1], self.batch_shape)
        table = self.log_probs.expand(*shape, -1)
        return table.gather(-1, index.expand(*shape, 1)).squeeze(-1)

    def draw(self, shape: Shape) -> Tensor:
        """The index of the class whose share of [0, 1) holds a uniform draw."""
        ends = self.log_probs.exp().cumsum(-1)[..., :-1]
        u = noise.uniform(shape, self.log_probs)
        return (ends <= u.unsqueeze(-1)).sum(-1).to(u.dtype)

    @property
    def mean(self) -> Tensor:
        """E[x] of the index: meaningful where the classes are ordered."""
        return (self.log_probs.exp() * self._indices()).sum(-1)

    @property
    def variance(self) -> Tensor:
        """The variance of the index."""
        return (self.log_probs.exp() * (self._indices() - self.mean.unsqueeze(-1)).square()).sum(-1)

    def entropy(self) -> Tensor:
        """-sum_j P(j) log P(j)."""
        return -(self.log_probs.exp() * self.log_probs).sum(-1)

    def _indices(self) -> Tensor:
        return torch.arange(self.log_probs.shape[-1], dtype=self.log_probs.dtype, device=self.log_probs.device)


@register_kl(CategoricalElement, CategoricalElement)
def _kl_categoricals(q: CategoricalElement, p: CategoricalElement) -> Tensor:
    return (q.log_probs.exp() * (q.log_probs - p.log_probs)).sum(-1)


@dataclass(frozen=True, repr=False)
class Categorical(Family):
    """P(x = j) = softmax(logits)_j for each element, with values 0 .. n - 1.

    Args:
        n: how many classes there are.

    Example:
        >>> import torch
        >>> p = Categorical(4)(torch.zeros(8), (2,))
        >>> p.factors(torch.tensor([0.0, 3.0])).exp()
        tensor([0.2500, 0.2500])
    """

    n: int
    measure = "counting"
    support = "classes"

    def __post_init__(self) -> None:
        if self.n < 2:
            raise InputError(f"Categorical expects at least 2 classes; got {self.n}.")

    def param_shape(self, event_shape: Shape) -> Shape:
        """The logits of class 0 for each element, then those of class 1, and so on."""
        return (self.n * event_shape[0], *event_shape[1:])

    def centre(self, batch: Tensor) -> Tensor:
        """The logarithm of how often each element is of each class, counted with one of each more."""
        classes = torch.arange(self.n, device=batch.device).reshape(-1, *[1] * batch.ndim)
        counts = (batch == classes).sum(1, dtype=torch.float32)  # (n, *event)
        return ((counts + 1.0) / (len(batch) + self.n)).log().flatten(0, 1)

    def __call__(
        self, params: Tensor, event_shape: Shape, shared: Tensor | None = None, offset: Tensor | None = None
    ) -> Elementwise:
        """The distribution with these logits, to which ``offset`` is added."""
        logits = params.float() if params.dtype in HALF else params
        logits = logits if offset is None else logits + offset
        logits = logits.clamp(-LARGEST, LARGEST).unflatten(-len(event_shape), (self.n, event_shape[0]))
        return Elementwise(CategoricalElement(logits.movedim(-len(event_shape) - 1, -1)), len(event_shape))
