"""Data between 0 and 1: the continuous Bernoulli and the Beta."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions.kl import register_kl

from latens.distributions import noise
from latens.distributions.base import Family, Shape
from latens.distributions.bounds import bounded, parameters
from latens.distributions.elementwise import Elementwise, Univariate

STEEPEST = 1e3
NEAR = 1.0
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)
_TAYLOR = tuple(b / math.factorial(2 * n) for n, b in enumerate(_BERNOULLI, start=1))  # t^2n of t/2 coth(t/2)
_LOG_SINHC = tuple(c / (2 * n) for n, c in enumerate(_TAYLOR, start=1))
_SLOPE = _TAYLOR
_CURVATURE = tuple(c * (2 * n - 1) for n, c in enumerate(_TAYLOR, start=1))


def _polynomial(coefficients: Sequence[float], square: Tensor) -> Tensor:
    total = torch.full_like(square, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        total = total * square + c
    return total


def _piecewise(t: Tensor, near: Callable[[Tensor], Tensor], far: Callable[[Tensor], Tensor]) -> Tensor:
    """near(t) for |t| < 1, far(t) elsewhere; neither sees what is the other's, so that both have gradients."""
    inside = t.abs() < NEAR
    return torch.where(inside, near(t.masked_fill(~inside, 0.0)), far(t.masked_fill(inside, NEAR)))


def log_sinhc(t: Tensor) -> Tensor:
    """log(sinh(t/2) / (t/2)): an even function, by its Taylor series near 0."""
    return _piecewise(t, lambda t: t.square() * _polynomial(_LOG_SINHC, t.square()), _log_sinhc_far)


def _log_sinhc_far(t: Tensor) -> Tensor:
    size = t.abs()
    return 0.5 * size + (-torch.expm1(-size)).log() - size.log()


def _slope(t: Tensor) -> Tensor:
    """The derivative of log_sinhc: coth(t/2)/2 - 1/t."""
    return _piecewise(t, lambda t: t * _polynomial(_SLOPE, t.square()), lambda t: 0.5 / torch.tanh(0.5 * t) - 1.0 / t)


def _curvature(t: Tensor) -> Tensor:
    """Its second derivative: 1/t^2 - e^-|t| / (1 - e^-|t|)^2."""
    return _piecewise(t, lambda t: _polynomial(_CURVATURE, t.square()), _curvature_far)


def _curvature_far(t: Tensor) -> Tensor:
    decay = (-t.abs()).exp()
    return 1.0 / t.square() - decay / (1.0 - decay).square()


class ContinuousBernoulliElement(Univariate):
    """exp(logit x) / normaliser on [0, 1], an exponential family: its log normaliser is logit/2 + log_sinhc(logit)."""

    has_rsample = True
    filler = 0.5

    def __init__(self, logits: Tensor) -> None:
        super().__init__(logits.shape)
        self.logits = logits

    def log_prob(self, x: Tensor) -> Tensor:
        """logit (x - 1/2) - log_sinhc(logit)."""
        return self.logits * (x - 0.5) - log_sinhc(self.logits)

    @property
    def mean(self) -> Tensor:
        """1/2 + slope of log_sinhc."""
        return 0.5 + _slope(self.logits)

    @property
    def variance(self) -> Tensor:
        """Curvature of log_sinhc."""
        return _curvature(self.logits)

    def entropy(self) -> Tensor:
        """-E[log p(x)]."""
        return log_sinhc(self.logits) - self.logits * _slope(self.logits)

    def rsample(self, sample_shape: Shape = ()) -> Tensor:  # type: ignore[override]
        """By inversion, from the side where the density is highest."""
        u = noise.uniform((*sample_shape, *self.logits.shape), self.logits)
        size = self.logits.abs()
        small = size < 1e-2
        safe = size.masked_fill(small, 1.0)
        near = u - size * u * (1.0 - u) * (0.5 - size * (1.0 - 2.0 * u) / 6.0)
        x = torch.where(small, near, torch.log1p(u * torch.expm1(-safe)) / -safe)
        return torch.where(self.logits > 0, 1.0 - x, x)


@register_kl(ContinuousBernoulliElement, ContinuousBernoulliElement)
def _kl_continuous_bernoullis(q: ContinuousBernoulliElement, p: ContinuousBernoulliElement) -> Tensor:
    return (q.logits - p.logits) * _slope(q.logits) - log_sinhc(q.logits) + log_sinhc(p.logits)


@dataclass(frozen=True, repr=False)
class ContinuousBernoulli(Family):
    """p(x) = exp(logit x) logit / (exp(logit) - 1) on [0, 1]: binary cross-entropy made a density.

    Reference:
        Loaiza-Ganem, Cunningham, "The continuous Bernoulli: fixing a pervasive error in variational autoencoders"
        (2019).

    Example:
        >>> import torch
        >>> p = ContinuousBernoulli()(torch.tensor([0.0, 1.0]), (2,))
        >>> p.mean  # 1/2 and 1/(e - 1)
        tensor([0.5000, 0.5820])
    """

    support = "unit"

    def param_shape(self, event_shape: Shape) -> Shape:
        """A logit for each element."""
        return event_shape

    def __call__(
        self, params: Tensor, event_shape: Shape, shared: Tensor | None = None, offset: Tensor | None = None
    ) -> Elementwise:
        """The distribution with these logits; 0 is uniform."""
        (logits,) = parameters(params, 1, event_shape)
        logits = logits if offset is None else logits + offset
        return Elementwise(ContinuousBernoulliElement(bounded(logits, -STEEPEST, STEEPEST)), len(event_shape))


class BetaElement(Univariate):
    """Beta(mean * concentration, (1 - mean) * concentration)."""

    filler = 0.5

    def __init__(self, logit_mean: Tensor, log_concentration: Tensor) -> None:
        super().__init__(logit_mean.shape)
        self.logit_mean, self.log_concentration = logit_mean, log_concentration

    def concentrations(self) -> tuple[Tensor, Tensor]:
        """(alpha, beta), in double precision: differences of log-gamma functions lose half the digits."""
        total = self.log_concentration.double().exp()
        return total * self.logit_mean.double().sigmoid(), total * (-self.logit_mean.double()).sigmoid()

    def log_prob(self, x: Tensor) -> Tensor:
        """(alpha - 1) log x + (beta - 1) log(1 - x) - log B(alpha, beta)."""
        alpha, beta = self.concentrations()
        y = x.double()
        log_norm = torch.lgamma(alpha) + torch.lgamma(beta) - torch.lgamma(alpha + beta)
        return ((alpha - 1.0) * y.log() + (beta - 1.0) * torch.log1p(-y) - log_norm).to(self.logit_mean.dtype)

    def draw(self, shape: Shape) -> Tensor:
        """A ratio of gamma draws, inside the open interval."""
        alpha, beta = (torch._standard_gamma(c.expand(shape)) for c in self.concentrations())
        x = (alpha / (alpha + beta)).to(self.logit_mean.dtype)
        eps = torch.finfo(x.dtype).eps
        return x.clamp(eps, 1.0 - eps)

    @property
    def mean(self) -> Tensor:
        """sigmoid(logit_mean)."""
        return self.logit_mean.sigmoid()

    @property
    def variance(self) -> Tensor:
        """mean (1 - mean) / (1 + concentration)."""
        return self.mean * (-self.logit_mean).sigmoid() / (1.0 + self.log_concentration.exp())


@dataclass(frozen=True, repr=False)
class Beta(Family):
    """p(x) = x^(a - 1) (1 - x)^(b - 1) / B(a, b), a = mean * concentration, b = (1 - mean) * concentration.

    The network gives logit(mean) and log(concentration / 2) for each element; zeros are the uniform distribution.

    Reference:
        Ferrari, Cribari-Neto, "Beta regression for modelling rates and proportions" (2004).

    Example:
        >>> import torch
        >>> p = Beta()(torch.tensor([0.0, 1.0]), (1,))  # a = b = e
        >>> p.mean.item(), round(p.stddev.item(), 4)  # 1 / (2 sqrt(1 + 2 e))
        (0.5, 0.1971)
    """

    support = "open unit"

    def param_shape(self, event_shape: Shape) -> Shape:
        """A mean for each element, then a concentration for each."""
        return (2 * event_shape[0], *event_shape[1:])

    def __call__(
        self, params: Tensor, event_shape: Shape, shared: Tensor | None = None, offset: Tensor | None = None
    ) -> Elementwise:
        """The distribution with these means and concentrations; ``offset`` is added to logit(mean)."""
        logit_mean, concentration = parameters(params, 2, event_shape)
        logit_mean = bounded(logit_mean if offset is None else logit_mean + offset, -10.0, 10.0)
        concentration = bounded(concentration + math.log(2.0), -3.0, 10.0)
        return Elementwise(BetaElement(logit_mean, concentration), len(event_shape))
