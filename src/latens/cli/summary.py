"""What is said about a fitted model: its settings, its figures, in words and as plain values."""

from __future__ import annotations

import math
from importlib.metadata import version
from typing import Any

import torch

from latens.cli.screen import Line
from latens.data import Schema
from latens.density import DensityEstimator
from latens.neural import AutoEncoder, LatentDensity, NeuralDensity
from latens.neural.progress import duration, roughly
from latens.neural.saving import portable
from latens.utils.text import text

CROSS_VALIDATED = "cross-validated"
"""Judged on rows of the training data, each scored by a density fitted without it."""

FEW = 6
"""Columns whose errors are told in a line."""

LONG = 30 * 60.0
"""Seconds of training from which it is worth saying what makes it shorter."""


def judged(n: int, on: str) -> str:
    """How many examples of which kind the figures are of.

    >>> judged(180, "held-out"), judged(1_000, CROSS_VALIDATED)
    ('180 held-out examples', '1,000 cross-validated examples, each scored by a density fitted without it')
    """
    return f"{n:,} {on} examples" + (", each scored by a density fitted without it" if on == CROSS_VALIDATED else "")


def about(estimator: DensityEstimator) -> dict[str, Any]:
    """Plain values, ready for JSON."""
    schema: Schema = estimator.schema_
    versions = {name: version(name) for name in ("latens", "torch", "numpy")}
    common = {"schema": schema.describe(), "summary": schema.summary, "versions": versions}
    if not isinstance(estimator, NeuralDensity):
        nothing: dict[str, Any] = {
            "code": None,
            "settings": {},
            "reasons": {},
            "objective": None,
            "condition": None,
            "parameters": None,
        }
        return {"estimator": text(estimator), **common, **nothing, "history": None}
    history = estimator.history_
    return {
        "estimator": portable(estimator),
        **common,
        "code": code(estimator) if isinstance(estimator, LatentDensity) else None,
        "settings": {name: text(value) for name, value in estimator.settings_.items()},
        "reasons": dict(estimator.reasons_),
        "objective": text(estimator._objective()),
        "condition": None if estimator.condition_ is None else text(estimator.condition_),
        "fitted_prior": " ".join(repr(estimator.prior_).split()) if hasattr(estimator, "prior_") else None,
        "parameters": sum(p.numel() for p in estimator.model_.parameters()),
        "history": {
            "epochs": len(history.rows),
            "best_epoch": history.best_epoch or len(history.rows),
            "stopped": history.stopped,
            "seconds": history.rows[-1]["seconds"] if history.rows else 0.0,
            "recoveries": history.recoveries,
        },
    }


def code(estimator: LatentDensity) -> dict[str, Any]:
    """What a row passes through: how many numbers, in words, and what they are."""
    size, classes = " x ".join(map(str, estimator._latent_shape)), estimator.code_classes_
    through = f"{size} numbers" if classes is None else f"{size} codes, each one of {classes}"
    mean = classes is None and not isinstance(estimator, AutoEncoder)
    return {"units": estimator._n_features_out, "through": through, "point": "posterior mean" if mean else "code"}


def training(history: dict[str, Any]) -> str:
    """How long it took.

    >>> training({"epochs": 9, "seconds": 75.0, "best_epoch": 7})
    '9 epochs in 1 min 15 s, kept the weights of epoch 7'
    """
    long = duration(history["seconds"])
    return f"{history['epochs']} epochs in {long}, kept the weights of epoch {history['best_epoch']}"


def compared_lines(rows: list[dict[str, Any]]) -> list[Line]:
    """How each did, the best first."""
    if len(rows) < 2:
        return []
    lines: list[Line] = []
    for i, row in enumerate(rows):
        lines.append(("" if i else "compared", f"{row['name']}   {compared_words(row)}"))
    return lines


def compared_words(row: dict[str, Any]) -> str:
    """What a density reached, in nats an example."""
    if row["failure"]:
        return f"failed: {row['failure']}"
    if row["zero"]:
        return f"{row['zero']:.1%} of the rows have density zero; {row['elsewhere']:.4f} nats on the others"
    behind = f", {-row['difference']:.4f} +- {row['difference_error']:.4f} behind" if row["difference"] else ""
    return f"{row['score']:.4f} +- {row['error']:.4f} nats{behind}"


def forecast(seconds: float, kind: str, device: str = "cpu") -> str:
    """How long training would take here, and what makes it shorter where that is long.

    >>> forecast(700, "image").partition(" (")[0], forecast(9000, "table").partition("); ")[2]
    ('about 12 min on this machine', 'shorter with --epochs N or fewer examples')
    """
    n = torch.get_num_threads()
    place = f"{n} core{'s' if n > 1 else ''}" if device == "cpu" else device
    line = f"about {roughly(seconds)} on this machine ({place})"
    if seconds <= LONG:
        return line
    return f"{line}; shorter with --epochs N or fewer {'images' if kind == 'image' else 'examples'}"


def most_information(mixture: int) -> str:
    """The bound of what so many examples can show of the information between x and z.

    >>> most_information(180)
    'at most log 180 = 5.19'
    """
    return f"at most log {mixture:,} = {math.log(mixture):.2f}"


def figure_lines(figures: dict[str, Any], of: str) -> list[Line]:
    """The figures that exist, with their units."""
    latents = len(figures.get("rate_per_dimension") or [])
    error, mixed = figures.get("standard_error"), figures.get("mixture")
    k, count, of_data = figures.get("k"), figures.get("effective_draws"), f"{figures.get('measure')} of {of}"
    drawn = f"k = {k}{f', effectively {count:.0f}' if count else ''}; " if k else ""
    scored = f"log p(x | its {figures['given']})" if figures.get("given") else "log p(x)"
    table = [
        ("negative_elbo", "-ELBO", "{:.2f} nats an example"),
        ("elbo_bits_per_dimension", "", "{:.4f} bits per dimension"),
        ("log_likelihood", scored, "{:.2f}" + (f" +- {error:.2f}" if error else "") + " nats an example"),
        ("bits_per_dimension", "", "{:.4f} bits per dimension" + f" ({drawn}{of_data})"),
        ("perplexity", "perplexity", "{:.1f}: among as many the next one is as hard to choose"),
        ("distortion", "distortion", "{:.2f} nats"),
        ("rate", "rate", "{:.2f} nats"),
        ("active_units", "active units", "{}" + (f" of {latents}" if latents else "")),
        (
            "mutual_information",
            "mutual information",
            "{:.2f} nats between x and z" + (f" ({most_information(mixed)})" if mixed else ""),
        ),
        ("reconstruction_error", "reconstruction", "{:.4g} mean squared error, squared units of the data"),
        ("wrong_symbols", "reconstruction", "{:.1%} of places hold another symbol"),
    ]
    found = [(name, form.format(figures[key])) for key, name, form in table if figures.get(key) is not None]
    return [*found, *_column_lines(figures)]


def _column_lines(figures: dict[str, Any]) -> list[Line]:
    """How what comes back differs, of columns with units of their own.

    >>> _column_lines({"column_errors": {"age": 7.866}, "wrong_categories": {"sex": 0.02, "race": 0.144}})
    [('reconstruction', 'age 7.866 (root mean square, in its units)'), ('', 'race 14.4 %, sex 2.0 % wrong')]
    """
    errors, wrong = figures.get("column_errors") or {}, figures.get("wrong_categories") or {}
    lines = []
    if errors:
        few = ", ".join(f"{name} {error:.4g}" for name, error in list(errors.items())[:FEW])
        units = "its units" if len(errors) == 1 else "their units"
        lines.append(f"{few}{_more(errors)} (root mean square, in {units})")
    if wrong:
        worst = sorted(wrong.items(), key=lambda item: -item[1])[:FEW]
        lines.append(", ".join(f"{name} {100 * share:.1f} %" for name, share in worst) + f"{_more(wrong)} wrong")
    return [("" if i else "reconstruction", line) for i, line in enumerate(lines)]


def _more(of: dict[str, float]) -> str:
    return f" and {len(of) - FEW} more" if len(of) > FEW else ""
