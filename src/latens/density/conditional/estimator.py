"""Densities of y given x: the face, and the one that any joint density gives.

A conditional density is anything you can ``fit(X, y)``, ``score_samples(X, y)`` and ``sample(X)``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from latens.density.conditional import conditioning
from latens.density.validation import check_table, check_weights, refusal
from latens.utils.errors import InputError
from latens.utils.validation import check_finite, check_fraction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure


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

    def plot(self, X: Any, y: ArrayLike, *, ax: Axes | None = None) -> Figure | SubFigure:
        """p(y | x) over one column x: the mean with bands that hold 50 and 95 %, or the probability of each class.

        Args:
            X, y: the rows to set beside it: (n, 1) and (n,).
            ax: where to draw; a figure of its own by default.

        Raises:
            InputError: x has several columns, or X and y are not alike in length.
        """
        from latens.density.conditional.plot import plot

        return plot(self, X, y, ax=ax)

    @property
    def is_mass(self) -> bool:
        """Whether scores are logarithms of probabilities of y (counts, classes), not of densities."""
        return False

    def save(self, path: str | Path) -> None:
        """Writes what was fitted to one file (or to ``model.safetensors`` in a folder), for ``latens.load``.

        Raises:
            InputError: not fitted, or it holds what is neither numbers nor text.
        """
        from latens.density.storage import save

        check_is_fitted(self)
        save(self, path)


class ConditionalDensity(RegressorMixin, ConditionalEstimator):
    r"""$p(y \mid x) = p(x, y) / p(x)$, with p(x, y) learnt by any density that conditions.

    Under the joint normal this is linear regression, under a kernel density Nadaraya and Watson's; a mixture of normals
    gives curves, several branches and a spread that depends on x, all in closed form. Entries of x may be missing (NaN)
    where the density takes them so. Where x itself has density zero, that of y is undefined, and its logarithm given as
    -inf.

    A density that was asked for a condition, such as ``Flow(condition="y")``, learns p(y | x) itself; means and
    quantiles are then those of a grid of 512 y, half a range beyond those fitted on either side.

    ``score`` is scikit-learn's R^2.

    Args:
        density: a density with ``condition(given)`` and ``complete(X)``, such as ``GaussianMixture(4)``, of which a
            clone is fitted to the table of X and y; or one with ``condition="y"``, fitted to y with X as its condition.

    Attributes:
        density_: the fitted density: of the columns of X and, as the last column, y; or of y given X.

    Reference:
        Sung (2004), Gaussian mixture regression and classification.

    Example:
        >>> from latens.density import GaussianMixture
        >>> X, y = [[1.0], [2.0], [3.0], [4.0]], [3.1, 4.9, 7.2, 8.8]
        >>> line = ConditionalDensity(GaussianMixture(1)).fit(X, y)
        >>> line.predict([[5.0]]).round(2), line.interval([[5.0]], level=0.95).round(2)
        (array([10.85]), array([[10.57, 11.13]]))
    """

    def __init__(self, density: Any) -> None:
        self.density = density

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Learn the density from ``X`` (n, d) and ``y`` (n,), with weights (n,).

        Raises:
            InputError: not a table of numbers, not one number y a row, or a density that cannot condition.
        """
        table, y, weights = check_pairs(
            self, X, y, sample_weight, reset=True, numeric=True, missing=self._takes_missing
        )
        table, y = table.astype(np.float64), y.astype(np.float64)
        given = {} if sample_weight is None else {"sample_weight": weights}
        rows = (y[:, None], table) if conditioning.is_direct(self.density) else (conditioning.joint(table, y),)
        self.density_ = clone(self.density).fit(*rows, **given)
        self._range = np.array([y.min(), y.max()])
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The mean of y given each row: (n,)."""
        table = self._table(X)
        return self._way.mean(table)

    def score_samples(self, X: Any, y: Any = None) -> np.ndarray:
        """log p(y | x) of each row and its y: (n,) float64, in nats. Without y, at its mean."""
        check_is_fitted(self)
        y = self.predict(X) if y is None else y
        table, y, _ = check_pairs(self, X, y, reset=False, numeric=True, missing=self._takes_missing)
        return self._way.log_prob(table.astype(np.float64), y.astype(np.float64))

    def interval(self, X: Any, level: float = 0.95) -> np.ndarray:
        """Where y lies with this probability given each row, equally often below and above: (n, 2).

        These are quantiles of p(y | x) as fitted; how well it is known is not counted in.
        """
        check_fraction("level", level)
        table = self._table(X)
        return self._way.quantiles(table, np.array([(1 - level) / 2, (1 + level) / 2]))

    def sample(self, X: Any, random_state: int | np.random.RandomState | None = None) -> np.ndarray:
        """One y drawn from p(y | x) for each row of ``X``: (n,)."""
        table = self._table(X)
        return self._way.draw(table, check_random_state(random_state))

    @property
    def is_mass(self) -> bool:
        """Whether y, the last column of the joint density, is one of counts there."""
        check_is_fitted(self)
        return bool(np.atleast_1d(getattr(self.density_, "_masses", False))[-1])

    def _table(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return check_table(self, X, reset=False, missing=self._takes_missing).astype(np.float64)

    @property
    def _way(self) -> conditioning.Way:
        if conditioning.is_direct(self.density_):
            return conditioning.Direct(self.density_, self._range)
        return conditioning.Joint(self.density_)

    @property
    def _takes_missing(self) -> bool:
        return not conditioning.is_direct(self.density) and bool(get_tags(self.density).input_tags.allow_nan)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._takes_missing
        return tags


def check_pairs(
    estimator: BaseEstimator,
    X: Any,
    y: Any,
    sample_weight: ArrayLike | None = None,
    *,
    reset: bool,
    numeric: bool,
    missing: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows that count: ``X`` (n, d) of its own dtype, ``y`` (n,), and their weights (n,).

    Raises:
        InputError: not a table of finite numbers (or NaN, if ``missing``), not one y a row, or wrong weights.
    """
    try:
        table, y = validate_data(
            estimator, X, y, reset=reset, dtype="numeric", ensure_all_finite=False, y_numeric=numeric
        )
    except (TypeError, ValueError) as error:
        raise refusal(X, error) from None
    if table.dtype.kind == "O":
        raise refusal(X)
    if numeric and y.dtype.kind not in "biuf":
        raise InputError(f"y expects numbers; got {y[0]!s}, of type {y.dtype}.")
    check_finite("X", table, missing=missing)
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
