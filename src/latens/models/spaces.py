"""Latents that are no real vectors: the usual priors there, and whether a posterior and a prior lie in one space."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from latens.distributions import Distribution, Family, SphereUniform, standard_poincare
from latens.models.conditional import ConditionalDistribution
from latens.nn import Site, Spec
from latens.utils.errors import InputError
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


def probe(module: ConditionalDistribution, site: Site) -> Distribution:
    """What the module says of two rows of zeros, if it is given rows; nothing is drawn, and it stays as it is."""
    rows = None if site.context_shape is None else torch.zeros(2, *site.context_shape)
    beside = None if site.beside is None else torch.zeros(2, *site.beside)
    training = module.training
    with torch.no_grad():
        q = module.eval()(rows, context=beside)
    module.train(training)
    return q


def check_spaces(
    spec: Family | Spec, posterior: ConditionalDistribution, prior: ConditionalDistribution, site: Site
) -> None:
    """Refuses a posterior and a prior whose draws lie in different spaces, so that no divergence is defined.

    Args:
        spec: the posterior as the user wrote it.
        posterior, prior: the modules.
        site: where the posterior was built.

    Raises:
        InputError: naming both spaces, and the prior that fits.
    """
    q, p = probe(posterior, site), probe(prior, replace(site, context_shape=None))
    if q.space != p.space:
        raise InputError(
            f"{spec} draws from {q.space.name}, and the prior from {p.space.name}: no divergence between the two is "
            f"defined. Use prior={q.space.prior}, or another posterior."
        )
