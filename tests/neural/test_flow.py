"""A flow as a density: exact, normalised, sampled as it scores, and close to what made the data."""

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import make_moons

import latens
from latens import VAE, Flow
from latens.distributions import Normal
from latens.models import NormalizingFlow
from latens.neural.conditions import Covariates
from latens.nn import MLP
from latens.utils.errors import InputError

TINY = {"network": MLP((24, 24)), "learning_rate": 0.01, "ema": 0.98, "random_state": 0}


def pair(n, seed):
    """Two normal humps of the plane, and the log density of each row."""
    rng = np.random.default_rng(seed)
    humps = [stats.multivariate_normal([-2.0, 1.0], [[0.6, 0.5], [0.5, 0.6]])]
    humps.append(stats.multivariate_normal([2.0, 0.0], [[0.2, 0.0], [0.0, 1.0]]))
    which = rng.integers(0, 2, n)
    X = np.where(which[:, None] == 0, *(hump.rvs(n, random_state=rng) for hump in humps))
    return X, np.logaddexp(*(hump.logpdf(X) for hump in humps)) - np.log(2), which


X, _, WHICH = pair(2000, 0)


@pytest.fixture(scope="module", params=["autoregressive", "coupling"])
def flow(request):
    return Flow(kind=request.param, transforms=2, epochs=15, batch_size=100, **TINY).fit(X)


def grid(low, high, n):
    axis = np.linspace(low, high, n)
    return axis, np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)


def test_the_density_is_that_of_the_data(flow):
    fresh, truth, _ = pair(4000, 1)
    assert abs((flow.score_samples(fresh) - truth).mean()) < 0.06


def test_the_density_integrates_to_one_in_the_users_units(flow):
    """Four points of Gauss in each of 60 x 60 panels, fine in the middle, leave 5e-5: the splines' kinks, which cross
    the panels (120 x 120 leave 1e-5), and float32."""
    edges = np.sinh(np.linspace(-np.arcsinh(8), np.arcsinh(8), 61))
    nodes, weights = np.polynomial.legendre.leggauss(4)
    half = np.diff(edges)[:, None] / 2
    axis, share = ((edges[:-1, None] + half) + half * nodes).ravel(), (half * weights).ravel()
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    density = np.exp(flow.score_samples(points)).reshape(240, 240)
    assert share @ density @ share == pytest.approx(1, abs=3e-4)


def test_draws_score_as_rows_do(flow):
    """Were the draws of another density, their mean score would not be minus the entropy."""
    axis, points = grid(-8, 8, 121)
    log_p = flow.score_samples(points)
    entropy = -np.trapezoid(np.trapezoid((np.exp(log_p) * log_p).reshape(121, 121), axis), axis)
    drawn = flow.score_samples(flow.sample(4000, random_state=1))
    assert -drawn.mean() == pytest.approx(entropy, abs=4 * drawn.std() / 4000**0.5 + 0.01)


def test_rows_become_noise_and_come_back(flow):
    z = flow.transform(X)
    np.testing.assert_allclose(flow.inverse_transform(z), X, atol=1e-3)
    np.testing.assert_allclose(z.mean(0), 0, atol=0.1)
    np.testing.assert_allclose(np.cov(z.T), np.eye(2), atol=0.15)


def test_the_held_out_loss_is_in_nats_of_the_data(flow):
    from latens.neural.rows import split

    _, held_out = split(len(X), flow.validation_fraction, flow.seed_)
    best = min(row["held_out_loss"] for row in flow.history_.rows)
    assert flow.score(X[held_out]) == pytest.approx(-best, abs=1e-5)
    assert set(flow.history_.rows[0]) >= {"loss", "held_out_loss"}
    assert "rate" not in flow.history_.rows[0]


def test_neither_order_nor_subset_moves_a_bit(flow):
    rows = X[:300]
    whole, order = flow.score_samples(rows), np.random.default_rng(1).permutation(300)
    np.testing.assert_array_equal(flow.score_samples(rows[order]), whole[order])
    np.testing.assert_array_equal(flow.score_samples(rows[7:10]), whole[7:10])
    np.testing.assert_array_equal(flow.transform(rows[order]), flow.transform(rows)[order])


def test_a_saved_flow_is_the_same(flow, tmp_path):
    flow.save(tmp_path / "flow.latens")
    again = latens.load(tmp_path / "flow.latens")
    np.testing.assert_array_equal(again.score_samples(X[:50]), flow.score_samples(X[:50]))
    np.testing.assert_array_equal(again.sample(50), flow.sample(50))
    assert repr(again) == repr(flow)


def test_the_same_seed_gives_the_same_bits():
    settings, rows = {**TINY, "epochs": 2, "batch_size": 100}, X[:300]
    a, b = (Flow(**settings).fit(rows) for _ in range(2))
    np.testing.assert_array_equal(a.score_samples(rows), b.score_samples(rows))
    np.testing.assert_array_equal(a.sample(20), b.sample(20))
    other = Flow(**settings | {"random_state": 1}).fit(rows)
    assert not np.array_equal(a.score_samples(rows), other.score_samples(rows))


def test_other_units_add_their_volume():
    rows, others = X[:300], X[:300] * [4.0, 0.5]
    a, b = (Flow(epochs=2, batch_size=50, **TINY).fit(table) for table in (rows, others))
    np.testing.assert_allclose(b.score_samples(others), a.score_samples(rows) - np.log(4.0 * 0.5), atol=1e-6)


def test_training_goes_on_from_a_checkpoint_to_the_same_bits(tmp_path):
    def stop(event):
        if getattr(event, "row", {}).get("epoch") == 3:
            raise KeyboardInterrupt

    settings, rows = {**TINY, "epochs": 5, "batch_size": 100}, X[:500]
    whole = Flow(**settings).fit(rows)
    flow, file = Flow(**settings), tmp_path / "state.safetensors"
    with pytest.raises(KeyboardInterrupt):
        flow._fit(flow._source(rows, reset=True), checkpoint=file, listener=stop)
    again = Flow(**settings)
    again._fit(again._source(rows, reset=True), checkpoint=file)
    np.testing.assert_array_equal(again.score_samples(rows), whole.score_samples(rows))


# -- shapes of data


def test_one_column_is_drawn_as_it_is_scored():
    rng = np.random.default_rng(2)
    x = np.where(rng.random(2000) < 0.3, rng.normal(-3, 0.5, 2000), rng.normal(1, 1, 2000))[:, None]
    flow = Flow(epochs=20, batch_size=100, **TINY).fit(x)
    axis = np.linspace(-12, 12, 20_001)
    density = np.exp(flow.score_samples(axis[:, None]))
    truth = 0.3 * stats.norm(-3, 0.5).pdf(axis) + 0.7 * stats.norm(1, 1).pdf(axis)
    assert 0 < np.trapezoid(truth * np.log(truth / density), axis) < 0.03
    cdf = np.cumsum(density) * (axis[1] - axis[0])
    assert stats.kstest(flow.sample(3000)[:, 0], lambda v: np.interp(v, axis, cdf)).pvalue > 0.01
    nodes, weights = np.polynomial.legendre.leggauss(20)
    middle, half = np.linspace(-40, 40, 3001)[:-1] + 80 / 6000, 80 / 6000
    points = (middle[:, None] + half * nodes).reshape(-1, 1)
    assert abs(np.exp(flow.score_samples(points)) @ np.tile(half * weights, 3000) - 1) < 1e-6


def test_the_ratio_to_a_known_density_is_one_on_average(flow):
    """E_g[p / g] = 1 for g with heavier tails than p: in the plane a z-test says more than a quadrature of kinks."""
    g = latens.Mixture([latens.Parametric("multivariate-t", fixed={"df": 3.0})] * 2, random_state=0).fit(X)
    draws = g.sample(30_000, random_state=1)
    ratio = np.exp(flow.score_samples(draws) - g.score_samples(draws))
    error = ratio.std() / np.sqrt(len(ratio))
    assert error < 0.018
    assert abs(ratio.mean() - 1) < 4 * error


def test_moons_are_learned_to_a_fifth_of_a_nat():
    """A moon has length pi and a profile of spread 0.05, so the entropy is log(2 pi) + log(0.05 sqrt(2 pi e))."""
    flow = Flow(epochs=20, batch_size=100, **TINY).fit(make_moons(2000, noise=0.05, random_state=0)[0])
    entropy = np.log(2 * np.pi) + stats.norm(0, 0.05).entropy()
    fresh = make_moons(2000, noise=0.05, random_state=1)[0]
    assert -entropy - 0.2 < flow.score(fresh) < -entropy + 0.02


def test_affine_transforms_learn_a_gaussian():
    rng = np.random.default_rng(0)
    normal = stats.multivariate_normal([3.0, -1.0, 0.0], [[2.0, 1.2, 0.0], [1.2, 1.0, 0.3], [0.0, 0.3, 0.5]])
    rows = normal.rvs(3000, random_state=rng)
    flow = Flow(bins=0, transforms=1, epochs=20, **TINY).fit(rows)
    fresh = normal.rvs(3000, random_state=rng)
    assert (normal.logpdf(fresh) - flow.score_samples(fresh)).mean() < 0.05


def test_the_density_on_whole_numbers_is_the_mass_of_the_cell():
    rows = np.rint(np.random.default_rng(0).normal(20, 3, (2000, 1))).astype(int)
    flow = Flow(epochs=20, batch_size=100, **TINY).fit(rows)
    k = np.arange(11, 30)
    mass = np.exp(flow.score_samples(k[:, None]))
    truth = stats.norm(20, 3).cdf(k + 0.5) - stats.norm(20, 3).cdf(k - 0.5)
    assert np.abs(mass - truth).sum() < 0.12
    assert flow.sample(500).dtype == rows.dtype


HEAVY = {
    "lognormal": stats.lognorm(1.0),
    "student": stats.t(2.0),
    "far from zero": stats.norm(1e4, 1e-2),
}


@pytest.mark.parametrize("name", HEAVY)
def test_skew_and_heavy_tails_are_learned(name):
    law, rng = HEAVY[name], np.random.default_rng(0)
    flow = Flow(epochs=10, batch_size=100, **TINY).fit(law.rvs((2000, 1), random_state=rng))
    fresh = law.rvs((4000, 1), random_state=rng)
    assert (law.logpdf(fresh[:, 0]) - flow.score_samples(fresh)).mean() < 0.05


def test_a_value_never_seen_is_unlikely_but_not_absurd():
    """A pixel that is nearly always black, and is not in a new picture."""
    rng = np.random.default_rng(0)
    rows = np.stack([rng.integers(0, 17, 500), np.zeros(500, int)], 1)
    flow = Flow(epochs=2, **TINY).fit(rows)
    seen, unseen = flow.score_samples(np.array([[8, 0], [8, 5]]))
    assert seen - 400 < unseen < seen - 3


def test_images_keep_their_shape():
    images = np.random.default_rng(0).normal(size=(200, 3, 4))
    flow = Flow(epochs=1, **TINY).fit(images)
    assert flow.sample(5).shape == (5, 3, 4)
    np.testing.assert_allclose(flow.inverse_transform(flow.transform(images[:7])), images[:7], atol=1e-4)


# -- conditions


@pytest.mark.parametrize("kind", ["autoregressive", "coupling"])
def test_a_density_of_each_class(kind):
    names = np.array(["left", "right"])
    flow = Flow(kind=kind, transforms=2, condition="y", epochs=8, batch_size=100, **TINY).fit(X, names[WHICH])
    axis, points = grid(-8, 8, 101)
    for i, name in enumerate(names):
        density = np.exp(flow.score_samples(points, np.full(len(points), name))).reshape(101, 101)
        assert np.trapezoid(np.trapezoid(density, axis), axis) == pytest.approx(1, abs=5e-3)
        drawn = flow.sample(1000, y=name)
        np.testing.assert_allclose(drawn.mean(0), X[i == WHICH].mean(0), atol=0.25)
    scores = np.stack([flow.score_samples(X, np.full(len(X), name)) for name in names], 1)
    assert (scores.argmax(1) == WHICH).mean() > 0.97


def test_a_density_given_real_numbers():
    rng = np.random.default_rng(0)
    y, fresh = rng.uniform(-2, 2, (2, 2000))
    rows, others = ((at**2 + 0.3 * rng.normal(size=2000))[:, None] for at in (y, fresh))
    flow = Flow(condition="y", epochs=30, batch_size=100, **TINY).fit(rows, y)
    assert isinstance(flow.condition_, Covariates)
    assert flow.score_samples(others, fresh).mean() == pytest.approx(-stats.norm(0, 0.3).entropy(), abs=0.06)
    apart = flow.sample(2000, y=fresh)[:, 0] - fresh**2
    assert np.median(apart) == pytest.approx(0, abs=0.03)
    assert np.median(np.abs(apart)) == pytest.approx(0.3 * stats.norm.ppf(0.75), abs=0.03)
    assert np.median(flow.sample(500, y=1.5)) == pytest.approx(2.25, abs=0.1)


def test_several_real_numbers_a_row():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(1000, 2))
    x = y @ [[1.0], [-2.0]] + 0.2 * rng.normal(size=(1000, 1))
    flow = Flow(bins=0, condition="y", epochs=20, **TINY).fit(x, y)
    np.testing.assert_allclose(flow.sample(300, y=[0.5, 0.5]).mean(), -0.5, atol=0.1)


# -- a flow inside a VAE


def test_a_flow_is_a_prior():
    rng = np.random.default_rng(1)
    rows = np.where(rng.random((600, 1)) < 0.5, -3.0, 3.0) + 0.3 * rng.normal(size=(600, 3))
    small = {"encoder": MLP((32,)), "decoder": MLP((32,)), "epochs": 30, "random_state": 0, "learning_rate": 0.01}
    small |= {"latents": 1, "likelihood": Normal("shared")}
    prior = NormalizingFlow(1, network=MLP((8,)))
    plain, flowing = (VAE(prior=p, **small).fit(rows).score_samples(rows, k=100).mean() for p in (None, prior))
    assert flowing > plain + 0.1


# -- what cannot be


WRONG = {
    "kind": (lambda: Flow(kind="planar").fit(X), "kind is one of autoregressive, coupling; got 'planar'"),
    "bins": (lambda: Flow(bins=-1).fit(X), "bins must be a non-negative integer; got -1"),
    "transforms": (lambda: Flow(transforms=0).fit(X), "transforms must be a positive integer; got 0"),
    "network": (lambda: Flow(network=3).fit(X), r"network expects a perceptron such as MLP\(\(128, 128\)\), .*; got 3"),
    "missing": (lambda: Flow().fit(np.where(X > 2, np.nan, X)), "NaN"),
    "one row": (lambda: Flow().fit(X[:1]), "at least 2 examples; got 1"),
    "columns": (lambda: Flow(epochs=1, **TINY).fit(X[:99]).score_samples(X[:, :1]), "1 features"),
    "points": (lambda: Flow(epochs=1, **TINY).fit(X[:99]).inverse_transform(X[:, :1]), r"latent points \(n, 2\); got"),
    "no y": (lambda: Flow(epochs=1, condition="y", **TINY).fit(X[:99], X[:99, 0]).sample(2), "give y, 1 real number"),
    "too few y": (lambda: Flow(condition="y").fit(X, X[:9, 0]), "for each of 2000 rows; got an array"),
    "missing y": (lambda: Flow(condition="y").fit(X, X[:, 0] * [*[1.0] * 1999, np.nan]), "1 are NaN or infinite"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_refused_in_one_line(name):
    call, message = WRONG[name]
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert isinstance(caught.value, InputError) or name == "columns"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rows", [[["a"], ["b"]], np.empty((0, 2))], ids=["text", "no rows"])
def test_a_table_that_is_none_is_refused_in_one_line(rows):
    with pytest.raises(InputError) as caught:
        Flow(epochs=1).fit(rows)
    assert "\n" not in str(caught.value)
