"""Bijections and their Jacobians, against autodiff, quadrature and zuko."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from latens.distributions import (
    Affine,
    Autoregressive,
    Composed,
    Coupling,
    Inverse,
    LowerUpper,
    Permutation,
    Planar,
    Radial,
    Spline,
    Sylvester,
    Transformed,
    standard_normal,
)
from latens.nn import MLP, MaskedMLP

D, BINS, BOUND = 4, 5, 3.0


def numbers(*shape, seed=0, spread=1.0):
    g = torch.Generator().manual_seed(seed)
    return spread * torch.randn(*shape, generator=g, dtype=torch.float64)


def network(make, spread=0.5):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        module = make().double()
        for p in module.parameters():
            nn.init.normal_(p, std=spread)
    return module.requires_grad_(False)


def affine(params):
    return Affine(params[..., 0], params[..., 1])


def spline(params):
    return Spline.of(params, BOUND)


def autoregressive(element, outputs, size=D, spread=0.5):
    masked = network(lambda: MaskedMLP(size, outputs, MLP((20, 20), "tanh")), spread)
    return Autoregressive(lambda x: element(masked(x)))


def coupling(element, outputs):
    plain = network(lambda: nn.Sequential(nn.Linear(1, 10), nn.Tanh(), nn.Linear(10, 3 * outputs)))
    return Coupling(1, lambda x: element(plain(x).unflatten(-1, (3, outputs))))


def planar():
    return Planar(numbers(D), numbers(D, seed=1), numbers(1, seed=2)[0])


def radial(strength):
    return Radial(numbers(D), numbers(1, seed=1)[0], torch.tensor(strength, dtype=torch.float64))


def sylvester(rank, spread=0.7):
    shapes = ((rank, D), (rank, rank), (2, rank), (rank,))
    return Sylvester(*(numbers(*shape, seed=i, spread=spread) for i, shape in enumerate(shapes)))


BIJECTIONS = {
    "planar": planar,
    "steep planar": lambda: Planar(numbers(D), -3 * numbers(D), numbers(1)[0]),
    "radial outwards": lambda: radial(3.0),
    "radial inwards": lambda: radial(-3.0),
    "sylvester": lambda: sylvester(D),
    "sylvester of rank 2": lambda: sylvester(2, 1.5),
    "inverse": lambda: Inverse(Composed([planar(), sylvester(3)])),
    "affine": lambda: affine(numbers(D, 2)),
    "spline": lambda: spline(numbers(D, 3 * BINS - 1)),
    "wild spline": lambda: spline(numbers(D, 3 * BINS - 1, spread=100.0)),
    "spline of one bin": lambda: spline(numbers(D, 2)),
    "permutation": lambda: Permutation(torch.tensor([2, 0, 3, 1])),
    "lower upper": lambda: LowerUpper(numbers(D, D, spread=0.5)),
    "autoregressive affine": lambda: autoregressive(affine, 2),
    "autoregressive spline": lambda: autoregressive(spline, 3 * BINS - 1),
    "coupling affine": lambda: coupling(affine, 2),
    "coupling spline": lambda: coupling(spline, 3 * BINS - 1),
    "composed": lambda: Composed(
        [LowerUpper(numbers(D, D, spread=0.5)), autoregressive(spline, 3 * BINS - 1), coupling(affine, 2)]
    ),
}
every = pytest.mark.parametrize("make", BIJECTIONS.values(), ids=BIJECTIONS)
X = numbers(50, D, seed=1, spread=2.0)


@every
def test_log_det_is_that_of_autodiff(make):
    f = make()
    y, log_det = f.forward(X)
    x, back = f.inverse(y)
    for i in range(0, len(X), 4):
        jacobian = torch.autograd.functional.jacobian(lambda x: f.forward(x)[0], X[i])
        torch.testing.assert_close(log_det[i], torch.linalg.slogdet(jacobian)[1], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(back, -log_det, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(x, X, rtol=1e-7, atol=1e-7)


@every
@pytest.mark.parametrize("far", [1e2, 1e6])
def test_what_lies_far_out_comes_back(make, far):
    f = make()
    x = far * X
    torch.testing.assert_close(f.inverse(f.forward(x)[0])[0], x, rtol=1e-6, atol=1e-6)


@every
def test_batches_of_any_shape_are_the_rows_one_by_one(make):
    f = make()
    y, log_det = f.forward(X.reshape(5, 10, D))
    torch.testing.assert_close(y.reshape(50, D), f.forward(X)[0])
    torch.testing.assert_close(log_det[3, 4], f.forward(X[34])[1])


@pytest.mark.parametrize("name", [name for name in BIJECTIONS if name != "wild spline"])
def test_gradients_are_those_of_finite_differences(name):
    f = BIJECTIONS[name]()
    x = X[:3].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: f.forward(x), (x,), atol=1e-5)
    assert torch.autograd.gradcheck(lambda x: f.inverse(x), (x,), atol=1e-5)


@pytest.mark.parametrize("way", ["forward", "inverse"])
def test_gradients_of_the_parameters_of_pushes_too(way):
    """Those of the way back are of a function that is only implicit."""
    plane = (numbers(2, D), numbers(2, D, seed=1), numbers(2, seed=2))
    spread = (numbers(2, D), numbers(2, seed=1), numbers(2, seed=2))
    frame = tuple(numbers(2, *shape, spread=0.7) for shape in ((3, D), (3, 3), (2, 3), (3,)))
    for make, params in ((Planar, plane), (Radial, spread), (Sylvester, frame)):
        params = [p.requires_grad_() for p in params]
        f = lambda *p, make=make: getattr(make(*p), way)(X[:6].reshape(3, 2, D))  # noqa: E731
        assert torch.autograd.gradcheck(f, params, atol=1e-5)


@pytest.mark.parametrize("large", [10.0, -100.0])
def test_pushes_of_large_parameters_still_come_back(large):
    u, w = large * numbers(D).sign(), 100 * numbers(D).sign()
    for f in (Planar(u, w, u[0]), Radial(u, u[0] / 10, u[1]), Radial(u, -u[0] / 10, -u[1])):
        y, log_det = f.forward(X)
        x, back = f.inverse(y)
        torch.testing.assert_close(x, X, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(back, -log_det, rtol=1e-3, atol=1e-3)


def test_gradients_of_the_parameters_of_a_spline_too():
    params = numbers(D, 3 * BINS - 1, seed=4).requires_grad_()
    for way in ("apply", "invert"):
        assert torch.autograd.gradcheck(lambda p, way=way: getattr(spline(p), way)(X[:6]), (params,), atol=1e-5)


# -- splines


@pytest.fixture(scope="module")
def zuko_spline():
    checked = torch.distributions.Distribution._validate_args  # importing zuko switches it off
    transforms = pytest.importorskip("zuko.transforms")
    torch.distributions.Distribution.set_default_validate_args(checked)
    return transforms.MonotonicRQSTransform


@pytest.mark.parametrize(("dtype", "near"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_a_spline_equals_zukos(zuko_spline, dtype, near):
    params = numbers(200, D, 3 * BINS - 1, seed=5, spread=2.0).to(dtype)
    x = numbers(200, D, seed=6, spread=2.0).to(dtype)
    theirs = zuko_spline(*params.split([BINS, BINS, BINS - 1], -1), bound=BOUND)
    ours = Spline.of(params, BOUND)
    y, log_slope = theirs.call_and_ladj(x)
    torch.testing.assert_close(ours.apply(x)[0], y, rtol=near, atol=near)
    torch.testing.assert_close(ours.apply(x)[1], log_slope, rtol=10 * near, atol=10 * near)
    if dtype == torch.float64:  # in single precision a slope of 1e-3 loses three more digits on the way back
        torch.testing.assert_close(ours.invert(x)[0], theirs.inv(x), rtol=near, atol=near)


def test_a_spline_passes_through_its_knots_with_their_slopes():
    f = spline(numbers(1, 3 * BINS - 1))
    at = f.knots[0, 0, :].unsqueeze(-1)
    y, log_slope = f.apply(at)
    torch.testing.assert_close(y[:, 0], f.knots[0, 1], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(log_slope[:, 0].exp(), f.slopes[0], rtol=1e-9, atol=1e-9)


def test_a_spline_is_increasing_and_smooth_across_its_knots_and_ends():
    f = spline(numbers(1, 3 * BINS - 1))
    grid = torch.linspace(-1.5 * BOUND, 1.5 * BOUND, 200_001, dtype=torch.float64)[:, None]
    y, log_slope = f.apply(grid)
    step = float(grid[1, 0] - grid[0, 0])
    assert y.diff(dim=0).min() > 0
    torch.testing.assert_close(y.diff(dim=0) / step, log_slope[1:].exp(), rtol=5e-3, atol=0)
    torch.testing.assert_close(y[[0, -1]], grid[[0, -1]])


# -- what may depend on what


@pytest.mark.parametrize("context", [0, 2])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_masked_network_sees_what_comes_before_and_nothing_else(size, context):
    masked = network(lambda: MaskedMLP(size, 3, MLP((32, 32), "tanh"), context))
    x = numbers(size + context, seed=2)
    seen = torch.autograd.functional.jacobian(masked, x).abs().amax(1) > 1e-12  # (size, size + context)
    expected = torch.cat([torch.ones(size, size).tril(-1), torch.ones(size, context)], 1).bool()
    assert torch.equal(seen, expected)


def test_an_autoregressive_jacobian_is_triangular():
    f = autoregressive(spline, 3 * BINS - 1)
    jacobian = torch.autograd.functional.jacobian(lambda x: f.forward(x)[0], X[0])
    assert torch.equal(jacobian.triu(1), torch.zeros(D, D, dtype=torch.float64))
    assert (jacobian.tril().abs() > 1e-9).sum() == D * (D + 1) / 2


# -- distributions


def flow(size, spread=0.5):
    mixed = Affine(numbers(size, seed=3), numbers(size) / 3)
    return Composed([autoregressive(spline, 3 * BINS - 1, size, spread), mixed])


def test_a_density_in_one_dimension_integrates_to_one():
    p = Transformed(standard_normal(torch.zeros(1, dtype=torch.float64)), flow(1))
    grid = torch.linspace(-20, 20, 100_001, dtype=torch.float64)[:, None]
    assert torch.trapezoid(p.log_prob(grid).exp(), grid[:, 0]).item() == pytest.approx(1, abs=1e-6)


def test_a_density_in_two_dimensions_integrates_to_one():
    p = Transformed(standard_normal(torch.zeros(2, dtype=torch.float64)), flow(2, 0.2))
    axis = torch.linspace(-12, 12, 401, dtype=torch.float64)
    density = p.log_prob(torch.cartesian_prod(axis, axis)).exp().reshape(401, 401)
    assert torch.trapezoid(torch.trapezoid(density, axis), axis).item() == pytest.approx(1, abs=5e-4)


def test_draws_follow_the_density():
    p = Transformed(standard_normal(torch.zeros(1, dtype=torch.float64)), flow(1))
    torch.manual_seed(0)
    drawn = p.sample((4000,))[:, 0].numpy()
    grid = torch.linspace(-20, 20, 100_001, dtype=torch.float64)
    cdf = torch.cumulative_trapezoid(p.log_prob(grid[:, None]).exp(), grid).numpy()
    assert stats.kstest(drawn, lambda x: np.interp(x, grid[1:].numpy(), cdf)).pvalue > 0.01


def test_a_draw_and_its_log_density_come_together():
    base = standard_normal(torch.zeros(2, 2, dtype=torch.float64))
    p = Transformed(standard_normal(torch.zeros(D, dtype=torch.float64)), BIJECTIONS["composed"](), (7,), (2, 2))
    torch.manual_seed(0)
    x, log_prob = p.rsample_and_log_prob((3,))
    assert x.shape == (3, 7, *base.event_shape)
    torch.testing.assert_close(log_prob, p.log_prob(x), rtol=1e-6, atol=1e-6)


def test_a_shifted_and_scaled_normal_is_scipys():
    f = Affine(torch.tensor([-0.5], dtype=torch.float64), -torch.log(torch.tensor([2.0], dtype=torch.float64)))
    p = Transformed(standard_normal(torch.zeros(1, dtype=torch.float64)), f)
    x = numbers(20, 1, spread=3.0)
    np.testing.assert_allclose(p.log_prob(x).numpy(), stats.norm(1, 2).logpdf(x[:, 0].numpy()))


def test_half_precision_around_it_changes_nothing():
    p = Transformed(standard_normal(torch.zeros(D)), LowerUpper(numbers(D, D, spread=0.5).float()))
    x = X.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = p.log_prob(x)
    assert torch.equal(inside, p.log_prob(x))
