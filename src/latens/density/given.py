"""What is known of a row: an array with NaN where it is open, or a mapping of columns to values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from latens.utils.errors import InputError
from latens.utils.text import nearest
from latens.utils.validation import check_finite


def known(estimator: BaseEstimator, given: Any) -> tuple[np.ndarray, np.ndarray]:
    """Which columns are known, (d,) bool, and their values, (d,) float64, NaN where open.

    Args:
        estimator: a fitted one, for its number of columns and their names.
        given: a row (d,) with NaN where it is open, or ``{column: value}`` by index or by name.

    Raises:
        InputError: a column that is not there, something that is no number, nothing known, or nothing left open.

    Example:
        >>> from latens.density import Histogram
        >>> density = Histogram().fit([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]])
        >>> known(density, {1: 5.0})
        (array([False,  True, False]), array([nan,  5., nan]))
    """
    row = _row(estimator, given)
    check_finite("given", row, missing=True)
    mask = ~np.isnan(row)
    if mask.all() or not mask.any():
        came = "all are known" if mask.all() else "none is known"
        raise InputError(f"given expects values for some of the {len(row)} columns and leaves others open; {came}.")
    return mask, row


def _row(estimator: BaseEstimator, given: Any) -> np.ndarray:
    d = estimator.n_features_in_
    row = np.full(d, np.nan)
    try:
        if isinstance(given, Mapping):
            for column, value in given.items():
                row[_index(estimator, column)] = value
            return row
        array = np.array(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("given expects numbers, NaN where open, or a mapping of columns to numbers.") from None
    if array.shape != (d,):
        raise InputError(f"given expects one value a column, shape ({d},), NaN where open; got shape {array.shape}.")
    return array


def _index(estimator: BaseEstimator, column: Any) -> int:
    names = list(getattr(estimator, "feature_names_in_", ()))
    if isinstance(column, str):
        if column not in names:
            raise InputError(f"given names the column {column!r}, which was not fitted{nearest(column, names)}.")
        return names.index(column)
    d = estimator.n_features_in_
    if not isinstance(column, int | np.integer) or isinstance(column, bool) or not 0 <= column < d:
        raise InputError(f"given expects columns from 0 to {d - 1} or their names; got {column!r}.")
    return int(column)
