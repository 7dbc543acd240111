"""How long training would take: what is made of the times, whatever they are; and that trying leaves no trace."""

import itertools

import numpy as np
import pytest
import torch

from latens import VAE, AutoEncoder
from latens.data import ArraySource, Schema, Source
from latens.neural.forecast import training_seconds
from latens.nn import MLP

X = np.random.default_rng(0).normal(size=(1000, 3))
SETTINGS = {"latents": 2, "encoder": MLP((8,)), "decoder": MLP((8,)), "epochs": 7, "batch_size": 100, "random_state": 0}


def ticking(seconds):
    """A clock that moves on by so much whenever it is looked at."""
    ticks = itertools.count()
    return lambda: seconds * next(ticks)


def forecast(estimator, source, tick):
    estimator._set_up(source)
    return training_seconds(estimator, source, ticking(tick))


def streamed():
    source = ArraySource(X)
    source.in_memory = False
    return source


CASES = {  # 900 rows to train on in 9 steps, 100 held out, 7 times; the clock is looked at twice a step or a reading
    "quick": (ArraySource(X), 0.005, 7 * (9 * 0.005 + 0.005)),
    "as long for 100 rows as for 8": (ArraySource(X), 0.012, 7 * (9 * 0.012 + 0.012)),
    "slow, timed on 8 rows": (ArraySource(X), 1.0, 7 * (900 / 8 + 100 / 8)),
    "streamed": (streamed(), 0.005, 7 * 2 * (9 * 0.005 + 0.005)),
    "streamed, timed on 8 rows": (streamed(), 1.0, 7 * 2 * (900 / 8 + 100 / 8)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_forecast_is_the_time_of_all_steps_and_all_held_out_rows(name):
    source, tick, seconds = CASES[name]
    assert forecast(VAE(**SETTINGS), source, tick) == pytest.approx(seconds, rel=1e-6)
    assert forecast(AutoEncoder(**SETTINGS), source, tick) == pytest.approx(seconds, rel=1e-6)


def test_fewer_epochs_and_no_held_out_rows_take_less():
    fewer = VAE(**SETTINGS | {"epochs": 2, "validation_fraction": 0.0})
    assert forecast(fewer, ArraySource(X), 0.005) == pytest.approx(2 * 10 * 0.005)


class Huge(Source):
    in_memory = False
    schema = Schema("image", (1500, 1500), "uint8", 0.0, 255.0, 256)

    def __len__(self):
        return 100

    def take(self, indices):
        raise AssertionError("not to be read")


def test_huge_examples_are_not_tried():
    assert forecast(VAE(**SETTINGS), Huge(), 1.0) is None


def weights(estimator):
    return list(estimator.model_.state_dict().values())


@pytest.mark.parametrize("labels", [None, np.arange(1000) % 3])
def test_trying_changes_neither_random_state_nor_estimator_nor_weights(labels):
    source = ArraySource(X, labels)
    settings = SETTINGS | {"condition": None if labels is None else "y", "encoder": torch.nn.Linear(3 + 3, 4)}
    settings |= {"encoder": MLP((8,))} if labels is None else {}
    tried, plain = VAE(**settings), VAE(**settings)._fit(source)
    tried._set_up(source)
    known, before = dict(vars(tried)), torch.get_rng_state()
    assert training_seconds(tried, source) > 0
    assert (torch.get_rng_state() == before).all()
    assert vars(tried) == known
    tried._train(source)
    assert all((a == b).all() for a, b in zip(weights(tried), weights(plain), strict=True))
    if labels is not None:
        assert (settings["encoder"].weight == tried.encoder.weight).all()
