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
"""Queries far from most rows that are taken at a time, and the rows looked through for each square of them."""

Evaluate = Callable[[np.ndarray], np.ndarray]
Exact = Callable[[np.ndarray, np.ndarray], Evaluate]
MANY = 1 << 14
"""Queries whose surroundings on the grid are looked up at a time."""
NODES = np.arange(POINTS) - (POINTS // 2 - 1)


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
    """The sum of few rows: over those that matter anywhere in the square in which a query lies."""

    def __init__(self, rows: np.ndarray, log_weights: np.ndarray, exact: Exact) -> None:
        self.rows, self.log_weights, self.spread = np.ascontiguousarray(rows), log_weights, _spread(log_weights)
        self.side = 60.0 * len(rows) ** -0.25
        beyond = np.ptp(rows, axis=0).max() + GAP
        self.low, self.high, self.exact = rows.min(axis=0) - beyond, rows.max(axis=0) + beyond, exact
        self.all: Evaluate | None = None

    def __call__(self, queries: np.ndarray) -> np.ndarray:
        close = ((self.low <= queries) & (queries <= self.high)).all(axis=1)
        found = np.empty(len(queries))
        found[close] = self._close(queries[close])
        if not close.all():
            self.all = self.all or self.exact(self.rows, self.log_weights)
            found[~close] = self.all(queries[~close])
        return found

    def _close(self, queries: np.ndarray) -> np.ndarray:
        found = np.empty(len(queries))
        tiles = np.floor(queries / self.side)
        order = np.lexsort(tiles.T)
        changes = np.flatnonzero((np.diff(tiles[order], axis=0) != 0).any(axis=1)) + 1
        for members in np.split(order, np.union1d(changes, np.arange(BLOCK, len(order), BLOCK))):
            if len(members):
                found[members] = self._tile((tiles[members[0]] + 0.5) * self.side, queries[members])
        return found

    def _tile(self, centre: np.ndarray, queries: np.ndarray) -> np.ndarray:
        """Over the rows x that may matter beside y, the one nearest to the centre, c.

        At c + v, |q - x|^2 - |q - y|^2 = |c - x|^2 - |c - y|^2 - 2 v (x - y), and each |v_k| is at most side / 2.
        """
        squared = cdist(centre[None], self.rows, "sqeuclidean")[0]
        nearest = squared.argmin()
        slack = self.side * cdist(self.rows[[nearest]], self.rows, "cityblock")[0]
        near = np.flatnonzero(squared - slack <= squared[nearest] + self.spread)
        terms = cdist(queries, self.rows[near], "sqeuclidean")
        terms *= -0.5
        terms += self.log_weights[near]
        top = terms.max(axis=1)
        terms -= top[:, None]
        return top + np.log(np.exp(np.maximum(terms, -700.0, out=terms), out=terms).sum(axis=1))


class Grid:
    """The sum, and its like with a bandwidth sqrt 2 times as large, at the nodes of a grid.

    Args:
        columns: x and y of the rows, which are overwritten.
        log_weights: (n,).
        low: where the rows begin, (2,); those beyond are left out.
        high: where they end.
        beyond: (2, 2) whether rows lie below low, above high.
    """

    def __init__(
        self, columns: list[np.ndarray], log_weights: np.ndarray, low: np.ndarray, high: np.ndarray, beyond: np.ndarray
    ) -> None:
        self.origin, self.shape = low - EDGE - 1, _shape(high - low)
        self.inside = np.ones(len(log_weights), dtype=bool)
        if beyond.any():
            self.inside = np.logical_and.reduce([(a <= x) & (x <= b) for a, x, b in zip(low, columns, high)])
            columns, log_weights = [x[self.inside] for x in columns], log_weights[self.inside]
        self.cell, off = self._places(columns)
        self.values, wide = self._sums(off, np.exp(log_weights))
        ends = low + np.where(beyond[0], GAP, -EDGE), high - np.where(beyond[1], GAP, -EDGE)
        self.served = (wide * LOSS <= TOLERANCE * self.values) & (self.values > NOISE * self.values.max())
        self.served &= np.logical_and.outer(*(self._between(k, ends[0][k], ends[1][k]) for k in range(2)))

    def _places(self, columns: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
        """The nearest node of each row, as a number, and how far from it each lies: in place, memory is dear here."""
        nodes = []
        for column, start in zip(columns, self.origin):
            column -= start
            column /= STEP
            nodes.append(np.rint(column))
            column -= nodes[-1]
            column *= STEP
        nodes[0] *= self.shape[1]
        nodes[0] += nodes[1]
        return nodes[0].astype(np.int32), columns

    def _between(self, k: int, first: float, last: float) -> np.ndarray:
        line = self.origin[k] + STEP * np.arange(self.shape[k])
        return (first <= line) & (line <= last)

    def _sums(self, off: list[np.ndarray], weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = 2 * np.pi * fft.fftfreq(self.shape[0], STEP)[:, None], 2 * np.pi * fft.rfftfreq(self.shape[1], STEP)
        y = y[: np.searchsorted(y, FINEST)]
        transform = self._moments(off, weights, x, y)
        bell = np.exp(-0.5 * (x**2 + y**2))
        transform *= 2 * np.pi / STEP**2 * bell
        values = fft.irfft2(transform, s=self.shape)
        transform *= 2 * bell
        return values, fft.irfft2(transform, s=self.shape)

    def _moments(self, off: list[np.ndarray], weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The transform of sum_(a + b < ORDER) (-d/dx)^a (-d/dy)^b of the cells' moments, over a! b!."""
        total = np.zeros((self.shape[0], len(y)), dtype=complex)
        ends = np.array([0, len(weights)], dtype=np.int32)
        column = csc_array((np.empty_like(weights), self.cell, ends), shape=(self.shape[0] * self.shape[1], 1))
        for a in range(ORDER):
            np.copyto(column.data, weights)
            part = np.zeros_like(total)
            for b in range(ORDER - a):
                moment = (column @ np.ones(1)).reshape(self.shape)  # the sums of bincount, in less time
                part += fft.rfft(moment, axis=1)[:, : len(y)] * ((-1j * y) ** b / factorial(b))
                if a + b + 1 < ORDER:
                    column.data *= off[1]
            total += fft.fft(part, axis=0, overwrite_x=True) * ((-1j * x) ** a / factorial(a))
            weights *= off[0]
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
        pairs = np.pad(self.served, [(0, height % 2), (0, width % 2)]).reshape(-1, 2, (width + 1) // 2, 2)
        near = 2 * STEP * distance_transform_edt(pairs.all(axis=(1, 3))) <= reach + 3 * STEP
        found = near.repeat(2, axis=0).repeat(2, axis=1)[:height, :width].ravel()[self.cell]
        if len(found) < len(self.inside):
            return np.union1d(np.flatnonzero(~self.inside), np.flatnonzero(self.inside)[found])
        return np.flatnonzero(found)


def _grid(rows: np.ndarray, log_weights: np.ndarray) -> Grid | None:
    """A grid around the rows, or all but a few outlying ones; None where they are too scattered for one."""
    columns = [rows[:, k].copy() for k in range(2)]
    ends = np.array([[x.min(), x.max()] for x in columns]).T
    for part in TRIMMED:
        low, high = ends if part == 0 else np.array([np.quantile(x, [part, 1 - part]) for x in columns]).T
        low, high = np.maximum(low - 2 * GAP, ends[0]), np.minimum(high + 2 * GAP, ends[1])
        if np.prod((high - low + 2 * EDGE + GAP) / STEP) <= max(1 << 17, len(rows)):
            return Grid(columns, log_weights, low, high, np.array([ends[0] < low, high < ends[1]]))
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
        weights[j] *= after / np.prod(np.delete(NODES[j] - NODES, j))
        after = after * (place - NODES[j])
    return weights
