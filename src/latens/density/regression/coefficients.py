"""Coefficients, how well they are known, and the table of both."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats
from sklearn.base import BaseEstimator


def student(level: float, spare: float) -> float:
    """How many standard errors on either side of the middle have this probability; infinitely many if none spare.

    >>> round(student(0.95, np.inf), 2), round(student(0.95, 5), 2)
    (1.96, 2.57)
    """
    return float(stats.t.ppf((1 + level) / 2, spare)) if spare > 0 else float("inf")


def bounds(values: np.ndarray, errors: np.ndarray, level: float, spare: float) -> np.ndarray:
    """Where the true values lie with this confidence: (..., 2)."""
    half = student(level, spare) * errors
    return np.stack([values - half, values + half], axis=-1)


def table(
    estimator: BaseEstimator, values: np.ndarray, errors: np.ndarray, level: float, spare: float, classes: Any = None
) -> dict[str, list[Any]]:
    """The columns of a table of coefficients, one row for each; without those that are 0 because they were left out.

    Args:
        estimator: fitted, for the names of its columns.
        values: intercept and coefficients, (1 + d,), or (K, 1 + d) with their classes.
        errors: their standard errors, 0 where left out.
        level: of the confidence interval.
        spare: degrees of freedom of the t test that a coefficient is 0; infinite for the normal one.
        classes: of each row of values.
    """
    names = ["intercept", *getattr(estimator, "feature_names_in_", [f"x{j}" for j in range(values.shape[-1] - 1)])]
    kept = np.atleast_2d(errors) > 0
    both = np.stack([np.atleast_2d(values), np.atleast_2d(errors)])[:, kept]
    low, high = bounds(both[0], both[1], level, spare).T
    p = 2 * stats.t.sf(np.abs(both[0] / both[1]), spare) if spare > 0 else np.full(len(low), np.nan)
    columns: dict[str, list[Any]] = {"coefficient": [names[j] for j in np.nonzero(kept)[1]]}
    if classes is not None:
        columns["class"] = [classes[k] for k in np.nonzero(kept)[0]]
    figures = {"estimate": both[0], "standard_error": both[1], "low": low, "high": high, "p_value": p}
    return columns | {name: column.tolist() for name, column in figures.items()}
