"""What one example is, as the user gave it: its shape, its numbers, and the measure a density of them refers to.

Numbers that lie on a lattice ``low + step * {0, ..., levels - 1}`` have probabilities (the counting measure), as have
unbounded counts; all others have densities (Lebesgue's).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from latens.data.columns import Column, summary
from latens.data.tokens import Tokens
from latens.utils.errors import InputError
from latens.utils.validation import place_of
from latens.utils.value import Value

KINDS = {"image": 2, "signal": 1, "table": 0, "words": 0, "array": 0, "text": 0}
"""How many axes of each kind have neighbours: height and width of an image, the time of a signal."""


def steps(shape: tuple[int, ...]) -> str:
    """The length and the channels of a signal, in words.

    >>> steps((140,)), steps((140, 3))
    ('140 steps', '140 steps in 3 channels')
    """
    return f"{shape[0]} steps" + (f" in {shape[1]} channels" if len(shape) > 1 else "")


@dataclass(frozen=True, repr=False)
class Schema(Value):
    """One example: its kind, shape and type, and where its numbers lie.

    Args:
        kind: "image" (H, W) or (H, W, C), "signal" (T,) or (T, C), "table" (d,), "words" (d,), a count for each,
            "text" (T,), or "array" (any other shape).
        shape: the shape of one example.
        dtype: NumPy's name of the type, e.g. "uint8".
        low, high: the ends of the lattice; without one, the smallest and largest finite entry seen.
        levels: how many values an entry can take, on the lattice ``low + step * {0, ..., levels - 1}``; None when
            continuous or unbounded.
        step: the distance of two levels.
        counts: non-negative integers without an upper bound.
        has_missing: NaN was seen.
        features: the names of a table's columns, or the words that are counted.
        columns: what each column of a table of several kinds holds; None where all entries are alike.
        classes: the names of the labels.
        view: how recordings became rows, such as ``LogMel(8000, 0.5, 40, 256)``.
        tokens: of text, what symbols its numbers stand for.

    Example:
        >>> schema = Schema("image", (28, 28), "uint8", 0.0, 255.0, 256)
        >>> schema.size, schema.support, schema.discrete
        (784, (0.0, 255.0), True)
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
    columns: tuple[Column, ...] | None = field(default=None, kw_only=True)
    classes: tuple[str | int, ...] | None = field(default=None, kw_only=True)
    view: Any = field(default=None, kw_only=True)
    tokens: Tokens | None = field(default=None, kw_only=True)

    @property
    def discrete(self) -> bool:
        """Whether an entry has a probability (counting measure) rather than a density (Lebesgue's)."""
        return self.levels is not None or self.counts

    @property
    def size(self) -> int:
        """How many numbers one example holds."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def names(self) -> tuple[str, ...]:
        """What each entry of a table is called: by its number where columns have no names.

        >>> Schema("table", (2,), "float64", 0.0, 1.0).names
        ('column 0', 'column 1')
        """
        return self.features or tuple(f"column {i}" for i in range(self.size))

    @property
    def measured(self) -> str:
        """What densities and errors are of, in words."""
        return getattr(self.view, "measured", "the data as given")

    @property
    def audible(self) -> bool:
        """Whether rows can be played: they are of recordings, and know their rate."""
        return getattr(self.view, "rate", None) is not None

    @property
    def axes(self) -> int:
        """How many leading axes have neighbours; one more, where there is one, holds the channels."""
        return KINDS[self.kind]

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
            "measured": self.measured,
            "dtype": self.dtype,
            "range": [self.low, self.high],
            "values": self.values,
            "missing": self.has_missing,
            "features": None if self.features is None else list(self.features),
            "columns": None if self.columns is None else [column.describe() for column in self.columns],
            "classes": None if self.classes is None else list(self.classes),
        }

    @property
    def values(self) -> str:
        """The set an entry lies in, in words.

        >>> Schema("table", (3,), "float64", 0.0, 1.0, 256, 1 / 255).values
        '256 levels from 0 to 1'
        """
        if self.columns is not None:
            return summary(self.columns)
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
        gaps = ", with missing values" if self.has_missing else ""
        if self.columns is not None:
            return f"rows of {self.size} column{'s' * (self.size > 1)}: {self.values}{gaps}"
        if self.tokens is not None:
            different = self.tokens.size - 1 - (self.tokens.unknown is not None)
            return f"strings of up to {self.size} {self.tokens.name}, {different} different ones"
        if self.kind == "words":
            return f"counts of {self.size:,} words, at most {self.high:g} of one{gaps}"
        sizes = "x".join(map(str, self.shape))
        kinds = {
            "image": f"{sizes} images",
            "signal": f"signals of {steps(self.shape)}",
            "table": f"rows of {self.size} number{'s' * (self.size > 1)}",
            "array": f"{sizes} arrays",
        }
        seen = f", seen {self.low:g} to {self.high:g}" if self.levels is None else ""
        what = kinds[self.kind] if self.view is None else self.view.told(self.shape)
        return f"{what}, {self.dtype}, {self.values}{seen}{gaps}"


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


CHUNK = 2**20


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
