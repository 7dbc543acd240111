"""Sections that images and tables share: figures, learning, the latent map, rates, settings."""

from __future__ import annotations

import math
from html import escape
from typing import Any

import numpy as np

from latens.cli.report import charts
from latens.cli.report.pictures import mosaic, pixels
from latens.cli.report.words import key, minus, section
from latens.cli.study import CELLS, FOLDS, Study
from latens.cli.summary import compared_words, judged, most_information

COLOURS = 10
"""Classes that get a colour of their own; the rest is grey."""
CARRIES = 0.01


def figure_cards(study: Study) -> str:
    """The figures with their units, each with a sentence."""
    f = study.figures
    kind, latents = "probability" if f["measure"] == "mass" else "density", (study.about["code"] or {}).get("units")
    error = f", ± {f['standard_error']:.2f} (standard error)." if f.get("standard_error") is not None else "."
    counting = f", {f['effective_draws']:.0f} of which count" if f.get("effective_draws") else ""
    draws = f", from {f['k']} weighted draws each{counting}" if f.get("k") else ""
    believed = f"Log {kind} of an example{draws}{error} Higher is better."
    scored = f"log p(x | its {f['given']})" if f.get("given") else "log p(x)"
    told = f"How much a code tells of which example it is: {most_information(f.get('mixture') or f['n'])}."
    symbols = "words" if study.schema.tokens is None else study.schema.tokens.name
    table = [
        ("log_likelihood", "{:.2f}", "nats", scored, believed),
        ("bits_per_dimension", "{:.3f}", "bits", "per dimension", _bits(f["measure"])),
        (
            "negative_elbo",
            "{:.2f}",
            "nats",
            "−ELBO",
            "Distortion plus rate: at least −log p(x), whatever was minimised.",
        ),
        ("perplexity", "{:.1f}", symbols, "perplexity", "Among as many the next one is as hard to choose."),
        ("rate", "{:.2f}", "nats", "rate", "What an example's code says beyond the prior."),
        ("distortion", "{:.2f}", "nats", "distortion", "What it costs to describe an example once its code is known."),
        ("active_units", "{}", f"of {latents}", "active units", "Latent dimensions whose mean moves with the data."),
        ("mutual_information", "{:.2f}", "nats", "mutual information", told),
        ("reconstruction_error", "{:.4g}", "squared units", "reconstruction", "Mean squared error of what comes back."),
        ("wrong_symbols", "{:.1%}", "of places", "reconstruction", "Where another symbol comes back."),
    ]
    cards = [
        f"<div class=card><h3>{name}</h3><p class=number>{minus(_number(f[item], form))} <small>{unit}</small></p>"
        f"<p>{said}</p></div>"
        for item, form, unit, name, said in table
        if f.get(item) is not None
    ]
    on = f"On {judged(f['n'], study.judged_on)}, in the units of {study.schema.measured}."
    return f"<section><p class=lead>{on}</p><div class=cards>{''.join(cards)}</div></section>"


def _number(value: float, form: str) -> str:
    """Large numbers with one decimal, larger ones with none: a card has room for seven characters.

    >>> [_number(value, "{:.2f}") for value in (3.14159, -1234.567, -12345.678)]
    ['3.14', '-1,234.6', '-12,346']
    """
    return f"{value:,.{0 if abs(value) >= 10_000 else 1}f}" if abs(value) >= 1000 else form.format(value)


def _bits(measure: str) -> str:
    if measure == "mass":
        return "What a lossless code of each number would cost. Lower is better."
    return "Of a density: it depends on the unit of the data and may be negative. Lower is better."


def learning(study: Study) -> str:
    """The loss split over the epochs."""
    if len(study.history) < 2:
        return ""
    lead = (
        "The loss is a sum: <b>distortion</b>, the nats it costs to describe an example given its code, and "
        "<b>rate</b>, the nats of the code itself. Learning trades one for the other. Where the curve of held-out "
        "rows turns away from that of training rows, the model starts to remember instead of to learn. What was "
        f"minimised here: <code>{escape(study.about['objective'])}</code>."
    )
    names = ["loss", "distortion", "rate"]
    if study.about["code"] is None:
        lead, names = "The loss: minus the mean of log p(x), on training rows and on rows held out.", ["loss"]
    elif study.kind == "AutoEncoder":
        lead, names = "Distortion: the nats it costs to describe an example given its code.", ["distortion"]
    panels = "".join(_curves(study, name) for name in names)
    return section(
        "How it learned", lead, key(("train", "training"), ("held", "held out")), f"<div class=panels>{panels}</div>"
    )


def _curves(study: Study, name: str) -> str:
    x = np.array([row["epoch"] for row in study.history], dtype=float)
    series = []
    for item, cls in ((name, "train"), (f"held_out_{name}", "held")):
        y = np.array([row.get(item, math.nan) for row in study.history], dtype=float)
        if np.isfinite(y).any():
            series.append((cls, x, y))
    if not series:
        return ""
    chart = charts.lines(series, "epoch", f"{name} over the epochs", float(study.about["history"]["best_epoch"]))
    return f"<figure class=panel><figcaption><b>{name}</b> nats an example</figcaption>{chart}</figure>"


def latent_map(study: Study) -> str:
    """Posterior means in a plane, and what the decoder makes of that plane."""
    plane = study.plane
    if plane is None:
        return ""
    groups, classes = colours_of(study.labels)
    place = "the posterior mean of its code" if study.about["code"]["point"] == "posterior mean" else "its code"
    lead = f"Each dot is an example, placed by {place} ({plane.how}). "
    if classes and study.about["condition"] is None:
        lead += "Colours are the labels, which training never saw: where they part, the model has found them by itself."
    elif classes:
        lead += "Colours are the labels; the model was told them, so that the code holds what they do not say."
    else:
        lead += "Neighbours in code are alike in kind."
    colours = np.zeros(len(plane.points), int) if groups is None else groups
    chart = charts.scatter(plane.points, colours, (plane.low, plane.high), plane.names, "latent map")
    legend = [f'<li><i class="swatch g{i}"></i>{escape(name)}</li>' for i, name in enumerate(classes)]
    if groups is not None and (groups < 0).any():
        legend.append('<li><i class="swatch grey"></i>other</li>')
    listed = f"<ul class=legend>{''.join(legend)}</ul>" if legend else ""
    if plane.decoded is None:
        return section("The latent map", lead, f"<div class=map>{chart}{listed}</div>")
    lead += " Beside it, what the decoder draws at each place of the same plane."
    picture = mosaic(pixels(plane.decoded, study.schema), CELLS, "the plane, decoded")
    both = f"<figure>{chart}</figure><figure class=decoded>{picture}</figure>"
    return section("The latent map", lead, f'<div class="two map-both">{both}</div>{listed}')


def colours_of(labels: np.ndarray | None) -> tuple[np.ndarray | None, list[str]]:
    """The colour of each row (−1: grey), and what the colours stand for.

    >>> colours_of(np.array(["b", "a", "b"]))
    (array([1, 0, 1]), ['a', 'b'])
    """
    if labels is None:
        return None, []
    classes, where, counts = np.unique(labels, return_inverse=True, return_counts=True)
    kept = np.sort(np.argsort(-counts, kind="stable")[:COLOURS])
    colour = np.full(len(classes), -1)
    colour[kept] = np.arange(len(kept))
    return colour[where], [str(classes[i]) for i in kept]


def rates(study: Study) -> str:
    """Which dimensions carry information."""
    values = study.figures.get("rate_per_dimension")
    if not values:
        return ""
    order = np.argsort(values)[::-1].tolist()
    some = [float(values[i]) for i in order]
    lead = (
        f"How many nats each latent dimension carries about an example, on {study.judged_on} data, sorted. Those near "
        f"zero equal the prior: the model found no use for them. {sum(v > CARRIES for v in some)} of {len(some)} carry "
        f"more than {CARRIES} nats."
    )
    chart = charts.bars(some, list(map(str, order)), "latent dimension", "rate per dimension in nats", CARRIES)
    return section("Where the information sits", lead, chart)


def drawings(study: Study) -> str:
    """What was drawn of the density."""
    return "".join(
        section(picture.title, picture.lead, f'<figure class="drawing">{picture.svg}</figure>')
        for picture in study.pictures
    )


def comparison(study: Study) -> str:
    """How the densities did that were tried."""
    if len(study.compared) < 2:
        return ""
    lead = (
        f"Held-out log p(x), in nats an example: all densities are fitted on the same {FOLDS - 1} of {FOLDS} parts of "
        "the rows and judged on the other, in turn. What one lacks to the best is taken row by row, so that its "
        "standard error is the smaller one."
    )
    rows = "".join(
        f"<tr><th><code>{escape(row['name'])}</code></th><td>{_told(row)}</td></tr>" for row in study.compared
    )
    head = "<tr><th>density</th><th>held-out log p(x)</th></tr>"
    return section(
        "Compared", lead, f"<div class=scroll><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>"
    )


def _told(row: dict[str, Any]) -> str:
    return minus(escape(compared_words(row).replace("+-", "±")))


def settings_table(study: Study) -> str:
    """Every setting, and who chose it."""
    if not study.about["settings"]:
        return ""
    reasons = study.about["reasons"]
    rows = "".join(
        f"<tr><th>{escape(name.replace('_', ' '))}</th><td><code>{escape(value)}</code></td>"
        f"<td>{escape(reasons[name]) if name in reasons else '<i>as you asked</i>'}</td></tr>"
        for name, value in study.about["settings"].items()
    )
    head = "<tr><th>setting</th><th>value</th><th>why</th></tr>"
    table = f"<div class=scroll><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>"
    return section("Settings", "What you did not set was chosen from the data, for these reasons.", table)


def notes(study: Study) -> str:
    """What happened to the data and in training, and the model as text."""
    items = [*study.notes, *_events(study)]
    items += [f"{name} could not be read: {why}" for name, why in study.skipped[:20]]
    if len(study.skipped) > 20:
        items.append(f"and {len(study.skipped) - 20} more that could not be read")
    listed = f"<h2>Notes</h2><ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>" if items else ""
    versions = ", ".join(f"{name} {version}" for name, version in study.about["versions"].items())
    model = f"<h2>The model, as text</h2><pre>{escape(study.about['estimator'])}</pre><p>{escape(versions)}</p>"
    return f"<footer>{listed}{model}</footer>"


def _events(study: Study) -> list[str]:
    history = study.about["history"]
    if not history:
        return []
    items = []
    if history["stopped"] == "patience":
        kept = history["best_epoch"]
        items.append(f"Training stopped early, as held-out rows gained no more; the weights of epoch {kept} are kept.")
    if history["recoveries"]:
        items.append(
            f"A number was not finite {history['recoveries']} times; training went back and on with smaller steps."
        )
    return items
