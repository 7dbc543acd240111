import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize, stats
from scipy.special import logsumexp
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

from latens.density import GaussianMixture
from latens.density.mixture import em, learning, starts
from latens.density.mixture.covariances import upper
from latens.density.mixture.em import Rows
from latens.density.mixture.incomplete import IncompleteRows
from latens.density.mixture.learning import candidates
from latens.density.mixture.shapes import SHAPES
from latens.utils.errors import InputError

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "tabular" / "small_r"
TYPES = list(SHAPES)


def groups(seed=0, k=3, d=3, n=400):
    rng = np.random.RandomState(seed)
    centers, maps = rng.normal(size=(k, d)) * 4, rng.normal(size=(k, d, d)) * 0.6
    label = rng.randint(k, size=n)
    return centers[label] + np.einsum("nij,nj->ni", maps[label], rng.normal(size=(n, d)))


def holes(x, share, seed=0):
    rng = np.random.RandomState(seed)
    return np.where(rng.uniform(size=x.shape) < share, np.nan, x)


def table(name, columns):
    if not (DATA / name).exists():
        pytest.skip("the data are not here")
    return np.loadtxt(DATA / name, delimiter=",", skiprows=1, usecols=columns, ndmin=2)


def matrices(mixture):
    """The covariances as matrices (k, d, d)."""
    k, d = mixture.means_.shape
    covariances = mixture.covariances_
    if mixture.covariance_type == "tied":
        return np.array([covariances] * k)
    if mixture.covariance_type == "full":
        return covariances
    return np.array([np.diag(np.broadcast_to(c, d)) for c in covariances])


def slow_log_joint(x, weights, means, covariances):
    found = np.zeros((len(x), len(weights)))
    for i, row in enumerate(x):
        o = ~np.isnan(row)
        for k in range(len(weights)):
            gaussian = stats.multivariate_normal(means[k][o], covariances[k][np.ix_(o, o)]) if o.any() else None
            found[i, k] = np.log(weights[k]) + (gaussian.logpdf(row[o]) if gaussian else 0.0)
    return found


def slow_step(x, w, weights, means, covariances, kind, ridge):
    """One step of EM by loops over rows and components, entries missing or not."""
    w = w / w.sum()
    log = slow_log_joint(x, weights, means, covariances)
    r = np.exp(log - logsumexp(log, axis=1, keepdims=True)) * w[:, None]
    k, d = means.shape
    mass, new, scatter = r.sum(0), np.zeros((k, d)), np.zeros((k, d, d))
    filled, rest = np.zeros((len(x), k, d)), np.zeros((len(x), k, d, d))
    for i, row in enumerate(x):
        o, m = np.flatnonzero(~np.isnan(row)), np.flatnonzero(np.isnan(row))
        for j in range(k):
            c = covariances[j]
            slope = c[np.ix_(m, o)] @ np.linalg.inv(c[np.ix_(o, o)])
            filled[i, j, o], filled[i, j, m] = row[o], means[j][m] + slope @ (row[o] - means[j][o])
            rest[i, j][np.ix_(m, m)] = c[np.ix_(m, m)] - slope @ c[np.ix_(o, m)]
    for j in range(k):
        new[j] = r[:, j] @ filled[:, j] / mass[j]
        for i in range(len(x)):
            scatter[j] += r[i, j] * (np.outer(filled[i, j] - new[j], filled[i, j] - new[j]) + rest[i, j])
    if kind == "tied":
        found = np.array([scatter.sum(0) + ridge * np.eye(d)] * k)
    else:
        found = scatter / mass[:, None, None] + ridge / mass[:, None, None] * np.eye(d)
    if kind == "diag":
        found = found * np.eye(d)
    if kind == "spherical":
        found = np.array([np.trace(c) / d * np.eye(d) for c in found])
    return mass, new, found, float(w @ logsumexp(log, axis=1))


def begin(kind, x, k=3):
    rng = np.random.RandomState(5)
    shape = SHAPES[kind]
    d = x.shape[1]
    full = np.array([np.cov(rng.normal(size=(d, 4 * d))) for _ in range(k)])
    covariances = shape.reduce(np.full(k, 1 / k), full)
    return shape, shape.mixture(np.array([0.5, 0.3, 0.2]), rng.normal(size=(k, d)), covariances)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("how", ["products", "carefully", "incomplete", "single"])
def test_a_step_is_the_slow_one(kind, how):
    x = holes(groups(1, n=60) / 4, 0.25 if how == "incomplete" else 0.0)
    x = x[~np.isnan(x).all(1)]
    w = np.random.RandomState(2).exponential(size=len(x))
    shape, mixture = begin(kind, x)
    k, d = mixture.means.shape
    if how == "incomplete":
        moments, score = IncompleteRows(x, w / w.sum()).expect(shape, mixture)
    else:
        rows = Rows(np.ascontiguousarray(x.T), w / w.sum())
        by = {"products": np.float64, "single": np.float32}
        moments, score = (
            rows._expect_carefully(shape, mixture)
            if how == "carefully"
            else rows._expect_by_products(shape, mixture, by[how])
        )
    found = em.maximise(shape, moments, 0.01)
    before = shape.full(mixture.covariances, k, d)
    mass, means, covariances, slow_score = slow_step(x, w, mixture.weights, mixture.means, before, kind, 0.01)
    close = {"rtol": 1e-4, "atol": 1e-5} if how == "single" else {"rtol": 1e-9, "atol": 1e-11}
    np.testing.assert_allclose(found.weights, mass, **close)
    np.testing.assert_allclose(found.means, means, **close)
    np.testing.assert_allclose(shape.full(found.covariances, k, d), covariances, **close)
    assert score == pytest.approx(slow_score, rel=1e-5 if how == "single" else 1e-12)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("share", [0.0, 0.3], ids=["complete", "missing"])
def test_scores_and_probabilities_are_those_of_the_formula(kind, share):
    x = holes(groups(), share)
    mixture = GaussianMixture(3, kind, random_state=0).fit(x)
    log = slow_log_joint(x, mixture.weights_, mixture.means_, matrices(mixture))
    np.testing.assert_allclose(mixture.score_samples(x), logsumexp(log, axis=1), rtol=1e-9, atol=1e-9)
    probability = np.exp(log - logsumexp(log, axis=1, keepdims=True))
    np.testing.assert_allclose(mixture.predict_proba(x), probability, atol=1e-9)
    np.testing.assert_array_equal(mixture.predict(x), probability.argmax(1))
    np.testing.assert_allclose(np.linalg.inv(matrices(mixture))[0] @ matrices(mixture)[0], np.eye(3), atol=1e-9)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("share", [0.0, 0.2], ids=["complete", "missing"])
def test_no_step_loses_and_the_end_is_a_maximum(kind, share):
    x = holes(groups(3, k=2, d=2, n=150), share)
    mixture = GaussianMixture(2, kind, tol=1e-13, max_iter=5000, reg_covar=0.0, random_state=0).fit(x)
    gains = np.diff(mixture.lower_bounds_)
    assert (gains > -1e-11).all()
    assert mixture.lower_bound_ == pytest.approx(mixture.score(x[~np.isnan(x).all(1)]), abs=1e-9)

    def climbed(step):
        moved = mixture.means_ + step[:4].reshape(2, 2)
        scaled = matrices(mixture) * np.exp(step[4])
        return logsumexp(slow_log_joint(x, mixture.weights_, moved, scaled), axis=1).mean()

    slope = optimize.approx_fprime(np.zeros(5), climbed, 1e-6)
    np.testing.assert_allclose(slope, 0.0, atol=2e-5)


CLASSIC = {"full": -1130.264, "tied": -1140.187, "diag": -1147.806, "spherical": -1709.529}


@pytest.mark.parametrize("kind", TYPES)
def test_old_faithful(kind):
    x = table("faithful.csv", (1, 2))
    mixture = GaussianMixture(2, kind, random_state=0).fit(x)
    assert mixture.score(x) * len(x) == pytest.approx(CLASSIC[kind], abs=2e-3)
    free = {"full": 11, "tied": 8, "diag": 9, "spherical": 7}[kind]
    assert mixture.bic(x) == pytest.approx(-2 * CLASSIC[kind] + free * np.log(272), abs=5e-3)
    assert mixture.aic(x) == pytest.approx(-2 * CLASSIC[kind] + free * 2, abs=5e-3)


def test_iris_of_three_kinds():
    x = table("iris.csv", (1, 2, 3, 4))
    mixture = GaussianMixture(3, n_init=20, tol=1e-6, random_state=0).fit(x)
    assert mixture.score(x) * 150 == pytest.approx(-180.185, abs=2e-2)


def test_galaxies():
    x = table("galaxies.csv", (1,)) / 1000
    fits = [GaussianMixture(k, tol=1e-7, n_init=20, random_state=0).fit(x) for k in (1, 2, 3)]
    np.testing.assert_allclose([fit.score(x) * 82 for fit in fits], [-240.34, -220.06, -203.18], atol=0.02)
    assert len(GaussianMixture("bic", n_init=20, random_state=0).fit(x).weights_) == 3


def test_the_number_of_components_is_found():
    rng = np.random.RandomState(0)
    x = np.concatenate([rng.normal(c, 0.7, (150, 2)) for c in [(0, 0), (6, 0), (0, 6), (7, 7)]])
    for by in ("bic", "held-out"):
        mixture = GaussianMixture(by, random_state=0).fit(x)
        assert len(mixture.weights_) == 4
        assert min(mixture.criterion_, key=mixture.criterion_.__getitem__) == 4
    fixed = GaussianMixture(4, random_state=0).fit(x)
    chosen = GaussianMixture(random_state=0).fit(x)
    assert chosen.criterion_[4] == pytest.approx(fixed.bic(x), abs=0.1)
    assert chosen.score(x) == pytest.approx(fixed.score(x), abs=1e-4)
    assert list(candidates(20)) == [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 18]


def test_held_out_fifths_are_scored_by_the_others():
    x = groups(7, k=1, n=200)
    found = GaussianMixture("held-out", max_components=1, random_state=0).fit(x).criterion_[1]
    gaussian = stats.multivariate_normal(x.mean(0), np.cov(x.T))
    assert 0 < found + gaussian.logpdf(x).mean() < 0.2


@pytest.mark.parametrize("kind", ["full", "tied"])
def test_a_linear_map_of_the_data_maps_the_fit(kind):
    x, rng = groups(4), np.random.RandomState(1)
    a, b = rng.normal(size=(3, 3)), np.array([10.0, -300.0, 5.0])
    plain = GaussianMixture(3, kind, random_state=0).fit(x)
    moved = GaussianMixture(3, kind, random_state=0).fit(x @ a + b)
    expected = plain.score_samples(x) - np.log(abs(np.linalg.det(a)))
    np.testing.assert_allclose(moved.score_samples(x @ a + b), expected, atol=1e-7)
    by_weight = [np.argsort(mixture.weights_) for mixture in (plain, moved)]
    np.testing.assert_allclose(moved.means_[by_weight[1]], plain.means_[by_weight[0]] @ a + b, rtol=1e-7)


@pytest.mark.parametrize("kind", ["diag", "spherical"])
def test_the_unit_of_the_data_moves_the_fit(kind):
    x = groups(4)
    unit = 1024.0 if kind == "spherical" else np.array([1024.0, 0.5, 8.0])
    plain, moved = (GaussianMixture(3, kind, random_state=0).fit(rows) for rows in (x, x * unit + 64.0))
    expected = plain.score_samples(x) - np.log(np.broadcast_to(unit, 3)).sum()
    np.testing.assert_allclose(moved.score_samples(x * unit + 64.0), expected, atol=1e-7)


def longdouble_scores(x, weights, means, covariances):
    """The Cholesky formula in extended precision, substitution written out."""
    found = np.empty((len(x), len(weights)), np.longdouble)
    for k, c in enumerate(covariances.astype(np.longdouble)):
        d = len(c)
        low = np.zeros((d, d), np.longdouble)
        for i in range(d):
            for j in range(i + 1):
                rest = c[i, j] - low[i, :j] @ low[j, :j]
                low[i, j] = np.sqrt(rest) if i == j else rest / low[j, j]
        away = x.astype(np.longdouble) - means[k].astype(np.longdouble)
        u = np.zeros_like(away)
        for i in range(d):
            u[:, i] = (away[:, i] - u[:, :i] @ low[i, :i]) / low[i, i]
        log_det = np.log(np.diag(low)).sum()
        found[:, k] = np.log(weights[k]) - (u**2).sum(1) / 2 - log_det - d / 2 * np.log(2 * np.longdouble(np.pi))
    top = found.max(1)
    return (top + np.log(np.exp(found - top[:, None]).sum(1))).astype(float)


@pytest.mark.parametrize("kind", ["full", "tied"])
def test_far_and_nearly_singular_data_lose_no_digits(kind):
    """Offset 1e6, condition number 1e6, against the Cholesky formula in extended precision."""
    rng = np.random.RandomState(0)
    q = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    a = q @ np.diag([1.0, 1e-1, 1e-2, 1e-3]) @ q.T
    x = groups(6, d=4) @ a + 1e6
    mixture = GaussianMixture(3, kind, random_state=0).fit(x)
    expected = longdouble_scores(x, mixture.weights_, mixture.means_, matrices(mixture))
    np.testing.assert_allclose(mixture.score_samples(x), expected, atol=1e-7)
    plain = GaussianMixture(3, kind, random_state=0).fit(groups(6, d=4))
    log_volume = np.log(abs(np.linalg.det(a)))
    assert mixture.score(x) == pytest.approx(plain.score(groups(6, d=4)) - log_volume, abs=1e-4)


def test_where_products_would_lose_digits_they_are_not_used(monkeypatch):
    rng = np.random.RandomState(0)
    x = np.concatenate([rng.normal(0, 1, (200, 2)), 5 + 1e-7 * rng.normal(size=(200, 2))])
    careful = GaussianMixture(2, reg_covar=0.0, random_state=0).fit(x)
    narrow = careful.covariances_[careful.weights_.argsort()][np.linalg.det(careful.covariances_).argmin()]
    expected = np.cov(x[200:].T, bias=True)
    np.testing.assert_allclose(narrow, expected, rtol=1e-3)
    expected = longdouble_scores(x, careful.weights_, careful.means_, careful.covariances_)
    np.testing.assert_allclose(careful.score_samples(x), expected, rtol=1e-6)
    monkeypatch.setattr(Rows, "_expect_by_products", None)
    again = GaussianMixture(2, reg_covar=0.0, random_state=0, max_iter=3)
    start = {"weights_init": careful.weights_, "means_init": careful.means_, "precisions_init": careful.precisions_}
    again.set_params(**start).fit(x)
    np.testing.assert_allclose(again.score(x), careful.score(x), rtol=1e-6)


@pytest.mark.parametrize("kind", TYPES)
def test_single_precision_steps_end_in_the_same_likelihood(kind, monkeypatch):
    x = groups(8, k=4, d=5, n=3000)
    plain = GaussianMixture(4, kind, random_state=0, tol=1e-6).fit(x)
    used = []
    by_products = Rows._expect_by_products
    monkeypatch.setattr(em, "SINGLE_FROM", 0)
    monkeypatch.setattr(Rows, "_expect_by_products", lambda *given: used.append(given[-1]) or by_products(*given))
    single = GaussianMixture(4, kind, random_state=0, tol=1e-6).fit(x)
    assert np.float32 in used
    assert used[-1] is np.float64
    assert single.score(x) == pytest.approx(plain.score(x), abs=1e-6)
    fixed = GaussianMixture(4, kind, random_state=0, tol=0.0, max_iter=4)
    with pytest.warns(ConvergenceWarning, match="did not converge in 4 steps"):
        fixed.fit(x)
    assert used[-3:] == [np.float64] * 3


def test_thinned_starts_go_on_with_all_rows(monkeypatch):
    x = groups(9, k=3, d=2, n=4000)
    plain = GaussianMixture(3, random_state=0, tol=1e-8, max_iter=2000).fit(x)
    monkeypatch.setattr(learning, "FEW", (500, 10))
    thinned = GaussianMixture(3, random_state=0, tol=1e-8, max_iter=2000).fit(x)
    assert thinned.score(x) == pytest.approx(plain.score(x), abs=1e-6)


def test_thinning_keeps_the_weights():
    rng = np.random.RandomState(0)
    z, w = rng.normal(size=(20_000, 1)), rng.exponential(size=20_000) * np.arange(20_000)
    index, weights = starts.thinned(z, w / w.sum(), 5000, rng)
    assert len(index) == 5000
    np.testing.assert_allclose(weights, 1 / 5000)
    for power in (1, 2):
        assert (z[index, 0] ** power).mean() == pytest.approx((w / w.sum()) @ z[:, 0] ** power, abs=0.02)


@pytest.mark.parametrize("kind", TYPES)
def test_conditioning_is_the_ratio_of_densities(kind):
    mixture = GaussianMixture(3, kind, random_state=0).fit(groups())
    x = groups(11, n=20)
    for known in ([0], [2], [0, 1], [1, 2]):
        given = {column: x[0, column] for column in known}
        open_ = [column for column in range(3) if column not in known]
        rows = np.where(np.isin(np.arange(3), known), x[0], x)
        partly = np.where(np.isin(np.arange(3), known), x[0], np.nan)[None]
        expected = mixture.score_samples(rows) - mixture.score_samples(partly)
        conditional = mixture.condition(given)
        np.testing.assert_allclose(conditional.score_samples(x[:, open_]), expected, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(mixture.condition(partly[0]).means_, conditional.means_)
        inverse = np.linalg.inv(matrices(conditional))
        np.testing.assert_allclose(inverse @ matrices(conditional), [np.eye(len(open_))] * 3, atol=1e-8)


def test_a_condition_knows_its_columns():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(groups(), columns=["a", "b", "c"])
    conditional = GaussianMixture(2, random_state=0).fit(frame).condition({"b": 1.0})
    assert list(conditional.feature_names_in_) == ["a", "c"]
    assert np.isfinite(conditional.score_samples(frame[["a", "c"]])).all()
    assert conditional.sample(3, random_state=0).shape == (3, 2)


@pytest.mark.parametrize("kind", TYPES)
def test_completion_is_the_conditional_mean_and_draws_follow_the_conditional(kind):
    mixture = GaussianMixture(3, kind, random_state=0).fit(groups())
    x = groups(12, n=5)
    x[0, 1] = x[1, 0] = x[1, 2] = np.nan
    x[2] = np.nan
    filled = mixture.complete(x)
    np.testing.assert_array_equal(filled[~np.isnan(x)], x[~np.isnan(x)])
    np.testing.assert_allclose(filled[2], mixture.weights_ @ mixture.means_)
    line = mixture.condition(x[0])
    assert filled[0, 1] == pytest.approx(line.weights_ @ line.means_[:, 0])
    plane = mixture.condition(x[1])
    np.testing.assert_allclose(filled[1, [0, 2]], plane.weights_ @ plane.means_)
    draws = mixture.complete(x[[0] * 4000], n=1, random_state=0)[0]
    assert stats.kstest(draws[:, 1], line.cdf).pvalue > 1e-3
    np.testing.assert_array_equal(draws[:, [0, 2]], x[[0] * 4000][:, [0, 2]])
    twice = mixture.complete(x, n=2, random_state=1)
    assert twice.shape == (2, 5, 3)
    np.testing.assert_array_equal(twice[0, 3:], x[3:])
    assert (twice[0] != twice[1])[np.isnan(x)].all()


@pytest.mark.parametrize("kind", TYPES)
def test_samples_have_the_moments(kind):
    mixture = GaussianMixture(3, kind, random_state=0).fit(groups())
    x, component = mixture._draw(40_000, np.random.RandomState(0))
    for k in range(3):
        here = x[component == k]
        assert len(here) / 40_000 == pytest.approx(mixture.weights_[k], abs=0.01)
        np.testing.assert_allclose(here.mean(0), mixture.means_[k], atol=0.06)
        np.testing.assert_allclose(np.cov(here.T), matrices(mixture)[k], atol=0.12)


def test_entries_missing_at_random_cost_little():
    full = groups(13, k=2, d=3, n=3000)
    x = holes(full, 0.2)
    mixture, complete = (GaussianMixture(2, random_state=0).fit(rows) for rows in (x, full))
    assert complete.score(full) - mixture.score(full) < 0.01
    by_mean = np.where(np.isnan(x), np.nanmean(x, axis=0), x)
    ours, plain = (((filled - full)[np.isnan(x)] ** 2).mean() for filled in (mixture.complete(x), by_mean))
    assert ours < 0.3 * plain


def test_rows_of_nothing_and_weights_of_zero_count_for_nothing():
    x = holes(groups(14), 0.2)
    more = np.concatenate([x, np.full((50, 3), np.nan), groups(15, n=50)])
    weights = np.r_[np.ones(450), np.zeros(50)]
    x = x[~np.isnan(x).all(1)]
    plain, other = GaussianMixture(2, random_state=0).fit(x), GaussianMixture(2, random_state=0)
    other.fit(more, sample_weight=weights)
    np.testing.assert_allclose(other.score_samples(x), plain.score_samples(x), atol=1e-8)
    np.testing.assert_allclose(other.score_samples(np.full((2, 3), np.nan)), 0.0, atol=1e-15)


def test_rows_with_holes_are_scored_alone():
    mixture, x = GaussianMixture(2, random_state=0).fit(groups()), holes(groups(16), 0.3)
    scores = mixture.score_samples(x)
    np.testing.assert_array_equal(mixture.score_samples(x[7:9]), scores[7:9])
    np.testing.assert_array_equal(mixture.score_samples(x[::-1]), scores[::-1])


@pytest.mark.parametrize("kind", TYPES)
def test_a_start_of_yours_is_where_it_starts(kind):
    x = groups()
    fitted = GaussianMixture(3, kind, random_state=0).fit(x)
    given = {"weights_init": fitted.weights_, "means_init": fitted.means_, "precisions_init": fitted.precisions_}
    still = GaussianMixture(3, kind, max_iter=0, **given).fit(x)
    np.testing.assert_allclose(still.score_samples(x), fitted.score_samples(x), rtol=1e-9)
    one = GaussianMixture(3, kind, means_init=fitted.means_, max_iter=0, random_state=0).fit(x)
    np.testing.assert_allclose(one.means_, fitted.means_)
    assert GaussianMixture(3, kind, **given).fit(x).n_iter_ <= 2


def test_a_warm_start_goes_on():
    x = groups(17, k=5)
    whole = GaussianMixture(5, max_iter=6, tol=0.0, n_init=1, random_state=0)
    part = GaussianMixture(5, max_iter=3, tol=0.0, n_init=1, random_state=0, warm_start=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        whole.fit(x)
        part.fit(x).fit(x)
    np.testing.assert_allclose(part.score_samples(x), whole.score_samples(x), rtol=1e-7)


@pytest.mark.parametrize("how", starts.NAMES)
def test_every_start_ends_well(how):
    x = groups(18)
    best = GaussianMixture(3, random_state=0, n_init=20, tol=1e-7).fit(x).score(x)
    found = GaussianMixture(3, init_params=how, random_state=1, n_init=10, tol=1e-7).fit(x).score(x)
    assert found == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize("kind", ["full", "diag", "spherical"])
def test_a_collapsed_component_is_told(kind):
    x = np.concatenate([groups(19, k=1, n=100), np.full((30, 3), 20.0)])
    with pytest.warns(ConvergenceWarning, match="1 of 2 components have collapsed"):
        mixture = GaussianMixture(2, kind, random_state=0).fit(x)
    assert mixture.collapsed_.sum() == 1
    assert np.isfinite(mixture.score_samples(x)).all()
    with pytest.raises(InputError, match="collapsed: its covariance is singular with reg_covar=0"):
        GaussianMixture(2, kind, reg_covar=0.0, random_state=0).fit(x)


def test_a_column_that_others_determine_is_told():
    x = groups(20, k=1)
    twice = np.column_stack([x, x[:, 0] + x[:, 1]])
    with pytest.warns(ConvergenceWarning, match="collapsed"):
        mixture = GaussianMixture(1).fit(twice)
    assert np.isfinite(mixture.score_samples(twice)).all()
    with pytest.raises(InputError, match="columns that others determine"):
        GaussianMixture(1, reg_covar=0.0).fit(twice)


def test_ties_do_not_make_components():
    x = np.repeat(np.arange(5.0), [9, 1, 30, 20, 7])[:, None]
    mixture = GaussianMixture(random_state=0).fit(x)
    assert not mixture.collapsed_.any()
    assert np.isinf(list(mixture.criterion_.values())).any()


@pytest.mark.parametrize("kind", TYPES)
def test_a_far_row_does_not_widen_the_others(kind):
    x = groups(23, k=2, d=2)
    far = np.concatenate([x, [[1e7, -3e8]]])
    with pytest.warns(ConvergenceWarning, match="1 of 3") if kind != "tied" else warnings.catch_warnings():
        mixture = GaussianMixture(3, kind, random_state=0).fit(far)
    plain = GaussianMixture(2, kind, random_state=0).fit(x)
    inside = mixture.score_samples(x) - np.log(400 / 401)
    assert inside.mean() == pytest.approx(plain.score(x), abs=2e-2)


def test_heavy_tails_take_several_components():
    x = np.random.RandomState(0).standard_cauchy((2000, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture = GaussianMixture(random_state=0).fit(x)
    held_out = np.random.RandomState(1).standard_cauchy((2000, 1))
    held_out = held_out[np.abs(held_out[:, 0]) < 100]
    assert len(mixture.weights_) >= 4
    assert mixture.score(held_out) > stats.cauchy.logpdf(held_out).mean() - 0.05


def test_one_component_is_the_gaussian():
    x = groups(21)
    mixture = GaussianMixture(1).fit(x)
    expected = stats.multivariate_normal(x.mean(0), np.cov(x.T, bias=True)).logpdf(x)
    np.testing.assert_allclose(mixture.score_samples(x), expected, rtol=1e-4)
    assert mixture.lower_bound_ == pytest.approx(expected.mean(), rel=1e-4)


def test_cdf_and_quantile_are_those_of_the_parts():
    x = np.r_[np.random.RandomState(0).normal(0, 1, 200), np.random.RandomState(1).normal(50, 0.1, 100)][:, None]
    mixture = GaussianMixture(2, random_state=0).fit(x)
    points = np.linspace(-5, 60, 300)
    parts = [stats.norm(m, s).cdf(points) for m, s in zip(mixture.means_[:, 0], mixture.covariances_[:, 0, 0] ** 0.5)]
    np.testing.assert_allclose(mixture.cdf(points), mixture.weights_ @ parts, atol=1e-14)
    q = np.array([1e-12, 1e-3, 0.3, 0.6, 0.7, 0.999])
    np.testing.assert_allclose(mixture.cdf(mixture.quantile(q)), q, rtol=1e-9)
    np.testing.assert_array_equal(mixture.quantile([0.0, 1.0]), [-np.inf, np.inf])


def test_upper_is_triangular_and_has_the_same_square():
    a = np.random.RandomState(0).normal(size=(4, 5, 5))
    found = upper(a)
    np.testing.assert_array_equal(np.tril(found, -1), 0.0)
    assert (np.diagonal(found, axis1=1, axis2=2) > 0).all()
    np.testing.assert_allclose(found @ found.swapaxes(1, 2), a @ a.swapaxes(1, 2), atol=1e-12)


@pytest.mark.parametrize("size", [1e140, 1e-140])
def test_any_unit_will_do(size):
    x = groups(22, k=1)
    mixture = GaussianMixture(1, "diag").fit(x * size)
    expected = GaussianMixture(1, "diag").fit(x).lower_bound_ - 3 * np.log(size)
    assert mixture.lower_bound_ == pytest.approx(expected, rel=1e-9)


X = groups(0, n=20)
BAD = {
    "more components than rows": (GaussianMixture(21), X, "at least as many rows; got 20"),
    "no components": (GaussianMixture(0), X, "n_components must be a positive integer"),
    "no such criterion": (GaussianMixture("bicc"), X, "bic, aic, held-out; got 'bicc'; did you mean 'bic'"),
    "no such shape": (GaussianMixture(1, "ful"), X, "full, tied, diag, spherical; got 'ful'; did you mean 'full'"),
    "no such start": (GaussianMixture(1, init_params="k"), X, "init_params is one of kmeans"),
    "negative ridge": (GaussianMixture(1, reg_covar=-1.0), X, "reg_covar must be a non-negative number"),
    "no starts": (GaussianMixture(1, n_init=0), X, "n_init must be a positive integer"),
    "negative steps": (GaussianMixture(1, max_iter=-1), X, "max_iter must be a non-negative integer"),
    "nan tolerance": (GaussianMixture(1, tol=np.nan), X, "tol must be"),
    "one row": (GaussianMixture(1), X[:1], "at least 2 rows.*1 sample"),
    "a constant column": (GaussianMixture(1), np.column_stack([X, np.full(20, 7.0)]), r"3 of X is constant \(7\)"),
    "nothing but one value": (GaussianMixture(1, "spherical"), np.ones((9, 2)), r"column 0 of X is constant \(1\)"),
    "an empty column": (GaussianMixture(1), np.column_stack([X, np.full(20, np.nan)]), "column 3 of X has no value"),
    "infinity": (GaussianMixture(1), np.where(X > 3, np.inf, X), "X holds infinity"),
    "numbers too large": (GaussianMixture(1), X * 1e200, "spread of X's columns is out of range"),
    "weights of another shape": (GaussianMixture(2, weights_init=[1.0]), X, r"weights_init expects shape \(2,\)"),
    "weights that sum to two": (GaussianMixture(2, weights_init=[1.0, 1.0]), X, "sum to 1; got a sum of 2"),
    "means of another shape": (GaussianMixture(2, means_init=X), X, r"expects shape \(2, 3\); got \(20, 3\)"),
    "no precisions": (GaussianMixture(1, precisions_init=-np.eye(3)[None]), X, "positive eigenvalues"),
    "a start and a criterion": (GaussianMixture(means_init=X[:2]), X, "a start of yours expects n_components as a num"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_line(case):
    mixture, x, message = BAD[case]
    with pytest.raises(InputError, match=message) as caught:
        mixture.fit(x)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", range(6))
def test_every_seed_finds_the_likeliest_groups_of_iris(seed):
    rows = load_iris().data
    mixture = GaussianMixture(3, random_state=seed).fit(rows)
    assert 150 * mixture.score(rows) == pytest.approx(-180.186, abs=0.002)
    assert not mixture.collapsed_.any()


def test_where_no_component_has_a_density_its_weight_is_what_is_left():
    mixture = GaussianMixture(2, random_state=0).fit(groups(k=2))
    far = np.array([[1e200, 0.0, 0.0]])
    np.testing.assert_array_equal(mixture.score_samples([far[0], [1e308, 0.0, 0.0]]), -np.inf)
    np.testing.assert_allclose(mixture.predict_proba(far)[0], mixture.weights_, rtol=1e-12)
    assert mixture.predict(far)[0] == mixture.weights_.argmax()
    assert np.isfinite(mixture.complete([[1e200, np.nan, 0.0]])).all()
    np.testing.assert_allclose(mixture.condition({0: 1e200}).weights_, mixture.weights_, rtol=1e-12)


def test_a_component_that_what_is_known_rules_out_costs_no_warning():
    x = np.random.RandomState(0).normal(size=(200, 2))
    mixture = GaussianMixture(2, random_state=0).fit(np.r_[x, x + 1000])
    given = mixture.condition({0: 0.0})
    at = np.array([[0.3]])
    expected = mixture.score_samples([[0.0, 0.3]]) - mixture.score_samples([[0.0, np.nan]])
    np.testing.assert_allclose(given.score_samples(at), expected, rtol=1e-10)
    assert given.predict_proba(at).max() == 1
    assert given.predict_proba([[np.nan]]).max() == 1
