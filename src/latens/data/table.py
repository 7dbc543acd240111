"""Tables whose columns are of several kinds: found, encoded as rows of numbers, and decoded."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from latens.data.columns import Column, decode, encode
from latens.data.framing import Kind, framed
from latens.data.schema import Schema
from latens.data.source import Source
from latens.utils.errors import InputError
from latens.utils.text import nearest


class TableSource(Source):
    """Rows of numbers that stand for the cells of a table.

    Attributes:
        frame: what held the table, so that rows can come back in it.
        why: of each column, why it was taken as it was; empty where the columns were known.
    """

    def __init__(
        self,
        X: np.ndarray,
        schema: Schema,
        frame: Kind,
        *,
        names: Sequence[str] | None = None,
        notes: Iterable[str] = (),
        why: Sequence[str] = (),
    ) -> None:
        self.X, self.schema, self.frame, self.why = X, schema, frame, tuple(why)
        self.names = None if names is None else list(names)
        self.skipped, self.notes = [], list(notes)
        gaps = np.isnan(X).sum(0)
        self.missing = gaps if gaps.any() else None

    def __len__(self) -> int:
        return len(self.X)

    def take(self, indices: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(self.X[np.asarray(indices)])


def schema_of(columns: Sequence[Column]) -> Schema:
    """The schema of a table with these columns.

    >>> schema_of([Column("age", "integer", "int64", 17.0, 90.0, levels=74), Column("sex", "category")]).summary
    'rows of 2 columns: 1 integer, 1 category'
    """
    return Schema(
        "table",
        (len(columns),),
        "float64",
        min((column.low for column in columns), default=0.0),
        max((column.high for column in columns), default=0.0),
        has_missing=any(column.has_missing for column in columns),
        features=tuple(column.name for column in columns),
        columns=tuple(columns),
    )


def decoded(rows: np.ndarray, columns: Sequence[Column], frame: Kind) -> Any:
    """Rows (n, d) as the frame that was fitted: its dtypes, its categories, within the ranges seen.

    Example:
        >>> sex = Column("sex", "category", "str", 0.0, 1.0, levels=2, categories=("F", "M"))
        >>> decoded(np.array([[1.0], [0.0]]), [sex], ("pandas", ("sex",), ("str",)))
          sex
        0   M
        1   F
    """
    return framed(frame, [decode(column, rows[:, j]) for j, column in enumerate(columns)])


def places(names: Sequence[str], columns: Sequence[Column]) -> tuple[list[int], list[str]]:
    """Where each column stands among these names, in whatever order; and which names are none of a column.

    Raises:
        InputError: a column is not there.

    >>> places(["b", "c", "a"], [Column("a", "real"), Column("b", "real")])
    ([2, 0], ['c'])
    """
    wanted = [column.name for column in columns]
    extra = [name for name in names if name not in wanted]
    missing = [name for name in wanted if name not in names]
    if missing:
        more = f" (nor {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise InputError(
            f"there is no column '{missing[0]}'{more}{nearest(missing[0], extra)}; the model was fitted on "
            f"{', '.join(wanted[:20])}{' ...' if len(wanted) > 20 else ''}"
        )
    return [names.index(name) for name in wanted], extra


def unseen(column: Column, new: Sequence[Any]) -> str:
    """What is said of levels that were never seen.

    >>> unseen(Column("sex", "category"), ["X"])
    "the column 'sex' holds 'X', which was not there when the model was fitted: taken as missing"
    """
    told = ", ".join(repr(value) for value in new[:5]) + (f" and {len(new) - 5} more" if len(new) > 5 else "")
    return f"the column '{column.name}' holds {told}, which was not there when the model was fitted: taken as missing"


def encoded(columns: Sequence[Column], cells: Sequence[Any]) -> tuple[np.ndarray, list[str]]:
    """Rows (n, d) of these cells, a pyarrow array for each column, and what is to be said of them."""
    found = [encode(column, values) for column, values in zip(columns, cells, strict=True)]
    notes = [unseen(column, new) for column, (_, new) in zip(columns, found) if new]
    return np.column_stack([numbers for numbers, _ in found]), notes


def refuse_other_than_numbers(schema: Schema, what: str) -> None:
    """Refuses a table with columns that `what` cannot describe, naming the first.

    >>> refuse_other_than_numbers(schema_of([Column("sex", "category", categories=("F", "M"))]), "Histogram")
    Traceback (most recent call last):
    latens.utils.errors.InputError: the column 'sex' holds no numbers, but F, M; Histogram expects them: leave it out
    """
    for column in schema.columns or ():
        if not column.is_number:
            raise InputError(
                f"the column '{column.name}' holds no numbers, but {column.values}; {what} expects them: leave it out"
            )


class TableWarning(UserWarning):
    """Something in a table was not taken as it came."""


def told(source: Source) -> Source:
    """The source, once its notes have been given as warnings."""
    for note in source.notes:
        warnings.warn(note, TableWarning, stacklevel=4)
    return source
