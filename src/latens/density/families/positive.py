"""Families on the positive numbers and on the unit interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import betaln, digamma, gammaln, polygamma

from latens.density.families.base import POSITIVE, Array, Law, Parameter, Univariate, average, no_maximum
from latens.density.families.real import Normal

_SHAPE_SCALE = (Parameter("shape", POSITIVE), Parameter("scale", POSITIVE))


class _Positive(Univariate):
    low = 0.0
    closed = False
    expects = "positive numbers"


@dataclass(frozen=True, repr=False)
class LogNormal(_Positive):
    r"""$p(x) = \frac{1}{x \sigma \sqrt{2\pi}} e^{-(\log x - \mu)^2 / 2\sigma^2}$.

    Parameters ``loc`` and ``scale`` are those of log x; scipy writes s = scale and scale = exp(loc).
    """

    name = "lognormal"
    parameters = Normal.parameters
    streams = True

    def statistics(self, x: Array) -> Array:
        return Normal().statistics(np.log(x))

    def pool(self, t: Array, w: Array) -> tuple[Array, Array]:
        return Normal().pool(t, w)

    def log_density(self, t: Array, theta: Array) -> Array:
        return Normal().log_density(t, theta) - t[0]

    def score(self, t: Array, theta: Array) -> Array:
        return Normal().score(t, theta)

    def hessian(self, t: Array, w: Array, theta: Array) -> Array:
        return Normal().hessian(t, w, theta)

    def start(self, t: Array, w: Array) -> Array:
        return Normal().start(t, w)

    def profile(self, t: Array, w: Array, known: Array) -> Array | None:
        return Normal().profile(t, w, known)

    def scipy(self, theta: Array) -> Any:
        return Law(stats.lognorm, theta[1], scale=np.exp(theta[0]))


@dataclass(frozen=True, repr=False)
class Exponential(Univariate):
    r"""$p(x) = \frac{1}{s} e^{-x / s}$ for $x \ge 0$; parameter ``scale``, the mean."""

    name = "exponential"
    parameters = (Parameter("scale", POSITIVE),)
    expects = "non-negative numbers"
    streams = True
    low = 0.0

    def pool(self, t: Array, w: Array) -> tuple[Array, Array]:
        return average(t, w)

    def log_density(self, t: Array, theta: Array) -> Array:
        return -np.log(theta[0]) - t[0] / theta[0]

    def score(self, t: Array, theta: Array) -> Array:
        return t / theta[0] ** 2 - 1 / theta[0]

    def start(self, t: Array, w: Array) -> Array:
        mean = t @ w / w.sum()
        if not mean[0] > 0:
            raise no_maximum(self.name, "all rows are 0", "Drop the column.")
        return mean

    def solve(self, t: Array, w: Array) -> Array | None:
        return self.start(t, w)

    def scipy(self, theta: Array) -> Any:
        return Law(stats.expon, scale=theta[0])


@dataclass(frozen=True, repr=False)
class Gamma(_Positive):
    r"""$p(x) = \frac{x^{k - 1} e^{-x / s}}{\Gamma(k) s^k}$; parameters ``shape`` (k) and ``scale`` (s).

    Reference:
        Minka (2002), Estimating a Gamma distribution.
    """

    name = "gamma"
    parameters = _SHAPE_SCALE
    streams = True

    def statistics(self, x: Array) -> Array:
        return np.stack([x, np.log(x)])

    def pool(self, t: Array, w: Array) -> tuple[Array, Array]:
        return average(t, w)

    def log_density(self, t: Array, theta: Array) -> Array:
        shape, scale = theta
        return (shape - 1) * t[1] - t[0] / scale - shape * np.log(scale) - gammaln(shape)

    def score(self, t: Array, theta: Array) -> Array:
        shape, scale = theta
        return np.stack([t[1] - np.log(scale) - digamma(shape), t[0] / scale**2 - shape / scale])

    def start(self, t: Array, w: Array) -> Array:
        mean, mean_log = t @ w / w.sum()
        gap = max(np.log(mean) - mean_log, 1e-14)
        shape = (3 - gap + np.sqrt((gap - 3) ** 2 + 24 * gap)) / (12 * gap)
        return np.array([shape, mean / shape])

    def solve(self, t: Array, w: Array) -> Array | None:
        """Newton's method in the logarithm of the shape, from a start within 1.5 percent."""
        shape, scale = self.start(t, w)
        mean = shape * scale
        gap = np.log(mean) - t[1] @ w / w.sum()
        if gap < 1e-13:
            raise no_maximum(
                self.name,
                f"all rows equal {mean:g} to the last digits",
                "Drop a constant column.",
            )
        for _ in range(8):
            lack = np.log(shape) - digamma(shape) - gap
            shape *= np.exp(-lack / (1 - shape * polygamma(1, shape)))
        return np.array([shape, mean / shape])

    def scipy(self, theta: Array) -> Any:
        return Law(stats.gamma, theta[0], scale=theta[1])


@dataclass(frozen=True, repr=False)
class Weibull(_Positive):
    r"""$p(x) = \frac{k}{s} (x / s)^{k - 1} e^{-(x / s)^k}$; parameters ``shape`` (k) and ``scale`` (s)."""

    name = "weibull"
    parameters = _SHAPE_SCALE

    def statistics(self, x: Array) -> Array:
        return np.log(x)[None]

    def log_density(self, t: Array, theta: Array) -> Array:
        shape, scale = theta
        z = shape * (t[0] - np.log(scale))
        return np.log(shape) - t[0] + z - np.exp(z)

    def score(self, t: Array, theta: Array) -> Array:
        shape, scale = theta
        z = shape * (t[0] - np.log(scale))
        rise = np.expm1(z)
        return np.stack([(1 - z * rise) / shape, rise * shape / scale])

    def start(self, t: Array, w: Array) -> Array:
        mean = t[0] @ w / w.sum()
        shape = np.pi / np.sqrt(6 * ((t[0] - mean) ** 2 @ w) / w.sum())
        return np.array([shape, np.exp(mean + np.euler_gamma / shape)])

    def solve(self, t: Array, w: Array) -> Array | None:
        """Newton's method for the shape k: the mean of log x under weights x^k, less 1/k, is the mean of log x."""
        top = t[0].max()
        l = t[0] - top
        mean, k = l @ w / w.sum(), self.start(t, w)[0]
        for _ in range(60):
            v = w * np.exp(k * l)
            tilted = v @ l / v.sum()
            lack = 1 / k + mean - tilted
            slope = 1 / k**2 + v @ (l - tilted) ** 2 / v.sum()
            k, before = max(k + lack / slope, k / 4), k
            if abs(k - before) < 1e-14 * k:
                break
        return np.array([k, np.exp(top + np.log(w @ np.exp(k * l) / w.sum()) / k)])

    def scipy(self, theta: Array) -> Any:
        return Law(stats.weibull_min, theta[0], scale=theta[1])


@dataclass(frozen=True, repr=False)
class Pareto(_Positive):
    r"""$p(x) = a s^a / x^{a + 1}$ for $x \ge s$; parameters ``shape`` (a) and ``scale`` (s, the least row)."""

    name = "pareto"
    parameters = (Parameter("shape", POSITIVE), Parameter("scale", POSITIVE, regular=False))
    streams = True

    def support(self, theta: Array) -> tuple[float, float]:
        return float(theta[1]), np.inf

    def inside(self, x: Array, low: float, high: float) -> Array:
        return (x >= low) & (x > 0) & np.isfinite(x)

    def statistics(self, x: Array) -> Array:
        return np.stack([x, np.log(x)])

    def pool(self, t: Array, w: Array) -> tuple[Array, Array]:
        return np.array([[t[0].min()], [t[1] @ w / w.sum()]]), w.sum(keepdims=True)

    def log_density(self, t: Array, theta: Array) -> Array:
        shape, scale = theta
        return np.where(t[0] >= scale, np.log(shape) + shape * np.log(scale) - (shape + 1) * t[1], -np.inf)

    def score(self, t: Array, theta: Array) -> Array:
        shape, scale = theta
        return np.stack([1 / shape + np.log(scale) - t[1], np.full_like(t[1], shape / scale)])

    def start(self, t: Array, w: Array) -> Array:
        scale = t[0].min()
        excess = t[1] @ w / w.sum() - np.log(scale)
        return np.array([1 / excess if excess > 0 else 1.0, scale])

    def profile(self, t: Array, w: Array, known: Array) -> Array | None:
        scale = t[0].min() if np.isnan(known[1]) else known[1]
        excess = t[1] @ w / w.sum() - np.log(scale)
        if np.isnan(known[0]) and not excess > 0:
            raise no_maximum(self.name, f"all rows equal {scale:g} (1 sample or constant)", "Drop the column.")
        return np.array([1 / excess if np.isnan(known[0]) else known[0], scale])

    def scipy(self, theta: Array) -> Any:
        return Law(stats.pareto, theta[0], scale=theta[1])


@dataclass(frozen=True, repr=False)
class Beta(Univariate):
    r"""$p(x) = \frac{x^{a - 1} (1 - x)^{b - 1}}{B(a, b)}$ for $0 < x < 1$; parameters ``a`` and ``b``."""

    name = "beta"
    parameters = (Parameter("a", POSITIVE), Parameter("b", POSITIVE))
    expects = "numbers strictly between 0 and 1"
    streams = True
    low, high = 0.0, 1.0
    closed = False

    def statistics(self, x: Array) -> Array:
        return np.stack([np.log(x), np.log1p(-x)])

    def pool(self, t: Array, w: Array) -> tuple[Array, Array]:
        return average(t, w)

    def log_density(self, t: Array, theta: Array) -> Array:
        a, b = theta
        return (a - 1) * t[0] + (b - 1) * t[1] - betaln(a, b)

    def score(self, t: Array, theta: Array) -> Array:
        a, b = theta
        both = digamma(a + b)
        return np.stack([t[0] - digamma(a) + both, t[1] - digamma(b) + both])

    def hessian(self, t: Array, w: Array, theta: Array) -> Array:
        return w.sum() * (polygamma(1, theta.sum()) - np.diag(polygamma(1, theta)))

    def start(self, t: Array, w: Array) -> Array:
        """Johnson and Kotz's approximation from the geometric means."""
        g = np.exp(t @ w / w.sum())
        if 1 - g.sum() < 1e-14:
            raise no_maximum(self.name, "all rows are equal to the last digits", "Drop the column.")
        return 0.5 + g / (2 * (1 - g.sum()))

    def scipy(self, theta: Array) -> Any:
        return Law(stats.beta, *theta)
