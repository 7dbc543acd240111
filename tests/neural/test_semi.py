"""Rows of which few have a label."""

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

import latens
from latens import SemiSupervisedVAE
from latens.distributions import DiscretizedLogistic, Normal
from latens.metrics import evaluate
from latens.models import AutoregressiveCodes, FiniteScalar, GumbelSoftmax, Hamiltonian, PlanarFlow, VectorQuantised
from latens.neural.conditions import Labels
from latens.nn import MLP
from latens.objectives import ELBO, Distortion, ImportanceWeighted, Players, Rate
from latens.utils import InputError

RNG = np.random.default_rng(0)
CLASS = RNG.integers(0, 3, 300)
TABLE = np.array([[0.0, 4.0], [4.0, 0.0], [-3.0, -3.0]])[CLASS] + RNG.normal(size=(300, 2))
SOME = np.where(np.arange(300) % 10 == 0, CLASS, -1)
NETWORKS = {"encoder": MLP((16,)), "decoder": MLP((16,)), "classifier": MLP((16,))}
SMALL = {"latents": 1, **NETWORKS, "learning_rate": 0.01, "random_state": 0}


@pytest.fixture(scope="module")
def fitted():
    return SemiSupervisedVAE(epochs=40, **SMALL).fit(TABLE, SOME)


def test_probabilities_sum_to_one_and_tell_the_classes(fitted):
    found = fitted.predict_proba(TABLE)
    np.testing.assert_allclose(found.sum(1), 1.0, rtol=1e-12)
    assert (found >= 0).all()
    assert (fitted.predict(TABLE) == CLASS).mean() > 0.9
    np.testing.assert_array_equal(fitted.classes_, [0, 1, 2])


def test_the_density_of_rows_is_the_sum_of_those_of_rows_with_each_label(fitted):
    rows = TABLE[:30]
    each = np.stack([fitted.score_samples(rows, np.full(30, c), k=5) for c in range(3)])
    np.testing.assert_allclose(logsumexp(each, axis=0), fitted.score_samples(rows, k=5), rtol=0, atol=1e-5)
    mixed = fitted.score_samples(rows, np.where(np.arange(30) < 10, 2, -1), k=5)
    np.testing.assert_allclose(mixed[:10], each[2, :10], atol=1e-6)
    np.testing.assert_allclose(mixed[10:], logsumexp(each, axis=0)[10:], atol=1e-5)
    assert fitted.score(rows) > -5.0


def test_scores_are_functions_of_the_row(fitted, monkeypatch):
    whole = fitted.score_samples(TABLE[:40], k=20)
    np.testing.assert_array_equal(fitted.score_samples(TABLE[7:9], k=20), whole[7:9])
    np.testing.assert_array_equal(fitted.score_samples(TABLE[:40][::-1], k=20)[::-1], whole)
    monkeypatch.setattr("latens.neural.semi.block_shape", lambda units, k: (8, 7))
    assert np.abs(fitted.score_samples(TABLE[:8], k=201) - fitted.score_samples(TABLE[:8], k=200)).max() < 0.3
    np.testing.assert_allclose(fitted.score_samples(TABLE[:8], k=20), whole[:8], rtol=0, atol=1.0)


def test_samples_are_of_the_class_that_is_asked_for(fitted):
    for c in range(3):
        made = fitted.sample(500, y=c)
        centre = TABLE[c == CLASS].mean(0)
        assert np.abs(made.mean(0) - centre).max() < 0.6
        np.testing.assert_allclose(fitted.inverse_transform(np.zeros((1, 1)), y=c)[0], centre, atol=1.5)
    share = np.bincount(SOME[SOME >= 0], minlength=3) + 1.0
    log_frequency = fitted.model_.log_frequency.exp().numpy()
    np.testing.assert_allclose(log_frequency, share / share.sum(), rtol=1e-6)


def test_a_saved_one_is_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "semi.latens")
    again = latens.load(tmp_path / "semi.latens")
    np.testing.assert_array_equal(again.score_samples(TABLE[:9]), fitted.score_samples(TABLE[:9]))
    np.testing.assert_array_equal(again.predict_proba(TABLE), fitted.predict_proba(TABLE))
    np.testing.assert_array_equal(again.sample(5), fitted.sample(5))
    assert repr(again) == repr(fitted)


def test_it_is_judged_by_its_density_and_what_it_rebuilds(fitted):
    found = evaluate(fitted, TABLE[:50], k=4)
    assert found.log_likelihood == pytest.approx(fitted.score_samples(TABLE[:50], k=4).mean())
    assert found.reconstruction_error == pytest.approx(
        np.square(fitted.reconstruct(TABLE[:50]) - TABLE[:50]).mean(), rel=1e-4
    )


def test_few_labels_and_many_rows_beat_few_labels():
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.images))
    test, train = order[:600], order[600:]
    X, y = digits.images[train], digits.target[train]
    labelled = np.concatenate([np.flatnonzero(y == c)[:10] for c in range(10)])
    some = np.full(len(y), -1)
    some[labelled] = y[labelled]
    networks = {name: MLP((128,)) for name in NETWORKS}
    settings = {"latents": 8, "likelihood": DiscretizedLogistic(17), "learning_rate": 3e-3, "random_state": 0}
    model = SemiSupervisedVAE(epochs=40, batch_size=128, **settings, **networks).fit(X, some)
    supervised = LogisticRegression(max_iter=2000).fit(X[labelled].reshape(100, -1), y[labelled])
    error = (model.predict(digits.images[test]) != digits.target[test]).mean()
    theirs = 1 - supervised.score(digits.images[test].reshape(600, -1), digits.target[test])
    assert error < 0.8 * theirs
    assert error < 0.09


PARTS = {
    "a flow": {"posterior": PlanarFlow(transforms=2)},
    "Hamiltonian steps": {"posterior": Hamiltonian(steps=2)},
    "levels": {"posterior": FiniteScalar((3, 3)), "prior": AutoregressiveCodes(MLP((8,))), "latents": 2},
    "one-hot codes": {"posterior": GumbelSoftmax(4)},
    "players": {"objective": Players(posterior=ELBO(), rest=Distortion() + 0.5 * Rate(), steps=2)},
}


@pytest.mark.parametrize("name", PARTS)
def test_it_takes_any_posterior_and_players(name, tmp_path):
    model = SemiSupervisedVAE(**SMALL | {"epochs": 15} | PARTS[name]).fit(TABLE, SOME)
    assert (model.predict(TABLE) == CLASS).mean() > 0.8
    scores = model.score_samples(TABLE[:20])
    assert scores.mean() > model.score_samples(TABLE[:20] + 9.0).mean()
    z = model.transform(TABLE[:5], y=CLASS[:5])
    assert z.shape == (5, model.latents)
    np.testing.assert_array_equal(model.inverse_transform(z, y=CLASS[:5]), model.reconstruct(TABLE[:5], y=CLASS[:5]))
    model.save(tmp_path / "semi.latens")
    again = latens.load(tmp_path / "semi.latens")
    np.testing.assert_array_equal(again.score_samples(TABLE[:20]), scores)
    np.testing.assert_array_equal(again.sample(3, y=1), model.sample(3, y=1))


KINDS = {
    "minus one": np.array([3, -1, 5, -1]),
    "nan": np.array([3.0, np.nan, 5.0, np.nan]),
    "none": np.array([3, None, 5, None], dtype=object),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_label_that_is_not_known_has_three_names(name):
    y = KINDS[name]
    labels = Labels.of(y, 4)
    assert labels.classes == (3, 5)
    np.testing.assert_array_equal(labels.encode(y, 4), [[1, 0], [0, 0], [0, 1], [0, 0]])


def test_names_are_labels_too():
    y = np.array(["cat", None, "dog", "cat"], dtype=object)
    labels = Labels.of(y, 4)
    np.testing.assert_array_equal(labels.encode(y, 4), [[1, 0], [0, 0], [0, 1], [1, 0]])
    np.testing.assert_array_equal(labels.encode("dog", 2), [[0, 1], [0, 1]])


def test_rows_may_have_gaps():
    X = np.where(RNG.random(TABLE.shape) < 0.2, np.nan, TABLE)
    model = SemiSupervisedVAE(epochs=2, **SMALL).fit(X, SOME)
    assert np.isfinite(model.score_samples(X)).all()
    assert np.isfinite(model.predict_proba(X)).all()
    assert model.score_samples(np.full((1, 2), np.nan)).tolist() == [0.0]


WRONG = {
    "no labels": (lambda m: m.fit(TABLE), "Expected labels"),
    "none known": (lambda m: m.fit(TABLE, np.full(300, -1)), "at least 2 classes"),
    "too few": (lambda m: m.fit(TABLE, SOME[:20]), "one label for each of 300 rows"),
    "another class": (lambda m: m.fit(TABLE, SOME).score_samples(TABLE, CLASS + 1), r"not fitted: \[3\]"),
    "a point of no class": (lambda m: m.fit(TABLE, SOME).inverse_transform(np.zeros((1, 1))), "depends on y"),
    "a scale in closed form": (
        lambda m: m.set_params(likelihood=Normal("optimal")).fit(TABLE, SOME),
        "of its own scale",
    ),
    "a codebook": (lambda m: m.set_params(posterior=VectorQuantised(4)).fit(TABLE, SOME), "follow classes of no mass"),
    "one-hot draws that are weighed": (
        lambda m: m.set_params(posterior=GumbelSoftmax(4), objective=ImportanceWeighted(4)).fit(TABLE, SOME),
        "hard=False",
    ),
    "alpha": (lambda m: m.set_params(alpha=-1).fit(TABLE, SOME), "alpha"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_refused_in_one_line(name):
    call, message = WRONG[name]
    with pytest.raises(InputError, match=message) as caught:
        call(SemiSupervisedVAE(epochs=1, **SMALL))
    assert "\n" not in str(caught.value)
