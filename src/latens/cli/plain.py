"""Densities without a latent space at the shell: which to try, how they are fitted, judged and shown."""

from __future__ import annotations

import io
import math
import re
import warnings
from dataclasses import asdict
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from latens.cli import summary
from latens.cli.opened import as_rows, log_likelihoods, table
from latens.cli.study import FOLDS, MAP_ROWS, Picture, Study, judged_rows, portrayed, some
from latens.data import Schema, Source
from latens.data.table import refuse_other_than_numbers
from latens.density import DensityEstimator, GaussianMixture, Histogram, KernelDensity, Parametric, compare
from latens.metrics.evaluate import evaluate as figures_of
from latens.neural import NeuralDensity
from latens.utils import InputError

AUTO = "auto"
MOST_JUDGED = 20_000
"""Rows that cross-validation uses, at most."""


def candidates(schema: Schema) -> dict[str, DensityEstimator]:
    """What ``--model auto`` compares: families that are quick to fit, and fit such rows."""
    found: dict[str, DensityEstimator] = {
        "Parametric()": Parametric(),
        "Histogram()": Histogram(),
        "KernelDensity()": KernelDensity(),
        "GaussianMixture()": GaussianMixture(random_state=0),
    }
    if schema.size > 3:
        del found["Histogram()"]
    return found


def choose(source: Source) -> tuple[DensityEstimator, list[dict[str, Any]]]:
    """The best of the candidates by held-out likelihood, and how all of them did.

    Raises:
        InputError: images, or too few rows.
    """
    schema = source.schema
    if schema.kind != "table":
        raise InputError(f"--model auto compares densities of tables; these are {schema.summary}")
    refuse_other_than_numbers(schema, "--model auto")
    if len(source) < 2:
        raise InputError(f"--model auto holds out some of the rows, and expects at least 2; got {len(source)} rows")
    found = candidates(schema)
    compared = judge(found, source)
    return found[compared[0]["name"]], compared


def judge(densities: dict[str, DensityEstimator], source: Source) -> list[dict[str, Any]]:
    """Held-out log p(x) of each, cross-validated on the same folds, the best first."""
    rows = table(some(source, MOST_JUDGED))
    folds = min(FOLDS, len(rows))
    with warnings.catch_warnings():  # the fit to all rows says what is worth a note, once
        warnings.simplefilter("ignore")
        return [asdict(line) for line in compare(densities, rows, cv=folds).lines]


def fit(density: DensityEstimator, source: Source) -> None:
    """Fits a density without a network; it remembers what its rows were."""
    refuse_other_than_numbers(source.schema, type(density).__name__)
    y = source.labels if is_classifier(density) else None
    density.fit(table(source), y)
    density.schema_ = source.schema


def evaluate(density: DensityEstimator, source: Source, k: int | None = None) -> dict[str, Any]:
    """log p(x) of rows it has not seen: the mean in nats an example, its standard error, and in bits per dimension."""
    if source.schema.tokens is not None and isinstance(density, NeuralDensity):
        return figures_of(density, source).as_dict()
    scores = log_likelihoods(density, source, k)
    mean = float(np.mean(scores))
    error = float(np.std(scores, ddof=1) / math.sqrt(len(scores))) if len(scores) > 1 and math.isfinite(mean) else None
    return figures(density, source.schema, len(scores), mean, error)


def figures(density: DensityEstimator, schema: Schema, n: int, mean: float, error: float | None) -> dict[str, Any]:
    """The mean of log p(x) over n rows, with what goes with it."""
    return {
        "n": n,
        "log_likelihood": mean,
        "standard_error": error,
        "bits_per_dimension": -mean / (schema.size * math.log(2.0)),
        "measure": "mass" if density.is_mass else "density",
    }


def examine(
    density: DensityEstimator, source: Source, name: str, compared: list[dict[str, Any]] | None, *, split: bool = True
) -> Study:
    """Looks at a density from all sides.

    Args:
        density: fitted.
        source: the rows it was fitted on, or others.
        name: of the data.
        compared: how it did beside others, the best first.
        split: whether these rows are those of the fit, so that it is judged on held-out ones.
    """
    shown = some(source, MAP_ROWS)
    judged, judged_on = _judged(density, source, compared, split)
    condition = getattr(density, "condition_", None)
    given = {} if condition is None else {"y": condition.examples(MAP_ROWS)}
    draws = np.asarray(as_rows(density, density.sample(MAP_ROWS, 0, **given)))
    data = shown.take(np.arange(len(shown)))
    return Study(
        name=name,
        kind=type(density).__name__,
        about=summary.about(density),
        figures=judged,
        judged_on=judged_on,
        n=len(source),
        schema=source.schema,
        history=density.history_.rows if isinstance(density, NeuralDensity) else [],
        data=data,
        draws=draws,
        pictures=_pictures(density, table(shown)) if source.schema.kind == "table" and not given else [],
        compared=compared or [],
        notes=source.notes,
        skipped=source.skipped,
        portrait=portrayed(density, source, data, draws, split),
    )


def _judged(
    density: DensityEstimator, source: Source, compared: list[dict[str, Any]] | None, split: bool
) -> tuple[dict[str, Any], str]:
    if not split:
        return evaluate(density, source), "given"
    if isinstance(density, NeuralDensity):
        rows, on = judged_rows(density, source, True)
        return evaluate(density, rows), on
    best = (compared or judge({"": density}, source))[0]
    n = min(len(source), MOST_JUDGED)
    return figures(density, source.schema, n, best["score"], best["error"]), summary.CROSS_VALIDATED


def _pictures(density: DensityEstimator, rows: np.ndarray) -> list[Picture]:
    """The density, and for one column its quantiles."""
    d = rows.shape[1]
    lead = {
        1: "The density as a line; below it the rows, as bars and as strokes.",
        2: "Regions of highest density that hold 25, 50, 75 and 95 % of its mass; the rows as dots.",
    }.get(d, "Each column, and each pair of columns: the rows in blue, the density in orange.")
    found = [Picture("The density", lead, svg(density.plot(rows)))]
    if d == 1 and hasattr(density, "quantile"):
        lead = (
            "Sorted rows against the quantiles that the density gives them. Dots on the line: the density fits. The "
            "band is where 95 in 100 would lie by chance at each place."
        )
        found.append(Picture("Quantiles", lead, svg(density.plot(rows, kind="qq"))))
    return found


def svg(figure: Any) -> str:
    """A figure as the text of an SVG that scales with the page."""
    out = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    for size in ("width", "height"):
        text = re.sub(rf'(<svg[^>]*?) {size}="[^"]*"', r"\1", text, count=1)
    return text
