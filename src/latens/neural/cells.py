"""Numbers of a column in cells, of which the model tells one: P(x) = P(cell of x) p(x | cell), the second factor fixed.

Inside a cell all values count the same; the first and the last have no end, and p falls geometrically there (for real
numbers exponentially) as it does in the data. So masses of whole numbers sum to 1 over all of them, seen or not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

OFTEN = 5
"""A value is frequent in its cell if so many rows have it, and so many times as many as have another."""


@dataclass(frozen=True)
class Cells:
    """The cells of one column; several neighbours may be one to the model, and share its probability.

    Attributes:
        edges: (m - 1,) where each but the first begins, in the user's units.
        log_inside: (m,) log p(x | what the model tells) in nats, of a value for whole numbers, of a unit for reals; of
            the first and the last at their inner edge.
        decay: (2,) by how much it falls for each unit away from it, of the first and the last.
        centres: (m,) the mean of the data in each.
        starts: (m,) what the model tells of each, and how much of its probability those before it have.
        step: the distance of two values; 0 for reals.
    """

    edges: np.ndarray
    log_inside: np.ndarray
    decay: np.ndarray
    centres: np.ndarray
    starts: np.ndarray
    step: float


def cells(values: np.ndarray, n: int, step: float = 0.0, spikes: tuple[float, ...] = (), low: float = -np.inf) -> Cells:
    """n cells that hold about as many of the values each; a value that many are equal to has a cell of its own.

    Args:
        values: (m,) what is known of a column.
        n: how many.
        step: the distance of two values where they lie on a lattice; 0 for reals.
        spikes: reals that have a probability of their own.
        low: below it nothing can be.

    Example:
        >>> found = cells(np.array([0.0, 0, 0, 0, 1, 2, 7, 9]), 3, step=1.0, low=0.0)
        >>> found.edges, np.exp(found.log_inside[1:3])  # nothing below 0; 0 alone, 1 to 3, and from 4 on
        (array([-0.5,  0.5,  3.5]), array([1.        , 0.33333333]))
    """
    distinct, counts = np.unique(values, return_counts=True)
    if not step:
        return _filled(values, _real_edges(values, n, spikes), np.empty(0), step, spikes)
    told = _lattice_edges(distinct, counts, n, step)
    if np.isfinite(low):
        told = np.r_[low - step / 2, told]
    found = _filled(values, told, _around(distinct, counts, told, step), step, ())
    return replace(found, starts=found.starts - 1.0) if np.isfinite(low) else found


def rare(n: int, shares: tuple[float, ...]) -> Cells:
    """The places of categories, of which the last share what the model tells as one.

    Args:
        n: how many the model tells apart.
        shares: of the last ones.

    Example:
        >>> rare(3, (0.75, 0.25)).starts  # the first and the last cell hold nothing
        array([-1.  ,  0.  ,  1.  ,  2.  ,  2.75,  3.  ])
    """
    share = np.array(shares) / np.sum(shares)
    places = np.arange(-1.0, n + len(share))
    starts = np.concatenate([places[:n], n - 1 + np.cumsum(share) - share, [n]])
    log_inside = np.concatenate([np.zeros(n), np.log(share), [0.0]])
    return Cells(places[:-1] + 0.5, log_inside, np.zeros(2), places, starts, 1.0)


def _lattice_edges(distinct: np.ndarray, counts: np.ndarray, n: int, step: float) -> np.ndarray:
    """Half a step from a value each, n - 1 of them, increasing."""
    first, last = (distinct[0], distinct[-1]) if len(distinct) else (0.0, 0.0)
    levels = round((last - first) / step) + 1
    anywhere = first + step * (np.arange(n - 1) + 0.5)
    if levels <= n:
        return anywhere
    if len(distinct) > n:
        ends = _shares(counts, n)
        return np.array([_between(distinct, before, end, step) for before, end in zip([-1, *ends], ends[:-1])])
    every = np.concatenate([distinct[:-1] + step / 2, distinct[1:] - step / 2, anywhere])
    kept = np.sort(np.unique(every, return_index=True)[1])[: n - 1]
    return np.sort(every[kept])


def _around(distinct: np.ndarray, counts: np.ndarray, told: np.ndarray, step: float) -> np.ndarray:
    """Both sides of values that are frequent in their cell: inside it, they have a share of their own."""
    cell = np.searchsorted(told, distinct, side="right")
    ends = np.r_[min(distinct[0], told[0]) - step / 2, told, max(distinct[-1], told[-1]) + step / 2]
    values = np.maximum(np.diff(ends) / step, 1.0)
    usual = np.bincount(cell, weights=counts, minlength=len(values)) / values
    often = distinct[(counts >= OFTEN) & (counts > OFTEN * usual[cell])]
    return np.r_[often - step / 2, often + step / 2]


def _between(distinct: np.ndarray, before: int, end: int, step: float) -> float:
    """Where a cell of the values ``before + 1 .. end`` ends: right behind a value alone, else midway to the next."""
    if end == before + 1:
        return distinct[end] + step / 2
    gap = np.floor((distinct[end + 1] - distinct[end]) / step / 2)
    return distinct[end] + step * (max(gap, 1.0) - 0.5)


def _shares(counts: np.ndarray, n: int) -> list[int]:
    """The last index of each of n runs of about the same total."""
    ends: list[int] = []
    left, held = int(counts.sum()), 0
    for i, count in enumerate(counts):
        runs = n - len(ends)
        target = left / runs
        if held and held + count > target and held + count - target > target - held and runs > 1:
            ends.append(i - 1)
            left, held, runs = left - held, 0, runs - 1
        held += int(count)
        if runs > 1 and (held >= left / runs or len(counts) - i - 1 < runs):
            ends.append(i)
            left, held = left - held, 0
    return [*ends, len(counts) - 1]


def _real_edges(values: np.ndarray, n: int, spikes: tuple[float, ...]) -> np.ndarray:
    """Quantiles of what is no spike, and both sides of each spike."""
    sides = np.array([side for v in sorted(spikes) for side in (v, np.nextafter(v, np.inf))])
    rest = values[~np.isin(values, spikes)]
    inner = max(n - 1 - len(sides), 0)
    grid = np.quantile(rest, np.linspace(0, 1, inner + 2)[1:-1]) if len(rest) else np.zeros(inner)
    edges = np.sort(np.concatenate([sides, grid]))
    for i in range(1, len(edges)):
        edges[i] = max(edges[i], np.nextafter(edges[i - 1], np.inf))
    return edges


def _filled(values: np.ndarray, told: np.ndarray, more: np.ndarray, step: float, spikes: tuple[float, ...]) -> Cells:
    """The cells between the edges of what the model tells, and more of them inside, as the values fill them."""
    edges, unit = np.union1d(told, more), step or 1.0
    n = len(edges) + 1
    place = np.searchsorted(edges, values, side="right")
    counts, sums = np.bincount(place, minlength=n), np.bincount(place, weights=values, minlength=n)
    widths = np.diff(edges) / unit
    typical = float(np.median(widths)) if len(widths) else 1.0
    middles = np.r_[edges[0] - typical * unit / 2, (edges[1:] + edges[:-1]) / 2, edges[-1] + typical * unit / 2]
    log_inside, decay = np.zeros(n), np.zeros(2)
    log_inside[1:-1] = -np.log(np.rint(widths) if step else widths)
    log_inside[1:-1][np.isin(edges[:-1], spikes)] = 0.0
    fall = _geometric if step else _exponential
    log_inside[0], decay[0] = fall((edges[0] - values[place == 0]) / unit, typical)
    log_inside[-1], decay[1] = fall((values[place == n - 1] - edges[-1]) / unit, typical)
    index = np.asarray(np.searchsorted(told, np.r_[-np.inf, edges], side="right"))
    starts, log_share = _within(index, counts + 0.5)
    centres = np.where(counts > 0, sums / np.maximum(counts, 1), middles)
    return Cells(edges, log_inside + log_share, decay, centres, starts, step)


def _within(index: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each cell starts in what the model tells, ``index``, and the logarithm of its share of that."""
    share = weights / np.bincount(index, weights=weights)[index]
    before = np.cumsum(share) - share
    before -= before[np.searchsorted(index, index)]
    return index + np.clip(before, 0.0, 1.0 - 1e-9), np.log(share)


def _geometric(away: np.ndarray, typical: float) -> tuple[float, float]:
    """Of values 1/2, 3/2 ... from the edge: the logarithm of the mass at the edge, and its fall with each."""
    beyond = float(away.sum() - 0.5 * len(away) + 0.5) / (len(away) + 1)
    decay = float(np.log1p(1.0 / beyond))
    return 0.5 * decay - float(np.log1p(beyond)), decay


def _exponential(away: np.ndarray, typical: float) -> tuple[float, float]:
    """Of distances from the edge: the logarithm of the density at the edge, and its fall with a unit."""
    mean = float(away.sum() + typical) / (len(away) + 1)
    return -float(np.log(mean)), 1.0 / mean
