"""The contract of this room, and its algebra: objectives add and scale."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Real

from torch import Tensor

from latens.models import Draw
from latens.training import Schedule
from latens.utils.errors import InputError
from latens.utils.value import Value

Weight = float | Schedule


class Objective(Value, ABC):
    """A pure function of a draw, to be minimised: ``(B,)`` nats, or ``()`` for a term of the whole batch."""

    @property
    def samples(self) -> int:
        """K, the number of draws an example that it needs."""
        return 1

    @abstractmethod
    def __call__(self, draw: Draw) -> Tensor:
        """The value for this draw."""

    def alone(self, draw: Draw) -> Tensor:
        """The same value and gradient, where no other term takes its gradient from this draw: which may cost less."""
        return self(draw)

    def __add__(self, other: Objective) -> Sum:
        return Sum(self, other) if isinstance(other, Objective) else NotImplemented

    def __mul__(self, weight: Weight) -> Scaled:
        return Scaled(weight, self) if _is_weight(weight) else NotImplemented

    __rmul__ = __mul__


def _is_weight(weight: object) -> bool:
    return isinstance(weight, (Real, Schedule)) and not isinstance(weight, bool)


@dataclass(frozen=True, repr=False)
class Sum(Objective):
    """left + right.

    Raises:
        InputError: the larger number of draws that a term needs is no multiple of the smaller.

    Example:
        >>> from latens.objectives import Distortion, Rate
        >>> Distortion() + 4.0 * Rate()
        Distortion() + 4.0 * Rate()
        >>> 2.0 * (Distortion() + Rate())
        2.0 * (Distortion() + Rate())
    """

    left: Objective
    right: Objective

    def __post_init__(self) -> None:
        a, b = self.left.samples, self.right.samples
        if max(a, b) % min(a, b):
            raise InputError(
                f"One draw serves all terms, so their numbers of samples must agree, or one be a multiple of the "
                f"other; got {a} ({self.left}) and {b} ({self.right})."
            )

    @property
    def samples(self) -> int:
        """The larger of both."""
        return max(self.left.samples, self.right.samples)

    def __call__(self, draw: Draw) -> Tensor:
        """The sum."""
        return self.left(draw) + self.right(draw)

    def __repr__(self) -> str:
        right = f"({self.right})" if isinstance(self.right, Sum) else repr(self.right)
        return f"{self.left} + {right}"


@dataclass(frozen=True, repr=False)
class Scaled(Objective):
    """weight * term, the weight a number or a schedule of training progress.

    Example:
        >>> from latens.objectives import Rate
        >>> from latens.training import Linear
        >>> Linear(0.0, 1.0, until=0.2) * Rate()
        Linear(0.0, 1.0, 0.2) * Rate()
    """

    weight: Weight
    term: Objective

    def __post_init__(self) -> None:
        if not isinstance(self.weight, Schedule) and not math.isfinite(self.weight):
            raise InputError(f"The weight of an objective is a finite number or a schedule; got {self.weight!r}.")

    @property
    def samples(self) -> int:
        """As many as the term needs."""
        return self.term.samples

    def __call__(self, draw: Draw) -> Tensor:
        """The term at its present weight."""
        weight = self.weight(draw.progress) if isinstance(self.weight, Schedule) else self.weight  # type: ignore[type-var]
        return weight * self.term(draw)

    def __repr__(self) -> str:
        term = f"({self.term})" if isinstance(self.term, (Sum, Scaled)) else repr(self.term)
        return f"{self.weight!r} * {term}"
