r"""Expectation maximisation where entries are missing.

With the inverse covariance $\Lambda = P P^\top$ of a component, missing entries m given the observed ones o have the
covariance $\Lambda_{mm}^{-1}$ and the mean $\mu_m - \Lambda_{mm}^{-1} \Lambda_{mo} (x_o - \mu_o)$. Filled in by it a
row is as far from the mean as its observed entries: $|P^\top (\hat x - \mu)|^2 = |x_o - \mu_o|^2_{\Sigma_{oo}^{-1}}$;
and $|\Sigma_{oo}| = |\Sigma| \, |\Lambda_{mm}|$. So only matrices of the size of what is missing are inverted, one for
each pattern of missing entries. The moments are those of the filled rows, and $\Lambda_{mm}^{-1}$.

Reference: Ghahramani and Jordan (1994), Supervised learning from incomplete data via an EM approach.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from latens.density.mixture.covariances import LOG_2PI, Parameters, Shape
from latens.density.mixture.em import Moments, add, no_sums, responsibilities, standard_moments
from latens.density.mixture.missing import patterns

PIECE = 512
MANY = 32


class Piece(NamedTuple):
    """Rows that lack as many entries.

    Args:
        hidden, seen: (P, m) and (P, d - m) the columns that are missing, and the others, in each pattern.
        which: (n,) the pattern of each row.
        z: (n, d - m) the observed entries.
        weights: (n,) of the rows.
    """

    hidden: np.ndarray
    seen: np.ndarray
    which: np.ndarray
    z: np.ndarray
    weights: np.ndarray


class IncompleteRows:
    """Rows z (n, d), NaN where missing, with weights (n,) that sum to one."""

    def __init__(self, z: np.ndarray, weights: np.ndarray) -> None:
        self.pieces = [_piece(z, weights, rows) for rows in _apart(z)]

    def work(self, shape: Shape, k: int) -> int:
        """Nothing here is in single precision."""
        return 0

    def expect(self, shape: Shape, mixture: Parameters, single: bool = False) -> tuple[Moments, float]:
        """The E-step; differences from the means keep the digits."""
        k, d = mixture.means.shape
        root = np.linalg.inv(np.linalg.cholesky(shape.full(mixture.covariances, k, d))).swapaxes(1, 2)
        precision, constant = root @ root.swapaxes(1, 2), shape.constant(mixture)[:, None]
        sums, total = no_sums(k, d), 0.0
        for piece in self.pieces:
            filled, determinant, rest = _filled(piece, mixture.means, precision)
            r = constant - determinant - ((filled @ root) ** 2).sum(2) / 2
            total += float(responsibilities(r, piece.weights) @ piece.weights)
            add(sums, r, filled)
            _add_rest(sums[2], piece, r, rest)
        return standard_moments(shape, mixture.means, np.broadcast_to(np.eye(d), (k, d, d)), sums), total


def _apart(z: np.ndarray) -> Iterator[np.ndarray]:
    """Rows by the piece: those of a frequent pattern, or of several that lack as many entries."""
    rare: dict[int, list[np.ndarray]] = {}
    for observed, rows in patterns(z):
        if len(rows) > MANY:
            yield from np.array_split(rows, -(-len(rows) // PIECE))
        else:
            rare.setdefault(int(observed.sum()), []).append(rows)
    for groups in rare.values():
        rows = np.concatenate(groups)
        yield from np.array_split(rows, -(-len(rows) // PIECE))


def _piece(z: np.ndarray, weights: np.ndarray, rows: np.ndarray) -> Piece:
    missing = np.isnan(z[rows])
    kinds, which = np.unique(missing, axis=0, return_inverse=True)
    order, m = np.argsort(~kinds, axis=1, kind="stable"), int(kinds[0].sum())
    hidden, seen = order[:, :m], order[:, m:]
    return Piece(hidden, seen, which.ravel(), np.take_along_axis(z[rows], seen[which.ravel()], axis=1), weights[rows])


def _filled(piece: Piece, means: np.ndarray, precision: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """z - mean with the missing entries expected (k, n, d), log sqrt |precision_mm| - m log sqrt 2 pi (k, n), and the
    conditional covariances (k, P, m, m)."""
    hidden, seen, which, z, _ = piece
    inner = precision[:, hidden[:, :, None], hidden[:, None, :]]
    rest = np.linalg.inv(inner)
    slopes = -rest @ precision[:, hidden[:, :, None], seen[:, None, :]]  # (k, P, m, d - m)
    away = z - means[:, seen[which]]
    one = len(hidden) == 1
    means_of = away @ slopes[:, 0].swapaxes(1, 2) if one else (slopes[:, which] @ away[..., None])[..., 0]
    filled, row = np.empty((len(means), len(z), means.shape[1])), np.arange(len(z))[:, None]
    filled[:, row, seen[which]], filled[:, row, hidden[which]] = away, means_of
    determinant = (np.linalg.slogdet(inner)[1] - hidden.shape[1] * LOG_2PI) / 2
    return filled, determinant[:, which], rest


def _add_rest(second: np.ndarray, piece: Piece, r: np.ndarray, rest: np.ndarray) -> None:
    """Adds the conditional covariances, each by the responsibility for its pattern."""
    d, hidden = second.shape[1], piece.hidden
    place = (hidden[:, :, None] * d + hidden[:, None, :]).ravel()
    for k, shares in enumerate(r):
        mass = np.bincount(piece.which, weights=shares, minlength=len(hidden))
        second[k] += np.bincount(place, weights=(mass[:, None, None] * rest[k]).ravel(), minlength=d * d).reshape(d, d)
