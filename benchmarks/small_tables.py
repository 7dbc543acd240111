"""Time to fit a small table, 11,183 x 6, in batches of 32 for 30 epochs: PyOD's VAE and ours.

The peer is optional, and lives in an environment of its own; see training_speed.py, and

    ../peers/bin/pip install --no-deps pyod numba llvmlite tqdm
    PYTHONPATH=src ../peers/bin/python benchmarks/small_tables.py
"""

from __future__ import annotations

import time
from statistics import median

import numpy as np
from common import begin, cpu_seconds, note, parser, table
from sklearn.metrics import roc_auc_score

from latens import VAE
from latens.nn import MLP


def standardised(X: np.ndarray) -> np.ndarray:
    """Zero mean, unit variance, as PyOD does within."""
    return ((X - X.mean(0)) / X.std(0)).astype(np.float32)


def ours(X: np.ndarray, epochs: int) -> np.ndarray:
    """The default table model with PyOD's networks."""
    encoder, decoder = MLP((128, 64, 32)), MLP((32, 64, 128))
    model = VAE(latents=2, encoder=encoder, decoder=decoder, epochs=epochs, batch_size=32, random_state=0, patience=0)
    return -model.fit(X).score_samples(X, k=16)


def defaults(X: np.ndarray, epochs: int) -> np.ndarray:
    """The default network."""
    return -VAE(epochs=epochs, batch_size=32, random_state=0, patience=0).fit(X).score_samples(X, k=16)


def pyod(X: np.ndarray, epochs: int) -> np.ndarray:
    """PyOD's VAE: 128, 64, 32 units, 2 latents, its own defaults otherwise."""
    from pyod.models.vae import VAE as Peer

    return Peer(epoch_num=epochs, batch_size=32, verbose=0).fit(X).decision_scores_


def main() -> None:
    """Takes turns, prints; the time is that of the fit and of one score of each row, as PyOD's fit does both."""
    options = parser(__doc__ or "")
    options.add_argument("--epochs", type=int, default=30)
    options.add_argument("--repeats", type=int, default=3)
    given = begin(options)
    held = np.load(given.data / "adbench" / "23_mammography.npz")
    X, outlier = standardised(held["X"]), held["y"].ravel()
    contenders = {"latens, PyOD's networks": ours, "latens, default networks": defaults, "PyOD": pyod}
    seconds: dict[str, list[tuple[float, float]]] = {}
    areas: dict[str, float] = {}
    for name in [name for _ in range(given.repeats) for name in contenders]:
        start, cpu = time.perf_counter(), cpu_seconds()
        try:
            scores = contenders[name](X, given.epochs)
        except ImportError as error:
            note(f"{name}: {error}")
            continue
        seconds.setdefault(name, []).append((time.perf_counter() - start, cpu_seconds() - cpu))
        areas[name] = float(roc_auc_score(outlier, scores))
        note(f"{name}: {seconds[name][-1][0]:.1f} s")
    middle = {name: (median(t for t, _ in times), median(c for _, c in times)) for name, times in seconds.items()}
    peer, steps = middle.get("PyOD"), given.epochs * len(X) // 32
    rows = [
        [
            name,
            f"{t:.1f}",
            f"{c:.1f}",
            f"{1e3 * c / steps:.2f}",
            f"{peer[1] / c:.1f}" if peer else "-",
            f"{areas[name]:.3f}",
        ]
        for name, (t, c) in middle.items()
    ]
    columns = ["model", "s", "CPU-s", "CPU-ms a step", "times faster than PyOD", "AUROC"]
    title = f"Small tables, {len(X)} x {X.shape[1]}, batch 32, {given.epochs} epochs, fit and score"
    table(f"{title}: target >= 3 times faster than PyOD", columns, rows, "pyod")


if __name__ == "__main__":
    main()
