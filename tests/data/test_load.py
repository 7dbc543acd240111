import gzip
import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from sklearn import datasets

from latens.data import ArraySource, load
from latens.data.files import header
from latens.utils import InputError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((20, 3))
IMAGES = RNG.integers(0, 256, (20, 4, 5)).astype(np.uint8)
LABELS = np.arange(20) % 3
SHARED = Path(__file__).parents[3] / "shared" / "data"


def rows(source):
    return source.take(np.arange(len(source)))


def idx(array, code=0x08, shape=None):
    shape = array.shape if shape is None else shape
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def as_given(tmp_path):
    frame = pd.DataFrame({"a": [1.5, 2.5], "b": [3, 4]})
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "x.idx").write_bytes(idx(IMAGES))
    (tmp_path / "x.idx.gz").write_bytes(gzip.compress(idx(IMAGES)))
    (tmp_path / "floats").write_bytes(idx(X.astype(">f4"), 0x0D))
    (tmp_path / "n.csv").write_text("a,b\n1.5,3\n2.5,4\n")
    (tmp_path / "u.csv").write_text("1.5;3\n2.5;4\n")
    (tmp_path / "q.tsv").write_text('"a b"\t"c"\n1.5\t3\n2.5\t4\n')
    (tmp_path / "i.csv").write_text("a,b\n1,2\n3,4")
    (tmp_path / "gaps.csv").write_text("a,b\n1,\nNA,4")
    parquet.write_table(pa.table({"a": [1.5, None], "b": [True, False]}), tmp_path / "p.parquet")
    table = np.array([[1.5, 3], [2.5, 4]])
    return {
        "array": (X, X),
        "list": (X.tolist(), X),
        "source": (ArraySource(X), X),
        "frame": (frame, table),
        "frame with gaps": (pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}), [[1], [np.nan]]),
        "npy": (tmp_path / "x.npy", X),
        "npy by name": (str(tmp_path / "x.npy"), X),
        "npz X": (npz(tmp_path / "a.npz", X=X, y=LABELS, other=X[:1]), X),
        "npz x": (npz(tmp_path / "b.npz", x=X), X),
        "npz images": (npz(tmp_path / "c.npz", labels=LABELS, images=IMAGES, names=LABELS), IMAGES),
        "npz only": (npz(tmp_path / "d.npz", faces=IMAGES), IMAGES),
        "npz member": (f"{npz(tmp_path / 'e.npz', a=X, b=IMAGES)}:b", IMAGES),
        "idx": (tmp_path / "x.idx", IMAGES),
        "idx.gz": (tmp_path / "x.idx.gz", IMAGES),
        "idx of floats": (tmp_path / "floats", X.astype(np.float32)),
        "csv": (tmp_path / "n.csv", table),
        "csv without names": (tmp_path / "u.csv", table),
        "tsv": (tmp_path / "q.tsv", table),
        "csv of integers": (tmp_path / "i.csv", np.array([[1, 2], [3, 4]])),
        "csv with gaps": (tmp_path / "gaps.csv", [[1, np.nan], [np.nan, 4]]),
        "parquet": (tmp_path / "p.parquet", [[1.5, 1], [np.nan, 0]]),
    }


GIVEN = [
    *("array", "list", "source", "frame", "frame with gaps", "npy", "npy by name"),
    *("npz X", "npz x", "npz images", "npz only", "npz member", "idx", "idx.gz", "idx of floats"),
    *("csv", "csv without names", "tsv", "csv of integers", "csv with gaps", "parquet"),
]


def test_every_form_is_tested(tmp_path):
    assert list(as_given(tmp_path)) == GIVEN


@pytest.mark.parametrize("name", GIVEN)
def test_the_numbers_are_those_given(tmp_path, name):
    given, expected = as_given(tmp_path)[name]
    source = load(given)
    np.testing.assert_array_equal(rows(source), expected)
    assert rows(source).dtype.name == source.schema.dtype
    assert source.schema.has_missing == bool(np.isnan(np.asarray(expected, float)).any())


def test_names_and_types_of_columns_are_kept(tmp_path):
    given = as_given(tmp_path)
    assert load(given["frame"][0]).schema.features == ("a", "b")
    assert load(given["tsv"][0]).schema.features == ("a b", "c")
    assert [column.dtype for column in load(given["csv of integers"][0]).schema.columns] == ["int64", "int64"]
    assert load(given["npz X"][0]).labels.tolist() == LABELS.tolist()
    assert load(given["npz images"][0]).schema.classes == (0, 1, 2)


@pytest.mark.parametrize("name", ["npy", "idx"])
def test_large_files_are_mapped(tmp_path, name):
    given, expected = as_given(tmp_path)[name]
    source = load(given, memory=100)
    assert not source.in_memory
    assert load(given).in_memory
    np.testing.assert_array_equal(rows(source), expected)
    assert rows(source).dtype.isnative


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_labels_beside_an_idx_file_are_found(tmp_path, ending):
    pack = gzip.compress if ending else bytes
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-images-idx3-ubyte{ending}").write_bytes(pack(idx(IMAGES)))
        (tmp_path / f"{part}-labels-idx1-ubyte{ending}").write_bytes(pack(idx(LABELS.astype(np.uint8))))
    for given in (tmp_path, tmp_path / f"t10k-images-idx3-ubyte{ending}"):
        source = load(given)
        np.testing.assert_array_equal(rows(source), IMAGES)
        assert source.labels.tolist() == LABELS.tolist()
    assert load(tmp_path).notes == [f"read train-images-idx3-ubyte{ending}"]
    (tmp_path / f"train-labels-idx1-ubyte{ending}").write_bytes(pack(idx(LABELS[:5].astype(np.uint8))))
    with pytest.raises(InputError, match=r"20 images, but train-labels.* holds 5 labels"):
        load(tmp_path)


def test_mnist_itself():
    if not (SHARED / "mnist").is_dir():
        pytest.skip("MNIST is not here")
    source = load(SHARED / "mnist" / "t10k-images-idx3-ubyte.gz")
    assert source.schema.shape == (28, 28)
    assert np.bincount(source.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert rows(source).mean() / 255 == pytest.approx(0.1325, abs=1e-4)


BUILTIN = {"digits": "images", "iris": "data", "wine": "data", "breast_cancer": "data", "diabetes": "data"}


@pytest.mark.parametrize("name", BUILTIN)
def test_built_in_data(name):
    source, original = load(name), getattr(datasets, f"load_{name}")()
    np.testing.assert_array_equal(rows(source), original[BUILTIN[name]])
    if name == "diabetes":
        assert source.labels is None
    elif name == "digits":
        np.testing.assert_array_equal(source.labels, original.target)
    else:
        np.testing.assert_array_equal(source.labels, original.target_names[original.target])


def _tables(folder):
    """The same table, with a column of text, in every form whose columns have names."""
    frame = pd.DataFrame({"name": ["r0", "r1"], "height": [1.5, 2.5], "eyes": ["blue", "green"], "age": [7.0, 9.0]})
    frame.to_csv(folder / "a.csv", index=False)
    frame.to_csv(folder / "a.tsv", index=False, sep="\t")
    frame.to_parquet(folder / "a.parquet", index=False)
    return {"frame": frame, **{kind: folder / f"a.{kind}" for kind in ("csv", "tsv", "parquet")}}


@pytest.mark.parametrize("kind", ["frame", "csv", "tsv", "parquet"])
def test_named_columns_are_taken_in_their_order(tmp_path, kind):
    source = load(_tables(tmp_path)[kind], columns=["age", "height"])
    np.testing.assert_array_equal(source.take(np.arange(2)), [[7.0, 1.5], [9.0, 2.5]])
    assert source.schema.features == ("age", "height")
    assert source.names == (None if kind == "frame" else ["r0", "r1"])


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_the_header_is_read_alone(tmp_path, kind):
    assert header(_tables(tmp_path)[kind]) == ["name", "height", "eyes", "age"]
    (tmp_path / "b.csv").write_text("1,2\n3,4\n")
    assert header(tmp_path / "b.csv") == []


def test_columns_of_what_is_built_in():
    source = load("iris", columns=["petal width (cm)"])
    np.testing.assert_array_equal(source.take(np.arange(150))[:, 0], load("iris").take(np.arange(150))[:, 3])
    np.testing.assert_array_equal(source.labels, load("iris").labels)


def test_one_and_no_example():
    assert len(load(X[:1])) == 1
    assert len(load(X[:0])) == 0


def _write(name, content):
    def make(folder):
        (folder / name).write_bytes(content)
        return folder / name

    return make


def _npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _huge_npy():
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (10**12, 10)})
    return buffer.getvalue()


def _two_arrays(folder):
    return npz(folder / "a.npz", train=X, test=X)


def _bad_member(folder):
    with zipfile.ZipFile(folder / "a.npz", "w") as file:
        file.writestr("X.npy", b"nonsense")
    return folder / "a.npz"


def _near(folder):
    np.save(folder / "faces.npy", X)
    return folder / "Face.npy"


REFUSED = {
    "text": (lambda _: [["a", "b"]], "the data are text"),
    "complex": (lambda _: X + 1j, "got complex numbers"),
    "dates": (lambda _: np.array(["2020-01-01"], "M8[D]"), "got datetime64[D]"),
    "objects": (lambda _: np.array([[None, 1]]), "got objects"),
    "ragged": (lambda _: [[1, 2], [3]], "its rows differ in length"),
    "a number": (lambda _: 3.0, "got a single number"),
    "no columns": (lambda _: X[:, :0], "at least one number"),
    "infinity": (lambda _: np.where(X[4, 1] == X, np.inf, X), "infinity at row 4, column 1"),
    "same columns": (lambda _: pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns of the table are named 'a'"),
    "no such": (lambda folder: folder / "xyz", "there is no"),
    "misspelt": (_near, "faces.npy?"),
    "misspelt folder": (lambda folder: folder / "none" / "a.npy", "none does not exist"),
    "misspelt name": (lambda _: "digit", "did you mean digits?"),
    "foreign": (_write("a.xyz", b"hello"), "cannot tell what"),
    "foreign gz": (_write("a.gz", b"hello"), "cannot tell what"),
    "truncated npy": (_write("a.npy", _npy(X)[:-9]), "cannot read"),
    "empty npy": (_write("a.npy", b""), "cannot read"),
    "pickled npy": (_write("a.npy", _npy(np.array([{}, None]))), "it holds no array of numbers"),
    "huge npy": (_write("a.npy", _huge_npy()), "cannot read"),
    "npz as npy": (lambda f: _write("b.npy", npz(f / "a.npz", X=X).read_bytes())(f), "it is a .npz file"),
    "npy as npz": (_write("a.npz", _npy(X)), "it is a .npy file"),
    "text npy": (_write("a.npy", b"hello, world"), "cannot read"),
    "truncated npz": (lambda f: _write("b.npz", npz(f / "a.npz", X=X).read_bytes()[:-50])(f), "cannot read"),
    "text npz": (_write("a.npz", b"hello"), "cannot read"),
    "nonsense in npz": (_bad_member, "cannot read"),
    "ambiguous npz": (_two_arrays, "holds train, test; say which array, as in"),
    "unknown in npz": (lambda f: f"{_two_arrays(f)}:valid", "has no array 'valid'; it has train, test"),
    "truncated idx": (
        _write("a.idx", idx(IMAGES)[:-1]),
        "416 bytes by its header; it has 415: it is truncated",
    ),
    "long idx": (_write("a.idx", idx(IMAGES) + b"1"), "or damaged"),
    "idx header": (_write("a-idx3", idx(IMAGES)[:9]), "is truncated within its header"),
    "huge idx": (
        _write("a.idx", idx(IMAGES, shape=(2**32 - 1,) * 3)),
        "should have 792281624589241",
    ),
    "truncated idx.gz": (_write("a.gz", gzip.compress(idx(IMAGES))[:-30]), "cannot read"),
    "short idx.gz": (_write("a.gz", gzip.compress(idx(IMAGES)[:-1])), "it is truncated"),
    "long idx.gz": (_write("a.gz", gzip.compress(idx(IMAGES) + b"1")), "it is damaged"),
    "huge idx.gz": (_write("a.gz", gzip.compress(idx(IMAGES, shape=(2**31, 9, 9)))), "compressed bytes could hold"),
    "empty csv": (_write("a.csv", b""), "cannot read"),
    "ragged csv": (_write("a.csv", b"a,b\n1,2\n3\n"), "cannot read"),
    "no such column": (
        lambda f: (_tables(f)["csv"], ["hight"]),
        "no column 'hight'; did you mean 'height'?; there are",
    ),
    "a column twice": (lambda f: (_tables(f)["parquet"], ["age", "age"]), "'age' is named twice"),
    "no column named": (lambda f: (_tables(f)["frame"], []), "no columns are named"),
    "columns without names": (lambda _: (X, ["a"]), "those of the data have no names"),
    "text parquet": (_write("a.parquet", b"hello"), "cannot read"),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_is_told_in_one_line(tmp_path, make, message):
    data = make(tmp_path)
    data, columns = data if isinstance(data, tuple) else (data, None)
    with pytest.raises(InputError) as caught:
        load(data, columns=columns)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_column_called_name_names_the_rows(tmp_path):
    (tmp_path / "t.csv").write_text("a,name,b\n1,x,2\n3,y,4\n")
    source = load(tmp_path / "t.csv")
    assert (source.names, source.schema.features) == (["x", "y"], ("a", "b"))
    assert source.take(np.arange(2)).tolist() == [[1, 2], [3, 4]]
    (tmp_path / "n.csv").write_text("name,b\n1,2\n3,4\n")
    assert load(tmp_path / "n.csv").names is None
    (tmp_path / "only.csv").write_text("name\nx\ny\n")
    with pytest.raises(InputError, match="no columns"):
        load(tmp_path / "only.csv")
