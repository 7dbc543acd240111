"""Priors of latents that are no real vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from latens.distributions import Distribution, SphereUniform, standard_poincare
from latens.models.conditional import ConditionalDistribution
from latens.nn import Site, Spec
from latens.utils.validation import check_positive


class FixedDistribution(ConditionalDistribution):
    """p(z) with no parameter.

    Args:
        event_shape: of z.
        make: gives it at an origin of zeros.
    """

    origin: Tensor

    def __init__(self, event_shape: tuple[int, ...], make: Callable[[Tensor], Distribution]) -> None:
        super().__init__()
        self.register_buffer("origin", torch.zeros(event_shape), persistent=False)
        self.make = make

    def forward(
        self, c: Tensor | None = None, *, observed: Tensor | None = None, context: Tensor | None = None
    ) -> Distribution:
        """Batch shape ()."""
        return self.make(self.origin)


@dataclass(frozen=True, repr=False)
class UniformSphere(Spec):
    """p(z) = 1 / area on the sphere of vectors of norm 1: the prior of ``VonMisesFisher()``.

    Example:
        >>> from latens import VAE
        >>> from latens.distributions import VonMisesFisher
        >>> VAE(latents=3, posterior=VonMisesFisher(), prior=UniformSphere())
        VAE(latents=3, posterior=VonMisesFisher(), prior=UniformSphere())
    """

    def build(self, site: Site) -> FixedDistribution:
        """No parameters."""
        return FixedDistribution(site.event_shape, SphereUniform)


@dataclass(frozen=True, repr=False)
class StandardPoincare(Spec):
    """p(z), the wrapped normal of scale 1 around the centre of the Poincare ball: the prior of ``PoincareNormal()``.

    Args:
        curvature: c, of the curvature -c; that of the posterior.

    Reference: Mathieu et al., *Continuous hierarchical representations with Poincare variational auto-encoders*, 2019.

    Example:
        >>> from latens import VAE
        >>> from latens.distributions import PoincareNormal
        >>> VAE(latents=2, posterior=PoincareNormal(), prior=StandardPoincare())
        VAE(latents=2, posterior=PoincareNormal(), prior=StandardPoincare())
    """

    curvature: float = 1.0

    def __post_init__(self) -> None:
        check_positive("curvature", self.curvature)

    def build(self, site: Site) -> FixedDistribution:
        """No parameters."""
        return FixedDistribution(site.event_shape, partial(standard_poincare, curvature=self.curvature))
