"""Kernels against quadrature, and against scikit-learn's."""

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.special import gamma
from sklearn.neighbors import KernelDensity

from latens.density.kernel.kernels import KERNELS

DIMENSIONS = (1, 2, 3, 8)


@pytest.fixture(params=list(KERNELS))
def name(request):
    return request.param


def radial(kernel, d):
    """The density of the distance from the centre, and how far it goes."""
    surface = 2 * np.pi ** (d / 2) / gamma(d / 2)
    end = 1.0 if np.isfinite(kernel.support) else 80.0
    return (lambda r: surface * r ** (d - 1) * np.exp(kernel.log_density(np.asarray(r * r), d))), end


def integral(f, low, high):
    """In two parts, so that the narrow middle of a long tail is seen."""
    middle = low + (high - low) / 10
    return sum(quad(f, a, b, epsabs=1e-12, limit=200)[0] for a, b in ((low, middle), (middle, high)))


@pytest.mark.parametrize("d", DIMENSIONS)
def test_it_integrates_to_one_and_has_its_variance(name, d):
    kernel = KERNELS[name]
    density, end = radial(kernel, d)
    assert integral(density, 0.0, end) == pytest.approx(1.0, abs=1e-9)
    assert integral(lambda r: r * r * density(r) / d, 0.0, end) == pytest.approx(kernel.variance(d), rel=1e-8)


def test_its_square_integrates_to_its_roughness(name):
    kernel = KERNELS[name]
    density, end = radial(kernel, 1)
    assert integral(lambda r: density(r) ** 2 / 2, 0.0, end) == pytest.approx(kernel.roughness, rel=1e-9)


def test_its_cdf_is_the_integral(name):
    kernel = KERNELS[name]
    density, _ = radial(kernel, 1)
    for x in (-0.9, -0.2, 0.0, 0.35, 0.8, 1.5):
        expected = 0.5 + np.sign(x) * integral(density, 0.0, abs(x)) / 2
        assert kernel.cdf(np.array(x)) == pytest.approx(expected, abs=1e-9)
    np.testing.assert_array_equal(kernel.cdf(np.array([-np.inf, np.inf])), [0.0, 1.0])


@pytest.mark.parametrize("d", DIMENSIONS)
def test_its_samples_have_its_distances_in_all_directions(name, d):
    kernel = KERNELS[name]
    drawn = kernel.sample(np.random.RandomState(0), 4000, d)
    density, end = radial(kernel, d)
    grid = np.linspace(0.0, end, 20_001)
    sums = np.concatenate([[0.0], np.cumsum((density(grid)[1:] + density(grid)[:-1]) / 2 * np.diff(grid))])
    distance = np.linalg.norm(drawn, axis=1)
    assert stats.kstest(distance, lambda r: np.interp(r, grid, sums / sums[-1])).pvalue > 1e-3
    np.testing.assert_allclose(np.cov(drawn.T), kernel.variance(d) * np.eye(d), atol=0.2 * kernel.variance(d))


@pytest.mark.parametrize("d", [1, 3, 7])  # scikit-learn's cosine kernel is not normalised in even dimensions
@pytest.mark.parametrize("name", ["gaussian", "tophat", "epanechnikov", "exponential", "linear", "cosine"])
def test_it_is_scikit_learns(name, d):
    rng = np.random.RandomState(1)
    rows, query = 0.3 * rng.normal(size=(7, d)), np.zeros((1, d))
    theirs = KernelDensity(kernel=name, bandwidth=1.7).fit(rows).score_samples(query)
    terms = KERNELS[name].log_density((rows**2).sum(axis=1) / 1.7**2, d) - d * np.log(1.7)
    np.testing.assert_allclose(np.log(np.exp(terms).mean()), theirs, rtol=1e-9)
