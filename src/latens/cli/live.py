"""Training as it goes: a panel on a terminal, a few plain lines in a pipe, and ``metrics.csv``."""

from __future__ import annotations

import csv
import io
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from latens.cli.runs import Run
from latens.cli.screen import say
from latens.neural.progress import active_units, best_known, describe, duration, figures
from latens.training import EpochEnd, Event, Recovered, Started, Stopped, Tick
from latens.utils import write_text

if TYPE_CHECKING:
    from rich.table import Table

LINES = 25
"""About how many lines a whole training writes into a pipe."""
QUIET_SECONDS = 60.0
METRICS_SECONDS = 2.0
Listener = Callable[[Event], None]


@contextmanager
def listening(run: Run) -> Iterator[Listener]:
    """Shows training on the standard error and keeps its figures in the run folder."""
    metrics = Metrics(run)
    if not sys.stderr.isatty():
        yield both(Thinned(), metrics)
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), refresh_per_second=8, transient=True) as live:
        yield both(Panel(live.update, lambda line: live.console.print(line, highlight=False, markup=False)), metrics)


def both(first: Listener, second: Listener) -> Listener:
    """One listener that tells two."""

    def listen(event: Event) -> None:
        first(event)
        second(event)

    return listen


class Thinned:
    """About 25 lines, evenly over the epochs; and one a minute where an epoch is longer than that."""

    def __init__(self, out: Callable[[str], None] = say) -> None:
        self.out, self.every, self.epochs, self.last = out, 1, 1, time.monotonic()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self.every, self.epochs = max(1, math.ceil(event.epochs / LINES)), event.epochs
            self.write(describe(event) + (f", going on after epoch {event.epoch}" if event.epoch else ""))
        elif isinstance(event, EpochEnd):
            epoch = int(event.row["epoch"])  # type: ignore[arg-type]
            if epoch % self.every == 0 or epoch in (1, self.epochs):
                self.write(describe(event))
        elif isinstance(event, Tick):
            if time.monotonic() - self.last > QUIET_SECONDS:
                left = duration(event.seconds_left)
                self.write(f"epoch {event.epoch + 1}: {100 * event.fraction:.0f} % of training done, {left} left")
        else:
            self.write(describe(event))

    def write(self, line: str) -> None:
        self.last = time.monotonic()
        self.out(line)


class Metrics:
    """``metrics.csv``: a line an epoch, every figure that is one number, and the number of active units."""

    def __init__(self, run: Run) -> None:
        self.run, self.rows, self.written = run, list[dict[str, Any]](), 0.0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self.rows = [row for row in read_metrics(self.run) if row["epoch"] <= event.epoch]
        elif isinstance(event, EpochEnd):
            self.rows.append(numbers(event.row))
            if time.monotonic() - self.written > METRICS_SECONDS:
                write_metrics(self.run, self.rows)
                self.written = time.monotonic()


def numbers(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the history without its vectors, of which the active units stay.

    >>> numbers({"loss": 2.0, "mean_per_dimension": [0.5, 0.0], "mean_square_per_dimension": [0.9, 0.0]})
    {'loss': 2.0, 'active_units': 1}
    """
    active = active_units(row)
    flat = {name: value for name, value in row.items() if np.ndim(value) == 0}
    return flat if active is None else flat | {"active_units": active[0]}


def write_metrics(run: Run, rows: list[dict[str, Any]]) -> None:
    """All epochs so far."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(run.metrics, out.getvalue())


def read_metrics(run: Run) -> list[dict[str, Any]]:
    """What ``write_metrics`` wrote; nothing where there is nothing to read."""
    if not run.metrics.is_file():
        return []
    with open(run.metrics, newline="", encoding="utf-8") as file:
        return [{k: _number(v) for k, v in row.items() if k and v} for row in csv.DictReader(file) if row.get("epoch")]


def _number(text: str) -> float | int:
    return int(text) if text.lstrip("-").isdecimal() else float(text)


class Panel:
    """The live display: epoch, loss and its two parts, active units, speed, time left."""

    def __init__(self, update: Callable[[Any], None], write: Callable[[str], None]) -> None:
        self.update, self.write = update, write
        self.started: Started | None = None
        self.rows: list[dict[str, Any]] = []
        self.left = math.inf
        self.fraction, self.epoch, self.now = 0.0, 0, ""
        self.clock, self.steps_before = time.monotonic(), 0
        self.step = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self.started, self.epoch = event, event.epoch
            self.steps_before = self.step = event.epoch * event.steps + event.step
            self.write(describe(event))
        elif isinstance(event, Tick):
            self.fraction, self.left, self.epoch = event.fraction, event.seconds_left, event.epoch
            self.now = figures(event.means)
            self.step = event.epoch * self.started.steps + event.step if self.started else 0
        elif isinstance(event, EpochEnd):
            self.rows.append(event.row)
            self.fraction, self.left = event.fraction, event.seconds_left
            self.epoch = int(event.row["epoch"])  # type: ignore[arg-type]
            self.step = int(event.row["step"])  # type: ignore[arg-type]
        elif isinstance(event, (Recovered, Stopped)):
            self.write(describe(event))
        self.update(self.render())

    def speed(self) -> str:
        steps = (self.step - self.steps_before) / max(time.monotonic() - self.clock, 1e-9)
        return f"{steps:.0f} steps/s" if steps >= 10 else f"{steps:.1f} steps/s"

    def render(self) -> Table:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        epochs = self.started.epochs if self.started else 1
        left = duration(self.left) if math.isfinite(self.left) else "?"
        body = Table.grid(padding=(0, 2))
        body.add_column(style="dim")
        body.add_column()
        body.add_row("epoch", f"{min(self.epoch + 1, epochs)} of {epochs}, {self.speed()}, {left} left")
        body.add_row("", ProgressBar(total=1.0, completed=self.fraction, width=60))
        body.add_row("this epoch", self.now)
        if self.rows:
            body.add_row("last epoch", figures(self.rows[-1]))
            body.add_row("loss", Text(spark([_loss(row) for row in self.rows]), "cyan"))
        return body


def spark(values: list[float], width: int = 60) -> str:
    """A line of blocks, from the lowest value to the highest.

    >>> spark([3.0, 2.0, 1.0])
    '█▅▁'
    """
    kept = np.asarray(values, dtype=float)[:: max(1, math.ceil(len(values) / width))]
    low, high = np.nanquantile(kept, [0.0, 0.95]) if len(kept) > 10 else (np.nanmin(kept), np.nanmax(kept))
    unit = np.nan_to_num((kept - low) / ((high - low) or 1.0)).clip(0, 1)
    return "".join("▁▂▃▄▅▆▇█"[round(7 * u)] for u in unit.tolist())


def _loss(row: dict[str, Any]) -> float:
    return float(best_known(row, "loss"))
