import json

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

import latens
from latens.data import Schema
from latens.density import Histogram
from latens.density.storage import pack, save, unpack
from latens.utils.errors import InputError
from latens.utils.storage import load_tensors, save_tensors
from latens.utils.text import parse, text

TREES = {
    "numbers": [1, -2.5, float("inf"), -float("inf"), True, None, "a 'quoted' word"],
    "arrays": {"a": np.arange(6.0).reshape(2, 3), "b": (np.array([True]), np.zeros((0, 2), np.int16))},
    "numpy's numbers": [np.float64(0.1), np.int32(4), np.bool_(True)],
    "dtypes": [np.dtype("float32"), np.dtype("uint8"), np.dtype("bool")],
    "keys of every kind": {1: "one", ("a", 2): [3], None: {}},
    "keys like places": {"a.0": np.zeros(1), "a": [np.ones(2)], "a.0'": np.full(3, 2.0)},
    "names": np.array(["height", "weight"], dtype=object),
    "a value": Schema("table", (2,), "float64", 0.0, 1.0, features=("a", "b")),
    "a density": [Histogram((3, [0.0, 1.0, 9.0])).fit([[0.0, 0.5], [2.0, 8.0]])],
}


def same(a, b):
    if isinstance(b, np.ndarray):
        return isinstance(a, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and (a == b).all()
    if isinstance(b, Histogram):
        return repr(a) == repr(b) and same(vars(a), vars(b))
    if isinstance(b, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in b)
    if isinstance(b, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    return a == b and (type(a) is type(b) or isinstance(b, np.generic))


@pytest.mark.parametrize("tree", TREES)
def test_what_is_packed_is_unpacked(tree):
    arrays = {}
    written = text(pack(TREES[tree], "x", arrays))
    assert same(unpack(parse(written, {"Schema": Schema}), arrays), TREES[tree])


def test_what_can_be_computed_again_is_left_out(tmp_path):
    histogram = Histogram(3).fit([[0.0], [1.0]])
    histogram._cache = {"anything": object()}
    histogram.save(tmp_path / "h")
    assert not hasattr(latens.load(tmp_path / "h"), "_cache")


def test_names_of_columns_are_kept(tmp_path):
    from sklearn.datasets import load_iris

    frame = load_iris(as_frame=True).data
    Histogram(4).fit(frame).save(tmp_path / "h")
    loaded = latens.load(tmp_path / "h")
    np.testing.assert_array_equal(loaded.feature_names_in_, frame.columns)
    with pytest.raises(InputError, match="feature names"):
        loaded.score_samples(frame[frame.columns[::-1]])


def test_notes_lie_beside_it(tmp_path):
    save(Histogram(3).fit([[0.0], [1.0]]), tmp_path / "h", {"made of": "two rows"})
    assert load_tensors(tmp_path / "h")[1]["made of"] == "two rows"


def test_only_what_is_fitted_is_saved(tmp_path):
    with pytest.raises(NotFittedError):
        Histogram().save(tmp_path / "h")
    assert list(tmp_path.iterdir()) == []


def test_what_is_neither_numbers_nor_text_is_refused(tmp_path):
    histogram = Histogram(3).fit([[0.0], [1.0]])
    histogram.extra_ = object()
    with pytest.raises(InputError, match=r"density\.fit\.extra_ is a object, which cannot be written"):
        histogram.save(tmp_path / "h")
    assert list(tmp_path.iterdir()) == []


def test_an_estimator_of_somebody_else_is_refused():
    from sklearn.neighbors import KernelDensity

    with pytest.raises(InputError, match="only densities without a network"):
        pack([KernelDensity()], "x", {})


DAMAGE = {
    "an unknown density": lambda tree: tree.replace("'Histogram'", "'Popen'"),
    "an unknown branch": lambda tree: tree.replace("'dtype'", "'eval'"),
    "a call": lambda tree: "__import__('os')",
    "an array that is not there": lambda tree: tree.replace("mass_')", "mess_')"),
    "another shape": lambda tree: "('estimator', 'Histogram')",
    "another parameter": lambda tree: tree.replace("'bins'", "'bons'"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_said_in_one_line(tmp_path, damage):
    Histogram(3).fit([[0.0], [1.0]]).save(tmp_path / "h")
    arrays, notes = load_tensors(tmp_path / "h")
    notes["density"] = DAMAGE[damage](notes["density"])
    save_tensors(tmp_path / "h", arrays, notes)
    with pytest.raises(InputError, match="does not hold a whole density") as caught:
        latens.load(tmp_path / "h")
    assert "\n" not in str(caught.value)


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "a").write_text(json.dumps({"a": 1}))
    with pytest.raises(InputError, match="no latens model"):
        latens.load(tmp_path / "a")
    with pytest.raises(InputError, match="no model file"):
        latens.load(tmp_path / "b")
