"""Families on the counts 0, 1, 2, ...; their densities are masses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats
from scipy.optimize import minimize_scalar
from scipy.special import digamma, gammaln, lambertw, polygamma, xlog1py, xlogy

from latens.density.families.base import POSITIVE, UNIT, Array, Law, Parameter, Univariate, distinct, no_maximum
from latens.utils.errors import InputError


class _Counts(Univariate):
    expects = "counts 0, 1, 2, ..."
    discrete = True
    streams = True
    low = 0.0

    def pool(self, t: Array, w: Array) -> tuple[Array, Array]:
        return distinct(t, w)


def _mean(t: Array, w: Array) -> float:
    return float(t[0] @ w / w.sum())


def _variance(t: Array, w: Array) -> float:
    return float((t[0] - _mean(t, w)) ** 2 @ w / w.sum())


@dataclass(frozen=True, repr=False)
class Poisson(_Counts):
    r"""$P(k) = e^{-\lambda} \lambda^k / k!$; parameter ``rate``, the mean."""

    name = "poisson"
    parameters = (Parameter("rate", POSITIVE),)

    def log_density(self, t: Array, theta: Array) -> Array:
        return xlogy(t[0], theta[0]) - theta[0] - gammaln(t[0] + 1)

    def score(self, t: Array, theta: Array) -> Array:
        return t / theta[0] - 1

    def start(self, t: Array, w: Array) -> Array:
        return np.array([_mean(t, w)])

    def solve(self, t: Array, w: Array) -> Array | None:
        return self.start(t, w)

    def scipy(self, theta: Array) -> Any:
        return Law(stats.poisson, theta[0])


@dataclass(frozen=True, repr=False)
class Geometric(_Counts):
    r"""$P(k) = p (1 - p)^k$: failures before the first success; parameter ``p``. scipy counts from 1 (``loc=-1``)."""

    name = "geometric"
    parameters = (Parameter("p", UNIT),)

    def log_density(self, t: Array, theta: Array) -> Array:
        return np.log(theta[0]) + xlog1py(t[0], -theta[0])

    def score(self, t: Array, theta: Array) -> Array:
        return 1 / theta[0] - t / (1 - theta[0])

    def start(self, t: Array, w: Array) -> Array:
        return np.array([1 / (1 + _mean(t, w))])

    def solve(self, t: Array, w: Array) -> Array | None:
        return self.start(t, w)

    def scipy(self, theta: Array) -> Any:
        return Law(stats.geom, theta[0], loc=-1) if theta[0] < 1 else Law(stats.poisson, 0.0)


@dataclass(frozen=True, repr=False)
class Binomial(_Counts):
    r"""$P(k) = \binom{n}{k} p^k (1 - p)^{n - k}$; parameters ``n`` (trials) and ``p``.

    Usually n is known: ``fixed={"n": 10}``. Otherwise the whole number n of highest likelihood is found, which exists
    only where the variance is below the mean, and whose error is not told (NaN).

    Reference:
        Olkin, Petkau and Zidek (1981), A comparison of n estimators for the binomial distribution.
    """

    name = "binomial"
    parameters = (Parameter("n", POSITIVE, regular=False), Parameter("p", UNIT))

    def support(self, theta: Array) -> tuple[float, float]:
        return 0.0, float(theta[0])

    def log_density(self, t: Array, theta: Array) -> Array:
        n, p = theta
        with np.errstate(invalid="ignore"):
            ways = gammaln(n + 1) - gammaln(t[0] + 1) - gammaln(np.maximum(n - t[0], 0) + 1)
            return np.where(t[0] <= n, ways + xlogy(t[0], p) + xlog1py(n - t[0], -p), -np.inf)

    def score(self, t: Array, theta: Array) -> Array:
        n, p = theta
        trials = digamma(n + 1) - digamma(n - t[0] + 1) + np.log1p(-p)
        return np.stack([trials, t[0] / p - (n - t[0]) / (1 - p)])

    def start(self, t: Array, w: Array) -> Array:
        n = max(t[0].max(), 1.0)
        return np.array([n, _mean(t, w) / n])

    def profile(self, t: Array, w: Array, known: Array) -> Array | None:
        n, p = known
        if np.isnan(n):
            n = self._trials(t, w, p)
        if n != np.floor(n) or n < 1 or n < t[0].max():
            raise InputError(
                "binomial expects a whole number n of trials, at least the largest count; "
                f"got n = {n:g} and the largest count {t[0].max():g}."
            )
        return np.array([n, _mean(t, w) / n if np.isnan(p) else p])

    def _trials(self, t: Array, w: Array, p: float) -> float:
        """The whole number of trials of highest likelihood, p chosen for each unless it is known."""
        mean, variance, least = _mean(t, w), _variance(t, w), max(t[0].max(), 1.0)
        if np.isnan(p) and variance >= mean:
            why = f"the variance {variance:.4g} is not below the mean {mean:.4g}, so that n grows for ever"
            raise no_maximum(self.name, why, "Its limit is family='poisson'; or fix n.")

        def lost(n: float) -> float:
            return -float(self.log_density(t, np.array([n, mean / n if np.isnan(p) else p])) @ w)

        high = 2 * least
        while lost(high) < lost(high / 2) and high < 1e12:
            high *= 2
        found = minimize_scalar(lost, bounds=(least, high), method="bounded", options={"xatol": 0.01}).x
        return float(min(np.clip(np.floor(found) + np.arange(-1.0, 3.0), least, None), key=lost))

    def scipy(self, theta: Array) -> Any:
        return Law(stats.binom, int(theta[0]), theta[1])


@dataclass(frozen=True, repr=False)
class NegativeBinomial(_Counts):
    r"""$P(k) = \frac{\Gamma(k + r)}{k!\,\Gamma(r)} \left(\frac{r}{r + m}\right)^r \left(\frac{m}{r + m}\right)^k$.

    Parameters ``r`` and ``mean`` (m). A Poisson whose rate is gamma distributed with shape r, any positive number; the
    variance is m + m^2 / r. scipy writes n = r and p = r / (r + m). Where the variance of the rows is not above their
    mean, the likelihood grows with r for ever: ``r`` is infinity, the Poisson limit.

    Reference:
        Anscombe (1950), Sampling theory of the negative binomial and logarithmic series distributions.
    """

    name = "negative-binomial"
    parameters = (Parameter("r", POSITIVE, limit=1e8), Parameter("mean", POSITIVE))

    def log_density(self, t: Array, theta: Array) -> Array:
        r, mean = theta
        if np.isinf(r):
            return Poisson().log_density(t, theta[1:])
        return log_rising(r, t[0]) - gammaln(t[0] + 1) - r * np.log1p(mean / r) + xlogy(t[0], mean / (r + mean))

    def score(self, t: Array, theta: Array) -> Array:
        r, mean = theta
        if np.isinf(r):
            return np.stack([np.zeros_like(t[0]), t[0] / mean - 1])
        shape = digamma(t[0] + r) - digamma(r) - np.log1p(mean / r) - (t[0] - mean) / (r + mean)
        return np.stack([shape, t[0] / mean - (t[0] + r) / (r + mean)])

    def start(self, t: Array, w: Array) -> Array:
        mean, variance = _mean(t, w), _variance(t, w)
        return np.array([np.clip(mean**2 / max(variance - mean, 1e-9 * mean + 1e-300), 1e-6, 1e6), mean])

    def profile(self, t: Array, w: Array, known: Array) -> Array | None:
        mean = _mean(t, w)
        if not np.isnan(known[1]) or (np.isnan(known[0]) and not mean > 0):
            if mean > 0:
                return None
            raise no_maximum(self.name, "all counts are 0, whatever r", "Choose family='poisson'.")
        r = known[0] if not np.isnan(known[0]) else self._shape(t, w, mean)
        return np.array([r, mean])

    def _shape(self, t: Array, w: Array, mean: float) -> float:
        """Newton's method for log r, within a bracket: the sum over j of P(x > j) / (r + j) is log(1 + mean / r)."""
        if _variance(t, w) <= mean:
            return np.inf
        w, x = w / w.sum(), t[0]
        low, high, u = -30.0, 25.0, float(np.log(self.start(t, w)[0]))
        for _ in range(100):
            r = np.exp(u)
            rise = float(w @ (digamma(x + r) - digamma(r)) - np.log1p(mean / r))
            low, high = (u, high) if rise > 0 else (low, u)
            slope = r * float(w @ (polygamma(1, x + r) - polygamma(1, r))) + mean / (r + mean)
            new = u - rise / slope if slope < 0 else (low + high) / 2
            new = new if low < new < high else (low + high) / 2
            if abs(new - u) < 1e-13:
                break
            u = new
        return float(np.exp(u)) if u < 18 else np.inf

    def scipy(self, theta: Array) -> Any:
        r, mean = theta
        return Law(stats.poisson, mean) if np.isinf(r) else Law(stats.nbinom, r, r / (r + mean))


def log_rising(r: float, x: Array) -> Array:
    r"""$\log \Gamma(r + x) - \log \Gamma(r)$, by Stirling's series where r is large and the difference would cancel."""
    if r < 100:
        return gammaln(r + x) - gammaln(r)
    y = r + x
    tails = (1 / y - 1 / r) / 12 - (y**-3.0 - r**-3.0) / 360 + (y**-5.0 - r**-5.0) / 1260
    return (y - 0.5) * np.log1p(x / r) + x * np.log(r) - x + tails


@dataclass(frozen=True, repr=False)
class ZeroInflatedPoisson(_Counts):
    r"""$P(k) = \pi [k = 0] + (1 - \pi) e^{-\lambda} \lambda^k / k!$; ``rate`` ($\lambda$) and ``inflation`` ($\pi$).

    Where the rows hold no more zeros than a Poisson, inflation is 0: the Poisson limit.

    Reference:
        Lambert (1992), Zero-inflated Poisson regression; the closed form is by Lambert's W.
    """

    name = "zero-inflated-poisson"
    parameters = (Parameter("rate", POSITIVE), Parameter("inflation", UNIT))

    def log_density(self, t: Array, theta: Array) -> Array:
        rate, inflation = theta
        plain = xlogy(t[0], rate) - rate - gammaln(t[0] + 1) + np.log1p(-inflation)
        return np.where(t[0] == 0, np.log(inflation + (1 - inflation) * np.exp(-rate)), plain)

    def score(self, t: Array, theta: Array) -> Array:
        rate, inflation = theta
        zero = inflation + (1 - inflation) * np.exp(-rate)
        by_rate = np.where(t[0] == 0, -(1 - inflation) * np.exp(-rate) / zero, t[0] / rate - 1)
        return np.stack([by_rate, np.where(t[0] == 0, -np.expm1(-rate) / zero, -1 / (1 - inflation))])

    def start(self, t: Array, w: Array) -> Array:
        positive = t[0] > 0
        if not positive.any():
            return np.zeros(2)
        share = w[positive].sum() / w.sum()
        mean = _mean(t, w) / share
        rate = float(np.real(mean + lambertw(-mean * np.exp(-mean)))) if mean > 1 else 0.0
        inflation = 1 - share / -np.expm1(-rate) if rate > 0 else 0.0
        return np.array([rate, inflation]) if inflation > 0 else np.array([_mean(t, w), 0.0])

    def solve(self, t: Array, w: Array) -> Array | None:
        return self.start(t, w)

    def scipy(self, theta: Array) -> Any:
        return _Inflated(*theta)


class _Inflated:
    """A zero-inflated Poisson with the methods of a frozen law of scipy."""

    def __init__(self, rate: float, inflation: float) -> None:
        self.plain, self.inflation = Law(stats.poisson, rate), inflation

    def cdf(self, x: Array) -> Array:
        return np.where(np.asarray(x) >= 0, self.inflation + (1 - self.inflation) * self.plain.cdf(x), 0.0)

    def sf(self, x: Array) -> Array:
        return np.where(np.asarray(x) >= 0, (1 - self.inflation) * self.plain.sf(x), 1.0)

    def logcdf(self, x: Array) -> Array:
        return np.log(self.cdf(x))

    def logsf(self, x: Array) -> Array:
        return np.where(np.asarray(x) >= 0, np.log1p(-self.inflation) + self.plain.logsf(x), 0.0)

    def ppf(self, q: Array) -> Array:
        return np.maximum(self.plain.ppf(np.maximum((q - self.inflation) / (1 - self.inflation), 0.0)), 0.0)

    def rvs(self, size: int, random_state: np.random.RandomState) -> Array:
        counts = self.plain.rvs(size=size, random_state=random_state)
        return np.where(random_state.uniform(size=size) < self.inflation, 0, counts)

    def mean(self) -> float:
        return (1 - self.inflation) * self.plain.mean()
