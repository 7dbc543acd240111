"""Classification by density: one density for each class, and Bayes' rule."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp
from sklearn.base import ClassifierMixin, clone
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.validation import check_is_fitted

from latens.density.base import DensityEstimator
from latens.density.conditional.estimator import new_classes, of_class
from latens.density.rows import as_labels, as_rows, take
from latens.density.tables import framed
from latens.density.validation import check_weights
from latens.utils.errors import InputError
from latens.utils.validation import check_positive


class BayesClassifier(ClassifierMixin, DensityEstimator):
    r"""$p(y = k \mid x) \propto p(y = k)\, p(x \mid y = k)$, a clone of one density fitted to the rows of each class.

    Any density will do: with independent normals this is Gaussian naive Bayes, with the joint normal quadratic
    discriminant analysis, with a kernel density what Parzen proposed; a VAE is welcome too. It is itself the density
    $p(x) = \sum_k p(y = k)\, p(x \mid y = k)$.

    Where every class's density is zero at x, what is left to say is p(y = k), the prior. ``score`` is scikit-learn's
    accuracy; ``score_samples(X)`` is log p(x) and ``score_samples(X, y)`` is log p(y | x), as for every classifier and
    regressor here, so that their sum is the joint log p(x, y).

    Args:
        density: fitted, as a clone, to the rows of each class.
        priors: p(y = k), in the order of the sorted classes, (K,); None takes their frequencies.

    Attributes:
        classes_: (K,), sorted.
        class_prior_: p(y = k), (K,).
        densities_: p(x | y = k), a list of K fitted densities.

    Reference:
        Hastie, Tibshirani and Friedman (2009), The Elements of Statistical Learning, sections 4.3 and 6.6.

    Example:
        >>> from latens.density import Histogram
        >>> X, y = [[0.0], [1.0], [2.0], [1.0], [2.0], [4.0]], ["a", "a", "a", "b", "b", "b"]
        >>> bayes = BayesClassifier(Histogram(bins=[0.0, 1.5, 4.0])).fit(X, y)
        >>> bayes.predict_proba([[1.0], [3.0], [9.0]]).round(3)  # nothing was ever seen at 9
        array([[0.667, 0.333],
               [0.333, 0.667],
               [0.5  , 0.5  ]])
        >>> np.exp(bayes.score_samples([[1.0]]))  # p(x) = (2/3 + 1/3) / 2 / 1.5
        array([0.33333333])
    """

    def __init__(self, density: Any, priors: ArrayLike | None = None) -> None:
        self.density = density
        self.priors = priors

    def fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Fit a density to the rows of each class.

        Args:
            X: the data, one example a row: (n, ...), of any shape that the density takes.
            y: the class of each row, (n,).
            sample_weight: how much each row counts, (n,), also in the frequencies of the classes.

        Raises:
            InputError: not one class a row, priors that are no probabilities, or rows that the density refuses.
        """
        rows = as_rows(self, X, reset=True)
        labels = as_labels(self, y, len(rows))
        weights = check_weights(sample_weight, len(labels))
        self.classes_, at = new_classes(labels[weights > 0])
        rows, kept = take(rows, weights > 0), None if sample_weight is None else weights[weights > 0]
        self.class_prior_ = self._prior(np.bincount(at, weights=weights[weights > 0]))
        self.densities_ = [self._of_class(k, rows, at == k, kept) for k in range(len(self.classes_))]
        return self

    def _prior(self, counts: np.ndarray) -> np.ndarray:
        if self.priors is None:
            return counts / counts.sum()
        try:
            priors = np.asarray(self.priors, dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError(f"priors expects {len(counts)} numbers; got {self.priors!r}.") from None
        if priors.shape != counts.shape or not (priors >= 0).all() or not np.isclose(priors.sum(), 1):
            few = f"priors expects a probability for each of the {len(counts)} classes, which sum to 1"
            raise InputError(f"{few}; got shape {priors.shape}, sum {priors.sum():g}.")
        return priors / priors.sum()

    def _of_class(self, k: int, rows: Any, here: np.ndarray, weights: np.ndarray | None) -> Any:
        given = {} if weights is None else {"sample_weight": weights[here]}
        try:
            return clone(self.density).fit(take(rows, here), **given)
        except InputError as error:
            raise InputError(f"The density of class {self.classes_[k]} ({int(here.sum())} rows): {error}") from error

    def predict_joint_log_proba(self, X: Any) -> np.ndarray:
        """log p(x, y = k) of each row and class: (n, K), in nats."""
        check_is_fitted(self)
        rows = as_rows(self, X, reset=False)
        scores = np.column_stack([density.score_samples(rows) for density in self.densities_])
        return scores + self._log_prior

    @property
    def _log_prior(self) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.log(self.class_prior_)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """log p(y = k | x) of each row and class: (n, K)."""
        joint = self.predict_joint_log_proba(X)
        best = joint.max(axis=1, keepdims=True)
        joint = np.where(np.isfinite(best), joint, np.where(joint == best, self._log_prior, -np.inf))
        return joint - logsumexp(joint, axis=1, keepdims=True)

    def predict_proba(self, X: Any) -> np.ndarray:
        """p(y = k | x) of each row and class: (n, K)."""
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row: (n,)."""
        best = self.predict_log_proba(X).argmax(axis=1)
        return self.classes_[best]

    def score_samples(self, X: Any, y: Any = None) -> np.ndarray:
        """log p(x) of each row; with its class, log p(y | x): (n,) float64 in nats, -inf for classes never seen."""
        if y is None:
            return logsumexp(self.predict_joint_log_proba(X), axis=1)
        log_proba = self.predict_log_proba(X)
        return of_class(log_proba, self.classes_, as_labels(self, y, len(log_proba)))

    @property
    def is_mass(self) -> bool:
        """Whether log p(x) is of probabilities: as the densities of the classes are."""
        check_is_fitted(self)
        return all(getattr(density, "is_mass", False) for density in self.densities_)

    def sample(self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None) -> Any:
        """``n_samples`` rows of p(x): a class drawn by its prior, then a row of its density; in random order."""
        check_is_fitted(self)
        check_positive("n_samples", n_samples, integer=True)
        rng = check_random_state(random_state)
        counts = rng.multinomial(n_samples, self.class_prior_)
        drawn = [density.sample(int(n), random_state=rng) for density, n in zip(self.densities_, counts) if n]
        return framed(self._frame, np.concatenate(drawn)[rng.permutation(n_samples)])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = get_tags(self.density).input_tags.allow_nan
        return tags
