"""Sources: rows of data in the user's own units, taken by their numbers, wherever they lie."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from latens.data.schema import KINDS, Schema
from latens.data.survey import survey
from latens.utils.errors import InputError
from latens.utils.validation import check_choice

_WIDE, _FEW, _LOOKED_AT, _ALIKE = 24, 8, 500, 0.9
"""Columns and rows, at least, rows at most, and the correlation at least, of a table that looks like signals."""


class Source(ABC):
    """Rows that can be taken by number, in the user's units and layout.

    Attributes:
        schema: what one row is.
        labels: one integer or string per row, or None.
        names: one name per row (a file's, say), or None.
        skipped: what could not be read, and why, as (name, reason).
        notes: what was done to the data on the way in, one line each.
        in_memory: whether the rows lie in memory.
        missing: how many rows lack each entry, in the shape of a row; None where none is missing, or not known.
    """

    schema: Schema
    labels: np.ndarray | None = None
    names: list[str] | None = None
    skipped: list[tuple[str, str]]
    notes: list[str]
    in_memory: bool = True
    missing: np.ndarray | None = None

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def take(self, indices: np.ndarray) -> np.ndarray:
        """The rows of these numbers, shape (len(indices), \\*schema.shape), contiguous."""

    @property
    def nbytes(self) -> int:
        """How many bytes all rows would fill."""
        return len(self) * self.schema.size * np.dtype(self.schema.dtype).itemsize

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """All rows in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.take(np.arange(start, min(start + size, len(self))))


class ArraySource(Source):
    """An array, in memory or mapped from a file.

    Every row is looked at once, in pieces, so a mapped file is not loaded.

    Args:
        X: numbers, shape (n, ...).
        labels: n integers or strings.
        names: n strings.
        features: the names of a table's columns.
        kind: "image", "signal", "table", "words" or "array"; chosen from the shape when None.
        skipped, notes: as in `Source`.

    Raises:
        InputError: no numbers, or an infinity.

    Example:
        >>> source = ArraySource(np.array([[0.5, 1.0], [2.0, -1.0]]))
        >>> len(source), source.take(np.array([1])), source.schema.summary
        (2, array([[ 2., -1.]]), 'rows of 2 numbers, float64, continuous, seen -1 to 2')
    """

    def __init__(
        self,
        X: np.ndarray,
        labels: Any = None,
        *,
        names: Sequence[str] | None = None,
        features: Sequence[str] | None = None,
        kind: str | None = None,
        skipped: Sequence[tuple[str, str]] = (),
        notes: Sequence[str] = (),
    ) -> None:
        self.X = _numbers(X)
        self.labels = None if labels is None else _labels(labels, len(self.X))
        self.names = None if names is None else list(names)
        self.skipped, self.notes = list(skipped), [*notes, *_layout_note(self.X.shape)]
        if kind is None and features is None:
            self.notes += _signal_note(self.X)
        self.in_memory = not isinstance(self.X, np.memmap)
        columns = None if features is None else tuple(map(str, features))
        read = survey(self.X, kind)
        self.schema, self.missing = replace(read.schema(columns), classes=class_names(self.labels)), read.missing

    def __len__(self) -> int:
        return len(self.X)

    def take(self, indices: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(self.X[np.asarray(indices)])


class Subset(Source):
    """Some rows of another source, under its schema."""

    def __init__(self, source: Source, indices: np.ndarray) -> None:
        self.source, self.indices = source, np.asarray(indices)
        self.schema, self.in_memory = source.schema, source.in_memory
        self.labels = None if source.labels is None else source.labels[self.indices]
        self.names = None if source.names is None else [source.names[i] for i in self.indices]
        self.skipped, self.notes = source.skipped, source.notes

    def __len__(self) -> int:
        return len(self.indices)

    def take(self, indices: np.ndarray) -> np.ndarray:
        return self.source.take(self.indices[np.asarray(indices)])


def of_kind(source: Source, kind: str) -> Source:
    """The same rows, told to be of this kind.

    Raises:
        InputError: no such kind, or rows that cannot be of it.

    >>> of_kind(ArraySource(np.zeros((5, 140))), "signal").schema.summary
    'signals of 140 steps, float64, continuous, seen 0 to 0'
    """
    if source.schema.kind == kind:
        return source
    check_choice("kind", kind, tuple(KINDS))
    axes, shape = max(KINDS[kind], 1), source.schema.shape
    if kind != "array" and not axes <= len(shape) <= axes + (kind not in ("table", "words")):
        raise InputError(f"rows of shape {shape} cannot be of the kind {kind!r}, whose {_AXES[kind]}")
    if kind == "signal" and shape[0] == 1:
        raise InputError("rows of one step are no signals; one long recording is cut into windows, say of 256 steps")
    X: Any = getattr(source, "X", None)
    sparse = hasattr(X, "toarray")
    make: Any = type(source) if sparse else ArraySource
    X = X if sparse or isinstance(source, ArraySource) else source.take(np.arange(len(source)))
    about = {"names": source.names, "features": source.schema.features if kind in ("table", "words") else None}
    return make(X, source.labels, **about, kind=kind, skipped=source.skipped, notes=source.notes)


_AXES = {
    "image": "examples are (H, W) or (H, W, C)",
    "signal": "examples are (T,) or (T, C)",
    "table": "examples are (d,)",
    "words": "examples are (d,), a count for each word",
}


def class_names(labels: np.ndarray | None) -> tuple[str | int, ...] | None:
    """The different labels, sorted."""
    return None if labels is None else tuple(np.unique(labels).tolist())


def _numbers(X: np.ndarray) -> np.ndarray:
    if X.dtype.kind not in "biuf" or X.dtype.itemsize > 8:
        raise InputError(f"the data must hold integers, floats or booleans; got {_type_name(X.dtype)}")
    if X.ndim == 0:
        raise InputError("the data must hold rows; got a single number")
    if X.ndim == 1:
        X = X[:, None]
    if 0 in X.shape[1:]:
        raise InputError(f"each row must hold at least one number; got an array of shape {X.shape}")
    return X if X.dtype.isnative else X.astype(X.dtype.newbyteorder("="))


def _layout_note(shape: tuple[int, ...]) -> list[str]:
    if len(shape) == 4 and shape[1] in (1, 3, 4) and shape[3] > 4:
        return [f"rows of shape {shape[1:]} are taken as arrays; images have their channels last, as in (n, H, W, C)"]
    return []


def _signal_note(X: np.ndarray) -> list[str]:
    """Columns of which each follows from the one before it are hardly a table.

    >>> _signal_note(np.sin(np.linspace(0, 6, 50) + np.arange(20)[:, None]))
    ["neighbouring columns are alike (correlation 0.99): where each row is a signal, say so with kind='signal'"]
    """
    if X.ndim != 2 or X.shape[1] < _WIDE or X.dtype.kind != "f" or len(X) < _FEW:
        return []
    rows = np.asarray(X[:: -(-len(X) // _LOOKED_AT)], np.float64)
    size = float(np.abs(rows).max())
    if not 0 < size < np.inf:
        return []
    centred = rows / size - (rows / size).mean(0)
    left, right = centred[:, :-1], centred[:, 1:]
    spread = np.sqrt(np.square(left).sum(0) * np.square(right).sum(0))
    alike = float(np.mean((left * right).sum(0)[spread > 0] / spread[spread > 0])) if spread.any() else 0.0
    if alike < _ALIKE:
        return []
    found = f"neighbouring columns are alike (correlation {alike:.2f})"
    return [f"{found}: where each row is a signal, say so with kind='signal'"]


def _type_name(dtype: np.dtype) -> str:
    kinds = {"O": "objects (mixed or ragged rows)", "U": "text", "S": "bytes", "c": "complex numbers", "V": "records"}
    return kinds.get(dtype.kind, f"{dtype.name}")


def _labels(labels: Any, count: int) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.shape != (count,):
        raise InputError(f"there are {count} rows but labels of shape {labels.shape}")
    if labels.dtype.kind == "f" and np.all(labels == np.rint(labels)):
        return labels.astype(np.int64)
    return labels
