import math

import pytest
import torch

from latens.training.schedule import Constant, Cosine, Cyclical, Linear, Sigmoid, Steps, at
from latens.utils.errors import InputError

CASES = {
    "constant": (Constant(0.3), [0.3, 0.3, 0.3, 0.3, 0.3]),
    "linear": (Linear(1.0, 3.0), [1.0, 1.5, 2.0, 2.5, 3.0]),
    "linear_until_half": (Linear(0.0, 1.0, until=0.5), [0.0, 0.5, 1.0, 1.0, 1.0]),
    "cosine": (Cosine(2.0, 1.0), [2.0, 1.5 + math.sqrt(0.125), 1.5, 1.5 - math.sqrt(0.125), 1.0]),
    "cosine_warm": (Cosine(1.0, warmup=0.5), [0.0, 0.5, 1.0, 0.5, 0.0]),
    "cyclical": (Cyclical(0.0, 1.0, cycles=2), [0.0, 1.0, 0.0, 1.0, 1.0]),
    "cyclical_slow": (Cyclical(1.0, 0.0, cycles=1, ramp=1.0), [1.0, 0.75, 0.5, 0.25, 0.0]),
    "sigmoid": (Sigmoid(1.0, 3.0, width=0.25), [1 + 2 / (1 + math.exp(u)) for u in (2, 1, 0, -1, -2)]),
    "sigmoid_steep": (Sigmoid(2.0, 0.0, 0.25, 1e-9), [2.0, 1.0, 0.0, 0.0, 0.0]),
    "steps": (Steps((3.0, 2.0, 1.0), (1, 1, 2)), [3.0, 2.0, 1.0, 1.0, 1.0]),
}


@pytest.fixture(params=CASES, name="case")
def _case(request):
    return CASES[request.param]


def test_values_at_quarters(case):
    schedule, expected = case
    assert [schedule(t) for t in (0.0, 0.25, 0.5, 0.75, 1.0)] == pytest.approx(expected, abs=1e-12)


def test_tensor_and_float_agree(case):
    schedule, _ = case
    grid = torch.linspace(0, 1, 97, dtype=torch.float64)
    assert schedule(grid).tolist() == pytest.approx([schedule(float(t)) for t in grid], abs=1e-12)
    assert schedule(grid[3]).shape == ()


def test_repr_is_source(case):
    schedule, _ = case
    names = {type(s).__name__: type(s) for s, _ in CASES.values()}
    assert eval(repr(schedule), names) == schedule


def test_importance_weighted_autoencoder_epochs():
    schedule = Steps(tuple(1e-3 * 10 ** (-i / 7) for i in range(8)), tuple(3**i for i in range(8)))
    rates = [schedule(epoch / 3280) for epoch in range(3280)]
    assert rates == [1e-3 * 10 ** (-i / 7) for i in range(8) for _ in range(3**i)]


def test_number_or_schedule():
    assert at(2.0, 0.3) == 2.0
    assert at(Linear(0.0, 1.0), 0.3) == 0.3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Linear(0.0, 1.0, until=0.0), "until=0.0"),
        (lambda: Cosine(1.0, warmup=1.0), "warmup=1.0"),
        (lambda: Cyclical(0.0, 1.0, cycles=0), "cycles=0"),
        (lambda: Sigmoid(0.0, 1.0, width=0.0), "width=0.0"),
        (lambda: Steps((1.0, 2.0), (1.0,)), "1 lengths for 2 values"),
        (lambda: Steps(()), "at least one value"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(InputError, match=message):
        make()
