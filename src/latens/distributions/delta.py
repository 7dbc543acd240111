"""A point: the posterior of a plain autoencoder."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from latens.distributions.base import Distribution, Family, Shape
from latens.utils.errors import InputError


class Point(Distribution):
    """All mass at one value, which has no density: it can be drawn, not scored."""

    reparameterised = True
    has_density = False

    def __init__(self, value: Tensor, event_shape: Shape) -> None:
        self.value = value
        self.event_shape = torch.Size(event_shape)
        self.batch_shape = value.shape[: value.ndim - len(event_shape)]

    def log_prob(self, x: Tensor) -> Tensor:
        """Refused: a point has no density."""
        raise InputError(
            "A deterministic posterior has no density over z, so no rate and no score of x: train it by Distortion() "
            "and a term such as MMD() or LatentL2(), and judge it by reconstruction_error; or use Normal('element')."
        )

    def rsample(self, shape: Shape = ()) -> Tensor:
        """The value, ``shape`` times."""
        return self.value.expand(*shape, *self.value.shape)

    @property
    def mean(self) -> Tensor:
        """The value."""
        return self.value

    @property
    def stddev(self) -> Tensor:
        """Zero."""
        return torch.zeros_like(self.value)


@dataclass(frozen=True, repr=False)
class Delta(Family):
    """q(z | x) = delta(z - f(x)): the code of a plain autoencoder is a point.

    Example:
        >>> Delta()(torch.tensor([[1.0, 2.0]]), (2,)).sample((3,)).shape
        torch.Size([3, 1, 2])
    """

    support = "point"

    def param_shape(self, event_shape: Shape) -> Shape:
        """One number an element."""
        return tuple(event_shape)

    def __call__(
        self, params: Tensor, event_shape: Shape, shared: Tensor | None = None, offset: Tensor | None = None
    ) -> Point:
        """The point at ``params``."""
        return Point(params, event_shape)
