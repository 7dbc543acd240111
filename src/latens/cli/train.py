"""``latens train``: from data to a run folder."""

from __future__ import annotations

import json
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from latens.cli import plain, runs
from latens.cli.live import listening, numbers, write_metrics
from latens.cli.looks import examine
from latens.cli.opened import as_told
from latens.cli.report import write_report
from latens.cli.report.pictures import drawable
from latens.cli.runs import Run
from latens.cli.screen import Answer, say, working
from latens.cli.settings import estimator as from_flags
from latens.cli.settings import flag
from latens.cli.study import Study
from latens.cli.summary import compared_lines, figure_lines, forecast, judged, training
from latens.data import Source, write_array, write_strings
from latens.density import DensityEstimator
from latens.density.storage import FILE
from latens.neural import NeuralDensity
from latens.neural.forecast import training_seconds
from latens.neural.vocabulary import read
from latens.training import leads
from latens.utils import InputError

HEARD = 16
"""Recordings of each kind that are kept as sound."""


def train(
    data: str | None,
    model: str | None,
    flags: dict[str, Any],
    reading: dict[str, Any],
    output: str | None,
    overwrite: bool,
) -> Answer | None:
    """A new run."""
    if data is None:
        raise InputError("latens train expects DATA: a file, a folder of images or a built-in name such as digits")
    auto = model == plain.AUTO
    estimator = from_flags(None if auto else model, flags)
    source = read_data(data, reading)
    if auto:
        refuse_settings(flags | {"random_state": None, "device": None}, "--model auto compares densities as they are")
        with working("comparing densities"):
            estimator, compared = plain.choose(source)
    else:
        compared = []
    told = as_told(estimator, source)
    if not auto:
        set_up(estimator, told)
    path = Path(output) if output else runs.default_path(data, estimator)
    record = runs.record(data, reading, source, estimator, compared)
    if not leads():
        follow(Run(path), estimator, told)
        return None
    with runs.new(path, record, overwrite=overwrite) as run:
        fit(run, estimator, told)
        return finish(run, estimator, told, record)


def follow(run: Run, estimator: DensityEstimator, source: Source) -> None:
    """The share of a process that does not lead: in the training alone."""
    if isinstance(estimator, NeuralDensity):
        estimator._train(source, checkpoint=run.checkpoint)


def set_up(estimator: DensityEstimator, source: Source) -> None:
    """Refuses, before anything is written, what a network cannot be trained on."""
    if isinstance(estimator, NeuralDensity):
        estimator._set_up(source)
        estimator._recipe(len(source))


def resume(path: str, device: str | None) -> Answer | None:
    """Goes on with a run that was interrupted, to the same bits."""
    run = Run(path)
    record = run.record()
    if run.finished:
        if not leads():
            return None
        say(f"{run.path} is finished; there is nothing to go on with")
        run.close()
        return summary(run)
    source = read_again(run)
    estimator = read(record["estimator"])
    if isinstance(estimator, NeuralDensity):
        estimator.set_params(device=device or record["device"])
    source = as_told(estimator, source)
    set_up(estimator, source)
    if not leads():
        follow(run, estimator, source)
        return None
    fit(run, estimator, source)
    return finish(run, estimator, source, record)


def refuse_settings(given: dict[str, Any], why: str = "--resume goes on with the settings of the run") -> None:
    """Settings where none are taken."""
    names = [name if name.isupper() or name[0] == "-" else flag(name) for name, v in given.items() if v is not None]
    if names:
        raise InputError(f"{why}; leave out {', '.join(names)}")


def read_data(data: str, reading: dict[str, Any]) -> Source:
    """The rows, with a word on what was done to them."""
    with working(f"reading {data}") if leads() else nullcontext():
        return told(runs.read(data, **reading))


def read_again(run: Run) -> Source:
    """The rows that a run was trained on.

    Raises:
        InputError: they are not the same any more.
    """
    record = run.record()
    with working(f"reading {record['data']}") if leads() else nullcontext():
        source = runs.reread(record)
    runs.check_same(run, source, record["data"])
    return told(source)


def told(source: Source) -> Source:
    """Says what was done to the data on the way in."""
    if leads():
        for note in runs.notes(source):
            say(f"note: {note}")
    return source


def foretell(estimator: NeuralDensity, source: Source) -> None:
    """Says how long training will take, where that can be tried."""
    with working("timing a few steps"):
        seconds = training_seconds(estimator, source)
    if seconds is not None:
        say(f"training takes {forecast(seconds, source.schema.kind, estimator._device.type)}")


def fit(run: Run, estimator: DensityEstimator, source: Source) -> None:
    """Trains what is set up, from the checkpoint where there is one."""
    run.begin(run.record())
    if not isinstance(estimator, NeuralDensity):
        with working(f"fitting a {type(estimator).__name__}"):
            return plain.fit(estimator, source)
    try:
        if not run.checkpoint.exists():
            foretell(estimator, source)
        with ExitStack() as stack:
            estimator._train(source, checkpoint=run.checkpoint, listener=stack.enter_context(listening(run)))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"Go on with: {run.command()}") from None
    except OSError as error:
        if run.checkpoint.exists():
            say(f"note: what was learned so far is kept; go on with: {run.command()}")
        raise error


def finish(run: Run, estimator: DensityEstimator, source: Source, begun: dict[str, Any]) -> Answer:
    """The model, its figures, its pictures and its report; ``model.json`` comes last."""
    estimator.save(run.path)
    if isinstance(estimator, NeuralDensity):
        write_metrics(run, [numbers(row) for row in estimator.history_.rows])
    data = begun["data"]
    with working("judging it on held-out data, drawing samples"):
        study = examine(estimator, source, Path(data).name, begun.get("compared"))
        (write_pictures if study.schema.tokens is None else write_texts)(run, study)
        write_report(run.report, study)
    notes_of_data = {"notes": source.notes, "unreadable": dict(source.skipped)}
    about = {"format": runs.FORMAT, "data": data, "examples": len(source), "judged_on": study.judged_on}
    record = {**about, **study.about, "figures": study.figures, "compared": study.compared, **notes_of_data}
    runs.write_json(run.summary_file, record)
    run.close()
    return summary(run)


def write_pictures(run: Run, study: Study) -> None:
    """``samples/``: what the model draws, and originals beside what comes back; as numbers where they are no images."""
    schema = study.schema
    table = schema.kind in ("table", "words")
    ending = ".wav" if schema.audible else ".png" if drawable(schema) else ".csv" if table else ".npy"
    most = HEARD if schema.audible else None
    if study.originals is not None and study.reconstructions is not None:
        paired = np.stack([study.originals[:most], study.reconstructions[:most]], axis=1).reshape(-1, *schema.shape)
        write_array(run.samples / f"reconstructions{ending}", paired, schema)
    for name, rows in (("means", study.means), ("draws", study.draws)):
        if rows is not None:
            write_array(run.samples / f"{name}{ending}", rows[:most], schema)


def write_texts(run: Run, study: Study) -> None:
    """``samples/`` of text: each original and what comes back in two lines, and draws."""
    if study.originals is not None and study.reconstructions is not None:
        paired = [string for pair in zip(study.originals, study.reconstructions) for string in pair]
        write_strings(run.samples / "reconstructions.txt", paired)
    if study.draws is not None:
        write_strings(run.samples / "draws.txt", list(map(str, study.draws)))


def summary(run: Run) -> Answer:
    """What a finished run has reached."""
    about = json.loads(run.summary_file.read_text(encoding="utf-8"))
    files = {"model": run.path / FILE, "report": run.report}
    content = {"run": str(run.path), **{name: str(path) for name, path in files.items()}, **about}
    lines = [
        ("data", f"{about['examples']:,} x {about['summary']}"),
        *([("training", training(about["history"]))] if about["history"] else []),
        *compared_lines(about["compared"]),
        ("judged on", judged(about["figures"]["n"], about["judged_on"])),
        *figure_lines(about["figures"], about["schema"]["measured"]),
    ]
    closing = [f"model   {files['model']}", f"report  {files['report']}"]
    return Answer(content, lines, closing=closing)
