"""Terms with a critic: what moves whom, and what they converge to."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from latens.distributions import Bernoulli, Delta, Normal
from latens.models import Conditional, StandardNormal, VariationalAutoencoder, draw
from latens.models.draw import Draw, Latent
from latens.nn import MLP, Site
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
from latens.objectives.critics import adversarial, frozen
from latens.training import Linear, Player, Recipe, ResidentBatches, WhileGrowing, minimise
from latens.utils.errors import InputError

OWN = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 1))
TERMS = {
    "total correlation": AdversarialTotalCorrelation(MLP((8,))),
    "matching": AdversarialMatching(MLP((8,), "tanh")),
    "a network of one's own": AdversarialMatching(OWN),
    "learned distortion": LearnedDistortion(MLP((8,)), features=4),
    "realistic": LearnedDistortion(MLP((8,)), features=4, realism=2.0),
}


def vae(posterior=Normal("element"), seed=0):
    torch.manual_seed(seed)
    return VariationalAutoencoder(
        Conditional(posterior, MLP((6,), "tanh")).build(Site((2,), (5,))),
        Conditional(Bernoulli(), MLP((6,), "tanh")).build(Site((5,), (2,))),
        StandardNormal().build(Site((2,))),
    ).double()


def drawn(model, term, samples=3, rows=7):
    torch.manual_seed(3)
    d = draw(model, (torch.rand(rows, 5) < 0.5).double(), samples)
    d.critics = {term.identity: term.build(d)}
    return d, d.critics[term.identity]


def gradients(value, weights):
    found = torch.autograd.grad(value, weights, allow_unused=True, retain_graph=True)
    return [torch.zeros_like(w) if g is None else g for g, w in zip(found, weights)]


@pytest.mark.parametrize("name", TERMS)
def test_neither_loss_moves_what_is_the_other_s(name):
    term, model = TERMS[name], vae()
    d, critic = drawn(model, term)
    ours, theirs = list(model.parameters()), list(critic.parameters())
    value = term(d).mean()
    assert all(not g.any() for g in gradients(value, theirs))
    assert any(g.any() for g in gradients(value, ours))
    value.backward()
    assert all(w.grad is None for w in theirs)
    contest = term.contest(critic, d)
    assert any(g.any() for g in gradients(contest, theirs))
    assert all(not g.any() for g in gradients(contest, ours))
    model.zero_grad()
    contest.backward()
    assert all(w.grad is None for w in ours)
    assert all(w.requires_grad for w in theirs)


@pytest.mark.parametrize("name", TERMS)
def test_the_term_moves_no_buffer_and_draws_no_noise_in_the_critic(name):
    term = TERMS[name]
    d, critic = drawn(vae(), term)
    before = {key: t.clone() for key, t in critic.state_dict().items()}
    assert torch.equal(term(d), term(d))
    assert all(torch.equal(t, before[key]) for key, t in critic.state_dict().items())
    assert all(part.training for part in critic.modules())


def test_the_gradient_of_a_term_is_that_through_a_constant_critic():
    """By hand: the chain rule with the critic's slope at the codes."""
    term, model = AdversarialTotalCorrelation(MLP((8,), "tanh")), vae()
    d, critic = drawn(model, term, samples=1)
    z = d.latents[0].value
    leaf = z.detach().requires_grad_()
    slope = torch.autograd.grad(critic(leaf[0]).mean(), leaf)[0]
    ours = list(model.posterior.parameters())
    by_hand = torch.autograd.grad((z * slope).sum(), ours, retain_graph=True)
    for a, b in zip(gradients(term(d).mean(), ours), by_hand):
        torch.testing.assert_close(a, b)


def test_values_are_those_of_the_slow_formulas():
    model = vae()
    matching = AdversarialMatching(MLP((8,)))
    d, critic = drawn(model, matching)
    t = torch.stack([critic(z).squeeze(1) for z in d.latents[0].value])
    torch.testing.assert_close(matching(d), -(1 / (1 + t.exp())).log().mean(0))
    learned = LearnedDistortion(MLP((8,)), features=4, realism=2.0)
    d, critic = drawn(model, learned)
    slow = []
    for made in d.likelihood.mean:
        apart = critic.features(made) - critic.features(d.x)
        slow.append(0.5 * (apart**2).sum(1) - 2.0 * torch.sigmoid(-critic(made)).log().squeeze(1))
    torch.testing.assert_close(learned(d), torch.stack(slow).mean(0))


def test_the_reference_of_total_correlation_permutes_every_dimension_on_its_own():
    term, model = TERMS["total correlation"], vae()
    d, _ = drawn(model, term, rows=60)
    z, permuted = term.judged(d).flatten(0, 1), term.reference(d).flatten(0, 1)
    assert torch.equal(z.sort(0).values, permuted.sort(0).values)
    moved = [(z[:, None, i] == permuted[None, :, i]).double().argmax(0) for i in range(2)]
    assert (moved[0] == moved[1]).double().mean() < 0.1


def test_the_reference_of_matching_is_the_prior_s():
    term, model = TERMS["matching"], vae()
    d, _ = drawn(model, term, samples=4, rows=2000)
    reference = term.reference(d)
    assert reference.shape == (4, 2000, 2)
    assert not reference.requires_grad
    n = 8000
    assert reference.mean((0, 1)).abs().max() < 5 / math.sqrt(n)
    assert (reference.square().mean((0, 1)) - 1).abs().max() < 5 * math.sqrt(2 / n)


class Codes(nn.Module):
    """Codes of a normal distribution of known correlation, and a weight that nothing moves."""

    def __init__(self, rho):
        super().__init__()
        self.rho, self.idle = rho, nn.Parameter(torch.zeros(1))

    def draw(self, rows):
        a, b = torch.randn(2, rows)
        z = torch.stack([a, self.rho * a + math.sqrt(1 - self.rho**2) * b], 1)
        return Draw(torch.zeros(rows, 1), None, [Latent(z[None], Delta()(z, (2,)), None)])


@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_the_density_ratio_of_correlated_codes_is_their_total_correlation(rho):
    """Mean and, point by point, log q(z) - log q(z_1) - log q(z_2), both in closed form."""
    codes, term = Codes(rho), AdversarialTotalCorrelation(MLP((32, 32), "tanh"))
    torch.manual_seed(0)
    critic = term.build(codes.draw(8))

    def loss(batch, progress):
        return {"loss": codes.idle.sum() * 0, "critic_loss": term.contest(critic, codes.draw(512))}

    players = [Player("loss", [codes.idle]), Player("critic_loss", list(critic.parameters()))]
    recipe = Recipe(500, 1, Linear(0.01, 0.0), precision="float32")
    minimise(codes, loss, ResidentBatches(torch.zeros(1, 1)), recipe, players=players, critics=critic, replay=False)
    torch.manual_seed(1)
    d = codes.draw(20_000)
    d.critics = {term: critic}
    with torch.no_grad():
        found = term(d)
    x, y = d.latents[0].value[0].T
    s = 1 - rho**2
    exact = -0.5 * math.log(s) - (x**2 - 2 * rho * x * y + y**2) / (2 * s) + (x**2 + y**2) / 2
    assert found.mean().item() == pytest.approx(-0.5 * math.log(s), abs=0.05)
    assert (found - exact).square().mean().sqrt() < 0.2


def test_terms_that_differ_in_realism_alone_share_a_critic():
    a, b = LearnedDistortion(MLP((8,))), LearnedDistortion(MLP((8,)), realism=3.0)
    assert a.identity == b.identity
    assert AdversarialMatching(speed=2.0).identity != AdversarialMatching().identity
    players = Players(posterior=a + Rate(), rest=0.5 * b + 2.0 * AdversarialMatching())
    assert adversarial(players) == [a, AdversarialMatching()]
    assert adversarial(ELBO() + 2.0 * (Rate() + Distortion())) == []


def test_a_posterior_without_density_is_matched_all_the_same():
    term = AdversarialMatching(MLP((8,)))
    d, critic = drawn(vae(Delta()), term, samples=1)
    assert torch.isfinite(term(d)).all()
    assert torch.isfinite(term.contest(critic, d))


def test_frozen_gives_back_what_it_took():
    critic = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    critic[0].weight.requires_grad_(False)
    with frozen(critic):
        assert not any(w.requires_grad for w in critic.parameters())
        assert not critic.training
    assert [w.requires_grad for w in critic.parameters()] == [False, True, True, True]
    assert critic.training


REFUSED = {
    "no critic": (lambda: AdversarialMatching("mlp"), "A critic is a network"),
    "speed": (lambda: AdversarialMatching(speed=0.0), "speed must be a positive number"),
    "steps": (lambda: AdversarialTotalCorrelation(steps=0), "steps must be a positive integer"),
    "realism": (lambda: LearnedDistortion(realism=-1.0), "realism must be a non-negative"),
    "one player": (lambda: Players(rest=ELBO()), "posterior, likelihood or prior"),
    "no objective": (lambda: Players(posterior="elbo"), "such as ELBO"),
    "two numbers of draws": (
        lambda: Players(posterior=ImportanceWeighted(3), rest=ImportanceWeighted(5)),
        "must agree",
    ),
    "no steps": (lambda: Players(posterior=ELBO(), steps=0), "steps must be"),
    "wrong size": (lambda: drawn(vae(), AdversarialMatching(nn.Linear(2, 3))), "must give 1 numbers for each"),
    "not built": (lambda: AdversarialMatching()(draw(vae(), torch.zeros(2, 5).double())), "this draw has none"),
    "watched": (lambda: WhileGrowing("rate", 0), "steps must be"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    make, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        make()


def test_the_contest_is_cross_entropy():
    term, model = TERMS["matching"], vae()
    d, critic = drawn(model, term)
    torch.manual_seed(9)
    found = term.contest(critic, d)
    torch.manual_seed(9)
    judged, reference = term.judged(d).flatten(0, 1), term.reference(d).flatten(0, 1)
    labels = torch.cat([torch.ones(21, 1), torch.zeros(21, 1)]).double()
    by_torch = F.binary_cross_entropy_with_logits(critic(torch.cat([judged, reference])), labels)
    torch.testing.assert_close(found, 2 * by_torch)
