"""What each column of a table holds, found from all of its cells, which are read once, in pieces."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from latens.data.cells import (
    EXPECTED,
    LOOKS,
    casts,
    dates,
    is_date,
    is_number,
    is_padded,
    is_text,
    numbers,
    others,
    plain,
)
from latens.data.columns import Column
from latens.data.survey import MOST_LEVELS, Survey
from latens.utils.errors import InputError

MOST_CATEGORIES = 256
"""Levels that have a probability of their own; rarer ones share the last."""
MOST_LISTED = 2_000
"""Levels that are told apart at all; rarer ones are missing."""
MOST_COUNTED = 100_000
"""Different texts that are counted; with more a column is none of categories."""
FEWEST_IDS = 20
"""Rows from which on a column that never repeats is one of ids, or free text."""
WIDEST = 2**24
"""Levels of a lattice on which single precision tells all whole numbers apart."""
FEW_NUMBERS = 20
"""Different numbers that categories may have among their names, as in 0, 1, 2, 3+."""

SPIKE, FEWEST, APART = 0.1, 10, 20.0
"""A real number has a mass if so large a share of the rows are equal to it, so many of them, and so many times as many
as to another number that occurs."""

_YES_AND_NO = ({"no", "yes"}, {"false", "true"}, {"n", "y"}, {"f", "t"}, {"off", "on"})
_ID = re.compile(r"^$|(?i:^(row|row_?names?|index|unnamed: ?\d+|uuid|guid|key)$|(^|[_\W])(id|nr|no)$)|[a-z](Id|ID)$")


@dataclass(frozen=True)
class Found:
    """What a column is, and why; `column` is None where it is left out."""

    column: Column | None
    why: str
    note: str = ""
    missing: int = 0


class Cells:
    """Reads a column in pieces and tells what it is.

    Args:
        name: of the column.
        dtype: how its library writes its type.
        place: what a row is called in a message, and the number of the first.

    Attributes:
        declared: the levels that its type lists, in order; None where it lists none.
        ordered: whether their order means something.
        is_plain: whether all were plain numbers, which can stand in one array.
    """

    def __init__(self, name: str, dtype: str, place: tuple[str, int] = ("row", 0)) -> None:
        self.name, self.dtype, self.place = name, dtype, place
        self.declared: list[Any] | None = None
        self.ordered, self.is_plain = False, True
        self.rows = self.missing = 0
        self.sorts: set[str] = set()
        self.levels: Counter | None = Counter()
        self.frequent: Counter = Counter()
        self.survey = Survey((1,), np.dtype(np.float64), "table")
        self.whole_days = self.whole_text = self.distinct = True
        self.logical = self.written = False
        self.words: dict[str, str] = {}
        self.first = ""

    def update(self, values: Any) -> None:
        """Reads some more cells.

        Raises:
            InputError: they are of a type that no model reads, or infinite.
        """
        if isinstance(values, pa.ChunkedArray):
            values = values.unify_dictionaries().combine_chunks()
        if isinstance(values, pa.DictionaryArray):
            self._declare(values)
        values = plain(values)
        known = values.drop_null()
        self.is_plain = self.is_plain and is_plain(values.type)
        self.missing += len(values) - len(known)
        if len(known):
            sort = self._sort(values, known)
            self.sorts.add(sort)
            if sort == "number":
                self._extend(numbers(self.name, values, self._here))
            elif sort == "date":
                self._extend(dates(self.name, values, self._here, days=False))
            if sort != "date":
                self._count(known)
        self.rows += len(values)

    def _declare(self, values: pa.DictionaryArray) -> None:
        """Takes the levels that a type lists for all that there are."""
        self.ordered = values.type.ordered and not self.dtype.startswith("Enum")
        if self.ordered or self.dtype.startswith(("category", "Enum")):
            levels = values.dictionary.to_pylist()
            if all(isinstance(level, str | int | float) for level in levels):
                self.declared = list(dict.fromkeys([*(self.declared or []), *levels]))

    def _sort(self, values: pa.Array, known: pa.Array) -> str:
        kind = values.type
        if self.declared is not None:
            return "text"
        if is_text(kind):
            return self._of_text(values, known)
        if is_date(kind):
            return "date"
        if is_number(kind):
            self.logical = pa.types.is_boolean(kind)
            return "number"
        raise InputError(f"the column '{self.name}' holds {kind}, not numbers, text or dates; leave it out")

    def _of_text(self, values: pa.Array, known: pa.Array) -> str:
        trimmed = compute.utf8_trim_whitespace(known)
        self.written = True
        if casts(trimmed, pa.float64()):
            self.whole_text = self.whole_text and casts(trimmed, pa.int64())
            return "text" if is_padded(trimmed) else "number"
        if casts(trimmed, pa.timestamp("us")):
            return "date"
        if not self.words:
            self.first = str(known[0])
            self.words = {sort: others(self.name, values, sort, self._here) for sort in EXPECTED}
        return "text"

    @property
    def _here(self) -> tuple[str, int]:
        word, first = self.place
        return word, first + self.rows

    def _extend(self, found: np.ndarray) -> None:
        found = found[~np.isnan(found)]
        self.survey.update(found[:, None])
        self.whole_days = self.whole_days and bool(np.all(found % 86_400 == 0))

    def _count(self, known: pa.Array) -> None:
        """Keeps how often each value occurs, as long as there are few."""
        if self.levels is None:
            for value in self.frequent:
                self.frequent[value] += compute.sum(compute.equal(known, pa.scalar(value, known.type))).as_py() or 0
            return
        counted = compute.value_counts(known)
        self.distinct = self.distinct and len(counted) == len(known)
        self.levels.update(dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist())))
        if len(self.levels) > (MOST_COUNTED if "text" in self.sorts else MOST_LISTED):
            seen = sum(self.levels.values())
            self.frequent = Counter({value: n for value, n in self.levels.items() if n >= SPIKE / 2 * seen})
            self.levels = None

    def _spikes(self, known: int) -> tuple[float, ...]:
        """Numbers to which many more entries are equal than to any other."""
        counted = self.frequent if self.levels is None else self.levels
        usual = known / (MOST_LISTED if self.levels is None else max(len(self.levels), 1))
        least = max(FEWEST, SPIKE * known, APART * usual)
        return tuple(sorted(float(value) for value, n in counted.items() if n >= least))

    @property
    def rewritten(self) -> str | None:
        """What the numbers or dates of a column of text are, as pyarrow writes it; None where it is none of these."""
        if not self.written or len(self.sorts) != 1 or "text" in self.sorts:
            return None
        if "number" in self.sorts:
            return "int64" if self.whole_text else "double"
        return "date32[day]" if self.whole_days else "timestamp[us]"

    def found(self) -> Found:
        """What has been read.

        Raises:
            InputError: numbers with words among them.
        """
        known = self.rows - self.missing
        if not known:
            empty = Column(self.name, "constant", self.dtype, categories=self._declared() or (), has_missing=True)
            note = f"no value of the column '{self.name}' is known; nothing is learned of it"
            return Found(empty, "no value is known", note if self.rows else "", self.missing)
        if self.sorts == {"number"}:
            return self._number(known)
        if self.sorts == {"date"}:
            return self._date()
        return self._text(known)

    def _column(self, kind: str, low: float, high: float, **more: Any) -> Column:
        return Column(self.name, kind, self.dtype, low, high, has_missing=self.missing > 0, **more)

    def _is(self, column: Column, why: str, note: str = "") -> Found:
        return Found(column, why, note, self.missing)

    def _left_out(self, what: str) -> Found:
        return Found(None, what, f"the column '{self.name}' is left out: {what}", self.missing)

    def _number(self, known: int) -> Found:
        read = self.survey
        low, high = read.low, read.high
        if low == high:
            return self._is(self._column("constant", low, high), "one value")
        if self.logical:
            return self._is(self._column("boolean", 0.0, 1.0, levels=2), "true and false")
        if not read.integral:
            spikes = self._spikes(known)
            why = "numbers with fractions" + (f", of which many are {spikes[0]:g}" if spikes else "")
            return self._is(self._column("real", low, high, spikes=spikes), why)
        if known >= FEWEST_IDS and _ID.search(self.name) and self._never_repeats(known):
            return self._left_out("its values number the rows")
        if (low, high) == (0.0, 1.0):
            return self._is(self._column("boolean", 0.0, 1.0, levels=2), "0 and 1")
        if low == 0 and high < MOST_LEVELS and read._counts():
            return self._is(self._column("count", low, high), "whole numbers from 0 on, with a long tail")
        levels = high - low + 1
        if levels > WIDEST:
            return self._is(self._column("real", low, high), f"whole numbers over a range of {levels:.3g}")
        return self._is(self._column("integer", low, high, levels=int(levels)), "whole numbers")

    def _never_repeats(self, known: int) -> bool:
        """No value occurs twice, as far as they were counted; and there is room for all of them."""
        return self.distinct and self.survey.high - self.survey.low + 1 >= known

    def _date(self) -> Found:
        low, high = self.survey.low, self.survey.high
        unit = "D" if self.whole_days else "s"
        if self.whole_days:
            low, high = low / 86_400, high / 86_400
        if low == high:
            return self._is(self._column("constant", low, high, unit=unit), "one value")
        levels = int(high - low) + 1 if self.whole_days else None
        why = "dates" if self.whole_days else "points in time"
        return self._is(self._column("date", low, high, levels=levels, unit=unit), why)

    def _declared(self) -> tuple[Any, ...] | None:
        return None if self.declared is None else tuple(self.declared)

    def _text(self, known: int) -> Found:
        self._refuse_words()
        often = self.declared is not None or known < FEWEST_IDS
        if self.levels is None or not (often or len(self.levels) <= 0.9 * known):
            return self._left_out(
                f"dates are read as 2020-12-31; its cells look like {self.first!r}"
                if re.search(r"^\d{1,4}[./-]\d{1,2}[./-]\d{1,4}", self.first)
                else "ids or free text, as hardly any value of it occurs twice"
            )
        return self._categories(self.levels)

    def _refuse_words(self) -> None:
        """Numbers, or dates, with words among them are no categories."""
        if not self.words or self.declared is not None:
            return
        if "date" in self.sorts:
            raise InputError(self.words["date"])
        few = max(FEW_NUMBERS, 0.5 * len(self.levels or ()))
        for sort, looks in LOOKS.items():
            many = sum(bool(re.search(looks, str(level))) for level in self.levels or ())
            if many > few or (sort in self.sorts and self.levels is None):
                raise InputError(self.words[sort])

    def _categories(self, counted: Counter) -> Found:
        levels = self._declared() or tuple(sorted(counted, key=lambda level: (str(type(level)), level)))
        if len(counted) == 1:
            at = float(levels.index(next(iter(counted))))
            return self._is(self._column("constant", at, at, categories=levels), "one value")
        if self.ordered and len(levels) <= MOST_LISTED:
            column = self._column("integer", 0.0, len(levels) - 1.0, levels=len(levels), categories=levels)
            return self._is(column, "ordered levels")
        if len(levels) == 2 and {str(level).lower() for level in levels} in _YES_AND_NO:
            return self._is(self._column("boolean", 0.0, 1.0, levels=2, categories=levels), "yes and no")
        note = ""
        rare: tuple[float, ...] = ()
        if len(levels) > MOST_CATEGORIES:
            levels = tuple(sorted(levels, key=lambda level: (-counted[level], str(level))))[:MOST_LISTED]
            shares = np.array([counted[level] for level in levels[MOST_CATEGORIES - 1 :]], dtype=float) + 1e-9
            rare = tuple((shares / shares.sum()).tolist())
            note = self._pooled(counted, levels)
        more = {"levels": len(levels), "categories": levels, "rare": rare}
        why = "text" if self.declared is None else "levels without an order"
        return self._is(self._column("category", 0.0, len(levels) - 1.0, **more), why, note)

    def _pooled(self, counted: Counter, levels: tuple[Any, ...]) -> str:
        lost = sum(counted.values()) - sum(counted[level] for level in levels)
        told = (
            f"the column '{self.name}' has {len(counted):,} levels: the {MOST_CATEGORIES - 1} most frequent have a "
            "probability of their own, the others share one by their frequencies"
        )
        if lost:
            self.missing += lost
            told += f"; {lost:,} cells of levels beyond the {MOST_LISTED:,} most frequent are taken as missing"
        return told


def is_plain(kind: pa.DataType) -> bool:
    """Whether cells are plain numbers, which may stand in one array."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)


def are_alike(found: Sequence[Found]) -> bool:
    """Whether columns of numbers are 0 and 1 throughout, but for constants: one array tells as much of them."""
    return {item.column.kind if item.column else "" for item in found} <= {"constant", "boolean"}
