"""A family of one number on every column of a table: independent columns, each with parameters of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from latens.density.families.base import Array, Domain, Estimate, Family, Univariate, check_fixed
from latens.density.families.newton import Likelihood, climb, log_mass, maximise
from latens.utils.errors import InputError

Column = tuple[Array, Array, Array, Array]
"""Statistics of the exact rows (r, m), their weights (m,), bounds of the censored ones (2, c), their weights (c,)."""


@dataclass(frozen=True, repr=False)
class Product(Family):
    r"""$p(x) = \prod_j p_{\theta_j}(x_j)$.

    Args:
        family: of every column.
    """

    family: Univariate

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.family.name

    @property
    def discrete(self) -> bool:  # type: ignore[override]
        return self.family.discrete

    @property
    def streams(self) -> bool:  # type: ignore[override]
        return self.family.streams

    def domain(self, name: str) -> Domain:
        return self.family.parameters[self.family.names.index(name)].domain

    def digest(self, X: Array, w: Array, upper: Array | None = None) -> list[Column]:
        upper = X if upper is None else upper
        return [self._in_column(j, X.shape[1], self._digest, X[:, j], w, upper[:, j]) for j in range(X.shape[1])]

    def _digest(self, x: Array, w: Array, upper: Array) -> Column:
        exact = x == upper
        values = x[exact].astype(np.float64)
        if len(values):
            self.family.check(values)
        bounds = np.array([x[~exact], upper[~exact]], dtype=np.float64)
        t = self.family.statistics(values)
        return *(self.family.pool(t, w[exact]) if len(values) else (t, w[exact])), bounds, w[~exact]

    def merge(self, first: list[Column], second: list[Column]) -> list[Column]:
        return [self._merged(*pair) for pair in zip(first, second)]

    def _merged(self, first: Column, second: Column) -> Column:
        t, w, bounds, v = (np.concatenate(pair, axis=-1) for pair in zip(first, second))
        return *(self.family.pool(t, w) if len(w) else (t, w)), bounds, v

    def estimate(self, digest: list[Column], fixed: Mapping[str, Any]) -> Estimate:
        check_fixed(self.name, fixed, self.family.names)
        known = self._known({**self.family.given, **fixed}, len(digest))
        parts = [self._in_column(j, len(digest), self._fit, column, known[:, j]) for j, column in enumerate(digest)]
        thetas = np.array([theta for theta, *_ in parts]).T
        errors = np.array([error for _, error, _, _ in parts]).T
        return Estimate(
            self.named(thetas),
            self.named(errors),
            sum(value for *_, value, _ in parts),
            int(np.isnan(known).sum()),
            parts[0][3] if len(parts) == 1 else None,
        )

    def named(self, values: Array) -> dict[str, Any]:
        """(p, d) by name: numbers for one column, arrays (d,) for several."""
        return {name: float(row[0]) if len(row) == 1 else row for name, row in zip(self.family.names, values)}

    def thetas(self, params: Mapping[str, Any]) -> Array:
        """The parameters as (d, p)."""
        return np.array([np.atleast_1d(params[name]) for name in self.family.names]).T

    def _known(self, fixed: Mapping[str, Any], d: int) -> Array:
        """(p, d), NaN where free."""
        known = np.full((len(self.family.names), d), np.nan)
        for name, value in fixed.items():
            domain = self.domain(name)
            try:
                known[self.family.names.index(name)] = np.asarray(value, dtype=np.float64)
            except (TypeError, ValueError):
                raise InputError(f"fixed expects a number for {name}, or one for each of {d} columns.") from None
            numbers = known[self.family.names.index(name)]
            if not ((numbers > domain.low) & (numbers < domain.high)).all():
                raise InputError(f"fixed expects {name} between {domain.low:g} and {domain.high:g}; got {value!r}.")
        return known

    def _fit(self, column: Column, known: Array) -> tuple[Array, Array, float, Array | None]:
        """Parameters, errors (for one row), mean log likelihood, information of the free parameters per row."""
        t, w, bounds, v = column
        total = w.sum() + v.sum()
        likelihood = Likelihood(self.family, t, w / total, bounds, v / total)
        theta = self._highest(likelihood, known)
        errors, information = _errors(likelihood, theta, np.isnan(known))
        return theta, errors, likelihood.value(theta), information

    def _highest(self, likelihood: Likelihood, known: Array) -> Array:
        free = np.isnan(known)
        if not free.any():
            return known
        if not len(likelihood.v):
            direct = self.family.profile(likelihood.t, likelihood.w, known)
            if direct is not None:
                return direct
        start = np.where(free, self._inner(self._start(likelihood, free)), known)
        search = climb if self.family.kinks else maximise
        return search(likelihood, start, free)

    def _inner(self, theta: Array) -> Array:
        """Parameters on the end of their domain, moved inside."""
        low, high = (np.array([getattr(p.domain, end) for p in self.family.parameters]) for end in ("low", "high"))
        return np.where(theta <= low, low + 1e-3, np.where(theta >= high, high - 1e-3, theta))

    def _start(self, likelihood: Likelihood, free: Array) -> Array:
        """From the exact rows, and the censored ones at their bounds (or between, where both are finite)."""
        if not len(likelihood.v):
            return self.family.start(likelihood.t, likelihood.w)
        for parameter in np.array(self.family.names)[free & ~np.array([p.regular for p in self.family.parameters])]:
            raise InputError(f"{self.name} takes censored rows only where {parameter} is fixed.")
        low, high = likelihood.bounds
        middle = np.where(np.isinf(low), high, np.where(np.isinf(high), low, (low + high) / 2))
        if self.family.discrete:
            middle = np.floor(middle)
        usable = self.family.inside(middle, self.family.low, self.family.high)
        if not len(likelihood.w) and not usable.any():
            raise InputError(f"{self.name} expects rows that are known, or have a known end; got none.")
        t = np.concatenate([likelihood.t, self.family.statistics(middle[usable])], axis=1)
        return self.family.start(t, np.concatenate([likelihood.w, likelihood.v[usable]]))

    def log_prob(self, X: Array, params: Mapping[str, Any]) -> Array:
        return np.sum([self._log_prob(x, theta) for x, theta in zip(X.T, self.thetas(params))], axis=0)

    def _log_prob(self, x: Array, theta: Array) -> Array:
        x = x.astype(np.float64)
        inside = self.family.inside(x, *self.family.support(theta))
        out = np.full(len(x), -np.inf)
        with np.errstate(over="ignore", under="ignore"):
            out[inside] = self.family.log_density(self.family.statistics(x[inside]), theta)
        return out

    def log_mass(self, lower: Array, upper: Array, params: Mapping[str, Any]) -> Array:
        """As ``log_prob``, with log P(lower <= x <= upper) where the two differ: (n,)."""
        columns = zip(lower.T, upper.T, self.thetas(params))
        return np.sum([self._log_mass(low, high, theta) for low, high, theta in columns], axis=0)

    def _log_mass(self, low: Array, high: Array, theta: Array) -> Array:
        exact = low == high
        out = np.empty(len(low))
        out[exact] = self._log_prob(low[exact], theta)
        out[~exact] = log_mass(self.family, np.array([low[~exact], high[~exact]]), theta)
        return out

    def draw(self, params: Mapping[str, Any], n: int, rng: np.random.RandomState) -> Array:
        laws = [self.family.scipy(theta) for theta in self.thetas(params)]
        return np.column_stack([law.rvs(size=n, random_state=rng) for law in laws]).astype(np.float64)

    def _in_column(self, j: int, d: int, work: Any, *arguments: Any) -> Any:
        """The work of one column, whose error names it where there are several."""
        try:
            return work(*arguments)
        except InputError as error:
            raise InputError(f"column {j}: {error}" if d > 1 else str(error)) from None


def _errors(likelihood: Likelihood, theta: Array, free: Array) -> tuple[Array, Array | None]:
    """From the curvature at the maximum, which is the observed information."""
    family = likelihood.family
    regular = np.array([p.regular and p.domain.low < v < p.domain.high for p, v in zip(family.parameters, theta)])
    at = np.flatnonzero(free & regular & np.isfinite(theta))
    errors = np.full(len(theta), np.nan)
    information = -likelihood.hessian(theta)[np.ix_(at, at)] if len(at) else np.zeros((0, 0))
    if len(at) and np.isfinite(information).all() and np.linalg.eigvalsh(information)[0] > 0:
        errors[at] = np.sqrt(np.diag(np.linalg.inv(information)))
    return errors, information
