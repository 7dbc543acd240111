"""Sums of kernels in several dimensions: exact in the far tails, whatever the origin of the data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial.distance import cdist

from latens.density.kernel.kernels import KERNELS, Kernel
from latens.density.kernel.near import Near, few_are_near
from latens.density.kernel.plane import Plane

BLOCK, CHUNK = 256, 1024
"""Queries and rows of one block: two megabytes, and always the same shape."""
PRODUCT_FROM = 9
"""Columns from which one matrix product is faster than differences."""
GRID_FROM = 4096
"""Rows in the plane from which a grid of their moments pays."""
TOLERANCE = 5e-11
"""Of a log density, relative where it is above 1: what a matrix product may lose to cancellation."""
NEGLIGIBLE = 36.0
"""Terms e^-36 below the largest: a million of them change it by 2e-10."""

Evaluate = Callable[[np.ndarray], np.ndarray]


def log_sum(
    queries: np.ndarray,
    rows: np.ndarray,
    log_weights: np.ndarray,
    kernel: str,
    *,
    scales: np.ndarray | None = None,
    exact: bool = False,
) -> np.ndarray:
    r"""$\log \sum_i w_i \, s_i^{-d} K((q - x_i) / s_i)$ for every query q.

    Within 1e-10, relative where the value is above 1 nat; Gaussians of one width around 4,096 rows or more in the plane
    within 1e-3 nats, typically 1e-7 (see ``plane``). A query's value depends on no other query, to the last bit.

    Args:
        queries: (m, d), in units of the bandwidth.
        rows: (n, d), in units of the bandwidth.
        log_weights: (n,) log w, or (1,) for all.
        kernel: a name in ``KERNELS``.
        scales: (n,) each row's own factor of the bandwidth; None for 1.
        exact: leave every approximation aside.

    Returns:
        (m,) nats; ``-inf`` where no row's kernel reaches.

    Example:
        >>> log_sum(np.array([[0.0], [1e6]]), np.zeros((1, 1)), np.zeros(1), "gaussian")
        array([-9.18938533e-01, -5.00000000e+11])
    """
    return prepare(rows, log_weights, kernel, scales=scales, exact=exact)(queries)


def prepare(
    rows: np.ndarray,
    log_weights: np.ndarray,
    kernel: str,
    *,
    scales: np.ndarray | None = None,
    exact: bool = False,
) -> Evaluate:
    """``log_sum`` as a function of the queries: what depends on the rows alone is done once."""
    n, d = rows.shape
    log_weights = np.broadcast_to(log_weights - KERNELS[kernel].log_normaliser(d), n)
    if scales is not None:
        return _exact(rows, log_weights - d * np.log(scales), kernel, scales)
    if kernel == "gaussian" and d == 2 and n >= GRID_FROM and not exact:
        return Plane(rows, log_weights, lambda rows, log_weights: _exact(rows, log_weights, kernel))
    return _exact(rows, log_weights, kernel)


def _exact(rows: np.ndarray, log_weights: np.ndarray, kernel: str, scales: np.ndarray | None = None) -> Evaluate:
    rows, scales = np.ascontiguousarray(rows), np.ones(len(rows)) if scales is None else scales
    if kernel == "gaussian" and rows.shape[1] >= PRODUCT_FROM:
        return Product(rows, log_weights, scales)
    if few_are_near(rows, scales, KERNELS[kernel]):
        return Near(rows, log_weights, scales, KERNELS[kernel])
    return Differences(rows, log_weights, scales, KERNELS[kernel])


class Differences:
    """The sum as it is written, block by block.

    Args:
        rows: (n, d).
        log_weights: (n,), with all that does not depend on the query.
        scales: (n,).
        kernel: whose profile is summed.
    """

    def __init__(self, rows: np.ndarray, log_weights: np.ndarray, scales: np.ndarray, kernel: Kernel) -> None:
        self.rows, self.log_weights, self.precision, self.kernel = rows, log_weights, scales**-2.0, kernel

    def __call__(self, queries: np.ndarray) -> np.ndarray:
        return _in_blocks(self._block, queries)

    def _block(self, queries: np.ndarray) -> np.ndarray:
        total = LogSumExp(len(queries))
        for start in range(0, len(self.rows), CHUNK):
            terms = self.terms(queries, slice(start, start + CHUNK))
            total.add(terms, terms.max(axis=1))
        return total.value()

    def terms(self, queries: np.ndarray, chunk: slice) -> np.ndarray:
        """The logarithms of the terms: (m, rows of the chunk)."""
        squared = cdist(queries, self.rows[chunk], "sqeuclidean")
        squared *= self.precision[chunk]
        terms = self.kernel.log_profile(squared)
        terms += self.log_weights[chunk]
        return terms


class Product:
    r"""Gaussian terms by one matrix product, $-|q - x|^2/2 = q^T x - |q|^2/2 - |x|^2/2$, around the rows' mean.

    What cancels there may be larger than what remains: queries for which the terms that count would be off by more than
    ``TOLERANCE`` take the differences instead.
    """

    def __init__(self, rows: np.ndarray, log_weights: np.ndarray, scales: np.ndarray) -> None:
        self.slow = Differences(rows, log_weights, scales, KERNELS["gaussian"])
        self.centre, self.widest, self.largest = rows.mean(axis=0), float(scales.max()), float(log_weights.max())
        self.finest = float(self.slow.precision.max())
        centred, half = rows - self.centre, self.slow.precision / 2
        constant = log_weights - half * (centred**2).sum(axis=1)
        self.factors = np.vstack([2 * half * centred.T, -half, constant])  # (d + 2, n)

    def __call__(self, queries: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            return _in_blocks(self._block, queries)

    def _block(self, queries: np.ndarray) -> np.ndarray:
        m, d = queries.shape
        features = np.zeros((BLOCK, d + 2))
        features[:m, :d] = queries - self.centre
        features[:, d] = squares = (features[:, :d] ** 2).sum(axis=1)
        features[:, d + 1] = 1.0
        total = LogSumExp(m)
        for start in range(0, self.factors.shape[1], CHUNK):
            chunk = slice(start, start + CHUNK)
            terms = np.matmul(features, self.factors[:, chunk])[:m]
            top = terms.max(axis=1)
            doubtful = self._doubtful(squares[:m], top)
            if doubtful.any():
                terms[doubtful] = self.slow.terms(queries[doubtful], chunk)
                top[doubtful] = terms[doubtful].max(axis=1)
            total.add(terms, top)
        return total.value()

    def _doubtful(self, squares: np.ndarray, top: np.ndarray) -> np.ndarray:
        """Whether rounding may matter: a term that counts lies within ``reach`` of the query."""
        reach = self.widest * np.sqrt(2 * (self.largest - top + NEGLIGIBLE))
        size = squares + (np.sqrt(squares) + reach) ** 2
        rounding = np.finfo(np.float64).eps * (len(self.centre) + 2) ** 0.5 * self.finest * size
        return ~(rounding <= TOLERANCE * np.maximum(1.0, np.abs(top)))


class LogSumExp:
    """log of a running sum of exponentials along the rows, scaled by the largest seen."""

    def __init__(self, m: int) -> None:
        self.top, self.sum = np.full(m, -np.inf), np.zeros(m)

    def add(self, terms: np.ndarray, top: np.ndarray) -> None:
        """Adds e^terms, (m, any), which is overwritten; ``top`` (m,) is the largest of each row."""
        top = np.maximum(self.top, top)
        shift = np.where(np.isfinite(top), top, 0.0)
        terms -= shift[:, None]
        np.maximum(terms, -700.0, out=terms)  # below lie denormal numbers, which are slow
        self.sum = self.sum * np.exp(self.top - shift) + np.exp(terms, out=terms).sum(axis=1)
        self.top = top

    def value(self) -> np.ndarray:
        """(m,) log of the sum."""
        return np.where(np.isfinite(self.top), self.top + np.log(np.maximum(self.sum, 1.0)), self.top)


def _in_blocks(evaluate: Evaluate, queries: np.ndarray) -> np.ndarray:
    queries = np.ascontiguousarray(queries)
    return np.concatenate([np.zeros(0), *(evaluate(queries[i : i + BLOCK]) for i in range(0, len(queries), BLOCK))])
