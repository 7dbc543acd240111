"""Newton's method for smooth functions of a few hundred numbers, with steps halved until they lead downhill."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigh

Smooth = Callable[[np.ndarray], tuple[float, np.ndarray, np.ndarray]]
"""theta (p,) -> the value to minimise, its gradient (p,) and its Hessian (p, p)."""

_STEPS, _HALVINGS = 200, 50


def newton(smooth: Smooth, start: np.ndarray, gain: float = 1e-11) -> np.ndarray:
    r"""The minimum of a smooth function, by steps $-H^{-1} g$; where H is not positive, by $-|H|^{-1} g$.

    Convergence is quadratic, so the step after which less than ``gain`` could still be won leaves an error of the order
    of its square.

    Args:
        smooth: the function, at a value of the order of 1.
        start: where to begin, (p,); the function is finite there.
        gain: the decrease, forecast from the quadratic model, below which a step is the last.

    Reference:
        Nocedal and Wright (2006), Numerical Optimization, chapter 3.

    Example:
        >>> newton(lambda t: (np.cosh(t[0]), np.sinh(t), np.cosh(t)[:, None]), np.array([3.0])).round(12) + 0.0
        array([0.])
    """
    theta = start
    value, gradient, hessian = smooth(theta)
    for _ in range(_STEPS):
        step = _step(gradient, hessian)
        forecast = -float(gradient @ step) / 2
        theta, value, gradient, hessian = _downhill(smooth, theta, step, value, gradient, hessian)
        if forecast < gain:
            break
    return theta


def _downhill(
    smooth: Smooth, theta: np.ndarray, step: np.ndarray, value: float, gradient: np.ndarray, hessian: np.ndarray
) -> tuple[np.ndarray, float, np.ndarray, np.ndarray]:
    """After the first of the steps 1, 1/2, 1/4, ... that leads downhill, up to rounding; if none does, where it was."""
    slope, rounding = float(gradient @ step), 1e-13 * (1 + abs(value))
    for halvings in range(_HALVINGS):
        length = 0.5**halvings
        with np.errstate(over="ignore", invalid="ignore"):
            new = smooth(theta + length * step)
        if new[0] <= value + 1e-4 * length * slope + rounding:
            return theta + length * step, *new
    return theta, value, gradient, hessian


def _step(gradient: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    try:
        return -cho_solve(cho_factor(hessian), gradient)
    except LinAlgError:
        size, direction = eigh(hessian)
        size = np.maximum(np.abs(size), 1e-12 * np.abs(size).max(initial=0.0) + np.finfo(float).tiny)
        return -direction @ ((direction.T @ gradient) / size)
