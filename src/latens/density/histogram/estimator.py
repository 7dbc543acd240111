"""Histograms in any number of dimensions; only the occupied cells are stored."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from latens.density.base import DensityEstimator
from latens.density.histogram.bins import bin_edges, steps
from latens.density.validation import check_one_column, check_points, check_probabilities, check_table, check_weights
from latens.utils.errors import InputError
from latens.utils.validation import check_positive


class Histogram(DensityEstimator):
    r"""$p(x) = \frac{w_{c(x)}}{W \, |c(x)|}$: the weight in the cell of x, over the total weight and the cell's volume.

    A cell is a product of bins, closed on the left and open on the right, the last bin closed on both sides. Outside
    the cells that hold an example the density is zero and its logarithm ``-inf``: a histogram promises nothing where it
    has seen nothing. A constant column gets one bin of width 1 around its value. The density is with respect to
    volume, also where the data are integers; samples then are integers inside the cell.

    Args:
        bins: ``"auto"`` (Birge-Rozenholc for one column, Freedman-Diaconis for more), ``"birge-rozenholc"`` (penalised
            likelihood), ``"fd"`` (Freedman-Diaconis), ``"scott"``, ``"sturges"``, ``"doane"``, ``"bayesian-blocks"``
            (bins of unequal width); a number of bins; a list (or array) of edges; or a tuple with one of these for each
            column. ``"fd"`` and ``"scott"`` widen the bins with the number d of columns, as n^(-1 / (d + 2)). Where an
            outlier makes a rule ask for more than 65,536 bins, runs of empty bins are merged.

    Attributes:
        bin_edges_: one strictly increasing array of edges (in the unit of the data) for each column.
        cells_: (n_cells, d) the index of the bin of each occupied cell, along each column.
        mass_: (n_cells,) their probabilities; they sum to 1.
        weight_: (n_cells,) the weight in each, the number of its rows where no weights were given.
        log_density_: (n_cells,) their log densities in nats.
        dtype_: the dtype of the data, and of samples.

    Reference:
        Freedman and Diaconis (1981), On the histogram as a density estimator: L2 theory;
        Scott (1992), Multivariate Density Estimation, chapter 3;
        Birge and Rozenholc (2006), How many bins should be put in a regular histogram.

    Example:
        >>> histogram = Histogram(bins=[0.0, 1.0, 3.0]).fit([[0.5], [1.5], [2.0], [2.5]])
        >>> np.exp(histogram.score_samples([[0.2], [2.0], [3.0], [3.1]]))
        array([0.25 , 0.375, 0.375, 0.   ])
        >>> histogram.sample(2, random_state=0).shape
        (2, 1)
    """

    def __init__(self, bins: Any = "auto") -> None:
        self.bins = bins

    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Count the rows of ``X`` (n, d) into cells, each with its weight (n,).

        Raises:
            InputError: if ``X`` is no table of finite numbers, ``bins`` is no rule, or a weight is negative.
        """
        table, weights = self._rows(X, sample_weight, reset=True)
        self.dtype_ = table.dtype
        relative = weights / weights.max()
        self.bin_edges_ = [
            bin_edges(rule, column, relative, table.shape[1]) for rule, column in zip(self._rules(), table.T)
        ]
        self._learn(self._locate(table), weights)
        return self

    def partial_fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Count further rows; what is kept grows with the occupied cells, not with the rows.

        The first call places the bins, as ``fit`` does. Where later rows lie outside, bins as wide as the outermost one
        are added there. So a rule that asks for more bins the more rows there are sees the first rows alone: give a
        number, or edges, where all rows together ask for finer ones.

        Raises:
            InputError: as ``fit``; with edges given, also for rows outside them.
        """
        if not hasattr(self, "bin_edges_"):
            return self.fit(X, y, sample_weight)
        table, weights = self._rows(X, sample_weight, reset=False)
        grown = [
            self._grown(rule, edges, column) for rule, edges, column in zip(self._rules(), self.bin_edges_, table.T)
        ]
        cells = self.cells_ + np.array([below for _, below in grown])
        self.bin_edges_ = [edges for edges, _ in grown]
        self.dtype_ = np.result_type(self.dtype_, table.dtype)
        self._learn(np.concatenate([cells, self._locate(table)]), np.concatenate([self.weight_, weights]))
        return self

    def score_samples(self, X: ArrayLike, y: Any = None) -> np.ndarray:
        """log p(x) of each row of ``X`` (n, d): (n,) float64 in nats, ``-inf`` outside the occupied cells."""
        check_is_fitted(self)
        cell = self._find(self._locate(check_table(self, X, reset=False)))
        return np.where(cell >= 0, self.log_density_[cell], -np.inf)

    def cdf(self, x: ArrayLike) -> np.ndarray:
        """P(X <= x), of one column: (m,) for x (m,) or (m, 1)."""
        edges, below = self._steps()
        return np.interp(check_points(self, x), edges, below)

    def quantile(self, q: ArrayLike) -> np.ndarray:
        """The least x with P(X <= x) >= q, of one column: (m,) for q (m,) in [0, 1]."""
        edges, below = self._steps()
        q = check_probabilities(q)
        first = np.searchsorted(below, np.maximum(q, np.nextafter(0.0, 1.0)))
        rise = below[first] - below[first - 1]
        return edges[first] - (below[first] - q) / rise * (edges[first] - edges[first - 1])

    def _steps(self) -> tuple[np.ndarray, np.ndarray]:
        """The edges of the one column, and the mass below each."""
        check_one_column(self)
        mass = np.zeros(self._sizes[0] + 1)
        mass[self.cells_[:, 0] + 1] = self.mass_
        below = np.cumsum(mass)
        return self.bin_edges_[0], below / below[-1]

    def sample(self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None) -> Any:
        """``n_samples`` rows (n_samples, d): a cell drawn by its mass, then a uniform point inside it."""
        check_is_fitted(self)
        check_positive("n_samples", n_samples, integer=True)
        rng = check_random_state(random_state)
        cell = self.cells_[rng.choice(len(self.mass_), size=n_samples, p=self.mass_)]
        low = np.stack([edges[i] for edges, i in zip(self.bin_edges_, cell.T)], axis=1)
        high = np.stack([edges[i + 1] for edges, i in zip(self.bin_edges_, cell.T)], axis=1)
        u = rng.uniform(size=cell.shape)
        if self.dtype_.kind == "f":
            return self._as_given(_between(low, high, u, self.dtype_))
        closed = cell == self._sizes - 1
        return self._as_given(_integer_between(low, high, closed, u))

    def _rows(self, X: ArrayLike, sample_weight: ArrayLike | None, *, reset: bool) -> tuple[np.ndarray, np.ndarray]:
        """The rows that count, and their weights."""
        table = check_table(self, X, reset=reset)
        weights = check_weights(sample_weight, len(table))
        return table[weights > 0], weights[weights > 0]

    @property
    def _sizes(self) -> np.ndarray:
        return np.array([len(edges) - 1 for edges in self.bin_edges_])

    def _rules(self) -> tuple:
        d = self.n_features_in_
        rules = self.bins if isinstance(self.bins, tuple) else (self.bins,) * d
        if len(rules) != d:
            raise InputError(f"bins expects a tuple with one entry for each of the {d} columns; got {len(rules)}.")
        return rules

    def _grown(self, rule: Any, edges: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, int]:
        """Edges around the column too, and how many bins were added before the first."""
        x = column.astype(np.float64)
        outside = x[(x < edges[0]) | (x > edges[-1])]
        if isinstance(rule, list | np.ndarray) and len(outside):
            bin_edges(rule, x, np.ones(len(x)))  # says which rows lie outside
        below = edges[0] - steps(edges[0] - outside, edges[1] - edges[0])
        above = edges[-1] + steps(outside - edges[-1], edges[-1] - edges[-2])
        before = np.unique(below[below < edges[0]])
        return np.concatenate([before, edges, np.unique(above[above > edges[-1]])]), len(before)

    def _locate(self, table: np.ndarray) -> np.ndarray:
        """The bin of each entry, along its column; -1 outside the edges."""
        return np.stack([_bin_of(edges, column) for edges, column in zip(self.bin_edges_, table.T)], axis=1)

    def _learn(self, rows: np.ndarray, weights: np.ndarray) -> None:
        """The occupied cells, as a sorted trie: level j numbers the distinct beginnings of j + 1 bins."""
        self._levels = []
        cell, n_cells = np.zeros(len(rows), dtype=np.int64), 1
        for size, column in zip(self._sizes, rows.T):
            level, cell = _distinct(cell * size + column, n_cells * size)
            n_cells = len(level)
            self._levels.append(level)
        one = np.empty(n_cells, dtype=np.int64)
        one[cell] = np.arange(len(rows))
        self.cells_ = rows[one]
        self.weight_ = np.bincount(cell, weights=weights)
        mass = self.weight_ / self.weight_.max()
        self.mass_ = mass / mass.sum()
        log_widths = [np.log(np.diff(edges)[i]) for edges, i in zip(self.bin_edges_, self.cells_.T)]
        self.log_density_ = np.log(self.mass_) - np.sum(log_widths, axis=0)

    def _find(self, rows: np.ndarray) -> np.ndarray:
        """The occupied cell of each row of bins; -1 where there is none."""
        cell = np.zeros(len(rows), dtype=np.int64)
        for level, size, column in zip(self._levels, self._sizes, rows.T):
            key = cell * size + column
            at = np.searchsorted(level, key).clip(max=len(level) - 1)
            cell = np.where((column >= 0) & (level[at] == key), at, -1)
        return cell


def _distinct(keys: np.ndarray, bound: int) -> tuple[np.ndarray, np.ndarray]:
    """The distinct keys below ``bound``, sorted, and the place of each among them; counted where that is cheaper."""
    if bound > 4 * len(keys) + 1024:
        return np.unique(keys, return_inverse=True)
    seen = np.zeros(bound, dtype=bool)
    seen[keys] = True
    return np.flatnonzero(seen), (np.cumsum(seen) - 1)[keys]


def _bin_of(edges: np.ndarray, x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    widths = np.diff(edges)
    if np.ptp(widths) < 1e-9 * widths[0]:
        index = ((np.clip(x, edges[0], edges[-1]) - edges[0]) / widths[0]).astype(np.int64).clip(max=len(widths) - 1)
        index += (x >= edges[index + 1]).astype(np.int64) - (x < edges[index])
    else:
        index = np.searchsorted(edges, x, side="right") - 1
    index[x == edges[-1]] = len(edges) - 2
    index[x > edges[-1]] = -1
    return index


def _between(low: np.ndarray, high: np.ndarray, u: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """low + (high - low) u, kept inside [low, high) when rounded to ``dtype``."""
    x = (low + (high - low) * u).astype(dtype)
    x = np.where(x >= high, np.nextafter(x, dtype.type(-np.inf)), x)
    return np.where(x < low, np.nextafter(x, dtype.type(np.inf)), x)


def _integer_between(low: np.ndarray, high: np.ndarray, closed: np.ndarray, u: np.ndarray) -> np.ndarray:
    """A uniform integer of [low, high), or of [low, high] where closed."""
    first = np.ceil(low)
    last = np.where(closed, np.floor(high), np.ceil(high) - 1)
    return first + np.floor((last - first + 1) * u)
