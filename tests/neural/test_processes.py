"""Estimators in several processes, as torchrun starts them."""

import pytest
import torch

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed")

SCRIPT = """
import hashlib
import numpy as np
from latens import VAE
from latens.nn import MLP
rng = np.random.default_rng(0)
X = rng.normal(size=(100, 2)) @ rng.normal(size=(2, 4))
vae = VAE(epochs=2, encoder=MLP((8,)), decoder=MLP((8,))).fit(X)
print(vae.seed_, hashlib.sha1(vae.score_samples(X).tobytes()).hexdigest())
"""


def test_without_a_seed_all_processes_use_that_of_the_first(group):
    processes = group(2, SCRIPT)
    assert [process.wait() for process in processes] == [0, 0]
    said = [process.said()[0].split() for process in processes]
    assert len(said[0]) == 2
    assert said[0] == said[1]
