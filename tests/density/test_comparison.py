"""Held-out comparison: against cross-validation by hand, exact integrals over cells, and known truths."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neighbors import KernelDensity as TheirKernelDensity

import latens
from latens.density import (
    BayesClassifier,
    ConditionalDensity,
    DensityEstimator,
    GaussianMixture,
    Histogram,
    KernelDensity,
    LogisticRegression,
    Mixture,
    Parametric,
    Regression,
    compare,
)
from latens.density.families import Normal
from latens.utils.errors import InputError

_RNG = np.random.RandomState(0)
LINE = _RNG.normal(3.0, 2.0, size=(200, 1))
COUNTS = _RNG.poisson(6.0, size=(200, 1))
PLANE = _RNG.normal(size=(150, 2)) @ [[1.0, 0.8], [0.0, 0.5]]
LABELS = np.where(PLANE[:, 0] + _RNG.logistic(size=150) > 0, "up", "down")


def by_hand(density, X, folds):
    scores = []
    for train, test in folds.split(X):
        scores.append(density.fit(X[train]).score_samples(X[test]))
    return np.concatenate(scores)


def line_of(result, name):
    return next(line for line in result.lines if line.name == name)


def test_scores_are_those_of_cross_validation_by_hand():
    folds = KFold(4, shuffle=True, random_state=7)
    result = compare([Parametric("laplace"), Parametric("normal")], LINE, cv=4, random_state=7)
    laplace, normal = by_hand(Parametric("laplace"), LINE, folds), by_hand(Parametric("normal"), LINE, folds)
    best, other = result.lines
    assert (result.best, best.name, other.name) == (
        best.name,
        "Parametric(family='normal')",
        "Parametric(family='laplace')",
    )
    assert best.score == pytest.approx(normal.mean(), rel=1e-13)
    assert best.error == pytest.approx(normal.std(ddof=1) / 200**0.5, rel=1e-13)
    gap = laplace - normal
    assert (other.difference, other.difference_error) == pytest.approx((gap.mean(), gap.std(ddof=1) / 200**0.5))
    assert (best.difference, best.difference_error) == (0.0, 0.0)
    np.testing.assert_array_equal(result.scores[other.name], laplace)


def test_paired_differences_are_surer_than_scores():
    result = compare({"a": Parametric("normal"), "b": Parametric("student-t")}, LINE)
    assert result.lines[1].difference_error < 0.2 * result.lines[1].error


def test_a_splitter_and_scikit_learn_s_densities_are_welcome():
    folds = KFold(3)
    result = compare({"theirs": TheirKernelDensity(bandwidth=0.7)}, LINE, cv=folds)
    assert result.lines[0].score == pytest.approx(by_hand(TheirKernelDensity(bandwidth=0.7), LINE, folds).mean())


def test_a_continuous_density_of_counts_has_the_mass_of_their_cells():
    folds = KFold(5, shuffle=True, random_state=0)
    result = compare({"normal": Parametric("normal"), "poisson": Parametric("poisson")}, COUNTS)
    masses = []
    for train, test in folds.split(COUNTS):
        normal = stats.norm(COUNTS[train].mean(), COUNTS[train].std())
        masses.append(np.log(normal.cdf(COUNTS[test] + 0.5) - normal.cdf(COUNTS[test] - 0.5))[:, 0])
    np.testing.assert_allclose(result.scores["normal"], np.concatenate(masses), rtol=1e-6)
    np.testing.assert_array_equal(result.scores["poisson"], by_hand(Parametric("poisson"), COUNTS, folds))
    assert "over the cells of 1 column of whole numbers" in str(result)
    whole = compare({"normal": Parametric("normal")}, COUNTS.astype(float))
    np.testing.assert_allclose(whole.scores["normal"], result.scores["normal"], rtol=1e-12)


def test_a_narrow_density_gains_nothing_from_ties():
    """As density at a point it would win by any margin; as mass it cannot exceed 1."""
    result = compare({"spikes": KernelDensity(0.01), "poisson": Parametric("poisson")}, COUNTS)
    assert KernelDensity(0.01).fit(COUNTS).score(COUNTS) > 1.0
    assert (result.scores["spikes"] <= 1e-9).all()


def test_tails_keep_their_digits():
    X = np.r_[COUNTS, [[90]]]
    result = compare({"normal": Parametric("normal", fixed={"loc": 6.0, "scale": 2.5})}, X, cv=KFold(3))
    exact = stats.norm(6.0, 2.5)
    expected = np.log(exact.sf(89.5)) + np.log1p(-np.exp(exact.logsf(90.5) - exact.logsf(89.5)))
    assert result.scores["normal"][-1] == pytest.approx(expected, rel=1e-6)


def test_cells_of_several_columns_are_averaged_within_the_error_told():
    X = np.column_stack([COUNTS[:, 0], _RNG.binomial(3, 0.4, size=200), _RNG.poisson(1.0, size=200)])
    result = compare({"normal": Parametric(Normal())}, X, cv=2)
    exact = []
    for train, test in KFold(2, shuffle=True, random_state=0).split(X):
        normal = stats.norm(X[train].mean(axis=0), X[train].std(axis=0))
        exact.append(np.log(normal.cdf(X[test] + 0.5) - normal.cdf(X[test] - 0.5)).sum(axis=1))
    line = result.lines[0]
    assert 0 < line.cell_error < 0.003
    assert abs(line.score - np.mean(np.concatenate(exact))) < 5 * line.cell_error
    np.testing.assert_allclose(result.scores["normal"], np.concatenate(exact), atol=0.1)


def test_only_whole_columns_are_integrated():
    X = np.column_stack([COUNTS[:150, 0], PLANE[:, 0]])
    result = compare({"normal": Parametric(Normal())}, X, cv=2)
    train, test = next(KFold(2, shuffle=True, random_state=0).split(X))
    first, second = (stats.norm(X[train, j].mean(), X[train, j].std()) for j in (0, 1))
    exact = np.log(first.cdf(X[test, 0] + 0.5) - first.cdf(X[test, 0] - 0.5)) + second.logpdf(X[test, 1])
    np.testing.assert_allclose(result.scores["normal"][: len(test)], exact, atol=1e-3)


def test_a_network_s_masses_are_taken_as_they_are():
    bits = (_RNG.uniform(size=(120, 3)) < 0.3).astype(np.uint8)
    vae = latens.VAE(latents=1, epochs=2, random_state=0)
    result = compare({"vae": vae, "normal": Parametric(Normal())}, bits, cv=2)
    train, test = next(KFold(2, shuffle=True, random_state=0).split(bits))
    np.testing.assert_array_equal(result.scores["vae"][: len(test)], vae.fit(bits[train]).score_samples(bits[test]))
    assert line_of(result, "vae").cell_error == 0 < line_of(result, "normal").cell_error


def test_of_a_product_of_families_only_the_continuous_columns_are_integrated():
    X = np.column_stack([COUNTS[:150, 0], _RNG.poisson(2.0, size=150), PLANE[:, 0]])
    family = ("normal", "poisson", "normal")
    result = compare({"one": Parametric(family), "two": Mixture(Parametric(family), 1)}, X, cv=2)
    train, test = next(KFold(2, shuffle=True, random_state=0).split(X))
    first, last = (stats.norm(X[train, j].mean(), X[train, j].std()) for j in (0, 2))
    exact = np.log(first.cdf(X[test, 0] + 0.5) - first.cdf(X[test, 0] - 0.5)) + last.logpdf(X[test, 2])
    exact += stats.poisson(X[train, 1].mean()).logpmf(X[test, 1])
    np.testing.assert_allclose(result.scores["one"][: len(test)], exact, atol=2e-3)
    np.testing.assert_allclose(result.scores["two"], result.scores["one"], atol=1e-9)


def test_bars_narrower_than_a_thousandth_are_no_masses():
    X = np.tile([[0.0], [1.0], [2.0], [5.0]], (10, 1))
    spikes = KernelDensity(1e-4, "tophat")
    assert spikes.fit(X).score(X) > 1.0
    np.testing.assert_allclose(compare({"spikes": spikes}, X, cv=KFold(5)).scores["spikes"], np.log(0.25), atol=1e-6)


def test_every_estimator_says_whether_its_scores_are_masses():
    X, y, kinds = COUNTS[:60], COUNTS[60:120, 0], np.repeat([0, 1], 30)
    for noise in ("normal", "student-t", "poisson", "negative-binomial"):
        assert Regression(noise).fit(X, y).is_mass == (noise in ("poisson", "negative-binomial"))
    assert LogisticRegression().fit(X, np.tile([0, 1], 30)).is_mass
    assert BayesClassifier(Parametric("poisson")).fit(X, kinds).is_mass
    assert not BayesClassifier(Parametric("normal")).fit(X, kinds).is_mass
    assert ConditionalDensity(Parametric(("normal", "poisson"))).fit(X, y).is_mass
    assert not ConditionalDensity(Parametric(("poisson", "normal"))).fit(X, y).is_mass


def test_missing_entries_take_no_part():
    X = COUNTS[:100].astype(float)
    X[::10] = np.nan
    result = compare({"one": GaussianMixture(1)}, X, cv=2)
    assert (result.scores["one"] == 0).sum() == 10
    seen = compare({"one": GaussianMixture(1)}, X[~np.isnan(X[:, 0])], cv=2)
    assert result.lines[0].elsewhere * 100 / 90 == pytest.approx(seen.lines[0].score, abs=0.1)


def test_a_frame_is_compared_as_its_table():
    pandas = pytest.importorskip("pandas")
    X = np.column_stack([COUNTS[:150, 0], PLANE[:, 0]])
    frame = pandas.DataFrame({"n": COUNTS[:150, 0], "x": PLANE[:, 0]})
    plain, framed = (compare([Parametric(Normal())], rows, cv=2).lines[0].score for rows in (X, frame))
    assert framed == pytest.approx(plain, rel=1e-12)


def test_rows_of_zero_density_are_told():
    X = np.r_[LINE[:99], [[500.0]]]
    edges = Histogram(np.linspace(-5.0, 12.0, 9).tolist())
    result = compare({"histogram": Histogram(9), "normal": Parametric("normal")}, X, cv=KFold(4))
    line = line_of(result, "histogram")
    assert line.score == -np.inf
    assert line.zero == pytest.approx(np.mean(result.scores["histogram"] == -np.inf))
    assert line.zero >= 0.01
    assert line.elsewhere == pytest.approx(result.scores["histogram"][result.scores["histogram"] > -np.inf].mean())
    assert result.best == "normal"
    assert "% of the rows have density zero" in str(result)
    assert compare({"edges": edges, "histogram": Histogram(9)}, X, cv=KFold(4)).best == "histogram"


class Broken(DensityEstimator):
    def fit(self, X, y=None, sample_weight=None):
        raise MemoryError("3 TB\nare too much")

    def score_samples(self, X, y=None):
        return np.full(len(X), np.nan)

    def sample(self, n_samples=1, random_state=None):
        return np.zeros((n_samples, 1))


class Lost(Broken):
    def fit(self, X, y=None, sample_weight=None):
        return self


def test_a_failure_stops_no_other_and_says_why():
    densities = {"broken": Broken(), "lost": Lost(), "gamma": Parametric("gamma"), "normal": Parametric("normal")}
    result = compare(densities, LINE)
    assert result.best == "normal"
    assert result.lines[0].name == "normal"
    assert line_of(result, "broken").failure == "MemoryError: 3 TB are too much"
    assert "200 of 200 held-out rows have no finite density" in line_of(result, "lost").failure
    assert len(line_of(result, "gamma").failure) > 10
    assert set(result.scores) == {"normal"}
    assert str(result).count("failed:") == 3
    alone = compare([Broken()], LINE)
    assert alone.best is None


def test_the_table_can_be_read_by_people_and_by_frames():
    result = compare({"t": Parametric("student-t"), "normal": Parametric("normal")}, LINE)
    table = result.to_dict()
    assert table["name"] == [line.name for line in result.lines]
    assert table["score"] == [line.score for line in result.lines]
    rows = str(result).splitlines()
    assert rows[0] == "Held-out log p(x), nats per example; 200 rows, 5 folds"
    assert rows[2].startswith(result.best)
    assert f"{result.lines[0].score:.4f}" in rows[2]
    assert f"{result.lines[1].difference:+.4f}" in rows[3]
    assert len({len(row) for row in rows[1:]}) == 1
    assert result.estimators[result.best].fit(LINE).score(LINE) > -3


def test_names_of_a_list_are_told_apart():
    result = compare([Parametric("normal"), Parametric("normal")], LINE)
    assert sorted(result.scores) == ["Parametric(family='normal')", "Parametric(family='normal') (2)"]


def test_classifiers_are_compared_by_the_probability_of_the_class():
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    result = compare({"logistic": LogisticRegression(), "bayes": BayesClassifier(Parametric("normal"))}, PLANE, LABELS)
    expected = []
    for train, test in folds.split(PLANE, LABELS):
        proba = LogisticRegression().fit(PLANE[train], LABELS[train]).predict_proba(PLANE[test])
        expected.append(np.log(proba[np.arange(len(test)), (LABELS[test] == "up").astype(int)]))
    np.testing.assert_allclose(result.scores["logistic"], np.concatenate(expected), rtol=1e-9)
    assert "log p(y | x)" in str(result)
    assert "cells" not in str(compare([LogisticRegression()], PLANE, LABELS == "up"))


def test_regressors_of_counts_stand_beside_masses():
    rate = np.exp(0.5 + PLANE[:, 0])
    y = np.random.RandomState(1).poisson(rate)
    densities = {"poisson": Regression("poisson"), "normal": Regression("normal")}
    result = compare(densities, PLANE, y, cv=2)
    train, test = next(KFold(2, shuffle=True, random_state=0).split(PLANE))
    line = Regression().fit(PLANE[train], y[train])
    normal = stats.norm(line.predict(PLANE[test]), line.noise_.scale)
    exact = np.log(normal.cdf(y[test] + 0.5) - normal.cdf(y[test] - 0.5))
    np.testing.assert_allclose(result.scores["normal"][: len(test)], exact, atol=2e-3, rtol=1e-3)
    assert result.best == "poisson"
    assert "over the cells of y" in str(result)


def test_curves_and_lines_are_compared_by_the_density_of_y():
    y = np.abs(PLANE[:, 0]) * 3 + 0.3 * np.random.RandomState(2).normal(size=150)
    mixture = ConditionalDensity(GaussianMixture(3, random_state=0))
    result = compare({"mixture": mixture, "line": Regression()}, PLANE[:, :1], y, cv=3)
    assert result.best == "mixture"
    assert result.lines[1].difference < -3 * result.lines[1].difference_error


WRONG = {
    "none": (lambda: compare([], LINE), "there are none"),
    "no density": (lambda: compare([3], LINE), "3 has not"),
    "one axis": (lambda: compare([Histogram()], LINE[:, 0]), "two or more axes"),
    "too few rows": (lambda: compare([Histogram()], LINE[:3]), "cv: .*3"),
    "one fold": (lambda: compare([Histogram()], LINE, cv=1), "cv"),
    "both kinds": (lambda: compare([Histogram(), LogisticRegression()], PLANE, LABELS), "cannot be compared"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_in_one_line(case):
    wrong, message = WRONG[case]
    with pytest.raises(InputError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)


def test_the_truth_wins():
    rng, wins = np.random.RandomState(3), 0
    for _ in range(10):
        X = np.r_[rng.normal(-2.0, 0.7, size=(80, 1)), rng.normal(2.0, 0.7, size=(80, 1))]
        densities = {"two": GaussianMixture(2, random_state=0), "one": Parametric("normal"), "kernel": KernelDensity()}
        result = compare(densities, X, cv=3)
        truth = np.log(stats.norm.pdf(X, -2, 0.7) / 2 + stats.norm.pdf(X, 2, 0.7) / 2).mean()
        assert result.lines[0].score == pytest.approx(truth, abs=0.08)
        wins += result.best == "two"
    assert wins >= 8


def test_old_faithful_has_two_kinds_of_eruption():
    path = Path(__file__).parents[3].joinpath("shared/data/tabular/small_r/faithful.csv")
    if not path.exists():
        pytest.skip("no Old Faithful here")
    table = np.genfromtxt(path, delimiter=",", skip_header=1)[:, -2:]
    result = latens.compare({"two": GaussianMixture(2, random_state=0), "one": GaussianMixture(1)}, table)
    assert result.best == "two"
    assert result.lines[0].score == pytest.approx(-1130.26 / 272, abs=0.1)
    assert result.lines[1].difference < -5 * result.lines[1].difference_error
