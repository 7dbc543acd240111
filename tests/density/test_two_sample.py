"""The two-sample test: against scikit-learn's AUC, simulation under the null, and known differences."""

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression as Judge
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold

from latens.density import two_sample_test
from latens.density.comparison.two_sample import _mann_whitney
from latens.utils.errors import InputError

_RNG = np.random.RandomState(0)
X = _RNG.normal(size=(300, 2)) @ [[1.0, 0.9], [0.0, 0.3]]


def test_the_auc_is_that_of_the_half_held_out():
    fake = X[::-1] + 0.3 * _RNG.normal(size=X.shape) + [0.2, 0.0]
    rows, real = np.concatenate([X, fake]), np.repeat([1, 0], 300)
    train, test = next(StratifiedKFold(2, shuffle=True, random_state=0).split(rows, real))
    looks = Judge().fit(rows[train], real[train]).predict_proba(rows[test])[:, 1]
    found = two_sample_test(X, fake, Judge())
    assert found.auc == pytest.approx(roc_auc_score(real[test], looks), rel=1e-12)
    assert found.accuracy == pytest.approx(balanced_accuracy_score(real[test], looks > 0.5), rel=1e-12)


def test_ties_count_half():
    real, fake = np.array([1.0, 2.0, 2.0, 3.0]), np.array([0.0, 2.0, 2.0])
    auc, _, chance = _mann_whitney(real, fake)
    assert auc == pytest.approx(roc_auc_score([1] * 4 + [0] * 3, np.r_[real, fake]))
    pool, rng = np.r_[real, fake], np.random.RandomState(1)
    shuffled = [_mann_whitney(p[:4], p[4:])[0] for p in (rng.permutation(pool) for _ in range(2500))]
    assert chance == pytest.approx(np.var(shuffled), rel=0.1)


def test_p_values_are_uniform_where_nothing_differs():
    rng, p = np.random.RandomState(2), []
    for _ in range(300):
        both = rng.normal(size=(160, 2))
        p.append(two_sample_test(both[:80], both[80:], Judge()).p_value)
    assert np.mean(np.array(p) < 0.1) < 0.1 + 4 * (0.09 / 300) ** 0.5
    assert stats.kstest(p, "uniform").pvalue > 1e-4


def test_the_standard_error_is_the_spread_of_the_auc():
    rng, found = np.random.RandomState(3), []
    for _ in range(120):
        real, fake = rng.normal(size=(150, 2)), rng.normal(0.6, 1.0, size=(150, 2))
        found.append(two_sample_test(real, fake, Judge()))
    aucs, errors = np.array([f.auc for f in found]), np.array([f.standard_error for f in found])
    assert errors.mean() == pytest.approx(aucs.std(), rel=0.2)
    assert aucs.mean() == pytest.approx(stats.norm.cdf(0.6), abs=0.02)  # |shift| / sqrt 2 = 0.6


def test_trees_see_that_columns_were_shuffled():
    shuffled = np.column_stack([X[:, 0], _RNG.permutation(X[:, 1])])
    assert two_sample_test(X[:150], shuffled[150:]).auc > 0.7
    fresh = _RNG.normal(size=(150, 2)) @ [[1.0, 0.9], [0.0, 0.3]]
    assert two_sample_test(X[:150], fresh).auc < 0.6


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ((X, X[:, :1]), "equal columns; got 2 and 1"),
        ((X, X[:3]), "samples expects .* got shape \\(3, 2\\)"),
        ((X[:, 0], X), "X expects"),
        ((X, [["a", "b"]]), "expects numbers"),
        ((X, [[1.0, "b"]] * 5), "column 1 holds no numbers, but 'b'"),
        ((X, np.where(X[2, 1] == X, np.nan, X)), r"samples holds NaN at row 2, column 1 \(1 such entry\)"),
        ((np.where(X[2, 1] == X, np.inf, X), X), "X holds infinity at row 2, column 1"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tables, message):
    with pytest.raises(InputError, match=message) as caught:
        two_sample_test(*tables)
    assert "\n" not in str(caught.value)
