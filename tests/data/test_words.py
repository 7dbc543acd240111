"""Bags of words and sparse matrices, against an obvious loop and dense rows; and what is said of what is left out."""

import re
from collections import Counter

import numpy as np
import pytest
from scipy import io, sparse

from latens.data import ArraySource, SparseSource, bag_of_words, load
from latens.data.words import bags
from latens.utils import InputError

TEXTS = ["The sea, the SEA and a ship.", "A ship sails: ship ahoy!", "", "Deserts have no sea, no ship 42."]
RNG = np.random.default_rng(0)


def rows(source):
    return source.take(np.arange(len(source)))


def test_counts_are_those_of_an_obvious_loop():
    source = bag_of_words(TEXTS)
    words = source.schema.features
    expected = [[Counter(re.findall(r"\b\w\w+\b", text.lower()))[word] for word in words] for text in TEXTS]
    assert rows(source).tolist() == expected
    assert set(words) == {word for text in TEXTS for word in re.findall(r"\b\w\w+\b", text.lower())}
    assert (source.schema.kind, source.schema.counts, source.schema.levels) == ("words", True, None)
    assert source.schema.summary == "counts of 10 words, at most 2 of one"


def test_a_vocabulary_is_kept_and_what_it_lacks_is_told():
    first = bag_of_words(TEXTS)
    again = load(["Ship, ship and unheard-of things of no sense", "nonsense only"], schema=first.schema)
    assert again.schema.features == first.schema.features
    assert rows(again).sum(1).tolist() == [4, 0]
    assert "64% of the words are none of the 10" in again.notes[0]
    assert "1 of 2 documents hold none" in again.notes[1]


def test_bags_are_texts_that_count_the_same():
    source = bag_of_words(TEXTS)
    texts = bags(rows(source), source.schema.features)
    assert texts[0].split()[:2] == ["sea", "sea"]
    assert (rows(load(texts, schema=source.schema)) == rows(source)).all()


def test_rare_common_and_stopped_words_are_left_out_and_told():
    texts = [f"common even{i % 2} every{i}" + " the" * (i == 0) for i in range(40)]
    source = bag_of_words(texts, fewest=2, share=0.9)
    assert source.schema.features == ("even0", "even1")
    assert source.notes[0].startswith(
        "2 of 44 words are counted: the most frequent of those in at least 2 and at most 90%"
    )
    assert bag_of_words(texts, share=1.0, most=1).schema.features == ("common",)
    assert "the" not in bag_of_words(texts, stop_words="english").schema.features


@pytest.mark.parametrize("name", ["lines.txt", "folder", "table.csv"])
def test_files_are_counted_as_lists_are(tmp_path, name):
    texts = [text for text in TEXTS if text]
    (tmp_path / "lines.txt").write_text("\n".join(texts))
    (tmp_path / "table.csv").write_text("id,text\n" + "".join(f'{i},"{text}"\n' for i, text in enumerate(texts)))
    (tmp_path / "folder").mkdir()
    for i, text in enumerate(texts):
        (tmp_path / "folder" / f"{i}.txt").write_text(text)
    source = load(tmp_path / name, kind="words")
    assert (rows(source) == rows(bag_of_words(texts))).all()
    assert source.names is not None


MATRIX = sparse.random_array((50, 7), density=0.2, rng=np.random.default_rng(0), format="csr")
COUNTS = sparse.csr_array(RNG.poisson(0.4, (60, 9)) * RNG.integers(1, 30, (60, 9)))


@pytest.mark.parametrize("X", [MATRIX, COUNTS, COUNTS.astype(np.float32), COUNTS > 0, COUNTS * -1], ids=str)
def test_a_sparse_matrix_has_the_schema_and_rows_of_its_dense_one(X):
    dense = ArraySource(X.toarray())
    for kind in ("csr", "csc", "coo", "lil", "dok"):
        source = load(X.asformat(kind))
        assert isinstance(source, SparseSource)
        assert source.schema == dense.schema
        some = np.array([3, 3, 0])
        assert (source.take(some) == dense.take(some)).all()
        assert source.take(some).dtype == X.dtype


def test_missing_and_infinite_entries_are_seen_among_those_stored():
    X = MATRIX.copy()
    X.data[[0, 5]] = np.nan
    assert (load(X).missing == np.isnan(X.toarray()).sum(0)).all()
    assert load(X).schema.has_missing
    X.data[7] = np.inf
    row, column = np.argwhere(np.isinf(X.toarray()))[0]
    with pytest.raises(InputError, match=rf"infinity at row {row}, column {column}"):
        load(X)


def test_files_of_sparse_matrices_are_read(tmp_path):
    sparse.save_npz(tmp_path / "a.npz", COUNTS)
    sparse.save_npz(tmp_path / "b.npz", COUNTS.tocsc())
    io.mmwrite(tmp_path / "c.mtx", COUNTS)
    labels = np.arange(60) % 3
    parts = {"data": COUNTS.data, "indices": COUNTS.indices, "indptr": COUNTS.indptr, "shape": np.array(COUNTS.shape)}
    np.savez(tmp_path / "d.npz", **parts, y=labels)
    for name in ("a.npz", "b.npz", "c.mtx", "d.npz"):
        assert (rows(load(tmp_path / name)) == COUNTS.toarray()).all()
    assert (load(tmp_path / "d.npz").labels == labels).all()


def test_counts_are_told_to_be_words():
    schema = load(COUNTS, kind="words").schema
    assert (schema.kind, schema.counts) == ("words", True)
    assert load(COUNTS.toarray(), kind="words").schema == schema
    with pytest.raises(InputError, match="words are counted"):
        load(MATRIX, kind="words")


def test_wrong_matrices_and_texts_are_refused_in_one_line(tmp_path):
    (tmp_path / "x.mtx").write_text("%%MatrixMarket matrix coordinate\n1 2")
    np.savez(tmp_path / "x.npz", data=[1.0], indices=[9], indptr=[0, 1], shape=[1, 3])
    sparse.save_npz(tmp_path / "coo.npz", COUNTS.tocoo())
    wrong = {
        "cannot read .*x.mtx": tmp_path / "x.mtx",
        "no whole sparse matrix": tmp_path / "x.npz",
        "a sparse matrix as coo": tmp_path / "coo.npz",
        "two axes": sparse.coo_array(np.arange(3)),
        "got complex128": MATRIX.astype(complex),
    }
    for expected, data in wrong.items():
        with pytest.raises(InputError, match=expected) as caught:
            load(data)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="hold no words to count"):
        load(["?", "!"], kind="words")
    with pytest.raises(InputError, match="none of the 10 words occurs in at least 9"):
        bag_of_words(TEXTS, fewest=9)
