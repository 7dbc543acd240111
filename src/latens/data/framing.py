"""Frames of pandas, polars and pyarrow: what they are, as text, and columns back in them.

None of the three is imported before a frame of theirs has come.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np

from latens.data.columns import Column
from latens.utils.errors import InputError

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
    library = library_of(X)
    if library is None:
        return None
    names = tuple(getattr(name, "item", lambda name=name: name)() for name in names_of(X))
    if not all(isinstance(name, str | int) for name in names):
        return None
    return library, names, tuple(map(str, _dtypes(X)))


def library_of(X: Any) -> str | None:
    """ "pandas", "polars" or "pyarrow"; None for what is no frame of theirs."""
    if not hasattr(X, "columns"):
        return None
    roots = [kind.__module__.partition(".")[0] for kind in type(X).__mro__]
    return next((root for root in roots if root in _MAKE), None)


def names_of(X: Any) -> Sequence[Any]:
    """The names of a frame's columns."""
    return X.column_names if hasattr(X, "column_names") else list(X.columns)


def column_of(X: Any, j: int) -> Any:
    """A column of a frame, by its place."""
    return X.iloc[:, j] if hasattr(X, "iloc") else X[names_of(X)[j]]


def framed(kind: Kind, columns: Sequence[Any]) -> Any:
    """Columns, of numpy's numbers or in pyarrow's arrays, as such a frame, each in its dtype.

    Example:
        >>> framed(("pandas", ("age", "height"), ("int64", "float64")), np.array([[30.6], [1.75]]))
           age  height
        0   31    1.75
    """
    library, names, dtypes = kind
    return _MAKE[library](names, columns, dtypes)


def indexed(frame: Any, like: Any) -> Any:
    """The frame with the index of another one, where both are of pandas.

    >>> import pandas
    >>> indexed(pandas.DataFrame({"n": [1, 2]}), pandas.DataFrame({"n": [1, None]}, index=["a", "b"]))
       n
    a  1
    b  2
    """
    return frame.set_index(like.index) if hasattr(frame, "iloc") and hasattr(like, "iloc") else frame


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


def arrow_of(X: Any, j: int, name: str) -> Any:
    """A column of a frame as an array of pyarrow.

    Raises:
        InputError: its cells are of several types, or of one that tables do not have.
    """
    import pyarrow as pa

    column = column_of(X, j)
    if hasattr(column, "to_arrow"):
        column = column.to_arrow()
    if isinstance(column, pa.Array | pa.ChunkedArray):
        return column
    try:
        return pa.array(np.asarray(column) if hasattr(column, "sparse") else column, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError):
        raise InputError(_mixed(name, column)) from None


def dtype_of(X: Any, j: int) -> str:
    """How a column comes back, as its library writes it; of pandas' categories also whether they are ordered.

    >>> import pandas
    >>> dtype_of(pandas.DataFrame({"size": pandas.Categorical(["S", "L"], ["S", "L"], ordered=True)}), 0)
    'ordered category'
    """
    column = column_of(X, j)
    dtype = column.type if hasattr(column, "type") else column.dtype
    ordered = str(dtype) == "category" and dtype.ordered
    return "ordered category" if ordered else str(dtype)


_WRITTEN = {
    "pandas": {
        "int64": "int64",
        "double": "float64",
        "date32[day]": "datetime64[s]",
        "timestamp[us]": "datetime64[us]",
    },
    "polars": {"int64": "Int64", "double": "Float64", "date32[day]": "Date", "timestamp[us]": "Datetime"},
    "pyarrow": {},
}


def retyped(column: Column, dtype: str | None, library: str) -> Column:
    """A column of text that holds numbers or dates comes back as these.

    >>> retyped(Column("age", "integer", "str"), "int64", "polars").dtype
    'Int64'
    """
    return column if dtype is None else replace(column, dtype=_WRITTEN[library].get(dtype, dtype))


def _mixed(name: str, column: Any) -> str:
    """Which cells of a column differ from its first, in one line."""
    values = np.asarray(column, dtype=object).ravel()
    kinds: dict[str, str] = {}
    for row, value in enumerate(values):
        if value is not None and value == value:
            shown = repr(value)
            kinds.setdefault(type(value).__name__, f"{shown[:30]} at row {row}")
    if len(kinds) < 2:
        return f"the column '{name}' holds {next(iter(kinds), 'nothing')}, which no table has; leave it out"
    told = ", ".join(f"{kind} {first}" for kind, first in list(kinds.items())[:3])
    return f"the column '{name}' mixes types: {told}; make it one type, or leave it out"


def _dtypes(X: Any) -> list[Any]:
    """Of each column; of categories, that of what they are."""
    kinds = X.schema.types if hasattr(X, "column_names") else list(X.dtypes)
    return [getattr(getattr(kind, "categories", None), "dtype", kind) for kind in kinds]


def _in(dtype: Any, column: np.ndarray) -> np.ndarray:
    """A column in a numpy dtype; as it is where that is none of numbers."""
    return cast(column, dtype) if isinstance(dtype, np.dtype) and dtype.kind in "biuf" else column


def _pandas(names: Sequence[Any], columns: Sequence[Any], dtypes: Sequence[str]) -> Any:
    pandas = import_module("pandas")

    def series(column: Any, name: str) -> Any:
        if not isinstance(column, np.ndarray):
            return _pandas_cells(pandas, column, name)
        dtype = pandas.api.types.pandas_dtype(name)
        plain = getattr(dtype, "numpy_dtype", dtype)
        values = _in(plain, column)
        return pandas.Series(values, dtype=values.dtype if values is column else dtype)

    frame = pandas.concat([series(column, name) for column, name in zip(columns, dtypes)], axis=1)
    return frame.set_axis(list(names), axis=1)


def _pandas_cells(pandas: Any, column: Any, name: str) -> Any:
    """Cells that are no numbers, or have gaps, in pandas."""
    if name in ("category", "ordered category") and hasattr(column, "dictionary"):
        categories = column.dictionary.to_pylist()
        codes = np.nan_to_num(column.indices.to_numpy(zero_copy_only=False), nan=-1).astype(int)
        return pandas.Series(pandas.Categorical.from_codes(codes, categories, ordered=name != "category"))
    if name == "object":
        return pandas.Series(column.to_pylist(), dtype=object)
    values = pandas.Series(column.to_pandas(integer_object_nulls=True))
    if values.isna().any() and name.lower().startswith(("int", "uint", "bool")) and name[0].islower():
        return values.astype("object" if name == "bool" else "float64") if name != "boolean" else values.astype(name)
    if name.startswith("datetime64") and "," in name:
        return values.dt.tz_localize("UTC").astype(name)
    if name.endswith("category"):  # of dates, which come back as such
        return values
    return values.astype(pandas.api.types.pandas_dtype(name))


def _polars(names: Sequence[Any], columns: Sequence[Any], dtypes: Sequence[str]) -> Any:
    polars = import_module("polars")

    def series(name: str, column: Any, dtype: str) -> Any:
        if not isinstance(column, np.ndarray):
            return polars.from_arrow(column).rename(name).cast(_polars_type(polars, dtype, column))
        plain = np.dtype({"Boolean": "bool"}.get(dtype, dtype.lower()))
        return polars.Series(name, _in(plain, column), dtype=getattr(polars, dtype))

    return polars.DataFrame([series(*parts) for parts in zip(names, columns, dtypes)])


def _polars_type(polars: Any, dtype: str, column: Any) -> Any:
    if dtype.startswith("Enum"):
        return polars.Enum(column.dictionary.to_pylist())
    unit = re.search(r"time_unit='(\w+)'", dtype)
    zone = re.search(r"time_zone='([^']+)'", dtype)
    if dtype.startswith("Datetime"):
        return polars.Datetime(unit[1] if unit else "us", zone[1] if zone else None)
    if dtype.startswith("Duration"):
        return polars.Duration(unit[1] if unit else "us")
    return getattr(polars, dtype.partition("(")[0])


def _arrow(names: Sequence[Any], columns: Sequence[Any], dtypes: Sequence[str]) -> Any:
    arrow = import_module("pyarrow")

    def array(column: Any, kind: Any) -> Any:
        if not isinstance(column, np.ndarray):
            return column.cast(kind, safe=False)
        return arrow.array(_in(np.dtype(kind.to_pandas_dtype()), column), kind)

    return arrow.table([array(*parts) for parts in zip(columns, map(arrow_type, dtypes))], names=list(names))


def arrow_type(text: str) -> Any:
    """The type that pyarrow writes so.

    >>> arrow_type("timestamp[us, tz=UTC]"), arrow_type("dictionary<values=string, indices=int8, ordered=0>")
    (TimestampType(timestamp[us, tz=UTC]), DictionaryType(dictionary<values=string, indices=int8, ordered=0>))
    """
    arrow = import_module("pyarrow")
    zoned = re.fullmatch(r"timestamp\[(\w+), tz=(.+)\]", text)
    if zoned:
        return arrow.timestamp(zoned[1], zoned[2])
    coded = re.fullmatch(r"dictionary<values=(.+), indices=(.+), ordered=(\d)>", text)
    if coded:
        return arrow.dictionary(arrow_type(coded[2]), arrow_type(coded[1]), coded[3] == "1")
    exact = re.fullmatch(r"decimal(\d+)\((\d+), (\d+)\)", text)
    if exact:
        return getattr(arrow, f"decimal{exact[1]}")(int(exact[2]), int(exact[3]))
    return arrow.type_for_alias(text)


_MAKE: dict[str, Callable[..., Any]] = {"pandas": _pandas, "polars": _polars, "pyarrow": _arrow}
