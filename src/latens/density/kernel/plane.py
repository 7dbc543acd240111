r"""A Gaussian kernel density of many rows in the plane: moments on a grid, and the Fourier transform.

With c the nearest node of a grid of step 1/4 to a row x = c + u,

$$K(q - x) = \sum_{a + b < 5} \frac{(-u_1)^a (-u_2)^b}{a! \, b!} \, \partial_1^a \partial_2^b K(q - c) + R, \qquad
|R| \le 1.09 \, \frac{|u|^5}{\sqrt{5!}} \, e^{-|q - x'|^2 / 4}$$

by Cramer's inequality, x' between c and x. All moments are convolved with the derivatives at once, as products of
Fourier transforms. Between the nodes Lagrange's polynomial of degree 7 in each direction errs by the same law. What
both lose is thus bounded, query by query, by a constant times the sum with a bandwidth sqrt 2 times as large, which
costs one more inverse transform; where that is too large, far from all rows, the sum over the outermost rows is taken
as it is.

Reference:
    Greengard and Strain (1991), The fast Gauss transform; Abramowitz and Stegun (1964), 22.14.17.
"""

from __future__ import annotations

from collections.abc import Callable
from math import factorial

import numpy as np
from scipy import fft
from scipy.ndimage import distance_transform_edt
from scipy.sparse import csc_array
from scipy.spatial.distance import cdist

STEP, ORDER, POINTS = 0.25, 5, 8
EDGE, GAP = 4.0, 10.0
"""How far beyond the rows the grid serves, and the distance at which rows are too far to be missed there."""
LOSS = 5e-5
"""The error is less than this times the sum with a bandwidth sqrt 2 times as large, at the nearest node."""
TOLERANCE = 1e-3
"""Nats by which a value may be wrong; typically 1e-7."""
NOISE = 1e-11
"""Of the largest value on the grid: below it the rounding of the transforms counts."""
FINEST = 8.0
"""Frequencies beyond have a weight below e^-32."""
KEPT = 14.0
"""Rows left out where the grid does not serve weigh less than e^-14, 1e-6, of those kept."""
TRIMMED = (0.0, 1e-5, 1e-4, 1e-3, 1e-2)
"""Parts of the rows that may lie beyond each side of the grid."""

BLOCK, SCANNED = 256, 1 << 15
"""Queries far from most rows that are taken at a time, and how many rows are looked through for them."""
SMALL = 1 << 14
"""Rows near a square times its area, from which it is not cut any more."""

Evaluate = Callable[[np.ndarray], np.ndarray]
Exact = Callable[[np.ndarray, np.ndarray], Evaluate]
MANY = 1 << 13
"""Rows or queries whose places on the grid are looked up at a time."""
SINGLE = 512
"""Rows of a cell whose moments are summed in single precision, which loses at most 2^-24 a row."""
NODES = np.arange(POINTS) - (POINTS // 2 - 1)
BETWEEN = np.prod(NODES[:, None] - NODES + np.eye(POINTS), axis=1)


class Plane:
    """The sum at any query: from a grid where its error is below ``TOLERANCE``, else as it is written.

    Args:
        rows: (n, 2), in units of the bandwidth.
        log_weights: (n,), with all that does not depend on the query.
        exact: (rows, log weights) -> their sum, without a grid.
    """

    def __init__(self, rows: np.ndarray, log_weights: np.ndarray, exact: Exact) -> None:
        self.rows, self.log_weights, self.exact = rows, log_weights, exact
        self.grid = _grid(rows, log_weights)
        self.rest: Evaluate | None = None

    def __call__(self, queries: np.ndarray) -> np.ndarray:
        sure = self.grid.sure(queries) if self.grid else np.zeros(len(queries), dtype=bool)
        found = np.empty(len(queries))
        if self.grid and sure.any():
            found[sure] = self.grid.interpolate(queries[sure])
        if not sure.all():
            self.rest = self.rest or self._rest()
            found[~sure] = self.rest(queries[~sure])
        return found

    def _rest(self) -> Evaluate:
        """The sum over the rows that matter where the grid does not serve.

        Seen from there, rows that matter are at most sqrt(distance^2 + spread) away, the distance being to the nearest
        row; on the way to such a row one enters what is served, no more than 4 from a row.
        """
        if self.grid is None:
            return self.exact(self.rows, self.log_weights)
        kept = self.grid.within((16.0 + _spread(self.log_weights)) ** 0.5)
        rows, log_weights = self.rows[kept], self.log_weights[kept]
        few = len(rows) <= SCANNED and np.prod(np.ptp(rows, axis=0) / 4 + 1) <= SCANNED
        return Tiles(rows, log_weights, self.exact) if few else self.exact(rows, log_weights)


class Tiles:
    """The sum of few rows: over those that matter anywhere in the square in which a query lies.

    A square in which many rows matter is cut in 16, of which each asks for its rows among those of the whole. What
    is cut depends on the rows alone: a query's value, on no other query.
    """

    def __init__(self, rows: np.ndarray, log_weights: np.ndarray, exact: Exact) -> None:
        self.rows, self.log_weights, self.spread = np.ascontiguousarray(rows), log_weights, _spread(log_weights)
        self.centre, size = (rows.min(axis=0) + rows.max(axis=0)) / 2, np.ptp(rows, axis=0).max()
        self.side, self.exact = 3 * size + 2 * GAP, exact
        self.all: Evaluate | None = None

    def __call__(self, queries: np.ndarray) -> np.ndarray:
        close = (np.abs(queries - self.centre) <= self.side / 2).all(axis=1)
        found = np.empty(len(queries))
        found[close] = self._square(self.centre, self.side, np.arange(len(self.rows)), queries[close])
        if not close.all():
            self.all = self.all or self.exact(self.rows, self.log_weights)
            found[~close] = self.all(queries[~close])
        return found

    def _square(self, centre: np.ndarray, side: float, near: np.ndarray, queries: np.ndarray) -> np.ndarray:
        """Over the rows x near the square; of those, near a part are such as may matter beside y, nearest to its c.

        At c + v, |q - x|^2 - |q - y|^2 = |c - x|^2 - |c - y|^2 - 2 v (x - y), and each |v_k| is at most side / 8.
        """
        found = np.empty(len(queries))
        if len(near) * side**2 <= SMALL:
            for start in range(0, len(queries), BLOCK):
                found[start : start + BLOCK] = self._sum(near, queries[start : start + BLOCK])
            return found
        places = ((queries - centre) / (side / 4) + 2).clip(0, 3).astype(np.int8)
        which, rows = 4 * places[:, 0] + places[:, 1], self.rows[near]
        some = np.flatnonzero(np.bincount(which))
        centres = centre + (np.column_stack(np.divmod(some, 4)) - 1.5) * side / 4
        squared = cdist(centres, rows, "sqeuclidean")
        least = squared.min(axis=1, keepdims=True)
        squared -= side / 4 * cdist(rows[squared.argmin(axis=1)], rows, "cityblock")
        for k, c, matter in zip(some, centres, squared <= least + self.spread):
            members = np.flatnonzero(which == k)
            found[members] = self._square(c, side / 4, near[matter], queries[members])
        return found

    def _sum(self, near: np.ndarray, queries: np.ndarray) -> np.ndarray:
        terms = cdist(queries, self.rows[near], "sqeuclidean")
        terms *= -0.5
        terms += self.log_weights[near]
        top = terms.max(axis=1)
        terms -= top[:, None]
        parts = np.maximum(terms, -80.0, out=terms).astype(np.float32)  # whose exponential takes a tenth of the time
        return top + np.log(np.exp(parts, out=parts).sum(axis=1))


class Grid:
    """The sum, and its like with a bandwidth sqrt 2 times as large, at the nodes of a grid.

    Args:
        points: x and y of the rows, (2, n).
        log_weights: (n,).
        low: where the rows begin, (2,); those beyond are left out.
        high: where they end.
        beyond: (2, 2) whether rows lie below low, above high.
    """

    def __init__(
        self, points: np.ndarray, log_weights: np.ndarray, low: np.ndarray, high: np.ndarray, beyond: np.ndarray
    ) -> None:
        self.origin, self.shape = low - EDGE - 1, _shape(high - low)
        self.inside: np.ndarray = np.ones(len(log_weights), dtype=bool)
        if beyond.any():
            self.inside = np.logical_and.reduce((low[:, None] <= points) & (points <= high[:, None]))
            points, log_weights = points[:, self.inside], log_weights[self.inside]
        self.cell, off = self._places(points)
        weights = np.exp(log_weights if log_weights.strides[0] else log_weights[:1])  # one stands for equal ones
        self.values, wide = self._sums(off, weights)
        ends = low + np.where(beyond[0], GAP, -EDGE), high - np.where(beyond[1], GAP, -EDGE)
        self.served = (wide * LOSS <= TOLERANCE * self.values) & (self.values > NOISE * self.values.max())
        self.served &= np.logical_and.outer(*(self._between(k, ends[0][k], ends[1][k]) for k in range(2)))

    def _places(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The nearest node of each row, as a number, and how far from it each lies, (2, n), to 1e-8."""
        n = points.shape[1]
        cell, off = np.empty(n, dtype=np.int32), np.empty((2, n), dtype=np.float32)
        for start in range(0, n, MANY):
            some = slice(start, start + MANY)
            place = (points[:, some] - self.origin[:, None]) / STEP
            node = np.rint(place)
            cell[some] = node[0] * self.shape[1] + node[1]
            off[:, some] = (place - node) * STEP
        return cell, off

    def _between(self, k: int, first: float, last: float) -> np.ndarray:
        line = self.origin[k] + STEP * np.arange(self.shape[k])
        return (first <= line) & (line <= last)

    def _sums(self, off: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = 2 * np.pi * fft.fftfreq(self.shape[0], STEP)[:, None], 2 * np.pi * fft.rfftfreq(self.shape[1], STEP)
        y = y[: np.searchsorted(y, FINEST)]
        transform = self._moments(off, weights, x, y)
        bell = np.exp(-0.5 * (x**2 + y**2))
        transform *= 2 * np.pi / STEP**2 * bell
        values = fft.irfft2(transform, s=self.shape)
        transform *= 2 * bell
        return values, fft.irfft2(transform, s=self.shape)

    def _moments(self, off: np.ndarray, weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The transform of sum_(a + b < ORDER) (-d/dx)^a (-d/dy)^b of the cells' moments, over a! b!."""
        total = np.zeros((self.shape[0], len(y)), dtype=complex)
        n, cells = len(self.cell), self.shape[0] * self.shape[1]
        kind = np.float32 if np.bincount(self.cell).max() <= SINGLE else np.float64
        left: np.ndarray = np.full(n, weights, dtype=kind)
        one, ends = np.ones(1, dtype=kind), np.array([0, n], dtype=np.int32)
        column = csc_array((np.empty_like(left), self.cell, ends), shape=(cells, 1))
        for a in range(ORDER):
            np.copyto(column.data, left)
            part = np.zeros_like(total)
            for b in range(ORDER - a):
                moment = (column @ one).reshape(self.shape).astype(np.float64)  # the sums of bincount, in less time
                part += fft.rfft(moment, axis=1)[:, : len(y)] * ((-1j * y) ** b / factorial(b))
                if a + b + 1 < ORDER:
                    column.data *= off[1]
            total += fft.fft(part, axis=0, overwrite_x=True) * ((-1j * x) ** a / factorial(a))
            left *= off[0]
        return total

    def sure(self, queries: np.ndarray) -> np.ndarray:
        """(m,) whether the error is below ``TOLERANCE``."""
        node = np.rint((queries - self.origin) / STEP).clip(0, np.array(self.shape) - 1).astype(np.int64)
        return self.served[node[:, 0], node[:, 1]]

    def interpolate(self, queries: np.ndarray) -> np.ndarray:
        """(m,) logarithms, of queries that are sure."""
        parts = range(0, len(queries), MANY)
        return np.log(np.concatenate([np.zeros(0), *(self._between_nodes(queries[i : i + MANY]) for i in parts)]))

    def _between_nodes(self, queries: np.ndarray) -> np.ndarray:
        place = (queries - self.origin) / STEP
        node = np.floor(place).astype(np.int64)
        along, across = _lagrange(place[:, 0] - node[:, 0]), _lagrange(place[:, 1] - node[:, 1]).T.copy()
        runs = np.lib.stride_tricks.sliding_window_view(self.values.ravel(), POINTS)
        start = (node[:, 0] + NODES[0]) * self.shape[1] + node[:, 1] + NODES[0]
        total = np.zeros(len(queries))
        for i in range(POINTS):
            total += along[i] * np.einsum("mj,mj->m", runs[start + i * self.shape[1]], across)
        return total

    def within(self, reach: float) -> np.ndarray:
        """The rows that lie as near as that to where the grid does not serve, or beyond it."""
        height, width = self.shape
        nodes = np.pad(self.served, [(0, height % 2), (0, width % 2)])
        pairs = nodes[::2] & nodes[1::2]
        near = 2 * STEP * distance_transform_edt(pairs[:, ::2] & pairs[:, 1::2]) <= reach + 3 * STEP
        found = near.repeat(2, axis=0).repeat(2, axis=1)[:height, :width].ravel()[self.cell]
        if len(found) < len(self.inside):
            return np.union1d(np.flatnonzero(~self.inside), np.flatnonzero(self.inside)[found])
        return np.flatnonzero(found)


def _grid(rows: np.ndarray, log_weights: np.ndarray) -> Grid | None:
    """A grid around the rows, or all but a few outlying ones; None where they are too scattered for one."""
    points = rows.T
    ends = np.array([points.min(axis=1), points.max(axis=1)])
    for part in TRIMMED:
        low, high = ends if part == 0 else np.quantile(points, [part, 1 - part], axis=1)
        low, high = np.maximum(low - 2 * GAP, ends[0]), np.minimum(high + 2 * GAP, ends[1])
        if np.prod((high - low + 2 * EDGE + GAP) / STEP) <= max(1 << 17, len(rows)):
            return Grid(points, log_weights, low, high, np.array([ends[0] < low, high < ends[1]]))
    return None


def _spread(log_weights: np.ndarray) -> float:
    """By how much the squared distance of a row that matters may exceed that of the nearest."""
    return 2 * (float(np.ptp(log_weights)) + np.log(len(log_weights)) + KEPT)


def _shape(size: np.ndarray) -> tuple[int, int]:
    along, across = (fft.next_fast_len(int((side + EDGE + GAP + 2) / STEP), real=True) for side in size)
    return along, across


def _lagrange(place: np.ndarray) -> np.ndarray:
    """The weights of the values at ``NODES`` in the polynomial through them, (POINTS, m), at places from 0 to 1.

    Example:
        >>> round(float(_lagrange(np.array([0.3]))[:, 0] @ NODES**5), 9)  # 0.3^5
        0.00243
    """
    weights = np.ones((POINTS, len(place)))
    for j in range(POINTS - 1):
        np.multiply(weights[j], place - NODES[j], out=weights[j + 1])
    after = np.ones(len(place))
    for j in range(POINTS - 1, -1, -1):
        weights[j] *= after / BETWEEN[j]
        after = after * (place - NODES[j])
    return weights
