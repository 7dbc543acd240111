"""A fitted density, looked at: with a latent space or without."""

from __future__ import annotations

from typing import Any

from latens.cli import plain, study
from latens.cli.study import Study
from latens.data import Source
from latens.density import DensityEstimator
from latens.neural import LatentDensity


def examine(
    estimator: DensityEstimator,
    source: Source,
    name: str,
    compared: list[dict[str, Any]] | None = None,
    *,
    split: bool = True,
) -> Study:
    """All that a report shows of it; ``split``: the rows are those it was fitted on, some of them held out."""
    if isinstance(estimator, LatentDensity):
        return study.examine(estimator, source, name, split=split)
    return plain.examine(estimator, source, name, compared, split=split)
