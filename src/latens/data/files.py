"""Files of tables, CSV and Parquet: read whole where memory holds them, in pieces where it does not."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latens.data.compressed import DAMAGED, open_bytes, plain_size
from latens.data.frames import Columns, chosen_places, load_frame, load_table
from latens.data.framing import arrow_type
from latens.data.schema import Schema
from latens.data.source import Source
from latens.data.table import Table, read_numbers
from latens.utils.errors import InputError

NAME = "name"
"""The column of a file that names its rows."""
GAPS = ["", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "#N/A", "#NA", "<NA>", "-nan", "-NaN"]
"""Cells of a file that say that nothing is known."""
BLOCK = 1 << 22
"""Bytes of a file that are read at once."""


def header(path: Path) -> list[str]:
    """The names of the columns of a file of a table; none where it has no line of names."""
    if path.suffix.lower() == ".parquet":
        from pyarrow import parquet

        with _reading(path):
            return [str(name) for name in parquet.read_schema(path).names]
    layout = look(path)
    return list(layout.names) if layout.named else []


def load_csv(path: Path, memory: int, columns: Columns = None, schema: Schema | None = None) -> Source:
    """The columns of a file with a comma, semicolon or tab between values, with or without a line of names."""
    layout = look(path)
    with _reading(path):
        types = _types(path, layout)
        table = Table("pyarrow", layout.names, tuple(map(str, types)), _csv_pieces(path, layout, types), layout.place)
        return _loaded(path, table, memory, columns, schema, layout.notes)


def load_parquet(path: Path, memory: int, columns: Columns = None, schema: Schema | None = None) -> Source:
    """The columns of a Parquet file."""
    from pyarrow import parquet

    with _reading(path):
        found = parquet.read_schema(path)

        def pieces(at: Sequence[int]) -> Iterator[Sequence[Any]]:
            with parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(columns=[found.names[j] for j in at], use_threads=False):
                    yield [batch.column(found.names[j]) for j in at]

        table = Table("pyarrow", tuple(found.names), tuple(map(str, found.types)), pieces)
        return _loaded(path, table, memory, columns, schema, [])


def _loaded(
    path: Path, table: Table, memory: int, columns: Columns, schema: Schema | None, notes: Sequence[str]
) -> Source:
    """A table of a file, less the column of text that names its rows, as `write_array` writes it."""
    names = _names(table)
    if names is not None:
        table = _without(table, list(table.names).index(NAME))
    if 4 * plain_size(path) <= memory:
        source = load_frame(_whole(table), memory, columns, schema, table.place)
    else:
        typed = load_table(table, memory, columns, schema)
        source = read_numbers(table, chosen_places(table.names, columns), memory) if typed is None else typed
    source.names = names
    source.notes[:0] = notes
    return source


def _whole(table: Table) -> Any:
    import pyarrow as pa

    parts = list(table.pieces(range(len(table.names))))
    types = map(arrow_type, table.dtypes)
    columns = [pa.chunked_array([part[j] for part in parts], kind) for j, kind in enumerate(types)]
    return pa.table(columns, names=list(table.names))


def _names(table: Table) -> list[str] | None:
    at = [j for j, name in enumerate(table.names) if name == NAME]
    if len(at) != 1 or table.dtypes[at[0]] not in ("string", "large_string"):
        return None
    return [str(name) for (column,) in table.pieces(at) for name in column.to_pylist()]


def _without(table: Table, place: int) -> Table:
    kept = [j for j in range(len(table.names)) if j != place]
    return Table(
        table.library,
        tuple(table.names[j] for j in kept),
        tuple(table.dtypes[j] for j in kept),
        lambda at: table.pieces([kept[j] for j in at]),
        table.place,
    )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Says in one line why a file cannot be read."""
    from pyarrow import ArrowException

    try:
        yield
    except (ArrowException, UnicodeDecodeError, *DAMAGED) as error:
        raise InputError(f"cannot read {path}: {' '.join(str(error).split())[:200]}") from None


# -- CSV ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layout:
    """How a file of cells is laid out.

    Args:
        delimiter: what stands between them.
        decimal: what stands before the fractions of numbers.
        encoding: as Python calls it.
        names: of the columns; f0, f1, ... where the file has none.
        named: whether the first line has them.
        skipped: how many lines come before the first row.
        notes: what was done to the file.
    """

    delimiter: str
    decimal: str
    encoding: str
    names: tuple[str, ...]
    named: bool
    skipped: int
    notes: tuple[str, ...]

    @property
    def place(self) -> tuple[str, int]:
        """What a row is called, and the number of the first."""
        return "line", self.skipped + 1


def look(path: Path) -> Layout:
    """The layout of a file, from its first lines and, for the encoding, from all of it.

    Raises:
        InputError: it is empty, or cannot be opened.
    """
    with _reading(path):
        encoding = _encoding(path)
        with io.TextIOWrapper(open_bytes(path), encoding, newline="") as file:
            blank, line = next(((i, line) for i, line in enumerate(file) if line.strip()), (0, ""))
            second = file.readline()
    if not line:
        raise InputError(f"cannot read {path}: it is empty")
    delimiter = max(",;\t", key=line.count)
    first = next(csv.reader([line], delimiter=delimiter), [])
    named = not all(_is_number(cell) for cell in first)
    names = tuple(cell.strip() for cell in first) if named else tuple(f"f{j}" for j in range(len(first)))
    commas = delimiter == ";" and re.search(r"(^|;)\s*-?\d+,\d+\s*(;|$)", second if named else line)
    notes = [] if encoding.startswith("utf") else [f"{path.name} is not UTF-8; it is read as {encoding}"]
    notes += [f"{path.name} has commas in its numbers, which are read as points"] if commas else []
    return Layout(delimiter, "," if commas else ".", encoding, names, named, blank + named, tuple(notes))


def _encoding(path: Path) -> str:
    """UTF-8, UTF-16 where the file says so, latin-1 where it can be neither."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with open_bytes(path) as file:
        block = start = file.read(BLOCK)
        if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return "utf-16"
        try:
            while block:
                decoder.decode(block)
                block = file.read(BLOCK)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "latin-1"
    return "utf-8-sig" if start[:3] == codecs.BOM_UTF8 else "utf-8"


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.strip() == ""
    return True


class _Unlike(Exception):
    """A cell is not of the type of its column."""

    def __init__(self, column: int) -> None:
        self.column = column


def _types(path: Path, layout: Layout) -> list[Any]:
    """The types of all columns: those of the first block, or wider ones where later cells ask for it."""
    import pyarrow as pa

    types = _first_types(path, layout)
    while True:
        try:
            for _ in _batches(path, layout, types, range(len(types))):
                pass
        except _Unlike as unlike:
            types[unlike.column] = pa.float64() if types[unlike.column] == pa.int64() else pa.string()
        else:
            return types


def _first_types(path: Path, layout: Layout) -> list[Any]:
    """What pyarrow takes the first block for; text where it would lose how cells are written."""
    import pyarrow as pa

    from latens.data.cells import is_date, is_padded

    everything = range(len(layout.names))
    found = next(_batches(path, layout, None, everything), None)
    if found is None:
        return [pa.null() for _ in everything]
    written = next(_batches(path, layout, [pa.string()] * len(layout.names), everything))

    def kept(kind: Any, cells: Any) -> Any:
        if pa.types.is_null(kind):
            return pa.int64()
        if pa.types.is_integer(kind) and is_padded(cells.drop_null()):
            return pa.string()
        return kind if pa.types.is_integer(kind) or pa.types.is_floating(kind) or is_date(kind) else pa.string()

    return [kept(column.type, cells) for column, cells in zip(found, written)]


def _batches(path: Path, layout: Layout, types: Sequence[Any] | None, at: Sequence[int]) -> Iterator[Sequence[Any]]:
    """Some columns of a file, block by block.

    Raises:
        _Unlike: a cell is not of the type of its column.
        InputError: a row has more or fewer cells than the others.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    ragged: list[Any] = []

    def refuse(row: Any) -> str:
        ragged.append(row)
        return "error"

    names = [f"f{j}" for j in range(len(layout.names))]
    options = (
        arrow_csv.ReadOptions(
            column_names=names,
            skip_rows=layout.skipped,
            encoding="utf8" if layout.encoding.startswith("utf-8") else layout.encoding,
            block_size=BLOCK,
            use_threads=False,
        ),
        arrow_csv.ParseOptions(delimiter=layout.delimiter, newlines_in_values=True, invalid_row_handler=refuse),
        arrow_csv.ConvertOptions(
            column_types=None if types is None else dict(zip(names, types)),
            include_columns=[names[j] for j in at],
            null_values=GAPS,
            strings_can_be_null=True,
            decimal_point=layout.decimal,
        ),
    )
    try:
        with open_bytes(path) as file, arrow_csv.open_csv(file, *options) as reader:
            for batch in reader:
                yield batch.columns
    except pa.ArrowInvalid as error:
        if ragged:
            raise InputError(f"cannot read {path}: {_ragged(ragged[-1])}") from None
        unlike = re.search(r"In CSV column #(\d+)", str(error))
        if unlike and types is not None:
            raise _Unlike(int(unlike[1])) from None
        if "Empty CSV" not in str(error):
            raise


def _ragged(row: Any) -> str:
    text = row.text if len(row.text) <= 60 else row.text[:57] + "..."
    return f"line {row.number} has {row.actual_columns} cells, the others have {row.expected_columns}: {text!r}"


def _csv_pieces(path: Path, layout: Layout, types: Sequence[Any]) -> Callable[[Sequence[int]], Iterator[Sequence[Any]]]:
    """Its cells, text without blanks around it, null where it says that nothing is known."""
    import pyarrow as pa
    from pyarrow import compute

    gaps = pa.array(GAPS)

    def clean(cells: Any) -> Any:
        if cells.type != pa.string():
            return cells
        trimmed = compute.utf8_trim_whitespace(cells)
        return compute.if_else(compute.is_in(trimmed, gaps), pa.scalar(None, pa.string()), trimmed)

    def pieces(at: Sequence[int]) -> Iterator[Sequence[Any]]:
        for columns in _batches(path, layout, types, at):
            yield [clean(cells) for cells in columns]

    return pieces
