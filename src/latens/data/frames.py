"""Tables: pandas and polars frames without importing either, CSV and Parquet files; numbers only."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from latens.data.source import ArraySource
from latens.utils.errors import InputError

NAME = "name"
"""The column of a file that names its rows."""


def is_frame(data: Any) -> bool:
    """Whether this is a pandas or polars frame, or anything that behaves like one."""
    return all(hasattr(data, name) for name in ("columns", "to_numpy", "shape"))


def load_frame(frame: Any) -> ArraySource:
    """The columns of a frame, as one table with their names."""
    return _table([str(name) for name in frame.columns], (frame[name] for name in frame.columns))


def load_csv(path: Path, memory: int) -> ArraySource:
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
    return _arrow(table)


def load_parquet(path: Path, memory: int) -> ArraySource:
    """The columns of a Parquet file."""
    from pyarrow import ArrowException, parquet

    try:
        table = parquet.read_table(path, use_threads=False)
    except (ArrowException, OSError) as error:
        raise InputError(f"cannot read {path}: {_reason(error)}") from None
    return _arrow(table)


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


def _arrow(table: Any) -> ArraySource:
    """The numbers of a table, and its rows' names where a column of text is called ``name``, as `write_array` does."""
    if NAME not in table.column_names or not _is_text(table.column(NAME)):
        return _table(table.column_names, table.columns)
    rest = table.drop_columns([NAME])
    source = _table(rest.column_names, rest.columns)
    source.names = [str(name) for name in table.column(NAME).to_pylist()]
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
