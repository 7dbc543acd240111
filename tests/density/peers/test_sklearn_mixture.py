"""scikit-learn's own tests of its GaussianMixture, from the installed package, on ours."""

import numpy as np
import pytest

theirs = pytest.importorskip("sklearn.mixture.tests.test_gaussian_mixture")

from latens import density  # noqa: E402
from latens.utils.errors import InputError  # noqa: E402

COLLAPSED = (
    "Fitting the mixture model failed because some components have ill-defined empirical covariance (for instance "
    "caused by singleton or collapsed samples). Try to decrease the number of components, increase reg_covar, or scale "
    "the input data."
)


class GaussianMixture(density.GaussianMixture):
    """Ours with their defaults, their samples (rows and components) and their wording."""

    def __init__(
        self,
        n_components=1,
        *,
        covariance_type="full",
        tol=1e-3,
        reg_covar=1e-6,
        max_iter=100,
        n_init=1,
        init_params="kmeans",
        weights_init=None,
        means_init=None,
        precisions_init=None,
        random_state=None,
        warm_start=False,
    ):
        given = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        super().__init__(**given)

    def fit(self, X, y=None, sample_weight=None):
        try:
            return super().fit(X, sample_weight=sample_weight)
        except InputError as error:
            if "collapsed" in str(error) or "singular" in str(error):
                raise ValueError(COLLAPSED) from error
            raise

    def sample(self, n_samples=1):
        try:
            super().sample(n_samples)
        except InputError as error:
            raise ValueError("Invalid value for 'n_samples'") from error
        rng = self.random_state if isinstance(self.random_state, np.random.RandomState) else np.random.RandomState(0)
        return self._draw(n_samples, rng)


PRIVATE = "tests a private function of scikit-learn, which ours has not"
WORDING = "tests the wording of a refusal; ours are tested in test_mixture.py"
SKIPPED = {
    "test_check_weights": WORDING,
    "test_check_means": WORDING,
    "test_check_precisions": WORDING,
    "test_gaussian_mixture_fit_convergence_warning": WORDING,
    "test_suffstat_sk_full": PRIVATE,
    "test_suffstat_sk_tied": PRIVATE,
    "test_suffstat_sk_diag": PRIVATE,
    "test_gaussian_suffstat_sk_spherical": PRIVATE,
    "test_compute_log_det_cholesky": PRIVATE,
    "test_gaussian_mixture_log_probabilities": PRIVATE,
    "test_gaussian_mixture_precisions_init": PRIVATE,
    "test_gaussian_mixture_all_init_does_not_estimate_gaussian_parameters": PRIVATE,
    "test_gaussian_mixture_fit_best_params": "holds only where each single start ends in the same maximum",
    "test_gaussian_mixture_setting_best_params": "two components on one row each, reg_covar=0: ours refuses a collapse",
    "test_gaussian_mixture_verbose": "ours prints nothing",
    "test_gaussian_mixture_array_api_compliance": "ours takes arrays of NumPy",
    "test_gaussian_mixture_raises_where_array_api_not_implemented": "ours takes arrays of NumPy",
}


def skipped(reason):
    @pytest.mark.skip(reason=reason)
    def test():
        """Not for ours."""

    return test


theirs.GaussianMixture = GaussianMixture
THEIRS = {name: test for name, test in vars(theirs).items() if name.startswith("test_")}
globals().update({name: skipped(SKIPPED[name]) if name in SKIPPED else test for name, test in THEIRS.items()})


@pytest.fixture
def global_dtype():
    return np.float64


@pytest.fixture(params=[0, 1, 2])
def global_random_seed(request):
    return request.param


def test_every_skip_is_of_a_test_of_theirs():
    assert set(SKIPPED) <= set(THEIRS)
