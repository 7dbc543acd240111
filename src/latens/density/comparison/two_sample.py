"""Are these samples like the data? Ask a classifier to tell them apart."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm, rankdata
from sklearn.base import clone

from latens.density.tables import without_numbers
from latens.utils.errors import InputError
from latens.utils.validation import check_finite


class TwoSampleTest(NamedTuple):
    """How well real rows are told from sampled ones; see ``two_sample_test``.

    Args:
        auc: the probability that a real row looks more real than a sampled one, to the classifier; 0.5 is best.
        standard_error: of the auc.
        p_value: how often it would be as high were both from one density; small means that they differ.
        accuracy: the share of rows that the classifier calls rightly, of both kinds alike; 0.5 is best.
    """

    auc: float
    standard_error: float
    p_value: float
    accuracy: float


def two_sample_test(X: ArrayLike, samples: ArrayLike, classifier: Any = None, random_state: int = 0) -> TwoSampleTest:
    r"""$P(g(x) > g(\tilde x))$: g was told of one half of the rows which are real, and is asked of the other half.

    It is 0.5 if nothing tells samples from data, and 1 if everything does. It looks at columns together, which
    figures of single columns and of pairs do not: a table whose columns were shuffled, each by itself, passes those.
    Use rows that the density was not fitted to, else one that repeats its rows passes.

    The AUC is Mann and Whitney's statistic, so that under equal densities its p-value is right whatever the classifier
    (one-sided, by the normal limit, ties counted); its standard error is DeLong's. Cross-validation would use each row
    twice, but its folds are not independent: the p-value would be below 0.1 twice as often as it should.

    Args:
        X: rows of the data, (n, d).
        samples: rows drawn from a density, (m, d).
        classifier: any classifier with ``predict_proba``; None takes gradient boosted trees.
        random_state: of the halves, and of the trees.

    Raises:
        InputError: not two tables of finite numbers, of equally many columns and 4 rows or more.

    Reference:
        Lopez-Paz and Oquab (2017), Revisiting classifier two-sample tests;
        DeLong, DeLong and Clarke-Pearson (1988), Comparing the areas under two or more correlated ROC curves.

    Example:
        >>> from latens.density import Parametric
        >>> X = np.random.RandomState(0).normal(size=(400, 2)) @ [[1.0, 0.9], [0.0, 0.3]]
        >>> density = Parametric("normal").fit(X[:200])
        >>> two_sample_test(X[200:], density.sample(200, random_state=0)).p_value > 0.01
        True
        >>> shuffled = np.column_stack([X[:200, 0], np.roll(X[:200, 1], 1)])
        >>> two_sample_test(X[200:], shuffled).auc > 0.7
        True
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold

    tables = [_table("X", X), _table("samples", samples)]
    if tables[0].shape[1] != tables[1].shape[1]:
        raise InputError(f"X and samples expect equal columns; got {tables[0].shape[1]} and {tables[1].shape[1]}.")
    rows, real = np.concatenate(tables), np.repeat([1, 0], [len(table) for table in tables])
    judge = HistGradientBoostingClassifier(random_state=random_state) if classifier is None else classifier
    train, test = next(StratifiedKFold(2, shuffle=True, random_state=random_state).split(rows, real))
    looks = clone(judge).fit(rows[train], real[train]).predict_proba(rows[test])[:, 1]
    real_looks, fake_looks = looks[real[test] == 1], looks[real[test] == 0]
    auc, variance, chance = _mann_whitney(real_looks, fake_looks)
    z = (auc - 0.5) / np.sqrt(chance) if chance > 0 else 0.0
    right = (_above_half(real_looks) + 1.0 - _above_half(fake_looks)) / 2
    return TwoSampleTest(auc, float(np.sqrt(variance)), float(norm.sf(z)), right)


def _above_half(looks: np.ndarray) -> float:
    """The share above 1/2, those at it counted half."""
    return float(np.mean((np.sign(looks - 0.5) + 1) / 2))


def _mann_whitney(real: np.ndarray, fake: np.ndarray) -> tuple[float, float, float]:
    """The AUC, DeLong's variance of it, and its variance were both from one density, ties counted."""
    n, m = len(real), len(fake)
    ranks = rankdata(np.concatenate([real, fake]))
    above = (ranks[:n] - rankdata(real)) / m  # the share of fakes below each real one
    below = 1 - (ranks[n:] - rankdata(fake)) / n
    variance = above.var(ddof=1) / n + below.var(ddof=1) / m
    return float(above.mean()), float(variance), float(ranks.var(ddof=1) / (n * m * (n + m)))


def _table(name: str, x: ArrayLike) -> np.ndarray:
    try:
        table = np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError):
        why = without_numbers(x) or "got something else."
        raise InputError(f"{name} expects numbers in a table (rows, columns); {why}") from None
    check_finite(name, table)
    if table.ndim != 2 or len(table) < 4:
        raise InputError(f"{name} expects (rows, columns), with 4 rows or more; got shape {table.shape}.")
    return table
