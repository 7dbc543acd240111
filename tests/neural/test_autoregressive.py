"""Estimators whose likelihood sees neighbours: what they learn of a known entropy, and what they refuse."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import latens
from latens import VAE
from latens.distributions import AutoregressiveOf, Bernoulli, DiscretizedLogistic, MixtureOf, Normal
from latens.nn import MLP
from latens.objectives import ELBO, Sleep
from latens.presets import vae_gan
from latens.utils import InputError

DIGITS = load_digits().images[:200]
SMALL = {"encoder": MLP((32,)), "decoder": MLP((32,)), "batch_size": 50, "epochs": 2, "random_state": 0}
T, FLIP = 16, 0.1


def chains(n, seed, flips=(FLIP,)):
    """Signals of two values, each step other than the one before at a rate which is one of those given, by row."""
    rng = np.random.default_rng(seed)
    first, flipped = rng.integers(0, 2, (n, 1)), rng.random((n, T - 1)) < rng.choice(flips, (n, 1))
    return (np.concatenate([first, flipped], 1).cumsum(1) % 2).astype(np.uint8)[..., None]


ENTROPY = np.log(2) - (T - 1) * (FLIP * np.log(FLIP) + (1 - FLIP) * np.log(1 - FLIP))
"""Of a chain of one rate, in nats."""
SETTINGS = SMALL | {"epochs": 30, "learning_rate": 1e-2, "latents": 2}


@pytest.fixture(scope="module")
def learned():
    return [VAE(likelihood=p, **SETTINGS).fit(chains(1500, 0)) for p in (None, AutoregressiveOf())]


def test_a_markov_chain_is_told_to_its_entropy(learned):
    """Two latents cannot tell where the flips are; the step before can."""
    held_out = chains(2000, 1)
    plain, seeing = (-model.score(held_out) for model in learned)
    assert seeing == pytest.approx(ENTROPY, abs=0.1)
    assert plain > ENTROPY + 0.5


def test_its_draws_flip_as_often_as_the_data(learned):
    drawn = learned[1].sample(2000, random_state=1)
    assert drawn.shape == (2000, T, 1)
    assert drawn.dtype == np.uint8
    flips = np.diff(drawn[..., 0].astype(int), axis=1) != 0
    assert abs(flips.mean() - FLIP) < 0.02
    assert abs(drawn.mean() - 0.5) < 0.05


def test_no_other_row_moves_a_bit_of_a_score(learned):
    X = chains(40, 2)
    scores = learned[1].score_samples(X)
    order = np.random.default_rng(0).permutation(40)
    np.testing.assert_array_equal(learned[1].score_samples(X[order]), scores[order])
    np.testing.assert_array_equal(learned[1].score_samples(X[7:8]), scores[7:8])


def test_scores_are_the_evidence_where_latents_tell_the_rate():
    """log p(x) over a grid of both latents, to which the importance-weighted bound comes from below."""
    model = VAE(likelihood=AutoregressiveOf(), **SETTINGS).fit(chains(1000, 0, (0.05, 0.6)))
    X = chains(50, 4, (0.05, 0.6))
    side = torch.linspace(-6, 6, 97)
    z = torch.cartesian_prod(side, side)
    with torch.inference_mode():
        x = model.units_(torch.from_numpy(X.astype(np.float32)))
        log_joint = model.model_.likelihood(z[:, None].expand(-1, len(x), -1)).log_prob(x).double()
        log_joint += (-0.5 * z.double().square() - 0.5 * np.log(2 * np.pi)).sum(1, keepdim=True)
        evidence = (log_joint.logsumexp(0) + 2 * (side[1] - side[0]).log()).numpy()
    loose, tight = (model.score_samples(X, k=k) for k in (1, 4000))
    assert loose.mean() < evidence.mean() - 0.05  # z is used
    assert tight.mean() == pytest.approx(evidence.mean(), abs=0.01)


def test_the_family_is_what_the_data_ask_for(learned):
    assert learned[1].settings_["likelihood"] == AutoregressiveOf(Bernoulli())
    assert learned[1].reasons_["likelihood"] == "two levels"
    assert repr(learned[1].likelihood) == "AutoregressiveOf()"
    grey = VAE(likelihood=AutoregressiveOf(reach=1), **SMALL).fit(DIGITS)
    assert grey.settings_["likelihood"] == AutoregressiveOf(MixtureOf(DiscretizedLogistic(17), 4), 1)
    real = VAE(likelihood=AutoregressiveOf(reach=1), **SMALL).fit(
        DIGITS + 0.5 * np.random.default_rng(0).random((200, 8, 8))
    )
    assert real.settings_["likelihood"] == AutoregressiveOf(Normal("shared"), 1)


def test_saved_and_reloaded_it_is_the_same(learned, tmp_path):
    X, model = chains(20, 3), learned[1]
    model.save(tmp_path / "model.latens")
    again = latens.load(tmp_path / "model.latens")
    np.testing.assert_array_equal(again.score_samples(X), model.score_samples(X))
    np.testing.assert_array_equal(again.sample(5, random_state=0), model.sample(5, random_state=0))
    np.testing.assert_array_equal(again.reconstruct(X), model.reconstruct(X))


def test_what_it_makes_up_itself_teaches_its_posterior():
    model = VAE(likelihood=AutoregressiveOf(reach=1), objective=ELBO() + 0.5 * Sleep(), **SMALL).fit(DIGITS)
    assert np.isfinite([row["loss"] for row in model.history_.rows]).all()


def holed():
    rows = DIGITS.copy()
    rows[0, 0, 0] = np.nan
    return rows


REFUSED = {
    "missing entries": (lambda: VAE(likelihood=AutoregressiveOf(), **SMALL).fit(holed()), "without missing entries"),
    "a table": (lambda: VAE(likelihood=AutoregressiveOf(Normal()), **SMALL).fit(DIGITS[:, 0]), "which have neighbours"),
    "other levels": (lambda: VAE(likelihood=AutoregressiveOf(Bernoulli()), **SMALL).fit(DIGITS), "expects two levels"),
    "text": (lambda: VAE(likelihood=AutoregressiveOf(), epochs=1).fit(["ab", "cd"] * 20), "got Strings"),
    "a mean": (lambda: vae_gan(likelihood=AutoregressiveOf(), **SMALL).fit(DIGITS), "likelihood with a mean"),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_what_asks_for_some_entries_alone_is_refused():
    model = VAE(likelihood=AutoregressiveOf(reach=1), **SMALL).fit(DIGITS)
    with pytest.raises(InputError, match="missing entries"):
        model.score_samples(holed())
    with pytest.raises(InputError, match="missing entries"):
        model.complete(holed())
    with pytest.raises(InputError, match="missing entries"):
        model.sample(3, given=holed()[0])
