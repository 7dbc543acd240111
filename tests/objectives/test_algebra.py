"""Objectives add and scale; each value against the slow formula."""

import numpy as np
import pytest
import torch

from latens.distributions import Bernoulli, Normal, StudentT
from latens.models import Conditional, Free, StandardNormal, VariationalAutoencoder, draw
from latens.nn import MLP, Site
from latens.objectives import ELBO, Distortion, FreeBits, ImportanceWeighted, Rate, Renyi
from latens.training import Constant, Cosine, Cyclical, Linear, Steps
from latens.utils.errors import InputError


@pytest.fixture(scope="module")
def a_draw():
    torch.manual_seed(0)
    vae = VariationalAutoencoder(
        Conditional(Normal("element"), MLP((8,))).build(Site((3,), (5,))),
        Conditional(Bernoulli(), MLP((8,))).build(Site((5,), (3,))),
        StandardNormal().build(Site((3,))),
    ).double()
    x = (torch.rand(7, 5) < 0.5).double()
    with torch.no_grad():
        return draw(vae, x * 1.0, 4, progress=0.3)


def slow_parts(d):
    """Distortion, rate by dimension and log-weights, with numpy and loops."""
    z, x = d.latents[0].value.numpy(), d.x.numpy()
    q, probs = d.latents[0].q, d.likelihood.mean.numpy()
    mean, std = q.mean.numpy(), q.stddev.numpy()
    log_x = (x * np.log(probs) + (1 - x) * np.log(1 - probs)).sum(-1)
    kl = 0.5 * (std**2 + mean**2 - 1) - np.log(std)
    log_p = (-0.5 * z**2 - 0.5 * np.log(2 * np.pi)).sum(-1)
    log_q = (-0.5 * ((z - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)).sum(-1)
    return -log_x.mean(0), kl, log_x + log_p - log_q


VALUES = {
    "distortion": (Distortion(), lambda d, kl, w: d),
    "rate": (Rate(), lambda d, kl, w: kl.sum(1)),
    "elbo": (ELBO(), lambda d, kl, w: d + kl.sum(1)),
    "iwae": (ImportanceWeighted(4), lambda d, kl, w: -np.log(np.exp(w).mean(0))),
    "beta": (Distortion() + 4.0 * Rate(), lambda d, kl, w: d + 4 * kl.sum(1)),
    "integer weight": (3 * Rate(), lambda d, kl, w: 3 * kl.sum(1)),
    "weight behind": (Rate() * 0.5, lambda d, kl, w: 0.5 * kl.sum(1)),
    "weighted sum": (2.0 * (Distortion() + Rate()), lambda d, kl, w: 2 * (d + kl.sum(1))),
    "weight of weight": (2.0 * (3.0 * Rate()), lambda d, kl, w: 6 * kl.sum(1)),
    "linear": (Linear(0.0, 1.0, until=0.6) * Rate(), lambda d, kl, w: 0.5 * kl.sum(1)),
    "constant": (Constant(0.25) * Rate(), lambda d, kl, w: 0.25 * kl.sum(1)),
    "cosine": (Cosine(2.0) * Rate(), lambda d, kl, w: (1 + np.cos(0.3 * np.pi)) * kl.sum(1)),
    "cyclical": (Cyclical(0.0, 1.0, cycles=2) * Rate(), lambda d, kl, w: kl.sum(1)),
    "steps": (Steps((1.0, 7.0), (1.0, 3.0)) * Rate(), lambda d, kl, w: 7 * kl.sum(1)),
    "nothing free": (FreeBits(1e-9), lambda d, kl, w: kl.mean(0).sum()),
    "some free": (FreeBits(0.1), lambda d, kl, w: np.maximum(kl.mean(0), 0.1).sum()),
    "all free": (FreeBits(50.0), lambda d, kl, w: 150.0),
    "free bits added": (Distortion() + FreeBits(0.1), lambda d, kl, w: d + np.maximum(kl.mean(0), 0.1).sum()),
}


@pytest.mark.parametrize("name", VALUES)
def test_the_value_is_that_of_the_slow_formula(name, a_draw):
    objective, slow = VALUES[name]
    np.testing.assert_allclose(objective(a_draw).numpy(), slow(*slow_parts(a_draw)), rtol=1e-9)


def test_some_bits_are_free_and_some_are_not(a_draw):
    rates = slow_parts(a_draw)[1].mean(0)
    assert rates.min() < 0.1 < rates.max()


def test_free_bits_pull_only_on_dimensions_above_their_allowance():
    vae = VariationalAutoencoder(
        Conditional(Normal("element"), MLP(())).build(Site((2,), (5,))),
        Conditional(Bernoulli(), MLP(())).build(Site((5,), (2,))),
        StandardNormal().build(Site((2,))),
    ).double()
    weight, params = vae.posterior.parameters()
    with torch.no_grad():
        weight.zero_()
        params.copy_(torch.tensor([0.1, 2.0, 0.0, 0.0]))  # KL 0.005 and 2
    FreeBits(0.5)(draw(vae, torch.ones(3, 5, dtype=torch.float64))).backward()
    assert params.grad.tolist() == pytest.approx([0.0, 2.0, 0.0, 0.0])


SAMPLES = {
    "one": (ELBO(), 1),
    "k": (ImportanceWeighted(7), 7),
    "sum": (Rate() + ImportanceWeighted(7), 7),
    "scaled": (2.0 * (ImportanceWeighted(7) + Distortion()), 7),
    "equal": (ImportanceWeighted(7) + 0.5 * ImportanceWeighted(7), 7),
    "one of k": (ImportanceWeighted(1) + ImportanceWeighted(3), 3),
    "averaged": (ImportanceWeighted(3, 4), 12),
    "renyi": (Renyi(0.5, 3, 2), 6),
    "a divisor": (0.5 * ImportanceWeighted(4) + 0.5 * ImportanceWeighted(4, 2), 8),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_the_number_of_draws_reaches_the_top(name):
    objective, k = SAMPLES[name]
    assert objective.samples == k


def test_two_numbers_of_draws_are_refused():
    with pytest.raises(InputError, match=r"must agree, .* multiple .*; got 5 .* and 3"):
        ImportanceWeighted(5) + 2.0 * (Rate() + ImportanceWeighted(3))


@pytest.mark.parametrize("weight", [True, "2", None, torch.ones(())])
def test_only_numbers_and_schedules_are_weights(weight):
    with pytest.raises(TypeError):
        weight * Rate()


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_weights_are_finite(weight):
    with pytest.raises(InputError, match="finite number or a schedule"):
        weight * Rate()


@pytest.mark.parametrize("wrong", [0, -1, 2.5])
def test_a_number_of_draws_is_a_positive_whole_number(wrong):
    with pytest.raises(InputError, match="k >= 1"):
        ImportanceWeighted(wrong)


def test_free_bits_refuse_a_divergence_not_known_by_dimension():
    vae = VariationalAutoencoder(
        Conditional(Normal("element"), MLP(())).build(Site((2,), (5,))),
        Conditional(Bernoulli(), MLP(())).build(Site((5,), (2,))),
        Free(StudentT(1.0)).build(Site((2,))),
    )
    with pytest.raises(InputError, match="known by dimension"):
        FreeBits(0.1)(draw(vae, torch.ones(3, 5)))
