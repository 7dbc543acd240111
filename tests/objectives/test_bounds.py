"""Bounds of the evidence: values and gradients against the slow formulas, and what holds between them."""

import math

import numpy as np
import pytest
import torch

from latens.distributions import Bernoulli, Normal
from latens.models import Conditional, StandardNormal, VariationalAutoencoder, draw
from latens.nn import MLP, Site
from latens.objectives import ELBO, Capacity, Distortion, ImportanceWeighted, Rate, Renyi
from latens.training import Linear
from latens.utils.errors import InputError

K = 12


def a_model():
    torch.manual_seed(0)
    return VariationalAutoencoder(
        Conditional(Normal("element"), MLP((8,), "tanh")).build(Site((3,), (5,))),
        Conditional(Bernoulli(), MLP((8,), "tanh")).build(Site((5,), (3,))),
        StandardNormal().build(Site((3,))),
    ).double()


def a_draw(model, k=K, scale=1.0):
    torch.manual_seed(1)
    x = (torch.rand(7, 5) < 0.5).to(next(model.parameters()).dtype)
    with torch.no_grad():
        for p in model.likelihood.parameters():
            p.mul_(scale)
    return draw(model, x, k, progress=0.5)


def log_weights(d):
    """(K, B), with torch's own distributions."""
    z, q = d.latents[0].value, d.latents[0].q
    log_q = torch.distributions.Normal(q.mean, q.stddev).log_prob(z).sum(-1)
    log_p = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    p, x = d.likelihood.mean, d.x
    return (x * p.log() + (1 - x) * (1 - p).log()).sum(-1) + log_p - log_q


def kl(d):
    q = d.latents[0].q
    return (0.5 * (q.stddev**2 + q.mean**2 - 1) - q.stddev.log()).sum(-1)


def slow_renyi(alpha, k):
    def value(d):
        bounds = [w.exp().pow(1 - alpha).mean(0).log() / (1 - alpha) for w in log_weights(d).split(k)]
        return -sum(bounds) / len(bounds)

    return value


def slow_distortion(d):
    p = d.likelihood.mean
    return -(d.x * p.log() + (1 - d.x) * (1 - p).log()).sum(-1).mean(0)


def slow_elbo(d):
    return slow_distortion(d) + kl(d)


BOUNDS = {
    "elbo": (ELBO(), slow_elbo),
    "iwae": (ImportanceWeighted(K), slow_renyi(0.0, K)),
    "miwae": (ImportanceWeighted(4, 3), slow_renyi(0.0, 4)),
    "miwae of ones": (ImportanceWeighted(1, K), lambda d: -log_weights(d).mean(0)),
    "ciwae": (0.3 * ELBO() + 0.7 * ImportanceWeighted(K), lambda d: 0.3 * slow_elbo(d) + 0.7 * slow_renyi(0.0, K)(d)),
    "both": (ImportanceWeighted(4) + ImportanceWeighted(K), lambda d: slow_renyi(0.0, 4)(d) + slow_renyi(0.0, K)(d)),
    "renyi 0": (Renyi(0.0, K), slow_renyi(0.0, K)),
    "renyi 0.5": (Renyi(0.5, 6, 2), slow_renyi(0.5, 6)),
    "renyi 1": (Renyi(1.0, K), lambda d: -log_weights(d).mean(0)),
    "renyi 2": (Renyi(2, 3, 4), slow_renyi(2, 3)),
    "renyi -1": (Renyi(-1.0, K), slow_renyi(-1.0, K)),
    "largest": (Renyi(-math.inf, 6, 2), lambda d: -log_weights(d).view(2, 6, -1).max(1).values.mean(0)),
    "smallest": (Renyi(math.inf, K), lambda d: -log_weights(d).min(0).values),
    "capacity above": (Capacity(Linear(0.0, 80.0)), lambda d: 40.0 - kl(d).mean()),
    "capacity below": (Distortion() + 3.0 * Capacity(0.1), lambda d: slow_distortion(d) + 3.0 * (kl(d).mean() - 0.1)),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_value_and_gradient_are_those_of_the_slow_formula(name):
    objective, slow = BOUNDS[name]
    model = a_model()
    results = []
    for f in (objective, slow):
        value = f(a_draw(model))
        results.append(
            (value.detach(), torch.autograd.grad(value.sum(), list(model.parameters()), materialize_grads=True))
        )
    (mine, my_slopes), (theirs, their_slopes) = results
    torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(my_slopes, their_slopes, rtol=1e-7, atol=1e-9)
    assert max(slope.abs().max() for slope in their_slopes) > 1e-2


@torch.no_grad()
def test_the_larger_its_order_the_looser_a_bound():
    d = a_draw(a_model())
    orders = [-math.inf, -3.0, 0.0, 0.5, 0.999, 1.0, 1.001, 2.0, math.inf]
    values = torch.stack([Renyi(alpha, K)(d) for alpha in orders])
    assert (values.diff(dim=0) > 0).all()


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_order_tends_to_its_limits_without_loss_of_digits(dtype):
    d = a_draw(a_model().to(dtype), scale=20.0)
    tolerance = 30 * torch.finfo(dtype).eps
    for limit, near in ((1.0, 1.0 - 1e-9), (1.0, 1.0 + 1e-9), (-math.inf, -1e7), (math.inf, 1e7)):
        torch.testing.assert_close(Renyi(near, K)(d), Renyi(limit, K)(d), rtol=tolerance + 1e-7, atol=1e-6)


def test_weights_however_far_apart_leave_no_gradient_undefined():
    model = a_model()
    for alpha in (-math.inf, -2.0, 0.0, 0.5, 1.0, 3.0, math.inf):
        value = Renyi(alpha, 4, 3)(a_draw(model.float(), scale=4.0))
        slopes = torch.autograd.grad(value.sum(), list(model.parameters()))
        assert all(slope.isfinite().all() for slope in slopes)


def test_capacity_pulls_the_rate_from_both_sides():
    model = a_model()
    for nats, sign in ((1e-3, 1.0), (50.0, -1.0)):
        weights = list(model.posterior.parameters())
        mine = torch.autograd.grad(Capacity(nats)(a_draw(model)), weights)
        rate = torch.autograd.grad(Rate()(a_draw(model)).mean(), weights)
        torch.testing.assert_close(mine, tuple(sign * slope for slope in rate))


REFUSED = {
    "no draw": (lambda: Renyi(0.5, 0), "k >= 1"),
    "no bound": (lambda: ImportanceWeighted(5, 0), "m must be a positive integer"),
    "no order": (lambda: Renyi(math.nan), "number alpha"),
    "no capacity": (lambda: Capacity(-1.0), "nats must be"),
    "too few": (lambda: ImportanceWeighted(5)(a_draw(a_model())), "multiple of 5 draws; got 12"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(name):
    make, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        make()


def test_a_mean_of_bounds_is_the_mean_of_their_draws():
    d = a_draw(a_model())
    parts = [-torch.logsumexp(log_weights(d)[i : i + 3], 0) + math.log(3) for i in range(0, K, 3)]
    np.testing.assert_allclose(ImportanceWeighted(3, 4)(d).detach(), torch.stack(parts).mean(0).detach(), rtol=1e-9)
