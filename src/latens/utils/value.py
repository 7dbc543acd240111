"""Values: frozen dataclasses that print exactly as you would write them.

A value holds hyper-parameters only, so it compares, hashes, copies and prints. Defaults are left out of the text, as
one would leave them out when writing it; fields declared ``field(kw_only=True)`` print with their names, as does any
field that follows a left-out one.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, dataclass, fields
from typing import Any

from latens.utils.text import text


@dataclass(frozen=True)
class Value:
    """Base of everything that is written as text: families, networks, objectives, schedules, schemas.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True, repr=False)
        ... class MLP(Value):
        ...     widths: tuple[int, ...] = (512, 512)
        ...     activation: str = "relu"
        >>> MLP(), MLP((64,)), MLP(activation="tanh")
        (MLP(), MLP((64,)), MLP(activation='tanh'))
    """

    def __repr__(self) -> str:
        parts: list[str] = []
        positional = True
        for item in fields(self):
            value = getattr(self, item.name)
            if not item.init:
                continue
            if _is_default(item, value):
                positional = False
                continue
            positional = positional and not item.kw_only
            parts.append(text(value) if positional else f"{item.name}={text(value)}")
        return f"{type(self).__name__}({', '.join(parts)})"


def _is_default(item: Field, value: Any) -> bool:
    default = item.default if item.default_factory is MISSING else item.default_factory()
    return default is not MISSING and type(default) is type(value) and bool(default == value)
