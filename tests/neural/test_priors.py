"""A VAE with each prior: its scores are the integral over z; what is saved is what was learned."""

import copy
import math

import numpy as np
import pytest
import torch

import latens
from latens import VAE
from latens.distributions import MixtureOf, Normal
from latens.metrics import evaluate
from latens.models import ExemplarPrior, Free, NormalizingFlow, VampPrior
from latens.nn import MLP

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
def evidence(vae, rows, log_prior, points=201, reach=10.0):
    """log of the integral of p(x | z) p(z) over a grid of z, ``(rows,)`` nats of the user's data."""
    axis = torch.linspace(-reach, reach, points, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)
    model, x = copy.deepcopy(vae.model_).double(), vae.units_(torch.from_numpy(rows)).double()
    log_p = torch.stack([model.likelihood(z).log_prob(row) for row in x], 1)
    cell, volume = 2.0 * math.log(axis[1] - axis[0]), vae.units_.scale.log().sum()
    return ((log_p + log_prior(model, z)[:, None]).logsumexp(0) + cell - volume).numpy()


def own(model, z):
    return model.prior().log_prob(z)


def check_bound(vae, rows, exact):
    """The bound reaches the evidence with many draws, and with few it lies below: by many standard errors."""
    np.testing.assert_allclose(vae.score_samples(rows[:6], k=20_000), exact[:6], atol=0.01)
    copied = copy.deepcopy(vae)
    short = []
    for seed in range(50):
        copied.seed_ = seed
        short.append(exact.mean() - copied.score_samples(rows, k=1).mean())
    error = np.std(short) / math.sqrt(len(short))
    assert np.mean(short) > 5 * error


def test_scores_are_the_integral_over_the_latents(vae):
    rows = table()[:60]
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
def test_a_condition_is_refused(prior):
    with pytest.raises(ValueError, match="expects no condition") as caught:
        VAE(prior=prior, condition="y").fit(table(), np.arange(600) % 2)
    assert "\n" not in str(caught.value)
