"""Maximum likelihood of one column: what is kept of its rows, the parameters, their errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from latens.density.families.base import Array, Univariate, check_fixed, no_maximum
from latens.density.families.newton import Likelihood, climb, log_mass, maximise
from latens.utils.errors import InputError

Column = tuple[Array, Array, Array, Array]
"""Statistics of the exact rows (r, m), their weights (m,), bounds of the censored ones (2, c), their weights (c,)."""


class Fitted(NamedTuple):
    """Parameters, errors for one row, mean log likelihood, and the information of the free parameters per row."""

    theta: Array
    errors: Array
    value: float
    information: Array


def digest(family: Univariate, x: Array, w: Array, upper: Array) -> Column:
    """What is needed of rows known to lie in [x, upper]."""
    exact = x == upper
    values = x[exact].astype(np.float64)
    bounds = np.array([x[~exact], upper[~exact]], dtype=np.float64)
    if len(values):
        family.check(values)
    return *_pooled(family, family.statistics(values), w[exact]), bounds, w[~exact]


def merge(family: Univariate, first: Column, second: Column) -> Column:
    """What is needed of both."""
    t, w, bounds, v = (np.concatenate(pair, axis=-1) for pair in zip(first, second))
    return *_pooled(family, t, w), bounds, v


def _pooled(family: Univariate, t: Array, w: Array) -> tuple[Array, Array]:
    return family.pool(t, w) if len(w) else (t, w)


def known(family: Univariate, fixed: Mapping[str, Any]) -> Array:
    """The fixed parameters and NaN where they are free, (p,).

    Raises:
        InputError: a name that is not one of the parameters, or a value outside its domain.
    """
    check_fixed(family.name, fixed, family.names)
    out = np.full(len(family.names), np.nan)
    for i, parameter in enumerate(family.parameters):
        value, (low, high, *_) = {**family.given, **fixed}.get(parameter.name), parameter.domain
        if value is None:
            continue
        try:
            out[i] = float(value)
        except (TypeError, ValueError):
            raise InputError(f"fixed expects a number for {parameter.name}; got {value!r}.") from None
        if not low < out[i] < high:
            raise InputError(f"fixed expects {parameter.name} between {low:g} and {high:g}; got {value!r}.")
    return out


def fit(family: Univariate, column: Column, known: Array) -> Fitted:
    """The parameters of highest likelihood, with those fixed that are not NaN in ``known``."""
    t, w, bounds, v = column
    total = w.sum() + v.sum()
    likelihood = Likelihood(family, t, w / total, bounds, v / total)
    theta = _highest(likelihood, known)
    return Fitted(theta, *_errors(likelihood, theta, np.isnan(known)))


def _highest(likelihood: Likelihood, known: Array) -> Array:
    family, free = likelihood.family, np.isnan(known)
    if not free.any():
        return known
    if len(likelihood.v):
        _check_bounds(likelihood, free)
    else:
        if free.all() and not family.streams and np.ptp(likelihood.t[0]) == 0:
            raise no_maximum(family.name, "all rows are equal", "It expects at least two different values.")
        direct = family.profile(likelihood.t, likelihood.w, known)
        if direct is not None:
            return direct
    start = np.where(free, _inner(family, _start(likelihood)), known)
    return (climb if family.kinks else maximise)(likelihood, start, free)


def _check_bounds(likelihood: Likelihood, free: Array) -> None:
    """Censored rows that leave the likelihood a maximum.

    Raises:
        InputError: an end of the support is free, or one value could be all rows.
    """
    family, (low, high) = likelihood.family, likelihood.bounds
    for parameter, is_free in zip(family.parameters, free):
        if is_free and not parameter.regular:
            raise InputError(f"{family.name} takes censored rows only where {parameter.name} is fixed.")
    one_sided = np.isinf(high).all() or (low <= family.low).all()
    if not len(likelihood.w) and (one_sided or (free.sum() > 1 and low.max() <= high.min())):
        why = "every row is censored, and one value could be all of them"
        raise no_maximum(family.name, why, "It expects some rows that are exact, or bounded on both sides.")


def _inner(family: Univariate, theta: Array) -> Array:
    """Parameters on the end of their domain, moved inside."""
    low, high = (np.array([getattr(p.domain, end) for p in family.parameters]) for end in ("low", "high"))
    return np.where(theta <= low, low + 1e-3, np.where(theta >= high, high - 1e-3, theta))


def _start(likelihood: Likelihood) -> Array:
    """From the exact rows, and the censored ones at their bounds (or between, where both are finite)."""
    family = likelihood.family
    if not len(likelihood.v):
        return family.start(likelihood.t, likelihood.w)
    low, high = likelihood.bounds
    with np.errstate(invalid="ignore"):
        middle = np.where(np.isinf(low), high, np.where(np.isinf(high), low, (low + high) / 2))
    if family.discrete:
        middle = np.floor(middle)
    usable = family.inside(middle, family.low, family.high)
    t = np.concatenate([likelihood.t, family.statistics(middle[usable])], axis=1)
    return family.start(t, np.concatenate([likelihood.w, likelihood.v[usable]]))


def _errors(likelihood: Likelihood, theta: Array, free: Array) -> tuple[Array, float, Array]:
    """From the curvature at the maximum, which is the observed information."""
    family = likelihood.family
    regular = np.array([p.regular and p.domain.low < v < p.domain.high for p, v in zip(family.parameters, theta)])
    at = np.flatnonzero(free & regular & np.isfinite(theta))
    errors = np.full(len(theta), np.nan)
    information = -likelihood.hessian(theta)[np.ix_(at, at)] if len(at) else np.zeros((0, 0))
    unit = family.sizes(theta)[at]
    curvature = information * unit * unit[:, None]
    if len(at) and np.isfinite(curvature).all() and np.linalg.eigvalsh(curvature)[0] > 0:
        errors[at] = unit * np.sqrt(np.diag(np.linalg.inv(curvature)))
    return errors, likelihood.value(theta), information


def log_prob(family: Univariate, x: Array, theta: Array) -> Array:
    """log p(x), -inf outside the support."""
    x = x.astype(np.float64)
    inside = family.inside(x, *family.support(theta))
    out = np.full(len(x), -np.inf)
    with np.errstate(over="ignore", under="ignore"):
        out[inside] = family.log_density(family.statistics(x[inside]), theta)
    return out


def log_prob_between(family: Univariate, lower: Array, upper: Array, theta: Array) -> Array:
    """log p(x) where both bounds are x, otherwise log P(lower <= x <= upper)."""
    exact = lower == upper
    out = np.empty(len(lower))
    out[exact] = log_prob(family, lower[exact], theta)
    out[~exact] = log_mass(family, np.array([lower[~exact], upper[~exact]]), theta)
    return out
