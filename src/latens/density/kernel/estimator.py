"""Kernel density estimation: one bump for every row, and their sum is the density."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from latens.density.base import DensityEstimator
from latens.density.given import known as known_of
from latens.density.kernel.bandwidth import bandwidth_of, local_likelihood
from latens.density.kernel.conditioned import Kernels, condition, expected, log_conditional
from latens.density.kernel.coordinates import log_volume, over, times
from latens.density.kernel.invert import invert
from latens.density.kernel.kernels import KERNELS
from latens.density.kernel.line import SLOPES, Line
from latens.density.kernel.sums import prepare
from latens.density.kernel.support import Support
from latens.density.tables import completed
from latens.density.validation import (
    check_one_column,
    check_points,
    check_probabilities,
    check_table,
    check_weights,
)
from latens.utils.errors import InputError
from latens.utils.validation import check_choice, check_positive

Evaluate = Callable[[np.ndarray], np.ndarray]
MANY = 10_000
"""Rows of several columns beyond which local scales are not found unasked: each asks for all others."""

NORMAL_TAIL = 8.5
"""Standard deviations beyond which a normal density has 1e-16 of its mass."""


class KernelDensity(DensityEstimator):
    r"""$p(x) = \sum_i \frac{w_i}{W} \, |s_i B|^{-1} \, K\big((s_i B)^{-1} (x - x_i)\big)$, with $H = B B^T$.

    By default Gaussian kernels with local scales s_i, wide where rows are rare: Abramson's in one column, where the
    bandwidth is the improved Sheather-Jones one; in several the bandwidth has the shape of the covariance, and its size
    and the power of the scales maximise the likelihood of rows left out. The tails are exact in log space, however far
    from the rows a query is.

    Args:
        bandwidth: a rule, or the kernel's scale in the unit of the data: one number, one a column, or a positive
            definite (d, d) matrix H in squared units. Rules: ``"scott"`` and ``"silverman"`` (the covariance times a
            factor), ``"cv_ml"`` (leave-one-out likelihood), and for one column ``"isj"`` (improved Sheather-Jones)
            and ``"sheather-jones"``. ``"auto"``: ``"isj"`` for one column (at least the step between rounded values),
            ``"cv_ml"`` for more. Rules are for a Gaussian kernel; another gets the same standard deviation.
        kernel: ``"gaussian"``, ``"tophat"``, ``"epanechnikov"``, ``"biweight"``, ``"triweight"``, ``"tricube"``,
            ``"linear"``, ``"cosine"``, ``"exponential"`` or ``"logistic"``: a function of the distance, normalised in d
            dimensions.
        adaptive: the power a of $s_i \propto p_0(x_i)^{-a}$, 0 to 1, where p_0 is the Gaussian estimate as wide as the
            kernel; True is Abramson's 1/2, False is 0. ``"auto"``: 0 where the bandwidth is another than ``"auto"``;
            else 1/2 for one column, and for several that of 0, 1/4 and 1/2 under which rows left out are likeliest (0
            for more than 10,000 rows).
        bounds: the support, (low, high) or one such pair a column; None where open. Mass that would leave it is
            reflected back.
        periodic: whether a column closes onto itself at its bounds, as an angle does: a bool, or one a column. Rows and
            queries outside are taken modulo the period.
        exact: sum over all rows that matter to 1e-12. Otherwise log densities of more than 1,000 rows of one column are
            off by at most 2e-4 (typically 1e-6), given local scales that hold for cells of 1/24 of the bandwidth; those
            of more than 4,096 rows of two columns and Gaussian kernels by at most 1e-3 (typically 1e-7).

    Attributes:
        bandwidth_: a number, (d,) or (d, d) as described above.
        rows_: (n, d) the fitted rows, sorted where there is one column; those of weight 0 are left out.
        weights_: (n,) their weights, which sum to 1, or None where all are equal.
        scales_: (n,) the local scales s_i, with geometric mean 1, or None.
        dtype_: the dtype of the data, and of samples.

    Reference:
        Botev, Grotowski and Kroese (2010), Kernel density estimation via diffusion;
        Abramson (1982), On bandwidth variation in kernel estimates: a square root law;
        Silverman (1986), Density Estimation for Statistics and Data Analysis, sections 2.10 and 5.3.

    Example:
        >>> density = KernelDensity(bandwidth=1.0).fit([[0.0], [2.0]])
        >>> np.exp(density.score_samples([[0.0], [1.0]])).round(4)
        array([0.2265, 0.242 ])
        >>> density.score_samples([[-1e4]]).round(2)
        array([-50000001.61])
        >>> KernelDensity(bounds=(0, None)).fit(np.arange(1.0, 9.0)[:, None]).cdf([0.0, np.inf])
        array([0., 1.])
    """

    def __init__(
        self,
        bandwidth: Any = "auto",
        kernel: str = "gaussian",
        *,
        adaptive: Any = "auto",
        bounds: Any = None,
        periodic: Any = False,
        exact: bool = False,
    ) -> None:
        self.bandwidth = bandwidth
        self.kernel = kernel
        self.adaptive = adaptive
        self.bounds = bounds
        self.periodic = periodic
        self.exact = exact

    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Keep the rows of ``X`` (n, d), each with its weight (n,), and find the bandwidth.

        Raises:
            InputError: if ``X`` is no table of finite numbers inside the bounds, a setting is none, or a rule finds
                columns that are constant or depend on each other.
        """
        table = check_table(self, X, reset=True)
        check_choice("kernel", self.kernel, KERNELS)
        d = table.shape[1]
        support = Support.of(self.bounds, self.periodic, d)
        self.dtype_, self.bounds_, self.periodic_ = table.dtype, support.ends, support.periodic
        weights = None if sample_weight is None else check_weights(sample_weight, len(table))
        self.rows_, self.weights_ = _ordered(support.inside(table.astype(np.float64)), weights)
        self.bandwidth_ = bandwidth_of(self.bandwidth, self.rows_, self.weights_, self._variance)
        self._forget()
        power = _power(self.adaptive, self.bandwidth, *self.rows_.shape)
        if power is None:
            power = self._choose_power()
        if power:
            self._adapt(power)
        return self

    def score_samples(self, X: ArrayLike, y: Any = None) -> np.ndarray:
        """log p(x) of each row of ``X`` (n, d): (n,) float64 in nats, ``-inf`` out of every kernel's reach."""
        check_is_fitted(self)
        return self._log_p(check_table(self, X, reset=False).astype(np.float64))

    def _log_p(self, table: np.ndarray) -> np.ndarray:
        return self._support.log_sum(self._evaluator(), table, self._reach())

    def cdf(self, x: ArrayLike) -> np.ndarray:
        """P(X <= x), of one column: (m,) for x (m,) or (m, 1); within 1e-6, to rounding where the sum is exact."""
        x = check_points(self, x)
        low, high = self.bounds_[0]
        total = np.zeros(len(x))
        for sign, shift in self._support.images(self._reach()):
            below = self._line().cdf(sign * np.append(np.clip(x, low, high), low) + shift)
            total += sign * (below[:-1] - below[-1])
        return np.where(x >= high, 1.0, np.where(x <= low, 0.0, np.clip(total, 0.0, 1.0)))

    def quantile(self, q: ArrayLike) -> np.ndarray:
        """The x with P(X <= x) = q, of one column: (m,) for q (m,) in [0, 1]; the cdf there is q within 1e-10."""
        check_one_column(self)
        q = check_probabilities(q)
        reach, x, (low, high) = self._reach()[0], self.rows_[:, 0], self.bounds_[0]
        sums = np.linspace(0, 1, len(x)) if self.weights_ is None else np.cumsum(self.weights_)
        ends = max(x[0] - reach, low), min(x[-1] + reach, high)
        inner = invert(self.cdf, lambda x: np.exp(self._log_p(x[:, None])), q, np.interp(q, sums, x), *ends)
        return np.where(q <= 0, self._end(-1), np.where(q >= 1, self._end(1), inner))

    def sample(self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None) -> Any:
        """``n_samples`` rows (n_samples, d): a fitted row drawn by its weight, then a point of its kernel."""
        check_is_fitted(self)
        check_positive("n_samples", n_samples, integer=True)
        rng = check_random_state(random_state)
        chosen = _drawn(rng, n_samples, np.ones(len(self.rows_)) if self.weights_ is None else self.weights_)
        noise = KERNELS[self.kernel].sample(rng, n_samples, self.n_features_in_)
        if self.scales_ is not None:
            noise *= self.scales_[chosen, None]
        return self._as_given(self._support.fold(self.rows_[chosen] + times(self.bandwidth_, noise)))

    def condition(self, given: Any) -> KernelDensity:
        """p(open columns | known columns) of Gaussian kernels: Gaussian kernels again, with other weights.

        Args:
            given: a row (d,) with NaN where open, or {column index or name: value}.

        Raises:
            InputError: another kernel, or bounds.

        Example:
            >>> x = np.linspace(-2, 2, 200)
            >>> density = KernelDensity(0.2).fit(np.column_stack([x, x**2]))
            >>> density.condition({0: 1.0}).quantile([0.5]).round(2)
            array([1.01])
        """
        check_is_fitted(self)
        known, row = known_of(self, given)
        return self._of(condition(self._kernels("condition"), known, row), ~known)

    def score_conditional(self, X: ArrayLike, known: ArrayLike) -> np.ndarray:
        """log p(open columns | known columns) of each row of ``X`` (n, d): (n,) float64 in nats.

        As ``condition`` with each row in turn, and all at once.

        Args:
            X: the rows.
            known: (d,) bool, which columns are known; some, not all.

        Raises:
            InputError: another kernel than the Gaussian, or bounds.

        Example:
            >>> density = KernelDensity(0.5).fit([[0.0, 1.0], [2.0, 3.0]])
            >>> density.score_conditional([[0.0, 1.0]], [True, False]).round(3)
            array([-0.226])
            >>> density.condition({0: 0.0}).score_samples([[1.0]]).round(3)
            array([-0.226])
        """
        check_is_fitted(self)
        table = check_table(self, X, reset=False).astype(np.float64)
        return log_conditional(self._kernels("score_conditional"), np.asarray(known, dtype=bool), table)

    def complete(self, X: ArrayLike) -> Any:
        """``X`` (n, d) with every NaN replaced by its mean given the known entries of its row.

        An array comes back as float64; a frame keeps its index, and the columns that miss nothing.

        Raises:
            InputError: another kernel than the Gaussian, or bounds.
        """
        check_is_fitted(self)
        table = check_table(self, X, reset=False, missing=True).astype(np.float64)
        kernels = self._kernels("complete")
        patterns, which = np.unique(~np.isnan(table), axis=0, return_inverse=True)
        for i, known in enumerate(patterns):
            if not known.all():
                rows = which.ravel() == i
                table[np.ix_(rows, ~known)] = expected(kernels, known, table[rows])
        return completed(X, table)

    def _of(self, kernels: Kernels, columns: np.ndarray) -> KernelDensity:
        """A fitted density of some of the columns."""
        d = int(columns.sum())
        order = np.argsort(kernels.rows[:, 0], kind="stable") if d == 1 else np.arange(len(kernels.rows))
        bandwidth = kernels.H if d > 1 else float(kernels.H[0, 0] ** 0.5)
        other = clone(self).set_params(bandwidth=kernels.H.tolist() if d > 1 else bandwidth, adaptive=False)
        other._forget()
        other._take_columns(self, columns)
        other.bandwidth_ = bandwidth
        other.bounds_, other.periodic_ = self.bounds_[columns], self.periodic_[columns]
        weights = np.exp(kernels.log_weights[order])
        other.rows_, other.weights_ = kernels.rows[order], weights / weights.sum()
        other.scales_ = None if self.scales_ is None else kernels.scales[order]
        return other

    def _kernels(self, what: str) -> Kernels:
        if self.kernel != "gaussian" or np.isfinite(self.bounds_).any():
            raise InputError(f"{what} expects Gaussian kernels without bounds; got kernel={self.kernel!r}.")
        n, d = self.rows_.shape
        H = self.bandwidth_ if np.ndim(self.bandwidth_) == 2 else np.diag(np.broadcast_to(self.bandwidth_, d) ** 2)
        scales = np.ones(n) if self.scales_ is None else self.scales_
        return Kernels(self.rows_, np.broadcast_to(self._log_weights, n), scales, H)

    @property
    def _variance(self) -> float:
        return KERNELS[self.kernel].variance(self.n_features_in_)

    @property
    def _support(self) -> Support:
        return Support(self.bounds_, self.periodic_)

    @property
    def _along(self) -> np.ndarray:
        """(d,) the bandwidth along each column."""
        along = self.bandwidth_ if np.ndim(self.bandwidth_) < 2 else self.bandwidth_.diagonal() ** 0.5
        return np.broadcast_to(along, (self.n_features_in_,))

    def _reach(self) -> np.ndarray:
        """(d,) how far a row's kernel goes along each column, to 1e-16 of its mass."""
        widest = 1.0 if self.scales_ is None else float(self.scales_.max())
        tail = NORMAL_TAIL if self.kernel == "gaussian" else 38.0
        return widest * min(KERNELS[self.kernel].support, tail) * self._along

    def _end(self, side: int) -> float:
        """Where the support of one column ends, on the left (-1) or right (1)."""
        reach = KERNELS[self.kernel].support * self.bandwidth_ * (1.0 if self.scales_ is None else self.scales_)
        farthest = side * float((side * self.rows_[:, 0] + reach).max())
        return float(np.clip(farthest, *self.bounds_[0]))

    def _evaluator(self) -> Callable[[np.ndarray], np.ndarray]:
        """log of the sum of all kernels in open space, as a function of (m, d) points."""
        if self.n_features_in_ == 1:
            return lambda x: self._line()(x[:, 0])
        cache = self._kept()
        if "sum" not in cache:
            cache["sum"] = _plane(self.rows_, self._log_weights, self.bandwidth_, self.kernel, self.scales_, self.exact)
        return cache["sum"]

    def _line(self) -> Line:
        cache = self._kept()
        if "line" not in cache:
            scales = np.atleast_1d(self.bandwidth_ if self.scales_ is None else self.bandwidth_ * self.scales_)
            x, log_weights = self.rows_[:, 0], self._log_weights
            cache["line"] = Line(x, log_weights, scales, self.kernel, exact=self.exact, cells=self._cells)
        return cache["line"]

    def _forget(self) -> None:
        self.scales_: np.ndarray | None = None
        self._cells: tuple[np.ndarray, ...] | None = None
        self._cache: dict[str, Any] = {}

    def _kept(self) -> dict[str, Any]:
        if not hasattr(self, "_cache"):
            self._cache = {}
        return self._cache

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_cache"}

    @property
    def _log_weights(self) -> np.ndarray:
        return np.array([-np.log(len(self.rows_))]) if self.weights_ is None else np.log(self.weights_)

    def _choose_power(self) -> float:
        """Of several columns: that under which rows left out are likeliest; the bandwidth becomes the best for it."""
        factor, power = local_likelihood(over(self._wide, self.rows_), self.weights_)
        self.bandwidth_ = self.bandwidth_ * factor**2
        return power

    @property
    def _wide(self) -> Any:
        """The bandwidth of Gaussian kernels as wide as these."""
        return self._variance ** (1.0 if np.ndim(self.bandwidth_) == 2 else 0.5) * self.bandwidth_

    def _adapt(self, power: float) -> None:
        """Local scales from a Gaussian pilot, as wide as the kernel; of many rows of one column, one scale a cell."""
        wide = self._wide
        if self.n_features_in_ > 1:
            pilot = _plane(self.rows_, self._log_weights, wide, "gaussian", None, self.exact)
            self.scales_ = self._local(power, pilot, self.rows_, self._log_weights)
            return
        line = Line(self.rows_[:, 0], self._log_weights, np.array([wide]), "gaussian", exact=self.exact)
        nodes, log_weights, scales, counts = line.cells or (self.rows_[:, 0], self._log_weights, np.array([wide]), None)
        local = self._local(power, lambda x: line(x[:, 0]), nodes[:, None], log_weights)
        self.scales_ = local if counts is None else np.repeat(local, counts)
        if counts is not None and self.kernel in SLOPES:
            self._cells = nodes, log_weights, self.bandwidth_ * ((scales / wide) ** 2 - 1 + local**2) ** 0.5

    def _local(self, power: float, pilot: Evaluate, nodes: np.ndarray, log_weights: np.ndarray) -> np.ndarray:
        log_p = self._support.log_sum(pilot, nodes, NORMAL_TAIL * self._variance**0.5 * self._along)
        weights = np.broadcast_to(np.exp(log_weights), log_p.shape)
        return np.exp(-power * (log_p - np.average(log_p, weights=weights)))


def _drawn(rng: np.random.RandomState, n_samples: int, weights: np.ndarray) -> np.ndarray:
    """Rows by their weight, one uniform number each, so that a row of weight 2 is drawn as if it stood there twice."""
    sums = np.cumsum(weights)
    return np.searchsorted(sums, rng.uniform(size=n_samples) * sums[-1], side="right").clip(max=len(sums) - 1)


def _power(adaptive: Any, bandwidth: Any, n: int, d: int) -> float | None:
    """The power of local scales; None where the rows of several columns choose it."""
    if isinstance(adaptive, str):
        check_choice("adaptive", adaptive, ("auto",))
        if not (isinstance(bandwidth, str) and bandwidth == "auto"):
            return 0.0
        return 0.5 if d == 1 else None if n <= MANY else 0.0
    if isinstance(adaptive, bool | np.bool_):
        return 0.5 * bool(adaptive)
    check_positive("adaptive", adaptive, zero=True)
    if adaptive > 1:
        raise InputError(f"adaptive expects a power from 0 to 1; got {adaptive!r}.")
    return float(adaptive)


def _ordered(rows: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows and weights that count, sorted where there is one column; no weights where all are equal."""
    if weights is not None:
        rows, weights = rows[weights > 0], weights[weights > 0] / weights.max()
        if rows.shape[1] == 1:
            order = np.argsort(rows[:, 0], kind="stable")
            rows, weights = rows[order], weights[order]
        weights = None if np.ptp(weights) == 0 else weights / weights.sum()
    elif rows.shape[1] == 1:
        rows.sort(axis=0)
    return rows, weights


def _plane(
    rows: np.ndarray, log_weights: np.ndarray, bandwidth: Any, kernel: str, scales: np.ndarray | None, exact: bool
) -> Evaluate:
    """log of the sum of kernels of several columns: whitened, so that the bandwidth is 1."""
    evaluate = prepare(over(bandwidth, rows), log_weights, kernel, scales=scales, exact=exact)
    volume = log_volume(bandwidth, rows.shape[1])
    return lambda queries: evaluate(over(bandwidth, queries)) - volume
