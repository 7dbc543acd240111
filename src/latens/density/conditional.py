"""Densities of y given x: the face, and the one that any joint density gives.

A conditional density is anything you can ``fit(X, y)``, ``score_samples(X, y)`` and ``sample(X)``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from latens.density.validation import check_weights
from latens.utils.errors import InputError
from latens.utils.validation import check_finite


class ConditionalEstimator(BaseEstimator, ABC):
    r"""$p(y \mid x)$, learnt by ``fit(X, y)``, evaluated by ``score_samples(X, y)``, drawn from by ``sample(X)``.

    The two kinds are scikit-learn's: regressors, whose y are numbers, and classifiers, whose y are classes. ``score``
    is theirs too (R^2 or accuracy); the figure that compares any two is the mean of ``score_samples``.
    """

    @abstractmethod
    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Learn the density of each y given its row of ``X``.

        Args:
            X: what is given, (n, d).
            y: what is predicted, (n,).
            sample_weight: how much each row counts, (n,), non-negative; a whole number is that many repetitions.
        """

    @abstractmethod
    def score_samples(self, X: Any, y: Any = None) -> np.ndarray:
        """log p(y | x) of each row and its y: (n,) float64, in nats per example.

        Without y, that of the y it holds most likely: how sure it is.
        """

    @abstractmethod
    def sample(self, X: Any, random_state: int | np.random.RandomState | None = None) -> np.ndarray:
        """One y drawn from p(y | x) for each row of ``X``: (n,)."""

    def save(self, path: str | Path) -> None:
        """Writes what was fitted to one file (or to ``model.safetensors`` in a folder), for ``latens.load``.

        Raises:
            InputError: not fitted, or it holds what is neither numbers nor text.
        """
        from latens.density.storage import save

        check_is_fitted(self)
        save(self, path)


def check_pairs(
    estimator: BaseEstimator, X: Any, y: Any, sample_weight: ArrayLike | None = None, *, reset: bool, numeric: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows that count: ``X`` (n, d) of its own dtype, ``y`` (n,), and their weights (n,).

    Raises:
        InputError: not a table of finite numbers, not one y a row, or weights that are none.
    """
    try:
        table, y = validate_data(
            estimator, X, y, reset=reset, dtype="numeric", ensure_all_finite=False, y_numeric=numeric
        )
    except ValueError as error:
        raise InputError(" ".join(str(error).split())) from None
    check_finite("X", table)
    weights = check_weights(sample_weight, len(table))
    kept = weights > 0
    return table[kept], y[kept], weights[kept]


def new_classes(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sorted classes (K,), and the index of each y among them (n,).

    Raises:
        InputError: y are no classes but real numbers.
    """
    try:
        check_classification_targets(y)
    except ValueError as error:
        raise InputError(" ".join(str(error).split())) from None
    return np.unique(y, return_inverse=True)


def class_index(classes: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The index of each y among the sorted classes, -1 where it is none of them: (n,)."""
    at = np.searchsorted(classes, y).clip(max=len(classes) - 1)
    return np.where(classes[at] == y, at, -1)


def of_class(log_proba: np.ndarray, classes: np.ndarray, y: np.ndarray) -> np.ndarray:
    """log p(y | x) from those of all classes (n, K); -inf for classes that were not fitted."""
    at = class_index(classes, y)
    return np.where(at < 0, -np.inf, log_proba[np.arange(len(at)), at])


def draw_class(classes: np.ndarray, proba: np.ndarray, random_state: int | np.random.RandomState | None) -> np.ndarray:
    """One class for each row of probabilities (n, K)."""
    u = check_random_state(random_state).uniform(size=(len(proba), 1))
    below = np.cumsum(proba, axis=1)
    return classes[(u * below[:, -1:] >= below).sum(axis=1).clip(max=len(classes) - 1)]
