"""Strings as rows of whole numbers: the symbols of each, ended and filled up by 0, so that all are of one length.

A string of n symbols is a row of T numbers: its symbols, then zeros. One of T symbols or more is known by its first T:
the row is then the event that a string *begins* so, which has a probability like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from latens.data.schema import Schema
from latens.data.source import Source, class_names
from latens.data.text import _strings
from latens.data.tokens import Tokens, tokens_for
from latens.utils.errors import InputError
from latens.utils.validation import check_positive

END = 0
LONGEST = 512
"""Symbols that are kept of a string, at most, unless told otherwise."""
_STRAY = 2
"""Lines so many times as long as 99 in 100 others are cut to that length."""


class Sequences(Source):
    """Strings as rows of numbers, ``(n, T)``, each ended and filled up by 0.

    Args:
        strings: as they came.
        tokens: the map from strings to numbers.
        length: T.
        labels, names, skipped, notes: as in `Source`.

    Example:
        >>> source = sequences(["no", "onion"], "characters")
        >>> source.take(np.arange(2))
        array([[2, 3, 0, 0, 0],
               [3, 2, 4, 3, 2]], dtype=int32)
        >>> source.schema.summary
        'strings of up to 5 characters, 3 different ones'
        >>> strings_of(source.take(np.arange(2)), source.schema)
        ['no', 'onion']
    """

    def __init__(
        self,
        strings: Sequence[str],
        tokens: Tokens,
        length: int,
        *,
        labels: Any = None,
        names: Sequence[str] | None = None,
        skipped: Sequence[tuple[str, str]] = (),
        notes: Sequence[str] = (),
    ) -> None:
        self.strings, self.about = list(strings), list(notes)
        self.X, cut, unknown = _rows(strings, tokens, length)
        self.labels = None if labels is None else np.asarray(labels)
        self.names, self.skipped = None if names is None else list(names), list(skipped)
        self.notes = [*self.about, *_notes(len(strings), cut, unknown, tokens, length)]
        self.schema = schema_of(tokens, length, class_names(self.labels))

    def read_as(self, schema: Schema) -> Sequences:
        """The same strings as a fitted model reads them."""
        if schema.tokens is None:
            raise InputError(f"the data are text; the model was trained on {schema.summary}")
        if schema.tokens is self.schema.tokens:
            return self
        about: dict[str, Any] = {"labels": self.labels, "names": self.names, "skipped": self.skipped}
        return Sequences(self.strings, schema.tokens, schema.shape[0], notes=self.about, **about)

    def __len__(self) -> int:
        return len(self.X)

    def take(self, indices: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(self.X[np.asarray(indices)])


def sequences(
    strings: Iterable[str],
    tokens: Any = None,
    *,
    length: int | None = None,
    **about: Any,
) -> Sequences:
    """Strings as sequences of symbols.

    Args:
        strings: lines, names, sentences; an empty one is a string too.
        tokens: "characters", "words" (the 10,000 most frequent), "bytes", a value such as ``Words(("a", "rose"))``, or
            any object with ``encode`` and ``decode``; chosen from the strings when None.
        length: the most symbols that are kept of a string; by default all of the longest, unless it is twice as long
            as 99 of 100 are, and at most 512.
        about: labels, names, skipped and notes, as in `Source`.

    Raises:
        InputError: no strings among them, or none that is not empty.
    """
    given = _strings(strings)
    chosen = tokens_for(given, tokens)
    if length is None:
        length = _length([len(chosen.encode(string)) for string in given])
    check_positive("length", length, integer=True)
    return Sequences(given, chosen, length, **about)


def strings_of(rows: np.ndarray, schema: Schema) -> list[str]:
    """The strings that rows ``(n, T)`` stand for, each up to its first 0."""
    if schema.tokens is None:
        raise InputError(f"these rows are no strings: {schema.summary}")
    numbers = np.asarray(rows).astype(np.int64).tolist()
    return [schema.tokens.decode(row[: row.index(END)] if END in row else row) for row in numbers]


def schema_of(tokens: Tokens, length: int, classes: Any = None) -> Schema:
    """What a row of these numbers is."""
    high = float(tokens.size - 1)
    return Schema("text", (length,), "int32", 0.0, high, tokens.size, tokens=tokens, classes=classes)


def _length(lengths: Sequence[int]) -> int:
    usual = float(np.quantile(lengths, 0.99))
    longest = max(lengths)
    return max(1, min(LONGEST, longest if longest <= _STRAY * usual else round(usual)))


def _rows(strings: Sequence[str], tokens: Tokens, length: int) -> tuple[np.ndarray, list[int], int]:
    """The rows, which strings were longer than they are, and how many symbols were never seen."""
    rows = np.zeros((len(strings), length), np.int32)
    cut: list[int] = []
    unknown = 0
    for i, string in enumerate(strings):
        if not isinstance(string, str):
            raise InputError(f"text is a list of strings; number {i} is a {type(string).__name__}")
        numbers = tokens.encode(string)
        if len(numbers) > length:
            cut.append(i)
        rows[i, : len(numbers)] = numbers[:length]
        unknown += 0 if tokens.unknown is None else numbers.count(tokens.unknown)
    return rows, cut, unknown


def _notes(n: int, cut: list[int], unknown: int, tokens: Tokens, length: int) -> list[str]:
    notes = []
    if cut:
        notes.append(f"{len(cut)} of {n} strings are known by their first {length} {tokens.name}: row {cut[0]} first")
    if unknown:
        notes.append(f"{unknown} {tokens.name} have no number of their own and are taken as unknown")
    return notes
