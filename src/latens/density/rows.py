"""Rows of whatever holds them: arrays of any shape, and frames, which keep the types of their columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.validation import validate_data

from latens.data.framing import kind_of
from latens.density.tables import without_numbers
from latens.density.validation import refusal
from latens.utils.errors import InputError


def as_rows(estimator: BaseEstimator, X: Any, *, reset: bool) -> Any:
    """``X`` as a frame (left as it is) or an array (n, ...), its number of columns checked, its entries not.

    Raises:
        InputError: it has no rows and columns, others than in ``fit``, or a column of a frame holds no numbers.
    """
    try:
        if hasattr(X, "iloc"):
            validate_data(estimator, X, reset=reset, skip_check_array=True)
            rows = X
        else:
            rows = validate_data(estimator, X, reset=reset, dtype=None, allow_nd=True, ensure_all_finite=False)
    except ValueError as error:
        raise refusal(X, error) from None
    if hasattr(X, "columns") and (wrong := without_numbers(X)):
        raise InputError(wrong)
    if reset:
        estimator._frame = kind_of(X)
    return rows


def as_labels(estimator: BaseEstimator, y: Any, n_rows: int) -> np.ndarray:
    """``y`` as (n,), one a row.

    Raises:
        InputError: no y, another number of them, or NaN among them.
    """
    if y is None:
        raise InputError(f"{type(estimator).__name__} requires y to be passed, but the target y is None.")
    try:
        labels = column_or_1d(y, warn=True)
        assert_all_finite(labels, input_name="y")
    except ValueError as error:
        raise InputError(" ".join(str(error).split())) from None
    if len(labels) != n_rows:
        raise InputError(f"Expected one y a row; got inconsistent numbers: {n_rows} rows, {len(labels)} y.")
    return labels


def take(rows: Any, index: np.ndarray) -> Any:
    """Some of the rows, by index or mask.

    Example:
        >>> take(np.array([[1], [2], [3]]), np.array([True, False, True]))
        array([[1], [3]])
    """
    return rows.iloc[index] if hasattr(rows, "iloc") else rows[index]
