"""Tables: pandas and polars frames without importing either, CSV and Parquet files; numbers only."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from latens.data.source import ArraySource
from latens.utils.errors import InputError
from latens.utils.text import nearest

NAME = "name"
"""The column of a file that names its rows."""


def is_frame(data: Any) -> bool:
    """Whether this is a pandas or polars frame, or anything that behaves like one."""
    return all(hasattr(data, name) for name in ("columns", "to_numpy", "shape"))


Columns = Sequence[str] | None
"""Names of the columns to take, in this order; all where None."""


def load_frame(frame: Any, columns: Columns = None) -> ArraySource:
    """The columns of a frame, as one table with their names."""
    if columns is None:
        return _table([str(name) for name in frame.columns], (frame[name] for name in frame.columns))
    found = {str(name): name for name in frame.columns}
    return _table(chosen(list(found), columns), (frame[found[name]] for name in columns))


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


def load_csv(path: Path, memory: int, columns: Columns = None) -> ArraySource:
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
    return _arrow(table, columns)


def load_parquet(path: Path, memory: int, columns: Columns = None) -> ArraySource:
    """The columns of a Parquet file."""
    from pyarrow import ArrowException, parquet

    try:
        table = parquet.read_table(path, use_threads=False)
    except (ArrowException, OSError) as error:
        raise InputError(f"cannot read {path}: {_reason(error)}") from None
    return _arrow(table, columns)


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


def _arrow(table: Any, columns: Columns) -> ArraySource:
    """The numbers of a table, and its rows' names where a column of text is called ``name``, as `write_array` does."""
    names = table.column(NAME).to_pylist() if NAME in table.column_names and _is_text(table.column(NAME)) else None
    rest = table if names is None else table.drop_columns([NAME])
    kept = rest if columns is None else rest.select(chosen(rest.column_names, columns))
    source = _table(kept.column_names, kept.columns)
    source.names = None if names is None else list(map(str, names))
    return source


def _is_text(column: Any) -> bool:
    return str(column.type) in ("string", "large_string")


def _table(names: list[str], columns: Iterable[Any]) -> ArraySource:
    if not names:
        raise InputError("the table has no columns")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"two columns of the table are named '{twice[0]}'")
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
