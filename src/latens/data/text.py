"""Documents: text as it came, from lists, lines, folders of files and columns of tables. What it becomes is another's.

Text is read as UTF-8 (or UTF-16 where a file begins so); whatever is not is refused, naming the file and the byte.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from latens.data.compressed import DAMAGED, OPENERS, ending, open_bytes
from latens.data.folders import folder_labels
from latens.utils.errors import InputError
from latens.utils.text import nearest

TEXTS = (".txt", *(f".txt{packed}" for packed in OPENERS))
"""Endings of files of text: a document a line, or, in a folder, a document a file."""
TABLES = (".csv", ".tsv")
LABELS = ("label", "labels", "y", "class", "target", "category")
"""Names of a column of labels beside one of text."""
MOST_UNREADABLE = 0.1
LONG = 30
"""Words of a document that is told by its words rather than as a sequence, in the middle of all."""
_LARGEST_CELL = 1 << 30


@dataclass(frozen=True, eq=False)
class Documents:
    """Texts, and what is known of each.

    Args:
        texts: one string a document.
        names: one name a document (a file's, a line's), or None.
        labels: one label a document (the folder it lies in, a column beside it), or None.
        skipped: files that could not be read, and why.
        notes: what was done on the way in, one line each.
    """

    texts: list[str]
    names: list[str] | None = None
    labels: np.ndarray | None = None
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.texts)


def is_documents(data: Any) -> bool:
    """Whether this is a list, a one-dimensional array or a series of strings.

    >>> is_documents(["a word", "and another"]), is_documents([[1.0, 2.0]]), is_documents("a/path.txt")
    (True, False, False)
    """
    if isinstance(data, str | os.PathLike) or getattr(data, "ndim", 1) != 1 or hasattr(data, "columns"):
        return False
    if not isinstance(data, list | tuple | np.ndarray) and not hasattr(data, "to_numpy"):
        return False
    first = next(iter(data), None)
    return isinstance(first, str)


def holds_documents(path: Path) -> bool:
    """Whether this is a file of text, or a folder in which files of text lie and nothing else is looked for first."""
    return is_text_file(path) if path.is_file() else path.is_dir() and next(_below(path), None) is not None


def is_text_file(path: Path) -> bool:
    """Whether the name says so.

    >>> is_text_file(Path("a/poems.txt")), is_text_file(Path("lines.TXT.xz")), is_text_file(Path("x.csv"))
    (True, True, False)
    """
    return path.name.lower().endswith(TEXTS)


def are_long(texts: Sequence[str]) -> bool:
    """Whether half of these texts have more than 30 words: what they are about is then told by how often each occurs.

    >>> are_long(["a line"] * 3), are_long(["to be or not to be " * 10])
    (False, True)
    """
    return float(np.median([len(text.split()) for text in texts])) > LONG


def read_documents(data: Any, column: str | None = None) -> Documents:
    """The documents of a list of strings, a file with one a line, a folder with one a file, or a column of a CSV file.

    Files below a folder are taken in the order of their names; where all lie in different folders, those are the
    labels. Empty lines, files and cells hold no document and are passed over; a list keeps its empty strings.

    Args:
        data: strings, or a path: ``.txt`` (also ``.gz``, ``.xz``, ``.bz2``), ``.csv``, ``.tsv``, or a folder of those.
        column: which column of a table; by default the one with the longest texts.

    Raises:
        InputError: no text, another encoding, or something that is no string, naming where.

    >>> documents = read_documents(["The sea.", "A ship on the sea."])
    >>> len(documents), documents.texts[1]
    (2, 'A ship on the sea.')
    """
    if not isinstance(data, str | os.PathLike):
        return Documents(_strings(data))
    path = Path(os.fspath(data)).expanduser()
    if path.is_dir():
        return _folder(path)
    if ending(path) in TABLES:
        return _column(path, column)
    return _lines(path)


def read_text(path: Path) -> str:
    """All of a file.

    Raises:
        InputError: it is not there, is damaged, or is neither UTF-8 nor UTF-16.
    """
    try:
        with open_bytes(path) as file:
            content = file.read()
    except DAMAGED as error:
        raise InputError(f"cannot read {path}: {' '.join(str(error).split())[:150]}") from None
    return decode(content, path)


def decode(content: bytes, path: Path) -> str:
    """Bytes as text, naming the file and the place where they are none.

    >>> decode("naïve".encode("latin-1"), Path("old.txt"))
    Traceback (most recent call last):
    latens.utils.errors.InputError: old.txt is not UTF-8 text: byte 0xef at position 2. Save it as UTF-8, ...
    """
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not {encoding[:6].rstrip('-').upper()} text: byte {content[error.start]:#04x} at position "
            f"{error.start}. Save it as UTF-8, as iconv -f LATIN1 -t UTF-8 does."
        ) from None
    if "\0" in text:
        raise InputError(f"{path} is no text: it holds a zero byte at position {text.index(chr(0))}")
    return text


def _strings(data: Any) -> list[str]:
    texts = list(data)
    wrong = next((i for i, text in enumerate(texts) if not isinstance(text, str)), None)
    if wrong is not None:
        raise InputError(
            f"documents are strings; number {wrong} is a {type(texts[wrong]).__name__}. Leave it out, or give an empty "
            "string."
        )
    if not any(text.strip() for text in texts):
        raise InputError(f"the documents hold no text: all {len(texts)} are empty")
    return [str(text) for text in texts]


def _lines(path: Path) -> Documents:
    lines = read_text(path).splitlines()
    kept = [i for i, line in enumerate(lines) if line.strip()]
    if not kept:
        raise InputError(f"{path} holds no text")
    notes = _passed_over(len(lines) - len(kept), len(lines), "lines")
    return Documents([lines[i] for i in kept], [f"line {i + 1}" for i in kept], notes=notes)


def _folder(path: Path) -> Documents:
    names = sorted(_below(path))
    texts: dict[str, str] = {}
    skipped: list[tuple[str, str]] = []
    for name in names:
        try:
            texts[name] = read_text(path / name)
        except InputError as error:
            skipped.append((name, str(error)))
    if len(skipped) > MOST_UNREADABLE * len(names):
        few = "; ".join(why for _, why in skipped[:3]) + (f"; and {len(skipped) - 3} more" if len(skipped) > 3 else "")
        raise InputError(f"{len(skipped)} of {len(names)} files in {path} cannot be read, more than one in ten: {few}")
    kept = [name for name, text in texts.items() if text.strip()]
    if not kept:
        raise InputError(f"there is no text in {path}; endings looked for: {' '.join(TEXTS)}")
    notes = _passed_over(len(texts) - len(kept), len(texts), "files")
    return Documents([texts[name] for name in kept], kept, folder_labels(kept), skipped, notes)


def _below(folder: Path) -> Iterator[str]:
    """The files of text below a folder, by relative name; hidden ones are passed over."""
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(where).relative_to(folder)
        yield from ((here / name).as_posix() for name in files if name[0] != "." and is_text_file(Path(name)))


def _column(path: Path, column: str | None) -> Documents:
    text = read_text(path)
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    csv.field_size_limit(_LARGEST_CELL)
    names, *rows = list(csv.reader(text.splitlines(keepends=True), delimiter=delimiter)) or [[]]
    wrong = next((i for i, row in enumerate(rows, 2) if row and len(row) != len(names)), None)
    if wrong is not None:
        found = len(rows[wrong - 2])
        raise InputError(f"{path} has {len(names)} columns, but record {wrong} has {found}; quote texts with a comma")
    rows = [row for row in rows if row]
    if not rows:
        raise InputError(f"{path} holds no rows below its line of names")
    at = _chosen(path, names, rows, column)
    kept = [i for i, row in enumerate(rows) if row[at].strip()]
    if not kept:
        raise InputError(f"the column '{names[at]}' of {path} holds no text")
    beside = next((i for i, name in enumerate(names) if name.strip().lower() in LABELS and i != at), None)
    labels = None if beside is None else np.array([rows[i][beside] for i in kept])
    notes = _passed_over(len(rows) - len(kept), len(rows), "cells")
    return Documents([rows[i][at] for i in kept], [f"row {i + 1}" for i in kept], labels, notes=notes)


def _chosen(path: Path, names: Sequence[str], rows: Sequence[Sequence[str]], column: str | None) -> int:
    """The number of the column that is named, or has the longest texts."""
    if column is None:
        return int(np.argmax([sum(len(row[i]) for row in rows) for i in range(len(names))]))
    if column not in names:
        raise InputError(f"{path} has no column '{column}'{nearest(column, names)}; it has {', '.join(names[:20])}")
    return names.index(column)


def _passed_over(count: int, total: int, what: str) -> list[str]:
    return [f"{count} of {total} {what} are empty and passed over"] if count else []
