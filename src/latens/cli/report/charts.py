"""Charts as SVG text, coloured by the style sheet, so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np


@dataclass(frozen=True)
class Axes:
    """A rectangle of the drawing and the ranges it stands for."""

    x: tuple[float, float]
    y: tuple[float, float]
    width: float = 420
    height: float = 240
    left: float = 42
    bottom: float = 36
    top: float = 14
    right: float = 12

    @property
    def base(self) -> float:
        return self.height - self.bottom

    def px(self, x: float) -> float:
        low, high = self.x
        return self.left + (x - low) / ((high - low) or 1.0) * (self.width - self.left - self.right)

    def py(self, y: float) -> float:
        low, high = self.y
        return self.base - (y - low) / ((high - low) or 1.0) * (self.base - self.top)

    def begin(
        self, about: str, x_name: str, x_ticks: Sequence[float], y_ticks: Sequence[float], x_words: Sequence[str] = ()
    ) -> list[str]:
        """The opening tag, the horizontal rules and the names; numbers stand at the ticks, or words where given."""
        box = f"0 0 {self.width:g} {self.height:g}"
        parts = [f'<svg viewBox="{box}" role="img" aria-label="{escape(about)}">']
        for y in y_ticks:
            parts.append(f'<path class=rule d="M{self.left:g} {self.py(y):.1f}H{self.width - self.right:g}"/>')
            parts.append(words(self.left - 8, self.py(y) + 3.5, short(y), "end"))
        names = x_words or [short(x) for x in x_ticks]
        parts += [words(self.px(x), self.base + 16, name) for x, name in zip(x_ticks, names)]
        parts.append(words((self.left + self.width - self.right) / 2, self.height - 2, x_name))
        return parts


def words(x: float, y: float, text: str, anchor: str = "middle") -> str:
    """Text at a place."""
    return f"<text x={x:.1f} y={y:.1f} text-anchor={anchor}>{escape(text)}</text>"


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers between two ends.

    >>> ticks(0.0, 103.0, 4)
    [0.0, 50.0, 100.0]
    """
    raw = ((high - low) or 1.0) / about
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next((m * unit for m in (1, 2, 5) if m * unit >= raw), 10 * unit)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) + 0.0 for i in range(first, last + 1)]


def short(value: float) -> str:
    """A number in a few characters.

    >>> short(12000.0), short(0.25), short(-3.0), short(2.5e6)
    ('12k', '0.25', '−3', '2.5M')
    """
    large = abs(value)
    text = f"{value / 1e6:g}M" if large >= 1e6 else f"{value / 1000:g}k" if large >= 10000 else f"{value:g}"
    return text.replace("-", "−")


FEWEST_BARS = 12
Series = tuple[str, np.ndarray, np.ndarray]


def lines(series: Sequence[Series], x_name: str, about: str, mark: float) -> str:
    """Curves.

    Args:
        series: (class of the style sheet, x, y) each; y may hold NaN.
        x_name: of the horizontal axis.
        about: what the chart shows.
        mark: an x to mark by a line.
    """
    shown = [(cls, x[np.isfinite(y)], y[np.isfinite(y)]) for cls, x, y in series]
    last = max(float(x[-1]) for _, x, _ in shown)
    axes = Axes((min(1.0, last), last), _range([y for *_, y in shown]))
    parts = axes.begin(about, x_name, ticks(*axes.x, 5), ticks(*axes.y, 4))
    x = axes.px(mark)
    parts.append(f'<path class=mark d="M{x:.1f} {axes.top:g}V{axes.base:g}"/>')
    side = (-5.0, "end") if x > 0.6 * axes.width else (5.0, "start")
    parts.append(words(x + side[0], axes.top + 8, "kept", side[1]))
    for cls, xs, ys in shown:
        points = " ".join(f"{axes.px(x):.1f},{axes.py(y):.1f}" for x, y in _thin(xs, ys))
        parts.append(f'<polyline class="line {cls}" points="{points}"/>')
    return "".join(parts) + "</svg>"


def _range(curves: list[np.ndarray]) -> tuple[float, float]:
    """All but the wild beginning, with some room; from zero where that is near."""
    kept = np.concatenate([ys[len(ys) // 20 :] for ys in curves])
    low, high = float(kept.min()), float(kept.max())
    room = 0.06 * ((high - low) or 1.0)
    return (0.0 if 0 <= low < 0.35 * high else low - room), high + room


def _thin(xs: np.ndarray, ys: np.ndarray, most: int = 400) -> list[tuple[float, float]]:
    step = max(1, math.ceil(len(xs) / most))
    return [(float(x), float(y)) for x, y in zip(xs[::step], ys[::step])]


def bars(values: Sequence[float], names: Sequence[str], x_name: str, about: str, least: float) -> str:
    """Bars side by side; those below ``least`` are grey."""
    axes = Axes((0.0, float(max(len(values), FEWEST_BARS))), (0.0, max([*values, 1e-9]) * 1.05), width=860, height=230)
    width = axes.px(1) - axes.px(0)
    parts = axes.begin(about, x_name, [], ticks(*axes.y, 4))
    for i, (value, name) in enumerate(zip(values, names)):
        left, right, y = axes.px(i) + 0.12 * width, axes.px(i) + 0.88 * width, axes.py(value)
        cls = "bar" if value > least else "bar off"
        c = min(3.0, 0.2 * width, max(0.0, axes.base - y))
        corners = f"q0-{c:.1f} {c:.1f}-{c:.1f}H{right - c:.1f}q{c:.1f} 0 {c:.1f} {c:.1f}"
        tip = f"<title>dimension {escape(name)}: {value:.3f} nats</title>"
        parts.append(
            f'<path class="{cls}" d="M{left:.1f} {axes.base:g}V{y + c:.1f}{corners}V{axes.base:g}z">{tip}</path>'
        )
        if len(values) <= 40:
            parts.append(words(axes.px(i + 0.5), axes.base + 16, name))
    return "".join(parts) + "</svg>"


def scatter(
    points: np.ndarray, groups: np.ndarray, ends: tuple[np.ndarray, np.ndarray], names: tuple[str, str], about: str
) -> str:
    """Points in a plane, coloured by group (−1 is grey).

    Args:
        points: ``(n, 2)``; those outside the ends are left out.
        groups: ``(n,)``.
        ends: the lowest and the highest of both coordinates.
        names: of the two axes.
        about: what the chart shows.
    """
    (x0, y0), (x1, y1) = ends[0].tolist(), ends[1].tolist()
    axes = Axes((x0, x1), (y0, y1), width=560, height=560, top=0, right=0)
    parts = axes.begin(about, names[0], ticks(x0, x1, 5), ticks(y0, y1, 4))
    middle = (axes.base + axes.top) / 2
    turned = f'transform="rotate(-90 10 {middle:g})" text-anchor=middle'
    parts.append(f"<text x=10 y={middle:g} {turned}>{escape(names[1])}</text>")
    inside = ((points >= (x0, y0)) & (points <= (x1, y1))).all(1)
    width = 7.0 if len(points) < 700 else 5.4
    for group in np.unique(groups).tolist():
        dots = (f"M{axes.px(x):.1f} {axes.py(y):.1f}h0" for x, y in points[inside & (groups == group)].tolist())
        cls = f"g{group}" if group >= 0 else "grey"
        parts.append(f'<path class="dot {cls}" stroke-width={width:g} d="{"".join(dots)}"/>')
    return "".join(parts) + "</svg>"
