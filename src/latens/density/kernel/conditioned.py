r"""Gaussian kernels of which some columns are known.

With H split into known (k) and open (o) columns and $S = H_{ok} H_{kk}^{-1}$, the open part of each kernel moves to
$x_{io} + S (x_k - x_{ik})$, narrows to $H_{oo} - S H_{ko}$, and weighs as much more as its known part is near.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

TERMS = 1 << 20
"""Pairs of a query and a row at a time."""


class Kernels(NamedTuple):
    """Gaussian kernels: rows (n, d), log weights (n,), scales (n,) and the matrix H (d, d)."""

    rows: np.ndarray
    log_weights: np.ndarray
    scales: np.ndarray
    H: np.ndarray


def condition(kernels: Kernels, known: np.ndarray, row: np.ndarray) -> Kernels:
    """The kernels of the open columns given one row (d,); those that no longer count are left out."""
    slopes, H = _regression(kernels.H, known)
    log_weights = _log_posterior(kernels, known, row[None])[0]
    counts = log_weights > -700.0
    moved = kernels.rows[:, ~known] + (row[known] - kernels.rows[:, known]) @ slopes
    return Kernels(moved[counts], log_weights[counts], kernels.scales[counts], H)


def expected(kernels: Kernels, known: np.ndarray, table: np.ndarray) -> np.ndarray:
    """The means of the open columns given the known ones, for each row (m, d) of the table.

    Reference:
        Nadaraya (1964), On estimating regression, where H is diagonal.
    """
    slopes, _ = _regression(kernels.H, known)
    rest = kernels.rows[:, ~known] - kernels.rows[:, known] @ slopes
    means = [np.exp(_log_posterior(kernels, known, block)) @ rest for block in _blocks(table, len(rest))]
    return np.concatenate(means) + table[:, known] @ slopes


def log_conditional(kernels: Kernels, known: np.ndarray, table: np.ndarray) -> np.ndarray:
    r"""$\log p(x_o \mid x_k)$ of each row (m, d) of the table: (m,), as that of ``condition`` to rounding.

    Kernel i weighs $\pi_i(x_k)$ and has its open part around $x_{io} + S (x_k - x_{ik})$: block by block, the
    differences of $x_o - S x_k$, which tell all there is to know of the open columns.
    """
    slopes, H = _regression(kernels.H, known)
    root = np.linalg.cholesky(H)
    to_unit, d = np.linalg.inv(root).T, len(root)
    rest = (kernels.rows[:, ~known] - kernels.rows[:, known] @ slopes) @ to_unit
    volume = np.log(root.diagonal()).sum() + d * (np.log(kernels.scales) + 0.5 * np.log(2 * np.pi))
    out = []
    for block in _blocks(table, len(rest)):
        terms = _log_posterior(kernels, known, block) - volume
        moved = np.einsum("mo,op->mp", block[:, ~known] - np.einsum("mk,ko->mo", block[:, known], slopes), to_unit)
        terms -= 0.5 * cdist(moved, rest, "sqeuclidean") / kernels.scales**2
        top = terms.max(axis=1, keepdims=True)
        out.append(top[:, 0] + np.log(np.exp(terms - top).sum(axis=1)))
    return np.concatenate(out)


def _regression(H: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """S transposed, (known, open), and what of H is left, (open, open)."""
    slopes = np.linalg.solve(H[np.ix_(known, known)], H[np.ix_(known, ~known)])
    return slopes, H[np.ix_(~known, ~known)] - H[np.ix_(~known, known)] @ slopes


def _log_posterior(kernels: Kernels, known: np.ndarray, table: np.ndarray) -> np.ndarray:
    """(m, n) log of the probability that each row's kernel made each row of the table."""
    terms = kernels.log_weights - known.sum() * np.log(kernels.scales)
    if known.any():
        to_unit = np.linalg.inv(np.linalg.cholesky(kernels.H[np.ix_(known, known)])).T
        asked = np.einsum("mk,kj->mj", table[:, known], to_unit)  # a row's figure depends on no other row
        squared = cdist(asked, kernels.rows[:, known] @ to_unit, "sqeuclidean")
        terms = terms - 0.5 * squared / kernels.scales**2
    terms = np.broadcast_to(terms, (len(table), len(kernels.rows)))
    terms = terms - terms.max(axis=1, keepdims=True)
    return terms - np.log(np.exp(terms).sum(axis=1, keepdims=True))


def _blocks(table: np.ndarray, n: int) -> Iterator[np.ndarray]:
    step = max(1, TERMS // n)
    return (table[i : i + step] for i in range(0, len(table), step))
