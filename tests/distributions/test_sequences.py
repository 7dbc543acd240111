"""Strings: all of them, enumerated; and a causal network read all at once and step by step."""

from itertools import product

import numpy as np
import pytest
import torch

from latens.distributions import CausalSymbols, IndependentSymbols, MixtureOf, Strings
from latens.models import Conditional
from latens.nn import GRU, Site, Transformer
from latens.nn.sequences import FREQUENT, Output
from latens.utils import InputError

SYMBOLS, LENGTH = 4, 3
NETWORKS = {"gru": GRU(8, 5, 0.3), "transformer": Transformer(8, 2, 2, 0.3)}


def every_string():
    """All rows that are strings: symbols, then zeros."""
    rows = [row for row in product(range(SYMBOLS), repeat=LENGTH) if not np.any(np.diff(np.equal(row, 0)) < 0)]
    kept = [row for row in rows if all(row[i] != 0 or row[i + 1] == 0 for i in range(LENGTH - 1))]
    return torch.tensor(sorted(set(kept)), dtype=torch.float32)


def built(spec, length=LENGTH, symbols=SYMBOLS):
    torch.manual_seed(3)
    module = Conditional(Strings(symbols), spec).build(Site((length,), (2,))).eval()
    with torch.no_grad():
        for weight in module.parameters():
            weight.mul_(2.0)
    return module


def independent():
    torch.manual_seed(0)
    return Strings(SYMBOLS)(torch.randn(5, SYMBOLS * LENGTH), (LENGTH,))


KINDS = {
    "independent": independent,
    **{name: lambda spec=spec: built(spec)(torch.randn(5, 2)) for name, spec in NETWORKS.items()},
}
every = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
networks = pytest.mark.parametrize("spec", NETWORKS.values(), ids=NETWORKS)


@every
@torch.no_grad()
def test_all_strings_together_have_probability_one(make):
    rows = every_string()
    assert len(rows) == sum(3**n for n in range(LENGTH + 1))
    p = make()
    mass = p.log_prob(rows[:, None]).exp()
    assert p.batch_shape == (5,)
    assert p.event_shape == (LENGTH,)
    torch.testing.assert_close(mass.sum(0), torch.ones(5))
    assert mass.std() > 0.01


def test_a_mixture_of_strings_has_probability_one_too():
    family = MixtureOf(Strings(SYMBOLS), 2, "event")
    torch.manual_seed(0)
    p = family(torch.randn(5, *family.param_shape((LENGTH,))), (LENGTH,))
    mass = p.log_prob(every_string()[:, None]).exp()
    torch.testing.assert_close(mass.sum(0), torch.ones(5))
    assert mass.std() > 0.01


@every
@torch.no_grad()
def test_what_stands_after_the_end_counts_nothing(make):
    p = make()
    rows = torch.tensor([[2.0, 0.0, 0.0], [2.0, 0.0, 3.0]])[:, None]
    factors = p.factors(rows)
    assert (factors[:, :, 2] == 0).all()
    torch.testing.assert_close(p.log_prob(rows)[0], p.log_prob(rows)[1])
    torch.testing.assert_close(factors.sum(-1), p.log_prob(rows))


@every
@torch.no_grad()
def test_draws_follow_their_probabilities(make):
    torch.manual_seed(1)
    p, rows = make(), every_string()
    draws = p.sample((4000,))
    found = (draws[:, :, None] == rows).all(-1)
    assert found.any(-1).all()  # zeros alone stand after the end
    share, mass = found.float().mean(0), p.log_prob(rows[:, None]).exp().T
    often = mass > 0.002
    z = (share - mass) / (mass * (1 - mass) / len(draws)).sqrt()
    assert often.sum() > 40
    assert z[often].abs().max() < 4.5


@every
@torch.no_grad()
def test_the_string_that_stands_for_all_is_found_greedily(make):
    p = make()
    found = p.location
    for b in range(5):
        row = torch.zeros(LENGTH)
        for t in range(LENGTH):
            trials = row.repeat(SYMBOLS, 1)
            trials[:, t] = torch.arange(SYMBOLS)
            row = trials[p.factors(trials[:, None].expand(-1, 5, -1))[:, b, t].argmax()]
            if row[t] == 0:
                break
        assert torch.equal(found[b], row)


@networks
def test_a_symbol_is_told_by_what_stands_before_it_and_by_the_code_alone(spec):
    module = built(spec, 9)
    x = torch.randint(1, SYMBOLS, (1, 9)).float()
    c = torch.randn(1, 2, requires_grad=True)
    factors = module(c).factors(x)
    for t in range(9):
        later = x.clone()
        later[:, t] = 1 + later[:, t] % (SYMBOLS - 1)
        moved = (module(c).factors(later) != factors)[0]
        assert not moved[:t].any()
        assert moved[t:].all()
    (slope,) = torch.autograd.grad(factors.sum(), c)
    assert (slope != 0).all()


@networks
@torch.no_grad()
def test_step_by_step_is_all_at_once(spec):
    module = built(spec, 9).double()
    c, x = torch.randn(3, 2).double(), torch.randint(1, SYMBOLS, (3, 9))
    past, before, found = module.network.start(c), torch.zeros(3, dtype=torch.long), []
    for t in range(9):
        h, past = module.network.step(before, past)
        before = x[:, t]
        found.append(module.network.output(h).gather(1, before[:, None]).squeeze(1))
    torch.testing.assert_close(torch.stack(found, 1), module(c).factors(x.double()))


@networks
def test_training_computes_what_scoring_does(spec):
    module = built(spec, 20)
    c, x = torch.randn(4, 2), torch.randint(1, SYMBOLS, (4, 20)).float()
    x[0, 3:], x[1, 0:] = 0, 0
    with_gradient = module(c).log_prob(x)
    with torch.no_grad():
        without = module(c).log_prob(x)
    torch.testing.assert_close(with_gradient, without)
    x[:, 12:] = 0
    with torch.no_grad():  # rows cut short are the same rows
        torch.testing.assert_close(module(c).log_prob(x)[:2], module(c[:2]).log_prob(x[:2]))


@networks
def test_words_are_left_out_in_training_alone_and_never_the_start(spec):
    module = built(spec, 9)
    c, x = torch.zeros(64, 2), torch.ones(64, 9)
    assert module(c).factors(x).std(0).max() < 1e-6
    module.train()
    spread = module(c).factors(x).std(0)
    assert spread[0] < 1e-6
    assert (spread[1:] > 1e-3).all()


def test_many_symbols_are_told_in_two_steps_exactly():
    torch.manual_seed(0)
    output = Output(16, 4500)
    assert output.adaptive
    h, x = torch.randn(600, 16), torch.randint(0, 4500, (600,))
    x[:300] = torch.randint(0, FREQUENT, (300,))
    table = output(h)
    torch.testing.assert_close(table.exp().sum(-1), torch.ones(600))
    expected = table.gather(1, x[:, None]).squeeze(1)
    torch.testing.assert_close(output.of(h, x), expected)
    with torch.autocast("cpu", torch.bfloat16):  # as training runs where processors have bf16
        told = output.of(h, x)
    assert told.dtype == torch.float32
    torch.testing.assert_close(told, expected, atol=0.1, rtol=0.0)
    with torch.no_grad():
        torch.testing.assert_close(output.of_any(h, x), expected)
        order = torch.randperm(600)
        assert torch.equal(output.of_any(h[order], x[order]), output.of_any(h, x)[order])


@pytest.mark.parametrize("symbols", [5, 4500])
@torch.no_grad()
def test_a_decoder_begins_at_the_frequencies_of_its_data(symbols):
    events = torch.zeros(200, 6)
    events[:, :2] = torch.tensor([1.0, 2.0])
    module = Conditional(Strings(symbols), GRU(4, 3)).build(Site((6,), events=events)).eval()
    for weight in [w for name, w in module.named_parameters() if "bias" not in name]:
        weight.zero_()
    p = module().log_prob(torch.tensor([1.0, 2.0, 0.0, 0.0, 0.0, 0.0])).exp()
    share = 201 / (600 + symbols)
    assert p.item() == pytest.approx(share**3, rel=1e-3)


def test_strings_of_one_symbol_are_refused():
    with pytest.raises(InputError, match="at least 2"):
        Strings(1)


def test_the_classes_are_what_the_family_and_networks_give():
    assert isinstance(independent(), IndependentSymbols)
    assert isinstance(built(GRU(4, 3))(torch.zeros(1, 2)), CausalSymbols)
