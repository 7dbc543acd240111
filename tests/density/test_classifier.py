"""Bayes' rule over densities, against scikit-learn's special cases and the rule written out."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.base import is_classifier
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.naive_bayes import GaussianNB
from sklearn.utils.estimator_checks import parametrize_with_checks

import latens
from latens.density import BayesClassifier, DensityEstimator, Histogram, KernelDensity, Parametric
from latens.density.families import Normal
from latens.utils.errors import InputError

_RNG = np.random.RandomState(0)
Y = _RNG.choice(["ape", "bee", "cat"], p=[0.5, 0.3, 0.2], size=240)
X = _RNG.normal(size=(240, 2)) @ [[1.0, 0.4], [0.0, 0.7]] + (Y[:, None] == ["bee", "cat"]) * [2.0, -1.5]


def test_independent_normals_are_gaussian_naive_bayes():
    weights = _RNG.exponential(size=240)
    ours = BayesClassifier(Parametric(Normal())).fit(X, Y, weights)
    theirs = GaussianNB(var_smoothing=0.0).fit(X, Y, weights)
    np.testing.assert_allclose(ours.predict_joint_log_proba(X), theirs.predict_joint_log_proba(X), rtol=1e-9)
    np.testing.assert_allclose(ours.predict_log_proba(X), theirs.predict_log_proba(X), rtol=1e-8, atol=1e-10)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    assert ours.score(X, Y) == theirs.score(X, Y)


def test_the_joint_normal_is_quadratic_discriminant_analysis():
    """Up to the divisor of the covariance, n or n - 1: so repeat each row often."""
    rows, labels = np.repeat(X, 50, axis=0), np.repeat(Y, 50)
    ours = BayesClassifier(Parametric("normal")).fit(rows, labels)
    theirs = QuadraticDiscriminantAnalysis().fit(rows, labels)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-3)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


def test_bayes_rule_written_out():
    priors = [0.2, 0.5, 0.3]
    bayes = BayesClassifier(Parametric("normal"), priors=priors).fit(X, Y)
    joint = np.zeros((240, 3))
    for k, name in enumerate(["ape", "bee", "cat"]):
        rows = X[name == Y]
        joint[:, k] = priors[k] * stats.multivariate_normal(rows.mean(0), np.cov(rows.T, bias=True)).pdf(X)
    np.testing.assert_allclose(np.exp(bayes.score_samples(X)), joint.sum(axis=1), rtol=1e-9)
    np.testing.assert_allclose(bayes.predict_proba(X), joint / joint.sum(axis=1, keepdims=True), rtol=1e-8)
    at = np.searchsorted(bayes.classes_, Y)
    both = bayes.score_samples(X) + bayes.score_samples(X, Y)
    np.testing.assert_allclose(np.exp(both), joint[np.arange(240), at], rtol=1e-9)


def test_samples_are_of_the_mixture_of_classes():
    bayes = BayesClassifier(Parametric("normal")).fit(X, Y)
    drawn = bayes.sample(6000, random_state=1)
    found = bayes.predict_proba(drawn).mean(axis=0)
    np.testing.assert_allclose(found, bayes.class_prior_, atol=0.03)
    first, second = bayes.predict_proba(drawn[:3000]).mean(axis=0), bayes.predict_proba(drawn[3000:]).mean(axis=0)
    np.testing.assert_allclose(first, second, atol=0.04)
    np.testing.assert_allclose(drawn.mean(axis=0), X.mean(axis=0), atol=0.1)


def test_where_nothing_was_seen_the_prior_is_left():
    bayes = BayesClassifier(Histogram(bins=[-10.0, 0.0, 10.0]), priors=[0.7, 0.2, 0.1]).fit(X[:, :1], Y)
    np.testing.assert_allclose(bayes.predict_proba([[50.0]]), [[0.7, 0.2, 0.1]])
    assert bayes.predict([[50.0]])[0] == "ape"
    assert bayes.score_samples([[50.0]])[0] == -np.inf


def test_infinite_densities_share_by_their_priors():
    class Spike(DensityEstimator):
        def fit(self, X, y=None, sample_weight=None):
            self.at_ = X[0]
            return self

        def score_samples(self, X, y=None):
            return np.where((self.at_ == X).all(axis=1), np.inf, -np.inf)

        def sample(self, n_samples=1, random_state=None):
            return np.tile(self.at_, (n_samples, 1))

    bayes = BayesClassifier(Spike(), priors=[0.2, 0.3, 0.5]).fit([[0.0], [0.0], [1.0]], [0, 1, 2])
    np.testing.assert_allclose(bayes.predict_proba([[0.0], [1.0]]), [[0.4, 0.6, 0.0], [0.0, 0.0, 1.0]])


def test_a_class_without_weight_or_prior_is_never_said():
    weights = (Y != "cat") * 1.0
    bayes = BayesClassifier(Parametric("normal")).fit(X, Y, weights)
    assert bayes.classes_.tolist() == ["ape", "bee"]
    assert (bayes.score_samples(X[Y == "cat"], Y[Y == "cat"]) == -np.inf).all()
    never = BayesClassifier(Parametric("normal"), priors=[0.5, 0.5, 0.0]).fit(X, Y)
    assert (never.predict_proba(X)[:, 2] == 0).all()
    assert len(never.sample(10, random_state=0)) == 10


def test_weights_are_repetitions():
    weights = _RNG.randint(0, 4, size=240)
    weighted = BayesClassifier(Parametric("normal")).fit(X, Y, weights)
    repeated = BayesClassifier(Parametric("normal")).fit(np.repeat(X, weights, axis=0), np.repeat(Y, weights))
    np.testing.assert_allclose(weighted.predict_log_proba(X), repeated.predict_log_proba(X), atol=1e-8)


def test_rows_may_be_pictures_or_frames():
    class Mean(DensityEstimator):
        def fit(self, X, y=None, sample_weight=None):
            self.mean_ = np.asarray(X, dtype=float).mean(axis=0)
            return self

        def score_samples(self, X, y=None):
            gap = np.asarray(X, dtype=float) - self.mean_
            return -(gap**2).reshape(len(gap), -1).sum(axis=1)

        def sample(self, n_samples=1, random_state=None):
            return np.tile(self.mean_, (n_samples,) + (1,) * self.mean_.ndim)

    pictures = X.reshape(120, 2, 2, 1)
    bayes = BayesClassifier(Mean()).fit(pictures, Y[:120])
    gap = ((pictures[:, None] - np.stack([pictures[Y[:120] == k].mean(axis=0) for k in bayes.classes_])) ** 2).sum(
        axis=(2, 3, 4)
    )
    expected = bayes.classes_[np.argmax(np.log(bayes.class_prior_) - gap, axis=1)]
    np.testing.assert_array_equal(bayes.predict(pictures), expected)
    assert bayes.sample(3, random_state=0).shape == (3, 2, 2, 1)
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b"])
    by_name = BayesClassifier(Parametric("normal")).fit(frame, Y)
    assert by_name.densities_[0].feature_names_in_.tolist() == ["a", "b"]
    np.testing.assert_array_equal(by_name.predict(frame), BayesClassifier(Parametric("normal")).fit(X, Y).predict(X))


def test_a_network_for_each_class():
    bits = (_RNG.uniform(size=(160, 4)) < np.where(np.arange(160) % 2, 0.8, 0.3)[:, None]).astype(np.uint8)
    labels = np.arange(160) % 2
    bayes = BayesClassifier(latens.VAE(latents=1, epochs=2, random_state=0)).fit(bits, labels)
    joint = np.column_stack([vae.score_samples(bits) for vae in bayes.densities_]) + np.log(0.5)
    np.testing.assert_allclose(bayes.score_samples(bits), np.logaddexp(*joint.T), rtol=1e-9)
    np.testing.assert_array_equal(bayes.predict(bits), joint.argmax(axis=1))
    assert bayes.sample(20, random_state=0).dtype == np.uint8
    with pytest.raises(InputError, match="without a network"):
        bayes.save("never")


WRONG = {
    "no y": (lambda: BayesClassifier(Histogram()).fit(X), "requires y"),
    "too few y": (lambda: BayesClassifier(Histogram()).fit(X, Y[:-1]), "240 rows, 239 y"),
    "real y": (lambda: BayesClassifier(Histogram()).fit(X, X[:, 0]), "continuous"),
    "priors": (lambda: BayesClassifier(Histogram(), priors=[0.5, 0.5]).fit(X, Y), "for each of the 3 classes"),
    "no sum": (lambda: BayesClassifier(Histogram(), priors=[0.5, 0.5, 0.5]).fit(X, Y), "sum 1.5"),
    "no numbers": (lambda: BayesClassifier(Histogram(), priors=["a", "b", "c"]).fit(X, Y), "priors expects 3 numbers"),
    "density": (lambda: BayesClassifier(Parametric("gamma")).fit(X, Y), "The density of class ape"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_in_one_line(case):
    wrong, message = WRONG[case]
    with pytest.raises(InputError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)


def test_a_saved_one_says_the_same(tmp_path):
    bayes = BayesClassifier(Parametric("normal")).fit(X, Y)
    bayes.save(tmp_path / "bayes.latens")
    loaded = latens.load(tmp_path / "bayes.latens")
    np.testing.assert_array_equal(loaded.predict_log_proba(X), bayes.predict_log_proba(X))
    np.testing.assert_array_equal(loaded.predict(X), bayes.predict(X))


def test_penguins_by_their_beaks():
    path = Path(__file__).parents[3].joinpath("shared/data/tabular/small_r/penguins.csv")
    if not path.exists():
        pytest.skip("no penguins here")
    table = np.array([line.split(",") for line in path.read_text().splitlines()[1:]])
    rows = table[~np.isin(table, ["NA", ""]).any(axis=1)]
    beaks, names = rows[:, 3:7].astype(float), rows[:, 1]
    learn = np.random.RandomState(0).uniform(size=len(rows)) < 0.7
    bayes = BayesClassifier(Parametric("normal")).fit(beaks[learn], names[learn])
    assert bayes.score(beaks[~learn], names[~learn]) > 0.95
    assert bayes.score_samples(beaks[~learn], names[~learn]).mean() > -0.15


@parametrize_with_checks([BayesClassifier(Histogram()), BayesClassifier(KernelDensity(0.5))])
def test_scikit_learn_checks(estimator, check):
    assert is_classifier(estimator)
    check(estimator)
