"""A prior that is fitted to the latents of a model once that is trained: p(z), or p(z | y)."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone

from latens.density import BayesClassifier, DensityEstimator
from latens.utils.errors import InputError


def prior_of(density: DensityEstimator, z: np.ndarray, y: np.ndarray | None, real: bool) -> DensityEstimator:
    """A copy of the density, fitted to latents ``(n, L)``, or to latents given y.

    Args:
        density: unfitted.
        z: a draw for each row.
        y: ``(n, ...)``, what each row is conditioned on; None where nothing is.
        real: whether y are real numbers, of which only a network can be told; for classes it is a copy each.
    """
    own = clone(density)
    if y is None:
        return own.fit(z)
    if "condition" in own.get_params(deep=False):
        return own.set_params(condition="y").fit(z, y)
    if real:
        return own.fit(z)
    return (own if isinstance(own, BayesClassifier) else BayesClassifier(own)).fit(z, y)


def knows_y(prior: DensityEstimator) -> bool:
    """Whether a density that ``prior_of`` gave tells p(z | y)."""
    return isinstance(prior, BayesClassifier) or getattr(prior, "condition", None) is not None


def check_prior(density: Any, condition: str | None) -> None:
    """Refuses what is no density of rows, or one with a condition where the model has none."""
    if not isinstance(density, DensityEstimator) or not hasattr(density, "score_samples"):
        raise InputError(f"fit_prior expects a density such as GaussianMixture(10); got {type(density).__name__}.")
    if condition is None and density.get_params(deep=False).get("condition") is not None:
        raise InputError(f"fit_prior expects a density p(z) without a condition; got {density}.")
