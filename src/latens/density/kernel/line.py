r"""Sums of kernels on the line, $\log \sum_i w_i s_i^{-1} K((q - x_i) / s_i)$, for many rows and many queries.

Only rows in a *window* around a query count, and the window follows from the largest term, so that far tails are as
exact as the middle. Rows in a *cell* much narrower than their kernel act as one row at their mean, with their variance
added to the kernel's. And across a cell the logarithm of the sum is a cubic, known from values and slopes at its ends.
A query's value never depends on other queries.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from latens.density.kernel.kernels import KERNELS
from latens.density.kernel.running import COEFFICIENTS, Exponential, Polynomial

FEW = 1000
"""Rows up to which every sum is exact."""
FINE = 1e-10
"""Of the largest value: with a bandwidth below it, places in a cell would have too few digits."""
CELLS, NODES = 24, 10
"""Cells of rows, and of queries, in one bandwidth."""
NEAR = 3.5
"""Bandwidths from the next row beyond which a query is summed over the rows themselves."""
RATIO, LITTLE = 1.5, 64
"""Of the largest to the smallest scale of a part; rows so few that their scales may differ more."""
BLOCK, CHUNK = 1 << 16, 1 << 16
"""Terms computed, and rows read, at a time."""

Evaluate = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
SLOPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "gaussian": lambda u: u,
    "logistic": lambda u: np.tanh(u / 2),
}
"""-d log k(u) / du of the kernels that are smooth everywhere, for which cells may stand for rows."""


def log_sum_1d(
    queries: np.ndarray,
    rows: np.ndarray,
    log_weights: np.ndarray,
    kernel: str,
    *,
    scales: np.ndarray | None = None,
    exact: bool = False,
) -> np.ndarray:
    r"""$\log \sum_i w_i s_i^{-1} K((q - x_i) / s_i)$ for every query q.

    Up to 1,000 rows the sum is exact to rounding. Beyond, a Gaussian or logistic sum is off by at most 2e-4 (typically
    1e-6) however far from the rows a query is, and one of another kernel by 1e-7.

    Args:
        queries: (m, 1) or (m,).
        rows: (n, 1) or (n,).
        log_weights: (n,) log w.
        kernel: a name in ``KERNELS``.
        scales: (n,) the bandwidth of each row; None for 1.
        exact: sum over all rows that matter to 1e-12.

    Returns:
        (m,) nats; ``-inf`` where no row's kernel reaches.

    Example:
        >>> log_sum_1d(np.array([0.0, 1e6]), np.zeros(1), np.zeros(1), "gaussian")
        array([-9.18938533e-01, -5.00000000e+11])
    """
    rows = np.ravel(rows)
    order = np.argsort(rows, kind="stable")
    scale = np.ones(1) if scales is None else scales[order]
    return Line(rows[order], log_weights[order], scale, kernel, exact=exact)(np.ravel(queries))


class Line:
    """The sum as a function of the queries, with all that depends on the rows done once.

    Args:
        rows: (n,) sorted.
        log_weights: (n,), or (1,) where all are equal.
        scales: (n,) the bandwidth of each row, or (1,) where all are equal.
        kernel: a name in ``KERNELS``.
        exact: leave out only what is below 1e-12 of the sum.
        cells: rows, log weights and scales of fewer rows that stand for all, where they are known already.

    Attributes:
        cells: the same, and how many rows each stands for; None where the sum is exact.
    """

    def __init__(
        self,
        rows: np.ndarray,
        log_weights: np.ndarray,
        scales: np.ndarray,
        kernel: str,
        *,
        exact: bool = False,
        cells: tuple[np.ndarray, ...] | None = None,
    ) -> None:
        scales = scales[:1] if np.ptp(scales) == 0 else scales
        self.kernel, self._given = kernel, (rows, log_weights, scales)
        self._fine: Levels | None = None
        self.cells: tuple[np.ndarray, ...] | None = None
        self.coarse: Levels | None = None
        self.running: Polynomial | Exponential | None = None
        if exact or len(rows) <= FEW or scales.min() < FINE * max(abs(rows[0]), abs(rows[-1])):
            return
        if kernel in SLOPES:
            self.cells = cells or _cells(rows, log_weights, scales, kernel)
            self.coarse = Levels(self.cells[0], self.cells[1], self.cells[2], kernel, 14.0)
        elif len(scales) == 1 and kernel in COEFFICIENTS:
            self.running = Polynomial(rows, log_weights, float(scales[0]), kernel)
        elif len(scales) == 1 and kernel == "exponential":
            self.running = Exponential(rows, log_weights, float(scales[0]))

    @property
    def fine(self) -> Levels:
        """The rows themselves."""
        if self._fine is None:
            self._fine = Levels(*self._given, self.kernel, 27.0)
        return self._fine

    def __call__(self, queries: np.ndarray) -> np.ndarray:
        """(m,) nats at (m,) queries."""
        if self.coarse is not None:
            result = _between(self.coarse, queries, self.coarse)
        elif self.running is not None:
            result = self.running(queries)
        else:
            return self.fine(queries)[0]
        missing = ~np.isfinite(result)
        if missing.any():
            result[missing] = self.fine(queries[missing])[0]
        return result

    def cdf(self, queries: np.ndarray) -> np.ndarray:
        """(m,) the weight of the kernels below each query; off by 4e-7 at most where cells stand for rows."""
        coarse = self.coarse
        if coarse is None:
            return self.fine.cdf(queries)
        result = _between(coarse, queries, lambda x: (coarse.cdf(x), np.exp(coarse(x)[0])))
        missing = np.isnan(result)
        result[missing] = coarse.cdf(queries[missing])
        return result


class Levels:
    """Sorted rows, split by their scale so that the windows of each part are tight."""

    def __init__(
        self, rows: np.ndarray, log_weights: np.ndarray, scales: np.ndarray, kernel: str, tolerance: float
    ) -> None:
        self.tolerance = tolerance
        if np.ptp(scales) == 0:
            self.parts = [Part(rows, log_weights, scales[:1], kernel)]
            return
        log_weights = np.broadcast_to(log_weights, rows.shape)
        self.parts = [Part(rows[these], log_weights[these], scales[these], kernel) for these in _levels(scales)]

    def __call__(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The logarithm (m,) of the sum at each query, and its slope (m,)."""
        value, slope = np.full(len(queries), -np.inf), np.zeros(len(queries))
        with np.errstate(over="ignore", invalid="ignore"):
            floor = np.max([part.next_term(queries) for part in self.parts], axis=0) - self.tolerance
            for part in self.parts:
                more, steep = part.sum(queries, floor)
                total = np.logaddexp(value, more)
                share = np.where(more > -np.inf, np.exp(more - total), 0.0)
                value, slope = total, slope + share * (steep - slope)
        return value, slope

    def distance(self, queries: np.ndarray) -> np.ndarray:
        """(m,) to the next row, in its bandwidths."""
        return np.min([part.distance(queries) / part.narrowest for part in self.parts], axis=0)

    def cdf(self, queries: np.ndarray) -> np.ndarray:
        """(m,) the weight of the kernels below each query."""
        return np.sum([part.cdf(queries) for part in self.parts], axis=0)


class Part:
    """Sorted rows with nearly the same scale."""

    def __init__(self, rows: np.ndarray, log_weights: np.ndarray, scales: np.ndarray, kernel: str) -> None:
        self.rows, self.kernel, self.name, self.precision = rows, KERNELS[kernel], kernel, 1 / scales
        self.narrowest, self.widest = float(scales.min()), float(scales.max())
        self.log_weights = log_weights
        self.constant = log_weights - np.log(scales) - self.kernel.log_normaliser(1)
        top = float(self.constant.max())
        self.total = top + float(np.log(np.exp(self.constant - top).sum() * len(rows) / len(self.constant)))

    def distance(self, queries: np.ndarray) -> np.ndarray:
        """(m,) to the next row."""
        return np.abs(queries - self.rows[self._next(queries)])

    def next_term(self, queries: np.ndarray) -> np.ndarray:
        """(m,) the logarithm of the term of the next row."""
        at = self._next(queries)
        squared = ((queries - self.rows[at]) * _at(self.precision, at)) ** 2
        return self.kernel.log_profile(squared) + _at(self.constant, at)

    def sum(self, queries: np.ndarray, floor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The logarithm (m,) of the sum of all terms that together could exceed exp(floor), and its slope (m,)."""
        value, slope = np.full(len(queries), -np.inf), np.zeros(len(queries))
        reach = self._reach(self.total - floor)
        for chosen, first, size in _windows(self.rows, queries, reach):
            value[chosen], slope[chosen] = self._sum(queries[chosen], first, size)
        return value, slope

    def cdf(self, queries: np.ndarray) -> np.ndarray:
        """(m,) the weight of the kernels below each query."""
        weights = np.exp(self.log_weights)
        sums = np.append(0.0, np.cumsum(np.broadcast_to(weights, self.rows.shape)))
        reach = self._reach(np.full(len(queries), 38.0))
        result = sums[np.searchsorted(self.rows, queries - reach)]
        for chosen, first, size in _windows(self.rows, queries, reach):
            with np.errstate(invalid="ignore"):
                u = (queries[chosen, None] - _take(self.rows, first, size)) * _take(self.precision, first, size)
            result[chosen] = sums[first] + (self.kernel.cdf(u) * _take(weights, first, size)).sum(axis=1)
        return result

    def _sum(self, queries: np.ndarray, first: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        u = queries[:, None] - _take(self.rows, first, size)
        precision = _take(self.precision, first, size)
        u *= precision
        terms = self.kernel.log_profile(u * u) + _take(self.constant, first, size)
        top = terms.max(axis=1)
        terms -= np.where(top > -np.inf, top, 0.0)[:, None]
        np.exp(terms, out=terms)
        total = terms.sum(axis=1)
        with np.errstate(divide="ignore"):
            value = top + np.log(total)
        if self.name not in SLOPES:
            return value, np.zeros(len(queries))
        terms *= SLOPES[self.name](u)
        terms *= precision
        return value, -terms.sum(axis=1) / total

    def _reach(self, excess: np.ndarray) -> np.ndarray:
        """How far a row may be for its term, exp(excess) at most near it, to be above 1."""
        excess = np.maximum(excess, 0.0)
        if self.name == "gaussian":
            return self.widest * (2 * excess) ** 0.5
        tail = excess + np.log(4) if self.name == "logistic" else excess
        return self.widest * np.minimum(tail, self.kernel.support)

    def _next(self, queries: np.ndarray) -> np.ndarray:
        above = np.searchsorted(self.rows, queries).clip(max=len(self.rows) - 1)
        below = np.maximum(above - 1, 0)
        return np.where(queries - self.rows[below] < self.rows[above] - queries, below, above)


def _windows(rows: np.ndarray, queries: np.ndarray, reach: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """(queries, first row, number of rows) of groups with as many rows each; queries that reach none are left out."""
    reach = reach * (1 + 1e-9) + 2 * np.spacing(np.abs(queries))
    first, last = np.searchsorted(rows, queries - reach), np.searchsorted(rows, queries + reach, side="right")
    step = 2.0 ** (np.floor(np.log2(np.maximum(last - first, 16))) - 2)
    size = (np.ceil((last - first) / step) * step).astype(np.int64)
    size = np.minimum(size, len(rows))
    groups = []
    for width in np.unique(size[size > 0]):
        chosen = np.flatnonzero(size == width)
        for some in np.array_split(chosen, -(-len(chosen) * int(width) // BLOCK)):
            groups.append((some, np.minimum(first[some], len(rows) - width), int(width)))
    return groups


def _take(values: np.ndarray, first: np.ndarray, size: int) -> np.ndarray:
    """(m, size) values from ``first`` on; what is constant stays one number."""
    if len(values) == 1:
        return values
    return np.ndarray((len(values) - size + 1, size), values.dtype, values, strides=values.strides * 2)[first]


def _at(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    return values if len(values) == 1 else values[index]


def _cells(rows: np.ndarray, log_weights: np.ndarray, scales: np.ndarray, kernel: str) -> tuple[np.ndarray, ...]:
    """Mean, log weight, scale and number of the rows in each cell that holds any; their variance goes to the scale."""
    if len(scales) == 1:
        return _merged(rows, log_weights, scales, kernel)
    log_weights = np.broadcast_to(log_weights, rows.shape)
    parts = [_merged(rows[these], log_weights[these], scales[these], kernel) for these in _levels(scales)]
    joined = [np.concatenate(values) for values in zip(*parts)]
    order = np.argsort(joined[0], kind="stable")
    return tuple(values[order] for values in joined)


def _between(coarse: Levels, queries: np.ndarray, evaluate: Evaluate) -> np.ndarray:
    """Cubics across cells of the queries, from values and slopes at their ends; NaN where no row is near."""
    ends, width = _ends(coarse, queries)
    node, place = np.unique(ends, return_inverse=True)
    value, slope = np.full(len(node), np.nan), np.full(len(node), np.nan)
    near = coarse.distance(node) < NEAR
    value[near], slope[near] = evaluate(node[near])
    low, high = place.reshape(ends.shape)
    return _hermite((queries - node[low]) / width, value[low], value[high], slope[low] * width, slope[high] * width)


def _ends(coarse: Levels, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ends (2, m) of each query's cell, NaN where no row is near, and its width (m,)."""
    width = np.full(len(queries), np.nan)
    for part in coarse.parts[::-1]:  # the finest last
        reach = 2 * NEAR * part.widest
        inside = (queries > part.rows[0] - reach) & (queries < part.rows[-1] + reach)
        width[inside] = part.narrowest / NODES
    first = np.floor(queries / width)
    return np.stack([first * width, (first + 1) * width]), width


def _levels(scales: np.ndarray) -> list[np.ndarray]:
    """Masks of the rows of each part, the narrowest first; the widest few rows share the last."""
    level = np.floor(np.log(scales / scales.min()) / np.log(RATIO)).astype(np.int64)
    as_wide = np.cumsum(np.bincount(level)[::-1])[::-1]
    level = np.minimum(level, np.count_nonzero(as_wide > LITTLE))
    return [level == at for at in np.unique(level)]


def _merged(rows: np.ndarray, log_weights: np.ndarray, scales: np.ndarray, kernel: str) -> tuple[np.ndarray, ...]:
    narrowest, top = float(scales.min()), float(log_weights.max())
    width, weights, squares = narrowest / CELLS, np.exp(log_weights - top), (scales / narrowest) ** 2
    parts = []
    for i in range(0, len(rows), CHUNK):
        chunk = slice(i, i + CHUNK)
        parts.append(_moments(rows[chunk] / width, *(v if len(v) == 1 else v[chunk] for v in (weights, squares))))
    counts, mass, mean, variance, square = (np.concatenate(values) for values in zip(*parts))
    scale = narrowest * (square + variance / CELLS**2 / KERNELS[kernel].variance()) ** 0.5
    return mean * width, np.log(mass) + top, scale, counts


def _moments(position: np.ndarray, weights: np.ndarray, squares: np.ndarray) -> tuple[np.ndarray, ...]:
    """Number, weight, mean and variance of the positions in each occupied cell of width 1; the mean of ``squares``."""
    cell = np.floor(position)
    starts = np.flatnonzero(np.append(True, cell[1:] != cell[:-1]))
    within, left = position - cell, cell[starts]
    counts = np.diff(np.append(starts, len(position)))
    mass = counts * weights[0] if len(weights) == 1 else np.add.reduceat(weights, starts)

    def average(x: np.ndarray) -> np.ndarray:
        if len(x) == 1:
            return np.full(len(starts), x[0])
        return np.add.reduceat(x, starts) / counts if len(weights) == 1 else np.add.reduceat(x * weights, starts) / mass

    mean = average(within)
    return counts, mass, left + mean, np.maximum(average(within**2) - mean**2, 0.0), average(squares)


def _hermite(t: np.ndarray, low: np.ndarray, high: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The cubic on [0, 1] with the values ``low``, ``high`` and slopes ``left``, ``right`` at its ends."""
    change = high - low
    return low + t * (left + t * (3 * change - 2 * left - right + t * (left + right - 2 * change)))
