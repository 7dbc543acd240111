import math

import numpy as np
import pytest
import torch
from torch import nn

from latens.training import (
    EpochEnd,
    Linear,
    Recipe,
    Recovered,
    ResidentBatches,
    Started,
    Stopped,
    TrainingError,
    loop,
    minimise,
)
from latens.training.batches import order
from latens.training.events import Tick
from latens.training.state import State
from latens.utils.errors import InputError

X = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
Y = X @ torch.tensor([[1.0], [-2.0], [0.5]]) + 0.3


def network(seed=0):
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    for p in net.parameters():
        p.data = 0.4 * torch.randn(p.shape, generator=generator)
    return net


def squared_error(net):
    def loss(batch, progress):
        error = (net(batch[0]) - batch[1]).square()
        return {"loss": error.mean(), "per_output": error.mean(0)}

    return loss


def noisy(net):
    def loss(batch, progress):
        x = batch[0] + 0.3 * torch.randn_like(batch[0])
        return {"loss": (net(x) - batch[1]).square().mean()}

    return loss


def weights(net):
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


def fit(net, loss, *args, rows=64, **kwargs):
    recipe = Recipe(*args, **{"precision": "float32", **kwargs.pop("recipe", {})})
    return minimise(net, loss(net), ResidentBatches(X[:rows], Y[:rows]), recipe, **kwargs)


def test_equals_the_loop_written_by_hand():
    ours, theirs = network(), network()
    rate = Linear(0.02, 0.0)
    history = minimise(
        ours,
        squared_error(ours),
        ResidentBatches(X, Y),
        Recipe(4, 16, rate, weight_decay=0.05, clip=0.7, precision="float32", seed=5),
    )
    optimiser = torch.optim.AdamW(theirs.parameters(), weight_decay=0.05)
    losses = []
    for epoch in range(4):
        for step, rows in enumerate(order(64, 16, 5, epoch, 0, 0, 1)):
            optimiser.zero_grad()
            loss = (theirs(X[rows]) - Y[rows]).square().mean()
            loss.backward()
            nn.utils.clip_grad_norm_(theirs.parameters(), 0.7)
            optimiser.param_groups[0]["lr"] = 0.02 * (1 - (epoch * 4 + step) / 16)
            optimiser.step()
            losses.append(loss.item())
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose([row["loss"] for row in history.rows], np.reshape(losses, (4, 4)).mean(1), rtol=1e-5)
    np.testing.assert_allclose([row["per_output"][0] for row in history.rows], [r["loss"] for r in history.rows])
    assert [row["step"] for row in history.rows] == [4, 8, 12, 16]
    assert history.stopped == "epochs"


def test_same_seed_same_bits_and_the_host_s_generator_is_left_alone():
    def run(seed):
        net = network()
        before = torch.get_rng_state()
        history = fit(net, noisy, 3, 16, recipe={"seed": seed, "ema": 0.9})
        assert torch.equal(torch.get_rng_state(), before)
        return weights(net), [row["loss"] for row in history.rows]

    torch.manual_seed(1)
    first, losses = run(7)
    torch.manual_seed(2)
    again, again_losses = run(7)
    other, _ = run(8)
    assert torch.equal(first, again)
    assert losses == again_losses
    assert not torch.equal(first, other)


def test_the_best_epoch_is_kept_and_patience_stops():
    net = nn.Linear(1, 1, bias=False)
    net.weight.data.zero_()
    target = torch.full((8, 1), 3.5)

    def climb(batch, progress):
        return {"loss": -net.weight.sum()}

    def distance(batch, progress):
        return {"loss": (net.weight - batch[0][0]).abs().sum()}

    held = ResidentBatches(target)
    recipe = Recipe(50, 8, 1.0, patience=3, precision="float32")
    history = minimise(net, climb, ResidentBatches(target), recipe, held_out=held, held_out_loss=distance)
    # Adam climbs by its learning rate, 1 a step: the weight is 3 after epoch 3, 4 after epoch 4; both are 0.5 away.
    np.testing.assert_allclose(
        [row["held_out_loss"] for row in history.rows], [2.5, 1.5, 0.5, 0.5, 1.5, 2.5], atol=1e-4
    )
    assert history.stopped == "patience"
    assert history.best_epoch in (3, 4)
    assert net.weight.item() == pytest.approx(history.best_epoch, abs=1e-4)


def test_held_out_loss_is_that_of_the_averaged_weights_in_evaluation_mode():
    net = nn.Sequential(network(), nn.Dropout(0.5))
    history = fit(net, squared_error, 3, 16, recipe={"ema": 0.8}, held_out=ResidentBatches(X[:20], Y[:20]))
    final = (net(X[:20]) - Y[:20]).square().mean().item()
    assert not net.training
    assert min(row["held_out_loss"] for row in history.rows) == pytest.approx(final, rel=1e-5)
    assert history.rows[history.best_epoch - 1]["held_out_loss"] == pytest.approx(final, rel=1e-5)


def test_without_held_out_rows_the_average_is_what_remains():
    live, averaged = network(), network()
    fit(live, squared_error, 4, 16)
    fit(averaged, squared_error, 4, 16, recipe={"ema": 0.5})
    assert not torch.equal(weights(live), weights(averaged))


def test_evaluations_do_not_change_what_is_learned():
    plain, watched = network(), network()
    fit(plain, noisy, 2, 16)
    history = fit(watched, noisy, 2, 16, held_out=ResidentBatches(X, Y))
    assert history.best_epoch == 2
    assert torch.equal(weights(plain), weights(watched))


def test_evaluate_every():
    history = fit(network(), squared_error, 5, 16, recipe={"evaluate_every": 2}, held_out=ResidentBatches(X, Y))
    assert [row["epoch"] for row in history.rows if "held_out_loss" in row] == [2, 4, 5]


def _failing(net, at, value=math.nan, times=1):
    """squared error, not a number at given calls"""
    calls = {"n": 0}

    def loss(batch, progress):
        calls["n"] += 1
        wrong = at < calls["n"] <= at + times
        error = (net(batch[0]) - batch[1]).square().mean()
        return {"loss": error * (value if wrong else 1.0), "distortion": error + (value if wrong else 0.0)}

    return loss


def slower_from_the_third_epoch():
    """the weights after two epochs, and two more with half the learning rate, by torch's own optimiser"""
    net = network()
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=0.0)
    for epoch in range(4):
        optimiser.param_groups[0]["lr"] = 0.01 if epoch < 2 else 0.005
        for rows in order(64, 16, 0, epoch, 0, 0, 1):
            optimiser.zero_grad()
            (net(X[rows]) - Y[rows]).square().mean().backward()
            optimiser.step()
    return weights(net)


def test_a_loss_that_is_not_finite_is_named_and_rolled_back():
    ours, told = network(), []
    recipe = Recipe(4, 16, 0.01, precision="float32")
    data = ResidentBatches(X, Y)
    history = minimise(ours, _failing(ours, at=9), data, recipe, listener=told.append)
    (event,) = [e for e in told if isinstance(e, Recovered)]
    assert (event.name, event.epoch, event.step, event.learning_rate_factor) == ("distortion", 3, 2, 0.5)
    assert history.recoveries == 1
    assert [row["learning_rate"] for row in history.rows] == [0.01, 0.01, 0.005, 0.005]
    torch.testing.assert_close(weights(ours), slower_from_the_third_epoch(), rtol=1e-5, atol=1e-6)


def test_after_three_recoveries_the_last_good_weights_remain():
    ours, reference, told = network(), network(), []
    data = ResidentBatches(X, Y)
    with pytest.raises(TrainingError, match=r"distortion was inf in epoch 3, step 1, after 3 recoveries.*0\.00125"):
        minimise(
            ours,
            _failing(ours, 9, math.inf, times=1000),
            data,
            Recipe(4, 16, 0.01, precision="float32"),
            listener=told.append,
        )
    # the failure comes again at once after each of the three returns to the end of epoch 2
    assert [e.recoveries for e in told if isinstance(e, Recovered)] == [1, 2, 3]
    minimise(reference, squared_error(reference), data, Recipe(2, 16, 0.01, precision="float32"))
    assert torch.equal(weights(ours), weights(reference))


def test_a_gradient_that_is_not_finite_is_skipped_and_counted():
    net, calls = network(), {"n": 0}

    def loss(batch, progress):
        calls["n"] += 1
        error = (net(batch[0]) - batch[1]).square().mean()
        zero = net[0].weight.sum() * 0
        return {"loss": error + zero.abs().sqrt() if calls["n"] in (3, 6) else error}

    history = minimise(net, loss, ResidentBatches(X, Y), Recipe(4, 16, 0.01, precision="float32"))
    assert history.skipped == 2
    assert history.recoveries == 0
    assert history.rows[-1]["loss"] < history.rows[0]["loss"]


def test_gradients_that_are_never_finite_stop_training():
    net = network()

    def loss(batch, progress):
        zero = net(batch[0]).sum() * 0
        return {"loss": zero.abs().sqrt()}

    with pytest.raises(TrainingError, match="the gradient was nan"):
        minimise(net, loss, ResidentBatches(X, Y), Recipe(30, 16, precision="float32"))


def _bursting(net, at):
    """squared error, of weights that are a million times as large from one call on"""
    calls = {"n": 0}

    def loss(batch, progress):
        calls["n"] += 1
        if calls["n"] == at:
            with torch.no_grad():
                net[2].weight.mul_(1e6)
        return {"loss": (net(batch[0]) - batch[1]).square().mean()}

    return loss


def test_a_network_that_bursts_is_taken_back_though_its_loss_is_finite():
    burst, told = network(), []
    recipe = Recipe(4, 16, 0.01, precision="float32")
    minimise(burst, _bursting(burst, 10), ResidentBatches(X, Y), recipe, listener=told.append)
    (event,) = [e for e in told if isinstance(e, Recovered)]
    assert (event.name, event.epoch, event.step, event.recoveries) == ("loss", 3, 4, 1)
    assert event.value > 1e6
    torch.testing.assert_close(weights(burst), slower_from_the_third_epoch(), rtol=1e-5, atol=1e-6)


def test_a_loss_that_grows_as_a_weight_warms_up_is_let_pass():
    net = network()

    def loss(batch, progress):
        return {"loss": (net(batch[0]) - batch[1]).square().mean() * (1 + 500 * progress) - 50}

    assert minimise(net, loss, ResidentBatches(X, Y), Recipe(8, 16, 1e-4, precision="float32")).recoveries == 0


def states_kept(monkeypatch, troubled):
    """After which steps a state is kept, where each may be: ``troubled(error, net, step)`` is the loss of each."""
    monkeypatch.setattr(loop, "CHECK_STEPS", 1)
    monkeypatch.setattr(loop, "SNAPSHOT_STEPS", 1)
    net, calls, taken = network(), {"n": 0}, []
    snapshot = State.take_snapshot
    monkeypatch.setattr(State, "take_snapshot", lambda state: (taken.append(calls["n"]), snapshot(state)))

    def loss(batch, progress):
        calls["n"] += 1
        return {"loss": troubled((net(batch[0]) - batch[1]).square().mean(), net, calls["n"])}

    history = minimise(net, loss, ResidentBatches(X, Y), Recipe(2, 8, 0.01, precision="float32"))
    assert history.recoveries == 0
    return taken


def test_a_state_whose_gradients_overflow_is_none_to_go_back_to(monkeypatch):
    def troubled(error, net, step):
        return error + (net[0].weight.sum() * 0).abs().sqrt() if step in (3, 4) else error

    assert states_kept(monkeypatch, troubled) == [n for n in range(17) if n not in (3, 4)]


def test_a_state_whose_loss_has_grown_is_none_to_go_back_to(monkeypatch):
    """A burst takes steps: its first ones, far below what counts as one, are no place to start again from."""

    def troubled(error, net, step):
        return error * (100.0 if step in (3, 4, 13) else 1.0)

    assert states_kept(monkeypatch, troubled) == [n for n in range(17) if n not in (3, 4, 13)]


def test_events(monkeypatch):
    monkeypatch.setattr(loop, "TICK_SECONDS", 0.0)
    told = []
    fit(network(), squared_error, 2, 16, listener=told.append, held_out=ResidentBatches(X, Y))
    assert told[0] == Started(2, 4, 64, "float32")
    assert told[-1] == Stopped("epochs", 2, 2)
    ticks = [e for e in told if isinstance(e, Tick)]
    assert [t.fraction for t in ticks] == [i / 8 for i in range(1, 9)]
    ends = [e for e in told if isinstance(e, EpochEnd)]
    assert [e.fraction for e in ends] == [0.5, 1.0]
    assert ends[-1].seconds_left == 0
    assert ticks[3].means["loss"] == ends[0].row["loss"]


def test_bf16_comes_close_and_float32_is_what_is_evaluated():
    exact, fast = network(), network()
    held = ResidentBatches(X, Y)
    a = fit(exact, squared_error, 10, 16, held_out=held)
    b = fit(fast, squared_error, 10, 16, recipe={"precision": "bf16"}, held_out=held)
    final = (fast(X) - Y).square().mean().item()
    assert b.rows[b.best_epoch - 1]["held_out_loss"] == pytest.approx(final, rel=1e-5)
    assert b.rows[-1]["held_out_loss"] == pytest.approx(a.rows[-1]["held_out_loss"], rel=0.1)
    assert not torch.equal(weights(exact), weights(fast))


def test_refusals():
    net = network()
    with pytest.raises(InputError, match="Expected rows to train on"):
        minimise(net, squared_error(net), ResidentBatches(X[:0]), Recipe())
    with pytest.raises(InputError, match="none that requires a gradient"):
        minimise(nn.Identity(), squared_error(net), ResidentBatches(X), Recipe())
    with pytest.raises(InputError, match="Expected held-out rows"):
        minimise(net, squared_error(net), ResidentBatches(X, Y), Recipe(), held_out=ResidentBatches(X[:0]))
    for wrong in ({"epochs": 0}, {"ema": 1.0}, {"clip": 0.0}, {"patience": 0}, {"precision": "half"}, {"seed": -1}):
        name, value = next(iter(wrong.items()))
        with pytest.raises(InputError, match=f"got {name}={value!r}"):
            Recipe(**wrong)
