import json
import signal
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from latens.training import Linear, Recipe, ResidentBatches, loop, minimise, state
from latens.utils.errors import InputError
from latens.utils.storage import load_tensors

SCRIPT = """
import sys, time, torch
from torch import nn
from latens.training import Cosine, Recipe, ResidentBatches, loop, minimise

loop.CHECKPOINT_SECONDS, loop.CHECKPOINT_SHARE = 0.0, 1e9
loop.SNAPSHOT_STEPS = loop.CHECK_STEPS = 7
checkpoint, out, pause = sys.argv[1], sys.argv[2], float(sys.argv[3])
torch.set_num_threads(1)
x = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
torch.manual_seed(3)
net = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 4))

def loss(batch, progress):
    if pause:
        print("step", flush=True)
        time.sleep(pause)
    noise = torch.randn_like(batch[0])
    error = (net(batch[0] + 0.1 * noise) - batch[0]).square()
    return {"loss": error.mean(), "each": error.mean(0)}

recipe = Recipe(6, 8, Cosine(0.01, warmup=0.1), ema=0.9, patience=4, precision="float32", seed=2)
history = minimise(net, loss, ResidentBatches(x), recipe, held_out=ResidentBatches(x[:40]),
                   checkpoint=__import__("pathlib").Path(checkpoint))
rows = [[v for k, v in row.items() if k not in ("seconds", "each", "held_out_each")] for row in history.rows]
torch.save({"net": net.state_dict(), "rows": torch.tensor(rows, dtype=torch.float64)}, out)
"""


def test_killed_at_any_moment_and_resumed_gives_the_same_bits(fork, tmp_path):
    def start(name, pause):
        return fork(SCRIPT, tmp_path / f"{name}.safetensors", tmp_path / f"{name}.pt", pause)

    whole = start("whole", 0.0)
    positions = []
    for steps in (20, 33, 12):
        killed = start("killed", 0.002)
        while killed.said()[0].count("step\n") < steps:
            time.sleep(0.001)
        killed.send_signal(signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL
        position = json.loads(load_tensors(tmp_path / "killed.safetensors")[1]["position"])
        positions.append((position["epoch"], position["step"]))
    assert len(set(positions)) == 3
    assert any(step for _, step in positions)
    assert not (tmp_path / "killed.pt").exists()
    (tmp_path / ".killed-0123abcd.safetensors").write_bytes(b"half")
    assert (start("killed", 0.0).wait(), whole.wait()) == (0, 0)
    assert {item.name for item in tmp_path.iterdir()} == {
        "whole.safetensors",
        "whole.pt",
        "killed.safetensors",
        "killed.pt",
    }
    expected, resumed = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("whole", "killed"))
    assert torch.equal(expected["rows"], resumed["rows"])
    assert all(torch.equal(value, resumed["net"][name]) for name, value in expected["net"].items())


X = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))


def _net():
    net = nn.Linear(3, 3)
    net.weight.data.copy_(torch.eye(3) * 0.1)
    net.bias.data.zero_()
    return net


class Stop(Exception):
    pass


def _loss(net, stop_at=None, error=Stop):
    calls = iter(range(10**6))

    def loss(batch, progress):
        if next(calls) == stop_at:
            raise error
        return {"loss": (net(batch[0] + 0.1 * torch.randn_like(batch[0])) - batch[0]).square().mean()}

    return loss


RECIPE = Recipe(4, 5, Linear(0.05, 0.0), ema=0.8, precision="float32")


@pytest.fixture(name="eager")
def _eager(monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", 1e9)
    monkeypatch.setattr(loop, "CHECK_STEPS", 5)
    monkeypatch.setattr(loop, "SNAPSHOT_STEPS", 5)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("stop_at", [0, 3, 5, 8, 12, 13, 47])
def test_resumed_within_an_epoch(tmp_path, stop_at):
    whole, broken, resumed, path = _net(), _net(), _net(), tmp_path / "c.safetensors"
    history = minimise(whole, _loss(whole), ResidentBatches(X), RECIPE)
    with pytest.raises(Stop):
        minimise(broken, _loss(broken, stop_at), ResidentBatches(X), RECIPE, checkpoint=path)
    again = minimise(resumed, _loss(resumed), ResidentBatches(X), RECIPE, checkpoint=path)
    assert torch.equal(whole.weight, resumed.weight)
    assert torch.equal(whole.bias, resumed.bias)
    assert [row["loss"] for row in again.rows] == [row["loss"] for row in history.rows]


def test_an_interruption_writes_the_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SNAPSHOT_STEPS", 5)
    monkeypatch.setattr(loop, "CHECK_STEPS", 5)
    whole, broken, resumed, path = _net(), _net(), _net(), tmp_path / "c.safetensors"
    minimise(whole, _loss(whole), ResidentBatches(X), RECIPE)
    with pytest.raises(KeyboardInterrupt):
        minimise(broken, _loss(broken, 19, KeyboardInterrupt), ResidentBatches(X), RECIPE, checkpoint=path)
    assert load_tensors(path)[1]["position"].startswith('{"epoch": 1, "step": 5,')
    minimise(resumed, _loss(resumed), ResidentBatches(X), RECIPE, checkpoint=path)
    assert torch.equal(whole.weight, resumed.weight)


def test_an_interruption_while_a_state_is_copied_writes_that_state(tmp_path, monkeypatch):
    whole, broken, resumed, path = _net(), _net(), _net(), tmp_path / "c.safetensors"
    minimise(whole, _loss(whole), ResidentBatches(X), RECIPE)
    copied, calls = state._copied, []

    def interrupted(tensors, into):
        calls.append(len(into))
        if len(calls) == 2:
            state._overwrite(dict(list(into.items())[:1]), tensors)
            raise KeyboardInterrupt
        return copied(tensors, into)

    monkeypatch.setattr(state, "_copied", interrupted)
    with pytest.raises(KeyboardInterrupt):
        minimise(broken, _loss(broken), ResidentBatches(X), RECIPE, checkpoint=path)
    assert load_tensors(path)[1]["position"].startswith('{"epoch": 1, "step": 0,')
    minimise(resumed, _loss(resumed), ResidentBatches(X), RECIPE, checkpoint=path)
    assert torch.equal(whole.weight, resumed.weight)


def test_a_finished_training_is_not_repeated(tmp_path):
    first, second, path = _net(), _net(), tmp_path / "c.safetensors"
    held = ResidentBatches(X[:7])
    history = minimise(first, _loss(first), ResidentBatches(X), RECIPE, held_out=held, checkpoint=path)
    again = minimise(second, _loss(second, 0), ResidentBatches(X), RECIPE, held_out=held, checkpoint=path)
    assert torch.equal(first.weight, second.weight)
    assert again == history


def test_the_checkpoint_of_another_training_is_refused(tmp_path):
    net, path = _net(), tmp_path / "c.safetensors"
    minimise(net, _loss(net), ResidentBatches(X), RECIPE, checkpoint=path)
    with pytest.raises(InputError, match=r"its recipe is Recipe\(4, 5.*here it is Recipe\(9, 5"):
        minimise(net, _loss(net), ResidentBatches(X), Recipe(9, 5), checkpoint=path)
    with pytest.raises(InputError, match="its rows is 60, here it is 50"):
        minimise(net, _loss(net), ResidentBatches(X[:50]), RECIPE, checkpoint=path)
    other = nn.Linear(3, 2)
    with pytest.raises(InputError, match="its weights is"):
        minimise(other, _loss(other), ResidentBatches(X), RECIPE, checkpoint=path)
    Path(path).write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="damaged"):
        minimise(net, _loss(net), ResidentBatches(X), RECIPE, checkpoint=path)


@pytest.mark.usefixtures("eager")
def test_recoveries_outlive_an_interruption(tmp_path):
    def failing(net, stop_at):
        inner, calls = _loss(net, stop_at), iter(range(10**6))
        return lambda batch, progress: {
            "loss": inner(batch, progress)["loss"] * (float("nan") if next(calls) == 7 else 1)
        }

    whole, broken, resumed, path = _net(), _net(), _net(), tmp_path / "c.safetensors"
    history = minimise(whole, failing(whole, None), ResidentBatches(X), RECIPE)
    with pytest.raises(Stop):
        minimise(broken, failing(broken, 33), ResidentBatches(X), RECIPE, checkpoint=path)
    again = minimise(resumed, _loss(resumed), ResidentBatches(X), RECIPE, checkpoint=path)
    assert (history.recoveries, again.recoveries) == (1, 1)
    assert torch.equal(whole.weight, resumed.weight)


def test_slow_steps_are_saved_by_the_clock(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SNAPSHOT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "CHECKPOINT_SHARE", 1e9)
    whole, broken, resumed, path = _net(), _net(), _net(), tmp_path / "c.safetensors"
    minimise(whole, _loss(whole), ResidentBatches(X), RECIPE)
    with pytest.raises(Stop):
        minimise(broken, _loss(broken, 16), ResidentBatches(X), RECIPE, checkpoint=path)
    assert load_tensors(path)[1]["position"].startswith('{"epoch": 1, "step": 4,')
    minimise(resumed, _loss(resumed), ResidentBatches(X), RECIPE, checkpoint=path)
    assert torch.equal(whole.weight, resumed.weight)
