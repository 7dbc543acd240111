"""Frames of pandas, polars and pyarrow in memory, without importing any of these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from latens.data.framing import arrow_of, column_of, dtype_of, library_of, names_of
from latens.data.schema import Schema
from latens.data.source import ArraySource, Source
from latens.data.table import Table, TableSource, places, read, read_under
from latens.utils.errors import InputError
from latens.utils.text import nearest

Columns = Sequence[str] | None
"""Names of the columns to take, in this order; all where None."""

MOST_TYPED = 50
"""Columns up to which numbers are told apart by their kinds; more are one array."""

ALIKE = Schema("table", (0,), "float64", 0.0, 0.0)
"""What is said to be rows of numbers, whatever each of them would be by itself."""


def is_frame(data: Any) -> bool:
    """Whether this is a frame of pandas, polars or pyarrow, or anything that behaves like one."""
    return library_of(data) is not None or all(hasattr(data, name) for name in ("columns", "to_numpy", "shape"))


def load_frame(
    frame: Any, memory: int, columns: Columns = None, schema: Schema | None = None, place: tuple[str, int] = ("row", 0)
) -> Source:
    """The columns of a frame, each by itself; one array where they are 0 and 1 throughout, or many and all numbers.

    Args:
        frame: of pandas, polars, pyarrow, or anything that behaves like one.
        memory: the most bytes to hold.
        columns: names of those to take, all by default.
        schema: what the columns are, where a model knows it: they are read under it, by name.
        place: what a row is called in a message, and the number of the first.
    """
    names = tuple(names_of(frame))
    at, library = chosen_places([str(name) for name in names], None), library_of(frame)
    if library is not None:

        def pieces(at: Sequence[int]) -> Iterator[Sequence[Any]]:
            yield [arrow_of(frame, j, str(names[j])) for j in at]

        dtypes = tuple(dtype_of(frame, j) for j in at)
        source = load_table(Table(library, names, dtypes, pieces, place), memory, columns, schema, frame.shape[0])
        if source is not None:
            return source
    at = chosen_places([str(name) for name in names], columns)
    return numeric([str(names[j]) for j in at], (column_of(frame, j) for j in at))


def load_table(
    table: Table, memory: int, columns: Columns, schema: Schema | None, rows: int | None = None
) -> TableSource | None:
    """A table of columns, each by itself; None where they are one array.

    Args:
        table: its cells.
        memory: the most bytes to hold.
        columns: names of those to take, all by default.
        schema: what a model was fitted on.
        rows: how many there are, where that is known.
    """
    names = [str(name) for name in table.names]
    at = chosen_places(names, columns)
    if schema is not None and schema.columns is not None:
        at, extra = places(names, schema.columns)
        notes = [f"columns that were not fitted are left aside: {few(extra)}"] if extra else []
        return read_under(table, at, schema.columns, memory, schema, notes=notes)
    wide = schema is not None or len(at) > MOST_TYPED
    if rows != 0 and not (wide and all(map(is_plain, (table.dtypes[j] for j in at)))):
        return read(table, at, memory)
    return None


def is_plain(dtype: str) -> bool:
    """Whether a dtype is written as one of plain numbers.

    >>> [is_plain(name) for name in ("int64", "Float32", "double", "bool", "str", "category", "duration[s]")]
    [True, True, True, True, False, False, False]
    """
    return dtype.lower().startswith(("int", "uint", "float", "double", "halffloat", "bool"))


def chosen_places(names: Sequence[str], columns: Columns) -> list[int]:
    """Where these columns stand.

    Raises:
        InputError: two have the same name, one is not there, or there are none.
    """
    if not names:
        raise InputError("the table has no columns")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"two columns of the table are named '{twice[0]}'")
    return list(range(len(names))) if columns is None else [names.index(name) for name in chosen(names, columns)]


def chosen(names: Sequence[str], columns: Sequence[str]) -> list[str]:
    """These columns, which are there.

    Raises:
        InputError: one is not, or is named twice.

    >>> chosen(["a", "b", "c"], ["c", "a"])
    ['c', 'a']
    """
    for name in columns:
        if name not in names:
            raise InputError(f"there is no column '{name}'{nearest(name, names)}; there are {few(names)}")
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice or not columns:
        raise InputError(f"the column '{twice[0]}' is named twice" if twice else "no columns are named")
    return list(columns)


def few(names: Sequence[str]) -> str:
    """The first of many names."""
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def numeric(names: Sequence[str], columns: Iterable[Any]) -> ArraySource:
    """Columns of numbers as one array."""
    arrays = [_column(name, column) for name, column in zip(names, columns)]
    return ArraySource(np.stack(arrays, axis=1).astype(np.result_type(*arrays), copy=False), features=names)


def _column(name: str, column: Any) -> np.ndarray:
    values = np.asarray(column.to_numpy())
    if values.dtype.kind == "O" and not any(isinstance(item, str | bytes) for item in values):
        values = _with_gaps(values)
    if values.dtype.kind not in "biuf":
        kind = column.dtype if hasattr(column, "dtype") else column.type
        raise InputError(f"the column '{name}' holds no numbers ({kind}); leave it out or encode it")
    return values


def _with_gaps(values: np.ndarray) -> np.ndarray:
    """Nullable integers and booleans arrive as objects with gaps."""
    try:
        return np.array([np.nan if _is_gap(item) else float(item) for item in values])
    except (TypeError, ValueError):
        return values


def _is_gap(item: Any) -> bool:
    return item is None or type(item).__name__ == "NAType"
