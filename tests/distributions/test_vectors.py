"""Distributions of vectors that do not factorise, against scipy, torch's own and quadrature: laws over a table."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from latens.distributions import (
    MultivariateNormal,
    Normal,
    PoincareNormal,
    SphereNormal,
    SphereUniform,
    VonMisesFisher,
    divergence,
    kl_factors,
    noise,
    standard_normal,
)
from latens.distributions.bessel import bessel_ratio, log_bessel
from latens.distributions.poincare import BallNormal, exponential, logarithm
from latens.distributions.sphere import angle, log_area
from latens.utils.errors import InputError

FAMILIES = {
    "full normal": MultivariateNormal(),
    "von mises fisher": VonMisesFisher(),
    "ball": PoincareNormal(),
    "curved ball": PoincareNormal(3.0),
}
every = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def numbers(*shape, seed=0, spread=0.8):
    g = torch.Generator().manual_seed(seed)
    return spread * torch.randn(*shape, generator=g, dtype=torch.float64)


def make(family, size=3, batch=(4,), dtype=torch.float64, **options):
    return family(numbers(*batch, *family.param_shape((size,)), **options).to(dtype), (size,))


@pytest.mark.parametrize("name", ["full normal", "von mises fisher"])
def test_draws_have_the_mean_and_the_spread(name):
    torch.manual_seed(0)
    p, n = make(FAMILIES[name]), 20_000
    x = p.sample((n,))
    error = (x.mean(0) - p.mean) / (x.std(0) / math.sqrt(n))
    assert error.abs().max() < 5, error
    square = (x - p.mean).square()
    error = (square.mean(0) - p.stddev.square()) / (square.std(0) / math.sqrt(n))
    assert error.abs().max() < 5, error


@every
def test_a_draw_and_its_log_density_come_together(family):
    p = make(family)
    torch.manual_seed(0)
    x, log_prob = p.rsample_and_log_prob((2, 50))
    torch.testing.assert_close(log_prob, p.log_prob(x), rtol=1e-9, atol=1e-9)
    torch.manual_seed(0)
    torch.testing.assert_close(p.rsample((2, 50)), x, rtol=0, atol=0)


@every
def test_each_draw_and_row_is_scored_by_itself(family):
    params = numbers(2, 4, *family.param_shape((3,)))
    x = make(family, batch=(4,)).sample()
    both = family(params, (3,)).log_prob(x)
    rows = [[family(params[k, b], (3,)).log_prob(x[b]) for b in range(4)] for k in range(2)]
    torch.testing.assert_close(both, torch.stack([torch.stack(r) for r in rows]), rtol=1e-9, atol=1e-9)
    p, wide = family(params[0], (3,)), x[:, None, None].expand(4, 5, 1, 3)
    torch.testing.assert_close(p.log_prob(wide), torch.stack([p.log_prob(y) for y in wide]), rtol=1e-9, atol=1e-9)


@every
def test_keyed_draws_depend_on_their_row_alone(family):
    params = numbers(4, *family.param_shape((3,)))

    def draw(rows):
        with noise.keyed([np.random.default_rng(100 + r) for r in rows]):
            return family(params[rows], (3,)).rsample((6,))

    torch.testing.assert_close(draw([0, 1, 2, 3])[:, [3, 1]], draw([3, 1]), rtol=1e-12, atol=1e-12)


@every
def test_single_precision_agrees_with_double_and_half_is_not_used(family):
    params = numbers(4, *family.param_shape((3,))).float()
    single, double = family(params, (3,)), family(params.double(), (3,))
    x = single.sample((20,))
    assert x.dtype == torch.float32
    torch.testing.assert_close(single.log_prob(x).double(), double.log_prob(x.double()), rtol=1e-4, atol=1e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(family(params, (3,)).log_prob(x), single.log_prob(x))
    assert family(params.bfloat16(), (3,)).log_prob(x).dtype == torch.float32


EXTREMES = [0.0, *(s * v for v in (1.0, 30.0, 1e4, 1e30, math.inf) for s in (1, -1))]


@every
@pytest.mark.parametrize("size", [2, 12])
def test_no_output_of_a_network_makes_nan(family, size):
    n = family.param_shape((size,))[0]
    same = torch.tensor(EXTREMES)[:, None].expand(-1, n)
    g = torch.Generator().manual_seed(0)
    mixed = torch.tensor(EXTREMES)[torch.randint(len(EXTREMES), (200, n), generator=g)]
    params = torch.cat([same, mixed]).clone().requires_grad_()
    p = family(params, (size,))
    x, log_prob = p.rsample_and_log_prob()
    grads = torch.autograd.grad((log_prob + x.sum(-1)).sum(), params)
    for t in (x, log_prob, *grads, p.location, p.log_prob(make(family, size, ()).sample().float())):
        assert torch.isfinite(t).all()


@every
def test_gradients_are_those_of_finite_differences(family):
    params = numbers(3, *family.param_shape((3,))).requires_grad_()
    x = make(family, batch=(3,), seed=2).sample()
    assert torch.autograd.gradcheck(lambda p: family(p, (3,)).log_prob(x), params)


# -- the normal


def torchs(p):
    return torch.distributions.MultivariateNormal(p.mean, p.covariance, validate_args=False)


def test_the_full_normal_is_scipys():
    p, x = make(MultivariateNormal()), numbers(4, 3, seed=1, spread=2.0)
    expected = [stats.multivariate_normal(m, c).logpdf(y) for m, c, y in zip(p.mean, p.covariance, x)]
    np.testing.assert_allclose(p.log_prob(x).numpy(), expected, rtol=1e-9)


def test_without_correlations_it_is_the_diagonal_one():
    scales = numbers(4, 6)
    p = MultivariateNormal()(torch.cat([scales, torch.zeros(4, 3, dtype=torch.float64)], 1), (3,))
    q = Normal("element")(scales, (3,))
    x = numbers(4, 3, seed=1)
    torch.testing.assert_close(p.log_prob(x), q.log_prob(x))
    torch.testing.assert_close(p.stddev, q.stddev)


def test_divergences_between_normals_of_either_kind_are_torchs():
    full, other = make(MultivariateNormal(), seed=1), make(MultivariateNormal(), seed=2)
    diagonal = Normal("element")(numbers(4, 6, seed=3), (3,))
    standard = torch.distributions.MultivariateNormal(torch.zeros(3).double(), torch.eye(3).double())
    narrow = torch.distributions.MultivariateNormal(diagonal.mean, torch.diag_embed(diagonal.stddev.square()))
    for q, p, known in (
        (full, other, torch.distributions.kl_divergence(torchs(full), torchs(other))),
        (full, diagonal, torch.distributions.kl_divergence(torchs(full), narrow)),
        (diagonal, full, torch.distributions.kl_divergence(narrow, torchs(full))),
        (full, standard_normal(torch.zeros(3).double()), torch.distributions.kl_divergence(torchs(full), standard)),
    ):
        torch.testing.assert_close(kl_factors(q, p).sum(-1), known, rtol=1e-9, atol=1e-9)


def test_the_divergence_of_each_dimension_is_that_given_those_before_it():
    q, p = make(MultivariateNormal(), seed=1), make(MultivariateNormal(), seed=2)
    short = kl_factors(q, p)[:, :2].sum(-1)
    known = torch.distributions.kl_divergence(
        *(torch.distributions.MultivariateNormal(r.mean[:, :2], r.covariance[:, :2, :2]) for r in (q, p))
    )
    torch.testing.assert_close(short, known, rtol=1e-9, atol=1e-9)


def test_the_marginal_of_some_entries_is_scipys():
    p, x = make(MultivariateNormal()), numbers(4, 3, seed=1)
    for observed in ([True, False, True], [False, True, False]):
        seen = torch.tensor(observed)
        expected = [
            stats.multivariate_normal(m[seen], c[seen][:, seen]).logpdf(y[seen])
            for m, c, y in zip(p.mean, p.covariance, x)
        ]
        found = p.restrict(seen.expand(4, 3)).log_prob(x.masked_fill(~seen, math.nan))
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


def test_a_full_normal_is_of_vectors():
    with pytest.raises(InputError, match="vectors"):
        MultivariateNormal().param_shape((1, 8, 8))


# -- the sphere

ORDERS = [0.0, 0.5, 1.0, 1.5, 7.0, 31.0, 99.0]
ARGUMENTS = [1e-6, 1e-3, 0.3, 5.0, 20.0, 300.0, 1e5]


@pytest.mark.parametrize("order", ORDERS)
def test_bessel_functions_are_those_of_many_digits(order):
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(60):
        k = torch.tensor(ARGUMENTS, dtype=torch.float64, requires_grad=True)
        value, ratio = log_bessel(order, k), bessel_ratio(order, k)
        (slope,) = torch.autograd.grad(value.sum(), k)
        bend = torch.autograd.grad(ratio.sum(), k)[0]
        for i, x in enumerate(ARGUMENTS):
            first, second = mpmath.besseli(order, x), mpmath.besseli(order + 1, x)
            a = second / first
            assert value[i].item() == pytest.approx(float(mpmath.log(first) - order * mpmath.log(x) - x), abs=1e-10)
            assert ratio[i].item() == pytest.approx(float(a), rel=1e-9)
            assert -slope[i].item() == pytest.approx(float(1 - a), rel=1e-7)
            assert bend[i].item() == pytest.approx(float(1 - a**2 - (2 * order + 1) / x * a), rel=1e-5)


@pytest.mark.parametrize("size", [2, 3, 5, 20])
@pytest.mark.parametrize("k", [1e-3, 0.5, 10.0, 1e5])
def test_the_normaliser_holds_in_single_precision(size, k):
    """Against quadrature over the angle, whose density is area(D - 1) C(k) exp(k cos a) sin^(D-2) a."""
    mu = torch.eye(size)[0]
    p = SphereNormal(mu, torch.tensor(k))
    spread = 1 / math.sqrt(k + size)
    a = torch.linspace(0, min(math.pi, 14 * math.sqrt(size) * spread), 200_001, dtype=torch.float64)
    x = torch.zeros(len(a), size)
    x[:, 0], x[:, 1] = a.cos(), a.sin()
    ring = log_area(size - 1) + torch.xlogy(float(size - 2), a.sin().clamp(min=1e-300))
    assert torch.trapezoid((p.log_prob(x).double() + ring).exp(), a).item() == pytest.approx(1.0, abs=2e-4)


@pytest.mark.parametrize("size", [2, 3, 8, 64])
@pytest.mark.parametrize("k", [1e-3, 1.0, 30.0, 1e5])
def test_angles_follow_their_distribution_with_its_gradient(size, k):
    """F(a) = u by scipy's quadrature, and da/dk by finite differences of the whole inversion."""
    u = torch.tensor([1e-6, 1e-3, 0.1, 0.5, 0.9, 0.999, 1 - 1e-6], dtype=torch.float64)[:, None]
    at = torch.tensor([k], dtype=torch.float64, requires_grad=True)
    a = angle(u, at, size)
    grid = torch.linspace(0, min(math.pi, 2.5 * a.max().item()), 400_001, dtype=torch.float64)
    density = (torch.xlogy(float(size - 2), grid.sin().clamp(min=0)) - 2 * k * (grid / 2).sin().square()).exp()
    density = density / density.max()
    cdf = integrate.cumulative_simpson(density.numpy(), x=grid.numpy(), initial=0)
    found = np.interp(a.detach()[:, 0], grid, cdf / cdf[-1])
    np.testing.assert_allclose(found, u[:, 0], rtol=0, atol=3e-7)
    slopes = torch.stack([torch.autograd.grad(t, at, retain_graph=True)[0] for t in a[:, 0]])
    step = 1e-3 * k
    numeric = (angle(u, at.detach() + step, size) - angle(u, at.detach() - step, size)) / (2 * step)
    torch.testing.assert_close(slopes[1:-1], numeric[1:-1], rtol=2e-3, atol=1e-8 / k)


@pytest.mark.parametrize("size", [2, 3, 7])
def test_divergences_on_the_sphere_are_monte_carlos(size):
    torch.manual_seed(0)
    q, p = make(VonMisesFisher(), size), make(VonMisesFisher(), size, seed=1)
    uniform, n = SphereUniform(torch.zeros(size, dtype=torch.float64)), 20_000
    x = q.sample((n,))
    for other in (uniform, p):
        terms = q.log_prob(x) - other.log_prob(x)
        error = (terms.mean(0) - divergence(q, other)) / (terms.std(0) / math.sqrt(n))
        assert error.abs().max() < 5, error
    assert divergence(q, q).abs().max() < 1e-9
    assert divergence(q, standard_normal(torch.zeros(size))) is None
    slow = SphereNormal(q.direction.float(), torch.full((4,), 1e-3))
    fast = SphereNormal(q.direction.float(), torch.full((4,), 1e5))
    assert (divergence(slow, uniform) - 1e-6 / (2 * size)).abs().max() < 1e-9
    expected = log_area(size) + (size - 1) / 2 * (math.log(1e5 / (2 * math.pi)) - 1)
    torch.testing.assert_close(divergence(fast, uniform), torch.full((4,), expected), rtol=1e-4, atol=1e-4)


def test_a_direction_follows_scipys_moments_and_lies_on_the_sphere():
    q = make(VonMisesFisher(), 5)
    x = q.sample((50,))
    torch.testing.assert_close(x.norm(dim=-1), torch.ones(50, 4, dtype=torch.float64))
    for mu, k, y, value in zip(q.direction, q.concentration, x[0], q.log_prob(x[0])):
        assert value.item() == pytest.approx(stats.vonmises_fisher(mu.numpy(), k.item()).logpdf(y.numpy()), rel=1e-9)


# -- the ball


def in_ball(*shape, seed=0, spread=0.3):
    x = numbers(*shape, seed=seed)
    return torch.tanh(spread * x.norm(dim=-1, keepdim=True)) * x / x.norm(dim=-1, keepdim=True)


def test_the_two_maps_of_the_ball_undo_each_other_at_the_right_distance():
    mu, v = in_ball(50, 3), numbers(50, 3, seed=1, spread=1.5)
    z = exponential(mu, v)
    torch.testing.assert_close(logarithm(mu, z), v, rtol=1e-7, atol=1e-7)
    squares = [(1 - t.square().sum(-1)) for t in (mu, z)]
    distance = torch.acosh(1 + 2 * (mu - z).square().sum(-1) / (squares[0] * squares[1]))
    torch.testing.assert_close(distance, v.norm(dim=-1), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("curvature", [1.0, 3.0])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_density_of_the_ball_is_that_of_its_vector_by_the_jacobian(size, curvature):
    """p(z) dvol = N(v) dv, with dvol = (2 / (1 - c |z|^2))^D dz, and dz / dv by autodiff."""
    centre, log_scale, root = in_ball(size), numbers(size, seed=1, spread=0.3), math.sqrt(curvature)
    q = BallNormal(centre, log_scale, curvature)
    for v in [*numbers(6, size, seed=2), 1e-3 * numbers(size, seed=3)]:
        z = exponential(centre, root * v) / root
        jacobian = torch.autograd.functional.jacobian(lambda v: exponential(centre, root * v) / root, v)
        volume = size * torch.log(2 / (1 - curvature * z.square().sum()))
        normal = torch.distributions.Normal(0.0, log_scale.exp()).log_prob(v).sum()
        torch.testing.assert_close(
            q.log_prob(z), normal - torch.linalg.slogdet(jacobian)[1] - volume, rtol=1e-6, atol=1e-6
        )


def test_a_point_without_a_scale_to_go_by_has_a_gradient_too():
    centre = torch.zeros(2, requires_grad=True)
    for x in (torch.zeros(2), torch.tensor([1.0, 0.0])):
        (slope,) = torch.autograd.grad(BallNormal(centre, torch.zeros(2), 1.0).log_prob(x), centre)
        assert torch.isfinite(slope).all()


def test_a_ball_of_little_curvature_is_flat():
    params, c = numbers(4, 6), 1e-8
    flat = Normal("element")(torch.cat([torch.zeros_like(params[:, :3]), params[:, 3:]], 1), (3,))
    q = PoincareNormal(c)(torch.cat([torch.zeros_like(params[:, :3]), params[:, 3:]], 1), (3,))
    x = numbers(4, 3, seed=1)
    torch.testing.assert_close(q.log_prob(x / 2), flat.log_prob(x), rtol=1e-6, atol=1e-6)  # lengths at 0 are doubled
