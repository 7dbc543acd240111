"""Where the bins of one column begin and end.

The rules are functions of the column scaled to [0, 1] and give how many bins of equal width it asks for, a real number:
they depend on neither the unit nor the origin. Weighted rows count as Kish's effective number, (sum w)^2 / sum w^2, so
that multiplying all weights by a constant changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from latens.density.histogram.blocks import bayesian_blocks
from latens.utils.errors import InputError
from latens.utils.validation import check_choice

MANY_BINS = 1 << 16


def freedman_diaconis(u: np.ndarray, w: np.ndarray, n: float, d: int) -> float:
    """n^(1 / (d + 2)) / (2 IQR); Scott's number where the interquartile range is zero.

    Reference:
        Freedman and Diaconis (1981), On the histogram as a density estimator: L2 theory.
    """
    iqr = float(np.subtract(*_quantiles(u, w, (0.75, 0.25))))
    return n ** (1 / (d + 2)) / (2 * iqr) if iqr > 0 else scott(u, w, n, d)


def scott(u: np.ndarray, w: np.ndarray, n: float, d: int) -> float:
    """n^(1 / (d + 2)) / ((24 sqrt(pi))^(1/3) sigma).

    Reference:
        Scott (1979), On optimal and data-based histograms; (1992), Multivariate Density Estimation, for d > 1.
    """
    return n ** (1 / (d + 2)) / ((24 * np.pi**0.5) ** (1 / 3) * _moment(u, w, 2) ** 0.5)


def sturges(u: np.ndarray, w: np.ndarray, n: float, d: int) -> float:
    """1 + log2 n.

    Reference:
        Sturges (1926), The choice of a class interval.
    """
    return 1 + float(np.log2(n))


def doane(u: np.ndarray, w: np.ndarray, n: float, d: int) -> float:
    """1 + log2 n + log2(1 + |skewness| / its standard error under normality).

    Reference:
        Doane (1976), Aesthetic frequency classifications.
    """
    if n <= 2:
        return sturges(u, w, n, d)
    skewness = abs(_moment(u, w, 3)) / _moment(u, w, 2) ** 1.5
    error = (6 * (n - 2) / ((n + 1) * (n + 3))) ** 0.5
    return sturges(u, w, n, d) + float(np.log2(1 + skewness / error))


def birge_rozenholc(u: np.ndarray, w: np.ndarray, n: float, d: int) -> float:
    """The D up to n / log n that maximises sum_j N_j log(D N_j / n) - (D - 1) - log(D)^2.5.

    All D up to 512 are tried, beyond that one in every fiftieth part and then all around the best.

    Reference:
        Birge and Rozenholc (2006), How many bins should be put in a regular histogram.
    """
    order = np.argsort(u, kind="stable")
    u, sums = u[order], np.concatenate([[0.0], np.cumsum(w[order])])
    sums *= n / sums[-1]
    most = max(1, int(n / np.log(max(n, 2.0))))

    def best(counts: np.ndarray) -> int:
        return int(max(counts, key=lambda count: _penalised(u, sums, int(count))))

    found = best(np.unique(np.concatenate([np.arange(1, 513), np.geomspace(512, 1e9, 731)]).clip(max=most).astype(int)))
    return found if found <= 512 else best(np.arange(0.98 * found, min(1.02 * found, most) + 1).astype(int))


def _penalised(u: np.ndarray, sums: np.ndarray, count: int) -> float:
    inside = np.diff(sums[np.searchsorted(u, np.arange(1, count) / count)], prepend=0.0, append=sums[-1])
    inside = inside[inside > 0]
    return float(inside @ np.log(count * inside / sums[-1])) - (count - 1) - float(np.log(count)) ** 2.5


def auto(u: np.ndarray, w: np.ndarray, n: float, d: int) -> float:
    """Birge and Rozenholc's number for one column, Freedman and Diaconis' for several."""
    return (birge_rozenholc if d == 1 else freedman_diaconis)(u, w, n, d)


RULES: dict[str, Callable[[np.ndarray, np.ndarray, float, int], float]] = {
    "auto": auto,
    "fd": freedman_diaconis,
    "scott": scott,
    "sturges": sturges,
    "doane": doane,
    "birge-rozenholc": birge_rozenholc,
}

NAMES = (*RULES, "bayesian-blocks")


def bin_edges(bins: Any, x: np.ndarray, w: np.ndarray, d: int = 1) -> np.ndarray:
    """The edges of the bins of one column: (n_bins + 1,) float64, strictly increasing.

    Args:
        bins: a rule's name, a number of bins, or the edges themselves.
        x: the column, of its own dtype: integers get no bin narrower than 1 from a rule.
        w: (n,) weights, all positive.
        d: how many columns the table has; the rules widen the bins with it.

    Raises:
        InputError: if ``bins`` is none of these, or rows lie outside the edges.

    Example:
        >>> bin_edges(4, np.array([0.0, 1.0, 8.0]), np.ones(3))
        array([0., 2., 4., 6., 8.])
    """
    column = x.astype(np.float64)
    if isinstance(bins, list | np.ndarray):
        return _given(bins, column)
    low, high = _range(column, _resolution(x))
    finest = (high - low) / _resolution(x)
    if isinstance(bins, int | np.integer) and not isinstance(bins, bool) and bins >= 1:
        return _uniform(column, low, high, min(int(bins), int(finest)))
    if isinstance(bins, str):
        check_choice("bins", bins, NAMES)
        n, constant = w.sum() ** 2 / (w**2).sum(), column.min() == column.max()
        if bins == "bayesian-blocks" and not constant:
            return bayesian_blocks(column, w * (n / w.sum()), 0.5 if x.dtype.kind != "f" else 0.0)
        count = 1.0 if constant else RULES[bins]((column - low) / (high - low), w, n, d)
        most = finest if x.dtype.kind == "f" else min(finest, high - low)
        return _uniform(column, low, high, int(np.ceil(min(count, most))))
    raise InputError(
        f"bins expects one of {', '.join(map(repr, NAMES))}, an integer of at least 1, a list of edges, "
        f"or a tuple with one of these for each column; got {_line(bins)}."
    )


def _uniform(x: np.ndarray, low: float, high: float, n_bins: int) -> np.ndarray:
    """Equal bins; beyond ``MANY_BINS``, runs of empty ones are merged, which changes the density nowhere.

    One outlier may ask for millions of bins, nearly all of them empty. The neighbours of occupied bins are kept too:
    rounding may place an example in either.
    """
    n_bins = max(1, n_bins)
    if n_bins <= MANY_BINS:
        return np.linspace(low, high, n_bins + 1)
    step = (high - low) / n_bins
    occupied = np.unique(((x - low) / step).astype(np.int64))
    edges = low + step * np.union1d(_around(occupied, n_bins), [0, n_bins])
    edges[-1] = high
    return edges


def steps(distances: np.ndarray, width: float) -> np.ndarray:
    """Where bins of this width end, counted from 0, to hold the distances above 0; few where all but few are empty.

    Example:
        >>> steps(np.array([0.5, 2.5, -1.0]), 1.0), steps(np.array([1e6]), 1.0)
        (array([1., 2., 3.]), array([ 999998.,  999999., 1000000.]))
    """
    distances = distances[distances > 0]
    if not len(distances):
        return distances
    ends = np.unique(np.ceil(distances / width))
    if ends[-1] <= MANY_BINS:
        return width * np.arange(1, ends[-1] + 1)
    kept = _around(ends - 1, ends[-1])
    return width * kept[kept > 0]


def _around(occupied: np.ndarray, n_bins: float) -> np.ndarray:
    """The edges, by number, of the occupied bins and their neighbours."""
    return np.unique(np.concatenate([occupied + shift for shift in (-1, 0, 1, 2)]).clip(0, n_bins))


def _given(bins: Any, x: np.ndarray) -> np.ndarray:
    try:
        edges = np.asarray(bins, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"bins expects a list of numbers as edges (a tuple for columns); got {_line(bins)}.") from None
    if edges.ndim != 1 or len(edges) < 2 or not np.isfinite(edges).all() or not (np.diff(edges) > 0).all():
        raise InputError(f"bins expects at least two finite, strictly increasing edges; got {_line(bins)}.")
    outside = int(((x < edges[0]) | (x > edges[-1])).sum())
    if outside:
        raise InputError(
            f"bins expects edges around all rows; {outside} of {len(x)} lie outside [{edges[0]:g}, {edges[-1]:g}], "
            f"the data span [{x.min():g}, {x.max():g}]. Widen the edges or drop those rows."
        )
    return edges


def _range(x: np.ndarray, resolution: float) -> tuple[float, float]:
    low, high = float(x.min()), float(x.max())
    if not np.isfinite(high - low):
        raise InputError(f"The data span [{low:g}, {high:g}], too wide for floating point; divide them by a constant.")
    if low < high:
        return low, high
    half = max(0.5, resolution)
    return low - half, high + half


def _resolution(x: np.ndarray) -> float:
    """The narrowest bin that still holds a few values of x's dtype."""
    eps = np.finfo(x.dtype if x.dtype.kind == "f" else np.float64).eps
    return max(4 * float(eps) * float(np.abs(x.astype(np.float64)).max()), np.finfo(np.float64).tiny)


def _quantiles(u: np.ndarray, w: np.ndarray, q: tuple[float, ...]) -> np.ndarray:
    """Linear interpolation between midpoints of the cumulative weight; numpy's default where weights are equal."""
    order = np.argsort(u, kind="stable")
    middle = np.cumsum(w[order]) - w[order] / 2
    return np.interp(q, (middle - middle[0]) / (middle[-1] - middle[0]), u[order])


def _moment(u: np.ndarray, w: np.ndarray, power: int) -> float:
    return float(np.average((u - np.average(u, weights=w)) ** power, weights=w))


def _line(value: Any) -> str:
    return " ".join(repr(value).split())
