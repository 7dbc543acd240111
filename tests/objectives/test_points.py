"""Codes that are points: what their estimators learn without a rate, keep in a file, and refuse."""

import numpy as np
import pytest

import latens
from latens import VAE, AutoEncoder
from latens.distributions import Delta, Normal
from latens.nn import MLP
from latens.objectives import ELBO, MMD, Distortion, LatentL2, MutualInformation, Rate
from latens.utils.errors import InputError

ROWS = np.random.default_rng(0).normal(size=(300, 2)) @ np.random.default_rng(1).normal(size=(2, 5)) * 3.0
SMALL = {"latents": 2, "likelihood": Normal(0.3), "encoder": MLP((8,)), "decoder": MLP((8,)), "random_state": 0}


def wasserstein(weight):
    objective = Distortion() + weight * MMD()
    return VAE(posterior=Delta(), objective=objective, epochs=15, learning_rate=0.01, **SMALL).fit(ROWS)


def test_matching_brings_the_codes_of_a_wasserstein_autoencoder_to_its_prior():
    far, near = (wasserstein(weight).transform(ROWS) for weight in (0.0, 300.0))
    moments = [np.abs(np.cov(z.T) - np.eye(2)).max() + np.abs(z.mean(0)).max() for z in (far, near)]
    assert moments[1] < 0.5 < moments[0]


def test_a_file_keeps_it_and_no_score_is_made_up(tmp_path):
    model = wasserstein(10.0)
    model.save(tmp_path / "wae.latens")
    again = latens.load(tmp_path / "wae.latens")
    assert again.objective == model.objective
    np.testing.assert_array_equal(again.transform(ROWS), model.transform(ROWS))
    np.testing.assert_array_equal(again.sample(5), model.sample(5))
    with pytest.raises(InputError, match="no density over z"):
        again.score_samples(ROWS)


@pytest.mark.parametrize("objective", [ELBO(), Distortion() + Rate(), Distortion() + MutualInformation()])
def test_terms_that_ask_for_a_density_of_points_are_refused(objective):
    with pytest.raises(InputError, match=r"no density over z|independent given x"):
        AutoEncoder(objective=objective, epochs=1, **SMALL).fit(ROWS)


def test_an_autoencoder_follows_its_own_objective(tmp_path):
    models = [
        AutoEncoder(objective=Distortion() + weight * LatentL2(), epochs=10, learning_rate=0.01, **SMALL).fit(ROWS)
        for weight in (0.0, 100.0)
    ]
    sizes = [np.square(model.transform(ROWS)).sum(1).mean() for model in models]
    assert sizes[1] < 0.5 * sizes[0]
    models[1].save(tmp_path / "rae.latens")
    assert latens.load(tmp_path / "rae.latens").objective == models[1].objective
