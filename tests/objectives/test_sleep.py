"""The posterior's share of rows that the model makes up: values and gradients against the slow formula."""

import copy
import math

import pytest
import torch

from latens.distributions import Bernoulli, MixtureOf, Normal
from latens.models import (
    Conditional,
    Free,
    Ladder,
    NormalizingFlow,
    StandardNormal,
    VampPrior,
    VariationalAutoencoder,
    draw,
)
from latens.nn import MLP, Site
from latens.objectives import (
    ELBO,
    EUBO,
    AdversarialTotalCorrelation,
    Distortion,
    GradientPenalty,
    ImportanceWeighted,
    MutualInformation,
    Rate,
    Sleep,
)
from latens.utils.errors import InputError

X = (torch.rand(7, 5, generator=torch.Generator().manual_seed(3)) < 0.5).double()


def a_model(prior=None, family=None):
    torch.manual_seed(0)
    posterior = Conditional(family or Normal("element"), MLP((8,), "tanh")).build(Site((3,), (5,)))
    likelihood = Conditional(Bernoulli(), MLP((8,), "tanh")).build(Site((5,), (3,)))
    site = Site((3,), batch=X.float(), modules={"posterior": posterior, "likelihood": likelihood})
    return VariationalAutoencoder(posterior, likelihood, (prior or StandardNormal()).build(site)).double()


def linear_gaussian(off=0.0, factor=1.0):
    """x = 2 z + 0.5 noise, and its posterior, whose mean may be off and whose scale may have a factor."""
    model = VariationalAutoencoder(
        Conditional(Normal("element"), MLP(())).build(Site((1,), (1,))),
        Conditional(Normal(0.5), MLP(())).build(Site((1,), (1,))),
        StandardNormal().build(Site((1,))),
    ).double()
    slope, scale = 2.0, 0.5
    variance = 1 / (1 + slope**2 / scale**2)
    with torch.no_grad():
        for module, weight, bias in (
            (model.posterior, [slope / scale**2 * variance, 0.0], [off, 0.5 * math.log(variance) + math.log(factor)]),
            (model.likelihood, [slope], [0.0]),
        ):
            linear = next(m for m in module.modules() if isinstance(m, torch.nn.Linear))
            linear.weight.copy_(torch.tensor(weight)[:, None])
            linear.bias.copy_(torch.tensor(bias))
    return model


def entropy(slope=2.0, scale=0.5):
    """Of x."""
    return 0.5 * math.log(2 * math.pi * math.e * (slope**2 + scale**2))


def test_with_the_exact_posterior_it_is_the_entropy_of_the_model():
    """The ELBO at the posterior is log p(x), and E[-log p(x)] the entropy of a normal."""
    model = linear_gaussian()
    with torch.no_grad():
        torch.manual_seed(0)
        x = torch.full((200_000, 1), 77.0, dtype=torch.float64)
        with draw(model, x).dream(len(x), 2) as own:
            value = ImportanceWeighted(2)(own)
        assert 0 < abs(Sleep(ImportanceWeighted(2), 1.0)(draw(model, x)).item() - value.mean().item()) < 0.02
    assert abs(value.mean().item() - entropy()) < 4 * value.std().item() / len(x) ** 0.5


@pytest.mark.parametrize(("off", "factor"), [(0.0, 1.0), (0.3, 1.0), (0.0, 2.0), (0.1, 0.7)])
def test_the_evidence_lies_between_the_bounds_at_the_two_divergences(off, factor):
    """KL between normals in both directions, in closed form: -ELBO is one above the entropy, -EUBO the other below."""
    model, n = linear_gaussian(off, factor), 200_000
    variance = 1 / (1 + 2.0**2 / 0.5**2)
    reverse = 0.5 * (factor**2 - 1 + off**2 / variance) - math.log(factor)
    forward = 0.5 * (factor**-2 - 1 + off**2 / variance / factor**2) + math.log(factor)
    with torch.no_grad():
        torch.manual_seed(0)
        with draw(model, torch.zeros(n, 1, dtype=torch.float64)).dream(n, 1) as own:
            elbo, eubo = ELBO()(own), EUBO()(own)
    assert abs(elbo.mean().item() - entropy() - reverse) < 4 * elbo.std().item() / n**0.5
    assert abs(eubo.mean().item() + entropy() - forward) < 4 * eubo.std().item() / n**0.5


@pytest.mark.parametrize("prior", [StandardNormal(), VampPrior(4)], ids=["standard", "vamp"])
def test_the_upper_bound_and_its_gradient_are_those_of_the_slow_formula(prior):
    model, other = a_model(prior), a_model(prior)
    d = draw(model, X, 4)
    torch.manual_seed(5)
    value = Sleep(EUBO(), 6 / 7)(d)
    value.backward()
    torch.manual_seed(5)
    with torch.no_grad():
        p = other.prior()
        z = p.sample((6,))
        truth = other.likelihood(z)
        x = truth.sample()
        joint = p.log_prob(z) + truth.log_prob(x)
    q = other.posterior(x)
    log_q = -((z - q.mean) ** 2 / (2 * q.stddev**2) + q.stddev.log() + 0.5 * math.log(2 * math.pi)).sum(-1)
    expected = (joint - log_q).mean()
    expected.backward()
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-9)
    for mine, theirs in zip(model.posterior.parameters(), other.posterior.parameters()):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-7, atol=1e-9)
        assert mine.grad.abs().max() > 1e-3


def slow(model, beta=1.0):
    """Draws in the order of the model's own: z, x, then z of q."""
    z = torch.randn(6, 3, dtype=torch.float64)
    with torch.no_grad():
        x = (torch.rand(6, 5, dtype=torch.float64) < model.likelihood(z).mean).double()
    q = model.posterior(x)
    own = q.mean + q.stddev * torch.randn(1, 6, 3, dtype=torch.float64)
    p = model.likelihood(own[0]).mean
    kl = (0.5 * (q.stddev**2 + q.mean**2 - 1) - q.stddev.log()).sum(-1)
    return -(x * p.log() + (1 - x) * (1 - p).log()).sum(-1) + beta * kl


@pytest.mark.parametrize(("objective", "beta"), [(ELBO(), 1.0), (Distortion() + 3.0 * Rate(), 3.0)])
def test_value_and_gradient_are_those_of_the_slow_formula(objective, beta):
    model, other = a_model(), a_model()
    d = draw(model, X, 4)
    torch.manual_seed(5)
    value = Sleep(objective, 6 / 7)(d)
    value.backward()
    torch.manual_seed(5)
    expected = slow(other, beta).mean()
    expected.backward()
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-9)
    for mine, theirs in zip(model.posterior.parameters(), other.posterior.parameters()):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-7, atol=1e-9)
        assert mine.grad.abs().max() > 1e-3
    assert all(weight.grad is None and weight.requires_grad for weight in model.likelihood.parameters())


def test_a_prior_made_of_the_posterior_stays_what_it_is():
    """Gradients of a VampPrior's encoder are those of a prior that is a copy."""
    model = a_model(VampPrior(4))
    other = copy.deepcopy(model)
    d = draw(model, X)
    torch.manual_seed(5)
    Sleep()(d).backward()
    own = {id(weight) for weight in model.posterior.parameters()}
    assert all(weight.grad is None for weight in model.parameters() if id(weight) not in own)
    with torch.no_grad():
        fixed = other.prior()
    other.prior.forward = lambda **given: fixed
    d = draw(other, X)
    torch.manual_seed(5)
    Sleep()(d).backward()
    for mine, theirs in zip(model.posterior.parameters(), other.posterior.parameters()):
        torch.testing.assert_close(mine.grad, theirs.grad)


@pytest.mark.parametrize(
    "term",
    [ELBO(), ELBO("path"), ImportanceWeighted(2), GradientPenalty(), EUBO()],
    ids=["elbo", "path", "iwae", "penalty", "eubo"],
)
@pytest.mark.parametrize(
    "prior", [Free(MixtureOf(Normal("element"), 3, "event")), NormalizingFlow(1, "coupling")], ids=["mixture", "flow"]
)
def test_no_gradient_reaches_what_is_not_the_posterior(prior, term):
    """Also where a density is computed long after the draw, from weights that the prior or the decoder holds."""
    model = a_model(prior)
    Sleep(term)(draw(model, X)).backward()
    own = {id(weight) for weight in model.posterior.parameters()}
    assert any(weight.grad is not None for weight in model.posterior.parameters())
    assert all(weight.grad is None for weight in model.parameters() if id(weight) not in own)
    assert all(weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize("objective", [ELBO(), EUBO()])
def test_a_hierarchy_learns_what_tells_its_posterior_alone(objective):
    torch.manual_seed(0)
    model = Ladder((4, 2), width=16).model(Bernoulli(), Site((5,)))
    Sleep(objective)(draw(model, X.float())).backward()
    own = {id(weight) for weight in model.part("posterior").parameters()}
    moved = {id(weight) for weight in model.parameters() if weight.grad is not None and weight.grad.abs().max() > 0}
    assert moved
    assert moved <= own


def test_of_held_out_rows_it_is_nothing():
    model = a_model().eval()
    assert (ELBO() + Sleep())(draw(model, X)).shape == (7,)
    assert Sleep()(draw(model, X)) == 0.0


def test_it_needs_a_posterior_that_learns():
    model = a_model()
    model.posterior.requires_grad_(False)
    with pytest.raises(InputError, match="posterior with weights of its own"):
        Sleep()(draw(model, X))


REFUSED = {
    "a critic": (lambda: Sleep(ELBO() + AdversarialTotalCorrelation()), "have no critic"),
    "too many": (lambda: Sleep(share=1.5), "share of at most 1"),
    "none": (lambda: Sleep(share=0), "share must be a positive number"),
    "no objective": (lambda: Sleep(0.5), "an objective such as ELBO"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(name):
    make, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        make()


def test_terms_of_the_whole_batch_know_how_many_examples_there_are():
    model = a_model()
    with torch.no_grad():
        for weight in model.posterior.parameters():
            weight.mul_(4.0)
    values = []
    for n in (7, 7_000_000):
        torch.manual_seed(5)
        values.append(Sleep(MutualInformation())(draw(model, X, n_examples=n)).item())
    assert values[1] > values[0] + 0.5


def test_the_bound_of_rows_never_seen_is_tighter():
    """p(x, z) is the truth, and stays: an encoder of many weights learns from forty rows, or from its dreams too."""
    torch.manual_seed(0)
    bounds = []
    truth = Conditional(Bernoulli(), MLP((16,), "tanh")).build(Site((20,), (3,)))
    with torch.no_grad():
        for weight in truth.parameters():
            weight.mul_(6.0)
        rows = truth(torch.randn(1040, 3)).sample()
    for objective in (ELBO(), ELBO() + Sleep(share=1.0)):
        torch.manual_seed(1)
        posterior = Conditional(Normal("element"), MLP((128, 128))).build(Site((3,), (20,)))
        model = VariationalAutoencoder(posterior, truth, StandardNormal().build(Site((3,))))
        adam = torch.optim.Adam(posterior.parameters(), 3e-3)
        for _ in range(200):
            adam.zero_grad()
            objective(draw(model, rows[:40])).mean().backward()
            adam.step()
        with torch.no_grad():
            bounds.append(ELBO()(draw(model.eval(), rows[40:], 20)).mean().item())
    assert bounds[1] < bounds[0] - 0.4
