"""Pictures of a density: a curve with the data below it, quantiles against quantiles, contours, corners.

matplotlib draws them on figures of their own: no backend, no state of pyplot and no style of the user's is touched.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from latens.density.base import DensityEstimator
from latens.utils.errors import InputError
from latens.utils.validation import check_choice

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

DATA, MODEL, PART, FAINT = "#4269d0", "#d9772b", "#9467d6", "#8a8f99"
KINDS = ("density", "qq")
MASSES = (0.95, 0.75, 0.5, 0.25)
"""Of a contour: the share of the density's mass that lies inside."""
MOST_COLUMNS, MOST_ROWS, MOST_PARTS, DRAWN = 6, 2000, 40, 4000
GRID = 120
CURVE = 600


def plot(
    density: DensityEstimator, X: ArrayLike | None = None, *, kind: str = "density", ax: Axes | None = None
) -> Figure | SubFigure:
    """The picture that fits: a curve for one column, contours for two, a corner of pairs for more.

    Args:
        density: a fitted one.
        X: rows to set beside it, (n, d); those it was fitted on, where it keeps them, by default.
        kind: "density"; or "qq", quantiles of the rows against those of the density, of one column.
        ax: where to draw; a figure of its own by default. Not for a corner, which needs several.

    Raises:
        InputError: a kind that the density has no picture of.
    """
    check_choice("kind", kind, KINDS)
    check_is_fitted(density)
    schema = getattr(density, "schema_", None)
    if schema is not None and schema.kind != "table":
        raise InputError(f"plot is for tables; this density is of {schema.summary}")
    rows = _rows(density, X)
    d = density.n_features_in_
    if kind == "qq":
        return _quantiles(density, rows, axes(ax))
    if d == 1:
        return _line(density, rows, axes(ax))
    if d == 2:
        return _plane(density, rows, axes(ax, (5.6, 4.6)))
    if ax is not None:
        raise InputError(f"a density of {d} columns is drawn as a corner of several axes; leave ax out")
    return _corner(density, rows)


def _rows(density: DensityEstimator, X: ArrayLike | None) -> np.ndarray | None:
    given = getattr(density, "rows_", None) if X is None else np.asarray(X)
    if given is None:
        return None
    d = density.n_features_in_
    if given.ndim != 2 or given.shape[1] != d or given.dtype.kind not in "biuf":
        raise InputError(f"plot expects rows of {d} numbers, shape (n, {d}); got shape {given.shape}, {given.dtype}")
    rows = given.astype(np.float64)
    return rows[np.isfinite(rows).all(axis=1)]


def axes(ax: Axes | None, size: tuple[float, float] = (6.4, 4.0)) -> Axes:
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=size, layout="constrained").subplots()
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(FAINT)
    ax.tick_params(colors=FAINT, labelsize=9)
    ax.xaxis.label.set_color(FAINT)
    ax.yaxis.label.set_color(FAINT)
    return ax


def _scores(density: DensityEstimator, x: np.ndarray) -> np.ndarray:
    """log p of places, whose columns need no names here."""
    with unnamed():
        return density.score_samples(x)


@contextmanager
def unnamed() -> Iterator[None]:
    """Places on a drawing need no names of columns."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X does not have valid feature names")
        yield


def _drawn(density: DensityEstimator) -> np.ndarray:
    return np.asarray(density.sample(DRAWN, random_state=0), dtype=np.float64)


def _name(density: DensityEstimator, column: int) -> str:
    names = getattr(density, "feature_names_in_", None)
    schema = getattr(density, "schema_", None)
    if names is None and schema is not None:
        names = schema.features
    if names is not None:
        return str(names[column])
    return "x" if density.n_features_in_ == 1 else f"column {column}"


# -- one column -----------------------------------------------------------------------------------------------------


def _line(density: DensityEstimator, rows: np.ndarray | None, ax: Axes) -> Figure | SubFigure:
    x = _places(density, rows)
    counts = density.is_mass
    p = np.exp(_scores(density, x[:, None]))
    if counts:
        bars = _frequencies(rows, x, ax)
        ax.plot(x, p, "o-", color=MODEL, lw=1.4, ms=4, label="model")
    else:
        bars = _bars(rows, x, ax)
        _parts(density, x, ax)
        ax.plot(x, p, color=MODEL, lw=2, label="model")
        _rug(rows, ax)
    ax.set(xlabel=_name(density, 0), ylabel="probability" if counts else "density", xlim=(x[0], x[-1]))
    top = float(p[np.isfinite(p)].max(initial=0.0))
    ax.set_ylim(0.0, 1.06 * max(top, min(bars, 1.7 * top)) or 1.0)
    return ax.figure


def _places(density: DensityEstimator, rows: np.ndarray | None) -> np.ndarray:
    """Where to draw a curve: all but the farthest mass, and all but the farthest rows."""
    low, high = _ends(density, rows)
    if density.is_mass:
        return np.arange(np.floor(low), np.ceil(high) + 1)
    room = 0.06 * (high - low)
    x = np.linspace(low - room, high + room, CURVE)
    edges = getattr(density, "bin_edges_", None)
    if edges is None:
        return x
    inner = edges[0][(edges[0] > x[0]) & (edges[0] < x[-1])]
    return np.unique(np.concatenate([x, inner, np.nextafter(inner, -np.inf)]))


def _ends(density: DensityEstimator, rows: np.ndarray | None) -> tuple[float, float]:
    if hasattr(density, "quantile"):
        found = density.quantile([0.002, 0.998])
    else:
        found = np.quantile(_drawn(density), [0.002, 0.998])
    if rows is not None and len(rows):
        found = np.concatenate([found, np.quantile(rows, [0.002, 0.998])])
    low, high = float(np.min(found)), float(np.max(found))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def _bars(rows: np.ndarray | None, x: np.ndarray, ax: Axes) -> float:
    """The rows as bars; how high the highest is."""
    if rows is None or len(rows) < 2 * MOST_PARTS or np.ptp(rows) == 0:
        return 0.0
    counts, edges = np.histogram(rows[(rows >= x[0]) & (rows <= x[-1])], _many(rows))
    heights = counts / (len(rows) * np.diff(edges))
    ax.stairs(heights, edges, fill=True, color=DATA, alpha=0.25, lw=0, label="data")
    return float(heights.max())


def _many(rows: np.ndarray) -> int:
    """How many bars."""
    return int(np.clip(2 * len(rows) ** 0.4, 8, 80))


def _frequencies(rows: np.ndarray | None, k: np.ndarray, ax: Axes) -> float:
    """How often each number is among the rows; the highest share."""
    if rows is None or not len(rows):
        return 0.0
    values, counts = np.unique(rows, return_counts=True)
    shown = (values >= k[0]) & (values <= k[-1])
    ax.bar(values[shown], counts[shown] / len(rows), width=0.85, color=DATA, alpha=0.3, lw=0, label="data")
    return float(counts[shown].max(initial=0) / len(rows))


def _rug(rows: np.ndarray | None, ax: Axes) -> None:
    if rows is None or not len(rows):
        return
    shown = rows[:: max(1, len(rows) // MOST_ROWS), 0]
    alpha = float(np.clip(30 / len(shown) ** 0.75, 0.04, 0.9))
    ax.plot(shown, np.zeros(len(shown)), "|", color=DATA, ms=14, mew=1.2, alpha=alpha, clip_on=True)


def _parts(density: DensityEstimator, x: np.ndarray, ax: Axes) -> None:
    """The single kernels, or components, where there are few enough to be told apart."""
    parts = _components(density, x) if hasattr(density, "predict_proba") else _bumps(density, x)
    if parts is not None and 1 < parts.shape[1] <= MOST_PARTS:
        ax.plot(x, parts, color=PART, lw=0.9, alpha=0.8)


def _components(density: Any, x: np.ndarray) -> np.ndarray:
    """p(x, k) = p(x) p(k | x) of each component or class."""
    with unnamed():
        shares = density.predict_proba(x[:, None])
    return np.exp(_scores(density, x[:, None]))[:, None] * shares


def _bumps(density: Any, x: np.ndarray) -> np.ndarray | None:
    """The share of each row in a kernel density: what that row alone would give, by its weight."""
    rows, width = getattr(density, "rows_", None), getattr(density, "bandwidth_", None)
    if rows is None or width is None or len(rows) > MOST_PARTS:
        return None
    scales = np.ones(len(rows)) if density.scales_ is None else density.scales_
    weights = np.full(len(rows), 1 / len(rows)) if density.weights_ is None else density.weights_
    alone = [
        clone(density).set_params(bandwidth=float(width) * s, adaptive=False).fit([r]) for s, r in zip(scales, rows)
    ]
    return np.stack([w * np.exp(one.score_samples(x[:, None])) for w, one in zip(weights, alone)], axis=1)


def _quantiles(density: DensityEstimator, rows: np.ndarray | None, ax: Axes) -> Figure | SubFigure:
    """Quantiles of the rows against those of the density, with what chance allows at each (pointwise 95 %)."""
    if rows is None or not len(rows):
        raise InputError("a Q-Q plot sets rows beside a density; give them as X")
    if not hasattr(density, "quantile") or density.n_features_in_ != 1:
        raise InputError("a Q-Q plot is for a density of one column that has quantiles")
    from scipy.special import betaincinv

    seen = np.sort(rows[:, 0])
    i = np.unique(np.linspace(1, len(seen), min(len(seen), MOST_ROWS)).astype(int))
    expected = density.quantile((i - 0.5) / len(seen))
    low, high = (density.quantile(betaincinv(i, len(seen) - i + 1, q)) for q in (0.025, 0.975))
    ax.fill_between(expected, low, high, color=MODEL, alpha=0.18, lw=0)
    ax.plot(expected, expected, color=MODEL, lw=1.4)
    ax.plot(expected, seen[i - 1], ".", color=DATA, ms=4)
    ax.set(xlabel="quantiles of the model", ylabel=f"quantiles of {_name(density, 0)}")
    return ax.figure


# -- several columns ------------------------------------------------------------------------------------------------


def _plane(density: DensityEstimator, rows: np.ndarray | None, ax: Axes) -> Figure | SubFigure:
    drawn = _drawn(density)
    seen = drawn if rows is None else np.concatenate([drawn, rows])
    low, high = np.quantile(seen, [0.002, 0.998], axis=0)
    room = 0.08 * np.where(high > low, high - low, 1.0)
    low, high = low - room, high + room
    _dots(rows, (0, 1), ax)
    _contours(density, drawn, low, high, ax)
    _ellipses(density, ax)
    ax.set(xlabel=_name(density, 0), ylabel=_name(density, 1), xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    return ax.figure


def _dots(rows: np.ndarray | None, pair: tuple[int, int], ax: Axes) -> None:
    if rows is None or not len(rows):
        return
    shown = rows[:: max(1, len(rows) // MOST_ROWS)]
    alpha = float(np.clip(14 / len(shown) ** 0.5, 0.3, 0.9))
    ax.plot(shown[:, pair[0]], shown[:, pair[1]], ".", color=DATA, ms=4, alpha=alpha, mew=0)


def _contours(density: DensityEstimator, drawn: np.ndarray, low: np.ndarray, high: np.ndarray, ax: Axes) -> None:
    """Regions of highest density that hold given shares of the mass: their levels are quantiles of log p(x), x ~ p."""
    x, y = (np.linspace(a, b, GRID) for a, b in zip(low, high))
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    log_p = _scores(density, grid.reshape(-1, 2)).reshape(GRID, GRID)
    levels = np.unique(np.quantile(_scores(density, drawn), 1 - np.array(MASSES)))
    finite = levels[np.isfinite(levels)]
    if len(finite):
        floor = min(float(finite[0]), float(log_p[np.isfinite(log_p)].min(initial=finite[0]))) - 1.0
        shown = np.where(np.isfinite(log_p), log_p, floor)
        ax.contourf(x, y, shown, [*finite, np.inf], colors=MODEL, alpha=0.08)
        ax.contour(x, y, shown, finite, colors=MODEL, linewidths=np.linspace(0.8, 1.8, len(finite)), linestyles="solid")


def _ellipses(density: DensityEstimator, ax: Axes) -> None:
    """Two standard deviations of each component of a Gaussian mixture."""
    means, covariances = getattr(density, "means_", None), _covariances(density)
    if means is None or covariances is None:
        return
    turn = np.linspace(0.0, 2 * np.pi, 100)
    circle = np.stack([np.cos(turn), np.sin(turn)])
    for mean, covariance in zip(means, covariances):
        values, vectors = np.linalg.eigh(covariance)
        outline = mean[:, None] + 2 * (vectors * np.sqrt(np.maximum(values, 0.0))) @ circle
        ax.plot(*outline, color=PART, lw=1.2, ls=(0, (4, 2)))
        ax.plot(*mean, "+", color=PART, ms=8, mew=1.6)


def _covariances(density: DensityEstimator) -> np.ndarray | None:
    """(k, d, d) whatever form the mixture keeps them in."""
    kept, kind = getattr(density, "covariances_", None), getattr(density, "covariance_type", None)
    if kept is None or kind is None:
        return None
    k, d = density.means_.shape
    if kind == "tied":
        return np.broadcast_to(kept, (k, d, d))
    if kind == "full":
        return kept
    return np.stack([np.diag(np.broadcast_to(c, d)) for c in kept])


def _corner(density: DensityEstimator, rows: np.ndarray | None) -> Figure | SubFigure:
    """Each column on the diagonal, each pair below it: rows as bars and dots, draws of the density as lines."""
    from matplotlib.figure import Figure

    d = min(density.n_features_in_, MOST_COLUMNS)
    drawn = _drawn(density)
    figure = Figure(figsize=(1.9 * d, 1.9 * d), layout="constrained")
    grid = figure.subplots(d, d, squeeze=False)
    seen = drawn if rows is None else np.concatenate([drawn, rows])
    low, high = np.quantile(seen, [0.002, 0.998], axis=0)
    for i in range(d):
        for j in range(d):
            ax = axes(grid[i, j])
            if j > i:
                ax.set_axis_off()
                continue
            if i == j:
                _both(rows, drawn, i, (low[i], high[i]), ax)
            else:
                _dots(drawn if rows is None else rows, (j, i), ax)
                _crowds(drawn[:, [j, i]], low[[j, i]], high[[j, i]], ax)
                ax.set_ylim(*_roomy(low[i], high[i]))
            ax.set_xlim(*_roomy(low[j], high[j]))
            ax.set(xlabel=_name(density, j) if i == d - 1 else "", ylabel=_name(density, i) if j == 0 < i else "")
            ax.tick_params(labelbottom=i == d - 1, labelleft=j == 0 < i, labelsize=7)
    return figure


def _roomy(low: float, high: float) -> tuple[float, float]:
    room = 0.05 * (high - low) or 0.5
    return low - room, high + room


def _both(rows: np.ndarray | None, drawn: np.ndarray, column: int, ends: tuple[float, float], ax: Axes) -> None:
    edges = np.linspace(*_roomy(*ends), 1 + min(_many(drawn if rows is None else rows), 40))
    if rows is not None and len(rows):
        ax.stairs(np.histogram(rows[:, column], edges)[0] / len(rows), edges, fill=True, color=DATA, alpha=0.3, lw=0)
    ax.stairs(np.histogram(drawn[:, column], edges)[0] / len(drawn), edges, color=MODEL, lw=1.5)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)


def _crowds(drawn: np.ndarray, low: np.ndarray, high: np.ndarray, ax: Axes) -> None:
    """Contours of draws, smoothed: regions that hold given shares of them."""
    from scipy.ndimage import gaussian_filter

    edges = [np.linspace(*_roomy(a, b), 61) for a, b in zip(low, high)]
    mass = gaussian_filter(np.histogram2d(drawn[:, 0], drawn[:, 1], edges)[0], 2.0)
    order = np.sort(mass.ravel())[::-1]
    share = np.cumsum(order) / order.sum()
    levels = np.unique([order[np.searchsorted(share, m)] for m in MASSES[:3]])
    centres = [(e[1:] + e[:-1]) / 2 for e in edges]
    ax.contour(*centres, mass.T, levels, colors=MODEL, linewidths=np.linspace(0.8, 1.6, len(levels)))
