"""Any continuous distribution of scipy.stats, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy import stats

from latens.density.families import differences
from latens.density.families.base import POSITIVE, Array, Law, Parameter, Univariate
from latens.utils.validation import check_choice


@cache
def scipy_names() -> tuple[str, ...]:
    """The names of scipy's continuous distributions."""
    return tuple(name for name in sorted(vars(stats)) if isinstance(getattr(stats, name), stats.rv_continuous))


@dataclass(frozen=True, repr=False)
class Scipy(Univariate):
    """A continuous distribution of scipy.stats, with scipy's names of parameters: shapes, ``loc``, ``scale``.

    Where its support begins at ``loc``, loc is 0 unless it is fixed elsewhere, since the likelihood of a free one has
    no regular maximum. The search starts from scipy's own ``fit`` and goes on until the gradient, by differences, is
    zero; weights, censored rows and standard errors are as for every family.

    Args:
        law: such as ``"cauchy"``, ``"skewnorm"``, ``"invgauss"``.

    Example:
        >>> Scipy("skewnorm").names
        ['a', 'loc', 'scale']
    """

    law: str

    def __post_init__(self) -> None:
        check_choice("law", self.law, scipy_names())

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.law

    @property
    def parameters(self) -> tuple[Parameter, ...]:  # type: ignore[override]
        shapes = (self._law.shapes or "").replace(" ", "").split(",")
        return (*(Parameter(shape) for shape in shapes if shape), Parameter("loc"), Parameter("scale", POSITIVE))

    @property
    def _law(self) -> Any:
        return getattr(stats, self.law)

    @property
    def given(self) -> Mapping[str, float]:  # type: ignore[override]
        return {"loc": 0.0} if np.isfinite(self._law.a) else {}

    def support(self, theta: Array) -> tuple[float, float]:
        low, high = self._law.support(*theta)
        return float(low), float(high)

    def log_density(self, t: Array, theta: Array) -> Array:
        with np.errstate(all="ignore"):
            return self._law.logpdf(t[0], *theta)

    def score(self, t: Array, theta: Array) -> Array:
        return differences.gradient(lambda theta: self.log_density(t, theta), theta, self.sizes(theta))

    def hessian(self, t: Array, w: Array, theta: Array) -> Array:
        return differences.hessian(lambda theta: float(self.log_density(t, theta) @ w), theta, self.sizes(theta))

    def start(self, t: Array, w: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.array(self._law.fit(t[0], **{f"f{name}": value for name, value in self.given.items()}))

    def scipy(self, theta: Array) -> Any:
        return Law(self._law, *theta[:-2], loc=theta[-2], scale=theta[-1])
