"""Frames: what held the rows of ``fit``, written down as text, so that rows come back as they were given.

Of pandas, polars and pyarrow none is imported before a frame of theirs has come.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

Kind = tuple[str, tuple[str | int, ...], tuple[str, ...]]
"""A library, the names of the columns, and their dtypes as the library writes them."""


def kind_of(X: Any) -> Kind | None:
    """What ``X`` is, if it is a frame whose columns have names or numbers.

    Example:
        >>> import pandas
        >>> kind_of(pandas.DataFrame({"age": [31, 5], "height": [1.8, 1.1]}))
        ('pandas', ('age', 'height'), ('int64', 'float64'))
        >>> kind_of([[31, 1.8]])
    """
    library = _library(X)
    if library is None:
        return None
    names = tuple(getattr(name, "item", lambda name=name: name)() for name in _names(X))
    if not all(isinstance(name, str | int) for name in names):
        return None
    return library, names, tuple(str(dtype) for dtype in _dtypes(X))


def part_of(kind: Kind | None, columns: np.ndarray) -> Kind | None:
    """Some of the columns, by mask (d,)."""
    if kind is None:
        return None
    library, names, dtypes = kind
    at = np.flatnonzero(columns)
    return library, tuple(names[i] for i in at), tuple(dtypes[i] for i in at)


def framed(kind: Kind | None, rows: np.ndarray) -> Any:
    """Rows (n, d) as such a frame, each column in its dtype (rounded where that is one of integers).

    Example:
        >>> framed(("pandas", ("age", "height"), ("int64", "float64")), np.array([[30.6, 1.75]]))
           age  height
        0   31    1.75
    """
    if kind is None:
        return rows
    library, names, dtypes = kind
    return _MAKE[library](names, np.asarray(rows, dtype=np.float64).T if rows.dtype.kind == "O" else rows.T, dtypes)


def completed(X: Any, filled: np.ndarray) -> Any:
    """``X`` with its missing entries as in ``filled`` (n, d): a frame keeps its index, and all columns without gaps."""
    library = _library(X)
    if library is None:
        return filled
    gaps = np.isnan(np.column_stack([_floats(_column(X, j)) for j in range(filled.shape[1])])).any(axis=0)
    return _FILL[library](X, [(int(j), filled[:, j]) for j in np.flatnonzero(gaps)])


def cast(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """``x`` (float64) in another dtype: rounded, and kept inside its range, where it is an integer one.

    Example:
        >>> cast(np.array([-3.2, 7.6, 300.0]), np.dtype("uint8"))
        array([  0,   8, 255], dtype=uint8)
    """
    if dtype.kind == "b":
        return x >= 0.5
    if dtype.kind not in "iu":
        return x.astype(dtype)
    bounds = np.iinfo(dtype)
    rounded = np.rint(x)
    inside = np.clip(rounded, float(bounds.min), float(bounds.max)).astype(dtype)
    return np.where(rounded >= float(bounds.max), dtype.type(bounds.max), inside)


def without_numbers(X: Any) -> str:
    """The first column of a table that holds no numbers, in words; nothing where there is none.

    Example:
        >>> import pandas
        >>> without_numbers(pandas.DataFrame({"age": [31, 5], "name": ["Ada", "Bo"]}))
        "the column 'name' holds no numbers, but 'Ada'; leave it out or encode it"
        >>> without_numbers([[31, 1.8]])
        ''
    """
    if _library(X) is None:
        try:
            X = np.asarray(X, dtype=object)
        except ValueError:  # rows of different lengths
            return ""
        if X.ndim != 2:
            return ""
    names = range(X.shape[1]) if isinstance(X, np.ndarray) else _names(X)
    for j, name in enumerate(names):
        column = X[:, j] if isinstance(X, np.ndarray) else _column(X, j).to_numpy()
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


def _library(X: Any) -> str | None:
    if not hasattr(X, "columns"):
        return None
    roots = [kind.__module__.partition(".")[0] for kind in type(X).__mro__]
    return next((root for root in roots if root in _MAKE), None)


def _names(X: Any) -> Sequence[Any]:
    return X.column_names if hasattr(X, "column_names") else list(X.columns)


def _dtypes(X: Any) -> list[Any]:
    """Of each column; of categories, that of what they are."""
    kinds = X.schema.types if hasattr(X, "column_names") else list(X.dtypes)
    return [getattr(getattr(kind, "categories", None), "dtype", kind) for kind in kinds]


def _column(X: Any, j: int) -> Any:
    return X.iloc[:, j] if hasattr(X, "iloc") else X[_names(X)[j]]


def _floats(column: Any) -> np.ndarray:
    if hasattr(column, "null_count") and not callable(column.null_count):
        return np.asarray(column.to_numpy(), dtype=np.float64)
    return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan) if hasattr(column, "array") else column, float)


def _in(dtype: Any, column: np.ndarray) -> np.ndarray:
    """A column in a numpy dtype; as it is where that is none of numbers."""
    return cast(column, dtype) if isinstance(dtype, np.dtype) and dtype.kind in "biuf" else column


def _pandas(names: Sequence[Any], columns: np.ndarray, dtypes: Sequence[str]) -> Any:
    pandas = import_module("pandas")

    def series(column: np.ndarray, name: str) -> Any:
        dtype = pandas.api.types.pandas_dtype(name)
        plain = getattr(dtype, "numpy_dtype", dtype)
        values = _in(plain, column)
        return pandas.Series(values, dtype=values.dtype if values is column else dtype)

    frame = pandas.concat([series(column, name) for column, name in zip(columns, dtypes)], axis=1)
    return frame.set_axis(list(names), axis=1)


def _polars(names: Sequence[Any], columns: np.ndarray, dtypes: Sequence[str]) -> Any:
    polars = import_module("polars")

    def series(name: str, column: np.ndarray, dtype: str) -> Any:
        plain = np.dtype({"Boolean": "bool"}.get(dtype, dtype.lower()))
        return polars.Series(name, _in(plain, column), dtype=getattr(polars, dtype))

    return polars.DataFrame([series(*parts) for parts in zip(names, columns, dtypes)])


def _arrow(names: Sequence[Any], columns: np.ndarray, dtypes: Sequence[str]) -> Any:
    arrow = import_module("pyarrow")
    kinds = [arrow.type_for_alias(dtype) for dtype in dtypes]
    arrays = [_in(np.dtype(kind.to_pandas_dtype()), column) for kind, column in zip(kinds, columns)]
    return arrow.table([arrow.array(a, kind) for a, kind in zip(arrays, kinds)], names=list(names))


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


_MAKE: dict[str, Callable[..., Any]] = {"pandas": _pandas, "polars": _polars, "pyarrow": _arrow}
_FILL: dict[str, Callable[..., Any]] = {"pandas": _fill_pandas, "polars": _fill_polars, "pyarrow": _fill_arrow}
