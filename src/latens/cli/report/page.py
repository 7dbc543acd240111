"""The page: sections of a study in the order one would tell them."""

from __future__ import annotations

from html import escape
from importlib.resources import files

from latens.cli.report.looks import hero, pairs, samples, topics, traversals
from latens.cli.report.sections import (
    comparison,
    drawings,
    figure_cards,
    latent_map,
    learning,
    notes,
    rates,
    settings_table,
)
from latens.cli.report.tables import associations, marginals, nearest, told
from latens.cli.report.texts import written
from latens.cli.report.traces import listen, traces, walks
from latens.cli.study import Study

SECTIONS = (
    hero,
    figure_cards,
    pairs,
    samples,
    topics,
    written,
    traces,
    listen,
    drawings,
    comparison,
    marginals,
    associations,
    told,
    nearest,
    learning,
    latent_map,
    rates,
    traversals,
    walks,
    settings_table,
    notes,
)


def page(study: Study) -> str:
    """A whole document."""
    style = files("latens.cli.report").joinpath("style.css").read_text(encoding="utf-8")
    body = "\n".join(text for section in SECTIONS if (text := section(study)))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(study.name)} · latens</title><style>{style}</style></head>\n"
        f"<body><main>{body}</main></body></html>\n"
    )
