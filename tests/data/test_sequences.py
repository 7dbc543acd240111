"""Strings as rows of numbers, and back."""

import numpy as np
import pytest

from latens.data import Bytes, Characters, Own, Schema, Words, load, sequences, strings_of, validate
from latens.data.tokens import tokens_for
from latens.neural.vocabulary import read
from latens.utils import InputError
from latens.utils.text import text

NAMES = ["Ada", "Bo", "Čeněk", "", "Zoë 🌲", "tab\tand\nline"]


class Pairs:
    """A tokeniser of a user's: two characters a token."""

    pairs = sorted({name.ljust(20)[i : i + 2] for name in [*NAMES, ""] for i in range(0, 20, 2)})

    def encode(self, string):
        return [self.pairs.index(string[i : i + 2].ljust(2)) for i in range(0, len(string), 2)]

    def decode(self, numbers):
        return "".join(self.pairs[i] for i in numbers)


class Huggingface(Pairs):
    """As the tokenizers library has it: a number of its own, and ids in an object."""

    def get_vocab_size(self):
        return len(self.pairs)

    def encode(self, string):
        return type("Encoding", (), {"ids": super().encode(string)})()


KINDS = {
    "characters": lambda: Characters.of(NAMES),
    "bytes": Bytes,
    "words": lambda: Words.of(NAMES),
    "own": lambda: Own.of(Pairs(), NAMES),
    "own, as of tokenizers": lambda: Own.of(Huggingface()),
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_what_is_encoded_comes_back(make):
    tokens = make()
    expected = {Words: lambda s: " ".join(s.split()), Own: lambda s: s + " " * (len(s) % 2)}
    for name in NAMES:
        numbers = tokens.encode(name)
        assert all(0 < i < tokens.size for i in numbers)
        assert tokens.decode(numbers) == expected.get(type(tokens), lambda s: s)(name)
    source = sequences(NAMES, tokens)
    assert strings_of(source.take(np.arange(len(NAMES))), source.schema) == [
        tokens.decode(tokens.encode(s)) for s in NAMES
    ]
    validate(source.X, source.schema)


@pytest.mark.parametrize("make", list(KINDS.values())[:3], ids=list(KINDS)[:3])
def test_a_schema_of_text_is_read_back_from_its_text(make):
    schema = sequences(NAMES, make()).schema
    assert read(text(schema)) == schema
    assert isinstance(schema, Schema)
    assert schema.discrete


def test_the_most_frequent_come_first():
    tokens = Words.of(["b a", "b", "c <unk> <unk> <unk>"], most=2)
    assert tokens == Words(("b", "a"))
    assert tokens.encode("a <unk> c") == [3, 1, 1]
    assert Characters.of(["abba", "b"]).symbols == "ba"


@pytest.mark.parametrize(
    ("strings", "kind"),
    [
        (["amelia", "bob"], Characters),
        (["CC(=O)Oc1ccccc1C(=O)O" * 3] * 3, Characters),
        (["the ship put out to sea before the storm came up from the south"] * 3, Words),
    ],
    ids=["names", "molecules", "sentences"],
)
def test_short_lines_are_told_by_characters_and_sentences_by_words(strings, kind):
    assert isinstance(tokens_for(strings), kind)


def test_a_stray_long_line_is_cut_and_said():
    source = sequences([*["word"] * 300, "x" * 5000], "characters")
    assert source.schema.shape == (4,)
    assert source.notes == ["1 of 301 strings are known by their first 4 characters: row 300 first"]
    assert sequences(["x" * 5000] * 9).schema.shape == (512,)
    assert sequences(["x" * 9] * 9, length=3).X.tolist() == [[2, 2, 2]] * 9


def test_new_symbols_are_unknown_and_said():
    schema = sequences(["abc"]).schema
    source = sequences(["cab", "cat!"]).read_as(schema)
    assert source.X.tolist() == [[4, 2, 3], [4, 2, 1]]
    assert source.notes == [
        "1 of 2 strings are known by their first 3 characters: row 1 first",
        "2 characters have no number of their own and are taken as unknown",
    ]
    assert strings_of(source.X, schema) == ["cab", "ca\ufffd"]


def test_bytes_that_are_no_character_come_back_as_a_mark():
    assert Bytes().decode([200, 66]) == "\ufffdA"
    assert Bytes().decode(Bytes().encode("\udcff")) == "\ufffd\ufffd\ufffd"


def test_lists_and_files_of_lines_are_read_alike(tmp_path):
    file = tmp_path / "names.txt"
    file.write_text("Ada\n\nBo\n", encoding="utf-8")
    source = load(str(file))
    assert strings_of(source.take(np.arange(2)), source.schema) == ["Ada", "Bo"]
    assert source.names == ["line 1", "line 3"]
    assert load(["Ada", "Bo"]).schema == source.schema
    assert load(np.array(["Ada", "Bo"])).schema == source.schema


REFUSED = {
    "no strings": (lambda: sequences(["a", None]), "number 1 is a NoneType"),
    "nothing": (lambda: sequences(["", " "]), "no text"),
    "no tokenizer": (lambda: sequences(["a"], object()), "encode(str) and decode(numbers)"),
    "a name that is none": (lambda: sequences(["a"], "letters"), "tokens is one of characters, words, bytes"),
    "no length": (lambda: sequences(["a"], length=0), "length must be a positive integer"),
    "numbers beyond its own": (lambda: Own(2).with_tokenizer(Pairs()).encode("Zo"), "beyond the 2"),
    "a tokenizer that is gone": (lambda: Own(2).encode("a"), "load(path, tokenizer=...)"),
    "rows of numbers": (lambda: strings_of(np.zeros((1, 2)), load("iris").schema), "no strings"),
    "text for a table": (lambda: sequences(["a"]).read_as(load("iris").schema), "the model was trained on rows"),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_text_is_refused_in_one_line(make, message):
    with pytest.raises(InputError) as caught:
        make()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
