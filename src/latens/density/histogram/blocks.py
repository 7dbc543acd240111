"""Bins of unequal width, where the data ask for them."""

from __future__ import annotations

import numpy as np

MOST = 1 << 14
"""Places at most where a bin may end; of more values, those that hold equal weight between them."""


def bayesian_blocks(x: np.ndarray, w: np.ndarray, margin: float = 0.0, p0: float = 0.05) -> np.ndarray:
    """The edges that maximise sum_b (N_b log(N_b / T_b) - prior), N_b the weight and T_b the width of bin b.

    prior = 4 - log(73.53 p0 N^-0.478) makes a false change about as rare as ``p0``. Edges lie halfway between
    neighbouring values. The search over all partitions is exact: a beginning that is worse than the best division by
    more than a division may cost is never looked at again.

    Args:
        x: (n,) values, not all equal.
        w: (n,) weights, all positive, whose sum N counts as the number of rows.
        margin: how far the outermost edges lie from the outermost values.
        p0: the rate of false changes.

    Returns:
        (n_bins + 1,) strictly increasing edges.

    Reference:
        Scargle, Norris, Jackson and Chiang (2013), Studies in astronomical time series analysis VI, section 2 and
        appendix A; pruned as Killick, Fearnhead and Eckley (2012), Optimal detection of changepoints.

    Example:
        >>> x = np.concatenate([np.linspace(0, 1, 500), np.linspace(1, 10, 500)])
        >>> bayesian_blocks(x, np.ones(1000)).round(1)
        array([ 0.,  1., 10.])
    """
    values, place = np.unique(x, return_inverse=True)
    weights = np.bincount(place, weights=w)
    middles = values[:-1] + np.diff(values) / 2
    middles = np.where(middles > values[:-1], middles, values[1:])  # where nothing lies between
    edges = np.concatenate([[values[0] - margin], middles, [values[-1] + margin]])
    sums = np.concatenate([[0.0], np.cumsum(weights)])
    if edges[-2] == edges[-1]:
        edges, sums = np.delete(edges, -2), np.delete(sums, -2)
    if len(values) > MOST:
        kept = np.unique(np.searchsorted(sums, np.linspace(0, sums[-1], MOST + 1)).clip(max=len(sums) - 1))
        edges, sums = edges[kept], sums[kept]
    return edges[_best(edges, sums, 4 - float(np.log(73.53 * p0 * sums[-1] ** -0.478)))]


def _best(edges: np.ndarray, sums: np.ndarray, prior: float) -> np.ndarray:
    """The indices of the edges of the best partition."""
    n = len(edges) - 1
    best, begin, alive = np.zeros(n + 1), np.zeros(n + 1, dtype=np.int64), np.zeros(0, dtype=np.int64)
    for end in range(1, n + 1):
        alive = np.append(alive, end - 1)
        weight = sums[end] - sums[alive]
        value = best[alive] + weight * np.log(weight / (edges[end] - edges[alive]))
        at = int(value.argmax())
        best[end], begin[end] = value[at] - prior, alive[at]
        alive = alive[value >= best[end]]
    path = [n]
    while path[-1] > 0:
        path.append(int(begin[path[-1]]))
    return np.array(path[::-1])
