r"""What is asked of the shape of a covariance: a mixture of it is an exponential family.

A weighted Gaussian is $\log \pi_k \mathcal N(z; \mu_k, \Sigma_k) = \theta_k \cdot \phi(z)$ with the features
$\phi = (1, z, z_i z_j)$. So the log densities of all rows under all components are one matrix product $\Theta \Phi$,
and what the M-step needs, $\sum_n r_{kn} \phi(z_n)$, is one more: $R \Phi^\top$. Diagonal, spherical and tied
covariances need fewer features.

A covariance is kept as scikit-learn keeps it: (k, d, d) full, (d, d) tied, (k, d) diagonal, (k,) spherical; beside it
its root $P$, $P P^\top = \Sigma^{-1}$, in the same form.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

LOG_2PI = float(np.log(2 * np.pi))


class Parameters(NamedTuple):
    """A mixture: weights (k,), means (k, d), covariances and their precisions' roots in the form of the shape."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    roots: np.ndarray


@dataclass(frozen=True)
class Frame:
    r"""Where EM works: $z = \frac{x - c}{s} W$, in which the data have mean 0 and variance 1.

    Args:
        center, scale: (d,) of the data.
        turn, back: (d, d) W and its inverse; None is the identity.
        lost: in how many directions the data do not vary.
    """

    center: np.ndarray
    scale: np.ndarray
    turn: np.ndarray | None = None
    back: np.ndarray | None = None
    lost: int = 0

    def enter(self, x: np.ndarray) -> np.ndarray:
        """Rows (n, d) as z."""
        z = (x - self.center) / self.scale
        return z if self.turn is None else z @ self.turn

    def leave(self, z: np.ndarray) -> np.ndarray:
        """Rows z (n, d) as x."""
        return self.center + (z if self.back is None else z @ self.back) * self.scale

    @property
    def inward(self) -> np.ndarray:
        """The matrix of ``enter`` (d, d)."""
        return np.diag(1 / self.scale) if self.turn is None else self.turn / self.scale[:, None]

    @property
    def outward(self) -> np.ndarray:
        """The matrix of ``leave`` (d, d)."""
        return np.diag(self.scale) if self.back is None else self.back * self.scale

    def log_volume(self, seen: np.ndarray) -> float:
        """log |dz / dx|, what log densities of z lack to be those of x; ``seen`` (d,) is how much of a column is."""
        turned = 0.0 if self.turn is None else float(np.linalg.slogdet(self.turn)[1])
        return turned - float(np.log(self.scale) @ seen)


class Shape(ABC):
    """What the covariances of a mixture have in common."""

    whitens = False
    """Whether any linear map of the data keeps the shape."""

    @abstractmethod
    def count(self, k: int, d: int) -> int:
        """How many numbers the covariances of k components are free in."""

    @abstractmethod
    def form(self, k: int, d: int) -> tuple[int, ...]:
        """The shape of the array of covariances."""

    @abstractmethod
    def entered(self, precisions: np.ndarray, frame: Frame) -> np.ndarray:
        """Covariances of z, from inverse covariances of x."""

    @abstractmethod
    def size(self, d: int) -> int:
        """The number of features p."""

    @abstractmethod
    def features(self, z: np.ndarray, roots: np.ndarray, out: np.ndarray) -> np.ndarray:
        """phi of the rows z (d, b), into ``out`` (p, b)."""

    @abstractmethod
    def natural(self, mixture: Parameters) -> np.ndarray:
        """theta (k, p) of a mixture."""

    @abstractmethod
    def covariance(self, mass: np.ndarray, means: np.ndarray, sums: np.ndarray, scatter: np.ndarray) -> np.ndarray:
        """The likeliest covariances, from the sums (k, p) of the features and the second moment (d, d) of all rows."""

    @abstractmethod
    def reduce(self, mass: np.ndarray, covariances: np.ndarray) -> np.ndarray:
        """The likeliest covariances of this shape, from those of each component (k, d, d)."""

    def ridged(self, mass: np.ndarray, covariances: np.ndarray, ridge: float) -> np.ndarray:
        """The most of the penalised likelihood: ridge / mass on each variance."""
        return covariances + (ridge / mass).reshape((-1,) + (1,) * (covariances.ndim - 1))

    @abstractmethod
    def root(self, covariances: np.ndarray) -> np.ndarray:
        """P with P P' the inverse covariance; LinAlgError where there is none."""

    @abstractmethod
    def precision(self, roots: np.ndarray) -> np.ndarray:
        """The inverse covariances, from their roots."""

    @abstractmethod
    def precision_trace(self, roots: np.ndarray, d: int) -> np.ndarray:
        """The trace of each inverse covariance, which the penalty weighs: (k,), or a number where tied."""

    @abstractmethod
    def least(self, covariances: np.ndarray) -> np.ndarray:
        """The smallest variance in any direction, of each covariance."""

    @abstractmethod
    def full(self, covariances: np.ndarray, k: int, d: int) -> np.ndarray:
        """The covariances as matrices (k, d, d)."""

    @abstractmethod
    def moved(self, covariances: np.ndarray, roots: np.ndarray, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        """Covariances and roots of z as those of x."""

    @abstractmethod
    def standardise(self, difference: np.ndarray, roots: np.ndarray) -> np.ndarray:
        """P'(x - mu), (k, b, d), of differences (k, b, d)."""

    @abstractmethod
    def colour(self, noise: np.ndarray, roots: np.ndarray, component: int) -> np.ndarray:
        """Standard normal noise (n, d) with the covariance of a component."""

    @abstractmethod
    def marginal(self, mixture: Parameters, columns: np.ndarray) -> Parameters:
        """The mixture of some columns."""

    @abstractmethod
    def conditional(self, mixture: Parameters, known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the open columns given the known (d,) bool: slopes (k or 1, open, known), covariances and their roots."""

    @abstractmethod
    def log_determinant(self, roots: np.ndarray, d: int) -> np.ndarray:
        """log |P|: (k,), or a number where tied."""

    def shrunk(self, weights: np.ndarray, covariances: np.ndarray) -> np.ndarray:
        """Each covariance drawn to the mean of all, the more the lighter the component."""
        hold = 0.1 / len(weights)
        pooled = np.tensordot(weights, covariances, 1)
        own = (weights / (weights + hold)).reshape((-1,) + (1,) * (covariances.ndim - 1))
        return own * covariances + (1 - own) * pooled

    def mixture(self, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> Parameters:
        """Parameters, with the roots found."""
        return Parameters(weights, means, covariances, self.root(covariances))

    def constant(self, mixture: Parameters) -> np.ndarray:
        """log (weight |P| / (2 pi)^(d/2)): (k,)."""
        d = mixture.means.shape[1]
        with np.errstate(divide="ignore"):
            return np.log(mixture.weights) + self.log_determinant(mixture.roots, d) - d / 2 * LOG_2PI


def upper(roots: np.ndarray) -> np.ndarray:
    """The upper triangular T with a positive diagonal and T T' = A A', for A (..., d, d).

    A QR decomposition finds it without forming A A', so no digits are lost.
    """
    triangle = np.asarray(np.linalg.qr(roots.swapaxes(-1, -2)[..., ::-1], mode="r"))
    found = triangle.swapaxes(-1, -2)[..., ::-1, ::-1]
    return found * np.sign(np.diagonal(found, axis1=-2, axis2=-1))[..., None, :]
