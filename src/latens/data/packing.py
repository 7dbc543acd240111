"""Columns of numbers, held in as few bytes as keep them exactly: in memory, or in an unnamed file if they are many."""

from __future__ import annotations

from tempfile import TemporaryFile
from typing import IO

import numpy as np

_PIECE = 1 << 20
"""Numbers that are copied at once."""


class Store:
    """A column that grows, piece by piece.

    Places among few levels take a byte, numbers that single precision tells exactly four, all others eight.

    Example:
        >>> store = Store(levels=3)
        >>> store.append(np.array([0.0, np.nan, 2.0]))
        >>> column = store.done()
        >>> column.dtype, unpacked(column, np.array([1, 2]))
        (dtype('uint8'), array([nan,  2.]))
    """

    def __init__(self, levels: int | None = None) -> None:
        small = None if levels is None else next((t for t in (np.uint8, np.uint16) if levels <= np.iinfo(t).max), None)
        self.dtype = np.dtype(np.float32 if small is None else small)
        self.pieces: list[np.ndarray] = []
        self.file: IO[bytes] | None = None
        self.length = 0

    @property
    def nbytes(self) -> int:
        """What it holds in memory."""
        return sum(piece.nbytes for piece in self.pieces)

    def append(self, values: np.ndarray) -> None:
        """Some more entries, (n,) float64, NaN where missing."""
        if self.dtype.kind == "f":
            if self.dtype == np.float32 and not _is_single(values):
                self._widen()
            packed = values.astype(self.dtype)
        else:
            packed = np.where(np.isnan(values), _gap(self.dtype), values).astype(self.dtype)
        self.length += len(packed)
        if self.file is None:
            self.pieces.append(packed)
        else:
            self.file.write(packed.tobytes())

    def spill(self) -> None:
        """From here on it is kept in a file, which goes when nothing needs it any more."""
        if self.file is None:
            self.file, pieces, self.pieces = TemporaryFile(), self.pieces, []  # noqa: SIM115
            for piece in pieces:
                self.file.write(piece.tobytes())

    def _widen(self) -> None:
        old, self.dtype = self.dtype, np.dtype(np.float64)
        self.pieces = [piece.astype(self.dtype) for piece in self.pieces]
        if self.file is not None and self.length:
            narrow, self.file = self._mapped(self.file, old), TemporaryFile()  # noqa: SIM115
            for start in range(0, len(narrow), _PIECE):
                self.file.write(narrow[start : start + _PIECE].astype(self.dtype).tobytes())

    def _mapped(self, file: IO[bytes], dtype: np.dtype) -> np.ndarray:
        with file:  # what is mapped stays
            file.flush()
            return np.memmap(file, dtype, mode="r", shape=(self.length,))

    def done(self) -> np.ndarray:
        """The whole column."""
        if self.file is not None and self.length:
            return self._mapped(self.file, self.dtype)
        return np.concatenate(self.pieces) if self.pieces else np.empty(0, self.dtype)


def _gap(dtype: np.dtype) -> int:
    """What stands for a missing entry among whole numbers."""
    return int(np.iinfo(dtype.name).max)


def _is_single(values: np.ndarray) -> bool:
    with np.errstate(over="ignore"):
        return bool(np.array_equal(values.astype(np.float32).astype(np.float64), values, equal_nan=True))


def unpacked(column: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Entries of a packed column, float64, NaN where missing."""
    values = column[indices]
    found = values.astype(np.float64)
    if values.dtype.kind != "f":
        found[values == _gap(values.dtype)] = np.nan
    return found
