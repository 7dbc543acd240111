"""What the rate is made of: KL(q(z | x) || p(z)), averaged over the data, is the sum of three divergences.

With the aggregate posterior q(z) = 1/N sum_n q(z | x_n), log q(z | x) / p(z) is the sum of log q(z | x) / q(z), of
log q(z) / prod_j q(z_j), and of log prod_j q(z_j) / p(z): what z tells of x, how far its dimensions depend on one
another, and how far each is from the prior. The three add up to the rate of every draw, log q(z | x) - log p(z).
beta-TC-VAE weighs the second: ``Distortion() + MutualInformation() + 6.0 * TotalCorrelation() + DimensionwiseKL()``.

q(z) is estimated from the batch, that of this process where there are several, so that larger batches tell more; see
:func:`latens.models.aggregate.aggregate`. The posterior must factorise, and depend on x alone.

Reference: Chen et al., *Isolating sources of disentanglement in variational autoencoders*, 2018.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from latens.models import Draw
from latens.objectives.base import Objective


@dataclass(frozen=True, repr=False)
class MutualInformation(Objective):
    """E[log q(z | x) - log q(z)], nats: the information of z about which example it is, at most log N.

    Raises:
        InputError: a posterior that does not factorise, or that depends on other choices.

    Reference: Hoffman and Johnson, *ELBO surgery*, 2016; Chen et al., 2018, eq. 2.
    """

    def __call__(self, draw: Draw) -> Tensor:
        """``(B,)``."""
        joint, _ = draw.log_aggregate
        return draw.expect(draw.log_posterior - joint)


@dataclass(frozen=True, repr=False)
class TotalCorrelation(Objective):
    """E[log q(z) - sum_j log q(z_j)] = KL(q(z) || prod_j q(z_j)), nats: 0 where the dimensions are independent.

    Raises:
        InputError: a posterior that does not factorise, or that depends on other choices.

    Reference: Chen et al., *Isolating sources of disentanglement in variational autoencoders*, 2018, eq. 2.

    Example:
        >>> from latens.objectives import DimensionwiseKL, Distortion
        >>> Distortion() + MutualInformation() + 6.0 * TotalCorrelation() + DimensionwiseKL()
        Distortion() + MutualInformation() + 6.0 * TotalCorrelation() + DimensionwiseKL()
    """

    def __call__(self, draw: Draw) -> Tensor:
        """``(B,)``."""
        joint, single = draw.log_aggregate
        return draw.expect(joint - single.sum(-1))


@dataclass(frozen=True, repr=False)
class DimensionwiseKL(Objective):
    """E[sum_j log q(z_j) - log p(z)] = sum_j KL(q(z_j) || p(z_j)), nats, for a prior that factorises.

    Raises:
        InputError: a posterior that does not factorise, or that depends on other choices.

    Reference: Chen et al., *Isolating sources of disentanglement in variational autoencoders*, 2018, eq. 2.
    """

    def __call__(self, draw: Draw) -> Tensor:
        """``(B,)``."""
        return draw.expect(draw.log_aggregate[1].sum(-1) - draw.log_prior)
