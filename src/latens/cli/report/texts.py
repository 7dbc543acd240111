"""Strings: what comes back, what is drawn, and what lies between two of them."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from latens.cli.report.words import section
from latens.cli.study import Study

PAIRED, DRAWN = 12, 20
"""Strings shown with what comes back of them, and drawn ones."""


def written(study: Study) -> str:
    """Originals beside reconstructions, samples, and the way from one string to another."""
    if study.schema.tokens is None:
        return ""
    return "".join((_pairs(study), _samples(study), _between(study)))


def _pairs(study: Study) -> str:
    if study.originals is None or study.reconstructions is None:
        return ""
    through, wrong = study.about["code"]["through"], study.figures["wrong_symbols"]
    lead = (
        f"Strings from the {study.judged_on} data, and what comes back of each after it has passed through {through}: "
        f"the most probable symbol after those written. {wrong:.0%} of places hold another symbol. What is "
        "lost, the code does not hold."
    )
    rows = zip(study.originals[:PAIRED], study.reconstructions[:PAIRED])
    return section("Originals and reconstructions", lead, _table(("original", "what comes back"), rows))


def _samples(study: Study) -> str:
    if study.draws is None:
        return ""
    rows = ((string,) for string in study.draws[:DRAWN])
    return section("Samples", "None of these exist: they are drawn, symbol after symbol.", _table(("draw",), rows))


def _between(study: Study) -> str:
    if not study.between:
        return ""
    lead = "Codes on the straight line between those of two strings, decoded: the first and the last come back alone."
    return section("From one string to another", lead, _table(("decoded",), ((string,) for string in study.between)))


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
