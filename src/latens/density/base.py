"""The contract of a density: anything you can fit, score and sample."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils.validation import check_is_fitted

from latens.data.framing import Kind, cast
from latens.density.tables import framed, part_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure


class DensityEstimator(DensityMixin, BaseEstimator, ABC):
    r"""$p(x)$, learnt by ``fit``, evaluated by ``score_samples``, drawn from by ``sample``.

    scikit-learn's conventions hold to the letter: the constructor only stores its arguments, ``fit`` returns self and
    leaves what it learnt in attributes ending with an underscore, and ``clone``, ``get_params`` and pipelines work.
    Where scikit-learn's own densities disagree with each other, this face decides: scores are nats per example,
    ``score`` is their mean, and ``sample`` returns X alone.

    Example:
        >>> class Uniform(DensityEstimator):
        ...     def fit(self, X, y=None, sample_weight=None):
        ...         self.low_, self.high_ = np.min(X, axis=0), np.max(X, axis=0)
        ...         return self
        ...     def score_samples(self, X, y=None):
        ...         inside = np.all((self.low_ <= X) & (X <= self.high_), axis=1)
        ...         return np.where(inside, -np.log(self.high_ - self.low_).sum(), -np.inf)
        ...     def sample(self, n_samples=1, random_state=None):
        ...         rng = np.random.RandomState(random_state)
        ...         return rng.uniform(self.low_, self.high_, (n_samples, len(self.low_)))
        >>> uniform = Uniform().fit(np.array([[0.0], [4.0]]))
        >>> round(uniform.score(np.array([[1.0], [2.0]])), 4)  # -log 4
        -1.3863
        >>> uniform.sample(3).shape
        (3, 1)
    """

    dtype_: np.dtype
    feature_names_in_: np.ndarray
    _frame: Kind | None = None

    @abstractmethod
    def fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Learn the density of the rows of ``X``.

        Args:
            X: the data, one example a row: (n, ...).
            y: not used unless the estimator was asked for a condition; present for scikit-learn's pipelines.
            sample_weight: how much each row counts: (n,), non-negative, not all zero; None counts them equally.
        """

    @abstractmethod
    def score_samples(self, X: Any, y: Any = None) -> np.ndarray:
        """log p(x) of each row of ``X``: (n,) float64, in nats per example."""

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of log p(x) over the rows of ``X``, in nats per example; higher is better."""
        return float(np.mean(self.score_samples(X, y)))

    @property
    def is_mass(self) -> bool:
        """Whether scores are logarithms of probabilities (counting measure), not of densities (Lebesgue's)."""
        return False

    @property
    def _masses(self) -> bool | np.ndarray:
        """Of which columns scores are masses: all, none, or (d,)."""
        return self.is_mass

    @abstractmethod
    def sample(self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None) -> Any:
        """``n_samples`` new rows drawn from p(x), in the shape, dtype and range of what was fitted.

        Where that was a frame (of pandas, polars or pyarrow) they are one too, with the same columns and their dtypes.
        """

    def _as_given(self, rows: np.ndarray) -> Any:
        """Rows (n, d) in the dtype of those fitted, and in a frame where they came in one."""
        return framed(self._frame, cast(rows, self.dtype_))

    def _take_columns(self, other: DensityEstimator, columns: np.ndarray) -> None:
        """This is a density of some of the columns of the other, by mask (d,): their number, names, frame, dtype."""
        self.dtype_ = other.dtype_
        self.n_features_in_, self._frame = int(columns.sum()), part_of(other._frame, columns)
        if hasattr(other, "feature_names_in_"):
            self.feature_names_in_ = other.feature_names_in_[columns]

    def plot(self, X: Any = None, *, kind: str = "density", ax: Axes | None = None) -> Figure | SubFigure:
        """A picture: a curve for one column, contours for two, a corner of pairs for more.

        Args:
            X: rows to set beside it, (n, d); those it was fitted on, where it keeps them, by default.
            kind: "density"; or "qq", quantiles of the rows against those of the density, of one column.
            ax: where to draw; a figure of its own by default, for ``figure.savefig`` or a notebook.

        Raises:
            InputError: it is of images, or of several columns where one is expected.

        Example:
            >>> import latens
            >>> rows = np.random.RandomState(0).normal(size=(100, 1))
            >>> figure = latens.Histogram().fit(rows).plot(rows)
            >>> figure.axes[0].get_ylabel()
            'density'
        """
        from latens.density.plot import plot

        return plot(self, X, kind=kind, ax=ax)

    def save(self, path: str | Path) -> None:
        """Writes what was fitted to one file (or to ``model.safetensors`` in a folder), for ``latens.load``.

        The file holds numbers and text, nothing that could run.

        Raises:
            InputError: not fitted, or it holds what is neither numbers nor text (a network inside a classifier).

        Example:
            >>> import tempfile, latens
            >>> path = Path(tempfile.mkdtemp()) / "histogram.latens"
            >>> latens.Histogram(2).fit([[0.0], [4.0], [4.0], [4.0]]).save(path)
            >>> np.exp(latens.load(path).score_samples([[3.0]]))
            array([0.375])
        """
        from latens.density.storage import save

        check_is_fitted(self)
        save(self, path)
