"""Cells of a column, in pyarrow: gaps, numbers, dates, and words where numbers should be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from latens.utils.errors import InputError

GAPS = ("", "?")
"""Text that says that nothing is known."""
_FIRST = 64
EXPECTED = {"number": "numbers", "date": "dates"}
LOOKS = {"number": r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$", "date": r"^\s*\d{4}-\d\d-\d\d"}


def plain(values: Any) -> Any:
    """One array, no dictionary, and null where nothing is known: None, NaN, NaT, empty text and "?".

    >>> plain(pa.array(["a", " ", None, "?"])).to_pylist()
    ['a', None, None, None]
    """
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.DictionaryArray):
        values = values.dictionary_decode()
    if is_text(values.type):
        gaps = compute.is_in(compute.utf8_trim_whitespace(values), pa.array(GAPS, values.type))
        return compute.if_else(gaps, pa.scalar(None, values.type), values)
    if pa.types.is_floating(values.type):
        return compute.if_else(compute.is_nan(values), pa.scalar(None, values.type), values)
    return values


def is_text(kind: pa.DataType) -> bool:
    """Whether entries are text."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def is_date(kind: pa.DataType) -> bool:
    """Whether entries are dates or points in time."""
    return pa.types.is_timestamp(kind) or pa.types.is_date(kind)


def is_number(kind: pa.DataType) -> bool:
    """Whether entries are numbers, true and false, or lengths of time."""
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return numeric or pa.types.is_boolean(kind) or pa.types.is_duration(kind)


def told(place: tuple[str, int], row: Any) -> str:
    """Where a cell stands, in words.

    >>> told(("line", 2), 5)
    'line 7'
    """
    return f"{place[0]} {place[1] + row}"


def numbers(name: str, values: Any, place: tuple[str, int] = ("row", 0)) -> np.ndarray:
    """Entries as float64, NaN where missing; lengths of time in seconds.

    Raises:
        InputError: there are words, or an infinity, among them.

    >>> numbers("age", pa.array(["31", None, "5.5"]))
    array([31. ,  nan,  5.5])
    """
    values = plain(values)
    kind = values.type
    if is_text(kind):
        values = _cast(name, values, pa.float64(), "number", place)
    elif pa.types.is_boolean(kind):
        values = values.cast(pa.uint8())
    elif pa.types.is_duration(kind):
        return _floats(values.cast(pa.duration("us"), safe=False).cast(pa.int64())) / 1e6
    elif not is_number(kind):
        raise InputError(f"the column '{name}' was fitted with numbers; got {kind}")
    found = _floats(values)
    infinite = np.flatnonzero(np.isinf(found))
    if len(infinite):
        raise InputError(f"the column '{name}' holds infinity at {told(place, infinite[0])}; remove or replace it")
    return found


def _floats(values: pa.Array) -> np.ndarray:
    return np.array(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)


def dates(name: str, values: Any, place: tuple[str, int] = ("row", 0), *, days: bool) -> np.ndarray:
    """Points in time as days or seconds since 1970, to the microsecond, NaN where missing.

    Raises:
        InputError: there is something else among them.

    >>> dates("born", pa.array(["1970-01-03", None]), days=True)
    array([ 2., nan])
    """
    values = plain(values)
    if is_text(values.type):
        values = _cast(name, values, pa.timestamp("us"), "date", place)
    elif not is_date(values.type) and values.null_count < len(values):
        raise InputError(f"the column '{name}' was fitted with dates; got {values.type}")
    zone = getattr(values.type, "tz", None)
    whole = values.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())
    seconds = _floats(whole) / 1e6
    return np.floor(seconds / 86_400) if days else seconds


def _cast(name: str, values: pa.Array, kind: pa.DataType, expected: str, place: tuple[str, int]) -> pa.Array:
    try:
        return compute.utf8_trim_whitespace(values).cast(kind)
    except pa.ArrowInvalid:
        raise InputError(others(name, values, expected, place)) from None


def casts(values: pa.Array, kind: pa.DataType) -> bool:
    """Whether all text is of this kind."""
    try:
        values[:_FIRST].cast(kind)  # of many that fail, each costs
        values.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def is_padded(values: pa.Array) -> bool:
    """Whether some number is written with zeros before it, as codes are and quantities are not.

    >>> is_padded(pa.array(["00501", "90210"])), is_padded(pa.array(["0", "0.5"]))
    (True, False)
    """
    zeros = values.filter(compute.starts_with(values, "0"))
    return bool(compute.any(compute.match_substring_regex(zeros, r"^0\d")).as_py())


def others(name: str, values: pa.Array, expected: str, place: tuple[str, int] = ("row", 0)) -> str:
    """Which entries of a column are none of those expected, in one line.

    >>> others("age", pa.array(["31", "old", None, "5"]), "number")
    "the column 'age' holds numbers, but also 'old' at row 1; make them empty, or leave the column out"
    """
    wrong = compute.invert(compute.match_substring_regex(values, LOOKS[expected]))
    places = np.flatnonzero(wrong.fill_null(False).to_numpy(zero_copy_only=False))
    shown = [f"{_short(values[int(i)].as_py())} at {told(place, i)}" for i in places[:3]]
    more = f" and {len(places) - 3} more" if len(places) > 3 else ""
    what = ", ".join(shown) + more if shown else "something else"
    return f"the column '{name}' holds {EXPECTED[expected]}, but also {what}; make them empty, or leave the column out"


def _short(value: str) -> str:
    return repr(value if len(value) <= 30 else value[:27] + "...")
