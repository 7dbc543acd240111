"""Tokenisers: of what symbols a string is made. Values, which are saved with what was fitted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from latens.utils.errors import InputError
from latens.utils.validation import check_choice
from latens.utils.value import Value

UNKNOWN = 1
_CHARACTERS, _WORDS = 40, 3
"""Lines up to so many characters, or of fewer words, are told by characters."""


class Tokens(Value, ABC):
    """A map from strings to whole numbers from 1 on, and back; 0 is the end of every string."""

    unknown: ClassVar[int | None] = UNKNOWN
    """The number of what was never seen; None where there is no such thing."""

    @property
    @abstractmethod
    def size(self) -> int:
        """How many numbers there are, 0 among them."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What one of them stands for, in the plural."""

    @abstractmethod
    def encode(self, string: str) -> list[int]:
        """The numbers of a string, without the end."""

    @abstractmethod
    def decode(self, numbers: Sequence[int]) -> str:
        """The string of these numbers, none of which is 0."""


@dataclass(frozen=True, repr=False)
class Characters(Tokens):
    """One number for each character; one that was never seen comes back as U+FFFD.

    >>> tokens = Characters.of(["no", "on"])
    >>> tokens, tokens.encode("noon"), tokens.decode([2, 3, 1])
    (Characters('no'), [2, 3, 3, 2], 'no�')
    """

    symbols: str

    @classmethod
    def of(cls, strings: Iterable[str]) -> Characters:
        """All characters of these strings, the most frequent first."""
        counts = Counter(character for string in strings for character in string)
        return cls("".join(_ranked(counts)))

    @cached_property
    def _index(self) -> Mapping[str, int]:
        return {symbol: i for i, symbol in enumerate(self.symbols, 2)}

    @property
    def size(self) -> int:
        return len(self.symbols) + 2

    @property
    def name(self) -> str:
        return "characters"

    def encode(self, string: str) -> list[int]:
        return [self._index.get(character, UNKNOWN) for character in string]

    def decode(self, numbers: Sequence[int]) -> str:
        return "".join("\ufffd" if i == UNKNOWN else self.symbols[i - 2] for i in numbers)


@dataclass(frozen=True, repr=False)
class Bytes(Tokens):
    """The 256 bytes of UTF-8: nothing is unknown.

    >>> Bytes().encode("é"), Bytes().decode([196, 170])
    ([196, 170], 'é')
    """

    unknown: ClassVar[int | None] = None

    @property
    def size(self) -> int:
        return 257

    @property
    def name(self) -> str:
        return "bytes"

    def encode(self, string: str) -> list[int]:
        return [byte + 1 for byte in string.encode("utf-8", errors="surrogatepass")]

    def decode(self, numbers: Sequence[int]) -> str:
        return bytes(i - 1 for i in numbers).decode("utf-8", errors="replace")


@dataclass(frozen=True, repr=False)
class Words(Tokens):
    """One number for each word, words being what white space parts; a word that is not listed comes back as <unk>.

    What comes back has one space between words.

    Args:
        words: those that have a number of their own, the most frequent first.

    >>> tokens = Words.of(["a rose is a rose", "a daisy"], most=3)
    >>> tokens, tokens.encode("a  rose grows"), tokens.decode([2, 3, 1])
    (Words(('a', 'rose', 'daisy')), [2, 3, 1], 'a rose <unk>')
    """

    words: tuple[str, ...]
    mark: ClassVar[str] = "<unk>"

    @classmethod
    def of(cls, strings: Iterable[str], most: int = 10_000) -> Words:
        """The most frequent words of these strings."""
        counts = Counter(word for string in strings for word in string.split())
        counts.pop(cls.mark, None)
        return cls(tuple(_ranked(counts)[:most]))

    @cached_property
    def _index(self) -> Mapping[str, int]:
        return {symbol: i for i, symbol in enumerate(self.words, 2)}

    @property
    def size(self) -> int:
        return len(self.words) + 2

    @property
    def name(self) -> str:
        return "words"

    def encode(self, string: str) -> list[int]:
        return [self._index.get(word, UNKNOWN) for word in string.split()]

    def decode(self, numbers: Sequence[int]) -> str:
        return " ".join(self.mark if i == UNKNOWN else self.words[i - 2] for i in numbers)


@dataclass(frozen=True, repr=False)
class Own(Tokens):
    """A tokeniser of the user's: any object with ``encode(str)`` and ``decode(numbers)``, its numbers from 0 on.

    Args:
        count: how many numbers it has.
        tokenizer: the object, which is no part of the value: ``latens.load(path, tokenizer=...)`` supplies it again.
    """

    count: int
    tokenizer: Any = field(default=None, init=False, compare=False)
    unknown: ClassVar[int | None] = None

    @classmethod
    def of(cls, tokenizer: Any, strings: Sequence[str] = ()) -> Own:
        """Asks the object how many numbers it has; else they end with the largest that these strings show."""
        if not (callable(getattr(tokenizer, "encode", None)) and callable(getattr(tokenizer, "decode", None))):
            raise InputError(
                f"a tokenizer has encode(str) and decode(numbers); got {tokenizer!r}. Use 'characters', 'words', "
                "'bytes', or such an object"
            )
        sized = next((getattr(tokenizer, name) for name in ("vocab_size", "n_vocab") if hasattr(tokenizer, name)), None)
        if sized is None and hasattr(tokenizer, "get_vocab_size"):
            sized = tokenizer.get_vocab_size
        sized = sized() if callable(sized) else sized
        if sized is None:
            sized = 1 + max((i for string in strings for i in _numbers(tokenizer, string)), default=0)
        return cls(int(sized)).with_tokenizer(tokenizer)

    def with_tokenizer(self, tokenizer: Any) -> Own:
        """The same, with the object."""
        found = replace(self)
        object.__setattr__(found, "tokenizer", tokenizer)
        return found

    @property
    def size(self) -> int:
        return self.count + 1

    @property
    def name(self) -> str:
        return "tokens of your own"

    def encode(self, string: str) -> list[int]:
        numbers = _numbers(self._object, string)
        if not all(0 <= i < self.count for i in numbers):
            raise InputError(f"the tokenizer gave numbers beyond the {self.count} that it was fitted with: {numbers}")
        return [i + 1 for i in numbers]

    def decode(self, numbers: Sequence[int]) -> str:
        return self._object.decode([i - 1 for i in numbers])

    @property
    def _object(self) -> Any:
        if self.tokenizer is None:
            raise InputError(
                "this model reads text through a tokenizer of your own; supply it: load(path, tokenizer=...)"
            )
        return self.tokenizer


def tokens_for(strings: Sequence[str], tokens: Any = None) -> Tokens:
    """The tokeniser that is named, given, or fits these strings."""
    if isinstance(tokens, Tokens):
        return tokens
    if tokens is not None and not isinstance(tokens, str):
        return Own.of(tokens, strings)
    name = tokens or _fitting(strings)
    check_choice("tokens", name, ("characters", "words", "bytes"))
    if name == "bytes":
        return Bytes()
    return Words.of(strings) if name == "words" else Characters.of(strings)


def _fitting(strings: Sequence[str]) -> str:
    some = strings[:: -(-len(strings) // 5000)]
    characters = float(np.median([len(s) for s in some]))
    words = float(np.median([len(s.split()) for s in some]))
    return "characters" if characters <= _CHARACTERS or words < _WORDS else "words"


def _numbers(tokenizer: Any, string: str) -> list[int]:
    found = tokenizer.encode(string)
    return [int(i) for i in getattr(found, "ids", found)]


def _ranked(counts: Counter[str]) -> list[str]:
    return [symbol for symbol, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
