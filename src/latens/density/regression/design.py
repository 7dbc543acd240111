"""The columns of a regression as uncorrelated features of mean 0 and variance 1, next to a constant."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np


class Design(NamedTuple):
    r"""$\phi(x) = (1, B^\top (x - c))$ with $\sum_i w_i \phi(x_i) \phi(x_i)^\top = \sum_i w_i I$.

    Linear in x, so a linear model in phi is one in x; but well conditioned whatever the units, and without the
    directions along which the rows do not vary (collinear or constant columns), where no coefficient can be told: the
    coefficients of x are then those of least norm.

    Args:
        centre: c, (d,).
        basis: B, (d, rank).
        constant: 1 with the constant, 0 without; then c = 0.
        told: whether the rows determine the intercept, and each coefficient of x: (1 + d,) bool.

    Example:
        >>> design = Design.of(np.array([[0.0, 5.0], [2.0, 5.0]]), np.ones(2))
        >>> design.features(np.array([[3.0, 5.0]]))
        array([[1., 2.]])
        >>> design.told
        array([False,  True, False])
    """

    centre: np.ndarray
    basis: np.ndarray
    constant: int
    told: np.ndarray

    @classmethod
    def of(cls, table: np.ndarray, weights: np.ndarray, constant: bool = True) -> Self:
        """The design of these rows (n, d) with their weights (n,)."""
        first = table[0] if constant else np.zeros(table.shape[1])
        z, w = table - first, weights / weights.sum()
        middle = w @ z if constant else first
        z -= middle
        size = np.sqrt(w @ (z * z))
        scale = np.where(size > 1e-13 * np.abs(table).max(axis=0), size, np.inf)
        z *= 1 / scale
        z *= np.sqrt(weights)[:, None]
        triangle = np.linalg.qr(z, mode="r")
        _, spread, directions = np.linalg.svd(triangle, full_matrices=False)
        kept = spread > spread.max(initial=0.0) * max(table.shape) * np.finfo(float).eps
        span = directions[kept].T
        basis = span / scale[:, None] * (np.sqrt(weights.sum()) / spread[kept])
        unit = np.where(np.isfinite(scale), scale, 1.0)
        if len(span) > span.shape[1]:
            rows = np.linalg.qr(span * unit[:, None])[0]
            basis = rows @ (rows.T @ basis)
        return cls(first + middle, basis, int(constant), _told((first + middle) / unit, span))

    def features(self, table: np.ndarray) -> np.ndarray:
        """phi of each row: (n, p)."""
        varying = (table - self.centre) @ self.basis
        return np.column_stack([np.ones(len(table)), varying]) if self.constant else varying

    @property
    def coefficients(self) -> np.ndarray:
        """The matrix that takes coefficients of phi (p,) to the intercept and the coefficients of x: (1 + d, p)."""
        slopes = np.vstack([-self.centre @ self.basis, self.basis])
        return np.column_stack([np.eye(len(slopes))[0], slopes]) if self.constant else slopes

    def errors(self, covariance: np.ndarray) -> np.ndarray:
        """Standard errors of the intercept and the coefficients of x, infinite where the rows do not tell: (1 + d,)."""
        variance = np.einsum("ip,pq,iq->i", self.coefficients, covariance, self.coefficients)
        return np.where(self.told, np.sqrt(np.maximum(variance, 0.0)), np.inf)


def _told(centre: np.ndarray, span: np.ndarray) -> np.ndarray:
    """Which linear functions of the coefficients lie in the span (d, rank) of the scaled rows."""
    wanted = np.vstack([-centre, np.eye(len(centre))])
    rest = wanted - wanted @ span @ span.T
    return np.linalg.norm(rest, axis=1) < 1e-8 * (1 + np.linalg.norm(wanted, axis=1))
