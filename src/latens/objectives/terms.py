"""Single terms."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from latens.models import Draw, Latent
from latens.objectives import path
from latens.objectives.base import Objective, Weight
from latens.training import Linear, Schedule, at
from latens.utils.errors import InputError
from latens.utils.validation import check_positive


@dataclass(frozen=True, repr=False)
class Distortion(Objective):
    """E_q[-log p(x | z)], nats: what it costs to tell x once z is known.

    Reference: Alemi et al., *Fixing a broken ELBO*, 2018.
    """

    def __call__(self, draw: Draw) -> Tensor:
        """``(B,)``."""
        return -draw.expect(draw.log_likelihood)


@dataclass(frozen=True, repr=False)
class Rate(Objective):
    """KL(q(z | x) || p(z)), nats: what it costs to tell z.

    Args:
        gradient: "total" or "path"; see :class:`ELBO`.
    """

    gradient: str = "total"

    def __post_init__(self) -> None:
        path.check_gradient(self.gradient)

    def __call__(self, draw: Draw) -> Tensor:
        """``(B,)``."""
        return draw.expect(path.rate(draw) if self.gradient == "path" else draw.rate)


@dataclass(frozen=True, repr=False)
class Capacity(Objective):
    """|E_x[KL(q(z | x) || p(z))] - C|, nats: how far the rate is from what it is asked to be.

    With a weight of hundreds or thousands the rate follows C, which usually rises in the course of training: the
    latents learn one thing after another. The expectation is the mean over the batch (of this process, where there
    are several), so this is a term of the whole batch, ``()``.

    Args:
        nats: C, a number or a schedule of training progress.

    Reference: Burgess et al., *Understanding disentangling in beta-VAE*, 2018, eq. 8.

    Example:
        >>> Distortion() + 1000.0 * Capacity(Linear(0.0, 25.0, until=0.5))
        Distortion() + 1000.0 * Capacity(Linear(0.0, 25.0, 0.5))
    """

    nats: Weight = Linear(0.0, 25.0)

    def __post_init__(self) -> None:
        if not isinstance(self.nats, Schedule):
            check_positive("nats", self.nats, zero=True)

    def __call__(self, draw: Draw) -> Tensor:
        """``()``."""
        target = at(self.nats, draw.progress)  # type: ignore[type-var]
        return (draw.expect(draw.rate).mean() - target).abs()


@dataclass(frozen=True, repr=False)
class FreeBits(Objective):
    """sum_i max(E_x[KL_i], nats): the rate, with the first nats of every dimension free.

    Below its allowance a dimension feels no pull towards the prior, so that it is not given up early in training. The
    expectation is the mean over the batch (of this process, where there are several), so this is a term of the whole
    batch, ``()``.

    Args:
        nats: the allowance of each latent dimension.

    Raises:
        InputError: a posterior or prior whose divergence is not known by dimension.

    Reference: Kingma et al., *Improved variational inference with inverse autoregressive flow*, 2016, eq. 15.

    Example:
        >>> Distortion() + FreeBits(0.25)
        Distortion() + FreeBits(0.25)
    """

    nats: float = 0.5

    def __post_init__(self) -> None:
        check_positive("nats", self.nats)

    def __call__(self, draw: Draw) -> Tensor:
        """``()``."""
        return torch.stack([self._free(latent) for latent in draw.latents]).sum()

    def _free(self, latent: Latent) -> Tensor:
        factors = latent.kl_factors
        if factors is None:
            raise InputError(
                "FreeBits expects a divergence known by dimension; use Normal('element') and StandardNormal."
            )
        axes = tuple(range(factors.ndim - len(latent.q.event_shape)))
        return factors.mean(axes).clamp(min=self.nats).sum()
