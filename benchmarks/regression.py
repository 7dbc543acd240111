"""Regression by maximum likelihood, with standard errors: statsmodels, scikit-learn (without the errors) and ours.

The peers are optional, and live in an environment of their own:

    ../peers/bin/pip install statsmodels scikit-learn
    PYTHONPATH=src ../peers/bin/python benchmarks/regression.py
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from statistics import median

import numpy as np
from common import begin, cpu_seconds, note, parser, table
from sklearn import linear_model

from latens import LogisticRegression, Regression

Fit = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, float]]
"""Rows and y -> slopes and the log likelihood (NaN where the peer does not say it)."""


def targets(X: np.ndarray, rng: np.random.RandomState) -> dict[str, np.ndarray]:
    """A target for each model, which is true."""
    eta = X @ np.linspace(-0.4, 0.4, X.shape[1])
    return {
        "normal": eta + rng.normal(size=len(X)),
        "laplace": eta + rng.laplace(size=len(X)),
        "student-t": eta + rng.standard_t(3, size=len(X)),
        "poisson": rng.poisson(np.exp(eta)),
        "negative-binomial": rng.negative_binomial(2.0, 2.0 / (2.0 + np.exp(eta))),
        "logistic, 2 classes": (eta + rng.logistic(size=len(X)) > 0).astype(int),
        "logistic, 5 classes": np.digitize(eta + rng.logistic(size=len(X)), [-2.0, -0.5, 0.5, 2.0]),
    }


def ours(name: str) -> Fit:
    def fit(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
        model = (LogisticRegression() if name.startswith("logistic") else Regression(name)).fit(X, y)
        return (model.coef_[1:] - model.coef_[0] if "5" in name else model.coef_).ravel(), model.log_likelihood_

    return fit


def statsmodels(name: str) -> Fit:
    import statsmodels.api as sm
    from statsmodels.miscmodels.tmodel import TLinearModel

    kinds = {
        "normal": lambda y, D: sm.OLS(y, D).fit(),
        "laplace": lambda y, D: sm.QuantReg(y, D).fit(q=0.5),
        "student-t": lambda y, D: TLinearModel(y, D).fit(disp=0),
        "poisson": lambda y, D: sm.GLM(y, D, family=sm.families.Poisson()).fit(),
        "negative-binomial": lambda y, D: sm.NegativeBinomial(y, D).fit(disp=0),
        "logistic, 2 classes": lambda y, D: sm.Logit(y, D).fit(disp=0),
        "logistic, 5 classes": lambda y, D: sm.MNLogit(y, D).fit(disp=0),
    }

    def fit(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
        found = kinds[name](y, sm.add_constant(X))
        _ = found.bse
        if name == "laplace":
            rest = np.abs(found.resid)
            return found.params[1:], float(-len(y) * (np.log(2 * rest.mean()) + 1))
        return found.params[1 : X.shape[1] + 1].T.ravel(), found.llf

    return fit


def scikit_learn(name: str) -> Fit | None:
    logistic = linear_model.LogisticRegression(C=np.inf, max_iter=10_000, tol=1e-8)
    kinds = {
        "normal": linear_model.LinearRegression(),
        "laplace": linear_model.QuantileRegressor(alpha=0),
        "poisson": linear_model.PoissonRegressor(alpha=0, tol=1e-8, max_iter=10_000),
        "logistic, 2 classes": logistic,
        "logistic, 5 classes": logistic,
    }
    if name not in kinds:
        return None

    def fit(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
        model = kinds[name].fit(X, y)
        return (model.coef_[1:] - model.coef_[0] if "5" in name else model.coef_).ravel(), float("nan")

    return fit


def timed(fit: Fit | None, X: np.ndarray, y: np.ndarray, repeats: int) -> tuple[float, np.ndarray, float]:
    if fit is None:
        return float("nan"), np.full(1, np.nan), float("nan")
    seconds = []
    for _ in range(repeats):
        start = cpu_seconds()
        slopes, likelihood = fit(X, y)
        seconds.append(cpu_seconds() - start)
    return 1e3 * median(seconds), slopes, likelihood


def main() -> None:
    """One row for each model, fitted in turns."""
    options = parser(__doc__ or "")
    options.add_argument("--rows", type=int, default=20_000)
    options.add_argument("--columns", type=int, default=8)
    options.add_argument("--repeats", type=int, default=3)
    given = begin(options)
    warnings.simplefilter("ignore")
    rng = np.random.RandomState(0)
    X = rng.normal(size=(given.rows, given.columns))
    rows: list[list[object]] = []
    for name, y in targets(X, rng).items():
        note(name)
        (mine, slopes, likelihood), (peer, other, theirs), (learn, *_) = (
            timed(fit, X, y, given.repeats) for fit in (ours(name), statsmodels(name), scikit_learn(name))
        )
        rows.append([name, mine, peer, learn, likelihood - theirs, float(np.abs(slopes - other).max())])
    columns = ["model", "ours, ms", "statsmodels, ms", "scikit-learn, ms (no errors)"]
    columns += ["log likelihood beyond statsmodels', nats", "largest difference of slopes"]
    table(f"{given.rows:,} x {given.columns}", columns, rows, "statsmodels", "scikit-learn")


if __name__ == "__main__":
    main()
