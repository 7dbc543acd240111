"""Sections of tables: columns, how they hang together, how well each is told, and how near draws come to records."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from latens.cli.portrait import Nearest, Told
from latens.cli.report.charts import short, words
from latens.cli.report.columns import column, histogram
from latens.cli.report.words import key, minus, section
from latens.cli.study import Study

FULL = 0.3
"""A difference of association that has the full colour."""
_LABELS, _MAP, _GAP, _LARGEST, _WRITTEN = 140.0, 286.0, 26.0, 46.0, 30.0
_LETTERS = 20


def marginals(study: Study) -> str:
    """Columns of the data and of draws from the model."""
    if study.portrait is None or study.draws is None or study.pictures:
        return ""
    names, kinds, shown = study.schema.names, study.schema.columns, study.portrait.columns
    lead = (
        f"Each column of the data, and of {len(study.draws):,} rows drawn from the model, in the column's own units: "
        "lines should follow bars."
    )
    if len(shown) < study.schema.size:
        lead += f" {len(shown)} of {study.schema.size} columns are shown; constants come back as they are."
    panels = "".join(
        column(None if kinds is None else kinds[j], study.data[:, j], study.draws[:, j], names[j]) for j in shown
    )
    legend = key(("data", "data"), ("model", "draws from the model"))
    return section("Data and draws", lead, legend, f'<div class="panels small">{panels}</div>')


def associations(study: Study) -> str:
    """How much columns tell of each other, in the data and in draws."""
    seen = study.portrait
    if seen is None or len(seen.columns) < 2:
        return ""
    names = [study.schema.names[j] for j in seen.columns]
    off = np.triu(np.abs(seen.draws - seen.data), 1)
    a, b = np.unravel_index(int(off.argmax()), off.shape)
    mean = off[np.triu_indices(len(names), 1)].mean()
    lead = (
        "How much two columns tell of each other: √(1 − exp(−2 I)), with I their mutual information in nats, numbers "
        "in eight bins of equal share. It is 0 where they are independent; of two normal columns it is the size of "
        f"their correlation. Draws should look like the data. They differ by {mean:.2f} on average, and most in "
        f"<b>{escape(names[a])}</b> with <b>{escape(names[b])}</b>: {seen.data[a, b]:.2f} in the data, "
        f"{seen.draws[a, b]:.2f} in draws."
    )
    legend = (
        "<p class=key><span>independent <i class=ramp></i> one tells the other</span>"
        f"<span>−{FULL:g}, draws tell less <i class='ramp two'></i> draws tell more, {FULL:g}</span></p>"
    )
    return section(
        "How columns hang together", lead, legend, f"<div class=scroll>{maps(names, seen.data, seen.draws)}</div>"
    )


def maps(names: Sequence[str], data: np.ndarray, draws: np.ndarray) -> str:
    """Three maps side by side: the data, draws, and their difference."""
    n = len(names)
    cell = min(_MAP / n, _LARGEST)
    wide, tall = cell * n, cell * n + 24
    below = 12 + 6.2 * min(max(map(len, names)), _LETTERS)
    titles = ("the data", "draws from the model", "draws less data")
    width = _LABELS + 3 * wide + 2 * _GAP
    box = f"0 0 {width:.0f} {tall + below:.0f}"
    style = f"min-width:{min(width, 760):.0f}px;max-width:{width:.0f}px"
    parts = [f'<svg class=maps style="{style}" viewBox="{box}" role="img" aria-label="associations of columns">']
    parts += [words(_LABELS - 8, 24 + cell * (i + 0.5) + 4, _cut(name), "end") for i, name in enumerate(names)]
    for k, (title, values) in enumerate(zip(titles, (data, draws, draws - data))):
        left = _LABELS + k * (wide + _GAP)
        parts.append(words(left, 12, title, "start"))
        for i in range(n):
            x, y = left + cell * (i + 0.5) + 4, tall + 8
            turned = f'transform="rotate(-90 {x:.1f} {y:.1f})" text-anchor=end'
            parts.append(f"<text x={x:.1f} y={y:.1f} {turned}>{escape(_cut(names[i]))}</text>")
            parts += [
                _cell(left + cell * j, 24 + cell * i, cell, float(values[i, j]), f"{names[i]}, {names[j]}", k == 2)
                for j in range(n)
                if i != j
            ]
    return "".join(parts) + "</svg>"


def _cell(x: float, y: float, size: float, value: float, names: str, signed: bool) -> str:
    cls = ("model" if value > 0 else "held") if signed else "held"
    shade = min(1.0, abs(value) / FULL) if signed else value
    tip = f"<title>{escape(names)}: {minus(f'{value:+.2f}' if signed else f'{value:.2f}')}</title>"
    box = f"x={x + 0.5:.1f} y={y + 0.5:.1f} width={size - 1:.1f} height={size - 1:.1f}"
    drawn = f'<rect class="cell {cls}" {box} fill-opacity={max(shade, 0.03):.2f}>{tip}</rect>'
    if size < _WRITTEN:
        return drawn
    told = minus(f"{value:+.2f}" if signed else f"{value:.2f}")
    return drawn + words(x + size / 2, y + size / 2 + 4, told.replace("0.", "."))


def _cut(name: str) -> str:
    return name if len(name) <= _LETTERS else name[: _LETTERS - 1] + "…"


def told(study: Study) -> str:
    """How far off each column is."""
    seen = study.portrait
    if seen is None or not seen.told:
        return ""
    others = any(item.others is not None for item in seen.told)
    lead = (
        f"How far off each column is, on {study.judged_on} rows: the root mean square of the difference in the "
        "column's own units, of categories the share that is wrong. <b>Guessing</b> always says the mean, or the most "
        "frequent category. <b>From its code</b> is what comes back of a row that has passed through the latent space."
    )
    if others:
        lead += " <b>From the other columns</b>: the column is hidden, and the model asked for it."
    lead += " A full bar is no better than guessing."
    head = "<th>column</th><th>guessing</th><th>from its code</th>" + (
        "<th>from the other columns</th>" if others else ""
    )
    rows = "".join(_row(study.schema.names[item.column], item, others) for item in seen.told)
    body = f"<table class=meters><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return section("How well each column is told", lead, f"<div class=scroll>{body}</div>")


def _row(name: str, item: Told, others: bool) -> str:
    cells = [_meter(item, item.code, "held")]
    if others:
        cells.append("<td></td>" if item.others is None else _meter(item, item.others, "model"))
    return f"<tr><th>{escape(name)}</th><td>{_off(item, item.guess)}</td>{''.join(cells)}</tr>"


def _meter(item: Told, error: float, cls: str) -> str:
    share = min(1.0, error / item.guess) if item.guess else float(error > 0)
    bar = f'<i class="meter {cls}"><i style="width:{100 * share:.0f}%"></i></i>'
    return f"<td>{bar}{_off(item, error)}</td>"


def _off(item: Told, error: float) -> str:
    return f"{100 * error:.1f} % wrong" if item.is_share else short(float(f"{error:.3g}"))


def nearest(study: Study) -> str:
    """Privacy: how near draws come to rows that were learned from."""
    if study.portrait is None or study.portrait.nearest is None:
        return ""
    near = study.portrait.nearest
    lead = (
        "How far a row lies from the nearest one that the model was trained on: numbers count in standard deviations, "
        "another category counts 1. A model that had learned rows by heart would draw rows nearer to them than rows "
        "are that it has never seen: the line would stand to the left of the bars."
    )
    legend = key(("data", "held-out rows"), ("model", "draws from the model"))
    chart = histogram(near.held_out, near.drawn, "distance to the nearest training row")
    cards = "".join(
        f"<div class=card><p class=number>{number}</p><p>{said}</p></div>" for number, said in _privacy(near)
    )
    end = (
        "<p class=lead>That is no guarantee: training adds no noise, and one rare person may be betrayed where most "
        "are not. Nobody should be promised privacy by these figures alone.</p>"
    )
    figure = f"<figure class=panel>{chart}<figcaption>distance to the nearest training row</figcaption></figure>"
    return section(
        "How near draws come to records",
        lead,
        legend,
        f"<div class=near>{figure}<div class=cards>{cards}</div></div>",
        end,
    )


def _privacy(near: Nearest) -> list[tuple[str, str]]:
    """Figures with what they mean."""
    drawn, held = np.median(near.drawn), np.median(near.held_out)
    return [
        (
            f"{100 * near.share:.0f} %",
            "of the time a draw lies nearer to its nearest record than a held-out row does: 50 % if it is as good as a "
            "new row, 100 % if all are copies.",
        ),
        (
            f"{100 * np.mean(near.drawn == 0):.1f} %",
            f"of draws equal a record; of held-out rows {100 * np.mean(near.held_out == 0):.1f} % do.",
        ),
        (f"{drawn:.2f}", f"from a draw to its nearest record, in the median; from a held-out row {held:.2f}."),
    ]
