"""Charts of one column: real entries as bars, drawn ones as lines, on an axis in the column's own units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from scipy.stats import skew

from latens.cli.report.charts import Axes, short, ticks, words
from latens.data import Column

WIDTH, HEIGHT = 250.0, 132.0
BINS = 28
LEVELS, LETTERS = 7, 16
"""Categories that have a bar of their own, and letters of their names, at most."""
ALONE = 0.3
"""A number to which so large a share of a column is equal is told by itself, where there are many others."""
WIDE, SKEWED = 20.0, 2.0
"""Of positive numbers, the 99th in the 1st percentile and the skewness from which they are shown by their magnitude."""


def column(kind: Column | None, data: np.ndarray, draws: np.ndarray, name: str) -> str:
    """A panel.

    Args:
        kind: what the column holds; None of numbers of which no more is known.
        data, draws: numbers that stand for its entries, ``(n,)``, NaN where missing.
        name: of the column.
    """
    data, draws = (x[np.isfinite(x)] for x in (data.astype(float), draws.astype(float)))
    if not len(data):
        return ""
    said = ""
    if kind is not None and (kind.is_named or kind.categories is not None):
        chart = levels(_named(kind), data, draws, name, ordered=kind.kind != "category")
    else:
        value = _alone(data)
        if value is not None:
            said = f" {_share(data, value)} are {short(value)} ({_share(draws, value)} of draws); the others:"
            data, draws = data[data != value], draws[draws != value]
        chart = histogram(data, draws, name, scale_of(kind, data))
    return f"<figure class=panel><figcaption><b>{escape(name)}</b>{said}</figcaption>{chart}</figure>"


def _share(values: np.ndarray, value: float) -> str:
    return _percent(float(np.mean(values == value)) if len(values) else 0.0)


def _percent(share: float) -> str:
    """In whole percent; what is not 0 is not told as 0.

    >>> _percent(0.324), _percent(0.002), _percent(0.0)
    ('32 %', '<1 %', '0 %')
    """
    return "<1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def _alone(data: np.ndarray) -> float | None:
    """A number that many are equal to, among many others."""
    values, counts = np.unique(data, return_counts=True)
    most = int(counts.argmax())
    return float(values[most]) if len(values) > BINS and counts[most] > ALONE * len(data) else None


def _named(kind: Column) -> list[str]:
    if kind.categories is not None:
        return list(map(str, kind.categories))
    return ["false", "true"] if "bool" in kind.dtype.lower() else ["0", "1"]


@dataclass(frozen=True)
class Scale:
    """An axis: bins, ticks with words, what they mean; on a logarithmic one all are exponents of 10."""

    edges: np.ndarray
    ticks: Sequence[float]
    words: Sequence[str] = ()
    said: str = ""
    log: bool = False

    def of(self, values: np.ndarray) -> np.ndarray:
        """Where values lie."""
        if not self.log:
            return values
        return np.log10(np.where(values > 0, values, np.nan))


def scale_of(kind: Column | None, data: np.ndarray) -> Scale:
    """The axis on which a column is seen best."""
    if kind is not None and kind.unit:
        edges = edges_of(data, 1.0 if kind.levels else None)
        return Scale(edges, *_dates(float(edges[0]), float(edges[-1]), kind.unit))
    if _is_skewed(data):
        edges = edges_of(np.log10(data), None)
        at = _decades(float(edges[0]), float(edges[-1]))
        return Scale(edges, np.log10(at).tolist(), [short(x) for x in at], "on a logarithmic scale", log=True)
    edges = edges_of(data, kind.step if kind is not None and kind.is_mass else None)
    return Scale(edges, ticks(float(edges[0]), float(edges[-1]), 4))


def _is_skewed(data: np.ndarray) -> bool:
    """Whether positive numbers have a long tail, and their logarithms have none."""
    low, high = np.quantile(data, [0.01, 0.99])
    if data.min() <= 0 or high <= WIDE * low:
        return False
    return bool(skew(data) > SKEWED and abs(skew(np.log(data))) < skew(data) / 2)


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten between two exponents; with 2 and 5 of each where there are few."""
    for steps in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0)):
        powers = range(math.floor(low), math.ceil(high) + 1)
        found = [s * 10.0**p for p in powers for s in steps if low <= math.log10(s * 10.0**p) <= high]
        if len(found) >= 3:
            break
    return found[:: -(-len(found) // 6)]


def _dates(low: float, high: float, unit: str) -> tuple[list[float], list[str]]:
    """A few first days of years, of months, or days, between two ends.

    >>> _dates(18_262.0, 18_993.0, "D")
    ([18262.0, 18628.0, 18993.0], ['2020', '2021', '2022'])
    """
    ends: list[Any] = [np.array(int(x)).astype(f"M8[{unit}]") for x in (low, high)]
    first, last = ends
    for calendar, letters in (("Y", 4), ("M", 7), ("D", 10)):
        days = np.arange(first.astype(f"M8[{calendar}]"), last.astype(f"M8[{calendar}]") + 1)
        days = days[(days >= first) & (days <= last)]
        if len(days) >= 2:
            days = days[:: -(-len(days) // 3)]
            return days.astype(f"M8[{unit}]").astype(float).tolist(), [str(day)[:letters] for day in days]
    return [low], [str(first)[:10]]


def histogram(data: np.ndarray, model: np.ndarray, about: str, scale: Scale | None = None) -> str:
    """The data as bars and the model's draws as a line: the share of each bin."""
    scale = scale or scale_of(None, data)
    edges = scale.edges
    share = np.histogram(scale.of(data), edges)[0] / max(len(data), 1)
    known = scale.of(model[np.isfinite(model)])
    other = np.histogram(known[np.isfinite(known)], edges)[0] / max(len(model), 1)
    top = 1.1 * float(max(share.max(), other.max(), 1e-9))
    axes = Axes((float(edges[0]), float(edges[-1])), (0.0, top), WIDTH, HEIGHT, left=12, right=12, bottom=34)
    if not scale.said:
        axes = Axes(axes.x, axes.y, WIDTH, HEIGHT - 12, left=12, right=12, bottom=22)
    parts = axes.begin(about, scale.said, scale.ticks, [], scale.words)
    parts.append(f'<path class=rule d="M{axes.left:g} {axes.base:g}H{axes.width - axes.right:g}"/>')
    outline = [f"M{axes.px(edges[0]):.1f} {axes.base:g}"]
    for left, right, value, drawn in zip(edges[:-1], edges[1:], share, other):
        a, b = axes.px(left), axes.px(right)
        shape = f"M{a + 0.4:.1f} {axes.base:g}V{axes.py(value):.1f}H{b - 0.4:.1f}V{axes.base:g}z"
        parts.append(f'<path class="bar data" d="{shape}"/>')
        outline.append(f"L{a:.1f} {axes.py(drawn):.1f}H{b:.1f}")
    parts.append(f'<path class="line model" d="{"".join(outline)}V{axes.base:g}"/>')
    return "".join(parts) + "</svg>"


def edges_of(data: np.ndarray, step: float | None = None) -> np.ndarray:
    """A bin for each value where there are few, else some 28 over all but the farthest, of as many values each.

    Args:
        data: numbers.
        step: the distance of two values, where they lie on a lattice.

    >>> edges_of(np.arange(100.0), step=1.0)[:4]
    array([ 0.5,  4.5,  8.5, 12.5])
    """
    values = np.unique(data)
    low, high = np.quantile(data, [0.002, 0.998])
    if len(values) == 1:
        return np.linspace(low - 0.5, low + 0.5, 12)
    least = float(np.diff(values).min())
    if len(values) <= 25 and (values[-1] - values[0]) / least <= 40:
        return np.arange(values[0] - least / 2, values[-1] + least, least)
    low, high = (low, high) if high > low else (values[0], values[-1])
    if step is None:
        return np.linspace(low, high, BINS + 1)
    low, high = values[values >= low][0] - step / 2, values[values <= high][-1] + step / 2
    width = step * math.ceil((high - low) / step / BINS)
    return low + width * np.arange(math.ceil((high - low) / width) + 1)


def levels(names: Sequence[str], data: np.ndarray, draws: np.ndarray, about: str, *, ordered: bool) -> str:
    """A bar for each of the most frequent categories, and a stroke where draws have it.

    Args:
        names: of all categories.
        data, draws: their places.
        about: what the chart shows.
        ordered: whether bars stand in the order of the names, and not of how frequent they are.
    """
    real, drawn = (np.bincount(x.astype(int), minlength=len(names)) / max(len(x), 1) for x in (data, draws))
    most = np.argsort(-real, kind="stable")
    kept = most if len(names) <= LEVELS + 1 else most[:LEVELS]
    shown = [(names[i], real[i], drawn[i]) for i in (sorted(kept.tolist()) if ordered else kept.tolist())]
    if len(kept) < len(names):
        shown.append((f"{len(names) - len(kept)} others", 1 - real[kept].sum(), 1 - drawn[kept].sum()))
    top, left, high = max(max(a, b) for _, a, b in shown), 112.0, 17.0
    wide = (WIDTH - left - 40) / (top or 1.0)
    parts = [f'<svg viewBox="0 0 {WIDTH:g} {high * len(shown) + 4:g}" role="img" aria-label="{escape(about)}">']
    for i, (name, a, b) in enumerate(shown):
        y = high * i + 3
        short_name = name if len(name) <= LETTERS else name[: LETTERS - 1] + "…"
        tip = f"<title>{escape(name)}: {a:.1%} of the data, {b:.1%} of draws</title>"
        bar = f"M{left:g} {y:g}h{max(wide * a, 0.5):.1f}v{high - 5:g}H{left:g}z"
        parts.append(words(left - 7, y + 10, short_name, "end"))
        parts.append(f'<path class="bar data" d="{bar}">{tip}</path>')
        parts.append(f'<path class="line model" d="M{left + wide * b:.1f} {y - 1.5:g}v{high - 2:g}"/>')
        parts.append(words(left + wide * max(a, b) + 7, y + 10, _percent(a), "start"))
    return "".join(parts) + "</svg>"
