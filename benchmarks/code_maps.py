"""A map of codes against as many codes in a row: what comes back of held-out images, and what their codes cost.

Every model has the same likelihood, a codebook of the same size and as many codes an image, so as many bits under
uniform codes. "Map" is `latents=(h, w)`: a code for each place, from and to convolutions alone. "Row" is as many codes
of which each may tell of the whole image, once with the same convolutions and dense layers between their coarsest level
and the codes, once with perceptrons. Half of the digits are held out, and the last 200 of the 1,600 smiles (64 x 64,
grey), whose models learn from the first `--smiles`.

Squared errors are of the pixels as they come, 0 to 16 of the digits, 0 to 255 of the smiles. The bound is
log p(x | c) + log p(c) of an image in nats; "a code" is what a code costs under the prior that learned along.

    python benchmarks/code_maps.py
"""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from common import begin, cpu_seconds, note, parser, table
from PIL import Image
from sklearn.datasets import load_digits

from latens import VAE
from latens.distributions import Normal
from latens.models import AutoregressiveCodes, UniformCodes, VectorQuantised
from latens.nn import MLP, Conv, Spec, Transformer
from latens.objectives import ELBO, Commitment


def main() -> None:
    """Trains every model on both data sets."""
    options = parser(__doc__ or "")
    options.add_argument("--epochs", type=int, default=100, help="of the digits; the smiles have half as many")
    options.add_argument("--smiles", type=int, default=400, help="images to learn from")
    given = begin(options)
    X = load_digits().images
    compare("Digits, 16 codes", X[::2], X[1::2], (4, 4), Conv((64,), 2, patch=2), 32, given.epochs)
    X = faces(given.data / "smiles" / "smiles64_1600.npz")
    train, test = X[: given.smiles], X[-200:]
    networks = Conv((32, 64), 1, patch=4)
    compare(f"{given.smiles} smiles, 64 codes", train, test, (8, 8), networks, 128, given.epochs // 2)


def faces(path: Path) -> np.ndarray:
    """Grey faces ``(n, 64, 64)``, which the file holds as JPEG one after another."""
    kept = np.load(path)
    ends = kept["offsets"]
    parts = (kept["jpeg"][a:b].tobytes() for a, b in pairwise(ends))
    return np.stack([np.asarray(Image.open(io.BytesIO(part))) for part in parts])


def compare(
    title: str, train: np.ndarray, test: np.ndarray, size: tuple[int, int], conv: Conv, classes: int, epochs: int
) -> None:
    """A table of the models of one data set."""
    codes = size[0] * size[1]
    learned = AutoregressiveCodes(Transformer(64, 2, 4))
    arms: dict[str, tuple[int | tuple[int, int], Spec, Spec]] = {
        "map, convolutions, uniform prior": (size, conv, UniformCodes()),
        "map, convolutions, Transformer over it": (size, conv, learned),
        "row, convolutions, Transformer over it": (codes, conv, learned),
        "row, perceptrons, Transformer over it": (codes, MLP((512, 512)), learned),
    }
    rows: list[list[object]] = []
    for name, (latents, network, prior) in arms.items():
        begun = cpu_seconds()
        vae = VAE(
            latents=latents,
            posterior=VectorQuantised(classes, 16),
            likelihood=Normal("shared"),
            prior=prior,
            objective=ELBO() + 0.25 * Commitment(),
            encoder=network,
            decoder=network,
            epochs=epochs,
            batch_size=32,
            learning_rate=2e-3,
            patience=0,
            random_state=0,
        ).fit(train)
        seconds = cpu_seconds() - begun
        coded = vae.transform(test).reshape(len(test), -1)
        rate = -vae.model_.prior().log_prob(torch.from_numpy(coded)).detach().mean().item()
        used = len(np.unique(coded))
        errors = [vae.reconstruction_error(part).mean() for part in (train, test)]
        rows.append([name, *errors, vae.score(test), rate / codes / np.log(2), used, seconds])
        note(" ".join(map(str, rows[-1])))
    bits = np.log2(classes)
    columns = ["codes", "squared error, seen", "held out", "bound, nats", "bits a code", "codes in use", "CPU-s"]
    table(f"{title} of {bits:g} bits, {epochs} epochs", columns, rows)


if __name__ == "__main__":
    main()
