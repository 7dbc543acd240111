import numpy as np
import pytest
from scipy import stats

from latens.density import DensityEstimator, GaussianMixture, Histogram, KernelDensity
from latens.utils.errors import InputError

RNG = np.random.RandomState(0)
ONE, TWO, FOUR = (
    RNG.normal(2.0, 1.0, (300, 1)),
    RNG.normal(size=(400, 2)) @ [[1, 0.8], [0, 0.5]],
    RNG.normal(size=(300, 4)),
)


class Normal(DensityEstimator):
    """N(mean, covariance), the plainest density there is."""

    covariance_type = "full"

    def fit(self, X, y=None, sample_weight=None):
        X = np.asarray(X)
        self.n_features_in_ = X.shape[1]
        self.means_, self.covariances_ = X.mean(0)[None], np.cov(X.T).reshape(1, X.shape[1], X.shape[1])
        return self

    @property
    def law(self):
        return stats.multivariate_normal(self.means_[0], self.covariances_[0])

    def score_samples(self, X, y=None):
        return np.atleast_1d(self.law.logpdf(X))

    def sample(self, n_samples=1, random_state=None):
        return self.law.rvs(n_samples, random_state=random_state).reshape(n_samples, -1)

    def predict_proba(self, X):
        return np.full((len(X), 2), [0.25, 0.75])


class Poisson(Normal):
    """The Poisson distribution, a mass on whole numbers."""

    is_mass = True

    def fit(self, X, y=None, sample_weight=None):
        self.n_features_in_, self.rate_ = 1, np.mean(X)
        return self

    def score_samples(self, X, y=None):
        return stats.poisson(self.rate_).logpmf(np.asarray(X)[:, 0])

    def quantile(self, q):
        return stats.poisson(self.rate_).ppf(q)


def line(ax, colour):
    (found,) = [item for item in ax.lines if item.get_color() == colour]
    return found.get_data()


def test_the_curve_is_the_density_and_the_bars_are_the_rows():
    density = Normal().fit(ONE)
    (ax,) = density.plot(ONE).axes
    x, y = line(ax, "#d9772b")
    np.testing.assert_allclose(y, np.exp(density.score_samples(x[:, None])), rtol=1e-12)
    assert x[0] < np.quantile(ONE, 0.01)
    assert x[-1] > np.quantile(ONE, 0.99)
    (bars,) = ax.patches
    heights, edges, _ = bars.get_data()
    inside = ((edges[0] <= ONE) & (edges[-1] >= ONE)).mean()
    assert (heights * np.diff(edges)).sum() == pytest.approx(inside)
    parts = [item.get_ydata() for item in ax.lines if item.get_color() == "#9467d6"]
    np.testing.assert_allclose(sum(parts), y, rtol=1e-12)


def test_bumps_of_single_rows_add_up_to_the_density():
    rows = np.array([[-2.1], [-1.3], [-0.4], [1.9], [5.1], [6.2]])
    density = KernelDensity().fit(rows, sample_weight=[1, 2, 1, 1, 3, 1])
    (ax,) = density.plot().axes
    _, y = line(ax, "#d9772b")
    bumps = [item.get_ydata() for item in ax.lines if item.get_color() == "#9467d6"]
    assert len(bumps) == 6
    np.testing.assert_allclose(sum(bumps), y, rtol=1e-9)


def test_the_steps_of_a_histogram_stand_where_its_bins_do():
    density = Histogram([0.0, 1.0, 3.0, 5.0]).fit([[0.5], [2.0], [2.5], [2.7], [4.0]])
    (ax,) = density.plot().axes
    x, y = line(ax, "#d9772b")
    jumps = x[1:][np.diff(y) != 0]
    assert {1.0, 3.0} <= set(jumps.tolist())
    assert set(np.round(y, 12).tolist()) <= {0.0, 0.2, 0.3, 0.1}


def test_counts_are_probabilities_of_whole_numbers():
    rows = RNG.poisson(3.0, (500, 1))
    density = Poisson().fit(rows)
    (ax,) = density.plot(rows).axes
    k, p = line(ax, "#d9772b")
    np.testing.assert_array_equal(k, np.arange(len(k)) + k[0])
    np.testing.assert_allclose(p, stats.poisson(rows.mean()).pmf(k), rtol=1e-12)
    shares = {bar.get_x() + bar.get_width() / 2: bar.get_height() for bar in ax.patches}
    assert shares[3.0] == pytest.approx((rows == 3).mean())
    assert ax.get_ylabel() == "probability"


def test_quantiles_against_quantiles():
    density = Histogram(10).fit(ONE)
    (ax,) = density.plot(ONE, kind="qq").axes
    expected, seen = line(ax, "#4269d0")
    np.testing.assert_allclose(seen, np.sort(ONE[:, 0]))
    np.testing.assert_allclose(density.cdf(expected), (np.arange(300) + 0.5) / 300, atol=1e-12)
    band = ax.collections[0].get_paths()[0].vertices
    middle = band[np.abs(band[:, 0] - expected[150]) < 1e-12, 1]
    orders = stats.beta(151, 150).ppf([0.025, 0.975])
    np.testing.assert_allclose(density.cdf(np.sort(np.unique(middle))), orders, atol=1e-9)


def test_contours_hold_their_share_of_the_mass():
    density = Normal().fit(TWO)
    (ax,) = density.plot(TWO).axes
    drawn = density.sample(100_000, random_state=1)
    levels = np.unique(np.concatenate([c.levels for c in ax.collections if hasattr(c, "levels")]))
    shares = [(density.score_samples(drawn) > level).mean() for level in levels[np.isfinite(levels)]]
    np.testing.assert_allclose(sorted(shares), [0.25, 0.5, 0.75, 0.95], atol=0.03)
    outline = max((item for item in ax.lines if item.get_color() == "#9467d6"), key=lambda item: len(item.get_xdata()))
    away = np.stack(outline.get_data(), 1) - density.means_[0]
    np.testing.assert_allclose(np.einsum("ij,ij->i", away @ np.linalg.inv(density.covariances_[0]), away), 4.0)


def test_a_corner_shows_each_column_and_each_pair_once():
    figure = Normal().fit(FOUR).plot(FOUR)
    shown = [ax for ax in figure.axes if ax.axison]
    assert (len(figure.axes), len(shown)) == (16, 10)
    below = figure.axes[4 * 2 + 1]
    x, y = below.lines[0].get_data()
    np.testing.assert_array_equal(np.stack([x, y], 1), FOUR[:, [1, 2]])


def test_names_of_columns_stand_at_the_axes():
    from sklearn.datasets import load_iris

    frame = load_iris(as_frame=True).data
    (ax,) = GaussianMixture(2, random_state=0).fit(frame.iloc[:, :2]).plot(frame.iloc[:, :2]).axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("sepal length (cm)", "sepal width (cm)")


def test_it_draws_where_it_is_told_to():
    from matplotlib.figure import Figure

    figure = Figure()
    ax = figure.subplots()
    assert Normal().fit(ONE).plot(ax=ax) is figure
    assert ax.lines


def test_a_constant_column_and_few_rows_are_drawn_too():
    for rows in ([[7.0]] * 3, [[0.0], [1.0]], [[1.0]]):
        (ax,) = Histogram().fit(rows).plot(rows).axes
        low, high = ax.get_xlim()
        assert low < rows[0][0] < high


WRONG = {
    "kind": (lambda: Normal().fit(ONE).plot(kind="box"), "one of density, qq"),
    "columns": (lambda: Normal().fit(ONE).plot(TWO), r"shape \(n, 1\); got shape \(400, 2\)"),
    "no rows": (lambda: Histogram().fit(ONE).plot(kind="qq"), "give them as X"),
    "two columns": (lambda: Histogram().fit(TWO).plot(TWO, kind="qq"), "one column"),
    "an axis for a corner": (lambda: Normal().fit(FOUR).plot(ax=Normal().fit(ONE).plot().axes[0]), "leave ax out"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_drawn_is_said_in_one_line(what):
    call, message = WRONG[what]
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
