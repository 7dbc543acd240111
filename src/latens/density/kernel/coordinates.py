"""A bandwidth as a change of coordinates B: a number, one a column, or the root of a matrix H = B B'."""

from __future__ import annotations

from typing import Any

import numpy as np


def over(bandwidth: Any, x: np.ndarray) -> np.ndarray:
    """B^-1 x for each row; column by column, since LAPACK's last digits would depend on the number of rows."""
    if np.ndim(bandwidth) < 2:
        return np.divide(x.T, np.reshape(bandwidth, (-1, 1)), order="C").T
    white = x.T.copy()
    for j, root in enumerate(np.linalg.cholesky(bandwidth)):
        for k in range(j):
            white[j] -= root[k] * white[k]
        white[j] /= root[j]
    return white.T


def times(bandwidth: Any, x: np.ndarray) -> np.ndarray:
    """B x for each row."""
    return x * bandwidth if np.ndim(bandwidth) < 2 else x @ np.linalg.cholesky(bandwidth).T


def log_volume(bandwidth: Any, d: int) -> float:
    """log |B|."""
    if np.ndim(bandwidth) == 2:
        return float(np.log(np.linalg.cholesky(bandwidth).diagonal()).sum())
    return float(np.log(np.broadcast_to(bandwidth, d)).sum())
