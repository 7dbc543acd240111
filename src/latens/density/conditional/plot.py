"""The picture of a density of y given one column x: its mean and bands, or the probability of each class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from latens.density.plot import DATA, MODEL, PART, axes, unnamed
from latens.utils.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

LEVELS = (0.95, 0.5)
PLACES = 200
COLOURS = (MODEL, DATA, PART, "#3ca951", "#d6445a", "#8a6d4e", "#e27bb1", "#6a7b8c")


def plot(model: Any, X: ArrayLike, y: ArrayLike, *, ax: Axes | None = None) -> Figure | SubFigure:
    """p(y | x) over the range of one column x, with the rows.

    Args:
        model: a fitted classifier or regressor with a density.
        X, y: the rows to set beside it: (n, 1) and (n,).
        ax: where to draw; a figure of its own by default.

    Raises:
        InputError: x has several columns, or X and y are not alike in length.
    """
    check_is_fitted(model)
    y_name = getattr(y, "name", None) or "y"
    x, y = np.asarray(X), np.asarray(y)
    if x.ndim != 2 or x.shape[1] != 1 or model.n_features_in_ != 1 or y.shape != (len(x),):
        raise InputError(f"plot is for one column x, (n, 1), and its y, (n,); got {x.shape} and {y.shape}")
    low, high = float(x.min()), float(x.max())
    room = 0.05 * (high - low) or 0.5
    places = np.linspace(low - room, high + room, PLACES)
    ax = axes(ax)
    names = getattr(model, "feature_names_in_", ["x"])
    ax.set(xlabel=str(names[0]), ylabel=str(y_name), xlim=(places[0], places[-1]))
    with unnamed():
        (_classes if is_classifier(model) else _bands)(model, places, x[:, 0], y, ax)
    return ax.figure


def _bands(model: Any, places: np.ndarray, x: np.ndarray, y: np.ndarray, ax: Axes) -> None:
    for level in LEVELS:
        low, high = model.interval(places[:, None], level=level).T
        ax.fill_between(places, low, high, color=MODEL, alpha=0.15, lw=0)
    ax.plot(x, y, ".", color=DATA, ms=4, alpha=float(np.clip(14 / len(x) ** 0.5, 0.3, 0.9)))
    ax.plot(places, model.predict(places[:, None]), color=MODEL, lw=2)


def _classes(model: Any, places: np.ndarray, x: np.ndarray, y: np.ndarray, ax: Axes) -> None:
    """A curve for each class, and its rows as strokes: the k-th class at height k."""
    shares = model.predict_proba(places[:, None])
    for k, name in enumerate(model.classes_):
        colour, height = COLOURS[k % len(COLOURS)], k / max(len(model.classes_) - 1, 1)
        ax.plot(places, shares[:, k], color=colour, lw=2, label=str(name))
        mine = x[y == name]
        ax.plot(mine, np.full(len(mine), height), "|", color=colour, ms=10, alpha=0.5)
    ax.set(ylabel="probability", ylim=(-0.05, 1.05))
    ax.legend(frameon=False)
