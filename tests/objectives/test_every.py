"""What holds for all objectives: they descend, replay, are read back, and need neither gradients nor many rows."""

import math

import pytest
import torch

from latens.distributions import Normal
from latens.models import Conditional, StandardNormal, VariationalAutoencoder, draw
from latens.neural.vocabulary import read
from latens.nn import MLP, Site
from latens.objectives import (
    DIP,
    ELBO,
    EUBO,
    MMD,
    Capacity,
    DimensionwiseKL,
    Distortion,
    FreeBits,
    GradientPenalty,
    ImportanceWeighted,
    LatentL2,
    MultiscaleSSIM,
    MutualInformation,
    Rate,
    Renyi,
    Sleep,
    SlicedWasserstein,
    TotalCorrelation,
)
from latens.training import Linear
from latens.training.replay import faithful
from latens.utils.text import text

EVERY = {
    "elbo": ELBO(),
    "elbo by the path": ELBO("path"),
    "weighted": Distortion() + Linear(0.0, 4.0) * Rate(),
    "weighted by the path": 2.0 * (Distortion() + Rate("path")),
    "free bits": Distortion() + FreeBits(0.1),
    "capacity": Distortion() + 10.0 * Capacity(2.0),
    "iwae": ImportanceWeighted(4),
    "iwae by the path": ImportanceWeighted(4, gradient="path"),
    "miwae": ImportanceWeighted(2, 3),
    "ciwae": 0.5 * ELBO() + 0.5 * ImportanceWeighted(4),
    "renyi": Renyi(0.5, 4),
    "renyi by the path": Renyi(2.0, 2, 2, "path"),
    "largest weight": Renyi(-math.inf, 4),
    "asleep": Distortion() + 2.0 * Rate() + 0.5 * Sleep(Distortion() + 2.0 * Rate()),
    "asleep, iwae": ImportanceWeighted(4) + Sleep(ImportanceWeighted(2), 1.0),
    "asleep, upwards": ELBO() + Sleep(EUBO()),
    "parts": Distortion() + MutualInformation() + 6.0 * TotalCorrelation() + DimensionwiseKL(),
    "dip 1": ELBO() + DIP("I"),
    "dip 2": ELBO() + DIP("II"),
    "mmd": Distortion() + 10.0 * MMD(),
    "mmd, rbf": Distortion() + 10.0 * MMD("rbf", unbiased=False),
    "sliced": Distortion() + 10.0 * SlicedWasserstein(10),
    "smooth": Distortion() + 0.1 * LatentL2() + 0.1 * GradientPenalty(),
    "perceptual": 100.0 * MultiscaleSSIM(window=5) + Rate(),
}


def a_model():
    torch.manual_seed(0)
    x = images()
    return VariationalAutoencoder(
        Conditional(Normal("element"), MLP((8,))).build(Site((2,), (1, 10, 10), x)),
        Conditional(Normal(0.5), MLP((8,))).build(Site((1, 10, 10), (2,), events=x)),
        StandardNormal().build(Site((2,))),
    )


def images(n=16):
    """A square somewhere, in noise."""
    generator = torch.Generator().manual_seed(1)
    x = 0.1 * torch.randn(n, 1, 10, 10, generator=generator)
    for i in range(n):
        a, b = i % 4 + 1, i // 4 % 4 + 1
        x[i, 0, a : a + 4, b : b + 4] += 1.0
    return x


def value_of(model, objective, x, draws=1, seed=2):
    torch.manual_seed(seed)
    values = [objective(draw(model, x, objective.samples, progress=0.5, n_examples=100)).mean() for _ in range(draws)]
    return torch.stack(values).mean()


@pytest.mark.parametrize("name", EVERY)
def test_it_reads_back_as_itself(name):
    assert read(text(EVERY[name])) == EVERY[name]


@pytest.mark.parametrize("name", EVERY)
def test_following_its_gradient_lowers_it(name):
    model, objective, x = a_model(), EVERY[name], images()
    adam = torch.optim.Adam(model.parameters(), 0.02)
    with torch.no_grad():
        before = value_of(model, objective, x, 20)
    for step in range(25):
        adam.zero_grad()
        value_of(model, objective, x, seed=step).backward()
        adam.step()
    with torch.no_grad():
        after = value_of(model, objective, x, 20)
    assert after < before - 0.02 * before.abs()


@pytest.mark.parametrize("name", EVERY)
def test_a_step_replays_to_the_same_bits(name):
    model, objective = a_model(), EVERY[name]
    weights = [w for w in model.parameters() if w.requires_grad]

    def step(x):
        value = objective(draw(model, x, objective.samples, progress=0.5, n_examples=100)).mean()
        return [*torch.autograd.grad(value, weights, materialize_grads=True), value.detach()]

    assert faithful(step, [images()], lambda: torch.manual_seed(1), {}) is not None


@pytest.mark.parametrize("rows", [1, 16])
@pytest.mark.parametrize("name", EVERY)
def test_its_value_needs_no_gradients_and_no_more_than_a_row(name, rows):
    model, objective, x = a_model(), EVERY[name], images(rows)
    with torch.no_grad():
        plain = value_of(model, objective, x)
    torch.testing.assert_close(value_of(model, objective, x).detach(), plain)
    assert plain.isfinite()


@pytest.mark.parametrize("name", EVERY)
def test_half_precision_changes_little(name):
    model, objective, x = a_model(), EVERY[name], images()
    exact = value_of(model, objective, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = value_of(model, objective, x)
    slopes = torch.autograd.grad(half, list(model.parameters()), materialize_grads=True)
    assert all(slope.isfinite().all() for slope in slopes)
    assert half.item() == pytest.approx(exact.item(), rel=0.03, abs=0.1)
