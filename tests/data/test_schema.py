from dataclasses import replace

import numpy as np
import pytest

from latens.data import ArraySource, Schema, infer_schema, validate
from latens.utils import InputError, parse, text

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (50, 6, 5)).astype(np.uint8)
FEW = RNG.integers(0, 2, (50, 6, 5))


def lattice(low, high, levels, step=1.0):
    return {"low": low, "high": high, "levels": levels, "step": step, "counts": False}


def continuous(low, high):
    return {"low": low, "high": high, "levels": None, "step": 1.0, "counts": False}


RULES = {
    "booleans": (FEW.astype(bool), lattice(0, 1, 2)),
    "bytes": (BYTES, lattice(0, 255, 256)),
    "bytes up to 250": (np.minimum(BYTES, 250), lattice(0, 255, 256)),
    "bytes 0 and 1": (FEW.astype(np.uint8), lattice(0, 1, 2)),
    "bytes 0 and 255": ((FEW * 255).astype(np.uint8), lattice(0, 255, 2, 255.0)),
    "constant bytes": (np.full((9, 4, 4), 7, np.uint8), lattice(0, 255, 256)),
    "bytes as floats": (BYTES.astype(np.float32), lattice(0, 255, 256)),
    "bytes as floats up to 250": (np.minimum(BYTES, 250.0), lattice(0, 255, 256)),
    "bytes / 255": (BYTES / 255, lattice(0, 1, 256, 1 / 255)),
    "bytes / 255 in float32": ((BYTES / 255).astype(np.float32), lattice(0, 1, 256, 1 / 255)),
    "bytes times float32 1/255": (BYTES * np.float32(1 / 255), lattice(0, 1, 256, 1 / 255)),
    "bytes / 255 in float16": ((BYTES / 255).astype(np.float16), lattice(0, 1, 256, 1 / 255)),
    "bytes in [-1, 1]": ((BYTES / 127.5 - 1).astype(np.float32), lattice(-1, 1, 256, 2 / 255)),
    "bytes / 255 in a table": ((BYTES / 255).reshape(50, 30), lattice(0, 1, 256, 1 / 255)),
    "sixteenths": (RNG.integers(0, 17, (50, 4, 4)) / 16, lattice(0, 1, 17, 1 / 16)),
    "0.0 and 1.0": (FEW.astype(np.float64), lattice(0, 1, 2)),
    "-1 and 1": (FEW * 2.0 - 1, lattice(-1, 1, 2, 2.0)),
    "0 to 16 as float images": (RNG.integers(0, 17, (50, 4, 4)).astype(float), lattice(0, 16, 17)),
    "0 to 16 in a table": (RNG.integers(0, 17, (90, 64)), lattice(0, 16, 17)),
    "ratings 1 to 5": (RNG.integers(1, 6, (90, 8)), lattice(1, 5, 5)),
    "signed integers": (RNG.integers(-3, 4, (90, 8)), lattice(-3, 3, 7)),
    "16-bit images": (np.array([0, 9, 65535] * 4, np.uint16).reshape(3, 2, 2), lattice(0, 65535, 65536)),
    "16-bit images up to 4000": (np.array([0, 9, 4000] * 4, np.uint16).reshape(3, 2, 2), lattice(0, 4000, 4001)),
    "constant floats": (np.full((9, 4), 2.0), continuous(2, 2)),
    "floats in [0, 1]": (np.append(RNG.random(98), [0, 1]).reshape(50, 2), continuous(0, 1)),
    "floats": (np.array([[-1.5, 2], [3, 1e300]]), continuous(-1.5, 1e300)),
    "huge integers": (np.array([[-(2**62)], [2**62]]), continuous(-(2.0**62), 2.0**62)),
    "no rows": (np.zeros((0, 3)), continuous(0, 0)),
    "only missing": (np.full((2, 3), np.nan), continuous(0, 0)),
    "counts": (RNG.poisson(3.0, (500, 4)), {"low": 0, "levels": None, "counts": True}),
    "counts as floats": (RNG.negative_binomial(1, 0.01, (500, 4)) * 1.0, {"low": 0, "levels": None, "counts": True}),
    "counts far from 0": (RNG.poisson(50.0, (500, 4)), {"levels": None, "counts": True}),
    "few, long-tailed": (RNG.geometric(0.01, (40, 4)), {"levels": None, "counts": True}),
    "uniform 0 to 999": (RNG.integers(0, 1000, (500, 4)), {"counts": False}),
    "years": (np.minimum(RNG.poisson(2000.0, (500, 1)), 2024).clip(1990), {"levels": 35, "counts": False}),
    "heights": (RNG.normal(170, 9, (500, 1)).round(), {"counts": False}),
    "counts with gaps": (np.where(RNG.random((500, 4)) < 0.1, np.nan, RNG.poisson(3.0, (500, 4))), {"counts": True}),
}


@pytest.mark.parametrize(("X", "expected"), RULES.values(), ids=RULES)
def test_the_lattice_is_recognised(X, expected):
    schema = infer_schema(X)
    assert {name: getattr(schema, name) for name in expected} == pytest.approx(expected)
    assert schema.dtype == X.dtype.name
    assert schema.shape == X.shape[1:]


@pytest.mark.parametrize(("X", "expected"), RULES.values(), ids=RULES)
def test_the_data_fit_their_own_schema(X, expected):
    schema = infer_schema(X)
    np.testing.assert_array_equal(validate(X, schema, missing=True), X)


@pytest.mark.parametrize(("X", "expected"), RULES.values(), ids=RULES)
def test_the_order_and_the_pieces_do_not_matter(X, expected, monkeypatch):
    monkeypatch.setattr("latens.data.survey.CHUNK", X[:1].nbytes * 7)
    order = np.random.default_rng(1).permutation(len(X))
    assert ArraySource(X[order]).schema == infer_schema(X)


@pytest.mark.parametrize(("X", "expected"), RULES.values(), ids=RULES)
def test_a_schema_is_read_back_from_its_text(X, expected):
    schema = replace(infer_schema(X), features=("a", "b"), classes=(1, "two"))
    assert parse(text(schema), {"Schema": Schema}) == schema


def test_one_entry_off_the_lattice_makes_the_whole_continuous():
    X = BYTES / 255
    X[49, 5, 4] = 0.5
    assert infer_schema(X).levels is None


KINDS = {
    (5,): "table",
    (8, 8): "image",
    (8, 8, 1): "image",
    (8, 8, 4): "image",
    (8, 8, 5): "array",
    (2, 3, 4, 5): "array",
}


@pytest.mark.parametrize(("shape", "kind"), KINDS.items(), ids=map(str, KINDS))
def test_the_kind_follows_from_the_shape(shape, kind):
    assert infer_schema(np.zeros((2, *shape))).kind == kind
    assert infer_schema(np.zeros((2, *shape)), "array").kind == "array"


def test_missing_values_are_seen_and_left_out_of_the_range():
    schema = infer_schema(np.array([[1.5, np.nan], [np.nan, -2.5]]))
    assert (schema.low, schema.high, schema.has_missing) == (-2.5, 1.5, True)


def test_supports():
    assert infer_schema(BYTES).support == (0, 255)
    assert infer_schema(RNG.poisson(3.0, (500, 4))).support == (0, np.inf)
    assert infer_schema(RNG.random((9, 2))).support == (-np.inf, np.inf)


IMAGES = Schema("image", (2, 2), "uint8", 0.0, 255.0, 256)
UNIT = Schema("image", (2, 2), "float32", 0.0, 1.0, 256, 1 / 255)
COUNTS = Schema("table", (2,), "int64", 0.0, 9.0, counts=True)
REALS = Schema("table", (2,), "float64", -1.0, 1.0)

INVALID = {
    "shape": (IMAGES, np.zeros((5, 3, 2)), "X must have the shape (n, 2, 2), as the data fitted; got (5, 3, 2)"),
    "one example": (IMAGES, np.zeros((2, 2)), "got (2, 2)"),
    "text": (REALS, [["a", "b"]], "X must hold numbers; got <U1"),
    "objects": (REALS, [[None, 1.0]], "X must hold numbers; got object"),
    "above": (
        IMAGES,
        [[[0, 1], [2, 256]]],
        "from 0 to 255, as the data fitted; got 256 at row 0, entry (1, 1)",
    ),
    "below": (IMAGES, [[[0, -1], [2, -2]]], "got -1 at row 0, entry (0, 1) (2 of 4 entries)"),
    "between": (IMAGES, [[[0, 0.5], [2, 3]]], "got 0.5 at row 0, entry (0, 1)"),
    "other units": (UNIT, [[[0, 255], [2, 3]]], "256 levels from 0 to 1, as the data fitted; got 255"),
    "between fractions": (UNIT, [[[0, 0.5], [0, 0]]], "got 0.5"),
    "negative count": (COUNTS, [[1, 2], [3, -4]], "counts 0, 1, 2, ..., as the data fitted; got -4 at row 1, column 1"),
    "broken count": (COUNTS, [[1, 2.5]], "got 2.5 at row 0, column 1"),
    "infinite count": (COUNTS, [[1, np.inf]], "X holds infinity at row 0, column 1"),
    "infinity": (REALS, [[1, -np.inf]], "X holds infinity at row 0, column 1 (1 of 2 entries)"),
    "missing": (REALS, [[1, np.nan]], "X holds NaN (missing) at row 0, column 1 (1 of 2 entries)"),
    "missing pixel": (IMAGES, [[[0, np.nan], [2, 3]]], "X holds NaN (missing) at row 0, entry (0, 1)"),
}


@pytest.mark.parametrize(("schema", "X", "message"), INVALID.values(), ids=INVALID)
def test_what_does_not_fit_is_told_with_its_place(schema, X, message):
    with pytest.raises(InputError) as caught:
        validate(X, schema)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_places_are_right_beyond_the_first_piece(monkeypatch):
    monkeypatch.setattr("latens.data.schema.CHUNK", 64)
    X = np.zeros((100, 2))
    X[73, 1] = np.inf
    with pytest.raises(InputError, match="row 73, column 1"):
        validate(X, REALS)


def test_real_data_may_leave_the_range_seen():
    assert validate([[1e9, -1e9]], REALS).tolist() == [[1e9, -1e9]]


def test_a_description_is_plain():
    schema = replace(infer_schema(BYTES), classes=("cat", "dog"))
    assert schema.describe() == {
        "kind": "image",
        "shape": [6, 5],
        "measured": "the data as given",
        "dtype": "uint8",
        "range": [0.0, 255.0],
        "values": "256 levels from 0 to 255",
        "missing": False,
        "features": None,
        "columns": None,
        "classes": ["cat", "dog"],
    }


SUMMARIES = {
    "6x5 images, uint8, 256 levels from 0 to 255": BYTES,
    "6x5 images, int64, {0, 1}": FEW,
    "rows of 2 numbers, float64, continuous, seen -1 to 3, with missing values": [[-1, np.nan], [0.5, 3]],
}


@pytest.mark.parametrize(("line", "X"), SUMMARIES.items(), ids=SUMMARIES)
def test_one_line_says_it_all(line, X):
    assert infer_schema(np.asarray(X)).summary == line
