"""How far the posterior of all examples together is from the prior, told from draws of both.

Where each q(z | x) is held to p(z), the rate counts; where only their mean q(z) is, these do: codes may then be as
sharp as they like, points even (``VAE(posterior=Delta())``). Each choice of a model counts by itself. The terms are of
the whole batch, ``()``, and of what this process has of it where there are several; they are no nats, and their weight
is a choice: ``Distortion() + 10.0 * MMD()`` is a Wasserstein autoencoder, and an InfoVAE with ``0.1 * Rate()`` beside.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from latens.distributions import noise
from latens.models import Draw, Latent
from latens.objectives.base import Objective
from latens.utils.errors import InputError
from latens.utils.validation import check_choice, check_positive


@dataclass(frozen=True, repr=False)
class MMD(Objective):
    """E[k(z, z')] + E[k(y, y')] - 2 E[k(z, y)], z ~ q(z), y ~ p(z): the squared maximum mean discrepancy.

    With u = |z - y|^2 / (2 D s), for D dimensions, k is the mean of 1 / (1 + u) over the scales s ("imq", the inverse
    multiquadric), or of exp(-u) ("rbf"). 2 D is the squared distance to be expected between two draws of N(0, I).

    Args:
        kernel: "imq", which still sees distances far from the prior, or "rbf".
        scales: s, each a positive number.
        unbiased: leave out pairs of a draw with itself; then the mean is that of the population, and single values may
            be negative.

    References:
        Gretton et al., *A kernel two-sample test*, 2012; Tolstikhin et al., *Wasserstein auto-encoders*, 2018; Zhao,
        Song and Ermon, *InfoVAE*, 2019.

    Example:
        >>> MMD("rbf", (1.0,))
        MMD('rbf', (1.0,))
    """

    kernel: str = "imq"
    scales: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
    unbiased: bool = True

    def __post_init__(self) -> None:
        check_choice("kernel", self.kernel, ("imq", "rbf"))
        if not isinstance(self.scales, tuple) or not self.scales:
            raise InputError(f"MMD expects a tuple of scales such as (1.0,); got {self.scales!r}.")
        for scale in self.scales:
            check_positive("scale", scale)

    def __call__(self, draw: Draw) -> Tensor:
        """``()``."""
        return torch.stack([self.between(*_both(latent)).mean() for latent in draw.latents]).sum()

    def between(self, z: Tensor, y: Tensor) -> Tensor:
        """The estimate from two samples of equal size, ``(K, B, D) -> (K,)``."""
        same = self._mean(z) + self._mean(y)
        return same - 2.0 * self._similar(z, y).mean((1, 2))

    def _mean(self, z: Tensor) -> Tensor:
        """E[k(z, z')] within a sample."""
        k, n = self._similar(z, z), z.shape[1]
        if not self.unbiased:
            return k.mean((1, 2))
        return (k.sum((1, 2)) - k.diagonal(dim1=1, dim2=2).sum(1)) / (n * max(n - 1, 1))

    def _similar(self, z: Tensor, y: Tensor) -> Tensor:
        """k of all pairs, ``(K, B, B)``."""
        apart = torch.cdist(z, y, compute_mode="donot_use_mm_for_euclid_dist").square() / (2.0 * z.shape[-1])
        kernels = [apart / scale for scale in self.scales]
        kernels = [(-u).exp() if self.kernel == "rbf" else 1.0 / (1.0 + u) for u in kernels]
        return torch.stack(kernels).mean(0)


@dataclass(frozen=True, repr=False)
class SlicedWasserstein(Objective):
    """E_t[W_2(t . z, t . y)^2], z ~ q(z), y ~ p(z), t a random direction: squared distances of projections, sorted.

    Args:
        projections: how many directions, drawn anew at each step.

    Reference: Kolouri et al., *Sliced Wasserstein auto-encoders*, 2019.

    Example:
        >>> from latens.objectives import Distortion
        >>> Distortion() + 10.0 * SlicedWasserstein()
        Distortion() + 10.0 * SlicedWasserstein()
    """

    projections: int = 50

    def __post_init__(self) -> None:
        check_positive("projections", self.projections, integer=True)

    def __call__(self, draw: Draw) -> Tensor:
        """``()``."""
        return torch.stack([self.between(*_both(latent)).mean() for latent in draw.latents]).sum()

    def between(self, z: Tensor, y: Tensor) -> Tensor:
        """The estimate from two samples of equal size, ``(K, B, D) -> (K,)``."""
        directions = torch.nn.functional.normalize(noise.normal((z.shape[-1], self.projections), z), dim=0)
        with torch.autocast(z.device.type, enabled=False):
            apart = (z @ directions).sort(1).values - (y @ directions).sort(1).values
        return apart.square().mean((1, 2))


def _both(latent: Latent) -> tuple[Tensor, Tensor]:
    """The draws of a choice, and as many of its prior, both ``(K, B, D)``."""
    k, b = latent.value.shape[:2]
    shapes: dict[int, tuple[int, ...]] = {0: (k, b), 1: (k,)}
    y = latent.p.embed(latent.p.rsample(shapes.get(len(latent.p.batch_shape), ())))
    return latent.value.flatten(2), y.flatten(2)
