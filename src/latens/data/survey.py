"""Data are read once, whole, in pieces, to say what they are; nothing is decided from a sample."""

from __future__ import annotations

from typing import Any

import numpy as np

from latens.data.schema import CHUNK, Lattice, Schema
from latens.utils.errors import InputError
from latens.utils.validation import place_of

FRACTIONS = (Lattice(0.0, 1 / 255, 256), Lattice(0.0, 1 / 16, 17), Lattice(-1.0, 2 / 255, 256))
FEWEST_FRACTIONS = 8
MOST_LEVELS = 65536
FULL_SCALES = (255, 65535)


class Survey:
    """Reads data in pieces and tells the `Schema` of the whole.

    Args:
        shape: the shape of one example.
        dtype: the type of the numbers.
        kind: "image", "signal", "table" or "array"; chosen from the shape when None.

    Attributes:
        missing: in how many examples each entry is NaN; None where none is.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, kind: str | None = None) -> None:
        self.shape, self.dtype = tuple(int(n) for n in shape), np.dtype(dtype)
        self.kind = kind or infer_kind(self.shape)
        self.rows = self.entries = 0
        self.missing: np.ndarray | None = None
        self.low, self.high = np.inf, -np.inf
        self.few: list[float] = []
        self.integral = True
        self.histogram = np.zeros(0, dtype=np.int64)
        self.fractions = {item: np.zeros(item.levels, bool) for item in FRACTIONS if self.dtype.kind == "f"}

    def update(self, X: np.ndarray) -> None:
        """Read some more examples.

        Raises:
            InputError: an entry is infinite.
        """
        low, high = (float(X.min()), float(X.max())) if X.size else (0.0, 0.0)
        values = X.reshape(-1) if np.isfinite(low) and np.isfinite(high) else self._finite(X)
        self.rows += len(X)
        self.entries += values.size
        if values.size:
            self._extend(values)

    def update_sparse(self, X: Any) -> None:
        """Read a sparse matrix in compressed rows (n, d): what is not stored is 0.

        Raises:
            InputError: an entry is infinite.
        """
        infinite, gaps = np.isinf(X.data), np.isnan(X.data)
        if infinite.any():
            at = int(np.argmax(infinite))
            place = int(np.searchsorted(X.indptr, at, "right") - 1), int(X.indices[at])
            raise InputError(f"the data hold infinity at {place_of(place)}; remove or replace it")
        if gaps.any():
            self.missing = np.bincount(X.indices[gaps], minlength=X.shape[1])
        zeros = X.shape[0] * X.shape[1] - X.nnz
        self.rows, self.entries = X.shape[0], X.shape[0] * X.shape[1] - int(gaps.sum())
        for values in (X.data[~gaps], np.zeros(min(zeros, 1), X.dtype)):
            if values.size:
                self._extend(values)
        if zeros and len(self.histogram):
            self.histogram[0] += zeros - 1

    def _finite(self, X: np.ndarray) -> np.ndarray:
        infinite = np.argwhere(np.isinf(X))
        if len(infinite):
            row, *rest = (int(i) for i in infinite[0])
            raise InputError(f"the data hold infinity at {place_of((self.rows + row, *rest))}; remove or replace it")
        gaps = np.isnan(X)
        self.missing = gaps.sum(0) + (0 if self.missing is None else self.missing)
        return X[~gaps]

    def _extend(self, values: np.ndarray) -> None:
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        self._collect_few(values)
        if self.dtype.kind == "f":
            self.integral = self.integral and bool(np.all(values == np.rint(values)))
            self._keep_fractions(values)
        if self._may_be_counts() and self.low >= 0 and self.high < MOST_LEVELS:
            counted = np.bincount(values.astype(np.int64), minlength=len(self.histogram))
            counted[: len(self.histogram)] += self.histogram
            self.histogram = counted

    def _collect_few(self, values: np.ndarray) -> None:
        while len(self.few) < 3:
            for known in self.few:
                values = values[values != known]
            if not values.size:
                return
            self.few.append(float(values[0]))

    def _keep_fractions(self, values: np.ndarray) -> None:
        for lattice, seen in list(self.fractions.items()):
            inside = self.low >= lattice.low - lattice.step and self.high <= lattice.high + lattice.step
            if not inside or not lattice.index(values[:64])[1].all() or not lattice.index(values)[1].all():
                del self.fractions[lattice]
            elif seen.sum() < FEWEST_FRACTIONS:
                seen[lattice.index(values)[0].astype(np.intp)] = True

    def schema(self, features: tuple[str, ...] | None = None, classes: tuple[str | int, ...] | None = None) -> Schema:
        """What has been read."""
        lattice = self._lattice() if self.entries else None
        low, high = (lattice.low, lattice.high) if lattice else (self.low, self.high)
        return Schema(
            self.kind,
            self.shape,
            self.dtype.name,
            low if self.entries else 0.0,
            high if self.entries else 0.0,
            lattice.levels if lattice else None,
            lattice.step if lattice else 1.0,
            counts=lattice is None and self.entries > 0 and self._counts(),
            has_missing=self.missing is not None,
            features=features,
            classes=classes,
        )

    def _lattice(self) -> Lattice | None:
        if self.kind == "words":
            return None
        if self.dtype.kind == "b":
            return Lattice(0.0, 1.0, 2)
        two = self._two_levels()
        if two is not None:
            return two
        if self.dtype == np.uint8:
            return Lattice(0.0, 1.0, 256)
        if not self.integral:
            return next((item for item, seen in self.fractions.items() if seen.sum() >= FEWEST_FRACTIONS), None)
        return None if self._counts() else self._integers()

    def _two_levels(self) -> Lattice | None:
        values = set(self.few)
        for high in (1.0, *map(float, FULL_SCALES)):
            if values == {0.0, high}:
                return Lattice(0.0, high, 2)
        return Lattice(-1.0, 2.0, 2) if values == {-1.0, 1.0} else None

    def _integers(self) -> Lattice | None:
        if self.dtype.kind == "f" and self.low == self.high:
            return None
        image = self.kind == "image" and self.low >= 0
        low = 0.0 if image else self.low
        high = 255.0 if image and 128 <= self.high <= 255 else self.high
        levels = int(min(high - low, MOST_LEVELS)) + 1
        return Lattice(low, 1.0, max(levels, 2)) if levels <= MOST_LEVELS else None

    def _counts(self) -> bool:
        """Whole numbers from 0 on, spread as counts are and with a tail that goes on rather than the end of a scale."""
        if self.kind == "words":
            return self._are_counts()
        if not self._may_be_counts() or self.low < 0 or self.high in FULL_SCALES or len(self.few) < 3:
            return False
        if self.high >= MOST_LEVELS:
            return True
        values, share = np.arange(len(self.histogram)), self.histogram / self.entries
        mean = float(values @ share)
        tail = share[values > self.high - 0.1 * (self.high - self.low)].sum()
        return bool(tail < 0.025 and (values - mean) ** 2 @ share > 0.9 * mean)

    def _are_counts(self) -> bool:
        """That they are, as is said of words.

        Raises:
            InputError: they are not.
        """
        if self.low < 0 or not self.integral:
            raise InputError(f"words are counted: 0, 1, 2, ...; got values from {self.low:g} to {self.high:g}")
        return True

    def _may_be_counts(self) -> bool:
        return self.kind != "image" and self.integral and self.dtype.kind in "iuf" and self.dtype != np.uint8


def infer_kind(shape: tuple[int, ...]) -> str:
    """The kind that examples of this shape have unless told otherwise.

    >>> infer_kind((28, 28)), infer_kind((64, 64, 3)), infer_kind((6,)), infer_kind((3, 64, 64))
    ('image', 'image', 'table', 'array')
    """
    if len(shape) == 1:
        return "table"
    return "image" if len(shape) == 2 or (len(shape) == 3 and shape[-1] <= 4) else "array"


def survey(X: np.ndarray, kind: str | None = None) -> Survey:
    """All of an array, in memory or mapped from a file, read in pieces."""
    read = Survey(X.shape[1:], X.dtype, kind)
    rows = max(CHUNK // max(X[:1].nbytes, 1), 1)
    for start in range(0, len(X), rows):
        read.update(np.asarray(X[start : start + rows]))
    return read


def infer_schema(X: np.ndarray, kind: str | None = None) -> Schema:
    """The schema of an array of examples, read whole.

    Example:
        >>> infer_schema(np.arange(20, dtype=np.uint8).reshape(5, 2, 2))
        Schema('image', (2, 2), 'uint8', 0.0, 255.0, 256)
    """
    return survey(X, kind).schema()
