"""scikit-learn's own tests of its KernelDensity, from the installed package, on ours."""

import functools

import pytest

theirs = pytest.importorskip("sklearn.neighbors.tests.test_kde")

from latens import density  # noqa: E402


class KernelDensity(density.KernelDensity):
    """Ours with their arguments, their rules (a number whatever the data's spread) and their score, a sum."""

    def __init__(
        self,
        *,
        bandwidth=1.0,
        algorithm="auto",
        kernel="gaussian",
        metric="euclidean",
        atol=0,
        rtol=0,
        breadth_first=True,
        leaf_size=40,
        metric_params=None,
    ):
        given = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        super().__init__(bandwidth, kernel, exact=True)
        vars(self).update(given)

    def fit(self, X, y=None, sample_weight=None):
        given, (n, d) = self.bandwidth, X.shape
        rules = {"scott": n ** (-1 / (d + 4)), "silverman": (n * (d + 2) / 4) ** (-1 / (d + 4))}
        self.bandwidth = rules[given] if isinstance(given, str) else given
        try:
            return super().fit(X, sample_weight=sample_weight)
        finally:
            self.bandwidth = given

    def score(self, X, y=None):
        return self.score_samples(X).sum()

    def sample(self, n_samples=1, random_state=None):
        if self.kernel not in ("gaussian", "tophat"):
            raise NotImplementedError("theirs draws from two kernels, ours from all")
        return super().sample(n_samples if isinstance(n_samples, int) else len(n_samples), random_state)


def euclidean(test):
    @functools.wraps(test)
    def wrapped(algorithm, metric):
        if metric not in ("euclidean", "minkowski"):
            pytest.skip("ours has one metric: distances are Euclidean after the bandwidth matrix")
        test(algorithm, metric)

    return wrapped


theirs.KernelDensity = KernelDensity
WRAPPED = {"test_kde_algorithm_metric_choice": euclidean}
THEIRS = {name: test for name, test in vars(theirs).items() if name.startswith("test_")}
globals().update({name: WRAPPED.get(name, lambda test: test)(test) for name, test in THEIRS.items()})


def test_every_skip_is_of_a_test_of_theirs():
    assert set(WRAPPED) <= set(THEIRS)
