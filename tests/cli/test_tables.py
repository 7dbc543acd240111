"""Tables of several kinds at the shell: CSV in, the same columns out."""

import numpy as np
import pandas as pd
import pytest

from latens.cli import main

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A file, and a run on it."""
    folder = tmp_path_factory.mktemp("tables")
    side = RNG.choice(["left", "right"], 120)
    frame = pd.DataFrame(
        {
            "id": np.arange(120),
            "x": (RNG.normal(size=120) + (side == "left")).round(2),
            "n": RNG.integers(3, 9, 120),
            "side": side,
            "day": pd.to_datetime("2020-01-01") + pd.to_timedelta(RNG.integers(0, 9, 120), "D"),
        }
    )
    frame.loc[::7, "side"] = None
    file = folder / "t.csv"
    frame.to_csv(file, index=False)
    assert main(["train", str(file), "-o", str(folder / "run"), "--epochs", "1", "--latents", "2"]) == 0
    return file, folder / "run"


def test_check_shows_each_column(trained, call):
    status, out, _ = call("check", trained[0])
    assert status == 0
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert "real" in lines["x"]
    assert "integer    3 to 8   (whole numbers)" in lines["n"]
    assert "empty cells, and ?, NA" in lines["missing"]
    assert "category   left, right, 15.0 % missing   (text)" in lines["side"]
    assert "the column 'id' is left out: its values number the rows" in lines["note"]
    assert "date       2020-01-01 to 2020-01-09   (dates)" in lines["day"]


def test_samples_and_completed_rows_are_tables_of_the_same_columns(trained, call, tmp_path):
    file, run = trained
    assert call("sample", run, "-n", 20, "-o", tmp_path / "new.csv")[0] == 0
    drawn = pd.read_csv(tmp_path / "new.csv", parse_dates=["day"])
    assert list(drawn.columns) == ["x", "n", "side", "day"]
    assert set(drawn["side"].dropna()) <= {"left", "right"}
    assert drawn["n"].between(3, 8).all()
    assert drawn["day"].between("2020-01-01", "2020-01-09").all()
    assert call("complete", run, file, "-o", tmp_path / "whole.csv", "-k", 2)[0] == 0
    whole, given = pd.read_csv(tmp_path / "whole.csv"), pd.read_csv(file)
    assert whole["side"].notna().all()
    known = given["side"].notna()
    pd.testing.assert_frame_equal(whole[known], given.loc[known, list(whole.columns)])


def test_columns_are_scored_by_name_and_what_is_new_is_told(trained, call, tmp_path):
    file, run = trained
    frame = pd.read_csv(file)
    assert call("score", run, file, "-k", 2, "-o", tmp_path / "a.npy")[0] == 0
    frame[["day", "side", "n", "x"]].to_csv(tmp_path / "turned.csv", index=False)
    assert call("score", run, tmp_path / "turned.csv", "-k", 2, "-o", tmp_path / "b.npy")[0] == 0
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))
    frame.replace({"side": {"left": "up"}}).to_csv(tmp_path / "new.csv", index=False)
    status, _, err = call("score", run, tmp_path / "new.csv", "-k", 2, "-o", tmp_path / "c.npy")
    assert status == 0
    assert "note: the column 'side' holds 'up', which was not there when the model was fitted" in err


WRONG = {
    "renamed": (lambda f: f.rename(columns={"side": "Side"}), "no column 'side'; did you mean 'Side'?"),
    "words": (lambda f: f.assign(x=["much", *f["x"][1:]]), "the column 'x' holds numbers, but also 'much' at line 2"),
    "fractions": (lambda f: f.assign(n=f["n"] + 0.5), "the column 'n' was fitted with whole numbers; got"),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)
def test_a_table_of_other_columns_is_refused_in_one_line(trained, call, tmp_path, change, message):
    file, run = trained
    change(pd.read_csv(file)).to_csv(tmp_path / "wrong.csv", index=False)
    status, out, err = call("score", run, tmp_path / "wrong.csv", "-o", tmp_path / "s.csv")
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert message in err


def test_a_table_with_text_is_no_array(trained, call, tmp_path):
    status, _, err = call("sample", trained[1], "-n", 2, "-o", tmp_path / "new.npy")
    assert status == 2
    assert "the column 'side' holds no numbers, but left, right; a file .npy expects them" in err
