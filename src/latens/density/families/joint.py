"""Families of several columns together: multivariate normal, multivariate t, Dirichlet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import betaln, digamma, gammaln, polygamma

from latens.density.families.base import POSITIVE, REAL, Array, Estimate, Family, Univariate, check_fixed, no_maximum
from latens.density.families.real import Normal, StudentT
from latens.utils.errors import InputError

_ROWS = 256
SMALL = 1e-145
"""Deviations whose squares lose digits."""


def whitener(covariance: Array) -> tuple[Array, float]:
    """The inverse of the Cholesky factor, (d, d) lower, and log det of the covariance.

    Raises:
        InputError: the covariance is singular.
    """
    scale = np.sqrt(np.diag(covariance))
    if (scale > SMALL).all():
        correlation = covariance / scale / scale[:, None]
        values = np.linalg.eigvalsh(correlation)
        if (values > len(scale) * 1e-14).all():
            factor = np.linalg.cholesky(correlation) * scale[:, None]
            return solve_triangular(factor, np.eye(len(scale)), lower=True), 2 * float(np.log(np.diag(factor)).sum())
        rank = int((values > len(scale) * 1e-14).sum())
        raise InputError(f"the covariance is singular: the {len(scale)} columns span {rank} dimensions. Drop columns.")
    what = f"column {int(np.argmin(scale))} is constant" + (f" (its spread is below {SMALL:g})" if scale.any() else "")
    raise InputError(f"the covariance is singular: {what}. Drop it.")


def distances(X: Array, mean: Array, whiten: Array) -> Array:
    """Squared Mahalanobis distances, (n,): in blocks of equal size, so that a row's knows no other row."""
    n, d = X.shape
    blocks = np.zeros((-(-n // _ROWS), _ROWS, d))
    blocks.reshape(-1, d)[:n] = X - mean
    with np.errstate(over="ignore"):
        return np.square(blocks @ whiten.T).sum(axis=2).reshape(-1)[:n]


@dataclass(frozen=True, repr=False)
class MultivariateNormal(Family):
    r"""$p(x) = |2 \pi \Sigma|^{-1/2} e^{-(x - \mu)^T \Sigma^{-1} (x - \mu) / 2}$; parameters ``mean``, ``covariance``.

    A singular covariance has no density and is refused.
    """

    name = "multivariate-normal"
    streams = True

    def domains(self) -> dict[Any, Any]:
        return {"mean": REAL, "covariance": REAL}

    def line(self, params: Mapping[str, Any]) -> tuple[Univariate, Array]:
        return Normal(), np.array([params["mean"][0], np.sqrt(params["covariance"][0, 0])])

    def digest(self, X: Array, w: Array, upper: Array | None = None) -> tuple[Array, Array, Array]:
        """The total weight, the mean, and the covariance."""
        _refuse_censored(self.name, upper)
        X, share = X.astype(np.float64), w / w.sum()
        mean = share @ X
        centred = X - mean
        mean = mean + share @ centred
        centred = X - mean
        return np.array(w.sum()), mean, (centred * share[:, None]).T @ centred

    def merge(self, first: tuple, second: tuple) -> tuple[Array, Array, Array]:
        (v, m, S), (w, n, T) = first, second
        a, b = v / (v + w), w / (v + w)
        return v + w, a * m + b * n, a * S + b * T + a * b * np.outer(n - m, n - m)

    def estimate(self, digest: tuple, fixed: Mapping[str, Any]) -> Estimate:
        check_fixed(self.name, fixed, ["mean", "covariance"])
        _, centre, spread = digest
        d = len(centre)
        mean = _fixed(fixed, "mean", centre, (d,))
        spread = spread + np.outer(centre - mean, centre - mean)
        covariance = _fixed(fixed, "covariance", spread, (d, d))
        whiten, log_det = whitener(covariance)
        distance = float(np.sum((whiten @ spread) * whiten))
        variances = np.diag(covariance)
        errors = {
            "mean": np.sqrt(variances),
            "covariance": np.sqrt(np.outer(variances, variances) + covariance**2),
        }
        errors = {name: np.full_like(error, np.nan) if name in fixed else error for name, error in errors.items()}
        n_free = d * ("mean" not in fixed) + d * (d + 1) // 2 * ("covariance" not in fixed)
        value = -(d * np.log(2 * np.pi) + log_det + distance) / 2
        return Estimate({"mean": mean, "covariance": covariance}, errors, value, n_free)

    def log_prob(self, X: Array, params: Mapping[str, Any]) -> Array:
        whiten, log_det = whitener(params["covariance"])
        return -(distances(X, params["mean"], whiten) + X.shape[1] * np.log(2 * np.pi) + log_det) / 2

    def draw(self, params: Mapping[str, Any], n: int, rng: np.random.RandomState) -> Array:
        factor = np.linalg.cholesky(params["covariance"])
        return params["mean"] + rng.normal(size=(n, len(factor))) @ factor.T

    def condition(self, params: Mapping[str, Any], known: Array, values: Array) -> tuple[Family, dict[str, Any]]:
        """The law of the other columns: the mean moves by the regression on the known ones, the covariance shrinks."""
        mean, covariance, _ = regression(params["mean"], params["covariance"], known, values)
        return self, {"mean": mean, "covariance": covariance}


def regression(mean: Array, covariance: Array, known: Array, values: Array) -> tuple[Array, Array, Array]:
    """Means and (Schur) covariance of the unknown columns, and the squared distance of the known values (..., d)."""
    whiten, _ = whitener(covariance[np.ix_(known, known)])
    half = whiten @ covariance[np.ix_(known, ~known)]
    off = (values[..., known] - mean[known]) @ whiten.T
    return mean[~known] + off @ half, covariance[np.ix_(~known, ~known)] - half.T @ half, (off**2).sum(axis=-1)


@dataclass(frozen=True, repr=False)
class MultivariateT(Family):
    r"""$p(x) \propto |\Sigma|^{-1/2} (1 + \delta / \nu)^{-(\nu + d) / 2}$; parameters ``df``, ``loc``, ``scale``.

    Here $\delta = (x - \mu)^T \Sigma^{-1} (x - \mu)$ and ``scale`` is the matrix $\Sigma$; the covariance is
    $\nu / (\nu - 2)$ times it. Parameters by expectation and maximisation with the parameter expansion of Kent, Tyler
    and Vardi, df by Newton's method on the actual likelihood in each step; where the tails are no heavier than a
    normal's, ``df`` is infinity. Errors are those of the expected information.

    Reference:
        Liu and Rubin (1995), ML estimation of the t distribution using EM and its extensions, ECM and ECME;
        Kent, Tyler and Vardi (1994), A curious likelihood identity for the multivariate t-distribution;
        Lange, Little and Taylor (1989), for the information.
    """

    name = "multivariate-t"

    def domains(self) -> dict[Any, Any]:
        return {"df": POSITIVE, "loc": REAL, "scale": REAL}

    def line(self, params: Mapping[str, Any]) -> tuple[Univariate, Array]:
        return StudentT(), np.array([params["df"], params["loc"][0], np.sqrt(params["scale"][0, 0])])

    def digest(self, X: Array, w: Array, upper: Array | None = None) -> tuple[Array, Array]:
        _refuse_censored(self.name, upper)
        return X.astype(np.float64), w

    def merge(self, first: tuple, second: tuple) -> tuple[Array, Array]:
        X, w = (np.concatenate(pair) for pair in zip(first, second))
        return X, w

    def estimate(self, digest: tuple, fixed: Mapping[str, Any]) -> Estimate:
        check_fixed(self.name, fixed, ["df", "loc", "scale"])
        X, w = digest[0], digest[1] / digest[1].sum()
        params = self._fit(X, w, fixed)
        d = X.shape[1]
        errors = {name: np.nan * e if name in fixed else e for name, e in _t_errors(params).items()}
        free = {"df": int(np.isfinite(params["df"])), "loc": d, "scale": d * (d + 1) // 2}
        n_free = sum(number for name, number in free.items() if name not in fixed)
        return Estimate(params, errors, float(w @ self.log_prob(X, params)), n_free)

    def _fit(self, X: Array, w: Array, fixed: Mapping[str, Any]) -> dict[str, Any]:
        d = X.shape[1]
        loc = _fixed(fixed, "loc", w @ X, (d,))
        scale = _fixed(fixed, "scale", (X - loc).T @ ((X - loc) * w[:, None]), (d, d))
        df = float(fixed.get("df", 10.0))
        if not df > 0:
            raise InputError(f"fixed expects a positive df; got {df:g}.")
        previous = -np.inf
        for _ in range(2000):
            whiten, log_det = whitener(scale)
            delta = np.square((X - loc) @ whiten.T).sum(axis=1)
            if "df" not in fixed:
                df = _best_df(delta, w, d, df)
            value = float(w @ _t_log_density(delta, df, d)) - log_det / 2
            if abs(value - previous) < 1e-13 * (1 + abs(value)):
                break
            previous = value
            pull = w * ((df + d) / (df + delta) if np.isfinite(df) else np.ones_like(delta))
            loc = loc if "loc" in fixed else pull @ X / pull.sum()
            if "scale" not in fixed:
                scale = (X - loc).T @ ((X - loc) * pull[:, None]) / pull.sum()
        return {"df": df, "loc": loc, "scale": scale}

    def log_prob(self, X: Array, params: Mapping[str, Any]) -> Array:
        whiten, log_det = whitener(params["scale"])
        return _t_log_density(distances(X, params["loc"], whiten), params["df"], X.shape[1]) - log_det / 2

    def draw(self, params: Mapping[str, Any], n: int, rng: np.random.RandomState) -> Array:
        df, factor = params["df"], np.linalg.cholesky(params["scale"])
        z = rng.normal(size=(n, len(factor))) @ factor.T
        return params["loc"] + (z if np.isinf(df) else z / np.sqrt(rng.chisquare(df, size=(n, 1)) / df))

    def condition(self, params: Mapping[str, Any], known: Array, values: Array) -> tuple[Family, dict[str, Any]]:
        """Again a multivariate t: df grows by the known columns, the scale with their distance.

        Reference:
            Ding (2016), On the conditional distribution of the multivariate t distribution.
        """
        df, k = params["df"], int(known.sum())
        loc, scale, distance = regression(params["loc"], params["scale"], known, values)
        wider = (df + distance) / (df + k) if np.isfinite(df) else 1.0
        return self, {"df": df + k, "loc": loc, "scale": scale * wider}


def _t_log_density(delta: Array, df: float, d: int) -> Array:
    """log p for a scale matrix of determinant 1."""
    if np.isinf(df):
        return -(delta + d * np.log(2 * np.pi)) / 2
    constant = gammaln(d / 2) - betaln(df / 2, d / 2) - d / 2 * np.log(df * np.pi)
    return constant - (df + d) / 2 * np.log1p(delta / df)


def _best_df(delta: Array, w: Array, d: int, df: float) -> float:
    """Newton's method in log df, safeguarded; infinite beyond 1e6."""
    u = np.log(min(df, 1e5))
    for _ in range(50):
        v = np.exp(u)
        near = delta / (v + delta)
        spread = digamma((v + d) / 2) - digamma(v / 2) - d / v
        rise = (spread + w @ (-np.log1p(delta / v) + (v + d) / v * near)) / 2
        constant = (polygamma(1, (v + d) / 2) - polygamma(1, v / 2)) / 2 + d / v**2
        bend = (constant + w @ (near / v - d * near / v**2 - (v + d) / v * near / (v + delta))) / 2
        down, curved = v * rise, v * v * bend + v * rise
        step = down / max(abs(curved), 1e-12 * abs(down) + 1e-300)
        u += np.clip(step, -1.0, 1.0)
        if u > np.log(1e6):
            return np.inf
        if abs(step) < 1e-12:
            break
    return float(np.exp(u))


def _t_errors(params: Mapping[str, Any]) -> dict[str, Any]:
    df, scale = params["df"], params["scale"]
    d, variances = len(scale), np.diag(scale)
    normal = np.outer(variances, variances) + scale**2
    if np.isinf(df):
        return {"df": np.nan, "loc": np.sqrt(variances), "scale": np.sqrt(normal)}
    c, e = (df + d) / (df + d + 2), 1 / (2 * (df + d + 2))
    mixed = 1 / ((df + d) * (df + d + 2))
    own = (polygamma(1, df / 2) - polygamma(1, (df + d) / 2)) / 4
    own -= d * (df + d + 4) / (2 * df * (df + d) * (df + d + 2))
    q = e + mixed**2 / own
    return {
        "df": float(1 / np.sqrt(own - mixed**2 * 2 * d / (c - 2 * d * e))),
        "loc": np.sqrt(variances / c),
        "scale": np.sqrt(normal / c + 4 * q * scale**2 / (c * (c - 2 * d * q))),
    }


@dataclass(frozen=True, repr=False)
class Dirichlet(Family):
    r"""$p(x) = \frac{\Gamma(\sum_j a_j)}{\prod_j \Gamma(a_j)} \prod_j x_j^{a_j - 1}$ on the simplex; ``concentration``.

    Rows are positive and sum to 1 (within 1e-6; they are divided by their sum). The density is with respect to the
    first d - 1 columns, as scipy's is: it cannot be compared with a density of all d.

    Reference:
        Minka (2000), Estimating a Dirichlet distribution.
    """

    name = "dirichlet"
    streams = True

    def domains(self) -> dict[Any, Any]:
        return {"concentration": POSITIVE}

    def line(self, params: Mapping[str, Any]) -> tuple[Univariate, Array]:
        raise InputError("one column sums to 1 in no row but that of ones; dirichlet has several.")

    def digest(self, X: Array, w: Array, upper: Array | None = None) -> tuple[Array, Array]:
        """The total weight and the mean logarithms."""
        _refuse_censored(self.name, upper)
        X = X.astype(np.float64)
        wrong = ~_on_simplex(X)
        if X.shape[1] < 2 or wrong.any():
            found = f"{wrong.sum()} of {len(X)} rows do not" if X.shape[1] > 1 else "got one column"
            raise InputError(f"dirichlet expects two or more positive columns that sum to 1 in every row; {found}.")
        share = w / w.sum()
        return np.array(w.sum()), share @ np.log(X / X.sum(axis=1, keepdims=True))

    def merge(self, first: tuple, second: tuple) -> tuple[Array, Array]:
        (v, m), (w, n) = first, second
        return v + w, (v * m + w * n) / (v + w)

    def estimate(self, digest: tuple, fixed: Mapping[str, Any]) -> Estimate:
        if fixed:
            raise InputError("dirichlet learns its concentration as a whole; fixed expects nothing.")
        mean_log = digest[1]
        a = self._concentration(mean_log)
        information = np.diag(polygamma(1, a)) - polygamma(1, a.sum())
        errors = {"concentration": np.sqrt(np.diag(np.linalg.inv(information)))}
        value = float((a - 1) @ mean_log + gammaln(a.sum()) - gammaln(a).sum())
        return Estimate({"concentration": a}, errors, value, len(a))

    def _concentration(self, mean_log: Array) -> Array:
        """Newton's method in log a, whose Hessian is diagonal plus rank one; steps of at most a factor e^2."""
        g = np.exp(mean_log)
        if 1 - g.sum() < 1e-13:
            raise no_maximum(self.name, "all rows are equal (1 sample or constant)", "Drop the columns.")
        a = g * (len(g) - 1) / (2 * (1 - g.sum()))

        def value(a: Array) -> float:
            return float((a - 1) @ mean_log + gammaln(a.sum()) - gammaln(a).sum())

        for _ in range(200):
            slope = a * (digamma(a.sum()) - digamma(a) + mean_log)
            curve = np.maximum(a * a * polygamma(1, a) - np.minimum(slope, 0.0), 1e-300)
            c = polygamma(1, a.sum())
            inner = (a / curve) @ slope / max(1 / c - (a / curve) @ a, 1e-12)
            step = (slope + a * inner) / curve
            step /= max(1.0, np.abs(step).max() / 2)
            while value(a * np.exp(step)) < value(a) - 1e-13 * (1 + abs(value(a))) and np.abs(step).max() > 1e-15:
                step /= 2
            a = a * np.exp(step)
            if np.abs(step).max() < 1e-13:
                break
        return a

    def log_prob(self, X: Array, params: Mapping[str, Any]) -> Array:
        a, X = params["concentration"], X.astype(np.float64)
        inside = _on_simplex(X)
        out = np.full(len(X), -np.inf)
        rows = X[inside] / X[inside].sum(axis=1, keepdims=True)
        out[inside] = ((a - 1) * np.log(rows)).sum(axis=1) + gammaln(a.sum()) - gammaln(a).sum()
        return out

    def draw(self, params: Mapping[str, Any], n: int, rng: np.random.RandomState) -> Array:
        return rng.dirichlet(params["concentration"], size=n)


def _on_simplex(X: Array) -> Array:
    return (X > 0).all(axis=1) & (np.abs(X.sum(axis=1) - 1) < 1e-6)


def _fixed(fixed: Mapping[str, Any], name: str, otherwise: Array, shape: tuple[int, ...]) -> Array:
    if name not in fixed:
        return otherwise
    value = np.asarray(fixed[name], dtype=np.float64)
    if value.shape != shape or not np.isfinite(value).all():
        raise InputError(f"fixed expects {name} of shape {shape}, finite; got shape {value.shape}.")
    return value


def _refuse_censored(name: str, upper: Array | None) -> None:
    if upper is not None:
        raise InputError(f"{name} takes no censored rows; families of one column do.")
