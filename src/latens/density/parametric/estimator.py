"""Maximum likelihood: the parameters of a family under which the rows are most probable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from latens.density import given as givens
from latens.density.base import DensityEstimator
from latens.density.families import named, of_rows
from latens.density.families.base import Array, Domain, Family, Univariate
from latens.density.families.joint import MultivariateNormal, MultivariateT, regression
from latens.density.families.product import Product
from latens.density.parametric.choice import choose, figures
from latens.density.parametric.goodness import Verdict, verdicts
from latens.density.tables import completed
from latens.density.validation import (
    check_one_column,
    check_points,
    check_probabilities,
    check_table,
    check_weights,
)
from latens.utils.errors import InputError
from latens.utils.validation import check_fraction, check_positive


def _streams(density: Any) -> bool:
    families = density.family if isinstance(density.family, tuple) else (density.family,)
    return "auto" not in families and all(of_rows(named(family, 1), 1).streams for family in families)


class Parametric(DensityEstimator):
    r"""$p(x) = p_{\hat\theta}(x)$ with $\hat\theta = \arg\max_\theta \sum_i w_i \log p_\theta(x_i)$.

    A family of one number is, on a table of several columns, the product of independent columns with parameters of
    their own. ``"normal"`` on several columns is the joint normal; write the value ``Normal()`` for independent ones,
    and a tuple for columns of different families, ``("normal", "gamma", "poisson")``.
    Families of counts give masses, all others densities, also on integers, whose samples are rounded.

    Args:
        family: ``"auto"`` (the one of highest held-out likelihood among those for the type of the rows; of those less
            than one nat behind for all rows together, the one of fewest parameters), or one of normal, lognormal,
            exponential, gamma, beta, weibull, student-t, laplace, logistic, gumbel, pareto, uniform; poisson, binomial,
            negative-binomial, geometric, zero-inflated-poisson; multivariate-normal, multivariate-t, dirichlet; or a
            value of ``latens.density.families``; or the name of any continuous distribution of scipy.stats, such as
            ``"cauchy"`` or ``"skewnorm"``, with scipy's names of parameters; or a tuple of these, one for each column.
        fixed: parameters that are known, by name: ``{"df": 4.0}``; for several columns a number or one for each; by
            column, then name, for columns of different families.
        folds: into how many parts ``"auto"`` divides the rows, each held out once.

    Attributes:
        family_: the family, a value.
        params_: its parameters by name: numbers for one column, arrays (d,) for several; vectors and matrices for joint
            families; by column, then name, for columns of different families.
        standard_errors_: likewise, from the observed information (the expected one for joint families); NaN where
            fixed, or where no error follows from the curvature (the ends of a uniform, a limit).
        information_: the observed information (p, p) of the free parameters that have an error, for one column.
        n_effective_: Kish's number of rows, (sum w)^2 / sum w^2: n where weights are equal. Likelihood and errors are
            for as many rows, so that a constant factor in all weights changes nothing.
        log_likelihood_, aic_, bic_: of the fitted rows, in nats.
        table_: where family is ``"auto"``: a mapping of columns, best candidate first, ready for a data frame: held-out
            nats per example with their standard error, how far behind the chosen one (paired, with its error), AIC,
            BIC, and a note where a candidate cannot be fitted.
        dtype_: the dtype of the data, and of samples.

    Reference:
        Fisher (1922), On the mathematical foundations of theoretical statistics; each family names its own method.

    Example:
        >>> X = [[0.0], [1.0], [2.0], [3.0]]
        >>> normal = Parametric("normal").fit(X)
        >>> normal.params_["loc"], round(normal.params_["scale"], 4), round(normal.standard_errors_["loc"], 4)
        (1.5, 1.118, 0.559)
        >>> normal.quantile([0.5, 0.975]).round(3)
        array([1.5  , 3.691])
    """

    def __init__(self, family: Any = "auto", fixed: Mapping[str, Any] | None = None, folds: int = 5) -> None:
        self.family = family
        self.fixed = fixed
        self.folds = folds

    def fit(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None, upper: ArrayLike | None = None
    ) -> Self:
        """Find the parameters of highest likelihood for the rows of ``X`` (n, d) with weights (n,).

        Args:
            X: the rows.
            y: not used.
            sample_weight: how much each row counts.
            upper: for censored rows, shape of X: each entry is known to lie in [X, upper]. Equal ones are exact,
                ``inf`` above is right censored (lifetimes that go on), ``-inf`` in X left censored.

        Raises:
            InputError: the table or a weight cannot be used, the family cannot have such values, or no parameters have
                the highest likelihood.
        """
        table, weights, above = self._rows(X, sample_weight, upper)
        self.dtype_ = table.dtype
        self.__dict__.pop("table_", None)
        if isinstance(self.family, str) and self.family == "auto":
            self.family_ = self._choose(table, weights, above)
        else:
            self.family_ = named(self.family, table.shape[1])
        self._weight = np.array([weights.sum(), length(weights)])
        self._learn(self._model.digest(table, weights, above), keep=above is None)
        return self

    @available_if(_streams)
    def partial_fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Learn from further rows too, as if all had been fitted at once; only sufficient statistics are kept.

        It is there for families that have them: normal, lognormal, exponential, gamma, beta, pareto, uniform, all
        counts, multivariate-normal and dirichlet.

        Raises:
            InputError: as ``fit``; or ``fit`` saw censored rows.
        """
        if not hasattr(self, "family_"):
            return self.fit(X, y, sample_weight)
        if not hasattr(self, "_digest"):
            raise InputError("partial_fit goes on from exact rows; those of this density are not known. Call fit.")
        table = check_table(self, X, reset=False)
        weights = check_weights(sample_weight, len(table))
        _check_size(table)
        table, weights = table[weights > 0], weights[weights > 0]
        self.dtype_ = np.result_type(self.dtype_, table.dtype)
        self._weight = np.array([self._weight[0] + weights.sum(), np.hypot(self._weight[1], length(weights))])
        self._learn(self._model.merge(self._digest, self._model.digest(table, weights)), keep=True)
        return self

    def _learn(self, digest: Any, keep: bool) -> None:
        if self.fixed is not None and not isinstance(self.fixed, Mapping):
            raise InputError(f"fixed expects a mapping of names to numbers; got {self.fixed!r}.")
        try:
            estimate = self._model.estimate(digest, self.fixed or {})
        except InputError as error:
            one = self._weight[0] == self._weight[1]
            raise InputError(f"1 sample is too few: {error}" if one else str(error)) from None
        self.__dict__.pop("_digest", None)
        if keep and self._model.streams:
            self._digest = digest
        self.n_effective_ = float((self._weight[0] / self._weight[1]) ** 2)
        self.params_ = estimate.params
        self.standard_errors_ = _mapped(lambda error: error / self.n_effective_**0.5, estimate.errors)
        self.information_ = None if estimate.information is None else estimate.information * self.n_effective_
        criteria = figures(estimate, self.n_effective_)
        self.log_likelihood_, self.aic_, self.bic_ = (criteria[k] for k in ("log_likelihood", "aic", "bic"))

    def _choose(self, table: Array, weights: Array, upper: Array | None) -> Any:
        check_positive("folds", self.folds, integer=True)
        if self.fixed:
            raise InputError("fixed expects a family by name; family is 'auto'.")
        size = length(weights)
        kish = weights / size * (weights.sum() / size)
        family, self.table_ = choose(table, kish, upper, max(int(self.folds), 2))
        return family

    def _rows(self, X: Any, sample_weight: ArrayLike | None, upper: Any) -> tuple[Array, Array, Array | None]:
        """Rows that count, their weights, and the upper ends where there are any."""
        if upper is None:
            table = check_table(self, X, reset=True)
            weights = check_weights(sample_weight, len(table))
            _check_size(table)
            return table[weights > 0], weights[weights > 0], None
        lower, above = (_bound("X", X), _bound("upper", upper))
        check_table(self, X if np.isfinite(lower).all() else np.where(np.isneginf(lower), 0.0, lower), reset=True)
        if lower.shape != above.shape:
            raise InputError(f"upper expects the shape of X, {lower.shape}; got {above.shape}.")
        if wrong := int(((lower > above) | np.isneginf(above)).sum()):
            raise InputError(f"upper expects nothing below X, nor -inf; {wrong} of {above.size} values are.")
        weights = check_weights(sample_weight, len(lower))
        return lower[weights > 0], weights[weights > 0], above[weights > 0]

    @property
    def _model(self) -> Family:
        return of_rows(self.family_, self.n_features_in_)

    def score_samples(self, X: ArrayLike, y: Any = None) -> np.ndarray:
        """log p(x) of each row of ``X`` (n, d): (n,) float64 in nats, ``-inf`` outside the support."""
        check_is_fitted(self)
        return self._model.log_prob(check_table(self, X, reset=False), self.params_)

    def sample(self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None) -> Any:
        """``n_samples`` rows (n_samples, d)."""
        check_is_fitted(self)
        check_positive("n_samples", n_samples, integer=True)
        return self._as_given(self._model.draw(self.params_, n_samples, check_random_state(random_state)))

    def cdf(self, x: ArrayLike) -> np.ndarray:
        """P(X <= x), of one column: (m,) for x (m,) or (m, 1)."""
        points = check_points(self, x)
        family, theta = self._column
        with np.errstate(over="ignore"):
            return family.scipy(theta).cdf(points)

    def quantile(self, q: ArrayLike) -> np.ndarray:
        """The least x with P(X <= x) >= q, of one column: (m,) for q (m,) in [0, 1]."""
        q = check_probabilities(q)
        family, theta = self._column
        return np.maximum(family.scipy(theta).ppf(q), family.support(theta)[0])

    @property
    def is_mass(self) -> bool:
        """Whether the family is one of counts."""
        check_is_fitted(self)
        return self._model.discrete

    @property
    def _masses(self) -> bool | np.ndarray:
        check_is_fitted(self)
        model = self._model
        return np.array([part.discrete for part in model.families]) if isinstance(model, Product) else model.discrete

    @property
    def _column(self) -> tuple[Univariate, Array]:
        """The family and the parameters of the one column."""
        check_one_column(self)
        return self._model.line(self.params_)

    def confidence_interval(self, level: float = 0.95) -> dict[Any, Any]:
        r"""Wald's intervals, $\hat u \pm z_{(1 + level) / 2}\, se(\hat u)$, by name.

        u is the parameter itself on the real line, its logarithm where it is positive, its logit in the unit interval,
        so that no interval leaves the domain. Coverage is asymptotic. NaN where there is no standard error.
        """
        check_is_fitted(self)
        check_fraction("level", level)
        if not hasattr(self, "standard_errors_"):
            raise InputError("a density given some columns has no standard errors; ask the joint one.")
        z = float(ndtri((1 + level) / 2))
        return _mapped(
            lambda domain, value, error: _interval(domain, np.asarray(value), z * np.asarray(error)),
            self._model.domains(),
            self.params_,
            self.standard_errors_,
        )

    def goodness_of_fit(
        self,
        X: ArrayLike,
        fitted: bool = True,
        n_resamples: int = 999,
        random_state: int | np.random.RandomState | None = None,
    ) -> Mapping[str, Verdict]:
        """Kolmogorov-Smirnov and Anderson-Darling for a continuous column, chi-square for counts.

        The p-value is the share of tables drawn from the fitted density whose statistic is as large. Where X are the
        rows of ``fit`` the parameters are learnt anew from each of these, since tests for known parameters would hardly
        ever reject.

        Args:
            X: (n, 1), all of the same weight.
            fitted: whether these rows were used in ``fit``; False for new ones.
            n_resamples: how many tables are drawn; p-values are multiples of about 1 / n_resamples.
            random_state: for the draws.

        Returns:
            ``{"kolmogorov-smirnov": Verdict(statistic, p_value), "anderson-darling": ...}`` or ``{"chi-square": ...}``.

        Reference:
            Stute, Gonzales Manteiga and Presedo Quindimil (1993), Bootstrap based goodness-of-fit-tests.
        """
        family, theta = self._column
        check_positive("n_resamples", n_resamples, integer=True)
        x = check_table(self, X, reset=False)[:, 0].astype(np.float64)
        family.check(x)
        model = self._model

        def refit(y: Array) -> Array:
            digest = model.digest(y[:, None], np.ones(len(y)))
            return model.line(model.estimate(digest, self.fixed or {}).params)[1]

        return verdicts(family, x, theta, refit if fitted else None, n_resamples, check_random_state(random_state))

    def condition(self, given: Any) -> Parametric:
        """The density of the other columns, given some: closed form for the normal, the t, and independent columns.

        Args:
            given: a row (d,) with NaN where it is open, or ``{column: value}`` by index or name.

        Raises:
            InputError: the family has no such form (Dirichlet).
        """
        check_is_fitted(self)
        known, values = givens.known(self, given)
        model = self._model
        conditional = Parametric(self.family_)
        if isinstance(model, MultivariateNormal | MultivariateT):
            conditional.family_, conditional.params_ = model.condition(self.params_, known, values)
        elif isinstance(model, Product):
            rest, conditional.params_ = model.marginal(self.params_, ~known)
            conditional.family_ = rest.families[0] if rest.alike else rest.families
        else:
            raise InputError(f"{model.name} has no closed form for some of its columns.")
        conditional._take_columns(self, ~known)
        return conditional

    def complete(self, X: ArrayLike) -> Any:
        """``X`` (n, d) with every NaN replaced by its mean given the known entries of its row.

        An array comes back as float64; a frame keeps its index, and the columns that miss nothing.

        Raises:
            InputError: a mean that is not finite (t with few degrees of freedom), or Dirichlet.
        """
        check_is_fitted(self)
        table = check_table(self, X, reset=False, missing=True).astype(np.float64)
        patterns, which = np.unique(~np.isnan(table), axis=0, return_inverse=True)
        for i, known in enumerate(patterns):
            if not known.all():
                at = np.ix_(which.ravel() == i, ~known)
                table[at] = self._expected(known, table[which.ravel() == i])
        return completed(X, table)

    def _expected(self, known: Array, rows: Array) -> Array:
        """The means of the unknown columns."""
        model = self._model
        if isinstance(model, Product):
            means = model.means(self.params_)[~known]
        elif isinstance(model, MultivariateNormal | MultivariateT):
            centre, spread = ("mean", "covariance") if isinstance(model, MultivariateNormal) else ("loc", "scale")
            means = regression(self.params_[centre], self.params_[spread], known, rows)[0]
        else:
            raise InputError(f"{model.name} has no closed form for some of its columns.")
        if not np.isfinite(means).all():
            raise InputError(f"{model.name} with these parameters has no mean to fill in.")
        return means


def _check_size(table: Array) -> None:
    """Values whose squares, and squares of these, are numbers."""
    largest = np.abs(table.astype(np.float64)).max()
    if largest > 1e75:
        raise InputError(
            f"maximum likelihood expects values up to 1e75 in size; got {largest:.3g}. Rescale the column."
        )


def length(weights: Array) -> float:
    """The root of the sum of the squares, whose squares need not be numbers: 1e160 weighs as much as 1."""
    largest = weights.max()
    return float(largest * np.linalg.norm(weights / largest))


def _bound(name: str, values: Any) -> Array:
    bound = np.asarray(values)
    if bound.dtype.kind not in "iub":
        try:
            bound = bound.astype(np.float64)
        except (TypeError, ValueError):
            raise InputError(f"{name} expects numbers; got something else.") from None
    bound = bound[:, None] if bound.ndim == 1 and name == "upper" else bound
    if np.isnan(bound).any():
        raise InputError(f"{name} holds NaN; write -inf and inf for what is not known.")
    return bound


def _mapped(work: Callable[..., Any], first: Mapping[Any, Any], *others: Mapping[Any, Any]) -> dict[Any, Any]:
    """The work on every entry of mappings of one shape, also where mappings stand in them."""
    out = {}
    for key, value in first.items():
        rest = [other[key] for other in others]
        out[key] = _mapped(work, value, *rest) if isinstance(value, Mapping) else work(value, *rest)
    return out


def _interval(domain: Domain, value: Array, reach: Array) -> tuple[Any, Any]:
    with np.errstate(all="ignore"):
        slope = domain.slope(value)
        ends = (domain.back(domain.free(value) + sign * reach / slope) for sign in (-1, 1))
        low, high = (np.where(np.isnan(reach), np.nan, end) for end in ends)
    return (float(low), float(high)) if value.ndim == 0 else (low, high)
