"""One measure of how two columns hang together, against closed forms and counting."""

import numpy as np
import pandas as pd
import pytest

from latens.metrics import associations
from latens.utils.errors import InputError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("rho", [-0.9, 0.0, 0.5, 0.8])
def test_of_normal_columns_it_is_the_size_of_their_correlation(rho):
    x = RNG.multivariate_normal([0, 0], [[1, rho], [rho, 1]], 20_000)
    assert associations(x, bins=20)[0, 1] == pytest.approx(abs(rho), abs=0.03)


def test_it_is_that_of_the_counts():
    a, b = RNG.integers(0, 3, 500), RNG.integers(0, 2, 500)
    b = np.where(a == 2, 1, b)
    frame = pd.DataFrame({"a": np.array(["x", "y", "z"])[a], "b": b})
    information = 0.0
    for i in range(3):
        for j in range(2):
            both = ((a == i) & (b == j)).mean()
            information += both * np.log(both / ((a == i).mean() * (b == j).mean())) if both else 0.0
    expected = np.sqrt(1 - np.exp(-2 * (information - 2 * 1 / 1000)))
    assert associations(frame)[0, 1] == pytest.approx(expected, abs=1e-6)


def test_a_column_tells_its_copy_and_nothing_of_an_independent_one():
    x = RNG.normal(size=4000)
    frame = pd.DataFrame(
        {"x": x, "same": np.exp(x), "sign": np.where(x > 0, "up", "down"), "other": RNG.normal(size=4000)}
    )
    found = associations(frame)
    assert found[0, 1] == pytest.approx(np.sqrt(1 - 8.0**-2), abs=0.01)
    assert found[0, 2] == pytest.approx(np.sqrt(1 - 2.0**-2), abs=0.01)
    assert found[:3, 3].max() < 0.1
    np.testing.assert_array_equal(found, found.T)


def test_rows_that_lack_one_of_two_are_left_out():
    x = RNG.integers(0, 4, (300, 3)).astype(float)
    x[:, 1] = x[:, 0]
    holed = x.copy()
    holed[::3, 0] = np.nan
    whole = np.delete(x, np.s_[::3], axis=0)
    assert associations(holed)[0, 1] == pytest.approx(associations(whole)[0, 1])
    assert associations(holed)[1, 2] == pytest.approx(associations(x)[1, 2])


def test_images_have_no_columns():
    with pytest.raises(InputError, match="expects a table"):
        associations(np.zeros((5, 4, 4)))
