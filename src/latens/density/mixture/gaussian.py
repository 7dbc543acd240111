"""Mixtures of Gaussians: density, clustering, imputation and conditioning in closed form."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp, ndtr, ndtri
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from latens.density.base import DensityEstimator
from latens.density.given import known as known_of
from latens.density.mixture import missing, starts
from latens.density.mixture.covariances import Frame, Parameters, Shape
from latens.density.mixture.em import Fit
from latens.density.mixture.frames import frame, present
from latens.density.mixture.learning import Given, Learner, Settings, collapsed, free_parameters
from latens.density.mixture.shapes import SHAPES
from latens.density.tables import completed
from latens.density.validation import (
    check_one_column,
    check_points,
    check_probabilities,
    check_table,
    check_weights,
)
from latens.utils.errors import InputError
from latens.utils.validation import check_choice, check_positive

CRITERIA = ("bic", "aic", "held-out")


class Collapse(ConvergenceWarning, RuntimeWarning):
    """Components of a mixture have shrunk as far as ``reg_covar`` lets them."""


class GaussianMixture(DensityEstimator):
    r"""$p(x) = \sum_{k=1}^{K} \pi_k \, \mathcal N(x; \mu_k, \Sigma_k)$, by expectation maximisation.

    Which component a row comes from is a latent variable: ``predict_proba`` tells it apart. Missing entries (NaN) are
    left out: a row is scored by the density of its observed entries, and ``fit`` learns from what is there, which is
    right where entries are missing at random. ``complete`` fills them, ``condition`` gives the density of some columns
    given the others.

    The likelihood of a mixture is unbounded: a component may shrink onto a few rows. So what is climbed is
    $\frac1n \log L - \frac\lambda2 \sum_k \mathrm{tr}(S \Sigma_k^{-1})$ with S the covariance of the data and
    $\lambda$ = ``reg_covar``, which adds $\lambda S / \pi_k$ to the covariances: nothing that is seen at 1e-8, unless
    a component has collapsed; then a warning says so. (Where a hundredth of the rows makes S in some direction a
    hundred times larger, S is that of the others.) For "diag" S is the columns' variances, for "spherical" their mean;
    likewise for "full" and "tied" where entries are missing. Otherwise what is climbed is the same for a linear map of
    the data, if the shape allows it.

    A step is one matrix product over the features (1, x, x_i x_j) and its transpose, in a frame in which the data have
    mean 0 and covariance 1. Every other start groups rows there, the others rows with standardised columns: either
    finds groups that the other does not. The starts take up to 50 steps on at most 8,192 rows (256 a component); the
    likeliest goes on, in the end with all rows. With many rows the first steps are in single precision, the last in
    double. Scores are always in double, by triangular factors.

    Args:
        n_components: their number K, or how it is chosen: "bic", "aic" (least) or "held-out" (the likelihood of five
            held-out fifths). Tried are K = 1, 2, ..., 8 and then by steps of a quarter, until three in a row are no
            better; those in which more than 1 % of the weight has collapsed do not count.
        covariance_type: "full" (each component its own matrix), "tied" (one matrix for all), "diag" (variances of the
            columns) or "spherical" (one variance).
        tol: EM stops where a step gains less, in nats a row.
        reg_covar: $\lambda$ above, in units of the covariance of the data.
        max_iter: the most steps; 0 leaves the start.
        n_init: how many starts, of which the likeliest that has not collapsed goes on.
        init_params: "kmeans" (k-means from k-means++ seeds), "k-means++" (the seeds), "random_from_data" (rows as
            seeds) or "random" (random responsibilities).
        weights_init, means_init, precisions_init: a start of yours, or parts of it: (K,), (K, d), and the inverse
            covariances in the form of ``covariances_``.
        warm_start: go on from the last fit.
        max_components: the most that are tried where their number is chosen.
        random_state: seeds the starts.

    Attributes:
        weights_: (K,) the probabilities of the components.
        means_: (K, d) in the unit of the data.
        covariances_: (K, d, d) for "full", (d, d) "tied", (K, d) "diag", (K,) "spherical".
        precisions_cholesky_: P in the same form, P P' the inverse covariance; triangular. Scores use it.
        converged_: whether the last step gained less than ``tol``.
        n_iter_: the steps of the best start, over all rows.
        lower_bound_, lower_bounds_: the penalised mean log likelihood before the last step, and before each.
        collapsed_: (K,) bool, the components that only ``reg_covar`` keeps from shrinking further.
        criterion_: {K: criterion} where K was chosen; BIC or AIC in total, or held-out nats a row.
        dtype_: the dtype of the data, and of samples.

    Reference:
        Dempster, Laird and Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm;
        Chen and Tan (2009), Inference for multivariate normal mixtures;
        Ghahramani and Jordan (1994), Supervised learning from incomplete data via an EM approach.

    Example:
        >>> X = np.r_[np.arange(10.0), 100 + np.arange(10.0)][:, None]
        >>> mixture = GaussianMixture(2, random_state=0).fit(X)
        >>> np.sort(mixture.means_[:, 0]).round(6)
        array([  4.5, 104.5])
        >>> bool(mixture.predict([[3.0]])[0] == mixture.predict([[6.0]])[0])
        True
    """

    def __init__(
        self,
        n_components: int | str = "bic",
        covariance_type: str = "full",
        *,
        tol: float = 1e-4,
        reg_covar: float = 1e-8,
        max_iter: int = 500,
        n_init: int = 5,
        init_params: str = "kmeans",
        weights_init: ArrayLike | None = None,
        means_init: ArrayLike | None = None,
        precisions_init: ArrayLike | None = None,
        warm_start: bool = False,
        max_components: int = 32,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.warm_start = warm_start
        self.max_components = max_components
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """EM on the rows of ``X`` (n, d), NaN where missing, each with its weight (n,).

        Raises:
            InputError: if ``X`` is no table of numbers, a column is constant, there are fewer rows than components, a
                parameter is out of its range, or a component collapses where ``reg_covar`` is 0.
        """
        self._check_settings()
        table = check_table(self, X, reset=True, missing=True)
        x, weights = present(table, check_weights(sample_weight, len(table)))
        share = weights / weights.sum()
        framed = frame(x, share, self._shape, self.covariance_type == "spherical")
        if framed.lost and not self.reg_covar:
            raise InputError(
                f"X varies in {x.shape[1] - framed.lost} directions of {x.shape[1]}: its covariance is singular with "
                "reg_covar=0; raise reg_covar (1e-8), or leave out columns that others determine."
            )
        learner = Learner(framed.enter(x), share, self._settings(), check_random_state(self.random_state), framed.back)
        volume = framed.log_volume(share @ ~np.isnan(x))
        self.__dict__.pop("criterion_", None)
        fit = self._learn(learner, framed, volume, 1 / (share**2).sum())
        self.dtype_ = table.dtype
        self._keep(fit, framed, volume)
        self._warn()
        return self

    def _check_settings(self) -> None:
        check_choice("covariance_type", self.covariance_type, SHAPES)
        check_choice("init_params", self.init_params, starts.NAMES)
        if isinstance(self.n_components, str):
            check_choice("n_components", self.n_components, CRITERIA)
        else:
            check_positive("n_components", self.n_components, integer=True)
        check_positive("n_init", self.n_init, integer=True)
        check_positive("max_components", self.max_components, integer=True)
        check_positive("max_iter", self.max_iter, integer=True, zero=True)
        check_positive("tol", self.tol, zero=True)
        check_positive("reg_covar", self.reg_covar, zero=True)

    def _settings(self) -> Settings:
        return Settings(self._shape, self.reg_covar, self.tol, self.max_iter, self.n_init, self.init_params)

    @property
    def _shape(self) -> Shape:
        return SHAPES[self.covariance_type]

    @property
    def _mixture(self) -> Parameters:
        check_is_fitted(self)
        return Parameters(self.weights_, self.means_, self.covariances_, self.precisions_cholesky_)

    def _given(self, framed: Frame, volume: float, k: int) -> Given:
        """The start that the user, or the last fit, gives."""
        if self.warm_start and hasattr(self, "weights_") and self.means_.shape == (k, len(framed.center)):
            last = Given.of_user(k, framed, self._shape, self.weights_, self.means_, self.precisions_)
            return replace(last, before=self.lower_bound_ - volume)
        return Given.of_user(k, framed, self._shape, self.weights_init, self.means_init, self.precisions_init)

    def _learn(self, learner: Learner, framed: Frame, volume: float, n: float) -> Fit:
        k = self.n_components
        if not isinstance(k, str):
            if k > len(learner.z):
                raise InputError(f"n_components={k} expects at least as many rows; got {len(learner.z)}.")
            return learner.fit(k, self._given(framed, volume, k))
        if any(part is not None for part in (self.weights_init, self.means_init, self.precisions_init)):
            raise InputError(f"a start of yours expects n_components as a number; got {k!r}.")
        found, fit = learner.choose(k, n, self.max_components)
        unit = -1.0 if k == "held-out" else -2.0 * n
        self.criterion_ = {tried: float(value + unit * volume) for tried, value in found.items()}
        return fit

    def _keep(self, fit: Fit, framed: Frame, volume: float) -> None:
        mixture = fit.mixture
        self.collapsed_ = collapsed(self._shape, mixture, self.reg_covar)
        self.weights_, self.means_ = mixture.weights, framed.leave(mixture.means)
        self.covariances_, self.precisions_cholesky_ = self._shape.moved(mixture.covariances, mixture.roots, framed)
        self.converged_, self.n_iter_ = fit.converged, len(fit.bounds)
        self.lower_bounds_ = [bound + volume for bound in fit.bounds]
        self.lower_bound_ = self.lower_bounds_[-1] if fit.bounds else -np.inf

    def _warn(self) -> None:
        if self.collapsed_.any():
            warnings.warn(
                f"{self.collapsed_.sum()} of {len(self.weights_)} components have collapsed and have their least "
                f"variance from reg_covar={self.reg_covar:g} alone; ask for fewer components, or raise reg_covar.",
                Collapse,
                stacklevel=3,
            )
        if not self.converged_ and self.max_iter > 0:
            warnings.warn(
                f"EM did not converge in {self.n_iter_} steps; raise max_iter or tol.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def score_samples(self, X: ArrayLike, y: Any = None) -> np.ndarray:
        """log p(x) of the observed entries of each row of ``X`` (n, d): (n,) float64 in nats; 0 where none is."""
        return logsumexp(self._log_joint(X), axis=1)

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """P(component | observed entries) of each row of ``X`` (n, d): (n, K); its weight where none has a density."""
        return missing.responsibilities(self._table(X), self._shape, self._mixture)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """The likeliest component of each row of ``X`` (n, d): (n,) of 0 to K - 1."""
        return self.predict_proba(X).argmax(axis=1)

    def fit_predict(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> np.ndarray:
        """The likeliest component of each row of ``X`` after fitting it."""
        return self.fit(X, sample_weight=sample_weight).predict(X)

    def bic(self, X: ArrayLike) -> float:
        """-2 log L + (free parameters) log n on ``X``: lower is better."""
        scores = self.score_samples(X)
        return self._n_parameters() * float(np.log(len(scores))) - 2 * float(scores.sum())

    def aic(self, X: ArrayLike) -> float:
        """-2 log L + 2 (free parameters) on ``X``: lower is better."""
        return 2.0 * self._n_parameters() - 2 * float(self.score_samples(X).sum())

    @property
    def precisions_(self) -> np.ndarray:
        """The inverse covariances, in the form of ``covariances_``."""
        return self._shape.precision(self._mixture.roots)

    def sample(self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None) -> Any:
        """``n_samples`` rows (n_samples, d): a component drawn by its weight, then a Gaussian row."""
        check_is_fitted(self)
        check_positive("n_samples", n_samples, integer=True)
        return self._as_given(self._draw(n_samples, check_random_state(random_state))[0])

    def _draw(self, n: int, rng: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
        """Rows and their components."""
        component = rng.choice(len(self.weights_), size=n, p=self.weights_ / self.weights_.sum())
        x = rng.normal(size=(n, self.means_.shape[1]))
        for k in np.unique(component):
            here = component == k
            x[here] = self.means_[k] + self._shape.colour(x[here], self.precisions_cholesky_, k)
        return x, component

    def complete(
        self, X: ArrayLike, n: int | None = None, random_state: int | np.random.RandomState | None = None
    ) -> Any:
        """``X`` (rows, d) with its missing entries (NaN) filled in.

        Args:
            X: rows, NaN where missing.
            n: None fills in the mean given the observed entries; a number draws that often from their density
                given the observed entries (multiple imputation).
            random_state: seeds the draws.

        Returns:
            (rows, d) float64, or a frame as X is, with its index, and the columns that miss nothing; (n, rows, d).
        """
        x = self._table(X)
        if n is None:
            return completed(X, missing.expected(x, self._shape, self._mixture))
        check_positive("n", n, integer=True)
        rng = check_random_state(random_state)
        return np.stack([missing.drawn(x, self._shape, self._mixture, rng) for _ in range(n)])

    def condition(self, given: Any) -> GaussianMixture:
        """p(open columns | known columns), a mixture again.

        Args:
            given: a row (d,) with NaN where open, or {column index or name: value}.

        Example:
            >>> rng = np.random.RandomState(0)
            >>> x = rng.normal(size=(2000, 1))
            >>> mixture = GaussianMixture(1).fit(np.hstack([x, 2 * x + 0.1 * rng.normal(size=x.shape)]))
            >>> mixture.condition({0: 1.5}).means_.round(1)
            array([[3.]])
        """
        mixture, shape = self._mixture, self._shape
        known, row = known_of(self, given)
        slopes, covariances, roots = shape.conditional(mixture, known)
        means = (
            mixture.means[:, ~known]
            + ((row[known] - mixture.means[:, known])[:, None, :] @ slopes.swapaxes(1, 2))[:, 0]
        )
        weights = missing.responsibilities(row[None], shape, mixture)[0]
        return self._of(Parameters(weights, means, covariances, roots), ~known)

    def _of(self, mixture: Parameters, columns: np.ndarray) -> GaussianMixture:
        """A fitted mixture of some of the columns."""
        other = clone(self).set_params(n_components=len(mixture.weights))
        other.__dict__ |= {name: value for name, value in vars(self).items() if name == "converged_"}
        other.weights_, other.means_, other.covariances_, other.precisions_cholesky_ = mixture
        other._take_columns(self, columns)
        return other

    def cdf(self, x: ArrayLike) -> np.ndarray:
        """P(X <= x), of one column: (m,) for x (m,) or (m, 1)."""
        points = check_points(self, x)
        below = ndtr((points[:, None] - self.means_[:, 0]) / self._deviations)
        return (below * self.weights_).sum(axis=1) / self.weights_.sum()  # 1 to the last bit at infinity

    def quantile(self, q: ArrayLike) -> np.ndarray:
        """The x with P(X <= x) = q, of one column, to the last digits: (m,) for q (m,) in [0, 1]."""
        check_one_column(self)
        q = check_probabilities(q)
        return bisected(self.cdf, q, self.means_[:, 0] + ndtri(q)[:, None] * self._deviations)

    @property
    def _deviations(self) -> np.ndarray:
        """The standard deviations of one column, (K,)."""
        return 1 / np.broadcast_to(self.precisions_cholesky_.reshape(-1), self.weights_.shape)

    def _n_parameters(self) -> int:
        return free_parameters(self._shape, *self._mixture.means.shape)

    def _table(self, X: ArrayLike) -> np.ndarray:
        check_is_fitted(self)
        return check_table(self, X, reset=False, missing=True).astype(np.float64)

    def _log_joint(self, X: ArrayLike) -> np.ndarray:
        return missing.log_joint(self._table(X), self._shape, self._mixture)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def bisected(cdf: Callable[[np.ndarray], np.ndarray], q: np.ndarray, single: np.ndarray) -> np.ndarray:
    """The least x with cdf(x) >= q, (m,), between the least and the most of the components' quantiles (m, k)."""
    low, high = single.min(axis=1), single.max(axis=1)
    high = np.where(cdf(low) >= q, low, high)
    for _ in range(100):
        middle = np.where(np.isfinite(low), low / 2 + high / 2, high)
        below = cdf(middle) < q
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return high
