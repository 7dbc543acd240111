"""What training tells its listener, and what it leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, field

from latens.training.meter import Mean

Row = dict[str, Mean]


class TrainingError(RuntimeError):
    """Training cannot go on; the message names what went wrong and when, and the weights are the last good ones."""


@dataclass(frozen=True)
class Event:
    """Something that happened in training."""


@dataclass(frozen=True)
class Started(Event):
    """Training begins, or goes on from ``epoch`` and ``step`` of a checkpoint."""

    epochs: int
    steps: int
    """Steps in an epoch."""
    rows: int
    precision: str
    epoch: int = 0
    step: int = 0


@dataclass(frozen=True)
class Tick(Event):
    """A few times a second: where training is; ``means`` are those of this epoch so far."""

    epoch: int
    step: int
    fraction: float
    """Of all epochs, in [0, 1]."""
    seconds_left: float
    means: Row


@dataclass(frozen=True)
class EpochEnd(Event):
    """An epoch has ended; ``row`` is its line of the history."""

    row: Row
    fraction: float
    seconds_left: float
    best: bool
    """Whether its held-out loss is the best so far."""


@dataclass(frozen=True)
class Recovered(Event):
    """A number was not finite, or far too large; training went back to a good state with half the learning rate."""

    name: str
    value: float
    epoch: int
    step: int
    learning_rate_factor: float
    recoveries: int


@dataclass(frozen=True)
class Stopped(Event):
    """Training is over."""

    reason: str
    epochs: int
    best_epoch: int | None


@dataclass
class History:
    """One row for each epoch: epoch, step, seconds, learning_rate, loss and the other means, held_out_*.

    Attributes:
        rows: by epoch.
        stopped: why training ended: "epochs" (all done) or "patience" (no better held-out loss).
        best_epoch: the epoch, from 1, whose weights were kept; None without held-out rows.
        skipped: steps left out because their gradient was not finite.
        recoveries: how often training went back to an earlier state.
    """

    rows: list[Row] = field(default_factory=list)
    stopped: str = ""
    best_epoch: int | None = None
    skipped: int = 0
    recoveries: int = 0
