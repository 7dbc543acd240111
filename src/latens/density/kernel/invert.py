"""Quantiles of any distribution function."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]


def invert(cdf: Function, density: Function, q: np.ndarray, start: np.ndarray, low: float, high: float) -> np.ndarray:
    """The x from ``low`` to ``high`` with cdf(x) = q within 1e-12 of q or 1 - q, or as near as x can be told apart.

    Newton's steps from ``start``; where one leaves the bracket, and at every fourth, the bracket's middle.

    Example:
        >>> from scipy.stats import norm
        >>> invert(norm.cdf, norm.pdf, np.array([0.5, 0.975]), np.array([3.0, -3.0]), -40.0, 40.0).round(6)
        array([0.      , 1.959964])
    """
    x = np.clip(start, low, high)
    left, right, open_ = np.full(len(q), low), np.full(len(q), high), np.arange(len(q))
    for step in range(400):
        here = x[open_]
        error = cdf(here) - q[open_]
        left[open_], right[open_] = np.where(error < 0, here, left[open_]), np.where(error < 0, right[open_], here)
        a, b = left[open_], right[open_]
        done = np.abs(error) <= 1e-12 * np.minimum(q[open_], 1 - q[open_])
        done |= b - a <= 2 * np.spacing(np.maximum(np.abs(a), np.abs(b)))
        open_, here, error, a, b = (values[~done] for values in (open_, here, error, a, b))
        if not len(open_):
            break
        with np.errstate(divide="ignore", invalid="ignore"):
            newton = here - error / density(here)
        good = (newton > a) & (newton < b) & (step % 4 < 3)
        x[open_] = np.where(good, newton, a + (b - a) / 2)
    return x
