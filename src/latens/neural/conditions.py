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

    def _few(self) -> str:
        more = f" and {len(self.classes) - _NAMED} more" if len(self.classes) > _NAMED else ""
        return f"{list(self.classes[:_NAMED])}{more}"


def _labels(y: Any, n: int) -> np.ndarray:
    labels = np.asarray(y).reshape(-1)
    if len(labels) != n:
        raise InputError(f"Expected one label for each of {n} rows; got {len(labels)} labels.")
    return labels
