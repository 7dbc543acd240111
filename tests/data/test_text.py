import gzip
import lzma

import numpy as np
import pandas as pd
import pytest

from latens.data.text import is_documents, read_documents
from latens.utils import InputError

TEXTS = ["The sea, the sea.", "A ship: “Argo”.", "Naïve\tsailors"]


def files(tmp_path):
    (tmp_path / "plain.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    (tmp_path / "marked.txt").write_text("\r\n".join(TEXTS) + "\r\n", encoding="utf-8-sig", newline="")
    (tmp_path / "wide.txt").write_text("\n".join(TEXTS), encoding="utf-16")
    (tmp_path / "packed.txt.gz").write_bytes(gzip.compress("\n".join(TEXTS).encode()))
    (tmp_path / "packed.txt.xz").write_bytes(lzma.compress("\n".join(TEXTS).encode()))
    pd.DataFrame({"id": [1, 2, 3], "text": TEXTS}).to_csv(tmp_path / "table.csv", index=False)
    pd.DataFrame({"text": TEXTS, "label": list("abc")}).to_csv(tmp_path / "table.tsv", index=False, sep="\t")
    return {path.name: path for path in tmp_path.iterdir()}


@pytest.mark.parametrize("name", ["plain.txt", "marked.txt", "wide.txt", "packed.txt.gz", "packed.txt.xz"])
def test_a_line_is_a_document_whatever_the_bytes(tmp_path, name):
    found = read_documents(files(tmp_path)[name])
    assert found.texts == TEXTS
    assert found.names == ["line 1", "line 2", "line 3"]


def test_a_column_is_documents_with_the_labels_beside_it(tmp_path):
    paths = files(tmp_path)
    assert read_documents(paths["table.csv"]).texts == TEXTS
    assert read_documents(paths["table.csv"], "id").texts == ["1", "2", "3"]
    found = read_documents(str(paths["table.tsv"]))
    assert found.texts == TEXTS
    assert found.labels.tolist() == ["a", "b", "c"]


def test_a_cell_may_hold_lines(tmp_path):
    (tmp_path / "x.csv").write_text('text\n"one\ntwo, three"\nfour\n')
    assert read_documents(tmp_path / "x.csv").texts == ["one\ntwo, three", "four"]


def test_a_folder_is_documents_labelled_by_where_they_lie(tmp_path):
    for name, text in (("sea/b.txt", "waves"), ("sea/a.txt", "ship\nsail"), ("land/c.txt", "tree"), (".x/d.txt", "no")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "sea" / "picture.png").write_bytes(b"\x89PNG")
    found = read_documents(tmp_path)
    assert found.names == ["land/c.txt", "sea/a.txt", "sea/b.txt"]
    assert found.texts == ["tree", "ship\nsail", "waves"]
    assert found.labels.tolist() == ["land", "sea", "sea"]


def test_empty_lines_are_passed_over_and_told(tmp_path):
    (tmp_path / "x.txt").write_text("one\n\n  \ntwo\n")
    found = read_documents(tmp_path / "x.txt")
    assert (found.texts, found.names) == (["one", "two"], ["line 1", "line 4"])
    assert found.notes == ["2 of 4 lines are empty and passed over"]


def test_a_list_keeps_its_empty_documents_in_their_places():
    assert read_documents(["one", "", "two"]).texts == ["one", "", "two"]


@pytest.mark.parametrize("kind", [list, tuple, np.array, pd.Series, lambda x: np.array(x, dtype=object)])
def test_strings_are_documents_whatever_holds_them(kind):
    assert is_documents(kind(TEXTS))
    assert read_documents(kind(TEXTS)).texts == TEXTS


@pytest.mark.parametrize("other", [np.zeros(3), [[1.0]], "x.txt", pd.DataFrame({"a": TEXTS}), np.array([TEXTS]), []])
def test_other_things_are_not_documents(other):
    assert not is_documents(other)


def test_unreadable_files_of_a_folder_are_skipped_with_their_reason(tmp_path):
    for i in range(20):
        (tmp_path / f"{i:02}.txt").write_text("text")
    (tmp_path / "07.txt").write_bytes(b"caf\xe9 ")
    found = read_documents(tmp_path)
    assert len(found) == 19
    assert [name for name, _ in found.skipped] == ["07.txt"]
    assert "byte 0xe9 at position 3" in found.skipped[0][1]


WRONG = {
    "latin.txt": (b"caf\xe9 noir", r"latin.txt is not UTF-8 text: byte 0xe9 at position 3"),
    "binary.txt": (b"abc\0def", "no text: it holds a zero byte at position 3"),
    "empty.txt": (b"\n \n", "empty.txt holds no text"),
    "cut.txt.gz": (gzip.compress(b"text" * 100)[:20], "cannot read .*cut.txt.gz"),
    "ragged.csv": (b"text,n\na,1\nb,c,2\n", "has 2 columns, but record 3 has 3"),
    "header.csv": (b"text\n", "holds no rows"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_files_are_named_in_one_line(tmp_path, name):
    content, expected = WRONG[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=expected) as caught:
        read_documents(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_wrong_lists_are_refused(tmp_path):
    with pytest.raises(InputError, match="number 1 is a float"):
        read_documents(["one", float("nan")])
    with pytest.raises(InputError, match="all 2 are empty"):
        read_documents(["", " "])
    with pytest.raises(InputError, match="no column 'txt'; did you mean 'text'"):
        read_documents(files(tmp_path)["table.csv"], "txt")
