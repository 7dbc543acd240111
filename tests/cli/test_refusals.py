"""Every bad input is one line on the standard error, exit status 2, and nothing left behind."""

import errno
import json
import os
import re

import numpy as np
import pytest

from latens.cli import live
from latens.utils import load_tensors, save_tensors


def one_example(folder):
    np.save(folder / "one.npy", np.zeros((1, 4)))
    return folder / "one.npy"


def with_value(value):
    def write(folder):
        X = np.random.default_rng(0).normal(size=(30, 3))
        X[4, 1] = value
        np.save(folder / "bad.npy", X)
        return folder / "bad.npy"

    return write


def without_a_column(folder):
    X = np.random.default_rng(0).normal(size=(30, 3))
    X[:, 1] = np.nan
    np.save(folder / "bad.npy", X)
    return folder / "bad.npy"


def renamed(folder):
    (folder / "table.png").write_text("a,b\n1,2\n")
    return folder / "table.png"


def empty(folder):
    (folder / "photos").mkdir()
    return folder / "photos"


def cut_npy(folder):
    np.save(folder / "cut.npy", np.zeros((50, 4)))
    (folder / "cut.npy").write_bytes((folder / "cut.npy").read_bytes()[:300])
    return folder / "cut.npy"


def objects(folder):
    np.save(folder / "objects.npy", np.array([{}, None], dtype=object), allow_pickle=True)
    return folder / "objects.npy"


def misspelt(folder):
    (folder / "faces").mkdir()
    return folder / "face"


BAD_DATA = {
    "misspelt path": (misspelt, "did you mean .*faces"),
    "empty folder": (empty, "no images"),
    "csv renamed png": (renamed, "table.png.*not an image"),
    "one example": (one_example, "at least 2 examples; got 1"),
    "nothing of a column": (without_a_column, "no value of column 1 is observed"),
    "infinity": (with_value(np.inf), "infinity at row 4, column 1"),
    "truncated": (cut_npy, "cut.npy.*was it cut off"),
    "too large to square": (with_value(1e300), "Divide the data"),
    "python objects": (objects, "no array of numbers"),
}
BAD_FLAGS = {
    "unknown likelihood": (["--likelihood", "Bernouli()"], "did you mean 'Bernoulli'"),
    "unknown parameter": (["--model", "VAE(latent=3)"], "VAE has no 'latent'; did you mean 'latents'"),
    "likelihood that does not fit": (["--likelihood", "Bernoulli"], "two levels.*17 levels"),
    "an objective for a likelihood": (["--likelihood", "ELBO()"], "--likelihood expects .*; got ELBO()"),
    "a rate of points": (
        ["--model", "AutoEncoder", "--objective", "ELBO()"],
        "A deterministic posterior has no density over z",
    ),
    "not an estimator": (["--model", "Normal()"], "--model expects an estimator"),
    "code": (["--model", "__import__('os').system('true')"], "not part of the language"),
    "no epochs": (["--epochs", "0"], "epochs"),
    "text for a number": (["--epochs", "many"], "--epochs.*whole number; got 'many'"),
    "half a dimension": (["--latents", "1.5"], "--latents.*whole number; got '1.5'"),
    "an empty word": (["-o", ""], "empty word after -o"),
    "size of what is no image file": (["--size", "4x4"], "--size is for image files"),
    "no draws": (["--model", "VAE(score_samples_k=0)"], "score_samples_k must be a positive integer; got 0"),
    "no rate": (["--learning-rate", "0"], "--learning-rate must be a positive number; got 0"),
    "widths in no brackets": (["--encoder", "MLP(3)"], "a tuple of widths"),
    "unknown flag": (["--epoch", "3"], "Did you mean --epochs"),
    "size": (["--size", "large"], "HEIGHTxWIDTH.*'large'"),
    "device": (["--device", "abacus"], "device='abacus'"),
    "negative latents": (["--latents", "-1"], "latents"),
    "condition": (["--condition", "z"], "--condition.*'z'"),
}


def refused(result, *patterns):
    """Status 2 and one line that says all of this."""
    status, out, err = result
    assert (status, out) == (2, ""), (status, out, err)
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("latens: ")
    for pattern in patterns:
        assert re.search(pattern, lines[0]), lines[0]


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data(name, tmp_path, call):
    make, pattern = BAD_DATA[name]
    data = make(tmp_path)
    refused(call("train", data, "-o", tmp_path / "deep" / "run"), pattern)
    assert not (tmp_path / "deep").exists()


@pytest.mark.parametrize("name", BAD_FLAGS)
def test_bad_settings(name, tmp_path, call):
    flags, pattern = BAD_FLAGS[name]
    refused(call("train", "digits", "-o", tmp_path / "run", *flags), pattern)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_run_is_refused_and_untouched(run, call, tiny):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    refused(call("train", "digits", "-o", run, *tiny), "exists already", "--overwrite", "--resume")
    assert before == {path: path.stat().st_mtime_ns for path in run.rglob("*")}


def test_overwrite_replaces_runs_alone(tmp_path, call, tiny):
    (tmp_path / "thesis.txt").write_text("mine")
    refused(call("train", "digits", "-o", tmp_path, "--overwrite", *tiny), "not a run folder")
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_no_data(call):
    refused(call("train"), "expects DATA")
    refused(call("sample"), "RUN")
    refused(call("trian"), 'Did you mean "train"')


def test_a_run_is_no_data(run, call):
    refused(call("check", run), "is a run folder, not data")


def foreign(file):
    file.write_bytes(b"PK\x03\x04" + b"\0" * 500)


def truncated(file):
    file.write_bytes(file.read_bytes()[:-1000])


def newer(file):
    arrays, notes = load_tensors(file)
    save_tensors(file, arrays, notes)
    file.write_bytes(file.read_bytes().replace(b'"format_version":"1"', b'"format_version":"9"'))


def unknown_estimator(file):
    arrays, notes = load_tensors(file)
    save_tensors(file, arrays, {**notes, "estimator": "VEA(latents=2)"})


DAMAGE = {
    "foreign": (foreign, "no latens model"),
    "truncated": (truncated, "damaged"),
    "newer": (newer, "newer latens"),
    "unknown estimator": (unknown_estimator, "did you mean 'VAE'"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_model(name, run, tmp_path, call):
    damage, pattern = DAMAGE[name]
    file = tmp_path / "m.latens"
    file.write_bytes((run / "model.safetensors").read_bytes())
    damage(file)
    refused(call("sample", file, "-o", tmp_path / "out.png"), pattern)
    assert not (tmp_path / "out.png").exists()


def test_wrong_rows(run, tmp_path, call):
    refused(call("score", run, "iris", "-o", tmp_path / "s.csv"), "rows of 4 numbers", "8x8 images")
    np.save(tmp_path / "z.npy", np.zeros((2, 5)))
    refused(call("decode", run, tmp_path / "z.npy"), r"\(n, 3\).*\(2, 5\)")
    np.save(tmp_path / "big.npy", np.full((3, 8, 8), 99.0))
    refused(call("score", run, tmp_path / "big.npy"), "17 levels from 0 to 16", "99")
    assert not (tmp_path / "s.csv").exists()


def test_wrong_columns(table, tmp_path, call):
    path, _ = table
    (tmp_path / "other.csv").write_text("a,b,c\n1,2,3\n4,5,7\n")
    refused(call("score", path, tmp_path / "other.csv"), "no column '<b>&'; the model was fitted on a, <b>&, c")


def test_an_ending_that_nothing_writes(run, tmp_path, call):
    refused(call("sample", run, "-o", tmp_path / "x.pgn"), ".pgn", "did you mean '.png'")
    refused(call("sample", run, "-o", tmp_path / "no" / "x.png"), "does not exist")
    refused(call("score", run, "digits", "-o", tmp_path / "x.png"), ".csv")


def test_a_report_is_a_page(run, tmp_path, call):
    refused(call("report", run, "-o", tmp_path / "report.pdf"), "not .html")


def test_pictures_of_what_is_no_image(run, tmp_path, call):
    refused(call("encode", run, "digits", "-o", tmp_path / "z.png"), r"cannot write pictures \(.png\)")
    assert list(tmp_path.iterdir()) == []


def no_space(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device", "metrics.csv")


def test_a_full_disk_before_the_first_checkpoint_leaves_nothing(tmp_path, call, tiny, monkeypatch):
    monkeypatch.setattr(live, "write_text", no_space)
    status, out, err = call("train", "digits", "-o", tmp_path / "run", "--epochs", "3", *tiny)
    assert (status, out) == (2, "")
    assert err.splitlines()[-1] == "latens: metrics.csv: no space left on device; free some space and try again"
    assert list(tmp_path.iterdir()) == []


def test_a_failed_overwrite_brings_the_old_run_back(run, tmp_path, call, tiny, monkeypatch):
    old = tmp_path / "run"
    old.mkdir()
    (old / "run.json").write_text((run / "run.json").read_text())
    monkeypatch.setattr(live, "write_text", no_space)
    assert call("train", "digits", "-o", old, "--overwrite", "--epochs", "2", *tiny)[0] == 2
    assert [item.name for item in old.iterdir()] == ["run.json"]
    assert [item.name for item in tmp_path.iterdir()] == ["run"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_for_real(tmp_path, call):
    tmp_path.chmod(0o500)
    refused(call("train", "digits", "-o", tmp_path / "run"), "permission denied")


def test_a_folder_that_cannot_be_written(tmp_path, call, tiny):
    (tmp_path / "file").write_text("not a folder")
    refused(call("train", "digits", "-o", tmp_path / "file" / "run", *tiny), "file")


def test_an_unfinished_run(run, tmp_path, call):
    (tmp_path / "run.json").write_text((run / "run.json").read_text())
    refused(call("sample", tmp_path), "not finished", "--resume")


def test_resuming_what_cannot_be(run, tmp_path, call):
    refused(call("train", "--resume", tmp_path), "no run.json")
    refused(call("train", "--resume", run, "--epochs", "9"), "leave out --epochs")
    record = json.loads((run / "run.json").read_text())
    changed = {**record, "fingerprint": {**record["fingerprint"], "rows": 5}}
    (tmp_path / "run.json").write_text(json.dumps(changed))
    refused(call("train", "--resume", tmp_path), "digits has changed", "5 rows, now 1797")
    (tmp_path / "run.json").write_text(json.dumps({**record, "format": 99}))
    refused(call("train", "--resume", tmp_path), "newer latens")
    (tmp_path / "run.json").write_text("{")
    refused(call("train", "--resume", tmp_path), "damaged")
