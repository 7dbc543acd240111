"""Densities of whole numbers, integrated over the cells around them, so that they stand beside masses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp
from scipy.stats import qmc
from sklearn.base import is_classifier

_REPLICATES, _POINTS = 4, 16
_CANCELS = 1e-4

Shifted = Callable[[np.ndarray], np.ndarray]
"""log p where the whole numbers are moved by (c,) inside their cells: (n,)."""


class Cells:
    r"""$\log \int_{[-1/2, 1/2]^c} p(x + u) \, du$, u moving the columns that hold whole numbers alone.

    Args:
        columns: which columns of X, or positions in each flattened example, are whole; for a target [0] or [].
        target: whether it is y that is moved.
    """

    def __init__(self, columns: np.ndarray, target: bool) -> None:
        self.columns, self.target = columns, target

    @classmethod
    def of_rows(cls, rows: Any) -> Self:
        """The columns of X (n, ...) in which all values are whole."""
        if hasattr(rows, "iloc"):
            whole = [_whole(rows.iloc[:, j].to_numpy()) for j in range(rows.shape[1])]
        else:
            whole = [_whole(column) for column in rows.reshape(len(rows), int(np.prod(rows.shape[1:]))).T]
        return cls(np.flatnonzero(whole), False)

    @classmethod
    def of_target(cls, y: np.ndarray | None) -> Self:
        """Whether y (n,), the target of regressors, is whole."""
        return cls(np.flatnonzero([y is not None and _whole(y)]), True)

    @property
    def note(self) -> str:
        """What was integrated, in words."""
        many = len(self.columns)
        if not many:
            return ""
        what = "of y" if self.target else f"of {many} column{'s' * (many > 1)} of whole numbers"
        return f"; continuous densities integrated over the cells {what}"

    def score(self, density: Any, rows: Any, y: np.ndarray | None) -> tuple[np.ndarray, float]:
        """log p of each row (n,), and the standard error of its mean that integration leaves."""
        given = () if y is None else (y,)
        columns = self._continuous(density, rows)
        if not len(columns) or is_classifier(density):
            return np.asarray(density.score_samples(rows, *given)), 0.0
        single = y is None and np.shape(rows)[1:] == (1,) and hasattr(density, "cdf")
        if single and not np.isnan(np.asarray(rows, dtype=np.float64)).any():
            return self._by_cdf(density, rows)
        at = np.arange(len(rows))
        if y is None and isinstance(rows, np.ndarray) and len(self.columns) == rows[0].size:
            rows, at = np.unique(rows, axis=0, return_inverse=True)

        def moved(u: np.ndarray) -> np.ndarray:
            if self.target and y is not None:
                return density.score_samples(rows, y + u[0])
            return density.score_samples(_shifted(rows, columns, u), *given)[at.ravel()]

        return _averaged(moved, len(columns))

    def _continuous(self, density: Any, rows: Any) -> np.ndarray:
        """Those of the columns for which it gives densities, not masses."""
        if self.target:
            return self.columns[: 0 if getattr(density, "is_mass", False) else 1]
        masses = np.broadcast_to(getattr(density, "_masses", False), int(np.prod(np.shape(rows)[1:])))
        return self.columns[~masses[self.columns]]

    def _by_cdf(self, density: Any, rows: Any) -> tuple[np.ndarray, float]:
        """The difference of the cdf, where it has enough digits; in the tails the average."""
        x, at = np.unique(np.asarray(rows, dtype=np.float64)[:, 0], return_inverse=True)
        mass = density.cdf(x + 0.5) - density.cdf(x - 0.5)
        with np.errstate(divide="ignore"):
            log_mass = np.log(np.maximum(mass, 0.0))
        thin = mass < _CANCELS
        if thin.any():
            nodes, weights = np.polynomial.legendre.leggauss(32)
            inside = (x[thin, None] + nodes / 2).reshape(-1, 1)
            named = type(rows)(inside, columns=rows.columns) if hasattr(rows, "iloc") else inside
            log_p = density.score_samples(named).reshape(-1, len(nodes))
            log_mass[thin] = _log_sum(log_p + np.log(weights / 2), axis=1)
        return log_mass[at], 0.0


def _averaged(log_p: Shifted, n_columns: int) -> tuple[np.ndarray, float]:
    """By four independent scramblings of 16 points of Sobol's sequence, whose spread tells the error."""
    replicates = []
    for seed in range(_REPLICATES):
        points = qmc.Sobol(n_columns, seed=np.random.default_rng(seed)).random(_POINTS) - 0.5
        replicates.append(_log_sum([log_p(u) for u in points], axis=0) - np.log(_POINTS))
    log_mean = _log_sum(replicates, axis=0) - np.log(_REPLICATES)
    known = np.isfinite(log_mean)
    relative = np.exp(np.array(replicates)[:, known] - log_mean[known]).mean(axis=1) if known.any() else np.zeros(2)
    return log_mean, float(relative.std(ddof=1) / np.sqrt(_REPLICATES))


def _log_sum(terms: ArrayLike, axis: int) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return logsumexp(terms, axis=axis)


def _whole(values: np.ndarray) -> bool:
    if values.dtype.kind in "iub":
        return True
    return values.dtype.kind == "f" and bool((values[~np.isnan(values)] % 1 == 0).all())


def _shifted(rows: Any, columns: np.ndarray, u: np.ndarray) -> Any:
    """The rows as float64, u (c,) added to these columns."""
    if hasattr(rows, "iloc"):
        moved = {rows.columns[j]: rows.iloc[:, j].to_numpy(dtype=np.float64) + by for j, by in zip(columns, u)}
        return rows.assign(**moved)
    flat = rows.reshape(len(rows), -1).astype(np.float64)
    flat[:, columns] += u
    return flat.reshape(rows.shape)
