"""How y scatters around what a regression says: each noise model with its exact maximum likelihood fit.

A noise model is $p(y \\mid \\eta)$ with $\\eta = \\theta^\\top \\phi(x)$, where the features $\\phi$ of a ``Design``
are uncorrelated with variance 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.polynomial import Chebyshev
from scipy import stats
from scipy.optimize import linprog, minimize_scalar
from scipy.special import gammaln

from latens.density.regression.coefficients import student
from latens.density.regression.newton import newton
from latens.utils.value import Value

NODES, NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(24)
NODE_WEIGHTS = NODE_WEIGHTS / NODE_WEIGHTS.sum()
_LEAST = 1e-18
_DEGREE = 64


class Noise(Value, ABC):
    """p(y | eta), and how it is fitted."""

    n_parameters = 1
    """How many numbers are fitted beside theta."""

    @classmethod
    @abstractmethod
    def fit(cls, features: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[Self, np.ndarray]:
        """The noise and theta (p,) of greatest likelihood, for features (n, p), y (n,) and weights (n,)."""

    @abstractmethod
    def log_prob(self, y: np.ndarray, eta: np.ndarray) -> np.ndarray:
        """log p(y | eta), in nats."""

    @abstractmethod
    def cdf(self, y: np.ndarray, eta: np.ndarray) -> np.ndarray:
        """P(Y <= y | eta)."""

    @abstractmethod
    def draw(self, eta: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        """One y for each eta."""

    def centre(self, eta: np.ndarray) -> np.ndarray:
        """The mean of y, where it has one."""
        return eta

    def mode(self, eta: np.ndarray) -> np.ndarray:
        """The y of greatest density."""
        return eta

    def covariance(self, features: np.ndarray, theta: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The inverse of Fisher's information about theta: (p, p)."""
        return np.eye(len(theta)) * (self.variance / weights.sum())

    @property
    def variance(self) -> float:
        """The inverse of Fisher's information of one y about eta."""
        raise NotImplementedError

    @abstractmethod
    def interval(
        self, eta: np.ndarray, error: np.ndarray, level: float, rows: float, spare: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where y lies with this probability, when eta is known up to a normal ``error``: two of (n,).

        Args:
            rows, spare: how many rows were fitted, and how many more than coefficients.
        """


class LocationNoise(Noise):
    """y = eta + scale * epsilon, epsilon of a standard distribution that is symmetric about 0."""

    scale: float

    @property
    @abstractmethod
    def standard(self) -> Any:
        """The distribution of epsilon."""

    def log_prob(self, y: np.ndarray, eta: np.ndarray) -> np.ndarray:
        return self.standard.logpdf((y - eta) / self.scale) - np.log(self.scale)

    def cdf(self, y: np.ndarray, eta: np.ndarray) -> np.ndarray:
        return self.standard.cdf((y - eta) / self.scale)

    def draw(self, eta: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        return eta + self.scale * self.standard.rvs(size=np.shape(eta), random_state=rng)

    def interval(
        self, eta: np.ndarray, error: np.ndarray, level: float, rows: float, spare: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """The quantiles of the noise averaged over eta by 24 nodes of Gauss and Hermite.

        Its width over the scale is a smooth function of error over scale: of many rows, interpolated by a polynomial of
        Chebyshev's of degree 64. Infinite where no row is to spare, since nothing then tells the scale.
        """
        if spare <= 0:
            return np.full_like(eta, -np.inf), np.full_like(eta, np.inf)
        spread = error / self.scale
        ends = [float(spread.min()), float(spread.max())]
        if len(spread) <= _DEGREE or ends[1] <= ends[0]:
            half = self.scale * self._half(spread, level)
        else:
            half = self.scale * Chebyshev.interpolate(self._half, _DEGREE, ends, (level,))(spread)
        return eta - half, eta + half

    def _half(self, spread: np.ndarray, level: float) -> np.ndarray:
        """How far from 0 epsilon + spread * normal lies at most, with this probability; by bisection."""
        q, standard = (1 + level) / 2, self.standard
        below, above = np.zeros(len(spread)), standard.ppf(q) + spread * NODES.max()
        for _ in range(50):
            middle = (below + above) / 2
            enough = NODE_WEIGHTS @ standard.cdf(middle + spread * NODES[:, None]) >= q
            below, above = np.where(enough, below, middle), np.where(enough, middle, above)
        return above


@dataclass(frozen=True, repr=False)
class NormalNoise(LocationNoise):
    """y = eta + scale * epsilon, epsilon standard normal: least squares."""

    scale: float

    @classmethod
    def fit(cls, features: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[Self, np.ndarray]:
        theta = least_squares(features, y, weights)
        residual = y - features @ theta
        return cls(max(float(np.sqrt(np.average(residual**2, weights=weights))), _rounding(y))), theta

    @property
    def standard(self) -> Any:
        return stats.norm

    @property
    def variance(self) -> float:
        return self.scale**2

    def interval(
        self, eta: np.ndarray, error: np.ndarray, level: float, rows: float, spare: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Exact: y - eta over its standard error is Student's t, with as many degrees of freedom as rows to spare."""
        half = student(level, spare) * np.hypot(error, self.scale * np.sqrt(rows / max(spare, 1e-300)))
        return eta - half, eta + half


@dataclass(frozen=True, repr=False)
class LaplaceNoise(LocationNoise):
    """y = eta + scale * epsilon, p(epsilon) = exp(-|epsilon|) / 2: least absolute deviations, by linear programming."""

    scale: float

    @classmethod
    def fit(cls, features: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[Self, np.ndarray]:
        theta = _least_absolute(features, y, weights)
        residual = np.abs(y - features @ theta)
        return cls(max(float(np.average(residual, weights=weights)), _rounding(y))), theta

    def covariance(self, features: np.ndarray, theta: np.ndarray, weights: np.ndarray) -> np.ndarray:
        r"""$\frac{b^2}{n} \big(I + \sqrt{8 / \pi n}\, \overline{|\phi| \phi \phi^\top}\big)$.

        Fisher's information tells the first term. The next, of n^(-3/2), is that of the kink: at a distance u from the
        plane the slope of the score is not 1 / b but (1 - e^(-u / b)) / u, so that the estimate goes farther,
        $\delta = z + \overline{\phi |\phi z| \phi z} / 2b$ where z is normal; from E |normal|^3 = sqrt(8 / pi).
        """
        n = float(weights.sum())
        far = weights * np.linalg.norm(features, axis=1)
        kink = np.sqrt(8 / np.pi / n) * (features.T @ (features * far[:, None])) / n
        return self.scale**2 / n * (np.eye(len(theta)) + kink)

    @property
    def standard(self) -> Any:
        return stats.laplace

    @property
    def variance(self) -> float:
        return self.scale**2


@dataclass(frozen=True, repr=False)
class StudentTNoise(LocationNoise):
    """y = eta + scale * epsilon, epsilon Student's t with df degrees of freedom, from 1 (Cauchy) to 1e6 (normal)."""

    df: float
    scale: float
    n_parameters = 2

    @classmethod
    def fit(cls, features: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[Self, np.ndarray]:
        """Newton for theta and log scale, inside a search for df."""
        normal, theta = NormalNoise.fit(features, y, weights)
        unit, w = normal.scale, weights / weights.sum()
        given, y = y, (y - features @ theta) / unit
        near = [_em(np.zeros(len(theta) + 1), 2.0, features, y, w, steps=10)]

        def best(log_df: float) -> np.ndarray:
            start = _em(near[-1], np.exp(log_df), features, y, w, steps=3)
            near.append(newton(lambda at: _student_loss(at, np.exp(log_df), features, y, w), start))
            return near[-1]

        def loss(log_df: float) -> float:
            return _student_loss(best(log_df), np.exp(log_df), features, y, w)[0]

        ends = (0.0, float(np.log(1e6)))
        inside = float(minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-6}).x)
        log_df = min((*ends, inside), key=loss)
        at = best(log_df)
        scale = max(float(np.sqrt(_variance(at[-1])) * unit), _rounding(given))
        return cls(float(np.exp(log_df)), scale), theta + at[:-1] * unit

    @property
    def standard(self) -> Any:
        return stats.t(self.df)

    @property
    def variance(self) -> float:
        return (self.df + 3) / (self.df + 1) * self.scale**2


def least_squares(features: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """theta of least weighted squares: the features are orthonormal up to rounding, which a second pass takes away."""
    w = weights / weights.sum()
    theta = features.T @ (w * y)
    return theta + features.T @ (w * (y - features @ theta))


def _least_absolute(features: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    r"""theta of least weighted absolute deviations, from the dual: max $a^\top y$, $\Phi^\top a = 0$, $|a| \le w$."""
    shift = least_squares(features, y, weights)
    rest = y - features @ shift
    unit, w = max(float(np.abs(rest).max()), np.finfo(float).tiny), weights / weights.max()
    dual = linprog(
        -rest / unit, A_eq=features.T, b_eq=np.zeros(features.shape[1]), bounds=np.column_stack([-w, w]), method="highs"
    )
    return shift - dual.eqlin.marginals * unit


def _em(at: np.ndarray, df: float, features: np.ndarray, y: np.ndarray, w: np.ndarray, steps: int) -> np.ndarray:
    """theta and log scale after some steps of EM for t noise with df degrees of freedom."""
    theta, variance = at[:-1], _variance(at[-1])
    for _ in range(steps):
        residual = y - features @ theta
        u = w * (df + 1) / (df + residual**2 / variance)
        theta = (
            theta + np.linalg.lstsq(features.T @ (features * u[:, None]), features.T @ (u * residual), rcond=None)[0]
        )
        variance = max(float((u * residual**2).sum() / u.sum()), _LEAST)
    return np.append(theta, np.log(variance) / 2)


def _student_loss(
    at: np.ndarray, df: float, features: np.ndarray, y: np.ndarray, w: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """The mean of -log p over theta and log scale, its gradient and Hessian."""
    variance = _variance(at[-1])
    squared = df * variance
    residual = y - features @ at[:-1]
    total = squared + residual**2
    tail = (df + 1) * residual**2 / total
    value = np.log(variance) / 2 + (df + 1) / 2 * (w @ np.log1p(residual**2 / squared))
    value += gammaln(df / 2) - gammaln((df + 1) / 2) + np.log(np.pi * df) / 2
    free = 1 - _LEAST / variance
    slope = 1 - w @ tail
    gradient = np.append(-features.T @ (w * (df + 1) * residual / total), free * slope)
    curvature = w * (df + 1) * (squared - residual**2) / total**2
    cross = features.T @ (w * (df + 1) * residual * 2 * free * squared / total**2)
    last = 2 * free**2 * (w @ (tail * squared / total)) + 2 * free * (1 - free) * slope
    hessian = np.block([[features.T @ (features * curvature[:, None]), cross[:, None]], [cross, last]])
    return float(value), gradient, hessian


def _variance(log_scale: float) -> float:
    """scale^2, above 0 even where half of the rows lie on a plane, so that their likelihood has no bound."""
    return _LEAST + float(np.exp(2 * log_scale))


def _rounding(y: np.ndarray) -> float:
    """The scale of a perfect fit: that of rounding."""
    return float(np.finfo(float).eps * (np.abs(y).max() or 1.0))
