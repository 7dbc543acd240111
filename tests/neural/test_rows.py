"""Which rows are held out."""

import numpy as np
import pytest

from latens.neural.rows import split


@pytest.mark.parametrize(("n", "fraction", "held"), [(19, 0.5, 0), (20, 0.25, 5), (20, 0.0, 0), (150_000, 0.1, 10_000)])
def test_a_split_parts_the_rows(n, fraction, held):
    rest, out = split(n, fraction, seed=3)
    assert len(out) == held
    np.testing.assert_array_equal(np.sort(np.concatenate([rest, out])), np.arange(n))
    assert (np.diff(rest) > 0).all()
    assert (np.diff(out) > 0).all()
    np.testing.assert_array_equal(split(n, fraction, seed=3)[1], out)


def test_every_row_is_held_out_as_often_as_any_other():
    often = np.bincount(np.concatenate([split(20, 0.5, seed)[1] for seed in range(400)]))
    assert np.all(np.abs(often - 200) < 5 * 10)  # 5 standard deviations
