"""y given x from a joint density, against regression, the quotient of densities and quadrature."""

from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import logsumexp
from sklearn.base import is_regressor
from sklearn.linear_model import LinearRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

import latens
from latens.density import (
    ConditionalDensity,
    DensityEstimator,
    GaussianMixture,
    Histogram,
    KernelDensity,
    Parametric,
    Regression,
)
from latens.utils.errors import InputError

_RNG = np.random.RandomState(0)
X = _RNG.normal(size=(300, 2)) * [1.0, 20.0]
LINE = X @ [1.0, -0.1] + _RNG.normal(size=300)
BENT = np.abs(X[:, 0]) * 3 + _RNG.normal(size=300) * (0.2 + 0.5 * (X[:, 0] > 0))
DENSITIES = {
    "one": lambda: GaussianMixture(1),
    "mixture": lambda: GaussianMixture(4, random_state=0),
    "parametric": lambda: Parametric("normal"),
    "kernel": lambda: KernelDensity(),
}


@pytest.fixture(params=list(DENSITIES))
def density(request):
    return DENSITIES[request.param]()


@pytest.mark.parametrize("normal", [GaussianMixture(1), Parametric("normal")], ids=repr)
def test_under_the_joint_normal_it_is_linear_regression(normal):
    conditional = ConditionalDensity(normal).fit(X, LINE)
    line = Regression().fit(X, LINE)
    np.testing.assert_allclose(conditional.predict(X), LinearRegression().fit(X, LINE).predict(X), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(conditional.score_samples(X, LINE), line.score_samples(X, LINE), rtol=1e-4, atol=1e-4)


def test_the_density_is_the_quotient_of_joint_and_marginal():
    fitted = ConditionalDensity(GaussianMixture(4, random_state=0)).fit(X, BENT)
    joint = fitted.density_
    parts = list(zip(joint.weights_, joint.means_, joint.covariances_))
    both = sum(w * stats.multivariate_normal(m, c).pdf(np.column_stack([X, BENT])) for w, m, c in parts)
    alone = sum(w * stats.multivariate_normal(m[:2], c[:2, :2]).pdf(X) for w, m, c in parts)
    np.testing.assert_allclose(np.exp(fitted.score_samples(X, BENT)), both / alone, rtol=1e-7)


def test_it_integrates_to_one_and_the_rest_agrees(density):
    fitted = ConditionalDensity(density).fit(X, BENT)
    row, (low, high) = X[:1], fitted.interval(X[:1], 0.8)[0]

    def integral(low, high, power=0):
        """Of y^power p(y): ten points of Gauss in each of 60 panels."""
        edges, (node, weight) = np.linspace(low, high, 61), np.polynomial.legendre.leggauss(10)
        half = np.diff(edges)[:, None] / 2
        y = ((edges[:-1, None] + half) + half * node).ravel()
        return (half * weight).ravel() @ (y**power * np.exp(fitted.score_samples(np.repeat(row, len(y), axis=0), y)))

    ends = fitted.interval(row, 1 - 1e-9)[0]
    assert integral(*ends) == pytest.approx(1.0, abs=1e-6)
    assert integral(low, high) == pytest.approx(0.8, abs=1e-6)
    assert integral(ends[0], low) == pytest.approx(0.1, abs=1e-6)
    mean = integral(*ends, power=1)
    assert fitted.predict(row)[0] == pytest.approx(mean, abs=1e-5)
    drawn = fitted.sample(np.repeat(row, 800, axis=0), random_state=1)
    assert stats.kstest(drawn, fitted.density_.condition([*row[0], np.nan]).cdf).pvalue > 1e-3


def test_a_mixture_beats_the_line_where_the_curve_bends():
    new, rng = _RNG.normal(size=(300, 2)) * [1.0, 20.0], np.random.RandomState(2)
    y = np.abs(new[:, 0]) * 3 + rng.normal(size=300) * (0.2 + 0.5 * (new[:, 0] > 0))
    mixture = ConditionalDensity(GaussianMixture(4, random_state=0)).fit(X, BENT)
    line = Regression().fit(X, BENT)
    assert mixture.score(new, y) > line.score(new, y) + 0.5
    assert mixture.score_samples(new, y).mean() > line.score_samples(new, y).mean() + 0.5
    low, high = mixture.interval(new, 0.9).T
    assert ((low <= y) & (y <= high)).mean() == pytest.approx(0.9, abs=0.06)


def test_missing_entries_are_left_out_of_what_is_given():
    fitted = ConditionalDensity(GaussianMixture(3, random_state=0)).fit(X, LINE)
    row = np.array([[0.7, np.nan]])
    alone = fitted.density_.condition({0: 0.7})  # of the second column and y
    density = [
        integrate.quad(lambda x, y=y: np.exp(alone.score_samples([[x, y]])[0]), -200, 200, limit=400, points=[0.0])[0]
        for y in (0.0, 1.5)
    ]
    np.testing.assert_allclose(np.exp(fitted.score_samples(np.repeat(row, 2, axis=0), [0.0, 1.5])), density, rtol=1e-5)
    assert np.isfinite(fitted.predict(row)).all()


class Shifted(DensityEstimator):
    """y = x + standard t with 4 degrees of freedom, given x."""

    def __init__(self, condition="y"):
        self.condition = condition

    def fit(self, X, y=None, sample_weight=None):
        self.fitted_ = np.array([*X.shape, *y.shape])
        return self

    def score_samples(self, X, y=None):
        return stats.t.logpdf(X[:, 0] - y[:, 0], 4)

    def sample(self, n_samples=1, random_state=None, y=None):
        return y[:, :1] + np.random.RandomState(random_state).standard_t(4, size=(n_samples, 1))


def test_a_density_that_takes_a_condition_is_fitted_to_y_given_x():
    fitted = ConditionalDensity(Shifted()).fit(X, 6 * LINE)
    assert fitted.density_.fitted_.tolist() == [300, 1, 300, 2]
    rows, y = X[:5], np.arange(5.0)
    np.testing.assert_allclose(fitted.score_samples(rows, y), stats.t.logpdf(y - rows[:, 0], 4))
    np.testing.assert_allclose(fitted.predict(rows), rows[:, 0], atol=0.01)
    expected = rows[:, :1] + stats.t.ppf([0.1, 0.9], 4)
    np.testing.assert_allclose(fitted.interval(rows, 0.8), expected, atol=0.02)
    drawn = fitted.sample(np.repeat(rows[:1], 2000, axis=0), random_state=0)
    assert stats.kstest(drawn - rows[0, 0], stats.t(4).cdf).pvalue > 1e-3


KERNELS = {
    "local": lambda: KernelDensity(),
    "a matrix": lambda: KernelDensity([[0.5, 1.0, 0.2], [1.0, 40.0, 0.1], [0.2, 0.1, 0.4]]),
    "one a column": lambda: KernelDensity([0.4, 8.0, 0.7], adaptive=0.3),
}


def log_p(density, columns, rows):
    """The sum over all kernels as it is written, of some of the columns."""
    H = density.bandwidth_ if np.ndim(density.bandwidth_) == 2 else np.diag(np.square(density.bandwidth_))
    terms = [
        np.log(w) + stats.multivariate_normal(row[columns], s**2 * H[np.ix_(columns, columns)]).logpdf(rows[:, columns])
        for w, s, row in zip(
            density.weights_, np.ones(300) if density.scales_ is None else density.scales_, density.rows_
        )
    ]
    return logsumexp(terms, axis=0)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("known", [[True, True, False], [False, True, False]], ids=str)
def test_kernels_are_conditioned_all_at_once(kernels, known):
    """As one by one; and as the quotient of sums as they are written, also where both are below e^-1e6."""
    table, known = np.column_stack([X, BENT]), np.array(known)
    density = KERNELS[kernels]().fit(table, sample_weight=_RNG.uniform(size=300))
    near, far = table[:20], table[:5] + 1e3 * known
    found = density.score_conditional(np.concatenate([near, far]), known)
    one_by_one = [density.condition(np.where(known, row, np.nan)).score_samples(row[None, ~known])[0] for row in near]
    np.testing.assert_allclose(found[:20], one_by_one, rtol=1e-10, atol=1e-10)
    quotient = log_p(density, np.arange(3), far) - log_p(density, np.flatnonzero(known), far)
    np.testing.assert_allclose(found[20:], quotient, rtol=1e-9, atol=1e-6)
    np.testing.assert_array_equal(density.score_conditional(near[7:9], known), found[7:9])


def test_kernels_of_x_and_y_score_without_a_density_for_each_row(monkeypatch):
    fitted = ConditionalDensity(KernelDensity()).fit(X, BENT)
    monkeypatch.setattr(KernelDensity, "condition", lambda self, given: pytest.fail("one row by itself"))
    assert np.isfinite(fitted.score_samples(X, BENT)).all()


def test_weights_are_repetitions():
    weights = _RNG.randint(0, 3, size=300)
    weighted = ConditionalDensity(GaussianMixture(1)).fit(X, LINE, weights)
    repeated = ConditionalDensity(GaussianMixture(1)).fit(np.repeat(X, weights, axis=0), np.repeat(LINE, weights))
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-7, atol=1e-7)


def test_a_density_that_cannot_condition_is_refused_in_one_line():
    with pytest.raises(InputError, match="a density with condition, as GaussianMixture; Histogram has none"):
        ConditionalDensity(Histogram()).fit(X, LINE)


def test_a_saved_one_says_the_same(density, tmp_path):
    fitted = ConditionalDensity(density).fit(X, BENT)
    fitted.save(tmp_path / "given.latens")
    loaded = latens.load(tmp_path / "given.latens")
    np.testing.assert_array_equal(loaded.score_samples(X[:9], BENT[:9]), fitted.score_samples(X[:9], BENT[:9]))
    np.testing.assert_array_equal(loaded.interval(X[:3]), fitted.interval(X[:3]))


def test_the_next_eruption_of_old_faithful():
    path = Path(__file__).parents[3].joinpath("shared/data/tabular/small_r/faithful.csv")
    if not path.exists():
        pytest.skip("no Old Faithful here")
    table = np.genfromtxt(path, delimiter=",", skip_header=1)[:, -2:]
    learn = np.random.RandomState(0).uniform(size=len(table)) < 0.7
    (x, y), (new, truth) = (table[learn].T, table[~learn].T)
    mixture = ConditionalDensity(GaussianMixture(2, random_state=0)).fit(x[:, None], y)
    line = Regression().fit(x[:, None], y)
    assert mixture.score_samples(new[:, None], truth).mean() > line.score_samples(new[:, None], truth).mean()
    low, high = mixture.interval(new[:, None], 0.9).T
    assert ((low <= truth) & (truth <= high)).mean() == pytest.approx(0.9, abs=0.08)


@pytest.mark.filterwarnings("ignore:.*components have collapsed")
@parametrize_with_checks([ConditionalDensity(GaussianMixture(1))])
def test_scikit_learn_checks(estimator, check):
    assert is_regressor(estimator)
    check(estimator)
