"""The four shapes of a covariance: full, tied, diagonal, spherical."""

from __future__ import annotations

import numpy as np

from latens.density.mixture.covariances import Frame, Parameters, Shape, upper


class Full(Shape):
    """Each component its own covariance."""

    whitens = True

    def count(self, k: int, d: int) -> int:
        return k * d * (d + 1) // 2

    def form(self, k: int, d: int) -> tuple[int, ...]:
        return (k, d, d)

    def entered(self, precisions: np.ndarray, frame: Frame) -> np.ndarray:
        return np.linalg.inv(frame.outward @ precisions @ frame.outward.T)

    def size(self, d: int) -> int:
        return 1 + d + d * (d + 1) // 2

    def features(self, z: np.ndarray, roots: np.ndarray, out: np.ndarray) -> np.ndarray:
        d = len(z)
        out[0], out[1 : 1 + d] = 1.0, z
        at = 1 + d
        for i in range(d):
            np.multiply(z[i], z[i:], out=out[at : at + d - i])
            at += d - i
        return out

    def natural(self, mixture: Parameters) -> np.ndarray:
        d = mixture.means.shape[1]
        precision = mixture.roots @ mixture.roots.swapaxes(1, 2)
        linear = np.einsum("kij,kj->ki", precision, mixture.means)
        constant = self.constant(mixture) - (linear * mixture.means).sum(1) / 2
        rows, columns = np.triu_indices(d)
        quadratic = precision[:, rows, columns] * np.where(rows == columns, -0.5, -1.0)
        return np.column_stack([constant, linear, quadratic])

    def covariance(self, mass: np.ndarray, means: np.ndarray, sums: np.ndarray, scatter: np.ndarray) -> np.ndarray:
        d = means.shape[1]
        rows, columns = np.triu_indices(d)
        second = np.empty((len(sums), d, d))
        second[:, rows, columns] = second[:, columns, rows] = sums[:, 1 + d :] / mass[:, None]
        return second - means[:, :, None] * means[:, None, :]

    def reduce(self, mass: np.ndarray, covariances: np.ndarray) -> np.ndarray:
        return covariances

    def ridged(self, mass: np.ndarray, covariances: np.ndarray, ridge: float) -> np.ndarray:
        return covariances + (ridge / mass)[:, None, None] * np.eye(covariances.shape[-1])

    def root(self, covariances: np.ndarray) -> np.ndarray:
        return np.linalg.inv(np.linalg.cholesky(covariances)).swapaxes(-1, -2)

    def precision(self, roots: np.ndarray) -> np.ndarray:
        return roots @ roots.swapaxes(-1, -2)

    def precision_trace(self, roots: np.ndarray, d: int) -> np.ndarray:
        return (roots**2).sum((-2, -1))

    def least(self, covariances: np.ndarray) -> np.ndarray:
        return np.linalg.eigvalsh(covariances)[..., 0]

    def full(self, covariances: np.ndarray, k: int, d: int) -> np.ndarray:
        return covariances

    def moved(self, covariances: np.ndarray, roots: np.ndarray, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        return frame.outward.T @ covariances @ frame.outward, upper(frame.inward @ roots)

    def standardise(self, difference: np.ndarray, roots: np.ndarray) -> np.ndarray:
        return difference @ roots

    def colour(self, noise: np.ndarray, roots: np.ndarray, component: int) -> np.ndarray:
        return np.linalg.solve(roots[component].T, noise.T).T

    def marginal(self, mixture: Parameters, columns: np.ndarray) -> Parameters:
        covariances = mixture.covariances[..., columns, :][..., columns]
        spread = np.linalg.inv(mixture.roots)[..., columns].swapaxes(-1, -2)
        roots = np.linalg.inv(np.linalg.qr(spread.swapaxes(-1, -2), mode="r"))
        return Parameters(mixture.weights, mixture.means[:, columns], covariances, roots)

    def conditional(self, mixture: Parameters, known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        spread, o = np.linalg.inv(mixture.roots).swapaxes(-1, -2), int(known.sum())
        basis, triangle = np.linalg.qr(spread[..., known, :].swapaxes(-1, -2), mode="complete")
        turned = spread[..., ~known, :] @ basis
        slopes = np.linalg.solve(triangle[..., :o, :], turned[..., :o].swapaxes(-1, -2)).swapaxes(-1, -2)
        rest = turned[..., o:]
        roots = upper(np.linalg.inv(rest).swapaxes(-1, -2))
        return slopes.reshape(-1, *slopes.shape[-2:]), rest @ rest.swapaxes(-1, -2), roots

    def log_determinant(self, roots: np.ndarray, d: int) -> np.ndarray:
        return np.log(np.abs(np.diagonal(roots, axis1=-2, axis2=-1))).sum(-1)


class Tied(Full):
    """One covariance for all; the quadratic part is the same for all components, one feature of a row."""

    def count(self, k: int, d: int) -> int:
        return d * (d + 1) // 2

    def form(self, k: int, d: int) -> tuple[int, ...]:
        return (d, d)

    def size(self, d: int) -> int:
        return d + 2

    def features(self, z: np.ndarray, roots: np.ndarray, out: np.ndarray) -> np.ndarray:
        d = len(z)
        out[0], out[1 : 1 + d] = 1.0, z
        np.square(roots.T.astype(z.dtype) @ z).sum(axis=0, out=out[1 + d])
        return out

    def natural(self, mixture: Parameters) -> np.ndarray:
        linear = mixture.means @ mixture.roots @ mixture.roots.T
        constant = self.constant(mixture) - (linear * mixture.means).sum(1) / 2
        return np.column_stack([constant, linear, np.full(len(linear), -0.5)])

    def covariance(self, mass: np.ndarray, means: np.ndarray, sums: np.ndarray, scatter: np.ndarray) -> np.ndarray:
        return scatter - (means.T * mass) @ means

    def reduce(self, mass: np.ndarray, covariances: np.ndarray) -> np.ndarray:
        return np.tensordot(mass, covariances, 1)

    def ridged(self, mass: np.ndarray, covariances: np.ndarray, ridge: float) -> np.ndarray:
        return covariances + ridge * np.eye(len(covariances))

    def colour(self, noise: np.ndarray, roots: np.ndarray, component: int) -> np.ndarray:
        return np.linalg.solve(roots.T, noise.T).T

    def full(self, covariances: np.ndarray, k: int, d: int) -> np.ndarray:
        return np.broadcast_to(covariances, (k, d, d))

    def shrunk(self, weights: np.ndarray, covariances: np.ndarray) -> np.ndarray:
        return covariances


class Diagonal(Shape):
    """Independent columns inside a component."""

    def count(self, k: int, d: int) -> int:
        return k * d

    def form(self, k: int, d: int) -> tuple[int, ...]:
        return (k, d)

    def entered(self, precisions: np.ndarray, frame: Frame) -> np.ndarray:
        return 1 / (precisions * frame.scale**2)

    def size(self, d: int) -> int:
        return 1 + 2 * d

    def features(self, z: np.ndarray, roots: np.ndarray, out: np.ndarray) -> np.ndarray:
        d = len(z)
        out[0], out[1 : 1 + d] = 1.0, z
        np.square(z, out=out[1 + d :])
        return out

    def natural(self, mixture: Parameters) -> np.ndarray:
        precision = mixture.roots**2
        linear = precision * mixture.means
        constant = self.constant(mixture) - (linear * mixture.means).sum(1) / 2
        return np.column_stack([constant, linear, -precision / 2])

    def covariance(self, mass: np.ndarray, means: np.ndarray, sums: np.ndarray, scatter: np.ndarray) -> np.ndarray:
        return sums[:, 1 + means.shape[1] :] / mass[:, None] - means**2

    def reduce(self, mass: np.ndarray, covariances: np.ndarray) -> np.ndarray:
        return np.diagonal(covariances, axis1=1, axis2=2)

    def root(self, covariances: np.ndarray) -> np.ndarray:
        if not (covariances > 0).all():
            raise np.linalg.LinAlgError("a variance is not positive")
        return covariances**-0.5

    def precision(self, roots: np.ndarray) -> np.ndarray:
        return roots**2

    def precision_trace(self, roots: np.ndarray, d: int) -> np.ndarray:
        return (roots**2).sum(1)

    def least(self, covariances: np.ndarray) -> np.ndarray:
        return covariances.min(axis=-1)

    def full(self, covariances: np.ndarray, k: int, d: int) -> np.ndarray:
        return covariances[:, :, None] * np.eye(d)

    def moved(self, covariances: np.ndarray, roots: np.ndarray, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        return covariances * frame.scale**2, roots / frame.scale

    def standardise(self, difference: np.ndarray, roots: np.ndarray) -> np.ndarray:
        return difference * roots[:, None, :]

    def colour(self, noise: np.ndarray, roots: np.ndarray, component: int) -> np.ndarray:
        return noise / roots[component]

    def marginal(self, mixture: Parameters, columns: np.ndarray) -> Parameters:
        covariances, roots = mixture.covariances[:, columns], mixture.roots[:, columns]
        return Parameters(mixture.weights, mixture.means[:, columns], covariances, roots)

    def conditional(self, mixture: Parameters, known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        open_ = self.marginal(mixture, ~known)
        return np.zeros((1, (~known).sum(), known.sum())), open_.covariances, open_.roots

    def log_determinant(self, roots: np.ndarray, d: int) -> np.ndarray:
        return np.log(roots).sum(1)


class Spherical(Diagonal):
    """One variance inside a component."""

    def count(self, k: int, d: int) -> int:
        return k

    def form(self, k: int, d: int) -> tuple[int, ...]:
        return (k,)

    def entered(self, precisions: np.ndarray, frame: Frame) -> np.ndarray:
        return 1 / (precisions * frame.scale[0] ** 2)

    def size(self, d: int) -> int:
        return d + 2

    def features(self, z: np.ndarray, roots: np.ndarray, out: np.ndarray) -> np.ndarray:
        d = len(z)
        out[0], out[1 : 1 + d] = 1.0, z
        np.square(z).sum(axis=0, out=out[1 + d])
        return out

    def natural(self, mixture: Parameters) -> np.ndarray:
        precision = mixture.roots[:, None] ** 2
        linear = precision * mixture.means
        constant = self.constant(mixture) - (linear * mixture.means).sum(1) / 2
        return np.column_stack([constant, linear, -precision / 2])

    def covariance(self, mass: np.ndarray, means: np.ndarray, sums: np.ndarray, scatter: np.ndarray) -> np.ndarray:
        return (sums[:, -1] / mass - (means**2).sum(1)) / means.shape[1]

    def reduce(self, mass: np.ndarray, covariances: np.ndarray) -> np.ndarray:
        return np.trace(covariances, axis1=1, axis2=2) / covariances.shape[-1]

    def precision_trace(self, roots: np.ndarray, d: int) -> np.ndarray:
        return d * roots**2

    def least(self, covariances: np.ndarray) -> np.ndarray:
        return covariances

    def full(self, covariances: np.ndarray, k: int, d: int) -> np.ndarray:
        return covariances[:, None, None] * np.eye(d)

    def moved(self, covariances: np.ndarray, roots: np.ndarray, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        return covariances * frame.scale[0] ** 2, roots / frame.scale[0]

    def standardise(self, difference: np.ndarray, roots: np.ndarray) -> np.ndarray:
        return difference * roots[:, None, None]

    def marginal(self, mixture: Parameters, columns: np.ndarray) -> Parameters:
        return mixture._replace(means=mixture.means[:, columns])

    def log_determinant(self, roots: np.ndarray, d: int) -> np.ndarray:
        return d * np.log(roots)


SHAPES: dict[str, Shape] = {"full": Full(), "tied": Tied(), "diag": Diagonal(), "spherical": Spherical()}
