"""Logistic regression, against scikit-learn, the slow likelihood, differences and simulation."""

import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn import linear_model
from sklearn.base import is_classifier
from sklearn.utils.estimator_checks import parametrize_with_checks

import latens
from latens.density import LogisticRegression, Separation
from latens.density.regression import logistic
from latens.density.regression.separation import grows_forever
from latens.utils.errors import InputError

_RNG = np.random.RandomState(0)
X = _RNG.normal(size=(250, 3)) * [1.0, 100.0, 0.01] + [0.0, 50.0, 3.0]
Z = (X - [0.0, 50.0, 3.0]) / [1.0, 100.0, 0.01]
WEIGHTS = _RNG.randint(0, 4, size=250)
LABELS = {
    "two": np.where(Z @ [1.0, -0.5, 0.3] + _RNG.logistic(size=250) > 0.3, "yes", "no"),
    "four": np.digitize(Z @ [1.0, -0.5, 0.3] + _RNG.logistic(size=250), [-1.5, 0.0, 2.0]),
}


@pytest.fixture(params=list(LABELS))
def y(request):
    return LABELS[request.param]


def slow(y, intercepts, coefficients, weights=1.0):
    """log p(y | x) summed, by the definition."""
    eta = np.atleast_2d((np.asarray(intercepts)[:, None] + coefficients @ Z.T).T)
    eta = np.column_stack([np.zeros(len(X)), eta[:, 0]]) if eta.shape[1] == 1 else eta
    at = np.unique(y, return_inverse=True)[1]
    return (weights * (eta[np.arange(len(X)), at] - np.log(np.exp(eta).sum(axis=1)))).sum()


@pytest.mark.parametrize("ridge", [0.0, 0.5])
@pytest.mark.parametrize("constant", [True, False])
def test_scikit_learn_finds_the_same(y, ridge, constant):
    ours = LogisticRegression(ridge, fit_intercept=constant).fit(Z, y, WEIGHTS)
    theirs = linear_model.LogisticRegression(
        C=1 / ridge if ridge else np.inf, fit_intercept=constant, tol=1e-9, max_iter=5000
    ).fit(Z, y, WEIGHTS)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours.predict_proba(Z), theirs.predict_proba(Z), atol=1e-5)
    assert ours.coef_.shape == theirs.coef_.shape
    assert ours.score(Z, y) == pytest.approx((theirs.predict(Z) == y).mean(), abs=0.01)


def test_the_gradient_of_the_slow_likelihood_is_zero(y):
    fitted = LogisticRegression().fit(Z, y)
    assert fitted.log_likelihood_ == pytest.approx(slow(y, fitted.intercept_, fitted.coef_), rel=1e-10)
    assert fitted.score_samples(Z, y).sum() == pytest.approx(fitted.log_likelihood_, rel=1e-12)
    for k in range(len(fitted.coef_)):
        for j, step in enumerate(1e-4 * fitted.standard_errors_[k]):
            move = np.zeros((len(fitted.coef_), 4))
            move[k, j] = step
            ends = [slow(y, fitted.intercept_ + s * move[:, 0], fitted.coef_ + s * move[:, 1:]) for s in (-1, 1)]
            assert abs(ends[1] - ends[0]) < 1e-7
            assert max(ends) < fitted.log_likelihood_


def test_standard_errors_are_the_spread_of_the_estimates(y):
    rng, truth, fits = np.random.RandomState(1), LogisticRegression().fit(X, y), []
    rows = np.repeat(X, 3, axis=0)
    for _ in range(120):
        fits.append(LogisticRegression().fit(rows, truth.sample(rows, rng)))
    estimates = np.array([np.column_stack([fit.intercept_, fit.coef_]) for fit in fits])
    told = np.mean([fit.standard_errors_ for fit in fits], axis=0)
    np.testing.assert_allclose(told, estimates.std(axis=0), rtol=0.25)
    bounds = np.array([fit.confidence_interval(0.9) for fit in fits])
    true = np.column_stack([truth.intercept_, truth.coef_])
    inside = ((bounds[..., 0] <= true) & (true <= bounds[..., 1])).mean()
    assert inside == pytest.approx(0.9, abs=0.05)


def test_weights_are_repetitions(y):
    weighted = LogisticRegression(0.1).fit(X, y, WEIGHTS)
    repeated = LogisticRegression(0.1).fit(np.repeat(X, WEIGHTS, axis=0), np.repeat(y, WEIGHTS))
    for name in ("coef_", "intercept_", "standard_errors_", "log_likelihood_", "aic_", "bic_"):
        np.testing.assert_allclose(getattr(weighted, name), getattr(repeated, name), rtol=1e-7)


def test_information_criteria_count_free_coefficients():
    for name, k in {"two": 4, "four": 12}.items():
        fitted = LogisticRegression().fit(X, LABELS[name])
        assert fitted.aic_ == pytest.approx(2 * k - 2 * fitted.log_likelihood_)
        assert fitted.bic_ == pytest.approx(k * np.log(250) - 2 * fitted.log_likelihood_)


def test_the_summary_names_coefficients_and_classes(y):
    fitted = LogisticRegression().fit(X, y)
    table = fitted.summary()
    assert table["coefficient"] == ["intercept", "x0", "x1", "x2"] * len(fitted.coef_)
    assert table["class"] == np.repeat(fitted.classes_[-len(fitted.coef_) :], 4).tolist()
    z = np.array(table["estimate"]) / np.array(table["standard_error"])
    np.testing.assert_allclose(table["p_value"], 2 * stats.norm.sf(np.abs(z)), rtol=1e-9)
    np.testing.assert_allclose(table["low"], fitted.confidence_interval()[..., 0].ravel())


def test_samples_follow_the_probabilities(y):
    fitted = LogisticRegression().fit(X, y)
    drawn = fitted.sample(np.repeat(X[:1], 4000, axis=0), random_state=2)
    seen = (drawn[:, None] == fitted.classes_).mean(axis=0)
    np.testing.assert_allclose(seen, fitted.predict_proba(X[:1])[0], atol=0.03)
    assert drawn.dtype == y.dtype


def test_classes_never_seen_have_no_probability_and_no_y_means_its_own():
    fitted = LogisticRegression().fit(X, LABELS["four"])
    scores = fitted.score_samples(X[:2], [9, 3])
    assert scores[0] == -np.inf
    assert scores[1] == pytest.approx(fitted.predict_log_proba(X[1:2])[0, 3])
    np.testing.assert_array_equal(fitted.score_samples(X), fitted.score_samples(X, fitted.predict(X)))


def test_collinear_columns_predict_as_without_them(y):
    extra = np.column_stack([X, X[:, 0] - 2 * X[:, 2], np.full(250, 0.1)])
    plain, more = LogisticRegression().fit(X, y), LogisticRegression().fit(extra, y)
    np.testing.assert_allclose(more.predict_proba(extra), plain.predict_proba(X), atol=1e-8)
    told = np.array([False, False, True, False, False, False])
    np.testing.assert_array_equal(np.isfinite(more.standard_errors_), np.tile(told, (len(more.coef_), 1)))


SEPARATED = {
    "complete": ([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]),
    "quasi": ([[0.0], [1.0], [1.0], [3.0]], [0, 0, 1, 1]),
    "one column of two": (np.c_[np.repeat([0.0, 1.0], 20), Z[:40, 0]], np.r_[np.tile([0, 1], 10), np.ones(20, int)]),
    "one class of three": (np.r_[Z[:40, :1], [[50.0], [51.0]]], np.r_[np.tile([0, 1], 20), [2, 2]]),
}


@pytest.mark.parametrize("case", SEPARATED)
def test_separation_is_told_and_a_ridge_is_its_remedy(case):
    rows, labels = SEPARATED[case]
    with pytest.warns(Separation, match="ridge=1.0") as caught:
        fitted = LogisticRegression().fit(rows, labels)
    assert "\n" not in str(caught[0].message)
    assert fitted.standard_errors_.max() > 1e3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.abs(LogisticRegression(ridge=1.0).fit(rows, labels).coef_).max() < 5


def test_the_limit_of_separated_classes_is_their_frequency_on_the_plane():
    with pytest.warns(Separation):
        fitted = LogisticRegression().fit(*SEPARATED["quasi"])
    np.testing.assert_allclose(fitted.predict_proba([[0.0], [1.0], [3.0]])[:, 1], [0.0, 0.5, 1.0], atol=1e-9)
    assert fitted.log_likelihood_ == pytest.approx(-2 * np.log(2), abs=1e-8)


def test_overlap_by_a_single_row_is_no_separation():
    x = np.linspace(0, 1, 2000)
    labels = x > 0.5
    labels[5] = True
    assert LogisticRegression().fit(x[:, None], labels).predict_proba([[0.75]])[0, 1] > 0.99


def test_a_rare_class_is_no_separation():
    labels = np.r_[np.zeros(20_000), 1.0, 1.0]
    x = np.r_[np.linspace(-1, 1, 20_000), -0.3, 0.4][:, None]
    assert LogisticRegression().fit(x, labels).predict_proba(x)[:, 1].sum() == pytest.approx(2.0)


def test_ties_hold_a_direction_back():
    rows, ties = np.array([[1.0, 0.0], [2.0, 0.0]]), np.array([[1.0, 1.0]])
    assert grows_forever(rows, np.empty((0, 2)))
    assert grows_forever(rows, ties)
    assert not grows_forever(rows, np.eye(2))


def test_one_class_or_real_numbers_are_refused_in_one_line():
    for labels, message in ((np.zeros(250), "two or more classes; got one class, 0"), (Z[:, 0], "continuous")):
        with pytest.raises(InputError, match=message) as caught:
            LogisticRegression().fit(X, labels)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="ridge must be a non-negative number"):
        LogisticRegression(ridge=-1.0).fit(X, LABELS["two"])


def test_many_coefficients_are_found_without_a_hessian(y, monkeypatch):
    newton = LogisticRegression(0.1).fit(X, y, WEIGHTS)
    monkeypatch.setattr(logistic, "_NEWTON", 1)
    other = LogisticRegression(0.1).fit(X, y, WEIGHTS)
    np.testing.assert_allclose(other.predict_proba(X), newton.predict_proba(X), atol=1e-6)
    assert np.isnan(other.standard_errors_).all()
    with pytest.warns(Separation):
        LogisticRegression().fit(*SEPARATED["complete"])


def test_a_saved_one_says_the_same(y, tmp_path):
    fitted = LogisticRegression().fit(X, y)
    fitted.save(tmp_path / "logistic.latens")
    loaded = latens.load(tmp_path / "logistic.latens")
    np.testing.assert_array_equal(loaded.predict_log_proba(X), fitted.predict_log_proba(X))
    np.testing.assert_array_equal(loaded.predict(X), fitted.predict(X))


@pytest.mark.filterwarnings("ignore::latens.density.regression.separation.Separation")
@parametrize_with_checks([LogisticRegression(), LogisticRegression(ridge=1.0, fit_intercept=False)])
def test_scikit_learn_checks(estimator, check):
    assert is_classifier(estimator)
    check(estimator)
