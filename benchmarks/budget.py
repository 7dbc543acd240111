"""Training within a budget of processor time, which can be killed at any moment and resumed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import cpu_seconds, note
from torch import nn

from latens import VAE
from latens.data import Source, Subset
from latens.models import Model
from latens.nn import Site
from latens.training import EpochEnd, Event

SHARE = 0.95
"""Of the budget, that is planned for."""


def seconds_per_row(make: Callable[[int], VAE], source: Source, rows: int) -> float:
    """Processor time that an epoch takes for each row of the source, held-out rows included; measured, not guessed."""
    times: list[float] = []

    def listen(event: Event) -> None:
        if isinstance(event, EpochEnd):
            times.append(cpu_seconds())

    some = Subset(source, np.random.default_rng(0).permutation(len(source))[:rows])
    make(4)._fit(some, listener=listen)
    return float(np.median(np.diff(times))) / rows


def begun(kind: type[VAE], before: nn.Module) -> type[VAE]:
    """Estimators of a kind, whose models begin with the weights of another; a flow is pushed by the posterior there."""

    class Begun(kind):
        def _untrained(self, site: Site) -> Model:
            model = super()._untrained(site)
            own = model.state_dict()
            for name, weight in before.state_dict().items():
                name = name if name in own else name.replace("posterior.", "posterior.base.", 1)
                own[name] = weight
            model.load_state_dict(own)
            return model

    return Begun


class Run:
    """A folder with the plan of a training, its checkpoint, its history, and the processor time it has had."""

    def __init__(self, folder: Path, plan: dict[str, Any]) -> None:
        self.folder, self.file, self.plan = folder, folder / "plan.json", plan
        self.before = 0.0
        if self.file.exists():
            self.plan = json.loads(self.file.read_text())
            self.before = self.plan["cpu_seconds"]
        folder.mkdir(parents=True, exist_ok=True)
        self.start = cpu_seconds()

    @property
    def cpu_minutes(self) -> float:
        """Processor time of all sittings, until now."""
        return (self.before + cpu_seconds() - self.start) / 60

    def write(self) -> None:
        """The plan, for whoever resumes it."""
        self.file.write_text(json.dumps({**self.plan, "cpu_seconds": 60 * self.cpu_minutes}))

    def fit(self, make: Callable[[int], VAE], source: Source, minutes: float, probe: int) -> VAE:
        """Trains for as many epochs as the budget (``minutes`` of 2 cores) pays for, or goes on with what was begun."""
        if "epochs" not in self.plan:
            pace = seconds_per_row(make, source, probe) * len(source)
            self.plan["epochs"] = max(1, int(SHARE * 120 * minutes / pace))
            note(
                f"{pace:.2f} s of processor time an epoch: {self.plan['epochs']} epochs in {2 * minutes:g} CPU-minutes"
            )
        self.write()
        estimator = make(self.plan["epochs"])
        estimator._fit(source, checkpoint=self.folder / "checkpoint.safetensors", listener=self.listen)
        return estimator

    def listen(self, event: Event) -> None:
        """A line every epoch."""
        if isinstance(event, EpochEnd):
            row = event.row
            figures = {name: row[name] for name in ("loss", "held_out_loss", "held_out_rate") if name in row}
            shown = "  ".join(f"{name} {value:.3f}" for name, value in figures.items())
            note(f"epoch {row['epoch']}/{self.plan['epochs']}  {shown}  {self.cpu_minutes:.1f} CPU-min")
            with (self.folder / "history.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")
            self.write()


def trained(run: Run, fit: Callable[[Run, VAE | None], VAE]) -> tuple[VAE, float, list[tuple[Run, VAE]]]:
    """The estimator of a run, the processor minutes of all its sittings, and the finished runs that it goes on from.

    Args:
        run: whose plan names the run before it as "after", if there is one.
        fit: a run and the estimator before it, None for the first -> the estimator.
    """
    before, spent, earlier = None, 0.0, []
    if run.plan.get("after"):
        last = Run(Path(run.plan["after"]), {})
        before, spent, earlier = trained(last, fit)
        earlier = [*earlier, (last, before)]
    run.start = cpu_seconds()
    fitted = fit(run, before)
    return fitted, spent + run.cpu_minutes, earlier
