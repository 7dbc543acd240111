"""scikit-learn's conventions, kept to the letter."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from latens import VAE, AutoEncoder, Flow, SemiSupervisedVAE
from latens.distributions import Normal
from latens.nn import MLP
from latens.objectives import ELBO, Distortion, Rate

SMALL = {"epochs": 1, "latents": 2, "encoder": MLP((8,)), "decoder": MLP((8,)), "random_state": 0}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 2)) @ RNG.normal(size=(2, 5)) + 0.2 * RNG.normal(size=(300, 5))


@parametrize_with_checks(
    [
        VAE(**SMALL),
        AutoEncoder(**SMALL),
        SemiSupervisedVAE(**SMALL, classifier=MLP((8,))),
        Flow(epochs=1, network=MLP((8,)), random_state=0),
    ]
)
def test_the_checks_of_scikit_learn_pass(estimator, check):
    check(estimator)


def test_a_clone_is_unfitted_and_equal():
    fitted = VAE(**SMALL, objective=Distortion() + 2.0 * Rate()).fit(X)
    again = clone(fitted)
    assert again.get_params(deep=False) == fitted.get_params(deep=False)
    assert not hasattr(again, "model_")


def test_a_parameter_can_be_set():
    vae = VAE(**SMALL).set_params(objective=Distortion(), latents=1)
    assert vae.fit(X).transform(X).shape == (300, 1)


def test_a_pipeline_encodes_and_scores():
    piped = make_pipeline(StandardScaler(), VAE(**SMALL)).fit(X)
    alone = VAE(**SMALL).fit(StandardScaler().fit_transform(X))
    np.testing.assert_array_equal(piped.transform(X), alone.transform(StandardScaler().fit_transform(X)))
    assert piped.score(X) == alone.score(StandardScaler().fit_transform(X))


def test_a_pipeline_goes_on_from_the_latents():
    piped = make_pipeline(VAE(**SMALL), PCA(2)).fit(X)
    assert np.ptp(piped.transform(X), 0).min() > 0


def test_a_grid_of_objectives_is_searched():
    grid = {"objective": [ELBO(), Distortion()]}
    base = VAE(**SMALL | {"epochs": 15}, likelihood=Normal("shared"), learning_rate=0.01)
    search = GridSearchCV(base, grid, cv=3, error_score="raise").fit(X)
    assert search.best_params_ == {"objective": ELBO()}
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] > scores[1] + 0.2
    held_out = X[200:]
    expected = clone(base).fit(X[:200]).score(held_out)
    assert search.cv_results_["split2_test_score"][0] == pytest.approx(expected)


def test_latents_have_names():
    assert VAE(**SMALL).fit(X).get_feature_names_out().tolist() == ["vae0", "vae1"]


def test_a_frame_is_taken_with_the_names_of_its_columns():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcde"))
    vae = VAE(**SMALL).fit(frame)
    assert vae.feature_names_in_.tolist() == list("abcde")
    np.testing.assert_array_equal(vae.score_samples(frame), VAE(**SMALL).fit(X).score_samples(X))
    with pytest.raises(ValueError, match="feature names"):
        vae.score_samples(frame[["b", "a", "c", "d", "e"]])
