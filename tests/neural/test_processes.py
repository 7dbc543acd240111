"""Estimators in several processes, as torchrun starts them."""

import os
import socket
import subprocess
import sys

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


def test_without_a_seed_all_processes_use_that_of_the_first():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = str(s.getsockname()[1])
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", SCRIPT],
            env={**os.environ, **group, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=100)[0].split() for process in processes]
    assert len(said[0]) == 2
    assert said[0] == said[1]
