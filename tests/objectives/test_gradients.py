"""Estimates of a gradient: the same value, the same mean by quadrature, and no noise where the posterior is exact."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from latens.distributions import MixtureOf, Normal, noise
from latens.models import (
    Conditional,
    Free,
    InverseAutoregressiveFlow,
    Model,
    PlanarFlow,
    StandardNormal,
    SylvesterFlow,
    VampPrior,
    VariationalAutoencoder,
    draw,
)
from latens.neural.vae import build
from latens.nn import MLP, Site
from latens.objectives import ELBO, Distortion, ImportanceWeighted, Rate, Renyi
from latens.utils.errors import InputError


class Given:
    """Noise that is given: ``(K, *)`` for a row."""

    def __init__(self, values):
        self.values = values

    def standard_normal(self, shape, dtype):
        return self.values.reshape(shape)


class InTurn(Given):
    """The same for one choice after another."""

    def standard_normal(self, shape, dtype):
        first, *self.values = self.values
        return first.reshape(shape)


def grid(k, nodes):
    """All k-tuples of the nodes of Gauss and Hermite, ``(n, k)``, and their weights: exact expectations."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    tuples = np.array(list(itertools.product(range(nodes), repeat=k)))
    return points[tuples], torch.tensor((weights / weights.sum())[tuples].prod(1))


def curved():
    """One latent dimension, a likelihood that is no Gaussian in z, and a learned prior."""
    torch.manual_seed(3)
    return VariationalAutoencoder(
        Conditional(Normal("element"), MLP(())).build(Site((1,), (2,))),
        Conditional(Normal(2.0), MLP((4,), "tanh")).build(Site((2,), (1,))),
        Free(Normal("element")).build(Site((1,))),
    ).double()


X = torch.tensor([[0.7, -0.4]], dtype=torch.float64)


def expected(model, objective, k, nodes):
    """The exact mean of an objective's value and of its gradients."""
    points, weights = grid(k, nodes)
    with noise.keyed([Given(row) for row in points]):
        value = (objective(draw(model, X.expand(len(points), 2), k)) * weights).sum()
    return value.detach(), torch.autograd.grad(value, list(model.parameters()))


PAIRS = {
    "elbo": (ELBO, 1, 40),
    "beta": (lambda gradient: Distortion() + 4.0 * Rate(gradient), 1, 40),
    "iwae of one": (lambda gradient: ImportanceWeighted(1, gradient=gradient), 1, 40),
    "iwae": (lambda gradient: ImportanceWeighted(2, gradient=gradient), 2, 40),
    "iwae of three": (lambda gradient: ImportanceWeighted(3, gradient=gradient), 3, 20),
    "miwae": (lambda gradient: ImportanceWeighted(2, 2, gradient), 4, 12),
    "renyi 0.5": (lambda gradient: Renyi(0.5, 2, gradient=gradient), 2, 40),
    "renyi 1": (lambda gradient: Renyi(1.0, 2, gradient=gradient), 2, 40),
    "renyi 2": (lambda gradient: Renyi(2.0, 2, gradient=gradient), 2, 40),
    "renyi -1": (lambda gradient: Renyi(-1.0, 2, gradient=gradient), 2, 40),
}


@pytest.mark.parametrize("name", PAIRS)
def test_both_estimates_have_the_same_value_and_the_same_mean(name):
    make, k, nodes = PAIRS[name]
    model = curved()
    (value, total), (same, path) = (expected(model, make(gradient), k, nodes) for gradient in ("total", "path"))
    torch.testing.assert_close(same, value, rtol=1e-12, atol=0.0)
    torch.testing.assert_close(path, total, rtol=3e-4, atol=3e-5)  # what is left out by so few nodes
    assert min(slope.abs().max() for slope in total) > 1e-3


@pytest.mark.parametrize(
    "make", [ImportanceWeighted(3, 2, "path"), Renyi(0.5, 3, 2, "path"), Renyi(-1.0, 3, 2, "path")]
)
@pytest.mark.parametrize("prior", [Free(Normal("element")), VampPrior(3)], ids=["free", "vamp"])
def test_alone_a_bound_has_the_gradient_that_it_has_beside_others_for_every_draw(make, prior):
    settings = {"latents": 2, "likelihood": Normal(2.0), "encoder": MLP((5,), "tanh"), "decoder": MLP((4,), "tanh")}
    torch.manual_seed(1)
    x = torch.randn(7, 3, dtype=torch.float64)
    model = build(Site((3,), None, x.float()), settings, Normal("element"), prior).double()
    found = []
    for value in (make.__call__, make.alone):
        torch.manual_seed(2)
        loss = value(draw(model, x, make.samples))
        found.append((loss.detach(), torch.autograd.grad(loss.mean(), list(model.parameters()))))
    (beside, slopes), (alone, same) = found
    torch.testing.assert_close(alone, beside, rtol=0.0, atol=0.0)
    torch.testing.assert_close(same, slopes, rtol=1e-10, atol=1e-13)
    torch.manual_seed(2)
    plain = replace(make, gradient="total")(draw(model, x, make.samples)).mean()
    score = torch.autograd.grad(plain, list(model.posterior.parameters()))
    assert all((a - b).abs().max() > 1e-4 for a, b in zip(score, same))


FLOWS = {
    "planar": PlanarFlow(transforms=2, context=0),
    "sylvester": SylvesterFlow(transforms=2, context=0),
    "autoregressive": InverseAutoregressiveFlow(transforms=1, context=0, network=MLP((4,), "tanh")),
}


@pytest.mark.parametrize("name", FLOWS)
def test_posteriors_that_bring_their_density_have_paths_too(name):
    torch.manual_seed(0)
    settings = {"latents": 1, "likelihood": Normal(2.0), "encoder": MLP(()), "decoder": MLP((4,), "tanh")}
    model = build(Site((2,), None, X.float()), settings, FLOWS[name], Free(Normal("element"))).double()
    with torch.no_grad():
        for weights in model.parameters():
            weights += 0.2 * torch.randn_like(weights)
    (value, total), (same, path) = (expected(model, ELBO(gradient), 1, 200) for gradient in ("total", "path"))
    torch.testing.assert_close(same, value, rtol=1e-12, atol=0.0)
    torch.testing.assert_close(path, total, rtol=3e-4, atol=3e-5)


@pytest.mark.parametrize("name", PAIRS)
def test_single_draws_differ_in_the_posterior_and_nowhere_else(name):
    make, k, _ = PAIRS[name]
    model, slopes = curved(), []
    for gradient in ("total", "path"):
        torch.manual_seed(0)
        value = make(gradient)(draw(model, X.expand(5, 2), k)).sum()
        posterior, likelihood = list(model.posterior.parameters()), list(model.likelihood.parameters())
        slopes.append(
            (torch.autograd.grad(value, posterior, retain_graph=True), torch.autograd.grad(value, likelihood))
        )
    torch.testing.assert_close(slopes[0][1], slopes[1][1], rtol=1e-10, atol=1e-12)
    assert max((a - b).abs().max() for a, b in zip(slopes[0][0], slopes[1][0])) > 1e-3


class Affine(nn.Module):
    def __init__(self, weight, log_scale):
        super().__init__()
        self.weight, self.log_scale = nn.Parameter(weight), nn.Parameter(log_scale)

    def forward(self, x):
        loc = x @ self.weight.T
        return torch.cat([loc, self.log_scale.expand_as(loc)], 1)


def exact():
    """x = (z, 2 z) + noise of variance 1/2: the posterior is normal, with precision 1 + 5 / (1/2) = 11."""
    decoder = nn.Linear(1, 2, bias=False, dtype=torch.float64)
    with torch.no_grad():
        decoder.weight.copy_(torch.tensor([[1.0], [2.0]]))
    encoder = Affine(
        torch.tensor([[2.0, 4.0]], dtype=torch.float64) / 11, -0.5 * torch.tensor([11.0], dtype=torch.float64).log()
    )
    return VariationalAutoencoder(
        Conditional(Normal("element"), encoder).build(Site((1,), (2,))),
        Conditional(Normal(0.5**0.5), decoder).build(Site((2,), (1,))),
        StandardNormal().build(Site((1,))),
    ).double()


@pytest.mark.parametrize("name", PAIRS)
def test_the_path_has_no_noise_at_the_exact_posterior(name):
    make, k, _ = PAIRS[name]
    model = exact()
    size = {}
    for gradient in ("total", "path"):
        torch.manual_seed(0)
        value = make(gradient)(draw(model, X.expand(20, 2), k))
        slopes = [torch.autograd.grad(v, list(model.posterior.parameters()), retain_graph=True) for v in value]
        size[gradient] = max(part.abs().max().item() for row in slopes for part in row)
    if name != "beta":  # whose best posterior is another
        assert size["path"] < 1e-12
        assert size["total"] > 1e-2


@pytest.mark.parametrize("gradient", ["total", "path"])
def test_more_draws_drown_the_total_gradient_and_not_that_of_the_path(gradient):
    """The signal-to-noise ratio of the gradient in the location falls with k, or rises."""
    model, ratios = exact(), []
    with torch.no_grad():
        model.posterior.network.weight += 0.05
        model.posterior.network.log_scale += 0.3
    for k in (1, 64):
        torch.manual_seed(1)
        d = draw(model, X.expand(4000, 2), k)
        value = ImportanceWeighted(k, gradient=gradient)(d).sum()
        (slope,) = torch.autograd.grad(value, d.latents[0].q.element.unbounded_loc)
        ratios.append((slope.mean() / slope.std()).abs().item())
    assert (ratios[1] > 2 * ratios[0]) if gradient == "path" else (ratios[1] < ratios[0] / 2)


class Levels(Model):
    """z2 -> z1 -> x, all normal, with a posterior q(z2 | x) q(z1 | z2, x) that is not the exact one."""

    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.tensor([0.4, 0.7, -0.3, 0.2, -0.5, 1.3], dtype=torch.float64))

    def forward(self, choose, x=None, *, observed=None, context=None):
        up, down, across, s2, s1, c = self.weights
        q2 = Normal("element")(torch.cat([x * up, s2.expand_as(x)], -1), (1,))
        z2 = choose(Normal(1.0)(torch.zeros_like(x[0]), (1,)), q2)
        q1 = Normal("element")(torch.cat([z2 * down + x * across, s1.expand_as(z2)], -1), (1,))
        z1 = choose(Normal(0.5)(0.9 * z2, (1,)), q1)
        return Normal(0.6)(z1 * c, (1,))


def test_in_a_hierarchy_the_means_are_the_same_too():
    """Noise at the corners is exact, for all that is differentiated is quadratic in the noise."""

    class Corners:
        def __init__(self):
            self.calls = iter([np.array([[1.0], [1], [-1], [-1]]), np.array([[1.0], [-1], [1], [-1]])])

        def standard_normal(self, shape, dtype):
            return next(self.calls).reshape(shape)

    model, results = Levels(), []
    x = torch.tensor([[0.8], [-1.5]], dtype=torch.float64)
    for gradient in ("total", "path"):
        with noise.keyed([Corners(), Corners()]):
            value = ELBO(gradient)(draw(model, x, 4))
        results.append((value.detach(), torch.autograd.grad(value.sum(), model.weights)[0]))
    torch.testing.assert_close(results[0], results[1], rtol=1e-10, atol=1e-10)
    assert results[0][1].abs().min() > 1e-2


@pytest.mark.parametrize("name", [name for name, (_, k, _) in PAIRS.items() if k < 3 and name != "renyi -1"])
def test_in_a_hierarchy_the_means_are_the_same_for_every_bound(name):
    """Exactly, by Gauss and Hermite's rule over the noise of both levels and of all draws."""
    make, k, _ = PAIRS[name]
    points, weights = grid(2 * k, {1: 16, 2: 11}[k])
    model, results = Levels(), []
    with torch.no_grad():
        model.weights[[3, 4]] -= 1.0  # narrow posteriors, of which few nodes tell all
    for gradient in ("total", "path"):
        with noise.keyed([InTurn(row.reshape(2, k)) for row in points]):
            value = make(gradient)(draw(model, torch.full((len(points), 1), 0.8, dtype=torch.float64), k))
        mean = (value * weights).sum()
        results.append((mean.detach(), torch.autograd.grad(mean, model.weights)[0]))
    torch.testing.assert_close(results[0], results[1], rtol=1e-3, atol=1e-4)
    assert results[0][1].abs().min() > 1e-2


def test_in_a_hierarchy_the_path_has_no_noise_at_the_exact_posterior():
    """z2, z1 - z2 and x - z1 of variance 1: q(z2 | x) = N(x / 3, 2 / 3), q(z1 | z2, x) = N((z2 + x) / 2, 1 / 2)."""

    class Chain(Model):
        def __init__(self):
            super().__init__()
            self.weights = nn.Parameter(torch.tensor([1 / 3, 0.5, 0.5], dtype=torch.float64))

        def forward(self, choose, x=None, *, observed=None, context=None):
            up, down, across = self.weights
            z2 = choose(Normal(1.0)(torch.zeros_like(x[0]), (1,)), Normal((2 / 3) ** 0.5)(x * up, (1,)))
            q1 = Normal(0.5**0.5)(z2 * down + x * across, (1,))
            return Normal(1.0)(choose(Normal(1.0)(z2, (1,)), q1), (1,))

    for make in (ELBO, lambda gradient: ImportanceWeighted(3, gradient=gradient)):
        size = {}
        for gradient in ("total", "path"):
            model, objective = Chain(), make(gradient)
            torch.manual_seed(0)
            value = objective(draw(model, torch.randn(20, 1, dtype=torch.float64), objective.samples))
            slopes = [torch.autograd.grad(v, model.weights, retain_graph=True)[0] for v in value]
            size[gradient] = torch.stack(slopes).abs().max().item()
        assert size["path"] < 1e-12
        assert size["total"] > 1e-2


@torch.no_grad()
def test_without_gradients_the_values_are_the_same():
    d = draw(curved(), X, 4)
    for make in (ELBO, Rate, lambda gradient: ImportanceWeighted(2, gradient=gradient)):
        torch.testing.assert_close(make("path")(d), make("total")(d), rtol=1e-12, atol=0.0)


def mixed():
    model = curved()
    model.posterior = Conditional(MixtureOf(Normal("element"), 2), MLP(())).build(Site((1,), (2,))).double()
    return model


REFUSED = {
    "name": (lambda: ELBO("score"), "gradient is one of total, path"),
    "largest": (lambda: Renyi(float("inf"), gradient="path"), "finite alpha"),
    "mixture": (lambda: ELBO("path")(draw(mixed(), X)), "Mixture has none. Use gradient='total'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_path_is_refused(name):
    make, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        make()
