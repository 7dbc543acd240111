"""Tables: frames of pandas, polars and pyarrow without importing any, CSV and Parquet files."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from latens.data.framing import arrow_of, column_of, dtype_of, library_of, names_of, retyped
from latens.data.schema import Schema
from latens.data.source import ArraySource, Source
from latens.data.table import TableSource, encoded, places, schema_of
from latens.utils.errors import InputError
from latens.utils.text import nearest

NAME = "name"
"""The column of a file that names its rows."""


def is_frame(data: Any) -> bool:
    """Whether this is a frame of pandas, polars or pyarrow, or anything that behaves like one."""
    return library_of(data) is not None or all(hasattr(data, name) for name in ("columns", "to_numpy", "shape"))


Columns = Sequence[str] | None
"""Names of the columns to take, in this order; all where None."""


MOST_TYPED = 50
"""Columns from which on numbers are taken as one array, whatever each of them is."""


def load_frame(frame: Any, columns: Columns = None, schema: Schema | None = None) -> Source:
    """The columns of a frame: one array where they are numbers of one kind, each by itself where they are not.

    Args:
        frame: of pandas, polars, pyarrow, or anything that behaves like one.
        columns: names of those to take, all by default.
        schema: what the columns are, where a model knows it: they are read under it, by name.
    """
    given = [str(name) for name in names_of(frame)]
    _refuse_twice(given)
    at = list(range(len(given))) if columns is None else [given.index(name) for name in chosen(given, columns)]
    names = [given[j] for j in at]
    if library_of(frame) is None:
        return _table(names, (column_of(frame, j) for j in at))
    if schema is not None and schema.columns is not None:
        return _read_under(frame, given, schema)
    from latens.data.detect import is_plain

    cells = [arrow_of(frame, j, given[j]) for j in at]
    if frame.shape[0] and (len(at) <= MOST_TYPED or not all(is_plain(values.type) for values in cells)):
        typed = _typed(frame, at, names, cells)
        if typed is not None:
            return typed
    return _table(names, (column_of(frame, j) for j in at))


def _read_under(frame: Any, names: Sequence[str], schema: Schema) -> TableSource:
    """The columns of a frame under a schema, by name, in whatever order."""
    known = schema.columns or ()
    at, extra = places(names, known)
    rows, notes = encoded(known, [arrow_of(frame, j, names[j]) for j in at])
    kind = (library_of(frame) or "", tuple(names[j] for j in at), tuple(column.dtype for column in known))
    return TableSource(rows, schema, kind, notes=[*_not_fitted(extra), *notes])


def _not_fitted(extra: Sequence[str]) -> list[str]:
    return [f"columns that were not fitted are left aside: {_few(extra)}"] if extra else []


def _typed(frame: Any, at: Sequence[int], names: Sequence[str], cells: Sequence[Any]) -> TableSource | None:
    """A table of columns each of its own kind; None where all are numbers of one kind."""
    from latens.data.detect import are_alike, is_plain, survey_of

    library = library_of(frame) or ""
    read = [survey_of(name, dtype_of(frame, j), values) for name, j, values in zip(names, at, cells)]
    found = [cells_.found() for cells_ in read]
    if all(is_plain(values.type) for values in cells) and are_alike(found):
        return None
    kept = [i for i, item in enumerate(found) if item.column is not None]
    known = [item.column for item in found if item.column is not None]
    columns = [retyped(column, read[i].rewritten, library) for i, column in zip(kept, known)]
    if not columns:
        raise InputError(f"no column is left to learn from: {'; '.join(item.note for item in found[:3])}")
    rows, _ = encoded(columns, [cells[i] for i in kept])
    original = names_of(frame)
    kind = (library, tuple(original[at[i]] for i in kept), tuple(column.dtype for column in columns))
    notes = [item.note for item in found if item.note]
    return TableSource(rows, schema_of(columns), kind, notes=notes, why=[found[i].why for i in kept])


def chosen(names: Sequence[str], columns: Sequence[str]) -> list[str]:
    """These columns, which are there.

    Raises:
        InputError: one is not, or is named twice.

    >>> chosen(["a", "b", "c"], ["c", "a"])
    ['c', 'a']
    """
    for name in columns:
        if name not in names:
            raise InputError(f"there is no column '{name}'{nearest(name, names)}; there are {_few(names)}")
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice or not columns:
        raise InputError(f"the column '{twice[0]}' is named twice" if twice else "no columns are named")
    return list(columns)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def header(path: Path) -> list[str]:
    """The names of the columns of a file of a table; none where it has no line of names."""
    if path.suffix.lower() == ".parquet":
        from pyarrow import ArrowException, parquet

        try:
            return [str(name) for name in parquet.read_schema(path).names]
        except (ArrowException, OSError) as error:
            raise InputError(f"cannot read {path}: {_reason(error)}") from None
    delimiter, named = _look(path)
    if not named:
        return []
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        return next(csv.reader(file, delimiter=delimiter), [])


def load_csv(path: Path, memory: int, columns: Columns = None, schema: Schema | None = None) -> Source:
    """The columns of a file with a comma, semicolon or tab between values, with or without a line of names."""
    from pyarrow import ArrowException
    from pyarrow import csv as arrow_csv

    delimiter, named = _look(path)
    try:
        table = arrow_csv.read_csv(
            path,
            arrow_csv.ReadOptions(autogenerate_column_names=not named, use_threads=False),
            arrow_csv.ParseOptions(delimiter=delimiter),
        )
    except (ArrowException, OSError) as error:
        raise InputError(f"cannot read {path}: {_reason(error)}") from None
    return _arrow(table, columns, schema)


def load_parquet(path: Path, memory: int, columns: Columns = None, schema: Schema | None = None) -> Source:
    """The columns of a Parquet file."""
    from pyarrow import ArrowException, parquet

    try:
        table = parquet.read_table(path, use_threads=False)
    except (ArrowException, OSError) as error:
        raise InputError(f"cannot read {path}: {_reason(error)}") from None
    return _arrow(table, columns, schema)


def _look(path: Path) -> tuple[str, bool]:
    """The delimiter, and whether the first line holds names."""
    with open(path, newline="", encoding="utf-8", errors="replace") as file:
        line = file.readline(10_000_000)
    delimiter = max(",;\t", key=line.count)
    first = next(csv.reader([line], delimiter=delimiter), [])
    return delimiter, not all(_is_number(cell) for cell in first)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.strip() == ""
    return True


def _arrow(table: Any, columns: Columns, schema: Schema | None) -> Source:
    """The numbers of a table, and its rows' names where a column of text is called ``name``, as `write_array` does."""
    named = table.column_names.count(NAME) == 1 and _is_text(table.column(NAME))
    names = table.column(NAME).to_pylist() if named else None
    rest = table if names is None else table.drop_columns([NAME])
    kept = rest if columns is None else rest.select(chosen(rest.column_names, columns))
    source = load_frame(kept, schema=schema)
    source.names = None if names is None else list(map(str, names))
    return source


def _is_text(column: Any) -> bool:
    return str(column.type) in ("string", "large_string")


def _refuse_twice(names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"two columns of the table are named '{twice[0]}'")


def _table(names: list[str], columns: Iterable[Any]) -> ArraySource:
    if not names:
        raise InputError("the table has no columns")
    _refuse_twice(names)
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


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
