"""Copies are told, and rows of the same density are near both alike."""

import numpy as np
import pandas as pd
import pytest

from latens.metrics import nearest_records
from latens.utils.errors import InputError


def frame(n, seed):
    g = np.random.default_rng(seed)
    return pd.DataFrame({"x": g.normal(size=n), "kind": g.choice(["a", "b", "c"], n), "y": 100 * g.normal(size=n)})


def slow(drawn, train, unseen):
    """Pair by pair: a difference of categories counts 1."""
    both = pd.concat([train, unseen])

    def nearest(row, rows):
        numbers = sum(((rows[name] - row[name]) / both[name].std(ddof=0)) ** 2 for name in ("x", "y"))
        return np.sqrt(numbers + (rows["kind"] != row["kind"])).min()

    return np.mean([nearest(row, train) < nearest(row, unseen) for _, row in drawn.iterrows()])


def test_the_share_is_that_of_all_pairs():
    train, unseen, drawn = frame(40, 0), frame(40, 1), frame(60, 2)
    assert nearest_records(drawn, train, unseen).share == pytest.approx(slow(drawn, train, unseen))


def test_rows_of_the_same_density_are_as_near_to_both():
    near = nearest_records(frame(1500, 2), frame(500, 0), frame(800, 1))
    assert near.share == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(1500) * 2)
    assert near.copies == near.chance == 0


def test_copies_are_told_with_and_without_noise():
    train, unseen = frame(300, 0), frame(300, 1)
    assert nearest_records(train, train, unseen)[:2] == (1.0, 1.0)
    blurred = train.assign(x=train["x"] + 0.01)
    assert nearest_records(blurred, train, unseen).share > 0.95
    assert nearest_records(blurred, train, unseen).copies == 0


def test_other_columns_are_refused():
    with pytest.raises(InputError):
        nearest_records(np.zeros((5, 2)), np.random.default_rng(0).normal(size=(9, 3)), np.zeros((9, 3)))
