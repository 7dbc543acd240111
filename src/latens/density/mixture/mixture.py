"""Mixtures of any densities, by expectation maximisation."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from latens.density.base import DensityEstimator
from latens.density.mixture import starts
from latens.density.mixture.gaussian import bisected
from latens.density.mixture.missing import posteriors
from latens.density.parametric.estimator import Parametric
from latens.density.validation import check_points, check_probabilities, check_table, check_weights
from latens.utils.errors import InputError
from latens.utils.validation import check_positive

BLUR = 0.1


class Fit(NamedTuple):
    """Where EM ended."""

    weights: np.ndarray
    parts: list[Any]
    bounds: list[float]
    converged: bool


class Mixture(DensityEstimator):
    r"""$p(x) = \sum_{k=1}^{K} \pi_k \, p_k(x)$, each $p_k$ a density that learns from weighted rows.

    EM alternates $r_{nk} \propto \pi_k p_k(x_n)$ with a fit of each $p_k$ to the rows weighted by $r_{nk}$. Where those
    fits are maximum likelihood no step loses. For Gaussians, :class:`GaussianMixture` is faster and holds components
    that collapse.

    Args:
        component: the density that each component is a copy of; or a list with one for each. None is a normal one.
        n_components: their number K, where ``component`` is one density; None is 2.
        tol: EM stops where a step gains less, in nats a row.
        max_iter: the most steps.
        n_init: how many starts (k-means on standardised columns); the likeliest is kept. One that fails, since a
            component cannot be fitted to what is left to it, is passed over.
        random_state: seeds the starts.

    Attributes:
        weights_: (K,) the probabilities of the components.
        components_: the K fitted densities.
        converged_, n_iter_: of the best start.
        lower_bound_, lower_bounds_: the mean log likelihood before the last step, and before each.
        dtype_: the dtype of the data.

    Reference: Dempster, Laird and Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm.

    Example:
        >>> rng = np.random.RandomState(0)
        >>> counts = np.r_[rng.poisson(2.0, 500), rng.poisson(20.0, 500)][:, None]
        >>> mixture = Mixture(Parametric("poisson"), random_state=0).fit(counts)
        >>> sorted(round(float(part.params_["rate"])) for part in mixture.components_)
        [2, 20]
    """

    def __init__(
        self,
        component: DensityEstimator | list[DensityEstimator] | None = None,
        n_components: int | None = None,
        *,
        tol: float = 1e-5,
        max_iter: int = 500,
        n_init: int = 3,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.component = component
        self.n_components = n_components
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """EM on the rows of ``X`` (n, d), each with its weight (n,).

        Raises:
            InputError: a component refuses the rows, or no start leaves each component what it can be fitted to.
        """
        check_positive("tol", self.tol, zero=True)
        check_positive("max_iter", self.max_iter, integer=True)
        check_positive("n_init", self.n_init, integer=True)
        table = check_table(self, X, reset=True)
        weights = check_weights(sample_weight, len(table))
        table, weights = table[weights > 0], weights[weights > 0] / weights.sum()
        parts = self._parts()
        if len(parts) > len(table):
            raise InputError(f"{len(parts)} components expect at least as many rows; got {len(table)}.")
        clone(parts[0]).fit(table, sample_weight=weights)  # says what it refuses
        best = self._best(table, weights, parts)
        self.dtype_ = table.dtype
        self.weights_, self.components_, self.lower_bounds_, self.converged_ = best
        self.lower_bound_, self.n_iter_ = self.lower_bounds_[-1], len(self.lower_bounds_)
        if not self.converged_:
            text = f"EM did not converge in {self.n_iter_} steps; raise max_iter or tol."
            warnings.warn(text, ConvergenceWarning, stacklevel=2)
        return self

    def _parts(self) -> list[Any]:
        if isinstance(self.component, list | tuple):
            if not self.component or self.n_components not in (None, len(self.component)):
                raise InputError(f"a list of {len(self.component)} densities expects n_components=None.")
            return list(self.component)
        if isinstance(self.component, str | type) or not hasattr(self.component or Parametric(), "score_samples"):
            raise InputError(f"component expects a density, such as Parametric('poisson'); got {self.component!r}.")
        k = 2 if self.n_components is None else self.n_components
        check_positive("n_components", k, integer=True)
        return [Parametric("normal") if self.component is None else self.component] * k

    def _best(self, table: np.ndarray, weights: np.ndarray, parts: list[Any]) -> Fit:
        rng, fits, problem = check_random_state(self.random_state), [], ""
        for _ in range(self.n_init):
            try:
                fits.append(self._climb(table, weights, parts, _start(table, weights, len(parts), rng)))
            except InputError as error:
                problem = str(error)
        if not fits:
            raise InputError(f"a component of the {len(parts)} has collapsed: {problem}")
        best = max(fit.bounds[-1] for fit in fits)
        return next(fit for fit in fits if fit.bounds[-1] > best - 1e-9)

    def _climb(self, table: np.ndarray, weights: np.ndarray, parts: list[Any], shares: np.ndarray) -> Fit:
        bounds = [-np.inf]
        for _ in range(self.max_iter):
            mass = shares.T @ weights
            if mass.min() < 1e-12:
                raise InputError("no rows are left to it; ask for fewer components.")
            fitted = [clone(part).fit(table, sample_weight=r * weights) for part, r in zip(parts, shares.T)]
            log = np.log(mass / mass.sum()) + np.column_stack([part.score_samples(table) for part in fitted])
            bounds.append(float(weights @ logsumexp(log, axis=1)))
            if not np.isfinite(bounds[-1]):
                raise InputError("some rows have no density under any component.")
            if abs(bounds[-1] - bounds[-2]) < self.tol:
                return Fit(mass / mass.sum(), fitted, bounds[1:], True)
            shares = posteriors(log)
        return Fit(mass / mass.sum(), fitted, bounds[1:], False)

    @property
    def is_mass(self) -> bool:
        """Whether scores are log probabilities: those of its components."""
        check_is_fitted(self)
        return all(part.is_mass for part in self.components_)

    @property
    def _masses(self) -> bool | np.ndarray:
        check_is_fitted(self)
        return np.all(np.broadcast_arrays(*(part._masses for part in self.components_)), axis=0)

    def score_samples(self, X: ArrayLike, y: Any = None) -> np.ndarray:
        """log p(x) of each row of ``X`` (n, d): (n,) float64 in nats."""
        return logsumexp(self._log_joint(X), axis=1)

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """P(component | x) of each row of ``X`` (n, d): (n, K); its weight where no component has a density."""
        log = self._log_joint(X)
        nowhere = np.isneginf(log).all(axis=1)
        log[nowhere] = np.log(self.weights_)
        return posteriors(log)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """The likeliest component of each row of ``X`` (n, d): (n,) of 0 to K - 1."""
        return self.predict_proba(X).argmax(axis=1)

    def sample(self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None) -> Any:
        """``n_samples`` rows (n_samples, d): a component drawn by its weight, then a row of it."""
        check_is_fitted(self)
        check_positive("n_samples", n_samples, integer=True)
        rng = check_random_state(random_state)
        component = rng.choice(len(self.weights_), size=n_samples, p=self.weights_)
        x = np.empty((n_samples, self.n_features_in_), self.dtype_)
        for k in np.unique(component):
            here = component == k
            x[here] = self.components_[k].sample(int(here.sum()), random_state=rng)
        return self._as_given(x)

    def cdf(self, x: ArrayLike) -> np.ndarray:
        """P(X <= x), of one column: (m,) for x (m,) or (m, 1)."""
        points = check_points(self, x)
        below = np.column_stack([part.cdf(points) for part in self.components_])
        return (below * self.weights_).sum(axis=1) / self.weights_.sum()  # 1 to the last bit at infinity

    def quantile(self, q: ArrayLike) -> np.ndarray:
        """The least x with P(X <= x) >= q, of one column, to the last digits: (m,) for q (m,) in [0, 1]."""
        check_is_fitted(self)
        q = check_probabilities(q)
        return bisected(self.cdf, q, np.column_stack([part.quantile(q) for part in self.components_]))

    def _log_joint(self, X: ArrayLike) -> np.ndarray:
        check_is_fitted(self)
        table = check_table(self, X, reset=False)
        return np.log(self.weights_) + np.column_stack([part.score_samples(table) for part in self.components_])


def _start(table: np.ndarray, weights: np.ndarray, k: int, rng: np.random.RandomState) -> np.ndarray:
    """Shares (n, k) by k-means on standardised columns, blurred so that no component begins on a few rows alone."""
    x = table.astype(np.float64)
    z = x - weights @ x
    z /= np.maximum(np.sqrt(weights @ z**2), 1e-300)
    order = starts.order(z)
    shares = np.empty((len(z), k))
    shares[order] = starts.responsibilities(z[order], weights[order], k, "kmeans", rng)[0].T
    return (1 - BLUR) * shares + BLUR / k
