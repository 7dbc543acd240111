"""From rows to the likeliest mixture: the frame, the best of the starts, the number of components."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from latens.density.mixture import starts
from latens.density.mixture.covariances import Frame, Parameters, Shape
from latens.density.mixture.em import Data, Fit, Rows, climb
from latens.density.mixture.incomplete import IncompleteRows
from latens.utils.errors import InputError
from latens.utils.validation import check_finite

FOLDS = 5
PATIENCE = 3
COLLAPSED, FEW_COLLAPSED = 1e-3, 0.01
SHORT, SHORT_TOL = 50, 1e-3
FEW, FEW_INCOMPLETE = (8192, 256), (1024, 64)
"""On how many rows the starts run: in all, and for each component."""


@dataclass(frozen=True)
class Settings:
    """How EM is run."""

    shape: Shape
    ridge: float
    tol: float
    max_iter: int
    n_init: int
    init_params: str


@dataclass(frozen=True)
class Given:
    """A start, or parts of it, in the frame."""

    weights: np.ndarray | None = None
    means: np.ndarray | None = None
    covariances: np.ndarray | None = None
    before: float = -np.inf

    @classmethod
    def of_user(
        cls, k: int, framed: Frame, shape: Shape, weights: Any = None, means: Any = None, precisions: Any = None
    ) -> Given:
        """Of numbers in the unit of the data.

        Raises:
            InputError: an array of another shape, weights that are no probabilities, or precisions of no covariance.
        """
        d = len(framed.center)
        share = _array("weights_init", weights, (k,))
        if share is not None and (share.min() < 0 or abs(share.sum() - 1) > 1e-6):
            raise InputError(f"weights_init expects numbers from 0 that sum to 1; got a sum of {share.sum():g}.")
        centers, inverse = _array("means_init", means, (k, d)), _array("precisions_init", precisions, shape.form(k, d))
        if inverse is not None:
            _check_precisions(inverse, shape)
        return cls(
            share,
            None if centers is None else framed.enter(centers),
            None if inverse is None else shape.entered(inverse, framed),
        )

    @property
    def whole(self) -> bool:
        """Whether nothing is left to be found."""
        return self.weights is not None and self.means is not None and self.covariances is not None

    def into(self, mixture: Parameters, shape: Shape) -> Parameters:
        """A mixture with the parts given."""
        weights = mixture.weights if self.weights is None else self.weights
        means = mixture.means if self.means is None else self.means
        return shape.mixture(weights, means, mixture.covariances if self.covariances is None else self.covariances)


@dataclass(frozen=True)
class Learner:
    """Rows in their frame, z (n, d), NaN where missing, with weights (n,) that sum to one.

    Every other start measures distances between standardised columns, z @ back: whitening brings groups closer that
    lie far apart along the main direction, while standardised columns let one direction hide another.
    """

    z: np.ndarray
    weights: np.ndarray
    settings: Settings
    rng: np.random.RandomState
    back: np.ndarray | None = None

    @cached_property
    def rows(self) -> Data:
        """All rows, as EM reads them."""
        if np.isnan(self.z).any():
            return IncompleteRows(self.z, self.weights)
        return Rows(np.ascontiguousarray(self.z.T), self.weights)

    def fit(self, k: int, given: Given) -> Fit:
        """EM with k components from the best of the starts."""
        if given.whole:
            return self._climb(self.rows, given.into(_nothing(k), self.settings.shape), given.before)
        few = self._thinned(k)
        first = [few._begin(k, given, None if i % 2 else self.back) for i in range(self.settings.n_init)]
        if len(first) > 1 and self.settings.max_iter:
            first = [self._likeliest([few._short._climb(few.rows, begin) for begin in first]).mixture]
        if len(few.z) < len(self.z) and isinstance(self.rows, Rows):
            first = [self._climb(few.rows, first[0]).mixture]
        return self._climb(self.rows, first[0])

    def _thinned(self, k: int) -> Learner:
        """Some of the rows, in an order of their own."""
        least, each = FEW_INCOMPLETE if isinstance(self.rows, IncompleteRows) else FEW
        index, weights = starts.thinned(np.nan_to_num(self.z), self.weights, max(least, each * k), self.rng)
        return replace(self, z=self.z[index], weights=weights)

    @property
    def _short(self) -> Learner:
        """The same, taking few steps."""
        s = self.settings
        return replace(self, settings=replace(s, tol=SHORT_TOL, max_iter=min(SHORT, s.max_iter)))

    def _begin(self, k: int, given: Given, metric: np.ndarray | None) -> Parameters:
        s, rows = self.settings, Rows(np.ascontiguousarray(np.nan_to_num(self.z).T), self.weights)
        return given.into(starts.start(rows, s.shape, k, s.init_params, s.ridge, self.rng, metric), s.shape)

    def _likeliest(self, fits: list[Fit]) -> Fit:
        """The first of those that only rounding tells apart; one that has collapsed only where all have."""
        s = self.settings
        sound = [fit for fit in fits if not collapsed(s.shape, fit.mixture, s.ridge).any()] or fits
        best = max(fit.bounds[-1] for fit in sound)
        return next(fit for fit in sound if fit.bounds[-1] > best - 1e-9)

    def _climb(self, rows: Data, begin: Parameters, before: float = -np.inf) -> Fit:
        s = self.settings
        return climb(rows, s.shape, begin, ridge=s.ridge, max_iter=s.max_iter, tol=s.tol, before=before)

    def choose(self, by: str, n: float, most: int) -> tuple[dict[int, float], Fit]:
        """The criterion of each number of components tried, least is best, and the fit of the best.

        Args:
            by: "bic", "aic" or "held-out".
            n: how many rows the weights amount to.
            most: the largest number to try.
        """
        found: dict[int, float] = {}
        best: Fit | None = None
        for k in candidates(min(most, len(self.z))):
            fit = self.fit(k, Given()) if by != "held-out" else None
            found[k] = self.held_out(k) if fit is None else self._information(fit, by, n)
            if found[k] == min(found.values()):
                best, since = fit, 0
            since += 1
            if since > PATIENCE:
                break
        return found, best or self.fit(min(found, key=found.__getitem__), Given())

    def _information(self, fit: Fit, by: str, n: float) -> float:
        s, mixture = self.settings, fit.mixture
        k = len(mixture.weights)
        if k > 1 and mixture.weights @ collapsed(s.shape, mixture, s.ridge) > FEW_COLLAPSED:
            return np.inf
        free = free_parameters(s.shape, *mixture.means.shape)
        return free * {"bic": np.log(n), "aic": 2.0}[by] - 2 * n * self.rows.expect(s.shape, mixture, False)[1]

    def held_out(self, k: int) -> float:
        """Minus the mean log likelihood of five fifths, each under a mixture of the others."""
        fold = np.empty(len(self.z))
        fold[starts.order(np.nan_to_num(self.z))] = np.random.RandomState(0).permutation(np.arange(len(self.z)) % FOLDS)
        return -sum(self._held_out(k, fold == i) for i in range(FOLDS))

    def _held_out(self, k: int, out: np.ndarray) -> float:
        share = self.weights[out].sum()
        rest = replace(self, z=self.z[~out], weights=self.weights[~out] / (1 - share))
        mixture = rest.fit(k, Given()).mixture
        held = replace(self, z=self.z[out], weights=self.weights[out] / share)
        return share * held.rows.expect(self.settings.shape, mixture, False)[1]


def _array(name: str, values: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    if values is None:
        return None
    found = np.asarray(values, dtype=np.float64)
    if found.shape != shape:
        raise InputError(f"{name} expects shape {shape}; got {found.shape}.")
    check_finite(name, found)
    return found


def _check_precisions(inverse: np.ndarray, shape: Shape) -> None:
    try:
        shape.root(inverse)
        proper = not shape.whitens or np.allclose(inverse, inverse.swapaxes(-1, -2))
    except np.linalg.LinAlgError:
        proper = False
    if not proper:
        raise InputError("precisions_init expects symmetric matrices of positive eigenvalues, or positive numbers.")


def _nothing(k: int) -> Parameters:
    none = np.empty(0)
    return Parameters(none, none, none, none)


def free_parameters(shape: Shape, k: int, d: int) -> int:
    """How many numbers a mixture is free in."""
    return k - 1 + k * d + shape.count(k, d)


def collapsed(shape: Shape, mixture: Parameters, ridge: float) -> np.ndarray:
    """(k,) bool: whose own variance in some direction is less than a thousandth of the ridge."""
    mass = np.maximum(mixture.weights, 1e-300)
    floor = shape.least(shape.ridged(mass, np.zeros(mixture.covariances.shape), ridge))
    held = shape.least(mixture.covariances) < (1 + COLLAPSED) * floor
    return np.broadcast_to(held, mixture.weights.shape) & (ridge > 0)


def candidates(most: int) -> Iterator[int]:
    """1, 2, ..., 8, 10, 12, 15, ...: by steps of a quarter."""
    k = 1
    while k <= most:
        yield k
        k = max(k + 1, k * 5 // 4)
