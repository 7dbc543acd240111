"""A table of several kinds at the shell: trained, reported, drawn given some columns, completed."""

import csv
import random

import pytest

from latens.cli import main


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A file, and the folder of a finished run on it."""
    folder = tmp_path_factory.mktemp("people")
    draw = random.Random(0)
    rows = []
    for _ in range(150):
        sex, age = draw.choice("FM"), draw.randint(18, 90)
        rows.append([sex, age if draw.random() < 0.9 else "", round(165 + 10 * (sex == "M") + draw.gauss(0, 5), 1)])
    with open(folder / "people.csv", "w", newline="") as file:
        csv.writer(file).writerows([["sex", "age", "height"], *rows])
    flags = ["--latents", "2", "--encoder", "MLP((8,))", "--decoder", "MLP((8,))", "--epochs", "3"]
    assert main(["train", str(folder / "people.csv"), "-o", str(folder / "run"), *flags]) == 0
    return folder


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_on_it_has_a_report(people):
    assert (people / "run" / "report.html").stat().st_size > 10_000


def test_draws_given_some_columns_hold_them(people, call):
    out = people / "new.csv"
    assert call("sample", people / "run", "-n", 4, "--given", "sex=F,age=30", "-o", out)[0] == 0
    rows = read(out)
    assert [(row["sex"], row["age"]) for row in rows] == [("F", "30")] * 4
    assert len({row["height"] for row in rows}) == 4


@pytest.mark.parametrize(
    ("given", "message"),
    [("sex=X", "the column 'sex' holds F, M; got 'X'"), ("size=3", "'size', which was not fitted"), ("F", "got 'F'")],
)
def test_what_cannot_be_given_is_one_line(people, call, given, message):
    status, _, err = call("sample", people / "run", "--given", given, "-o", people / "no.csv")
    assert status == 2
    assert message in err
    assert not (people / "no.csv").exists()


def test_gaps_are_filled_in(people, call):
    assert call("complete", people / "run", people / "people.csv", "-o", people / "whole.csv")[0] == 0
    before, after = read(people / "people.csv"), read(people / "whole.csv")
    assert all(row["age"] and 18 <= int(row["age"]) <= 90 for row in after)
    assert all(b["age"] in ("", a["age"]) and b["sex"] == a["sex"] for b, a in zip(before, after))
