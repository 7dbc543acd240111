"""Regularisers of codes and decoder, and structural similarity: by hand, by loops, by exact enumeration."""

import itertools

import numpy as np
import pytest
import torch

from latens.distributions import Bernoulli, Delta, MixtureOf, Normal, noise
from latens.models import Conditional, Draw, Latent, Model, StandardNormal, VariationalAutoencoder, draw
from latens.nn import MLP, Site
from latens.objectives import DIP, GradientPenalty, LatentL2, MultiscaleSSIM
from latens.objectives.images import SIGMA, WEIGHTS, multiscale
from latens.utils.errors import InputError

K, B, D = 2, 7, 3


def a_model(posterior=Normal("element"), likelihood=Normal(1.0), size=4, latents=D):
    torch.manual_seed(0)
    return VariationalAutoencoder(
        Conditional(posterior, MLP((8,), "tanh")).build(Site((latents,), (size,))),
        Conditional(likelihood, MLP((8,), "tanh")).build(Site((size,), (latents,))),
        StandardNormal().build(Site((latents,))),
    ).double()


def a_draw(model, size=4):
    torch.manual_seed(1)
    return draw(model, 2.0 * torch.randn(B, size, dtype=torch.float64), K)


def slow_dip(kind, a, b):
    """Entry by entry."""

    def value(d):
        q, total = d.latents[0].q, 0.0
        for i, j in itertools.product(range(D), repeat=2):
            c = (q.mean[:, i] * q.mean[:, j]).mean() - q.mean[:, i].mean() * q.mean[:, j].mean()
            if i == j and kind == "II":
                c = c + q.stddev[:, i].square().mean()
            total = total + (b * (c - 1) ** 2 if i == j else a * c**2)
        return total

    return value


TERMS = {
    "dip 1": (DIP("I"), slow_dip("I", 10.0, 10.0)),
    "dip 2": (DIP("II", 3.0, 0.5), slow_dip("II", 3.0, 0.5)),
    "l2": (LatentL2(), lambda d: sum(0.5 * z.square().sum(-1) for z in d.latents[0].value) / K),
}


@pytest.mark.parametrize("name", TERMS)
def test_value_and_gradient_are_those_of_the_slow_formula(name):
    objective, slow = TERMS[name]
    model, results = a_model(), []
    for f in (objective, slow):
        value = f(a_draw(model))
        results.append((value.detach(), torch.autograd.grad(value.sum(), list(model.posterior.parameters()))))
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-10)
    assert max(slope.abs().max() for slope in results[0][1]) > 1e-2


def test_dip_of_a_known_covariance():
    """Means at the corners of a parallelogram: C = M^T M / 4; deviations of 1/2 add a quarter."""
    means = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]]) @ torch.tensor([[2.0, 0], [1, 1]])
    q = Normal(0.5)(means, (2,))
    d = Draw(means, q, [Latent(means[None], q, q)])
    assert DIP("I", 1.0, 0.0)(d).item() == pytest.approx(2 * 1.0**2)  # C = ((5, 1), (1, 1))
    assert DIP("I", 0.0, 1.0)(d).item() == pytest.approx(4.0**2)
    assert DIP("II", 0.0, 1.0)(d).item() == pytest.approx(4.25**2 + 0.25**2)
    assert DIP("II", 1.0, 0.0)(d).item() == pytest.approx(2 * 1.0**2)


def test_dip_of_points_is_the_same_in_both_kinds():
    d = a_draw(a_model(Delta()))
    assert DIP("I")(d).item() == DIP("II")(d).item() > 0


class Given:
    """Uniform noise that is given, normal noise of 0."""

    def __init__(self, signs):
        self.signs = np.asarray(signs)

    def random(self, shape, dtype):
        return np.where(self.signs > 0, 0.25, 0.75).reshape(shape)

    def standard_normal(self, shape, dtype):
        return np.zeros(shape)


def exact_penalty(model, x):
    """Over all vectors of signs, at the mean of the posterior."""
    signs = list(itertools.product((-1, 1), repeat=4))
    with noise.keyed([Given(s) for s in signs]):
        return GradientPenalty()(draw(model, x.expand(len(signs), 4), 1)).mean()


@pytest.mark.parametrize("likelihood", [Normal(1.0), Bernoulli()])
def test_the_gradient_penalty_is_the_squared_norm_of_the_jacobian_and_so_is_its_gradient(likelihood):
    model, x = a_model(likelihood=likelihood), torch.tensor([[0.3, -1.0, 0.8, 0.1]], dtype=torch.float64)
    z = model.posterior(x).mean
    jacobian = torch.autograd.functional.jacobian(lambda z: model.likelihood(z).mean, z, create_graph=True)
    exact = jacobian.square().sum()
    weights = list(model.parameters())
    found = exact_penalty(model, x)
    torch.testing.assert_close(found, exact, rtol=1e-10, atol=0.0)
    mine, theirs = (torch.autograd.grad(v, weights, materialize_grads=True) for v in (found, exact))
    torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-10)
    assert theirs[0].abs().max() > 1e-3
    with torch.no_grad():
        torch.testing.assert_close(exact_penalty(model, x), exact.detach(), rtol=1e-10, atol=0.0)


class Stacked(Model):
    """x = z1 + 3 z2 + noise, z1 = 2 z2 + noise: the decoder's own Jacobian is (1, 3), whatever the choices share."""

    def forward(self, choose, x=None, *, observed=None, context=None):
        z2 = choose(Normal(1.0)(torch.zeros(1), (1,)), None if x is None else Normal(0.1)(x * 0.2, (1,)))
        z1 = choose(Normal(1.0)(2 * z2, (1,)), Normal(0.1)(2 * z2, (1,)))
        return Normal(1.0)(z1 + 3 * z2, (1,))


def test_in_a_hierarchy_the_penalty_is_of_the_decoder_alone():
    x = torch.ones(4, 1).requires_grad_()
    torch.testing.assert_close(GradientPenalty()(draw(Stacked(), x, 2)).detach(), torch.full((4,), 10.0))


# -- structural similarity --------------------------------------------------------------------------------------------


def slow_similarity(x, y, span, scales, window):
    """One channel, with numpy and a loop over windows."""
    places = np.arange(window) - window // 2
    bell = np.exp(-(places**2) / (2 * SIGMA**2))
    bell = np.outer(bell, bell) / bell.sum() ** 2
    result, total = 1.0, sum(WEIGHTS[:scales])
    for scale in range(scales):
        if scale:
            x, y = (t.reshape(t.shape[0] // 2, 2, t.shape[1] // 2, 2).mean((1, 3)) for t in (x, y))
        values = []
        for i, j in itertools.product(range(x.shape[0] - window + 1), range(x.shape[1] - window + 1)):
            a, b = (t[i : i + window, j : j + window] for t in (x, y))
            ma, mb = (bell * a).sum(), (bell * b).sum()
            va, vb, cov = (bell * (a - ma) ** 2).sum(), (bell * (b - mb) ** 2).sum(), (bell * (a - ma) * (b - mb)).sum()
            value = (2 * cov + (0.03 * span) ** 2) / (va + vb + (0.03 * span) ** 2)
            if scale == scales - 1:
                value *= (2 * ma * mb + (0.01 * span) ** 2) / (ma**2 + mb**2 + (0.01 * span) ** 2)
            values.append(value)
        result *= max(np.mean(values), 1e-4) ** (WEIGHTS[scale] / total)
    return result


def two_images(amount, side=16, channels=2):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(3, channels, side, side, generator=generator, dtype=torch.float64)
    return x, x + amount * torch.randn(x.shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("scales", "window"), [(1, 5), (2, 7), (3, 3), (1, 11)])
@pytest.mark.parametrize("amount", [0.1, 0.5, 5.0])
def test_similarity_is_that_of_the_slow_formula(scales, window, amount):
    x, y = two_images(amount)
    slow = [
        np.mean([slow_similarity(a, b, 1.0, scales, window) for a, b in zip(p, q)])
        for p, q in zip(x.numpy(), y.numpy())
    ]
    np.testing.assert_allclose(multiscale(x, y, 1.0, scales, window), slow, rtol=1e-8)


def test_images_are_like_themselves_and_less_like_others_the_more_they_differ():
    values = torch.stack([multiscale(*two_images(amount), 1.0, 2, 5) for amount in (0.0, 0.1, 0.3, 1.0)])
    torch.testing.assert_close(values[0], torch.ones(3, dtype=torch.float64), rtol=0.0, atol=1e-12)
    assert (values.diff(dim=0) < -0.02).all()
    x, y = two_images(0.3)
    torch.testing.assert_close(multiscale(x, y, 1.0, 2, 5), multiscale(y, x, 1.0, 2, 5))
    assert multiscale(x, 1.0 - x, 1.0, 1, 5).max() < 0.5


def test_its_gradient_is_that_of_differences():
    x, y = two_images(0.3, side=8, channels=1)
    assert torch.autograd.gradcheck(lambda t: multiscale(x, t, 1.0, 2, 3), y.requires_grad_(), eps=1e-6, atol=1e-7)


def an_image_model(shape, likelihood=Normal(1.0)):
    torch.manual_seed(0)
    return VariationalAutoencoder(
        Conditional(Normal("element"), MLP((8,))).build(Site((2,), shape)),
        Conditional(likelihood, MLP((8,))).build(Site(shape, (2,))),
        StandardNormal().build(Site((2,))),
    )


@pytest.mark.parametrize(("objective", "scales"), [(MultiscaleSSIM(window=5), 2), (MultiscaleSSIM(1, 5, 4.0), 1)])
def test_a_draw_is_judged_by_its_mean_image(objective, scales):
    model = an_image_model((3, 10, 12))
    x = torch.rand(B, 3, 10, 12)
    d = draw(model, x, K)
    span = objective.span or x.max() - x.min()
    slow = [1 - multiscale(x, mean, span, scales, 5) for mean in d.likelihood.mean]
    torch.testing.assert_close(objective(d), sum(slow) / K)


@pytest.mark.parametrize("x", [torch.zeros(2, 1, 8, 8), torch.full((2, 1, 8, 8), 1e3)])
def test_flat_images_make_no_nan(x):
    model = an_image_model((1, 8, 8))
    value = MultiscaleSSIM(window=5)(draw(model, x))
    slopes = torch.autograd.grad(value.sum(), list(model.parameters()), materialize_grads=True)
    assert value.isfinite().all()
    assert all(slope.isfinite().all() for slope in slopes)


class NoMean(Normal):
    def __call__(self, *args):
        class Without(type(super().__call__(*args))):
            @property
            def mean(self):
                raise NotImplementedError

        p = super().__call__(*args)
        p.__class__ = Without
        return p


REFUSED = {
    "kind": (lambda: DIP("III"), "kind is one of I, II"),
    "mixture": (lambda: DIP()(a_draw(a_model(MixtureOf(Normal("element"), 2, "event")))), "Mixture does not tell them"),
    "undrawn": (lambda: GradientPenalty()(Draw(torch.ones(1), None, [])), "can decode other codes"),
    "no mean": (lambda: GradientPenalty()(a_draw(a_model(likelihood=NoMean(1.0)))), "likelihood with a mean"),
    "window": (lambda: MultiscaleSSIM(window=4), "odd window"),
    "scales": (lambda: MultiscaleSSIM(6), "1 to 5 scales"),
    "table": (lambda: MultiscaleSSIM()(a_draw(a_model())), r"images \(C, H, W\); got rows of shape \(4,\)"),
    "small": (
        lambda: MultiscaleSSIM(2)(draw(an_image_model((1, 12, 12)), torch.rand(2, 1, 12, 12))),
        "at least 22 pixels a side; got 12 x 12. Use fewer scales",
    ),
    "smaller": (
        lambda: MultiscaleSSIM()(draw(an_image_model((1, 8, 8)), torch.rand(2, 1, 8, 8))),
        "at least 11 pixels a side; got 8 x 8",
    ),
    "missing": (
        lambda: MultiscaleSSIM()(
            draw(an_image_model((1, 12, 12)), torch.rand(2, 1, 12, 12), observed=torch.ones(2, 1, 12, 12).bool())
        ),
        "whole images",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(name):
    make, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        make()
