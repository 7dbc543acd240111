"""Maximum likelihood, every family side by side with scipy and statsmodels: parameters, log-likelihood, process time.

scipy fits continuous families by ``dist.fit`` and counts by ``scipy.stats.fit``, which takes n of a negative binomial
for an integer; its fits run with the support fixed as ours is. statsmodels has counts and the t. Neither fits a joint
t or a Dirichlet: there the peer is BFGS on scipy's density from the moments. The peers are optional:

    ../peers/bin/pip install statsmodels
    PYTHONPATH=src OMP_NUM_THREADS=1 ../peers/bin/python benchmarks/maximum_likelihood.py
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from statistics import median

import numpy as np
from common import begin, cpu_seconds, note, parser, table
from scipy import optimize, stats

from latens.density import Parametric

Fit = Callable[[np.ndarray], tuple[dict[str, float], float]]


def tables(n: int) -> dict[str, np.ndarray]:
    """``n`` rows of each family."""
    rng = np.random.RandomState(0)
    inflated = rng.poisson(4.0, n) * (rng.uniform(size=n) < 0.7)
    return {
        "normal": rng.normal(3, 2, n),
        "lognormal": rng.lognormal(1, 0.5, n),
        "exponential": rng.exponential(2, n),
        "gamma": rng.gamma(2.5, 1.5, n),
        "beta": rng.beta(2, 0.7, n),
        "weibull": 2 * rng.weibull(1.7, n),
        "student-t": 2 * rng.standard_t(3, n) + 1,
        "laplace": rng.laplace(1, 2, n),
        "logistic": rng.logistic(1, 2, n),
        "gumbel": rng.gumbel(1, 2, n),
        "pareto": 2 * (1 + rng.pareto(3, n)),
        "uniform": rng.uniform(1, 3, n),
        "poisson": rng.poisson(4, n),
        "binomial": rng.binomial(12, 0.3, n),
        "negative-binomial": rng.negative_binomial(3, 0.4, n),
        "geometric": rng.geometric(0.3, n) - 1,
        "zero-inflated-poisson": inflated,
        "multivariate-normal": rng.multivariate_normal([1, 2], [[2, 0.6], [0.6, 1]], n),
        "multivariate-t": stats.multivariate_t([1, 2], [[2, 0.6], [0.6, 1]], df=4, seed=rng).rvs(n),
        "dirichlet": rng.dirichlet([0.7, 2, 4], n),
        "skewnorm": stats.skewnorm.rvs(3, size=n, random_state=rng),
    }


def ours(name: str) -> Fit:
    """Parameters, and the sum of log p by our own scores."""

    def fit(x: np.ndarray) -> tuple[dict[str, float], float]:
        density = Parametric(name).fit(x if x.ndim == 2 else x[:, None])
        return density.params_, density.log_likelihood_

    return fit


def continuous(law: stats.rv_continuous, **fixed: float) -> Fit:
    def fit(x: np.ndarray) -> tuple[dict[str, float], float]:
        found = law.fit(x, **fixed)
        names = [*(law.shapes or "").replace(" ", "").split(","), "loc", "scale"]
        return dict(zip([name for name in names if name], found)), law.logpdf(x, *found).sum()

    return fit


def counts(law: stats.rv_discrete, bounds: dict[str, tuple[float, float]], loc: int = 0) -> Fit:
    def fit(x: np.ndarray) -> tuple[dict[str, float], float]:
        found = stats.fit(law, x - loc, bounds).params
        return found._asdict(), law.logpmf(x - loc, *found).sum()

    return fit


def joint_normal(x: np.ndarray) -> tuple[dict[str, float], float]:
    mean, covariance = stats.multivariate_normal.fit(x)
    return {"mean": mean, "covariance": covariance}, stats.multivariate_normal(mean, covariance).logpdf(x).sum()


def joint_t(x: np.ndarray) -> tuple[dict[str, float], float]:
    def unpacked(u: np.ndarray) -> tuple:
        factor = np.array([[np.exp(u[3]), 0.0], [u[4], np.exp(u[5])]])
        return u[1:3], factor @ factor.T, np.exp(u[0])

    factor = np.linalg.cholesky(np.cov(x.T))
    start = [2.0, *x.mean(0), np.log(factor[0, 0]), factor[1, 0], np.log(factor[1, 1])]
    found = optimize.minimize(lambda u: -stats.multivariate_t.logpdf(x, *unpacked(u)).mean(), start, method="BFGS")
    loc, scale, df = unpacked(found.x)
    return {"df": df, "loc": loc, "scale": scale}, -len(x) * found.fun


def dirichlet(x: np.ndarray) -> tuple[dict[str, float], float]:
    found = optimize.minimize(lambda u: -stats.dirichlet.logpdf(x.T, np.exp(u)).mean(), np.zeros(3), method="BFGS")
    return {"concentration": np.exp(found.x)}, -len(x) * found.fun


SCIPY: dict[str, Fit] = {
    "normal": continuous(stats.norm),
    "lognormal": continuous(stats.lognorm, floc=0),
    "exponential": continuous(stats.expon, floc=0),
    "gamma": continuous(stats.gamma, floc=0),
    "beta": continuous(stats.beta, floc=0, fscale=1),
    "weibull": continuous(stats.weibull_min, floc=0),
    "student-t": continuous(stats.t),
    "laplace": continuous(stats.laplace),
    "logistic": continuous(stats.logistic),
    "gumbel": continuous(stats.gumbel_r),
    "pareto": continuous(stats.pareto, floc=0),
    "uniform": continuous(stats.uniform),
    "skewnorm": continuous(stats.skewnorm),
    "poisson": counts(stats.poisson, {"mu": (0, 50)}),
    "binomial": counts(stats.binom, {"n": (1, 100), "p": (0, 1)}),
    "negative-binomial": counts(stats.nbinom, {"n": (0, 50), "p": (0, 1)}),
    "geometric": counts(stats.geom, {"p": (0, 1)}, loc=-1),
    "multivariate-normal": joint_normal,
    "multivariate-t": joint_t,
    "dirichlet": dirichlet,
}


def statsmodels(name: str) -> Fit:
    """Its model of this name, with a constant alone."""

    def fit(x: np.ndarray) -> tuple[dict[str, float], float]:
        from statsmodels.discrete.count_model import ZeroInflatedPoisson
        from statsmodels.discrete.discrete_model import NegativeBinomial, Poisson
        from statsmodels.miscmodels.tmodel import TLinearModel

        make = {
            "poisson": Poisson,
            "negative-binomial": NegativeBinomial,
            "geometric": lambda x, one: NegativeBinomial(x, one, loglike_method="geometric"),
            "zero-inflated-poisson": ZeroInflatedPoisson,
            "student-t": TLinearModel,
        }[name]
        found = make(x, np.ones((len(x), 1))).fit(disp=0)
        return _read(name, np.asarray(found.params)), found.llf

    return fit


def _read(name: str, p: np.ndarray) -> dict[str, float]:
    """statsmodels' coefficients as parameters."""
    if name == "student-t":
        return {"df": p[1], "loc": p[0], "scale": p[2]}
    if name == "zero-inflated-poisson":
        return {"rate": np.exp(p[1]), "inflation": 1 / (1 + np.exp(-p[0]))}
    if name == "negative-binomial":
        return {"r": 1 / p[1], "mean": np.exp(p[0])}
    return {"rate": np.exp(p[0])} if name == "poisson" else {"p": 1 / (1 + np.exp(p[0]))}


MODELS = ("student-t", "poisson", "negative-binomial", "geometric", "zero-inflated-poisson")


def timed(fit: Fit, x: np.ndarray, repeats: int) -> tuple[dict[str, float], float, float]:
    """Parameters, log-likelihood, and the median of the processor's milliseconds."""
    fit(x)
    times = []
    for _ in range(repeats):
        start = cpu_seconds()
        params, value = fit(x)
        times.append(1e3 * (cpu_seconds() - start))
    return params, value, median(times)


def shown(params: dict) -> str:
    return ", ".join(f"{name} {np.array2string(np.asarray(v), precision=4)}" for name, v in params.items()).replace(
        "\n", ""
    )


def main() -> None:
    """One row for each family and library."""
    options = parser(__doc__ or "")
    options.add_argument("--rows", type=int, default=10_000)
    options.add_argument("--repeats", type=int, default=5)
    given = begin(options)
    warnings.simplefilter("ignore")
    rows = []
    for name, x in tables(given.rows).items():
        note(name)
        params, value, ms = timed(ours(name), x, given.repeats)
        rows.append([name, "latens", shown(params), f"{value:.4f}", "", f"{ms:.2f}", ""])
        peers = {"scipy": SCIPY.get(name), "statsmodels": statsmodels(name) if name in MODELS else None}
        for library, fit in peers.items():
            if fit is not None:
                try:
                    theirs, other, slow = timed(fit, x, 1 if name == "binomial" else max(1, given.repeats // 2))
                except ImportError as error:
                    note(f"{library}: {error}")
                    continue
                ahead = f"{value - other:+.1e}"
                rows.append(["", library, shown(theirs), f"{other:.4f}", ahead, f"{slow:.1f}", f"{slow / ms:.1f}"])
    columns = ["family", "library", "parameters", "log-likelihood", "ours ahead", "CPU-ms", "times faster"]
    table(f"Maximum likelihood, {given.rows} rows, errors included in ours", columns, rows, "scipy", "statsmodels")


if __name__ == "__main__":
    main()
