r"""Expectation maximisation for Gaussian mixtures: one matrix product a step, and its transpose.

EM climbs $\sum_n w_n \log p(z_n) - \frac{\lambda}{2} \sum_k \mathrm{tr}\, \Sigma_k^{-1}$, where
$p(z) = \sum_k \pi_k \mathcal N(z; \mu_k, \Sigma_k)$ and the weights of the rows sum to one. This is bounded, while the
likelihood alone is not: a component that shrinks onto a point has infinite density there. The M-step of the penalty
adds $\lambda / \pi_k$ to the variances; the unit of $\lambda$ is the variance of the data.

Reference:
    Dempster, Laird and Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm;
    Chen and Tan (2009), Inference for multivariate normal mixtures (the penalty).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

from latens.density.mixture.covariances import Parameters, Shape
from latens.utils.errors import InputError

BLOCK = 4096
LEAST_MASS = 1e-12
MOST_PRECISION = 1e24
FAR = 1e3
LEAST_LOG = {np.float32: -60.0, np.float64: -640.0}
MOST_LOSS = {np.float32: 1e-2, np.float64: 1e-7}
SINGLE_FROM = 1 << 24
LAST_IN_DOUBLE = 3
LEAST_GAIN_IN_SINGLE = 1e-5


class Moments(NamedTuple):
    """What the rows of each component look like: mass (k,), means (k, d), covariances in the form of the shape."""

    mass: np.ndarray
    means: np.ndarray
    covariances: np.ndarray


class Data(Protocol):
    """Rows that EM can learn from."""

    def expect(self, shape: Shape, mixture: Parameters, single: bool) -> tuple[Moments, float]:
        """The moments under the responsibilities of a mixture, and its mean log likelihood."""

    def work(self, shape: Shape, k: int) -> int:
        """The multiplications of a step."""


class Fit(NamedTuple):
    """Where EM ended.

    Args:
        mixture: the parameters.
        bounds: what was climbed, in nats a row, before each step.
        converged: whether the last step gained less than asked.
    """

    mixture: Parameters
    bounds: list[float]
    converged: bool


def climb(
    rows: Data, shape: Shape, mixture: Parameters, *, ridge: float, max_iter: int, tol: float, before: float = -np.inf
) -> Fit:
    """EM from a start until a step gains less than ``tol`` nats a row.

    With many rows the first steps are in single precision; the last ones never are.
    """
    single, bounds = rows.work(shape, len(mixture.weights)) >= SINGLE_FROM, [before]
    for step in range(max_iter):
        single = single and step < max_iter - LAST_IN_DOUBLE
        moments, score = rows.expect(shape, mixture, single)
        bounds.append(score - penalty(shape, mixture, ridge))
        mixture = maximise(shape, moments, ridge)
        gain = abs(bounds[-1] - bounds[-2])
        if gain < tol and not single:
            return Fit(mixture, bounds[1:], True)
        single = single and gain > max(tol, LEAST_GAIN_IN_SINGLE)
    return Fit(mixture, bounds[1:], False)


def penalty(shape: Shape, mixture: Parameters, ridge: float) -> float:
    """What the penalty takes from the mean log likelihood, in nats."""
    return ridge / 2 * float(np.sum(shape.precision_trace(mixture.roots, mixture.means.shape[1])))


def maximise(shape: Shape, moments: Moments, ridge: float) -> Parameters:
    """The M-step.

    Raises:
        InputError: a component has shrunk onto a plane or a point, and there is no ridge to hold it.
    """
    weights = moments.mass / moments.mass.sum()
    mass = np.maximum(weights, LEAST_MASS)
    try:
        mixture = shape.mixture(weights, moments.means, shape.ridged(mass, moments.covariances, ridge))
        if np.max(shape.precision_trace(mixture.roots, moments.means.shape[1])) > MOST_PRECISION:
            raise np.linalg.LinAlgError
        return mixture
    except np.linalg.LinAlgError:
        raise InputError(
            f"a component of the {len(weights)} has collapsed: its covariance is singular with reg_covar={ridge:g}; "
            "raise reg_covar (1e-8), ask for fewer components, or leave out columns that others determine."
        ) from None


def digits_lost(shape: Shape, mixture: Parameters) -> float:
    """By how much the products over features enlarge a rounding error: the most of tr(inverse) (|mean|^2 + d)."""
    d = mixture.means.shape[1]
    reach = (mixture.means**2).sum(1) + d
    return float(np.max(shape.precision_trace(mixture.roots, d) * reach))


def responsibilities(log: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Turns log densities (k, b) into weighted responsibilities, in place; returns their log sums (b,)."""
    top = log.max(axis=0)
    log -= top
    np.maximum(log, LEAST_LOG[log.dtype.type], out=log)  # smaller ones would be denormal, and slow
    np.exp(log, out=log)
    total = log.sum(axis=0)
    log *= weights / total
    return top + np.log(total)


class Rows:
    """Complete rows z, (d, n), with weights (n,) that sum to one."""

    def __init__(self, z: np.ndarray, weights: np.ndarray) -> None:
        self.z, self.weights = z, weights

    @cached_property
    def scatter(self) -> np.ndarray:
        """The second moment of all rows, (d, d)."""
        d = len(self.z)
        return np.sum([(z * w) @ z.T for z, w in self.blocks(np.float64)], axis=0).reshape(d, d)

    def work(self, shape: Shape, k: int) -> int:
        """The multiplications of one product."""
        return self.z.shape[1] * k * shape.size(len(self.z))

    def blocks(self, dtype: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The rows in blocks, and their weights."""
        for at in range(0, self.z.shape[1], BLOCK):
            here = slice(at, at + BLOCK)
            yield self.z[:, here].astype(dtype, copy=False), self.weights[here].astype(dtype, copy=False)

    def expect(self, shape: Shape, mixture: Parameters, single: bool = False) -> tuple[Moments, float]:
        """The E-step, by products unless they would lose digits."""
        loss = digits_lost(shape, mixture)
        for dtype in (np.float32, np.float64) if single else (np.float64,):
            if loss * np.finfo(dtype).eps < MOST_LOSS[dtype]:
                return self._expect_by_products(shape, mixture, dtype)
        return self._expect_carefully(shape, mixture)

    def _expect_by_products(self, shape: Shape, mixture: Parameters, dtype: Any) -> tuple[Moments, float]:
        theta, total = shape.natural(mixture).astype(dtype), 0.0
        sums, buffer = np.zeros(theta.shape), np.empty((theta.shape[1], min(BLOCK, self.z.shape[1])), dtype)
        for z, w in self.blocks(dtype):
            phi = shape.features(z, mixture.roots, buffer[:, : z.shape[1]])
            log = theta @ phi
            total += float(responsibilities(log, w).astype(np.float64) @ w)
            sums += log @ phi.T
        return self._moments(shape, sums, mixture.means), total

    def _expect_carefully(self, shape: Shape, mixture: Parameters) -> tuple[Moments, float]:
        """The same, each component in its own standard frame."""
        k, d = mixture.means.shape
        spread = np.linalg.cholesky(shape.full(mixture.covariances, k, d))
        inward, constant, total = np.linalg.inv(spread).swapaxes(1, 2), shape.constant(mixture)[:, None], 0.0
        sums = no_sums(k, d)
        for z, w in self.blocks(np.float64):
            u = (z.T - mixture.means[:, None, :]) @ inward  # (k, b, d)
            r = constant - (u**2).sum(2) / 2
            total += float(responsibilities(r, w) @ w)
            add(sums, r, u)
        return standard_moments(shape, mixture.means, spread, sums), total

    def gather(self, shape: Shape, weighted: np.ndarray, means: np.ndarray) -> Moments:
        """The moments under given responsibilities (k, n), each times the weight of its row."""
        (k, d), none = means.shape, np.zeros((len(self.z), len(self.z)))
        sums, careful = np.zeros((k, shape.size(d))), no_sums(k, d)
        far = np.abs(self.z).max() > FAR
        buffer = np.empty((shape.size(d), min(BLOCK, self.z.shape[1])))
        for at, (z, _) in enumerate(self.blocks(np.float64)):
            r = weighted[:, at * BLOCK : at * BLOCK + BLOCK]
            if far:
                add(careful, r, z.T - means[:, None, :])
            else:
                sums += r @ shape.features(z, none, buffer[:, : z.shape[1]]).T
        if far:
            return standard_moments(shape, means, np.broadcast_to(np.eye(d), (k, d, d)), careful)
        return self._moments(shape, sums, means)

    def _moments(self, shape: Shape, sums: np.ndarray, means: np.ndarray) -> Moments:
        """Where a component has no rows, its mean stays."""
        mass = np.maximum(sums[:, 0], LEAST_MASS)
        found = np.where(sums[:, :1] > LEAST_MASS, sums[:, 1 : 1 + len(self.z)] / mass[:, None], means)
        return Moments(sums[:, 0], found, shape.covariance(mass, found, sums, self.scatter))


Sums = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Of responsibilities (k,), of them times u (k, d), and times u u' (k, d, d)."""


def no_sums(k: int, d: int) -> Sums:
    """Sums over no rows."""
    return np.zeros(k), np.zeros((k, d)), np.zeros((k, d, d))


def add(sums: Sums, r: np.ndarray, u: np.ndarray) -> None:
    """Adds rows u (k, b, d) with their responsibilities (k, b)."""
    mass, first, second = sums
    mass += r.sum(1)
    first += (r[:, None, :] @ u)[:, 0]
    second += (u * r[:, :, None]).swapaxes(1, 2) @ u


def standard_moments(shape: Shape, means: np.ndarray, spread: np.ndarray, sums: Sums) -> Moments:
    """The moments of z from the sums (mass, first, second) of u, z = mean + spread u."""
    mass, first, second = sums
    safe = np.maximum(mass, LEAST_MASS)
    mean, second = first / safe[:, None], second / safe[:, None, None]
    inner = second - mean[:, :, None] * mean[:, None, :]
    moved = means + (spread @ mean[:, :, None])[:, :, 0]
    return Moments(mass, moved, shape.reduce(safe, spread @ inner @ spread.swapaxes(1, 2)))
