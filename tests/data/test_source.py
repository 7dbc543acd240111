import numpy as np
import pytest

from latens.data import ArraySource, Subset
from latens.utils import InputError

X = np.arange(60.0).reshape(20, 3) + 0.5
LABELS = np.array(list("ab") * 10)


def test_rows_are_taken_in_any_order_and_more_than_once():
    source = ArraySource(X, LABELS, names=[f"row {i}" for i in range(20)], features=["a", "b", "c"])
    taken = source.take(np.array([7, 0, 7]))
    np.testing.assert_array_equal(taken, X[[7, 0, 7]])
    assert taken.flags.c_contiguous
    assert source.schema.features == ("a", "b", "c")
    assert source.schema.classes == ("a", "b")
    assert source.nbytes == X.nbytes


def test_batches_cover_all_rows_in_order():
    batches = list(ArraySource(X).batches(7))
    assert [len(batch) for batch in batches] == [7, 7, 6]
    np.testing.assert_array_equal(np.concatenate(batches), X)


def test_transposed_and_foreign_bytes_are_taken_as_they_read():
    for array in (
        np.asfortranarray(X),
        X.astype(">f8"),
        X[:, ::-1].copy()[:, ::-1],
    ):
        source = ArraySource(array)
        np.testing.assert_array_equal(source.take(np.arange(20)), X)
        assert source.take(np.arange(2)).dtype == np.float64


def test_one_column_may_be_given_flat():
    source = ArraySource(np.array([3.5, 4.5]))
    assert source.schema.shape == (1,)
    np.testing.assert_array_equal(source.take(np.array([1])), [[4.5]])


def test_a_mapped_file_is_read_in_pieces(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", X)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    monkeypatch.setattr("latens.data.survey.CHUNK", X[:4].nbytes)
    pieces = []
    monkeypatch.setattr("latens.data.survey.Survey.update", lambda self, piece: pieces.append(len(piece)))
    source = ArraySource(mapped)
    assert pieces == [4] * 5
    assert not source.in_memory
    assert not isinstance(source.take(np.array([1, 2])), np.memmap)
    np.testing.assert_array_equal(source.take(np.array([19, 2])), X[[19, 2]])


def test_labels_match_the_rows():
    with pytest.raises(InputError, match=r"there are 20 rows but labels of shape \(19,\)"):
        ArraySource(X, LABELS[:19])
    assert ArraySource(X, np.arange(20) % 2 * 1.0).schema.classes == (0, 1)


def test_infinity_is_placed_in_the_whole(monkeypatch):
    monkeypatch.setattr("latens.data.survey.CHUNK", 48)
    broken = X.copy()
    broken[13, 1] = -np.inf
    with pytest.raises(InputError, match="infinity at row 13, column 1"):
        ArraySource(broken)


def test_a_subset_keeps_the_rows_together():
    source = ArraySource(X, LABELS, names=[str(i) for i in range(20)])
    part = Subset(Subset(source, np.array([9, 4, 3, 2])), np.array([3, 0]))
    assert len(part) == 2
    np.testing.assert_array_equal(part.take(np.array([1, 0])), X[[9, 2]])
    assert part.labels.tolist() == ["a", "b"]
    assert part.names == ["2", "9"]
    assert part.schema is source.schema


def test_channels_first_are_noticed():
    assert "channels last" in ArraySource(np.zeros((2, 3, 8, 8))).notes[0]
    assert ArraySource(np.zeros((2, 8, 8, 3))).notes == []
