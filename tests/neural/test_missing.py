"""Missing entries, against the closed form of a linear-Gaussian model, and the slow obvious formulas."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from latens import VAE, AutoEncoder, Flow
from latens.data import ArraySource, infer_schema, load
from latens.data.table import TableWarning
from latens.distributions import Bernoulli, DiscretizedLogistic, MixtureOf, NegativeBinomial, Normal
from latens.neural.rows import batches, filled
from latens.neural.task import Task
from latens.neural.units import units_for
from latens.nn import MLP
from latens.objectives import ImportanceWeighted
from latens.utils import InputError

RNG = np.random.default_rng(0)
SMALL = {"latents": 2, "encoder": MLP((8,)), "decoder": MLP((8,)), "epochs": 2, "random_state": 0}
NOISE, WEIGHT = 0.8, torch.tensor([[1.0, 0.2], [-0.6, 0.9], [0.7, 0.0], [0.0, -1.1]])
BIAS = torch.tensor([0.3, -0.2, 0.0, 0.4])
TABLE = RNG.normal(size=(300, 2)) @ np.array([[1.0, -2.0, 0.5, 0.0], [0.0, 3.0, 1.0, -4.0]]) + [5.0, 0.0, -3.0, 10.0]
TABLE += 0.3 * RNG.normal(size=TABLE.shape)


def gaps(X, share=0.3, seed=1):
    return np.where(np.random.default_rng(seed).random(X.shape) < share, np.nan, X)


@pytest.fixture(scope="module")
def linear():
    """u = W z + b + e in the model's units, with a posterior that is wide and otherwise arbitrary."""
    vae = VAE(likelihood=Normal(NOISE), **SMALL | {"encoder": MLP(()), "decoder": MLP(())}).fit(gaps(TABLE))
    decoder, encoder = vae.model_.likelihood, vae.model_.posterior
    with torch.no_grad():
        decoder.network[-1].weight.copy_(WEIGHT)
        decoder.network[-1].bias.copy_(BIAS)
        encoder.network[-1].weight.copy_(torch.cat([0.3 * WEIGHT.T, torch.zeros(2, 4)]))
        encoder.network[-1].bias.fill_(-0.1)
    return vae


def moments(vae):
    """Of x in the user's units."""
    shift, scale = vae.units_.shift.numpy(), vae.units_.scale.numpy()
    covariance = (WEIGHT @ WEIGHT.T).double().numpy() + NOISE**2 * np.eye(4)
    return shift + scale * BIAS.double().numpy(), scale[:, None] * covariance * scale


def conditional(vae, row):
    """The mean of the whole row, and the covariance of its missing entries, given the others."""
    mean, covariance = moments(vae)
    m, o = np.isnan(row), ~np.isnan(row)
    slope = covariance[np.ix_(m, o)] @ np.linalg.inv(covariance[np.ix_(o, o)])
    expected = row.copy()
    expected[m] = mean[m] + slope @ (row[o] - mean[o])
    return expected, covariance[np.ix_(m, m)] - slope @ covariance[np.ix_(o, m)]


ROWS = TABLE[:6].copy()
ROWS[0, 1] = ROWS[1, :2] = ROWS[2, [0, 2, 3]] = ROWS[3, 1:3] = ROWS[4, 3] = np.nan


def test_a_score_is_the_exact_density_of_what_is_observed(linear):
    mean, covariance = moments(linear)
    exact = []
    for row in ROWS:
        o = ~np.isnan(row)
        exact.append(multivariate_normal(mean[o], covariance[np.ix_(o, o)]).logpdf(row[o]))
    np.testing.assert_allclose(linear.score_samples(ROWS, k=100_000), exact, rtol=0, atol=0.01)


def test_a_completion_is_the_exact_conditional_mean(linear):
    found = linear.complete(ROWS, k=100_000)
    exact = np.array([conditional(linear, row)[0] for row in ROWS])
    np.testing.assert_allclose(found, exact, rtol=0, atol=0.012 * linear.units_.scale.max().item())
    seen = ~np.isnan(ROWS)
    np.testing.assert_array_equal(found[seen], ROWS[seen])


@pytest.mark.parametrize("i", [1, 2, 3])
def test_sampled_completions_have_the_moments_of_the_conditional(linear, i):
    n, row = 5_000, ROWS[i]
    found = linear.complete(row[None], n=n, k=100_000, random_state=3)[:, 0]
    missing = np.isnan(row)
    assert (found[:, ~missing] == row[~missing]).all()
    mean, covariance = conditional(linear, row)
    variance = np.diag(covariance)
    z = (found[:, missing].mean(0) - mean[missing]) / np.sqrt(variance / n)
    spread = np.sqrt((np.outer(variance, variance) + covariance**2) / n)
    w = (np.cov(found[:, missing].T) - covariance) / spread
    assert np.abs(z).max() < 6
    assert np.abs(w).max() < 6


def test_draws_and_scores_do_not_depend_on_the_size_of_a_chunk(linear, monkeypatch):
    whole = linear.complete(ROWS, k=600)
    monkeypatch.setattr("latens.neural.completion.block_shape", lambda units, k: (4, 90))
    np.testing.assert_allclose(linear.complete(ROWS, k=600), whole, rtol=0.02)
    drawn = linear.complete(ROWS, n=400, k=8_000)
    spread = np.sqrt(np.diag(conditional(linear, ROWS[1])[1]) / 400)
    exact = conditional(linear, ROWS[1])[0][:2]
    assert (np.abs(drawn[:, 1, :2].mean(0) - exact) < 6 * spread).all()


def test_nothing_observed_has_density_one_and_is_completed_by_the_mean(linear):
    nothing = np.full((2, 4), np.nan)
    np.testing.assert_array_equal(linear.score_samples(nothing, k=3), [0.0, 0.0])
    mean, covariance = moments(linear)
    np.testing.assert_allclose(linear.complete(nothing, k=100_000)[0], mean, atol=0.02 * np.sqrt(covariance.max()))


def test_complete_rows_score_the_same_bits_among_incomplete_ones(linear):
    alone = linear.score_samples(TABLE[:7], k=20)
    among = linear.score_samples(np.concatenate([gaps(TABLE), TABLE[:7]]), k=20)
    np.testing.assert_array_equal(among[-7:], alone)
    np.testing.assert_array_equal(linear.complete(TABLE[:7]), TABLE[:7])


# -- from rows to the model's units


IMAGES = RNG.integers(0, 256, (20, 3, 4, 3)).astype(float)
KINDS = {
    "table": (TABLE, Normal("element")),
    "colour images": (IMAGES, MixtureOf(DiscretizedLogistic(256), 2)),
    "grey images of reals": (RNG.normal(size=(20, 3, 4)), Normal("shared")),
    "float32": (TABLE.astype(np.float32), Normal("element")),
}


@pytest.mark.parametrize("name", KINDS)
def test_what_is_observed_lies_where_it_lay(name):
    X, family = KINDS[name]
    source = load(gaps(X))
    units = units_for(source, family)
    rows = torch.from_numpy(source.take(np.arange(len(source))))
    x, observed, volume = units.observe(rows)
    direct = units(rows)
    assert torch.equal(observed, ~direct.isnan())
    assert torch.equal(x[observed], direct[observed])
    assert x.isfinite().all()
    scale = np.broadcast_to(units.scale.numpy(), X.shape[1:])
    slow = [0.0 if units.is_mass else -np.log(scale[~np.isnan(row)]).sum() for row in rows.numpy()]
    np.testing.assert_allclose(volume.expand(len(rows)), slow, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", KINDS)
def test_where_all_is_observed_no_bit_differs(name):
    X, family = KINDS[name]
    units, rows = units_for(load(X), family), torch.from_numpy(X)
    x, observed, volume = units.observe(rows)
    assert torch.equal(x, units(rows))
    assert observed.all()
    assert torch.equal(volume, units.log_volume().expand_as(volume))


def test_gaps_do_not_move_the_mean_and_the_spread():
    X = gaps(TABLE)
    units = units_for(load(X), Normal("element"))
    np.testing.assert_allclose(units.shift, np.nanmean(X, 0), rtol=1e-12)
    np.testing.assert_allclose(units.scale, np.nanstd(X, 0), rtol=1e-12)


def test_a_first_batch_is_filled_with_values_of_the_same_column():
    X = gaps(TABLE, 0.5)
    whole = filled(X, 0)
    seen = ~np.isnan(X)
    assert np.isfinite(whole).all()
    assert (whole[seen] == X[seen]).all()
    for j in range(4):
        assert np.isin(whole[:, j], X[seen[:, j], j]).all()
    assert not np.array_equal(filled(X, 1), whole)


def test_a_scale_in_closed_form_counts_observed_entries_alone():
    X = TABLE.copy()
    X[:200, 1:] = np.nan
    vae = VAE(likelihood=Normal("optimal"), validation_fraction=0.0, **SMALL).fit(X)
    with torch.no_grad():
        for parameter in vae.model_.likelihood.network[-1].parameters():
            parameter.zero_()
        task = Task(vae.model_, vae._objective(), vae.units_, len(X))
        task.calibrate(batches(load(X), np.arange(len(X)), None, torch.device("cpu")), 64)
    u = (X - vae.units_.shift.numpy()) / vae.units_.scale.numpy()
    slow = np.sqrt(np.nanmean(np.square(u)))
    assert vae.model_.likelihood.shared.exp().item() == pytest.approx(slow, rel=1e-4)


# -- fitting


def test_what_is_missing_is_told_from_what_is_there():
    X = gaps(TABLE, 0.3)
    missing = np.isnan(X)
    settings = SMALL | {"epochs": 60, "learning_rate": 0.01}
    vae = VAE(objective=ImportanceWeighted(5), **settings).fit(X)
    error = np.square(vae.complete(X) - TABLE)[missing].mean()
    best = np.square(gaussian(X) - TABLE)[missing].mean()
    worst = np.square(np.nanmean(X, 0) - TABLE)[missing].mean()
    assert error < 0.85 * best + 0.15 * worst


def gaussian(X):
    """The conditional mean of a normal distribution with the moments of the complete rows."""
    out = X.copy()
    mean, covariance = TABLE.mean(0), np.cov(TABLE.T)
    for row in out:
        m, o = np.isnan(row), ~np.isnan(row)
        row[m] = mean[m] + covariance[np.ix_(m, o)] @ np.linalg.pinv(covariance[np.ix_(o, o)]) @ (row[o] - mean[o])
    return out


LATTICES = {
    "two levels": (RNG.integers(0, 2, (200, 3)), Bernoulli()),
    "levels": (RNG.integers(-2, 5, (200, 3)), MixtureOf(DiscretizedLogistic(7), 2)),
    "counts": (RNG.poisson(RNG.gamma(1.0, 20.0, (400, 3))), NegativeBinomial()),
}


@pytest.mark.parametrize("name", LATTICES)
def test_whole_numbers_with_gaps_stay_on_their_lattice(name):
    X, family = LATTICES[name]
    holed = gaps(X)
    whole, gappy = infer_schema(X), infer_schema(holed)
    assert (gappy.levels, gappy.counts, gappy.low) == (whole.levels, whole.counts, whole.low)
    vae = VAE(likelihood=family, **SMALL).fit(holed)
    assert vae.is_mass
    drawn = vae.complete(holed, n=3)
    assert drawn.shape == (3, *X.shape)
    assert (drawn == np.rint(drawn)).all()
    assert drawn.min() >= gappy.support[0]
    assert drawn.max() <= gappy.support[1]


def test_bytes_are_completed_by_a_model_of_complete_ones():
    images = np.random.default_rng(3).integers(0, 256, (40, 5, 4)).astype(np.uint8)
    vae = VAE(**SMALL).fit(images)
    holed = images.astype(float)
    holed[:, 2:] = np.nan
    whole = vae.complete(holed)
    assert (whole[:, :2] == images[:, :2]).all()
    assert whole[:, 2:].min() >= 0
    assert whole[:, 2:].max() <= 255
    both = np.concatenate([images.astype(float), holed])
    np.testing.assert_array_equal(vae.score_samples(both)[:40], vae.score_samples(images))


def test_rows_on_the_disk_are_learned_as_rows_in_memory(tmp_path):
    X = gaps(TABLE)
    np.save(tmp_path / "rows.npy", X)
    mapped = ArraySource(np.load(tmp_path / "rows.npy", mmap_mode="r"))
    assert not mapped.in_memory
    streamed, resident = VAE(**SMALL).fit(mapped), VAE(**SMALL).fit(X)
    np.testing.assert_array_equal(streamed.score_samples(X), resident.score_samples(X))


def test_an_autoencoder_looks_at_observed_entries_alone():
    X = gaps(TABLE)
    plain = AutoEncoder(**SMALL).fit(X)
    rebuilt = plain.reconstruct(X)
    assert np.isfinite(plain.transform(X)).all()
    seen = ~np.isnan(X).all(1)
    slow = np.zeros(len(X))
    slow[seen] = np.nanmean(np.square(X - rebuilt)[seen], 1)
    np.testing.assert_allclose(plain.reconstruction_error(X), slow, rtol=1e-5)


WHOLE = MixtureOf(Normal(), 2, over="event")
WRONG = {
    "a likelihood of whole rows": (
        lambda: VAE(likelihood=WHOLE, **SMALL).fit(gaps(TABLE)).complete(TABLE),
        "independent",
    ),
    "nothing of a column": (lambda: VAE().fit(np.c_[TABLE, TABLE[:, 0] * np.nan]), "no value of column 4 is observed"),
    "a flow": (lambda: Flow().fit(gaps(TABLE)), "Flow expects complete rows"),
    "a flow's score": (lambda: Flow(epochs=1, network=MLP((4,))).fit(TABLE).score_samples(gaps(TABLE)), "NaN"),
    "no draws": (lambda: VAE(**SMALL).fit(TABLE).complete(TABLE, n=0), "n must be a positive integer"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_refused_in_one_line(name):
    call, message = WRONG[name]
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_column_that_is_missing_is_named():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"height": TABLE[:, 0], "weight": np.nan})
    with pytest.raises(InputError, match="no value of the column 'weight' is observed"):
        VAE(likelihood=Normal("element")).fit(frame)
    with (
        pytest.warns(TableWarning, match="no value of the column 'weight' is known"),
        pytest.raises(InputError, match="no value of the column 'weight' is observed"),
    ):
        VAE().fit(frame)
