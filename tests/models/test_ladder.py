"""Laws of the ladder: p never sees x, every divergence is exact, and its evidence is what quadrature says."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from latens.distributions import Bernoulli, Normal, noise
from latens.models import ConvLadder, Ladder, clamp, draw, encode, locate, sample
from latens.nn import Site
from latens.objectives import ELBO, Distortion, FreeBits, ImportanceWeighted, Rate
from latens.utils.errors import InputError

LADDERS = {
    "two levels": (Ladder((3, 2), width=8), (5,), None),
    "not residual": (Ladder((3, 2), width=8, residual=False), (5,), None),
    "deep": (Ladder((2,) * 5, width=8, blocks=2), (5,), None),
    "one level, no block": (Ladder((3,), width=8, blocks=0), (5,), None),
    "dense, of images": (Ladder((3, 2), width=8), (2, 4, 3), None),
    "conditional": (Ladder((3, 2), width=8), (5,), (4,)),
    "seen by more": (Ladder((3, 2), width=4, features=16), (5,), None),
    "odd images": (ConvLadder((1, 2), (6, 4), levels=2, patch=3), (3, 13, 7), None),
    "a row of pixels": (ConvLadder((1, 2, 1), (4, 4, 4)), (1, 1, 9), None),
    "images seen by more": (ConvLadder((1, 2), (4, 6), levels=2, features=(8, 3)), (1, 6, 5), None),
    "a bottleneck": (ConvLadder((1, 2), (4, 6), bottleneck=2), (1, 6, 5), None),
    "conditional images": (ConvLadder((1, 2), (4, 6), residual=False, patch=1), (1, 6, 5), (4,)),
}
ROWS, SCALE = 6, 0.7


def shaken(model, by=0.3):
    """The model with every weight moved, so that no two parts of it agree by their start."""
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * by / max(1.0, weight[0].numel() ** 0.5))
    return model


def made(name, by=0.3):
    spec, shape, beside = LADDERS[name]
    torch.manual_seed(0)
    x = torch.rand(ROWS, *shape, dtype=torch.float64).round()
    context = None if beside is None else torch.randn(ROWS, *beside, dtype=torch.float64)
    model = spec.model(Bernoulli(), Site(shape, batch=x, beside=beside)).double()
    return shaken(model, by) if by else model, x, context


ladders = pytest.mark.parametrize("name", LADDERS)


@ladders
def test_the_posterior_starts_as_the_prior(name):
    model, x, context = made(name, by=0.0)
    assert draw(model, x, 3, context=context).rate.abs().max() == 0.0
    model, x, context = made(name)
    assert draw(model, x, 3, context=context).rate.min() > 1e-3


@ladders
def test_the_prior_never_sees_x(name):
    model, x, context = made(name)
    d = draw(model, x, 1, context=context)
    seen = []

    def choose(p, q):
        assert q is None
        seen.append(p)
        return d.latents[len(seen) - 1].value[0]

    likelihood = model(choose, context=context)
    for p, latent in zip(seen, d.latents, strict=True):
        torch.testing.assert_close(p.log_prob(latent.value[0]), latent.log_p[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(likelihood.log_prob(x), d.log_likelihood[0], rtol=1e-12, atol=1e-12)


@ladders
def test_an_example_is_alone_whatever_stands_beside_it(name):
    """Features of B rows, states of K * B: no draw of one row may reach another."""
    model, x, context = made(name)
    with noise.keyed([np.random.default_rng(row) for row in range(ROWS)]):
        whole = draw(model, x, 3, context=context).log_weight
    for row in (4, 1):
        with noise.keyed([np.random.default_rng(row)]):
            alone = draw(model, x[[row]], 3, context=None if context is None else context[[row]]).log_weight
        torch.testing.assert_close(whole[:, [row]], alone, rtol=1e-11, atol=1e-11)
    assert whole.std(0).min() > 1e-3


@ladders
def test_the_divergence_of_each_level_is_that_of_two_normals(name):
    model, x, context = made(name)
    d = draw(model, x, 3, context=context)
    for latent in d.latents:
        q, p = (torch.distributions.Normal(r.mean, r.stddev) for r in (latent.q, latent.p))
        slow = torch.distributions.kl_divergence(q, p).expand_as(latent.value).flatten(2).sum(-1)
        torch.testing.assert_close(latent.kl, slow, rtol=1e-9, atol=1e-12)


@ladders
def test_the_divergence_is_the_mean_of_log_q_less_log_p(name):
    model, x, context = made(name)
    d = draw(model, x[:1], 4000, context=None if context is None else context[:1])
    gap = (d.log_posterior - d.log_prior - d.rate).flatten()
    assert gap.mean().abs() < 5 * gap.std() / math.sqrt(len(gap))
    assert gap.std() > 0.01


@ladders
def test_every_weight_is_learned(name):
    model, x, context = made(name)
    ELBO()(draw(model, x, 2, context=context)).mean().backward()
    for weight_name, weight in model.named_parameters():
        assert weight.grad.abs().max() > 0, weight_name


@ladders
def test_codes_are_made_without_decoding_and_are_taken_in_order(name):
    model, x, context = made(name)
    means, likelihood = locate(model, x, context=context)
    for mine, theirs in zip(encode(model, x, context=context), means, strict=True):
        assert torch.equal(mine, theirs)
    assert [tuple(z.shape[1:]) for z in means] == list(model.shapes)
    torch.testing.assert_close(model(clamp(means), context=context).mean, likelihood.mean)


@ladders
def test_what_is_not_observed_is_not_seen(name):
    model, x, context = made(name)
    observed = torch.rand(x.shape) < 0.5
    other = torch.where(observed, x, 1 - x)
    model.ladder.view.shift.zero_()  # what stands in for a missing value is the mean
    seen = []
    for rows in (torch.where(observed, x, 0.0 * x), torch.where(observed, other, 0.0 * x), other):
        torch.manual_seed(3)
        seen.append(draw(model, rows, observed=observed, context=context).log_weight)
    torch.testing.assert_close(seen[0], seen[1])
    torch.testing.assert_close(seen[0], seen[2])


@pytest.mark.parametrize("depth", [2, 12, 48])
def test_a_deep_ladder_starts_as_tame_as_a_shallow_one(depth):
    torch.manual_seed(0)
    x = torch.randn(64, 20)
    model = Ladder((4,) * depth, width=32).model(Normal(1.0), Site((20,), batch=x))
    tops = model.ladder.features(x)
    assert tops[-1].std() < 2 * tops[0].std()
    model.zero_grad()
    ELBO()(draw(model, x)).mean().backward()
    norm = torch.stack([w.grad.norm() for w in model.parameters()]).norm()
    assert 0.5 < norm < 20


# -- exact evidence ---------------------------------------------------------------------------------------------------


def quadrature(model, x, size=201):
    """log p(x) over a grid of z_2 and of (z_1 - its mean) / its scale, and E[x]; by the trapezoidal rule."""
    e = torch.linspace(-8, 8, size, dtype=torch.float64)
    top, low = torch.meshgrid(e, e, indexing="ij")
    points = [top.reshape(-1, 1), low.reshape(-1, 1)]
    normal = (-0.5 * (points[0] ** 2 + points[1] ** 2)).exp().flatten() / (2 * math.pi) * (e[1] - e[0]) ** 2

    def choose(p, q):
        p_mean, spread = (r.expand(size**2, 1) for r in (p.mean, p.stddev))
        return p_mean + spread * points.pop(0)

    likelihood = model(choose)
    log_p = likelihood.log_prob(x[:, None])
    return (log_p + normal.log()).logsumexp(1), (normal[:, None] * likelihood.mean).sum(0)


def one_and_one(residual):
    torch.manual_seed(2)
    x = torch.rand(4, 5, dtype=torch.float64).round()
    model = shaken(Ladder((1, 1), width=8, residual=residual).model(Bernoulli(), Site((5,), batch=x)).double(), 0.5)
    with torch.no_grad():
        for level in model.ladder.levels:
            level.posterior.weight *= 0.2
            level.posterior.bias.copy_(torch.tensor([0.2, 0.0 if residual else 0.7]))  # q is no narrower than p
    return model, x


@pytest.mark.parametrize("residual", [True, False])
def test_bounds_rise_to_the_evidence_that_quadrature_finds(residual):
    model, x = one_and_one(residual)
    with torch.no_grad():
        evidence, _ = quadrature(model, x)
        d = draw(model, x, 40_000)
        elbo, bound = -ELBO()(d), -ImportanceWeighted(40_000)(d)
    assert (elbo < evidence - 5 * d.log_weight.std(0) / 200).all()
    torch.testing.assert_close(bound, evidence, rtol=0, atol=0.01)


def test_draws_have_the_mean_that_quadrature_finds():
    model, x = one_and_one(True)
    with torch.no_grad():
        _, mean = quadrature(model, x)
        drawn = sample(model, 40_000).sample()
    z = (drawn.mean(0) - mean) / (drawn.std(0) / 200)
    assert z.abs().max() < 5
    assert (mean - 0.5).abs().max() > 0.05


def linear(levels):
    """A ladder that is linear: without blocks, every unit so far above zero that relu is the identity."""
    torch.manual_seed(4)
    spec = Ladder((1,) * levels, width=8, blocks=0, activation="relu", residual=False)
    model = shaken(spec.model(Normal(SCALE), Site((3,))).double(), 1.0)
    ladder = model.ladder
    with torch.no_grad():
        ladder.start.fill_(50.0)
        ladder.stages[0][1].bias.add_(50.0)
        for level in ladder.levels:
            level.own.bias.add_(500.0)
            if hasattr(level.prior, "weight"):
                level.prior.weight[1] = 0.0
                level.prior.bias -= level.prior.weight @ ladder.start
        ladder.head[1].bias -= ladder.head[1].weight @ ladder.start
    return model


def joint(model):
    """Mean and covariance of (z_L .. z_1, x): x and every z are affine in standard normal noise."""
    levels = len(model.shapes)

    def affine(e):
        rest, z = list(e[:levels]), []

        def choose(p, q):
            z.append((p.mean + p.stddev * rest.pop(0)).reshape(1, 1))
            return z[-1]

        x = model(choose).mean[0] + SCALE * e[levels:]
        return torch.cat([torch.cat(z).flatten(), x])

    e = torch.zeros(levels + 3, dtype=torch.float64)
    slope, moved = torch.autograd.functional.jacobian(affine, e), torch.full_like(e, 2.5)
    torch.testing.assert_close(affine(moved), affine(e) + slope @ moved, rtol=1e-9, atol=1e-9)
    return affine(e).detach(), slope @ slope.T


@torch.no_grad()
def make_exact(model, mean, covariance):
    """Sets the last layer of each q to p(z_i | z_L .. z_i+1, x), by least squares on what the layer sees."""
    levels, n = len(model.shapes), 50
    rows = mean + torch.randn(n, levels + 3, dtype=torch.float64)
    given, values = [*range(levels, levels + 3)], list(rows[:, :levels].split(1, 1))
    for i, level in enumerate(model.ladder.levels):
        seen = []
        hook = level.posterior.register_forward_hook(lambda module, inputs, out, seen=seen: seen.append(inputs[0]))
        model(clamp(values), rows[:, levels:])
        hook.remove()
        slope = torch.linalg.solve(covariance[given][:, given], covariance[given, i])
        target = mean[i] + (rows - mean)[:, given] @ slope
        design = torch.cat([seen[0], torch.ones(n, 1, dtype=torch.float64)], 1)
        found = torch.linalg.lstsq(design, target, driver="gelsd").solution
        torch.testing.assert_close(design @ found, target, rtol=0, atol=1e-7)
        level.posterior.weight.copy_(torch.stack([found[:-1], torch.zeros(8, dtype=torch.float64)]))
        log_scale = 0.5 * (covariance[i, i] - covariance[i, given] @ slope).log()
        assert log_scale < 0  # below 0 what the network tells is the logarithm itself
        level.posterior.bias.copy_(torch.stack([found[-1], log_scale]))
        given.append(i)


@pytest.mark.parametrize("levels", [2, 3])
def test_a_linear_ladder_has_the_evidence_of_a_normal(levels):
    model = linear(levels)
    mean, covariance = joint(model)
    make_exact(model, mean, covariance)
    m, v, n = mean[levels:], covariance[levels:, levels:], 20_000
    with torch.no_grad():
        drawn = sample(model, n).sample()
        x = drawn[:5]
        evidence = torch.tensor(multivariate_normal(m.numpy(), v.numpy()).logpdf(x.numpy()))
        torch.testing.assert_close(-ImportanceWeighted(3)(draw(model, x, 3)), evidence, rtol=0, atol=1e-5)
        for level in model.ladder.levels:  # now wider, as importance weights want it
            level.posterior.bias[1] += 0.15
        d = draw(model, x, n)
        elbo, bound = -ELBO()(d), -ImportanceWeighted(n)(d)
    assert (elbo < evidence - 5 * d.log_weight.std(0) / n**0.5).all()
    torch.testing.assert_close(bound, evidence, rtol=0, atol=0.01)
    centred = drawn - m
    products = centred[:, :, None] * centred[:, None, :]
    assert ((products.mean(0) - v) / (products.std(0) / n**0.5)).abs().max() < 5
    assert (centred.mean(0) / (centred.std(0) / n**0.5)).abs().max() < 5


# -- objectives, refusals ---------------------------------------------------------------------------------------------


def test_free_bits_take_the_dimensions_of_all_levels():
    model, x, _ = made("odd images")
    d = draw(model, x, 2)
    slow = sum(z.kl_factors.reshape(-1, z.q.event_shape.numel()).mean(0).clamp(min=0.02).sum() for z in d.latents)
    torch.testing.assert_close(FreeBits(0.02)(d), slow, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(Rate()(d) + Distortion()(d), ELBO()(d), rtol=1e-12, atol=1e-12)


def test_gradients_through_the_draws_alone_have_the_same_mean():
    """What a later level's score passes to the levels above has mean zero too."""
    model, x = one_and_one(True)
    weights = [w for level in model.ladder.levels for w in level.posterior.parameters()]
    found = []
    for objective in (ELBO(), ELBO("path")):
        each = [torch.autograd.grad(objective(draw(model, x, 50)).sum(), weights) for _ in range(50)]
        found.append(torch.stack([torch.cat([g.flatten() for g in gradients]) for gradients in each]))
    error = sum(g.var(0) / 50 for g in found).sqrt()
    assert ((found[0].mean(0) - found[1].mean(0)).abs() < 5 * error + 1e-12).all()
    assert (found[1].mean(0).abs() > 5 * error).any()


WRONG = {
    "no level": (lambda: Ladder(()), r"Ladder expects a tuple .* as latents"),
    "a number": (lambda: Ladder(3), r"tuple of positive whole numbers"),
    "half a dimension": (lambda: Ladder((3, 1.5)), r"such as \(32, 16, 8\); got \(3, 1.5\)"),
    "no width": (lambda: Ladder(width=0), "width"),
    "activation": (lambda: Ladder(activation="silo"), "did you mean 'silu'"),
    "channels": (lambda: ConvLadder((1, 2), (8,)), "the same resolutions; got 2 and 1"),
    "features": (lambda: ConvLadder((1, 2), (8, 8), features=(8,)), "features for the same resolutions; got 2 and 1"),
    "no features": (lambda: Ladder(features=0), "features"),
    "no bottleneck": (lambda: ConvLadder(bottleneck=0), "bottleneck"),
    "vectors": (lambda: ConvLadder().shapes((4,)), r"expects images .* shape \(4,\). Use Ladder"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_hierarchy_is_refused_in_one_line(name):
    make, message = WRONG[name]
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
