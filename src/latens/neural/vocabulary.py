"""The language of ``--model``, of saved files and of forms: the constructors that text may call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

from sklearn.base import BaseEstimator

from latens import data, density, distributions, models, nn, objectives, training
from latens.neural import conditions
from latens.utils.text import parse
from latens.utils.value import Value


@cache
def vocabulary() -> dict[str, Callable[..., Any]]:
    """Every value and estimator of the library, by name.

    >>> vocabulary()["MLP"]((8,))
    MLP((8,))
    """
    from latens import neural

    rooms = (data, density, distributions, models, nn, objectives, training, conditions, neural)
    return {name: thing for room in rooms for name, thing in _constructors(room).items()}


def _constructors(room: ModuleType) -> dict[str, Callable[..., Any]]:
    names = getattr(room, "__all__", [name for name in vars(room) if not name.startswith("_")])
    found = {name: getattr(room, name) for name in names}
    return {name: thing for name, thing in found.items() if inspect.isclass(thing) and _is_constructor(thing)}


def _is_constructor(thing: type) -> bool:
    return issubclass(thing, (Value, BaseEstimator)) and not inspect.isabstract(thing) and thing is not Value


def read(text: str) -> Any:
    """The value or estimator that ``text`` writes.

    Raises:
        InputError: text that is not of the library, with the nearest known name.

    >>> read("Distortion() + 4.0 * Rate()")
    Distortion() + 4.0 * Rate()
    """
    return parse(text, vocabulary())
