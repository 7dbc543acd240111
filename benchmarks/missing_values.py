"""Missing values: wine quality, 6,497 x 12, with a fifth and with half of its entries taken away at random.

The masks are those of HI-VAE (Nazabal et al., 2020); columns are standardised by what is observed. Of each contender:

- the error of what it fills in, the root mean square of the difference to the truth over the missing entries, in
  standard deviations of the column;
- where it has a density, the mean of log p(x_o) in nats of a row's observed entries, of a fifth of the rows that a
  second model, fitted to the others, has not seen: of a VAE log 1/k sum_i p(x_o, z_i) / q(z_i | x_o) by k = 1000
  importance samples, which lies below the exact one in expectation; of the Gaussian mixture exact.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import begin, cpu_seconds, note, parser, table
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

from latens import VAE, GaussianMixture
from latens.distributions import StudentT
from latens.objectives import ImportanceWeighted

COLUMNS = 12
"""The last column, red or white, is a class."""


def vae(epochs: int, **settings: object) -> VAE:
    """What it fills in, and its scores, are of 1000 draws."""
    return VAE(latents=10, epochs=epochs, random_state=0, score_samples_k=1000, **settings)


CONTENDERS: dict[str, Callable[[int], Any]] = {
    "scikit-learn, mean": lambda epochs: SimpleImputer(),
    "scikit-learn, 10 nearest": lambda epochs: KNNImputer(n_neighbors=10),
    "scikit-learn, iterative": lambda epochs: IterativeImputer(max_iter=30, random_state=0),
    "latens GaussianMixture(5)": lambda epochs: GaussianMixture(5, random_state=0),
    "latens VAE()": vae,
    "latens VAE(objective=ImportanceWeighted(20))": lambda epochs: vae(epochs, objective=ImportanceWeighted(20)),
    "latens VAE(StudentT(), ImportanceWeighted(20))": lambda epochs: vae(
        epochs, objective=ImportanceWeighted(20), likelihood=StudentT()
    ),
}


def read(file: Path, skip: int = 0) -> np.ndarray:
    """Numbers with commas between them; NumPy unpacks by the ending."""
    return np.loadtxt(file, delimiter=",", skiprows=skip)


def filled(model: Any, X: np.ndarray) -> np.ndarray:
    """E[x_m | x_o], or what an imputer puts there."""
    return model.fit(X).complete(X) if hasattr(model, "complete") else model.fit_transform(X)


def held_out(model: Any, X: np.ndarray) -> str:
    """The mean of log p(x_o) of every fifth row, with its standard error, after a fit to the others."""
    if not hasattr(model, "score_samples"):
        return "-"
    out = np.arange(len(X)) % 5 == 4
    scores = model.fit(X[~out]).score_samples(X[out])
    return f"{scores.mean():.3f} ± {scores.std() / len(scores) ** 0.5:.3f}"


def main() -> None:
    """Both masks, all contenders."""
    options = parser(__doc__ or "")
    options.add_argument("--only", nargs="*", default=list(CONTENDERS), help="names of contenders")
    options.add_argument("--missing", type=int, nargs="*", default=[20, 50], help="percent, of which there are masks")
    options.add_argument("--epochs", type=int, default=100, help="of the networks")
    given = begin(options)
    folder = given.data / "tabular" / "hivae_wine_quality"
    whole = read(folder / "data.csv.xz")[:, :COLUMNS]
    order = np.random.default_rng(0).permutation(len(whole))
    for percent in given.missing:
        pairs = read(folder / f"Missing{percent}_1.csv.xz").astype(int) - 1
        row, column = pairs[pairs[:, 1] < COLUMNS].T
        missing = np.zeros(whole.shape, bool)
        missing[row, column] = True
        X = np.where(missing, np.nan, whole)
        shift, scale = np.nanmean(X, 0), np.nanstd(X, 0)
        X, truth = (X - shift) / scale, (whole - shift) / scale
        rows = []
        for name in [name for name in CONTENDERS if name in given.only]:
            start = cpu_seconds()
            found = filled(CONTENDERS[name](given.epochs), X)
            seconds = cpu_seconds() - start
            error = np.sqrt(np.square(found - truth)[missing].mean())
            score = held_out(CONTENDERS[name](given.epochs), X[order])
            note(f"{percent} % missing, {name}: {error:.3f}, {score}, {seconds:.1f} CPU-s")
            rows.append([name, f"{error:.3f}", score, f"{seconds:.1f}"])
        columns = ["filled in by", "error", "held-out log p(observed), nats a row", "CPU-s to fill in"]
        table(f"Wine quality, {percent} % missing", columns, rows, "scikit-learn")


if __name__ == "__main__":
    main()
