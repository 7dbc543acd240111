import numpy as np
import pytest

from latens.utils import InputError, check_choice, check_finite, check_fraction, check_positive


@pytest.mark.parametrize("value", [1, 2.5, np.float32(0.1), np.int64(3)])
def test_positive_numbers_pass(value):
    check_positive("x", value)


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf, True, "1", None, [1]])
def test_others_are_named(value):
    with pytest.raises(InputError, match="x must be a positive number; got "):
        check_positive("x", value)


def test_whole_numbers_and_zero():
    check_positive("x", 0, integer=True, zero=True)
    check_positive("x", np.int32(4), integer=True)
    with pytest.raises(InputError, match=r"x must be a positive integer; got 1\.0"):
        check_positive("x", 1.0, integer=True)


@pytest.mark.parametrize("value", [0, 1, -0.1, True, "half", np.nan])
def test_fractions_lie_strictly_between_0_and_1(value):
    check_fraction("x", 0.5)
    with pytest.raises(InputError, match="x must lie between 0 and 1"):
        check_fraction("x", value)


@pytest.mark.parametrize("value", [None, 3, "tophot"])
def test_choices_are_listed(value):
    with pytest.raises(InputError, match="x is one of gaussian, tophat; got "):
        check_choice("x", value, ("gaussian", "tophat"))


def test_the_first_entry_that_is_not_finite_is_placed():
    X = np.zeros((4, 3))
    check_finite("X", X)
    X[2, 1] = np.nan
    check_finite("X", X, missing=True)
    with pytest.raises(InputError, match=r"X holds NaN at row 2, column 1 \(1 such entry\)"):
        check_finite("X", X)
    X[3, 0] = -np.inf
    with pytest.raises(InputError, match=r"X holds infinity at row 3, column 0 \(1 such entry\)"):
        check_finite("X", X, missing=True)
