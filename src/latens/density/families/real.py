"""Families on the real line."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import betaln, digamma, polygamma

from latens.density.families.base import POSITIVE, Array, Law, Parameter, Univariate, no_maximum

LOC_SCALE = (Parameter("loc"), Parameter("scale", POSITIVE))
_LOG_2PI = np.log(2 * np.pi)


def weighted_quantiles(x: Array, w: Array, q: Array) -> Array:
    """For each share in q, the middle of the values x that leave this share of the weight w on either side."""
    order = np.argsort(x)
    below = np.cumsum(w[order])
    first, last = (np.searchsorted(below, (q + shift) * below[-1]) for shift in (-1e-12, 1e-12))
    return (x[order[first]] + x[order[np.minimum(last, len(x) - 1)]]) / 2


def middle(x: Array, w: Array) -> tuple[float, float]:
    """The median, and half the interquartile range (or the standard deviation where that is 0)."""
    low, median, high = weighted_quantiles(x, w, np.array([0.25, 0.5, 0.75]))
    mean = w @ x / w.sum()
    return median, (high - low) / 2 or float(np.sqrt(w @ (x - mean) ** 2 / w.sum()))


@dataclass(frozen=True, repr=False)
class Normal(Univariate):
    r"""$p(x) = \frac{1}{\sigma \sqrt{2\pi}} e^{-(x - \mu)^2 / 2\sigma^2}$; parameters ``loc`` and ``scale``.

    Its statistics are the mean and the standard deviation of a group of rows, so that parts merge without loss.

    Example:
        >>> Normal().solve(np.array([[1.0, 3.0], [0.0, 0.0]]), np.array([0.5, 0.5]))
        array([2., 1.])
    """

    name = "normal"
    parameters = LOC_SCALE
    streams = True

    def statistics(self, x: Array) -> Array:
        return np.stack([x, np.zeros_like(x)])

    def pool(self, t: Array, w: Array) -> tuple[Array, Array]:
        share = w / w.sum()
        mean = t[0][0] + (t[0] - t[0][0]) @ share  # exact where all are equal
        far = np.hypot(t[1], t[0] - mean)
        unit = far.max() or 1.0  # squares of 1e160 are no numbers
        return np.array([[mean], [unit * np.sqrt((far / unit) ** 2 @ share)]]), w.sum(keepdims=True)

    def log_density(self, t: Array, theta: Array) -> Array:
        loc, scale = theta
        return -_LOG_2PI / 2 - np.log(scale) - (((t[0] - loc) / scale) ** 2 + (t[1] / scale) ** 2) / 2

    def score(self, t: Array, theta: Array) -> Array:
        loc, scale = theta
        z = (t[0] - loc) / scale
        return np.stack([z, z**2 + (t[1] / scale) ** 2 - 1]) / scale

    def hessian(self, t: Array, w: Array, theta: Array) -> Array:
        loc, scale = theta
        z = (t[0] - loc) / scale
        mixed, square = -2 * z @ w, (z**2 + (t[1] / scale) ** 2) @ w
        return np.array([[-w.sum(), mixed], [mixed, w.sum() - 3 * square]]) / scale**2

    def start(self, t: Array, w: Array) -> Array:
        (mean,), (deviation,) = self.pool(t, w)[0]
        if not deviation > 0:
            raise no_maximum(self.name, f"all rows equal {mean:g}", "It expects at least two different values.")
        return np.array([mean, deviation])

    def solve(self, t: Array, w: Array) -> Array | None:
        return self.start(t, w)

    def profile(self, t: Array, w: Array, known: Array) -> Array | None:
        (mean,), (deviation,) = self.pool(t, w)[0]
        loc = mean if np.isnan(known[0]) else known[0]
        scale = np.hypot(deviation, mean - loc) if np.isnan(known[1]) else known[1]
        if not scale > 0:
            raise no_maximum(self.name, f"all rows equal {mean:g} (1 sample or constant)", "Drop the column.")
        return np.array([loc, scale])

    def scipy(self, theta: Array) -> Any:
        return Law(stats.norm, loc=theta[0], scale=theta[1])


@dataclass(frozen=True, repr=False)
class StudentT(Univariate):
    r"""$p(x) = \frac{1}{\sigma \sqrt{\nu} B(\nu/2, 1/2)} (1 + z^2 / \nu)^{-(\nu + 1) / 2}$.

    Here $z = (x - \mu) / \sigma$; parameters ``df`` ($\nu$), ``loc``, ``scale``. Where the likelihood grows with df for
    ever, the tails are no heavier than a normal's: ``df`` is infinity, the normal limit. With df free the likelihood is
    unbounded at a scale of zero (any row, df towards 0); the maximum meant is the local one, and rows of which too many
    are equal are refused.

    Reference:
        Lange, Little and Taylor (1989), Robust statistical modeling using the t distribution.
    """

    name = "student-t"
    parameters = (Parameter("df", POSITIVE, limit=1e6), *LOC_SCALE)

    def log_density(self, t: Array, theta: Array) -> Array:
        df, loc, scale = theta
        z = (t[0] - loc) / scale
        if np.isinf(df):
            return -_LOG_2PI / 2 - np.log(scale) - z * z / 2
        return -betaln(df / 2, 0.5) - np.log(df) / 2 - np.log(scale) - (df + 1) / 2 * np.log1p(z * z / df)

    def score(self, t: Array, theta: Array) -> Array:
        df, loc, scale = theta
        z = (t[0] - loc) / scale
        if np.isinf(df):
            return np.stack([np.zeros_like(z), z / scale, (z * z - 1) / scale])
        q = z * z
        pull = (df + 1) / (df + q)
        constant = digamma((df + 1) / 2) - digamma(df / 2) - 1 / df
        tail = (constant - np.log1p(q / df) + pull * q / df) / 2
        return np.stack([tail, pull * z / scale, (pull * q - 1) / scale])

    def hessian(self, t: Array, w: Array, theta: Array) -> Array:
        df, loc, scale = theta
        z = (t[0] - loc) / scale
        if np.isinf(df):
            m1, m2, n = w @ z, w @ z**2, w.sum()
            return np.array([[0, 0, 0], [0, -n, -2 * m1], [0, -2 * m1, n - 3 * m2]]) / scale**2
        q = z * z
        near = 1 / (df + q)
        v = w * near**2
        s0, s1, s2, s3, s4 = v.sum(), v @ z, v @ q, v @ (z * q), v @ (q * q)
        pulled = w @ (q * near)
        constant = (polygamma(1, (df + 1) / 2) - polygamma(1, df / 2)) / 2 + 1 / df**2
        dd = (constant * w.sum() + pulled / df - ((df**2 + 2 * df) * s2 + s4) / df**2) / 2
        ll = (df + 1) * (s2 - df * s0) / scale**2
        ls = -2 * df * (df + 1) * s1 / scale**2
        ss = (w.sum() - (df + 1) * pulled - 2 * df * (df + 1) * s2) / scale**2
        dl, ds = (s3 - s1) / scale, (s4 - s2) / scale
        return np.array([[dd, dl, ds], [dl, ll, ls], [ds, ls, ss]])

    def start(self, t: Array, w: Array) -> Array:
        loc, half = middle(t[0], w)
        return np.array([4.0, loc, half / 0.74])

    def scipy(self, theta: Array) -> Any:
        df, loc, scale = theta
        law = (stats.norm,) if np.isinf(df) else (stats.t, df)  # scipy draws NaN from its t of infinite df
        return Law(*law, loc=loc, scale=scale)


@dataclass(frozen=True, repr=False)
class Laplace(Univariate):
    r"""$p(x) = \frac{1}{2b} e^{-|x - \mu| / b}$; parameters ``loc`` (the median) and ``scale``.

    The error of loc is that of the Fisher information, since the likelihood has a kink at every row.
    """

    name = "laplace"
    parameters = LOC_SCALE
    kinks = True

    def log_density(self, t: Array, theta: Array) -> Array:
        loc, scale = theta
        return -np.log(2 * scale) - np.abs(t[0] - loc) / scale

    def score(self, t: Array, theta: Array) -> Array:
        loc, scale = theta
        z = (t[0] - loc) / scale
        return np.stack([np.sign(z), np.abs(z) - 1]) / scale

    def hessian(self, t: Array, w: Array, theta: Array) -> Array:
        loc, scale = theta
        return np.diag([-w.sum(), w.sum() - 2 * w @ np.abs(t[0] - loc) / scale]) / scale**2

    def start(self, t: Array, w: Array) -> Array:
        return np.array(middle(t[0], w))

    def profile(self, t: Array, w: Array, known: Array) -> Array | None:
        loc = weighted_quantiles(t[0], w, np.array([0.5]))[0] if np.isnan(known[0]) else known[0]
        scale = w @ np.abs(t[0] - loc) / w.sum() if np.isnan(known[1]) else known[1]
        if not scale > 0:
            raise no_maximum(self.name, f"all rows equal {loc:g} (1 sample or constant)", "Drop the column.")
        return np.array([loc, scale])

    def scipy(self, theta: Array) -> Any:
        return Law(stats.laplace, loc=theta[0], scale=theta[1])


class _LocationScale(Univariate):
    r"""$p(x) = g(z) / s$ with $z = (x - \mu) / s$."""

    parameters = LOC_SCALE

    @abstractmethod
    def standard(self, z: Array) -> Array:
        """log g(z)."""

    @abstractmethod
    def slopes(self, z: Array) -> tuple[Array, Array]:
        """Its first and second derivative."""

    def log_density(self, t: Array, theta: Array) -> Array:
        loc, scale = theta
        return self.standard((t[0] - loc) / scale) - np.log(scale)

    def score(self, t: Array, theta: Array) -> Array:
        loc, scale = theta
        z = (t[0] - loc) / scale
        slope, _ = self.slopes(z)
        return np.stack([-slope, -z * slope - 1]) / scale

    def hessian(self, t: Array, w: Array, theta: Array) -> Array:
        loc, scale = theta
        z = (t[0] - loc) / scale
        slope, bend = self.slopes(z)
        v = w * bend
        mixed = w @ slope + v @ z
        return np.array([[v.sum(), mixed], [mixed, w.sum() + 2 * (w * slope) @ z + (v * z) @ z]]) / scale**2


@dataclass(frozen=True, repr=False)
class Logistic(_LocationScale):
    r"""$p(x) = \frac{e^{-z}}{s (1 + e^{-z})^2}$ with $z = (x - \mu) / s$; parameters ``loc`` and ``scale``."""

    name = "logistic"

    def standard(self, z: Array) -> Array:
        far = np.abs(z)
        return -far - 2 * np.log1p(np.exp(-far))

    def slopes(self, z: Array) -> tuple[Array, Array]:
        pull = np.tanh(z / 2)
        return -pull, (pull * pull - 1) / 2

    def start(self, t: Array, w: Array) -> Array:
        loc, half = middle(t[0], w)
        return np.array([loc, half / 1.1])

    def scipy(self, theta: Array) -> Any:
        return Law(stats.logistic, loc=theta[0], scale=theta[1])


@dataclass(frozen=True, repr=False)
class Gumbel(_LocationScale):
    r"""$p(x) = \frac{1}{\beta} e^{-z - e^{-z}}$ with $z = (x - \mu) / \beta$: the largest of many; ``loc``, ``scale``.

    The smallest of many is the same family on the negated column.
    """

    name = "gumbel"

    def standard(self, z: Array) -> Array:
        return -z - np.exp(-z)

    def slopes(self, z: Array) -> tuple[Array, Array]:
        fall = np.exp(-z)
        return fall - 1, -fall

    def start(self, t: Array, w: Array) -> Array:
        mean = w @ t[0] / w.sum()
        scale = np.sqrt(6 * (w @ (t[0] - mean) ** 2) / w.sum()) / np.pi
        return np.array([mean - np.euler_gamma * scale, scale])

    def scipy(self, theta: Array) -> Any:
        return Law(stats.gumbel_r, loc=theta[0], scale=theta[1])


@dataclass(frozen=True, repr=False)
class Uniform(Univariate):
    r"""$p(x) = \frac{1}{b - a}$ on [a, b]; parameters ``low`` and ``high``, the extremes of the rows."""

    name = "uniform"
    parameters = (Parameter("low", regular=False), Parameter("high", regular=False))
    streams = True

    def support(self, theta: Array) -> tuple[float, float]:
        return float(theta[0]), float(theta[1])

    def statistics(self, x: Array) -> Array:
        return np.stack([x, x])

    def pool(self, t: Array, w: Array) -> tuple[Array, Array]:
        return np.array([[t[0].min()], [t[1].max()]]), w.sum(keepdims=True)

    def log_density(self, t: Array, theta: Array) -> Array:
        low, high = theta
        return np.where((t[0] >= low) & (t[1] <= high), -np.log(high - low), -np.inf)

    def score(self, t: Array, theta: Array) -> Array:
        low, high = theta
        return np.stack([np.full_like(t[0], 1.0), np.full_like(t[0], -1.0)]) / (high - low)

    def start(self, t: Array, w: Array) -> Array:
        return np.array([t[0].min(), t[1].max()])

    def profile(self, t: Array, w: Array, known: Array) -> Array | None:
        theta = np.where(np.isnan(known), self.start(t, w), known)
        if not theta[0] < theta[1]:
            raise no_maximum(self.name, f"all rows equal {theta[0]:g} (1 sample or constant)", "Drop the column.")
        return theta

    def scipy(self, theta: Array) -> Any:
        return Law(stats.uniform, loc=theta[0], scale=theta[1] - theta[0])
