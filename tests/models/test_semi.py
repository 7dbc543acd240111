"""A class among the choices: against sums over classes computed slowly, and integration over a grid."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal as TorchNormal
from torch.distributions import kl_divergence

from latens.distributions import Bernoulli, Categorical, Classes, Normal, OneOf
from latens.models import (
    Conditional,
    FiniteScalar,
    Free,
    GumbelSoftmax,
    Hamiltonian,
    InverseAutoregressiveFlow,
    PlanarFlow,
    SemiSupervised,
    StandardNormal,
    clamp,
    draw,
    encode,
    locate,
    sample,
)
from latens.neural.vae import build as build_given
from latens.nn import MLP, Site
from latens.objectives import ELBO, Distortion, ImportanceWeighted, Rate

C, D = 3, 3
NORMAL, NORMAL_PRIOR = Normal("element"), StandardNormal()
X = torch.tensor(list(itertools.product([0.0, 1.0], repeat=D)))
LABELS = torch.eye(C)[torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])]
SOME = LABELS * torch.tensor([1.0, 0, 1, 0, 0, 1, 0, 0])[:, None]


def build(posterior=NORMAL, prior=NORMAL_PRIOR, seed=0):
    torch.manual_seed(seed)
    settings = {"latents": 1, "likelihood": Bernoulli(), "encoder": MLP((4,)), "decoder": MLP((4,))}
    site = Site((D,), beside=(C,))
    given = build_given(site, settings, posterior, prior)
    model = SemiSupervised(Conditional(OneOf(), MLP((4,))).build(Site((C,), (D,))), given, C).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)
        model.log_frequency.copy_(torch.tensor([0.5, 0.2, 0.3]).log())
    return model


def joint(model):
    """log p(x, y) of every row and class by integration over a grid, ``(8, C)``."""
    z = torch.linspace(-9, 9, 3001, dtype=torch.float64)[:, None]
    out = []
    for j in range(C):
        y = torch.eye(C, dtype=torch.float64)[j].expand(len(z), C)
        log_x = model.likelihood(z, context=y).log_prob(X.double()[:, None])
        log_z = TorchNormal(0.0, 1.0).log_prob(z[:, 0])
        log_y = model.log_frequency.log_softmax(0)[j]
        out.append((log_x + log_z).logsumexp(1) + math.log(18 / 3000) + log_y)
    return torch.stack(out, 1).detach()


def slowly(model, noise, known):
    """sum_y q(y | x) (L(x, y) + log q(y | x)) without a class, L(x, y) with one, one draw of z for each y."""
    x, total = X.double(), 0.0
    log_q = model.classifier(x).log_probs
    costs = []
    for j in range(C):
        y = torch.eye(C, dtype=torch.float64)[j].expand(len(x), C)
        q = model.posterior(x, context=y)
        z = q.mean + q.stddev * noise[j]
        kl = kl_divergence(TorchNormal(q.mean, q.stddev), TorchNormal(0.0, 1.0)).sum(1)
        log_x = (x * (p := model.likelihood(z, context=y).mean).log() + (1 - x) * (1 - p).log()).sum(1)
        costs.append(kl - log_x - model.log_frequency.log_softmax(0)[j])
    for row in range(len(x)):
        if known is not None and known[row].sum() > 0:
            total = total + costs[int(known[row].argmax())][row]
        else:
            total = total + sum(log_q[row, j].exp() * (costs[j][row] + log_q[row, j]) for j in range(C))
    return total


@pytest.mark.parametrize("known", [None, SOME, LABELS], ids=["none", "some", "all"])
@pytest.mark.parametrize("objective", [ELBO(), Distortion() + Rate()], ids=str)
def test_the_bound_and_its_gradient_are_those_of_the_slow_sum(known, objective):
    model = build()
    torch.manual_seed(1)
    ours = objective(draw(model, X.double(), context=known)).sum()
    torch.manual_seed(1)
    theirs = slowly(model, torch.randn(C, len(X), 1, dtype=torch.float64), known)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    weights = list(model.parameters())
    ours, theirs = (torch.autograd.grad(value, weights, allow_unused=True) for value in (ours, theirs))
    for a, b in zip(ours, theirs):
        assert a is None or a.isfinite().all()
        torch.testing.assert_close(
            torch.zeros(()) if a is None else a.float(),
            (torch.zeros(()) if b is None else b.float()).expand(() if a is None else a.shape),
        )
    assert sum(float(a.abs().max() > 1e-3) for a in ours if a is not None) >= 6


def test_the_evidence_sums_to_one():
    assert joint(build()).exp().sum().item() == pytest.approx(1.0, abs=1e-6)


def evidence(model, known):
    log_joint = joint(model)
    whole = log_joint.logsumexp(1)
    if known is None:
        return whole
    return torch.where(known.sum(1) > 0, (log_joint * known).sum(1), whole)


@pytest.mark.parametrize("known", [None, SOME], ids=["none", "some"])
def test_bounds_stay_below_the_evidence_and_reach_it(known):
    model, k = build(), 4000
    torch.manual_seed(2)
    with torch.no_grad():
        d = draw(model, X.double(), k, context=known)
        each = (d.log_likelihood - d.rate).unflatten(0, (k, C))
        bound = -ELBO()(d)
        error = (
            (d.enumerated.exp().unflatten(0, (k, C)) * each.nan_to_num(neginf=0.0, posinf=0.0)).sum(1).std(0)
            * k
            / k**0.5
        )
        exact = evidence(model, known)
        assert (bound < exact + 5 * error).all()
        assert (exact - bound).max() > 0.05
        tight = -ImportanceWeighted(k)(d)
    np.testing.assert_allclose(tight, exact, rtol=0, atol=0.05)


POSTERIORS = {
    "a flow": PlanarFlow(transforms=2, context=2, encoder=MLP((4,))),
    "masked flows": InverseAutoregressiveFlow(network=MLP((4,)), context=0),
    "Hamiltonian steps": Hamiltonian(step_size=0.2),
}


@pytest.mark.parametrize("known", [None, SOME], ids=["none", "some"])
@pytest.mark.parametrize("name", POSTERIORS)
def test_bounds_of_any_posterior_stay_below_the_evidence_and_reach_it(name, known):
    model, k = build(POSTERIORS[name]), 3000
    torch.manual_seed(2)
    with torch.no_grad():
        d = draw(model, X.double(), k, context=known)
        exact = evidence(model, known)
        assert (-ELBO()(d) < exact + 0.02).all()
        np.testing.assert_allclose(-ImportanceWeighted(k)(d), exact, rtol=0, atol=0.05)


@torch.no_grad()
@pytest.mark.parametrize("known", [None, SOME], ids=["none", "some"])
@pytest.mark.parametrize("coder", [FiniteScalar(4), GumbelSoftmax(4)], ids=repr)
def test_codes_are_summed_over_beside_the_classes(coder, known):
    """p(x, y) as the sum over all codes, which draws reach; of a code that is certain, its own term."""
    model = build(coder, Free(Categorical(4))).eval()
    codes, terms = torch.arange(4.0, dtype=torch.float64)[:, None], []
    for y in torch.eye(C, dtype=torch.float64):
        beside = y.expand(4, C)
        log_x = model.likelihood(model.posterior.quantiser.embed(codes), context=beside).log_prob(X.double()[:, None])
        terms.append(log_x + model.prior(context=beside).log_prob(codes) + y @ model.log_frequency.log_softmax(0))
    terms = torch.stack(terms, 1)
    if coder.certain:
        seen = torch.stack([model.posterior(X.double(), context=y.expand(8, C)).code for y in torch.eye(C).double()], 1)
        terms = terms.gather(2, seen.long())
    log_joint, k = terms.logsumexp(2), 1 if coder.certain else 4000
    exact = log_joint.logsumexp(1)
    if known is not None:
        exact = torch.where(known.sum(1) > 0, (log_joint * known).sum(1), exact)
    torch.manual_seed(0)
    found = -ImportanceWeighted(k)(draw(model, X.double(), k, context=known))
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-9 if coder.certain else 0.05)


def test_what_is_known_of_a_class_is_kept():
    model = build()
    q = model.posterior_of_class(X.double(), known=SOME.double())
    assert torch.equal(q.mean[SOME.sum(1) > 0], SOME.double()[SOME.sum(1) > 0])
    torch.testing.assert_close(q.mean.sum(1), torch.ones(8, dtype=torch.float64))
    torch.testing.assert_close(q.log_prob(q.enumerate()).exp().T, q.mean)
    means, _ = locate(model, X.double(), context=LABELS.double())
    assert torch.equal(means[0], LABELS.double())
    torch.testing.assert_close(encode(model, X.double(), context=LABELS.double())[1], means[1])


def test_draws_follow_the_probabilities():
    torch.manual_seed(3)
    p = torch.tensor([0.1, 0.6, 0.3])
    y = Classes(p.log()).sample((20_000,))
    assert (y.sum(1) == 1).all()
    z = (y.mean(0) - p) / (p * (1 - p) / 20_000).sqrt()
    assert z.abs().max() < 5


def test_rows_are_made_of_the_class_that_is_asked_for():
    model = build()
    torch.manual_seed(4)
    y = torch.eye(C, dtype=torch.float64)[1].expand(50_000, C)
    made = sample(model, len(y), context=y).mean.mean(0)
    exact = (joint(model)[:, 1] - joint(model)[:, 1].logsumexp(0)).exp() @ X.double()
    torch.testing.assert_close(made, exact, rtol=0, atol=0.01)
    whole = sample(model, 50_000).mean.mean(0)
    torch.testing.assert_close(whole, joint(model).logsumexp(1).exp() @ X.double(), rtol=0, atol=0.01)
    z = torch.zeros(4, 1, dtype=torch.float64)
    decoded = model(clamp([y[:4], z]), context=y[:4]).mean
    torch.testing.assert_close(decoded, model.likelihood(z, context=y[:4]).mean)
