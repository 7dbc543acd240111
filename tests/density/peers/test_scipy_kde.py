"""scipy's own tests of gaussian_kde, from the installed package, on ours."""

import functools
import warnings
from unittest import mock

import numpy as np
import pytest
from scipy import linalg, stats

from latens.density import KernelDensity
from latens.utils.errors import InputError


class GaussianKde:
    """Ours under scipy's names, rows as columns; all that it evaluates, integrates and draws is ours."""

    def __init__(self, dataset, bw_method=None, weights=None):
        self.dataset = np.atleast_2d(np.asarray(dataset))
        self.d, self.n = self.dataset.shape
        if weights is not None:
            self._weights = np.asarray(weights, dtype=float) / np.sum(weights)
        if self.d > self.n:
            raise ValueError("Number of dimensions is greater than number of samples; rows are columns here.")
        self.set_bandwidth(bw_method)

    @property
    def weights(self):
        return getattr(self, "_weights", np.full(self.n, 1 / self.n))

    @property
    def neff(self):
        return 1 / np.sum(self.weights**2)

    def scotts_factor(self):
        return self.neff ** (-1 / (self.d + 4))

    def silverman_factor(self):
        return (self.neff * (self.d + 2) / 4) ** (-1 / (self.d + 4))

    covariance_factor = scotts_factor

    def set_bandwidth(self, bw_method=None):
        if bw_method in ("scott", "silverman"):
            self.covariance_factor = {"scott": self.scotts_factor, "silverman": self.silverman_factor}[bw_method]
        elif np.isscalar(bw_method) and not isinstance(bw_method, str):
            self.covariance_factor = lambda: bw_method
        elif callable(bw_method):
            self.covariance_factor = lambda: bw_method(self)
        elif bw_method is not None:
            raise ValueError("bw_method should be 'scott', 'silverman', a scalar or a callable.")
        self._compute_covariance()

    def _compute_covariance(self):
        self.factor = self.covariance_factor()
        data = np.cov(self.dataset.astype(float), bias=False, aweights=self.weights)
        self.covariance = np.atleast_2d(data) * float(self.factor) ** 2
        try:
            self.ours = self._fitted(self.covariance)
        except InputError as error:
            raise linalg.LinAlgError("The data appears to lie in a lower-dimensional subspace") from error

    def _fitted(self, covariance):
        density = KernelDensity(covariance if self.d > 1 else float(covariance[0, 0] ** 0.5), exact=True)
        return density.fit(self.dataset.T.astype(float), sample_weight=self.weights)

    def logpdf(self, points):
        points = np.atleast_2d(np.asarray(points))
        points = points.reshape(self.d, 1) if points.shape == (1, self.d) != (1, 1) else points
        if len(points) != self.d:
            raise ValueError(f"points have dimension {len(points)}, dataset has dimension {self.d}")
        return self.ours.score_samples(points.T.astype(float))

    def evaluate(self, points):
        return np.exp(self.logpdf(points))

    __call__ = pdf = evaluate

    def integrate_gaussian(self, mean, cov):
        wider = self._fitted(self.covariance + np.atleast_2d(cov))
        return np.exp(wider.score_samples(np.atleast_2d(mean)))[0]

    def integrate_kde(self, other):
        wider = self._fitted(self.covariance + other.covariance)
        return np.exp(wider.score_samples(other.dataset.T)) @ other.weights

    def integrate_box_1d(self, low, high):
        return np.subtract(*self.ours.cdf([high, low]))

    def integrate_box(self, low_bounds, high_bounds, rng=None):
        """By Gauss's rule over the part of the box within ten deviations of the rows."""
        if self.d == 1:
            return self.integrate_box_1d(low_bounds, high_bounds)
        reach = 10 * self.covariance.diagonal() ** 0.5
        low = np.maximum(low_bounds, self.dataset.min(axis=1) - reach)
        high = np.minimum(high_bounds, self.dataset.max(axis=1) + reach)
        nodes, weights = np.polynomial.legendre.leggauss(150)
        lines = [a + (b - a) * (nodes + 1) / 2 for a, b in zip(low, high)]
        points = np.stack(np.meshgrid(*lines, indexing="ij")).reshape(self.d, -1)
        volume = functools.reduce(np.multiply.outer, [(b - a) / 2 * weights for a, b in zip(low, high)])
        return self.evaluate(points) @ volume.ravel()

    def resample(self, size=None, seed=None):
        state = np.random.RandomState(seed.bit_generator) if isinstance(seed, np.random.Generator) else seed
        return self.ours.sample(size or int(self.neff), random_state=state).T

    def marginal(self, dimensions):
        """The density of some columns: those rows, and that part of the covariance."""
        chosen = np.atleast_1d(dimensions)
        if not np.issubdtype(chosen.dtype, np.integer):
            raise ValueError("Elements of `dimensions` must be integers: they number columns.")
        wrong = chosen[(chosen < -self.d) | (chosen >= self.d)]
        if len(wrong):
            raise ValueError(f"Dimensions {wrong} are invalid for a distribution in {self.d} dimensions.")
        if len(np.unique(chosen % self.d)) < len(chosen):
            raise ValueError("All elements of `dimensions` must be unique.")
        return GaussianKde(self.dataset[chosen], bw_method=self.factor, weights=self.weights)


with warnings.catch_warnings(), mock.patch.object(stats, "gaussian_kde", GaussianKde):
    warnings.simplefilter("ignore", pytest.PytestUnknownMarkWarning)  # their xslow
    theirs = pytest.importorskip("scipy.stats.tests.test_kdeoth")

SKIPPED = {
    "test_logpdf_overflow": "5,000 rows of 2,500 columns: too slow for every day",
    "test_marginal_2_axis": "a minute of nested quadrature: too slow for every day; test_marginal_1_axis runs",
}


@pytest.fixture(autouse=True)
def _ours(monkeypatch):
    monkeypatch.setattr(stats, "gaussian_kde", GaussianKde)


def skipped(reason):
    @pytest.mark.skip(reason=reason)
    def test():
        """Not for ours."""

    return test


def in_double_precision(test):
    @functools.wraps(test)
    def wrapped(dtype, bw_type):
        if {dtype, bw_type} & {"float96", "float128"}:
            pytest.skip("ours computes in double precision whatever the data's")
        test(dtype, bw_type)

    return wrapped


WRAPPED = {"test_kde_output_dtype": in_double_precision}
THEIRS = {name: test for name, test in vars(theirs).items() if name.startswith("test_")}
globals().update({name: WRAPPED.get(name, lambda test: test)(test) for name, test in THEIRS.items()})
globals().update({name: skipped(reason) for name, reason in SKIPPED.items()})


def test_every_skip_is_of_a_test_of_theirs():
    assert {*SKIPPED, *WRAPPED} <= set(THEIRS)
