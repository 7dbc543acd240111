from dataclasses import dataclass, field
from math import inf, isnan

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from latens.utils import InputError, Value, check_positive, nearest, parse, text


@dataclass(frozen=True, repr=False)
class MLP(Value):
    widths: tuple = (512, 512)
    activation: str = "relu"
    dropout: float = field(default=0.0, kw_only=True)

    def __post_init__(self):
        check_positive("dropout", self.dropout, zero=True)


@dataclass(frozen=True, repr=False)
class MixtureOf(Value):
    family: object
    k: int


class Sums:
    def __add__(self, other):
        return Sum((self, other)) if isinstance(other, Sums) else NotImplemented

    def __mul__(self, weight):
        return Times(self, weight) if isinstance(weight, int | float) else NotImplemented

    __rmul__ = __mul__


@dataclass(frozen=True, repr=False)
class Distortion(Sums, Value):
    samples: int = 1


@dataclass(frozen=True)
class Sum(Sums):
    terms: tuple

    def __repr__(self):
        return " + ".join(map(repr, self.terms))


@dataclass(frozen=True)
class Times(Sums):
    term: object
    weight: float

    def __repr__(self):
        inner = repr(self.term)
        return f"{self.weight!r} * " + (f"({inner})" if isinstance(self.term, Sum | Times) else inner)


class VAE(BaseEstimator):
    def __init__(self, *, latents=None, encoder=None, names=None):
        self.latents, self.encoder, self.names = latents, encoder, names

    def __eq__(self, other):
        return isinstance(other, VAE) and self.get_params(deep=False) == other.get_params(deep=False)

    __hash__ = None


VOCABULARY = {item.__name__: item for item in (MLP, MixtureOf, Distortion, VAE)}

VALUES = {
    "zero": 0,
    "negative": -1,
    "small": 1e-3,
    "negative float": -2.5e-300,
    "large int": 10**300,
    "inf": inf,
    "minus inf": -inf,
    "bools": (True, False, None),
    "string": "it's \"quoted\", \n and 'more' \\ \x00 é 漢",
    "empty": ((), [], {}, ""),
    "one": (1,),
    "nested": {"a": [1, (2.0, {"b": None})], 3: (-4,)},
    "value": MLP(),
    "value with arguments": MLP((64,), "tanh", dropout=0.1),
    "value in value": MixtureOf(MixtureOf(MLP(()), 4), -1),
    "sum": Distortion() + 4.0 * Distortion(3),
    "weighted sum": 2.0 * (Distortion() + Distortion(2)),
    "product of product": 2.0 * (3 * Distortion()),
    "negative weight": -1.0 * Distortion() + Distortion(),
    "estimator": VAE(latents=16, encoder=MLP((512,))),
    "long estimator": VAE(names=tuple(f"column number {i}" for i in range(200))),
    "sums in a list": [Distortion() + Distortion(), Distortion()],
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_what_is_printed_is_read_back(value):
    again = parse(text(value), VOCABULARY)
    assert again == value
    assert type(again) is type(value)


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_reading_is_unmoved_by_space_around(value):
    assert parse(f"  {text(value)}\n ", VOCABULARY) == value


def test_nan_is_read():
    assert isnan(parse("nan", {}))


def test_numpy_scalars_are_written_as_plain_numbers():
    value = MLP((np.int64(3), np.int64(4)), dropout=np.float64(0.5))
    assert text(value) == "MLP((3, 4), dropout=0.5)"
    assert text([np.float32(0.5), np.bool_(True)]) == "[0.5, True]"


def test_an_estimator_shows_what_differs_from_its_defaults():
    assert text(VAE(latents=2)) == "VAE(latents=2)"


REFUSED = {
    "attribute": ("a.b", "an attribute is not part of the language"),
    "method": ("MLP().build()", "an attribute is not part of the language"),
    "import": ("__import__('os')", "unknown name '__import__'. Known:"),
    "power": ("9**9**9", "an operator other than"),
    "difference": ("Distortion() - Distortion()", "an operator other than"),
    "comparison": ("1 < 2", "a comparison"),
    "lambda": ("lambda: 1", "a lambda"),
    "comprehension": ("[x for x in (1, 2)]", "a comprehension"),
    "condition": ("1 if True else 2", "a condition"),
    "index": ("(1, 2)[0]", "an index"),
    "f-string": ("f'{1}'", "an f-string"),
    "bytes": ("b'a'", "bytes is not part"),
    "complex": ("1j", "complex is not part"),
    "ellipsis": ("...", "ellipsis is not part"),
    "set": ("{1, 2}", "a set is not part"),
    "star": ("MLP(*(1, 2))", "a star is not part"),
    "two stars": ("MLP(**{})", "a star is not part"),
    "dict star": ("{**{}}", "a star is not part"),
    "not": ("not 1", "not or ~"),
    "sign of a value": ("-MLP()", "a sign stands before a number only"),
    "sign of a truth": ("-True", "a sign stands before a number only"),
    "repeated string": ("'a' * 1000000000", "cannot multiply in"),
    "repeated list": ("[0] * 1000000000", "cannot multiply in"),
    "sum of tuples": ("(1,) + (2,)", "cannot add in"),
    "wrong sum": ("Distortion() + MLP()", "cannot add 'Distortion()' and 'MLP()'"),
    "overflow": (f"1e300 * {10**309}", "cannot multiply"),
    "open bracket": ("MLP((1, 2)", "was never closed"),
    "statement": ("a = 1", "invalid syntax"),
    "two expressions": ("1; 2", "invalid syntax"),
    "empty": ("", "invalid syntax"),
    "null": ("1\x00", "null bytes"),
    "unhashable": ("{[]: 1}", "unhashable"),
    "no brackets": ("MLP", "MLP is written with brackets: MLP()"),
    "unknown": ("Distorsion()", "unknown name 'Distorsion'; did you mean 'Distortion'?"),
    "unknown in another": ("MixtureOf(mlp(), 3)", "unknown name 'mlp'; did you mean 'MLP'?"),
    "unknown keyword": (
        "MLP(width=3)",
        "MLP has no 'width'; did you mean 'widths'? It is written MLP(widths=",
    ),
    "missing argument": ("MixtureOf(MLP())", "missing a required argument: 'k'. It is written MixtureOf(family, k)"),
    "too many": ("MixtureOf(1, 2, 3)", "too many positional arguments"),
    "twice": ("MLP((1,), widths=(2,))", "multiple values for argument 'widths'"),
    "refused by its constructor": (
        "MLP(dropout=-1)",
        "non-negative number; got -1 (in 'MLP(dropout=-1)')",
    ),
    "long": ("1" * 1_000_001, "at most 1000000"),
    "long number": ("1" * 5000, "4300 digits"),
    "deep brackets": ("(" * 5000 + ")" * 5000, "cannot read"),
    "deep tuples": ("(" * 150 + "1" + ",)" * 150, "nested more than 100 deep"),
    "deep signs": ("-" * 50_000 + "1", "cannot read"),
    "deep sum": ("+".join("1" * 100_000), "cannot read"),
}


@pytest.mark.parametrize(("wrong", "message"), REFUSED.values(), ids=REFUSED)
def test_anything_else_is_refused_in_one_short_line(wrong, message):
    with pytest.raises(InputError) as caught:
        parse(wrong, VOCABULARY)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_nearest_is_silent_when_nothing_is_near():
    assert nearest("xyz", ["gaussian"]) == ""
