"""The rate in three parts: exact where the batch is all the data, unbiased where it is not, and they add up."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from latens.distributions import Bernoulli, Delta, MixtureOf, Normal
from latens.models import Conditional, StandardNormal, VariationalAutoencoder, draw
from latens.models.aggregate import aggregate
from latens.nn import MLP, Site
from latens.objectives import DimensionwiseKL, MutualInformation, Rate, TotalCorrelation
from latens.utils.errors import InputError

N, L = 6, 3


def a_model(posterior=Normal("element"), latents=L):
    torch.manual_seed(0)
    return VariationalAutoencoder(
        Conditional(posterior, MLP((8,))).build(Site((latents,), (5,))),
        Conditional(Bernoulli(), MLP((8,))).build(Site((5,), (latents,))),
        StandardNormal().build(Site((latents,))),
    ).double()


def a_draw(model, k=2, n_examples=None):
    torch.manual_seed(1)
    return draw(model, 2.0 * torch.randn(N, 5, dtype=torch.float64), k, n_examples=n_examples)


def slow_parts(d):
    """Information, correlation and distance, ``(B,)`` each, by loops over draws, examples and dimensions."""
    z, q = d.latents[0].value, d.latents[0].q
    k, b = z.shape[:2]
    parts = []
    for i in range(b):
        total = torch.zeros(3, dtype=z.dtype)
        for s in range(k):
            densities = torch.distributions.Normal(q.mean, q.stddev).log_prob(z[s, i]).exp()  # (B, L)
            own, joint = densities[i].prod(), densities.prod(-1).mean()
            single = torch.stack([densities[:, j].mean() for j in range(z.shape[-1])]).prod()
            prior = torch.distributions.Normal(0.0, 1.0).log_prob(z[s, i]).exp().prod()
            total = total + torch.stack([own / joint, joint / single, single / prior]).log()
        parts.append(total / k)
    return torch.stack(parts, 1)


PARTS = {"information": MutualInformation(), "correlation": TotalCorrelation(), "distance": DimensionwiseKL()}


@pytest.mark.parametrize("name", PARTS)
def test_with_all_the_data_in_the_batch_each_part_is_exact_and_so_is_its_gradient(name):
    index, model, results = list(PARTS).index(name), a_model(), []
    for f in (PARTS[name], lambda d: slow_parts(d)[index]):
        value = f(a_draw(model))
        results.append((value.detach(), torch.autograd.grad(value.sum(), list(model.posterior.parameters()))))
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-10)
    assert results[0][0].abs().min() > 1e-3
    assert all(slope.abs().max() > 1e-3 for slope in results[0][1])


@pytest.mark.parametrize("n_examples", [None, 1000, 2])
def test_the_parts_add_up_to_the_rate_of_every_draw(n_examples):
    d = a_draw(a_model(), n_examples=n_examples)
    objective = MutualInformation() + TotalCorrelation() + DimensionwiseKL()
    torch.testing.assert_close(objective(d), (d.log_posterior - d.log_prior).mean(0), rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_their_mean_is_the_rate_in_closed_form():
    d = a_draw(a_model(), k=20_000, n_examples=50)
    parts = d.log_posterior - d.log_prior
    objective = MutualInformation() + TotalCorrelation() + DimensionwiseKL()
    z = (objective(d) - Rate()(d)) / (parts.std(0) / math.sqrt(20_000))
    assert z.abs().max() < 5


def some_posteriors():
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, L)) * 1.5, rng.uniform(0.4, 1.2, (N, L)), rng.normal(size=(N, L))


def estimate(mean, scale, z, n):
    """q(z) and q(z_j) at the first draw of the batch."""
    params = torch.tensor(np.concatenate([mean, np.where(scale < 1, np.log(scale), scale - 1)], 1))
    joint, single = aggregate([torch.tensor(z)[None]], [Normal("element")(params, (L,))], n)
    return joint[0, 0].exp().item(), single[0, 0].exp().numpy()


def batches(size):
    """All batches that begin with example 0."""
    return [[0, *rest] for rest in itertools.combinations(range(1, N), size - 1)]


@pytest.mark.parametrize("size", [2, 3, 4, 6])
def test_the_density_estimated_from_a_batch_is_unbiased(size):
    mean, scale, z = some_posteriors()
    found = [estimate(mean[b], scale[b], z[b], N) for b in batches(size)]
    exact = norm(mean, scale).pdf(z[0])
    assert np.mean([joint for joint, _ in found]) == pytest.approx(exact.prod(1).mean(), rel=1e-9)
    np.testing.assert_allclose(np.mean([single for _, single in found], 0), exact.mean(0), rtol=1e-9)


@pytest.mark.parametrize("size", [3, 5])
def test_it_is_the_papers_estimate_averaged_over_the_order_of_the_batch(size):
    """Appendix C.2: q(z) = q(z | n*) / N + sum_{m < M} q(z | n_m) / M + (N - M) / (N M) q(z | n_M), for M + 1 rows."""
    mean, scale, z = some_posteriors()
    density = norm(mean[:size], scale[:size]).pdf(z[0]).prod(1)
    n, m = 100, size - 1
    papers = [
        density[0] / n + density[list(order[:-1])].sum() / m + (n - m) / (n * m) * density[order[-1]]
        for order in itertools.permutations(range(1, size))
    ]
    assert estimate(mean[:size], scale[:size], z[:size], n)[0] == pytest.approx(np.mean(papers), rel=1e-9)
    assert np.ptp(papers) > 0.01 * np.mean(papers)


@torch.no_grad()
def test_what_z_tells_is_at_most_the_logarithm_of_the_number_of_examples():
    d = a_draw(a_model(), k=200, n_examples=500)
    assert (d.log_posterior - d.log_aggregate[0]).max() <= math.log(500) + 1e-9
    sharp = a_model()
    sharp.posterior.network[-1].bias[L:] -= 12.0
    torch.testing.assert_close(MutualInformation()(a_draw(sharp)), torch.full((N,), math.log(N), dtype=torch.float64))


def test_one_dimension_has_no_correlation_and_one_row_no_others():
    torch.testing.assert_close(TotalCorrelation()(a_draw(a_model(latents=1))), torch.zeros(N, dtype=torch.float64))
    alone = draw(a_model(), torch.ones(1, 5, dtype=torch.float64), 3, n_examples=100)
    assert MutualInformation()(alone).tolist() == [0.0]


REFUSED = {
    "mixture": (MixtureOf(Normal("element"), 2, "event"), "independent given x, .* Mixture has none"),
    "point": (Delta(), "independent given x, .* Point has none"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("part", PARTS)
def test_posteriors_that_do_not_factorise_are_refused(name, part):
    posterior, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        PARTS[part](a_draw(a_model(posterior)))


def test_posteriors_that_depend_on_other_choices_are_refused():
    q = Normal(1.0)(torch.zeros(2, 4, 3), (3,))
    with pytest.raises(InputError, match="depend on one another"):
        aggregate([torch.zeros(2, 4, 3)], [q], None)
