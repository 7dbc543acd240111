"""What a preset costs beside the same mathematics written by hand: processor time of an epoch, in one run.

Each loop by hand is what one writes for that model alone: one class of a few lines, one fused Adam, no bookkeeping.
Both have the same networks (784-512-16-512-784), batches of 128 and single precision, and take turns. Target: no preset
takes more than 1.1 times as long. The losses tell that both learn the same; ours is lower at first, since its decoder
begins at the rates of the data.

    python benchmarks/by_hand.py
    python benchmarks/by_hand.py --only iwae vamp_prior_vae --repeats 5
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import hand_written as hand
import hand_written_others as others
import numpy as np
import torch
from common import begin, mnist, mnist_labels, note, parser, table
from torch import Tensor

from latens import presets
from latens.distributions import AutoregressiveOf, Bernoulli
from latens.models import UniformCodes
from latens.nn import MLP
from latens.training import EpochEnd, Event

BATCH = 128
Kind = type[hand.Plain] | type[others.Density]
PAIRS: dict[str, tuple[Kind, dict[str, Any]]] = {
    "vae": (hand.Plain, {}),
    "beta_tcvae": (hand.TotalCorrelation, {}),
    "factor_vae": (hand.Factor, {}),
    "iwae": (hand.Importance, {}),
    "doubly_reparameterised_iwae": (hand.DoublyReparameterised, {}),
    "full_covariance_vae": (hand.FullCovariance, {}),
    "planar_flow_vae": (hand.Planar, {}),
    "iaf_vae": (hand.InverseAutoregressive, {}),
    "hamiltonian_vae": (hand.Leapfrog, {}),
    "categorical_vae": (hand.Categories, {}),
    "vq_vae": (hand.Codebook, {"classes": 64, "size": 8, "prior": UniformCodes()}),
    "mixture_prior_vae": (hand.Mixture, {}),
    "vamp_prior_vae": (hand.Vamp, {"k": 100}),
    "wasserstein_autoencoder": (hand.Discrepancy, {}),
    "adversarial_autoencoder": (hand.Adversarial, {}),
    "regularised_autoencoder": (hand.Regularised, {}),
    "pixel_vae": (others.Pixels, {"likelihood": AutoregressiveOf(Bernoulli())}),
    "ladder_vae": (others.Rungs, {}),
    "m2": (others.PartlyLabelled, {}),
    "masked_autoregressive_flow": (others.Autoregressive, {}),
    "real_nvp": (others.Coupled, {}),
    "neural_spline_flow": (others.Splines, {}),
}
LABELLED = 100
COMMON = {
    "latents": hand.L,
    "likelihood": Bernoulli(),
    "encoder": MLP((hand.WIDTH,)),
    "decoder": MLP((hand.WIDTH,)),
    "classifier": MLP((hand.WIDTH,)),
    "network": MLP((others.HIDDEN, others.HIDDEN)),
    "batch_size": BATCH,
    "learning_rate": 1e-3,
    "precision": "float32",
    "patience": 0,
    "validation_fraction": 0.0,
    "random_state": 0,
}
OWN = {"latents", "encoder", "decoder"}
"""Of these a hierarchy has its own."""

Result = tuple[list[float], float]
"""Processor seconds of each epoch, and the mean loss of the last."""


def by_hand(kind: Kind, rows: list[Tensor], epochs: int) -> Result:
    """Shuffled once an epoch, sliced."""
    torch.manual_seed(0)
    n = len(rows[0])
    model, times = kind(n), []
    model.see(*rows)
    contesting = [] if model.critic is None else list(model.critic.parameters())
    own = [weight for weight in model.parameters() if not any(weight is other for other in contesting)]
    optimiser = torch.optim.AdamW(own, lr=1e-3, weight_decay=kind.decay, fused=True)
    other = torch.optim.Adam(contesting, lr=1e-3, fused=True) if contesting else None
    total = torch.zeros(())
    for _ in range(epochs):
        start, total = time.process_time(), torch.zeros(())
        order = torch.randperm(n)
        shuffled = [part[order] for part in rows]
        for i in range(0, n - BATCH + 1, BATCH):
            x = [part[i : i + BATCH] for part in shuffled]
            optimiser.zero_grad()
            loss = model(*x)
            loss.backward()
            optimiser.step()
            total += loss.detach()
            if other is not None:
                other.zero_grad()
                model.contest(*x).backward()  # type: ignore[operator,union-attr]
                other.step()
        times.append(time.process_time() - start)
    return times, total.item() / (n // BATCH)


def ours(name: str, settings: dict[str, Any], rows: list[Tensor], epochs: int) -> Result:
    """The preset, so far as it has what the loops have in common."""
    own = getattr(presets, name)(**settings)
    has = set(own.get_params(deep=False)) - set(settings) - (OWN if getattr(own, "hierarchy", None) else set())
    own.set_params(epochs=epochs, **{key: value for key, value in COMMON.items() if key in has})
    times = [time.process_time()]

    def listen(event: Event) -> None:
        if isinstance(event, EpochEnd):
            times.append(time.process_time())

    x, *known = (part.numpy() for part in rows)
    y = np.where(known[0].any(1), known[0].argmax(1), -1) if known else None
    own._fit(own._source(x, reset=True), y, listener=listen)
    return list(np.diff(times)), own.history_.rows[-1]["loss"]


def data(folder: Path, n: int) -> dict[str, list[Tensor]]:
    """Binary pixels; the same, a few of them with a class as a unit vector; real numbers, which pixels add up to."""
    rng = np.random.default_rng(0)
    intensities = mnist(folder, "train")[:n].reshape(-1, 784) / 255
    x = torch.from_numpy((rng.random(intensities.shape) < intensities).astype(np.float32))
    known = torch.from_numpy(mnist_labels(folder, "train")[:n].astype(np.int64))
    known = torch.nn.functional.one_hot(known, others.CLASSES).float()
    known[LABELLED:] = 0
    numbers = torch.from_numpy((intensities @ rng.standard_normal((784, others.D)) / 28).astype(np.float32))
    return {"pixels": [x], "images": [x.view(-1, 28, 28)], "labelled": [x, known], "numbers": [numbers]}


def main() -> None:
    """Takes turns, prints."""
    options = parser(__doc__ or "")
    options.add_argument("--rows", type=int, default=12_800)
    options.add_argument("--epochs", type=int, default=4, help="at each turn; the first is not counted")
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--only", nargs="*", default=list(PAIRS), help="names of presets")
    given = begin(options)
    tables = data(given.data, given.rows)
    rows = []
    for name in given.only:
        kind, settings = PAIRS[name]
        contenders: list[Callable[[], Result]] = [
            partial(by_hand, kind, tables[kind.rows], given.epochs),
            partial(ours, name, settings, tables[kind.rows], given.epochs),
        ]
        times: list[list[float]] = [[], []]
        losses = [0.0, 0.0]
        for _ in range(given.repeats):
            for i, contender in enumerate(contenders):
                taken, losses[i] = contender()
                times[i] += taken[1:]
        theirs, own = map(median, times)
        rows.append([f"`{name}`", f"{theirs:.2f}", f"{own:.2f}", f"{own / theirs:.2f}", *(f"{v:.1f}" for v in losses)])
        note(str(rows[-1]))
    columns = ["preset", "by hand, CPU-s/epoch", "latens", "x by hand", "loss by hand", "loss"]
    title = f"Presets beside loops by hand: {given.rows} rows, batches of {BATCH}, float32; target <= 1.1"
    table(title, columns, rows)


if __name__ == "__main__":
    main()
