"""From whatever a user has to a `Source`."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from latens.data.arrays import load_npy, load_npz, split_member
from latens.data.compressed import ending
from latens.data.files import load_csv, load_parquet
from latens.data.folders import find_files
from latens.data.frames import ALIKE, Columns, chosen, is_frame, load_frame
from latens.data.idx import find_idx, is_idx, load_idx
from latens.data.images import ENDINGS, load_images
from latens.data.schema import Schema
from latens.data.sequences import Sequences, sequences
from latens.data.sound.files import ENDINGS as SOUNDS
from latens.data.sound.recordings import audio, pieces
from latens.data.sound.views import AudioView, Windows
from latens.data.source import ArraySource, Source, of_kind
from latens.data.sparse import SparseSource, is_sparse, read_matrix
from latens.data.text import TABLES as COLUMNS
from latens.data.text import Documents, are_long, holds_documents, is_documents, is_text_file, read_documents
from latens.data.windows import windows
from latens.data.words import bag_of_words
from latens.utils.errors import InputError

BUDGET = 512 * 2**20
BUILTINS = ("breast_cancer", "diabetes", "digits", "iris", "wine")

TABLES: dict[str, Callable[[Path, int, Columns, Schema | None], Source]] = {
    ".csv": load_csv,
    ".tsv": load_csv,
    ".parquet": load_parquet,
}
"""Endings of files whose columns may have names."""


def load(
    data: Any,
    *,
    size: int | tuple[int, int] | None = None,
    columns: Columns = None,
    kind: str | None = None,
    schema: Schema | None = None,
    view: AudioView | Windows | None = None,
    memory: int = BUDGET,
) -> Source:
    """A `Source` of whatever holds the data.

    Args:
        data: an array of shape (n, d), (n, H, W) or (n, H, W, C), a list of rows or of strings, a pandas or polars
            frame, a sparse matrix, the path of a ``.npy``, ``.npz`` (or ``file.npz:name``), ``.mtx``, idx, ``.csv``,
            ``.parquet`` or ``.txt`` file (a string a line) or of a folder of images, of sound or of ``.txt``, a
            built-in name (``digits``, ``iris``, ``wine``, ``breast_cancer``, ``diabetes``), or a source.
        size: height and width (or one number for both) that image files are brought to; by default their own.
        columns: the names of the columns of a table to take, in this order; all by default.
        kind: what the rows are, where their shape does not say it: "signal" for (n, T) or (n, T, C); "words" for counts
            of words (n, d) and for strings to be counted, "text" for strings as they are: by default those are counted
            that are long.
        schema: what a model was fitted on: the columns of a table are read under it, by name, strings in its symbols
            or words; recordings as they were.
        view: how recordings become rows: ``Windows(256, 128)`` cuts long ones, ``LogMel()`` and ``Waveform()`` are
            for files of sound.
        memory: the most bytes to hold; what is larger stays on the disk.

    Raises:
        InputError: nothing is there, or it cannot be read, in one line that says why.

    Example:
        >>> source = load("digits")
        >>> len(source), source.schema.summary
        (1797, '8x8 images, float64, 17 levels from 0 to 16')
    """
    if schema is not None and schema.kind == "signal":
        return _like(data, schema, memory)
    if schema is not None and schema.kind == "words" and _is_text(data, "words"):
        return bag_of_words(data, vocabulary=schema.features)
    if schema is None and _is_text(data, kind):
        documents = read_documents(data)
        counted = kind == "words" or (kind is None and are_long(documents.texts))
        return bag_of_words(documents) if counted else _text(documents)
    if view is not None:
        return _viewed(data, view, columns, memory)
    source = _loaded(data, size, columns, schema if kind is None else ALIKE, memory)
    if isinstance(source, Sequences) and schema is not None:
        source = source.read_as(schema)
    return source if kind is None else of_kind(source, kind)


def _is_text(data: Any, kind: str | None) -> bool:
    """Whether these are strings, or a path to some; a table is one only where that is said."""
    if not isinstance(data, str | os.PathLike):
        return is_documents(data)
    path = Path(os.fspath(data)).expanduser()
    if path.is_dir():
        return holds_documents(path) and not find_files(path, ENDINGS)
    return (is_text_file(path) and path.is_file()) or (kind in ("words", "text") and ending(path) in COLUMNS)


def _like(data: Any, schema: Schema, memory: int) -> Source:
    """Signals, windows and recordings as they were read then.

    >>> schema = windows(np.arange(12.0), 4).schema
    >>> load(np.arange(9.0), schema=schema).schema.shape, load(np.zeros((3, 4)), schema=schema).schema.shape
    ((4,), (4,))
    """
    if schema.view is None or isinstance(data, Source):
        return load(data, kind="signal", memory=memory)
    if _is_sound(data):
        return load(data, view=schema.view, memory=memory)
    source = _loaded(data, None, None, ALIKE, memory)
    return of_kind(source, "signal") if source.schema.shape == schema.shape else load(source, view=schema.view)


def _viewed(data: Any, view: AudioView | Windows, columns: Columns, memory: int) -> Source:
    """Recordings as rows."""
    if _is_sound(data):
        path = Path(os.fspath(data)).expanduser()
        if isinstance(view, AudioView):
            return audio(path, view=view, memory=memory)
        return pieces(path, view)
    if isinstance(view, AudioView):
        raise InputError(f"{view} is a view of files of sound; waveforms are given with their rate, by data.audio")
    source = _loaded(data, None, columns, ALIKE, memory)
    rows = source.X if isinstance(source, ArraySource) else source.take(np.arange(len(source)))
    return windows(list(rows) if rows.ndim == 3 else rows, view.length, view.hop, rate=view.rate)


def _is_sound(data: Any) -> bool:
    """Whether this is the path of a file of sound, or of a folder that holds more of them than of images."""
    if not isinstance(data, str | os.PathLike):
        return False
    path = Path(os.fspath(data)).expanduser()
    if not path.is_dir():
        return path.suffix.lower() in SOUNDS and path.exists()
    return len(find_files(path, SOUNDS)) > len(find_files(path, ENDINGS))


def _loaded(
    data: Any, size: int | tuple[int, int] | None, columns: Columns, schema: Schema | None, memory: int
) -> Source:
    if is_documents(data):
        if schema is not None and schema.tokens is not None:
            return Sequences(list(data), schema.tokens, schema.shape[0])
        return _text(read_documents(data))
    if is_frame(data):
        return load_frame(data, memory, columns, schema)
    if isinstance(data, str | os.PathLike):
        path = Path(os.fspath(data)).expanduser()
        if ending(path) in TABLES and path.is_file():
            return TABLES[ending(path)](path, memory, columns, schema)
        return _select(_from_path(os.fspath(data), size, memory), columns)
    if is_sparse(data):
        return _select(SparseSource(data), columns)
    return _select(data if isinstance(data, Source) else ArraySource(_array(data)), columns)


def _select(source: Source, columns: Columns) -> Source:
    """Some columns of a table that has names."""
    if columns is None:
        return source
    names = source.schema.features
    if names is None:
        raise InputError(f"columns are named, but those of the data have no names: {source.schema.summary}")
    kept = chosen(names, columns)
    rows = source.take(np.arange(len(source)))[:, [names.index(name) for name in kept]]
    return ArraySource(rows, source.labels, names=source.names, features=kept, notes=source.notes)


def _from_path(name: str, size: int | tuple[int, int] | None, memory: int) -> Source:
    path = Path(name).expanduser()
    if name in BUILTINS and not path.exists():
        return _builtin(name)
    file, member = split_member(path)
    if file.suffix.lower() == ".npz" and file.is_file():
        return load_npz(file, member)
    if not path.exists():
        raise InputError(_no_such(path))
    if path.is_dir():
        images = find_idx(path)
        if images:
            return load_idx(images, memory)
        return audio(path, memory=memory) if _is_sound(path) else load_images(path, size=size, memory=memory)
    return _from_file(path, size, memory)


def _from_file(path: Path, size: int | tuple[int, int] | None, memory: int) -> Source:
    suffix = path.suffix.lower()
    if is_text_file(path):
        return _text(read_documents(path))
    if suffix == ".npy":
        return load_npy(path, memory)
    if path.name.lower().endswith((".mtx", ".mtx.gz")):
        return read_matrix(path)
    if suffix in ENDINGS:
        return load_images(path, size=size, memory=memory)
    if suffix in SOUNDS:
        return audio(path, memory=memory)
    if is_idx(path):
        return load_idx(path, memory)
    known = ", ".join([".npy", *TABLES, ".npz", ".mtx", ".txt"])
    raise InputError(f"cannot tell what {path} is; read are {known}, idx files, images, sound, and folders of them")


def _text(documents: Documents) -> Source:
    """Lines as sequences of symbols."""
    about: dict[str, Any] = {name: getattr(documents, name) for name in ("labels", "names", "skipped", "notes")}
    return sequences(documents.texts, **about)


def _no_such(path: Path) -> str:
    existing = next(item for item in [path.parent, *path.parent.parents] if item.is_dir())
    if existing != path.parent:
        return f"there is no {path}: the folder {path.parent} does not exist"
    names = {item.name.lower(): item.name for item in existing.iterdir() if not item.name.startswith(".")}
    known = {**names, **({name: name for name in BUILTINS} if path.parent == Path() else {})}
    near = difflib.get_close_matches(path.name.lower(), known, n=1)
    return f"there is no {path}" + (f"; did you mean {path.with_name(known[near[0]])}?" if near else "")


def _builtin(name: str) -> Source:
    from sklearn import datasets

    loaded = getattr(datasets, f"load_{name}")()
    if name == "digits":
        return ArraySource(loaded.images, loaded.target)
    labels = None if name == "diabetes" else np.asarray(loaded.target_names)[loaded.target]
    return ArraySource(loaded.data, labels, features=loaded.feature_names)


def _array(data: Any) -> np.ndarray:
    try:
        X = np.asarray(data)
    except (ValueError, TypeError, RuntimeError) as error:
        reason = "its rows differ in length" if "inhomogeneous" in str(error) else str(error).splitlines()[0]
        raise InputError(f"cannot make an array of the data: {reason}") from None
    if X.dtype.kind in "US":
        raise InputError("the data are text; numbers are expected")
    return X
