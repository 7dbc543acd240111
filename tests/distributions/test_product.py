"""A product of heads is its heads side by side, whatever is computed together."""

import math

import pytest
import torch

from latens.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    DiscretizedLogistic,
    Laplace,
    MixtureOf,
    MultivariateNormal,
    NegativeBinomial,
    Normal,
    Poisson,
    Product,
)
from latens.neural.vocabulary import read
from latens.utils.errors import InputError
from latens.utils.text import text

PRODUCTS = {
    "one": Product((Normal("element"),)),
    "categories": Product((Categorical(2), Categorical(5), Categorical(3))),
    "categories of several columns": Product((Categorical(3), Normal("element"), Categorical(4)), (2, 1, 2)),
    "scattered": Product((Normal("element"), Categorical(3), Normal("element"), Bernoulli()), (2, 1, 1, 2)),
    "mixtures": Product((MixtureOf(Normal("element"), 2), Poisson(), MixtureOf(Normal("element"), 2))),
    "shared": Product((Normal(), NegativeBinomial(), Normal(), Categorical(2)), (2, 2, 1, 1)),
    "optimal": Product((Normal("optimal"), Categorical(4), Normal("optimal")), (2, 1, 1)),
    "supports": Product((Beta(), DiscretizedLogistic(8), Laplace(0.5), Bernoulli())),
}
every = pytest.mark.parametrize("family", PRODUCTS.values(), ids=PRODUCTS)


def size(family):
    return len(family.columns)


def numbers(family, batch=(4,), seed=0):
    g = torch.Generator().manual_seed(seed)
    params = 0.8 * torch.randn(*batch, *family.param_shape((size(family),)), generator=g, dtype=torch.float64)
    shape = family.shared_shape((size(family),))
    return params, None if shape is None else 0.3 * torch.randn(shape, generator=g, dtype=torch.float64)


def rows(family, batch=(4,), seed=1):
    """Values in the support of every column."""
    torch.manual_seed(seed)
    out = []
    for head in family.columns:
        head = head.family if isinstance(head, MixtureOf) else head
        x = torch.rand(batch, dtype=torch.float64)
        n = {"binary": 2, "classes": getattr(head, "n", 0), "counts": 6, "lattice": 8}.get(head.support)
        x = x if n is None else (n * x).floor()
        out.append(x * 2 / 7 - 1 if head.support == "lattice" else x)
    return torch.stack(out, -1)


def apart(family, params, shared):
    """Each head by itself, at its part of the numbers."""
    sizes = family.sizes or (1,) * len(family.heads)
    for head, n in zip(family.heads, sizes):
        arity, common = head.param_shape((n,))[0], head.shared_shape((n,))
        own, params = params[..., :arity], params[..., arity:]
        mine = None
        if common is not None and shared is not None:
            mine, shared = shared[: math.prod(common)].reshape(common), shared[math.prod(common) :]
        yield head(own, (n,), mine), n


def split(family, x):
    return x.split(list(family.sizes or (1,) * len(family.heads)), -1)


@every
def test_a_product_is_its_heads_side_by_side(family):
    params, shared = numbers(family, (2, 4))
    x = rows(family)
    p = family(params, (size(family),), shared)
    heads = [head for head, _ in apart(family, params, shared)]
    factors = torch.cat([head.factors(part) for head, part in zip(heads, split(family, x))], -1)
    torch.testing.assert_close(p.factors(x), factors, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(p.log_prob(x), factors.sum(-1), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(p.mean, torch.cat([head.mean for head in heads], -1))
    torch.testing.assert_close(p.stddev, torch.cat([head.stddev for head in heads], -1))
    assert p.batch_shape == (2, 4)
    assert p.event_shape == (size(family),)


@every
def test_gradients_are_those_of_the_heads(family):
    params, shared = numbers(family)
    params.requires_grad_()
    x = rows(family)
    (together,) = torch.autograd.grad(family(params, (size(family),), shared).log_prob(x).sum(), params)
    heads = [head for head, _ in apart(family, params, shared)]
    total = sum(head.log_prob(part).sum() for head, part in zip(heads, split(family, x)))
    torch.testing.assert_close(together, torch.autograd.grad(total, params)[0], rtol=1e-10, atol=1e-12)


@every
def test_missing_columns_are_integrated_out(family):
    params, shared = numbers(family)
    x = rows(family)
    p = family(params, (size(family),), shared)
    observed = torch.rand(x.shape, generator=torch.Generator().manual_seed(5)) < 0.6
    seen = p.restrict(observed)
    holed = torch.where(observed, x, math.nan)
    if family.calibrated:  # the best scale is that of what is observed
        assert torch.isfinite(seen.log_prob(holed)).all()
        return
    torch.testing.assert_close(seen.factors(holed), p.factors(x) * observed)
    torch.testing.assert_close(seen.log_prob(holed), (p.factors(x) * observed).sum(-1))
    assert (p.restrict(torch.zeros_like(observed)).log_prob(x * math.nan) == 0).all()


@every
def test_draws_follow_the_heads(family):
    torch.manual_seed(0)
    params, shared = numbers(family, (3,))
    p = family(params, (size(family),), shared)
    x = p.sample((8000,))
    assert x.shape == (8000, 3, size(family))
    assert torch.isfinite(x).all()
    slack = torch.tensor([5e-2 if head.support == "lattice" else 0.0 for head in family.columns])
    assert ((x.mean(0) - p.mean).abs() < 5 * x.std(0) / math.sqrt(len(x)) + slack + 1e-9).all()


@every
def test_a_product_prints_as_one_writes_it(family):
    assert read(text(family)) == family
    assert hash(read(text(family))) == hash(family)


def test_masses_sum_to_one():
    family = PRODUCTS["categories"]
    params, _ = numbers(family, (5,))
    every_row = torch.cartesian_prod(*(torch.arange(head.n, dtype=torch.float64) for head in family.heads))
    total = family(params * 4, (3,)).log_prob(every_row[:, None]).exp().sum(0)
    torch.testing.assert_close(total, torch.ones(5, dtype=torch.float64))


def test_shares_of_draws_are_the_probabilities():
    torch.manual_seed(0)
    params, _ = numbers(PRODUCTS["categories"], ())
    p = PRODUCTS["categories"](params, (3,))
    x = p.sample((20_000,))
    for j, head in enumerate(PRODUCTS["categories"].heads):
        values = torch.zeros(head.n, 3, dtype=torch.float64)
        values[:, j] = torch.arange(head.n)
        expected = p.factors(values)[:, j].exp()
        found = torch.bincount(x[:, j].long(), minlength=head.n) / len(x)
        assert ((found - expected).abs() < 5 * (expected * (1 - expected) / len(x)).sqrt()).all()


def test_derivatives_of_categories_are_those_of_finite_differences():
    family, x = PRODUCTS["categories"], rows(PRODUCTS["categories"])
    params = numbers(family)[0].requires_grad_()
    assert torch.autograd.gradcheck(lambda t: family(t, (3,)).log_prob(x), params)
    assert torch.autograd.gradgradcheck(lambda t: family(t, (3,)).log_prob(x), params)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_output_of_a_network_makes_nan(dtype):
    family = PRODUCTS["scattered"]
    extremes = torch.tensor([0.0, 30.0, -30.0, 1e4, -1e4, 1e30, -1e30, math.inf, -math.inf], dtype=dtype)
    choice = torch.randint(9, (300, *family.param_shape((6,))), generator=torch.Generator().manual_seed(0))
    params = extremes[choice].requires_grad_()
    p = family(params, (6,))
    density = p.log_prob(rows(family, (300,)).to(dtype))
    (grad,) = torch.autograd.grad(density.sum(), params)
    for t in (density, grad, p.mean, p.stddev, p.location, p.sample()):
        assert torch.isfinite(t).all()
        assert t.dtype == dtype


def test_single_precision_agrees_with_double():
    family = PRODUCTS["scattered"]
    params, x = numbers(family)[0], rows(family)
    double = family(params, (6,)).log_prob(x)
    torch.testing.assert_close(family(params.float(), (6,)).log_prob(x.float()).double(), double, rtol=3e-5, atol=3e-5)
    assert family(params.bfloat16(), (6,)).log_prob(x.float()).dtype == torch.float32


def test_the_centre_gives_the_marginals():
    """With it alone, categories have their shares, counted with one of each more; so do binary columns."""
    family = Product((Categorical(3), Bernoulli(), Categorical(2)))
    x = torch.tensor([[0.0, 1, 1], [0, 1, 0], [2, 0, 0]])
    p = family(torch.zeros(6), (3,), offset=family.centre(x))
    shares = [[3 / 6, 1 / 6, 2 / 6], [2 / 5, 3 / 5], [3 / 5, 2 / 5]]
    for j, expected in enumerate(shares):
        for i, share in enumerate(expected):
            values = torch.zeros(3)
            values[j] = i
            assert p.factors(values)[j].exp().item() == pytest.approx(share)


def test_optimal_scales_are_those_of_each_head():
    family = PRODUCTS["optimal"]
    params, _ = numbers(family)
    x = rows(family)
    p = family(params, (4,))
    best = family.calibrate(p, x)
    errors = [(x - p.mean)[:, columns] for columns in ([0, 1], [3])]
    torch.testing.assert_close(best, torch.stack([e.square().mean().sqrt().log() for e in errors]))
    torch.testing.assert_close(family(params, (4,), best).log_prob(x).sum(), p.log_prob(x).sum())


def test_the_location_of_categories_is_the_most_probable_one():
    p = Product((Normal("element"), Categorical(3)))(torch.tensor([2.0, 0.0, 0.0, 0.1, 1.0]), (2,))
    assert p.location.tolist() == [2.0, 2.0]


def test_products_mix_as_wholes():
    family = MixtureOf(Product((Normal("element"), Categorical(3))), 2, over="event")
    params = torch.randn(4, *family.param_shape((2,)), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = torch.tensor([[0.3, 1.0]], dtype=torch.float64)
    one, two = (family.family(part, (2,)).log_prob(x) for part in params[:, :10].chunk(2, -1))
    expected = torch.logsumexp(torch.stack([one, two], -1) + params[:, 10:].log_softmax(-1), -1)
    torch.testing.assert_close(family(params, (2,)).log_prob(x), expected)


def test_the_measure_is_told_by_column():
    assert PRODUCTS["scattered"].masses == (False, False, True, False, True, True)
    assert PRODUCTS["scattered"].measure == "lebesgue"
    assert PRODUCTS["categories"].measure == "counting"


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: Product(()), "expects a tuple of heads"),
        (lambda: Product(Normal()), "expects a tuple of heads"),
        (lambda: Product((Normal(), 3)), "columns are independent"),
        (lambda: Product((MultivariateNormal(),)), "columns are independent"),
        (lambda: Product((MixtureOf(Normal(), 2, "event"),)), "columns are independent"),
        (lambda: Product((Product((Normal(),)),)), "columns are independent"),
        (lambda: Product((Normal(), Poisson()), (1,)), "number of columns"),
        (lambda: Product((Normal(),), (0,)), "number of columns"),
        (lambda: Product((Normal(), Normal("optimal"))), "all learned or all optimal"),
        (lambda: Product((Normal("optimal"), Laplace("optimal"))), "all learned or all optimal"),
        (lambda: Product((Normal(), Poisson())).param_shape((3,)), "expects rows of 2 columns"),
    ],
)
def test_what_is_no_product_is_refused_in_one_line(made, message):
    with pytest.raises(InputError, match=message) as caught:
        made()
    assert "\n" not in str(caught.value)
