"""Learned priors, and priors fitted afterwards: scores are the integral over z, what is saved is what was learned."""

import copy
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import latens
from latens import (
    VAE,
    AutoEncoder,
    BayesClassifier,
    Flow,
    GaussianMixture,
    Histogram,
    KernelDensity,
    Parametric,
    SemiSupervisedVAE,
)
from latens.distributions import MixtureOf, Normal, StudentT, VonMisesFisher
from latens.metrics import evaluate
from latens.models import (
    ExemplarPrior,
    FittedDistribution,
    Free,
    GumbelSoftmax,
    NormalizingFlow,
    UniformSphere,
    VampPrior,
    draw,
)
from latens.nn import MLP
from latens.objectives import ELBO, Distortion, Rate
from latens.utils.errors import InputError
from latens.utils.storage import load_tensors

SMALL = MLP((16,), "tanh")


def table(n=600):
    """Three columns that bend with two unseen numbers, in two clusters."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(n, 2)) + np.where(rng.random((n, 1)) < 0.5, -2.0, 2.0)
    clean = z @ rng.normal(size=(2, 3))
    return (clean + 0.3 * np.sin(clean) + 0.5 * rng.normal(size=(n, 3))) * [1000.0, 0.001, 1.0]


def fitted(prior, **settings):
    settings = {"latents": 2, "encoder": SMALL, "decoder": SMALL, "epochs": 12, "learning_rate": 0.01} | settings
    return VAE(prior=prior, likelihood=Normal("shared"), random_state=0, **settings).fit(table())


PRIORS = {
    "mixture": Free(MixtureOf(Normal("element"), 5, over="event")),
    "vamp": VampPrior(8),
    "exemplars": ExemplarPrior(60),
    "flow": NormalizingFlow(1, network=MLP((8,))),
}


@pytest.fixture(scope="module", params=PRIORS)
def vae(request):
    return fitted(PRIORS[request.param])


@torch.no_grad()
def evidence(vae, rows, log_prior, points=201, reach=10.0, context=None):
    """log of the integral of p(x | z) p(z) over a grid of z, ``(rows,)`` nats of the user's data."""
    axis = torch.linspace(-reach, reach, points, dtype=torch.float64)
    size = vae.settings_["latents"]
    z = torch.cartesian_prod(*[axis] * size).reshape(-1, size)
    model, x = copy.deepcopy(vae.model_).double(), vae.units_(torch.from_numpy(rows)).double()
    given = None if context is None else torch.tensor(context, dtype=torch.float64).expand(len(z), -1)
    log_p = model.likelihood(z, context=given).log_prob(x[:, None])  # (rows, grid)
    cell, volume = size * math.log(axis[1] - axis[0]), vae.units_.scale.log().sum()
    return ((log_p + log_prior(model, z)).logsumexp(1) + cell - volume).numpy()


def own(model, z):
    return model.prior().log_prob(z)


def check_bound(vae, rows, exact):
    """The bound reaches the evidence with many draws, and with few it lies below: by many standard errors."""
    if isinstance(getattr(vae, "prior_", None), VAE):  # whose scores are bounds themselves: the mean of more rows
        assert vae.score_samples(rows, k=1000).mean() == pytest.approx(exact.mean(), abs=0.01)
    else:
        np.testing.assert_allclose(vae.score_samples(rows[:6], k=20_000), exact[:6], atol=0.015)
    copied = copy.deepcopy(vae)
    short = []
    for seed in range(50):
        copied.seed_ = seed
        short.append(exact.mean() - copied.score_samples(rows, k=1).mean())
    error = np.std(short) / math.sqrt(len(short))
    assert np.mean(short) > 5 * error


def test_scores_are_the_integral_over_the_latents(vae):
    rows = table()[:30]
    check_bound(vae, rows, evidence(vae, rows, own))


def test_it_is_saved_to_the_bit(vae, tmp_path):
    vae.save(tmp_path / "model")
    again = latens.load(tmp_path / "model")
    rows = table()[:20]
    np.testing.assert_array_equal(again.score_samples(rows), vae.score_samples(rows))
    np.testing.assert_array_equal(again.sample(20), vae.sample(20))
    assert again.prior == vae.prior
    assert {name: t.tolist() for name, t in again.model_.state_dict().items() if t is not None} == {
        name: t.tolist() for name, t in vae.model_.state_dict().items()
    }


def test_samples_have_the_moments_of_the_data(vae):
    rows, drawn = table(), vae.sample(4000)
    spread = rows.std(0)
    np.testing.assert_allclose(drawn.mean(0) / spread, rows.mean(0) / spread, atol=0.3)
    np.testing.assert_allclose(drawn.std(0) / spread, 1.0, atol=0.3)


def test_its_rate_is_told_by_draws(vae):
    figures = evaluate(vae, table()[:100], k=64)
    assert figures.log_likelihood > -figures.negative_elbo
    assert figures.rate > 0.5
    assert figures.rate_per_dimension is None


@pytest.mark.parametrize("prior", [VampPrior(8), ExemplarPrior(60)], ids=str)
def test_what_it_learned_from_was_its_own(prior):
    """Exemplars and pseudo-inputs are rows to learn from, in the units of the model."""
    vae = fitted(prior, epochs=1)
    x = vae.units_(torch.from_numpy(table()))
    seen = vae.model_.prior.exemplars if isinstance(prior, ExemplarPrior) else vae.model_.prior.inputs.detach()
    nearest = (seen[:, None] - x).abs().amax(2).min(1).values
    assert nearest.max() <= (0.0 if isinstance(prior, ExemplarPrior) else 0.5)
    assert seen.std(0).min() > 0.5


@pytest.mark.parametrize("prior", [VampPrior(8), ExemplarPrior(60)], ids=str)
def test_labels_that_few_rows_have_are_refused(prior):
    with pytest.raises(ValueError, match="rows whose labels are all known") as caught:
        SemiSupervisedVAE(prior=prior).fit(table(), np.arange(600) % 3 - 1)
    assert "\n" not in str(caught.value)


# -- priors fitted afterwards

TINY = {"encoder": MLP((8,)), "decoder": MLP((8,)), "epochs": 5, "learning_rate": 0.01, "random_state": 0}
DENSITIES = {
    "mixture": GaussianMixture(4, random_state=0),
    "kernel": KernelDensity(),
    "flow": Flow(transforms=1, network=MLP((8,)), epochs=5, random_state=0),
    "a second VAE": VAE(latents=1, likelihood=Normal("shared"), score_samples_k=10, **TINY),
}


@pytest.fixture(scope="module")
def plain():
    """Learned with little weight on the rate, so that its latents do not fill the prior; heavy tails score them."""
    return fitted(None, objective=Distortion() + 0.6 * Rate(), posterior=StudentT("element"))


@pytest.fixture(scope="module", params=DENSITIES)
def refined(request, plain):
    return copy.copy(plain).fit_prior(DENSITIES[request.param], table())


def of_density(vae):
    """The fitted prior on a grid: of a VAE, by integration over its own latents."""
    prior = vae.prior_
    if isinstance(prior, VAE):
        return lambda model, z: torch.from_numpy(evidence(prior, z.numpy(), own, points=301))
    return lambda model, z: torch.from_numpy(prior.score_samples(z.numpy()))


def test_scores_under_a_fitted_prior_are_the_integral_too(refined):
    rows = table()[:30]
    check_bound(refined, rows, evidence(refined, rows, of_density(refined), points=121))


def test_a_fitted_prior_fits_better_than_the_first_and_can_be_removed(plain, refined):
    rows = table()
    first, second = plain.score_samples(rows, k=20), refined.score_samples(rows, k=20)
    if isinstance(refined.prior_, GaussianMixture | KernelDensity):
        assert second.mean() > first.mean() + 0.1
    assert not hasattr(plain, "prior_")
    other = copy.copy(refined)
    del other.prior_
    np.testing.assert_array_equal(other.score_samples(rows, k=20), first)
    np.testing.assert_array_equal(other.sample(9), plain.sample(9))


def test_a_score_under_it_depends_on_the_row_alone(refined):
    rows = table()[:40]
    whole, order = refined.score_samples(rows, k=9), np.random.default_rng(1).permutation(40)
    np.testing.assert_array_equal(refined.score_samples(rows[order], k=9), whole[order])
    np.testing.assert_array_equal(refined.score_samples(rows[5:8], k=9), whole[5:8])


def test_it_is_saved_with_the_model(refined, tmp_path):
    refined.save(tmp_path / "model")
    again = latens.load(tmp_path / "model")
    rows = table()[:20]
    assert type(again.prior_) is type(refined.prior_)
    np.testing.assert_array_equal(again.score_samples(rows, k=9), refined.score_samples(rows, k=9))
    np.testing.assert_array_equal(again.sample(20), refined.sample(20))
    again.save(tmp_path / "again")
    (a, text_a), (b, text_b) = load_tensors(tmp_path / "model"), load_tensors(tmp_path / "again")
    assert text_a == text_b
    assert a.keys() == b.keys()
    assert all(np.array_equal(a[name], b[name]) for name in a)


def test_a_prior_may_have_a_prior(plain, tmp_path):
    inner = VAE(latents=1, likelihood=Normal("shared"), **TINY)
    tower = copy.copy(plain).fit_prior(inner, table())
    tower.prior_.fit_prior(Histogram(9), tower._latents(table(), None))
    tower.save(tmp_path / "model")
    again = latens.load(tmp_path / "model", device="cpu")
    assert isinstance(again.prior_.prior_, Histogram)
    assert again.prior_.device == "cpu"
    np.testing.assert_array_equal(again.sample(30), tower.sample(30))


def test_latents_are_drawn_from_the_posterior_row_by_row(plain):
    rows = table()
    z = plain._latents(rows, None)
    q = plain.model_.posterior(plain.units_(torch.from_numpy(rows)))
    apart = (z - q.mean.detach().numpy()) / q.element.scale.detach().numpy()
    assert stats.kstest(apart.ravel(), stats.t(df=4).cdf).pvalue > 1e-3
    np.testing.assert_array_equal(plain._latents(rows[::-1], None), z[::-1])


def test_a_linear_gaussian_model_has_the_moments_and_the_density_known():
    """z = A x + b + 0.4 e has known moments, and x = W z + c + 0.5 e under a normal prior a known density."""
    rows = np.random.default_rng(3).normal(size=(4000, 3)) @ np.array([[2, 0.5, 0], [0, 1, 1], [0, 0, 0.5]]) + 1.0
    vae = VAE(latents=2, posterior=Normal(0.4), likelihood=Normal(0.5), encoder=MLP(()), decoder=MLP(()), epochs=10)
    vae.set_params(random_state=0, learning_rate=0.01).fit(rows).fit_prior(Parametric("multivariate-normal"), rows)
    codes, drawn = vae.transform(rows).astype(float), vae.prior_.sample(200_000, random_state=0)
    mean, covariance = codes.mean(0), np.cov(codes.T) + 0.16 * np.eye(2)
    error = np.sqrt(np.diag(covariance))
    assert (np.abs(drawn.mean(0) - mean) < 5 * 0.4 / math.sqrt(4000) + 5 * error / math.sqrt(200_000)).all()
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=5 * (2 * 0.4 * error.max() + 0.23) / math.sqrt(4000))

    points = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    with torch.no_grad():
        at = vae.model_.likelihood(torch.tensor(points, dtype=torch.float32)).mean.numpy()
    shift, scale = vae.units_.shift.numpy(), vae.units_.scale.numpy()
    c, W = at[0] * scale + shift, (at[1:] - at[0]).T * scale[:, None]
    m, S = drawn.mean(0), np.cov(drawn.T)
    exact = stats.multivariate_normal(W @ m + c, W @ S @ W.T + np.diag((0.5 * scale) ** 2))
    samples = vae.sample(20_000)
    usual = rows[exact.logpdf(rows) > -5][:20]
    np.testing.assert_allclose(vae.score_samples(usual, k=30_000), exact.logpdf(usual), atol=0.025)
    holed = np.where([True, True, False], usual, np.nan)
    given = exact.cov[2, :2] @ np.linalg.solve(exact.cov[:2, :2], (usual[:, :2] - exact.mean[:2]).T) + exact.mean[2]
    off = np.abs(vae.complete(holed, k=8_000)[:, 2] - given)
    del vae.prior_
    before = np.abs(vae.complete(holed, k=8_000)[:, 2] - given)
    assert np.median(off) < 0.03 < 0.6 * np.median(before)

    z = (samples.mean(0) - exact.mean) / np.sqrt(np.diag(exact.cov) / len(samples))
    assert np.abs(z).max() < 5
    np.testing.assert_allclose(np.cov(samples.T), exact.cov, atol=5 * 2 * exact.cov.max() / math.sqrt(len(samples)))


CONDITIONAL = {
    "a copy for each class": GaussianMixture(3, random_state=0),
    "a classifier": BayesClassifier(GaussianMixture(3, random_state=0)),
    "a network": Flow(transforms=1, network=MLP((8,)), epochs=5, random_state=0),
}


@pytest.fixture(scope="module")
def sided():
    """A conditional density, and its rows and their sides; its code tells the side too."""
    rows, y = table(), np.where(table()[:, 2] > 0, "right", "left")
    vae = VAE(likelihood=Normal("shared"), latents=2, condition="y", **TINY | {"epochs": 15})
    vae.set_params(objective=Distortion() + 0.5 * Rate(), posterior=StudentT("element")).fit(rows, y)
    return vae, rows, y


@pytest.mark.parametrize("name", CONDITIONAL)
def test_a_prior_of_a_conditional_density_knows_the_condition(name, sided, tmp_path):
    """log p(x | y) is the integral of p(x | z, y) p(z | y); draws given y have the mean of rows of y."""
    first, rows, y = sided
    vae = copy.copy(first).fit_prior(CONDITIONAL[name], rows, y)
    for k, label in enumerate(("left", "right")):

        def of_side(model, z, k=k, label=label):
            one = vae.prior_.densities_[k].score_samples(z.numpy()) if isinstance(vae.prior_, BayesClassifier) else None
            return torch.from_numpy(vae.prior_.score_samples(z.numpy(), label) if one is None else one)

        exact = evidence(vae, rows[:4], of_side, points=121, context=[[1.0 - k, k]])
        np.testing.assert_allclose(vae.score_samples(rows[:4], np.full(4, label), k=5000), exact, atol=0.05)
        drawn, real = vae.sample(2000, y=label), rows[y == label]
        assert np.abs((drawn.mean(0) - real.mean(0)) / rows.std(0)).max() < 0.3
    mixed = vae.sample(2000, y=np.resize(["left", "right"], 2000))[:, 2]
    assert (mixed[::2] < 0).mean() > 0.85
    assert (mixed[1::2] > 0).mean() > 0.85
    np.testing.assert_array_equal(
        vae.score_samples(rows[:20], y[:20], k=9)[7:9], vae.score_samples(rows[7:9], y[7:9], k=9)
    )
    vae.save(tmp_path / "model")
    again = latens.load(tmp_path / "model")
    np.testing.assert_array_equal(again.sample(20, y="left"), vae.sample(20, y="left"))


def test_beside_real_numbers_only_a_network_is_told_them(sided):
    _, rows, _ = sided
    vae = VAE(likelihood=Normal("shared"), latents=2, condition="y", **TINY).fit(rows, rows[:, 2])
    assert vae.fit_prior(Histogram(3), rows, rows[:, 2]).sample(5, y=1.5).shape == (5, 3)
    vae.fit_prior(CONDITIONAL["a network"], rows, rows[:, 2])
    z, y = vae._latents(rows, rows[:, 2])[:4], rows[:4, 2:]
    with torch.no_grad():
        told = vae._fitted_prior(torch.from_numpy(vae.condition_.encode(y, 4))).log_prob(torch.from_numpy(z))
    np.testing.assert_allclose(told, vae.prior_.score_samples(z, y), rtol=1e-4)


def test_a_class_of_too_few_rows_for_its_prior_is_named(sided):
    vae, rows, y = sided
    few = np.r_[np.flatnonzero(y == "left")[:50], np.flatnonzero(y == "right")[:2]]
    with pytest.raises(InputError, match=r"The density of class right \(2 rows\)"):
        copy.copy(vae).fit_prior(GaussianMixture(3), rows[few], y[few])


def test_the_evaluation_is_of_the_prior_that_counts(plain, refined):
    rows = table()[:200]
    before, after = evaluate(plain, rows, k=32), evaluate(refined, rows, k=32)
    assert after.distortion == before.distortion
    assert after.rate != before.rate
    np.testing.assert_allclose(after.log_likelihood, refined.score_samples(rows, k=32).mean(), rtol=1e-6)


def test_learning_anew_forgets_the_prior_of_other_latents(refined):
    other = copy.copy(refined).set_params(epochs=1).fit(table(60))
    assert not hasattr(other, "prior_")


def test_codes_of_an_autoencoder_are_what_its_prior_is_fitted_to(tmp_path):
    plain = AutoEncoder(latents=2, **TINY).fit(table())
    np.testing.assert_array_equal(plain._latents(table(), None), plain.transform(table()))
    plain.fit_prior(VAE(latents=1, **TINY), table())
    plain.save(tmp_path / "model")
    np.testing.assert_array_equal(latens.load(tmp_path / "model").sample(20), plain.sample(20))


def test_a_fitted_prior_has_no_gradient(plain):
    p = FittedDistribution(Histogram(3).fit(np.random.default_rng(0).normal(size=(50, 2))), torch.zeros(2))
    z = torch.zeros(4, 2, requires_grad=True)
    with pytest.raises(
        InputError, match=r"A fitted prior \(Histogram\) serves sampling and scoring, and has no gradient"
    ):
        p.log_prob(z)
    with torch.no_grad():
        assert p.log_prob(z).shape == (4,)
    refined = copy.copy(plain).fit_prior(GaussianMixture(2), table())
    with pytest.raises(InputError, match="has no gradient"):
        ELBO()(draw(refined._model, refined.units_(torch.from_numpy(table()[:5]))))


def test_where_a_prior_is_zero_so_may_the_density_be(plain):
    rows = table()
    few = rows[:30]
    scores = copy.copy(plain).fit_prior(Histogram(8), few).score_samples(rows, k=1)
    assert not np.isnan(scores).any()
    assert np.isfinite(scores[:30]).any()
    assert (scores == -np.inf).sum() > 10


class Masses(Histogram):
    is_mass = True


class Own(nn.Linear):
    """A network of one's own."""


UNFIT = {
    "a number": (lambda v: v.fit_prior(3, table()), r"expects a density such as GaussianMixture\(10\); got int"),
    "no density": (lambda v: v.fit_prior(AutoEncoder(), table()), "got AutoEncoder"),
    "a condition": (lambda v: v.fit_prior(VAE(condition="y"), table()), "without a condition"),
    "masses": (lambda v: v.fit_prior(Masses(3), table()), "tells masses"),
    "other rows": (lambda v: v.fit_prior(Histogram(3), table()[:, :2]), "features"),
    "codes": (
        lambda v: VAE(latents=2, posterior=GumbelSoftmax(3), **TINY).fit(table()).fit_prior(Histogram(), table()),
        "one latent vector of real numbers",
    ),
    "the sphere": (
        lambda v: (
            VAE(latents=3, posterior=VonMisesFisher(), prior=UniformSphere(), **TINY)
            .fit(table())
            .fit_prior(Histogram(), table())
        ),
        "a prior fitted afterwards is of real vectors",
    ),
}


@pytest.mark.parametrize("name", UNFIT)
@pytest.mark.filterwarnings("ignore:posterior collapse")
def test_what_is_no_prior_is_refused_in_one_line(name, plain):
    call, message = UNFIT[name]
    with pytest.raises(ValueError, match=message) as caught:
        call(copy.copy(plain))
    assert "\n" not in str(caught.value)


def test_a_prior_with_a_module_of_ones_own_is_not_saved_inside(plain, tmp_path):
    vae = copy.copy(plain).fit_prior(VAE(latents=1, **TINY | {"encoder": Own(2, 2)}), table())
    with pytest.raises(InputError, match="part of your own cannot be saved inside"):
        vae.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
