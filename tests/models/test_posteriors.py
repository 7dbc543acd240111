"""Posteriors beyond the diagonal normal: laws over a table, each against quadrature over all of the latent space."""

import math
import re
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

import latens
from latens import VAE
from latens.distributions import (
    Delta,
    Family,
    MixtureOf,
    MultivariateNormal,
    Normal,
    PoincareNormal,
    VonMisesFisher,
    noise,
)
from latens.models import (
    Conditional,
    CouplingFlow,
    ExemplarPrior,
    Free,
    GumbelSoftmax,
    InverseAutoregressiveFlow,
    PlanarFlow,
    RadialFlow,
    StandardNormal,
    StandardPoincare,
    SylvesterFlow,
    UniformCodes,
    UniformSphere,
    VampPrior,
    draw,
    encode,
)
from latens.neural.vae import build
from latens.neural.vocabulary import read
from latens.nn import MLP, MaskedMLP, Site, Spec
from latens.objectives import ImportanceWeighted
from latens.utils.errors import InputError
from latens.utils.text import text

SMALL = MLP((6,), "tanh")
ROWS = np.random.default_rng(0).normal(size=(60, 3)) @ np.random.default_rng(1).normal(size=(3, 3))
X = torch.tensor(ROWS[:3] / ROWS.std(0))


def plane():
    """Points of R^2 and the logarithms of their weights."""
    axis = torch.linspace(-8.0, 8.0, 151, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis), torch.full((151**2,), 2 * math.log(16.0 / 150), dtype=torch.float64)


def sphere():
    """Points of S^2, by Gauss and Legendre's rule from pole to pole and evenly around."""
    height, weight = (torch.from_numpy(t) for t in np.polynomial.legendre.leggauss(80))
    turn = torch.arange(160, dtype=torch.float64) * (2 * math.pi / 160)
    aside = (1 - height.square()).sqrt()[:, None]
    points = torch.stack([aside * turn.cos(), aside * turn.sin(), height[:, None].expand(-1, 160)], -1)
    return points.reshape(-1, 3), (weight * (2 * math.pi / 160)).log().repeat_interleave(160)


def ball(curvature=1.0):
    """Points of the Poincare ball by radius and turn, with their Riemannian volume sinh(r) dr dt."""
    r, weight = (torch.from_numpy(t) for t in np.polynomial.legendre.leggauss(120))
    r, weight = 6 * (r + 1), 6 * weight * (6 * (r + 1)).sinh()
    turn = torch.arange(240, dtype=torch.float64) * (2 * math.pi / 240)
    points = (0.5 * r).tanh()[:, None, None] * torch.stack([turn.cos(), turn.sin()], -1)
    log_weight = (weight * (2 * math.pi / 240)).log() - math.log(curvature)
    return points.reshape(-1, 2) / math.sqrt(curvature), log_weight.repeat_interleave(240)


@dataclass
class Case:
    posterior: Family | Spec
    prior: Spec = field(default_factory=StandardNormal)
    latents: int = 2
    space: object = plane
    draws: int = 1 << 16


SHAPE = {"context": 3, "encoder": SMALL}
CASES = {
    "full normal": Case(MultivariateNormal()),
    "full normal and prior": Case(MultivariateNormal(), Free(MultivariateNormal())),
    "sphere": Case(VonMisesFisher(), UniformSphere(), 3, sphere, 1 << 18),
    "ball": Case(PoincareNormal(), StandardPoincare(), 2, ball),
    "curved ball": Case(PoincareNormal(2.5), Free(PoincareNormal(2.5)), 2, lambda: ball(2.5)),
    "planar": Case(PlanarFlow(transforms=3, **SHAPE)),
    "planar, the same for every row": Case(PlanarFlow(transforms=3, context=0)),
    "radial": Case(RadialFlow(transforms=3, **SHAPE)),
    "sylvester": Case(SylvesterFlow(transforms=2, **SHAPE)),
    "inverse autoregressive": Case(InverseAutoregressiveFlow(network=SMALL, **SHAPE)),
    "inverse autoregressive splines": Case(InverseAutoregressiveFlow(network=SMALL, bins=4, context=0)),
    "coupling": Case(CouplingFlow(network=SMALL, bins=4, **SHAPE)),
    "a flow on a flow": Case(InverseAutoregressiveFlow(PlanarFlow(transforms=2, context=0), network=SMALL, **SHAPE)),
}
every = pytest.mark.parametrize("name", CASES)


def model_of(case, spread=0.2):
    """A model of three numbers whose weights are all moved, in double precision."""
    settings = {"latents": case.latents, "likelihood": Normal(1.0), "encoder": SMALL, "decoder": SMALL}
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = build(Site((3,), None, X.float()), settings, case.posterior, case.prior)
        with torch.no_grad():
            for p in model.parameters():
                p.add_(spread * torch.randn_like(p))
    return model.double()


def f(z):
    """Something to expect: no symmetry hides a fault of it."""
    return torch.sin(z[..., 0]) + z[..., 1].square() + z[..., 0] * z[..., -1]


@every
def test_the_density_integrates_to_one_and_draws_follow_it(name):
    case, n = CASES[name], 20_000
    model = model_of(case)
    points, log_weight = case.space()
    with torch.no_grad():
        q = model.posterior(X)
        mass = (q.log_prob(points[:, None]) + log_weight[:, None]).exp()
        torch.testing.assert_close(mass.sum(0), torch.ones(3, dtype=torch.float64), atol=2e-4, rtol=0)
        torch.manual_seed(0)
        values = f(q.sample((n,)))
        error = (values.mean(0) - mass.mT @ f(points)) / (values.std(0) / math.sqrt(n))
    assert error.abs().max() < 5, error


@every
def test_a_draw_and_its_log_density_come_together(name):
    q = model_of(CASES[name]).posterior(X)
    torch.manual_seed(0)
    z, log_q = q.rsample_and_log_prob((50,))
    torch.testing.assert_close(log_q, q.log_prob(z), rtol=1e-6, atol=1e-6)
    torch.manual_seed(0)
    torch.testing.assert_close(q.rsample((50,)), z, rtol=0, atol=0)


@every
def test_the_gradient_of_draws_is_that_of_the_integral(name):
    case, n, parts = CASES[name], 500, 20
    model = model_of(case)
    weights = [p for p in model.posterior.parameters() if p.requires_grad]
    generator = torch.Generator().manual_seed(0)
    directions = [torch.randn(8, p.numel(), generator=generator, dtype=p.dtype) for p in weights]

    def along(value):
        grads = torch.autograd.grad(value, weights, allow_unused=True)
        return sum(d @ g.flatten() for d, g in zip(directions, grads) if g is not None)

    points, log_weight = case.space()
    mass = (model.posterior(X).log_prob(points[:, None]) + log_weight[:, None]).exp()
    exact = along((mass.mT @ f(points)).sum())
    torch.manual_seed(0)
    drawn = torch.stack([along(f(model.posterior(X).rsample((n,))).mean(0).sum()) for _ in range(parts)])
    error = (drawn.mean(0) - exact) / (drawn.std(0) / math.sqrt(parts))
    assert exact.abs().min() > 1e-3
    assert error.abs().max() < 5, error


@every
def test_importance_weighted_bounds_rise_to_the_evidence(name):
    case, n = CASES[name], CASES[name].draws
    model = model_of(case, 0.06)
    points, log_weight = case.space()
    torch.manual_seed(0)
    with torch.no_grad():
        likelihood = model.likelihood(points[:, None].expand(-1, 3, -1)).log_prob(X)
        evidence = (likelihood + model.prior().log_prob(points)[:, None] + log_weight[:, None]).logsumexp(0)
        log_w = draw(model, X, n).log_weight
    bounds = {k: log_w.reshape(n // k, k, 3).logsumexp(1) - math.log(k) for k in (1, 4, 64, 4096)}
    means = torch.stack([b.mean(0) for b in bounds.values()])
    errors = torch.stack([b.std(0) / math.sqrt(len(b)) for b in bounds.values()])
    assert (means[0] < evidence - 0.005).all(), "the posterior is too good to tell anything"
    assert (means.diff(dim=0) > -5 * errors[1:]).all(), means
    assert (means < evidence + 5 * errors).all(), (means, evidence)
    assert (means[-1] - evidence).abs().max() < 0.01, (means[-1], evidence)


@every
def test_keyed_draws_depend_on_their_row_alone(name):
    model = model_of(CASES[name])

    def scores(rows):
        with torch.no_grad(), noise.keyed([np.random.default_rng(100 + r) for r in rows]):
            return draw(model, X[rows], 7).log_weight

    torch.testing.assert_close(scores([0, 1, 2])[:, [2, 0]], scores([2, 0]), rtol=1e-12, atol=1e-12)


@every
def test_no_output_of_a_network_makes_nan(name):
    model = model_of(CASES[name]).float()
    for scale in (1e3, 1e18):
        q = model.posterior((scale * X).float())
        z, log_q = q.rsample_and_log_prob((20,))
        grads = torch.autograd.grad(
            (log_q - model.prior().log_prob(z)).clamp(-1e30, 1e30).sum(), list(model.posterior.parameters())
        )
        assert all(torch.isfinite(t).all() for t in (z, q.location, log_q))
        assert not any(g.isnan().any() for g in grads)


ESTIMATORS = {"latents": 2, "encoder": SMALL, "decoder": SMALL, "epochs": 2, "random_state": 0}


@every
def test_it_trains_scores_and_reads_back_to_the_bit(name, tmp_path):
    case = CASES[name]
    options = ESTIMATORS | {"latents": case.latents, "posterior": case.posterior, "prior": case.prior}
    vae = VAE(**options, score_samples_k=8).fit(ROWS)
    vae.save(tmp_path / "model")
    again = latens.load(tmp_path / "model")
    assert read(text(vae)).get_params(deep=False) == vae.get_params(deep=False)
    for ask in ("transform", "score_samples", "reconstruct"):
        np.testing.assert_array_equal(getattr(vae, ask)(ROWS), getattr(again, ask)(ROWS))
    np.testing.assert_array_equal(vae.sample(5), again.sample(5))
    scores = vae.score_samples(ROWS)
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(vae.score_samples(ROWS[::-3]), scores[::-3])  # neither order nor number tells


@every
def test_the_point_is_a_function_of_the_row(name):
    model = model_of(CASES[name])
    (point,) = encode(model, X)
    assert point.shape == (3, CASES[name].latents)
    torch.testing.assert_close(point, model.posterior(X).location, rtol=0, atol=0)


# -- spaces

MISMATCHED = {
    "sphere and plane": (VonMisesFisher(), StandardNormal(), "prior=UniformSphere()"),
    "plane and sphere": (Normal("element"), UniformSphere(), "prior=StandardNormal()"),
    "ball and plane": (PoincareNormal(), StandardNormal(), "prior=StandardPoincare(1)"),
    "two curvatures": (PoincareNormal(2.0), StandardPoincare(), "prior=StandardPoincare(2)"),
    "a flow on the sphere": (PlanarFlow(VonMisesFisher()), UniformSphere(), "draws from the sphere"),
    "a flow on codes": (PlanarFlow(GumbelSoftmax(3)), UniformCodes(), "makes codes"),
    "exemplars": (PoincareNormal(), ExemplarPrior(5), "prior=StandardPoincare(1)"),
}


@pytest.mark.parametrize("name", MISMATCHED)
def test_posteriors_and_priors_of_different_spaces_are_refused_before_training(name):
    posterior, prior, remedy = MISMATCHED[name]
    with pytest.raises(InputError, match=re.escape(remedy)) as caught:
        VAE(**ESTIMATORS | {"latents": 3}, posterior=posterior, prior=prior).fit(ROWS)
    assert "\n" not in str(caught.value)


def test_a_prior_on_the_sphere_may_be_learned():
    prior = Free(MixtureOf(VonMisesFisher(), 2, "event"))
    vae = VAE(**ESTIMATORS | {"latents": 3}, posterior=VonMisesFisher(), prior=prior).fit(ROWS)
    assert np.isfinite(vae.score_samples(ROWS, k=4)).all()
    points, log_weight = sphere()
    log_prob = vae.model_.prior().log_prob(points.float()).double()
    assert (log_prob + log_weight).logsumexp(0).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("posterior", [VonMisesFisher(), PoincareNormal()], ids=repr)
def test_a_prior_may_be_made_of_posteriors_of_any_space(posterior):
    vae = VAE(**ESTIMATORS | {"latents": 3}, posterior=posterior, prior=VampPrior(4)).fit(ROWS)
    assert vae.model_.prior().space == vae.model_.posterior(torch.zeros(1, 3)).space
    assert np.isfinite(vae.score_samples(ROWS, k=4)).all()


@every
def test_single_precision_scores_as_double(name):
    model = model_of(CASES[name])

    def scores(model, x):
        with torch.no_grad(), noise.keyed([np.random.default_rng(r) for r in range(3)]):
            return draw(model, x, 200).log_weight.double()

    double = scores(model, X)
    torch.testing.assert_close(scores(model.float(), X.float()), double, rtol=1e-3, atol=2e-3)


def test_points_of_a_sphere_are_no_rows():
    with pytest.raises(InputError, match="points on a sphere"):
        VAE(**ESTIMATORS, likelihood=VonMisesFisher()).fit(ROWS)
    with pytest.raises(InputError, match="2 numbers or more"):
        VAE(**ESTIMATORS | {"latents": 1}, posterior=VonMisesFisher(), prior=UniformSphere()).fit(ROWS)


@pytest.mark.parametrize("missing", [False, True])
def test_a_point_is_no_likelihood(missing):
    rows = np.where(np.arange(len(ROWS))[:, None] % 5 == 0, np.nan, ROWS) if missing else ROWS
    with pytest.raises(InputError, match="latents, which may be points without a density, as rows may not"):
        VAE(**ESTIMATORS, likelihood=Delta()).fit(rows)


SPREADS = {
    "sphere": (VonMisesFisher(), UniformSphere()),
    "ball": (PoincareNormal(), StandardPoincare()),
    "curved ball": (PoincareNormal(2.5), StandardPoincare(2.5)),
}


@pytest.mark.parametrize("size", [2, 16])
@pytest.mark.parametrize("name", SPREADS)
def test_a_decoder_reads_points_of_any_space_at_the_size_of_normal_ones(name, size):
    """Or it learns late, and directions are given up before; a network of one's own reads points as they are."""
    posterior, prior = SPREADS[name]
    site, settings = Site((3,), None, X.float()), {"latents": size, "likelihood": Normal(1.0), "encoder": SMALL}
    model = build(site, settings | {"decoder": MLP(())}, posterior, prior)
    torch.manual_seed(0)
    z = model.prior().sample((4000,))
    seen = []
    model.likelihood.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.likelihood(z)
    assert seen[0].square().mean().sqrt().item() == pytest.approx(1, abs=0.15)
    own = torch.nn.Linear(size, 3)
    told = build(site, settings | {"decoder": own}, posterior, prior).likelihood(z).mean
    torch.testing.assert_close(told, own(z))


# -- flows


def test_the_point_of_a_flow_is_that_of_its_base_pushed_along():
    flow = model_of(CASES["coupling"]).posterior
    base = flow.base(X)
    (h,) = [flow.context(X).location]
    pushed = base.mean
    for layer in flow.layers:
        pushed = layer(h).forward(pushed)[0]
    torch.testing.assert_close(flow(X).location, pushed)


def test_a_flow_begins_at_its_base():
    for spec in (PlanarFlow(), RadialFlow(), SylvesterFlow(), InverseAutoregressiveFlow()):
        torch.manual_seed(0)
        base = Conditional(Normal("element"), SMALL).build(Site((4,), (3,)))
        q = spec.build(Site((4,), (3,), modules={"posterior": base}))(X.float())
        z = base(X.float()).sample((10,))
        if not isinstance(spec, InverseAutoregressiveFlow):  # whose mixing turns the order round
            torch.testing.assert_close(q.log_prob(z), base(X.float()).log_prob(z), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(
            q.rsample_and_log_prob()[1].mean(), base(X.float()).log_prob(z).mean(), atol=3, rtol=0
        )


def test_an_inverse_autoregressive_step_never_inverts():
    """One pass of each masked network for a draw with its log density, whatever the number of latents."""
    model = model_of(Case(InverseAutoregressiveFlow(network=SMALL, **SHAPE), latents=7))
    calls = []
    for module in model.modules():
        if isinstance(module, MaskedMLP):
            module.register_forward_hook(lambda *_: calls.append(1))
    objective = ImportanceWeighted(5)
    objective(draw(model, X, 5)).sum().backward()
    assert len(calls) == 2
    model.posterior(X).log_prob(torch.zeros(3, 7, dtype=torch.float64))
    assert len(calls) == 2 + 2 * 7


def test_the_context_tells_rows_apart_beyond_their_base():
    flow = model_of(CASES["planar"]).posterior
    shared = model_of(CASES["planar, the same for every row"]).posterior
    z = torch.randn(5, 1, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).expand(5, 3, 2)
    moved = [module(X).bijection.inverse(z)[0] for module in (flow, shared)]
    assert (moved[0][:, 0] - moved[0][:, 1]).abs().max() > 1e-3
    assert torch.equal(moved[1][:, 0], moved[1][:, 1])


def test_an_affine_map_stretches_no_row_out_of_all_proportion():
    flow = model_of(
        Case(InverseAutoregressiveFlow(transforms=1, network=SMALL, **SHAPE), latents=7), spread=50.0
    ).posterior
    z_0 = flow.base(X).sample((100,))
    stretched = flow.layers[0](flow.context(X).location).forward(z_0)[1].abs()
    assert stretched.amax() <= 7 * math.log(4.0)
    assert stretched.amax() > math.log(4.0)  # these weights ask for far more
