r"""Where a density may have mass: open columns, columns with bounds, and columns that close onto themselves.

On a bounded column the density of an open one, g, is folded back: $p(x) = \sum_k g(x + 2kL) + g(2a - x + 2kL)$ for a
column of length L that begins at a; on a periodic one it is wrapped, $p(x) = \sum_k g(x + kL)$. Either integrates to 1
whatever g is, and a draw from p is a draw from g, folded or wrapped.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from latens.utils.errors import InputError

MOST = 4096
"""Images of one point at most."""


class Support:
    """The ends of d columns, and which of them are periodic.

    Args:
        ends: (d, 2), infinite where open.
        periodic: (d,) bool.
    """

    def __init__(self, ends: np.ndarray, periodic: np.ndarray) -> None:
        self.ends, self.periodic = ends, periodic

    @classmethod
    def of(cls, bounds: Any, periodic: Any, d: int) -> Support:
        """From a pair or one pair a column, with None where open, and a bool or one a column.

        Raises:
            InputError: no such pairs, or a periodic column without two ends.

        Example:
            >>> Support.of([(0, None), None], False, 2).ends
            array([[  0.,  inf],
                   [-inf,  inf]])
        """
        ends, closed = np.array([_pair(pair) for pair in _columns(bounds, d)]), np.zeros(d, dtype=bool)
        try:
            closed[:] = periodic
        except (TypeError, ValueError):
            raise InputError(f"periodic expects a bool, or one for each of {d} columns; got {periodic!r}.") from None
        if not np.isfinite(ends[closed]).all():
            raise InputError("periodic expects both bounds of each periodic column, such as bounds=(0, 360).")
        return cls(ends, closed)

    def inside(self, rows: np.ndarray) -> np.ndarray:
        """Rows (n, d) with periodic columns taken modulo their period.

        Raises:
            InputError: a row lies outside.
        """
        if np.isinf(self.ends).all():
            return rows
        rows = self._wrapped(rows)
        outside = (rows < self.ends[:, 0]) | (rows > self.ends[:, 1])
        if outside.any():
            i, j = np.argwhere(outside)[0]
            low, high = self.ends[j]
            raise InputError(
                f"X holds {rows[i, j]:g} at row {i}, column {j}, outside the bounds {low:g} to {high:g} "
                f"({outside.sum()} such). Widen the bounds."
            )
        return rows

    def log_sum(
        self, evaluate: Callable[[np.ndarray], np.ndarray], queries: np.ndarray, reach: np.ndarray
    ) -> np.ndarray:
        """log p at queries (m, d), from log g; ``reach`` (d,) is how far g goes beyond its rows."""
        if np.isinf(self.ends).all():
            return evaluate(queries)
        queries = self._wrapped(queries)
        inside = ((queries >= self.ends[:, 0]) & (queries <= self.ends[:, 1])).all(axis=1)
        total = np.full(len(queries), -np.inf)
        for sign, shift in self.images(reach):
            total[inside] = np.logaddexp(total[inside], evaluate(queries[inside] * sign + shift))
        return total

    def images(self, reach: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(sign, shift), each (d,): x stands for all of sign * x + shift.

        Raises:
            InputError: they are too many.
        """
        columns = [_images(low, high, *how) for (low, high), *how in zip(self.ends, self.periodic, reach)]
        if np.prod([float(len(column)) for column in columns]) > MOST:
            raise InputError(
                f"bounds of these columns would need more than {MOST} images of each row; "
                "take a narrower bandwidth, or leave some columns open."
            )
        for image in itertools.product(*columns):
            sign, shift = np.array(image).T
            yield sign, shift

    def fold(self, rows: np.ndarray) -> np.ndarray:
        """Rows (n, d) brought back inside."""
        rows = self._wrapped(rows)
        for x, (low, high), closed in zip(rows.T, self.ends, self.periodic):
            if closed:
                continue
            if np.isfinite(low) and np.isfinite(high):
                x[:] = high - np.abs((x - low) % (2 * (high - low)) - (high - low))
            elif np.isfinite(low):
                x[:] = low + np.abs(x - low)
            elif np.isfinite(high):
                x[:] = high - np.abs(x - high)
        return np.clip(rows, *self.ends.T)

    def _wrapped(self, rows: np.ndarray) -> np.ndarray:
        if not self.periodic.any():
            return rows
        low, high = self.ends[self.periodic].T
        rows = rows.copy()
        columns = rows[:, self.periodic]
        rows[:, self.periodic] = np.where(
            (columns < low) | (columns > high), low + (columns - low) % (high - low), columns
        )
        return rows


def _columns(bounds: Any, d: int) -> list[Any]:
    """One entry a column."""
    if bounds is None:
        return [None] * d
    if isinstance(bounds, list | tuple | np.ndarray):
        several = any(isinstance(pair, list | tuple | np.ndarray) for pair in bounds)
        if not several and len(bounds) == 2 and (d == 1 or any(end is not None for end in bounds)):
            return [bounds] * d
        if len(bounds) == d:
            return list(bounds)
    raise InputError(f"bounds expects (low, high), or one such pair for each of {d} columns; got {bounds!r}.")


def _pair(pair: Any) -> tuple[float, float]:
    try:
        low, high = (None, None) if pair is None else pair
        ends = -np.inf if low is None else float(low), np.inf if high is None else float(high)
    except (TypeError, ValueError):
        raise InputError(f"bounds expects pairs of numbers, None where open; got {pair!r}.") from None
    if not ends[0] < ends[1]:
        raise InputError(f"bounds expects low < high; got {pair!r}.")
    return ends


def _images(low: float, high: float, periodic: bool, reach: float) -> list[tuple[float, float]]:
    if np.isinf(low) and np.isinf(high):
        return [(1.0, 0.0)]
    if np.isinf(low) or np.isinf(high):
        return [(1.0, 0.0), (-1.0, 2 * (high if np.isinf(low) else low))]
    length = high - low
    period = length if periodic else 2 * length
    times = np.ceil((reach + length) / period)
    if times > MOST:
        return [(1.0, 0.0)] * (MOST + 1)
    shifts = period * np.arange(-times, times + 1)
    mirrored = [] if periodic else [(-1.0, 2 * low + shift) for shift in shifts]
    return [(1.0, float(shift)) for shift in shifts] + mirrored
