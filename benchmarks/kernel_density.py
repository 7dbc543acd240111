"""Kernel density of one column beside scikit-learn, scipy, KDEpy and statsmodels: speed, errors, held-out divergence.

python benchmarks/kernel_density.py            all tables
python benchmarks/kernel_density.py --only accuracy

Divergences are by quadrature against the truth, over the 15 normal mixtures of Marron and Wand (1992), Exact mean
integrated squared error; every library with its defaults.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from common import begin, cpu_seconds, note, parser, table
from scipy import stats

from latens.density import KernelDensity

PACKAGES = ("scikit-learn", "scipy", "KDEpy", "statsmodels")


def marron_wand() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(weights, means, deviations) of each mixture."""
    l5, l6, l7, l8 = (np.arange(n) for n in (5, 6, 7, 8))
    three, two = np.arange(3), np.arange(-2.0, 3.0)
    ones, side = np.ones, np.arange(1, 4) / 2
    raw = {
        "Gaussian": (ones(1), np.zeros(1), ones(1)),
        "skewed": ([0.2, 0.2, 0.6], [0, 1 / 2, 13 / 12], [1, 2 / 3, 5 / 9]),
        "strongly skewed": (ones(8), 3 * ((2 / 3) ** l8 - 1), (2 / 3) ** l8),
        "kurtotic": ([2, 1], [0, 0], [1, 0.1]),
        "outlier": ([1, 9], [0, 0], [1, 0.1]),
        "bimodal": ([1, 1], [-1, 1], [2 / 3, 2 / 3]),
        "separated": ([1, 1], [-1.5, 1.5], [0.5, 0.5]),
        "skewed bimodal": ([3, 1], [0, 1.5], [1, 1 / 3]),
        "trimodal": ([9, 9, 2], [-1.2, 1.2, 0], [0.6, 0.6, 0.25]),
        "claw": ([0.5, *(ones(5) / 10)], [0, *(l5 / 2 - 1)], [1, *(ones(5) / 10)]),
        "double claw": ([0.49, 0.49, *(ones(7) / 350)], [-1, 1, *((l7 - 3) / 2)], [2 / 3, 2 / 3, *(ones(7) / 100)]),
        "asymmetric claw": ([0.5, *(2 ** (1 - two) / 31)], [0, *(two + 0.5)], [1, *(2**-two / 10)]),
        "asymmetric double claw": (
            [0.46, 0.46, *(ones(3) / 300), *(7 * ones(3) / 300)],
            [-1, 1, *-side, *side],
            [2 / 3, 2 / 3, *(ones(3) / 100), *(7 * ones(3) / 100)],
        ),
        "smooth comb": (2.0 ** (5 - l6), (65 - 96 * 0.5**l6) / 21, 32 / 63 / 2.0**l6),
        "discrete comb": (
            [*(2 * ones(3) / 7), *(ones(3) / 21)],
            [*((12 * three - 15) / 7), *((2 * three + 16) / 7)],
            [*(2 * ones(3) / 7), *(ones(3) / 21)],
        ),
    }
    return {name: (np.array(w) / np.sum(w), np.array(m), np.array(s)) for name, (w, m, s) in raw.items()}


def draw(mixture: tuple, n: int, rng: np.random.RandomState) -> np.ndarray:
    weights, means, deviations = mixture
    chosen = rng.choice(len(weights), n, p=weights)
    return rng.normal(means[chosen], deviations[chosen])


def quadrature(mixture: tuple) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes, their probabilities and true log densities."""
    weights, means, deviations = mixture
    steps = np.sinh(np.linspace(-2.2, 2.2, 57)) * 8 / np.sinh(2.2)
    edges = np.unique(np.concatenate([m + s * steps for m, s in zip(means, deviations)]))
    x, w = np.polynomial.legendre.leggauss(5)
    half = np.diff(edges)[:, None] / 2
    nodes = ((edges[1:] + edges[:-1])[:, None] / 2 + half * x).ravel()
    p = sum(a * stats.norm.pdf(nodes, m, s) for a, m, s in zip(weights, means, deviations))
    keep = p > 1e-30
    return nodes[keep], ((half * w).ravel() * p)[keep], np.log(p[keep])


def log(p: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(p, 1e-300))


def scikit_learn(x: np.ndarray, q: np.ndarray, **settings: float) -> np.ndarray:
    from sklearn.neighbors import KernelDensity as Theirs

    return Theirs(**settings).fit(x[:, None]).score_samples(q[:, None])


def scipy_kde(x: np.ndarray, q: np.ndarray) -> np.ndarray:
    return stats.gaussian_kde(x).logpdf(q)


def kdepy(x: np.ndarray, q: np.ndarray) -> np.ndarray:
    from KDEpy import NaiveKDE

    return log(NaiveKDE().fit(x).evaluate(q))


def statsmodels_kde(x: np.ndarray, q: np.ndarray) -> np.ndarray:
    from statsmodels.nonparametric.kde import KDEUnivariate

    kde = KDEUnivariate(x)
    kde.fit(fft=len(x) > 1000)
    return log(
        np.concatenate([np.atleast_1d(kde.evaluate(part)) for part in np.array_split(q, -(-len(q) * len(x) // 10**7))])
    )


def latens_kde(x: np.ndarray, q: np.ndarray) -> np.ndarray:
    return KernelDensity().fit(x[:, None]).score_samples(q[:, None])


DEFAULTS = {
    "latens": latens_kde,
    "scipy": scipy_kde,
    "scikit-learn": lambda x, q: scikit_learn(x, q, rtol=1e-4),
    "KDEpy": kdepy,
    "statsmodels": statsmodels_kde,
}


def accuracy(sizes: dict[int, int]) -> None:
    """KL(true, estimated) in nats for each density, size and library."""
    rng, rows, means = np.random.RandomState(0), [], []
    for n, repeats in sizes.items():
        per_library: dict[str, list[float]] = {name: [] for name in DEFAULTS}
        for title, mixture in marron_wand().items():
            q, p, true = quadrature(mixture)
            data = [draw(mixture, n, rng) for _ in range(repeats)]
            for name, estimate in DEFAULTS.items():
                per_library[name].append(float(np.mean([p @ (true - estimate(x, q)) for x in data])))
            rows.append([n, title, *(f"{values[-1]:.4f}" for values in per_library.values())])
            note(str(rows[-1]))
        scores = np.array(list(per_library.values()))
        worst = [int((scores.argmax(axis=0) == i).sum()) for i in range(len(scores))]
        best = [int((scores.argmin(axis=0) == i).sum()) for i in range(len(scores))]
        means.append([n, *(f"{mean:.4f} ({a}, {b})" for mean, a, b in zip(scores.mean(axis=1), best, worst))])
    repeats = ", ".join(f"{repeats} at n = {n}" for n, repeats in sizes.items())
    table(
        f"KL to the truth in nats, means of 15 densities (times best, times worst); samples: {repeats}",
        ["n", *DEFAULTS],
        means,
        *PACKAGES,
    )
    table("The same, each density", ["n", "density", *DEFAULTS], rows, *PACKAGES)


def seconds(run: Callable[[], object], repeats: int = 3) -> float:
    """Least processor time of a few runs; of one, if it is long."""
    times = []
    for _ in range(repeats):
        start = cpu_seconds()
        run()
        times.append(cpu_seconds() - start)
        if times[0] > 3:
            break
    return min(times)


def grids() -> None:
    """Fit and 1024 queries."""
    rng, rows = np.random.RandomState(0), []
    for n in (10**3, 10**4, 10**5, 10**6):
        x, q = rng.normal(size=n), np.linspace(-5, 5, 1024)
        h = 1.06 * n**-0.2
        ours = KernelDensity(h).fit(x[:, None]).score_samples(q[:, None])
        exact = KernelDensity(h, exact=True).fit(x[:, None]).score_samples(q[:, None])
        times = {
            "latens, bandwidth given": lambda x=x, q=q, h=h: KernelDensity(h).fit(x[:, None]).score_samples(q[:, None]),
            "latens, default": lambda x=x, q=q: latens_kde(x, q),
            "latens, exact": lambda x=x, q=q, h=h: (
                KernelDensity(h, exact=True).fit(x[:, None]).score_samples(q[:, None])
            ),
            "scikit-learn, rtol 1e-4": lambda x=x, q=q, h=h: scikit_learn(x, q, bandwidth=h, rtol=1e-4),
            "scipy": lambda x=x, q=q: scipy_kde(x, q),
            "KDEpy FFT": lambda x=x: fft_kdepy(x),
            "statsmodels FFT": lambda x=x: fft_statsmodels(x),
        }
        found = {name: seconds(run) for name, run in times.items()}
        ratio = found["scikit-learn, rtol 1e-4"] / found["latens, bandwidth given"]
        rows.append(
            [
                n,
                *(f"{1e3 * value:.3g}" for value in found.values()),
                f"{ratio:.0f}",
                f"{np.abs(ours - exact).max():.1e}",
            ]
        )
        note(str(rows[-1]))
    columns = ["n", *times, "scikit-learn over latens", "largest log error"]
    table("Fit and 1024 queries, ms of processor time (FFTs: on their own grid)", columns, rows, *PACKAGES)


def fft_kdepy(x: np.ndarray) -> object:
    from KDEpy import FFTKDE

    return FFTKDE(bw="silverman").fit(x).evaluate(1024)


def fft_statsmodels(x: np.ndarray) -> object:
    from statsmodels.nonparametric.kde import KDEUnivariate

    return KDEUnivariate(x).fit(gridsize=1024)


def rows_on_rows(n: int = 10**5, part: int = 2000) -> None:
    """n queries on n rows, one of them an outlier at -1e4."""
    rng = np.random.RandomState(0)
    x = np.append(rng.normal(size=n - 1), -1e4)
    h = 0.1
    some = np.append(rng.choice(n - 1, part - 1, replace=False), n - 1)
    fast = KernelDensity(h).fit(x[:, None]).score_samples(x[:, None])
    error = np.abs(fast[some] - KernelDensity(h, exact=True).fit(x[:, None]).score_samples(x[some, None])).max()
    ours = seconds(lambda: KernelDensity(h).fit(x[:, None]).score_samples(x[:, None]))
    default = seconds(lambda: latens_kde(x, x))
    theirs = seconds(lambda: scikit_learn(x, x[some], bandwidth=h)) * n / part
    rows = [
        ["latens, bandwidth given", ours, theirs / ours, f"{error:.1e}"],
        ["latens, default", default, theirs / default, ""],
    ]
    rows.append([f"scikit-learn ({part} queries, times {n // part})", theirs, 1.0, ""])
    table(
        f"Fit {n} rows and score them all, s of processor time",
        ["", "s", "faster", "largest log error"],
        rows,
        *PACKAGES,
    )


def main() -> None:
    """Measures, prints."""
    options = parser(__doc__ or "")
    options.add_argument("--only", choices=("grids", "rows", "accuracy"))
    given = begin(options)
    warnings.filterwarnings("ignore")
    if given.only in (None, "grids"):
        grids()
    if given.only in (None, "rows"):
        rows_on_rows()
    if given.only in (None, "accuracy"):
        accuracy({100: 20, 1000: 6, 10_000: 2, 100_000: 1})


if __name__ == "__main__":
    main()
