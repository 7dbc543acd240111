"""The laws that every family keeps, over a table: a new family costs one line."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad_vec

from latens.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    ContinuousBernoulli,
    DiscretizedLogistic,
    Laplace,
    MixtureOf,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
    ZeroInflated,
    kl_factors,
    noise,
)

FAMILIES = {
    "normal fixed": Normal(0.7),
    "normal shared": Normal(),
    "normal element": Normal("element"),
    "laplace fixed": Laplace(2),
    "laplace shared": Laplace(),
    "laplace element": Laplace("element"),
    "student fixed": StudentT(1.5, df=9.0),
    "student shared": StudentT(df=9.0),
    "student element": StudentT("element", df=9.0),
    "bernoulli": Bernoulli(),
    "continuous bernoulli": ContinuousBernoulli(),
    "categorical": Categorical(5),
    "poisson": Poisson(),
    "negative binomial shared": NegativeBinomial(),
    "negative binomial element": NegativeBinomial("element"),
    "beta": Beta(),
    "logistic element": DiscretizedLogistic(16),
    "logistic shared": DiscretizedLogistic(16, "shared"),
    "zero-inflated poisson": ZeroInflated(Poisson()),
    "zero-inflated negative binomial": ZeroInflated(NegativeBinomial()),
    "mixture of normals": MixtureOf(Normal("element"), 2),
    "mixture of shared": MixtureOf(Laplace(), 2),
    "mixture of poissons": MixtureOf(Poisson(), 2),
    "mixture of negative binomials": MixtureOf(NegativeBinomial(), 2),
    "mixture of categoricals": MixtureOf(Categorical(3), 2),
    "mixture of logistics": MixtureOf(DiscretizedLogistic(16), 2),
    "event mixture of normals": MixtureOf(Normal("element"), 2, "event"),
    "event mixture of shared logistics": MixtureOf(DiscretizedLogistic(16, "shared"), 2, "event"),
    "event mixture of bernoullis": MixtureOf(Bernoulli(), 2, "event"),
    "event mixture of element mixtures": MixtureOf(MixtureOf(ContinuousBernoulli(), 2), 2, "event"),
}
REPRS = {
    "Normal(0.7)",
    "Normal()",
    "Normal('element')",
    "Laplace(2)",
    "StudentT(1.5, 9.0)",
    "StudentT(df=9.0)",
    "NegativeBinomial('element')",
    "DiscretizedLogistic(16, 'shared')",
    "MixtureOf(Bernoulli(), 2, 'event')",
    "MixtureOf(MixtureOf(ContinuousBernoulli(), 2), 2, 'event')",
}
LATTICE = torch.linspace(-1, 1, 16, dtype=torch.float64)

every = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def numbers(family, event, batch=(), dtype=torch.float64, seed=0, spread=0.8):
    """Parameters and shared parameters drawn at random."""
    g = torch.Generator().manual_seed(seed)
    params = spread * torch.randn(*batch, *family.param_shape(event), generator=g, dtype=torch.float64)
    if isinstance(family, Beta):  # quadrature needs densities that are not steep at the ends
        params = torch.cat([params[..., : event[0]], params[..., event[0] :].abs() + 1.0], -1)
    shape = family.shared_shape(event)
    shared = None if shape is None else 0.3 * torch.randn(shape, generator=g, dtype=torch.float64)
    return params.to(dtype), None if shared is None else shared.to(dtype)


def make(family, event=(3,), batch=(4,), **options):
    params, shared = numbers(family, event, batch, **options)
    return family(params, event, shared)


def classes(family):
    return family.n if isinstance(family, Categorical) else classes(family.family) if hasattr(family, "family") else 0


def atoms(family):
    """Every value of a countable support, up to where the mass is negligible."""
    if family.support == "binary":
        return torch.tensor([0.0, 1.0], dtype=torch.float64)
    if family.support == "lattice":
        return LATTICE
    return torch.arange(classes(family) or 4000, dtype=torch.float64)


def points(family, shape, seed=1):
    """Values in the support."""
    g = torch.Generator().manual_seed(seed)
    if family.measure == "counting":
        values = atoms(family)[:12]
        return values[torch.randint(len(values), shape, generator=g)]
    x = torch.rand(shape, generator=g, dtype=torch.float64)
    return x if "unit" in family.support else 4 * x - 2


def expectation(family, f, shape):
    """The sum or integral of f(x) over the support, by quadrature."""
    if family.measure == "counting":
        x = atoms(family)
        return f(x.reshape(-1, *[1] * len(shape)).expand(-1, *shape)).sum(0)
    at = lambda x: f(torch.full(shape, float(x), dtype=torch.float64)).numpy()  # noqa: E731
    if "unit" in family.support:  # x = sin^2, which softens what a Beta does at the ends
        total, _ = quad_vec(lambda t: at(np.sin(t) ** 2) * np.sin(2 * t), 1e-6, math.pi / 2 - 1e-6, epsabs=1e-10)
    else:
        total, _ = quad_vec(at, -math.inf, math.inf, epsabs=1e-10)
    return torch.as_tensor(total)


@every
def test_total_mass_is_one(family):
    p = make(family, (1,), (6,), spread=1.2)
    total = expectation(family, lambda x: p.log_prob(x).exp(), (6, 1))
    torch.testing.assert_close(total, torch.ones(6, dtype=torch.float64), atol=1e-7, rtol=0)


@every
def test_mean_and_stddev_are_those_of_the_density(family):
    p = make(family, (1,), (6,))
    atol = 2e-2 if family.support == "lattice" else 1e-6  # the mean on a lattice is that of the clipped logistic
    first = expectation(family, lambda x: x[..., 0] * p.log_prob(x).exp(), (6, 1))
    torch.testing.assert_close(p.mean[:, 0], first, atol=atol, rtol=1e-6)
    second = expectation(family, lambda x: (x[..., 0] - first).square() * p.log_prob(x).exp(), (6, 1))
    torch.testing.assert_close(p.stddev[:, 0], second.sqrt(), atol=atol, rtol=1e-6)


@every
def test_draws_have_the_mean_and_the_spread(family):
    torch.manual_seed(0)
    n = 20_000
    p = make(family, (2,), (3,))
    x = p.sample((n,))
    assert x.shape == (n, 3, 2)
    slack = 2e-2 if family.support == "lattice" else 0.0
    error = x.mean(0) - p.mean
    assert (error.abs() < 5 * x.std(0) / math.sqrt(n) + slack).all(), error
    square = (x - p.mean).square()
    error = square.mean(0) - p.stddev.square()
    assert (error.abs() < 5 * square.std(0) / math.sqrt(n) + slack).all(), error


@every
def test_draws_are_worth_minus_the_entropy(family):
    """E[log p(x)] under the draws is the integral of p log p, which catches a draw of the wrong shape."""
    torch.manual_seed(0)
    p = make(family, (1,), (3,))
    values = p.log_prob(p.sample((20_000,)))
    shape = (3, 1)
    exact = expectation(family, lambda x: torch.special.xlogy(p.log_prob(x).exp(), p.log_prob(x).exp()), shape)
    assert ((values.mean(0) - exact).abs() < 5 * values.std(0) / math.sqrt(20_000) + 1e-9).all()


@every
def test_gradients_of_draws_follow_the_moments(family):
    """The gradient of E[x^2] through the draws is that of mean^2 + stddev^2."""
    torch.manual_seed(0)
    n = 20_000
    params, shared = numbers(family, (1,))
    wide = params.expand(n, -1).clone().requires_grad_()
    p = family(wide, (1,), shared)
    x = p.rsample()
    if not p.reparameterised:
        assert not x.requires_grad
        return
    (sampled,) = torch.autograd.grad(x.square().sum(), wide)
    params.requires_grad_()
    p = family(params, (1,), shared)
    (exact,) = torch.autograd.grad((p.mean.square() + p.stddev.square()).sum(), params)
    error = sampled.mean(0) - exact
    assert (error.abs() < 5 * sampled.std(0) / math.sqrt(n)).all(), error


@every
def test_divergence_and_entropy_are_integrals(family):
    q, p = make(family, (1,), (5,), seed=2), make(family, (1,), (5,), seed=3)
    closed = kl_factors(q, p)
    if closed is None:
        pytest.skip("no closed form")
    exact = expectation(family, lambda x: q.log_prob(x).exp() * (q.log_prob(x) - p.log_prob(x)), (5, 1))
    torch.testing.assert_close(closed[:, 0], exact, atol=1e-7, rtol=1e-6)
    exact = -expectation(family, lambda x: q.log_prob(x).exp() * q.log_prob(x), (5, 1))
    torch.testing.assert_close(q.entropy()[:, 0], exact, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("name", ["normal element", "normal shared", "laplace element", "bernoulli", "categorical"])
def test_closed_divergences_exist(name):
    assert kl_factors(make(FAMILIES[name]), make(FAMILIES[name], seed=1)) is not None


def test_divergence_between_different_families_is_unknown():
    assert kl_factors(make(Normal("element")), make(MixtureOf(Normal("element"), 2))) is None
    assert kl_factors(make(Normal("element")), make(StudentT())) is None


def alone(family, params, shared, keep):
    """The parameters of the kept elements of an event of three."""
    body = 3 * (params.shape[-1] // 3)
    kept = params[..., :body].unflatten(-1, (-1, 3))[..., keep].flatten(-2)
    if shared is not None and shared.shape[-1:] == (3,):
        shared = shared[..., keep]
    return torch.cat([kept, params[..., body:]], -1), shared


@every
def test_restriction_is_the_density_of_what_is_observed(family):
    params, shared = numbers(family, (3,), (4,))
    params.requires_grad_()
    x = points(family, (4, 3))
    keep = [0, 2]
    observed = torch.tensor([True, False, True]).expand(4, 3)
    holed = torch.where(observed, x, math.nan)
    seen = family(params, (3,), shared).restrict(observed).log_prob(holed)
    fewer, fewer_shared = alone(family, params, shared, keep)
    part = family(fewer, (2,), fewer_shared).log_prob(x[:, keep])
    torch.testing.assert_close(seen, part, rtol=1e-12, atol=1e-12)
    grads = [torch.autograd.grad(t.sum(), params, retain_graph=True)[0] for t in (seen, part)]
    torch.testing.assert_close(*grads, rtol=1e-12, atol=1e-12)


@every
def test_restrictions_compose_and_can_differ_by_row(family):
    p, x = make(family), points(family, (4, 3))
    g = torch.Generator().manual_seed(5)
    a, b = (torch.rand(4, 3, generator=g) < 0.6 for _ in range(2))
    torch.testing.assert_close(p.restrict(a).restrict(b).log_prob(x), p.restrict(a & b).log_prob(x))
    assert (p.restrict(torch.zeros(3, dtype=torch.bool)).log_prob(x * math.nan).abs() < 1e-12).all()


@every
def test_factors_sum_to_the_density(family):
    p, x = make(family), points(family, (4, 3))
    if isinstance(family, MixtureOf) and family.over == "event":
        with pytest.raises(NotImplementedError, match="does not factorise"):
            p.factors(x)
        return
    torch.testing.assert_close(p.factors(x).sum(-1), p.log_prob(x), rtol=1e-12, atol=1e-12)
    one = [make_one(family, i).log_prob(x[:, i : i + 1]) for i in range(3)]
    torch.testing.assert_close(p.factors(x), torch.stack(one, -1), rtol=1e-12, atol=1e-12)


def make_one(family, i):
    params, shared = alone(family, *numbers(family, (3,), (4,)), [i])
    return family(params, (1,), shared)


@every
def test_each_draw_and_row_is_scored_by_itself(family):
    params, shared = numbers(family, (3,), (2, 4))
    x = points(family, (4, 3))
    both = family(params, (3,), shared).log_prob(x)
    rows = [[family(params[k, b], (3,), shared).log_prob(x[b]) for b in range(4)] for k in range(2)]
    torch.testing.assert_close(both, torch.stack([torch.stack(r) for r in rows]), rtol=1e-12, atol=1e-12)
    many = points(family, (5, 1, 4, 3))
    slow = torch.stack([family(params, (3,), shared).log_prob(m) for m in many])
    torch.testing.assert_close(family(params, (3,), shared).log_prob(many), slow, rtol=1e-12, atol=1e-12)


@every
def test_images_are_vectors_of_their_pixels(family):
    """Parameters of (C, H, W) lie along the channels; each pixel has the density of its own column."""
    if isinstance(family, MixtureOf) and family.over == "event":
        pytest.skip("weights are averaged over the pixels")
    params, shared = numbers(family, (2, 2, 3), (4,))
    if shared is not None and shared.ndim > 2:
        pytest.skip("shared by element")
    x = points(family, (4, 2, 2, 3))
    image = family(params, (2, 2, 3), shared).factors(x)
    for i, j in [(0, 1), (1, 2)]:
        column = family(params[..., i, j], (2,), shared).factors(x[..., i, j])
        torch.testing.assert_close(image[..., i, j], column, rtol=1e-12, atol=1e-12)


@every
def test_single_precision_agrees_with_double(family):
    x = points(family, (4, 3))
    params, shared = numbers(family, (3,), (4,), dtype=torch.float32)
    double = family(params.double(), (3,), None if shared is None else shared.double()).log_prob(x)
    single = family(params, (3,), shared)
    assert single.sample((2,)).dtype == single.mean.dtype == torch.float32
    torch.testing.assert_close(single.log_prob(x.float()).double(), double, rtol=3e-5, atol=3e-5)
    half = family(params.bfloat16(), (3,), shared).log_prob(x.float())
    rounded = family(params.bfloat16().float(), (3,), shared).log_prob(x.float())
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, rounded)


EXTREMES = [0.0, *(s * v for v in (1.0, 30.0, 1e4, 1e30, math.inf) for s in (1, -1))]


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_no_output_of_a_network_makes_nan(family, dtype):
    event, n = (2,), family.param_shape((2,))[0]
    same = torch.tensor(EXTREMES, dtype=dtype)[:, None].expand(-1, n)
    g = torch.Generator().manual_seed(0)
    mixed = torch.tensor(EXTREMES, dtype=dtype)[torch.randint(len(EXTREMES), (200, n), generator=g)]
    params = torch.cat([same, mixed]).clone().requires_grad_()
    shape = family.shared_shape(event)
    for v in EXTREMES if shape is not None else [0.0]:
        shared = None if shape is None else torch.full(shape, v, dtype=dtype, requires_grad=True)
        p = family(params, event, shared)
        density = p.log_prob(points(family, (len(params), 2)).to(dtype))
        grads = torch.autograd.grad(density.sum(), [t for t in (params, shared) if t is not None], allow_unused=True)
        for t in (density, *grads, p.mean, p.stddev, p.sample()):
            assert torch.isfinite(t).all(), v


@every
def test_a_strayed_scale_or_logit_comes_back(family):
    """Steps of the gradient's sign bring the density of ordinary data up from any start, far outside the bounds too."""
    if isinstance(family, MixtureOf):
        pytest.skip("the losing component of a mixture has no gradient to return by")
    n = family.param_shape((1,))[0]
    x = points(family, (1, 1))
    shared = None if family.shared_shape((1,)) is None else torch.zeros(family.shared_shape((1,)), dtype=torch.float64)
    params = torch.tensor([[25.0], [-25.0]], dtype=torch.float64).expand(2, n)
    before = family(params, (1,), shared).log_prob(x)
    for _ in range(200):
        params = params.detach().requires_grad_()
        (grad,) = torch.autograd.grad(-family(params, (1,), shared).log_prob(x).sum(), params)
        params = params - 0.2 * grad.sign()
    after = family(params, (1,), shared).log_prob(x)
    assert ((after > before + 1.0) | (after > -1.5)).all(), (before, after)


@every
def test_no_gradient_leads_further_out_where_that_changes_nothing(family):
    """Out of bounds a gradient may lead back in, though none is there; one that led out would never end."""
    g = torch.Generator().manual_seed(0)
    n, x = family.param_shape((1,))[0], points(family, (300, 1))
    far = torch.tensor([1.0, -1.0, 20.0, -20.0, 3e4, -3e4, 1e9, -1e9], dtype=torch.float64)
    shape = family.shared_shape((1,))
    for start in far if shape is not None else far[:1]:
        shared = None if shape is None else start.expand(shape)
        params = far[torch.randint(len(far), (300, n), generator=g)].requires_grad_()

        def loss(params, shared=shared):
            return -family(params, (1,), shared).log_prob(x)

        (slope,) = torch.autograd.grad(loss(params).sum(), params)
        params, before = params.detach(), loss(params.detach())
        for i in range(n):
            out = torch.zeros_like(params)
            out[:, i] = 1e-3 * params[:, i]
            told, found = (slope * out).sum(1), loss(params + out) - before
            visible = told.abs() > 1e-6 * (1.0 + before.abs())
            misled = visible & (found.abs() < 1e-3 * told.abs()) & (told < 0)
            assert not misled.any(), (params[misled], slope[misled])


@every
def test_one_component_is_the_family_itself(family):
    if family.calibrated or isinstance(family, MixtureOf):
        pytest.skip("not a component")
    params, shared = numbers(family, (3,), (4,))
    x = points(family, (4, 3))
    plain = family(params, (3,), shared)
    for over, extra in (("element", 3), ("event", 1)):
        mixture = MixtureOf(family, 1, over)
        weights = torch.randn(4, extra, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
        wrapped = mixture(torch.cat([params, weights], -1), (3,), None if shared is None else shared[None])
        torch.testing.assert_close(wrapped.log_prob(x), plain.log_prob(x), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(wrapped.mean, plain.mean)
        torch.testing.assert_close(wrapped.stddev, plain.stddev)


@every
def test_gradients_are_those_of_finite_differences(family):
    params, shared = numbers(family, (2,), (3,))
    x = points(family, (3, 2))
    inputs = [t.requires_grad_() for t in (params, shared) if t is not None]
    assert torch.autograd.gradcheck(lambda p, s=None: family(p, (2,), s).log_prob(x), inputs)


@every
def test_gradients_to_the_value_are_those_of_finite_differences(family):
    """A prior is asked for the gradient to the latents it scores."""
    if family.measure == "counting":
        pytest.skip("data are not moved")
    params, shared = numbers(family, (2,), (3,))
    x = points(family, (3, 2)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: family(params, (2,), shared).log_prob(x), x)
    wide = points(family, (2, 1, 2)).requires_grad_()  # broadcast against the batch
    assert torch.autograd.gradcheck(lambda x: family(params, (2,), shared).log_prob(x), wide)


@every
def test_second_derivatives_are_those_of_finite_differences(family):
    params, shared = numbers(family, (2,), (3,))
    x = points(family, (3, 2))
    inputs = [t.requires_grad_() for t in (params, shared) if t is not None]
    assert torch.autograd.gradgradcheck(lambda p, s=None: family(p, (2,), s).log_prob(x), inputs)


@every
def test_keyed_draws_depend_on_their_row_alone(family):
    params, shared = numbers(family, (3,), (4,))
    if not family(params, (3,), shared).reparameterised:
        pytest.skip("draws without gradients")

    def draw(rows):
        with noise.keyed([np.random.default_rng(100 + r) for r in rows]):
            return family(params[rows], (3,), shared).rsample((6,))

    assert torch.equal(draw([0, 1, 2, 3])[:, [3, 1]], draw([3, 1]))


def test_values_print_as_one_writes_them():
    assert {repr(f) for f in FAMILIES.values()} >= REPRS


def _params(family):
    params, shared = numbers(family, (3,), (4,))
    arity = params.shape[-1] // 3
    parts = [t.numpy() for t in params.unflatten(-1, (arity, 3)).unbind(-2)]
    return parts, None if shared is None else shared.numpy()


def scale(r):
    return np.where(r > 0, 1 + r, np.exp(r))


ORACLES = {
    "normal fixed": lambda x, p, s: stats.norm.logpdf(x, p[0], 0.7),
    "normal shared": lambda x, p, s: stats.norm.logpdf(x, p[0], np.exp(s)),
    "normal element": lambda x, p, s: stats.norm.logpdf(x, p[0], scale(p[1])),
    "laplace fixed": lambda x, p, s: stats.laplace.logpdf(x, p[0], 2.0),
    "laplace element": lambda x, p, s: stats.laplace.logpdf(x, p[0], scale(p[1])),
    "student fixed": lambda x, p, s: stats.t.logpdf(x, 9.0, p[0], 1.5),
    "student element": lambda x, p, s: stats.t.logpdf(x, 9.0, p[0], scale(p[1])),
    "bernoulli": lambda x, p, s: stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-p[0]))),
    "categorical": lambda x, p, s: (
        np.take_along_axis(np.stack(p), x[None].astype(int), 0)[0] - np.log(np.exp(np.stack(p)).sum(0))
    ),
    "poisson": lambda x, p, s: stats.poisson.logpmf(x, np.exp(p[0])),
    "negative binomial shared": lambda x, p, s: stats.nbinom.logpmf(x, np.exp(s), 1 / (1 + np.exp(p[0] - s))),
    "negative binomial element": lambda x, p, s: stats.nbinom.logpmf(x, np.exp(p[1]), 1 / (1 + np.exp(p[0] - p[1]))),
    "beta": lambda x, p, s: stats.beta.logpdf(x, *(2 * np.exp(p[1]) / (1 + np.exp(t)) for t in (-p[0], p[0]))),
    "continuous bernoulli": lambda x, p, s: x * p[0] - np.log(np.expm1(p[0]) / p[0]),
    "mixture of normals": lambda x, p, s: np.log(
        (np.exp(p[4]) * stats.norm.pdf(x, p[0], scale(p[1])) + np.exp(p[5]) * stats.norm.pdf(x, p[2], scale(p[3])))
        / (np.exp(p[4]) + np.exp(p[5]))
    ),
    "mixture of poissons": lambda x, p, s: np.log(
        (np.exp(p[2]) * stats.poisson.pmf(x, np.exp(p[0])) + np.exp(p[3]) * stats.poisson.pmf(x, np.exp(p[1])))
        / (np.exp(p[2]) + np.exp(p[3]))
    ),
}


@pytest.mark.parametrize("name", ORACLES)
def test_density_is_scipys(name):
    family = FAMILIES[name]
    x = points(family, (4, 3))
    expected = ORACLES[name](x.numpy(), *_params(family))
    np.testing.assert_allclose(make(family).factors(x).numpy(), expected, rtol=1e-9, atol=1e-11)


def test_a_scale_does_not_run_away_with_what_a_network_says():
    r = torch.tensor([-3.0, -1e-9, 0.0, 1e-9, 40.0], dtype=torch.float64)
    q = Normal("element")(torch.cat([torch.zeros(5, 1, dtype=torch.float64), r[:, None]], 1), (1,))
    torch.testing.assert_close(q.stddev[:, 0], torch.tensor([math.exp(-3.0), 1.0, 1.0, 1.0, 41.0], dtype=torch.float64))
