"""Priors over codes: against sums over all codes, and the rates they save on digits."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from latens import VAE
from latens.distributions import Categorical, MixtureOf
from latens.models import AutoregressiveCodes, FiniteScalar, Free, GumbelSoftmax, UniformCodes, VectorQuantised, draw
from latens.nn import GRU, MLP, Site, Transformer
from latens.objectives import ELBO, Commitment, Rate
from latens.training import loop
from latens.utils.errors import InputError

BITS = (load_digits().images > 7.5).astype(np.uint8)
SMALL = {"encoder": MLP((24,)), "decoder": MLP((24,)), "learning_rate": 0.01, "random_state": 0}
PRIORS = {
    "uniform": UniformCodes(),
    "independent": Free(Categorical(3)),
    "a mixture": Free(MixtureOf(Categorical(3), 4, "event")),
    "one after another": AutoregressiveCodes(MLP((16,))),
    "by attention": AutoregressiveCodes(Transformer(8, 1, 2)),
    "by recurrence": AutoregressiveCodes(GRU(6, 4)),
}
SEQUENTIAL = pytest.mark.parametrize("name", list(PRIORS)[3:])
EVERY = torch.tensor(list(itertools.product(range(3), repeat=4)), dtype=torch.float32)


def built(spec, size=4, classes=3, beside=None):
    """A prior with weights drawn at random."""
    torch.manual_seed(0)
    posterior = FiniteScalar((classes,)).build(Site(()))
    prior = spec.build(Site((size,), modules={"posterior": posterior}, beside=beside))
    for p in prior.parameters():
        torch.nn.init.normal_(p, std=0.7)
    return prior


@pytest.fixture(name="prior", params=PRIORS)
def _prior(request):
    return built(PRIORS[request.param])


@torch.no_grad()
def test_masses_of_all_codes_sum_to_one_and_draws_have_them(prior):
    p = prior()
    mass = p.log_prob(EVERY).exp().double()
    assert mass.sum().item() == pytest.approx(1.0, abs=1e-5)
    drawn = p.sample((20_000,))
    seen = (drawn[:, None] == EVERY).all(-1).double().mean(0)
    assert ((seen - mass).abs() < 5 * (mass * (1 - mass) / 20_000).sqrt() + 3 / 20_000).all()


@SEQUENTIAL
@torch.no_grad()
def test_each_code_is_told_by_those_before_it_alone(name):
    p = built(PRIORS[name])()
    table = p.log_probs(EVERY)
    torch.testing.assert_close(table.exp().sum(-1), torch.ones(81, 4))
    for i in range(4):
        same = (EVERY[:, None, :i] == EVERY[:, :i]).all(-1)
        gap = (table[:, None, i] - table[None, :, i]).abs().amax(-1)
        assert gap[same].max() < 1e-5
        assert i == 0 or gap[~same].max() > 0.02


@SEQUENTIAL
@torch.no_grad()
def test_codes_are_told_given_the_context(name):
    prior = built(PRIORS[name], beside=(2,))
    context = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    p = prior(context=context)
    assert p.batch_shape == (3,)
    scores = p.log_prob(EVERY[:, None].expand(81, 3, 4))
    torch.testing.assert_close(scores.exp().sum(0), torch.ones(3))
    for b in range(3):
        torch.testing.assert_close(scores[:, b], prior(context=context[b : b + 1]).log_prob(EVERY[:, None])[:, 0])
    assert (scores[:, 0] - scores[:, 1]).abs().max() > 0.02
    drawn = p.sample((20_000,))
    mass = scores.exp().double()
    seen = (drawn[:, None] == EVERY[:, None]).all(-1).double().mean(0)
    assert ((seen - mass).abs() < 5 * (mass * (1 - mass) / 20_000).sqrt() + 3 / 20_000).all()


@SEQUENTIAL
def test_it_begins_as_uniform(name):
    prior = PRIORS[name].build(Site((4,), modules={"posterior": FiniteScalar(3).build(Site(()))}))
    np.testing.assert_allclose(prior().log_prob(EVERY).detach(), -4 * np.log(3), rtol=1e-6)


@SEQUENTIAL
def test_one_code_is_free(name):
    p = built(PRIORS[name], 1)()
    assert p.log_prob(torch.arange(3.0)[:, None]).exp().sum().item() == pytest.approx(1.0, abs=1e-6)


def fitted(posterior, prior, epochs=20, X=BITS, **settings):
    objective = ELBO() + 0.25 * Commitment() if isinstance(posterior, VectorQuantised) else ELBO()
    return VAE(posterior=posterior, prior=prior, objective=objective, epochs=epochs, **SMALL | settings).fit(X)


def test_the_more_a_prior_knows_the_less_codes_cost():
    priors = [None, Free(Categorical(12)), AutoregressiveCodes(MLP((32,)))]
    fits = [fitted(FiniteScalar((3, 4)), prior, 10, latents=4) for prior in priors]
    rows = [fit.history_.rows[-1] for fit in fits]
    rates = [row["held_out_rate"] for row in rows]
    assert rates[0] == pytest.approx(4 * np.log(12), rel=1e-5)
    assert rates[2] < rates[1] - 0.2 < rates[0] - 0.25
    assert fits[2].score(BITS) > fits[0].score(BITS) + 0.5
    codes = [fit.transform(BITS) for fit in fits]
    worth = [-fit.model_.prior().log_prob(torch.from_numpy(c)).mean().item() for fit, c in zip(fits, codes)]
    assert worth[2] < worth[0] - 0.5


def test_the_rate_moves_the_prior_alone():
    vae = fitted(VectorQuantised(6, 2), AutoregressiveCodes(MLP((8,))), 1, latents=3)
    model = vae.model_.train()
    Rate()(draw(model, torch.from_numpy(BITS[:20, None]).float())).mean().backward()
    assert all(p.grad is not None for p in model.prior.parameters())
    assert all(p.grad is None or not p.grad.any() for p in model.posterior.parameters())


@torch.no_grad()
def test_rows_are_drawn_by_their_mass():
    """Four bits, so that p(x) of every row is a sum over all codes."""
    X = BITS[:, 2:6:3, 2:6:3].reshape(-1, 4)
    with torch.enable_grad():
        vae = fitted(VectorQuantised(3, 2), AutoregressiveCodes(MLP((16,))), 6, X, latents=4)
    model, rows = vae.model_, np.array(list(itertools.product((0, 1), repeat=4)), dtype=np.uint8)
    params = model.likelihood.network(model.posterior.quantiser.embed(EVERY)) + model.likelihood.offset
    x = torch.from_numpy(rows).float()
    log_x = -torch.nn.functional.softplus(params[:, None] * (1 - 2 * x)).sum(-1)
    mass = (log_x + model.prior().log_prob(EVERY)[:, None]).logsumexp(0).exp().double().numpy()
    assert mass.sum() == pytest.approx(1.0, abs=1e-5)
    drawn = vae.sample(20_000)
    seen = np.array([(drawn == row).all(1).mean() for row in rows])
    assert (np.abs(seen - mass) < 5 * np.sqrt(mass * (1 - mass) / 20_000) + 1e-6).all()
    assert np.abs(mass - np.array([(row == X).all(1).mean() for row in rows])).max() < 0.1


def test_replayed_training_has_the_same_bits(monkeypatch):
    states = []
    for steps in (0, 10**9):
        monkeypatch.setattr(loop, "REPLAY_STEPS", steps)
        kept = []
        monkeypatch.setattr(loop, "faithful", lambda *a, f=loop.faithful, kept=kept: kept.append(f(*a)) or kept[-1])
        vae = fitted(VectorQuantised(6, 2, 2), AutoregressiveCodes(MLP((8,))), 2, BITS[:300], latents=2)
        states.append(vae.model_.state_dict())
        assert [r is not None for r in kept] == ([True] if steps == 0 else [])
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_a_prior_without_closed_form_is_refused_to_one_hot_codes():
    with pytest.raises(InputError, match="A codebook takes any prior over codes"):
        fitted(GumbelSoftmax(3), AutoregressiveCodes(), 1, latents=2)
