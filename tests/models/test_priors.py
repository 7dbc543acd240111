"""The laws that every prior keeps, over a table; and what those made of posteriors owe to the posterior."""

import copy
import math

import pytest
import torch
from torch import nn

from latens.distributions import Delta, Laplace, MixtureOf, Normal, StudentT, log_normals
from latens.distributions.mixture import Mixture, NormalMixture
from latens.models import (
    ExemplarPrior,
    Free,
    NormalizingFlow,
    StandardNormal,
    VampPrior,
    draw,
)
from latens.neural.vae import build
from latens.nn import MLP, Site
from latens.objectives import ELBO
from latens.utils.errors import InputError

PRIORS = {
    "standard": StandardNormal(),
    "normal": Free(Normal("element")),
    "mixture": Free(MixtureOf(Normal("element"), 5, over="event")),
    "mixture by element": Free(MixtureOf(Laplace("element"), 3)),
    "coupling flow": NormalizingFlow(2, "coupling", 4, MLP((8,))),
    "autoregressive flow": NormalizingFlow(1, network=MLP((8,))),
    "vamp": VampPrior(6),
    "exemplars": ExemplarPrior(7),
}
ROWS = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 2.0, 0.5])
every = pytest.mark.parametrize("spec", PRIORS.values(), ids=PRIORS)


def model(prior, latents=2, posterior=Normal("element"), rows=ROWS, moved=0.25, given=None):
    """A whole VAE in double precision, its weights moved."""
    settings = {"latents": latents, "likelihood": Normal(1.0), "encoder": MLP((5,), "tanh"), "decoder": MLP((5,))}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        beside = None if given is None else given.shape[1:]
        site = Site(tuple(rows.shape[1:]), None, rows, beside=beside, given=given)
        vae = build(site, settings, posterior, prior)
        for p in vae.parameters():
            p.data += moved * torch.randn_like(p)
    return vae.double().eval()


def grid(latents, points, reach=8.0):
    axis = torch.linspace(-reach, reach, points, dtype=torch.float64)
    return torch.cartesian_prod(*[axis] * latents).reshape(-1, latents), (axis[1] - axis[0]) ** latents


@every
@pytest.mark.parametrize("latents", [1, 2])
@torch.no_grad()
def test_total_mass_is_one_and_draws_follow_the_density(spec, latents):
    p = model(spec, latents).prior()
    assert p.batch_shape == ()
    z, cell = grid(latents, {1: 10_001, 2: 401}[latents])
    density = p.log_prob(z).exp() * cell
    assert density.sum().item() == pytest.approx(1.0, abs=1e-3)
    torch.manual_seed(1)
    drawn = p.sample((20_000,))
    for f in (lambda t: t, lambda t: t.square(), lambda t: p.log_prob(t)[:, None]):
        values = f(drawn)
        error = values.mean(0) - (density[:, None] * f(z)).sum(0)
        assert (error.abs() < 5 * values.std(0) / math.sqrt(len(drawn)) + 1e-3).all(), error


# -- many normals at once


def slow(x, loc, log_scale):
    return torch.distributions.Normal(loc, log_scale.exp()).log_prob(x.unsqueeze(-2)).sum(-1)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
def test_one_product_gives_the_density_of_every_component(size):
    g = torch.Generator().manual_seed(0)
    loc = size * torch.randn(30, 7, generator=g, dtype=torch.float64) + 50 * size
    log_scale = math.log(size) + torch.randn(30, 7, generator=g, dtype=torch.float64)
    x = loc[torch.randint(30, (4, 5), generator=g)] + size * torch.randn(4, 5, 7, generator=g, dtype=torch.float64)
    numbers = [t.requires_grad_() for t in (x, loc, log_scale)]
    ours, theirs = log_normals(*numbers), slow(*numbers)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    weight = torch.randn(theirs.shape, generator=g, dtype=torch.float64)
    found, expected = (torch.autograd.grad((t * weight).sum(), numbers) for t in (ours, theirs))
    for a, b in zip(found, expected):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-7 * b.abs().max().item())


def test_terms_that_cancel_leave_single_precision():
    """The narrowest scales there are, e^-10, at locations of size 3: squares of 4e9 that differ by less than one."""
    g = torch.Generator().manual_seed(0)
    loc = 3 * torch.randn(20, 8, generator=g)
    log_scale = torch.full((20, 8), -10.0)
    x = loc + torch.randn(20, 8, generator=g) * math.exp(-10)
    expected = slow(x.double(), loc.double(), log_scale.double()).diagonal()
    torch.testing.assert_close(log_normals(x, loc, log_scale).diagonal().double(), expected, rtol=0, atol=1e-3)


def test_many_normals_in_half_precision_surroundings_are_computed_in_double():
    g = torch.Generator().manual_seed(0)
    x, loc, log_scale = (torch.randn(9, 4, generator=g) for _ in range(3))
    with torch.autocast("cpu", torch.bfloat16):
        half = log_normals(x, loc, log_scale)
    assert torch.equal(half, log_normals(x, loc, log_scale))


@pytest.mark.parametrize("worst", [1e20, 3e38])
def test_no_finite_number_makes_a_nan(worst):
    family = MixtureOf(Normal("element"), 3, over="event")
    params = torch.zeros(family.param_shape((2,)))
    params[[0, 3, 5, 12]] = torch.tensor([worst, -worst, worst, worst])
    params.requires_grad_()
    p = family(params, (2,))
    assert isinstance(p, NormalMixture)
    value = p.log_prob(torch.tensor([[0.0, 0.0], [1e6, -1e6], [1e20, 0.0]]))
    assert not value.isnan().any()
    assert not torch.autograd.grad(value[:2].sum(), params)[0].isnan().any()


def test_what_is_made_is_never_components_times_dimensions():
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        size = 0
        _should_skip_dynamo = classmethod(lambda cls: False)

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            self.size = max([self.size, *(t.numel() for t in [out] if isinstance(t, torch.Tensor))])
            return out

    p = Free(MixtureOf(Normal("element"), 50, over="event")).build(Site((16,)))()
    with Largest() as largest:
        p.log_prob(torch.randn(200, 16, requires_grad=True)).sum().backward()
        p.sample((200,))
    assert largest.size == 200 * 50


def test_the_fast_way_is_the_mixture():
    family = MixtureOf(Normal("element"), 4, over="event")
    params = torch.randn(family.param_shape((3,)), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fast = family(params, (3,))
    plain = Mixture(fast.logits, fast.components)
    x = torch.randn(6, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert type(fast) is NormalMixture
    torch.testing.assert_close(fast.log_prob(x), plain.log_prob(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close((fast.mean, fast.stddev), (plain.mean, plain.stddev))
    seen = torch.tensor([True, False, True])
    torch.testing.assert_close(fast.restrict(seen).log_prob(x), plain.restrict(seen).log_prob(x))


def test_the_components_of_a_mixture_begin_apart_and_together_standard():
    torch.manual_seed(0)
    p = Free(MixtureOf(Normal("element"), 400, over="event")).build(Site((6,)))()
    assert torch.cdist(p.components.mean, p.components.mean).fill_diagonal_(9).min() > 0.1
    torch.testing.assert_close(p.mean, torch.zeros(6), atol=0.15, rtol=0)
    torch.testing.assert_close(p.stddev, torch.ones(6), atol=0.1, rtol=0)
    torch.testing.assert_close(p.weights, torch.full_like(p.weights, 1 / 400))


# -- priors made of posteriors


def slow_vamp(vae, z):
    """log 1/K sum_k q(z | u_k), one pseudo-input at a time by torch's own normal."""
    u = vae.prior.inputs.clamp(vae.prior.low, vae.prior.high)
    q = [vae.posterior(row[None]) for row in u]
    terms = [torch.distributions.Normal(p.mean, p.stddev).log_prob(z).sum(-1) for p in q]
    return torch.stack(terms).logsumexp(0) - math.log(len(u))


def slow_exemplars(vae, z, keep):
    terms = []
    for row in vae.prior.exemplars[keep]:
        mean = vae.posterior(row[None]).mean
        terms.append(torch.distributions.Normal(mean, vae.prior.log_scale.exp()).log_prob(z).sum(-1))
    return torch.stack(terms).logsumexp(0) - math.log(len(terms))


def gradients(value, vae):
    return torch.autograd.grad(value.sum(), [*vae.prior.parameters(), *vae.posterior.parameters()])


Z = torch.randn(3, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def test_a_vamp_prior_is_its_slow_formula_with_the_same_gradients():
    vae = model(VampPrior(6))
    ours, theirs = vae.prior().log_prob(Z), slow_vamp(vae, Z)
    torch.testing.assert_close(ours, theirs)
    found = gradients(ours, vae)
    torch.testing.assert_close(found, gradients(theirs, vae))
    assert len(found) == 5
    assert all(g.abs().max() > 1e-3 for g in found)


@torch.no_grad()
@pytest.mark.parametrize("spec", [VampPrior(6), ExemplarPrior(6)], ids=repr)
def test_each_of_them_keeps_the_condition_of_its_row(spec):
    """By a loop over rows, each with its own condition."""
    vae = model(spec, given=torch.arange(float(len(ROWS)))[:, None])
    place = torch.linspace(0, len(ROWS) - 1, 6).round().double()
    assert torch.equal(vae.prior.given[:, 0], place)
    rows = vae.prior.exemplars if isinstance(spec, ExemplarPrior) else vae.prior.inputs
    terms = []
    for row, beside in zip(rows.clamp(ROWS.min(0).values, ROWS.max(0).values), place):
        q = vae.posterior(row[None], context=beside[None, None])
        scale = vae.prior.log_scale.exp() if isinstance(spec, ExemplarPrior) else q.stddev
        terms.append(torch.distributions.Normal(q.mean, scale).log_prob(Z).sum(-1))
    torch.testing.assert_close(vae.prior().log_prob(Z), torch.stack(terms).logsumexp(0) - math.log(6))


@pytest.mark.parametrize("posterior", [StudentT("element"), Laplace("element"), Normal(0.5)], ids=str)
def test_a_vamp_prior_takes_any_posterior(posterior):
    vae = model(VampPrior(6), posterior=posterior)
    each = [vae.posterior(row[None]) for row in vae.prior.inputs.clamp(vae.prior.low, vae.prior.high)]
    expected = torch.stack([q.log_prob(Z) for q in each]).logsumexp(0) - math.log(6)
    torch.testing.assert_close(vae.prior().log_prob(Z), expected)


def test_an_exemplar_prior_is_its_slow_formula_with_the_same_gradients():
    vae = model(ExemplarPrior(7))
    ours, theirs = vae.prior().log_prob(Z), slow_exemplars(vae, Z, slice(None))
    torch.testing.assert_close(ours, theirs)
    found, expected = (torch.autograd.grad(t.sum(), own(vae), allow_unused=True) for t in (ours, theirs))
    torch.testing.assert_close(found[:-2], expected[:-2])
    assert found[0].abs() > 1e-3
    assert found[1].abs().max() > 1e-3


def own(vae):
    return [vae.prior.log_scale, *vae.posterior.parameters()]


def test_an_exemplar_is_left_out_of_its_own_prior_while_training_alone():
    vae = model(ExemplarPrior(7), rows=ROWS[:7])
    x = torch.cat([ROWS[[3, 0]], torch.zeros(1, 3)]).double()
    seen = []

    def choose(p, q):
        seen.append(p)
        return q.mean

    vae(choose, x)
    vae.train()
    vae(choose, x)
    z = Z[:, :3]
    torch.testing.assert_close(seen[0].log_prob(z), slow_exemplars(vae, z, slice(None)))
    kept = [[i for i in range(7) if i != 3], [1, 2, 3, 4, 5, 6], list(range(7))]
    expected = [slow_exemplars(vae, z[:, i], keep) for i, keep in enumerate(kept)]
    torch.testing.assert_close(seen[1].log_prob(z), torch.stack(expected, 1))
    assert seen[1].batch_shape == (3,)
    assert seen[1].sample((4,)).shape == (4, 3, 2)


def test_equal_exemplars_are_left_out_together_and_the_last_one_leaves_no_nan():
    vae = model(ExemplarPrior(4), rows=ROWS[:2]).train()
    seen = draw(vae, ROWS[:2].double()).latents[0].p
    torch.testing.assert_close(seen.log_prob(Z[:, :2])[:, 0], slow_exemplars(vae, Z[:, 0], [2, 3]))
    alone = model(ExemplarPrior(2), rows=ROWS[[5, 5]]).train()
    assert draw(alone, ROWS[[5]].double()).latents[0].p.log_prob(Z[:, :1]).isfinite().all()


@pytest.mark.parametrize("spec", [VampPrior(6), ExemplarPrior(7)], ids=str)
def test_the_posterior_belongs_to_the_model_alone(spec):
    plain, vae = model(StandardNormal()), model(spec)
    extra = set(vae.state_dict()) - set(plain.state_dict())
    assert extra == {"prior.inputs", "prior.low", "prior.high"} or extra == {
        "prior.exemplars",
        "prior.direction",
        "prior.log_scale",
    }
    assert sum(p.numel() for p in vae.posterior.parameters()) == sum(p.numel() for p in plain.posterior.parameters())
    assert vae.prior.posterior is vae.posterior
    other = copy.deepcopy(vae)
    assert other.prior.posterior is other.posterior
    assert other.posterior is not vae.posterior
    with torch.no_grad():
        for p in other.posterior.parameters():
            p.add_(1.0)
    assert not torch.allclose(other.prior().log_prob(Z), vae.prior().log_prob(Z))
    other.load_state_dict(vae.state_dict())
    assert torch.equal(other.prior().log_prob(Z), vae.prior().log_prob(Z))


def test_pseudo_inputs_begin_at_rows_and_stay_within_their_range():
    vae = model(VampPrior(8), moved=0.0)
    u, low, high = vae.prior.inputs, ROWS.amin(0), ROWS.amax(0)
    nearest = ((u[:, None] - ROWS.double()).abs() / (high - low)).amax(-1).min(1)
    assert nearest.values.max() < 0.05
    assert len(nearest.indices.unique()) == 8
    with torch.no_grad():
        u.add_(100.0)
    seen = vae.prior().components.mean
    torch.testing.assert_close(seen, vae.posterior(high.double().expand(8, 3)).mean)
    vae.prior().log_prob(Z).sum().backward()
    outside = u.grad  # a step of descent further out is none
    assert (outside >= 0).all()


def test_more_pseudo_inputs_than_rows_differ():
    u = model(VampPrior(9), rows=ROWS[:2], moved=0.0).prior.inputs
    assert torch.cdist(u, u).fill_diagonal_(1).min() > 0


def test_one_range_serves_all_pixels_and_one_each_column():
    images = torch.rand(20, 1, 4, 4)
    assert model(VampPrior(3), rows=images).prior.low.shape == ()
    assert model(VampPrior(3)).prior.low.shape == (3,)


def test_a_loss_teaches_all_parts():
    for spec in (VampPrior(6), ExemplarPrior(7)):
        vae = model(spec).train()
        ELBO()(draw(vae, ROWS[:9].double())).mean().backward()
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in vae.parameters()), spec


def test_priors_compute_where_the_model_is():
    vae = model(VampPrior(6)).float()
    assert vae.prior().log_prob(Z.float()).dtype == torch.float32


REFUSED = {
    "vamp of a point": (lambda: model(VampPrior(3), posterior=Delta()), "expects a posterior with a density"),
    "vamp that does not look": (lambda: model(VampPrior(3), posterior=Free(Normal("element"))), "one that looks at x"),
    "exemplars, likewise": (lambda: model(ExemplarPrior(3), posterior=Free(Normal("element"))), "one that looks at x"),
    "no posterior": (lambda: VampPrior(3).build(Site((2,))), "stands as the prior of a VAE"),
    "conditions that few rows tell": (
        lambda: VampPrior(3).build(Site((2,), batch=ROWS, modules={"posterior": nn.Identity()}, beside=(2,))),
        r"VampPrior\(3\) expects rows whose labels are all known",
    ),
    "none": (lambda: VampPrior(0), "k must be a positive integer"),
    "one": (lambda: ExemplarPrior(1), "at least 2"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(name):
    call, message = REFUSED[name]
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("prior", [VampPrior(20), Free(Normal("element"))], ids=["vamp", "free"])
def test_half_precision_knows_latents_that_lie_far_out(prior):
    """Nothing holds the latents of a learned prior near 0, and bf16 rounds 1000 to a multiple of 4."""
    torch.manual_seed(0)
    x = torch.randn(64, 6)
    settings = {"latents": 3, "likelihood": Normal(0.3), "encoder": MLP((32,)), "decoder": MLP((32,))}
    model = build(Site((6,), None, x), settings, Normal("element"), prior)
    first, last = model.likelihood.network[0], model.posterior.network[-1]
    with torch.no_grad():
        last.bias[:3] += 1000.0
        first.bias -= 1000.0 * first.weight.sum(1)
        if not isinstance(prior, VampPrior):
            model.prior.params[:3] += 1000.0

        def bound(half):
            torch.manual_seed(1)
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                return draw(model, x, 50).log_weight.mean(0)

        exact, rounded = bound(False), bound(True)
    assert (rounded - exact).abs().mean() < 0.05 * exact.std()
