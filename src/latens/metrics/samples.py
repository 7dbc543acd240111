"""Judging samples by their features: are they like the data, and do they reach all of it?

Both questions compare two clouds of points, ``real`` (n, d) and ``fake`` (m, d): pixels, latents, or features of a
network. Around each point stands the closed ball that reaches its k-th nearest neighbour in its own cloud; a cloud's
balls together stand for its support. Which cloud's balls, and what is counted in them, makes the four figures:

==========  ======================================================================  ==============================
precision   the share of fake points inside some real ball                          fidelity, in [0, 1]
recall      the share of real points inside some fake ball                          variety, in [0, 1]
density     the mean over fake points of the number of real balls around them, / k  fidelity; 1 for equal clouds
coverage    the share of real balls with a fake point inside                        variety, in [0, 1]
==========  ======================================================================  ==============================

Density and coverage use real balls only, so a fake outlier, whose ball is large, cannot buy recall. Compare figures at
equal n, m and k only. Distances are Euclidean: scale the features as you mean them to count.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from latens.utils.errors import InputError
from latens.utils.validation import check_finite, check_positive

_BLOCK_ENTRIES = 1 << 22
_ROUNDING = 1e-13


class SampleQuality(NamedTuple):
    """Precision, recall, density and coverage of samples; see ``sample_quality``."""

    precision: float
    recall: float
    density: float
    coverage: float


def sample_quality(real: ArrayLike, fake: ArrayLike, k: int = 5) -> SampleQuality:
    """Precision, recall, density and coverage of ``fake``, from one pass over the distances.

    Memory is bounded: distances are taken in blocks of 32 MiB.

    Args:
        real: features of the data, (n, d).
        fake: features of the samples, (m, d).
        k: which nearest neighbour a ball reaches, the point itself not counted; less than n and m.

    Raises:
        InputError: if these are not two tables of finite numbers with equal columns and more than k rows.

    Reference:
        Kynkäänniemi et al. (2019), Improved precision and recall metric for assessing generative models;
        Naeem et al. (2020), Reliable fidelity and diversity metrics for generative models.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> real, half = rng.uniform(size=(500, 2)), rng.uniform((0.0, 0.0), (0.5, 1.0), size=(500, 2))
        >>> quality = sample_quality(real, half)  # faithful, but half of the square is missing
        >>> quality.precision > 0.95, quality.coverage < 0.6
        (True, True)
    """
    check_positive("k", k, integer=True)
    real, fake, _ = _scaled(*_features(real, fake, more_than=k))
    real_radius, fake_radius = _squared_radius(real, k), _squared_radius(fake, k)
    around_fake = np.zeros(len(fake), dtype=np.int64)
    covered, recalled = np.zeros(len(real), dtype=bool), np.zeros(len(real), dtype=bool)
    for rows in _blocks(len(fake), len(real)):
        squared = _squared_distances(fake[rows], real, slack=_ROUNDING)
        inside = squared <= real_radius
        around_fake[rows] = inside.sum(axis=1)
        covered |= inside.any(axis=0)
        recalled |= (squared <= fake_radius[rows, None]).any(axis=0)
    return SampleQuality(
        precision=float((around_fake > 0).mean()),
        recall=float(recalled.mean()),
        density=float(around_fake.mean() / k),
        coverage=float(covered.mean()),
    )


def precision_recall(real: ArrayLike, fake: ArrayLike, k: int = 3) -> tuple[float, float]:
    """Improved precision and recall of ``fake`` (m, d) against ``real`` (n, d), each in [0, 1].

    Reference:
        Kynkäänniemi et al. (2019), Improved precision and recall metric for assessing generative models.

    Example:
        >>> line = np.arange(10.0)[:, None]
        >>> precision_recall(line, line[:5])
        (1.0, 0.8)
    """
    quality = sample_quality(real, fake, k)
    return quality.precision, quality.recall


def density_coverage(real: ArrayLike, fake: ArrayLike, k: int = 5) -> tuple[float, float]:
    """Density (about 1 for equal distributions, may exceed it) and coverage (in [0, 1]) of ``fake`` against ``real``.

    Reference:
        Naeem et al. (2020), Reliable fidelity and diversity metrics for generative models.

    Example:
        >>> line = np.arange(10.0)[:, None]
        >>> density_coverage(line, line[:5] + 100.0, k=2)
        (0.0, 0.0)
    """
    quality = sample_quality(real, fake, k)
    return quality.density, quality.coverage


def frechet_distance(real: ArrayLike, fake: ArrayLike) -> float:
    r"""$|\mu_r - \mu_f|^2 + \mathrm{tr}(C_r + C_f - 2 (C_r^{1/2} C_f C_r^{1/2})^{1/2})$, in squared feature units.

    The squared Fréchet (2-Wasserstein) distance between the Gaussians with the moments of ``real`` and ``fake``; on
    Inception features, the FID. With $C = R^\top R$ from a QR decomposition of the centred rows, the last trace is
    the sum of the singular values of $R_r R_f^\top$: no square root of an indefinite matrix is ever taken, and fewer
    rows than columns are no special case. It is biased upwards by finite n: compare at equal n only.

    Args:
        real: features of the data, (n, d).
        fake: features of the samples, (m, d).

    Raises:
        InputError: if these are not two tables of finite numbers with equal columns and at least 2 rows.

    Reference:
        Dowson and Landau (1982), The Fréchet distance between multivariate normal distributions;
        Heusel et al. (2017), GANs trained by a two time-scale update rule converge to a local Nash equilibrium.

    Example:
        >>> square = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
        >>> round(frechet_distance(square, square + [3.0, 4.0]), 9)
        25.0
    """
    real, fake, unit = _scaled(*_features(real, fake, more_than=1))
    root_real, root_fake = _covariance_root(real), _covariance_root(fake)
    singular = np.linalg.svd(root_real @ root_fake.T, compute_uv=False)
    spread = (root_real**2).sum() + (root_fake**2).sum() - 2 * singular.sum()
    gap = ((real.mean(axis=0) - fake.mean(axis=0)) ** 2).sum()
    return float(gap + max(spread, 0.0)) * unit * unit


def _covariance_root(x: np.ndarray) -> np.ndarray:
    """R (min(n, d), d) with R^T R the unbiased covariance."""
    return np.linalg.qr(x - x.mean(axis=0), mode="r") / np.sqrt(len(x) - 1)


def _squared_radius(x: np.ndarray, k: int) -> np.ndarray:
    """The squared distance from each row to its k-th nearest other row: (n,)."""
    radius = np.empty(len(x))
    for rows in _blocks(len(x), len(x)):
        squared = _squared_distances(x[rows], x)
        squared[np.arange(len(squared)), np.arange(len(x))[rows]] = np.inf
        radius[rows] = np.partition(squared, k - 1, axis=1)[:, k - 1]
    return radius


def _squared_distances(a: np.ndarray, b: np.ndarray, slack: float = 0.0) -> np.ndarray:
    """|a|^2 + |b|^2 - 2 a.b, less ``slack`` of the first two: a closed ball keeps its boundary despite rounding."""
    squared = a @ (-2 * b.T)  # (len(a), len(b))
    squared += (1 - slack) * np.einsum("nd,nd->n", a, a)[:, None]
    squared += (1 - slack) * np.einsum("nd,nd->n", b, b)
    return squared


def _blocks(n_rows: int, n_columns: int) -> list[slice]:
    step = max(1, _BLOCK_ENTRIES // n_columns)
    return [slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]


def _scaled(real: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Both clouds, moved to the middle of the real one and divided by a power of 2, their size; integers stay exact."""
    middle = np.median(real, axis=0)
    real, fake = real - middle, fake - middle
    exponent = int(np.frexp(max(np.abs(real).max(), np.abs(fake).max()))[1])
    return np.ldexp(real, -exponent), np.ldexp(fake, -exponent), float(np.ldexp(1.0, exponent))


def _features(real: ArrayLike, fake: ArrayLike, more_than: int) -> tuple[np.ndarray, np.ndarray]:
    tables = _table("real", real, more_than), _table("fake", fake, more_than)
    if tables[0].shape[1] != tables[1].shape[1]:
        raise InputError(f"real and fake expect equal columns; got {tables[0].shape[1]} and {tables[1].shape[1]}.")
    return tables


def _table(name: str, x: ArrayLike, more_than: int) -> np.ndarray:
    try:
        table = np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name} expects numbers in a table (rows, columns); got something else.") from None
    if table.ndim != 2 or table.shape[1] == 0:
        raise InputError(f"{name} expects features (rows, columns); got shape {table.shape}. Flatten each example.")
    if len(table) <= more_than:
        raise InputError(f"{name} expects more than {more_than} rows; got {len(table)}.")
    check_finite(name, table)
    return table
