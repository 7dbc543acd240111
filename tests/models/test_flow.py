"""Models that make no choice, and the flows they are made of."""

import numpy as np
import pytest
import torch
from scipy import stats

from latens.models import Explicit, NormalizingFlow, draw, sample
from latens.nn import MLP, Site
from latens.objectives import ELBO, Distortion, ImportanceWeighted

KINDS = {"autoregressive": NormalizingFlow(2, network=MLP((16,))), "coupling": NormalizingFlow(2, "coupling", 4)}
every = pytest.mark.parametrize("spec", KINDS.values(), ids=KINDS)


def built(spec, site, std=0.3):
    """With all weights moved, in double precision."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = spec.build(site)
        for p in module.parameters():
            torch.nn.init.normal_(p, std=std)
    return module.double()


@every
def test_a_flow_begins_as_the_standard_normal(spec):
    x = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
    expected = stats.norm.logpdf(x.numpy()).sum(1)
    np.testing.assert_allclose(spec.build(Site((3,)))().log_prob(x).detach().numpy(), expected, rtol=1e-5)


@every
def test_given_a_batch_it_begins_by_making_each_element_normal(spec):
    rows = np.random.default_rng(0).lognormal(size=(4000, 2)) * [1.0, 100.0]
    flow = spec.build(Site((2,), events=torch.from_numpy(rows).float()))()
    z = flow.to_base(torch.from_numpy(rows).float())[0].detach().numpy()
    for column in z.T:
        assert stats.kstest(column, "norm").statistic < 0.05
    np.testing.assert_allclose(flow.from_base(torch.from_numpy(z))[0].detach().numpy(), rows, rtol=1e-3, atol=1e-3)


@every
@pytest.mark.parametrize("site", [Site((3,), (2,)), Site((3,), beside=(2,))], ids=["given", "beside"])
def test_what_is_given_moves_the_density(spec, site):
    module = built(spec, site)
    c = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    p = module(c) if site.beside is None else module(context=c)
    assert p.batch_shape == (5,)
    x = torch.zeros(5, 3, dtype=torch.float64)
    each = [module(row) if site.beside is None else module(context=row) for row in c]
    torch.testing.assert_close(p.log_prob(x), torch.stack([q.log_prob(x[0]) for q in each]))
    assert p.log_prob(x).unique().numel() == 5
    assert p.sample((7,)).shape == (7, 5, 3)


@every
def test_without_latents_every_bound_is_the_log_likelihood(spec):
    model = Explicit(built(spec, Site((2, 2))))
    x = torch.randn(6, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    exact = model.density().log_prob(x)
    for objective in (ELBO(), Distortion(), ImportanceWeighted(4)):
        torch.testing.assert_close(objective(draw(model, x, objective.samples)), -exact)
    assert sample(model, 3).sample((3,)).shape == (3, 2, 2)


def test_a_flow_of_one_element_needs_no_others():
    flow = built(KINDS["coupling"], Site((1,)))()
    grid = torch.linspace(-30, 30, 60_001, dtype=torch.float64)
    assert torch.trapezoid(flow.log_prob(grid[:, None]).exp(), grid).item() == pytest.approx(1, abs=1e-6)
