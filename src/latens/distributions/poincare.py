r"""The Poincare ball: hyperbolic space, whose volume grows with the radius as a tree's does, in D numbers.

Points are vectors z with \|z\| < 1 / sqrt(c); the curvature is -c, lengths at z are those of R^D times
2 / (1 - c \|z\|^2), and every density here is relative to the Riemannian volume, (2 / (1 - c \|z\|^2))^D dz. Functions
work in the ball of radius 1, at c = 1: z sqrt(c) lies there, and distances are sqrt(c) times as long.

References: Mathieu et al., *Continuous hierarchical representations with Poincare variational auto-encoders*, 2019;
Nagano et al., *A wrapped normal distribution on hyperbolic space*, 2019; Ganea, Becigneul and Hofmann, *Hyperbolic
neural networks*, 2018.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Size, Tensor

from latens.distributions import noise
from latens.distributions.base import Distribution, Family, Shape, Space
from latens.distributions.bounds import HALF, tame, within
from latens.distributions.location_scale import FARTHEST, HALF_LOG_TWO_PI
from latens.utils.errors import InputError
from latens.utils.validation import check_positive

REACH = 8.0
"""Locations lie within this distance of the origin: beyond 15, single precision cannot tell points apart."""
WIDEST = 1.0
"""The largest logarithm of a scale, in units of the curvature's radius: REACH is not to be left by draws either."""
NARROWEST = -10.0
_TINY = 1e-12
_NEAR = 0.3


def poincare_ball(curvature: float) -> Space:
    """The ball of curvature -c."""
    return Space(f"the Poincare ball of curvature -{curvature:g}", f"StandardPoincare({curvature:g})")


def add(a: Tensor, b: Tensor) -> Tensor:
    """Moebius addition in the ball of radius 1: b, carried along by the translation that moves 0 to a.

    >>> add(torch.tensor([0.5, 0.0]), torch.tensor([-0.5, 0.0]))
    tensor([0., 0.])
    """
    ab, aa, bb = (_dot(*pair) for pair in ((a, b), (a, a), (b, b)))
    return ((1 + 2 * ab + bb) * a + (1 - aa) * b) / (1 + 2 * ab + aa * bb).clamp(min=_TINY)


def exponential(mu: Tensor, v: Tensor) -> Tensor:
    """Where one arrives from mu by the vector v, given in the frame that parallel transport takes from 0 to mu.

    Along a straight line through 0, transport only scales, so that v has its own length at mu: the way is |v| long.
    """
    r = _norm(v)
    return _inside(add(mu, torch.tanh(0.5 * r) / r * v))


def logarithm(mu: Tensor, z: Tensor) -> Tensor:
    """The vector v by which one arrives from mu at z: the inverse of :func:`exponential`."""
    w = _inside(add(-mu, z))
    n = _norm(w)
    return 2.0 * torch.atanh(n) / n * w


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1, keepdim=True)


def _norm(v: Tensor) -> Tensor:
    return _dot(v, v).clamp(min=_TINY).sqrt()


def _inside(z: Tensor) -> Tensor:
    """z, not nearer to the boundary than numbers can tell."""
    limit = 1.0 - 2.0 * torch.finfo(z.dtype).eps
    return z * (limit / _norm(z)).clamp(max=1.0)


def _log_shrinkage(square: Tensor) -> Tensor:
    """log(r / sinh r), of r^2: by its series near 0."""
    q = square.clamp(max=_NEAR**2)
    near = q * (-1 / 6 + q * (1 / 180 + q * (-1 / 2835 + q / 37800)))
    r = square.clamp(min=_NEAR**2).sqrt()
    far = (2.0 * r).log() - r - (-torch.expm1(-2.0 * r)).log()
    return torch.where(square < _NEAR**2, near, far)


class BallNormal(Distribution):
    r"""The law of z = exp_mu(v), v ~ N(0, diag(scale)^2) in the frame at mu: the wrapped normal distribution.

    log p(z) = log N(v; 0, diag(scale)^2) + (D - 1) log(r / sinh r), r = sqrt(c) \|v\|, relative to the Riemannian
    volume.

    Args:
        centre: sqrt(c) mu, ``(*batch, D)``, of norm below 1.
        log_scale: ``(*batch, D)``.
        curvature: c.
    """

    reparameterised = True
    scores_draws = True

    def __init__(self, centre: Tensor, log_scale: Tensor, curvature: float) -> None:
        self.centre, self.log_scale, self.root = centre, log_scale, math.sqrt(curvature)
        self.batch_shape, self.event_shape = Size(centre.shape[:-1]), Size(centre.shape[-1:])
        self.space = poincare_ball(curvature)

    def log_prob(self, x: Tensor) -> Tensor:
        """That of the vector that leads to x."""
        return self._of_vector(logarithm(self.centre, self.root * x) / self.root)

    def rsample(self, shape: Shape = ()) -> Tensor:
        """exp_mu(scale e)."""
        return self.rsample_and_log_prob(shape)[0]

    def rsample_and_log_prob(self, shape: Shape = ()) -> tuple[Tensor, Tensor]:
        """A draw, and its log density from the vector that leads there."""
        v = self.log_scale.exp() * noise.normal((*shape, *self.centre.shape), self.centre)
        return exponential(self.centre, self.root * v) / self.root, self._of_vector(v)

    def _of_vector(self, v: Tensor) -> Tensor:
        normal = -0.5 * (v * (-self.log_scale).exp()).square() - self.log_scale - HALF_LOG_TWO_PI
        shrinkage = _log_shrinkage(self.root**2 * v.square().sum(-1))
        return normal.sum(-1) + (self.event_shape[-1] - 1) * shrinkage

    @property
    def location(self) -> Tensor:
        """mu, around which draws lie evenly; they have no mean within the ball's own geometry in closed form."""
        return self.centre / self.root


def standard_poincare(origin: Tensor, curvature: float) -> BallNormal:
    """The wrapped normal of scale 1 around 0, over vectors of the shape of ``origin``, which is zero.

    >>> round(standard_poincare(torch.zeros(2), 1.0).log_prob(torch.zeros(2)).item(), 4)  # -log(2 pi)
    -1.8379
    """
    return BallNormal(origin, torch.zeros_like(origin), curvature)


@dataclass(frozen=True, repr=False)
class PoincareNormal(Family):
    """The wrapped normal distribution on the Poincare ball, for latents that are a hierarchy, such as a tree.

    As a posterior it takes the prior ``StandardPoincare()`` of the same curvature. Its densities are relative to the
    Riemannian volume of the ball, as that prior's are. Best in few dimensions: in many, most of the volume lies where
    single precision ends.

    Args:
        curvature: c, of the curvature -c.

    References: Mathieu et al., 2019; Nagano et al., 2019.

    Example:
        >>> q = PoincareNormal()(torch.tensor([1.0, 0.0, -1.0, -1.0]), (2,))
        >>> q.location.norm() < 1, q.sample((5,)).norm(dim=-1).max() < 1
        (tensor(True), tensor(True))
    """

    curvature: float = 1.0

    support = "ball"

    def __post_init__(self) -> None:
        check_positive("curvature", self.curvature)

    def param_shape(self, event_shape: Shape) -> Shape:
        """D numbers whose vector, shortened to less than 8, leads from 0 to mu; D scales (exp(r), or 1 + r above 0)."""
        if len(event_shape) != 1:
            raise InputError(f"PoincareNormal describes vectors; got events {tuple(event_shape)}.")
        return (2 * event_shape[0],)

    def spread(self, event_shape: Shape) -> float:
        """That of the standard one, whose draws are about D^(1/2) from the centre."""
        far = (self.curvature * event_shape[0]) ** 0.5
        return math.tanh(0.5 * far) / far

    def __call__(
        self, params: Tensor, event_shape: Shape, shared: Tensor | None = None, offset: Tensor | None = None
    ) -> BallNormal:
        """The distribution with these parameters."""
        params = params.float() if params.dtype in HALF else params
        way, scale = params.chunk(2, -1)
        way = within(way, -FARTHEST, FARTHEST)
        far = _norm(way)
        centre = torch.tanh(0.5 * far / (1 + far / REACH)) / far * way
        widest = WIDEST - 0.5 * math.log(self.curvature)
        log_scale = tame(scale, min(NARROWEST, NARROWEST + widest), widest)
        return BallNormal(centre, log_scale, self.curvature)
