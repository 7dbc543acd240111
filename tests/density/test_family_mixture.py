import numpy as np
import pytest
from scipy import special
from sklearn.exceptions import ConvergenceWarning

import latens
from latens.density import GaussianMixture, Histogram, Mixture, Parametric
from latens.utils.errors import InputError

RNG = np.random.RandomState(0)
COUNTS = np.r_[RNG.poisson(3.0, 300), RNG.poisson(15.0, 200)][:, None]
PLANE = np.r_[RNG.normal(0.0, 1.0, (200, 2)), RNG.normal(5.0, 0.5, (150, 2))]
HEAVY = np.r_[RNG.standard_t(3.0, 300), 12 + 2 * RNG.standard_t(3.0, 300)][:, None]


def test_two_poissons_are_those_of_em_by_hand():
    mixture = Mixture(Parametric("poisson"), tol=1e-12, random_state=0).fit(COUNTS)
    x, weights, rates = COUNTS[:, 0], np.array([0.5, 0.5]), np.array([1.0, 20.0])
    for _ in range(2000):
        joint = weights * np.exp(x[:, None] * np.log(rates) - rates - special.gammaln(x[:, None] + 1))
        r = joint / joint.sum(1, keepdims=True)
        weights, rates = r.mean(0), (r * x[:, None]).sum(0) / r.sum(0)
    found = np.array([part.params_["rate"] for part in mixture.components_])
    order = found.argsort()
    np.testing.assert_allclose(found[order], rates, rtol=1e-5)
    np.testing.assert_allclose(mixture.weights_[order], weights, rtol=1e-5)
    np.testing.assert_allclose(np.exp(mixture.score_samples(COUNTS)), joint.sum(1), rtol=1e-5)
    np.testing.assert_allclose(mixture.predict_proba(COUNTS)[:, order], r, atol=1e-5)
    np.testing.assert_array_equal(mixture.predict(COUNTS), mixture.predict_proba(COUNTS).argmax(1))
    assert mixture.is_mass


def test_normals_are_the_gaussian_mixture():
    ours = Mixture(Parametric("normal"), tol=1e-10, random_state=0).fit(PLANE)
    gaussian = GaussianMixture(2, tol=1e-10, reg_covar=0.0, random_state=0).fit(PLANE)
    np.testing.assert_allclose(ours.score_samples(PLANE), gaussian.score_samples(PLANE), atol=1e-5)


@pytest.mark.parametrize("family", ["student-t", "laplace", "logistic", "gumbel"])
def test_no_step_of_maximum_likelihood_loses(family):
    mixture = Mixture(Parametric(family), random_state=0).fit(HEAVY)
    assert (np.diff(mixture.lower_bounds_) > -1e-9).all()
    assert mixture.lower_bound_ == pytest.approx(mixture.score(HEAVY), abs=1e-12)


def test_heavy_tails_are_found():
    heavy = Mixture(Parametric("student-t"), random_state=0).fit(HEAVY)
    assert heavy.score(HEAVY) > GaussianMixture(2, random_state=0).fit(HEAVY).score(HEAVY) + 0.02
    middle = sorted(part.params_["loc"] for part in heavy.components_)
    np.testing.assert_allclose(middle, [0.0, 12.0], atol=0.3)


def test_each_component_its_own_family():
    rng = np.random.RandomState(1)
    x = np.r_[rng.exponential(1.0, 1000), rng.normal(12.0, 0.5, 1000)][:, None]
    mixture = Mixture([Parametric("exponential"), Parametric("normal")], n_init=5, random_state=0).fit(x)
    assert [part.family for part in mixture.components_] == ["exponential", "normal"]
    np.testing.assert_allclose(mixture.weights_, [0.5, 0.5], atol=0.02)
    assert mixture.components_[1].params_["loc"] == pytest.approx(12.0, abs=0.1)


def test_where_no_component_has_a_density_the_weights_are_left():
    mixture = Mixture([Histogram([0.0, 1.0, 2.0]), Histogram([0.0, 1.0, 2.0])], random_state=0).fit(
        [[0.5], [1.5], [1.6]]
    )
    np.testing.assert_allclose(mixture.predict_proba([[7.0]])[0], mixture.weights_)
    assert mixture.score_samples([[7.0]])[0] == -np.inf


def test_quantiles_of_counts_are_counts():
    mixture = Mixture(Parametric("poisson"), random_state=0).fit(COUNTS)
    mass = np.exp(mixture.score_samples(np.arange(100)[:, None]))
    q = np.array([1e-9, 0.01, 0.3, 0.7, 0.9999])
    np.testing.assert_array_equal(mixture.quantile(q), np.searchsorted(np.cumsum(mass), q))


def test_a_mixture_is_kept_on_disk(tmp_path):
    mixture = Mixture(Parametric("poisson"), random_state=0).fit(COUNTS)
    mixture.save(tmp_path / "m")
    loaded = latens.load(tmp_path / "m")
    np.testing.assert_array_equal(loaded.score_samples(COUNTS), mixture.score_samples(COUNTS))


def test_too_few_steps_are_told():
    with pytest.warns(ConvergenceWarning, match="did not converge in 1 steps"):
        Mixture(max_iter=1, random_state=0).fit(PLANE)


BAD = {
    "more components than rows": (
        Mixture(n_components=6),
        PLANE[:5],
        "6 components expect at least as many rows; got 5",
    ),
    "no components": (Mixture(n_components=0), PLANE, "n_components must be a positive integer"),
    "a list and another number": (
        Mixture([Histogram()] * 2, 3),
        PLANE,
        "list of 2 densities expects n_components=None",
    ),
    "an empty list": (Mixture([]), PLANE, "list of 0 densities"),
    "what a component refuses": (Mixture(Parametric("poisson")), PLANE, "counts|integer|0, 1, 2"),
    "no starts": (Mixture(n_init=0), PLANE, "n_init must be a positive integer"),
    "a collapse": (Mixture(), np.r_[np.zeros(50), np.full(50, 3.0)][:, None], "2 has collapsed"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_line(case):
    mixture, x, message = BAD[case]
    with pytest.raises(InputError, match=message) as caught:
        mixture.fit(x)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("component", ["poisson", Parametric, 3])
def test_a_component_that_is_no_density_is_refused(component):
    with pytest.raises(InputError, match="component expects a density, such as") as caught:
        Mixture(component, 2).fit([[1.0], [2.0], [3.0]])
    assert "\n" not in str(caught.value)
