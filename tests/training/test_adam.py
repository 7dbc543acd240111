import copy

import pytest
import torch
from torch import nn

from latens.training import adam as room
from latens.training.adam import Adam
from latens.training.ema import STRIDE, Average

UPDATES = {"fused": room._fused, "plain": room._plain}


def _network(dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).to(dtype)


def _gradients(network, x):
    network.zero_grad()
    (network(x) - 1).pow(4).sum().backward()
    return [p.grad for p in network.parameters()]


@pytest.mark.parametrize("update", UPDATES.values(), ids=UPDATES)
@pytest.mark.parametrize("clip", [None, 0.5, 1e3])
def test_equals_torch_with_clip_grad_norm(update, clip):
    ours, theirs = _network(), _network()
    mine = Adam(list(ours.parameters()), (0.8, 0.95), 1e-6, 0.1, clip)
    mine._update = update
    reference = torch.optim.AdamW(theirs.parameters(), lr=1.0, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1)
    for step in range(12):
        x = torch.randn(4, 5, dtype=torch.float64)
        rate = 0.01 / (1 + step)
        mine.step([g.clone() for g in _gradients(ours, x)], rate)
        _gradients(theirs, x)
        norm = nn.utils.clip_grad_norm_(theirs.parameters(), clip or 1e30)
        assert clip is None or (norm > clip) == (clip == 0.5)
        reference.param_groups[0]["lr"] = rate
        reference.step()
    for a, b in zip(ours.parameters(), theirs.parameters()):
        torch.testing.assert_close(a, b, rtol=2e-6, atol=2e-7)


@pytest.mark.parametrize("update", UPDATES.values(), ids=UPDATES)
@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_is_as_if_it_had_not_been(update, wrong):
    ours, theirs = _network(), _network()
    mine, reference = (Adam(list(n.parameters()), clip=1.0) for n in (ours, theirs))
    mine._update = reference._update = update
    for step in range(6):
        x = torch.randn(4, 5, dtype=torch.float64)
        mine.step(_gradients(ours, x), 0.01)
        reference.step(_gradients(theirs, x), 0.01)
        if step in (0, 3):
            poisoned = [g.clone() for g in _gradients(ours, x)]
            poisoned[1][2] = wrong
            mine.step(poisoned, 0.01)
    assert mine.skipped(8) == 2
    assert reference.skipped(6) == 0
    for a, b in zip(ours.parameters(), theirs.parameters()):
        assert torch.equal(a, b)


def test_weights_of_two_dtypes():
    wide, narrow = _network(torch.float64), _network(torch.float32)
    mixed = [*wide.parameters(), *narrow.parameters()]
    mine, reference = Adam(mixed), torch.optim.AdamW(copy.deepcopy(mixed), lr=0.01, weight_decay=0.0)
    copies = reference.param_groups[0]["params"]
    for _ in range(3):
        gradients = [torch.randn_like(w) for w in mixed]
        for weight, gradient in zip(copies, gradients):
            weight.grad = gradient.clone()
        mine.step(gradients, 0.01)
        reference.step()
    for a, b in zip(mixed, copies):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_average_equals_the_slow_formula():
    torch.manual_seed(1)
    weight = nn.Parameter(torch.randn(3, dtype=torch.float64))
    average, slow = Average([weight], 0.9), weight.detach().clone()
    for step in range(1, 60):
        weight.data = torch.randn(3, dtype=torch.float64)
        average.update(step)
        if step % STRIDE == 0:
            for _ in range(STRIDE):
                d = min(0.9, (1 + step) / (10 + step))
                slow = d * slow + (1 - d) * weight.detach()
    torch.testing.assert_close(average.averages[0], slow)


def test_average_is_swapped_in_and_out():
    weight = nn.Parameter(torch.tensor([1.0]))
    average = Average([weight], 0.5)
    weight.data.fill_(3.0)
    with average.swapped_in():
        assert weight.item() == 1.0
    assert weight.item() == 3.0
