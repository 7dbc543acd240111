"""What came in a frame goes out in one: the same columns, each with its dtype, and nothing else is known of frames."""

import datetime

import numpy as np
import pytest

import latens
from latens.data.framing import kind_of
from latens.density import (
    BayesClassifier,
    ConditionalDensity,
    GaussianMixture,
    Histogram,
    KernelDensity,
    Mixture,
    Parametric,
    Regression,
)
from latens.density.families import Normal
from latens.density.tables import completed, framed
from latens.utils.errors import InputError

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")

_RNG = np.random.RandomState(0)
_AGE = _RNG.poisson(30.0, 80)
COLUMNS = {
    "age": _AGE.astype(np.int32),
    "height": (1.2 + 0.01 * _AGE + _RNG.normal(0, 0.1, 80)).astype(np.float32),
    "weight": _RNG.gamma(9.0, 7.0, 80),
}
ARRAY = np.column_stack(list(COLUMNS.values()))


def polars(columns):
    return pytest.importorskip("polars").DataFrame(columns)


FRAMES = {"pandas": pd.DataFrame, "polars": polars, "pyarrow": pa.table}
DENSITIES = {
    "histogram": lambda: Histogram(4),
    "kernels": lambda: KernelDensity(),
    "normal": lambda: Parametric("normal"),
    "independent normals": lambda: Parametric(Normal()),
    "mixture": lambda: GaussianMixture(2, random_state=0),
    "mixture of any": lambda: Mixture(Parametric("normal"), random_state=0),
    "classes": lambda: BayesClassifier(Parametric("normal")),
}
LABELS = (np.arange(80) % 2).astype(str)


def types(frame):
    return list(frame.schema.types) if hasattr(frame, "column_names") else list(frame.dtypes)


def names(frame):
    return list(getattr(frame, "column_names", None) or frame.columns)


@pytest.mark.parametrize("name", DENSITIES)
@pytest.mark.parametrize("library", FRAMES)
def test_samples_of_a_frame_are_that_frame(library, name, tmp_path):
    """They hold the samples of the array, each in the dtype of its column; also after a round through a file."""
    frame = FRAMES[library](COLUMNS)
    density = DENSITIES[name]().fit(frame, LABELS)
    drawn = density.sample(50, random_state=3)
    assert (type(drawn), names(drawn), types(drawn)) == (type(frame), names(frame), types(frame))
    plain = DENSITIES[name]().fit(ARRAY, LABELS).sample(50, random_state=3)
    assert type(plain) is np.ndarray
    plain[:, 0] = np.rint(plain[:, 0])
    np.testing.assert_allclose(np.asarray(drawn, dtype=float), plain, rtol=1e-6)
    density.save(tmp_path / "density")
    again = latens.load(tmp_path / "density").sample(50, random_state=3)
    assert (type(again), types(again)) == (type(drawn), types(drawn))
    np.testing.assert_array_equal(np.asarray(again), np.asarray(drawn))


def test_a_density_fitted_again_forgets_its_frame():
    density = Histogram(4).fit(pd.DataFrame(COLUMNS))
    assert type(density.fit(ARRAY).sample(2)) is np.ndarray


DTYPES = {
    "nullable integers": (pd.array([1, 2, 2, 5], dtype="Int64"), "Int64"),
    "nullable floats": (pd.array([1.0, 2, 2, 5], dtype="Float32"), "Float32"),
    "of pyarrow": (pd.array([1, 2, 2, 5], dtype="int16[pyarrow]"), "int16[pyarrow]"),
    "booleans": (np.array([True, False, True, True]), "bool"),
    "bytes": (np.array([250, 254, 255, 255], dtype=np.uint8), "uint8"),
    "objects": (np.array([1, 2, 2, 5], dtype=object), "float64"),
    "categories": (pd.Categorical([1, 2, 2, 5]), "int64"),
}


@pytest.mark.parametrize("case", DTYPES)
def test_columns_keep_the_dtypes_of_pandas(case):
    values, dtype = DTYPES[case]
    frame = pd.DataFrame({"x": values, "y": [0.1, 0.2, 0.4, 0.3]}, index=[7, 8, 9, 7])
    drawn = KernelDensity(1.0).fit(frame).sample(100, random_state=0)
    assert [str(kind) for kind in drawn.dtypes] == [dtype, "float64"]
    if dtype == "uint8":
        assert drawn["x"].max() == 255  # never around the corner


def test_columns_may_have_numbers_for_names():
    frame = pd.DataFrame(ARRAY, columns=[3, 1, 2])
    assert list(Histogram(3).fit(frame).sample(2).columns) == [3, 1, 2]


def test_columns_of_other_names_come_back_as_an_array():
    frame = pd.DataFrame(ARRAY, columns=pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)]))
    assert type(Histogram(3).fit(frame).sample(2)) is np.ndarray


COMPLETING = {name: DENSITIES[name] for name in ("kernels", "normal", "independent normals", "mixture")}


@pytest.mark.parametrize("name", COMPLETING)
@pytest.mark.parametrize("library", FRAMES)
def test_a_completed_frame_is_that_frame(library, name):
    """The kind is that of the rows asked about; columns that miss nothing are untouched."""
    gaps = ARRAY.copy()
    gaps[::3, 2] = np.nan
    density = DENSITIES[name]().fit(FRAMES[library](COLUMNS))
    asked = FRAMES[library](COLUMNS | {"weight": gaps[:, 2]})
    filled = density.complete(asked)
    assert (type(filled), names(filled), types(filled)) == (type(asked), names(asked), types(asked))
    plain = DENSITIES[name]().fit(ARRAY).complete(gaps)
    assert type(plain) is np.ndarray
    np.testing.assert_allclose(np.asarray(filled, dtype=float), plain, rtol=1e-9)


def test_a_completed_frame_keeps_its_index():
    frame = pd.DataFrame({"n": pd.array([1, None, 4], dtype="Int64"), "m": [1, 2, 3]}, index=["a", "b", "c"])
    filled = completed(frame, np.array([[1, 1], [2.5, 2], [4, 3.0]]))
    pd.testing.assert_frame_equal(filled, pd.DataFrame({"n": [1, 2.5, 4], "m": [1, 2, 3]}, index=["a", "b", "c"]))
    assert frame["n"].isna().sum() == 1  # what was given is left alone


@pytest.mark.parametrize("name", COMPLETING)
def test_a_density_given_some_columns_knows_the_others(name):
    open_ = DENSITIES[name]().fit(pd.DataFrame(COLUMNS)).condition({"height": 1.5}).sample(5, random_state=0)
    assert [(c, str(t)) for c, t in open_.dtypes.items()] == [("age", "int32"), ("weight", "float64")]


@pytest.mark.parametrize("library", FRAMES)
def test_a_frame_is_written_as_text(library):
    kind = kind_of(FRAMES[library](COLUMNS))
    assert kind[:2] == (library, ("age", "height", "weight"))
    assert all(type(part) is str for part in kind[2])
    assert kind_of(framed(kind, ARRAY)) == kind


def test_a_frame_can_be_drawn():
    """Pictures draw samples, which are a frame here."""
    for columns in (["age"], ["age", "height"], list(COLUMNS)):
        assert BayesClassifier(Histogram(3)).fit(pd.DataFrame(COLUMNS)[columns], LABELS).plot().axes


TEXT = {
    "pandas": pd.DataFrame({"age": [31, 5], "species": ["oak", "ash"]}),
    "pyarrow": pa.table({"age": [31, 5], "species": ["oak", "ash"]}),
    "gaps": pd.DataFrame({"age": pd.array([31, None], dtype="Int64"), "species": [None, "ash"]}),
    "dates": pd.DataFrame({"age": [31.0, 5], "species": pd.to_datetime(["2020-01-01", "2021-01-01"])}),
}
ASKING = {
    "density": lambda X: Histogram().fit(X),
    "mixture": lambda X: GaussianMixture(1).fit(X),
    "classes": lambda X: BayesClassifier(Histogram()).fit(X, ["a", "b"]),
    "regression": lambda X: Regression().fit(X, [1.0, 2.0]),
    "conditional": lambda X: ConditionalDensity(GaussianMixture(1)).fit(X, [1.0, 2.0]),
    "scores": lambda X: Histogram().fit(pd.DataFrame({"age": [31, 5], "species": [1, 2]})).score_samples(X),
}


@pytest.mark.parametrize("asked", ASKING)
@pytest.mark.parametrize("table", TEXT)
def test_a_column_of_text_is_named(table, asked):
    with pytest.raises(InputError, match=r"the column 'species' holds no numbers, but .*leave it out") as caught:
        ASKING[asked](TEXT[table])
    assert "\n" not in str(caught.value)


def test_a_column_of_text_in_an_array_is_told_by_its_place():
    rows = np.array([[1.0, "2", "oak"], [2.0, "3", "ash"]], dtype=object)
    with pytest.raises(InputError, match=r"^column 2 holds no numbers, but 'oak'"):
        Histogram().fit(rows)
    assert Histogram(2).fit(rows[:, :2]).n_features_in_ == 2  # as scikit-learn has it, text of numbers is numbers
    with pytest.raises(InputError, match="the column 'when' holds no numbers, but date 2020-01-01"):
        Histogram().fit(pd.DataFrame({"when": [datetime.date(2020, 1, 1)]}))
