"""Yes or no."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributions

from latens.distributions import noise
from latens.distributions.base import Family, Shape
from latens.distributions.blocks import blocks
from latens.distributions.bounds import parameters
from latens.distributions.elementwise import Elementwise, Univariate

LARGEST = 1e4
LOG2_E = 1.0 / math.log(2.0)


class _LogBernoulli(torch.autograd.Function):
    """x logits - log(1 + exp(logits)), the logits kept from infinity; block by block, within the processor's cache."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, logits: Tensor) -> Tensor:
        ctx.save_for_backward(x, logits)
        shape = np.broadcast_shapes(x.shape, logits.shape)
        x, logits, out = x.expand(shape), logits.expand(shape), logits.new_empty(shape)
        for block in blocks(shape, logits):
            some = logits[block].clamp(-LARGEST, LARGEST)
            tail = some.abs().mul_(-LOG2_E).exp2_().log1p_()
            torch.mul(x[block], some, out=out[block]).sub_(some.clamp_(min=0.0)).sub_(tail)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, logits = ctx.saved_tensors
        to_x, to_logits = ctx.needs_input_grad
        return (
            (logits.clamp(-LARGEST, LARGEST) * grad).sum_to_size(x.shape) if to_x else None,
            _slope(x, logits, grad).sum_to_size(logits.shape) if to_logits else None,
        )


def _slope(x: Tensor, logits: Tensor, grad: Tensor) -> Tensor:
    """(x - sigmoid(logits)) grad."""
    if torch.is_grad_enabled():  # a second derivative is asked for
        return (x - logits.sigmoid()) * grad
    x, logits, out = x.expand(grad.shape), logits.expand(grad.shape), torch.empty_like(grad)
    for block in blocks(grad.shape, logits):
        torch.sub(x[block], logits[block].sigmoid(), out=out[block]).mul_(grad[block])
    return out


class BernoulliElement(Univariate, distributions.Bernoulli):
    """p(x = 1) = sigmoid(logits)."""

    def __init__(self, unbounded_logits: Tensor) -> None:
        super().__init__(unbounded_logits.shape)
        self.unbounded_logits = unbounded_logits

    @cached_property
    def logits(self) -> Tensor:
        """log p(x = 1) / p(x = 0)."""
        return self.unbounded_logits.clamp(-LARGEST, LARGEST)

    def log_prob(self, x: Tensor) -> Tensor:
        """x logits - log(1 + exp(logits))."""
        return _LogBernoulli.apply(x, self.unbounded_logits)

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

    def centre(self, batch: Tensor) -> Tensor:
        """The logit of how often each element is 1, counted with one 0 and one 1 more."""
        return torch.logit((batch.sum(0) + 1.0) / (len(batch) + 2.0))

    def __call__(
        self, params: Tensor, event_shape: Shape, shared: Tensor | None = None, offset: Tensor | None = None
    ) -> Elementwise:
        """The distribution with these logits."""
        (logits,) = parameters(params, 1, event_shape)
        logits = logits if offset is None else logits + offset
        return Elementwise(BernoulliElement(logits), len(event_shape))
