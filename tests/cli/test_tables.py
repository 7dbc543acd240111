"""Tables of several kinds at the shell: CSV in, the same columns out."""

import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

import latens
from latens.cli import main
from latens.cli.portrait import portrait
from latens.cli.report import columns, tables
from latens.data import Column, load
from latens.neural.rows import split

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


def test_the_report_shows_columns_associations_errors_and_records(trained):
    page = (trained[1] / "report.html").read_text()
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings[:4] == [
        "Data and draws",
        "How columns hang together",
        "How well each column is told",
        "How near draws come to records",
    ]
    assert "squared units" not in page
    assert page.count("<tr><th>") > 4
    assert ">2020-01-0" in page
    assert re.search(r">left</text><path class=\"bar data\".*?[\d.]+% of the data", page)


def test_the_errors_of_columns_are_those_of_what_comes_back_and_is_filled_in(trained):
    file, run = trained
    model, source = latens.load(run), load(str(file))
    held = split(len(source), model.validation_fraction, model.seed_)[1]
    judged = pd.DataFrame(source.take(held), columns=source.schema.names)
    frame = pd.read_csv(file, parse_dates=["day"]).drop(columns="id").iloc[held]
    found = {
        source.schema.names[item.column]: item
        for item in portrait(model, source, source.take(held), source.take(held), apart=True).told
    }
    back = model.reconstruct(frame).to_pandas().set_axis(frame.index)
    assert found["x"].guess == pytest.approx(judged["x"].std(ddof=0))
    assert found["x"].code == pytest.approx(np.sqrt(((back["x"] - frame["x"]) ** 2).mean()), rel=1e-3)
    known = frame["side"].notna()
    assert found["side"].code == pytest.approx((back["side"] != frame["side"])[known].mean())
    assert found["side"].guess == pytest.approx(1 - frame["side"].value_counts(normalize=True).max())
    filled = model.complete(frame.assign(x=np.nan), k=32).to_pandas().set_axis(frame.index)
    assert found["x"].others == pytest.approx(np.sqrt(((filled["x"] - frame["x"]) ** 2).mean()), rel=0.02)


def test_records_are_nearest_to_themselves(trained):
    file, run = trained
    model, source = latens.load(run), load(str(file))
    train = split(len(source), model.validation_fraction, model.seed_)[0]
    copied = portrait(model, source, source.take(train), source.take(train), apart=True).nearest
    assert (copied.drawn == 0).all()
    assert len(copied.held_out) == 12
    pairs = copied.drawn[:, None] - copied.held_out
    assert copied.share == pytest.approx((pairs < 0).mean() + 0.5 * (pairs == 0).mean())
    assert copied.share > 0.9


DRAWN = {
    "dates": (Column("d", "date", low=10.0, high=400.0, levels=391, unit="D"), RNG.integers(10, 400, 300)),
    "seconds": (Column("t", "date", low=1e9, high=1.1e9, unit="s"), RNG.uniform(1e9, 1.1e9, 300)),
    "counts": (Column("n", "count", "int64", 0.0, 90.0), RNG.poisson(20, 300)),
    "a tail": (Column("x", "real", high=1e5), RNG.lognormal(3, 2, 300)),
    "mostly zero": (
        Column("x", "real", high=9.0, spikes=(0.0,)),
        np.where(RNG.random(300) < 0.6, 0.0, RNG.random(300)),
    ),
    "names": (Column("c", "category", categories=tuple(f"<{i}>" for i in range(30))), RNG.integers(0, 30, 300)),
    "yes and no": (Column("b", "boolean", "bool", high=1.0, levels=2), RNG.integers(0, 2, 300)),
    "nothing": (Column("x", "real"), np.full(300, np.nan)),
    "numbers of an array": (None, RNG.normal(size=300)),
}


@pytest.mark.parametrize(("kind", "values"), DRAWN.values(), ids=DRAWN)
def test_a_column_of_any_kind_is_drawn(kind, values):
    values = values.astype(float)
    values[:5] = np.nan
    panel = columns.column(kind, values, values[::2], "&")
    assert "nan" not in panel
    assert "inf" not in panel
    assert "<b>&</b>" not in panel
    if panel:
        ElementTree.fromstring(re.sub(r"=([\w.-]+)(?=[ >/])", r'="\1"', panel))


def test_the_maps_hold_every_pair():
    data = np.array([[1.0, 0.5, 0.25], [0.5, 1.0, 0.0], [0.25, 0.0, 1.0]])
    drawn = re.findall(r"<title>(.*?): (.*?)</title>", tables.maps(["a", "b", "c"], data, data / 2))
    assert drawn.count(("a, b", "0.50")) == 1
    assert drawn.count(("a, b", "−0.25")) == 1
    assert len(drawn) == 3 * 6
