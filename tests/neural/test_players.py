"""Estimators of several players: gradients, bits, files and what they are for."""

import numpy as np
import pytest
import torch
from torch import nn

import latens
from latens import VAE
from latens.data import load as load_data
from latens.distributions import Bernoulli, Delta, Normal
from latens.metrics import evaluate
from latens.models import ConvLadder, Ladder, sample
from latens.neural.latent import NoDensity
from latens.nn import MLP
from latens.objectives import (
    ELBO,
    AdversarialMatching,
    AdversarialTotalCorrelation,
    Distortion,
    ImportanceWeighted,
    LearnedDistortion,
    Players,
    Rate,
)
from latens.training import Event, Linear, ResidentBatches, Tick, WhileGrowing, loop
from latens.training.players import turns
from latens.training.replay import faithful
from latens.utils.errors import InputError
from latens.utils.storage import load_tensors

rng = np.random.default_rng(0)
BITS = (rng.random((60, 7)) < 0.4).astype(np.float32)
SMALL = {"encoder": MLP((8,)), "decoder": MLP((8,)), "latents": 2, "likelihood": Bernoulli(), "random_state": 0}
CRITIC = MLP((8,))

OBJECTIVES = {
    "factor": ELBO() + 6.0 * AdversarialTotalCorrelation(CRITIC, steps=2),
    "matching": Distortion() + 2.0 * AdversarialMatching(CRITIC, 3.0),
    "vae-gan": Players(
        posterior=LearnedDistortion(CRITIC, features=4) + Rate(),
        rest=LearnedDistortion(CRITIC, features=4, realism=1.0),
    ),
    "piwae": Players(posterior=ImportanceWeighted(2, 2), rest=ImportanceWeighted(4)),
    "aggressive": Players(posterior=ELBO(), steps=WhileGrowing("mutual_information", 3)),
    "two critics": Players(
        likelihood=Distortion() + AdversarialMatching(CRITIC),
        rest=AdversarialMatching(CRITIC) + AdversarialTotalCorrelation(CRITIC),
    ),
}
LOSSES = {
    "factor": {"loss", "critic_loss"},
    "matching": {"loss", "critic_loss"},
    "vae-gan": {"loss", "posterior_loss", "critic_loss"},
    "piwae": {"loss", "posterior_loss"},
    "aggressive": {"loss", "posterior_loss"},
    "two critics": {"loss", "likelihood_loss", "critic_loss", "critic_2_loss"},
}
pytestmark = pytest.mark.filterwarnings("ignore:posterior collapse")


def fitted(objective, **settings):
    return VAE(**{**SMALL, "objective": objective, "epochs": 3, "batch_size": 16, **settings}).fit(BITS)


def numbers(model):
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in model.history_.rows]
    return [t.numpy().tobytes() for t in model.model_.state_dict().values()], rows


@pytest.mark.parametrize("name", OBJECTIVES)
def test_replayed_training_has_the_same_bits(name, monkeypatch):
    used = []
    monkeypatch.setattr(loop, "faithful", lambda *a: used.append(faithful(*a)) or used[-1])
    plain = fitted(OBJECTIVES[name])
    monkeypatch.setattr(loop, "REPLAY_STEPS", 0)
    replayed = fitted(OBJECTIVES[name])
    assert used
    assert all(map(callable, used)), "nothing was replayed"
    assert numbers(plain) == numbers(replayed)
    assert {key for key in plain.history_.rows[0] if key.endswith("loss") and "held" not in key} == LOSSES[name]


class Stop(Exception):
    pass


@pytest.mark.parametrize("name", OBJECTIVES)
def test_killed_and_resumed_training_has_the_same_bits(name, tmp_path, monkeypatch):
    for constant, value in {"CHECK_STEPS": 1, "SNAPSHOT_STEPS": 1, "TICK_SECONDS": 0.0}.items():
        monkeypatch.setattr(loop, constant, value)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", 1e9)
    path = tmp_path / "c.safetensors"

    def stopping(event: Event) -> None:
        if isinstance(event, Tick) and (event.epoch, event.step) == (1, 2):
            raise Stop

    settings = {**SMALL, "objective": OBJECTIVES[name], "epochs": 3, "batch_size": 16}
    with pytest.raises(Stop):
        VAE(**settings)._fit(load_data(BITS), checkpoint=path, listener=stopping)
    resumed = VAE(**settings)._fit(load_data(BITS), checkpoint=path)
    assert numbers(resumed) == numbers(VAE(**settings).fit(BITS))
    critics = [key for key in load_tensors(path)[0] if "critics" in key]
    assert bool(critics) == ("critic_loss" in LOSSES[name])


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_saved_model_holds_no_critic_and_is_the_same(name, tmp_path):
    model = fitted(OBJECTIVES[name])
    model.save(tmp_path / "m.safetensors")
    kept = {f"model.{key}" for key in model.model_.state_dict()}
    assert {key for key in load_tensors(tmp_path / "m.safetensors")[0] if not key.startswith("units.")} == kept
    again = latens.load(tmp_path / "m.safetensors")
    assert again.objective == model.objective
    assert np.array_equal(again.sample(5), model.sample(5))
    assert hasattr(again, "score_samples") == hasattr(model, "score_samples") == (name != "vae-gan")


def test_the_gradients_of_piwae_are_those_of_each_bound():
    """By hand: log-weights from the densities, both bounds, and autograd for each group of weights."""
    model = fitted(Players(posterior=ImportanceWeighted(3, 2), rest=ImportanceWeighted(6)), epochs=1)
    rows = torch.from_numpy(BITS[:9])
    task = model._task(model.model_, ResidentBatches(rows))
    (turn,) = turns(task, task.players(), torch.enable_grad)
    torch.manual_seed(4)
    (decoder, encoder), terms = turn(turn.players, (rows, torch.tensor(0.5)))
    torch.manual_seed(4)
    q = model.model_.posterior(task.units.spread(rows))
    z = q.rsample((6,))
    log_w = model.model_.likelihood(z).log_prob(rows) + Normal(1.0)(torch.zeros(2), (2,)).log_prob(z) - q.log_prob(z)
    iwae = -(log_w.exp().mean(0)).log().mean()
    miwae = -sum(part.exp().mean(0).log() for part in (log_w[:3], log_w[3:])).mean() / 2
    assert terms["loss"].item() == pytest.approx(iwae.item(), rel=1e-5)
    assert terms["posterior_loss"].item() == pytest.approx(miwae.item(), rel=1e-5)
    for found, bound, part in ((decoder, iwae, "likelihood"), (encoder, miwae, "posterior")):
        weights = list(getattr(model.model_, part).parameters())
        for a, b in zip(found, torch.autograd.grad(bound, weights, retain_graph=True), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    crossed = torch.autograd.grad(iwae, list(model.model_.posterior.parameters()), retain_graph=True)
    assert not torch.allclose(crossed[0], encoder[0], rtol=1e-2)


LADDERS = {"vectors": (Ladder((3, 2), width=8), BITS), "images": (ConvLadder((1, 2), (4, 4)), BITS.reshape(-1, 7, 1))}


@pytest.mark.parametrize("name", LADDERS)
def test_each_player_of_a_ladder_moves_by_its_own_bound_what_is_its_own(name):
    ladder, X = LADDERS[name]
    objectives = {"posterior": ImportanceWeighted(3, 2), "prior": ELBO(), "rest": ImportanceWeighted(6)}
    settings = {"encoder": None, "decoder": None, "latents": None, "hierarchy": ladder, "batch_size": 20}
    model = VAE(**SMALL | settings, objective=Players(**objectives), epochs=1).fit(X)
    task = model._task(model.model_, ResidentBatches(torch.from_numpy(X)))
    batch = torch.from_numpy(X[:9]), torch.tensor(0.5)
    (turn,) = turns(task, task.players(), torch.enable_grad)
    torch.manual_seed(4)
    found, _ = turn(turn.players, batch)
    parts = {name: list(model.model_.part(name).parameters()) for name in ("posterior", "prior")}
    named = {id(w) for weights in parts.values() for w in weights}
    parts["rest"] = [w for w in model.model_.parameters() if id(w) not in named]
    for slopes, part in zip(found, ("rest", "posterior", "prior")):
        torch.manual_seed(4)
        loss = objectives[part](task.draw(batch[:1], 0.5)).mean()
        for a, b in zip(slopes, torch.autograd.grad(loss, parts[part], materialize_grads=True), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    torch.manual_seed(0)
    free = torch.autograd.grad(sample(model.model_, 5).mean.sum(), parts["posterior"], allow_unused=True)
    assert all(slope is None for slope in free), "q has a part in what is drawn from p"
    d = task.draw(batch[:1], 1.0)
    told = d.decode([z.value.detach() for z in d.latents]).mean.sum()
    assert all(slope is None for slope in torch.autograd.grad(told, parts["prior"], allow_unused=True))


def test_adversarial_matching_brings_the_aggregate_posterior_to_the_prior():
    centres = np.array([[4.0, 0.0], [-3.0, 3.0], [0.0, -5.0]])[rng.integers(0, 3, 600)]
    X = (centres + 0.4 * rng.normal(size=(600, 2))).astype(np.float32)

    def moments(objective):
        settings = {"encoder": MLP((32,)), "decoder": MLP((32,)), "likelihood": Normal(0.3), "random_state": 0}
        pace = {"epochs": 200, "batch_size": 200, "learning_rate": Linear(5e-3, 0.0), "validation_fraction": 0.0}
        model = VAE(latents=2, objective=objective, **settings, **pace, ema=0.99).fit(X)
        with torch.no_grad():
            q = model.model_.posterior(model.units_(torch.from_numpy(X)))
            return q.mean.mean(0), q.mean.T.cov() + q.stddev.square().mean(0).diag()

    mean, covariance = moments(Distortion())
    assert (covariance - torch.eye(2)).abs().max() > 0.4
    mean, covariance = moments(Distortion() + 2.0 * AdversarialMatching(MLP((32, 32), "leaky_relu"), speed=2.0))
    assert mean.abs().max() < 0.15
    assert (covariance - torch.eye(2)).abs().max() < 0.25


@pytest.mark.parametrize("steps", [10, WhileGrowing("mutual_information", 10)])
def test_aggressive_inference_keeps_the_posterior_from_collapsing(steps):
    """Rows of two kinds and a decoder that learns too fast for its encoder: the ELBO alone tells 0 of log 2 nats."""
    draws = np.random.default_rng(0)
    kind = draws.random((400, 1)) < 0.5
    X = (draws.random((400, 10)) < np.where(kind, 0.75, 0.25)).astype(np.float32)
    rates = []
    for objective in (ELBO(), Players(posterior=ELBO(), steps=steps)):
        settings = {"latents": 1, "encoder": MLP((8,)), "decoder": MLP((64, 64)), "likelihood": Bernoulli()}
        pace = {"epochs": 25, "batch_size": 32, "learning_rate": 0.05, "patience": 0, "ema": 0.0}
        model = VAE(objective=objective, **settings, **pace, random_state=0).fit(X)
        rates.append(model.history_.rows[-1]["rate"])
    assert rates[0] < 0.01
    assert rates[1] > 0.5


def test_a_learned_distortion_alone_has_no_scores():
    alone = fitted(Players(posterior=ELBO(), rest=LearnedDistortion(CRITIC)))
    with pytest.raises(NoDensity, match="learned distortion alone"):
        alone.score_samples(BITS)
    with pytest.raises(InputError, match="learned distortion alone"):
        alone.score(BITS)
    assert evaluate(alone, BITS).log_likelihood is None
    beside = fitted(0.1 * LearnedDistortion(CRITIC) + ELBO())
    assert np.isfinite(beside.score_samples(BITS)).all()
    assert evaluate(beside, BITS).log_likelihood is not None


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.line = nn.Linear(2, 1)

    def forward(self, z):
        return self.line(z)


def test_a_critic_of_one_s_own_is_copied_and_the_global_generator_left_alone():
    own = Own()
    before, state = own.line.weight.clone(), torch.get_rng_state()
    model = fitted(ELBO() + AdversarialMatching(own))
    assert torch.equal(own.line.weight, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.history_.rows[-1]["critic_loss"] > 0


REFUSED = {
    "no weights": (Players(prior=ELBO()), "no weights of its own here; those that have: posterior, likelihood"),
    "a ladder's likelihood": (Players(likelihood=ELBO()), "those that have: posterior, prior"),
    "no rest": (Players(posterior=ELBO(), likelihood=ELBO()), "no weights to the rest"),
    "unknown": (Players(posterior=ELBO(), steps=WhileGrowing("information")), "watches 'information'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    objective, message = REFUSED[name]
    ladder = {"hierarchy": Ladder((2, 2), width=8), "latents": None, "encoder": None, "decoder": None}
    with pytest.raises(InputError, match=message):
        fitted(objective, **(ladder if "ladder" in name else {}))


def test_matching_needs_no_density_of_the_posterior():
    model = fitted(Distortion() + AdversarialMatching(CRITIC), posterior=Delta())
    assert model.sample(3).shape == (3, 7)
    assert "rate" not in model.history_.rows[0]


@pytest.mark.parametrize("name", ["factor", "matching", "vae-gan"])
def test_missing_entries_and_conditions_reach_the_critics(name):
    X = rng.normal(size=(60, 3)).astype(np.float32)
    X[rng.random(X.shape) < 0.2] = np.nan
    settings = {**SMALL, "likelihood": None, "condition": "y", "epochs": 2, "batch_size": 16}
    model = VAE(**settings, objective=OBJECTIVES[name]).fit(X, rng.integers(0, 2, 60))
    assert all(np.isfinite(row["critic_loss"]) and np.isfinite(row["loss"]) for row in model.history_.rows)


def test_what_is_missing_looks_like_its_reconstruction():
    """No critic can tell what was never seen."""
    X = np.where(rng.random((60, 3)) < 0.5, np.nan, rng.normal(size=(60, 3))).astype(np.float32)
    model = VAE(**{**SMALL, "likelihood": None}, objective=LearnedDistortion(CRITIC) + ELBO(), epochs=1).fit(X)
    rows = torch.from_numpy(X[:20])
    d = model._task(model.model_, ResidentBatches(rows)).draw((rows,))
    found, made = LearnedDistortion(CRITIC).reference(d)[0], d.likelihood.mean[0]
    assert torch.equal(found == made, rows.isnan())
    assert torch.equal(found[~rows.isnan()], d.x[~rows.isnan()])
