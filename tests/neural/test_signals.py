"""Signals: channels last outside, first inside, one spread a channel, gaps that are filled."""

import numpy as np
import pytest
import torch

from latens import VAE, AutoEncoder, Flow, load
from latens.data import ArraySource, Subset, windows
from latens.data import load as read
from latens.distributions import Normal
from latens.neural.units import units_for
from latens.nn import MLP, Conv
from latens.utils import InputError

RNG = np.random.default_rng(0)
CONV, DENSE = Conv((8,), blocks=1, hidden=16), MLP((16,))
TINY = {"latents": 2, "random_state": 0, "encoder": CONV, "decoder": CONV, "epochs": 1}
QUICK = {**TINY, "encoder": DENSE, "decoder": DENSE, "epochs": 30, "learning_rate": 0.01, "batch_size": 32, "ema": 0.9}


def sines(n, length, rng, channels=()):
    """A sine of any size, noise of 0.05."""
    t, size = np.arange(length) / length, rng.normal(size=(n, 1))
    clean = size * np.sin(2 * np.pi * t)
    scale = np.array(channels or [1.0])
    rows = clean[..., None] * scale + 0.05 * scale * rng.standard_normal((n, length, len(scale)))
    return rows if channels else rows[..., 0]


@pytest.fixture(scope="module")
def fitted():
    """A model of signals of a prime length in two channels whose units differ a thousandfold, and what it saw."""
    X = sines(300, 23, np.random.default_rng(1), (1.0, 1000.0)).astype(np.float32)
    return VAE(**QUICK).fit(read(X, kind="signal")), X


@pytest.mark.parametrize("shape", [(13,), (13, 1), (7, 4)])
def test_units_go_back_and_tell_their_volume(shape):
    X = RNG.normal(size=(50, *shape)) * 5.0 + 3.0
    if len(shape) == 2:
        X *= 10.0 ** np.arange(shape[1])
    X[:, 2] = X[:, 2] * 1e-9 + 3.0
    units = units_for(ArraySource(X, kind="signal"), Normal("element"))
    u = units(torch.from_numpy(X))
    assert u.shape == (50, 1 if len(shape) == 1 else shape[1], shape[0])
    np.testing.assert_allclose(u.mean(0), 0.0, atol=1e-5)
    spread = u.numpy().std(0)
    np.testing.assert_allclose(np.delete(spread, 2, 1), 1.0, atol=1e-5)
    assert (spread[:, 2] < 1e-6).all()  # what stands still is not blown up
    np.testing.assert_allclose(units.inverse(u), X, rtol=1e-5, atol=1e-4)
    with torch.no_grad():
        flat = torch.autograd.functional.jacobian(lambda x: units(x[None]).flatten(), torch.from_numpy(X[0]))
    volume = torch.linalg.slogdet(flat.reshape(X[0].size, -1).double()).logabsdet
    np.testing.assert_allclose(float(units.log_volume()), float(volume), rtol=1e-5)


def test_windows_have_one_scale_a_channel_since_they_begin_anywhere():
    recording = RNG.normal(size=(600, 2)) * [1.0, 100.0] + [0.0, 5.0]
    source = windows(recording, 20)
    units = units_for(source, Normal("element"))
    np.testing.assert_allclose(units.scale, source.X.std((0, 1)), rtol=1e-6)
    np.testing.assert_allclose(units.shift, source.X.mean((0, 1)), rtol=1e-6)
    assert units_for(windows(recording[:, 0], 20), Normal()).scale.shape == ()


def test_what_comes_back_is_what_went_in(fitted):
    vae, X = fitted
    assert vae.schema_.kind == "signal"
    assert vae.schema_.summary.startswith("signals of 23 steps in 2 channels, float32, continuous")
    drawn = vae.sample(200)
    assert drawn.shape == (200, 23, 2)
    assert drawn.dtype == np.float32
    assert np.corrcoef(drawn[..., 0].ravel(), drawn[..., 1].ravel())[0, 1] > 0.9
    assert 900 < drawn[..., 1].std() / drawn[..., 0].std() < 1100
    assert np.sqrt(vae.reconstruction_error(X)).mean() < 0.25 * X[..., 1].std()


def test_the_default_network_is_of_one_axis_and_arrays_stay_what_they_were():
    X = sines(40, 32, RNG)
    vae = VAE(epochs=1, random_state=0)
    settings, reasons = vae._choose(read(X, kind="signal").schema, 40)
    assert isinstance(settings["encoder"], Conv)
    assert reasons["encoder"] == "signals of 32 steps"
    assert read(X).schema.kind == "table"
    assert read(X[..., None]).schema.kind == "image"


def test_a_score_does_not_depend_on_the_layout_of_one_channel():
    X = sines(60, 21, RNG)
    flat, deep = (VAE(**TINY).fit(read(rows, kind="signal")) for rows in (X, X[..., None]))
    np.testing.assert_allclose(flat.score_samples(X), deep.score_samples(X[..., None]), rtol=1e-6)


def test_scores_are_of_the_data_as_given(fitted):
    """In another unit the same model is behind by the logarithm of the ratio for each entry of that channel."""
    X = fitted[1]
    unit = np.array([1.0, 1024.0], np.float32)
    vae, other = (VAE(**TINY).fit(read(rows, kind="signal")) for rows in (X, X * unit))
    behind = vae.score_samples(X[:20]) - other.score_samples(X[:20] * unit)
    np.testing.assert_allclose(behind.mean(), 23 * np.log(1024.0), rtol=1e-3)


def test_gaps_are_filled_better_than_by_the_mean(fitted):
    _, X = fitted
    gaps = X.copy()
    gaps[RNG.random(X.shape[:2]) < 0.3] = np.nan
    vae = VAE(**QUICK).fit(read(gaps, kind="signal"))
    filled = vae.complete(gaps[:100])
    missing = np.isnan(gaps[:100])
    np.testing.assert_array_equal(filled[~missing], X[:100][~missing])
    error = ((filled - X[:100]) / X.std((0, 1)))[missing]
    assert np.square(error).mean() < 0.3
    assert vae.score_samples(np.full((1, 23, 2), np.nan)) == [0.0]


def test_a_channel_without_values_is_named():
    X = sines(30, 20, RNG, (1.0, 2.0, 3.0))
    X[..., 1] = np.nan
    with pytest.raises(InputError, match=r"no value of channel 1 is observed; .* leave it out"):
        VAE(**TINY).fit(read(X, kind="signal"))


def test_a_saved_model_is_the_same(fitted, tmp_path):
    vae, X = fitted
    vae.save(tmp_path / "m.latens")
    np.testing.assert_array_equal(load(tmp_path / "m.latens").score_samples(X[:9]), vae.score_samples(X[:9]))


WRONG = {
    "no such kind": (np.zeros((5, 8)), "signals", "did you mean 'signal'"),
    "images": (np.zeros((5, 8, 8, 3)), "signal", r"rows of shape \(8, 8, 3\) cannot be of the kind 'signal'"),
    "one recording": (
        np.zeros(50),
        "signal",
        "rows of one step are no signals; one long recording is cut into windows",
    ),
    "one axis": (np.zeros((5, 8)), "image", r"\(8,\) cannot be of the kind 'image', whose examples are \(H, W\)"),
}


@pytest.mark.parametrize(("X", "kind", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_kind_is_refused(X, kind, said):
    with pytest.raises(InputError, match=said):
        read(X, kind=kind)


def test_rows_of_another_length_are_refused(fitted):
    with pytest.raises(InputError, match=r"\(n, 23, 2\).*got \(.*, 22, 2\)"):
        fitted[0].score_samples(np.zeros((4, 22, 2)))


def test_a_subset_keeps_the_kind():
    source = read(sines(20, 16, RNG), kind="signal")
    assert read(Subset(source, np.arange(5)), kind="signal").schema.kind == "signal"


@pytest.mark.parametrize("make", [Flow, AutoEncoder], ids=["flow", "autoencoder"])
def test_other_estimators_take_signals_too(make):
    X = sines(60, 16, RNG, (1.0, 50.0))
    model = make(epochs=1, random_state=0).fit(read(X, kind="signal"))
    if make is Flow:
        assert model.sample(3).shape == (3, 16, 2)
        assert np.isfinite(model.score_samples(X[:4])).all()
    else:
        assert model.reconstruct(X[:4]).shape == (4, 16, 2)


def test_one_example_is_refused_with_a_remedy():
    with pytest.raises(InputError, match=r"at least 2 examples; got 1 sample\. .* Cut one long recording into windows"):
        VAE().fit(read(np.zeros((1, 30)), kind="signal"))
