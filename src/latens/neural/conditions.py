"""What a conditional density is conditioned on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from latens.utils.errors import InputError
from latens.utils.value import Value

_NAMED = 20


@dataclass(frozen=True, repr=False)
class Condition(Value):
    """y as numbers: one indicator for each class.

    Args:
        classes: the classes, sorted.

    Example:
        >>> Condition.of(np.array(["cat", "dog", "cat"]), 3).encode(["dog"], 1)
        array([[0., 1.]], dtype=float32)
    """

    classes: tuple[Any, ...]

    @property
    def size(self) -> int:
        """How many numbers stand for y."""
        return len(self.classes)

    @classmethod
    def of(cls, y: Any, n: int) -> Condition:
        """The classes of the labels that a conditional density is fitted with."""
        if y is None:
            raise InputError("condition='y' expects labels; got none. Call fit(X, y), or leave condition out.")
        labels = _labels(y, n)
        if labels.dtype.kind == "f" and np.isnan(labels).any():
            raise InputError(f"condition='y' expects a label for every row; {int(np.isnan(labels).sum())} are NaN.")
        return cls(tuple(np.unique(labels).tolist()))

    def encode(self, y: Any, n: int) -> np.ndarray:
        """``(n, classes)`` indicators; one label serves all rows.

        Raises:
            InputError: no labels, another number of them, or a class that was not fitted.
        """
        if y is None:
            raise InputError(f"This density is p(x | y): give y, one of {self._few()}.")
        labels = _labels(np.full(n, y) if np.ndim(y) == 0 else y, n)
        known = np.asarray(self.classes)
        unknown = sorted(set(labels.tolist()) - set(self.classes))
        if unknown:
            raise InputError(f"y holds classes that were not fitted: {unknown[:5]}; fitted were {self._few()}.")
        return (labels[:, None] == known).astype(np.float32)

    def decode(self, indicators: np.ndarray) -> np.ndarray:
        """The classes ``(n,)`` that indicators ``(n, classes)`` stand for."""
        return np.asarray(self.classes)[indicators.argmax(1)]

    def examples(self, n: int) -> np.ndarray:
        """n labels to look at: every class in turn."""
        return np.resize(np.asarray(self.classes), n)

    def read(self, text: str) -> Any:
        """The class that is written so.

        Raises:
            InputError: there is none.
        """
        found = [item for item in self.classes if str(item) == text]
        if not found:
            raise InputError(f"the class is one of {', '.join(map(str, self.classes))}; got {text}")
        return found[0]

    def _few(self) -> str:
        more = f" and {len(self.classes) - _NAMED} more" if len(self.classes) > _NAMED else ""
        return f"{list(self.classes[:_NAMED])}{more}"


@dataclass(frozen=True, repr=False)
class Labels(Condition):
    """y as numbers, where it is known: -1, NaN and None stand for a label that is not.

    Example:
        >>> Labels.of(np.array([0, 1, -1]), 3).encode([1, -1], 2)
        array([[0., 1.],
               [0., 0.]], dtype=float32)
    """

    @classmethod
    def of(cls, y: Any, n: int) -> Labels:
        """The classes of the labels that are known.

        Raises:
            InputError: no labels, or fewer than two classes.
        """
        if y is None:
            raise InputError("Expected labels, -1 where a row has none; got no y. Call fit(X, y).")
        labels = _labels(y, n)
        classes = np.unique(np.asarray(labels[~_unknown(labels)].tolist())).tolist()
        if len(classes) < 2:
            raise InputError(f"Expected labels of at least 2 classes; got {classes}. -1 says that a row has none.")
        return cls(tuple(classes))

    def encode(self, y: Any, n: int) -> np.ndarray:
        """``(n, classes)`` indicators, zeros where a label is not known.

        Raises:
            InputError: another number of labels, or a class that was not fitted.
        """
        given = np.asarray(y)
        labels = _labels(np.full(n, given) if given.ndim == 0 else given, n)
        known = ~_unknown(labels)
        out = np.zeros((n, self.size), np.float32)
        if known.any():
            out[known] = super().encode(np.asarray(labels[known].tolist()), int(known.sum()))
        return out


def _unknown(labels: np.ndarray) -> np.ndarray:
    if labels.dtype.kind == "f":
        return np.isnan(labels) | (labels == -1)
    if labels.dtype.kind == "O":
        return np.array([item is None or item != item or item == -1 for item in labels.tolist()], dtype=bool)
    return labels == -1 if labels.dtype.kind in "iu" else np.zeros(len(labels), bool)


@dataclass(frozen=True, repr=False)
class Covariates(Value):
    """y as numbers: real, in units of their spread around their mean.

    Args:
        shift, scale: of each column of y.

    Example:
        >>> Covariates.of(np.array([1.5, 2.5]), 2).encode(3.0, 1)
        array([[2.]], dtype=float32)
    """

    shift: tuple[float, ...]
    scale: tuple[float, ...]

    @property
    def size(self) -> int:
        """How many numbers stand for y."""
        return len(self.shift)

    @classmethod
    def of(cls, y: Any, n: int) -> Covariates:
        """The units of the numbers that a conditional density is fitted with."""
        values = _numbers(y, n)
        scale = values.std(0)
        return cls(tuple(values.mean(0).tolist()), tuple(np.where(scale > 0, scale, 1.0).tolist()))

    def encode(self, y: Any, n: int) -> np.ndarray:
        """``(n, columns)`` standardised numbers; one number, or one row of them, serves all rows.

        Raises:
            InputError: no numbers, another shape, NaN or infinity.
        """
        if y is None:
            raise InputError(f"This density is p(x | y): give y, {self.size} real number(s) for each row.")
        one = np.ndim(y) == 0 or (np.ndim(y) == 1 and self.size > 1)
        values = _numbers(np.broadcast_to(np.asarray(y), (n, self.size)) if one else y, n)
        if values.shape[1] != self.size:
            raise InputError(f"y was fitted with {self.size} number(s) a row; got {values.shape[1]}.")
        return ((values - self.shift) / self.scale).astype(np.float32)

    def decode(self, numbers: np.ndarray) -> np.ndarray:
        """The numbers ``(n, columns)`` that standardised ones stand for."""
        return numbers.astype(np.float64) * self.scale + self.shift

    def examples(self, n: int) -> np.ndarray:
        """n values to look at: the mean."""
        return np.tile(np.asarray(self.shift), (n, 1))

    def read(self, text: str) -> Any:
        """The numbers that are written so, with commas between several.

        Raises:
            InputError: these are no numbers, or more or fewer than were fitted.
        """
        try:
            values = [float(item) for item in text.split(",")]
        except ValueError:
            values = []
        if len(values) != self.size:
            raise InputError(f"y is {self.size} number(s), with commas between several; got {text}")
        return values if self.size > 1 else values[0]


def condition_of(y: Any, n: int) -> Condition | Covariates:
    """Real numbers, any of which is not whole, or several a row, are covariates; all else are classes."""
    given = np.asarray(y)
    if given.dtype.kind == "f" and (given.squeeze().ndim > 1 or (given != np.rint(given))[np.isfinite(given)].any()):
        return Covariates.of(y, n)
    return Condition.of(y, n)


def _numbers(y: Any, n: int) -> np.ndarray:
    try:
        values = np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"y was fitted with real numbers; got {str(error)[:80]}") from None
    if values.ndim > 2 or len(values) != n:
        raise InputError(f"Expected a number, or a row of them, for each of {n} rows; got an array {values.shape}.")
    if not np.isfinite(values).all():
        raise InputError(f"y expects finite numbers; {int((~np.isfinite(values)).sum())} are NaN or infinite.")
    return values.reshape(n, -1)


def _labels(y: Any, n: int) -> np.ndarray:
    labels = np.asarray(y).reshape(-1)
    if len(labels) != n:
        raise InputError(f"Expected one label for each of {n} rows; got {len(labels)} labels.")
    return labels
