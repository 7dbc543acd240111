"""Where expectation maximisation starts: k-means from k-means++ seeds, on rows in an order of their own.

Rows are put in an order that neither their number nor the unit of the data changes, and drawn by their cumulative
weight. So a start does not depend on the order in which rows come, and a weight is a repetition.

Reference: Arthur and Vassilvitskii (2007), k-means++: the advantages of careful seeding.
"""

from __future__ import annotations

import numpy as np

from latens.density.mixture.covariances import Parameters, Shape
from latens.density.mixture.em import LEAST_MASS, Rows

LLOYD = 20
TIE = 1e-9
"""Whole numbers lie midway between two centres often enough, and there rounding must not decide."""
NAMES = ("kmeans", "k-means++", "random_from_data", "random")


def order(z: np.ndarray) -> np.ndarray:
    """The rows z (n, d) by their distance from the centre."""
    return np.lexsort((z[:, 0], z[:, -1], np.round((z**2).sum(1), 9)))


def thinned(z: np.ndarray, weights: np.ndarray, most: int, rng: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """Rows z (n, d) in their order, at most so many, evenly along their cumulative weight; and their weights."""
    by = order(z)
    if len(z) <= most:
        return by, weights[by]
    return by[_drawn(weights[by], (np.arange(most) + rng.uniform()) / most)], np.full(most, 1.0 / most)


def responsibilities(
    z: np.ndarray, weights: np.ndarray, k: int, how: str, rng: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Of k components to begin with, (k, n), for ordered rows z (n, d); and the centres (k, d)."""
    if how == "random":
        drawn = rng.exponential(size=(k, len(z)))
        return drawn / drawn.sum(0), np.zeros((k, z.shape[1]))
    by_chance = how == "random_from_data"
    seeds = z[_drawn(weights, rng.uniform(size=k))] if by_chance else _seeds(z, weights, k, rng)
    centers = _lloyd(z, weights, seeds) if how == "kmeans" else seeds
    return _nearest(z, centers), centers


def start(
    rows: Rows, shape: Shape, k: int, how: str, ridge: float, rng: np.random.RandomState, metric: np.ndarray | None
) -> Parameters:
    """A mixture of k components to begin with; ``rows`` are ordered, and their distances are those of z @ metric."""
    z = rows.z.T
    shares, centers = responsibilities(z if metric is None else z @ metric, rows.weights, k, how, rng)
    weighted = shares * rows.weights
    if metric is not None:
        centers = weighted @ z / np.maximum(weighted.sum(1), LEAST_MASS)[:, None]
    return _mixture(rows, shape, weighted, centers, ridge)


def _mixture(rows: Rows, shape: Shape, weighted: np.ndarray, centers: np.ndarray, ridge: float) -> Parameters:
    mass, means, covariances = rows.gather(shape, weighted, centers)
    share = np.maximum(mass, LEAST_MASS)
    covariances = shape.ridged(np.full(len(mass), 1.0), shape.shrunk(share, covariances), max(ridge, 1e-6))
    weights = (mass + 0.1 / len(mass)) / 1.1
    return shape.mixture(weights, means, covariances)


def _drawn(weights: np.ndarray, u: np.ndarray) -> np.ndarray:
    """The rows at fractions u of the cumulative weight."""
    below = np.cumsum(weights)
    return np.searchsorted(below, u * below[-1], side="right").clip(max=len(weights) - 1)


def _seeds(z: np.ndarray, weights: np.ndarray, k: int, rng: np.random.RandomState) -> np.ndarray:
    """k rows (k, d), each the best of a few drawn by their squared distance to those before."""
    seeds = z[_drawn(weights, rng.uniform(size=1))]
    nearest = _distances(z, seeds)[0]
    for _ in range(1, k):
        potential = weights * nearest
        by = potential if potential.sum() > 0 else weights
        some = z[_drawn(by, rng.uniform(size=2 + int(np.log(k))))]
        distances = np.minimum(_distances(z, some), nearest)
        best = np.argmin(distances @ weights)
        seeds, nearest = np.vstack([seeds, some[best]]), distances[best]
    return seeds


def _distances(z: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Squared distances (k, n); exactly 0 where a row is a centre."""
    square = (z**2).sum(1)
    distances = square - 2 * centers @ z.T + (centers**2).sum(1)[:, None]
    return np.where(distances > 1e-12 * square, distances, 0.0)


def _nearest(z: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """(k, n): one for the nearest centre of a row, shared where only rounding tells which of several is nearest."""
    distances = _distances(z, centers)
    nearest = (distances <= distances.min(0) * (1 + TIE)).astype(np.float64)
    return nearest / nearest.sum(0)


def _lloyd(z: np.ndarray, weights: np.ndarray, centers: np.ndarray) -> np.ndarray:
    last = None
    for _ in range(LLOYD):
        nearest = _nearest(z, centers)
        if last is not None and (nearest == last).all():
            break
        last, mass = nearest, nearest @ weights
        moved = (nearest * weights) @ z / np.maximum(mass, LEAST_MASS)[:, None]
        centers = np.where(mass[:, None] > 0, moved, centers)
    return centers
