"""Sums on the line against the sums as they are written."""

import numpy as np
import pytest
from scipy.special import logsumexp

from latens.density import KernelDensity
from latens.density.kernel.kernels import KERNELS
from latens.density.kernel.line import Line, log_sum_1d

RNG = np.random.RandomState(0)
ROWS = {
    "normal": RNG.normal(size=4000),
    "outliers": np.r_[RNG.normal(size=3000), -1e4, 50.0, 50.0, 55.0],
    "ties": RNG.randint(0, 6, size=4000).astype(float),
    "uniform": RNG.uniform(size=4000),
    "heavy": RNG.standard_cauchy(size=4000),
    "pairs": np.repeat(RNG.uniform(0, 1000, size=1000), 2) + np.tile([0.0, 0.02], 1000),
    "far from 0": 1e6 + RNG.normal(size=4000),
}


def slow(q, x, log_w, kernel, scales):
    terms = KERNELS[kernel].log_density(((q[:, None] - x) / scales) ** 2, 1) - np.log(scales) + log_w
    return logsumexp(terms, axis=1)


def queries(x):
    near = np.random.RandomState(1).choice(x, 50) + np.random.RandomState(2).normal(size=50)
    span = np.ptp(x)
    return np.r_[near, np.linspace(x.min() - 0.2 * span, x.max() + 0.2 * span, 50), x[:25], -1e4, 3e5]


@pytest.mark.parametrize("h", [1e-3, 0.1, 3.0])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("kernel", ["gaussian", "logistic"])
def test_fast_sums_keep_their_bound(kernel, rows, h):
    x = ROWS[rows]
    q, w = queries(x), np.random.RandomState(3).exponential(size=len(x))
    for log_w in (np.full(len(x), -np.log(len(x))), np.log(w / w.sum())):
        fast = log_sum_1d(q, x, log_w, kernel, scales=np.full(len(x), h))
        exact = slow(q, x, log_w, kernel, h)
        np.testing.assert_allclose(fast, exact, atol=2e-4, rtol=1e-12)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("kernel", list(KERNELS))
def test_exact_sums_are_exact(kernel, rows):
    x, rng = ROWS[rows], np.random.RandomState(4)
    q, scales, log_w = queries(x), 0.3 * np.exp(rng.normal(size=len(x))), rng.normal(size=len(x))
    with np.errstate(over="ignore"):
        exact = slow(q, x, log_w, kernel, scales)
    np.testing.assert_allclose(
        log_sum_1d(q, x, log_w, kernel, scales=scales, exact=True), exact, rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize("rows", ROWS)
def test_kernels_with_a_corner_are_summed_exactly_and_fast(rows):
    x = ROWS[rows]
    q, log_w = queries(x), np.random.RandomState(5).normal(size=len(x))
    for kernel in ("tophat", "epanechnikov", "biweight", "triweight", "linear", "exponential"):
        expected = slow(q, x, log_w, kernel, 0.2)
        np.testing.assert_allclose(
            log_sum_1d(q, x, log_w, kernel, scales=np.full(len(x), 0.2)), expected, rtol=1e-9, atol=1e-7
        )


@pytest.mark.parametrize("rows", ROWS)
def test_local_scales_keep_the_bound(rows):
    x = np.sort(ROWS[rows])
    density = KernelDensity(adaptive=True).fit(x[:, None])
    q = queries(x)
    exact = slow(q, x, -np.log(len(x)), "gaussian", density.bandwidth_ * density.scales_)
    np.testing.assert_allclose(density.score_samples(q[:, None]), exact, atol=2e-4, rtol=1e-10)


@pytest.mark.parametrize("adaptive", [False, True])
def test_a_fast_density_integrates_to_one(adaptive):
    x = ROWS["normal"]
    density = KernelDensity("isj", adaptive=adaptive).fit(x[:, None])
    edges = np.r_[-1e3, -np.geomspace(100, 10, 30), np.linspace(-9, 9, 3001), np.geomspace(10, 100, 30), 1e3]
    node, weight = np.polynomial.legendre.leggauss(8)
    half = np.diff(edges)[:, None] / 2
    p = np.exp(density.score_samples(((edges[1:] + edges[:-1])[:, None] / 2 + half * node).reshape(-1, 1)))
    mass = (p.reshape(-1, 8) * half * weight).sum(axis=1)
    assert mass.sum() == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(density.cdf(edges[1:]), np.cumsum(mass), atol=1e-6)


def test_a_fast_sum_knows_no_other_query():
    x = np.sort(ROWS["outliers"])
    line = Line(x, np.array([-np.log(len(x))]), np.array([0.1]), "gaussian")
    q = queries(x)
    together = line(q)
    np.testing.assert_array_equal(line(q[::-1]), together[::-1])
    np.testing.assert_array_equal(np.concatenate([line(q[i : i + 1]) for i in range(len(q))]), together)
