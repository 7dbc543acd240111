"""Derivatives by differences, where there is no formula."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray


def gradient(f: Callable[[Array], Any], x: Array, sizes: Array) -> Array:
    """The gradient of f, a number or (n,), by differences of fourth order: (p,) or (p, n).

    Args:
        f: of the point.
        x: the point, (p,).
        sizes: on which scale f changes, (p,); steps are a thousandth of it, for an error of about 1e-12.
    """
    return np.array(
        [(8 * (f(x + h) - f(x - h)) - f(x + 2 * h) + f(x - 2 * h)) / (12 * h.sum()) for h in np.diag(1e-3 * sizes)]
    )


def hessian(f: Callable[[Array], float], x: Array, sizes: Array) -> Array:
    """The second derivatives of f by differences of second order, for an error of about 1e-6: (p, p)."""
    sides, here = np.diag(1e-3 * sizes), f(x)
    out = np.diag([f(x + h) - 2 * here + f(x - h) for h in sides])
    for i, j in zip(*np.triu_indices(len(x), 1)):
        g, h = sides[i], sides[j]
        out[i, j] = out[j, i] = (f(x + g + h) - f(x + g - h) - f(x - g + h) + f(x - g - h)) / 4
    return out / np.outer(1e-3 * sizes, 1e-3 * sizes)


def jacobian(f: Callable[[Array], Array], x: Array, sizes: Array) -> Array:
    """The symmetric derivative of a gradient f, by differences of second order, for an error of about 1e-10: (p, p)."""
    columns = np.array([(f(x + h) - f(x - h)) / (2 * h.sum()) for h in np.diag(1e-5 * sizes)])
    return (columns + columns.T) / 2
