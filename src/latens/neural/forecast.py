"""How long training would take here: a few of its steps are done on real rows and timed, and nothing is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from latens.data import Source
from latens.neural.base import NeuralDensity
from latens.neural.rows import split, tensor
from latens.training import Batch, Batches, Recipe, ResidentBatches, TrainingError, minimise
from latens.training.batches import plan
from latens.training.parallel import World

Clock = Callable[[], float]
STEPS, SECONDS = 100, 0.6
"""After so many steps, or so long, the pace is known."""
GLIMPSE, GROWTH = 4, 8
"""So many steps tell whether so many times as many rows can be afforded: small steps cost the same for more rows."""
_FEW, _NUMBERS, _LARGEST = 8, 1 << 19, 1 << 21
"""Rows, and numbers, that tell whether whole batches can be afforded; larger examples are not tried."""


def training_seconds(estimator: NeuralDensity, source: Source, clock: Clock = time.perf_counter) -> float | None:
    """epochs * (steps * (seconds of a step and of reading its rows) + those of the held-out rows).

    Takes about two seconds at most; slow steps are timed on fewer rows and taken to grow in proportion. Neither the
    estimator nor any random state is changed.

    Args:
        estimator: set up for the source.
        source: the rows to train on.
        clock: tells the time, in seconds.

    Returns:
        Seconds, unless early stopping ends training sooner; None where it cannot be tried: in one of several processes,
        or with examples of millions of numbers.
    """
    if source.schema.size > _LARGEST or World.join(estimator._device).size > 1:
        return None
    train, held_out = split(len(source), estimator.validation_fraction, estimator.seed_)
    recipe = estimator._recipe(len(train))
    rows, reading = _read(source, train[: recipe.batch_size], clock)
    context = estimator._context(source.labels, len(source))
    trial = _Trial(estimator, rows, None if context is None else context[train[: len(rows)]], clock)
    few = int(np.clip(_NUMBERS // source.schema.size, 1, min(_FEW, recipe.batch_size)))
    _, steps = plan(len(train), recipe.batch_size)
    step, passing = trial.pace(few, recipe, 1, GLIMPSE)
    while few < recipe.batch_size and (GLIMPSE + 1) * step * GROWTH < 2 * SECONDS:
        few = min(recipe.batch_size, GROWTH * few)
        step, passing = trial.pace(few, recipe, 1, GLIMPSE)
    if 10 * step < 2 * SECONDS:
        step, passing = trial.pace(few, recipe, recipe.epochs * steps, STEPS)
    both = max if estimator._device.type != "cpu" else sum
    trained = steps * recipe.batch_size * both((step / few, reading))
    return recipe.epochs * (trained + len(held_out) * both((passing / few, reading)))


def _read(source: Source, indices: np.ndarray, clock: Clock) -> tuple[np.ndarray, float]:
    """Some of these rows, fewer where reading is slow, and the seconds that each takes."""
    if source.in_memory:
        return source.take(indices), 0.0
    for some in (indices[:_FEW], indices):
        start = clock()
        rows = source.take(some)
        seconds = (clock() - start) / len(some)
        if seconds * len(indices) > SECONDS:
            break
    return rows, seconds


class _Trial:
    """A model of the estimator's, built for these rows alone."""

    def __init__(self, estimator: NeuralDensity, rows: np.ndarray, context: np.ndarray | None, clock: Clock) -> None:
        self.model = estimator._untrained(estimator._site(rows, context))
        self.device, self.clock = estimator._device, clock
        self.batch = [tensor(rows), *([] if context is None else [torch.from_numpy(context)])]
        self.task = estimator._task(self.model, ResidentBatches(*self.batch).to(self.device))
        self.players, self.critics = self.task.players(), nn.ModuleList(self.task.critics.values())
        self.replay, self.draws = estimator._replayable(self.task), self.task.objective.samples

    def pace(self, rows: int, recipe: Recipe, steps: int, enough: int) -> tuple[float, float]:
        """Seconds of a step of so many rows in a training of ``steps``, and of passing as many held-out rows.

        At most ``enough`` steps are timed.
        """
        index = torch.arange(rows) % len(self.batch[0])
        paced = _Paced(tuple(t[index].to(self.device) for t in self.batch), steps, enough, self.clock)
        short, replay, draws = replace(recipe, epochs=1, batch_size=rows), self.replay, self.draws
        with suppress(_Enough, TrainingError):
            minimise(
                self.model,
                self.task,
                paced,
                short,
                device=self.device,
                replay=replay,
                draws=draws,
                players=self.players,
                critics=self.critics,
            )
        return paced.median(), self.passing(paced.batch)

    @torch.no_grad()
    def passing(self, batch: Batch) -> float:
        self.model.eval()
        times = []
        with torch.random.fork_rng():
            for _ in range(2):
                start = self.clock()
                float(self.task(batch, 1.0)["loss"])
                times.append(self.clock() - start)
        return min(times)


class _Enough(Exception):
    """The pace is known."""


class _Paced(Batches):
    """One batch, over and over, until the pace is known."""

    def __init__(self, batch: Batch, steps: int, enough: int, clock: Clock) -> None:
        self.batch, self.steps, self.enough, self.clock, self.times = batch, steps, enough, clock, list[float]()

    def __len__(self) -> int:
        return max(self.steps, self.enough + 1) * len(self.batch[0])

    def epoch(
        self, batch_size: int, seed: int, epoch: int, start_step: int = 0, rank: int = 0, world: int = 1
    ) -> Iterator[Batch]:
        self.times = []
        while not self.known():
            yield self.batch
        raise _Enough

    def known(self) -> bool:
        """Notes the time; whether there have been steps enough."""
        if self.batch[0].is_cuda:
            torch.cuda.synchronize(self.batch[0].device)
        self.times.append(self.clock())
        return len(self.times) > self.enough or (len(self.times) > 2 and self.times[-1] - self.times[0] > SECONDS)

    def sequential(self, batch_size: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        yield self.batch

    def median(self) -> float:
        """Seconds of a step, without the first, in which memory is found."""
        return float(np.median(np.diff(self.times)[1:]))
