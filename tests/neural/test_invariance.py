"""A score is a function of the model, the row and the seed: to the bit, wherever the row stands."""

import copy
import random

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from latens import VAE, AutoEncoder
from latens.data import load
from latens.distributions import Bernoulli, DiscretizedLogistic, MixtureOf, Normal
from latens.metrics import evaluate
from latens.models import AutoregressiveCodes, ConvLadder, Ladder, VectorQuantised
from latens.nn import MLP, Conv, Transformer

pytestmark = pytest.mark.filterwarnings("ignore:posterior collapse")  # of three epochs
RNG = np.random.default_rng(0)
TABLE = RNG.integers(-9, 9, size=(600, 5)) * 0.5 + RNG.integers(0, 2, size=(600, 1)) * 3.0 + 0.25
DIGITS = load_digits().images
CONV = Conv((4, 8), blocks=1, patch=2, hidden=0)
FEW = {"epochs": 3, "random_state": 0}
SMALL = {"encoder": MLP((16,)), "decoder": MLP((16,)), "latents": 3, "epochs": 3, "random_state": 0}

GAPS = np.where(np.random.default_rng(2).random(TABLE.shape) < 0.3, np.nan, TABLE)

FITS = {
    "table": lambda: (VAE(likelihood=Normal("element"), **SMALL), TABLE),
    "gaps": lambda: (VAE(likelihood=Normal("element"), **SMALL), GAPS),
    "levels": lambda: (VAE(likelihood=MixtureOf(DiscretizedLogistic(17), 2), **SMALL), DIGITS),
    "convolution": lambda: (VAE(**SMALL | {"encoder": CONV, "decoder": CONV}), DIGITS[:200]),
    "map of codes": lambda: (
        VAE(
            latents=(4, 4),
            posterior=VectorQuantised(16, 4),
            prior=AutoregressiveCodes(Transformer(16, 1, 2)),
            encoder=Conv((4,), 1, patch=2),
            decoder=Conv((4,), 1, patch=2),
            **FEW,
        ),
        DIGITS[:200],
    ),
    "ladder": lambda: (VAE(hierarchy=Ladder((3, 2), width=16), likelihood=Normal("element"), **FEW), GAPS),
    "ladder of images": lambda: (VAE(hierarchy=ConvLadder((1, 2), (4, 8), levels=2), **FEW), DIGITS[:200, 2:7, 1:5]),
}


@pytest.fixture(scope="module", params=FITS)
def fitted(request):
    estimator, X = FITS[request.param]()
    return estimator.fit(X), X


WHATS = {
    "scores": lambda e, X: e.score_samples(X, k=5),
    "many draws": lambda e, X: e.score_samples(X, k=512),
    "latents": lambda e, X: e.transform(X),
    "reconstructions": lambda e, X: e.reconstruct(X),
    "errors": lambda e, X: e.reconstruction_error(X),
}


@pytest.mark.parametrize("what", WHATS.values(), ids=WHATS)
def test_neither_order_nor_subset_nor_place_moves_a_bit(fitted, what):
    estimator, X = fitted
    rows = X[:24]
    whole = what(estimator, rows)
    order = np.random.default_rng(1).permutation(24)
    np.testing.assert_array_equal(what(estimator, rows[order]), whole[order])
    np.testing.assert_array_equal(what(estimator, rows[7:10]), whole[7:10])
    np.testing.assert_array_equal(what(estimator, rows[[23]]), whole[[23]])
    np.testing.assert_array_equal(what(estimator, np.concatenate([X[50:60], rows]))[10:], whole)
    np.testing.assert_array_equal(what(estimator, load(rows)), whole)
    assert len(np.unique(whole, axis=0)) > 18


def test_the_type_of_the_same_numbers_moves_no_bit(fitted):
    estimator, X = fitted
    rows = X[:20]
    scores = estimator.score_samples(rows, k=16)
    for same in (rows.astype(np.float32), np.asfortranarray(rows), rows[::-1][::-1]):
        np.testing.assert_array_equal(estimator.score_samples(same, k=16), scores)
    if np.isfinite(rows).all() and (rows == rows.astype(int)).all():
        np.testing.assert_array_equal(estimator.score_samples(rows.astype(np.uint8), k=16), scores)


def test_the_same_seed_gives_the_same_bits(fitted):
    estimator, X = fitted
    again = type(estimator)(**estimator.get_params(deep=False)).fit(X)
    for (name, a), b in zip(estimator.model_.state_dict().items(), again.model_.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    np.testing.assert_array_equal(estimator.score_samples(X[:20]), again.score_samples(X[:20]))
    np.testing.assert_array_equal(estimator.sample(50), again.sample(50))
    assert [row["loss"] for row in estimator.history_.rows] == [row["loss"] for row in again.history_.rows]


def test_another_seed_gives_another_model(fitted):
    estimator, X = fitted
    other = type(estimator)(**estimator.get_params(deep=False) | {"random_state": 1, "epochs": 1}).fit(X)
    a, b = (next(iter(e.model_.parameters())) for e in (estimator, other))
    assert not torch.equal(a, b)


def test_draws_follow_their_seed(fitted):
    estimator, _ = fitted
    np.testing.assert_array_equal(estimator.sample(20, random_state=5), estimator.sample(20, random_state=5))
    assert not np.array_equal(estimator.sample(20, random_state=5), estimator.sample(20, random_state=6))


def test_the_hosts_random_state_is_left_alone():
    torch.manual_seed(11)
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    vae = VAE(likelihood=Normal("shared"), **SMALL).fit(TABLE)
    vae.score_samples(TABLE[:10])
    vae.sample(5)
    vae.reconstruct(TABLE[:5])
    evaluate(vae, TABLE[:20], k=4)
    AutoEncoder(**SMALL | {"epochs": 1}).fit(TABLE).transform(TABLE[:3])
    after = random.getstate(), np.random.get_state()[1], torch.get_rng_state()  # noqa: NPY002
    assert before[0] == after[0]
    assert (before[1] == after[1]).all()
    assert torch.equal(before[2], after[2])


def test_what_the_host_draws_does_not_change_a_fit():
    torch.manual_seed(1)
    a = VAE(likelihood=Normal("shared"), **SMALL).fit(TABLE).score_samples(TABLE[:5])
    torch.manual_seed(2)
    b = VAE(likelihood=Normal("shared"), **SMALL).fit(TABLE).score_samples(TABLE[:5])
    np.testing.assert_array_equal(a, b)


def test_scoring_leaves_the_model_as_it_was():
    vae = VAE(likelihood=Normal("shared"), **SMALL).fit(TABLE)
    before = copy.deepcopy(vae.model_.state_dict())
    vae.score_samples(TABLE)
    evaluate(vae, TABLE, k=2)
    assert all(torch.equal(before[name], t) for name, t in vae.model_.state_dict().items())
    assert not vae.model_.training


def test_a_score_is_differentiable_after_scoring():
    """Nothing made while scoring without gradients is left in the model."""
    vae = VAE(likelihood=Bernoulli(), **SMALL).fit((DIGITS > 7).astype(np.uint8))
    vae.score_samples((DIGITS[:3] > 7).astype(np.uint8))
    x = torch.zeros(2, 1, 8, 8)
    z = vae.model_.posterior(x).rsample()
    (vae.model_.prior().log_prob(z) + vae.model_.likelihood(z).log_prob(x)).sum().backward()
    assert all(p.grad is not None for p in vae.model_.posterior.parameters())


def test_the_weights_of_two_fits_of_one_estimator_do_not_mix():
    vae = VAE(likelihood=Normal("shared"), **SMALL)
    first = vae.fit(TABLE).score_samples(TABLE[:5])
    vae.fit(TABLE[::-1].copy() * 2.0)
    np.testing.assert_array_equal(vae.fit(TABLE).score_samples(TABLE[:5]), first)
