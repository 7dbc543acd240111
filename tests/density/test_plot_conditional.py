import numpy as np
import pytest

from latens.density import ConditionalDensity, GaussianMixture, LogisticRegression, Regression
from latens.utils.errors import InputError

RNG = np.random.RandomState(0)
X = RNG.uniform(0.0, 10.0, (200, 1))
Y = 2.0 * X[:, 0] + RNG.normal(0.0, 1.5, 200)
GROUPS = np.where(X[:, 0] + RNG.normal(0.0, 2.0, 200) > 5.0, "b", "a")


@pytest.mark.parametrize("model", [Regression(), ConditionalDensity(GaussianMixture(2, random_state=0))])
def test_the_curve_is_the_mean_and_the_bands_are_intervals(model):
    model.fit(X, Y)
    (ax,) = model.plot(X, Y).axes
    rows, mean = ax.lines
    np.testing.assert_array_equal(rows.get_xydata(), np.column_stack([X, Y]))
    x, y = mean.get_data()
    np.testing.assert_allclose(y, model.predict(x[:, None]))
    for band, level in zip(ax.collections, (0.95, 0.5), strict=True):
        corners = band.get_paths()[0].vertices
        at = corners[np.isclose(corners[:, 0], x[100]), 1]
        np.testing.assert_allclose([at.min(), at.max()], model.interval(x[[100], None], level=level)[0])


def test_a_classifier_shows_the_probability_of_each_class():
    model = LogisticRegression().fit(X, GROUPS)
    (ax,) = model.plot(X, GROUPS).axes
    curves = [line for line in ax.lines if len(line.get_xdata()) == 200]
    assert [line.get_label() for line in curves] == ["a", "b"]
    for k, line in enumerate(curves):
        x, p = line.get_data()
        np.testing.assert_allclose(p, model.predict_proba(x[:, None])[:, k])
    strokes = [line for line in ax.lines if line not in curves]
    assert [len(line.get_xdata()) for line in strokes] == [(GROUPS == "a").sum(), (GROUPS == "b").sum()]


def test_several_columns_are_refused_in_one_line():
    both = np.column_stack([X, X**2])
    with pytest.raises(InputError, match=r"one column x, \(n, 1\)") as caught:
        Regression().fit(both, Y).plot(both, Y)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"got \(200, 1\) and \(199,\)"):
        Regression().fit(X, Y).plot(X, Y[1:])
