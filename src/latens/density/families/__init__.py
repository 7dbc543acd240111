r"""Families of densities for maximum likelihood.

A family is a value: ``Normal()``, ``Gamma()``; a :class:`~latens.density.Parametric` learns its parameters. One-column
families are written by statistics t(x), a log density and its gradient (score); the rest, Newton's method with fixed
parameters and censored rows, the observed information and its errors, is the same for all and stands in ``newton`` and
``product``. Adding a family is one class and one line below.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from latens.density.families.adapter import Scipy, scipy_names
from latens.density.families.base import Family, Univariate
from latens.density.families.counts import Binomial, Geometric, NegativeBinomial, Poisson, ZeroInflatedPoisson
from latens.density.families.joint import Dirichlet, MultivariateNormal, MultivariateT
from latens.density.families.positive import Beta, Exponential, Gamma, LogNormal, Pareto, Weibull
from latens.density.families.product import Product
from latens.density.families.real import Gumbel, Laplace, Logistic, Normal, StudentT, Uniform
from latens.utils.validation import check_choice

__all__ = [
    "Beta",
    "Binomial",
    "Dirichlet",
    "Exponential",
    "Gamma",
    "Geometric",
    "Gumbel",
    "Laplace",
    "LogNormal",
    "Logistic",
    "MultivariateNormal",
    "MultivariateT",
    "NegativeBinomial",
    "Normal",
    "Pareto",
    "Poisson",
    "Scipy",
    "StudentT",
    "Uniform",
    "Weibull",
    "ZeroInflatedPoisson",
]

FAMILIES: Mapping[str, Any] = MappingProxyType(
    {
        family.name: family
        for family in (
            Normal(),
            LogNormal(),
            Exponential(),
            Gamma(),
            Beta(),
            Weibull(),
            StudentT(),
            Laplace(),
            Logistic(),
            Gumbel(),
            Pareto(),
            Uniform(),
            Poisson(),
            Binomial(),
            NegativeBinomial(),
            Geometric(),
            ZeroInflatedPoisson(),
            MultivariateNormal(),
            MultivariateT(),
            Dirichlet(),
        )
    }
)
"""Every family of our own, by name."""


def named(family: str | Univariate | Family, d: int) -> Univariate | Family:
    """The family of this name for d columns; a value is itself.

    Raises:
        InputError: no family of ours or of scipy has this name.

    Example:
        >>> named("gamma", 1), named("normal", 1), named("normal", 3), named("cauchy", 1)
        (Gamma(), Normal(), MultivariateNormal(), Scipy('cauchy'))
    """
    if isinstance(family, Univariate | Family):
        return family
    if family == "normal" and d > 1:
        return MultivariateNormal()
    if isinstance(family, str) and family not in FAMILIES and family in scipy_names():
        return Scipy(family)
    check_choice("family", family, ["auto", *FAMILIES])
    return FAMILIES[family]


def of_rows(family: Univariate | Family) -> Family:
    """A family of whole rows: itself, or the product over the columns."""
    return Product(family) if isinstance(family, Univariate) else family
