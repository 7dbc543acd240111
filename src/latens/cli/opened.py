"""Run folders and saved models, opened; and data read as the model saw its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from latens import load as load_model
from latens.cli.runs import Run, holds_pictures, notes, read
from latens.cli.screen import say, working
from latens.data import ArraySource, FolderSource, Schema, Source, load
from latens.data.compressed import ending
from latens.data.files import header
from latens.data.frames import is_frame
from latens.data.load import TABLES
from latens.data.table import as_numbers
from latens.data.text import is_documents
from latens.density import DensityEstimator
from latens.density.storage import FILE
from latens.neural import LatentDensity, NeuralDensity
from latens.utils import InputError


def open_model(path: str) -> DensityEstimator:
    """The estimator of a run folder or a file.

    Raises:
        InputError: there is none, it is damaged, it does not know its data, or the run is not finished.
    """
    run = Run(path)
    if run.path.is_dir() and not (run.path / FILE).is_file():
        if run.exists:
            raise InputError(f"{path} is not finished; go on with: {run.command()}")
        raise InputError(f"{path} is not a run folder: it has no {FILE}")
    with working(f"opening {path}"):
        estimator = load_model(path)
    if not hasattr(estimator, "schema_"):
        raise InputError(f"{path} was saved from Python without its data's schema; latens.load opens it there")
    return estimator


def open_latent(path: str, verb: str) -> LatentDensity:
    """The estimator of a run folder or a file, if it has a latent space.

    Raises:
        InputError: it has none; and as ``open_model``.
    """
    estimator = open_model(path)
    if not isinstance(estimator, LatentDensity):
        kind = type(estimator).__name__
        raise InputError(f"latens {verb} needs a latent space, as of a VAE or an AutoEncoder; {path} is a {kind}")
    return estimator


def as_told(estimator: DensityEstimator, source: Source) -> Source:
    """Rows as this estimator tells them: of a table in columns, where it has a head for each, else in one array."""
    fitted = getattr(estimator, "schema_", None)
    if isinstance(estimator, NeuralDensity) and estimator._has_heads and (fitted is None or fitted.columns is not None):
        return source
    return as_numbers(source)


def rows_for(estimator: DensityEstimator, source: Source) -> Any:
    """What its methods take: a network streams a source, all others have a table (n, d) in memory."""
    return source if isinstance(estimator, NeuralDensity) else table(source)


def table(source: Source) -> np.ndarray:
    """All rows, each as a line of numbers."""
    return source.take(np.arange(len(source))).reshape(len(source), source.schema.size)


def log_likelihoods(estimator: DensityEstimator, source: Source, k: int | None) -> np.ndarray:
    """log p(x) in nats; refused by an estimator without a density."""
    rows = rows_for(estimator, source)
    if k is None:
        return estimator.score_samples(rows)
    if not isinstance(estimator, LatentDensity):
        raise InputError(f"--k is for latent variables, which are drawn; a {type(estimator).__name__} scores exactly")
    return estimator.score_samples(rows, k=k)  # type: ignore[call-arg]


def read_like(estimator: DensityEstimator, data: str) -> Source:
    """Rows in the size and colours that the model was trained on.

    Raises:
        InputError: they cannot be brought to it.
    """
    schema = estimator.schema_
    with working(f"reading {data}"):
        reading = _reading(data, schema)
        source = read(data, **reading)
        if source.schema.shape != schema.shape and "size" in reading and schema.shape[2:] in ((), (3,)):
            source = FolderSource(data, reading["size"], "L" if len(schema.shape) == 2 else "RGB")
        source = _ordered(as_told(estimator, source), schema)
    for note in notes(source):
        say(f"note: {note}")
    if source.schema.shape != schema.shape:
        raise InputError(f"{data} holds {source.schema.summary}; the model was trained on {schema.summary}")
    return source


def _reading(data: str, schema: Schema) -> dict[str, Any]:
    """How to read data so that they are like those fitted."""
    if schema.kind == "image" and holds_pictures(data):
        return {"size": (schema.shape[0], schema.shape[1])}
    if schema.kind in ("signal", "words") or schema.columns is not None or schema.tokens is not None:
        return {"schema": schema}
    columns = _columns(data, schema)
    return {} if columns is None else {"columns": columns, "schema": schema}


def _columns(data: str, schema: Schema) -> list[str] | None:
    """The columns that were fitted, where the data are a file that has them all."""
    path = Path(data).expanduser()
    if schema.features is None or ending(path) not in TABLES or not path.is_file():
        return None
    return list(schema.features) if set(schema.features) <= set(header(path)) else None


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


def as_rows(estimator: DensityEstimator, drawn: Any) -> Any:
    """What an estimator draws, a frame, bags of words or an array, as rows of numbers; other strings as they are."""
    schema = estimator.schema_
    return drawn if schema.tokens is not None else np.asarray(unframed(schema, drawn)).reshape(-1, *schema.shape)


def unframed(schema: Schema, rows: Any) -> Any:
    """The rows of numbers that stand for the cells of a frame, or for bags of words; anything else as it is."""
    if not is_documents(rows) and (schema.columns is None or not is_frame(rows)):
        return rows
    source = load(rows, schema=schema)
    return source.take(np.arange(len(source)))


def columns(names: list[str]) -> Schema:
    """The schema of numbers with these names."""
    return Schema("table", (len(names),), "float64", 0.0, 0.0, features=tuple(names))


def label_of(estimator: DensityEstimator, label: str | None, n: int) -> object:
    """The class that ``--label`` names, for all; every class in turn where none is named; None without condition.

    Raises:
        InputError: no such class, or a model without condition.
    """
    condition = getattr(estimator, "condition_", None)
    if condition is None:
        if label is not None:
            raise InputError("--label is for a model trained with --condition y; this one was trained without")
        return None
    if label is None:
        return condition.examples(n)
    try:
        return condition.read(label)
    except InputError as error:
        raise InputError(f"--label: {error}") from None
