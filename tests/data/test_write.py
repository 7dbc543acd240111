import os

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
from PIL import Image

from latens.data import Schema, grid, infer_schema, load, to_uint8, write_array
from latens.utils import InputError

RNG = np.random.default_rng(0)
TABLES = {
    "floats": RNG.standard_normal((7, 3)) * 10.0 ** RNG.integers(-300, 300, (7, 3)),
    "float32": RNG.standard_normal((7, 3)).astype(np.float32),
    "integers": RNG.integers(-5, 5, (7, 3)),
}
IMAGES = {
    "grey": RNG.integers(0, 256, (12, 4, 5)).astype(np.uint8),
    "colour": RNG.integers(0, 256, (12, 4, 5, 3)).astype(np.uint8),
    "alpha": RNG.integers(0, 256, (12, 4, 5, 4)).astype(np.uint8),
}


@pytest.mark.parametrize("ending", [".npy", ".npz", ".csv", ".parquet"])
@pytest.mark.parametrize("X", TABLES.values(), ids=TABLES)
def test_tables_come_back_number_for_number(tmp_path, X, ending):
    path = write_array(tmp_path / f"a{ending}", X, infer_schema(X))
    source = load(path)
    again = source.take(np.arange(len(X)))
    np.testing.assert_array_equal(again.astype(X.dtype), X)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("ending", [".npy", ".npz"])
@pytest.mark.parametrize("X", IMAGES.values(), ids=IMAGES)
def test_images_come_back_in_their_shape(tmp_path, X, ending):
    write_array(tmp_path / f"a{ending}", X)
    np.testing.assert_array_equal(load(tmp_path / f"a{ending}").take(np.arange(12)), X)


def test_columns_have_the_names_of_the_features(tmp_path):
    schema = Schema("table", (3,), "int64", -5.0, 4.0, 10, features=("a", "b", "c"))
    write_array(tmp_path / "a.csv", TABLES["integers"], schema, names=list("stuvwxy"))
    table = pyarrow.csv.read_csv(tmp_path / "a.csv")
    assert table.column_names == ["name", "a", "b", "c"]
    assert table["name"].to_pylist() == list("stuvwxy")
    assert table["b"].to_pylist() == TABLES["integers"][:, 1].tolist()


def test_scores_are_one_column_and_images_one_line_each(tmp_path):
    write_array(tmp_path / "s.csv", np.array([0.1, -2.0]))
    assert (tmp_path / "s.csv").read_text().split() == ['"value"', "0.1", "-2"]
    write_array(tmp_path / "i.parquet", IMAGES["grey"])
    table = pyarrow.parquet.read_table(tmp_path / "i.parquet")
    assert table.num_columns == 20
    assert table["x7"].to_pylist() == IMAGES["grey"][:, 1, 2].tolist()


@pytest.mark.parametrize("X", IMAGES.values(), ids=IMAGES)
def test_a_folder_holds_one_picture_each(tmp_path, X):
    write_array(tmp_path / "out", X)
    files = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in files] == [f"{i:02}.png" for i in range(12)]
    np.testing.assert_array_equal([np.asarray(Image.open(file)) for file in files], X)
    with pytest.raises(InputError, match="exists already"):
        write_array(tmp_path / "out", X)


def test_a_folder_takes_the_given_names_and_never_leaves_itself(tmp_path):
    names = ["a/1.jpg", "b/1.jpg", "../../1", "/etc/x"]
    write_array(f"{tmp_path}/out.d/", IMAGES["grey"][:4], names=names)
    assert sorted(os.listdir(tmp_path / "out.d")) == ["1.png", "a_1.png", "b_1.png", "etc_x.png"]
    write_array(tmp_path / "same", IMAGES["grey"][:2], names=["x", "x"])
    assert sorted(os.listdir(tmp_path / "same")) == ["0_x.png", "1_x.png"]
    assert sorted(os.listdir(tmp_path)) == ["out.d", "same"]


def test_one_picture_is_itself_and_many_are_a_grid(tmp_path):
    X = IMAGES["colour"]
    write_array(tmp_path / "one.png", X[:1])
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "one.png")), X[0])
    write_array(tmp_path / "many.png", X)
    large = np.kron(X, np.ones((1, 8, 8, 1), np.uint8))  # 4 pixels become 32
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "many.png")), grid(large))


@pytest.mark.parametrize("X", IMAGES.values(), ids=IMAGES)
def test_a_grid_holds_every_image_in_its_place(X):
    sheet = grid(X, columns=5, pad=3)
    assert sheet.shape[:2] == (3 * 7 + 3, 5 * 8 + 3)
    seen = np.zeros(sheet.shape[:2], bool)
    for i in range(12):
        top, left = 3 + i // 5 * 7, 3 + i % 5 * 8
        np.testing.assert_array_equal(sheet[top : top + 4, left : left + 5], X[i])
        seen[top : top + 4, left : left + 5] = True
    assert np.all(sheet[~seen] == 255)


SCALES = {
    "bytes": ([0, 7, 255], Schema("image", (3,), "uint8", 0.0, 255.0, 256), [0, 7, 255]),
    "bytes in a small range": ([0, 7, 9], Schema("image", (3,), "int64", 0.0, 255.0, 256), [0, 7, 9]),
    "digits": ([0.0, 4, 16], Schema("image", (3,), "float64", 0.0, 16.0, 17), [0, 64, 255]),
    "fractions": ([0.0, 7 / 255, 1], Schema("image", (3,), "float64", 0.0, 1.0, 256, 1 / 255), [0, 7, 255]),
    "signed": ([-1.0, 0, 1], Schema("image", (3,), "float64", -1.0, 1.0, 256, 2 / 255), [0, 128, 255]),
    "binary": ([0, 1, 1], Schema("image", (3,), "uint8", 0.0, 1.0, 2), [0, 255, 255]),
    "16 bits": ([0, 257, 65535], Schema("image", (3,), "uint16", 0.0, 65535.0, 65536), [0, 1, 255]),
    "continuous in [0, 1]": ([0.2, 0.4, 0.8], Schema("image", (3,), "float64", 0.2, 0.8), [51, 102, 204]),
    "continuous": ([-9.0, 1, 3], Schema("image", (3,), "float64", -1.0, 3.0), [0, 128, 255]),
    "without a schema": ([-1.0, 0, 3], None, [0, 64, 255]),
    "missing": ([np.nan, 8, 99], Schema("image", (3,), "float64", 0.0, 16.0, 17), [0, 128, 255]),
    "constant": ([3.0, 3, 3], Schema("image", (3,), "float64", 3.0, 3.0), [0, 0, 0]),
}


@pytest.mark.parametrize(("values", "schema", "expected"), SCALES.values(), ids=SCALES)
def test_units_become_bytes(values, schema, expected):
    pixels = to_uint8(np.array(values), schema)
    assert pixels.dtype == np.uint8
    assert pixels.tolist() == expected


REFUSED = {
    "unknown ending": ("a.pngg", IMAGES["grey"], "the ending .pngg is none of .npy, .npz, .csv, .parquet, .png"),
    "a table as a picture": ("a.png", TABLES["floats"], "images have the shape (n, H, W)"),
    "a table as a folder": ("a", TABLES["floats"], "images have the shape (n, H, W)"),
    "five channels": ("a.png", np.zeros((2, 4, 4, 5)), "got (2, 4, 4, 5)"),
    "no images": ("a", np.zeros((0, 4, 4)), "got (0, 4, 4)"),
    "no folder": ("nowhere/a.npy", TABLES["floats"], "nowhere does not exist"),
}


@pytest.mark.parametrize(("name", "X", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_written_is_told_and_leaves_nothing(tmp_path, name, X, message):
    with pytest.raises(InputError) as caught:
        write_array(tmp_path / name, X)
    assert message in str(caught.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.csv", "a.parquet", "a.png", "a"])
def test_a_failure_midway_leaves_nothing(tmp_path, name, monkeypatch):
    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        write_array(tmp_path / name, IMAGES["grey"])
    assert os.listdir(tmp_path) == []


_WRITES_TOO_MUCH = """
import errno, resource, sys
import numpy as np
from latens.data import write_array
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    write_array(sys.argv[1], np.random.default_rng(0).normal(size=(1000, 4)))
except OSError as error:
    print(errno.errorcode[error.errno])
"""


@pytest.mark.parametrize("ending", [".npy", ".npz", ".csv", ".parquet"])
def test_a_full_disk_is_an_error_of_the_system_with_its_number(fork, tmp_path, ending):
    ran = fork(_WRITES_TOO_MUCH, tmp_path / f"x{ending}")
    assert ran.wait() == 0, ran.said()
    assert ran.said()[0].strip() in ("ENOSPC", "EFBIG")
    assert list(tmp_path.iterdir()) == []
