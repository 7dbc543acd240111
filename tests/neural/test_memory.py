"""Data larger than memory: however many rows there are, few are read at once and little is kept of them."""

import numpy as np
import pytest

from latens import VAE, AutoEncoder
from latens.cli.study import examine
from latens.data import Schema, Source
from latens.distributions import Normal
from latens.metrics.evaluate import evaluate
from latens.neural import base, units
from latens.neural.task import Task
from latens.nn import MLP

SMALL = {"latents": 2, "encoder": MLP((16,)), "decoder": MLP((16,)), "epochs": 1, "batch_size": 32, "random_state": 0}
BLOCK = 256


class Streamed(Source):
    """Images made when they are asked for; it remembers how many were asked for at once."""

    in_memory = False

    def __init__(self, n, shape=(6, 6)):
        self.n, self.schema, self.asked = n, Schema("image", shape, "uint8", 0.0, 255.0, 256), []
        self.skipped, self.notes = [], []

    def __len__(self):
        return self.n

    def take(self, indices):
        self.asked.append(len(indices))
        rows = [np.random.default_rng(int(i)).integers(0, 256, self.schema.shape, dtype=np.uint8) for i in indices]
        return np.stack(rows)


@pytest.fixture(scope="module")
def source():
    return Streamed(3000)


@pytest.fixture(scope="module")
def vae(source):
    return VAE(**SMALL)._fit(source)


ESTIMATORS = {
    "VAE": lambda: VAE(**SMALL),
    "VAE, calibrated at its end": lambda: VAE(**SMALL, likelihood=Normal("optimal")),
    "AutoEncoder": lambda: AutoEncoder(**SMALL),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_training_reads_a_first_batch_and_then_batches(name, monkeypatch):
    monkeypatch.setattr(base, "_NUMBERS", 36 * 500)
    monkeypatch.setattr(units, "_ELEMENTS", 36 * 500)
    source = Streamed(2000)
    ESTIMATORS[name]()._fit(source)
    begun = source.asked.index(32)
    assert all(250 < rows <= 500 for rows in source.asked[:begun])
    others = source.asked[begun:]
    assert sum(others) >= 1800 // 32 * 32 + 200
    assert max(others) <= 2 * 32


def test_a_first_batch_of_large_images_is_small():
    estimator, large = VAE(**SMALL), Streamed(5000, (64, 64, 3))
    estimator._set_up(large)
    site = estimator._first(large, np.arange(5000), None)
    assert 1 << 24 < site.batch.numel() <= 1 << 25


USES = {
    "transform": lambda m, s: m.transform(s),
    "reconstruct": lambda m, s: m.reconstruct(s),
    "reconstruction_error": lambda m, s: m.reconstruction_error(s),
    "score_samples": lambda m, s: m.score_samples(s, k=2),
    "evaluate": lambda m, s: evaluate(m, s, k=2),
    "examine": lambda m, s: examine(m, s, "streamed"),
}


@pytest.mark.parametrize("name", USES)
def test_a_model_reads_rows_in_blocks(name, vae, source):
    source.asked.clear()
    USES[name](vae, source)
    assert 0 < max(source.asked) <= BLOCK


def test_large_steps_are_not_recorded():
    recorded = []
    for side in (32, 64):
        estimator, source = VAE(**SMALL | {"batch_size": 64}), Streamed(100, (side, side, 3))
        estimator._set_up(source)
        model = estimator._untrained(estimator._first(source, np.arange(100), None))
        recorded.append(estimator._replayable(Task(model, estimator.objective, estimator.units_, 100)))
    assert recorded == [True, False]  # 64 * 12 * 32 * 32 * 3 is 2.4 million parameters of mixtures, four times that 9.4
