"""What is replayed must be, to the bit, what would have been computed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from latens import VAE, AutoEncoder
from latens.distributions import (
    AutoregressiveOf,
    Bernoulli,
    Categorical,
    DiscretizedLogistic,
    Laplace,
    MixtureOf,
    NegativeBinomial,
    Normal,
    Poisson,
)
from latens.models import ConvLadder, Ladder
from latens.neural import base
from latens.nn import MLP, Conv
from latens.objectives import Distortion, FreeBits, ImportanceWeighted, Rate
from latens.training import Linear, Recipe, ResidentBatches, loop, minimise
from latens.training.replay import faithful, record, replayable

rng = np.random.default_rng(0)
TABLE = rng.normal(size=(60, 3)).astype(np.float32)
BITS = (rng.random((60, 7)) < 0.4).astype(np.float32)
COUNTS = rng.poisson(3.0, (60, 4))
IMAGES = rng.integers(0, 256, (40, 7, 5), dtype=np.uint8)
SMALL = {"encoder": MLP((8,)), "decoder": MLP((8,)), "latents": 2}
LADDER = dict.fromkeys(SMALL) | {"hierarchy": Ladder((2, 1), width=8)}

FITS = {
    "table": (TABLE, {}),
    "optimal scale": (TABLE, {"likelihood": Normal("optimal")}),
    "element": (TABLE, {"likelihood": Normal("element")}),
    "laplace": (TABLE, {"likelihood": Laplace("shared")}),
    "bits": (BITS, {"likelihood": Bernoulli()}),
    "classes": (BITS, {"likelihood": Categorical(2)}),
    "counts": (COUNTS, {"likelihood": Poisson()}),
    "overdispersed": (COUNTS, {"likelihood": NegativeBinomial()}),
    "annealed": (BITS, {"objective": Distortion() + Linear(0.0, 1.0, until=0.5) * Rate()}),
    "free bits": (BITS, {"objective": Distortion() + FreeBits(0.1)}),
    "importance weighted": (BITS, {"objective": ImportanceWeighted(3)}),
    "bf16": (BITS, {"precision": "bf16"}),
    "images": (IMAGES, {"encoder": Conv((4,), blocks=1), "decoder": Conv((4,), blocks=1)}),
    "mixtures": (IMAGES, {"likelihood": MixtureOf(DiscretizedLogistic(), 2)}),
    "neighbours": (IMAGES, {"likelihood": AutoregressiveOf(DiscretizedLogistic(), 1, 4)}),
    "neighbours, bf16": (IMAGES, {"likelihood": AutoregressiveOf(reach=1), "precision": "bf16"}),
    "ladder": (BITS, LADDER),
    "ladder, importance weighted": (BITS, LADDER | {"objective": ImportanceWeighted(3)}),
    "ladder that drops": (IMAGES, LADDER | {"hierarchy": ConvLadder((1, 1), (4, 4), dropout=0.2)}),
    "ladder of images": (IMAGES, LADDER | {"hierarchy": ConvLadder((1, 1), (4, 4))}),
    "dropout, batch norm": (TABLE, {"encoder": nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.2))}),
}


def fitted(monkeypatch: pytest.MonkeyPatch, steps: int, X: np.ndarray, settings: dict) -> tuple[VAE, list]:
    used: list = []
    monkeypatch.setattr(loop, "REPLAY_STEPS", steps)
    monkeypatch.setattr(loop, "faithful", lambda *a: used.append(faithful(*a)) or used[-1])
    model = VAE(**{**SMALL, **settings}, epochs=3, batch_size=16, random_state=0)
    return model.fit(X), used


@pytest.mark.filterwarnings("ignore:posterior collapse")
@pytest.mark.parametrize("name", FITS)
def test_replayed_training_has_the_same_bits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    X, settings = FITS[name]
    plain, unused = fitted(monkeypatch, 10**9, X, settings)
    replayed, used = fitted(monkeypatch, 0, X, settings)
    assert not unused
    assert callable(used[0]), "nothing was replayed"
    for (key, a), b in zip(plain.model_.state_dict().items(), replayed.model_.state_dict().values(), strict=True):
        assert torch.equal(a, b), key
    assert [row["loss"] for row in plain.history_.rows] == [row["loss"] for row in replayed.history_.rows]


def test_an_autoencoder_is_replayed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = []
    for steps in (10**9, 0):
        monkeypatch.setattr(loop, "REPLAY_STEPS", steps)
        model = AutoEncoder(**SMALL, epochs=3, batch_size=16, random_state=0).fit(TABLE)
        errors.append(model.reconstruction_error(TABLE))
    assert np.array_equal(*errors)


def test_a_replay_computes_what_the_function_does_on_other_numbers() -> None:
    weight = torch.tensor([2.0, 3.0], requires_grad=True)

    def slope(x: torch.Tensor) -> list[torch.Tensor]:
        loss = (x * weight).sin().sum()
        return [*torch.autograd.grad(loss, [weight]), loss.detach()]

    replay = record(slope, [torch.zeros(5, 2)])
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(replay(x)[0], ((x * weight).cos() * x).sum(0))
    assert torch.equal(replay(x)[1], slope(x)[1])
    with torch.no_grad():
        weight.mul_(2.0)
    assert torch.equal(replay(x)[0], slope(x)[0])


def test_every_replay_draws_anew_and_from_the_generator() -> None:
    replay = record(lambda x: [x + torch.randn(3), torch.rand(3)], [torch.zeros(3)])
    torch.manual_seed(5)
    first, second = replay(torch.zeros(3)), replay(torch.zeros(3))
    torch.manual_seed(5)
    assert torch.equal(first[0], torch.randn(3))
    assert torch.equal(first[1], torch.rand(3))
    assert not torch.equal(first[0], second[0])


def test_what_asks_for_a_value_is_not_replayed() -> None:
    state = {"seen": torch.zeros(())}

    def branches(x: torch.Tensor) -> list[torch.Tensor]:
        return [x * 2 if x.sum() > 0 else x]

    with pytest.raises(RuntimeError, match="value of a tensor"):
        record(branches, [torch.ones(2)])
    assert faithful(branches, [torch.ones(2)], lambda: None, state) is None


def test_what_does_something_else_each_time_is_not_replayed() -> None:
    calls: list[int] = []

    def counts(x: torch.Tensor) -> list[torch.Tensor]:
        calls.append(1)
        return [x * len(calls)]

    assert faithful(counts, [torch.ones(2)], lambda: None, {}) is None


def test_a_torch_without_scripts_replays_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.jit, "CompilationUnit")
    assert faithful(lambda x: [x * 2], [torch.ones(2)], lambda: None, {}) is None


def test_a_state_that_is_written_to_is_restored_and_then_moves_on() -> None:
    total = torch.tensor(7.0)
    replay = faithful(lambda x: [total.add_(x.sum())], [torch.ones(2)], lambda: total.fill_(7.0), {"total": total})
    assert replay is not None
    assert total == 7.0
    assert replay(torch.ones(2))[0] == 9.0
    assert total == 9.0


class Own(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_modules_of_others_and_hooks_are_not_replayed() -> None:
    hooked = nn.Linear(2, 2)
    hooked.register_forward_hook(lambda module, inputs, out: out)
    assert replayable(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    assert not replayable(nn.Sequential(nn.Linear(2, 2), Own()))
    assert not replayable(hooked)


def test_an_estimator_asks_for_replays_of_known_modules_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def spy(*args: object, replay: bool, **rest: object) -> object:
        asked.append(replay)
        return minimise(*args, replay=replay, **rest)

    monkeypatch.setattr(base, "minimise", spy)
    VAE(**SMALL, epochs=1).fit(TABLE)
    VAE(**{**SMALL, "encoder": nn.Sequential(nn.Linear(3, 4), Own())}, epochs=1).fit(TABLE)
    assert asked == [True, False]


def test_a_loss_that_becomes_nan_is_recovered_from_in_a_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "REPLAY_STEPS", 0)
    line, bad = nn.Linear(1, 1), torch.zeros(())
    rows = torch.ones(8, 1)
    seen = []

    def loss(batch: tuple, progress: object) -> dict:
        return {"loss": (line(batch[0]) - 2).square().mean() + bad}

    def listener(event: object) -> None:
        seen.append(type(event).__name__)
        if len(seen) == 3:
            bad.fill_(float("nan"))
        if "Recovered" in seen:
            bad.fill_(0.0)

    minimise(line, loss, ResidentBatches(rows), Recipe(6, 4, learning_rate=0.1), listener=listener, replay=True)
    assert "Recovered" in seen
    assert abs(line(rows).mean().item() - 2) < 2
