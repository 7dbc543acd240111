"""Signals as lines, on one scale; recordings that can be played."""

from __future__ import annotations

import base64
import io
from html import escape

import numpy as np

from latens.cli.report.charts import short, ticks, words
from latens.cli.report.pictures import pictured, pixels, uri
from latens.cli.report.words import key, section
from latens.cli.study import REACH, Study, Traversal
from latens.data import Schema
from latens.data.sound.files import write_wav

PANELS, SPARKS, PLAYED, LANES = 12, 8, 8, 4
"""Signals drawn large and small, recordings that are heard, and channels shown, at most."""
_WIDTH, _HEIGHT, _POINTS = 320.0, 112.0, 300
_BYTES = 3_000_000
"""Of all sound of one kind in a page."""


def drawn(schema: Schema) -> bool:
    """Whether rows are shown as lines."""
    return schema.kind == "signal" and not pictured(schema)


def traces(study: Study) -> str:
    """Originals below reconstructions, and draws below means, as lines."""
    if not drawn(study.schema) or study.originals is None or study.reconstructions is None:
        return ""
    through, error = study.about["code"]["through"], study.figures["reconstruction_error"]
    lead = (
        f"Examples from the {study.judged_on} data, and over each what comes back after it has passed through "
        f"{through}, all on one scale{_lanes(study.schema)}. The mean squared error is {error:.4g}, in squared "
        "units of the data."
    )
    parts = [
        section(
            "Originals and reconstructions",
            lead,
            key(("train", "original"), ("held", "what comes back")),
            _panels(("train", study.originals), ("held", study.reconstructions)),
        )
    ]
    if study.means is not None and study.draws is not None:
        lead = (
            "None of these exist: codes are drawn from the prior and decoded. In orange the decoder's <b>mean</b> "
            "E[x | z], and behind it a <b>true draw</b> x ~ p(x | z) of the same code, with all the noise that the "
            "likelihood believes in: the density is of these."
        )
        shown = key(("train", "draw"), ("model", "mean"))
        parts.append(section("Samples", lead, shown, _panels(("train", study.draws), ("model", study.means))))
    return "".join(parts)


def walks(study: Study) -> str:
    """What a latent dimension means, as lines from one end to the other."""
    if not drawn(study.schema) or not study.traversals:
        return ""
    unit = study.traversals[0].unit
    lead = (
        f"Each panel moves one latent dimension from −{REACH:g} (pale) to {REACH:g} (strong), in units of {unit}, and "
        "holds all others where one example lies. What changes is what that dimension means."
    )
    rows = np.stack([_laned(item.rows) for item in study.traversals])
    low, high = rows.min((0, 1, 2)), rows.max((0, 1, 2))
    panels = "".join(_walk(item, lanes, low, high) for item, lanes in zip(study.traversals, rows))
    return section("What the dimensions mean", lead, f"<div class=panels>{panels}</div>")


def _walk(item: Traversal, lanes: np.ndarray, low: np.ndarray, high: np.ndarray) -> str:
    steps = len(lanes)
    lines = "".join(
        _lines(row, low, high, "line walk", f" opacity={0.15 + 0.85 * i / (steps - 1):.2f}")
        for i, row in enumerate(lanes)
    )
    chart = _framed(lines, lanes.shape[1], low, high, f"dimension {item.dimension}")
    return f"<figure class=panel><figcaption><b>dimension {item.dimension}</b></figcaption>{chart}</figure>"


def _lanes(schema: Schema) -> str:
    channels = schema.shape[1] if len(schema.shape) > 1 else 1
    if channels == 1:
        return ""
    return f", the {'first ' if channels > LANES else ''}{min(channels, LANES)} channels one above the other"


def _laned(rows: np.ndarray) -> np.ndarray:
    """Rows as ``(n, T, lanes)`` numbers."""
    rows = np.asarray(rows, np.float64)
    return (rows[..., None] if rows.ndim == 2 else rows)[..., :LANES]


def _panels(behind: tuple[str, np.ndarray], before: tuple[str, np.ndarray]) -> str:
    pair = [_laned(rows)[:PANELS] for _, rows in (behind, before)]
    low, high = (np.nanquantile(np.concatenate(pair), q, axis=(0, 1)) for q in (0.001, 0.999))
    shown = []
    for rows in zip(*pair):
        lines = "".join(_lines(row, low, high, f"line {cls}") for row, (cls, _) in zip(rows, (behind, before)))
        shown.append(f"<figure class=panel>{_framed(lines, pair[0].shape[1], low, high, 'a signal')}</figure>")
    return f"<div class=panels>{''.join(shown)}</div>"


def _framed(lines: str, length: int, low: np.ndarray, high: np.ndarray, about: str) -> str:
    """Lines in a box, with the numbers of the first and last step, and of a single lane's scale."""
    rules = []
    if len(low) == 1:
        for y in ticks(float(low[0]), float(high[0]), 3):
            at = _HEIGHT * (float(high[0]) - y) / (float(high[0] - low[0]) or 1.0)
            rules.append(f'<path class=rule d="M0 {at:.1f}H{_WIDTH:g}"/>' + words(-6, at + 3.5, short(y), "end"))
    ends = words(0, _HEIGHT + 14, "0", "start") + words(_WIDTH, _HEIGHT + 14, str(length - 1), "end")
    box = f"-30 -4 {_WIDTH + 34:g} {_HEIGHT + 24:g}"
    return f'<svg viewBox="{box}" role="img" aria-label="{escape(about)}">{"".join(rules)}{lines}{ends}</svg>'


def _lines(row: np.ndarray, low: np.ndarray, high: np.ndarray, cls: str, more: str = "") -> str:
    """One line a lane; it breaks where values are missing, and where there are many it goes from least to most."""
    row, tall = _thinned(row), _HEIGHT / len(low)
    x = np.linspace(0.0, _WIDTH, len(row))
    parts = []
    for lane in range(len(low)):
        y = tall * (lane + (high[lane] - row[:, lane]) / ((high[lane] - low[lane]) or 1.0))
        pen, path = "M", []
        for a, b in zip(x.tolist(), y.tolist()):
            path.append("" if b != b else f"{pen}{a:.1f} {b:.1f}")
            pen = "M" if b != b else "L"
        parts.append(f'<path class="{cls}"{more} d="{"".join(path)}"/>')
    return "".join(parts)


def _thinned(row: np.ndarray) -> np.ndarray:
    """The smallest and the largest value of each stretch, ``(T, lanes)``: no peak is lost.

    >>> _thinned(np.arange(1200.0)[:, None])[:4].ravel()
    array([0., 3., 4., 7.])
    """
    step = -(-len(row) // _POINTS)
    if step <= 2:
        return row
    stretches = row[: len(row) // step * step].reshape(-1, step, row.shape[1])
    return np.stack([stretches.min(1), stretches.max(1)], 1).reshape(-1, row.shape[1])


def sparks(rows: np.ndarray) -> str:
    """A few signals in a row, without numbers."""
    lanes = _laned(rows)[:SPARKS]
    low, high = (np.nanquantile(lanes, q, axis=(0, 1)) for q in (0.001, 0.999))
    box = f"0 -4 {_WIDTH:g} {_HEIGHT + 8:g}"
    drawings = (f'<svg viewBox="{box}" role="img">{_lines(row, low, high, "line model")}</svg>' for row in lanes)
    return f"<div class=sparks>{''.join(drawings)}</div>"


def listen(study: Study) -> str:
    """Recordings that can be played: what went in, what comes back, what was drawn."""
    schema = study.schema
    if not schema.audible or study.originals is None or study.reconstructions is None:
        return ""
    lead = "What the model was given, what comes back, and what it draws."
    if pictured(schema):
        lead += (
            " A spectrogram tells no phases: all of these, the originals too, were given phases that fit, so that they "
            "sound alike in what the spectrogram leaves open."
        )
    groups = [("original", study.originals), ("what comes back", study.reconstructions)]
    cells = _cells(groups, schema)
    if study.means is not None:
        cells += _cells([("sample", study.means)], schema)
    return section("Listen", lead, f"<div class=sounds>{cells}</div>") if cells else ""


def _cells(groups: list[tuple[str, np.ndarray]], schema: Schema) -> str:
    """For each recording its pictures with a player below each."""
    length = schema.view.length
    n = min(PLAYED, _BYTES // (3 * length * len(groups)), *(len(rows) for _, rows in groups))
    made = [
        [f"<figure>{shown}<figcaption>{name}</figcaption></figure>" for shown in _played(rows[:n], schema)]
        for name, rows in groups
        if n
    ]
    return "".join(f"<div class=sound>{''.join(cell)}</div>" for cell in zip(*made))


def _played(rows: np.ndarray, schema: Schema) -> list[str]:
    """A player for each, below its picture where there is one."""
    waves = schema.view.waveforms(rows)
    pictures = [""] * len(rows)
    if pictured(schema):
        pictures = [f'<img class=pixels src="{uri(image)}" alt="spectrogram">' for image in pixels(rows, schema)]
    players = []
    for wave in waves:
        out = io.BytesIO()
        write_wav(out, wave, schema.view.rate)
        source = "data:audio/wav;base64," + base64.b64encode(out.getvalue()).decode()
        players.append(f'<audio controls preload="metadata" src="{source}"></audio>')
    return [picture + player for picture, player in zip(pictures, players)]
