"""How to train, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from latens.training.schedule import Schedule, at
from latens.utils.errors import InputError
from latens.utils.value import Value

Precision = Literal["auto", "float32", "bf16"]


@dataclass(frozen=True, repr=False)
class Recipe(Value):
    """How to train: AdamW with clipped gradients, an average of the weights, early stopping.

    Args:
        epochs: passes over the rows, at most.
        batch_size: rows in a step, over all processes. Every batch is full: the rows left over at the end of an epoch
            are dropped, and fall differently in the next one, which is shuffled anew.
        learning_rate: a number, or a schedule of the progress.
        weight_decay: of AdamW, per unit of learning rate.
        clip: the largest norm of the gradient of all weights; None for no limit.
        ema: the decay per step of the average of the weights, which is what is evaluated and kept; 0 for no average.
        patience: evaluations without a better held-out loss before training stops; None to run all epochs.
        evaluate_every: epochs between two evaluations on held-out rows.
        precision: "float32", "bf16", or "auto": bf16 where the hardware has it and the network is large enough to gain.
        seed: what the order of the rows and every draw depend on, and nothing else does.
        betas, eps: of Adam.

    Raises:
        InputError: a number is out of its range.

    >>> Recipe(epochs=20, batch_size=64, patience=3)
    Recipe(20, 64, patience=3)
    """

    epochs: int = 100
    batch_size: int = 128
    learning_rate: float | Schedule = 1e-3
    weight_decay: float = 0.0
    clip: float | None = 100.0
    ema: float = 0.0
    patience: int | None = None
    evaluate_every: int = 1
    precision: Precision = "auto"
    seed: int = 0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "evaluate_every"):
            _require(getattr(self, name) >= 1, f"{name} >= 1", name, getattr(self, name))
        _require(at(self.learning_rate, 0.0) >= 0, "learning_rate >= 0", "learning_rate", self.learning_rate)
        _require(self.weight_decay >= 0, "weight_decay >= 0", "weight_decay", self.weight_decay)
        _require(self.clip is None or self.clip > 0, "clip > 0 or None", "clip", self.clip)
        _require(0 <= self.ema < 1, "0 <= ema < 1", "ema", self.ema)
        _require(self.patience is None or self.patience >= 1, "patience >= 1 or None", "patience", self.patience)
        _require(
            self.precision in ("auto", "float32", "bf16"), '"auto", "float32" or "bf16"', "precision", self.precision
        )
        _require(self.seed >= 0, "seed >= 0", "seed", self.seed)


def _require(holds: bool, expected: str, name: str, value: object) -> None:
    if not holds:
        raise InputError(f"Recipe expects {expected}; got {name}={value!r}.")
