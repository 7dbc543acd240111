"""Counts whose totals are given: against enumeration, scipy, and the conditional laws that join the families."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from scipy import special, stats

from latens.distributions import MixtureOf, Multinomial, NegativeBinomial, Poisson, ZeroInflated
from latens.distributions.totals import log_factorial
from latens.utils import InputError

EVENT = (4,)
FAMILIES = {
    "multinomial": Multinomial(),
    "poisson": Poisson("total"),
    "negative binomial": NegativeBinomial(exposure="total"),
    "negative binomial by element": NegativeBinomial("element", "total"),
    "zero-inflated": ZeroInflated(NegativeBinomial(exposure="total")),
}
every = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def make(family, batch=(), seed=0, dtype=torch.float64, event=EVENT):
    g = torch.Generator().manual_seed(seed)
    params = torch.randn(*batch, *family.param_shape(event), generator=g, dtype=torch.float64)
    shape = family.shared_shape(event)
    shared = None if shape is None else torch.randn(shape, generator=g, dtype=torch.float64)
    return family(params.to(dtype), event, None if shared is None else shared.to(dtype))


def of_total(n):
    """Every event of this total."""
    found = [x for x in product(range(n + 1), repeat=4) if sum(x) == n]
    return torch.tensor(found, dtype=torch.float64)


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_multinomial_masses_of_a_total_sum_to_one(n):
    p = make(Multinomial(), (3,))
    assert torch.allclose(p.log_prob(of_total(n)[:, None]).exp().sum(0), torch.ones(3, dtype=torch.float64))


def test_factorials_are_those_of_scipy():
    x = np.array([*range(300), 1e4, 123456.0, 1e6, 1e9, 1e12])
    assert np.allclose(log_factorial(torch.tensor(x)), special.gammaln(x + 1), rtol=1e-13, atol=3e-12)


def test_multinomial_is_that_of_scipy():
    p = make(Multinomial())
    x = torch.tensor([[3.0, 0, 2, 1], [0, 0, 0, 0], [250000, 1, 2, 749997]], dtype=torch.float64)
    share = p.logits.softmax(-1).numpy()
    expected = [stats.multinomial.logpmf(row, int(row.sum()), share / share.sum()) for row in x.numpy()]
    assert np.allclose(p.log_prob(x), expected, rtol=1e-9)


@pytest.mark.parametrize("n", [1, 4])
def test_poisson_counts_of_an_exposure_are_multinomial_given_their_sum(n):
    """prod Poisson(x_i; N p_i) = Multinomial(x | N) Poisson(N; N)."""
    x, lift = of_total(n), stats.poisson.logpmf(n, n)
    whole = make(Poisson("total")).log_prob(x)
    assert np.allclose(whole, make(Multinomial()).log_prob(x) + lift)
    assert math.isclose(whole.exp().sum(), math.exp(lift))


def test_negative_binomial_with_an_exposure_is_that_of_scipy():
    p = make(NegativeBinomial("element", "total"))
    x = torch.tensor([3.0, 0, 2, 1], dtype=torch.float64)
    params = torch.randn(8, generator=torch.Generator().manual_seed(0), dtype=torch.float64).numpy()
    m, r = 6 * np.exp(params[:4]) / np.exp(params[:4]).sum(), np.exp(params[4:])
    assert np.allclose(p.factors(x), stats.nbinom.logpmf(x.numpy(), r, r / (r + m)))


@pytest.mark.parametrize("inner", [Poisson(), NegativeBinomial("element")], ids=str)
def test_zero_inflated_masses_are_a_mixture_with_zero(inner):
    params = torch.randn(5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)[: inner.arity + 1]
    x = torch.arange(0.0, 400.0, dtype=torch.float64)[:, None]
    g = params[-1].sigmoid()
    expected = (1 - g) * inner(params[:-1], (1,)).log_prob(x).exp() + g * (x[:, 0] == 0)
    found = ZeroInflated(inner)(params, (1,))
    assert torch.allclose(found.log_prob(x).exp(), expected)
    assert math.isclose(found.log_prob(x).exp().sum(), 1.0, rel_tol=1e-6)
    moments = [(found.log_prob(x).exp() * x[:, 0] ** k).sum() for k in (1, 2)]
    assert torch.allclose(found.mean, moments[0])
    assert torch.allclose(found.stddev**2, moments[1] - moments[0] ** 2)


@every
def test_gradients_are_those_of_finite_differences(family):
    x = torch.tensor([[3.0, 0, 2, 1], [0, 1, 0, 0], [0, 0, 0, 0]], dtype=torch.float64)
    params = torch.randn(3, *family.param_shape(EVENT), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    shared = torch.zeros(EVENT, dtype=torch.float64, requires_grad=family.shared_shape(EVENT) is not None)
    given = shared if shared.requires_grad else None
    f = lambda p, s: family(p, EVENT, s if given is not None else None).log_prob(x)  # noqa: E731
    assert torch.autograd.gradcheck(f, (params.requires_grad_(), shared))


@every
def test_draws_have_the_mean_that_is_told(family):
    torch.manual_seed(0)
    p = make(family, (2,)).of_total(torch.tensor([7.0, 200.0], dtype=torch.float64))
    draws = p.sample((4000,))
    error = draws.std(0) / math.sqrt(4000) + 1e-9
    assert ((draws.mean(0) - p.mean).abs() < 4.5 * error).all()
    if isinstance(family, Multinomial):
        assert (draws.sum(-1) == torch.tensor([7.0, 200.0])).all()
        share = p.log_proportions.exp()
        assert torch.allclose(
            draws.var(0) / (torch.tensor([[7.0], [200.0]]) * share * (1 - share)), torch.ones(2, 4).double(), atol=0.15
        )


@every
def test_draws_take_one_of_the_known_totals_each(family):
    torch.manual_seed(0)
    p = make(family, (3,)).drawing(torch.tensor([0.0, 1000.0]))
    found = p.sample((200,)).sum(-1)
    assert (found == 0).float().mean() == pytest.approx(0.5, abs=0.08)
    if isinstance(family, Multinomial):
        assert set(found.unique().tolist()) == {0.0, 1000.0}
        assert torch.allclose(p.mean.sum(-1), torch.full((3,), 500.0).double())


@every
def test_an_event_of_nothing_is_certain(family):
    assert make(family).log_prob(torch.zeros(EVENT)).item() == pytest.approx(0.0, abs=1e-9)


@every
def test_large_totals_are_finite_and_single_precision_is_near_double(family):
    x = torch.tensor([[1e6, 0, 3, 5e5], [0, 0, 1e6, 0]])
    double, single = make(family).log_prob(x.double()), make(family, dtype=torch.float32).log_prob(x)
    assert single.isfinite().all()
    assert torch.allclose(single.double(), double, rtol=1e-5)
    params = torch.full(family.param_shape(EVENT), math.inf)
    params[0] = -math.inf
    shared = None if family.shared_shape(EVENT) is None else torch.zeros(EVENT)
    assert family(params, EVENT, shared).log_prob(x).isfinite().all()


@every
def test_what_is_observed_is_told_given_its_own_total(family):
    """Of a multinomial, the rest of it given that total: proportions renormalised."""
    seen = torch.tensor([True, False, True, True])
    x = torch.tensor([3.0, float("nan"), 2, 1], dtype=torch.float64)
    p = make(family)
    params = torch.randn(*family.param_shape(EVENT), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rest = params.unflatten(0, (-1, 4))[:, seen].flatten()
    shape = family.shared_shape(EVENT)
    g = torch.Generator().manual_seed(0)
    torch.randn(*family.param_shape(EVENT), generator=g, dtype=torch.float64)
    shared = None if shape is None else torch.randn(shape, generator=g, dtype=torch.float64)[seen]
    smaller = family(rest, (3,), shared)
    assert torch.allclose(p.restrict(seen).log_prob(x), smaller.log_prob(x[seen]))
    assert torch.allclose(p.sharing(x, seen).mean[seen], smaller.sharing(x[seen]).mean)


def test_missing_counts_are_expected_in_proportion():
    p = make(Multinomial())
    seen = torch.tensor([True, False, True, True])
    x = torch.tensor([3.0, float("nan"), 2, 1], dtype=torch.float64)
    share = p.logits.softmax(-1)
    assert torch.allclose(p.sharing(x, seen).mean, 6 * share / share[seen].sum())


WRONG = {
    "exposure": (lambda: Poisson("size"), "exposure None or 'total'; got 'size'"),
    "inflated": (lambda: ZeroInflated(Multinomial()), "expects Poisson.. or NegativeBinomial..; got Multinomial"),
    "mixed": (lambda: MixtureOf(Multinomial(), 2, "event"), "models all of an event"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_settings_are_refused_in_one_line(name):
    build, expected = WRONG[name]
    with pytest.raises(InputError, match=expected):
        build()


def test_draws_without_a_total_are_refused():
    with pytest.raises(ValueError, match="sharing"):
        make(Multinomial()).sample()
    with pytest.raises(ValueError, match="sharing"):
        _ = make(Poisson("total")).mean
