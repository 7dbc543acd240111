"""Checks of arguments, each of which names what was expected and what came."""

from __future__ import annotations

import numbers
from collections.abc import Collection
from typing import Any

import numpy as np

from latens.utils.errors import InputError
from latens.utils.text import nearest


def check_positive(name: str, value: Any, *, integer: bool = False, zero: bool = False) -> None:
    """A finite number above 0 (or 0 itself, when `zero`), and a whole one when `integer`.

    >>> check_positive("epochs", -1, integer=True)
    Traceback (most recent call last):
    latens.utils.errors.InputError: epochs must be a positive integer; got -1
    """
    kind = numbers.Integral if integer else numbers.Real
    number = float(value) if isinstance(value, kind) and not isinstance(value, bool) else float("nan")
    if not np.isfinite(number) or number < 0.0 or (number == 0 and not zero):
        sign = "non-negative" if zero else "positive"
        raise InputError(f"{name} must be a {sign} {'integer' if integer else 'number'}; got {value!r}")


def check_fraction(name: str, value: Any) -> None:
    """A number strictly between 0 and 1."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool) or not 0.0 < float(value) < 1.0:
        raise InputError(f"{name} must lie between 0 and 1; got {value!r}")


def check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    """One of `choices`; the message names the nearest.

    >>> check_choice("kernel", "gausian", ("gaussian", "tophat"))
    Traceback (most recent call last):
    latens.utils.errors.InputError: kernel is one of gaussian, tophat; got 'gausian'; did you mean 'gaussian'?
    """
    if not isinstance(value, str) or value not in choices:
        hint = nearest(value, choices) if isinstance(value, str) else ""
        raise InputError(f"{name} is one of {', '.join(choices)}; got {value!r}{hint}")


def check_finite(name: str, X: np.ndarray, *, missing: bool = False) -> None:
    """No infinity, and no NaN unless `missing`; the message names the first place and how many there are."""
    if X.dtype.kind != "f":
        return
    wrong = np.isinf(X) if missing else ~np.isfinite(X)
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        found = "NaN" if np.isnan(X[place]) else "infinity"
        many = int(wrong.sum())
        raise InputError(
            f"{name} holds {found} at {place_of(place)} ({many} such {'entry' if many == 1 else 'entries'})"
        )


def place_of(index: tuple[int, ...]) -> str:
    """Where an entry stands, in words.

    >>> place_of((3, 1)), place_of((3, 0, 5))
    ('row 3, column 1', 'row 3, entry (0, 5)')
    """
    if len(index) == 1:
        return f"row {index[0]}"
    if len(index) == 2:
        return f"row {index[0]}, column {index[1]}"
    return f"row {index[0]}, entry {index[1:]}"
