"""Whether the likelihood of a generalised linear model has a maximum, or grows without end along some direction."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog
from sklearn.exceptions import ConvergenceWarning


class Separation(ConvergenceWarning):
    """The likelihood grows without end along some direction of the coefficients, so its maximum does not exist."""


def grows_forever(rows: np.ndarray, ties: np.ndarray) -> bool:
    r"""Whether there is a v with $a^\top v \ge 0$ for all rows, > 0 for some, and $b^\top v = 0$ for all ties.

    With $a = \phi(x_i) \otimes (e_{y_i} - e_k)$ that is complete or quasi-complete separation of classes; with
    $a = -\phi(x_i)$ where a count is 0 and ties where it is not, that of counts. Decided by linear programming.

    Args:
        rows: a, (m, p), of the order of 1.
        ties: b, (r, p).

    Reference:
        Albert and Anderson (1984), On the existence of maximum likelihood estimates in logistic regression models;
        Konis (2007), Linear programming algorithms for detecting separated data in binary logistic regression models.

    Example:
        >>> grows_forever(np.array([[1.0, 2.0], [1.0, 0.0]]), np.empty((0, 2)))
        True
        >>> grows_forever(np.array([[1.0, 2.0], [-1.0, -2.0]]), np.empty((0, 2)))
        False
    """
    if not len(rows):
        return False
    rows, ties = np.unique(rows, axis=0), np.unique(ties, axis=0)
    zero, none = np.zeros(len(rows)), np.zeros(len(ties))
    best = linprog(-rows.mean(axis=0), A_ub=-rows, b_ub=zero, A_eq=ties, b_eq=none, bounds=(-1, 1), method="highs")
    return bool(best.fun is not None and best.fun * len(rows) < -1e-5)


def flat(hessian: np.ndarray) -> bool:
    """Whether the mean loss hardly bends along some direction: a sign that there is no minimum along it."""
    return bool(np.linalg.eigvalsh(hessian)[0] < 1e-7)
