"""A class as a unit vector: the one distribution whose every value can be gone through."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Size, Tensor

from latens.distributions import noise
from latens.distributions.base import Distribution, Family, Shape
from latens.distributions.bounds import HALF
from latens.distributions.categorical import LARGEST
from latens.utils.errors import InputError


class Classes(Distribution):
    """P(y = e_j) = softmax(logits)_j over unit vectors; where the class of a row is known, all mass is there.

    Args:
        logits: ``(*batch, C)``.
        known: ``(*batch, C)``, the unit vector of a known class, zeros where it is not known; None where none is.

    Example:
        >>> p = Classes(torch.zeros(2, 4), torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.0] * 4]))
        >>> p.log_prob(p.enumerate()).exp()
        tensor([[0.0000, 0.2500],
                [1.0000, 0.2500],
                [0.0000, 0.2500],
                [0.0000, 0.2500]])
    """

    enumerable = True

    def __init__(self, logits: Tensor, known: Tensor | None = None) -> None:
        self.log_probs = logits.clamp(-LARGEST, LARGEST).log_softmax(-1)
        self.known = known
        self.batch_shape, self.event_shape = Size(logits.shape[:-1]), Size(logits.shape[-1:])

    def given(self, known: Tensor) -> Classes:
        """The same where the class is not known; all mass at it where it is."""
        return Classes(self.log_probs.expand(np.broadcast_shapes(self.log_probs.shape, known.shape)), known)

    def enumerate(self) -> Tensor:
        """Every value, ``(C, *batch, C)``."""
        size, batch = self.log_probs.shape[-1], self.batch_shape
        eye = torch.eye(size, dtype=self.log_probs.dtype, device=self.log_probs.device)
        return eye.reshape(size, *[1] * len(batch), size).expand(size, *batch, size)

    def log_prob(self, x: Tensor) -> Tensor:
        """log P(y = x) in nats, ``(*sample, *batch)``; -infinity where another class is known."""
        free = (x * self.log_probs).sum(-1)
        if self.known is None:
            return free
        certain = torch.where((x * self.known).sum(-1) > 0, 0.0, -torch.inf).to(free.dtype)
        return torch.where(self.known.sum(-1) > 0, certain, free)

    def rsample(self, shape: Shape = ()) -> Tensor:
        """Unit vectors, ``(*shape, *batch, C)``, without gradients."""
        ends = self.mean.cumsum(-1)[..., :-1]
        u = noise.uniform((*shape, *self.batch_shape), self.log_probs)
        index = (ends <= u.unsqueeze(-1)).sum(-1, keepdim=True)
        return torch.zeros(*index.shape[:-1], *self.event_shape).to(self.log_probs).scatter(-1, index, 1.0)

    @property
    def mean(self) -> Tensor:
        """The probabilities, ``(*batch, C)``."""
        free = self.log_probs.exp()
        if self.known is None:
            return free
        return torch.where(self.known.sum(-1, keepdim=True) > 0, self.known.to(free.dtype), free)


@dataclass(frozen=True, repr=False)
class OneOf(Family):
    """P(y = e_j) = softmax(logits)_j: the logits of one class out of ``prod(event_shape)``.

    Example:
        >>> OneOf()(torch.tensor([0.0, 0.0]), (2,)).mean
        tensor([0.5000, 0.5000])
    """

    measure = "counting"
    support = "one hot"

    def param_shape(self, event_shape: Shape) -> Shape:
        """A logit for each class."""
        if len(event_shape) != 1:
            raise InputError(f"OneOf expects a vector, one number for each class; got events of shape {event_shape}.")
        return event_shape

    def __call__(
        self, params: Tensor, event_shape: Shape, shared: Tensor | None = None, offset: Tensor | None = None
    ) -> Classes:
        """The distribution with these logits."""
        return Classes(params.float() if params.dtype in HALF else params)
