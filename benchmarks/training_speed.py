"""Time of an epoch of VAE 784-512-16-512-784 on 60,000 rows in batches of 128, and the held-out bound of each.

The contenders take turns in one process, so that what else the machine does falls on all of them; medians are printed.
The peer is optional, and lives in an environment of its own beside this one's packages:

    python -m venv ../peers
    realpath .venv/lib/python3*/site-packages > ../peers/lib/python3.11/site-packages/project.pth
    ../peers/bin/pip install --no-deps pythae pydantic pydantic-core annotated-types typing-inspection tqdm imageio
    PYTHONPATH=src ../peers/bin/python benchmarks/training_speed.py
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
from common import begin, mnist, note, parser, table
from torch import Tensor, nn
from torch.nn import functional as F

from latens import VAE
from latens.distributions import Bernoulli
from latens.neural.progress import Lines
from latens.nn import MLP
from latens.training import EpochEnd, Event, Started

Result = tuple[float, Callable[[Tensor], float]]
"""Seconds an epoch, and the mean -ELBO of given rows."""


def by_hand(X: Tensor, epochs: int) -> Result:
    """What one writes oneself: shuffled once an epoch, sliced, one fused Adam."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 32))
    decoder = nn.Sequential(nn.Linear(16, 512), nn.ReLU(), nn.Linear(512, 784))
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3, fused=True)

    def loss(x: Tensor) -> Tensor:
        mean, log_variance = encoder(x).chunk(2, 1)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        distortion = F.binary_cross_entropy_with_logits(decoder(z), x, reduction="sum")
        return (distortion - 0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()) / len(x)

    times = []
    for _ in range(epochs):
        start = time.perf_counter()
        shuffled = X[torch.randperm(len(X))]
        for i in range(0, len(X) - 127, 128):
            optimiser.zero_grad()
            loss(shuffled[i : i + 128]).backward()
            optimiser.step()
        times.append(time.perf_counter() - start)
    return median(times), lambda rows: torch.no_grad()(loss)(rows).item()


def ours(X: Tensor, epochs: int, precision: str = "auto") -> Result:
    """The estimator, telling its progress."""
    network = MLP((512,))
    model = VAE(
        latents=16,
        likelihood=Bernoulli(),
        encoder=network,
        decoder=network,
        epochs=epochs,
        batch_size=128,
        learning_rate=1e-3,
        precision=precision,
        validation_fraction=0.0,
        random_state=0,
    )
    times, show = [], Lines()

    def listen(event: Event) -> None:
        show(event)
        if isinstance(event, (Started, EpochEnd)):
            times.append(time.perf_counter())

    model._fit(model._source(X.numpy(), reset=True), listener=listen)
    return median(np.diff(times)), lambda rows: -model.score_samples(rows.numpy(), k=1).mean()


def pythae(X: Tensor, epochs: int) -> Result:
    """The leading library of VAEs, with its own default networks, which are these."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE as Peer
    from pythae.models import VAEConfig
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    logging.disable(logging.WARNING)
    model = Peer(VAEConfig(input_dim=(784,), latent_dim=16, reconstruction_loss="bce"))
    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = {"per_device_train_batch_size": 128, "learning_rate": 1e-3, "no_cuda": True}
        config = BaseTrainerConfig(output_dir=folder, num_epochs=epochs, **settings)
        trainer = BaseTrainer(model, BaseDataset(X, torch.zeros(len(X))), training_config=config)
        start = time.perf_counter()
        trainer.train()
        seconds = (time.perf_counter() - start) / epochs
    model.eval()
    return seconds, lambda rows: torch.no_grad()(model)({"data": rows})["loss"].item()


def main() -> None:
    """Takes turns, prints."""
    options = parser(__doc__ or "", threads=2)
    options.add_argument("--epochs", type=int, default=5, help="of each contender at each turn")
    options.add_argument("--repeats", type=int, default=3)
    given = begin(options)
    draw = np.random.default_rng(0)
    parts = {part: mnist(given.data, part).reshape(-1, 784) / 255 for part in ("train", "t10k")}
    X, test = (torch.from_numpy((draw.random(p.shape) < p).astype(np.float32)) for p in parts.values())
    contenders: dict[str, Callable[[Tensor, int], Result]] = {
        "by hand, fused Adam": by_hand,
        "latens, float32": lambda X, epochs: ours(X, epochs, "float32"),
        "latens, default precision": ours,
        "pythae": pythae,
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    bounds: dict[str, float] = {}
    for name in [name for _ in range(given.repeats) for name in contenders]:
        try:
            taken, bound = contenders[name](X, given.epochs)
        except ImportError as error:
            note(f"{name}: {error}")
            continue
        seconds[name].append(taken)
        bounds[name] = float(np.mean([bound(test) for _ in range(3)]))
        note(f"{name}: {taken:.2f} s an epoch, -ELBO {bounds[name]:.2f}")
    middle = {name: median(times) for name, times in seconds.items() if times}
    hand, peer = middle["by hand, fused Adam"], middle.get("pythae")
    rows = [
        [name, f"{t:.2f}", f"{t / hand:.2f}", f"{peer / t:.2f}" if peer else "not installed", f"{bounds[name]:.2f}"]
        for name, t in middle.items()
    ]
    columns = ["loop", "s/epoch", "x by hand", "times faster than pythae", f"-ELBO (test, {given.epochs} epochs)"]
    title = "Training speed, VAE 784-512-16-512-784, 60,000 rows, batch 128"
    table(f"{title}: targets float32 <= 1.05 by hand, >= 1.6 pythae; default >= 2.5", columns, rows, "pythae")


if __name__ == "__main__":
    main()
