"""One loop that minimises any loss."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from latens.training import events, rng
from latens.training.batches import Batch, Batches, plan
from latens.training.events import Event, History, Row, TrainingError
from latens.training.meter import Bad, Mean, Meter
from latens.training.parallel import World
from latens.training.players import Loss, Movers, Player, rounds, turns
from latens.training.precision import choose
from latens.training.recipe import Precision, Recipe
from latens.training.replay import as_tensor, faithful
from latens.training.schedule import at
from latens.training.state import State, remove_leftovers
from latens.utils.errors import InputError

REPLAY_STEPS = 300
"""Steps of a training from which recording one pays."""
CHECK_STEPS = 100
"""Steps between two looks at whether all numbers are finite."""
SNAPSHOT_STEPS = 500
"""Steps between two states that training can go back to; the end of an epoch is always one."""
SNAPSHOT_SECONDS = 10.0
TICK_SECONDS = 0.25
CHECKPOINT_SECONDS = 2.0
CHECKPOINT_SHARE = 0.05
"""Of the time, that writing checkpoints may take."""
RECOVERIES = 3
SKIPS = 10
"""Steps with a gradient that is not finite that are let pass, besides one per cent of all."""
LEAP = 1e3
"""A loss that is above the first one by so many times its size, and at least so many nats, comes from no model."""
UNEASY = 1.0
"""By so many times, and no state is kept in the middle of an epoch: it may be that of a network that is bursting."""


def minimise(
    module: nn.Module,
    loss: Loss,
    batches: Batches,
    recipe: Recipe,
    *,
    held_out: Batches | None = None,
    held_out_loss: Loss | None = None,
    checkpoint: Path | None = None,
    listener: Callable[[Event], None] | None = None,
    device: torch.device | str | None = None,
    replay: bool = False,
    draws: int = 1,
    players: Sequence[Player] | None = None,
    critics: nn.Module | None = None,
) -> History:
    """min over the module's weights of E[loss(batch, progress)].

    The module ends in evaluation mode, with the weights of the best held-out loss; without held-out rows, with the
    average of its weights (or, where ``recipe.ema`` is 0, the last ones). A loss that is not finite sends training
    back to its last good state with half the learning rate. Equal seeds give equal bits, and the host's random state
    is left as it was. Under ``torchrun`` each process trains on its share of every batch.

    Args:
        module: what is trained: all weights that require a gradient.
        loss: from a batch on the device and the progress to ``{"loss": ..., other names: ...}``, means over the batch.
        batches: the rows to train on.
        recipe: how to train.
        held_out: rows to evaluate on, with the averaged weights, in float32, with equal draws each time.
        held_out_loss: what is evaluated on them; ``loss`` at progress 1 by default.
        checkpoint: a file to continue from where it exists, and to write to, at most 5 % of the time.
        listener: called with every event, in the first process alone.
        device: where to train; where the module is, by default.
        replay: that the loss does the same at every step, so that a long training on a processor may record its
            operations once and run those; equal to the bit.
        draws: how often a row passes the network in a step, which decides whether bf16 pays.
        players: who minimises what; one player by default, who moves all weights to minimise "loss". Each has an
            optimiser of its own, and its gradient is clipped on its own.
        critics: modules that play against the module: in every checkpoint, but neither averaged nor kept as the best.

    Raises:
        InputError: there are no rows or no weights, weights have no player or two; or the checkpoint is that of another
            training.
        TrainingError: the loss was not finite again after three recoveries.

    >>> from latens.training.batches import ResidentBatches
    >>> x = torch.linspace(-1, 1, 64)[:, None]
    >>> line = nn.Linear(1, 1)
    >>> def squared_error(batch, progress):
    ...     x, y = batch
    ...     return {"loss": (line(x) - y).square().mean()}
    >>> history = minimise(line, squared_error, ResidentBatches(x, 3 * x + 1), Recipe(200, 16, learning_rate=0.05))
    >>> history.stopped, [round(w.item(), 3) for w in line.parameters()]
    ('epochs', [3.0, 1.0])
    """
    place = next((p.device for p in module.parameters()), torch.device("cpu")) if device is None else device
    place = torch.device(place)
    world = World.join(place)
    for part in (module,) if critics is None else (module, critics):
        part.to(place)
    with rng.isolated(place, recipe.seed, world.rank):
        state = State(module, recipe, world, players, critics)
        run = _Run(state, loss, batches, recipe, checkpoint, listener if world.rank == 0 else None)
        run.precision = choose(recipe.precision, module, draws * run.rows, place)
        run.hold_out(held_out, held_out_loss or loss)
        run.may_replay = replay and place.type == "cpu"
        return run.train()


class _Run:
    def __init__(
        self,
        state: State,
        loss: Loss,
        batches: Batches,
        recipe: Recipe,
        checkpoint: Path | None,
        listener: Callable[[Event], None] | None,
    ) -> None:
        if len(batches) == 0:
            raise InputError("Expected rows to train on; got none.")
        self.state, self.recipe, self.world = state, recipe, state.world
        world = state.world
        self.batches = batches.to(world.device)
        self.rows, self.steps = plan(len(batches), recipe.batch_size, world.size)
        self.checkpoint, self.listener = checkpoint, listener
        self.precision: Precision = "float32"
        self.meter = Meter()
        self.uneasy = False
        self.may_replay = False
        self.turns = turns(loss, state.players, self.autocast)
        self.rounds: list[list[Movers]] = []
        self.held_out: Batches | None = None
        self.evaluated_loss = loss
        self.snapshot_time = self.tick_time = self.written = time.perf_counter()
        self.write_seconds = 0.0

    def hold_out(self, held_out: Batches | None, loss: Loss) -> None:
        if held_out is not None and len(held_out) == 0:
            raise InputError("Expected held-out rows; got none. Leave them out to train without.")
        self.held_out = None if held_out is None else held_out.to(self.world.device)
        self.evaluated_loss = loss

    def train(self) -> History:
        self.start()
        try:
            while not self.state.position.stopped:
                self.epoch()
        except KeyboardInterrupt:
            self.write()
            raise
        return self.finish()

    def start(self) -> None:
        position = self.state.position
        if self.checkpoint is not None and self.world.rank == 0:
            remove_leftovers(self.checkpoint)
        if self.checkpoint is not None and self.world.any(self.checkpoint.exists()):
            self.state.read(self.checkpoint, self.fingerprint())
            position = self.state.position
            self.meter = self.restored_meter()
        self.clock = time.perf_counter() - position.seconds
        self.state.take_snapshot()
        if self.may_replay and self.recipe.epochs * self.steps >= REPLAY_STEPS and not position.stopped:
            self.use_replay()
        sizes = (self.recipe.epochs, self.steps, len(self.batches), self.precision)
        self.tell(events.Started(*sizes, position.epoch, position.step))

    def epoch(self) -> None:
        self.state.train()
        position, world = self.state.position, self.world
        self.rounds = rounds(self.turns, position.rows)
        place = (self.recipe.seed, position.epoch, position.step, world.rank, world.size)
        for batch in self.batches.epoch(self.recipe.batch_size, *place):
            self.step(batch)
            position.step += 1
            now = time.perf_counter()
            due = position.step % CHECK_STEPS == 0 or self.late(now)
            if due and position.step < self.steps and not self.check():
                return
            self.tick(now)
        if self.check():
            self.end_epoch()

    def step(self, batch: Batch) -> None:
        state, progress = self.state, self.progress()
        inputs = (*batch, as_tensor(progress))
        rate = float(at(self.recipe.learning_rate, progress)) * state.position.factor
        terms: dict[str, Tensor] = {}
        for turn, movers in zip(self.turns, self.rounds[self.done() % len(self.rounds)]):
            gradients, found = turn(movers, inputs)
            for player, gradient in zip(movers, gradients):
                state.adams[player.name].step(self.world.average(gradient), rate * player.speed)
            if len(movers) < len(turn.players):
                state.sit_out(set(turn.players) - set(movers))
            terms.update(found)
        state.average.update(self.done() + 1)
        self.meter.add(terms, len(batch[0]))

    def use_replay(self) -> None:
        """From here on gradients are their operations alone, where these can be recorded and give the same bits."""
        self.state.train()
        place = (self.recipe.seed, 0, 0, self.world.rank, self.world.size)
        batch = next(iter(self.batches.epoch(self.recipe.batch_size, *place)))
        examples, state = (*batch, as_tensor(1 / 3)), self.state
        for turn, movers in {pair: None for together in rounds(self.turns, []) for pair in zip(self.turns, together)}:
            replayed = faithful(partial(turn.slopes, movers), examples, state.undo, state.tensors())
            if replayed is not None:
                turn.recorded[movers] = replayed

    def done(self) -> int:
        return self.state.position.epoch * self.steps + self.state.position.step

    def progress(self) -> float:
        return self.done() / (self.recipe.epochs * self.steps)

    def autocast(self) -> AbstractContextManager:
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.world.device.type, dtype=torch.bfloat16)

    def check(self) -> bool:
        """Whether all numbers have been finite; where not, training is back at its last good state."""
        self.meter.flush()
        bad = self.meter.bad or self.skips() or self.leap()
        if self.world.any(bad is not None):
            self.recover(bad or Bad("a number in another process", math.nan, self.meter.batches - 1))
            return False
        step = self.state.position.step
        due = step % SNAPSHOT_STEPS == 0 or self.late(time.perf_counter())
        if step < self.steps and due and not self.world.any(self.uneasy) and self.state.moves():
            self.save()
        return True

    def late(self, now: float) -> bool:
        """Whether slow steps call for a snapshot early; several processes cannot go by their own clocks."""
        return now - self.snapshot_time > SNAPSHOT_SECONDS and self.world.size == 1

    def skips(self) -> Bad | None:
        done = self.done()
        if done >= 1 << 24:  # float32, in which the kernel counts its steps, ends here
            return None
        for player, skipped in self.state.skipped(done).items():
            if skipped > SKIPS + done // 100:
                name = "the gradient" if len(self.state.players) == 1 else f"the gradient of {player}"
                return Bad(name, math.nan, self.meter.batches - 1)
        return None

    def leap(self) -> Bad | None:
        """A loss that is finite, but that of a network which has burst: weights that no step leads back from."""
        position, losses = self.state.position, self.meter.recent
        if not losses:
            return None
        if position.first_loss is None:
            position.first_loss = losses[0]
        usual, last, first = float(np.median(losses)), losses[-1], position.first_loss
        losses.clear()
        size = max(abs(first), 1.0)
        self.uneasy = last - first > UNEASY * size
        if usual - first <= LEAP * size:
            return None
        return Bad(next(iter(self.meter.names)), usual, self.meter.batches - 1)

    def recover(self, bad: Bad) -> None:
        state, failed = self.state, self.state.position
        epoch, recoveries = failed.epoch + 1, failed.recoveries + 1
        state.undo()
        what = f"{bad.name} was {bad.value:.4g} in epoch {epoch}, step {bad.batch + 1}"
        if recoveries > RECOVERIES:
            rate = at(self.recipe.learning_rate, self.progress()) * failed.factor
            raise TrainingError(
                f"Training cannot go on: {what}, after {RECOVERIES} recoveries and with the learning rate down to "
                f"{rate:.3g}. The weights are the last good ones. Check the data, or lower the learning rate."
            )
        state.position.recoveries, state.position.factor = recoveries, failed.factor / 2
        self.meter = self.restored_meter()
        factor = state.position.factor
        self.tell(events.Recovered(bad.name, bad.value, epoch, bad.batch + 1, factor, recoveries))

    def end_epoch(self) -> None:
        position, recipe = self.state.position, self.recipe
        rate = float(at(recipe.learning_rate, self.progress())) * position.factor
        position.epoch, position.step, position.seconds = position.epoch + 1, 0, time.perf_counter() - self.clock
        row: Row = {"epoch": position.epoch, "step": position.epoch * self.steps, "seconds": position.seconds}
        row |= {"learning_rate": rate} | self.reduced(self.meter)
        last = position.epoch == recipe.epochs
        best = False
        if self.held_out is not None and (last or position.epoch % recipe.evaluate_every == 0):
            row |= {f"held_out_{name}": mean for name, mean in self.evaluate(self.held_out).items()}
            best = self.judge(row["held_out_loss"])
        position.rows.append(row)
        position.stopped = position.stopped or ("epochs" if last else "")
        self.meter = Meter()
        self.save()
        self.tell(events.EpochEnd(row, self.progress(), self.seconds_left(), best))

    def evaluate(self, held_out: Batches) -> Row:
        size, world = 2 * self.rows, self.world
        shards = world.size if len(held_out) >= size * world.size else 1
        meter, isolated = Meter(), rng.isolated(world.device, self.recipe.seed, world.rank, 1)
        self.state.broadcast_buffers()
        self.state.train(False)
        with self.state.average.swapped_in(), torch.no_grad(), isolated:
            for batch in held_out.sequential(size, world.rank % shards, shards):
                meter.add(self.evaluated_loss(batch, as_tensor(1.0)), len(batch[0]))
        return self.reduced(meter)

    def judge(self, loss: Mean) -> bool:
        """Keeps the best weights, and stops where patience is at its end."""
        position = self.state.position
        if not isinstance(loss, float):
            raise ValueError(f"The loss is one number; got {len(loss)}.")
        if loss < (math.inf if position.best_loss is None else position.best_loss):
            position.best_loss, position.best_epoch, position.stale = loss, position.epoch, 0
            with self.state.average.swapped_in():
                self.state.keep_best()
            return True
        position.stale += 1
        if self.recipe.patience is not None and position.stale >= self.recipe.patience:
            position.stopped = "patience"
        return False

    def reduced(self, meter: Meter) -> Row:
        """The means over all processes."""
        meter.flush()
        total = self.world.sum(np.append(meter.sums, meter.rows))
        meter.sums, meter.rows = total[:-1], int(total[-1])
        return meter.means()

    def save(self) -> None:
        """A state to go back to, and from time to time its checkpoint."""
        position, now = self.state.position, time.perf_counter()
        position.meter, position.seconds = self.meter.state(), now - self.clock
        if self.meter.names:
            position.meter["sums"] = self.world.gather(torch.from_numpy(self.meter.sums)).tolist()
        self.state.take_snapshot()
        self.snapshot_time = now
        pause = max(CHECKPOINT_SECONDS, self.write_seconds / CHECKPOINT_SHARE)
        if position.stopped or now - self.written >= pause:
            self.write()

    def restored_meter(self) -> Meter:
        saved = self.state.position.meter
        return Meter.restored({**saved, "sums": saved["sums"][self.world.rank]}) if saved.get("names") else Meter()

    def write(self) -> None:
        if self.checkpoint is not None and self.world.rank == 0:
            start = time.perf_counter()
            self.state.write(self.checkpoint, self.fingerprint())
            self.written = time.perf_counter()
            self.write_seconds = self.written - start

    def fingerprint(self) -> dict[str, str]:
        weights = self.state.model() | self.state.beside()
        shapes = repr([(name, tuple(t.shape), str(t.dtype)) for name, t in weights.items()])
        return {
            "recipe": repr(self.recipe),
            "weights": hashlib.blake2b(shapes.encode(), digest_size=8).hexdigest(),
            "rows": str(len(self.batches)),
            "processes": str(self.world.size),
        }

    def tick(self, now: float) -> None:
        if self.listener is not None and now - self.tick_time >= TICK_SECONDS:
            self.tick_time = now
            position = self.state.position
            means = self.meter.means()
            self.tell(events.Tick(position.epoch, position.step, self.progress(), self.seconds_left(), means))

    def seconds_left(self) -> float:
        fraction, elapsed = self.progress(), time.perf_counter() - self.clock
        return elapsed * (1 - fraction) / fraction if fraction else math.inf

    def tell(self, event: Event) -> None:
        if self.listener is not None:
            self.listener(event)

    def finish(self) -> History:
        self.state.settle()
        self.state.train(False)
        position = self.state.position
        self.tell(events.Stopped(position.stopped, position.epoch, position.best_epoch))
        skipped = sum(self.state.skipped(self.done()).values())
        return History(position.rows, position.stopped, position.best_epoch, skipped, position.recoveries)
