"""Independent columns, each of a family of one number with parameters of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from latens.density.families import column as columns
from latens.density.families.base import Array, Estimate, Family, Univariate
from latens.density.families.column import Column
from latens.utils.errors import InputError


@dataclass(frozen=True, repr=False)
class Product(Family):
    r"""$p(x) = \prod_j p_j(x_j)$.

    Where all columns are of one family, parameters go by name: numbers for one column, arrays (d,) for several.
    Otherwise they go by column first: ``{0: {"loc": 1.0, "scale": 2.0}, 1: {"rate": 3.0}}``.

    Args:
        families: of each column.
    """

    families: tuple[Univariate, ...]

    @property
    def alike(self) -> bool:
        """Whether all columns are of one family."""
        return len(set(self.families)) == 1

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.families[0].name if self.alike else "independent columns"

    @property
    def discrete(self) -> bool:  # type: ignore[override]
        return all(family.discrete for family in self.families)

    @property
    def streams(self) -> bool:  # type: ignore[override]
        return all(family.streams for family in self.families)

    def line(self, params: Mapping[Any, Any]) -> tuple[Univariate, Array]:
        return self.families[0], self.thetas(params)[0]

    def domains(self) -> dict[Any, Any]:
        each = [{parameter.name: parameter.domain for parameter in family.parameters} for family in self.families]
        return each[0] if self.alike else dict(enumerate(each))

    def digest(self, X: Array, w: Array, upper: Array | None = None) -> list[Column]:
        upper = X if upper is None else upper
        return self._each(lambda family, x, above: columns.digest(family, x, w, above), X.T, upper.T)

    def merge(self, first: list[Column], second: list[Column]) -> list[Column]:
        return self._each(columns.merge, first, second)

    def estimate(self, digest: list[Column], fixed: Mapping[Any, Any]) -> Estimate:
        known = self._each(columns.known, self._split(fixed))
        parts = self._each(columns.fit, digest, known)
        return Estimate(
            self.joined([part.theta for part in parts]),
            self.joined([part.errors for part in parts]),
            sum(part.value for part in parts),
            sum(int(np.isnan(values).sum()) for values in known),
            parts[0].information if len(parts) == 1 else None,
        )

    def joined(self, thetas: list[Array]) -> dict[Any, Any]:
        """Parameters by name, from those of each column."""
        if not self.alike:
            named = [dict(zip(family.names, theta.tolist())) for family, theta in zip(self.families, thetas)]
            return dict(enumerate(named))
        values = zip(self.families[0].names, np.array(thetas).T)
        return {name: float(row[0]) if len(row) == 1 else row for name, row in values}

    def thetas(self, params: Mapping[Any, Any]) -> list[Array]:
        """The parameters (p,) of each column."""
        if not self.alike:
            return [np.array(list(params[j].values())) for j in range(len(self.families))]
        return list(np.array([np.atleast_1d(params[name]) for name in self.families[0].names]).T)

    def _split(self, fixed: Mapping[Any, Any]) -> list[dict[str, Any]]:
        """What is fixed, for each column."""
        d = len(self.families)
        if self.alike:
            for name, value in fixed.items():
                if np.ndim(value) and np.shape(value) != (d,):
                    raise InputError(f"fixed expects a number for {name}, or {d} of them; got shape {np.shape(value)}.")
            return [{name: value[j] if np.ndim(value) else value for name, value in fixed.items()} for j in range(d)]
        if not all(isinstance(fixed[j], Mapping) and j in range(d) for j in fixed):
            raise InputError(f"fixed expects {{column: {{name: number}}}} for different families; got {fixed!r}.")
        return [dict(fixed.get(j, {})) for j in range(d)]

    def log_prob(self, X: Array, params: Mapping[Any, Any]) -> Array:
        return np.sum(self._each(columns.log_prob, X.T, self.thetas(params)), axis=0)

    def log_prob_between(self, lower: Array, upper: Array, params: Mapping[Any, Any]) -> Array:
        """As ``log_prob``, with log P(lower <= x <= upper) where the two differ: (n,)."""
        return np.sum(self._each(columns.log_prob_between, lower.T, upper.T, self.thetas(params)), axis=0)

    def draw(self, params: Mapping[Any, Any], n: int, rng: np.random.RandomState) -> Array:
        laws = self._each(lambda family, theta: family.scipy(theta), self.thetas(params))
        return np.column_stack([law.rvs(size=n, random_state=rng) for law in laws]).astype(np.float64)

    def marginal(self, params: Mapping[Any, Any], kept: Array) -> tuple[Product, dict[Any, Any]]:
        """The law of the columns that are kept (d,)."""
        at = np.flatnonzero(kept)
        rest = Product(tuple(self.families[j] for j in at))
        thetas = self.thetas(params)
        return rest, rest.joined([thetas[j] for j in at])

    def means(self, params: Mapping[Any, Any]) -> Array:
        """Of each column: (d,)."""
        return np.array(self._each(lambda family, theta: family.scipy(theta).mean(), self.thetas(params)))

    def _each(self, work: Callable[..., Any], *arguments: Any) -> list[Any]:
        """The work of every column, whose errors name it where there are several."""
        done = []
        for j, parts in enumerate(zip(self.families, *arguments)):
            try:
                done.append(work(*parts))
            except InputError as error:
                raise InputError(f"column {j}: {error}" if len(self.families) > 1 else str(error)) from None
        return done
