"""The frame in which expectation maximisation works."""

from __future__ import annotations

import numpy as np

from latens.density.mixture.covariances import Frame, Shape
from latens.utils.errors import InputError

DEAD = 1e-13
OUTER_VARIANCE = 0.9


def present(table: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows that have a weight and an entry, as float64, and their weights.

    Raises:
        InputError: a column without any value.
    """
    x = table.astype(np.float64)
    there = (weights > 0) & ~np.isnan(x).all(axis=1)
    unseen = np.isnan(x[there]).all(axis=0)
    if unseen.any():
        raise InputError(f"column {int(np.argmax(unseen))} of X has no value in any row; leave it out.")
    return x[there], weights[there]


def frame(x: np.ndarray, weights: np.ndarray, shape: Shape, alike: bool) -> Frame:
    """Where the rows x (n, d), NaN where missing, have mean 0 and variance 1; ``alike``: one scale for all columns.

    Where a hundredth of the rows makes the deviation in some direction ten times larger, it is the others' frame: the
    ridge would else be larger than their variance.

    Raises:
        InputError: a column has only one value, or the rows are too far apart for their squares.
    """
    whole = _standard(x, weights, shape, alike)
    distance = np.nansum(whole.enter(x) ** 2, axis=1)
    outer = _outer(distance, weights)
    inner = x[~outer]
    if weights[outer] @ distance[outer] < OUTER_VARIANCE or _constant(inner).any():
        return whole
    found = _standard(inner, weights[~outer] / weights[~outer].sum(), shape, alike)
    shrinks = np.linalg.svd(found.outward @ whole.inward, compute_uv=False).min() < 0.1
    return found if shrinks and found.lost <= whole.lost else whole


def _outer(distance: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The farthest rows, a hundredth of the weight."""
    order = np.argsort(distance)
    found = np.empty(len(order), dtype=bool)
    found[order] = np.cumsum(weights[order]) > 0.99
    return found


def _constant(x: np.ndarray) -> np.ndarray:
    """(d,) bool: the columns with one value, or none."""
    seen = ~np.isnan(x)
    low, high = np.where(seen, x, np.inf).min(0), np.where(seen, x, -np.inf).max(0)
    return ~(low < high)


def _standard(x: np.ndarray, weights: np.ndarray, shape: Shape, alike: bool) -> Frame:
    """Where all rows have mean 0 and variance 1."""
    _check_spread(x, alike)
    seen = ~np.isnan(x)
    share = np.where(seen, weights[:, None], 0.0)
    share /= share.sum(0)
    center = (np.where(seen, x, 0.0) * share).sum(0)
    away = np.where(seen, x - center, 0.0)
    span = np.abs(away).max(0)
    span = np.maximum(span, span.max() * 1e-300)
    scale = span * np.sqrt(((away / span) ** 2 * share).sum(0))
    if not (scale[scale > 0].min() > 1e-150 and scale.max() < 1e150):
        raise InputError("the spread of X's columns is out of range (1e-150 to 1e150); multiply them by a constant.")
    if alike:
        top = scale.max()
        scale = np.full(len(scale), top * np.sqrt(((scale / top) ** 2).mean()))
    if not shape.whitens or not seen.all():
        return Frame(center, scale)
    z = away / scale
    values, vectors = np.linalg.eigh((z * weights[:, None]).T @ z)
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(len(values))])
    lost = int((values <= DEAD).sum())
    if lost:
        return Frame(center, scale, lost=lost)
    length = np.sqrt(values)
    return Frame(center, scale, vectors / length, vectors.T * length[:, None])


def _check_spread(x: np.ndarray, alike: bool) -> None:
    if len(x) == 1:
        raise InputError("a mixture expects at least 2 rows to learn a variance from; got 1 sample.")
    constant = _constant(x)
    if constant.all() if alike else constant.any():
        column = int(np.flatnonzero(constant)[0])
        value = x[~np.isnan(x[:, column]), column][0]
        raise InputError(f"column {column} of X is constant ({value:g}): its density has no limit; leave it out.")
