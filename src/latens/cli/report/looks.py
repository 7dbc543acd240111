"""Sections made of pictures: new examples, reconstructions, traversals. Tables have none of them."""

from __future__ import annotations

from html import escape

import numpy as np

from latens.cli.report.pictures import figure, pictured, pixels
from latens.cli.report.traces import drawn, sparks
from latens.cli.report.words import section
from latens.cli.study import REACH, Study
from latens.neural.progress import duration

STRIP = 8
"""Images in a row; two such strips stand side by side where the images are small and the page is wide."""
SMALL = 48


def hero(study: Study) -> str:
    """What was learned from what, in one look."""
    history = study.about["history"]
    facts = [study.kind, study.about["summary"], f"{study.n:,} examples"]
    if history:
        facts.append(f"{study.about['parameters']:,} parameters")
        facts.append(f"{history['epochs']} epochs in {duration(history['seconds'])}")
    return (
        f"<header><p class=brand>latens <span>report</span></p><h1>{escape(study.name)}</h1>"
        f"<p class=facts>{' · '.join(map(escape, facts))}</p>{_strip(study)}</header>"
    )


def _strip(study: Study) -> str:
    if not pictured(study.schema) and not drawn(study.schema):
        return ""
    rows, said = study.means, "None of these exist: they are decoded from draws of the prior."
    if rows is None:
        rows, said = study.reconstructions, "What comes back of examples that have passed through the code."
    if rows is None:
        rows, said = study.draws, "None of these exist: they are drawn from the density."
    if rows is None:
        return ""
    if drawn(study.schema):
        return f"<figure class=strip>{sparks(rows)}<figcaption>{said}</figcaption></figure>"
    images = pixels(rows, study.schema)
    rows_of = range(0, min(len(images) // STRIP, 2) * STRIP, STRIP)
    strips = [figure(images[i : i + STRIP], STRIP, said, widest=1040) for i in rows_of]
    return f"<figure class=strip>{_side_by_side(strips, images)}<figcaption>{said}</figcaption></figure>"


def pairs(study: Study) -> str:
    """Originals above reconstructions."""
    if not pictured(study.schema) or study.originals is None or study.reconstructions is None:
        return ""
    originals, rebuilt = pixels(study.originals, study.schema), pixels(study.reconstructions, study.schema)
    across = min(STRIP, len(originals))
    lead = (
        f"Above, examples from the {study.judged_on} data; below each, what comes back after it has passed through "
        f"{study.about['code']['through']}. What is lost, the code does not hold. The mean squared error "
        f"is {study.figures['reconstruction_error']:.4g}, in squared units of the data."
    )
    strips = [
        figure(np.concatenate([originals[i : i + across], rebuilt[i : i + across]]), across, "pairs", widest=1040)
        for i in range(0, len(originals) - across + 1, across)
    ]
    return section("Originals and reconstructions", lead, _side_by_side(strips, originals))


def samples(study: Study) -> str:
    """Decoder means, and draws."""
    if not pictured(study.schema) or study.originals is None:
        return ""
    if study.means is None or study.draws is None:
        lead = "An autoencoder has codes but no density of codes; it samples once one is fitted to them with fit_prior."
        return section("Samples", lead)
    lead = (
        "Codes are drawn from the prior and decoded. First the decoder's <b>means</b> E[x | z], which are smooth; then "
        "<b>true draws</b> x ~ p(x | z) of the same codes, with all the noise that the likelihood believes in: the "
        "density is of these."
    )
    parts = []
    for rows, said in ((study.means, "Decoder means"), (study.draws, "True draws")):
        images = pixels(rows, study.schema)
        columns = min(STRIP if images.shape[2] <= SMALL else STRIP // 2, len(images))
        images = images[: len(images) // columns * columns]
        parts.append(f"<figure>{figure(images, columns, said, widest=500)}<figcaption>{said}</figcaption></figure>")
    return section("Samples", lead, f"<div class=two>{''.join(parts)}</div>")


def traversals(study: Study) -> str:
    """What a dimension means."""
    if not pictured(study.schema) or not study.traversals:
        return ""
    unit = study.traversals[0].unit
    lead = (
        f"Each row moves one latent dimension from −{REACH:g} to {REACH:g}, in units of {unit}, and holds all others "
        "where one example lies. What changes along a row is what that dimension means."
    )
    rows = np.concatenate([pixels(t.rows, study.schema) for t in study.traversals])
    names = "".join(f"<span>{t.dimension}</span>" for t in study.traversals)
    picture = figure(rows, len(study.traversals[0].rows), "traversals", widest=900)
    scale = f"<div class=scale><span>−{REACH:g}</span><span>0</span><span>{REACH:g}</span></div>"
    content = f"<div class=walk><div class=names>{names}</div><div>{picture}{scale}</div></div>"
    return section("What the dimensions mean", lead, content)


def _side_by_side(strips: list[str], images: np.ndarray) -> str:
    cls = "strips paired" if images.shape[2] <= SMALL else "strips"
    return f'<div class="{cls}">{"".join(strips)}</div>'


def topics(study: Study) -> str:
    """The words of each latent, those that carry most first."""
    if not study.topics:
        return ""
    rates = study.figures.get("rate_per_dimension") or [0.0] * len(study.topics)
    order = sorted(range(len(study.topics)), key=lambda k: -rates[k])
    lead = (
        "The words that grow most where a latent is large: frequent there, and more than elsewhere. Beside each, the "
        "nats that it carries about a document."
    )
    rows = "".join(
        f"<tr><th>{k}</th><td>{rates[k]:.2f}</td><td>{escape(' '.join(study.topics[k]))}</td></tr>" for k in order
    )
    head = "<tr><th>latent</th><th>nats</th><th>words</th></tr>"
    return section("Topics", lead, f"<div class=scroll><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>")
