"""scikit-learn's own checks of an estimator, all of them."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from latens.density import Histogram

ESTIMATORS = [Histogram(), Histogram(bins="doane"), Histogram(bins=3), Histogram(bins="bayesian-blocks")]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_checks(estimator, check):
    check(estimator)
