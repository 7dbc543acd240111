"""Kernel density of several columns beside KDEpy, scikit-learn and scipy: speed at given bandwidths, errors, defaults.

OMP_NUM_THREADS=1 python benchmarks/kernel_density_nd.py            all tables
OMP_NUM_THREADS=1 python benchmarks/kernel_density_nd.py --only plane

Every library gets the same bandwidth. Errors are differences of log densities, in nats, from the sum over all rows in
double precision, differences before squares.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import begin, cpu_seconds, mnist, note, parser, table
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from scipy.stats import gaussian_kde
from sklearn import neighbors

from latens.density import KernelDensity

PACKAGES = ("scikit-learn", "scipy", "KDEpy")


def seconds(run: Callable[[], object], repeats: int = 5) -> float:
    """Least processor time of a few runs; of one, if it is long."""
    times = []
    for _ in range(repeats):
        start = cpu_seconds()
        run()
        times.append(cpu_seconds() - start)
        if times[0] > 2:
            break
    return min(times)


def pairs(rows: np.ndarray, queries: np.ndarray, bandwidth: float | np.ndarray) -> np.ndarray:
    """The sum as it is written, of Gaussian kernels."""
    d = rows.shape[1]
    root = bandwidth * np.eye(d) if np.ndim(bandwidth) == 0 else np.linalg.cholesky(bandwidth)
    white = [np.linalg.solve(root, x.T).T.copy() for x in (queries, rows)]
    constant = -np.log(len(rows)) - d / 2 * np.log(2 * np.pi) - np.linalg.slogdet(root)[1]
    parts = [logsumexp(-0.5 * cdist(q, white[1], "sqeuclidean"), axis=1) for q in np.array_split(white[0], 64)]
    return np.concatenate(parts) + constant


def plane(n: int = 10**6, shown: int = 256) -> None:
    """Fit n rows and evaluate on the 256 x 256 grid that KDEpy chooses."""
    from KDEpy import FFTKDE

    rng, rows = np.random.RandomState(0), []
    for title, x in {
        "independent": rng.normal(size=(n, 2)),
        "correlated": rng.normal(size=(n, 2)) @ [[1.0, 0.8], [0.0, 0.6]],
    }.items():
        grid, values = FFTKDE(bw=0.1).fit(x).evaluate((256, 256))
        some = rng.choice(len(grid), shown, replace=False)
        full = 0.01 * np.cov(x.T)
        true = {"number": pairs(x, grid[some], 0.1), "matrix": pairs(x, grid[some], full)}
        with np.errstate(divide="ignore"):
            theirs = np.log(np.maximum(values, np.finfo(float).tiny))
        cases = {
            "KDEpy FFT, h = 0.1": (lambda x=x: FFTKDE(bw=0.1).fit(x).evaluate((256, 256)), theirs, "number"),
            "latens, h = 0.1": (ours(x, grid, 0.1), ours(x, grid, 0.1)(), "number"),
            "latens, full matrix": (ours(x, grid, full), ours(x, grid, full)(), "matrix"),
        }
        for name, (run, found, bandwidth) in cases.items():
            expected = true[bandwidth]
            error, body = np.abs(found[some] - expected), expected > expected.max() - np.log(1e6)
            cells = [f"{1e3 * seconds(run):.0f}", f"{error[body].max():.1e}", f"{error.max():.1e}"]
            rows.append([title, name, *cells, f"{(error > 1e-3).mean():.0%}"])
            note(str(rows[-1]))
    columns = ["rows", "", "ms", "largest error above 1e-6 of the peak", "anywhere", "queries off by more than 1e-3"]
    table(f"Fit {n} rows in the plane, 256 x 256 queries, processor time", columns, rows, *PACKAGES)


def ours(x: np.ndarray, queries: np.ndarray, bandwidth: float | np.ndarray) -> Callable[[], np.ndarray]:
    return lambda: KernelDensity(bandwidth).fit(x).score_samples(queries)


def digits(folder: Path, n: int = 5216) -> np.ndarray:
    """n images of MNIST as 8 x 8 means of 3 x 3 pixels, 0 to 16."""
    images = mnist(folder, "train")[:n, 2:26, 2:26].astype(float)
    return np.rint(images.reshape(n, 8, 3, 8, 3).mean(axis=(2, 4)) * 16 / 255).reshape(n, 64)


def many_columns(folder: Path) -> None:
    """Fit and score 5,216 digits of 64 columns, each among all."""
    x, rows = digits(folder), []
    for h in (0.5, 1.0, 3.0, 8.0):
        expected = pairs(x, x[:500], h)
        theirs = seconds(lambda h=h: neighbors.KernelDensity(bandwidth=h).fit(x).score_samples(x))
        mine = seconds(lambda h=h: KernelDensity(h, exact=True).fit(x).score_samples(x))
        errors = [
            np.abs(model.fit(x).score_samples(x[:500]) - expected).max()
            for model in (neighbors.KernelDensity(bandwidth=h), KernelDensity(h))
        ]
        rows.append([h, theirs, mine, f"{theirs / mine:.0f}", *(f"{error:.1e}" for error in errors)])
        note(str(rows[-1]))
    columns = ["h", "scikit-learn, s", "latens, s", "faster", "scikit-learn's error", "ours"]
    table("Fit 5,216 digits of 64 columns and score them, exact, processor time", columns, rows, *PACKAGES)


def between(n: int = 10**5, m: int = 2000) -> None:
    """Dimensions and kernels between: n rows, m queries, Scott's bandwidth for n."""
    rng, rows = np.random.RandomState(0), []
    for d, kernel in ((2, "gaussian"), (3, "gaussian"), (4, "gaussian"), (6, "gaussian"), (2, "epanechnikov"),
                      (3, "epanechnikov"), (4, "epanechnikov"), (6, "epanechnikov")):  # fmt: skip
        x, q, h = rng.normal(size=(n, d)), rng.normal(size=(m, d)), n ** (-1 / (d + 4))
        h = h * (d + 4) ** 0.5 if kernel == "epanechnikov" else h
        model = neighbors.KernelDensity(bandwidth=h, kernel=kernel, rtol=1e-4)
        start = cpu_seconds()
        theirs = model.fit(x).score_samples(q[: m // 10])
        spent = [cpu_seconds() - start]
        spent = 10 * spent[0]
        mine = seconds(lambda x=x, q=q, h=h, k=kernel: KernelDensity(h, k).fit(x).score_samples(q), 3)
        found = KernelDensity(h, kernel).fit(x).score_samples(q[: m // 10])
        some = np.isfinite(found)
        error = np.abs(found - theirs)[some].max()
        rows.append([d, kernel, spent, mine, f"{spent / mine:.0f}", f"{error:.1e}"])
        note(str(rows[-1]))
    columns = ["d", "kernel", "scikit-learn, rtol 1e-4, s", "latens, s", "faster", "largest difference"]
    table(f"{n} rows, {m} queries (scikit-learn: a tenth of them, times ten)", columns, rows, *PACKAGES)


def adversarial(folder: Path) -> None:
    """The largest error of each library on data that are hard for sums and trees."""
    rng = np.random.RandomState(0)
    x = rng.normal(size=(5000, 2))
    hard = {
        "64-d digits, h = 1": (digits(folder), 1.0),
        "64-d digits + 1e6, h = 1": (digits(folder) + 1e6, 1.0),
        "an outlier at -1e4, h = 0.1": (np.r_[x, [[-1e4, 0.0]]], 0.1),
        "two groups 2e6 apart, h = 1": (np.r_[x - 1e6, x + 1e6], 1.0),
        "20 places, 250 rows each, h = 0.01": (np.repeat(x[:20], 250, axis=0), 0.01),
        "queries 1e3 deviations away, h = 0.2": (x, 0.2),
    }
    rows = []
    for title, (data, h) in hard.items():
        queries = data[-200:] + rng.normal(size=(200, data.shape[1])) * (1000.0 if "queries" in title else h)
        expected = pairs(data, queries, h)
        with np.errstate(all="ignore"):
            errors = [
                np.abs(model.fit(data).score_samples(queries) - expected) / np.maximum(1, np.abs(expected))
                for model in (KernelDensity(h, exact=True), KernelDensity(h), neighbors.KernelDensity(bandwidth=h))
            ]
        rows.append([title, *(f"{error.max():.1e}" for error in errors), f"{np.abs(expected).max():.3g}"])
        note(str(rows[-1]))
    columns = ["", "latens, exact", "latens", "scikit-learn", "largest log density, its size"]
    table("Largest error, relative where a log density is above 1", columns, rows, *PACKAGES)


SHAPES: dict[str, Callable[[np.random.RandomState, int, int], np.ndarray]] = {
    "normal": lambda rng, n, d: rng.normal(size=(n, d)),
    "gamma(2)": lambda rng, n, d: rng.gamma(2.0, size=(n, d)),
    "log-normal": lambda rng, n, d: np.exp(0.7 * rng.normal(size=(n, d))),
    "t(3)": lambda rng, n, d: rng.normal(size=(n, d)) / np.sqrt(rng.chisquare(3, (n, 1)) / 3),
    "two normals": lambda rng, n, d: np.where(
        rng.uniform(size=(n, 1)) < 0.5, rng.normal(-3 / d**0.5, 1.0, (n, d)), rng.normal(3 / d**0.5, 0.5, (n, d))
    ),
    "uniform": lambda rng, n, d: rng.uniform(size=(n, d)),
}


def defaults(samples: int = 4, unseen: int = 2000) -> None:
    """log p of unseen rows under the defaults, beyond scipy's."""
    for d in (2, 4):
        rows = []
        for n in (100, 400):
            for name, draw in SHAPES.items():
                found = []
                for seed in range(samples):
                    rng = np.random.RandomState(seed)
                    x, new = draw(rng, n, d), draw(rng, unseen, d)
                    theirs = gaussian_kde(x.T).logpdf(new.T).mean()
                    models = KernelDensity(), KernelDensity("cv_ml", adaptive=True), KernelDensity("cv_ml")
                    found.append([theirs, *(model.fit(x).score(new) - theirs for model in models)])
                mean, spread = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / samples**0.5
                rows.append([n, name, f"{mean[0]:.3f}", *(f"{a:+.4f} ± {b:.4f}" for a, b in zip(mean[1:], spread[1:]))])
                note(str(rows[-1]))
        columns = ["n", "rows", "scipy, nats", "latens", "always Abramson's scales", "no local scales"]
        table(
            f"{d} columns: log p of {unseen} unseen rows beyond scipy's default, {samples} samples",
            columns,
            rows,
            "scipy",
        )


def main() -> None:
    """Measures, prints."""
    options = parser(__doc__ or "")
    options.add_argument("--only", choices=("plane", "digits", "between", "adversarial", "defaults"))
    given = begin(options)
    warnings.filterwarnings("ignore")
    parts = {
        "plane": plane,
        "digits": lambda: many_columns(given.data),
        "between": between,
        "adversarial": lambda: adversarial(given.data),
        "defaults": defaults,
    }
    for name, part in parts.items():
        if given.only in (None, name):
            part()


if __name__ == "__main__":
    main()
