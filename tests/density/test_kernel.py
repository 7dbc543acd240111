"""Kernel density estimates against their definitions."""

import pickle

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

import latens
from latens.density import KernelDensity
from latens.density.kernel.kernels import KERNELS
from latens.utils.errors import InputError

RNG = np.random.RandomState(0)
TABLES = {d: RNG.normal(size=(60, d)) @ RNG.normal(size=(d, d)) for d in (1, 2, 5)}


def slow(q, rows, kernel, H, weights=None, scales=1.0):
    """log sum_i w_i |s_i B|^-1 K((s_i B)^-1 (q - x_i)), as it is written."""
    d = rows.shape[1]
    p = np.full(len(rows), 1 / len(rows)) if weights is None else weights / weights.sum()
    difference = q[:, None] - rows
    squared = np.einsum("mni,ij,mnj->mn", difference, np.linalg.inv(H), difference) / scales**2
    constant = np.log(p) - d * np.log(scales) - np.linalg.slogdet(H)[1] / 2
    return logsumexp(KERNELS[kernel].log_density(squared, d) + constant, axis=1)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("d", TABLES)
@pytest.mark.parametrize("kernel", list(KERNELS))
def test_it_is_the_sum_of_its_kernels(kernel, d, exact):
    rows, rng = TABLES[d], np.random.RandomState(1)
    weights, q = rng.exponential(size=len(rows)), np.r_[rows[:9], 3 * rng.normal(size=(20, d))]
    A = rng.normal(size=(d, d))
    bandwidths = {"number": 1.3, "columns": np.linspace(0.7, 1.5, d), "matrix": A @ A.T + np.eye(d)}
    matrices = [1.3**2 * np.eye(d), np.diag(np.linspace(0.7, 1.5, d) ** 2), bandwidths["matrix"]]
    for bandwidth, H in zip(bandwidths.values(), matrices):
        density = KernelDensity(bandwidth, kernel, exact=exact).fit(rows, sample_weight=weights)
        expected = slow(q, rows, kernel, H, weights)
        np.testing.assert_allclose(density.score_samples(q), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("d", TABLES)
@pytest.mark.parametrize("kernel", ["gaussian", "triweight"])
def test_local_scales_follow_the_pilot(kernel, d):
    rows, weights = TABLES[d], np.random.RandomState(2).exponential(size=60)
    density = KernelDensity(1.5, kernel, adaptive=0.3, exact=True).fit(rows, sample_weight=weights)
    order = np.argsort(rows[:, 0]) if d == 1 else np.arange(60)
    pilot = slow(rows[order], rows, "gaussian", 1.5**2 * KERNELS[kernel].variance(d) * np.eye(d), weights)
    scales = np.exp(-0.3 * (pilot - np.average(pilot, weights=weights[order])))
    np.testing.assert_allclose(density.scales_, scales, rtol=1e-9)
    expected = slow(rows, rows[order], kernel, 1.5**2 * np.eye(d), weights[order], scales)
    np.testing.assert_allclose(density.score_samples(rows), expected, rtol=1e-9, atol=1e-9)


def test_adaptive_is_a_power_or_a_bool():
    rows = TABLES[1]
    half = KernelDensity(0.5, adaptive=0.5).fit(rows).score_samples(rows)
    np.testing.assert_array_equal(KernelDensity(0.5, adaptive=True).fit(rows).score_samples(rows), half)
    assert KernelDensity(0.5).fit(rows).scales_ is None
    assert KernelDensity(adaptive=False).fit(rows).scales_ is None
    assert KernelDensity().fit(rows).scales_.shape == (60,)


@pytest.mark.parametrize("n", [60, 5000])
def test_far_tails_are_finite_where_the_kernel_reaches(n):
    x = np.random.RandomState(3).normal(size=(n, 1))
    far = KernelDensity(0.2).fit(x).score_samples([[-1e4], [1e4]])
    ends = np.array([x.min() + 1e4, 1e4 - x.max()])
    expected = -0.5 * (ends / 0.2) ** 2 - np.log(0.2 * n) - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(far, expected, rtol=1e-12)
    assert (KernelDensity(0.2, "epanechnikov").fit(x).score_samples([[-1e4], [1e4]]) == -np.inf).all()


@pytest.mark.parametrize("n", [60, 3000])
@pytest.mark.parametrize("kernel", list(KERNELS))
def test_no_query_is_too_far(kernel, n):
    density = KernelDensity(0.2, kernel).fit(np.random.RandomState(3).normal(size=(n, 1)))
    scores = density.score_samples([[1e3], [1e100], [-1e200]])
    assert (np.diff(scores[scores > -np.inf]) < 0).all()
    assert not np.isnan(scores).any()
    assert (scores[:2] > -np.inf).all() == (kernel in ("gaussian", "exponential", "logistic"))


@pytest.mark.parametrize("bandwidth", [1e-300, 1e300])
def test_any_positive_bandwidth_will_do(bandwidth):
    x = np.random.RandomState(3).normal(size=(3000, 1))
    scores = KernelDensity(bandwidth).fit(x).score_samples(x[:5])
    own = -np.log(bandwidth) - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(scores, own - np.log(3000) * (bandwidth < 1), rtol=1e-12)
    np.testing.assert_allclose(KernelDensity(bandwidth, adaptive=True).fit(x).score_samples(x[:5]), scores, rtol=1e-6)


def test_reflection_folds_the_open_density():
    rows, q = np.abs(TABLES[1]), np.linspace(0, 4, 50)[:, None]
    open_, folded = KernelDensity(0.7).fit(rows), KernelDensity(0.7, bounds=(0, None)).fit(rows)
    expected = np.logaddexp(open_.score_samples(q), open_.score_samples(-q))
    np.testing.assert_allclose(folded.score_samples(q), expected, rtol=1e-12)
    assert folded.score_samples([[-0.01]])[0] == -np.inf
    upper = KernelDensity(0.7, bounds=(None, 0)).fit(-rows)
    np.testing.assert_allclose(upper.score_samples(-q), expected, rtol=1e-12)
    np.testing.assert_allclose(upper.cdf(-q[1:]), 1 - folded.cdf(q[1:]), atol=1e-12)


@pytest.mark.parametrize("bandwidth", [0.05, 0.5, 2.0])
@pytest.mark.parametrize("adaptive", [False, True])
def test_a_box_holds_everything(bandwidth, adaptive):
    rows = np.random.RandomState(4).beta(0.7, 2.0, size=(200, 1))
    density = KernelDensity(bandwidth, adaptive=adaptive, bounds=(0, 1)).fit(rows)
    x, w = np.polynomial.legendre.leggauss(100)
    assert np.exp(density.score_samples((x[:, None] + 1) / 2)) @ w / 2 == pytest.approx(1.0, abs=1e-9)
    drawn = density.sample(1000, random_state=0)
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert stats.kstest(drawn[:, 0], density.cdf).pvalue > 1e-3
    np.testing.assert_allclose(density.quantile([0.0, 1.0]), [0.0, 1.0])
    np.testing.assert_allclose(density.cdf(density.quantile([0.01, 0.5, 0.9])), [0.01, 0.5, 0.9], atol=1e-9)


def test_bounds_of_several_columns_fold_each():
    rows = np.random.RandomState(5).uniform(size=(80, 2))
    density = KernelDensity([[0.09, 0.04], [0.04, 0.09]], bounds=[(0, 1), (0, None)]).fit(rows)
    x, w = np.polynomial.legendre.leggauss(60)
    a, b = np.meshgrid((x + 1) / 2, 1.5 * (x + 1))
    p = np.exp(density.score_samples(np.c_[a.ravel(), b.ravel()])).reshape(60, 60)
    assert w @ p @ w * 0.75 == pytest.approx(1.0, abs=1e-7)
    assert (density.score_samples([[0.5, -0.1], [1.1, 0.5]]) == -np.inf).all()
    drawn = density.sample(2000, random_state=0)
    assert ((drawn >= 0) & (drawn <= [1, np.inf])).all()


def test_a_circle_has_no_seam():
    angle = np.random.RandomState(6).vonmises(3.0, 2.0, size=(300, 1)) % 360
    density = KernelDensity(0.3, bounds=(0, 2 * np.pi), periodic=True).fit(angle + 2 * np.pi)
    q = np.linspace(0, 2 * np.pi, 40)[:, None]
    turns = 2 * np.pi * np.arange(-5, 6)
    wrapped = np.exp(slow((q + turns).reshape(-1, 1), density.rows_, "gaussian", np.eye(1) * 0.09)).reshape(40, 11)
    np.testing.assert_allclose(density.score_samples(q), np.log(wrapped.sum(axis=1)), rtol=1e-10)
    np.testing.assert_allclose(density.score_samples(q + 4 * np.pi), density.score_samples(q), rtol=1e-9)
    assert density.score_samples([[0.0]]) == pytest.approx(density.score_samples([[2 * np.pi]]))
    drawn = density.sample(3000, random_state=0)
    assert ((drawn >= 0) & (drawn <= 2 * np.pi)).all()
    assert stats.kstest(drawn[:, 0], density.cdf).pvalue > 1e-3


def test_one_row_is_its_kernel():
    x = np.linspace(-3, 9, 30)
    for rows in ([[3.0]], [[3.0]] * 7):
        density = KernelDensity(2.0).fit(rows)
        np.testing.assert_allclose(density.score_samples(x[:, None]), stats.norm(3, 2).logpdf(x), rtol=1e-13)
        np.testing.assert_allclose(density.cdf(x), stats.norm(3, 2).cdf(x), rtol=1e-12)
        np.testing.assert_allclose(density.quantile([0.1, 0.7]), stats.norm(3, 2).ppf([0.1, 0.7]), rtol=1e-9)


@pytest.mark.parametrize("unit", [1e-90, 1e90])
@pytest.mark.parametrize("rule", ["auto", "silverman", "cv_ml"])
@pytest.mark.parametrize("d", [1, 2])
def test_any_unit_will_do(rule, d, unit):
    rows, unit = TABLES[d], unit**2 if d == 1 else unit
    plain, huge = (KernelDensity(rule).fit(scale * rows).score_samples(scale * rows) for scale in (1.0, unit))
    np.testing.assert_allclose(huge, plain - d * np.log(unit), rtol=1e-6)


def test_a_unit_whose_square_is_no_number_is_refused():
    with pytest.raises(InputError, match="Rescale"):
        KernelDensity().fit(1e200 * TABLES[2])


def test_quantiles_end_where_the_density_does():
    rows = TABLES[1]
    np.testing.assert_array_equal(KernelDensity(1.0).fit(rows).quantile([0.0, 1.0]), [-np.inf, np.inf])
    ends = KernelDensity(2.0, "linear").fit(rows).quantile([0.0, 1.0])
    np.testing.assert_allclose(ends, [rows.min() - 2, rows.max() + 2], rtol=1e-12)


@pytest.mark.parametrize("settings", [{}, {"bandwidth": "isj"}, {"bandwidth": 0.1, "kernel": "exponential"}])
def test_many_rows_are_saved_to_the_bit(settings, tmp_path):
    x = np.random.RandomState(7).standard_t(3, size=(3000, 1))
    density = KernelDensity(**settings).fit(x)
    scores = density.score_samples(x)
    density.save(tmp_path / "density.latens")
    for again in (latens.load(tmp_path / "density.latens"), pickle.loads(pickle.dumps(density))):
        np.testing.assert_array_equal(again.score_samples(x), scores)


@pytest.mark.parametrize("kernel", ["gaussian", "logistic", "epanechnikov"])
def test_a_distribution_of_many_rows_inverts(kernel):
    x = np.random.RandomState(8).standard_t(3, size=(3000, 1))
    density = KernelDensity(0.2, kernel).fit(x)
    q = np.r_[1e-6, np.linspace(0.01, 0.99, 50), 1 - 1e-6]
    u = (density.quantile(q)[:, None] - x[:, 0]) / 0.2
    np.testing.assert_allclose(KERNELS[kernel].cdf(u).mean(axis=1), q, atol=1e-6)
    np.testing.assert_allclose(density.cdf(density.quantile(q)), q, rtol=1e-9)


def divergence(density, true, x):
    p = true.pdf(x)
    return np.trapezoid(p * (true.logpdf(x) - density.score_samples(x[:, None])), x)


def test_local_scales_serve_heavy_tails():
    true, x = stats.t(2), np.linspace(-60, 60, 20_001)
    rows = true.rvs(size=(1000, 1), random_state=np.random.RandomState(9))
    by_default, fixed = (divergence(KernelDensity(*settings).fit(rows), true, x) for settings in ((), ("isj",)))
    assert by_default < 0.03
    assert by_default < 0.3 * fixed


@pytest.mark.parametrize("d", [2, 5])
def test_local_scales_serve_several_columns(d):
    rng = np.random.RandomState(9)
    rows, new = rng.standard_t(3, size=(400, d)), rng.standard_t(3, size=(1000, d))
    assert KernelDensity().fit(rows).score(new) > stats.gaussian_kde(rows.T).logpdf(new.T).mean() + 0.2


def test_samples_of_integers_are_integers():
    counts = np.random.RandomState(10).poisson(20.0, size=(200, 1))
    drawn = KernelDensity(bounds=(0, None)).fit(counts).sample(100, random_state=0)
    assert drawn.dtype == counts.dtype
    assert drawn.min() >= 0


@pytest.mark.parametrize("settings", [{"bandwidth": [0.5, 0.3, 0.8]}, {"bandwidth": "scott", "adaptive": True}])
def test_a_condition_is_a_quotient_of_densities(settings):
    rng = np.random.RandomState(11)
    rows = rng.normal(size=(80, 3)) @ [[1.0, 0.5, 0.2], [0.0, 1.0, -0.7], [0.0, 0.0, 1.0]]
    density = KernelDensity(**settings).fit(rows, sample_weight=rng.exponential(size=80))
    line = density.condition({0: 0.4, 2: -0.3})
    x, w = np.polynomial.legendre.leggauss(400)
    joint = np.exp(density.score_samples(np.c_[np.full(400, 0.4), 12 * x, np.full(400, -0.3)]))
    quotient = joint / (joint @ w * 12)
    np.testing.assert_allclose(np.exp(line.score_samples(12 * x[:, None])), quotient, rtol=1e-8, atol=1e-12)
    mean = quotient * 12 * x @ w * 12
    np.testing.assert_allclose(density.complete([[0.4, np.nan, -0.3]]), [[0.4, mean, -0.3]], rtol=1e-8)
    plane, q = density.condition([np.nan, 0.4, np.nan]), rng.normal(size=(9, 2))
    ratio = plane.score_samples(q) - density.score_samples(np.c_[q[:, 0], np.full(9, 0.4), q[:, 1]])
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)
    centre = np.average(density.rows_, axis=0, weights=density.weights_)
    np.testing.assert_allclose(density.complete(np.full((1, 3), np.nan))[0], centre, rtol=1e-9)


def test_a_condition_needs_open_gaussian_kernels():
    for settings in ({"kernel": "linear"}, {"bounds": (-9, 9)}):
        with pytest.raises(InputError, match="Gaussian kernels without bounds"):
            KernelDensity(1.0, **settings).fit(TABLES[2]).condition({0: 0.0})
