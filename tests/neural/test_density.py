"""Scores are the density of the data as they came: against integration over z, by hand, and against sums over all x."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from sklearn.datasets import load_digits

from latens import VAE
from latens.distributions import Bernoulli, DiscretizedLogistic, Laplace, MixtureOf, Normal, Poisson, StudentT
from latens.nn import MLP
from latens.objectives import ELBO, ImportanceWeighted

SMALL = MLP((16,), "tanh")


def table():
    """Six columns that bend with two unseen numbers, of scales from 0.001 to 1000."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(1000, 2)) @ rng.normal(size=(2, 6))
    clean = z + 0.3 * np.sin(z) + 0.5 * rng.normal(size=(1000, 6))
    return clean * [1000.0, 0.001, 1.0, 50.0, 0.1, 7.0] + [5e3, 0.0, -3.0, 0, 1, 2]


def bits():
    return (load_digits().images > 7.5).astype(np.uint8)


def counts():
    rng = np.random.default_rng(1)
    return rng.poisson(np.exp(rng.normal(size=(1000, 2)) @ rng.normal(size=(2, 5)) * 0.5 + [0, 1, 2, 1, 0]))


def fitted(X, likelihood, **settings):
    settings = {"epochs": 20, "encoder": SMALL, "decoder": SMALL} | settings
    return VAE(latents=2, likelihood=likelihood, learning_rate=0.01, random_state=0, **settings).fit(X)


@torch.no_grad()
def log_likelihood_at(model, z, x):
    """log p(x | z) in float64 by torch's own distributions, ``(points, rows)`` nats in the model's units."""
    network = model.likelihood.network
    params = network.double()(z).flatten(1)
    network.float()
    if model.likelihood.offset is not None:
        params += model.likelihood.offset.flatten()
    family, shared = model.likelihood.family, model.likelihood.shared
    rows = x.flatten(1)
    if isinstance(family, Bernoulli):
        p = torch.distributions.Bernoulli(logits=params)
    elif isinstance(family, Poisson):
        p = torch.distributions.Poisson(params.exp())
    elif shared is not None:
        p = torch.distributions.Normal(params, shared.double().exp())
    else:
        kind = torch.distributions.Laplace if isinstance(family, Laplace) else torch.distributions.Normal
        p = kind(*(params.chunk(2, 1)[0], params.chunk(2, 1)[1].exp()))
    return torch.stack([p.log_prob(row).sum(1) for row in rows], 1)


def integral(vae, rows, points=301, reach=7.0):
    """log of the integral of p(x | z) p(z) over a grid of z, ``(rows,)`` nats in the model's units."""
    axis = torch.linspace(-reach, reach, points, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)
    log_prior = -0.5 * z.square().sum(1) - math.log(2 * math.pi)
    x = vae.units_(torch.from_numpy(rows)).double()
    cell = 2.0 * math.log(axis[1] - axis[0])
    return logsumexp((log_likelihood_at(vae.model_, z, x) + log_prior[:, None]).numpy(), axis=0) + cell


FITS = {
    "normal, a scale for each element": lambda: fitted(table(), Normal("element")),
    "normal, one learned scale": lambda: fitted(table(), Normal("shared")),
    "normal, the optimal scale": lambda: fitted(table(), Normal("optimal")),
    "laplace, a heavy-tailed posterior": lambda: fitted(table(), Laplace("element"), posterior=StudentT("element")),
    "importance weighted": lambda: fitted(table(), Normal("shared"), objective=ImportanceWeighted(5)),
    "bernoulli, a heavy-tailed posterior": lambda: fitted(
        bits(), Bernoulli(), posterior=StudentT("element", df=8.0), objective=ELBO()
    ),
    "poisson": lambda: fitted(counts(), Poisson()),
}


@pytest.mark.parametrize("name", FITS)
def test_scores_are_the_integral_over_the_latents(name):
    vae = FITS[name]()
    rows = {"bernoulli": bits, "poisson": counts}.get(name.split(",")[0], table)()[:6]
    volume = 0.0 if vae.units_.is_mass else np.log(vae.units_.scale.numpy()).sum()
    expected = integral(vae, rows) - volume
    np.testing.assert_allclose(vae.score_samples(rows, k=100_000), expected, atol=0.01)


def test_the_scores_of_scaled_data_differ_by_the_logarithm_of_the_scales():
    scales = np.array([1000.0, 0.001, 1.0, 8.0, 0.125, 2.0])
    X = table() / [1000.0, 0.001, 1.0, 50.0, 0.1, 7.0]
    plain, scaled = fitted(X, Normal("shared"), epochs=2), fitted(X * scales, Normal("shared"), epochs=2)
    gap = plain.score_samples(X[:50], k=2000) - scaled.score_samples(X[:50] * scales, k=2000)
    np.testing.assert_allclose(gap.mean(), np.log(scales).sum(), atol=0.01)


def test_the_density_of_the_users_data_integrates_to_one():
    """A trained density over two columns of scales 1000 and 0.001, summed over a grid in the user's units."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(500, 1)) * [1000.0, 0.001] + rng.normal(size=(500, 2)) * [500.0, 0.0005] + [1e4, 0.0]
    vae = fitted(X, Normal("shared"))
    axes = [np.linspace(X[:, i].mean() - 7 * X[:, i].std(), X[:, i].mean() + 7 * X[:, i].std(), 61) for i in (0, 1)]
    grid = np.array(list(itertools.product(*axes)))
    cell = math.prod(axis[1] - axis[0] for axis in axes)
    assert np.exp(vae.score_samples(grid, k=200)).sum() * cell == pytest.approx(1.0, abs=0.01)


MASSES = {
    "two binary pixels": (Bernoulli(), (0.0, 1.0), 2),
    "bytes that are 0 or 255": (Bernoulli(), (0, 255), 2),
    "three levels": (DiscretizedLogistic(3), (0, 1, 2), 2),
    "a mixture": (MixtureOf(DiscretizedLogistic(3), 2), (4, 5, 6), 2),
}


@pytest.mark.parametrize("name", MASSES)
def test_the_masses_of_all_examples_sum_to_one(name):
    family, levels, size = MASSES[name]
    rng = np.random.default_rng(2)
    first = rng.choice(levels, size=(400, 1))
    X = np.where(rng.random((400, size)) < 0.8, first, rng.choice(levels, size=(400, size)))
    X = X.astype(np.uint8) if max(levels) > 200 else X
    vae = fitted(X, family)
    every = np.array(list(itertools.product(levels, repeat=size)), dtype=X.dtype)
    masses = np.exp(vae.score_samples(every, k=10_000))
    assert masses.sum() == pytest.approx(1.0, abs=0.005)
    assert masses.max() > 1.5 * masses.min()


def test_samples_follow_the_scores():
    """The frequency of each of the nine examples among draws is its mass."""
    rng = np.random.default_rng(3)
    first = rng.integers(0, 3, size=(400, 1))
    X = np.where(rng.random((400, 2)) < 0.8, first, rng.integers(0, 3, size=(400, 2)))
    vae = fitted(X, DiscretizedLogistic(3))
    every = np.array(list(itertools.product(range(3), repeat=2)))
    drawn = vae.sample(20_000)
    assert drawn.dtype == X.dtype
    seen = np.array([(drawn == x).all(1).mean() for x in every])
    masses = np.exp(vae.score_samples(every, k=4_000))
    error = np.sqrt(masses * (1 - masses) / len(drawn))
    assert (np.abs(seen - masses) / (error + 1e-4)).max() < 4.5


def test_more_draws_raise_the_score_towards_the_density():
    vae, rows = fitted(bits(), Bernoulli(), epochs=2), bits()[:400]
    means = [vae.score_samples(rows, k=k).mean() for k in (1, 10, 100)]
    assert means[0] < means[1] - 0.05 < means[2] - 0.06
    assert vae.score(rows) == vae.score_samples(rows).mean()


def test_the_optimal_scale_is_the_root_mean_squared_residual_of_the_training_rows():
    """One exact pass with the posterior's own noise; here the posterior is made a point by an encoder of tiny scale."""
    X = table()
    vae = fitted(X, Normal("optimal"), validation_fraction=0.0, posterior=Normal(1e-4))
    x = vae.units_(torch.from_numpy(X))
    with torch.no_grad():
        residual = (x - vae.model_.likelihood(vae.model_.posterior(x).mean).mean).double()
    slow = math.sqrt(sum(float(r) ** 2 for r in residual.flatten()) / residual.numel())
    assert vae.model_.likelihood.shared.exp().item() == pytest.approx(slow, rel=1e-4)


def test_the_volume_of_observed_entries_alone_is_counted():
    vae = fitted(table(), Normal("shared"), epochs=1)
    seen = torch.from_numpy(np.random.default_rng(4).random((5, 6)) < 0.5)
    slow = [-sum(math.log(s) for s, o in zip(vae.units_.scale.tolist(), row) if o) for row in seen.tolist()]
    np.testing.assert_allclose(vae.units_.log_volume(seen).numpy(), slow, rtol=1e-5)
    np.testing.assert_allclose(vae.units_.log_volume().item(), -vae.units_.scale.log().sum().item(), rtol=1e-6)
