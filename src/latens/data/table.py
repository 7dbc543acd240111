"""Tables whose columns are of several kinds: found, encoded as rows of numbers, and decoded."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from latens.data.columns import Column, decode, encode
from latens.data.framing import Kind, framed, retyped
from latens.data.packing import Store, unpacked
from latens.data.schema import CHUNK, Schema
from latens.data.source import Source
from latens.data.survey import Survey
from latens.utils.errors import InputError
from latens.utils.text import nearest


@dataclass(frozen=True)
class Table:
    """Cells that can be read in pieces, as often as wanted.

    Args:
        library: what holds them, "pandas", "polars" or "pyarrow".
        names: of the columns, as they were.
        dtypes: of the columns, as the library writes them.
        pieces: some columns, by their places, as arrays of pyarrow, one after the other.
        place: what a row is called in a message, and the number of the first.
    """

    library: str
    names: tuple[Any, ...]
    dtypes: tuple[str, ...]
    pieces: Callable[[Sequence[int]], Iterator[Sequence[Any]]]
    place: tuple[str, int] = ("row", 0)


class TableSource(Source):
    """Rows of numbers that stand for the cells of a table, held column by column.

    Args:
        columns: their numbers, packed (data/packing.py) or float64, each (n,).
        schema: what each of them holds.
        frame: what held the table.
        in_memory: whether all rows may be held as float64.
        names: one for each row.
        notes: what is to be said of them.
        why: of each column, why it was taken as it was.

    Attributes:
        frame: what held the table, so that rows can come back in it.
        why: of each column, why it was taken as it was; empty where the columns were known.
    """

    def __init__(
        self,
        columns: Sequence[np.ndarray],
        schema: Schema,
        frame: Kind,
        *,
        in_memory: bool = True,
        names: Sequence[str] | None = None,
        notes: Iterable[str] = (),
        why: Sequence[str] = (),
    ) -> None:
        self.columns, self.schema, self.frame, self.why = list(columns), schema, frame, tuple(why)
        self.names = None if names is None else list(names)
        self.skipped, self.notes = [], list(notes)
        self.in_memory = in_memory
        gaps = sum((np.isnan(rows).sum(0) for rows in self.batches(CHUNK // 8)), np.zeros(len(self.columns), int))
        self.missing = gaps if gaps.any() else None

    def __len__(self) -> int:
        return len(self.columns[0])

    def take(self, indices: np.ndarray) -> np.ndarray:
        indices = np.asarray(indices)
        out = np.empty((len(indices), len(self.columns)), self.schema.dtype)
        for j, column in enumerate(self.columns):
            out[:, j] = unpacked(column, indices)
        return out


def read(table: Table, at: Sequence[int], memory: int) -> TableSource | None:
    """Finds what each of these columns holds, and encodes them; None where all are 0 and 1.

    Raises:
        InputError: a column that no model reads, or none that says anything.
    """
    from latens.data.detect import Cells, are_alike

    cells = [Cells(str(table.names[j]), table.dtypes[j], table.place) for j in at]
    for piece in table.pieces(at):
        for column, values in zip(cells, piece, strict=True):
            column.update(values)
    found = [column.found() for column in cells]
    if all(column.is_plain for column in cells) and are_alike(found):
        return None
    kept = [i for i, item in enumerate(found) if item.column is not None]
    known = [item.column for item in found if item.column is not None]
    columns = [retyped(column, cells[i].rewritten, table.library) for i, column in zip(kept, known)]
    if not columns:
        raise InputError(f"no column is left to learn from: {'; '.join(item.note for item in found[:3])}")
    notes, why = [item.note for item in found if item.note], [found[i].why for i in kept]
    return read_under(table, [at[i] for i in kept], columns, memory, notes=notes, why=why)


def read_under(
    table: Table,
    at: Sequence[int],
    columns: Sequence[Column],
    memory: int,
    schema: Schema | None = None,
    *,
    notes: Sequence[str] = (),
    why: Sequence[str] = (),
) -> TableSource:
    """Encodes the cells of known columns, which stand at these places of a table."""
    stores = [Store(None if column.categories is None else len(column.categories)) for column in columns]
    new: list[dict[Any, None]] = [{} for _ in columns]
    word, first = table.place
    for piece in table.pieces(at):
        for store, column, values, unseen_ in zip(stores, columns, piece, new, strict=True):
            found, levels = encode(column, values, (word, first + store.length))
            store.append(found)
            unseen_.update(dict.fromkeys(levels))
        if sum(store.nbytes for store in stores) > memory:
            for store in stores:
                store.spill()
    told = [*notes, *(unseen(column, list(levels)) for column, levels in zip(columns, new) if levels)]
    frame = table.library, tuple(table.names[j] for j in at), tuple(column.dtype for column in columns)
    packed = [store.done() for store in stores]
    small = 8 * len(packed[0]) * len(packed) <= memory
    return TableSource(packed, schema or schema_of(columns), frame, in_memory=small, notes=told, why=why)


def read_numbers(table: Table, at: Sequence[int], memory: int) -> TableSource:
    """Numbers that are told as one array, which are too many to be one in memory."""
    columns = [Column(str(table.names[j]), "real", table.dtypes[j]) for j in at]
    source = read_under(table, at, columns, memory)
    source.schema = surveyed(source)
    return source


def surveyed(source: TableSource) -> Schema:
    """The schema of rows of numbers, whatever each column holds by itself."""
    survey = Survey(source.schema.shape, np.dtype(np.float64), "table")
    for rows in source.batches(max(CHUNK // source.schema.size, 1)):
        survey.update(rows)
    return survey.schema(source.schema.features)


def as_numbers(source: Source) -> Source:
    """The rows of a table for what has no head for each column: one array, where all are numbers of one kind.

    >>> ages = TableSource([np.array([31.0, 5.0])], schema_of([Column("age", "count", "int64")]), ("pyarrow", (), ()))
    >>> as_numbers(ages).schema.summary
    'rows of 1 number, float64, 27 levels from 5 to 31'
    """
    columns = source.schema.columns
    if not isinstance(source, TableSource) or columns is None:
        return source
    numbers = all(column.is_number or column.categories == () for column in columns)  # of an empty one nothing is known
    if not numbers or len({column.kind for column in columns} - {"constant"}) > 1:
        return source
    plain = copy(source)
    plain.schema = surveyed(source)
    return plain


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


def named(rows: np.ndarray, schema: Schema) -> Any:
    """An array ``(n, d)`` as a table of pyarrow with the names that the schema has.

    >>> named(np.array([[1.0, 2.0]]), Schema("table", (2,), "float64", 0.0, 2.0, features=("a", "b"))).column_names
    ['a', 'b']
    """
    import pyarrow as pa

    return pa.table([pa.array(column, from_pandas=True) for column in rows.T], names=list(schema.names))


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
    """The source, once its notes have been given as warnings, where its rows were read under known columns or words."""
    for note in source.notes if source.schema.kind in ("table", "words") else ():
        warnings.warn(note, TableWarning, stacklevel=4)
    return source
