"""Text at the shell: a file of lines in, strings out."""

import pytest

from latens.data.text import read_documents

LINES = ["ada lovelace", "alan turing", "grace hopper", "donald knuth", "barbara liskov"] * 12


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    file = tmp_path_factory.mktemp("text") / "names.txt"
    file.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def run(names, tmp_path_factory):
    from latens.cli import main

    path = tmp_path_factory.mktemp("runs") / "names"
    small = ["--epochs", "2", "--latents", "2", "--encoder", "GRU(8, 4)", "--decoder", "GRU(8, 4)"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("latens.cli.train.training_seconds", lambda *given: None)
        assert main(["train", str(names), "-o", str(path), *small]) in (0, None)
    return path


def test_strings_are_printed_or_written(run, names, ask, call, tmp_path):
    drawn = ask("sample", str(run), "-n", "4")
    assert len(drawn["strings"]) == 4
    assert call("sample", str(run), "-n", "4")[1].splitlines() == [line.rstrip() for line in drawn["strings"]]
    for verb, given in (("reconstruct", str(names)), ("complete", str(names))):
        ask(verb, str(run), given, "-o", str(tmp_path / f"{verb}.csv"))
        assert len(read_documents(tmp_path / f"{verb}.csv", "text")) <= len(LINES)
    ask("encode", str(run), str(names), "-o", str(tmp_path / "z.npy"))
    assert len(ask("decode", str(run), str(tmp_path / "z.npy"))["strings"]) == len(LINES)


def test_lines_are_scored_and_the_unlikely_named(run, names, ask, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("alan turing\n\nqqqqqqqqqq\n", encoding="utf-8")
    told = ask("score", str(run), str(other), "-o", str(tmp_path / "s.csv"))
    assert next(iter(told["lowest"])) == "line 3"
    figures = ask("evaluate", str(run), str(names))
    assert figures["perplexity"] > 1
    assert 0 <= figures["wrong_symbols"] <= 1


def test_a_report_shows_originals_samples_and_the_way_between(run):
    page = (run / "report.html").read_text(encoding="utf-8")
    for heading in ("Originals and reconstructions", "Samples", "From one string to another"):
        assert heading in page
    assert "alan turing" in page
    assert len((run / "samples" / "draws.txt").read_text(encoding="utf-8").splitlines()) == 64


def test_what_is_no_text_for_it_is_refused_in_one_line(run, names, call, tmp_path):
    (tmp_path / "old.txt").write_bytes("naïve".encode("latin-1"))
    (tmp_path / "empty.txt").write_text("\n\n")
    for data, why in (("old.txt", "not UTF-8"), ("empty.txt", "no text")):
        status, _, error = call("train", str(tmp_path / data), "-o", str(tmp_path / "r"))
        assert (status, error.count("\n")) == (2, 1)
        assert why in error
    status, _, error = call("sample", str(run), "-o", str(tmp_path / "x.png"))
    assert status == 2
    assert "its ending is .txt or .csv" in error
    assert call("score", str(run), "iris", "-o", str(tmp_path / "s.csv"))[0] == 2
