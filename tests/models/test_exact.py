"""A linear-Gaussian model, whose evidence, posterior and bounds are all known in closed form."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import nn

from latens.distributions import Normal, noise
from latens.models import Conditional, Free, StandardNormal, VariationalAutoencoder, draw
from latens.nn import MLP, Site
from latens.objectives import ELBO, Distortion, ImportanceWeighted, Rate

SCALE = 0.7
WEIGHT = torch.tensor([[1.0, 0.5], [-0.5, 1.0], [2.0, 0.0], [0.0, -1.5]], dtype=torch.float64)  # orthogonal columns
SHIFT = torch.tensor([0.3, -1.0, 0.0, 2.0], dtype=torch.float64)
X = torch.tensor(np.random.default_rng(0).normal(size=(5, 4)) * 2.0)


class Affine(nn.Module):
    """x -> (loc, log-scale): the parameters of a diagonal normal posterior whose scale does not depend on x."""

    def __init__(self, weight, bias, log_scale):
        super().__init__()
        self.weight, self.bias, self.log_scale = map(nn.Parameter, (weight, bias, log_scale))

    def forward(self, x):
        loc = x @ self.weight.T + self.bias
        return torch.cat([loc, self.log_scale.expand_as(loc)], 1)


def exact_posterior():
    precision = 1.0 + WEIGHT.square().sum(0) / SCALE**2
    weight = (WEIGHT / SCALE**2 / precision).T
    return Affine(weight.clone(), -weight @ SHIFT, -0.5 * precision.log())


def other_posterior():
    q = exact_posterior()
    with torch.no_grad():
        q.bias += torch.tensor([0.1, -0.2])
        q.log_scale += torch.tensor([0.4, 0.2])
    return q


def model(posterior):
    decoder = nn.Linear(2, 4, dtype=torch.float64)
    with torch.no_grad():
        decoder.weight.copy_(WEIGHT)
        decoder.bias.copy_(SHIFT)
    return VariationalAutoencoder(
        Conditional(Normal("element"), posterior).build(Site((2,), (4,))),
        Conditional(Normal(SCALE), decoder).build(Site((4,), (2,))),
        StandardNormal().build(Site((2,))),
    ).double()


def evidence(x=X):
    covariance = WEIGHT @ WEIGHT.T + SCALE**2 * torch.eye(4, dtype=torch.float64)
    return multivariate_normal(SHIFT.numpy(), covariance.numpy()).logpdf(x.numpy())


class Corners:
    """Noise at the four corners (+-1, +-1), whose mean is the exact normal expectation of any quadratic."""

    def standard_normal(self, shape, dtype):
        return np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype)


def exactly(vae, objective, x=X):
    """The expected objective: the integrand is quadratic in z."""
    with noise.keyed([Corners()] * len(x)):
        return objective(draw(vae, x, 4))


def closed_form_elbo(vae, x=X):
    """KL in closed form, and E_q[(x - W z - b)^2] = (x - W m - b)^2 + sum_j W_ij^2 s_j^2."""
    q, p = vae.posterior.network, vae.likelihood.network
    mean, variance = x @ q.weight.T + q.bias, (2.0 * q.log_scale).exp()
    kl = 0.5 * (variance + mean.square() - 1.0 - 2.0 * q.log_scale).sum(1)
    squares = (x - mean @ p.weight.T - p.bias).square() + p.weight.square() @ variance
    log_likelihood = -0.5 * squares / SCALE**2 - math.log(SCALE) - 0.5 * math.log(2 * math.pi)
    return kl - log_likelihood.sum(1)


@pytest.mark.parametrize("k", [1, 2, 7, 64])
def test_every_bound_at_the_exact_posterior_is_the_evidence(k):
    torch.manual_seed(0)
    loss = ImportanceWeighted(k)(draw(model(exact_posterior()), X, k))
    np.testing.assert_allclose(-loss.detach().numpy(), evidence(), rtol=0, atol=1e-9)


def test_the_elbo_at_the_exact_posterior_is_the_evidence():
    loss = exactly(model(exact_posterior()), ELBO())
    np.testing.assert_allclose(-loss.detach().numpy(), evidence(), rtol=0, atol=1e-9)


def test_the_elbo_elsewhere_falls_short_by_the_divergence_of_the_posteriors():
    q, p = other_posterior(), exact_posterior()
    ratio = q.log_scale - p.log_scale
    gap = (p.bias - q.bias) / p.log_scale.exp()
    short = (0.5 * ((2 * ratio).exp() + gap.square() - 1.0) - ratio).sum().item()
    loss = exactly(model(q), ELBO())
    np.testing.assert_allclose(-loss.detach().numpy(), evidence() - short, rtol=0, atol=1e-9)


def test_the_gradient_of_the_elbo_is_that_of_its_closed_form():
    vae = model(other_posterior())
    weights = list(vae.parameters())
    ours = torch.autograd.grad(exactly(vae, ELBO()).sum(), weights)
    theirs = torch.autograd.grad(closed_form_elbo(vae).sum(), weights)
    assert len(weights) == 5
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
        assert b.abs().max() > 0.1


def test_importance_weighted_bounds_rise_to_the_evidence():
    torch.manual_seed(1)
    x = X[:1].expand(10_000, 4)
    vae = model(other_posterior())
    with torch.no_grad():
        bounds = {k: -ImportanceWeighted(k)(draw(vae, x, k)) for k in (1, 4, 16, 64)}
    means = [b.mean().item() for b in bounds.values()]
    errors = [b.std().item() / math.sqrt(len(x)) for b in bounds.values()]
    target = evidence(X[:1]).item()
    rises = np.diff(means) / np.hypot(errors[1:], errors[:-1])
    assert (rises > 4).all(), (means, errors)
    assert abs(means[-1] - target) < 0.005 + 4 * errors[-1]
    assert means[0] == pytest.approx(-closed_form_elbo(vae)[0].item(), abs=4 * errors[0])


def test_distortion_and_rate_are_the_elbo_with_its_gradient():
    vae = model(other_posterior())
    values, gradients = [], []
    for objective in (ELBO(), Distortion() + Rate()):
        torch.manual_seed(2)
        value = objective(draw(vae, X, 3))
        values.append(value.detach())
        gradients.append(torch.autograd.grad(value.sum(), list(vae.parameters())))
    torch.testing.assert_close(values[0], values[1], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-12, atol=1e-12)


def test_the_rate_in_closed_form_is_its_monte_carlo_mean():
    torch.manual_seed(3)
    with torch.no_grad():
        d = draw(model(other_posterior()), X, 40_000)
        monte_carlo = d.log_posterior - d.log_prior
    z = (monte_carlo.mean(0) - d.rate[0]) / (monte_carlo.std(0) / math.sqrt(40_000))
    assert z.abs().max() < 4
    assert monte_carlo.std() > 0.3


def test_a_log_volume_shifts_every_figure_once():
    vae, volume = model(exact_posterior()), torch.tensor([3.0, -1.0, 0.0, 2.0, 5.0])
    for objective in (ELBO(), ImportanceWeighted(4), Distortion()):
        with noise.keyed([Corners()] * 5):
            plain, shifted = (objective(draw(vae, X, 4, log_volume=v)) for v in (0.0, volume))
        torch.testing.assert_close(plain - shifted, volume.double(), rtol=0, atol=1e-9)


def test_only_observed_entries_count_as_in_the_model_of_the_others():
    """The likelihood factorises: leaving an entry out of x and dropping its row of the decoder are the same."""
    full = model(exact_posterior())
    seen = torch.tensor([True, False, True, True])
    part = model(exact_posterior())
    part.likelihood = Conditional(Normal(SCALE), nn.Linear(2, 3, dtype=torch.float64)).build(Site((3,), (2,)))
    with torch.no_grad():
        part.likelihood.network.weight.copy_(WEIGHT[seen])
        part.likelihood.network.bias.copy_(SHIFT[seen])
    with noise.keyed([Corners()] * 5):
        a = draw(full, X, 4, observed=seen.expand(5, 4))
    z = a.latents[0].value
    b = part.likelihood(z).log_prob(X[:, seen])
    torch.testing.assert_close(a.log_likelihood, b, rtol=1e-12, atol=1e-12)
    missing = X.masked_fill(~seen, math.nan)
    restricted = full.likelihood(z).restrict(seen.expand(5, 4))
    torch.testing.assert_close(restricted.log_prob(missing), b, rtol=1e-12, atol=1e-12)


def test_a_posterior_that_sees_its_input_through_a_view_sees_no_unobserved_entry():
    torch.manual_seed(0)
    q = Conditional(Normal("element"), MLP((8,))).build(Site((2,), (4,), X.float()))
    seen = torch.tensor([True, False, True, True]).expand(5, 4)
    other = X.float().clone()
    other[:, 1] = 7.0
    assert torch.equal(q(X.float(), observed=seen).mean, q(other, observed=seen).mean)
    assert not torch.equal(q(X.float()).mean, q(other).mean)


def test_a_posterior_that_does_not_look_at_x_is_drawn_once_for_each_row():
    torch.manual_seed(0)
    posterior = Free(Normal("element")).build(Site((2,)))
    likelihood = Conditional(Normal(1.0), MLP(())).build(Site((3,), (2,)))
    model = VariationalAutoencoder(posterior, likelihood, StandardNormal().build(Site((2,))))
    d = draw(model, torch.randn(5, 3), samples=4)
    q = posterior()
    by_hand = d.likelihood.log_prob(d.x) + d.latents[0].p.log_prob(d.latents[0].value) - q.log_prob(d.latents[0].value)
    assert d.latents[0].value.shape == (4, 5, 2)
    torch.testing.assert_close(d.log_weight, by_hand)
    torch.testing.assert_close(d.rate, d.latents[0].kl_factors.sum().expand(4, 5))
