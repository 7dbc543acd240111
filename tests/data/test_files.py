"""Files of tables: how cells are read, what is refused, and that a file too large for memory is the same table."""

import lzma
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from latens.data import load
from latens.data.table import as_numbers, decoded
from latens.utils import InputError

RNG = np.random.default_rng(0)
N = 300
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "tabular"


def rows(source):
    return source.take(np.arange(len(source)))


def back(source):
    return decoded(rows(source), source.schema.columns, source.frame).to_pandas()


def write(folder, content, name="t.csv"):
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / name


def frame():
    return pd.DataFrame(
        {
            "x": RNG.normal(size=N).round(3),
            "n": RNG.integers(3, 9, N),
            "late": [1] * (N - 1) + [7],
            "half": [1] * (N - 1) + [7.5],
            "side": RNG.choice(["left", "right"], N),
            "day": pd.to_datetime("2020-01-01") + pd.to_timedelta(RNG.integers(0, 40, N), "D"),
            "yes": RNG.choice(["True", "False"], N),
            "zip": RNG.choice(["00501", "90210", "10001"], N),
            "gaps": pd.Series(RNG.integers(-3, 9, N)).mask(RNG.random(N) < 0.3),
        }
    )


KINDS = ["real", "integer", "integer", "real", "category", "date", "boolean", "category", "integer"]


@pytest.mark.parametrize("memory", [2**29, 1000], ids=["whole", "in pieces"])
@pytest.mark.parametrize("kind", ["csv", "tsv", "semicolons", "parquet"])
def test_a_file_holds_its_frame(tmp_path, monkeypatch, kind, memory):
    """Also where later blocks are of wider types than the first, and where nothing fits into memory."""
    monkeypatch.setattr("latens.data.files.BLOCK", 4096)
    table = frame()
    path = tmp_path / ("t." + {"semicolons": "csv"}.get(kind, kind))
    if kind == "parquet":
        table.to_parquet(path, row_group_size=50)
    else:
        table.to_csv(path, index=False, sep={"csv": ",", "tsv": "\t", "semicolons": ";"}[kind])
    source = load(path, memory=memory)
    assert [column.kind for column in source.schema.columns] == KINDS
    assert source.in_memory == (memory > 1000)
    assert isinstance(source.columns[0], np.memmap) == (memory == 1000)
    found = back(source)
    assert list(found["day"].astype("datetime64[s]")) == list(table["day"].astype("datetime64[s]"))
    pd.testing.assert_frame_equal(found.drop(columns="day"), table.drop(columns="day"), check_dtype=False)
    again = load(path, schema=source.schema, memory=memory)
    np.testing.assert_array_equal(rows(again), rows(source))
    np.testing.assert_array_equal(source.missing, np.isnan(rows(source)).sum(0))


@pytest.mark.parametrize("memory", [2**29, 1000], ids=["whole", "in pieces"])
def test_numbers_stay_what_they_are(tmp_path, memory):
    X = RNG.normal(size=(50, 3))
    X[3, 1] = np.nan
    pd.DataFrame(X, columns=list("abc")).to_csv(tmp_path / "t.csv", index=False)
    source = load(tmp_path / "t.csv", memory=memory)
    assert [(column.name, column.kind) for column in source.schema.columns] == [
        ("a", "real"),
        ("b", "real"),
        ("c", "real"),
    ]
    np.testing.assert_array_equal(rows(source), X)
    np.testing.assert_array_equal(rows(as_numbers(source)), X)


READ = {
    "blanks around": ("a, b\n1, x \n2.5,y\n", {"a": [1.0, 2.5], "b": ["x", "y"]}),
    "gaps": (
        "a,b\n1.5,?\n?,x\n2,NA\n,y\n3, ? \n",
        {"a": [1.5, None, 2.0, None, 3.0], "b": [None, "x", None, "y", None]},
    ),
    "quotes": ('a,b\n1.5,"x, y"\n2,"line\nbreak"\n', {"a": [1.5, 2.0], "b": ["x, y", "line\nbreak"]}),
    "blank lines": ("\na,b\n\n1.5,x\n\n2,y\n", {"a": [1.5, 2.0], "b": ["x", "y"]}),
    "no names": ("1.5,x\n2,y\n", None),
    "a mark": (b"\xef\xbb\xbfa,b\n1.5,x\n2,y\n", {"a": [1.5, 2.0], "b": ["x", "y"]}),
    "utf-16": ("a,b\n1.5,é\n2,y\n".encode("utf-16"), {"a": [1.5, 2.0], "b": ["é", "y"]}),
    "latin-1": ("a,é\n1.5,ü\n2,y\n".encode("latin-1"), {"a": [1.5, 2.0], "é": ["ü", "y"]}),
    "commas in numbers": ("a;b\n1,5;x\n2;y\n", {"a": [1.5, 2.0], "b": ["x", "y"]}),
    "carriage returns": ("a,b\r\n1.5,x\r\n2,y\r\n", {"a": [1.5, 2.0], "b": ["x", "y"]}),
}


@pytest.mark.parametrize(("content", "expected"), READ.values(), ids=READ)
def test_cells_are_read_as_they_are_meant(tmp_path, content, expected):
    source = load(write(tmp_path, content))
    if expected is None:
        assert source.schema.features == ("1.5", "x")  # a first line with words holds names
        return
    table = decoded(rows(source), source.schema.columns, source.frame)
    assert table.to_pydict() == expected


def test_another_encoding_and_commas_are_told(tmp_path):
    assert load(write(tmp_path, "a,é\n1.5,ü\n2,y\n".encode("latin-1"))).notes == [
        "t.csv is not UTF-8; it is read as latin-1"
    ]
    assert load(write(tmp_path, "a;b\n1,5;x\n2;y\n")).notes == [
        "t.csv has commas in its numbers, which are read as points"
    ]


MANY = "".join(f"{i}.5,x\n" for i in range(30))
REFUSED = {
    "ragged": ("a,b\n1,2\n3\n", "cannot read {}: line 3 has 1 cells, the others have 2: '3'"),
    "ragged later": (f"a,b\n{MANY}1,2,3\n", "line 32 has 3 cells, the others have 2: '1,2,3'"),
    "empty": ("", "cannot read {}: it is empty"),
    "blank": ("\n\n", "cannot read {}: it is empty"),
    "words": (f"a,b\n{MANY}old,y\n7,x\nyoung,x\n", "'a' holds numbers, but also 'old' at line 32, 'young' at line 34;"),
    "two of a name": ("a,a\n1,x\n", "two columns of the table are named 'a'"),
    "no table": (b"PAR1 and something else", "Parquet"),
}


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("memory", [2**29, 1], ids=["whole", "in pieces"])
def test_a_file_that_cannot_be_read_is_told_in_one_line(tmp_path, content, message, memory):
    path = write(tmp_path, content, "t.parquet" if isinstance(content, bytes) else "t.csv")
    with pytest.raises(InputError) as caught:
        load(path, memory=memory)
    assert message.format(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_column_that_is_all_missing_is_told(tmp_path):
    source = load(write(tmp_path, "a,b,c\n1.5,x,\n2,y,\n"))
    assert source.notes == ["no value of the column 'c' is known; nothing is learned of it"]
    assert back(source)["c"].isna().all()


def test_ordered_categories_of_parquet_stay_ordered(tmp_path):
    sizes = pd.Categorical(RNG.choice(["S", "M", "L"], N), ["S", "M", "L"], ordered=True)
    pd.DataFrame({"size": sizes, "x": RNG.normal(size=N)}).to_parquet(tmp_path / "t.parquet", row_group_size=100)
    source = load(tmp_path / "t.parquet")
    assert (source.schema.columns[0].kind, source.schema.columns[0].categories) == ("integer", ("S", "M", "L"))
    np.testing.assert_array_equal(rows(source)[:, 0], sizes.codes)


REAL = {
    "adult": ("adult/adult.csv.xz", {"sex": "category", "age": "integer", "education-num": "integer"}, 4262),
    "wine": ("hivae_wine_quality/data.csv.xz", {"f0": "real", "f11": "integer", "f12": "integer"}, 0),
    "penguins": ("small_r/penguins.csv", {"species": "category", "bill_length_mm": "real", "year": "integer"}, 19),
    "airquality": ("small_r/airquality.csv", {"Wind": "real", "Temp": "integer", "Ozone": "integer"}, 44),
}


@pytest.mark.parametrize(("file", "kinds", "missing"), REAL.values(), ids=REAL)
def test_real_tables(tmp_path, file, kinds, missing):
    if not (SHARED / file).is_file():
        pytest.skip(f"{file} is not here")
    content = (SHARED / file).read_bytes()
    source = load(write(tmp_path, lzma.decompress(content) if file.endswith(".xz") else content))
    found = {column.name: column.kind for column in source.schema.columns}
    assert {name: found[name] for name in kinds} == kinds
    assert "rownames" not in found
    assert int(0 if source.missing is None else source.missing.sum()) == missing


def test_columns_of_binary_answers_are_one_array(tmp_path):
    if not (SHARED / "ctgan_nltcs").is_dir():
        pytest.skip("NLTCS is not here")
    content = lzma.decompress((SHARED / "ctgan_nltcs" / "nltcs.tsv.xz").read_bytes())
    source = load(write(tmp_path, content, "nltcs.tsv"))
    assert (source.schema.columns, source.schema.levels, source.schema.dtype) == (None, 2, "int64")
    assert len(source) == 21574


def test_arrow_tables_are_frames():
    table = pa.table({"a": [0.5, 1.5], "b": ["x", "y"]})
    assert load(table).schema.features == ("a", "b")
    parquet.write_table(table, pa.BufferOutputStream())


@pytest.mark.parametrize("memory", [2**29, 1000], ids=["whole", "in pieces"])
@pytest.mark.parametrize("packed", ["gz", "xz", "bz2"])
def test_a_compressed_file_is_what_it_holds_and_one_that_ends_too_soon_is_refused(tmp_path, packed, memory):
    table = frame()
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_csv(tmp_path / f"t.csv.{packed}", index=False)
    plain, source = load(tmp_path / "t.csv", memory=memory), load(tmp_path / f"t.csv.{packed}", memory=memory)
    assert source.schema == plain.schema
    np.testing.assert_array_equal(rows(source), rows(plain))
    write(tmp_path, (tmp_path / f"t.csv.{packed}").read_bytes()[:-200], f"short.csv.{packed}")
    with pytest.raises(InputError, match=r"cannot read .*short"):
        load(tmp_path / f"short.csv.{packed}", memory=memory)
