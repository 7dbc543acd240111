"""Run folders and saved models, opened; and data read as the model saw its own."""

from __future__ import annotations

import numpy as np

from latens.cli.runs import Run, holds_pictures, read
from latens.cli.screen import say, working
from latens.cli.train import notes
from latens.data import ArraySource, FolderSource, Schema, Source
from latens.neural import NeuralDensity
from latens.neural import load as load_model
from latens.neural.saving import FILE
from latens.utils import InputError


def open_model(path: str) -> NeuralDensity:
    """The estimator of a run folder or a file.

    Raises:
        InputError: there is none, it is damaged, or the run is not finished.
    """
    run = Run(path)
    if run.path.is_dir() and not (run.path / FILE).is_file():
        if run.exists:
            raise InputError(f"{path} is not finished; go on with: {run.command()}")
        raise InputError(f"{path} is not a run folder: it has no {FILE}")
    with working(f"opening {path}"):
        return load_model(path)


def read_like(estimator: NeuralDensity, data: str) -> Source:
    """Rows in the size and colours that the model was trained on.

    Raises:
        InputError: they cannot be brought to it.
    """
    schema = estimator.schema_
    with working(f"reading {data}"):
        size = (schema.shape[0], schema.shape[1]) if schema.kind == "image" and holds_pictures(data) else None
        source = read(data, size)
        if source.schema.shape != schema.shape and size is not None and schema.shape[2:] in ((), (3,)):
            source = FolderSource(data, size, "L" if len(schema.shape) == 2 else "RGB")
        source = _ordered(source, schema)
    for note in notes(source):
        say(f"note: {note}")
    if source.schema.shape != schema.shape:
        raise InputError(f"{data} holds {source.schema.summary}; the model was trained on {schema.summary}")
    return source


def _ordered(source: Source, schema: Schema) -> Source:
    """The columns of a table in the order of those fitted, where both have names."""
    given, fitted = source.schema.features, schema.features
    if given is None or fitted is None or given == fitted:
        return source
    missing = [name for name in fitted if name not in given]
    if missing:
        few = ", ".join(missing[:5])
        raise InputError(f"the data have no column {few}; the model was trained on {', '.join(fitted)}")
    rows = source.take(np.arange(len(source)))[:, [given.index(name) for name in fitted]]
    return ArraySource(rows, source.labels, names=source.names, features=fitted, notes=source.notes)


def columns(names: list[str]) -> Schema:
    """The schema of numbers with these names."""
    return Schema("table", (len(names),), "float64", 0.0, 0.0, features=tuple(names))


def label_of(estimator: NeuralDensity, label: str | None, n: int) -> object:
    """The class that ``--label`` names, for all; every class in turn where none is named; None without condition.

    Raises:
        InputError: no such class, or a model without condition.
    """
    condition = estimator.condition_
    if condition is None:
        if label is not None:
            raise InputError("--label is for a model trained with --condition y; this one was trained without")
        return None
    if label is None:
        return np.resize(np.asarray(condition.classes), n)
    found = [item for item in condition.classes if str(item) == label]
    if not found:
        raise InputError(f"--label is one of {', '.join(map(str, condition.classes))}; got {label}")
    return found[0]
