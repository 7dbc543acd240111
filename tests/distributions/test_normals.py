"""Functions of normal distributions whose gradients are written by hand, against torch's own and autodiff."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from latens.distributions.normals import divergence, divergence_from_standard, drawn, log_normal

CASES = {
    "log density": (log_normal, lambda x, loc, s: Normal(loc, s.exp()).log_prob(x), ["x", "loc", "scale"]),
    "draw": (drawn, lambda loc, s, e: loc + s.exp() * e, ["loc", "scale", "e"]),
    "divergence": (
        divergence,
        lambda a, s, b, t: kl_divergence(Normal(a, s.exp()), Normal(b, t.exp())),
        ["x", "scale", "loc", "width"],
    ),
    "divergence from the standard": (
        divergence_from_standard,
        lambda a, s: kl_divergence(Normal(a, s.exp()), Normal(0.0, 1.0)),
        ["loc", "scale"],
    ),
}
SHAPES = {
    "of one shape": dict.fromkeys(("x", "e", "loc", "scale", "width"), (7, 4)),
    "of one scale": {"x": (7, 4), "e": (3, 7, 4), "loc": (7, 4), "scale": (), "width": ()},
    "of one prior": {"x": (5, 7, 4), "e": (7, 4), "loc": (4,), "scale": (7, 1), "width": (4,)},
}


def numbers(names, shapes):
    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(shapes[name], generator=generator, dtype=torch.float64) for name in names]
    return [t.requires_grad_(name != "e") for t, name in zip(made, names)]


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_the_formula(name, shapes):
    ours, formula, names = CASES[name]
    given = numbers(names, SHAPES[shapes])
    found, expected = ours(*given), formula(*given)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    weights = torch.linspace(-1, 2, found.numel(), dtype=torch.float64).reshape(found.shape)
    leaves = [t for t in given if t.requires_grad]
    slopes = [torch.autograd.grad((t * weights).sum(), leaves) for t in (found, expected)]
    torch.testing.assert_close(*slopes, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("name", CASES)
def test_second_derivatives_are_those_of_the_first(name, shapes):
    ours, _, names = CASES[name]
    assert torch.autograd.gradgradcheck(ours, numbers(names, SHAPES[shapes]))


def test_equal_normals_do_not_differ_in_single_precision():
    """0.5 (ratio^2 - 1) - log ratio in parts leaves rounding errors of 1e-7 each, of either sign."""
    scale = torch.linspace(-3, 3, 1001)
    near = scale + 1e-4
    found = divergence(scale, near, scale, scale).double()
    exact = 0.5 * math.expm1(2e-4) - 1e-4
    assert (found >= 0).all()
    assert (found - exact).abs().max() < 0.02 * exact
    assert (divergence(scale, scale, scale, scale) == 0).all()


@pytest.mark.parametrize("name", CASES)
def test_an_infinite_location_leaves_values_and_gradients_finite(name):
    ours, _, names = CASES[name]
    given = [torch.full((3,), math.inf if part == "loc" else 0.5) for part in names]
    given = [t.requires_grad_() for t in given]
    value = ours(*given)
    slopes = torch.autograd.grad(value.sum(), [t for t, part in zip(given, names) if part != "e"])
    assert value.isfinite().all()
    assert all(slope.isfinite().all() for slope in slopes)
