"""Two ways to a density of y given x: divide a joint density by that of x, or learn it as such."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from sklearn.utils import get_tags

from latens.utils.errors import InputError

_NODES = 512


class Way(ABC):
    """p(y | x) for tables of x (n, d) and numbers y (n,)."""

    @abstractmethod
    def log_prob(self, table: np.ndarray, y: np.ndarray) -> np.ndarray:
        """log p(y | x): (n,)."""

    @abstractmethod
    def mean(self, table: np.ndarray) -> np.ndarray:
        """The mean of y given x: (n,)."""

    @abstractmethod
    def quantiles(self, table: np.ndarray, q: np.ndarray) -> np.ndarray:
        """The quantiles of y given x: (n, len(q))."""

    @abstractmethod
    def draw(self, table: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        """One y for each x: (n,)."""


class Joint(Way):
    """From the joint density of x and, in the last column, y."""

    def __init__(self, density: Any) -> None:
        self.density = density

    def log_prob(self, table: np.ndarray, y: np.ndarray) -> np.ndarray:
        if hasattr(self.density, "score_conditional"):
            return self.density.score_conditional(joint(table, y), np.arange(table.shape[1] + 1) < table.shape[1])
        if not get_tags(self.density).input_tags.allow_nan:
            return np.array([given.score_samples([[at]])[0] for given, at in zip(self._given(table), y)])
        alone = self.density.score_samples(joint(table, np.full(len(y), np.nan)))
        return np.where(alone > -np.inf, self.density.score_samples(joint(table, y)), alone) - np.maximum(alone, -1e300)

    def mean(self, table: np.ndarray) -> np.ndarray:
        return self.density.complete(joint(table, np.full(len(table), np.nan)))[:, -1]

    def quantiles(self, table: np.ndarray, q: np.ndarray) -> np.ndarray:
        return np.array([given.quantile(q) for given in self._given(table)])

    def draw(self, table: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        return np.array([given.sample(1, rng)[0, 0] for given in self._given(table)])

    def _given(self, table: np.ndarray) -> list[Any]:
        return [self.density.condition(row) for row in joint(table, np.full(len(table), np.nan))]


class Direct(Way):
    """From a density of y that was fitted with x as its condition.

    Args:
        density: of y (n, 1), given x.
        ends: the smallest and the largest y fitted, (2,).
    """

    def __init__(self, density: Any, ends: np.ndarray) -> None:
        self.density, self.ends = density, ends

    def log_prob(self, table: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self.density.score_samples(y[:, None], table)

    def mean(self, table: np.ndarray) -> np.ndarray:
        y, mass = self._grid(table)
        return mass @ y

    def quantiles(self, table: np.ndarray, q: np.ndarray) -> np.ndarray:
        y, mass = self._grid(table)
        edges = np.append(y, 2 * y[-1] - y[-2]) - (y[1] - y[0]) / 2
        below = np.column_stack([np.zeros(len(mass)), np.cumsum(mass, axis=1)])
        return np.array([np.interp(q, row, edges) for row in below])

    def draw(self, table: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
        seed = int(rng.randint(np.iinfo(np.int32).max))
        return np.asarray(self.density.sample(len(table), random_state=seed, y=table), dtype=np.float64)[:, 0]

    def _grid(self, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The midpoints of equal cells, and the share of each in p(y | x): (G,) and (n, G)."""
        low, high = self.ends + np.array([-0.5, 0.5]) * np.ptp(self.ends)
        y = low + (high - low) * (np.arange(_NODES) + 0.5) / _NODES
        log_p = [self.log_prob(np.repeat(row[None], _NODES, axis=0), y) for row in table]
        p = np.exp(log_p - np.max(log_p, axis=1, keepdims=True))
        return y, p / p.sum(axis=1, keepdims=True)


def is_direct(density: Any) -> bool:
    """Whether the density takes a condition; if not, it has to condition.

    Raises:
        InputError: it does neither.
    """
    if getattr(density, "condition", None) == "y":
        return True
    lacks = [name for name in ("condition", "complete") if not callable(getattr(density, name, None))]
    if lacks:
        kind = type(density).__name__
        raise InputError(f"ConditionalDensity expects a density with {lacks[0]}, as GaussianMixture; {kind} has none.")
    return False


def joint(table: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The table of x with y as its last column."""
    return np.column_stack([table, y])
