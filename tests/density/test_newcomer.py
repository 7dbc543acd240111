"""What a table with names, or a slip, meets first: no warning that was not earned, and one short line."""

import numpy as np
import pytest

from latens.density import BayesClassifier, Histogram, KernelDensity, Parametric, Regression, compare
from latens.utils.errors import InputError

pd = pytest.importorskip("pandas")

COLUMN = np.random.RandomState(0).gamma(2.0, 10.0, (60, 1))


def test_quantiles_of_a_frame_are_those_of_its_values():
    """Warnings are errors here: of names that X lacks, in this case."""
    frame = pd.DataFrame(COLUMN, columns=["length"])
    q = np.linspace(0.01, 0.99, 9)
    named, plain = (KernelDensity(bounds=(0, None)).fit(rows) for rows in (frame, COLUMN))
    np.testing.assert_array_equal(named.quantile(q), plain.quantile(q))


def test_cells_of_a_frame_are_those_of_its_values():
    whole = np.round(COLUMN) * 100
    frame = pd.DataFrame(whole, columns=["length"])
    densities = {"kernel": KernelDensity(20.0), "histogram": Histogram()}
    named, plain = compare(densities, frame), compare(densities, whole)
    for name in densities:
        np.testing.assert_array_equal(named.scores[name], plain.scores[name])


WRONG = {
    "one axis": (lambda: KernelDensity().fit(np.arange(500.0)), "got 1D array instead. Reshape your data"),
    "one axis and classes": (
        lambda: BayesClassifier(Histogram()).fit(np.arange(500.0), np.arange(500) % 2),
        "got 1D array instead",
    ),
    "text as y": (lambda: Regression().fit(COLUMN, ["oak"] * 60), "y expects numbers; got oak"),
    "complex": (lambda: KernelDensity().fit(np.arange(500.0)[:, None] + 1j), "Complex data not supported"),
    "no list": (lambda: compare(KernelDensity(), COLUMN), r"expects a list of densities.*; got KernelDensity\(\)"),
    "no rows": (lambda: compare([KernelDensity()], COLUMN[:0]), "cv: .*0"),
    "ends crossed": (lambda: Parametric("normal").fit(COLUMN, upper=COLUMN - 1), "nothing below X.* 60 of 60"),
    "ends of another shape": (lambda: Parametric("normal").fit(COLUMN, upper=[1.0]), r"shape of X, \(60, 1\); got"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_slip_is_told_in_one_short_line(case):
    wrong, message = WRONG[case]
    with pytest.raises(InputError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200
