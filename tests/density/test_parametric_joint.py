"""Joint families against scipy and simulation; conditions against quadrature."""

import numpy as np
import pytest
from scipy import stats

from latens.density import Parametric


def plane():
    rng = np.random.RandomState(11)
    return rng.normal(size=(500, 3)) @ np.array([[1.0, 0.5, 0.0], [0.0, 1.0, -0.7], [0.0, 0.0, 0.4]]) + [1.0, 2.0, 3.0]


def test_the_joint_normal_is_scipy_s_with_its_errors():
    rows = plane()
    density = Parametric("normal").fit(rows)
    mean, covariance = stats.multivariate_normal.fit(rows)
    np.testing.assert_allclose(density.params_["mean"], mean, rtol=1e-12)
    np.testing.assert_allclose(density.params_["covariance"], covariance, rtol=1e-10, atol=1e-13)
    exact = stats.multivariate_normal(mean, covariance).logpdf(rows)
    np.testing.assert_allclose(density.score_samples(rows), exact, rtol=1e-10)
    draws = density.sample(200 * 500, random_state=0).reshape(200, 500, 3)
    fits = [Parametric("normal").fit(part).params_ for part in draws]
    for key in ("mean", "covariance"):
        spread = np.std([fit[key] for fit in fits], axis=0)
        np.testing.assert_allclose(spread, density.standard_errors_[key], rtol=0.25)


def test_the_joint_normal_about_a_known_mean():
    rows = plane()
    density = Parametric("normal", fixed={"mean": [1.0, 2.0, 3.0]}).fit(rows)
    off = rows - [1.0, 2.0, 3.0]
    np.testing.assert_allclose(density.params_["covariance"], off.T @ off / 500, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", ["normal", "multivariate-t"])
def test_a_condition_is_the_joint_over_the_marginal(name):
    """p(open | known) is proportional to p(all) and integrates to one over a grid."""
    density = Parametric(name).fit(plane())
    open_ = density.condition({1: 2.5, 2: 2.0})
    x = np.linspace(-15, 17, 20_001)
    line = np.column_stack([x, np.full_like(x, 2.5), np.full_like(x, 2.0)])
    joint = np.exp(density.score_samples(line))
    marginal = np.trapezoid(joint, x)
    np.testing.assert_allclose(np.exp(open_.score_samples(x[:, None])), joint / marginal, rtol=1e-4, atol=1e-9)
    below = np.cumsum(joint) / joint.sum()
    np.testing.assert_allclose(open_.cdf(x), below, atol=1e-3)
    np.testing.assert_allclose(open_.cdf(open_.quantile([0.1, 0.5, 0.99])), [0.1, 0.5, 0.99], rtol=1e-9)
    filled = density.complete([[np.nan, 2.5, 2.0], [0.0, 1.0, 2.0], [np.nan] * 3])
    assert filled[0, 0] == pytest.approx(np.trapezoid(x * joint, x) / marginal, abs=1e-6)
    np.testing.assert_array_equal(filled[1], [0.0, 1.0, 2.0])
    centre = density.params_["mean" if name == "normal" else "loc"]
    np.testing.assert_allclose(filled[2], centre)


def test_the_joint_t_is_at_its_maximum_with_its_errors():
    rng = np.random.RandomState(12)
    truth = stats.multivariate_t([1.0, -1.0], [[2.0, 0.6], [0.6, 1.0]], df=4.0, seed=rng)
    rows = truth.rvs(2000)
    density = Parametric("multivariate-t").fit(rows)

    def value(u):
        scale = np.array([[u[3], u[4]], [u[4], u[5]]])
        return stats.multivariate_t(u[1:3], scale, df=u[0]).logpdf(rows).mean()

    p = density.params_
    top = np.array([p["df"], *p["loc"], p["scale"][0, 0], p["scale"][0, 1], p["scale"][1, 1]])
    assert density.log_likelihood_ == pytest.approx(2000 * value(top), rel=1e-10)
    central = [(value(top + h) - value(top - h)) / 2e-5 for h in 1e-5 * np.eye(6)]
    np.testing.assert_allclose(central, 0.0, atol=1e-6)
    fits = [Parametric("multivariate-t").fit(truth.rvs(1000)) for _ in range(60)]
    claimed = fits[0].standard_errors_
    spread = np.std([f.params_["df"] for f in fits])
    assert spread == pytest.approx(np.median([f.standard_errors_["df"] for f in fits]), rel=0.35)
    np.testing.assert_allclose(np.std([f.params_["loc"] for f in fits], axis=0), claimed["loc"], rtol=0.35)
    np.testing.assert_allclose(np.std([f.params_["scale"] for f in fits], axis=0), claimed["scale"], rtol=0.4)


def test_the_expected_information_of_a_joint_t_is_that_of_one_column():
    rows = 2 * np.random.RandomState(13).standard_t(4.0, size=(20_000, 1))
    joint, single = Parametric("multivariate-t").fit(rows), Parametric("student-t").fit(rows)
    assert joint.params_["df"] == pytest.approx(single.params_["df"], rel=1e-4)
    assert joint.params_["scale"][0, 0] == pytest.approx(single.params_["scale"] ** 2, rel=1e-4)
    assert joint.log_likelihood_ == pytest.approx(single.log_likelihood_, rel=1e-10)
    assert joint.standard_errors_["df"] == pytest.approx(single.standard_errors_["df"], rel=0.05)
    assert joint.standard_errors_["loc"][0] == pytest.approx(single.standard_errors_["loc"], rel=0.02)
    by_delta = 2 * single.params_["scale"] * single.standard_errors_["scale"]
    assert joint.standard_errors_["scale"][0, 0] == pytest.approx(by_delta, rel=0.05)


def test_a_joint_t_without_heavy_tails_is_normal():
    rows = np.random.RandomState(14).uniform(size=(300, 2))
    density, normal = Parametric("multivariate-t").fit(rows), Parametric("normal").fit(rows)
    assert density.params_["df"] == np.inf
    np.testing.assert_allclose(density.score_samples(rows), normal.score_samples(rows), rtol=1e-9)


def test_dirichlet_is_scipy_s_density_at_its_maximum():
    rows = np.random.RandomState(15).dirichlet([0.3, 2.0, 5.0, 1.0], size=800)
    density = Parametric("dirichlet").fit(rows)
    a = density.params_["concentration"]
    np.testing.assert_allclose(density.score_samples(rows), stats.dirichlet(a).logpdf(rows.T), rtol=1e-10)
    value = lambda a: stats.dirichlet(a).logpdf(rows.T).mean()  # noqa: E731
    central = [(value(a + h) - value(a - h)) / 2e-5 for h in 1e-5 * np.eye(4)]
    np.testing.assert_allclose(central, 0.0, atol=1e-7)
    fits = [Parametric("dirichlet").fit(part) for part in density.sample(100 * 800, 1).reshape(100, 800, 4)]
    spread = np.std([fit.params_["concentration"] for fit in fits], axis=0)
    np.testing.assert_allclose(spread, density.standard_errors_["concentration"], rtol=0.3)
