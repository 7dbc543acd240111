r"""Sums over sorted rows in a time that does not grow with the rows in reach, for kernels that running sums can add up.

A kernel that is a polynomial of the distance, $k(u) = \sum_j a_j |u|^j$, is on either side of the query a polynomial of
the row: the powers of the rows, summed once from the left, give every window as a difference. Rows count from the
middle of their cell, one bandwidth wide, so that no digits are lost. The exponential kernel needs one running sum from
each side.
"""

from __future__ import annotations

from math import comb

import numpy as np

from latens.density.kernel.kernels import KERNELS

COEFFICIENTS = {
    "tophat": [1.0],
    "linear": [1.0, -1.0],
    "epanechnikov": [1.0, 0.0, -1.0],
    "biweight": [1.0, 0.0, -2.0, 0.0, 1.0],
    "triweight": [1.0, 0.0, -3.0, 0.0, 3.0, 0.0, -1.0],
    "tricube": [1.0, 0.0, 0.0, -3.0, 0.0, 0.0, 3.0, 0.0, 0.0, -1.0],
}
SURE = 1e-5
"""Part of all weight that a sum must be for its digits to be sure: 1e-8 of it, at worst."""


class Polynomial:
    """log of the sum of kernels of ``COEFFICIENTS``; NaN where too few rows are near for a difference to tell.

    Args:
        rows: (n,) sorted.
        log_weights: (n,), or (1,) where all are equal.
        width: the bandwidth.
        kernel: a name in ``COEFFICIENTS``.
    """

    def __init__(self, rows: np.ndarray, log_weights: np.ndarray, width: float, kernel: str) -> None:
        self.rows, self.width, self.kernel = rows, width, kernel
        within = rows / width
        within -= np.floor(within) + 0.5
        power = np.broadcast_to(np.exp(log_weights), rows.shape).copy()
        sums = np.zeros((len(COEFFICIENTS[kernel]), len(rows) + 1))
        for total in sums:
            np.cumsum(power, out=total[1:])
            power *= within
        self.sums = np.ascontiguousarray(sums.T)

    def __call__(self, queries: np.ndarray) -> np.ndarray:
        """(m,) nats at (m,) queries."""
        q = queries / self.width
        total = self._side(q - 1, q, q, 1.0) + self._side(q, q + 1, q, -1.0)
        sure = total > SURE * self.sums[-1, 0]
        log_total = np.log(np.where(sure, total, np.nan))
        return log_total - np.log(self.width) - KERNELS[self.kernel].log_normaliser(1)

    def _side(self, low: np.ndarray, high: np.ndarray, q: np.ndarray, sign: float) -> np.ndarray:
        """The sum over the rows from low to high, which lie in two cells."""
        border = np.floor(high)
        first, middle, last = (self._rank(x) for x in (low, np.maximum(border, low), high))
        lower = self._cell(self.sums[middle] - self.sums[first], sign * (q - border + 0.5), sign)
        return lower + self._cell(self.sums[last] - self.sums[middle], sign * (q - border - 0.5), sign)

    def _rank(self, x: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.rows, x * self.width)

    def _cell(self, sums: np.ndarray, v: np.ndarray, sign: float) -> np.ndarray:
        """sum_j a_j sum_i w_i (v - sign r_i)^j, from sum_i w_i r_i^k."""
        a = COEFFICIENTS[self.kernel]
        total = np.zeros(len(v))
        for k in range(len(a)):
            shifted = np.polynomial.polynomial.polyval(v, [a[j] * comb(j, k) for j in range(k, len(a))])
            total += (-sign) ** k * sums[:, k] * shifted
        return total


class Exponential:
    """log of the sum of exponential kernels, exact but for the rounding of (x - x_0) / h.

    Args:
        rows: (n,) sorted.
        log_weights: (n,), or (1,) where all are equal.
        width: the bandwidth.
    """

    def __init__(self, rows: np.ndarray, log_weights: np.ndarray, width: float) -> None:
        self.rows, self.width = rows, width
        place = (rows - rows[0]) / width
        self.below = np.append(-np.inf, np.logaddexp.accumulate(log_weights + place))
        self.above = np.append(np.logaddexp.accumulate((log_weights - place)[::-1])[::-1], -np.inf)

    def __call__(self, queries: np.ndarray) -> np.ndarray:
        """(m,) nats at (m,) queries."""
        place, rank = (queries - self.rows[0]) / self.width, np.searchsorted(self.rows, queries)
        return np.logaddexp(self.below[rank] - place, self.above[rank] + place) - np.log(2 * self.width)
