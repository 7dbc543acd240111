"""Typed columns: what a column of a table holds, and the numbers that stand for it in a row.

A row is float64, NaN where an entry is missing: a category is its place among `categories`, a boolean 0 or 1, a date
the days or seconds since 1970, everything else its own value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from latens.utils.errors import InputError
from latens.utils.validation import check_choice
from latens.utils.value import Value

COLUMN_KINDS = ("real", "count", "integer", "date", "boolean", "category", "constant")


@dataclass(frozen=True, repr=False)
class Column(Value):
    """One column: its kind, how it comes back, and where its numbers lie.

    A real column, and a date told in seconds, has a density (Lebesgue's measure); all others have masses (the counting
    measure). A constant has mass 1.

    Args:
        name: as in the table.
        kind: "real", "count" (0, 1, 2, ...), "integer" (a lattice, or places on an ordinal scale), "date", "boolean",
            "category" or "constant".
        dtype: how it comes back, as the library it came from writes it.
        low, high: the smallest and largest number seen.
        levels: how many values a lattice has, ``low + step * {0, ..., levels - 1}``; None where there is none.
        step: the distance of two levels.
        unit: of a date, "D" for days or "s" for seconds since 1970.
        categories: what places stand for, in order; of a boolean, what 0 and 1 stand for, None for themselves.
        rare: how the last of the categories share what probability they have in common; empty where none are rare.
        spikes: of a real column, the numbers that many entries are equal to, and that have a mass.
        has_missing: a gap was seen.

    Example:
        >>> sex = Column("sex", "category", "str", 0.0, 1.0, levels=2, categories=("F", "M"))
        >>> sex.is_mass, sex.is_number, sex.values
        (True, False, 'F, M')
    """

    name: str
    kind: str
    dtype: str = "float64"
    low: float = 0.0
    high: float = 0.0
    levels: int | None = field(default=None, kw_only=True)
    step: float = field(default=1.0, kw_only=True)
    unit: str = field(default="", kw_only=True)
    categories: tuple[str | int | float | bool, ...] | None = field(default=None, kw_only=True)
    rare: tuple[float, ...] = field(default=(), kw_only=True)
    spikes: tuple[float, ...] = field(default=(), kw_only=True)
    has_missing: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, COLUMN_KINDS)

    @property
    def is_mass(self) -> bool:
        """Whether an entry has a probability rather than a density."""
        return self.kind not in ("real", "date") or self.levels is not None

    @property
    def is_number(self) -> bool:
        """Whether entries are numbers of the user's own."""
        return not self.unit and self.categories is None

    @property
    def is_named(self) -> bool:
        """Whether entries are categories, or yes and no: they are alike or not, and never near each other."""
        return self.categories is not None or self.kind == "boolean"

    @property
    def values(self) -> str:
        """The range, or the levels, in words.

        >>> Column("age", "integer", "int64", 17.0, 90.0, levels=74).values
        '17 to 90'
        >>> Column("born", "date", "date32[day]", 0.0, 366.0, levels=367, unit="D").values
        '1970-01-01 to 1971-01-02'
        """
        if self.categories is not None:
            places = self.categories[int(self.low) : int(self.high) + 1] if self.kind == "constant" else self.categories
            more = f", ... ({len(places)} levels)" if len(places) > 6 else ""
            return ", ".join(map(str, places[:6])) + more
        ends = (self.low, self.high)
        if self.unit:
            first, last = (str(np.array(int(x)).astype(f"M8[{self.unit}]")).replace("T", " ") for x in ends)
        else:
            first, last = (f"{x:g}" if abs(x) < 1e6 else f"{x:,.0f}" for x in ends)
        return first if first == last else f"{first} to {last}"

    def describe(self) -> dict[str, Any]:
        """What a person wants to know, by name, ready for JSON."""
        levels = None if self.categories is None else list(self.categories)
        return {"name": self.name, "kind": self.kind, "dtype": self.dtype, "values": self.values, "categories": levels}


def encode(column: Column, values: Any, place: tuple[str, int] = ("row", 0)) -> tuple[np.ndarray, list[Any]]:
    """The numbers that stand for the entries of a column, (n,) float64, and the categories among them not seen before.

    A category that was never seen is missing: nothing is known of its probability.

    Args:
        column: what it holds.
        values: a pyarrow array.
        place: what a row is called in a message, and the number of the first.

    Raises:
        InputError: entries that are not of its kind.

    Example:
        >>> import pyarrow
        >>> encode(Column("sex", "category", categories=("F", "M")), pyarrow.array(["M", None, "F", "X"]))
        (array([ 1., nan,  0., nan]), ['X'])
    """
    from latens.data.cells import dates, numbers

    if column.categories is not None:
        return _places(column, values)
    if column.unit:
        found = dates(column.name, values, place, days=column.unit == "D")
    else:
        found = numbers(column.name, values, place)
    if column.kind == "constant":
        new = found[(found != column.low) & ~np.isnan(found)]
        return np.where(found == column.low, found, np.nan), np.unique(new).tolist()
    _check(column, found, place)
    return found, []


def _places(column: Column, values: Any) -> tuple[np.ndarray, list[Any]]:
    import pyarrow as pa
    from pyarrow import compute

    from latens.data.cells import plain

    values = plain(values)
    if not column.categories:
        return np.full(len(values), np.nan), values.drop_null().unique().to_pylist()
    levels = pa.array(column.categories)
    try:
        values = values.cast(levels.type)
    except pa.ArrowInvalid:
        levels, values = levels.cast(pa.string()), values.cast(pa.string())
    places = compute.index_in(values, levels)
    found = places.cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
    new = values.filter(compute.and_(compute.is_null(places), compute.is_valid(values))).unique().to_pylist()
    if column.kind == "constant":
        wrong = ~np.isnan(found) & (found != column.low)
        new += [levels[int(i)].as_py() for i in np.unique(found[wrong])]
        found[wrong] = np.nan
    return found, new


def _check(column: Column, found: np.ndarray, place: tuple[str, int]) -> None:
    """Refuses numbers that the column cannot hold."""
    if column.kind in ("real", "date"):
        return
    known = ~np.isnan(found)
    on = found == column.low + column.step * np.rint((found - column.low) / column.step)
    expected = "whole numbers" if column.step == 1 else f"multiples of {column.step:g}"
    if column.kind == "count":
        on, expected = on & (found >= 0), "counts 0, 1, 2, ..."
    if column.kind == "boolean":
        on, expected = (found == 0) | (found == 1), "0 and 1"
    wrong = np.flatnonzero(known & ~on)
    if len(wrong):
        where = f"{place[0]} {place[1] + wrong[0]} ({len(wrong)} of {len(found)} entries)"
        raise InputError(f"the column '{column.name}' was fitted with {expected}; got {found[wrong[0]]:g} at {where}")


def decode(column: Column, numbers: np.ndarray) -> Any:
    """The entries that numbers (n,) stand for, as a pyarrow array: what :func:`encode` reads, exactly.

    Whatever is drawn or averaged is brought to what the column can hold: to the nearest level, into the range seen.

    Example:
        >>> decode(Column("sex", "category", categories=("F", "M")), np.array([1.0, np.nan, 0.2])).to_pylist()
        ['M', None, 'F']
    """
    import pyarrow as pa

    gaps = np.isnan(numbers)
    held = column.low if column.kind == "constant" else np.clip(np.where(gaps, column.low, numbers), *_ends(column))
    held = np.broadcast_to(held, numbers.shape)
    if column.categories is not None:
        places = pa.array(np.rint(held).astype(np.int32), mask=gaps)
        if not column.categories:
            return pa.nulls(len(numbers), pa.string())
        found = pa.DictionaryArray.from_arrays(places, pa.array(column.categories))
        return found if _is_dictionary(column.dtype) else found.dictionary_decode()
    if column.unit == "D":
        return pa.array(np.rint(held).astype(np.int32), mask=gaps).cast(pa.date32())
    if column.unit == "s":
        return pa.array(np.rint(held * 1e6).astype(np.int64), mask=gaps).cast(pa.timestamp("us"))
    if column.dtype.lower().startswith(("duration", "timedelta")):
        return pa.array(np.rint(held * 1e6).astype(np.int64), mask=gaps).cast(pa.duration("us"))
    if column.kind == "boolean":
        return pa.array(held >= 0.5, mask=gaps)
    if column.levels is not None or column.kind == "count" or _is_whole(column.dtype):
        lattice = column.low + column.step * np.rint((held - column.low) / column.step)
        kind = np.uint64 if column.high > 2**62 else np.int64
        return pa.array(np.rint(np.minimum(lattice, 2.0**64 - 2048)).astype(kind), mask=gaps)
    return pa.array(held.astype(np.float64), mask=gaps)


def written(column: Column, numbers: np.ndarray) -> Any:
    """As :func:`decode`, in the type that a file has: that of pyarrow which the column came in, where it was one.

    >>> written(Column("n", "integer", "float", 0.0, 9.0, levels=10), np.array([1.0, np.nan])).type
    DataType(float)
    """
    from latens.data.framing import arrow_type

    cells = decode(column, numbers)
    try:
        return cells.cast(arrow_type(column.dtype), safe=False)
    except (ValueError, NotImplementedError):  # of another library, or one that cannot be cast to
        return cells


def _ends(column: Column) -> tuple[float, float]:
    if column.categories is not None:
        return 0.0, max(len(column.categories) - 1.0, 0.0)
    return (0.0, np.inf) if column.kind == "count" else (column.low, column.high)


def _is_dictionary(dtype: str) -> bool:
    return dtype.lower().endswith(("category", "categorical")) or dtype.startswith(
        ("dictionary", "Enum", "Categorical")
    )


def _is_whole(dtype: str) -> bool:
    return dtype.lower().startswith(("int", "uint"))


def summary(columns: Sequence[Column]) -> str:
    """How many columns there are of each kind.

    >>> summary([Column("a", "real"), Column("b", "category"), Column("c", "real")])
    '2 real, 1 category'
    """
    kinds = [column.kind for column in columns]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
