"""What a family of densities is: parameters, a log density, its gradient, and where the parameters may lie."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np

from latens.density.families import differences
from latens.utils.errors import InputError
from latens.utils.text import nearest
from latens.utils.value import Value

Array = np.ndarray


class Domain(NamedTuple):
    """Where a parameter may lie, and a free coordinate u for it.

    slope, bend: the first and second derivative of the parameter by u, as functions of the parameter.
    """

    low: float
    high: float
    free: Callable[[Array], Array]
    back: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    bend: Callable[[Array], Array]


def _logit(p: Array) -> Array:
    return np.log(p) - np.log1p(-p)


def _expit(u: Array) -> Array:
    return 1 / (1 + np.exp(-u))


REAL = Domain(-np.inf, np.inf, lambda p: p, lambda u: u, np.ones_like, np.zeros_like)
POSITIVE = Domain(0.0, np.inf, np.log, np.exp, lambda p: p, lambda p: p)
UNIT = Domain(0.0, 1.0, _logit, _expit, lambda p: p * (1 - p), lambda p: p * (1 - p) * (1 - 2 * p))


class Parameter(NamedTuple):
    """A parameter's name and domain.

    regular: whether its error follows from the curvature at the maximum.
    limit: above which it counts as infinite.
    """

    name: str
    domain: Domain = REAL
    regular: bool = True
    limit: float = np.inf


class Estimate(NamedTuple):
    """What maximum likelihood found.

    params: the parameters, by name.
    errors: their standard errors times the root of the number of rows; NaN where fixed or not regular.
    log_likelihood: its mean over the rows, in nats.
    n_free: how many numbers were estimated.
    information: of the free parameters, per row; None where only the errors are known.
    """

    params: dict[str, Any]
    errors: dict[str, Any]
    log_likelihood: float
    n_free: int
    information: Array | None = None


class Family(Value, ABC):
    """A family of densities of a whole row, whose parameters are learnt from the rows.

    Weights are normalised by ``estimate``: means over rows, never sums.
    """

    name: ClassVar[str]
    discrete: ClassVar[bool] = False
    streams: ClassVar[bool] = False

    @abstractmethod
    def digest(self, X: Array, w: Array, upper: Array | None = None) -> Any:
        """What ``estimate`` needs of the rows (n, d) with weights (n,), each known to lie in [X, upper]."""

    @abstractmethod
    def merge(self, first: Any, second: Any) -> Any:
        """The digest of both rows together."""

    @abstractmethod
    def estimate(self, digest: Any, fixed: Mapping[str, Any]) -> Estimate:
        """The parameters of highest likelihood, some of them fixed."""

    @abstractmethod
    def log_prob(self, X: Array, params: Mapping[str, Any]) -> Array:
        """log p(x) of each row (n, d): (n,) in nats."""

    @abstractmethod
    def draw(self, params: Mapping[str, Any], n: int, rng: np.random.RandomState) -> Array:
        """n rows (n, d)."""

    @abstractmethod
    def line(self, params: Mapping[str, Any]) -> tuple[Univariate, Array]:
        """The family of the one column, where there is but one, and its parameters (p,)."""

    @abstractmethod
    def domains(self) -> dict[Any, Any]:
        """Where each parameter may lie, by name (by column and name where columns are of different families)."""


class Univariate(Value, ABC):
    r"""A family of densities of one number.

    ``statistics`` takes values to rows of statistics t, of which log density and score are functions. Where these are
    affine in t (or as for the normal, where t is the mean and deviation of a group) ``pool`` makes one row of many, so
    that the likelihood of any number of rows costs one evaluation and rows may come in parts. What is ``given`` is
    fixed unless it is fixed elsewhere.
    """

    name: ClassVar[str]
    parameters: ClassVar[tuple[Parameter, ...]]
    expects: ClassVar[str] = "real numbers"
    discrete: ClassVar[bool] = False
    streams: ClassVar[bool] = False
    low: ClassVar[float] = -np.inf
    high: ClassVar[float] = np.inf
    closed: ClassVar[bool] = True
    kinks: ClassVar[bool] = False
    given: ClassVar[Mapping[str, float]] = MappingProxyType({})

    @property
    def names(self) -> list[str]:
        """The names of the parameters, in their order."""
        return [parameter.name for parameter in self.parameters]

    def support(self, theta: Array) -> tuple[float, float]:
        """The least and the largest value."""
        return self.low, self.high

    def inside(self, x: Array, low: float, high: float) -> Array:
        """Which values lie in the support."""
        within = (x >= low) & (x <= high) if self.closed else (x > low) & (x < high)
        return within & (x == np.floor(x)) if self.discrete else within & np.isfinite(x)

    def check(self, x: Array) -> None:
        """Values that the family can have.

        Raises:
            InputError: some lie outside, or are no counts.
        """
        wrong = ~self.inside(x, self.low, self.high)
        if wrong.any():
            found = f"{wrong.sum()} of {len(x)} values are not, the first {x[wrong][0]:g}"
            raise InputError(f"{self.name} expects {self.expects}; {found}.")

    def statistics(self, x: Array) -> Array:
        """Rows of statistics t of the values x (n,): (r, n)."""
        return x[None]

    def pool(self, t: Array, w: Array) -> tuple[Array, Array]:
        """Fewer rows of statistics (r, m) and weights (m,) with the same likelihood."""
        return t, w

    @abstractmethod
    def log_density(self, t: Array, theta: Array) -> Array:
        """log p of each row of statistics (r, m): (m,)."""

    @abstractmethod
    def score(self, t: Array, theta: Array) -> Array:
        """The gradient of ``log_density`` by the parameters: (p, m)."""

    def hessian(self, t: Array, w: Array, theta: Array) -> Array:
        """The second derivatives (p, p) of the weighted mean of ``log_density``, by differences of the score."""
        return differences.jacobian(lambda theta: self.score(t, theta) @ w, theta, self.sizes(theta))

    def sizes(self, theta: Array) -> Array:
        """On which scale the density changes with each parameter: the parameter itself, the scale for a location."""
        scale = theta[self.names.index("scale")] if "scale" in self.names else 1.0
        sizes = []
        for parameter, value in zip(self.parameters, theta):
            if parameter.domain is REAL:
                sizes.append(scale if parameter.name == "loc" else max(1.0, abs(value)))
            else:
                sizes.append(value if parameter.domain is POSITIVE else min(value, 1 - value))
        return np.array(sizes)

    @abstractmethod
    def start(self, t: Array, w: Array) -> Array:
        """Parameters to start from, or those of highest likelihood where ``solve`` returns them."""

    def solve(self, t: Array, w: Array) -> Array | None:
        """The parameters of highest likelihood where they have a method of their own; w sums to 1."""
        return None

    def profile(self, t: Array, w: Array, known: Array) -> Array | None:
        """As ``solve``, with those that are not NaN in ``known`` fixed."""
        return self.solve(t, w) if np.isnan(known).all() else None

    @abstractmethod
    def scipy(self, theta: Array) -> Any:
        """The same law as scipy writes it: for cdf, quantiles and samples."""


class Law:
    """A distribution of scipy with its parameters; scipy's own frozen ones cost half a millisecond to make."""

    def __init__(self, dist: Any, *shapes: float, loc: float = 0.0, scale: float | None = None) -> None:
        self.dist, self.shapes = dist, shapes
        self.place = {"loc": loc} if scale is None else {"loc": loc, "scale": scale}

    def cdf(self, x: Array) -> Array:
        return self.dist.cdf(x, *self.shapes, **self.place)

    def sf(self, x: Array) -> Array:
        return self.dist.sf(x, *self.shapes, **self.place)

    def logcdf(self, x: Array) -> Array:
        return self.dist.logcdf(x, *self.shapes, **self.place)

    def logsf(self, x: Array) -> Array:
        return self.dist.logsf(x, *self.shapes, **self.place)

    def ppf(self, q: Array) -> Array:
        return self.dist.ppf(q, *self.shapes, **self.place)

    def rvs(self, size: int, random_state: np.random.RandomState) -> Array:
        return self.dist.rvs(*self.shapes, size=size, random_state=random_state, **self.place)

    def mean(self) -> float:
        return float(self.dist.mean(*self.shapes, **self.place))


def average(t: Array, w: Array) -> tuple[Array, Array]:
    """One row of statistics, the weighted mean, for families whose log density is affine in them."""
    return (t @ w / w.sum())[:, None], w.sum(keepdims=True)


def distinct(t: Array, w: Array) -> tuple[Array, Array]:
    """The distinct values and their weights: enough for any family of counts."""
    values, where = np.unique(t[0], return_inverse=True)
    return values[None], np.bincount(where, weights=w)


def no_maximum(name: str, why: str, remedy: str) -> InputError:
    """The likelihood grows for ever, in one line."""
    return InputError(f"the likelihood of {name} has no maximum: {why}. {remedy}")


def check_fixed(name: str, fixed: Mapping[str, Any], names: list[str]) -> None:
    """Fixed parameters that the family has.

    Raises:
        InputError: a name that is not one of its parameters.
    """
    for key in fixed:
        if key not in names:
            hint = nearest(key, names) if isinstance(key, str) else ""
            raise InputError(f"{name} has the parameters {', '.join(names)}; fixed names {key!r}{hint}")
