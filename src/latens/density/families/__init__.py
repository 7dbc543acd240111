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
from latens.utils.errors import InputError
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


def named(family: Any, d: int) -> Any:
    """The family of this name for d columns; a value is itself; a tuple holds one for each column.

    Raises:
        InputError: no family of ours or of scipy has this name.

    Example:
        >>> named("gamma", 1), named("normal", 1), named("normal", 3), named("cauchy", 1)
        (Gamma(), Normal(), MultivariateNormal(), Scipy('cauchy'))
        >>> named(("gamma", "poisson"), 2)
        (Gamma(), Poisson())
    """
    if isinstance(family, tuple):
        return tuple(named(each, 1) for each in family)
    if isinstance(family, Univariate | Family):
        return family
    if family == "normal" and d > 1:
        return FAMILIES["multivariate-normal"]
    if isinstance(family, str) and family not in FAMILIES and family in scipy_names():
        return Scipy(family)
    if family == "auto":
        raise InputError("family='auto' chooses for all columns; a tuple expects a family for each column.")
    check_choice("family", family, ["auto", *FAMILIES])
    return FAMILIES[family]


def of_rows(family: Any, d: int) -> Family:
    """A family of rows of d columns: itself, or the product over the columns.

    Raises:
        InputError: a tuple that does not hold one family of one number for each column.
    """
    if isinstance(family, Univariate):
        return Product((family,) * d)
    if not isinstance(family, tuple):
        return family
    if len(family) != d or not all(isinstance(each, Univariate) for each in family):
        raise InputError(f"family expects a family of one number for each of {d} columns; got {family!r}.")
    return Product(family)
