r"""Gaussian mixtures of rows in which entries are missing (NaN).

A row's density is that of its observed entries, $p(x_o) = \sum_k \pi_k \mathcal N(x_o; \mu_{k,o}, \Sigma_{k,oo})$,
which is right where entries are missing at random. Rows that lack the same entries are handled together.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from latens.density.mixture.covariances import Parameters, Shape

COMPLETE_BLOCK = 256
PATTERN_BLOCK = 16


def patterns(x: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The distinct masks of observed entries, (d,) bool, each with the indices of its rows."""
    observed = ~np.isnan(x)
    if observed.all():
        yield observed[0], np.arange(len(x))
        return
    group = np.unique(np.packbits(observed, axis=1), axis=0, return_inverse=True)[1].ravel()
    for rows in np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1]):
        yield observed[rows[0]], rows


def log_joint(x: np.ndarray, shape: Shape, mixture: Parameters) -> np.ndarray:
    """log(weight_k N(x; mean_k, covariance_k)) of the observed entries: (n, k).

    Every row is computed at a fixed size of block, so that no other row moves a bit of it.
    """
    found = np.empty((len(x), len(mixture.weights)))
    for observed, rows in patterns(x):
        if observed.all():
            found[rows] = _in_blocks(x[rows], shape, mixture, COMPLETE_BLOCK)
        elif observed.any():
            part = shape.marginal(mixture, np.flatnonzero(observed))
            found[rows] = _in_blocks(x[rows][:, observed], shape, part, PATTERN_BLOCK)
        else:
            found[rows] = _log_weights(mixture)
    return found


def responsibilities(x: np.ndarray, shape: Shape, mixture: Parameters) -> np.ndarray:
    """P(component | observed entries): (n, k); the weight of each where no component has a density."""
    log = log_joint(x, shape, mixture)
    log[np.isneginf(log).all(axis=1)] = _log_weights(mixture)
    return posteriors(log)


def _log_weights(mixture: Parameters) -> np.ndarray:
    """(k,), -inf for components that what is known rules out."""
    with np.errstate(divide="ignore"):
        return np.log(mixture.weights)


def _in_blocks(x: np.ndarray, shape: Shape, mixture: Parameters, size: int) -> np.ndarray:
    constant, n = shape.constant(mixture), len(x)
    padded = np.concatenate([x, np.broadcast_to(mixture.means[0], (-n % size, x.shape[1]))])
    found = np.empty((len(padded), len(constant)))
    for at in range(0, len(padded), size):
        with np.errstate(over="ignore"):
            u = shape.standardise(padded[at : at + size] - mixture.means[:, None, :], mixture.roots)
            found[at : at + size] = (constant[:, None] - np.square(u).sum(axis=2) / 2).T
    return found[:n]


def expected(x: np.ndarray, shape: Shape, mixture: Parameters) -> np.ndarray:
    """Rows (n, d) with each missing entry at its mean given the observed ones."""
    filled = x.copy()
    for observed, rows in patterns(x):
        if not observed.all():
            posterior = responsibilities(x[rows], shape, mixture)
            means, _ = _given(x[rows], observed, shape, mixture)
            filled[np.ix_(rows, ~observed)] = np.einsum("nk,knm->nm", posterior, means)
    return filled


def drawn(x: np.ndarray, shape: Shape, mixture: Parameters, rng: np.random.RandomState) -> np.ndarray:
    """Rows (n, d) with the missing entries drawn given the observed ones."""
    filled = x.copy()
    for observed, rows in patterns(x):
        if not observed.all():
            below = np.cumsum(responsibilities(x[rows], shape, mixture), axis=1)
            component = (below < rng.uniform(size=(len(rows), 1)) * below[:, -1:]).sum(1)
            means, roots = _given(x[rows], observed, shape, mixture)
            here = means[component, np.arange(len(rows))]
            noise = rng.normal(size=here.shape)
            for j in np.unique(component):
                here[component == j] += shape.colour(noise[component == j], roots, j)
            filled[np.ix_(rows, ~observed)] = here
    return filled


def _given(x: np.ndarray, observed: np.ndarray, shape: Shape, mixture: Parameters) -> tuple[np.ndarray, np.ndarray]:
    """Means (k, n, open) and roots of the open entries, for rows that share their observed ones."""
    if not observed.any():
        return np.repeat(mixture.means[:, None, :], len(x), axis=1), mixture.roots
    slopes, _, roots = shape.conditional(mixture, observed)
    difference = x[:, observed] - mixture.means[:, None, observed]
    return mixture.means[:, None, ~observed] + difference @ slopes.swapaxes(1, 2), roots


def posteriors(log: np.ndarray) -> np.ndarray:
    """Log joint densities (n, k) as probabilities of the components."""
    log = log - log.max(axis=1, keepdims=True)
    mass = np.exp(log)
    return mass / mass.sum(axis=1, keepdims=True)
