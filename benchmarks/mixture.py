"""Gaussian mixtures beside scikit-learn's: an EM iteration, a whole fit, a million rows, and missing entries filled in.

PYTHONPATH=src OMP_NUM_THREADS=1 ../peers/bin/python benchmarks/mixture.py
"""

from __future__ import annotations

import resource
import warnings
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from common import begin, cpu_seconds, note, parser, table
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.mixture import GaussianMixture as Theirs

from latens.density import GaussianMixture

N, D, K = 100_000, 16, 32
SHAPES = ("full", "tied", "diag", "spherical")


def groups(n: int, d: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of k Gaussians, and their means."""
    rng = np.random.RandomState(seed)
    means, maps = rng.normal(size=(k, d)) * 1.5, rng.normal(size=(k, d, d)) * 0.3 + 0.4 * np.eye(d)
    label, x = rng.choice(k, n, p=rng.dirichlet(np.full(k, 5.0))), rng.normal(size=(n, d))
    for j in range(k):
        x[label == j] = means[j] + x[label == j] @ maps[j]
    return x, means


def precisions(kind: str, d: int, k: int) -> np.ndarray:
    """Ones, in the form of a shape."""
    full = np.repeat(np.eye(d)[None], k, axis=0)
    return {"full": full, "tied": np.eye(d), "diag": np.ones((k, d)), "spherical": np.ones(k)}[kind]


def fitted(model: Any, x: np.ndarray) -> tuple[Any, float]:
    """The fit, and its seconds."""
    start = cpu_seconds()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x)
    return model, cpu_seconds() - start


def iteration(make: Any, x: np.ndarray, steps: int, repeats: int) -> tuple[float, Any]:
    """Seconds a step (that of 2 m steps less that of m, over m), median; and the longer fit."""
    seconds = []
    for _ in range(repeats):
        _, short = fitted(make(steps), x)
        model, long = fitted(make(2 * steps), x)
        seconds.append((long - short) / steps)
    return median(seconds), model


def iterations(x: np.ndarray, means: np.ndarray, steps: int, repeats: int) -> list[list[object]]:
    """The same start and the same number of steps, for each shape."""
    rows = []
    for kind in SHAPES:
        note(f"a step, {kind}")
        weights = np.full(len(means), 1 / len(means))
        start = {"weights_init": weights, "means_init": means + 0.3}
        start |= {"precisions_init": precisions(kind, x.shape[1], len(means)), "covariance_type": kind, "tol": 0.0}
        ours, a = iteration(lambda m: GaussianMixture(K, max_iter=m, reg_covar=0.0, **start), x, steps, repeats)  # noqa: B023
        peer, b = iteration(lambda m: Theirs(K, max_iter=m, reg_covar=0.0, **start), x, steps, repeats)  # noqa: B023
        gap = a.score(x) - b.score(x)
        rows.append([kind, 1e3 * ours, 1e3 * peer, f"{peer / ours:.1f}", f"{b.score(x):.6f}", f"{gap:.1e}"])
    return rows


def whole(x: np.ndarray, seeds: int) -> list[list[object]]:
    """Fits with all defaults but the number of components; and with scikit-learn's tolerance and single start."""
    models = {
        "latens, defaults (5 starts, tol 1e-4)": lambda s: GaussianMixture(K, random_state=s),
        "latens, 1 start, tol 1e-3": lambda s: GaussianMixture(K, n_init=1, tol=1e-3, random_state=s),
        "scikit-learn, defaults (1 start, tol 1e-3)": lambda s: Theirs(K, random_state=s),
        "scikit-learn, tol 1e-4": lambda s: Theirs(K, tol=1e-4, max_iter=500, random_state=s),
    }
    rows = []
    for name, make in models.items():
        note(name)
        fits = [fitted(make(seed), x) for seed in range(seeds)]
        steps = [model.n_iter_ for model, _ in fits]
        rows.append([name, median(s for _, s in fits), median(steps), median(model.score(x) for model, _ in fits)])
    return rows


def million(steps: int) -> list[list[object]]:
    """A million rows: seconds a step, and the most memory held."""
    note("a million rows")
    x, _ = groups(1_000_000, D, K)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model, seconds = fitted(GaussianMixture(K, random_state=0), x)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return [[f"{x.nbytes / 2**20:.0f} MiB", seconds, model.n_iter_, f"{(peak - before) / 2**10:.0f} MiB"]]


def tables(folder: Path) -> dict[str, np.ndarray]:
    """Standardised tables to fill in."""
    wine = np.genfromtxt(folder / "tabular" / "hivae_wine_quality" / "data.csv.xz", delimiter=",")[:, :11]
    pen = np.load(folder / "adbench" / "28_pendigits.npz")["X"][:2000]
    made = groups(2000, 12, 8)[0]
    return {
        name: (x - x.mean(0)) / x.std(0)
        for name, x in (("wine quality", wine[:2000]), ("pendigits", pen), ("8 Gaussians", made))
    }


def filled(x: np.ndarray, share: float) -> list[object]:
    """Root mean squared errors of the entries left out, in standard deviations of a column."""
    gone = np.random.RandomState(0).uniform(size=x.shape) < share
    holes = np.where(gone, np.nan, x)
    holes = holes[~gone.all(1)]
    gone, x = gone[~gone.all(1)], x[~gone.all(1)]

    def error(values: np.ndarray) -> float:
        return float(np.sqrt(np.mean((values - x)[gone] ** 2)))

    mixture, seconds = fitted(GaussianMixture(8, n_init=2, tol=1e-3, random_state=0), holes)
    found: list[object] = [error(mixture.complete(holes)), f"{seconds:.1f}"]
    for imputer in (KNNImputer(), IterativeImputer(random_state=0), SimpleImputer()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found.append(error(imputer.fit_transform(holes)))
    return found


def main() -> None:
    """Measures, prints."""
    options = parser(__doc__ or "")
    options.add_argument("--steps", type=int, default=8)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--seeds", type=int, default=3)
    given = begin(options)
    x, means = groups(N, D, K)
    title = f"Gaussian mixtures, {N:,} x {D}, {K} components: one EM iteration"
    columns = ["covariance", "ms, latens", "ms, scikit-learn", "times faster", "log likelihood a row", "ours - theirs"]
    table(title, columns, iterations(x, means, given.steps, given.repeats), "scikit-learn")
    columns = ["fit, full covariances", "CPU-s", "steps over all rows", "log likelihood a row"]
    table(f"A whole fit, medians of {given.seeds} seeds", columns, whole(x, given.seeds), "scikit-learn")
    columns = ["data", "CPU-s", "steps over all rows", "more memory at the peak"]
    table(f"A million rows, defaults, {K} components", columns, million(given.steps), "scikit-learn")
    rows = [[name, *filled(rows, 0.3)] for name, rows in tables(given.data).items()]
    columns = ["table", "mixture of 8", "CPU-s", "5 nearest", "IterativeImputer", "mean"]
    table("30 % of the entries missing, RMSE of what is filled in", columns, rows, "scikit-learn")


if __name__ == "__main__":
    main()
