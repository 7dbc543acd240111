"""What holds for every density: add a constructor to a table, and every law looks at it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import stats
from sklearn.base import clone

import latens
from latens.density import GaussianMixture, Histogram, KernelDensity, Mixture, Parametric
from latens.density.families import Normal
from latens.utils.errors import InputError

_RNG = np.random.RandomState(0)
_PARETO = 1.5 * (1 + np.random.RandomState(3).pareto(4.0, size=(300, 1)))
LINES = {
    "gauss": _RNG.normal(3.0, 2.0, size=(300, 1)),
    "bimodal": np.r_[_RNG.normal(-4.0, 1.0, 150), _RNG.normal(3.0, 0.5, 150)][:, None],
    "skewed": _RNG.gamma(2.0, 1.5, size=(300, 1)),
    "heavy": _RNG.standard_t(2.5, size=(300, 1)),
    "unit": _RNG.beta(2.0, 3.0, size=(300, 1)),
    "pareto": _PARETO,
    "ties": np.repeat(np.arange(5.0), [9, 1, 30, 20, 7])[:, None],
}
PLANES = {
    "correlated": _RNG.normal(size=(300, 2)) @ np.array([[1.0, 0.9], [0.0, 0.3]]) + [5.0, -2.0],
    "three": _RNG.normal(size=(300, 3)) * [1.0, 2.0, 0.5],
    "two groups": np.r_[_RNG.normal(-2.0, 1.0, (150, 2)), _RNG.normal(3.0, 0.7, (150, 2))],
    "simplex": _RNG.dirichlet([2.0, 3.0, 4.0], size=300),
}
COUNTS = {
    "poisson": _RNG.poisson(4.0, size=(300, 1)),
    "overdispersed": _RNG.negative_binomial(3, 0.3, size=(300, 1)),
    "many zeros": (_RNG.poisson(4.0, size=(300, 1)) * (_RNG.uniform(size=(300, 1)) < 0.6)),
}


def kinks(density):
    """Where the kernels of a KernelDensity begin and end, and their centres."""
    reach = density.bandwidth_ * (1.0 if density.scales_ is None else density.scales_)
    x = density.rows_[:, 0]
    return np.unique(np.concatenate([x - reach, x, x + reach]))


class Case(NamedTuple):
    """A density in its setting.

    breaks: where its density jumps or has a kink, or the ends of its support; given the fitted density.
    repeats: whether integer weights equal repeated rows to the last digits.
    moves: whether the density of a x + b is the density of x over |a|.
    """

    make: Callable[[], Any]
    table: str
    breaks: Callable[[Any], Any] = lambda density: ()
    repeats: bool = True
    moves: bool = True


LINE = {
    "Histogram of edges": Case(
        lambda: Histogram([-20.0, 0.0, 1.0, 20.0]), "gauss", lambda h: h.bin_edges_[0], moves=False
    ),
    "Histogram by count": Case(lambda: Histogram(12), "bimodal", lambda h: h.bin_edges_[0]),
    "Histogram by likelihood": Case(lambda: Histogram(), "skewed", lambda h: h.bin_edges_[0], repeats=False),
    "Bayesian blocks": Case(lambda: Histogram("bayesian-blocks"), "gauss", lambda h: h.bin_edges_[0], repeats=False),
    "Normal": Case(lambda: Parametric("normal"), "gauss"),
    "Student t": Case(lambda: Parametric("student-t"), "heavy"),
    "Student t of known df": Case(lambda: Parametric("student-t", fixed={"df": 3.0}), "gauss"),
    "Laplace": Case(lambda: Parametric("laplace"), "gauss", lambda p: [p.params_["loc"]]),
    "Logistic": Case(lambda: Parametric("logistic"), "bimodal"),
    "Gumbel": Case(lambda: Parametric("gumbel"), "skewed"),
    "Uniform": Case(lambda: Parametric("uniform"), "unit", lambda p: [p.params_["low"], p.params_["high"]]),
    "Log-normal": Case(lambda: Parametric("lognormal"), "skewed", lambda p: [0.0], moves=False),
    "Exponential": Case(lambda: Parametric("exponential"), "skewed", lambda p: [0.0], moves=False),
    "Gamma": Case(lambda: Parametric("gamma"), "skewed", lambda p: [0.0], moves=False),
    "Weibull": Case(lambda: Parametric("weibull"), "skewed", lambda p: [0.0], moves=False),
    "Beta": Case(lambda: Parametric("beta"), "unit", lambda p: [0.0, 1.0], moves=False),
    "Pareto": Case(lambda: Parametric("pareto"), "pareto", lambda p: [p.params_["scale"]], moves=False),
    "Kernels": Case(lambda: KernelDensity(), "heavy", repeats=False),
    "Gaussian kernels": Case(lambda: KernelDensity(0.5), "bimodal", moves=False),
    "Tophat kernels": Case(lambda: KernelDensity(0.7, "tophat"), "ties", kinks, moves=False),
    "Linear kernels": Case(lambda: KernelDensity(0.7, "linear"), "gauss", kinks, moves=False),
    "Tricube kernels": Case(lambda: KernelDensity(0.7, "tricube"), "gauss", kinks, moves=False),
    "Exponential kernels": Case(lambda: KernelDensity(0.3, "exponential"), "unit", kinks, moves=False),
    "Logistic kernels": Case(lambda: KernelDensity("silverman", "logistic"), "bimodal", repeats=False),
    "Local Epanechnikov kernels": Case(
        lambda: KernelDensity(1.0, "epanechnikov", adaptive=True), "skewed", kinks, moves=False
    ),
    "Reflected kernels": Case(lambda: KernelDensity(bounds=(0, None)), "skewed", lambda k: [0.0], False, False),
    "Twice reflected kernels": Case(
        lambda: KernelDensity(0.4, "cosine", bounds=(0, 1)), "unit", lambda k: [0.0, 1.0, *kinks(k)], moves=False
    ),
    "Two Gaussians": Case(lambda: GaussianMixture(2, random_state=0), "bimodal"),
    "Four Gaussians of one variance": Case(lambda: GaussianMixture(4, "tied", random_state=0), "skewed"),
    "Gaussians by BIC": Case(lambda: GaussianMixture(random_state=0), "bimodal", repeats=False),
    "Two logistic densities": Case(lambda: Mixture(Parametric("logistic"), random_state=0), "bimodal"),
    "Best of the families": Case(lambda: Parametric(), "heavy", repeats=False),
}
"""Continuous densities of one column."""

PLANE = {
    "Kernels of a plane": Case(lambda: KernelDensity(), "two groups", repeats=False),
    "Gaussian kernels of a matrix": Case(lambda: KernelDensity([[0.5, 0.1], [0.1, 0.2]]), "correlated", moves=False),
    "Local kernels": Case(lambda: KernelDensity("scott", adaptive=True), "correlated", repeats=False),
    "Epanechnikov kernels": Case(lambda: KernelDensity([0.9, 1.8, 0.5], "epanechnikov"), "three", moves=False),
    "Reflected kernels of a plane": Case(
        lambda: KernelDensity(0.4, bounds=[(-6, None), None]), "two groups", moves=False
    ),
    "Histogram": Case(lambda: Histogram(6), "two groups"),
    "Gaussians": Case(lambda: GaussianMixture(2, random_state=0), "two groups"),
    "Gaussians of one covariance": Case(lambda: GaussianMixture(2, "tied", random_state=0), "two groups"),
    "Diagonal Gaussians": Case(lambda: GaussianMixture(2, "diag", random_state=0), "two groups"),
    "Spherical Gaussians": Case(lambda: GaussianMixture(3, "spherical", random_state=0), "two groups"),
    "Gaussians by held-out likelihood": Case(
        lambda: GaussianMixture("held-out", max_components=3, random_state=0), "three", repeats=False
    ),
    "Mixture of normals": Case(lambda: Mixture(Parametric("normal"), random_state=0), "two groups"),
    "Multivariate normal": Case(lambda: Parametric("normal"), "correlated"),
    "Multivariate t": Case(lambda: Parametric("multivariate-t"), "three"),
    "Independent normals": Case(lambda: Parametric(Normal()), "two groups"),
}
"""Continuous densities of several columns."""

COUNT = {
    "Poisson": Case(lambda: Parametric("poisson"), "poisson"),
    "Negative binomial": Case(lambda: Parametric("negative-binomial"), "overdispersed"),
    "Two Poissons": Case(lambda: Mixture(Parametric("poisson"), random_state=0), "overdispersed"),
    "Geometric": Case(lambda: Parametric("geometric"), "overdispersed"),
    "Zero-inflated Poisson": Case(lambda: Parametric("zero-inflated-poisson"), "many zeros"),
    "Binomial": Case(lambda: Parametric("binomial", fixed={"n": 15}), "poisson"),
    "Best of the counts": Case(lambda: Parametric(), "many zeros", repeats=False),
}
"""Masses on 0, 1, 2, ..."""


@cache
def fitted(case):
    """The density fitted to its table, for tests that leave it as it is."""
    return case.make().fit((LINES | PLANES | COUNTS)[case.table])


def quadrature(breaks, low, high):
    """Panels over the real line (their ends, and a row of nodes and one of weights for each): fine
    ones in the middle, ever longer ones outwards, ever shorter ones towards a few breaks; 8 points of Gauss each."""
    span = high - low
    far = span * np.geomspace(3.0, 1e12, 500)
    edges = [np.linspace(low - 3 * span, high + 3 * span, 6001), low - far, high + far, breaks]
    if 0 < len(breaks) < 20:
        near = np.geomspace(1e-15, 1.0, 120) * span
        edges += [(np.asarray(breaks)[:, None] + sign * near).ravel() for sign in (-1, 1)]
    edges = np.unique(np.concatenate(edges))
    x, w = np.polynomial.legendre.leggauss(8)
    half = np.diff(edges)[:, None] / 2
    return edges[1:], (edges[:-1] + edges[1:])[:, None] / 2 + half * x, half * w


@pytest.fixture(params=list(LINE))
def line(request):
    return LINE[request.param]


@pytest.fixture(params=list(PLANE))
def plane(request):
    return PLANE[request.param]


@pytest.fixture(params=list(COUNT))
def count(request):
    return COUNT[request.param]


@pytest.fixture(params=[*LINE, *PLANE, *COUNT])
def any_case(request):
    for cases, tables in ((LINE, LINES), (PLANE, PLANES), (COUNT, COUNTS)):
        if request.param in cases:
            return cases[request.param], tables[cases[request.param].table]
    raise AssertionError


def test_names_are_told_apart():
    assert len({*LINE, *PLANE, *COUNT}) == len(LINE) + len(PLANE) + len(COUNT)


def test_a_line_integrates_to_one_and_its_cdf_is_the_integral(line):
    density, rows = fitted(line), LINES[line.table]
    ends, x, w = quadrature(line.breaks(density), rows.min(), rows.max())
    mass = (np.exp(density.score_samples(x.reshape(-1, 1))).reshape(x.shape) * w).sum(axis=1)
    assert mass.sum() == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(density.cdf(ends), np.cumsum(mass), atol=1e-6)
    np.testing.assert_array_equal(density.cdf([-np.inf, np.inf]), [0.0, 1.0])


def test_a_quantile_undoes_the_cdf(line):
    density = fitted(line)
    q = np.r_[1e-4, 0.01, np.linspace(0.05, 0.95, 19), 0.99, 1 - 1e-4]
    x = density.quantile(q)
    assert (np.diff(x) >= 0).all()
    np.testing.assert_allclose(density.cdf(x), q, atol=1e-8)
    np.testing.assert_array_equal(density.cdf(x[:, None]), density.cdf(x))
    assert density.quantile([0.0])[0] <= x[0]
    assert density.quantile([1.0])[0] >= x[-1]


def test_the_cdf_s_slope_is_the_density(line):
    density = fitted(line)
    x = density.quantile(np.linspace(0.031, 0.968, 37))
    x = x[[np.abs(b - np.asarray(line.breaks(density))).min(initial=1.0) > 1e-3 for b in x]]
    step = 1e-5
    slope = (density.cdf(x + step) - density.cdf(x - step)) / (2 * step)
    np.testing.assert_allclose(slope, np.exp(density.score_samples(x[:, None])), rtol=1e-4, atol=1e-6)


def test_samples_of_a_line_follow_its_cdf(line):
    density = fitted(line)
    drawn = density.sample(4000, random_state=1)
    assert stats.kstest(drawn[:, 0], density.cdf).pvalue > 1e-4


def test_the_unit_of_a_line_moves_its_density(line):
    if not line.moves:
        pytest.skip("its setting has the unit of the data")
    rows = LINES[line.table]
    plain, moved = line.make().fit(rows), line.make().fit(4.0 * rows - 8.0)
    x = plain.quantile(np.linspace(0.03, 0.97, 40))
    expected = plain.score_samples(x[:, None]) - np.log(4.0)
    np.testing.assert_allclose(moved.score_samples(4.0 * x[:, None] - 8.0), expected, rtol=1e-6, atol=1e-6)


def test_a_plane_integrates_to_one(plane):
    """Importance sampling from a mixture around the rows, whose tails are heavier than any density here."""
    density, rows = fitted(plane), PLANES[plane.table]
    rng, n = np.random.RandomState(2), 40_000
    covariance = np.cov(rows.T) + 1e-3 * np.trace(np.cov(rows.T)) * np.eye(rows.shape[1])
    wide = stats.multivariate_t(rows.mean(0), 2.0 * covariance, df=3, seed=rng)
    x = wide.rvs(n)
    ratio = np.exp(density.score_samples(x) - wide.logpdf(x))
    error = ratio.std() / n**0.5
    assert error < 0.05
    assert abs(ratio.mean() - 1) < 5 * error


def test_samples_of_a_plane_have_the_mean_score_of_the_density(plane):
    """E_p[log p] by samples equals the one by importance sampling."""
    density, rows = fitted(plane), PLANES[plane.table]
    rng, n = np.random.RandomState(3), 40_000
    covariance = np.cov(rows.T) + 1e-3 * np.trace(np.cov(rows.T)) * np.eye(rows.shape[1])
    wide = stats.multivariate_t(rows.mean(0), 2.0 * covariance, df=3, seed=rng)
    x = wide.rvs(n)
    log_p = density.score_samples(x)
    weight = np.exp(log_p - wide.logpdf(x))
    weighted = weight * np.where(weight > 0, log_p, 0.0)
    drawn = density.score_samples(density.sample(20_000, random_state=4))
    error = np.hypot(weighted.std() / n**0.5, drawn.std() / 20_000**0.5)
    assert abs(weighted.mean() - drawn.mean()) < 5 * error


def test_a_count_sums_to_one_and_its_cdf_is_the_sum(count):
    density = fitted(count)
    k = np.arange(20_000)
    mass = np.exp(density.score_samples(k[:, None]))
    assert mass.sum() == pytest.approx(1.0, abs=1e-9)
    np.testing.assert_allclose(density.cdf(k[:200]), np.cumsum(mass)[:200], atol=1e-9)
    q = np.array([0.001, 0.2, 0.5, 0.9, 0.999])
    np.testing.assert_array_equal(density.quantile(q), np.searchsorted(np.cumsum(mass), q))


def test_samples_of_a_count_follow_its_mass(count):
    density = fitted(count)
    drawn = density.sample(5000, random_state=5)
    assert drawn.dtype == COUNTS[count.table].dtype
    k = np.arange(200)
    expected = 5000 * np.exp(density.score_samples(k[:, None]))
    seen = np.bincount(drawn[:, 0], minlength=200)
    large = expected > 5
    rest = 5000 - expected[large].sum()
    observed, hoped = np.r_[seen[large], 5000 - seen[large].sum()], np.r_[expected[large], rest]
    assert stats.chisquare(observed, hoped).pvalue > 1e-4


def test_score_is_the_mean_of_score_samples(any_case):
    case, rows = any_case
    density = fitted(case)
    scores = density.score_samples(rows)
    assert scores.dtype == np.float64
    assert density.score(rows) == pytest.approx(scores.mean(), rel=1e-14)


def test_a_score_knows_no_other_row(any_case):
    case, rows = any_case
    density = fitted(case)
    scores, order = density.score_samples(rows), np.random.RandomState(6).permutation(len(rows))
    np.testing.assert_array_equal(density.score_samples(rows[order]), scores[order])
    np.testing.assert_array_equal(density.score_samples(rows[:7]), scores[:7])


def test_the_order_of_the_rows_does_not_matter(any_case):
    case, rows = any_case
    order = np.random.RandomState(7).permutation(len(rows))
    plain, shuffled = fitted(case), case.make().fit(rows[order])
    np.testing.assert_allclose(shuffled.score_samples(rows), plain.score_samples(rows), rtol=1e-7, atol=1e-7)


def test_weights_have_no_unit_and_zero_means_absent(any_case):
    case, rows = any_case
    weights = np.random.RandomState(8).exponential(size=len(rows)) * (np.arange(len(rows)) % 3 > 0)
    plain = case.make().fit(rows, sample_weight=weights).score_samples(rows)
    present = weights > 0
    for other in (
        case.make().fit(rows, sample_weight=1024.0 * weights),
        case.make().fit(rows[present], sample_weight=weights[present]),
    ):
        np.testing.assert_allclose(other.score_samples(rows), plain, rtol=1e-7, atol=1e-7)
    equal = case.make().fit(rows, sample_weight=np.full(len(rows), 0.3)).score_samples(rows)
    np.testing.assert_allclose(equal, fitted(case).score_samples(rows), rtol=1e-7, atol=1e-7)


def test_weights_are_repetitions(any_case):
    case, rows = any_case
    if not case.repeats:
        pytest.skip("its rule counts the rows")
    weights = np.random.RandomState(9).randint(0, 4, size=len(rows))
    weighted = case.make().fit(rows, sample_weight=weights).score_samples(rows)
    repeated = case.make().fit(np.repeat(rows, weights, axis=0)).score_samples(rows)
    np.testing.assert_allclose(weighted, repeated, rtol=1e-6, atol=1e-6)


def test_fitting_again_gives_the_same_bits(any_case):
    case, rows = any_case
    density, again = fitted(case), clone(fitted(case)).fit(rows)
    np.testing.assert_array_equal(again.score_samples(rows), density.score_samples(rows))
    np.testing.assert_array_equal(again.sample(50, random_state=1), density.sample(50, random_state=1))
    other = again.fit(rows[::3])
    np.testing.assert_array_equal(other.score_samples(rows), clone(density).fit(rows[::3]).score_samples(rows))


def test_what_is_saved_is_what_was_fitted(any_case, tmp_path):
    case, rows = any_case
    density = fitted(case)
    density.save(tmp_path / "density.latens")
    loaded = latens.load(tmp_path / "density.latens")
    assert repr(loaded) == repr(density)
    np.testing.assert_array_equal(loaded.score_samples(rows), density.score_samples(rows))
    drawn = loaded.sample(50, random_state=1)
    np.testing.assert_array_equal(drawn, density.sample(50, random_state=1))
    assert drawn.dtype == rows.dtype
    if hasattr(density, "cdf") and rows.shape[1] == 1:
        np.testing.assert_array_equal(loaded.cdf(rows), density.cdf(rows))


def test_samples_keep_width_and_dtype(any_case):
    case, rows = any_case
    drawn = fitted(case).sample(30, random_state=2)
    assert drawn.shape == (30, rows.shape[1])
    assert drawn.dtype == rows.dtype
    if rows.dtype.kind == "f":
        single = case.make().fit(rows.astype(np.float32))
        assert single.sample(5, random_state=2).dtype == np.float32
        assert single.score_samples(rows.astype(np.float32)).dtype == np.float64


def test_fit_leaves_data_and_weights_alone(any_case):
    case, rows = any_case
    data, weights = rows.copy(), np.linspace(0.1, 1.0, len(rows))
    data.flags.writeable = weights.flags.writeable = False
    case.make().fit(data, sample_weight=weights)
    np.testing.assert_array_equal(data, rows)


WRONG: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "no rows": lambda rows: rows[:0],
    "one axis": lambda rows: rows[:, 0],
    "infinity": lambda rows: np.where(np.arange(len(rows))[:, None] == 3, np.inf, rows),
    "text": lambda rows: np.full(rows.shape, "a"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_said_in_one_line(any_case, what):
    case, rows = any_case
    with pytest.raises(InputError) as caught:
        case.make().fit(WRONG[what](rows))
    assert "\n" not in str(caught.value)


WEIGHTS = {"negative": [-1.0], "zero": [0.0], "infinite": [np.inf], "text": ["a"], "of infinite sum": [1e307]}


@pytest.mark.parametrize("what", WEIGHTS)
def test_wrong_weights_are_said_in_one_line(any_case, what):
    case, rows = any_case
    with pytest.raises(InputError, match="sample_weight") as caught:
        case.make().fit(rows, sample_weight=WEIGHTS[what] * len(rows))
    assert "\n" not in str(caught.value)


def test_another_number_of_columns_is_refused(any_case):
    case, rows = any_case
    density = fitted(case)
    with pytest.raises(InputError, match="features") as caught:
        density.score_samples(np.column_stack([rows, rows]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("n_samples", [0, -1, 2.5, True])
def test_a_wrong_number_of_samples_is_refused(any_case, n_samples):
    case, _ = any_case
    with pytest.raises(InputError, match="n_samples must be a positive integer"):
        fitted(case).sample(n_samples)
