"""What the estimators promise: conditions, recovery, collapse, priors, and one clear line where something is wrong."""

import copy
import math
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_digits

from latens import VAE, AutoEncoder, Histogram
from latens.distributions import Bernoulli, MixtureOf, NegativeBinomial, Normal, Poisson
from latens.models import Free
from latens.neural import PosteriorCollapse
from latens.nn import MLP, Conv
from latens.objectives import Distortion, FreeBits, ImportanceWeighted, Rate
from latens.training import Linear, TrainingError
from latens.utils.errors import InputError

DIGITS, LABELS = load_digits(return_X_y=True)
IMAGES = DIGITS.reshape(-1, 8, 8)
RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(500, 2)) @ RNG.normal(size=(2, 6)) + 0.2 * RNG.normal(size=(500, 6))
SMALL = {"latents": 2, "encoder": MLP((32,)), "decoder": MLP((32,)), "epochs": 15, "random_state": 0}


def fitted(**settings):
    return VAE(**SMALL | {"learning_rate": 0.01} | settings)


# -- conditions


@pytest.fixture(scope="module")
def conditional():
    return fitted(condition="y", likelihood=Bernoulli(), learning_rate=2e-3, epochs=30).fit(bits(IMAGES), LABELS)


def bits(images):
    return (images > 7.5).astype(np.uint8)


def nearest_mean(images):
    means = np.stack([bits(IMAGES)[y == LABELS].mean(0) for y in range(10)])
    return np.square(images[:, None] - means).sum((2, 3)).argmin(1)


def test_samples_are_of_the_class_asked_for(conditional):
    for digit in (0, 3, 6):
        assert (nearest_mean(conditional.sample(100, y=digit)) == digit).mean() > 0.6
    each = np.arange(10).repeat(20)
    assert (nearest_mean(conditional.sample(200, y=each, mean=True)) == each).mean() > 0.8


def test_the_density_given_the_right_class_is_higher(conditional):
    X = bits(IMAGES)[:100]
    scores = np.stack([conditional.score_samples(X, np.full(100, y), k=32) for y in range(10)], 1)
    assert (scores.argmax(1) == LABELS[:100]).mean() > 0.85
    assert (np.ptp(scores, axis=1) > 1).all()


def test_codes_and_decodings_depend_on_the_class(conditional):
    X, z = bits(IMAGES)[:4], np.zeros((4, 2))
    assert np.abs(conditional.transform(X, LABELS[:4]) - conditional.transform(X, (LABELS[:4] + 1) % 10)).max() > 0.01
    decoded = conditional.inverse_transform(z, [1, 1, 8, 8])
    np.testing.assert_array_equal(decoded[0], decoded[1])
    assert not np.array_equal(decoded[0], decoded[2])


CONDITIONS = {
    "unknown class": (lambda c: c.sample(3, y=10), r"not fitted: \[10\]; fitted were \[0, 1, 2"),
    "unknown among known": (lambda c: c.score_samples(bits(IMAGES[:2]), [1, 77]), r"not fitted: \[77\]"),
    "no class": (lambda c: c.sample(3), r"p\(x \| y\): give y, one of \[0, 1"),
    "too few": (lambda c: c.transform(bits(IMAGES[:3]), [1, 2]), "one label for each of 3 rows; got 2"),
    "none to fit": (lambda c: fitted(condition="y").fit(TABLE), r"expects labels; got none. Call fit\(X, y\)"),
    "too few to fit": (lambda c: fitted(condition="y").fit(TABLE, [1, 2]), "got 2 labels"),
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_that_cannot_be_met_is_refused(name, conditional):
    call, message = CONDITIONS[name]
    with pytest.raises(InputError, match=message):
        call(conditional)


def test_labels_are_ignored_unless_asked_for():
    a, b = fitted(epochs=1).fit(TABLE), fitted(epochs=1).fit(TABLE, RNG.integers(0, 2, 500))
    np.testing.assert_array_equal(a.score_samples(TABLE), b.score_samples(TABLE))


def test_a_convolution_is_conditioned_by_constant_channels():
    vae = VAE(latents=2, encoder=Conv((8,), 1), decoder=Conv((8,), 1), condition="y", epochs=8, random_state=0)
    vae = vae.set_params(likelihood=Bernoulli(), learning_rate=0.01).fit(bits(IMAGES), LABELS)
    drawn = vae.sample(100, y=np.arange(10).repeat(10), mean=False)
    assert (nearest_mean(drawn) == np.arange(10).repeat(10)).mean() > 0.3


def test_classes_may_be_words():
    words = np.array(["low", "high"])[(TABLE[:, 0] > 0).astype(int)]
    vae = fitted(condition="y", likelihood=Normal("shared")).fit(TABLE, words)
    assert vae.sample(500, y="high")[:, 0].mean() > vae.sample(500, y="low")[:, 0].mean() + 0.5


# -- training that goes wrong


def test_steps_that_are_far_too_large_end_in_one_clear_line():
    vae = fitted(learning_rate=1e18, clip=None, epochs=5, likelihood=Normal(1.0))
    with pytest.raises(TrainingError, match=r"after 3 recoveries.*lower the learning rate"):
        vae.fit(TABLE)


def test_one_poisoned_step_is_undone(monkeypatch):
    from latens.neural.task import Task

    calls, original = [], Task.__call__

    def poisoned(self, batch, progress):
        terms = original(self, batch, progress)
        if self.model.training:
            calls.append(None)
            if len(calls) == 30:
                return {**terms, "loss": terms["loss"] * math.nan}
        return terms

    monkeypatch.setattr(Task, "__call__", poisoned)
    vae = fitted(likelihood=Normal("shared")).fit(TABLE)
    assert vae.history_.recoveries + vae.history_.skipped >= 1
    assert vae.score(TABLE) > fitted(likelihood=Normal("shared"), epochs=1).fit(TABLE).score(TABLE)


def test_collapse_is_reported_with_its_remedy():
    with pytest.warns(PosteriorCollapse, match=r"0 of 2 latent dimensions carry information.*FreeBits") as caught:
        vae = fitted(likelihood=Normal(10.0)).fit(TABLE)
    assert vae.active_units_ == 0
    assert len(caught) == 1
    assert caught[0].filename == __file__


REMEDIES = {
    "the likelihood learns its scale": {"likelihood": Normal("shared")},
    "some of it is free": {"likelihood": Normal(10.0), "objective": Distortion() + FreeBits(0.5)},
    "the rate weighs little": {"likelihood": Normal(10.0), "objective": Distortion() + 1e-3 * Rate()},
}


@pytest.mark.parametrize("name", REMEDIES)
def test_a_model_that_uses_its_latents_is_not_reported(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vae = fitted(**REMEDIES[name]).fit(TABLE)
    assert vae.active_units_ == 2


# -- fitting better


def test_training_raises_the_score():
    short, long = (fitted(likelihood=Normal("shared"), epochs=n).fit(TABLE).score(TABLE) for n in (1, 30))
    assert long > short + 1.0
    gaussian = -0.5 * (np.linalg.slogdet(2 * np.pi * np.cov(TABLE.T))[1] + 6)
    assert long == pytest.approx(gaussian, abs=0.6)


OBJECTIVES = {
    "iwae": ImportanceWeighted(5),
    "beta": Distortion() + 0.5 * Rate(),
    "warm up": Distortion() + Linear(0.0, 1.0, until=0.5) * Rate(),
    "free bits": Distortion() + FreeBits(0.1),
}


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_every_objective_trains(objective):
    start = fitted(likelihood=Normal("shared"), epochs=1, objective=objective).fit(TABLE).score(TABLE)
    assert fitted(likelihood=Normal("shared"), epochs=15, objective=objective).fit(TABLE).score(TABLE) > start + 0.5


def test_a_learned_prior_reaches_what_a_standard_one_does_not():
    """Two clusters far apart in one latent dimension: a mixture prior may follow them."""
    rng = np.random.default_rng(1)
    centres = np.where(rng.random((600, 1)) < 0.5, -3.0, 3.0)
    X = centres + 0.3 * rng.normal(size=(600, 3))
    mixture = Free(MixtureOf(Normal("element"), 4, over="event"))
    scores = [
        fitted(latents=1, likelihood=Normal("shared"), epochs=60, prior=p).fit(X).score_samples(X, k=200).mean()
        for p in (None, mixture)
    ]
    assert scores[1] > scores[0] + 0.2


# -- an autoencoder


@pytest.fixture(scope="module")
def autoencoder():
    return AutoEncoder(**SMALL | {"epochs": 40}, learning_rate=0.01).fit(TABLE)


def test_an_autoencoder_samples_once_a_prior_is_fitted(autoencoder):
    plain = copy.copy(autoencoder)
    with pytest.raises(InputError, match=r"call fit_prior\(GaussianMixture\(10\), X\) first"):
        plain.sample(3)
    plain.fit_prior(Histogram(bins=20), TABLE)
    drawn = plain.sample(4000, mean=True)
    np.testing.assert_allclose(drawn.mean(0), TABLE.mean(0), atol=0.15)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(plain.reconstruct(TABLE).T), atol=0.4)
    with pytest.raises(InputError, match="expects a density such as GaussianMixture"):
        plain.fit_prior(3, TABLE)


def test_an_autoencoder_has_no_score_samples_and_says_why(autoencoder):
    assert not hasattr(autoencoder, "score_samples")
    with pytest.raises(InputError, match="codes are points"):
        autoencoder.score_samples(TABLE)
    assert autoencoder.score(TABLE) == pytest.approx(-autoencoder.reconstruction_error(TABLE).mean())


def test_what_is_unusual_is_rebuilt_badly(autoencoder):
    usual, odd = (autoencoder.reconstruction_error(rows).mean() for rows in (TABLE[:100], TABLE[:100, ::-1]))
    assert odd > 4 * usual


def test_rows_come_back_through_the_latents(autoencoder):
    back = autoencoder.reconstruct(TABLE)
    np.testing.assert_allclose(autoencoder.inverse_transform(autoencoder.transform(TABLE)), back, atol=1e-5)
    assert np.mean((back - TABLE) ** 2) < 0.3 * TABLE.var()


# -- what cannot be


WRONG = {
    "one row": (lambda: fitted().fit(TABLE[:1]), "at least 2 examples; got 1 sample"),
    "infinite": (lambda: fitted().fit(np.where(TABLE > 2, np.inf, TABLE)), "infinity"),
    "bernoulli for reals": (lambda: fitted(likelihood=Bernoulli()).fit(TABLE), r"Bernoulli\(\) expects two levels"),
    "bernoulli for bytes": (lambda: fitted(likelihood=Bernoulli()).fit(IMAGES), "got 17 levels from 0 to 16"),
    "counts below zero": (lambda: fitted(likelihood=Poisson()).fit(TABLE), r"Poisson\(\) expects whole numbers"),
    "counts of halves": (lambda: fitted(likelihood=NegativeBinomial()).fit(TABLE), "expects whole numbers"),
    "device": (lambda: fitted(device="abacus").fit(TABLE), "device='abacus' cannot be used here"),
    "conv for a table": (lambda: fitted(encoder=Conv()).fit(TABLE), "Use MLP for vectors"),
    "latents": (lambda: fitted(epochs=1).fit(TABLE).inverse_transform(np.zeros((3, 5))), r"latent points \(n, 2\)"),
    "columns": (lambda: fitted(epochs=1).fit(TABLE).score_samples(TABLE[:, :4]), "4 features"),
    "draws": (lambda: fitted(epochs=1).fit(TABLE).score_samples(TABLE, k=0), "k must be a positive integer"),
    "rows to sample": (lambda: fitted(epochs=1).fit(TABLE).sample(0), "whole number of rows >= 1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_refused_in_one_line(name):
    call, message = WRONG[name]
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
