import platform

import pytest
import torch
from torch import nn

from latens.training import Recipe, ResidentBatches, Started, minimise, precision
from latens.training.precision import choose
from latens.utils.errors import InputError

CPU = torch.device("cpu")
CASES = {
    "small table": (nn.Linear(6, 32), 32, "float32"),
    "200 units, batch 20": (nn.Linear(784, 200), 20, "float32"),
    "200 units, batch 128": (nn.Linear(784, 200), 128, "bf16"),
    "8 channels": (nn.Conv2d(8, 8, 3), 128, "float32"),
    "32 channels": (nn.Conv2d(32, 32, 3), 128, "bf16"),
    "8 channels and a large head": (nn.Sequential(nn.Conv2d(8, 8, 3), nn.Linear(4096, 512)), 128, "float32"),
    "a recurrent layer": (nn.GRU(512, 512), 128, "float32"),
    "a table of many symbols": (nn.Sequential(nn.Embedding(100_000, 64), nn.Linear(64, 64)), 128, "float32"),
    "no weights": (nn.Identity(), 128, "float32"),
}


@pytest.mark.parametrize(("module", "rows", "expected"), CASES.values(), ids=CASES)
def test_auto_takes_bf16_where_it_gains(monkeypatch, module, rows, expected):
    monkeypatch.setattr(precision, "_has_bf16", lambda device: True)
    assert choose("auto", module, rows, CPU) == expected
    monkeypatch.setattr(precision, "_has_bf16", lambda device: False)
    assert choose("auto", module, rows, CPU) == "float32"
    assert choose("bf16", module, rows, CPU) == "bf16"


def test_bf16_where_it_is_unknown():
    assert choose("auto", nn.Linear(4096, 4096), 4096, torch.device("mps")) == "float32"
    with pytest.raises(InputError, match="got the device mps"):
        choose("bf16", nn.Linear(2, 2), 1, torch.device("mps"))


def test_every_draw_counts_as_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_has_bf16", lambda device: True)
    told = {}
    for draws in (1, 1000):
        network = nn.Linear(64, 64)

        def loss(batch: tuple, progress: torch.Tensor, network: nn.Module = network) -> dict:
            return {"loss": network(batch[0]).square().mean()}

        def listen(event: object, draws: int = draws) -> None:
            if isinstance(event, Started):
                told[draws] = event.precision

        minimise(network, loss, ResidentBatches(torch.ones(4, 64)), Recipe(1, 4), listener=listen, draws=draws)
    assert told == {1: "float32", 1000: "bf16"}


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="asks an x86 processor")
def test_emulated_bf16_is_no_bf16(monkeypatch):
    """oneDNN says it supports bf16 wherever AVX-512 is, and converts every number where the processor has no bf16."""
    for unit in ("avx512_bf16", "amx_tile"):
        monkeypatch.setattr(torch.cpu, f"_is_{unit}_supported", lambda: False, raising=False)
    assert not precision._has_bf16(CPU)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    assert precision._has_bf16(CPU)
