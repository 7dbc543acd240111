"""What one example is, as the user gave it: its shape, its numbers, and the measure a density of them refers to.

Numbers that lie on a lattice ``low + step * {0, ..., levels - 1}`` have probabilities (the counting measure), as have
unbounded counts; all others have densities (Lebesgue's). `Survey` reads any amount of data once, in pieces, and
says which; nothing is decided from a sample.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from latens.utils.errors import InputError
from latens.utils.validation import place_of
from latens.utils.value import Value

KINDS = ("image", "table", "array")


@dataclass(frozen=True, repr=False)
class Schema(Value):
    """One example: its kind, shape and type, and where its numbers lie.

    Args:
        kind: "image" (H, W) or (H, W, C), "table" (d,), or "array" (any other shape).
        shape: the shape of one example.
        dtype: NumPy's name of the type, e.g. "uint8".
        low, high: the ends of the lattice; without one, the smallest and largest finite entry seen.
        levels: how many values an entry can take, on the lattice ``low + step * {0, ..., levels - 1}``; None when
            continuous or unbounded.
        step: the distance of two levels.
        counts: non-negative integers without an upper bound.
        has_missing: NaN was seen.
        features: the names of a table's columns.
        classes: the names of the labels.

    Example:
        >>> infer_schema(np.zeros((5, 28, 28), dtype=np.uint8) + np.arange(5, dtype=np.uint8)[:, None, None])
        Schema('image', (28, 28), 'uint8', 0.0, 255.0, 256)
    """

    kind: str
    shape: tuple[int, ...]
    dtype: str
    low: float
    high: float
    levels: int | None = None
    step: float = 1.0
    counts: bool = field(default=False, kw_only=True)
    has_missing: bool = field(default=False, kw_only=True)
    features: tuple[str, ...] | None = field(default=None, kw_only=True)
    classes: tuple[str | int, ...] | None = field(default=None, kw_only=True)

    @property
    def discrete(self) -> bool:
        """Whether an entry has a probability (counting measure) rather than a density (Lebesgue's)."""
        return self.levels is not None or self.counts

    @property
    def size(self) -> int:
        """How many numbers one example holds."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def support(self) -> tuple[float, float]:
        """The smallest and largest value an entry can take."""
        if self.levels is not None:
            return self.low, self.high
        return (0.0, float("inf")) if self.counts else (float("-inf"), float("inf"))

    def describe(self) -> dict[str, Any]:
        """What a person wants to know, by name, ready for JSON."""
        return {
            "kind": self.kind,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "range": [self.low, self.high],
            "values": self.values,
            "missing": self.has_missing,
            "features": None if self.features is None else list(self.features),
            "classes": None if self.classes is None else list(self.classes),
        }

    @property
    def values(self) -> str:
        """The set an entry lies in, in words.

        >>> Schema("table", (3,), "float64", 0.0, 1.0, 256, 1 / 255).values
        '256 levels from 0 to 1'
        """
        if self.counts:
            return "counts 0, 1, 2, ..."
        if self.levels is None:
            return "continuous"
        first, last = self.support
        if self.levels == 2:
            return f"{{{first:g}, {last:g}}}"
        return f"{self.levels} levels from {first:g} to {last:g}"

    @property
    def summary(self) -> str:
        """One line.

        >>> Schema("image", (28, 28), "uint8", 0.0, 255.0, 256).summary
        '28x28 images, uint8, 256 levels from 0 to 255'
        """
        sizes = "x".join(map(str, self.shape))
        kinds = {"image": f"{sizes} images", "table": f"rows of {self.size} numbers", "array": f"{sizes} arrays"}
        seen = f", seen {self.low:g} to {self.high:g}" if self.levels is None else ""
        gaps = ", with missing values" if self.has_missing else ""
        return f"{kinds[self.kind]}, {self.dtype}, {self.values}{seen}{gaps}"


@dataclass(frozen=True)
class Lattice:
    """``low + step * {0, ..., levels - 1}``, in floating point."""

    low: float
    step: float
    levels: int

    @property
    def high(self) -> float:
        return self.low + self.step * (self.levels - 1)

    def index(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The nearest level of each value, as a number, and whether the value lies on it but for rounding."""
        with np.errstate(over="ignore", invalid="ignore"):
            position = (values.astype(np.float64) - self.low) / self.step
        nearest = np.rint(position)
        return nearest, (np.abs(position - nearest) <= self._tolerance(values.dtype)) & self._inside(nearest)

    def _inside(self, level: np.ndarray) -> np.ndarray:
        return (level >= 0) & (level < self.levels)

    def _tolerance(self, dtype: np.dtype) -> float:
        if dtype.kind != "f" or self.step == int(self.step):
            return 0.0
        return max(1e-4, 0.6 * self.levels * float(np.finfo(dtype).eps))


FRACTIONS = (Lattice(0.0, 1 / 255, 256), Lattice(0.0, 1 / 16, 17), Lattice(-1.0, 2 / 255, 256))
FEWEST_FRACTIONS = 8
MOST_LEVELS = 65536
FULL_SCALES = (255, 65535)
CHUNK = 16 * 2**20


class Survey:
    """Reads data in pieces and tells the `Schema` of the whole.

    Args:
        shape: the shape of one example.
        dtype: the type of the numbers.
        kind: "image", "table" or "array"; chosen from the shape when None.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, kind: str | None = None) -> None:
        self.shape, self.dtype = tuple(int(n) for n in shape), np.dtype(dtype)
        self.kind = kind or infer_kind(self.shape)
        self.rows = self.entries = self.missing = 0
        self.low, self.high = np.inf, -np.inf
        self.few: list[float] = []
        self.integral = True
        self.histogram = np.zeros(MOST_LEVELS, dtype=np.int64)
        self.fractions = {item: np.zeros(item.levels, bool) for item in FRACTIONS if self.dtype.kind == "f"}

    def update(self, X: np.ndarray) -> None:
        """Read some more examples.

        Raises:
            InputError: an entry is infinite.
        """
        values = self._finite(X)
        self.rows += len(X)
        self.entries += values.size
        if values.size:
            self._extend(values)

    def _finite(self, X: np.ndarray) -> np.ndarray:
        if X.dtype.kind != "f":
            return X.reshape(-1)
        finite = np.isfinite(X)
        if finite.all():
            return X.reshape(-1)
        infinite = np.argwhere(np.isinf(X))
        if len(infinite):
            row, *rest = (int(i) for i in infinite[0])
            raise InputError(f"the data hold infinity at {place_of((self.rows + row, *rest))}; remove or replace it")
        self.missing += int(X.size - finite.sum())
        return X[finite]

    def _extend(self, values: np.ndarray) -> None:
        low, high = float(values.min()), float(values.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._collect_few(values)
        if self.dtype.kind == "f":
            self.integral = self.integral and bool(np.all(values == np.rint(values)))
            self._keep_fractions(values)
        if self._may_be_counts() and self.low >= 0 and self.high < MOST_LEVELS:
            self.histogram += np.bincount(values.astype(np.int64), minlength=MOST_LEVELS)

    def _collect_few(self, values: np.ndarray) -> None:
        while len(self.few) < 3:
            for known in self.few:
                values = values[values != known]
            if not values.size:
                return
            self.few.append(float(values[0]))

    def _keep_fractions(self, values: np.ndarray) -> None:
        for lattice, seen in list(self.fractions.items()):
            level, fits = lattice.index(values)
            if fits.all():
                seen[level.astype(np.intp)] = True
            else:
                del self.fractions[lattice]

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
            has_missing=self.missing > 0,
            features=features,
            classes=classes,
        )

    def _lattice(self) -> Lattice | None:
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
        if not self._may_be_counts() or self.low < 0 or self.high in FULL_SCALES or len(self.few) < 3:
            return False
        if self.high >= MOST_LEVELS:
            return True
        values, share = np.arange(len(self.histogram)), self.histogram / self.entries
        mean = float(values @ share)
        tail = share[values > self.high - 0.1 * (self.high - self.low)].sum()
        return bool(tail < 0.025 and (values - mean) ** 2 @ share > 0.9 * mean)

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


def infer_schema(sample: np.ndarray, kind: str | None = None) -> Schema:
    """The schema of an array of examples, read whole."""
    survey = Survey(sample.shape[1:], sample.dtype, kind)
    survey.update(sample)
    return survey.schema()


def validate(X: Any, schema: Schema, *, missing: bool = False, name: str = "X") -> np.ndarray:
    """`X` as an array whose every entry is something the schema's data could hold.

    Args:
        X: examples, shape (n, \\*schema.shape).
        schema: what the model was fitted on.
        missing: whether NaN is allowed.
        name: what to call the data in a message.

    Raises:
        InputError: another shape, no numbers, infinity, NaN unless allowed, or, for discrete data, a value that the
            lattice does not hold.
    """
    X = np.asarray(X)
    if X.dtype.kind not in "biuf":
        raise InputError(f"{name} must hold numbers; got {X.dtype}")
    if X.shape[1:] != schema.shape or X.ndim == 0:
        raise InputError(f"{name} must have the shape {_with_n(schema.shape)}, as the data fitted; got {X.shape}")
    rows = max(CHUNK // (8 * schema.size), 1)
    wrong = np.concatenate([_outside(X[i : i + rows], schema) for i in range(0, max(len(X), 1), rows)])
    if X.dtype.kind == "f" and missing:
        wrong &= ~np.isnan(X)
    if wrong.any():
        raise InputError(f"{name} {_explain(X, wrong, schema)}")
    return X


def _with_n(shape: tuple[int, ...]) -> str:
    return f"({', '.join(['n', *map(str, shape)])})"


def _outside(X: np.ndarray, schema: Schema) -> np.ndarray:
    if schema.levels is not None:
        return ~Lattice(schema.low, schema.step, schema.levels).index(X)[1]
    wrong = ~np.isfinite(X)
    return wrong | (X < 0) | (np.rint(X) != X) if schema.counts else wrong


def _explain(X: np.ndarray, wrong: np.ndarray, schema: Schema) -> str:
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    value, where, many = X[place], place_of(place), f"{int(wrong.sum())} of {X.size} entries"
    if np.isnan(value):
        return f"holds NaN (missing) at {where} ({many}); this model was not told to expect missing values"
    if np.isinf(value):
        return f"holds infinity at {where} ({many})"
    return f"must hold {schema.values}, as the data fitted; got {value.item()!r} at {where} ({many})"
