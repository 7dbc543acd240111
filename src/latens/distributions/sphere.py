"""Directions: distributions of points on the sphere S^(D-1), D numbers of norm 1, relative to its surface measure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Size, Tensor
from torch.nn.functional import normalize

from latens.distributions import noise
from latens.distributions.base import Distribution, Family, Shape, Space
from latens.distributions.bessel import bessel_ratio, log_bessel
from latens.distributions.bounds import HALF, bounded, within
from latens.distributions.location_scale import FARTHEST
from latens.utils.errors import InputError

SPHERE = Space("the sphere", "UniformSphere()")
LOG_CONCENTRATION = (math.log(1e-3), math.log(1e5))
TILT = 1e-3
"""So far towards the first axis a direction is moved: 0 has one too."""
CELLS = 256
"""Of the table of the angle's distribution, over 22 standard deviations; in between it is exact to 3e-7."""
_BELOW, _ABOVE = 8.0, 14.0
_NEWTONS = 8


class SphereUniform(Distribution):
    """1 / area on the sphere, batch shape ().

    Args:
        origin: ``(D,)``, zeros, which say size, precision and place.
    """

    space = SPHERE

    def __init__(self, origin: Tensor) -> None:
        self.origin = origin
        self.batch_shape, self.event_shape = Size(()), origin.shape

    def log_prob(self, x: Tensor) -> Tensor:
        """-log area = log Gamma(D / 2) - log 2 - D / 2 log pi."""
        return x.new_full(x.shape[:-1], -log_area(x.shape[-1]))

    def rsample(self, shape: Shape = ()) -> Tensor:
        """A normal vector, brought to norm 1."""
        return normalize(noise.normal((*shape, *self.event_shape), self.origin), dim=-1)

    @property
    def mean(self) -> Tensor:
        """0, which is not on the sphere."""
        return self.origin

    @property
    def stddev(self) -> Tensor:
        """1 / sqrt(D)."""
        return torch.full_like(self.origin, self.origin.numel() ** -0.5)


class SphereNormal(Distribution):
    r"""p(x) = C(k) exp(k mu . x), the von Mises-Fisher distribution around mu with concentration k.

    C(k) = k^v / ((2 pi)^(v+1) I_v(k)), v = D / 2 - 1. A draw is mu cos a + t sin a, with t uniform among the directions
    at right angles to mu, and a by inversion of its distribution function, from a table for each k. No draw is
    rejected, and its gradient in k is the exact one of the inverse, -(dF/dk) / (dF/da).

    Args:
        direction: mu, ``(*batch, D)``, of norm 1.
        concentration: k, ``(*batch)``.

    References: Davidson et al., *Hyperspherical variational auto-encoders*, 2018; Figurnov, Mohamed and Mnih,
    *Implicit reparameterization gradients*, 2018.
    """

    reparameterised = True
    space = SPHERE

    def __init__(self, direction: Tensor, concentration: Tensor) -> None:
        self.direction, self.concentration = direction, concentration
        self.batch_shape, self.event_shape = Size(direction.shape[:-1]), Size(direction.shape[-1:])
        self.size, self.order = direction.shape[-1], direction.shape[-1] / 2 - 1

    def log_prob(self, x: Tensor) -> Tensor:
        """-k |x - mu|^2 / 2 - log(I_v(k) k^-v e^-k) - (v + 1) log(2 pi)."""
        apart = (x - self.direction).square().sum(-1)
        volume = log_bessel(self.order, self.concentration.double()) + (self.order + 1) * math.log(2 * math.pi)
        return -0.5 * self.concentration * apart - volume.to(x.dtype)

    def rsample(self, shape: Shape = ()) -> Tensor:
        """mu cos a + t sin a."""
        full = (*shape, *self.batch_shape)
        u = noise.uniform(full, self.concentration)
        e = noise.normal((*full, self.size), self.direction)
        aside = normalize(e - (e * self.direction).sum(-1, keepdim=True) * self.direction, dim=-1)
        a = angle(u, self.concentration, self.size).unsqueeze(-1)
        return a.cos().to(e.dtype) * self.direction + a.sin().to(e.dtype) * aside

    def divergence(self, p: Distribution) -> Tensor | None:
        """KL(self || p) in nats, ``(*batch)``, where p is uniform or of the same kind."""
        if not isinstance(p, (SphereUniform, SphereNormal)):
            return None
        k, length = self.concentration.double(), self._length
        other, along = torch.zeros_like(k), torch.zeros_like(k)
        if isinstance(p, SphereNormal):
            other = p.concentration.double()
            along = other * (self.direction.double() * p.direction.double()).sum(-1)
        exponents = k * (length - 1) + other - length * along
        return (exponents - log_bessel(self.order, k) + log_bessel(self.order, other)).to(self.direction.dtype)

    @property
    def _length(self) -> Tensor:
        """|E[x]| = I_(v+1)(k) / I_v(k), in double precision."""
        return bessel_ratio(self.order, self.concentration.double())

    @property
    def mean(self) -> Tensor:
        """E[x], inside the ball."""
        return self._length.to(self.direction.dtype).unsqueeze(-1) * self.direction

    @property
    def location(self) -> Tensor:
        """mu, the direction of the mean, which is on the sphere."""
        return self.direction

    @property
    def stddev(self) -> Tensor:
        """sqrt(s + (1 - D s - |E[x]|^2) mu_i^2), s = |E[x]| / k the variance at right angles to mu."""
        k, length = self.concentration.double(), self._length
        aside = length / k
        along = 1 - self.size * aside - length.square()
        squares = aside.unsqueeze(-1) + along.unsqueeze(-1) * self.direction.double().square()
        return squares.clamp(min=0).sqrt().to(self.direction.dtype)


def log_area(size: int) -> float:
    """log of the area of the sphere of vectors of this size, 2 pi^(D/2) / Gamma(D/2).

    >>> round(log_area(3) - math.log(4 * math.pi), 12)
    0.0
    """
    return math.log(2.0) + 0.5 * size * math.log(math.pi) - math.lgamma(0.5 * size)


def angle(u: Tensor, concentration: Tensor, size: int) -> Tensor:
    """a where F(a) = u, F the distribution function of the angle between a draw and mu, in double precision.

    Its density is proportional to exp(k cos a) sin^(D-2) a. The gradient reaches k.

    Args:
        u: ``(*shape, *batch)``, numbers in [0, 1).
        concentration: k, ``(*batch)``.
        size: D.
    """
    with torch.no_grad():
        k = concentration.detach().double().reshape(-1, 1)
        draws = u.double().reshape(-1, len(k)).mT + torch.finfo(u.dtype).eps / 4
        a, slope = _invert(draws.contiguous(), k, size)
        a, slope = (t.mT.reshape(u.shape) for t in (a, slope))
    live = concentration.double()
    return a + slope * (live - live.detach())


def _invert(u: Tensor, k: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The angles ``(R, S)`` and their derivatives in k, from k ``(R, 1)``."""
    a, log_top, total, tables = _tables(k, size)
    width = a[:, 1:2] - a[:, :1]
    cell = (torch.searchsorted(tables[0], u, right=True) - 1).clamp(0, CELLS - 1)
    ends = [(t.gather(1, cell), t.gather(1, cell + 1)) for t in tables]
    (f0, f1), (d0, d1), (m0, m1), (s0, s1) = ends
    t = ((u - f0) / (f1 - f0).clamp(min=1e-300)).clamp(0, 1)
    for _ in range(_NEWTONS):
        value, slope = _hermite(t, f0, f1, width * d0, width * d1)
        t = (t - (value - u) / slope.clamp(min=1e-300)).clamp(0, 1)
    found = a.gather(1, cell) + width * t
    moved = _hermite(t, m0, m1, width * s0, width * s1)[0]
    density = (_log_density(found, k, size) - log_top).exp() / total
    return found, -moved / density.clamp(min=1e-300)


def _tables(k: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, ...]]:
    """Angles ``(R, CELLS + 1)``, the scale of the density, and of F and of dF/dk the values and slopes there."""
    spread = 2 / (size - 2 + ((size - 2) ** 2 + 4 * k.square()).sqrt())
    mode = torch.atan2(((size - 2) * spread).sqrt(), k * spread)
    low = (mode - _BELOW * spread.sqrt()).clamp(min=0.0)
    high = (mode + _ABOVE * spread.sqrt()).clamp(max=math.pi)
    a = low + (high - low) * torch.linspace(0, 1, CELLS + 1, dtype=k.dtype, device=k.device)
    log_density = _log_density(a, k, size)
    top = log_density.amax(1, keepdim=True)
    density = (log_density - top).exp()
    bend = -k * a.sin() * density
    if size > 2:
        fewer = torch.xlogy(float(size - 3), a.sin().clamp(min=0)) - 2 * k * (a / 2).sin().square()
        bend = bend + (size - 2) * a.cos() * (fewer - top).exp()
    raw = _cumulated(a, density, bend)
    total = raw[:, -1:]
    density, bend, cos = density / total, bend / total, a.cos()
    mean = _cumulated(a, cos * density, cos * bend - a.sin() * density)[:, -1:]
    off = (cos - mean) * density
    moved = _cumulated(a, off, (cos - mean) * bend - a.sin() * density)
    return a, top, total, (raw / total, density, moved, off)


def _log_density(a: Tensor, k: Tensor, size: int) -> Tensor:
    """k (cos a - 1) + (D - 2) log sin a."""
    return torch.xlogy(float(size - 2), a.sin().clamp(min=0)) - 2 * k * (a / 2).sin().square()


def _cumulated(a: Tensor, f: Tensor, slope: Tensor) -> Tensor:
    """The integral of f up to each a, by the trapezoidal rule with its first correction, of order 4."""
    width = a[:, 1:2] - a[:, :1]
    cells = width / 2 * (f[:, 1:] + f[:, :-1]) + width.square() / 12 * (slope[:, :-1] - slope[:, 1:])
    return torch.nn.functional.pad(cells.cumsum(1), (1, 0))


def _hermite(t: Tensor, f0: Tensor, f1: Tensor, d0: Tensor, d1: Tensor) -> tuple[Tensor, Tensor]:
    """The cubic on [0, 1] with these ends and slopes there, and its slope."""
    rise = f1 - f0
    b, c = 3 * rise - 2 * d0 - d1, d0 + d1 - 2 * rise
    return f0 + t * (d0 + t * (b + t * c)), d0 + t * (2 * b + 3 * t * c)


@dataclass(frozen=True, repr=False)
class VonMisesFisher(Family):
    """p(x) = C(k) exp(k mu . x) on the sphere of vectors of norm 1: the normal distribution of directions.

    As a posterior it takes the prior ``UniformSphere()``: latents of D numbers lie on S^(D-1), so that none is far
    away, and the divergence from the prior, in closed form, depends on the concentration k alone. k lies between 1e-3
    and 1e5; parameters of 0 are the first axis and k = D.

    References: Davidson et al., *Hyperspherical variational auto-encoders*, 2018; Xu and Durrett, *Spherical latent
    spaces for stable variational autoencoders*, 2018.

    Example:
        >>> q = VonMisesFisher()(torch.tensor([0.0, 2.0, 0.0, 0.0]), (3,))
        >>> q.concentration.item(), [round(r, 4) for r in q.sample((2,)).norm(dim=-1).tolist()]
        (3.0, [1.0, 1.0])
    """

    support = "sphere"

    def param_shape(self, event_shape: Shape) -> Shape:
        """D numbers, whose direction is mu, and log(k / D)."""
        if len(event_shape) != 1 or event_shape[0] < 2:
            raise InputError(f"VonMisesFisher describes vectors of 2 numbers or more; got {tuple(event_shape)}.")
        return (event_shape[0] + 1,)

    def spread(self, event_shape: Shape) -> float:
        """D^(-1/2): that of the uniform distribution."""
        return event_shape[0] ** -0.5

    def __call__(
        self, params: Tensor, event_shape: Shape, shared: Tensor | None = None, offset: Tensor | None = None
    ) -> SphereNormal:
        """The distribution with these parameters."""
        params = params.float() if params.dtype in HALF else params
        size = event_shape[0]
        towards = within(params[..., :size], -FARTHEST, FARTHEST)
        tilt = torch.nn.functional.pad(towards.new_full((1,), TILT), (0, size - 1))
        log_k = bounded(params[..., size] + math.log(size), *LOG_CONCENTRATION)
        return SphereNormal(normalize(towards + tilt, dim=-1), log_k.exp())
