"""scikit-learn's conventions, kept to the letter."""

import numpy as np
import pandas
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from latens import VAE, AutoEncoder, Flow, SemiSupervisedVAE
from latens.distributions import Normal, Product
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


def test_a_frame_is_an_array_with_names_to_a_likelihood_of_all_columns():
    frame = pandas.DataFrame(X, columns=list("abcde"))
    given = SMALL | {"likelihood": Normal("element")}
    vae = VAE(**given).fit(frame)
    assert vae.feature_names_in_.tolist() == list("abcde")
    np.testing.assert_array_equal(vae.score_samples(frame), VAE(**given).fit(X).score_samples(X))
    with pytest.raises(ValueError, match="feature names"):
        vae.score_samples(frame[["b", "a", "c", "d", "e"]])


def test_columns_of_a_frame_of_numbers_have_heads_and_are_told_by_name():
    frame = pandas.DataFrame(X, columns=list("abcde")).assign(f=np.arange(300) % 3)
    vae = VAE(**SMALL).fit(frame)
    assert isinstance(vae.settings_["likelihood"], Product)
    assert (vae.n_features_in_, vae.feature_names_in_.tolist()) == (6, list("abcdef"))
    scores = vae.score_samples(frame)
    np.testing.assert_array_equal(vae.score_samples(frame[list("fedcba")]), scores)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        np.testing.assert_array_equal(vae.score_samples(frame.to_numpy()), scores)
    few = frame[:2]
    for same in (vae.sample(2), vae.complete(few), vae.reconstruct(few), vae.inverse_transform(np.zeros((2, 2)))):
        assert (same.dtypes == frame.dtypes).all()


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize(
    ("rows", "message"),
    [(X, "5 features, but VAE is expecting 6"), (np.full((2, 6), 0.5), "'f' was fitted with whole")],
)
def test_an_array_that_a_frame_could_not_be_is_refused(rows, message):
    frame = pandas.DataFrame(X, columns=list("abcde")).assign(f=np.arange(300) % 3)
    vae = VAE(**SMALL | {"epochs": 1}).fit(frame)
    with pytest.raises(ValueError, match=message):
        vae.score_samples(rows)


def test_a_pipeline_of_frames_goes_on_with_frames():
    frame = pandas.DataFrame(X, columns=list("abcde"))
    piped = make_pipeline(StandardScaler().set_output(transform="pandas"), VAE(**SMALL)).fit(frame)
    assert piped.transform(frame).shape == (300, 2)
    assert list(piped[-1].sample(3)) == list("abcde")
    np.testing.assert_array_equal(clone(piped).fit(frame).score_samples(frame), piped.score_samples(frame))
