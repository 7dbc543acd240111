"""Sums of kernels over the rows near each query alone, where those are few."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from latens.density.kernel.kernels import KERNELS, Kernel

MANY, PAIRS = 1 << 12, 1 << 20
"""Queries at a time, and pairs of a query and a row, but for one query's own."""
KEPT = 25.0
"""Rows left out of a sum change it by at most e^-25, 1.4e-11, of its value."""
FARTHEST = 1e150
"""Bandwidths, whose squares are still numbers."""
PROBES, WORTH = 64, 8
"""Rows that stand for all, and how much dearer a pair found by search is than one of a full table."""


class Near:
    """The sum over rows in reach; a tree of the occupied cells of a grid finds them.

    A kernel of bounded support reaches as far as that. A Gaussian reaches so far that all rows beyond weigh less than
    e^-25 of those in the nearest cell, however far the query lies from all.

    Args:
        rows: (n, d).
        log_weights: (n,), with all that does not depend on the query.
        scales: (n,) of the kernel around each row.
        kernel: with a bounded support, or the Gaussian.
    """

    def __init__(self, rows: np.ndarray, log_weights: np.ndarray, scales: np.ndarray, kernel: Kernel) -> None:
        side = _side(scales, kernel)
        cells = np.floor((rows - rows.min(axis=0)) / side).astype(np.int64)
        key = np.ravel_multi_index(tuple(cells.T), tuple(cells.max(axis=0) + 1))
        order = np.argsort(key, kind="stable")
        self.rows, self.log_weights, self.scales = rows[order], log_weights[order], scales[order]
        self.kernel, self.radius, self.widest = kernel, side / 2 * rows.shape[1] ** 0.5, float(scales.max())
        self.starts = np.flatnonzero(np.diff(key[order], prepend=-1))
        self.counts = np.diff(self.starts, append=len(rows))
        self.tree = cKDTree((cells[order[self.starts]] + 0.5) * side + rows.min(axis=0), balanced_tree=False)
        top = self.log_weights.max()
        masses = np.log(np.add.reduceat(np.exp(self.log_weights - top), self.starts)) + top
        self.log_masses, self.finest = masses, np.minimum.reduceat(self.scales, self.starts)
        self.log_mass = float(np.logaddexp.reduce(masses))

    def __call__(self, queries: np.ndarray) -> np.ndarray:
        """The sum's logarithm at each query: (m,)."""
        found = np.full(len(queries), -np.inf)
        usual = np.flatnonzero((np.abs(queries) < FARTHEST).all(axis=1))
        for start in range(0, len(usual), MANY):
            some = usual[start : start + MANY]
            found[some] = self._of(queries[some])
        return found

    def _of(self, queries: np.ndarray) -> np.ndarray:
        cells = self.tree.query_ball_point(queries, self._reach(queries) + self.radius, return_sorted=True)
        lengths = np.fromiter(map(len, cells), np.int64, len(cells))
        cell = np.fromiter(chain.from_iterable(cells), np.int64, int(lengths.sum()))
        sizes = np.bincount(np.repeat(np.arange(len(cells)), lengths), self.counts[cell], len(cells)).astype(int)
        ends, found = np.cumsum(lengths), np.empty(len(queries))
        for part in _portions(sizes):
            inside = slice(ends[part.start] - lengths[part.start], ends[part.stop - 1])
            found[part] = self._sum(queries[part], sizes[part], cell[inside])
        return found

    def _reach(self, queries: np.ndarray) -> np.ndarray:
        if np.isfinite(self.kernel.support):
            return np.full(len(queries), self.kernel.support * self.widest)
        distance, nearest = self.tree.query(queries)
        lost = ((distance + self.radius) / self.finest[nearest]) ** 2 / 2
        return self.widest * np.sqrt(2 * (self.log_mass - self.log_masses[nearest] + lost + KEPT))

    def _sum(self, queries: np.ndarray, sizes: np.ndarray, cell: np.ndarray) -> np.ndarray:
        """Each query's ``sizes`` rows are those of its cells, one after the other."""
        found, some = np.full(len(queries), -np.inf), sizes > 0
        if not some.any():
            return found
        row = _ranges(self.starts[cell], self.counts[cell])
        squared = ((np.repeat(queries, sizes, axis=0) - self.rows[row]) ** 2).sum(axis=1) / self.scales[row] ** 2
        terms = self.kernel.log_profile(squared) + self.log_weights[row]
        starts = (np.cumsum(sizes) - sizes)[some]
        top = np.maximum.reduceat(terms, starts)
        shift = np.where(np.isfinite(top), top, 0.0)
        sums = np.add.reduceat(np.exp(np.maximum(terms - np.repeat(shift, sizes[some]), -700.0)), starts)
        found[some] = np.where(np.isfinite(top), top + np.log(sums), top)
        return found


def few_are_near(rows: np.ndarray, scales: np.ndarray, kernel: Kernel) -> bool:
    """Whether a search pays: judged by a few rows alone, so that one query is treated like many."""
    n, d = rows.shape
    bounded = np.isfinite(kernel.support)
    if n < 64 * PROBES or d > 6 or not (bounded or kernel is KERNELS["gaussian"]):
        return False
    side = _side(scales, kernel)
    reach = scales.max() * (kernel.support if bounded else (2 * KEPT + 2 * np.log(n)) ** 0.5) + side * d**0.5
    with np.errstate(over="ignore"):
        cells = np.prod(np.ptp(rows, axis=0) / side + 1)
    probes, others = rows[:: n // PROBES], rows[:: n // (64 * PROBES)]
    return bool(cells < 2.0**62 and WORTH * (cdist(probes, others) <= reach).mean() < 1)


def _side(scales: np.ndarray, kernel: Kernel) -> float:
    return float(scales.max()) * min(1.0, kernel.support / 3)


def _portions(sizes: np.ndarray) -> Iterator[slice]:
    """Runs of queries of about ``PAIRS`` rows in all."""
    starts = np.flatnonzero(np.diff(np.cumsum(sizes) // PAIRS, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(sizes)]):
        yield slice(int(start), int(stop))


def _ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """start, start + 1, ..., of each in turn.

    Example:
        >>> _ranges(np.array([5, 0]), np.array([2, 3]))
        array([5, 6, 0, 1, 2])
    """
    ends = np.cumsum(counts)
    return np.arange(ends[-1]) + np.repeat(starts - ends + counts, counts)
