"""Distributions over codes: against sums over all codes, quadrature over the simplex, and exact gradients."""

import itertools
import math

import numpy as np
import pytest
import torch

from latens.distributions import Categorical, Codes, Concrete, Embedded, PointCodes, kl_factors, one_hot

RNG = torch.Generator().manual_seed(0)
LOGITS = torch.randn(4, 2, 3, generator=RNG, dtype=torch.float64)
EVERY = torch.tensor(list(itertools.product(range(3), repeat=2)), dtype=torch.float64)


def prior():
    params = torch.randn(6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return Categorical(3)(params, (2,))


def test_masses_of_all_codes_sum_to_one():
    q = Codes(LOGITS, 0.5)
    total = q.log_prob(EVERY[:, None].expand(9, 4, 2)).exp().sum(0)
    torch.testing.assert_close(total, torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close(q.log_prob(EVERY[5].expand(4, 2)).exp(), LOGITS.softmax(-1)[:, [0, 1], [1, 2]].prod(1))


def test_the_divergence_is_its_sum_over_all_codes():
    q, p = Codes(LOGITS, 0.5), prior()
    every = EVERY[:, None].expand(9, 4, 2)
    log_q = q.log_prob(every)
    exact = (log_q.exp() * (log_q - p.log_prob(every))).sum(0)
    torch.testing.assert_close(kl_factors(q, p).sum(-1), exact)
    torch.testing.assert_close(kl_factors(q, Embedded(p, lambda c: c)).sum(-1), exact)


def test_values_are_the_one_hot_vectors_of_the_codes_and_codes_have_their_masses():
    torch.manual_seed(0)
    q = Codes(LOGITS.clone().requires_grad_(), 0.5)
    value, code = q.rsample_and_code((20_000,))
    assert torch.equal(value, one_hot(code, 3))
    assert not code.requires_grad
    seen = (code[:, None] == EVERY[:, None]).all(-1).double().mean(0)
    mass = q.log_prob(EVERY[:, None].expand(9, 4, 2)).exp().detach()
    assert ((seen - mass).abs() < 5 * (mass * (1 - mass) / 20_000).sqrt()).all()
    torch.manual_seed(0)
    assert torch.equal(Codes(LOGITS, 0.5).rsample_and_code((20_000,))[1], code)
    assert q.location.tolist() == LOGITS.argmax(-1).tolist()


def test_one_hot_vectors_have_the_gradient_of_the_softmax():
    """d value = d softmax((log pi + g) / t) with the noise held fixed, by hand."""
    logits = LOGITS.clone().requires_grad_()
    weights = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    torch.manual_seed(3)
    value, _ = Codes(logits, 0.7).rsample_and_code(())
    (ours,) = torch.autograd.grad((value * weights).sum(), logits)
    torch.manual_seed(3)
    noise = -(-torch.rand(4, 2, 3, dtype=torch.float64).log()).log()
    soft = ((logits.log_softmax(-1) + noise) / 0.7).softmax(-1)
    (theirs,) = torch.autograd.grad((soft.flatten(-2) * weights).sum(), logits)
    torch.testing.assert_close(ours, theirs)


def test_the_relaxed_gradient_comes_near_that_of_the_expectation():
    """E[f(z)] over one-hot z, its gradient by enumeration: at a low temperature the softmax has it, up to noise."""
    n = 200_000
    f = torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64)
    logits = torch.tensor([0.3, 0.8, -0.4], dtype=torch.float64, requires_grad=True)
    (exact,) = torch.autograd.grad((logits.softmax(0) * f).sum(), logits)
    torch.manual_seed(0)
    wide = logits.detach().expand(n, 1, 3).clone().requires_grad_()
    y = Concrete(wide, 0.1).rsample()
    (each,) = torch.autograd.grad((y.exp() * f).sum(), wide)
    error = each.mean(0)[0] - exact
    assert (error.abs() < 5 * each.std(0)[0] / math.sqrt(n) + 0.01).all(), error
    assert exact.abs().min() > 0.05


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_relaxed_density_integrates_to_one_over_the_simplex(classes, temperature):
    """On a grid of log z_k / z_C, where dz = prod_k z_k du and nothing is steep."""
    axis = torch.linspace(-60 / temperature, 60 / temperature, 601, dtype=torch.float64)
    u = torch.cartesian_prod(*[axis] * (classes - 1)).reshape(-1, classes - 1)
    y = torch.nn.functional.pad(u, (0, 1)).log_softmax(-1)
    p = Concrete(LOGITS[1, :1, :classes], temperature)
    total = (p.log_prob(y) + y.sum(-1)).exp().sum() * (axis[1] - axis[0]) ** (classes - 1)
    assert total.item() == pytest.approx(1.0, abs=1e-6)


def test_relaxed_draws_have_their_density():
    """Two classes: logit z_1 is logistic, so that every quantile is known; three: E[log p] is the entropy by grid."""
    torch.manual_seed(0)
    n, t = 40_000, 0.4
    logits = torch.tensor([[0.7, -0.3]], dtype=torch.float64)
    y = Concrete(logits, t).rsample((n,))
    u = torch.sigmoid(t * (y[:, 0] - y[:, 1]) - 1.0)  # the logistic distribution function at location log(pi_1 / pi_2)
    moments = [(u.mean() - 0.5) / math.sqrt(1 / 12), (u.square().mean() - 1 / 3) / math.sqrt(4 / 45)]
    assert all(abs(m) < 5 / math.sqrt(n) for m in moments)
    p, other = Concrete(LOGITS[:1, 0].unsqueeze(0), 1.5), Concrete(LOGITS[1:2, 0].unsqueeze(0), 1.5)
    x = p.rsample((n,))
    ratio = (other.log_prob(x) - p.log_prob(x)).exp()  # E_p[other / p] = 1
    assert (ratio.mean(0) - 1).abs().item() < 5 * ratio.std().item() / math.sqrt(n)


def test_relaxed_densities_are_finite_where_the_draws_have_no_number():
    torch.manual_seed(0)
    logits = torch.tensor([[80.0, 0.0, -80.0]], requires_grad=True)
    p = Concrete(logits, 0.1)
    z, y = p.rsample_and_code((1000,))
    assert (z == 0).any()
    exact = Concrete(logits.detach().double(), 0.1).log_prob(y.detach().double())
    torch.testing.assert_close(p.log_prob(y).double(), exact, rtol=1e-4, atol=1e-2)
    (grad,) = torch.autograd.grad(p.log_prob(y).sum() + z.sum(), logits)
    assert torch.isfinite(grad).all()


EXTREMES = [0.0, 30.0, -1e4, 1e30, math.inf, -math.inf]


@pytest.mark.parametrize("kind", [Codes, Concrete])
def test_no_output_of_an_encoder_makes_nan(kind):
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(0)
    logits = torch.tensor(EXTREMES)[torch.randint(len(EXTREMES), (200, 2, 3), generator=g)].requires_grad_()
    q = kind(logits, 0.5)
    value, code = q.rsample_and_code(())
    out = [value, q.log_prob(code)]
    if kind is Codes:
        out.append(kl_factors(q, Categorical(3)(torch.zeros(6), (2,))).sum(-1))
    grads = [torch.autograd.grad(t.sum(), logits, retain_graph=True)[0] for t in out]
    assert all(torch.isfinite(t).all() for t in (*out, *grads))


def test_a_point_has_all_mass_at_its_code():
    code, p = EVERY[[4, 7]], prior()
    q = PointCodes(code, torch.zeros(2, 5, dtype=torch.float64))
    assert q.log_prob(EVERY[:, None].expand(9, 2, 2)).exp().sum(0).tolist() == [1.0, 1.0]
    assert q.log_prob(code).tolist() == [0.0, 0.0]
    np.testing.assert_allclose(kl_factors(q, p).sum(-1), -p.log_prob(code))
    assert torch.equal(q.sample((3,)), code.expand(3, 2, 2))
