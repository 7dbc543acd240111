"""Frames: what held the rows of ``fit``, written down as text, so that rows come back as they were given.

Of pandas, polars and pyarrow none is imported before a frame of theirs has come.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from latens.data import Column, framing
from latens.data.framing import Kind, column_of, library_of, names_of
from latens.data.table import decoded


def part_of(kind: Kind | None, columns: np.ndarray) -> Kind | None:
    """Some of the columns, by mask (d,)."""
    if kind is None:
        return None
    library, names, dtypes = kind
    at = np.flatnonzero(columns)
    return library, tuple(names[i] for i in at), tuple(dtypes[i] for i in at)


def framed(kind: Kind | None, rows: np.ndarray, columns: Sequence[Column] | None = None) -> Any:
    """Rows (n, d) as such a frame, each column in its dtype (rounded where that is one of integers).

    Args:
        kind: of the frame; None for an array.
        rows: numbers, or what stands for the cells of the columns.
        columns: what each of them holds, where they are not numbers of one kind.

    Example:
        >>> framed(("pandas", ("age", "height"), ("int64", "float64")), np.array([[30.6, 1.75]]))
           age  height
        0   31    1.75
    """
    if kind is None:
        return rows
    if columns is not None:
        return decoded(rows, columns, kind)
    return framing.framed(kind, list(np.asarray(rows, dtype=np.float64).T if rows.dtype.kind == "O" else rows.T))


def completed(X: Any, filled: np.ndarray) -> Any:
    """``X`` with its missing entries as in ``filled`` (n, d): a frame keeps its index, and all columns without gaps."""
    library = library_of(X)
    if library is None:
        return filled
    gaps = np.isnan(np.column_stack([_floats(column_of(X, j)) for j in range(filled.shape[1])])).any(axis=0)
    return _FILL[library](X, [(int(j), filled[:, j]) for j in np.flatnonzero(gaps)])


def without_numbers(X: Any) -> str:
    """The first column of a table that holds no numbers, in words; nothing where there is none.

    Example:
        >>> import pandas
        >>> without_numbers(pandas.DataFrame({"age": [31, 5], "name": ["Ada", "Bo"]}))
        "the column 'name' holds no numbers, but 'Ada'; leave it out or encode it"
        >>> without_numbers([[31, 1.8]])
        ''
    """
    if library_of(X) is None:
        try:
            X = np.asarray(X, dtype=object)
        except ValueError:  # rows of different lengths
            return ""
        if X.ndim != 2:
            return ""
    names = range(X.shape[1]) if isinstance(X, np.ndarray) else names_of(X)
    for j, name in enumerate(names):
        column = X[:, j] if isinstance(X, np.ndarray) else column_of(X, j).to_numpy()
        values = np.asarray(column)
        wrong = None if values.dtype.kind in "biufc" else next((v for v in values.ravel() if not _is_number(v)), None)
        if wrong is not None:
            what = f"column {name}" if isinstance(name, int) else f"the column '{name}'"
            return f"{what} holds no numbers, but {_short(wrong)}; leave it out or encode it"
    return ""


def _is_number(value: Any) -> bool:
    if value is None or type(value).__name__ == "NAType" or isinstance(value, complex):
        return True
    if isinstance(value, np.datetime64 | np.timedelta64):
        return False
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _short(value: Any) -> str:
    found = repr(value) if isinstance(value, str) else f"{type(value).__name__} {value}"
    return found if len(found) <= 40 else found[:36] + " ..."


def _floats(column: Any) -> np.ndarray:
    if hasattr(column, "null_count") and not callable(column.null_count):
        return np.asarray(column.to_numpy(), dtype=np.float64)
    return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan) if hasattr(column, "array") else column, float)


def _fill_pandas(X: Any, columns: list[tuple[int, np.ndarray]]) -> Any:
    out = X.copy()
    for j, values in columns:
        out.isetitem(j, values)
    return out


def _fill_polars(X: Any, columns: list[tuple[int, np.ndarray]]) -> Any:
    series = import_module("polars").Series
    return X.with_columns([series(X.columns[j], values) for j, values in columns])


def _fill_arrow(X: Any, columns: list[tuple[int, np.ndarray]]) -> Any:
    for j, values in columns:
        X = X.set_column(j, X.column_names[j], import_module("pyarrow").array(values))
    return X


_FILL: dict[str, Callable[..., Any]] = {"pandas": _fill_pandas, "polars": _fill_polars, "pyarrow": _fill_arrow}
