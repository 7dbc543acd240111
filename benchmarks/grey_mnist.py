"""Grey MNIST (0 to 255) with default settings: bits per dimension of the test set by importance sampling.

The budget is processor time, `--minutes` of 2 cores, spent on one thread; see binarised_mnist.py.

    python benchmarks/grey_mnist.py --minutes 15
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from binarised_mnist import log_likelihood
from budget import Run
from common import begin, cpu_seconds, mnist, parser, table

from latens import VAE
from latens.data import ArraySource


def make(epochs: int, **changes: Any) -> VAE:
    """The defaults, for as long as the budget pays; a part of the rows small enough to spare is held out."""
    return VAE(**{"epochs": epochs, "random_state": 0, "validation_fraction": 1 / 60, **changes})


def main() -> None:
    """Trains, scores, prints."""
    options = parser(__doc__ or "")
    options.add_argument("--minutes", type=float, default=15, help="of 2 cores")
    options.add_argument("--resume", "--output", dest="run", type=Path, help="the run's folder, begun or not")
    options.add_argument("--k", type=int, default=256, help="importance samples a test row")
    options.add_argument("--rows", type=int, default=1000, help="test rows, evenly spread over the 10,000")
    given = begin(options)
    torch.manual_seed(0)
    run = Run(given.run or Path("runs") / f"grey-{given.minutes:g}", {"minutes": given.minutes})
    model = run.fit(partial(make), ArraySource(mnist(given.data, "train")), run.plan["minutes"], 2000)
    trained, begun = run.cpu_minutes, cpu_seconds()
    test = mnist(given.data, "t10k")
    some = test[:: max(1, len(test) // given.rows)]
    bits = -log_likelihood(model, some, given.k) / (784 * math.log(2))
    bound = -model.score_samples(test, k=1) / (784 * math.log(2))
    np.save(run.folder / "bits.npy", bits)
    row = [f"{model.n_iter_} ({model.history_.best_epoch})", f"{trained:.1f}"]
    row += [f"{bits.mean():.4f} ± {bits.std() / len(bits) ** 0.5:.4f}", f"{bound.mean():.4f}"]
    row += [f"{model.active_units_} of {model.settings_['latents']}", f"{(cpu_seconds() - begun) / 60:.1f}"]
    columns = [
        "epochs (best)",
        "CPU-min",
        f"IS {given.k}, {len(some)} rows",
        "ELBO, 10,000 rows",
        "active",
        "scoring CPU-min",
    ]
    chosen = ", ".join(
        f"{name} {model.settings_[name]}" for name in ("likelihood", "encoder", "latents", "learning_rate")
    )
    title = f"Grey MNIST, bits per dimension of the test set, default settings ({chosen})"
    table(f"{title}; budget {2 * run.plan['minutes']:g} CPU-minutes; target <= 1.18", columns, [row])


if __name__ == "__main__":
    main()
