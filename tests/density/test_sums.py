"""Sums of kernels in several dimensions against the slow double sum, and against their stated bounds."""

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn import neighbors
from sklearn.datasets import load_digits

from latens.density import KernelDensity
from latens.density.kernel import plane
from latens.density.kernel.kernels import KERNELS
from latens.density.kernel.near import Near, few_are_near
from latens.density.kernel.sums import Differences, Product, log_sum, prepare

RNG = np.random.RandomState(0)
DIGITS = load_digits().data


def slow(queries, rows, log_weights, kernel, scales=None):
    """log sum_i w_i s_i^-d K((q - x_i) / s_i), as it is written, in long doubles."""
    d, scales = rows.shape[1], np.ones(len(rows)) if scales is None else scales
    squared = np.zeros((len(queries), len(rows)), dtype=np.longdouble)
    for q, x in zip(queries.T.astype(np.longdouble), rows.T.astype(np.longdouble)):
        squared += (q[:, None] - x) ** 2
    terms = (squared / scales**2).astype(float)
    return logsumexp(KERNELS[kernel].log_density(terms, d) + log_weights - d * np.log(scales), axis=1)


def weights_of(n, seed=1):
    weights = np.random.RandomState(seed).exponential(size=n)
    return np.log(weights / weights.sum())


TWO_FAR = np.r_[RNG.normal(-1e6, 1.0, (150, 12)), RNG.normal(1e6, 1.0, (150, 12))]
ADVERSARIAL = {
    "digits, h = 0.1": DIGITS / 0.1,
    "digits, h = 1": DIGITS,
    "digits, h = 10": DIGITS / 10,
    "digits at 1e6": DIGITS + 1e6,
    "two groups 2e6 apart": TWO_FAR,
    "outlier": np.r_[RNG.normal(size=(300, 12)), np.full((1, 12), -1e4)],
    "outlier in the plane": np.r_[RNG.normal(size=(300, 2)), [[-1e4, 0.0]]],
    "plane at 1e6": RNG.normal(size=(300, 2)) + 1e6,
    "ties": np.repeat(RNG.randint(0, 3, size=(20, 3)), 30, axis=0).astype(float),
    "one row": np.zeros((1, 20)),
    "one column": RNG.standard_t(1.5, size=(300, 1)),
}


@pytest.mark.parametrize("kernel", ["gaussian", "exponential", "epanechnikov"])
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_the_sum_is_exact(name, kernel):
    rows = ADVERSARIAL[name]
    rng = np.random.RandomState(2)
    rows = rows[rng.permutation(len(rows))[:300]]
    near = rows[:30] + 0.3 * rng.normal(size=(min(30, len(rows)), rows.shape[1]))
    queries = np.r_[rows[:30], near, rows.mean(0) + 50 * rng.normal(size=(9, rows.shape[1]))]
    log_weights = weights_of(len(rows))
    for scales in (None, rng.uniform(0.5, 3.0, len(rows))):
        found = log_sum(queries, rows, log_weights, kernel, scales=scales)
        np.testing.assert_allclose(found, slow(queries, rows, log_weights, kernel, scales), rtol=1e-10, atol=1e-10)


def test_scikit_learn_s_digits_are_off_where_ours_are_exact():
    """With its default leaves its bounds run into each other; with one leaf it is right, as ours is."""
    rows, log_weights = DIGITS, np.full(len(DIGITS), -np.log(len(DIGITS)))
    right = neighbors.KernelDensity(bandwidth=1.0, leaf_size=len(rows)).fit(rows).score_samples(rows[:100] + 2)
    np.testing.assert_allclose(log_sum(rows[:100] + 2, rows, log_weights, "gaussian"), right, rtol=1e-10)


@pytest.mark.parametrize("kernel", ["tophat", "epanechnikov", "linear", "cosine", "exponential", "gaussian"])
@pytest.mark.parametrize("d", [2, 3, 7])
def test_every_shared_kernel_agrees_with_scikit_learn(kernel, d):
    """But that their cosine of the plane integrates to 0.3634, and that theirs never say a density is zero."""
    rng = np.random.RandomState(3)
    rows, queries = rng.normal(size=(5000, d)), rng.normal(size=(100, d))
    theirs = neighbors.KernelDensity(kernel=kernel, bandwidth=0.8).fit(rows).score_samples(queries)
    ours = KernelDensity(0.8, kernel, exact=True).fit(rows).score_samples(queries)
    some = np.isfinite(ours)
    lost = np.log(1 - 2 / np.pi) if (kernel, d) == ("cosine", 2) else 0.0
    np.testing.assert_allclose(ours[some] + lost, theirs[some], rtol=1e-9, atol=1e-9)
    assert (theirs[~some] < -30).all()


PATHS = {
    "product": (DIGITS / 7, "gaussian", Product),
    "differences": (RNG.normal(size=(3000, 3)), "logistic", Differences),
    "near, bounded": (RNG.normal(size=(6000, 2)) / 0.1, "biweight", Near),
    "near, Gaussian": (RNG.normal(size=(6000, 3)) / 0.02, "gaussian", Near),
    "plane": (RNG.normal(size=(6000, 2)) / 0.2, "gaussian", plane.Plane),
    "plane, heavy tails": (RNG.standard_t(1.5, size=(6000, 2)) / 0.2, "gaussian", plane.Plane),
}


@pytest.fixture(params=list(PATHS))
def path(request):
    return PATHS[request.param]


def test_each_case_takes_its_path(path):
    rows, kernel, kind = path
    assert isinstance(prepare(rows, weights_of(len(rows)), kernel), kind)


def test_a_value_depends_on_no_other_query(path):
    rows, kernel, _ = path
    rng = np.random.RandomState(4)
    evaluate = prepare(rows, weights_of(len(rows)), kernel)
    queries = rows[:700] + rng.normal(size=(700, rows.shape[1])) * np.geomspace(0.1, 100, 700)[:, None]
    values, order = evaluate(queries), rng.permutation(700)
    np.testing.assert_array_equal(evaluate(queries[order]), values[order])
    np.testing.assert_array_equal(evaluate(queries[300:317]), values[300:317])
    again = prepare(rows, weights_of(len(rows)), kernel)
    np.testing.assert_array_equal(np.concatenate([again(q[None]) for q in queries[-25:]]), values[-25:])
    assert evaluate(queries[:0]).shape == (0,)


def test_each_path_is_the_sum(path):
    rows, kernel, kind = path
    rng = np.random.RandomState(5)
    queries = np.r_[rows[:40], rows[:40] + rng.normal(size=(40, rows.shape[1])) * np.geomspace(0.1, 300, 40)[:, None]]
    values = prepare(rows, weights_of(len(rows)), kernel)(queries)
    bound = plane.TOLERANCE if kind is plane.Plane else 1e-10
    np.testing.assert_allclose(values, slow(queries, rows, weights_of(len(rows)), kernel), rtol=1e-10, atol=bound)


def test_queries_too_far_for_floating_point_have_no_density(path):
    rows, kernel, _ = path
    queries = np.full((2, rows.shape[1]), 1e200) * [[1], [-1]]
    np.testing.assert_array_equal(prepare(rows, weights_of(len(rows)), kernel)(queries), -np.inf)


@pytest.mark.parametrize("kernel", [name for name, kernel in KERNELS.items() if np.isfinite(kernel.support)])
def test_rows_near_a_query_are_all_found(kernel):
    rng = np.random.RandomState(6)
    rows, scales = rng.normal(size=(5000, 2)) / 0.02, rng.uniform(0.3, 2.0, 5000)
    assert few_are_near(rows, scales, KERNELS[kernel])
    queries = np.r_[rows[:200], rows[:200] + rng.normal(size=(200, 2))]
    near = Near(rows, weights_of(5000), scales, KERNELS[kernel])(queries)
    whole = Differences(rows, weights_of(5000), scales, KERNELS[kernel])(queries)
    np.testing.assert_allclose(near, whole, rtol=1e-11, atol=1e-11)
    assert (np.isfinite(whole[:200])).all()


CORNERS = np.r_[[[0.0, 0.0]], RNG.randint(0, 60, size=(4500, 2)) * 0.25 + 0.125]
PLANES = {
    "normal": RNG.normal(size=(5000, 2)) / 0.2,
    "all in the corners of cells": CORNERS,
    "one corner": np.r_[[[0.0, 0.0]], np.full((4500, 2), 5.125)],
    "two corners": np.r_[[[0.0, 0.0]], np.full((2500, 2), 5.125), np.full((2500, 2), 8.125)],
    "on a line": np.c_[RNG.uniform(0, 40, 5000), np.zeros(5000)],
    "equal": np.zeros((5000, 2)),
    "ties": np.round(RNG.normal(size=(20_000, 2)) / 0.25 * 2) / 2,
    "heavy tails": RNG.standard_t(3, size=(20_000, 2)) / 0.5,
    "an outlier": np.r_[RNG.normal(size=(5000, 2)) / 0.2, [[-1e7, 0.0]]],
    "at 1e6": RNG.normal(size=(5000, 2)) / 0.2 + 1e6,
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", PLANES)
def test_the_plane_keeps_its_bound_and_the_rest_is_exact(name, weighted):
    rows, rng = PLANES[name], np.random.RandomState(7)
    log_weights = weights_of(len(rows)) if weighted else np.full(len(rows), -np.log(len(rows)))
    sums = prepare(rows, log_weights, "gaussian")
    low, high = np.quantile(rows, [0.01, 0.99], axis=0)
    queries = np.r_[rng.uniform(low - 6, high + 6, size=(1500, 2)), rows[:300], [[1e4, -1e4]]]
    found, expected = sums(queries), log_sum(queries, rows, log_weights, "gaussian", exact=True)
    sure = sums.grid.sure(queries)
    assert sure.mean() > 0.01
    assert np.abs(found - expected)[sure].max() < plane.TOLERANCE / 2
    np.testing.assert_allclose(found[~sure], expected[~sure], rtol=1e-10, atol=1e-6)


@pytest.mark.parametrize("name", ["normal", "all in the corners of cells", "one corner", "two corners"])
def test_what_the_grid_loses_is_bounded_by_the_wider_sum(name):
    """Everywhere, not only where it is small enough to be served."""
    rows, rng = PLANES[name], np.random.RandomState(8)
    log_weights = np.full(len(rows), -np.log(len(rows)))
    grid = prepare(rows, log_weights, "gaussian").grid
    queries = rng.uniform(rows.min(0) - 4, rows.max(0) + 4, size=(2000, 2))
    expected = log_sum(queries, rows, log_weights, "gaussian", exact=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.nan_to_num(np.exp(grid.interpolate(queries)))
    nodes = np.rint((queries - grid.origin) / plane.STEP) * plane.STEP + grid.origin
    wide = 2 * np.exp(log_sum(nodes / 2**0.5, rows / 2**0.5, log_weights, "gaussian", exact=True))
    assert (np.abs(found - np.exp(expected)) <= plane.LOSS * wide + 1e-14).all()


def test_many_rows_of_one_place_are_not_summed_in_single_precision():
    """Which would be off by 7e-4; their sum is one normal density."""
    rows = np.r_[[[-20.0, 0.0]], np.full((300_000, 2), 5.1)]
    density, queries = prepare(rows, np.full(1, -np.log(300_000)), "gaussian"), RNG.normal(5.1, 1.5, size=(200, 2))
    expected = -np.log(2 * np.pi) - ((queries - 5.1) ** 2).sum(axis=1) / 2
    assert density.grid.sure(queries).sum() > 100
    np.testing.assert_allclose(density(queries), expected, atol=1e-4)


def test_a_grid_of_any_orientation_with_a_full_matrix():
    rng = np.random.RandomState(9)
    rows = rng.normal(size=(20_000, 2)) @ [[1.0, 0.9], [0.0, 0.2]]
    H = np.array([[0.02, 0.015], [0.015, 0.014]])
    lines = [np.linspace(x.min(), x.max(), 40) for x in rows.T]
    queries = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, 2)
    found = KernelDensity(H).fit(rows).score_samples(queries)
    white = [np.linalg.solve(np.linalg.cholesky(H), x.T).T for x in (queries, rows)]
    expected = log_sum(*white, np.full(20_000, -np.log(20_000)), "gaussian", exact=True)
    np.testing.assert_allclose(found, expected - np.linalg.slogdet(H)[1] / 2, rtol=1e-9, atol=1e-4)


def test_a_large_plane_integrates_to_one():
    rows = np.random.RandomState(10).gamma(2.0, size=(5000, 2))
    density = KernelDensity(np.array([[0.05, 0.02], [0.02, 0.03]])).fit(rows)
    x, y = (np.linspace(a.min() - 2, a.max() + 2, 400) for a in rows.T)
    values = np.exp(density.score_samples(np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)))
    assert values.sum() * (x[1] - x[0]) * (y[1] - y[0]) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("d", [2, 12, 64])
def test_a_full_matrix_keeps_scores_independent_of_other_rows(d):
    rng = np.random.RandomState(11)
    rows = rng.normal(size=(1000, d)) @ rng.normal(size=(d, d))
    density = KernelDensity("scott").fit(rows)
    scores, order = density.score_samples(rows), rng.permutation(1000)
    for m in (1, 2, 3, 7, 100, 999):
        np.testing.assert_array_equal(density.score_samples(rows[order[:m]]), scores[order[:m]])
