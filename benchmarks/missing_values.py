"""Filling in what is missing: wine quality, 6,497 x 12, with a fifth and with half of its entries taken away at random.

The masks are those of HI-VAE (Nazabal et al., 2020). An error is the root mean square, over the missing entries, of the
difference to the truth in units of the column's standard deviation; columns are standardised by what is observed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import begin, cpu_seconds, note, parser, table
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

from latens import VAE, GaussianMixture
from latens.distributions import StudentT
from latens.objectives import ImportanceWeighted

COLUMNS = 12
"""The last column, red or white, is a class."""


def vae(X: np.ndarray, epochs: int, **settings: object) -> np.ndarray:
    """E[x_m | x_o] with 1000 draws."""
    return VAE(latents=10, epochs=epochs, random_state=0, **settings).fit(X).complete(X, k=1000)


CONTENDERS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "scikit-learn, mean": lambda X, epochs: SimpleImputer().fit_transform(X),
    "scikit-learn, 10 nearest": lambda X, epochs: KNNImputer(n_neighbors=10).fit_transform(X),
    "scikit-learn, iterative": lambda X, epochs: IterativeImputer(max_iter=30, random_state=0).fit_transform(X),
    "latens GaussianMixture(5)": lambda X, epochs: GaussianMixture(5, random_state=0).fit(X).complete(X),
    "latens VAE()": vae,
    "latens VAE(objective=ImportanceWeighted(20))": lambda X, epochs: vae(X, epochs, objective=ImportanceWeighted(20)),
    "latens VAE(StudentT(), ImportanceWeighted(20))": lambda X, epochs: vae(
        X, epochs, objective=ImportanceWeighted(20), likelihood=StudentT()
    ),
}


def read(file: Path, skip: int = 0) -> np.ndarray:
    """Numbers with commas between them; NumPy unpacks by the ending."""
    return np.loadtxt(file, delimiter=",", skiprows=skip)


def main() -> None:
    """Both masks, all contenders."""
    options = parser(__doc__ or "")
    options.add_argument("--only", nargs="*", default=list(CONTENDERS), help="names of contenders")
    options.add_argument("--missing", type=int, nargs="*", default=[20, 50], help="percent, of which there are masks")
    options.add_argument("--epochs", type=int, default=100, help="of the networks")
    given = begin(options)
    folder = given.data / "tabular" / "hivae_wine_quality"
    whole = read(folder / "data.csv.xz")[:, :COLUMNS]
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
            found = CONTENDERS[name](X, given.epochs)
            seconds = cpu_seconds() - start
            error = np.sqrt(np.square(found - truth)[missing].mean())
            note(f"{percent} % missing, {name}: {error:.3f}, {seconds:.1f} CPU-s")
            rows.append([name, f"{error:.3f}", f"{seconds:.1f}"])
        table(f"Wine quality, {percent} % missing", ["filled in by", "error", "CPU-s"], rows, "scikit-learn")


if __name__ == "__main__":
    main()
