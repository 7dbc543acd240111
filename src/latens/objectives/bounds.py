"""Bounds of -log p(x)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from latens.models import Draw
from latens.objectives.base import Objective
from latens.utils.errors import InputError


@dataclass(frozen=True, repr=False)
class ELBO(Objective):
    """E_q[-log p(x | z)] + KL(q(z | x) || p(z)) >= -log p(x): the negative evidence lower bound, nats.

    From maximum likelihood: log p(x) = log E_q[p(x, z) / q(z | x)] >= E_q[log p(x, z) / q(z | x)], by Jensen's
    inequality; the gap is KL(q(z | x) || p(z | x)). The same as ``Distortion() + Rate()``.

    Reference: Kingma and Welling, *Auto-encoding variational Bayes*, 2014.
    """

    def __call__(self, draw: Draw) -> Tensor:
        """``(B,)``."""
        return draw.expect(draw.rate - draw.log_likelihood)


@dataclass(frozen=True, repr=False)
class ImportanceWeighted(Objective):
    """-E[log 1/k sum_i p(x, z_i) / q(z_i | x)] >= -log p(x), nats: a bound that tightens with k.

    Args:
        k: the number of draws an example.

    Reference: Burda, Grosse and Salakhutdinov, *Importance weighted autoencoders*, 2016.

    Example:
        >>> ImportanceWeighted(50).samples
        50
    """

    k: int = 5

    def __post_init__(self) -> None:
        if not isinstance(self.k, int) or self.k < 1:
            raise InputError(f"ImportanceWeighted expects a whole number of samples k >= 1; got {self.k!r}.")

    @property
    def samples(self) -> int:
        """k."""
        return self.k

    def __call__(self, draw: Draw) -> Tensor:
        """``(B,)``."""
        return -draw.log_mean_exp(draw.log_weight)
