"""What a density asks of tables and weights, said in one line when it is not met."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from latens.data.framing import kind_of
from latens.density.tables import without_numbers
from latens.utils.errors import InputError
from latens.utils.validation import check_finite


def check_table(estimator: BaseEstimator, X: Any, *, reset: bool, missing: bool = False) -> np.ndarray:
    """``X`` as a finite numeric array (n, d), of its own dtype.

    Args:
        estimator: whose ``n_features_in_`` and ``feature_names_in_`` are set (``reset``) or must agree.
        X: an array, a frame or nested lists of numbers.
        reset: True in ``fit``, False afterwards.
        missing: whether NaN may stand for a missing entry.

    Raises:
        InputError: if ``X`` is not a table of finite numbers with the features of ``fit``.
    """
    table = read_table(estimator, X, reset=reset)
    check_finite("X", table, missing=missing)
    return table


def read_table(estimator: BaseEstimator, X: Any, *, reset: bool) -> np.ndarray:
    """``X`` as a numeric array (n, d), of its own dtype, whatever its numbers.

    Raises:
        InputError: if ``X`` is not a table of numbers with the features of ``fit``.
    """
    try:
        table = validate_data(estimator, X, reset=reset, dtype="numeric", ensure_all_finite=False)
    except (TypeError, ValueError) as error:
        raise refusal(X, error) from None
    if table.dtype.kind == "O":
        raise refusal(X)
    if reset:
        estimator._frame = kind_of(X)
    return table


def refusal(X: Any, error: Exception | None = None) -> Exception:
    """What scikit-learn says of ``X``, in one line; where a column holds no numbers, its name instead."""
    if isinstance(error, TypeError) and kind_of(X) is None:
        return error  # sparse matrices, objects: scikit-learn expects its own
    return InputError(without_numbers(X) or _without_entries(str(error or "X expects numbers; got objects.")))


def _without_entries(message: str) -> str:
    """scikit-learn's message in one line, less the array that it may quote."""
    return " ".join(re.sub(r"(:\s*array=)?\s*\[.*\]", "", message, flags=re.DOTALL).split())


def check_weights(sample_weight: ArrayLike | None, n_rows: int) -> np.ndarray:
    """``sample_weight`` as (n,) float64; None gives ones.

    Raises:
        InputError: if there is not one finite, non-negative weight a row, or all are zero.
    """
    if sample_weight is None:
        return np.ones(n_rows)
    try:
        weights = np.array(sample_weight, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("sample_weight expects numbers; got something else.") from None
    if weights.shape != (n_rows,):
        raise InputError(f"sample_weight expects one weight a row, shape ({n_rows},); got shape {weights.shape}.")
    check_finite("sample_weight", weights)
    if (weights < 0).any():
        raise InputError(f"sample_weight expects non-negative numbers; the smallest is {weights.min():g}.")
    with np.errstate(over="ignore"):
        endless = np.isinf(weights.sum())
    if endless:
        raise InputError(
            f"sample_weight expects a sum that is a number; the largest is {weights.max():g}. Divide them."
        )
    if not weights.any():
        raise InputError("sample_weight expects at least one positive weight; all are zero.")
    return weights


def check_one_column(estimator: BaseEstimator) -> None:
    """A fitted density of one column.

    Raises:
        InputError: it has several.
    """
    check_is_fitted(estimator)
    d = estimator.n_features_in_
    if d != 1:
        raise InputError(f"cdf and quantile are for densities of one column; this one has {d}.")


def check_points(estimator: BaseEstimator, x: ArrayLike) -> np.ndarray:
    """Where to evaluate a density of one column, (m,) or (m, 1), infinities included: (m,) float64.

    Raises:
        InputError: several columns, no numbers, or NaN.
    """
    check_one_column(estimator)
    points = _numbers("x", x)
    if points.ndim == 2 and points.shape[1] == 1:
        points = points[:, 0]
    if points.ndim != 1 or np.isnan(points).any():
        raise InputError(f"x expects numbers, shape (m,) or (m, 1), none NaN; got shape {np.shape(x)}.")
    return points


def check_probabilities(q: ArrayLike) -> np.ndarray:
    """Probabilities: (m,) float64.

    Raises:
        InputError: not one axis of numbers from 0 to 1.
    """
    probabilities = _numbers("q", q)
    if probabilities.ndim != 1 or not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise InputError("q expects probabilities from 0 to 1, shape (m,).")
    return probabilities


def _numbers(name: str, values: ArrayLike) -> np.ndarray:
    try:
        return np.atleast_1d(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError):
        raise InputError(f"{name} expects numbers; got something else.") from None
