"""Logistic regression: the probabilities of two or more classes, of greatest likelihood."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import helmert
from scipy.optimize import minimize
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from latens.density.conditional.estimator import ConditionalEstimator, check_pairs, draw_class, new_classes, of_class
from latens.density.regression.coefficients import bounds, table
from latens.density.regression.design import Design
from latens.density.regression.newton import newton
from latens.density.regression.separation import Separation, flat, grows_forever
from latens.density.validation import check_table
from latens.utils.errors import InputError
from latens.utils.validation import check_fraction, check_positive

_NEWTON = 2000
_SEPARATED = (
    "A plane tells classes apart (rows on it aside), so the likelihood grows as long as coefficients do; given are "
    "those after which less than 1e-11 nats an example could still be won. Give ridge=1.0 for finite ones."
)


class LogisticRegression(ClassifierMixin, ConditionalEstimator):
    r"""$p(y = k \mid x) \propto \exp(\beta_{k0} + \beta_k^\top x)$, of greatest likelihood.

    With two classes, $\log p(y = 1 \mid x) - \log p(y = 0 \mid x) = \beta_0 + \beta^\top x$. With more, the
    coefficients of all classes sum to 0 (only differences are told by the data).

    Where a plane tells classes apart without error there is no greatest likelihood: then a ``Separation`` warning says
    so (decided by linear programming), probabilities are right to 1e-11 nats an example, and standard errors are huge.

    Found by Newton's method. Above 2000 coefficients, whose Hessian is too large, L-BFGS takes its place: then standard
    errors are NaN, and separation is told only where these coefficients already separate.

    Args:
        ridge: precision of a normal prior on the coefficients, not on the intercept: adds ridge / 2 |beta|^2 to the
            negative log likelihood (scikit-learn's 1 / C). 0 is maximum likelihood.
        fit_intercept: whether there is beta_0.

    Attributes:
        classes_: (K,), sorted.
        coef_: beta, (1, d) for two classes (for ``classes_[1]`` against ``classes_[0]``), (K, d) for more.
        intercept_: beta_0, (1,) or (K,).
        standard_errors_: of beta_0 and beta, (1, 1 + d) or (K, 1 + d), from Fisher's information; weights count as
            repetitions. Infinite where the rows do not tell a coefficient; the first is 0 without intercept.
        log_likelihood_: sum of log p(y | x) over the rows fitted, in nats.
        aic_, bic_: -2 log_likelihood_ + 2 k and + k log n, with k free coefficients and n the sum of weights.

    Reference:
        McCullagh and Nelder (1989), Generalized Linear Models, chapters 4 and 5.

    Example:
        >>> X, y = [[0.0], [1.0], [2.0], [3.0], [4.0]], ["no", "no", "yes", "no", "yes"]
        >>> logistic = LogisticRegression().fit(X, y)
        >>> logistic.predict_proba([[2.0], [5.0]]).round(3)
        array([[0.651, 0.349],
               [0.066, 0.934]])
        >>> logistic.score_samples([[2.0], [5.0]], ["yes", "yes"]).round(3)  # log p(y | x), in nats
        array([-1.052, -0.068])
    """

    def __init__(self, ridge: float = 0.0, fit_intercept: bool = True) -> None:
        self.ridge = ridge
        self.fit_intercept = fit_intercept

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Find the coefficients of greatest likelihood (or posterior density, with a ridge).

        Args:
            X: what is given, (n, d).
            y: the class of each row, (n,), of at least two classes.
            sample_weight: how often each row counts, (n,).

        Raises:
            InputError: not a table of finite numbers, not one class a row, or a single class.
        """
        check_positive("ridge", self.ridge, zero=True)
        table, labels, weights = check_pairs(self, X, y, sample_weight, reset=True, numeric=False)
        self.classes_, at = new_classes(labels)
        if len(self.classes_) < 2:
            raise InputError(f"LogisticRegression expects two or more classes; got one class, {self.classes_[0]}.")
        table = table.astype(np.float64)
        design, contrasts = Design.of(table, weights, bool(self.fit_intercept)), _contrasts(len(self.classes_))
        slopes = design.coefficients[1:]
        loss = _Loss(design.features(table), at, weights, contrasts, self.ridge * slopes.T @ slopes)
        theta = loss.best()
        if loss.grows_beyond(theta):
            warnings.warn(Separation(_SEPARATED), stacklevel=2)
        self._design: tuple[Any, ...] = tuple(design)
        self._theta = theta.reshape(-1, contrasts.shape[1])
        self._learn(design, loss, theta, float(weights.sum()))
        return self

    def _learn(self, design: Design, loss: _Loss, theta: np.ndarray, n: float) -> None:
        told = loss.contrasts if len(self.classes_) > 2 else loss.contrasts[1:]
        both = told @ self._theta.T @ design.coefficients.T
        self.intercept_, self.coef_ = both[:, 0], both[:, 1:]
        covariances = loss.covariances(theta, told)
        self.standard_errors_ = np.stack([design.errors(covariance) for covariance in covariances])
        self.log_likelihood_ = loss.log_likelihood(theta)
        self.aic_ = 2 * loss.size - 2 * self.log_likelihood_
        self.bic_ = loss.size * float(np.log(n)) - 2 * self.log_likelihood_

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """log p(y = k | x) of each row and class: (n, K)."""
        check_is_fitted(self)
        features = Design(*self._design).features(check_table(self, X, reset=False).astype(np.float64))
        return _log_softmax(features @ self._theta @ _contrasts(len(self.classes_)).T)

    def predict_proba(self, X: Any) -> np.ndarray:
        """p(y = k | x) of each row and class: (n, K)."""
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row: (n,)."""
        best = np.argmax(self.predict_log_proba(X), axis=1)
        return self.classes_[best]

    def score_samples(self, X: Any, y: Any = None) -> np.ndarray:
        """log p(y | x) of each row and its class: (n,) float64, in nats; -inf for classes that were not fitted.

        Without y, of the class that ``predict`` gives.
        """
        if y is None:
            return self.predict_log_proba(X).max(axis=1)
        check_is_fitted(self)
        table, labels, _ = check_pairs(self, X, y, reset=False, numeric=False)
        return of_class(self.predict_log_proba(table), self.classes_, labels)

    def sample(self, X: Any, random_state: int | np.random.RandomState | None = None) -> np.ndarray:
        """One class drawn from p(y | x) for each row of ``X``: (n,)."""
        proba = self.predict_proba(X)
        return draw_class(self.classes_, proba, random_state)

    @property
    def is_mass(self) -> bool:
        """True: classes have probabilities."""
        return True

    def confidence_interval(self, level: float = 0.95) -> np.ndarray:
        """Where beta_0 and each of beta lie with this confidence, of two classes (1, 1 + d, 2), of more (K, 1 + d, 2).

        Estimate and standard error with the normal distribution, as holds with many rows (Wald).
        """
        check_fraction("level", level)
        check_is_fitted(self)
        return bounds(np.column_stack([self.intercept_, self.coef_]), self.standard_errors_, level, np.inf)

    def summary(self, level: float = 0.95) -> dict[str, list[Any]]:
        """The columns of a table of coefficients, ready for a data frame.

        They are coefficient (its name), class, estimate, standard_error, low and high (the confidence interval) and
        p_value (two-sided, that it is 0, by Wald's test).
        """
        check_fraction("level", level)
        check_is_fitted(self)
        classes = self.classes_ if len(self.classes_) > 2 else self.classes_[1:]
        both = np.column_stack([self.intercept_, self.coef_])
        return table(self, both, self.standard_errors_, level, np.inf, classes.tolist())


class _Loss:
    """The mean of -log p(y | x) and of the penalty, over theta (p, J), flat: eta = features theta contrasts^T."""

    def __init__(
        self, features: np.ndarray, at: np.ndarray, weights: np.ndarray, contrasts: np.ndarray, penalty: np.ndarray
    ) -> None:
        self.features, self.at, self.contrasts = features, at, contrasts
        self.n = weights.sum()
        self.w = weights / self.n
        self.penalty = penalty / self.n

    @property
    def size(self) -> int:
        return self.features.shape[1] * self.contrasts.shape[1]

    def _log_proba(self, theta: np.ndarray) -> np.ndarray:
        return _log_softmax(self.features @ theta.reshape(-1, self.contrasts.shape[1]) @ self.contrasts.T)

    def log_likelihood(self, theta: np.ndarray) -> float:
        return float(self.n * (self.w @ self._log_proba(theta)[np.arange(len(self.at)), self.at]))

    def __call__(self, theta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        log_proba = self._log_proba(theta)
        return *self._slope(theta, log_proba), self._hessian(np.exp(log_proba))

    def _slope(self, theta: np.ndarray, log_proba: np.ndarray) -> tuple[float, np.ndarray]:
        """The value and the gradient alone."""
        block = theta.reshape(-1, self.contrasts.shape[1])
        rows, proba = np.arange(len(self.at)), np.exp(log_proba)
        value = -self.w @ log_proba[rows, self.at] + (block * (self.penalty @ block)).sum() / 2
        proba[rows, self.at] -= 1
        gradient = self.features.T @ (self.w[:, None] * proba @ self.contrasts) + self.penalty @ block
        return float(value), gradient.ravel()

    @property
    def _large(self) -> bool:
        """Whether its Hessian is too large."""
        return self.size > _NEWTON

    def best(self) -> np.ndarray:
        """theta of the least loss."""
        start = np.zeros(self.size)
        if not self._large:
            return newton(self, start)
        options = {"maxiter": 10_000, "maxfun": 20_000, "ftol": 1e-14, "gtol": 1e-7, "maxcor": 20}
        return minimize(
            lambda t: self._slope(t, self._log_proba(t)), start, jac=True, method="L-BFGS-B", options=options
        ).x

    def _hessian(self, proba: np.ndarray) -> np.ndarray:
        """Of p(j)(1 - p(j)) and -p(j) p(l), turned into contrasts: (p J, p J)."""
        p, size = self.features.shape[1], self.contrasts.shape[1]
        mean = proba @ self.contrasts
        hessian = np.empty((p, size, p, size))
        for j in range(size):
            for l in range(j + 1):
                bend = self.w * (proba @ (self.contrasts[:, j] * self.contrasts[:, l]) - mean[:, j] * mean[:, l])
                block = self.features.T @ (self.features * bend[:, None])
                hessian[:, j, :, l] = hessian[:, l, :, j] = block + self.penalty * (j == l)
        return hessian.reshape(p * size, p * size)

    def covariances(self, theta: np.ndarray, told: np.ndarray) -> np.ndarray:
        """Of the coefficients of each row of contrasts that is told: (rows, p, p)."""
        p, size = self.features.shape[1], self.contrasts.shape[1]
        if self._large:
            return np.full((len(told), p, p), np.nan)
        inverse = np.linalg.pinv(self(theta)[2], rcond=1e-18, hermitian=True) / self.n
        return np.einsum("kj,ajbl,kl->kab", told, inverse.reshape(p, size, p, size), told)

    def grows_beyond(self, theta: np.ndarray) -> bool:
        """Whether the likelihood has no maximum: this theta or another tells all rows apart without error."""
        if self.penalty.any() or not (self._large or flat(self(theta)[2])):
            return False
        log_proba = self._log_proba(theta)
        others = np.arange(log_proba.shape[1]) != self.at[:, None]
        own = log_proba[np.arange(len(self.at)), self.at]
        if (own[:, None] > np.where(others, log_proba, -np.inf)).all():
            return True
        if self._large:
            return False
        gaps = (self.contrasts[self.at][:, None] - self.contrasts)[others].reshape(
            len(self.at), -1, theta.size // self.features.shape[1]
        )
        rows = np.einsum("np,nkj->nkpj", self.features, gaps).reshape(-1, theta.size)
        return grows_forever(rows, np.empty((0, theta.size)))


def _log_softmax(eta: np.ndarray) -> np.ndarray:
    if eta.shape[1] == 2:
        return -np.logaddexp(0.0, eta[:, ::-1] - eta)
    eta = eta - eta.max(axis=1, keepdims=True)
    return eta - np.log(np.exp(eta).sum(axis=1, keepdims=True))


def _contrasts(n_classes: int) -> np.ndarray:
    """What theta says of each class, (K, K - 1): the second of two; orthonormal contrasts of more, which sum to 0."""
    return np.array([[0.0], [1.0]]) if n_classes == 2 else helmert(n_classes).T
