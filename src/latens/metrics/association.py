"""How much two columns of a table tell of each other, whatever they hold: one measure for numbers and categories."""

from __future__ import annotations

from typing import Any

import numpy as np

from latens.data import Schema, load
from latens.utils.errors import InputError
from latens.utils.validation import check_positive

BINS = 8


def associations(X: Any, *, bins: int = BINS) -> np.ndarray:
    """r = sqrt(1 - exp(-2 I)) of each pair of columns, I their mutual information in nats: ``(d, d)``, in 0 .. 1.

    It is 0 where two columns are independent, whatever they hold, and near 1 where one tells the other; of two normal
    columns it is the size of their correlation, but for what is lost by cutting numbers into bins of about equal share.
    The rarest categories are one bin. What I is too large by on average in so many rows is subtracted, after Miller
    and Madow; rows that lack one of two columns are left out.

    Args:
        X: a table, a frame or the path of one.
        bins: into how many each column is cut, at most.

    References:
        Linfoot, *An informational measure of correlation*, 1957.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(5000, 3)) @ [[1.0, 0.8, 0.0], [0.0, 0.6, 0.0], [0.0, 0.0, 1.0]]
        >>> associations(x).round(1)
        array([[1. , 0.8, 0. ],
               [0.8, 1. , 0. ],
               [0. , 0. , 1. ]])
    """
    check_positive("bins", bins, integer=True)
    source = load(X)
    if source.schema.kind != "table":
        raise InputError(f"associations expects a table; got {source.schema.summary}.")
    rows = source.take(np.arange(len(source)))
    return between(levels(source.schema, rows, rows, bins))


def levels(schema: Schema, rows: np.ndarray, like: np.ndarray, bins: int = BINS) -> np.ndarray:
    """The bin of each entry, ``(n, d)`` whole numbers, -1 where it is missing.

    Args:
        schema: of the rows.
        rows: ``(n, d)``.
        like: the rows by which bins are cut, so that those of others can be compared.
        bins: at most so many a column.
    """
    out = np.full(rows.shape, -1)
    for j in range(rows.shape[1]):
        known = np.asarray(like[:, j], np.float64)
        named = schema.columns is not None and schema.columns[j].categories is not None
        column = np.asarray(rows[:, j], np.float64)
        cut = _rank if named else _bin
        out[:, j] = np.where(np.isnan(column), -1, cut(column, known[~np.isnan(known)], bins))
    return out


def _rank(column: np.ndarray, known: np.ndarray, bins: int) -> np.ndarray:
    """Categories by how frequent they are; the rarest together."""
    values, counts = np.unique(known, return_counts=True)
    place = {value: min(i, bins - 1) for i, value in enumerate(values[np.argsort(-counts, kind="stable")].tolist())}
    return np.array([place.get(value, bins - 1) for value in column.tolist()])


def _bin(column: np.ndarray, known: np.ndarray, bins: int) -> np.ndarray:
    """Numbers by the quantiles: up to each, it included; few different ones by themselves."""
    values = np.unique(known)
    if len(values) > bins:
        values = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1]))
    else:
        values = values[:-1]
    return np.searchsorted(values, column, side="left")


def between(places: np.ndarray) -> np.ndarray:
    """The measure from bins ``(n, d)``, -1 where missing: all tables of two columns are one product of matrices."""
    sizes = np.maximum(places.max(0, initial=0) + 1, 1)
    starts = np.cumsum(sizes) - sizes
    column = np.repeat(np.arange(len(sizes)), sizes)
    vectors = np.zeros((len(places), int(sizes.sum())), np.float32)
    at, of = np.nonzero(places >= 0)
    vectors[at, starts[of] + places[at, of]] = 1.0
    joint = (vectors.T @ vectors).astype(np.float64)
    alone = np.add.reduceat(joint, starts, axis=1)
    n = np.maximum(np.add.reduceat(alone, starts, axis=0), 1.0)
    expected = alone[:, column] * alone[:, column].T
    ratio = np.where(joint > 0, joint * n[column][:, column], 1.0) / np.where(joint > 0, expected, 1.0)
    terms = joint * np.log(ratio)
    information = np.add.reduceat(np.add.reduceat(terms, starts, axis=0), starts, axis=1) / n
    free = np.maximum(np.add.reduceat(alone > 0, starts, axis=0, dtype=np.int64) - 1, 0)
    excess = free * free.T / (2.0 * n)
    found = np.sqrt(-np.expm1(-2.0 * np.maximum(information - excess, 0.0)))
    np.fill_diagonal(found, 1.0)
    return found
