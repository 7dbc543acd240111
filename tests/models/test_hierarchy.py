"""A two-level hierarchy is a model like any other: a top-down loop, and nothing else knows of it."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import nn

from latens import VAE
from latens.distributions import Normal, noise
from latens.metrics import evaluate
from latens.models import Model, clamp, draw, encode, locate, sample
from latens.nn import MLP
from latens.objectives import ELBO, Distortion, FreeBits, ImportanceWeighted, Rate

TOP_TO_MIDDLE, S1, S0 = 1.2, 0.5, 0.8


def gaussian(loc, log_scale):
    return Normal("element")(torch.cat([loc, log_scale.expand_as(loc)], -1), (1,))


def slow_kl(q, p):
    return torch.distributions.kl_divergence(*(torch.distributions.Normal(r.mean, r.stddev) for r in (q, p))).mean()


class TwoLevels(Model):
    """z2 ~ N(0, 1); z1 ~ N(a z2, s1^2); x ~ N(c z1, s0^2 I). The posterior is q(z2 | x) q(z1 | z2, x), top-down."""

    def __init__(self, c, exact=True):
        super().__init__()
        self.c = nn.Parameter(torch.as_tensor(c))
        self.a = nn.Parameter(self.c.new_tensor(TOP_TO_MIDDLE))
        self.log_s1 = nn.Parameter(self.c.new_tensor(math.log(S1)))
        slope2, slope1, variances = self.exact()
        off = 0.0 if exact else 0.3
        self.to_z2 = nn.Parameter(slope2.clone() + off)
        self.to_z1 = nn.Parameter(slope1.clone())
        self.log_scales = nn.Parameter(0.5 * variances.log() + off)

    @torch.no_grad()
    def exact(self):
        """E[z2 | x] = slope2 x; E[z1 | z2, x] = slope1 (z2, x); their variances."""
        c, a, s1, s0 = self.c, self.a, self.log_s1.exp(), S0
        marginal = s1**2 * torch.outer(c, c) + s0**2 * torch.eye(len(c), dtype=c.dtype)
        slope2 = a * torch.linalg.solve(marginal + a**2 * torch.outer(c, c), c)
        variance2 = 1.0 - a * slope2 @ c
        variance1 = 1.0 / (1.0 / s1**2 + c @ c / s0**2)
        return slope2, torch.cat([(a / s1**2)[None], c / s0**2]) * variance1, torch.stack([variance2, variance1])

    def forward(self, choose, x=None, *, observed=None, context=None):
        q2 = None if x is None else gaussian((x @ self.to_z2)[:, None], self.log_scales[0])
        z2 = choose(Normal(1.0)(self.c.new_zeros(1), (1,)), q2)
        q1 = None
        if x is not None:
            q1 = gaussian(z2 * self.to_z1[0] + (x @ self.to_z1[1:])[:, None], self.log_scales[1])
        z1 = choose(gaussian(self.a * z2, self.log_s1), q1)
        return Normal(S0)(z1 * self.c, tuple(self.c.shape))


C = torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64)
X = torch.tensor(np.random.default_rng(0).normal(size=(6, 3)) * 2.0)


def covariance(model):
    c, a, s1 = model.c.detach().double(), model.a.item(), model.log_s1.exp().item()
    return (a**2 + s1**2) * torch.outer(c, c) + S0**2 * torch.eye(3, dtype=torch.float64)


def evidence(model, x=X):
    return multivariate_normal(np.zeros(3), covariance(model).numpy()).logpdf(x.numpy())


@pytest.mark.parametrize("k", [1, 5])
def test_the_bound_at_the_exact_posterior_is_the_evidence(k):
    torch.manual_seed(0)
    model = TwoLevels(C)
    bound = -ImportanceWeighted(k)(draw(model, X, k)).detach()
    np.testing.assert_allclose(bound.numpy(), evidence(model), rtol=0, atol=1e-9)


def test_bounds_elsewhere_rise_to_the_evidence():
    torch.manual_seed(1)
    model, n = TwoLevels(C, exact=False), 8_000
    x = X[:1].expand(n, 3)
    with torch.no_grad():
        elbo = -ELBO()(draw(model, x))
        bounds = [-ImportanceWeighted(k)(draw(model, x, k)) for k in (1, 8, 64)]
    target, error = evidence(model, X[:1]).item(), [b.std().item() / math.sqrt(n) for b in bounds]
    means = [b.mean().item() for b in bounds]
    assert elbo.mean().item() == pytest.approx(means[0], abs=5 * error[0])
    assert means[0] < means[1] - 0.05 < means[2] - 0.05 < target + 5 * error[2]
    assert means[2] == pytest.approx(target, abs=0.02)


def test_distortion_and_rate_are_the_elbo():
    model = TwoLevels(C, exact=False)
    values = []
    for objective in (ELBO(), Distortion() + Rate()):
        torch.manual_seed(2)
        values.append(objective(draw(model, X, 3)))
    torch.testing.assert_close(values[0], values[1], rtol=1e-12, atol=1e-12)


def test_free_bits_take_the_dimensions_of_both_levels():
    model = TwoLevels(C, exact=False)
    torch.manual_seed(3)
    d = draw(model, X, 50)
    q2, q1, p1 = d.latents[0].q, d.latents[1].q, d.latents[1].p
    slow = [slow_kl(q2, d.latents[0].p).item(), slow_kl(q1, p1).item()]
    for nats in (0.01, sum(slow) / 2, 10.0):
        assert FreeBits(nats)(d).item() == pytest.approx(sum(max(value, nats) for value in slow), rel=1e-9)
    assert abs(slow[0] - slow[1]) > 0.1


def test_samples_have_the_moments_of_the_exact_marginal():
    torch.manual_seed(4)
    model, n = TwoLevels(C), 100_000
    with torch.no_grad():
        x = sample(model, n).sample()
    expected = covariance(model)
    products = x[:, :, None] * x[:, None, :]
    z = (products.mean(0) - expected) / (products.std(0) / math.sqrt(n))
    assert z.abs().max() < 4.5
    assert (x.mean(0) / (x.std(0) / math.sqrt(n))).abs().max() < 4.5


def test_clamped_choices_are_taken_in_order():
    model = TwoLevels(C)
    z2, z1 = torch.ones(4, 1, dtype=torch.float64), torch.full((4, 1), -3.0, dtype=torch.float64)
    torch.testing.assert_close(model(clamp([z2, z1])).mean, -3.0 * C.expand(4, 3))
    with pytest.raises(ValueError, match="more choices than the 1 value"):
        model(clamp([z2]))


def test_the_located_choices_are_the_exact_posterior_means():
    model = TwoLevels(C)
    means, likelihood = locate(model, X)
    joint = torch.linalg.solve(covariance(model), X.T).T
    a, s1 = TOP_TO_MIDDLE, S1
    torch.testing.assert_close(means[0][:, 0], a * joint @ C)
    torch.testing.assert_close(means[1][:, 0], (a**2 + s1**2) * joint @ C)
    torch.testing.assert_close(likelihood.mean, means[1] * C)


def test_encoding_is_locating_without_the_likelihood():
    model = TwoLevels(C)
    for known in (None, 2):
        model.choices = known
        for mine, theirs in zip(encode(model, X), locate(model, X)[0], strict=True):
            torch.testing.assert_close(mine, theirs, rtol=0.0, atol=0.0)


def test_codes_are_made_without_decoding():
    rows = np.random.default_rng(0).normal(size=(40, 3))
    vae = VAE(latents=2, encoder=MLP((8,)), decoder=MLP((8,)), epochs=1, random_state=0).fit(rows)
    calls = []
    vae.model_.likelihood.register_forward_hook(lambda *_: calls.append(1))
    codes = vae.transform(rows)
    assert not calls
    np.testing.assert_allclose(vae.inverse_transform(codes), vae.reconstruct(rows), rtol=1e-5)
    assert calls


def test_noise_is_keyed_by_row_at_every_level():
    model = TwoLevels(C, exact=False)
    with noise.keyed([np.random.default_rng(row) for row in range(6)]):
        whole = draw(model, X, 4).log_weight
    with noise.keyed([np.random.default_rng(row) for row in (4, 1)]):
        part = draw(model, X[[4, 1]], 4).log_weight
    torch.testing.assert_close(whole[:, [4, 1]], part, rtol=1e-12, atol=1e-12)


class HierarchicalDensity(VAE):
    """The estimator, with another model: fitting, scoring, sampling and evaluating are inherited."""

    def _build(self, site):
        return TwoLevels(torch.tensor([0.5, 0.1, 0.3]), exact=False)


def test_the_estimator_needs_to_know_nothing_of_levels():
    rng = np.random.default_rng(5)
    z = rng.normal(size=(2000, 1))
    data = z * [1.0, -0.5, 2.0] + rng.normal(size=(2000, 3)) * [0.8, 0.5, 1.0] + [10.0, 0.0, -5.0]
    density = HierarchicalDensity(
        latents=2, likelihood=Normal(S0), epochs=8, learning_rate=0.02, precision="float32", random_state=0
    ).fit(data)
    units, rows = density.units_, data[:100]
    x = torch.tensor((rows - units.shift.numpy()) / units.scale.numpy())
    expected = evidence(density.model_, x) - np.log(units.scale.numpy()).sum()
    np.testing.assert_allclose(density.score_samples(rows, k=1000), expected, atol=0.01)
    figures = evaluate(density, rows, k=1000)
    assert figures.log_likelihood == pytest.approx(expected.mean(), abs=0.002)
    assert len(figures.rate_per_dimension) == 2
    assert figures.negative_elbo > -figures.log_likelihood - 0.005
    drawn = density.sample(20_000)
    spread = np.sqrt(np.diag(covariance(density.model_).numpy())) * units.scale.numpy()
    np.testing.assert_allclose(drawn.std(0), spread, rtol=0.03)
