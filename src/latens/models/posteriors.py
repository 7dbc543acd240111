"""Posteriors that are flows: a draw of a base posterior, pushed through bijections that are cheap in that direction.

z_0 ~ q_0(z_0 | x), z = f(z_0; h(x)), log q(z | x) = log q_0(z_0 | x) - log |det df/dz_0|. A draw comes with its log
density, so that training and scoring never invert f. All begin as the base itself, or near it.

The location that stands for such a posterior, which ``transform`` gives, is f of that of its base.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor, nn

from latens.distributions import (
    REAL,
    Bijection,
    Composed,
    Delta,
    Distribution,
    Family,
    Inverse,
    Normal,
    Planar,
    Radial,
    Sylvester,
    Transformed,
)
from latens.models.conditional import Conditional, ConditionalDistribution
from latens.models.flow import AutoregressiveLayer, CouplingLayer, Element, Layer, Mixing
from latens.models.wrapped import Wrapped
from latens.nn import MLP, Site, Spec
from latens.utils.errors import InputError
from latens.utils.validation import check_positive

LARGEST = 100.0
"""What a parameter of a planar, radial or Sylvester map may be at most."""
FARTHEST = 10.0
"""And the logarithm of the reach of a radial map."""
STRETCH = 4.0
"""What an affine map stretches or shrinks by at most: enough beside the base's own scale, and a row unlike all others
cannot be told something that grows from map to map, until it outweighs the data."""


class Numbers(nn.Module):
    """a + B h, softly bounded: learned numbers, and how they follow a context h of so many numbers; B begins at 0."""

    def __init__(self, start: Tensor, context: int) -> None:
        super().__init__()
        self.start = nn.Parameter(start)
        self.slope = nn.Linear(context, len(start), bias=False) if context else None
        if self.slope is not None:
            nn.init.zeros_(self.slope.weight)

    def forward(self, context: Tensor | None) -> Tensor:
        """``(*batch, n)``, or ``(n,)`` without a context."""
        numbers = self.start if self.slope is None or context is None else self.start + self.slope(context)
        return _soft(numbers, LARGEST)


def _soft(x: Tensor, bound: float) -> Tensor:
    """x / (1 + |x| / bound), which lies within the bound and never loses its gradient."""
    return x / (1 + x.abs() / bound)


class PlanarLayer(Layer):
    """A planar map, which begins as the identity."""

    def __init__(self, size: int, context: int) -> None:
        super().__init__()
        start = torch.cat([torch.zeros(size), torch.randn(size) / math.sqrt(size), torch.zeros(1)])
        self.size, self.numbers = size, Numbers(start, context)

    def forward(self, context: Tensor | None) -> Bijection:
        """At this context."""
        u, w, b = self.numbers(context).split([self.size, self.size, 1], -1)
        return Planar(u, w, b.squeeze(-1))


class RadialLayer(Layer):
    """A radial map, which begins as the identity."""

    def __init__(self, size: int, context: int) -> None:
        super().__init__()
        self.size, self.numbers = size, Numbers(torch.cat([0.5 * torch.randn(size), torch.zeros(2)]), context)

    def forward(self, context: Tensor | None) -> Bijection:
        """At this context."""
        centre, log_alpha, strength = self.numbers(context).split([self.size, 1, 1], -1)
        return Radial(centre, _soft(log_alpha.squeeze(-1), FARTHEST), strength.squeeze(-1))


class SylvesterLayer(Layer):
    """A Sylvester map of ``rank`` columns, which begins as the identity."""

    def __init__(self, size: int, context: int, rank: int) -> None:
        super().__init__()
        self.size, self.rank = size, min(rank, size)
        self.sizes = [self.rank * size, self.rank**2, 2 * self.rank, self.rank]
        start = torch.zeros(sum(self.sizes))
        start[: self.sizes[0]].normal_()
        start[-2 * self.rank : -self.rank] = 1.0  # the inner diagonal: were both 0, neither would learn
        self.numbers = Numbers(start, context)

    def forward(self, context: Tensor | None) -> Bijection:
        """At this context."""
        reflections, triangles, diagonals, b = self.numbers(context).split(self.sizes, -1)
        square = (self.rank, self.rank)
        return Sylvester(
            reflections.unflatten(-1, (self.rank, self.size)),
            triangles.unflatten(-1, square),
            diagonals.unflatten(-1, (2, self.rank)),
            b,
        )


class FlowPosterior(ConditionalDistribution):
    """q(z | x) of z = f(z_0; h(x)), z_0 ~ q_0(z_0 | x): the module of every :class:`PosteriorFlow`.

    Args:
        base: gives q_0.
        layers: f, in the order they are applied.
        context: gives h as a point; None where f is the same for every x.
    """

    def __init__(
        self, base: ConditionalDistribution, layers: list[Layer], context: ConditionalDistribution | None
    ) -> None:
        super().__init__()
        self.base, self.layers, self.context = base, nn.ModuleList(layers), context

    def forward(
        self, c: Tensor | None = None, *, observed: Tensor | None = None, context: Tensor | None = None
    ) -> Distribution:
        """The base pushed through f; leading axes of ``c`` become the batch shape."""
        q = self.base(c, observed=observed, context=context)
        if q.space != REAL:
            raise InputError(f"A flow of a posterior pushes real vectors; its base draws from {q.space.name}.")
        h = None if self.context is None else self.context(c, observed=observed, context=context).location
        f = Composed([layer(h) for layer in self.layers])
        return Transformed(q, Inverse(f), () if h is None else tuple(h.shape[:-1]))


@dataclass(frozen=True, repr=False)
class PosteriorFlow(Wrapped, ABC):
    """q(z | x) of z = f(z_0; h(x)): what the flows of posteriors have in common.

    Args:
        base: the posterior that is pushed: a family, whose network is the encoder, or a specification.
        transforms: how many bijections.
        context: how many numbers h(x) is, which the bijections depend on; 0 for the same f for every x.
        encoder: the network from x to h(x).
    """

    base: Family | Spec = Normal("element")
    transforms: int = 8
    context: int = 32
    encoder: Spec = MLP((64,))

    def __post_init__(self) -> None:
        check_positive("transforms", self.transforms, integer=True)
        check_positive("context", self.context, integer=True, zero=True)

    @abstractmethod
    def layer(self, size: int) -> Layer:
        """One bijection of ``size`` numbers."""

    def layers(self, size: int) -> list[Layer]:
        """All of them."""
        return [self.layer(size) for _ in range(self.transforms)]

    def build(self, site: Site) -> FlowPosterior:
        """On the posterior that stands at ``site``."""
        given = replace(site, event_shape=(self.context,), events=None)
        context = Conditional(Delta(), self.encoder).build(given) if self.context else None
        base: ConditionalDistribution = site.modules["posterior"]  # type: ignore[assignment]
        return FlowPosterior(base, self.layers(prod(site.event_shape)), context)


@dataclass(frozen=True, repr=False)
class PlanarFlow(PosteriorFlow):
    """q(z | x) of z = f(z_0), f a composition of planes along which space is pushed (:class:`Planar`).

    Args:
        base, transforms, context, encoder: see :class:`PosteriorFlow`.

    Reference: Rezende and Mohamed, *Variational inference with normalizing flows*, 2015.

    Example:
        >>> from latens import VAE
        >>> VAE(latents=2, posterior=PlanarFlow(Normal("element"), 16))
        VAE(latents=2, posterior=PlanarFlow(transforms=16))
    """

    def layer(self, size: int) -> Layer:
        """A planar map."""
        return PlanarLayer(size, self.context)


@dataclass(frozen=True, repr=False)
class RadialFlow(PosteriorFlow):
    """q(z | x) of z = f(z_0), f a composition of centres space is drawn to or pushed from (:class:`Radial`).

    Args:
        base, transforms, context, encoder: see :class:`PosteriorFlow`.

    Reference: Rezende and Mohamed, *Variational inference with normalizing flows*, 2015.
    """

    def layer(self, size: int) -> Layer:
        """A radial map."""
        return RadialLayer(size, self.context)


@dataclass(frozen=True, repr=False)
class SylvesterFlow(PosteriorFlow):
    """q(z | x) of z = f(z_0), each of f's parts ``rank`` planar pushes at once (:class:`Sylvester`).

    Args:
        base, transforms, context, encoder: see :class:`PosteriorFlow`.
        rank: M, at most the number of latents.

    Reference: van den Berg et al., *Sylvester normalizing flows for variational inference*, 2018.
    """

    transforms: int = 4
    rank: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("rank", self.rank, integer=True)

    def layer(self, size: int) -> Layer:
        """A Sylvester map."""
        return SylvesterLayer(size, self.context, self.rank)


@dataclass(frozen=True, repr=False)
class InverseAutoregressiveFlow(PosteriorFlow):
    """q(z | x) of z = f(z_0), z_i an increasing function of z_0i whose parameters come from z_01 .. z_0(i-1).

    A draw and its log density are one pass; the density of any other z, which gradient="path" asks for, takes as many
    passes as there are latents.

    Args:
        base, transforms, context, encoder: see :class:`PosteriorFlow`.
        network: of each bijection, masked.
        bins: of rational-quadratic splines; 0 for affine functions, as published.
        bound: splines act on [-bound, bound], and are the identity beyond it.

    Reference: Kingma et al., *Improved variational inference with inverse autoregressive flow*, 2016.
    """

    transforms: int = 2
    network: MLP = MLP((64,))
    bins: int = 0
    bound: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("bins", self.bins, integer=True, zero=True)
        check_positive("bound", self.bound)

    def layer(self, size: int) -> Layer:
        """An autoregressive map."""
        element = Element(self.bins, self.bound, STRETCH)
        return AutoregressiveLayer(size, self.context, element, self.network)

    def layers(self, size: int) -> list[Layer]:
        """A learned mixing between each two."""
        return _mixed([self.layer(size) for _ in range(self.transforms)], size)


@dataclass(frozen=True, repr=False)
class CouplingFlow(PosteriorFlow):
    """q(z | x) of z = f(z_0), each of f's parts moving one half of z by splines told by the other half.

    One pass in both directions.

    Args:
        base, transforms, context, encoder: see :class:`PosteriorFlow`.
        network: of each bijection.
        bins: of the rational-quadratic splines; 0 for affine functions.
        bound: splines act on [-bound, bound], and are the identity beyond it.

    References:
        Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017; Durkan et al., *Neural spline
        flows*, 2019.
    """

    transforms: int = 2
    network: MLP = MLP((64,))
    bins: int = 8
    bound: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("bins", self.bins, integer=True, zero=True)
        check_positive("bound", self.bound)

    def layer(self, size: int) -> Layer:
        """A coupling; of a single number, a function of its own."""
        make = CouplingLayer if size > 1 else AutoregressiveLayer
        return make(size, self.context, Element(self.bins, self.bound), self.network)

    def layers(self, size: int) -> list[Layer]:
        """A learned mixing between each two."""
        return _mixed([self.layer(size) for _ in range(self.transforms)], size)


def _mixed(layers: list[Layer], size: int) -> list[Layer]:
    out = layers[:1]
    for layer in layers[1:]:
        out += [Mixing(size), layer] if size > 1 else [layer]
    return out
