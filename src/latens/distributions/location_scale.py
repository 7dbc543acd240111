"""Real data around a location: Normal, Laplace and Student's t, with four answers to "what is the scale?"."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions.kl import register_kl

from latens.distributions import noise
from latens.distributions.base import Distribution, Family, Shape
from latens.distributions.bounds import bounded, parameters, tame, within
from latens.distributions.elementwise import Elementwise, Univariate
from latens.distributions.normals import (
    FARTHEST,
    HALF_LOG_TWO_PI,
    divergence,
    divergence_from_standard,
    drawn,
    log_normal,
)
from latens.utils.errors import InputError

LOG_SCALE = (-10.0, 10.0)


class LocationScale(Univariate):
    """x = loc + exp(log_scale) e. ``log_scale`` broadcasts to ``loc``, which has the full batch shape."""

    has_rsample = True

    def __init__(self, unbounded_loc: Tensor, log_scale: Tensor) -> None:
        super().__init__(unbounded_loc.shape)
        self.unbounded_loc, self.log_scale = unbounded_loc, log_scale

    @cached_property
    def loc(self) -> Tensor:
        """The location."""
        return within(self.unbounded_loc, -FARTHEST, FARTHEST)

    @cached_property
    def scale(self) -> Tensor:
        """exp(log_scale)."""
        return self.log_scale.exp()

    @property
    def mean(self) -> Tensor:
        """The location."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """stddev squared."""
        return self.stddev.square()

    def rsample(self, sample_shape: Shape = ()) -> Tensor:  # type: ignore[override]
        """loc + scale e."""
        return self.loc + self.scale * self.noise((*sample_shape, *self.loc.shape))

    def noise(self, shape: Shape) -> Tensor:
        """A draw of e."""
        raise NotImplementedError

    def standardised(self, x: Tensor) -> Tensor:
        """(x - loc) / scale."""
        return (x - self.loc) / self.scale


class NormalElement(LocationScale):
    """N(x; loc, scale^2)."""

    @property
    def stddev(self) -> Tensor:
        """The scale."""
        return self.scale.expand_as(self.loc)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:  # type: ignore[override]
        """loc + scale e."""
        e = self.noise((*sample_shape, *self.unbounded_loc.shape))
        return drawn(self.unbounded_loc, self.log_scale, e)

    def noise(self, shape: Shape) -> Tensor:
        """Standard normal."""
        return noise.normal(shape, self.unbounded_loc)

    def log_prob(self, x: Tensor) -> Tensor:
        """-((x - loc) / scale)^2 / 2 - log scale - log(2 pi) / 2."""
        return log_normal(x, self.unbounded_loc, self.log_scale)

    def entropy(self) -> Tensor:
        """log scale + log(2 pi e) / 2."""
        return (self.log_scale + (HALF_LOG_TWO_PI + 0.5)).expand_as(self.loc)


@register_kl(NormalElement, NormalElement)
def _kl_normals(q: NormalElement, p: NormalElement) -> Tensor:
    return divergence(q.unbounded_loc, q.log_scale, p.unbounded_loc, p.log_scale)


class StandardNormalElement(NormalElement):
    """N(x; 0, 1), of the shape of ``origin``, which is zero."""

    def __init__(self, origin: Tensor) -> None:
        super().__init__(origin, origin.new_zeros(()))

    def log_prob(self, x: Tensor) -> Tensor:
        """-x^2 / 2 - log(2 pi) / 2."""
        return x.square() * -0.5 - HALF_LOG_TWO_PI


def standard_normal(origin: Tensor) -> Distribution:
    """N(0, I) over events of the shape of ``origin``, which is zero; batch shape ().

    Example:
        >>> standard_normal(torch.zeros(2)).log_prob(torch.zeros(2)).item()  # -log(2 pi)
        -1.8378...
    """
    return Elementwise(StandardNormalElement(origin), origin.ndim)


@register_kl(NormalElement, StandardNormalElement)
def _kl_standard(q: NormalElement, p: StandardNormalElement) -> Tensor:
    return divergence_from_standard(q.unbounded_loc, q.log_scale)


class LaplaceElement(LocationScale):
    """exp(-|x - loc| / scale) / (2 scale)."""

    @property
    def stddev(self) -> Tensor:
        """sqrt(2) scale."""
        return (math.sqrt(2.0) * self.scale).expand_as(self.loc)

    def noise(self, shape: Shape) -> Tensor:
        """By inversion: the sign of u - 1/2, and the logarithm of how far it is from the end."""
        u = noise.uniform(shape, self.loc) * 2.0 - 1.0
        return -u.sign() * torch.log1p(-u.abs().clamp(max=1.0 - torch.finfo(u.dtype).eps))

    def log_prob(self, x: Tensor) -> Tensor:
        """-|x - loc| / scale - log(2 scale)."""
        return -self.standardised(x).abs() - (self.log_scale + math.log(2.0))

    def entropy(self) -> Tensor:
        """1 + log(2 scale)."""
        return (self.log_scale + (1.0 + math.log(2.0))).expand_as(self.loc)


@register_kl(LaplaceElement, LaplaceElement)
def _kl_laplaces(q: LaplaceElement, p: LaplaceElement) -> Tensor:
    log_ratio, apart = q.log_scale - p.log_scale, (q.loc - p.loc).abs()
    return apart / p.scale + log_ratio.exp() * (-apart / q.scale).exp() - log_ratio - 1.0


class StudentTElement(LocationScale):
    """Student's t with ``df`` degrees of freedom, a fixed number."""

    def __init__(self, unbounded_loc: Tensor, log_scale: Tensor, df: float) -> None:
        super().__init__(unbounded_loc, log_scale)
        self.df = df

    @property
    def mean(self) -> Tensor:
        """The location; NaN up to one degree of freedom, where there is none."""
        return self.loc if self.df > 1 else torch.full_like(self.loc, math.nan)

    @property
    def stddev(self) -> Tensor:
        """scale sqrt(df / (df - 2)); infinite up to two degrees of freedom."""
        ratio = math.sqrt(self.df / (self.df - 2.0)) if self.df > 2 else math.inf
        return (self.scale * ratio).expand_as(self.loc)

    def noise(self, shape: Shape) -> Tensor:
        """sqrt(df (u^(-2/df) - 1)) cos(2 pi v). Reference: Bailey, Mathematics of Computation 62 (1994)."""
        u, v = 1.0 - noise.uniform(shape, self.loc), noise.uniform(shape, self.loc)
        radius = torch.expm1(u.log() * (-2.0 / self.df)) * self.df
        return radius.sqrt() * torch.cos(2.0 * math.pi * v)

    def log_prob(self, x: Tensor) -> Tensor:
        """-(df + 1) / 2 log(1 + ((x - loc) / scale)^2 / df) - log scale - log of the normaliser."""
        half = 0.5 * (self.df + 1.0)
        tail = torch.log1p(self.standardised(x).square() / self.df)
        return -half * tail - (self.log_scale + self._log_normaliser())

    def _log_normaliser(self) -> float:
        df = self.df
        return 0.5 * math.log(df * math.pi) + math.lgamma(0.5 * df) - math.lgamma(0.5 * (df + 1.0))


class SelfScaled(Elementwise):
    """Errors around a location whose scale is, for any x, the one that makes that x most likely.

    The scale is detached: the gradient reaches the location alone. Until x is given, for ``stddev`` and draws, it is 1.
    """

    element: LocationScale

    def __init__(self, element: LocationScale, event_dims: int, power: int, observed: Tensor | None = None) -> None:
        super().__init__(element, event_dims, observed)
        self.power = power

    def factors(self, x: Tensor) -> Tensor:
        """log p(x_i) in nats at the best scale, ``(*sample, *batch, *event)``."""
        best = type(self.element)(self.element.unbounded_loc, best_log_scale(self, x, self.power))
        return Elementwise(best, len(self.event_shape), self.observed).factors(x)

    def restrict(self, observed: Tensor) -> SelfScaled:
        """The observed entries, which alone then set the scale."""
        seen = observed if self.observed is None else observed & self.observed
        return SelfScaled(self.element, len(self.event_shape), self.power, seen)


@torch.no_grad()
def best_log_scale(dist: Elementwise, x: Tensor, power: int) -> Tensor:
    """log (mean |x - loc|^power)^(1/power) over all observed elements, shape ()."""
    error = x - dist.mean
    count: Tensor | int = error.numel()
    if dist.observed is not None:
        error = error.masked_fill(~dist.observed, 0.0)
        count = dist.observed.expand_as(error).sum().clamp(min=1)
    size = torch.linalg.vector_norm(error, power) / count ** (1.0 / power)
    return size.log().clamp(*LOG_SCALE)


@dataclass(frozen=True, repr=False)
class LocationScaleFamily(Family):
    """What Normal, Laplace and StudentT share: the vocabulary of ``scale``."""

    scale: float | str = "shared"
    scales: ClassVar[tuple[str, ...]] = ("shared", "optimal", "element")
    power: ClassVar[int] = 2

    def __post_init__(self) -> None:
        fixed = isinstance(self.scale, (int, float)) and 0.0 < self.scale < math.inf
        if not fixed and self.scale not in self.scales:
            raise InputError(
                f"{type(self).__name__} expects scale to be a positive number or one of "
                f"{', '.join(map(repr, self.scales))}; got {self.scale!r}."
            )

    @property
    def calibrated(self) -> bool:  # type: ignore[override]
        """Whether the scale is the analytic one."""
        return self.scale == "optimal"

    @property
    def arity(self) -> int:
        """Numbers per element of the event."""
        return 2 if self.scale == "element" else 1

    def param_shape(self, event_shape: Shape) -> Shape:
        """A location for each element, then, for scale="element", r for each: scale exp(r), or 1 + r above 0."""
        return (self.arity * event_shape[0], *event_shape[1:])

    def shared_shape(self, event_shape: Shape) -> Shape | None:
        """One log-scale for all where it is "shared" or "optimal"."""
        return () if self.scale in ("shared", "optimal") else None

    def start(self, event_shape: Shape, apart: float = 0.1) -> Tensor:
        """Locations ``apart``, and scales that leave a mixture of many such normals the variance 1."""
        loc, *scale = super().start(event_shape, apart).chunk(self.arity)
        return torch.cat([loc, *(torch.full_like(r, 0.5 * math.log1p(-(apart**2))) for r in scale)])

    def __call__(
        self, params: Tensor, event_shape: Shape, shared: Tensor | None = None, offset: Tensor | None = None
    ) -> Distribution:
        """The distribution with these locations and scales; parameters of 0 are location 0 and scale 1."""
        raw = parameters(params, self.arity, event_shape)
        loc = raw[0] if offset is None else raw[0] + offset
        if self.scale == "element":
            return Elementwise(self.element(loc, tame(raw[1], *LOG_SCALE)), len(event_shape))
        if not isinstance(self.scale, str):
            return Elementwise(self.element(loc, loc.new_full((), math.log(self.scale))), len(event_shape))
        if shared is not None:
            return Elementwise(self.element(loc, bounded(shared, *LOG_SCALE)), len(event_shape))
        if self.scale == "optimal":
            return SelfScaled(self.element(loc, loc.new_zeros(())), len(event_shape), self.power)
        raise ValueError(f"{self} expects its shared log-scale; got None.")

    def calibrate(self, dist: Any, x: Tensor) -> Tensor | None:
        """The log-scale that makes x most likely, shape (); None unless scale="optimal"."""
        return best_log_scale(dist, x, self.power) if self.calibrated else None

    def element(self, loc: Tensor, log_scale: Tensor) -> LocationScale:
        """The distribution of the elements."""
        raise NotImplementedError


@dataclass(frozen=True, repr=False)
class Normal(LocationScaleFamily):
    """N(x; loc, scale^2), with the location from the network and the scale as ``scale`` says.

    Why does a decoder so often give only means; where is its variance? It is there, fixed: squared error *is*
    ``Normal(scale)`` up to a constant, and its weight against the rate is 1 / (2 scale^2). Fixing scale = 1 on data
    in [0, 1] asks for errors as wide as the data and the latents go unused; a variance per element overfits single
    pixels. One scale for all, learned or analytic, is measured to be best.

    Args:
        scale: a positive number (fixed, in model units); "shared" (one learned scale for all); "optimal" (one, and in
            training the root mean squared error of the batch itself, without gradient); "element" (a log-scale for
            each element, from the network: what a posterior needs).

    Reference:
        Rybkin, Daniilidis, Levine, "Simple and effective VAE training with calibrated decoders" (2021).

    Example:
        >>> q = Normal("element")(torch.zeros(5, 6), (3,))
        >>> round(q.log_prob(torch.zeros(5, 3))[0].item(), 4)  # -3/2 log(2 pi)
        -2.7568
    """

    def element(self, loc: Tensor, log_scale: Tensor) -> NormalElement:
        """Normal elements."""
        return NormalElement(loc, log_scale)


@dataclass(frozen=True, repr=False)
class Laplace(LocationScaleFamily):
    """exp(-|x - loc| / scale) / (2 scale): absolute error, with the scale as ``scale`` says.

    Args:
        scale: as for :class:`Normal`; "optimal" is the mean absolute error.

    Example:
        >>> Laplace(2.0)(torch.zeros(3), (3,)).factors(torch.tensor([0.0, 2.0, -4.0]))  # -|x| / 2 - log 4
        tensor([-1.3863, -2.3863, -3.3863])
    """

    power: ClassVar[int] = 1

    def element(self, loc: Tensor, log_scale: Tensor) -> LaplaceElement:
        """Laplace elements."""
        return LaplaceElement(loc, log_scale)


@dataclass(frozen=True, repr=False)
class StudentT(LocationScaleFamily):
    """Student's t around a location, for data with outliers.

    Args:
        scale: a positive number, "shared" or "element", as for :class:`Normal`; its best value has no closed form,
            so there is no "optimal".
        df: degrees of freedom: 1 is Cauchy, and the mean exists above 1, the variance above 2.

    Example:
        >>> cauchy = StudentT(1.0, df=1.0)(torch.zeros(1), (1,))
        >>> round(cauchy.log_prob(torch.zeros(1)).exp().item(), 4)  # 1 / pi
        0.3183
    """

    df: float = 4.0
    scales: ClassVar[tuple[str, ...]] = ("shared", "element")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.df < math.inf:
            raise InputError(f"StudentT expects a positive, finite df; got {self.df!r}.")

    def element(self, loc: Tensor, log_scale: Tensor) -> StudentTElement:
        """Student elements."""
        return StudentTElement(loc, log_scale, self.df)
