import json

import pytest
import torch

from latens.utils.storage import load_tensors

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed")

SCRIPT = """
import json, os, pathlib, sys, torch
from torch import nn
from latens.training import Linear, Recipe, ResidentBatches, loop, minimise
from latens.training.events import Recovered

torch.set_num_threads(1)
kind, out = sys.argv[1], sys.argv[2]
loop.CHECKPOINT_SECONDS, loop.CHECKPOINT_SHARE, loop.CHECK_STEPS, loop.SNAPSHOT_STEPS = 0.0, 1e9, 3, 3
rank = int(os.environ.get("RANK", 0))
x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
torch.manual_seed(rank)
net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 4)).double()
x = x.double()
calls = iter(range(10**6))

def loss(batch, progress):
    noise = torch.randn_like(batch[0]) if kind in ("noise", "stop") else 0.0
    if kind == "stop" and 0.5 < progress < 1.0:
        os._exit(0)
    error = (net(batch[0] + noise) - batch[0]).square()
    wrong = float("nan") if kind == "nan" and rank == 1 and next(calls) == 18 else 1.0
    return {"loss": error.mean() * wrong, "each": error.mean(0)}

told = []
recipe = Recipe(5, 16, Linear(0.02, 0.0), ema=0.8, clip=0.5, patience=3, precision="float32")
history = minimise(net, loss, ResidentBatches(x), recipe, held_out=ResidentBatches(x[:37]), listener=told.append,
                   checkpoint=pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else None)
weights = torch.cat([p.detach().reshape(-1) for p in net.parameters()]).tolist()
rows = [[v for k, v in row.items() if k not in ("seconds", "each", "held_out_each")] for row in history.rows]
each = [row["each"] for row in history.rows]
json.dump({"weights": weights, "rows": rows, "each": each, "stopped": history.stopped, "events": len(told),
           "recovered": [(e.name, e.step) for e in told if isinstance(e, Recovered)]}, open(f"{out}{rank}", "w"))
"""


@pytest.fixture
def run(fork, group, tmp_path):
    """Starts the script in one or several processes: they, and the files they write."""

    def run(kind, world, *arguments):
        out = tmp_path / f"{kind}{world}-"
        processes = group(world, SCRIPT, kind, out, *arguments) if world > 1 else [fork(SCRIPT, kind, out)]
        return processes, [f"{out}{rank}" for rank in range(world)]

    return run


def _results(run):
    processes, files = run
    assert [p.wait() for p in processes] == [0] * len(processes)
    results = []
    for file in files:
        with open(file) as stream:
            results.append(json.load(stream))
    return results


def test_two_processes_learn_what_one_does(run):
    single, pair = run("plain", 1), run("plain", 2)
    (one,), (first, second) = _results(single), _results(pair)
    assert first["weights"] == second["weights"]
    torch.testing.assert_close(torch.tensor(first["weights"]), torch.tensor(one["weights"]), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(torch.tensor(first["rows"]), torch.tensor(one["rows"]), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(torch.tensor(first["each"]), torch.tensor(one["each"]), rtol=1e-6, atol=1e-7)
    assert first["events"] > 0 == second["events"]


def test_processes_recover_together(run):
    broken = _results(run("nan", 2))
    assert broken[0]["weights"] == broken[1]["weights"]
    assert [len(r["rows"]) for r in broken] == [5, 5]
    assert len(broken[0]["recovered"]) == 1


def test_processes_that_were_killed_go_on_with_the_same_bits(run, tmp_path):
    whole, stopped = run("noise", 2), run("stop", 2, tmp_path / "c.safetensors")
    assert [p.wait() for p in stopped[0]] == [0, 0]
    first, second = _results(whole)
    assert load_tensors(tmp_path / "c.safetensors")[1]["position"].startswith('{"epoch": 2, "step": 3,')
    again = _results(run("noise", 2, tmp_path / "c.safetensors"))
    assert again[0]["weights"] == first["weights"] == second["weights"]
    assert again[0]["rows"] == first["rows"]
