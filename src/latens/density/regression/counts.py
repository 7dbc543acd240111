"""Counts about the rate that a regression says: Poisson's, and those that scatter more widely."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy import stats
from scipy.optimize import minimize_scalar
from scipy.special import expit, gammaln

from latens.density.regression.newton import newton
from latens.density.regression.noise import NODE_WEIGHTS, NODES, Noise, least_squares
from latens.density.regression.separation import Separation, flat, grows_forever
from latens.utils.errors import InputError

_SIZES = (1e-3, 1e6)
_ALL_ZERO = (
    "The counts are all 0 in some region that a plane cuts off, so their likelihood grows without end as the rate "
    "there falls to 0; the coefficients are those after which less than 1e-11 nats an example could still be won."
)


class CountNoise(Noise):
    """y is a count with mean exp(eta)."""

    @abstractmethod
    def of_mean(self, mean: np.ndarray) -> Any:
        """The distribution of y."""

    def log_prob(self, y: np.ndarray, eta: np.ndarray) -> np.ndarray:
        return self.of_mean(np.exp(eta)).logpmf(y)

    def cdf(self, y: np.ndarray, eta: np.ndarray) -> np.ndarray:
        return self.of_mean(np.exp(eta)).cdf(y)

    def draw(self, eta: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        return self.of_mean(np.exp(eta)).rvs(size=np.shape(eta), random_state=rng).astype(np.float64)

    def centre(self, eta: np.ndarray) -> np.ndarray:
        return np.exp(eta)

    def mode(self, eta: np.ndarray) -> np.ndarray:
        return np.floor(np.exp(eta))

    def covariance(self, features: np.ndarray, theta: np.ndarray, weights: np.ndarray) -> np.ndarray:
        weight = weights * self.of_eta(features @ theta)
        return np.linalg.pinv(features.T @ (features * weight[:, None]), hermitian=True)

    @abstractmethod
    def of_eta(self, eta: np.ndarray) -> np.ndarray:
        """Fisher's information of one y about its eta."""

    def interval(
        self, eta: np.ndarray, error: np.ndarray, level: float, rows: float, spare: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """The quantiles of counts averaged over eta by 24 nodes of Gauss and Hermite."""
        means = np.exp(eta + error * NODES[:, None])  # (K, n)
        low, high = (self._quantile(q, means) for q in ((1 - level) / 2, (1 + level) / 2))
        return low, high

    def _quantile(self, q: float, means: np.ndarray) -> np.ndarray:
        """Bisection over whole numbers, where alone the cdf rises, between the quantiles of the outermost nodes."""
        first, above = self.of_mean(means[[0, -1]]).ppf(q)
        below, distribution = first - 1, self.of_mean(means)
        while (above - below > 1).any():
            middle = np.floor((below + above) / 2)
            enough = NODE_WEIGHTS @ distribution.cdf(middle) >= q
            below, above = np.where(enough, below, middle), np.where(enough, middle, above)
        return above


@dataclass(frozen=True, repr=False)
class PoissonNoise(CountNoise):
    """y is Poisson: its variance is its mean."""

    n_parameters = 0

    @classmethod
    def fit(cls, features: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[Self, np.ndarray]:
        w, level = weights / weights.sum(), _level(y, weights)

        def loss(theta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
            eta = features @ theta
            rate = w * np.exp(eta)
            value = (rate - w * y * eta).sum() / level
            return value, features.T @ (rate - w * y) / level, features.T @ (features * rate[:, None]) / level

        theta = newton(loss, least_squares(features, np.log(y + 0.5), weights))
        _warn_of_zeros(features, y, loss(theta)[2])
        return cls(), theta

    def of_mean(self, mean: np.ndarray) -> Any:
        return stats.poisson(mean)

    def of_eta(self, eta: np.ndarray) -> np.ndarray:
        return np.exp(eta)


@dataclass(frozen=True, repr=False)
class NegativeBinomialNoise(CountNoise):
    """y is negative binomial, of mean m and variance m + m^2 / size, size from 0.001 to 1e6 (Poisson)."""

    size: float

    @classmethod
    def fit(cls, features: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[Self, np.ndarray]:
        """Newton for theta, inside a search for log size."""
        w, near = weights / weights.sum(), [PoissonNoise.fit(features, y, weights)[1]]
        counts, at = np.unique(y, return_inverse=True)
        share = np.bincount(at, weights=w)

        def best(log_size: float) -> np.ndarray:
            near.append(newton(lambda theta: _mean_loss(theta, log_size, features, y, w), near[-1]))
            return near[-1]

        def loss(log_size: float) -> float:
            size = np.exp(log_size)
            apart = share @ (gammaln(counts + size) - gammaln(size))
            return _mean_loss(best(log_size), log_size, features, y, w)[0] - apart

        ends = tuple(np.log(_SIZES).tolist())
        inside = float(minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-6}).x)
        log_size = min((*ends, inside), key=loss)
        return cls(float(np.exp(log_size))), best(log_size)

    def of_mean(self, mean: np.ndarray) -> Any:
        return stats.nbinom(self.size, self.size / (self.size + mean))

    def of_eta(self, eta: np.ndarray) -> np.ndarray:
        mean = np.exp(eta)
        return mean * self.size / (self.size + mean)

    def mode(self, eta: np.ndarray) -> np.ndarray:
        return np.floor(np.exp(eta) * max(self.size - 1, 0.0) / self.size)


def _mean_loss(
    theta: np.ndarray, log_size: float, features: np.ndarray, y: np.ndarray, w: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """That part of the mean of -log p in which the mean stands, its gradient and Hessian."""
    size, odds = np.exp(log_size), features @ theta - log_size
    share = expit(odds)  # mean / (mean + size)
    value = w @ ((y + size) * np.logaddexp(0, odds) - y * odds)
    gradient = features.T @ (w * ((y + size) * share - y))
    bend = w * (y + size) * share * (1 - share)
    return float(value), gradient, features.T @ (features * bend[:, None])


def _level(y: np.ndarray, weights: np.ndarray) -> float:
    """The mean count.

    Raises:
        InputError: not counts 0, 1, 2, ..., or all 0.
    """
    wrong = (y < 0) | (y != np.floor(y))
    if wrong.any():
        few = f"{int(wrong.sum())} of {len(y)} are not, such as {y[wrong][0]:g}"
        raise InputError(f"The noise of counts expects counts 0, 1, 2, ... as y; {few}.")
    if not y.any():
        raise InputError("The noise of counts expects some count above 0; all are 0, so that the best rate is 0.")
    return float(np.average(y, weights=weights))


def _warn_of_zeros(features: np.ndarray, y: np.ndarray, hessian: np.ndarray) -> None:
    if flat(hessian) and grows_forever(-features[y == 0], features[y > 0]):
        warnings.warn(Separation(_ALL_ZERO), stacklevel=5)
