"""What training asks of a codebook's encoder."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from latens.distributions import PointCodes
from latens.models import Draw, Latent
from latens.objectives.base import Objective
from latens.utils.errors import InputError


@dataclass(frozen=True, repr=False)
class Commitment(Objective):
    """|encoder(x) - e_c|^2: how far the encoder is from the vectors that it is rounded to, which do not feel it.

    A squared distance, summed over latents and stages, not nats: what it weighs depends on p(x | z).

    Raises:
        InputError: a posterior without a codebook.

    Reference: van den Oord, Vinyals and Kavukcuoglu, *Neural discrete representation learning*, 2017, eq. 3.

    Example:
        >>> from latens.objectives import Distortion
        >>> Distortion() + 0.25 * Commitment()
        Distortion() + 0.25 * Commitment()
    """

    def __call__(self, draw: Draw) -> Tensor:
        """``(B,)``."""
        return torch.stack([_distance(latent) for latent in draw.latents]).sum(0)


def _distance(latent: Latent) -> Tensor:
    if not isinstance(latent.q, PointCodes) or latent.q.commitment is None:
        raise InputError(
            "Commitment expects a posterior with a codebook, such as VectorQuantised(512); leave it out of the "
            "objective."
        )
    return latent.q.commitment
