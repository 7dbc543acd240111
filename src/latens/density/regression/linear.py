"""Regression by maximum likelihood: y is what a linear function of x says, and noise whose model is said aloud."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from latens.density.conditional.estimator import ConditionalEstimator, check_pairs
from latens.density.regression.coefficients import bounds, table
from latens.density.regression.counts import NegativeBinomialNoise, PoissonNoise
from latens.density.regression.design import Design
from latens.density.regression.noise import LaplaceNoise, LocationNoise, Noise, NormalNoise, StudentTNoise
from latens.density.validation import check_table
from latens.utils.errors import InputError
from latens.utils.validation import check_choice, check_fraction

NOISES: dict[str, type[Noise]] = {
    "normal": NormalNoise,
    "laplace": LaplaceNoise,
    "student-t": StudentTNoise,
    "poisson": PoissonNoise,
    "negative-binomial": NegativeBinomialNoise,
}


class Regression(RegressorMixin, ConditionalEstimator):
    r"""$p(y \mid x) = \text{noise}(y \mid \eta)$, $\eta = \beta_0 + \beta^\top x$, of greatest likelihood.

    =======================  =============================  ====================================================
    noise                    y given eta                    also known as, and fitted by
    =======================  =============================  ====================================================
    ``"normal"``             eta + scale * normal           least squares; in closed form (QR)
    ``"laplace"``            eta + scale * Laplace          least absolute deviations, median regression; exact
                                                            linear programming
    ``"student-t"``          eta + scale * Student's t      robust regression; Newton, df found as well (1 to 1e6)
    ``"poisson"``            a count with mean exp(eta)     Poisson regression, log link; Newton
    ``"negative-binomial"``  a count with mean m = exp(eta) regression of overdispersed counts (NB2); Newton, size
                             and variance m + m^2 / size    found as well
    =======================  =============================  ====================================================

    Collinear or constant columns are no error: predictions are those of any best fit, and the standard errors of
    coefficients that the rows cannot tell apart are infinite. Where the rows lie on a plane exactly (for Student's t,
    half of them: its likelihood then has no bound), ``scale`` is that of rounding. Where counts are 0 throughout some
    region, the likelihood may grow without end as its rate falls to 0: then a ``Separation`` warning says so.

    ``score_samples`` and ``sample`` are those of the fitted p(y | x); ``interval`` also counts in how well it is known.
    ``score`` is scikit-learn's R^2.

    Args:
        noise: ``"normal"``, ``"laplace"``, ``"student-t"``, ``"poisson"`` or ``"negative-binomial"``.
        fit_intercept: whether there is beta_0; without, eta = 0 at x = 0.

    Attributes:
        coef_: beta, (d,), in units of eta per unit of x.
        intercept_: beta_0.
        noise_: the fitted noise, with its scale (of greatest likelihood: not corrected for degrees of freedom).
        standard_errors_: of beta_0 and beta, (1 + d,), from Fisher's information (for Laplace noise with the next term,
            since a kink is no parabola), times n / (n - p) where the noise has a scale or size, which few rows tell too
            small: for normal noise that of RSS / (n - p). Weights count as repetitions: n is their sum. The first is 0
            without intercept.
        spare_: n - p, rows to spare beyond the number p of coefficients that the rows can tell.
        log_likelihood_: sum of log p(y | x) over the rows fitted, in nats.
        aic_, bic_: -2 log_likelihood_ + 2 k and + k log n, with k counting p and the numbers of the noise (its scale).

    Reference:
        McCullagh and Nelder (1989), Generalized Linear Models;
        Lange, Little and Taylor (1989), Robust statistical modeling using the t distribution.

    Example:
        >>> X, y = np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([3.1, 4.9, 7.2, 8.8])
        >>> line = Regression("normal").fit(X, y)
        >>> line.intercept_.round(2), line.coef_.round(2), line.standard_errors_.round(3)
        (np.float64(1.15), array([1.94]), array([0.248, 0.091]))
        >>> line.predict([[5.0]]).round(2), line.interval([[5.0]], level=0.95).round(2)
        (array([10.85]), array([[ 9.47, 12.23]]))
        >>> line.score_samples([[2.5]], [6.0])  # log p(y | x), in nats
        array([1.02...])
    """

    def __init__(self, noise: str = "normal", fit_intercept: bool = True) -> None:
        self.noise = noise
        self.fit_intercept = fit_intercept

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Find the coefficients and the noise of greatest likelihood.

        Args:
            X: what is given, (n, d).
            y: what is predicted, (n,); counts for the noise of counts.
            sample_weight: how often each row counts, (n,).

        Raises:
            InputError: not a table of finite numbers, not one y a row, no such noise, or no counts for one of counts.
        """
        check_choice("noise", self.noise, NOISES)
        table, y, weights = check_pairs(self, X, y, sample_weight, reset=True, numeric=True)
        table, y = table.astype(np.float64), y.astype(np.float64)
        _check_size(y)
        design = Design.of(table, weights, bool(self.fit_intercept))
        features = design.features(table)
        self.noise_, theta = NOISES[self.noise].fit(features, y, weights)
        self._design: tuple[Any, ...] = tuple(design)
        self._theta = theta
        self._learn(design, features, y, weights)
        return self

    def _learn(self, design: Design, features: np.ndarray, y: np.ndarray, weights: np.ndarray) -> None:
        n, p = float(weights.sum()), features.shape[1]
        self.spare_ = n - p
        self._covariance = self.noise_.covariance(features, self._theta, weights)
        if self.noise_.n_parameters and self.spare_ > 0:
            self._covariance *= n / self.spare_
        both = design.coefficients @ self._theta
        self.intercept_, self.coef_ = both[0], both[1:]
        self.standard_errors_ = design.errors(self._covariance)
        if self.noise_.n_parameters and self.spare_ <= 0:
            self.standard_errors_ = np.full(len(both), np.inf)
        self.log_likelihood_ = float(weights @ self.noise_.log_prob(y, features @ self._theta))
        k = p + self.noise_.n_parameters
        self.aic_ = 2 * k - 2 * self.log_likelihood_
        self.bic_ = k * float(np.log(n)) - 2 * self.log_likelihood_

    def predict(self, X: Any) -> np.ndarray:
        """The mean of y given each row (the median, for noise without a mean): (n,)."""
        eta = self._eta(X)
        return self.noise_.centre(eta)

    def score_samples(self, X: Any, y: Any = None) -> np.ndarray:
        """log p(y | x) of each row and its y: (n,) float64, in nats.

        Without y, of the y with the greatest density.
        """
        if y is None:
            eta = self._eta(X)
            return self.noise_.log_prob(self.noise_.mode(eta), eta)
        check_is_fitted(self)
        table, y, _ = check_pairs(self, X, y, reset=False, numeric=True)
        return self.noise_.log_prob(y.astype(np.float64), self._eta(table))

    def sample(self, X: Any, random_state: int | np.random.RandomState | None = None) -> np.ndarray:
        """One y drawn from p(y | x) for each row of ``X``: (n,)."""
        eta = self._eta(X)
        return self.noise_.draw(eta, check_random_state(random_state))

    def interval(self, X: Any, level: float = 0.95) -> np.ndarray:
        """Where a new y lies with this probability, given each row: its lower and upper end, (n, 2).

        How well the coefficients are known counts in. For normal noise exact, by Student's t. Otherwise eta is taken to
        be normal about its estimate, as it is with many rows; for counts at least the level.
        """
        check_fraction("level", level)
        check_is_fitted(self)
        features = self._features(X)
        error = np.sqrt(np.einsum("ip,pq,iq->i", features, self._covariance, features))
        rows = self.spare_ + features.shape[1]
        return np.column_stack(self.noise_.interval(features @ self._theta, error, level, rows, self.spare_))

    def confidence_interval(self, level: float = 0.95) -> np.ndarray:
        """Where beta_0 and each of beta lie with this confidence: (1 + d, 2).

        By Student's t with n - p degrees of freedom, where the rows tell a scale (or size) too: exact for normal noise,
        for others as holds with many rows, and close with few (of 60 rows and 3 coefficients, 88 to 91 % at level 0.9;
        with the normal distribution and the scale of greatest likelihood Laplace's had 83). By the normal distribution
        for Poisson's counts, which have none.
        """
        check_fraction("level", level)
        check_is_fitted(self)
        return bounds(np.append(self.intercept_, self.coef_), self.standard_errors_, level, self._degrees)

    def summary(self, level: float = 0.95) -> dict[str, list[Any]]:
        """The columns of a table of coefficients, ready for a data frame.

        They are coefficient (its name), estimate, standard_error, low and high (the confidence interval) and p_value
        (two-sided, that it is 0: by Student's t, or the normal distribution for Poisson's counts).
        """
        check_fraction("level", level)
        check_is_fitted(self)
        return table(self, np.append(self.intercept_, self.coef_), self.standard_errors_, level, self._degrees)

    @property
    def is_mass(self) -> bool:
        """Whether the noise is one of counts."""
        check_is_fitted(self)
        return not isinstance(self.noise_, LocationNoise)

    @property
    def _degrees(self) -> float:
        return self.spare_ if self.noise_.n_parameters else np.inf

    def _features(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return Design(*self._design).features(check_table(self, X, reset=False).astype(np.float64))

    def _eta(self, X: Any) -> np.ndarray:
        return self._features(X) @ self._theta


def _check_size(y: np.ndarray) -> None:
    size = float(np.abs(y).max())
    if size and not 1e-150 < size < 1e150:
        raise InputError(
            f"y expects numbers of a size from 1e-150 to 1e150; the largest is {size:g}. Change their unit."
        )
