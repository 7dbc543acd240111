"""What is read of a frame comes back as that frame: every type, gaps and all."""

import datetime
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from latens.data import Column, load
from latens.data.table import as_numbers, decoded
from latens.neural.vocabulary import read
from latens.utils import InputError, text

RNG = np.random.default_rng(0)
N = 60
TEXT = RNG.choice(["oak", "ash", "elm"], N)
DAYS = pd.to_datetime("2020-02-27") + pd.to_timedelta(RNG.integers(0, 40, N), "D")
TIMES = pd.to_datetime("1969-12-30") + pd.to_timedelta(RNG.integers(0, 10**13, N), "us")


def gaps(values):
    """As objects, some of them None."""
    out = np.array(list(values), dtype=object)
    out[[3, 17]] = None
    return out


PANDAS = {
    "floats": (pd.Series(RNG.normal(size=N)), "real"),
    "single floats": (pd.Series(RNG.normal(size=N).astype(np.float32)), "real"),
    "floats with gaps": (pd.Series(RNG.normal(size=N)).mask(RNG.random(N) < 0.2), "real"),
    "nullable floats": (pd.Series(pd.array(gaps(RNG.normal(size=N)), dtype="Float64")), "real"),
    "integers": (pd.Series(RNG.integers(-5, 9, N).astype(np.int16)), "integer"),
    "nullable integers": (pd.Series(pd.array(gaps(RNG.integers(3, 9, N)), dtype="Int64")), "integer"),
    "whole floats": (pd.Series(RNG.integers(3, 9, N) * 1.0).mask(RNG.random(N) < 0.2), "integer"),
    "integers of pyarrow": (pd.Series(RNG.integers(3, 9, N), dtype="int8[pyarrow]"), "integer"),
    "counts": (pd.Series(RNG.geometric(0.2, N) - 1), "count"),
    "0 and 1": (pd.Series(RNG.integers(0, 2, N).astype(np.uint8)), "boolean"),
    "booleans": (pd.Series(RNG.random(N) < 0.5), "boolean"),
    "nullable booleans": (pd.Series(pd.array(gaps(RNG.random(N) < 0.5), dtype="boolean")), "boolean"),
    "booleans with gaps": (pd.Series(gaps((RNG.random(N) < 0.5).tolist())), "boolean"),
    "yes and no": (pd.Series(RNG.choice(["Yes", "No"], N)), "boolean"),
    "text": (pd.Series(TEXT), "category"),
    "text with gaps": (pd.Series(TEXT).mask(RNG.random(N) < 0.2), "category"),
    "text as objects": (pd.Series(gaps(TEXT), dtype=object), "category"),
    "text of pyarrow": (pd.Series(TEXT, dtype="string[pyarrow]"), "category"),
    "codes": (pd.Series(RNG.choice(["007", "010"], N)), "category"),
    "few numbers and words": (pd.Series(RNG.choice(["0", "1", "2", "3+"], N)), "category"),
    "categories": (pd.Series(pd.Categorical(gaps(TEXT), ["yew", "elm", "oak", "ash"])), "category"),
    "categories of numbers": (pd.Series(pd.Categorical(RNG.integers(3, 6, N))), "category"),
    "ordered": (pd.Series(pd.Categorical(gaps(TEXT), ["yew", "elm", "oak", "ash"], ordered=True)), "integer"),
    "days": (pd.Series(DAYS), "date"),
    "days with gaps": (pd.Series(DAYS).mask(RNG.random(N) < 0.2), "date"),
    "times": (pd.Series(TIMES), "date"),
    "times in nanoseconds": (pd.Series(TIMES.astype("datetime64[ns]")), "date"),
    "times of a zone": (pd.Series(TIMES.tz_localize("UTC").tz_convert("Asia/Tokyo")), "date"),
    "dates as objects": (pd.Series([day.date() for day in DAYS], dtype=object), "date"),
    "one number": (pd.Series(np.full(N, 7)), "constant"),
    "one text": (pd.Series(["x"] * N), "constant"),
    "one level of several": (pd.Series(pd.Categorical(["b"] * N, ["a", "b"])), "constant"),
    "one day": (pd.Series([DAYS[0]] * N), "constant"),
}
OTHER = pd.Series(np.where(RNG.random(N) < 0.5, "left", "right"))
"""A column beside it, so that even numbers make a table of several kinds."""


def roundtrip(frame):
    source = load(frame)
    schema = source.schema
    assert read(text(schema)) == schema
    rows = source.take(np.arange(len(source)))
    again = load(frame, schema=schema)
    np.testing.assert_array_equal(again.take(np.arange(len(again))), rows)
    assert again.notes == []
    return source, decoded(rows, schema.columns, source.frame)


@pytest.mark.parametrize(("series", "kind"), PANDAS.values(), ids=PANDAS)
def test_a_column_of_pandas_is_found_and_comes_back(series, kind):
    frame = pd.DataFrame({"x": series, "side": OTHER})
    source, back = roundtrip(frame)
    column = source.schema.columns[0]
    assert (column.kind, column.has_missing) == (kind, bool(series.isna().any()))
    pd.testing.assert_frame_equal(back, frame)


ARROW = {
    "floats": (pa.array([0.5, None, 2.5]), "real"),
    "integers": (pa.array([3, 1, None], pa.int32()), "integer"),
    "booleans": (pa.array([True, None, False]), "boolean"),
    "text": (pa.array(["a", "b", None]), "category"),
    "large text": (pa.array(["a", "b", None], pa.large_string()), "category"),
    "coded text": (pa.array(["a", "b", None]).dictionary_encode(), "category"),
    "days": (pa.array([datetime.date(2020, 1, 1), datetime.date(1960, 1, 1), None]), "date"),
    "times": (pa.array([datetime.datetime(2020, 1, 1, 5), datetime.datetime(1960, 1, 1, 0, 0, 7), None]), "date"),
    "times of a zone": (pa.array([10**15 + 1, -(10**15), None], pa.timestamp("us", "Asia/Tokyo")), "date"),
    "milliseconds": (pa.array([10**12 + 1, -(10**12), None], pa.timestamp("ms")), "date"),
    "decimals": (pa.array(["1.25", "-2.50", None]).cast(pa.decimal128(5, 2)), "real"),
    "lengths of time": (pa.array([1_500, -700, None], pa.duration("ms")), "real"),
    "nothing": (pa.array([None, None, None], pa.string()), "constant"),
}


@pytest.mark.parametrize(("array", "kind"), ARROW.values(), ids=ARROW)
def test_a_column_of_pyarrow_is_found_and_comes_back(array, kind):
    table = pa.table({"x": array, "side": ["l", "r", "l"]})
    source, back = roundtrip_of_arrow(table)
    assert source.schema.columns[0].kind == kind
    assert back.schema == table.schema
    assert back.to_pylist() == table.to_pylist()


def roundtrip_of_arrow(table):
    source = load(table)
    rows = source.take(np.arange(len(source)))
    return source, decoded(rows, source.schema.columns, source.frame)


def test_a_frame_of_polars_comes_back():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"i": [1, None, 7], "s": ["a", "b", "a"], "d": [datetime.date(2020, 1, 1)] * 2 + [None]})
    frame = frame.with_columns(
        c=pl.col("s").cast(pl.Categorical),
        e=pl.col("s").cast(pl.Enum(["b", "a"])),
        t=pl.Series([datetime.datetime(2020, 1, 1, 5, 6), None, datetime.datetime(1960, 1, 1)]),
        b=pl.Series([True, False, None]),
        f=pl.Series([0.5, 1.25, None], dtype=pl.Float32),
    )
    source, back = roundtrip(frame)
    kinds = ["integer", "category", "constant", "category", "category", "date", "boolean", "real"]
    assert [column.kind for column in source.schema.columns] == kinds
    assert back.equals(frame)
    assert back.schema == frame.schema


def test_columns_are_found_by_name_in_whatever_order():
    frame = pd.DataFrame({"x": RNG.normal(size=N), "side": OTHER, "n": RNG.integers(3, 9, N)})
    source = load(frame)
    asked = frame[["n", "side", "x"]].assign(more=1)
    again = load(asked, schema=source.schema)
    np.testing.assert_array_equal(again.take(np.arange(N)), source.take(np.arange(N)))
    assert again.notes == ["columns that were not fitted are left aside: more"]
    with pytest.raises(InputError, match=r"^there is no column 'side'; did you mean 'sides'\?; the model"):
        load(frame.rename(columns={"side": "sides"}), schema=source.schema)


def test_a_category_that_was_never_seen_is_missing_and_told():
    source = load(pd.DataFrame({"x": RNG.normal(size=N), "side": OTHER}))
    again = load(pd.DataFrame({"x": [1.0, 2.0], "side": ["left", "up"]}), schema=source.schema)
    np.testing.assert_array_equal(again.take(np.arange(2)), [[1.0, 0.0], [2.0, np.nan]])
    assert again.notes == [
        "the column 'side' holds 'up', which was not there when the model was fitted: taken as missing"
    ]


def test_text_that_says_nothing_is_missing():
    frame = pd.DataFrame({"x": RNG.normal(size=N), "side": OTHER})
    frame.loc[[1, 5, 7], "side"] = ["?", "", " "]
    source = load(frame)
    assert source.schema.columns[1].categories == ("left", "right")
    assert np.isnan(source.take(np.arange(N))[:, 1]).sum() == 3


def test_numbers_and_dates_written_as_text_come_back_as_such():
    frame = pd.DataFrame({"x": RNG.normal(size=N).astype(str), "n": RNG.integers(3, 9, N).astype(str), "side": OTHER})
    frame["day"] = DAYS.strftime("%Y-%m-%d")
    _, back = roundtrip(frame)
    assert [str(dtype) for dtype in back.dtypes] == ["float64", "int64", "str", "datetime64[s]"]
    np.testing.assert_array_equal(back["x"], frame["x"].astype(float))


def test_numbers_are_told_apart_but_for_zeros_and_ones_and_where_there_are_many():
    frame = pd.DataFrame(RNG.normal(size=(N, 3)), columns=list("abc"))
    assert [column.kind for column in load(frame).schema.columns] == ["real"] * 3
    assert load(frame > 0).schema.columns is None
    assert load((frame > 0).assign(d=1)).schema.columns is None
    assert load((frame > 0).assign(d=frame["a"])).schema.columns is not None
    assert load(pd.DataFrame(RNG.normal(size=(9, 51)))).schema.columns is None


def test_numbers_of_one_kind_are_an_array_to_what_has_no_heads():
    whole = pd.DataFrame(RNG.integers(3, 9, (N, 3)), columns=list("abc"))
    plain = as_numbers(load(whole))
    assert (plain.schema.columns, plain.schema.levels, plain.schema.low) == (None, 6, 3.0)
    np.testing.assert_array_equal(plain.take(np.arange(N)), whole)
    assert load(whole).schema.columns is not None
    for mixed in (whole.assign(x=RNG.normal(size=N)), whole.assign(name="ab")):
        assert as_numbers(load(mixed)).schema == load(mixed).schema


def test_what_is_drawn_is_brought_to_the_column():
    def back(column, values):
        return decoded(np.array([values]).T, [column], ("pyarrow", ("x",), (column.dtype,)))["x"].to_pylist()

    age = Column("x", "integer", "int64", 17.0, 90.0, levels=74)
    assert back(age, [16.0, 20.4, 99.0]) == [17, 20, 90]
    assert back(replace(age, kind="count", levels=None), [-1.0, 20.6, 99.0]) == [0, 21, 99]
    assert back(Column("x", "real", "double", -1.0, 1.0), [-1.5, 0.3, 1.5]) == [-1.0, 0.3, 1.0]
    assert back(Column("x", "constant", "int64", 7.0, 7.0), [0.0, 5.0]) == [7, 7]


def test_dates_that_are_not_read_are_told():
    written = pd.Series([f"{1 + i % 28}.{1 + i // 28}.2020" for i in range(N)])
    source = load(pd.DataFrame({"day": written, "x": RNG.normal(size=N), "side": OTHER}))
    assert source.notes == [
        "the column 'day' is left out: dates are read as 2020-12-31; its cells look like '1.1.2020'"
    ]


IDS = {
    "text": pd.Series([f"p{i}" for i in range(N)], name="who"),
    "numbers": pd.Series(range(N), name="PassengerId"),
    "numbers without a name": pd.Series(range(N), name="Unnamed: 0"),
    "shuffled numbers": pd.Series(RNG.permutation(N), name="id"),
}


@pytest.mark.parametrize("ids", IDS.values(), ids=IDS)
def test_ids_are_left_out_and_told(ids):
    source = load(pd.DataFrame({ids.name: ids, "x": RNG.normal(size=N), "side": OTHER}))
    assert source.schema.features == ("x", "side")
    assert source.notes[0].startswith(f"the column '{ids.name}' is left out: ")


def test_rare_levels_share_one_probability_and_are_told_apart():
    weights = 1 / np.arange(1.0, 401)
    words = RNG.choice([f"w{i}" for i in range(400)], 20_000, p=weights / weights.sum())
    source = load(pd.DataFrame({"word": words, "x": RNG.normal(size=len(words))}))
    column = source.schema.columns[0]
    counts = pd.Series(words).value_counts()
    assert list(counts[list(column.categories)]) == sorted(counts, reverse=True)
    np.testing.assert_allclose(column.rare, counts.to_numpy()[255:] / counts.to_numpy()[255:].sum(), rtol=1e-6)
    assert "400 levels: the 255 most frequent have a probability of their own" in source.notes[0]
    back = decoded(source.take(np.arange(9)), source.schema.columns, source.frame)
    assert list(back["word"]) == list(words[:9])


REFUSED = {
    "numbers with words": (
        pd.DataFrame({"age": [str(i) for i in range(50)] + ["old", "7", "young"]}),
        "the column 'age' holds numbers, but also 'old' at row 50, 'young' at row 52; make them empty",
    ),
    "mixed objects": (
        pd.DataFrame({"age": [1, 2, "old"]}),
        "the column 'age' mixes types: int 1 at row 0, str 'old' at row 2",
    ),
    "dates with words": (
        pd.DataFrame({"day": [*DAYS.strftime("%Y-%m-%d"), "soon"]}),
        f"the column 'day' holds dates, but also 'soon' at row {N}",
    ),
    "lists": (pd.DataFrame({"x": [[1], [2]]}), "the column 'x' holds list<"),
    "infinity": (pd.DataFrame({"x": [1.0, np.inf], "s": ["a", "b"]}), "infinity"),
    "two of a name": (pa.table([[1], ["a"]], ["x", "x"]), "two columns of the table are named 'x'"),
    "ids alone": (pd.DataFrame({"who": [f"p{i}" for i in range(50)]}), "no column is left to learn from"),
}


@pytest.mark.parametrize(("frame", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_a_column_is_told_in_one_line(frame, message):
    with pytest.raises(InputError) as caught:
        load(frame)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


ASKED = {
    "words": (["1", "old"], "the column 'n' holds numbers, but also 'old' at row 1"),
    "dates": ([datetime.date(2020, 1, 1)] * 2, "the column 'n' was fitted with numbers; got date32[day]"),
    "fractions": ([1.0, 2.5], "the column 'n' was fitted with whole numbers; got 2.5 at row 1 (1 of 2 entries)"),
}


@pytest.mark.parametrize(("values", "message"), ASKED.values(), ids=ASKED)
def test_other_cells_than_were_fitted_are_refused(values, message):
    source = load(pd.DataFrame({"n": RNG.integers(3, 9, N), "side": OTHER}))
    with pytest.raises(InputError) as caught:
        load(pd.DataFrame({"n": values, "side": ["left", "left"]}), schema=source.schema)
    assert message in str(caught.value)
