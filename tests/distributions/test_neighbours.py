"""Elements that depend on their neighbours: all events enumerated, and the slow formula, element by element."""

import math
from itertools import product

import pytest
import torch

from latens.distributions import (
    AutoregressiveOf,
    Bernoulli,
    Beta,
    Categorical,
    DiscretizedLogistic,
    MixtureOf,
    Multinomial,
    NegativeBinomial,
    Normal,
    Poisson,
    Product,
    Strings,
)
from latens.models import Conditional
from latens.nn import MLP, Site
from latens.utils import InputError

COUNTABLE = {
    "image": (Bernoulli(), (1, 3, 3), 2),
    "two channels": (Bernoulli(), (2, 2, 2), 2),
    "signal": (Bernoulli(), (1, 8), 2),
    "two signals": (Bernoulli(), (2, 4), 2),
    "classes": (Categorical(3), (1, 2, 2), 3),
}
SLOW = {
    "bits": (Bernoulli(), (1, 4, 5), 1),
    "wide reach": (Bernoulli(), (1, 4, 3), 3),
    "colours": (MixtureOf(DiscretizedLogistic(16), 2), (3, 2, 3), 1),
    "shared spread": (Normal(), (2, 3, 3), 1),
    "shared by element": (NegativeBinomial(), (2, 3, 2), 1),
    "mixed shared by element": (MixtureOf(NegativeBinomial(), 2), (2, 3, 2), 1),
    "signals": (Normal("element"), (2, 7), 2),
    "steps as many as components": (MixtureOf(Normal(), 7), (2, 7), 2),
    "counts": (Poisson(), (1, 6), 2),
    "in the unit interval": (Beta(), (1, 3, 3), 1),
}
countable = pytest.mark.parametrize(("family", "event", "n"), COUNTABLE.values(), ids=COUNTABLE)
slow = pytest.mark.parametrize(("family", "event", "reach"), SLOW.values(), ids=SLOW)


def numbers(family, event, batch=(), seed=0):
    """Parameters, shared parameters of which none is 0, and an offset, if the family knows one."""
    g = torch.Generator().manual_seed(seed)
    params = torch.randn(*batch, *family.param_shape(event), generator=g, dtype=torch.float64)
    shared = 0.7 * torch.randn(family.shared_shape(event), generator=g, dtype=torch.float64)
    return params, shared, family.centre(points(family, (20, *event), seed=7))


def points(family, shape, seed=1):
    g = torch.Generator().manual_seed(seed)
    if family.support == "real":
        return torch.randn(shape, generator=g, dtype=torch.float64)
    if family.support == "lattice":
        return torch.randint(16, shape, generator=g).double() / 7.5 - 1
    if "unit" in family.support:
        return torch.rand(shape, generator=g, dtype=torch.float64)
    high = {"binary": 2, "classes": 3, "counts": 6}[family.support]
    return torch.randint(high, shape, generator=g).double()


def every_event(event, n):
    return torch.tensor(list(product(range(n), repeat=math.prod(event))), dtype=torch.float64).reshape(-1, 1, *event)


def conditionals(outer, event, params, shared, offset, x):
    """p(x_i | those before it, z) of every element of one event, written out: ``(index, distribution)`` in order."""
    family, reach, width = outer.family, outer.reach, outer.width
    channels, *places = event
    total = params.shape[0]
    arity, side = total // channels, 2 * reach + 1
    sizes = [channels * width * (channels + total) * side ** len(places), channels * width]
    sizes += [channels * width * width, channels * width, total * width]
    near, bias, hidden, hidden_bias, out, own = shared.split([*sizes, len(shared) - sum(sizes)])
    near = near.reshape(channels, width, channels + total, *[side] * len(places))
    hidden, out = hidden.reshape(channels, width, width), out.reshape(channels, arity, width)
    bias, hidden_bias = bias.reshape(channels, width), hidden_bias.reshape(channels, width)
    logs = family.support in ("counts", "classes")
    form = family.shared_shape(event)
    for place in product(*map(range, places)):
        for c in range(channels):
            h = bias[c].clone()
            for step in product(range(-reach, reach + 1), repeat=len(places)):
                at = tuple(i + s for i, s in zip(place, step))
                if not all(0 <= i < n for i, n in zip(at, places)):
                    continue
                tap = (..., *(s + reach for s in step))
                for d in range(channels):
                    if at < place or (at == place and d < c):
                        value = x[(d, *at)]
                        h = h + near[c][tap][:, d] * (torch.log1p(value) if logs else value)
                h = h + near[c][tap][:, channels:] @ torch.tanh(0.5 * params[(..., *at)])
            h = torch.nn.functional.silu(h)
            h = torch.nn.functional.silu(hidden[c] @ h + hidden_bias[c])
            told = params.clone()
            rows = [a * channels + c for a in range(arity)]
            told[(rows, *place)] += out[c] @ h
            whole = family(told, event, own.reshape(form) if form is not None else None, offset)
            yield (c, *place), whole


@countable
@torch.no_grad()
def test_all_events_together_have_probability_one(family, event, n):
    outer = AutoregressiveOf(family, 1, 6)
    params, shared, offset = numbers(outer, event, (3,))
    mass = outer(params, event, shared, offset).log_prob(every_event(event, n)).exp()
    torch.testing.assert_close(mass.sum(0), torch.ones(3, dtype=torch.float64))
    plain = family(params, event, None, offset).log_prob(every_event(event, n)).exp()
    assert (mass - plain).abs().sum(0).min() > 0.1  # the neighbours matter


@countable
@torch.no_grad()
def test_draws_follow_their_probabilities(family, event, n):
    torch.manual_seed(0)
    outer = AutoregressiveOf(family, 1, 6)
    params, shared, offset = numbers(outer, event, (2,))
    p, draws = outer(params, event, shared, offset), 20_000
    x = p.sample((draws,))
    assert x.shape == (draws, 2, *event)
    powers = n ** torch.arange(math.prod(event) - 1, -1, -1)
    index = (x.flatten(2).long() * powers).sum(-1)
    mass = p.log_prob(every_event(event, n)).exp()
    for b in range(2):
        share = torch.bincount(index[:, b], minlength=n ** math.prod(event)) / draws
        error = (mass[:, b] * (1 - mass[:, b]) / draws).sqrt()
        assert ((share - mass[:, b]).abs() < 5 * error + 2.0 / draws).all()
        assert ((share - mass[:, b]).abs().sum() < 1.5 * math.sqrt(2 / math.pi) * error.sum()).all()


@slow
@torch.no_grad()
def test_the_density_is_that_of_the_slow_formula(family, event, reach):
    outer = AutoregressiveOf(family, reach, 4)
    params, shared, offset = numbers(outer, event, (3,))
    x = points(family, (3, *event))
    found = outer(params, event, shared, offset).log_prob(x)
    for b in range(3):
        told = conditionals(outer, event, params[b], shared, offset, x[b])
        exact = sum(p.factors(x[b])[index] for index, p in told)
        torch.testing.assert_close(found[b], exact, rtol=1e-10, atol=1e-10)


@slow
@torch.no_grad()
def test_the_location_goes_on_from_itself(family, event, reach):
    """Each element is the mean given those before it, which were taken at their means, or at the nearest whole."""
    outer = AutoregressiveOf(family, reach, 4)
    params, shared, offset = numbers(outer, event)
    found = outer(params, event, shared, offset).location
    seen = found.round() if family.support in ("binary", "counts") else found
    for index, p in conditionals(outer, event, params, shared, offset, seen):
        torch.testing.assert_close(found[index], p.mean[index], rtol=1e-8, atol=1e-8)


@slow
def test_draws_have_the_conditional_moments(family, event, reach):
    """z-scores of each element given those that were drawn before it have mean 0 and, of reals, variance 1."""
    torch.manual_seed(1)
    outer, n = AutoregressiveOf(family, reach, 3), 8 if family.support == "lattice" else 20
    params, shared, offset = numbers(outer, event)
    x = outer(params, event, shared, offset).sample((n,))
    scores = []
    for row in x:
        for index, p in conditionals(outer, event, params, shared, offset, row):
            mean, stddev = p.mean[index], p.stddev[index]
            if family.support == "lattice":  # the moments above are those of the clipped logistic
                atoms = torch.linspace(-1, 1, 16, dtype=torch.float64)
                mass = torch.stack([p.factors(torch.full_like(row, a))[index].exp() for a in atoms])
                mean = (mass * atoms).sum()
                stddev = (mass * (atoms - mean).square()).sum().sqrt()
            scores.append((row[index] - mean) / stddev)
    scores = torch.stack(scores).detach()
    assert scores.mean().abs() < 5 / math.sqrt(len(scores))
    error = scores.square().std() / math.sqrt(len(scores))
    assert (scores.square().mean() - 1).abs() < 5 * error


def test_a_density_of_two_pixels_integrates_to_one():
    outer, event = AutoregressiveOf(Normal("element"), 1, 8), (1, 1, 2)
    params, shared, offset = numbers(outer, event)
    side = torch.linspace(-15, 15, 401, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side).reshape(-1, *event)
    mass = outer(params, event, 0.4 * shared, offset).log_prob(grid).exp().sum() * (side[1] - side[0]) ** 2
    torch.testing.assert_close(mass, torch.ones((), dtype=torch.float64), rtol=1e-6, atol=0)


@slow
def test_untrained_it_is_the_family_itself(family, event, reach):
    torch.manual_seed(0)
    outer, x = AutoregressiveOf(family, reach), points(family, (6, *event))
    params, _, offset = numbers(outer, event, (6,))
    for shared, own in (
        (outer.shared_start(event, x), family.common(x)),
        (outer.shared_start(event), family.shared_start(event)),
    ):
        assert shared.shape == outer.shared_shape(event)
        own = family.shared_start(event) if own is None else own
        torch.testing.assert_close(
            outer(params, event, shared.double(), offset).log_prob(x),
            family(params, event, None if own is None else own.double(), offset).log_prob(x),
        )


def test_untrained_it_can_learn():
    """The last map is 0, and so has a gradient; the others have one after a step."""
    outer, event = AutoregressiveOf(Bernoulli()), (1, 5, 5)
    torch.manual_seed(0)
    params, x = torch.randn(4, *event), points(Bernoulli(), (4, *event)).float()
    shared = Conditional(outer, MLP(())).build(Site(event, (2,))).shared
    before = shared.detach().clone()
    optimiser = torch.optim.SGD([shared], 0.1)
    for _ in range(2):
        optimiser.zero_grad()
        outer(params, event, shared).log_prob(x).mean().neg().backward()
        optimiser.step()
    assert ((shared != before).float().mean() > 0.5).item()


@slow
def test_gradients_are_those_of_differences(family, event, reach):
    outer = AutoregressiveOf(family, reach, 2)
    params, shared, offset = numbers(outer, event, (2,))
    x = points(family, (2, *event))
    free = [params.requires_grad_(), shared.requires_grad_()]
    g = torch.Generator().manual_seed(2)
    directions = [torch.randn(t.shape, generator=g, dtype=torch.float64) for t in free]
    grads = torch.autograd.grad(outer(params, event, shared, offset).log_prob(x).sum(), free)
    with torch.no_grad():
        h = 1e-5
        up, down = (
            outer(params + s * h * directions[0], event, shared + s * h * directions[1], offset).log_prob(x).sum()
            for s in (1, -1)
        )
    exact = sum((grad * direction).sum() for grad, direction in zip(grads, directions))
    torch.testing.assert_close(exact, (up - down) / (2 * h), rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("family", [Bernoulli(), Normal("element")], ids=str)
def test_gradients_have_gradients(family):
    """As a posterior that follows the slope of log p(x | z) needs."""
    outer, event = AutoregressiveOf(family, 1, 2), (1, 2, 2)
    params, shared, _ = numbers(outer, event)
    x, free = points(family, event), (params.requires_grad_(), shared.requires_grad_())
    assert torch.autograd.gradgradcheck(lambda *w: outer(w[0], event, w[1]).log_prob(x), free)


@slow
@torch.no_grad()
def test_each_draw_of_z_and_each_row_is_scored_by_itself(family, event, reach):
    outer = AutoregressiveOf(family, reach, 4)
    params, shared, offset = numbers(outer, event, (2, 3))
    x = points(family, (3, *event))
    both = outer(params, event, shared, offset).log_prob(x)
    assert both.shape == (2, 3)
    for k, b in product(range(2), range(3)):
        one = outer(params[k, b], event, shared, offset).log_prob(x[b])
        torch.testing.assert_close(both[k, b], one, rtol=1e-10, atol=1e-10)
    many = points(family, (4, 1, 3, *event))
    each = torch.stack([outer(params, event, shared, offset).log_prob(m) for m in many])
    torch.testing.assert_close(outer(params, event, shared, offset).log_prob(many), each, rtol=1e-10, atol=1e-10)


@slow
@torch.no_grad()
def test_single_and_half_precision(family, event, reach):
    outer = AutoregressiveOf(family, reach, 4)
    params, shared, offset = numbers(outer, event, (3,))
    x = points(family, (3, *event))
    exact = outer(params, event, shared, offset).log_prob(x)
    lower = [None if t is None else t.float() for t in (params, shared, offset)]
    single = outer(lower[0], event, *lower[1:])
    assert single.sample((2,)).dtype == single.location.dtype == torch.float32
    torch.testing.assert_close(single.log_prob(x.float()).double(), exact, rtol=1e-4, atol=1e-4)
    half = outer(lower[0].bfloat16(), event, *lower[1:])
    assert half.log_prob(x.float()).dtype == half.sample().dtype == torch.float32
    torch.testing.assert_close(half.log_prob(x.float()).double(), exact, rtol=0.2, atol=2.0)
    for extreme in (math.inf, -math.inf, 1e30):
        assert outer(torch.full_like(lower[0], extreme), event, *lower[1:]).log_prob(x.float()).isfinite().all()


def test_what_is_built_without_gradients_can_be_learned_afterwards():
    outer, event = AutoregressiveOf(Bernoulli(), 4, 3), (1, 2, 9)
    params, shared, _ = numbers(outer, event)
    x = points(Bernoulli(), event)
    with torch.inference_mode():
        outer(params, event, shared).log_prob(x)
    outer(params, event, shared.requires_grad_()).log_prob(x).backward()
    assert shared.grad.abs().sum() > 0


REFUSED = {
    "a scale that follows the batch": (lambda: AutoregressiveOf(Normal("optimal")), r"got Normal\('optimal'\)"),
    "a mixture of whole events": (lambda: AutoregressiveOf(MixtureOf(Bernoulli(), 2, "event")), "independent"),
    "a given total": (lambda: AutoregressiveOf(Multinomial()), "got Multinomial"),
    "columns": (lambda: AutoregressiveOf(Product((Normal(), Bernoulli()))), "got Product"),
    "strings": (lambda: AutoregressiveOf(Strings(4)), "got Strings"),
    "itself": (lambda: AutoregressiveOf(AutoregressiveOf(Bernoulli())), "independent"),
    "a name": (lambda: AutoregressiveOf("Bernoulli()"), "got 'Bernoulli"),
    "no reach": (lambda: AutoregressiveOf(Bernoulli(), 0), "reach"),
    "no width": (lambda: AutoregressiveOf(Bernoulli(), 2, 0), "width"),
    "a mixture of it": (lambda: MixtureOf(AutoregressiveOf(Bernoulli()), 2, "event"), "elements are independent"),
    "columns of it": (lambda: Product((AutoregressiveOf(Bernoulli()), Normal())), "columns are independent"),
    "a vector": (lambda: AutoregressiveOf(Bernoulli()).shared_shape((9,)), r"Use Bernoulli\(\)"),
    "no family": (lambda: AutoregressiveOf().param_shape((1, 2, 2)), "expects a family"),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_some_elements_alone_have_no_density():
    outer, event = AutoregressiveOf(Bernoulli()), (1, 2, 2)
    p = outer(torch.zeros(event), event, outer.shared_start(event))
    with pytest.raises(InputError, match=r"missing entries use Bernoulli\(\)"):
        p.restrict(torch.ones(event, dtype=torch.bool))
    for what in (lambda: p.factors(torch.zeros(event)), lambda: p.mean, lambda: p.stddev):
        with pytest.raises(NotImplementedError):
            what()


def test_it_prints_as_it_is_written():
    assert str(AutoregressiveOf(Bernoulli(), 2)) == "AutoregressiveOf(Bernoulli(), 2)"
    assert str(AutoregressiveOf(width=8)) == "AutoregressiveOf(width=8)"
