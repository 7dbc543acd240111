"""Maximum likelihood by Newton's method, in coordinates in which every parameter is free."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from latens.density.families.base import POSITIVE, REAL, Array, Univariate, no_maximum


def steps(family: Univariate, theta: Array) -> Array:
    """The size of each parameter, to take differences with: itself, or the scale for a location."""
    scale = theta[family.names.index("scale")] if "scale" in family.names else 1.0
    sizes = []
    for parameter, value in zip(family.parameters, theta):
        if parameter.domain is REAL:
            sizes.append(scale if parameter.name == "loc" else max(1.0, abs(value)))
        else:
            sizes.append(value if parameter.domain is POSITIVE else min(value, 1 - value))
    return np.array(sizes)


class Likelihood:
    """The weighted mean of log p over exact rows and over rows that are only known to lie between bounds.

    Args:
        family: whose.
        t: statistics of the exact rows, (r, m), with weights w (m,).
        bounds: (2, c) the least and largest value of each censored row, with weights v (c,); w and v sum to 1.
    """

    def __init__(self, family: Univariate, t: Array, w: Array, bounds: Array, v: Array) -> None:
        self.family, self.t, self.w, self.bounds, self.v = family, t, w, bounds, v

    def value(self, theta: Array) -> float:
        """In nats per row."""
        with np.errstate(all="ignore"):
            exact = self.family.log_density(self.t, theta) @ self.w if len(self.w) else 0.0
            return float(exact + self._censored(theta))

    def gradient(self, theta: Array) -> Array:
        """(p,)."""
        with np.errstate(all="ignore"):
            exact = self.family.score(self.t, theta) @ self.w if len(self.w) else np.zeros(len(theta))
            return exact + self._censored_gradient(theta)

    def hessian(self, theta: Array) -> Array:
        """(p, p)."""
        p = len(theta)
        with np.errstate(all="ignore"):
            exact = self.family.hessian(self.t, self.w, theta) if len(self.w) else np.zeros((p, p))
            if not len(self.v):
                return exact
            sides = np.diag(1e-4 * steps(self.family, theta))
            rows = [
                (self._censored_gradient(theta + h) - self._censored_gradient(theta - h)) / (2 * h.sum()) for h in sides
            ]
            return exact + (np.array(rows) + np.array(rows).T) / 2

    def _censored(self, theta: Array) -> float:
        return float(log_mass(self.family, self.bounds, theta) @ self.v) if len(self.v) else 0.0

    def _censored_gradient(self, theta: Array) -> Array:
        """Differences of fourth order."""
        if not len(self.v):
            return np.zeros(len(theta))
        sides = np.diag(1e-3 * steps(self.family, theta))
        f = self._censored
        return np.array(
            [(8 * (f(theta + h) - f(theta - h)) - f(theta + 2 * h) + f(theta - 2 * h)) / (12 * h.sum()) for h in sides]
        )


def log_mass(family: Univariate, bounds: Array, theta: Array) -> Array:
    """log P(lower <= x <= upper) for each column of bounds (2, c), from the side where it is told precisely."""
    law = family.scipy(theta)
    low, high = (bounds[0] - 1, bounds[1]) if family.discrete else bounds
    with np.errstate(all="ignore"):
        right = law.cdf(low) > 0.5
        mass = np.where(right, law.sf(low) - law.sf(high), law.cdf(high) - law.cdf(low))
        inner = np.log(np.maximum(mass, 0.0))
        return np.where(np.isinf(bounds[1]), law.logsf(low), np.where(np.isinf(bounds[0]), law.logcdf(high), inner))


def maximise(likelihood: Likelihood, start: Array, free: Array) -> Array:
    """The parameters of highest likelihood near ``start``; only those marked ``free`` move.

    Raises:
        InputError: the likelihood grows for ever.
    """
    theta, domains = start.astype(float), [p.domain for p in likelihood.family.parameters]
    limits = np.array([p.limit for p in likelihood.family.parameters])
    value = likelihood.value(theta)
    for _ in range(200):
        step, gain = _step(likelihood, theta, domains, free)
        length, nearer, better = 1.0, theta, value
        while length > 1e-10:
            nearer = _moved(theta, length * step, domains, free)
            better = likelihood.value(nearer)
            if better >= value + 1e-4 * length * gain - 1e-14 * (1 + abs(value)):
                break
            length /= 2
        else:
            return theta
        theta, value = nearer, better
        if gain < 1e-14:
            return theta
        if (theta > limits).any():
            theta, free = np.where(theta > limits, np.inf, theta), free & (theta <= limits)
            value = likelihood.value(theta)
        if _escaped(theta[free], [d for d, f in zip(domains, free) if f]):
            break
    shown = ", ".join(f"{p.name} = {v:.3g}" for p, v in zip(likelihood.family.parameters, theta))
    raise no_maximum(likelihood.family.name, f"it still grows at {shown}", "Choose another family, or fix a parameter.")


def _escaped(theta: Array, domains: list) -> bool:
    return any(not (1e-150 < v < 1e150 if d is POSITIVE else np.isfinite(v)) for d, v in zip(domains, theta))


def _moved(theta: Array, step: Array, domains: list, free: Array) -> Array:
    with np.errstate(over="ignore"):
        moved = np.array([d.back(d.free(v) + s) if f else v for d, v, s, f in zip(domains, theta, step, free)])
    return np.where(free, moved, theta)


def _step(likelihood: Likelihood, theta: Array, domains: list, free: Array) -> tuple[Array, float]:
    """Newton's step in the free coordinates, uphill also where the likelihood is not concave, and its promised gain."""
    at, step = np.flatnonzero(free), np.zeros(len(theta))
    gradient, hessian = likelihood.gradient(theta)[at], likelihood.hessian(theta)[np.ix_(at, at)]
    sizes = steps(likelihood.family, theta)
    slope = np.array([sizes[i] if domains[i] is REAL else domains[i].slope(theta[i]) for i in at], dtype=float)
    bend = np.array([domains[i].bend(theta[i]) for i in at], dtype=float)
    rise = slope * gradient
    curved = slope[:, None] * hessian * slope + np.diag(bend * gradient)
    if not np.isfinite(curved).all() or not np.isfinite(rise).all():
        return step, 0.0
    values, vectors = np.linalg.eigh(-curved)
    values = np.maximum(np.abs(values), 1e-9 * np.abs(values).max() + 1e-300)
    moved = vectors @ (vectors.T @ rise / values)
    moved /= max(1.0, np.abs(moved).max() / 2)
    step[at] = [m * sizes[i] if domains[i] is REAL else m for m, i in zip(moved, at)]
    return step, float(moved @ rise)


def climb(likelihood: Likelihood, start: Array, free: Array) -> Array:
    """As ``maximise``, by Nelder and Mead's simplex, for a likelihood with kinks."""
    domains = [p.domain for p in likelihood.family.parameters]
    unit = steps(likelihood.family, start)

    def lost(u: Array) -> float:
        shift = np.zeros(len(start))
        shift[free] = u
        shift = np.where([d is REAL for d in domains], unit * shift, shift)
        value = likelihood.value(_moved(start, shift, domains, free))
        return -value if np.isfinite(value) else 1e300

    found = np.zeros(int(free.sum()))
    for _ in range(3):
        found = minimize(lost, found, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-14, "maxiter": 4000}).x
    shift = np.zeros(len(start))
    shift[free] = found
    return _moved(start, np.where([d is REAL for d in domains], unit * shift, shift), domains, free)
