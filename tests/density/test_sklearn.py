"""scikit-learn's own checks of an estimator, all of them."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from latens.density import Histogram, KernelDensity, Parametric
from latens.density.families import Normal

ESTIMATORS = [
    Histogram(),
    Histogram(bins="doane"),
    Histogram(bins=3),
    Histogram(bins="bayesian-blocks"),
    KernelDensity(),
    KernelDensity("cv_ml", "epanechnikov"),
    KernelDensity(1.0, adaptive=True, exact=True),
    Parametric(),
    Parametric("student-t"),
    Parametric("normal"),
    Parametric(Normal()),
]


def impossible(estimator):
    """The checks that cannot hold, with the reason."""
    if isinstance(estimator, Parametric) and estimator.family == "normal":
        return {"check_sample_weight_equivalence_on_dense_data": "15 rows of 30 columns have no joint normal density"}
    return {}


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=impossible)
def test_scikit_learn_checks(estimator, check):
    check(estimator)
