"""Training in plain lines, for logs and pipes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, TextIO

import numpy as np

from latens.training import EpochEnd, Event, Recovered, Started, Stopped

ACTIVE = 0.01
"""Variance of the mean of a latent dimension, above which it is active."""


class Lines:
    """A listener that writes a line an epoch: loss, distortion, rate, active units and the time left.

    Args:
        out: where to; the standard error by default.
        every: epochs between two lines.
    """

    def __init__(self, out: TextIO | None = None, every: int = 1) -> None:
        self.out, self.every = out, every

    def __call__(self, event: Event) -> None:
        """Writes what an event is worth saying."""
        line = describe(event)
        skip = isinstance(event, EpochEnd) and int(event.row["epoch"]) % self.every  # type: ignore[arg-type]
        if line and not skip:
            (self.out or sys.stderr).write(line + "\n")


def describe(event: Event) -> str:
    """One line, or nothing."""
    if isinstance(event, Started):
        return f"{event.rows} examples, {event.epochs} epochs of {event.steps} steps, {event.precision}"
    if isinstance(event, EpochEnd):
        return f"epoch {event.row['epoch']}: {figures(event.row)}, {duration(event.seconds_left)} left"
    if isinstance(event, Recovered):
        return (
            f"{event.name} was {event.value:.4g} in epoch {event.epoch}, step {event.step}: back to the last good "
            f"state with {event.learning_rate_factor:g} of the learning rate"
        )
    if isinstance(event, Stopped):
        best = f"; kept the weights of epoch {event.best_epoch}" if event.best_epoch else ""
        why = "no better held-out loss" if event.reason == "patience" else "all epochs done"
        return f"stopped after {event.epochs} epochs: {why}{best}"
    return ""


def figures(row: Mapping[str, Any]) -> str:
    """Loss, distortion and rate in nats an example, held-out where known, and active units."""
    known = [(name, best_known(row, name)) for name in ("loss", "distortion", "rate")]
    parts = [f"{name} {value:.4g}" for name, value in known if value is not None]
    active = active_units(row)
    if active is not None:
        parts.append(f"{active[0]} of {active[1]} units active")
    return ("held-out " if "held_out_loss" in row else "") + ", ".join(parts)


def best_known(row: Mapping[str, Any], name: str) -> Any:
    """A figure of the history: of held-out rows where known, else of training, else None.

    >>> row = {"loss": 2.0, "held_out_loss": 3.0, "rate": 1.0}
    >>> best_known(row, "loss"), best_known(row, "rate"), best_known(row, "distortion")
    (3.0, 1.0, None)
    """
    return row.get(f"held_out_{name}", row.get(name))


def active_units(row: Mapping[str, Any]) -> tuple[int, int] | None:
    """How many latent dimensions have Var_x(E[z | x]) > 0.01, held-out where known, and how many there are.

    Reference: Burda, Grosse and Salakhutdinov, *Importance weighted autoencoders*, 2016.

    >>> active_units({"mean_per_dimension": [0.0, 0.5], "mean_square_per_dimension": [0.9, 0.25]})
    (1, 2)
    >>> active_units({"loss": 2.0}) is None
    True
    """
    mean, square = (best_known(row, f"{name}_per_dimension") for name in ("mean", "mean_square"))
    if mean is None:
        return None
    return int((np.asarray(square) - np.square(mean) > ACTIVE).sum()), np.size(mean)


def collapsed(row: Mapping[str, Any]) -> bool:
    """Whether q(z | x) is p(z) in every latent dimension, to within 0.01 nats, held-out where known.

    A model that has hardly been trained may have no active unit, and still has not collapsed.

    >>> [collapsed({"rate_per_dimension": rates}) for rates in ([0.5, 0.0], [0.0])], collapsed({"loss": 2.0})
    ([False, True], False)
    """
    rates = best_known(row, "rate_per_dimension")
    return rates is not None and bool((np.asarray(rates) <= 0.01).all())


def duration(seconds: float) -> str:
    """Seconds in words.

    >>> duration(5.2), duration(75), duration(7322)
    ('5 s', '1 min 15 s', '2 h 2 min')
    """
    s = round(seconds)
    if s < 60:
        return f"{s} s"
    return f"{s // 60} min {s % 60} s" if s < 3600 else f"{s // 3600} h {s % 3600 // 60} min"


def roughly(seconds: float) -> str:
    """Seconds in words, no finer than a forecast can be.

    >>> roughly(3.2), roughly(41), roughly(700), roughly(9000), roughly(90_000)
    ('5 s', '40 s', '12 min', '2.5 h', '25 h')
    """
    if seconds < 57.5:
        return f"{max(5, 5 * round(seconds / 5))} s"
    minutes = seconds / 60
    if minutes < 90:
        return f"{round(minutes)} min"
    return f"{minutes / 60:.1f} h" if minutes < 600 else f"{round(minutes / 60)} h"
