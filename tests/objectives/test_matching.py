"""Matching of the aggregate posterior: values and gradients by loops, closed forms between normals, assignments."""

import math

import pytest
import torch
from scipy.optimize import linear_sum_assignment

from latens.distributions import Delta, MixtureOf, Normal
from latens.models import Conditional, Free, Latent, VariationalAutoencoder, draw
from latens.nn import MLP, Site
from latens.objectives import MMD, SlicedWasserstein
from latens.objectives.matching import _both
from latens.utils.errors import InputError

K, B, D = 2, 5, 3


def two_samples(k=K, n=B, dims=D, mean=0.7, scale=0.6):
    generator = torch.Generator().manual_seed(0)
    z, y = torch.randn(2, k, n, dims, generator=generator, dtype=torch.float64)
    return (z * scale + mean).requires_grad_(), y.requires_grad_()


def slow_mmd(objective, z, y):
    """By loops over pairs, the mean over the K samples."""

    def k(a, b):
        u = [(a - b).square().sum() / (2 * len(a) * scale) for scale in objective.scales]
        return sum((-t).exp() if objective.kernel == "rbf" else 1 / (1 + t) for t in u) / len(u)

    total = 0.0
    for s, t in zip(z, y):
        within = 0.0
        for one in (s, t):
            pairs = [k(one[i], one[j]) for i in range(B) for j in range(B) if i != j or not objective.unbiased]
            within = within + sum(pairs) / len(pairs)
        total = total + within - 2 * sum(k(a, b) for a in s for b in t) / B**2
    return total / len(z)


def slow_sliced(objective, z, y):
    """The optimal assignment of projections, for the directions that the same seed gives."""
    directions = torch.randn(D, objective.projections, dtype=z.dtype)
    directions = directions / directions.norm(dim=0)
    total = 0.0
    for s, t in zip(z @ directions, y @ directions):
        for a, b in zip(s.T, t.T):
            cost = (a[:, None] - b[None]).square()
            total = total + cost[linear_sum_assignment(cost.detach().numpy())].mean()
    return total / (len(z) * objective.projections)


MATCHING = {
    "imq": (MMD(), slow_mmd),
    "imq, one scale": (MMD(scales=(0.5,)), slow_mmd),
    "imq, biased": (MMD(unbiased=False), slow_mmd),
    "rbf": (MMD("rbf", (0.3, 2.0)), slow_mmd),
    "rbf, biased": (MMD("rbf", (1.0,), unbiased=False), slow_mmd),
    "sliced": (SlicedWasserstein(7), slow_sliced),
    "one slice": (SlicedWasserstein(1), slow_sliced),
}


@pytest.mark.parametrize("name", MATCHING)
def test_value_and_gradient_are_those_of_the_slow_formula(name):
    objective, slow = MATCHING[name]
    results = []
    for f in (lambda z, y: objective.between(z, y).mean(), lambda z, y: slow(objective, z, y)):
        torch.manual_seed(5)
        z, y = two_samples()
        value = f(z, y)
        results.append((value.detach(), *torch.autograd.grad(value, (z, y))))
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-12)
    assert results[0][1].abs().max() > 1e-3


def normal_mmd(mean, scale, widths, dims):
    """Of N(mean, scale^2 I) and N(0, I) under exp(-|x - y|^2 / (2 w)), averaged over w."""

    def similar(apart, variance, w):
        return (w / (w + variance)) ** (dims / 2) * math.exp(-dims * apart**2 / (2 * (w + variance)))

    each = [
        similar(0, 2 * scale**2, w) + similar(0, 2, w) - 2 * similar(mean, 1 + scale**2, w)
        for w in (dims * width for width in widths)
    ]
    return sum(each) / len(each)


@pytest.mark.parametrize(("mean", "scale"), [(0.7, 0.6), (0.0, 1.0), (0.0, 1.8)])
def test_the_unbiased_discrepancy_of_two_normals_has_its_closed_form_as_mean(mean, scale):
    z, y = two_samples(4000, 8, D, mean, scale)
    with torch.no_grad():
        found = MMD("rbf", (0.3, 2.0)).between(z, y)
        biased = MMD("rbf", (0.3, 2.0), unbiased=False).between(z, y)
    exact = normal_mmd(mean, scale, (0.3, 2.0), D)
    error = found.std().item() / math.sqrt(len(found))
    assert abs(found.mean().item() - exact) < 5 * error
    assert abs(biased.mean().item() - exact) > 20 * error
    assert biased.min() >= 0


@pytest.mark.parametrize(("mean", "scale"), [(0.7, 0.6), (0.0, 1.8)])
def test_the_sliced_distance_of_two_normals_has_its_closed_form_as_limit(mean, scale):
    z, y = two_samples(2, 8_000, D, mean, scale)
    torch.manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(D, 100, dtype=z.dtype), dim=0)
    exact = (mean * directions.sum(0)).square().mean() + (scale - 1) ** 2  # of these directions
    torch.manual_seed(0)
    with torch.no_grad():
        found = SlicedWasserstein(100).between(z, y)
    assert found.mean().item() == pytest.approx(exact.item(), rel=0.05)


def test_the_same_draws_are_at_no_distance():
    z, _ = two_samples()
    assert SlicedWasserstein().between(z, z.flip(1)).abs().max() < 1e-12
    assert MMD(unbiased=False).between(z, z.flip(1)).abs().max() < 1e-12


def a_model(posterior, prior):
    torch.manual_seed(0)
    return VariationalAutoencoder(
        Conditional(posterior, MLP((8,))).build(Site((D,), (4,))),
        Conditional(Normal(1.0), MLP((8,))).build(Site((4,), (D,))),
        prior.build(Site((D,))),
    ).double()


@pytest.mark.parametrize("posterior", [Normal("element"), Delta()])
def test_a_draw_is_matched_with_as_many_draws_of_its_prior(posterior):
    model, values = a_model(posterior, Free(Normal("element"))), []
    for objective in (MMD(), SlicedWasserstein(9)):
        torch.manual_seed(1)
        d = draw(model, torch.randn(B, 4, dtype=torch.float64), K)
        state = torch.random.get_rng_state()
        value = objective(d)
        torch.random.set_rng_state(state)
        values.append((value, objective.between(d.latents[0].value, model.prior().rsample((K, B))).mean()))
        slopes = torch.autograd.grad(value, [*model.posterior.parameters(), model.prior.params])
        assert all(slope.abs().max() > 0 for slope in slopes)
    for mine, by_hand in values:
        torch.testing.assert_close(mine, by_hand, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("shape", [(), (B,), (K, B)])
def test_a_prior_that_depends_on_the_row_is_drawn_from_once_for_each(shape):
    p = Normal(1e-3)(torch.arange(float(B)).reshape(B, 1).expand(*shape, D) if shape else torch.zeros(D), (D,))
    z, y = _both(Latent(torch.zeros(K, B, D), p, p))
    expected = torch.arange(float(B)).reshape(B, 1) if shape else torch.zeros(1, 1)
    torch.testing.assert_close(y, expected.expand(K, B, D), rtol=0.0, atol=0.02)
    assert z.shape == (K, B, D)
    assert y.std(0).min() > 0


def test_one_row_alone_has_a_value():
    z, y = two_samples(1, 1)
    assert MMD().between(z, y).isfinite().all()


REFUSED = {
    "kernel": (lambda: MMD("laplace"), "kernel is one of imq, rbf"),
    "scales": (lambda: MMD(scales=()), "tuple of scales"),
    "a scale": (lambda: MMD(scales=(1.0, -1.0)), "scale must be a positive number"),
    "projections": (lambda: SlicedWasserstein(0), "projections must be a positive integer"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(name):
    make, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        make()


def test_a_mixture_prior_is_drawn_from_too():
    model = a_model(Normal("element"), Free(MixtureOf(Normal("element"), 3, "event")))
    assert MMD()(draw(model, torch.randn(B, 4, dtype=torch.float64), K)).isfinite()
