"""How wide a Gaussian kernel should be, from the data.

Rules of one column take sorted values. Weighted rows count as Kish's effective number, (sum w)^2 / sum w^2.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.fft import dct
from scipy.linalg import solve_triangular
from scipy.optimize import brentq, minimize_scalar
from scipy.spatial.distance import pdist, squareform

from latens.utils.errors import InputError
from latens.utils.validation import check_choice, check_positive

ROWS = 1500
"""Rows at most among which likelihood is cross-validated."""

NEAR = 0.1
"""How far the bandwidth for local scales is thought to be from that for none, in its logarithm."""

POWERS = (0.25, 0.5)
"""Of local scales, among which (and none) likelihood chooses."""

CELLS = 1 << 14
"""Cells in which the rules of one column see the data."""


def bandwidth_of(rule: Any, rows: np.ndarray, w: np.ndarray | None, variance: float) -> Any:
    """The scale of a kernel: a number, one a column (d,), or a matrix (d, d) in squared units.

    Args:
        rule: a rule's name, or the scale itself.
        rows: (n, d), sorted where d = 1.
        w: (n,) weights, or None.
        variance: of the kernel of bandwidth 1; a rule makes it as wide as a Gaussian one.

    Raises:
        InputError: no rule, no positive (definite) scale, or rows in which a rule finds no spread.
    """
    if not isinstance(rule, str):
        return _given(rule, rows.shape[1])
    check_choice("bandwidth", rule, RULES)
    d, unit = rows.shape[1], _unit(rows)
    rows = rows if unit == 1.0 else rows / unit
    found: Any = _of_line(rule, rows[:, 0], w) if d == 1 else _of_plane(rule, rows, w)
    if found is None:
        constant = np.flatnonzero(np.ptp(rows, axis=0) == 0)
        why = f"column {constant[0]} is constant" if len(constant) else "columns depend on each other"
        raise InputError(
            f"bandwidth={rule!r} finds no spread in {len(rows)} sample{'s' * (len(rows) > 1)}: {why}. "
            "Give a number, such as bandwidth=1.0."
        )
    return found * unit / variance**0.5 if d == 1 else _squared(found / variance, unit)


def _squared(H: np.ndarray, unit: float) -> np.ndarray:
    if not 1e-120 < unit < 1e120:
        raise InputError(
            f"bandwidths of several columns are in squared units, but X is of the size {unit:.0e}. Rescale it."
        )
    return H * unit**2


def _of_line(rule: str, x: np.ndarray, w: np.ndarray | None) -> float | None:
    if x[0] == x[-1]:
        return None
    if rule in LINE:
        unit = float(2.0 ** np.round(np.log2(spread(x, w))))  # roughness goes with its power -15
        return LINE[rule](x / unit, w) * unit
    deviation = float(covariance(x[:, None], w)[0, 0] ** 0.5)
    if rule in FACTORS:
        return deviation * FACTORS[rule](kish(w, len(x)), 1)
    return likelihood(x[:, None] / deviation, w) * deviation


def _of_plane(rule: str, rows: np.ndarray, w: np.ndarray | None) -> np.ndarray | None:
    d = rows.shape[1]
    if rule in LINE and rule != "auto":
        raise InputError(f'bandwidth={rule!r} is for one column; there are {d}. Use "scott", "silverman" or "cv_ml".')
    shape = covariance(rows, w)
    deviations = shape.diagonal() ** 0.5
    if not deviations.all():
        return None
    if np.linalg.eigvalsh(shape / np.outer(deviations, deviations))[0] < 1e-10:
        if rule in FACTORS:
            return None
        shape = np.diag(deviations**2)
    if rule in FACTORS:
        return shape * FACTORS[rule](kish(w, len(rows)), d) ** 2
    root = np.linalg.cholesky(shape)
    return shape * likelihood(solve_triangular(root, rows.T, lower=True).T, w) ** 2


def _given(scale: Any, d: int) -> Any:
    if isinstance(scale, numbers.Real):
        check_positive("bandwidth", scale)
        return float(scale)
    try:
        array = np.array(scale, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"bandwidth expects a rule or numbers; got {scale!r}.") from None
    if array.shape not in {(d,), (d, d)}:
        raise InputError(f"bandwidth expects a number, shape ({d},) or shape ({d}, {d}); got shape {array.shape}.")
    symmetric = array.ndim == 1 or np.allclose(array, array.T)
    smallest = array.min() if array.ndim == 1 else np.linalg.eigvalsh(array)[0] if symmetric else np.nan
    if not (np.isfinite(array).all() and smallest > 0):
        raise InputError("bandwidth expects positive numbers, or a symmetric positive definite matrix.")
    return array if d > 1 else float(array.ravel()[0] ** (0.5 if array.ndim == 2 else 1.0))


def _unit(rows: np.ndarray) -> float:
    """1; where squares would overflow or vanish, a power of two of the size of the rows."""
    largest = max(float(rows.max()), -float(rows.min()))
    return (
        1.0 if largest == 0 or 1e-60 < largest < 1e60 else float(2.0 ** np.clip(np.log2(largest), -1000, 1000).round())
    )


def kish(w: np.ndarray | None, n: int) -> float:
    """(sum w)^2 / sum w^2; n without weights.

    Example:
        >>> kish(np.array([3.0, 3.0, 0.0]), 3)
        2.0
    """
    return float(n) if w is None else float(w.sum() ** 2 / (w @ w))


def covariance(X: np.ndarray, w: np.ndarray | None) -> np.ndarray:
    """(d, d), unbiased under weights that are precisions: sum w (x - m)(x - m)' / (W - sum w^2 / W)."""
    p = np.full(len(X), 1 / len(X)) if w is None else w / w.sum()
    centred = X - p @ X
    return (p * centred.T) @ centred / max(1 - p @ p, 1e-300)


def scott(n: float, d: int) -> float:
    """n^(-1 / (d + 4)), in standard deviations.

    Reference:
        Scott (1992), Multivariate Density Estimation, equation 6.43.
    """
    return n ** (-1 / (d + 4))


def silverman(n: float, d: int) -> float:
    """(n (d + 2) / 4)^(-1 / (d + 4)), in standard deviations: best for a normal density.

    Reference:
        Silverman (1986), Density Estimation for Statistics and Data Analysis, equation 4.14.
    """
    return (n * (d + 2) / 4) ** (-1 / (d + 4))


def spread(x: np.ndarray, w: np.ndarray | None) -> float:
    """min(standard deviation, IQR / 1.349) of sorted values, whichever is positive; 0 where all are equal."""
    deviation = float(x.std()) if w is None else float(covariance(x[:, None], w)[0, 0] ** 0.5)
    low, high = _quartiles(x, w)
    return min(deviation, (high - low) / 1.349) if high > low else deviation


def improved_sheather_jones(x: np.ndarray, w: np.ndarray | None = None) -> float:
    r"""The t with t = xi(t), where h = sqrt(t): plug-in estimation of $\int f''^2$ that refers to no normal density.

    Each $\int (f^{(s)})^2$ is estimated with the bandwidth that is best given $\int (f^{(s+1)})^2$, from s = 7 down to
    2; at the fixed point the last bandwidth is the one that the chain began with. Where there is no fixed point
    (few or heavily tied rows), Silverman's rule with the smaller of the two spreads.

    Args:
        x: (n,) sorted values.
        w: (n,) weights, or None.

    Reference:
        Botev, Grotowski and Kroese (2010), Kernel density estimation via diffusion, section 5 and algorithm 1.

    Example:
        >>> x = np.sort(np.random.RandomState(0).normal(size=10_000))
        >>> round(improved_sheather_jones(x) / (1.06 * 10_000 ** -0.2), 1)
        1.0
    """
    x, n = _closed_up(x), kish(w, len(x))
    spectrum = _Spectrum(x, w)

    def xi(t: float) -> float:
        f = spectrum.roughness(7, t)
        for s in range(6, 1, -1):
            odd = np.prod(np.arange(1, 2 * s, 2)) / (2 * np.pi) ** 0.5
            f = spectrum.roughness(s, (2 * (1 + 0.5 ** (s + 0.5)) / 3 * odd / n / f) ** (2 / (3 + 2 * s)))
        return (2 * n * np.pi**0.5 * f) ** (-2 / 5)

    return _first_root(lambda h: h**2 - xi(h**2), x, w)


def sheather_jones(x: np.ndarray, w: np.ndarray | None = None) -> float:
    r"""The h that solves $h = (2 \sqrt{\pi} n \int \hat f''^2_{g(h)})^{-1/5}$, the pilot g proportional to h^(5/7).

    Args:
        x: (n,) sorted values.
        w: (n,) weights, or None.

    Reference:
        Sheather and Jones (1991), A reliable data-based bandwidth selection method for kernel density estimation.

    Example:
        >>> x = np.sort(np.random.RandomState(0).normal(size=10_000))
        >>> round(sheather_jones(x) / (1.06 * 10_000 ** -0.2), 1)
        1.0
    """
    x, n = _closed_up(x), kish(w, len(x))
    scale = spread(x, w)
    spectrum = _Spectrum(x, w)
    second = spectrum.roughness(2, (1.241 * scale * n ** (-1 / 7)) ** 2 / 2)
    third = spectrum.roughness(3, (1.230 * scale * n ** (-1 / 9)) ** 2 / 2)
    pilot = 1.357 * (second / third) ** (1 / 7)

    def best(h: float) -> float:
        return (2 * np.pi**0.5 * n * spectrum.roughness(2, (pilot * h ** (5 / 7)) ** 2 / 2)) ** -0.2

    return _first_root(lambda h: h - best(h), x, w)


def likelihood(X: np.ndarray, w: np.ndarray | None = None) -> float:
    r"""The h that maximises $\sum_i w_i \log \hat f_{-i}(x_i)$, each row scored by the others.

    Equal rows are left out together: otherwise ties would draw h to 0. Of more than 1,500 rows, as many are drawn
    (always the same ones), and h goes with n^(-1 / (d + 4)).

    Args:
        X: (n, d) rows, whitened if the kernel shall be.
        w: (n,) weights, or None.

    Reference:
        Duin (1976), On the choice of smoothing parameters for Parzen estimators of probability density functions.
    """
    n, d = kish(w, len(X)), X.shape[1]
    X, weights, shrink = _some(X, w)
    if len(X) < 2:
        return 0.0
    loss = _left_out(squareform(pdist(X, "sqeuclidean")), weights, np.ones(len(X)), d)
    grid = np.log(silverman(n, d) * covariance(X, weights).trace() ** 0.5) + np.arange(-5.0, 2.0, 0.4)
    at = int(np.argmin([loss(log_h) for log_h in grid]))
    best = minimize_scalar(loss, bounds=(grid[at] - 0.4, grid[at] + 0.4), method="bounded", options={"xatol": 3e-3}).x
    return float(np.exp(best)) * shrink


def local_likelihood(X: np.ndarray, w: np.ndarray | None = None) -> tuple[float, float]:
    r"""The power a of local scales $s_i \propto p_0(x_i)^{-a}$ and the factor c of the bandwidth, by the same rule.

    Of a = 0 with c = 1, and a = 1/4 and 1/2 each with its best c, those under which rows left out are likeliest; p_0 is
    the estimate with the bandwidth as it came, less the row left out, whose neighbours would be narrower because of it.
    Heavy tails ask for 1/2 (Abramson's), normal rows for 1/4, and sharp edges for 0. log c has a normal prior around 0,
    since few rows of heavy tails, each left out, ask for too wide kernels.

    Args:
        X: (n, d) rows in units of the bandwidth that is best for a = 0.
        w: (n,) weights, or None.

    Returns:
        c and a.
    """
    d = X.shape[1]
    X, weights, shrink = _some(X, w)
    if len(X) < 2:
        return 1.0, POWERS[-1]
    n = kish(weights, len(X))
    squared = squareform(pdist(X, "sqeuclidean")) * shrink**2
    terms = np.exp(-0.5 * squared)
    p = terms @ weights
    unseen = np.log(np.maximum(p - weights[:, None] * terms, 1e-300)) - np.average(np.log(p), weights=weights)
    found = [(_left_out(squared, weights, np.ones(len(X)), d)(0.0), 1.0, 0.0)]
    for power in POWERS:
        loss = _left_out(squared, weights, np.exp(-power * unseen), d)

        def posterior(log_c: float, loss: Callable[[float], float] = loss) -> float:
            return loss(log_c) + 0.5 * (log_c / NEAR) ** 2 / n

        best = minimize_scalar(posterior, bounds=(-0.7, 0.7), method="bounded", options={"xatol": 0.02})
        found.append((float(best.fun), float(np.exp(best.x)), power))
    return min(found)[1:]


def _some(X: np.ndarray, w: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, float]:
    """Different rows, at most ``ROWS``, their weights, and by which factor all rows want a smaller bandwidth."""
    w = np.ones(len(X)) if w is None else w
    chosen = np.lexsort(X.T[::-1])
    if len(X) > ROWS:
        chosen = np.sort(np.random.RandomState(0).permutation(chosen)[:ROWS])
    rows, place = np.unique(X[chosen], axis=0, return_inverse=True)
    shrink = (kish(w[chosen], len(chosen)) / kish(w, len(X))) ** (1 / (X.shape[1] + 4))
    return rows, np.bincount(place.ravel(), weights=w[chosen]), shrink


def _left_out(squared: np.ndarray, weights: np.ndarray, scales: np.ndarray, d: int) -> Callable[[float], float]:
    """Minus the mean log density of each row under the kernels of the others, as a function of log h; in nats.

    ``scales`` (n,) are those of the kernels, or (n, n) what they are without each row in turn.
    """
    squared = squared / scales**2
    np.fill_diagonal(squared, np.inf)
    nearest = squared.min(axis=1)
    farther, p, masses = nearest[:, None] - squared, weights / weights.sum(), weights * scales ** -float(d)

    def loss(log_h: float) -> float:
        rate = 0.5 * np.exp(-2 * log_h)
        sums = np.vecdot(np.exp(rate * farther), masses)
        return float(d * log_h - p @ (np.log(sums) - rate * nearest))

    return loss


def automatic(x: np.ndarray, w: np.ndarray | None = None) -> float:
    """Improved Sheather-Jones; where most values are tied, at least the median distance between neighbouring ones.

    Otherwise rounded values would be taken for as many peaks.
    """
    h = improved_sheather_jones(x, w)
    steps = np.flatnonzero(x[1:] != x[:-1])
    if 0 < len(steps) < len(x) / 2:
        h = max(h, float(np.median(x[steps + 1] - x[steps])))
    return h


class _Spectrum:
    """The cosine transform of sorted values in cells, between the ends of the data or 10 IQR beyond the quartiles."""

    def __init__(self, x: np.ndarray, w: np.ndarray | None) -> None:
        low, high = _quartiles(x, w)
        reach = 10 * (high - low) if high > low else np.inf
        low, high = max(x[0], low - reach), min(x[-1], high + reach)
        margin = (high - low) / 10
        edges = np.linspace(low - margin, high + margin, CELLS + 1)
        below = np.searchsorted(x, edges)
        mass = np.diff(below) / len(x) if w is None else np.diff(np.append(0.0, np.cumsum(w))[below]) / w.sum()
        self.range = float(edges[-1] - edges[0])
        self.power = (dct(mass)[1:] / 2) ** 2
        self.squares = np.arange(1.0, CELLS) ** 2

    def roughness(self, s: int, t: float) -> float:
        """The integral of the squared s-th derivative of the data smoothed by a Gaussian of variance t."""
        rate = np.pi**2 * t / self.range**2
        last = int(min((80 / rate) ** 0.5, CELLS - 1)) + 1
        k = self.squares[:last]
        total = max(1e-300, (np.exp(s * np.log(k) - rate * k) * self.power[:last]).sum())
        return float(2 * np.pi ** (2 * s) * total / self.range ** (2 * s + 1))


LINE = {"auto": automatic, "isj": improved_sheather_jones, "sheather-jones": sheather_jones}
FACTORS = {"scott": scott, "silverman": silverman}
RULES = (*LINE, *FACTORS, "cv_ml")


def _closed_up(x: np.ndarray) -> np.ndarray:
    """Sorted values, gaps longer than the rest of the data shortened to that: no bandwidth sees across them."""
    knots = np.append(x[:: max(1, len(x) // 1024)], x[-1])
    steps = np.sort(np.diff(knots))
    rest = steps[: -int(len(steps) ** 0.5)].sum()
    if not 0 < rest < steps[-1]:
        return x
    return np.append(0.0, np.cumsum(np.minimum(np.diff(x), rest)))


def _first_root(f: Callable[[float], float], x: np.ndarray, w: np.ndarray | None) -> float:
    """The root next below twice the normal reference."""
    reference = 0.9 * spread(x, w) * kish(w, len(x)) ** -0.2
    high = 2.36 * reference
    while high > 1e-4 * reference:
        low = high / 2
        if f(low) < 0 <= f(high):
            return float(brentq(f, low, high, rtol=1e-4))
        high = low
    return reference


def _quartiles(x: np.ndarray, w: np.ndarray | None) -> tuple[float, float]:
    """Of sorted values; under weights, where the sum of the weights passes a quarter and three quarters."""
    if w is None:
        return _order(x, 0.25), _order(x, 0.75)
    sums = np.cumsum(w)
    low, high = x[np.searchsorted(sums, [sums[-1] / 4, sums[-1] * 3 / 4])]
    return float(low), float(high)


def _order(x: np.ndarray, q: float) -> float:
    """Between the two sorted values that the fraction q lies between."""
    at = q * (len(x) - 1)
    low, high = x[int(at)], x[min(int(at) + 1, len(x) - 1)]
    return float(low + (at - int(at)) * (high - low))
