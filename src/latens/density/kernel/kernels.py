r"""Kernels: radial densities $K(u) = k(|u|) / \int k(|v|) \, dv$ of d dimensions, with the profile k(0) = 1.

All that depends on d follows from the Mellin transform of the profile, $M(s) = \int_0^\infty r^{s-1} k(r) \, dr$: with
the surface $S_d = 2 \pi^{d/2} / \Gamma(d/2)$ of the unit sphere, the kernel's integral is $S_d M(d)$, and its variance
along one axis is $M(d + 2) / (d \, M(d))$.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import RandomState
from scipy.special import betaln, expit, gammaln, log_expit, ndtr, zeta

Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Kernel:
    """One kernel, of bandwidth 1.

    Args:
        log_profile: log k(r) as a function of r squared; ``-inf`` outside the support.
        log_mellin: log M(s), s = 1, 2, ...
        radius: (random state, number of points, d) -> how far points drawn from the kernel lie from its centre.
        cdf: of the kernel of one dimension.
        roughness: the integral of its square, in one dimension.
        support: the radius beyond which it is zero.

    Reference:
        Silverman (1986), Density Estimation for Statistics and Data Analysis, section 3.3 and 4.2.

    Example:
        >>> kernel = KERNELS["epanechnikov"]
        >>> np.exp(kernel.log_density(np.array([0.0, 0.25, 2.0]), d=1))
        array([0.75  , 0.5625, 0.    ])
        >>> round(kernel.variance(d=1), 6)
        0.2
    """

    log_profile: Function
    log_mellin: Callable[[float], float]
    radius: Callable[[RandomState, int, int], np.ndarray]
    cdf: Function
    roughness: float
    support: float = np.inf

    def log_normaliser(self, d: int) -> float:
        """log of the integral of k(|u|) over d dimensions."""
        return float(np.log(2) + d / 2 * np.log(np.pi) - gammaln(d / 2) + self.log_mellin(d))

    def log_density(self, squared: np.ndarray, d: int) -> np.ndarray:
        """log K at squared distances from the centre, in d dimensions."""
        return self.log_profile(squared) - self.log_normaliser(d)

    def variance(self, d: int = 1) -> float:
        """Of one coordinate, in d dimensions."""
        return float(np.exp(self.log_mellin(d + 2) - self.log_mellin(d)) / d)

    def sample(self, random_state: RandomState, n_samples: int, d: int) -> np.ndarray:
        """(n_samples, d) points drawn from the kernel around 0."""
        direction = random_state.standard_normal((n_samples, d))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        return direction * self.radius(random_state, n_samples, d)[:, None]


def _inside(log_profile: Function) -> Function:
    """The profile, given for squared distances below 1, everywhere."""

    def everywhere(squared: np.ndarray) -> np.ndarray:
        squared = np.asarray(squared, dtype=np.float64)
        with np.errstate(divide="ignore"):
            return np.where(squared < 1, log_profile(np.minimum(squared, 1.0)), -np.inf)

    return everywhere


def _clipped(cdf: Function) -> Function:
    """A cdf, given on [-1, 1], everywhere."""
    return lambda x: cdf(np.clip(x, -1.0, 1.0))


def _power(p: int, cdf: Function, roughness: float) -> Kernel:
    """k(r) = (1 - r^2)^p for r < 1; r^2 then follows Beta(d/2, p + 1)."""
    return Kernel(
        log_profile=_inside(lambda squared: p * np.log1p(-squared) if p else np.zeros_like(squared)),
        log_mellin=lambda s: float(betaln(s / 2, p + 1) - np.log(2)),
        radius=lambda rng, n, d: rng.beta(d / 2, p + 1, n) ** 0.5,
        cdf=_clipped(cdf),
        roughness=roughness,
        support=1.0,
    )


def _cosine_radius(rng: RandomState, n: int, d: int) -> np.ndarray:
    return _accepted(rng, n, lambda m: rng.beta(d, 2, m), lambda r: np.cos(np.pi * r / 2) / (np.pi / 2 * (1 - r)))


def _logistic_radius(rng: RandomState, n: int, d: int) -> np.ndarray:
    return _accepted(rng, n, lambda m: rng.gamma(d, size=m), lambda r: expit(r) ** 2)


def _accepted(rng: RandomState, n: int, propose: Callable[[int], np.ndarray], accept: Function) -> np.ndarray:
    """``n`` proposals, each kept with a probability of its own."""
    kept = np.zeros(0)
    while len(kept) < n:
        r = propose(n)
        kept = np.concatenate([kept, r[rng.uniform(size=n) < accept(r)]])
    return kept[:n]


def _cosine_log_mellin(s: float) -> float:
    """Of cos(pi r / 2) on [0, 1], for a whole number s: Gauss's rule, exact to rounding."""
    x, w = np.polynomial.legendre.leggauss(32 + int(s) // 2)
    r = (x + 1) / 2
    return float(np.log(np.sum(w / 2 * r ** (s - 1) * np.cos(np.pi / 2 * r))))


def _logistic_log_mellin(s: float) -> float:
    """Gamma(s) eta(s - 1), times 4; eta(s) = (1 - 2^(1-s)) zeta(s) is Dirichlet's."""
    eta = 0.5 if s == 1 else np.log(2) if s == 2 else (1 - 2.0 ** (2 - s)) * zeta(s - 1)
    return float(np.log(4) + gammaln(s) + np.log(eta))


def _laplace_cdf(x: np.ndarray) -> np.ndarray:
    tail = np.exp(-np.abs(x)) / 2
    return np.where(x < 0, tail, 1 - tail)


KERNELS: dict[str, Kernel] = {
    "gaussian": Kernel(
        log_profile=lambda squared: -0.5 * squared,
        log_mellin=lambda s: float((s / 2 - 1) * np.log(2) + gammaln(s / 2)),
        radius=lambda rng, n, d: rng.chisquare(d, n) ** 0.5,
        cdf=ndtr,
        roughness=0.5 / np.pi**0.5,
    ),
    "tophat": _power(0, lambda x: (1 + x) / 2, 1 / 2),
    "epanechnikov": _power(1, lambda x: 0.5 + x * (3 - x**2) / 4, 3 / 5),
    "biweight": _power(2, lambda x: 0.5 + x * (15 - 10 * x**2 + 3 * x**4) / 16, 5 / 7),
    "triweight": _power(3, lambda x: 0.5 + x * (35 - 35 * x**2 + 21 * x**4 - 5 * x**6) / 32, 350 / 429),
    "tricube": Kernel(
        log_profile=_inside(lambda squared: 3 * np.log1p(-(squared**1.5))),
        log_mellin=lambda s: float(betaln(s / 3, 4) - np.log(3)),
        radius=lambda rng, n, d: rng.beta(d / 3, 4, n) ** (1 / 3),
        cdf=_clipped(lambda x: 0.5 + x * (140 - 105 * np.abs(x) ** 3 + 60 * x**6 - 14 * np.abs(x) ** 9) / 162),
        roughness=175 / 247,
        support=1.0,
    ),
    "linear": Kernel(
        log_profile=_inside(lambda squared: np.log1p(-(squared**0.5))),
        log_mellin=lambda s: float(-np.log(s) - np.log(s + 1)),
        radius=lambda rng, n, d: rng.beta(d, 2, n),
        cdf=_clipped(lambda x: 0.5 + x - x * np.abs(x) / 2),
        roughness=2 / 3,
        support=1.0,
    ),
    "cosine": Kernel(
        log_profile=_inside(lambda squared: np.log(np.cos(np.pi / 2 * squared**0.5))),
        log_mellin=_cosine_log_mellin,
        radius=_cosine_radius,
        cdf=_clipped(lambda x: (1 + np.sin(np.pi / 2 * x)) / 2),
        roughness=np.pi**2 / 16,
        support=1.0,
    ),
    "exponential": Kernel(
        log_profile=lambda squared: -(squared**0.5),
        log_mellin=lambda s: float(gammaln(s)),
        radius=lambda rng, n, d: rng.gamma(d, size=n),
        cdf=_laplace_cdf,
        roughness=1 / 4,
    ),
    "logistic": Kernel(
        log_profile=lambda squared: np.log(4) + log_expit(squared**0.5) + log_expit(-(squared**0.5)),
        log_mellin=_logistic_log_mellin,
        radius=_logistic_radius,
        cdf=expit,
        roughness=1 / 6,
    ),
}
"""The kernels of scikit-learn, scipy, statsmodels and KDEpy."""
