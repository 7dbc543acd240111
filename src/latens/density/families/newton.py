"""Maximum likelihood by Newton's method, in coordinates in which every parameter is free."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from latens.density.families import differences
from latens.density.families.base import POSITIVE, REAL, Array, Domain, Univariate, no_maximum


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
            sizes = self.family.sizes(theta)
            return exact + differences.gradient(self._censored, theta, sizes) if len(self.v) else exact

    def hessian(self, theta: Array) -> Array:
        """(p, p)."""
        p = len(theta)
        with np.errstate(all="ignore"):
            exact = self.family.hessian(self.t, self.w, theta) if len(self.w) else np.zeros((p, p))
            sizes = self.family.sizes(theta)
            return exact + differences.hessian(self._censored, theta, sizes) if len(self.v) else exact

    def _censored(self, theta: Array) -> float:
        return float(log_mass(self.family, self.bounds, theta) @ self.v) if len(self.v) else 0.0


def log_mass(family: Univariate, bounds: Array, theta: Array) -> Array:
    """log P(lower <= x <= upper) for each column of bounds (2, c), from the side where it is told precisely."""
    law, out = family.scipy(theta), np.zeros(bounds.shape[1])
    low, high = (bounds[0] - 1, bounds[1]) if family.discrete else bounds
    above, below = np.isinf(high), np.isinf(low)
    right, left, inner = above & ~below, below & ~above, ~above & ~below
    with np.errstate(all="ignore"):
        if right.any():
            out[right] = law.logsf(low[right])
        if left.any():
            out[left] = law.logcdf(high[left])
        if inner.any():
            low, high = low[inner], high[inner]
            upper_half = law.cdf(low) > 0.5
            mass = np.where(upper_half, law.sf(low) - law.sf(high), law.cdf(high) - law.cdf(low))
            out[inner] = np.log(np.maximum(mass, 0.0))
    return out


def maximise(likelihood: Likelihood, start: Array, free: Array) -> Array:
    """The parameters of highest likelihood near ``start``; only those marked ``free`` move.

    Far from the top a step is halved until the likelihood grows; near it, where growth is lost in rounding, steps are
    whole, and end when they no longer shrink. Where steps get nowhere, at kinks, a simplex goes on.

    Raises:
        InputError: the likelihood grows for ever.
    """
    theta, parameters = start.astype(float), likelihood.family.parameters
    domains, limits = [p.domain for p in parameters], np.array([p.limit for p in parameters])
    last = np.inf
    for _ in range(100):
        step, gain, concave = _step(likelihood, theta, domains, free)
        if concave and gain < 1e-9:
            theta = _moved(theta, step, domains, free)
            if gain < 1e-24 or gain > last / 4:
                return theta
            last = gain
            continue
        theta, before = _climbed(likelihood, theta, step, gain, domains, free), theta
        if (theta == before).all():
            return theta if gain < 1e-6 else climb(likelihood, theta, free)
        theta, free = np.where(theta > limits, np.inf, theta), free & (theta <= limits)
        if _escaped(theta[free], start[free], [d for d, f in zip(domains, free) if f]):
            why = "it still grows at " + ", ".join(f"{p.name} = {v:.3g}" for p, v in zip(parameters, theta))
            raise no_maximum(likelihood.family.name, why, "Choose another family, or fix a parameter.")
    return climb(likelihood, theta, free)


def _climbed(
    likelihood: Likelihood, theta: Array, step: Array, gain: float, domains: list[Domain], free: Array
) -> Array:
    """A part of the step by which the likelihood grows; none where there is no such part."""
    value, length = likelihood.value(theta), 1.0
    while length > 1e-10:
        nearer = _moved(theta, length * step, domains, free)
        if likelihood.value(nearer) >= value + 1e-4 * length * gain - 1e-14 * (1 + abs(value)):
            return nearer
        length /= 2
    return theta


def _escaped(theta: Array, start: Array, domains: list[Domain]) -> bool:
    """Whether a positive parameter has left its start by twenty orders of magnitude."""
    return any(d is POSITIVE and not 1e-20 < v / s < 1e20 for d, v, s in zip(domains, theta, start))


def _moved(theta: Array, step: Array, domains: list[Domain], free: Array) -> Array:
    with np.errstate(over="ignore"):
        moved = np.array([d.back(d.free(v) + s) if f else v for d, v, s, f in zip(domains, theta, step, free)])
    return np.where(free, moved, theta)


def _step(likelihood: Likelihood, theta: Array, domains: list[Domain], free: Array) -> tuple[Array, float, bool]:
    """Newton's step in the free coordinates, its promised gain, and whether the likelihood is concave here.

    Where it is not, the step goes uphill by the absolute curvature.
    """
    at, step = np.flatnonzero(free), np.zeros(len(theta))
    gradient, hessian = likelihood.gradient(theta)[at], likelihood.hessian(theta)[np.ix_(at, at)]
    if not (np.isfinite(gradient).all() and np.isfinite(hessian).all()):
        return step, np.inf, False
    sizes = likelihood.family.sizes(theta)
    slope = np.array([sizes[i] if domains[i] is REAL else domains[i].slope(theta[i]) for i in at], dtype=float)
    bend = np.array([domains[i].bend(theta[i]) for i in at], dtype=float)
    rise = slope * gradient
    curved = slope[:, None] * hessian * slope + np.diag(bend * gradient)
    values, vectors = np.linalg.eigh(-curved)
    concave = bool(values[0] > 0)
    values = np.maximum(np.abs(values), 1e-9 * np.abs(values).max() + 1e-300)
    moved = vectors @ (vectors.T @ rise / values)
    moved /= max(1.0, np.abs(moved).max() / 2)
    step[at] = [m * sizes[i] if domains[i] is REAL else m for m, i in zip(moved, at)]
    return step, float(moved @ rise), concave


def climb(likelihood: Likelihood, start: Array, free: Array) -> Array:
    """As ``maximise``, by Nelder and Mead's simplex, for a likelihood with kinks."""
    domains = [p.domain for p in likelihood.family.parameters]
    unit = likelihood.family.sizes(start)

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
