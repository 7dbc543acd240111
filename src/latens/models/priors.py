"""Priors made of what the posterior says of some rows: they look at it, and it stays where it is in the model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import overload

import torch
from torch import Tensor, nn

from latens.distributions import Distribution, Elementwise
from latens.distributions.bounds import bounded
from latens.distributions.location_scale import LOG_SCALE, NormalElement
from latens.distributions.mixture import NormalMixture, mixture
from latens.models.conditional import ConditionalDistribution
from latens.nn import Site, Spec
from latens.utils.errors import InputError
from latens.utils.validation import check_positive

Shape = tuple[int, ...]
JITTER = 0.01
"""Of the range of the data: pseudo-inputs that began at equal rows part by this much."""
SAME = 1e-9
"""Rows are one and the same whose projections differ by less, in proportion to their size."""


class OfPosteriors(ConditionalDistribution, ABC):
    """p(z) = 1/K sum_k p_k(z), each p_k from the posterior of a row u_k.

    The posterior belongs to the model. It is held in a tuple, where torch does not look for modules: its weights are
    learned, moved, copied and saved once, by the model. Of a conditional density each u_k keeps the condition of a row,
    and p(z) is the same for all.

    Args:
        posterior: of the model.
        given: the condition of each u_k, ``(K, C)``, or None.
    """

    given: Tensor | None

    def __init__(self, posterior: nn.Module, given: Tensor | None) -> None:
        super().__init__()
        self._held = (posterior,)
        self.register_buffer("given", given)

    @property
    def posterior(self) -> nn.Module:
        """q(z | x)."""
        return self._held[0]

    def forward(
        self, c: Tensor | None = None, *, observed: Tensor | None = None, context: Tensor | None = None
    ) -> Distribution:
        """The mixture, batch shape ()."""
        components = self.components()
        return mixture(next(self.parameters()).new_zeros(components.batch_shape), components)

    @abstractmethod
    def components(self) -> Distribution:
        """p_k, batch shape ``(K,)``."""


class PseudoInputs(OfPosteriors):
    """1/K sum_k q(z | u_k): the module of :class:`VampPrior`."""

    low: Tensor
    high: Tensor

    def __init__(self, posterior: nn.Module, rows: Tensor, given: Tensor | None, k: int) -> None:
        super().__init__(posterior, spread_over(given, k))
        axes = (0,) if rows.ndim == 2 else tuple(range(rows.ndim))
        self.register_buffer("low", rows.amin(axes))
        self.register_buffer("high", rows.amax(axes))
        start = spread_over(rows, k)
        self.inputs = nn.Parameter(start + JITTER * (self.high - self.low) * torch.randn_like(start))

    def components(self) -> Distribution:
        """q(z | u_k), each u_k within the range of the data."""
        return self.posterior(bounded(self.inputs, self.low, self.high), context=self.given)


class ExemplarDistribution(OfPosteriors):
    """1/K sum_k N(z; mu(x_k), s^2 I): the module of :class:`ExemplarPrior`."""

    exemplars: Tensor
    direction: Tensor

    def __init__(self, posterior: nn.Module, rows: Tensor, given: Tensor | None, k: int) -> None:
        super().__init__(posterior, spread_over(given, k))
        self.register_buffer("exemplars", spread_over(rows, k))
        self.register_buffer("direction", torch.randn(rows[0].numel(), dtype=torch.float64))
        self.log_scale = nn.Parameter(torch.zeros(()))

    def components(self) -> Elementwise:
        """Normals of one width around the posterior means of the exemplars."""
        q = self.posterior(self.exemplars, context=self.given)
        return Elementwise(NormalElement(q.location, bounded(self.log_scale, *LOG_SCALE)), len(q.event_shape))

    def without(self, x: Tensor) -> Distribution:
        """The prior of each row of x without that row, where it is an exemplar, batch shape ``(B,)``."""
        components = self.components()
        own = self._same(x)
        return NormalMixture(components.location.new_zeros(own.shape).masked_fill(own, -torch.inf), components)

    def _same(self, x: Tensor) -> Tensor:
        """Which exemplar a row is, ``(B, K)``: rows that are equal have equal projections, and others have not."""
        own, theirs = (rows.flatten(1).double() @ self.direction for rows in (x, self.exemplars))
        return (own[:, None] - theirs).abs() <= SAME * (1.0 + theirs.abs())


@dataclass(frozen=True, repr=False)
class VampPrior(Spec):
    """p(z) = 1/K sum_k q(z | u_k): the mixture of the posteriors of K pseudo-inputs, which are learned.

    The best prior is the mean of the posteriors of all rows; this is that of few. They begin at rows of the first
    batch, evenly spread over it, and stay within the range of the data. A step encodes K rows beside its own.

    Args:
        k: how many pseudo-inputs; 500 in the paper.

    Raises:
        InputError: a condition that few rows tell, or a posterior that does not look at x or has no density.

    Reference: Tomczak and Welling, *VAE with a VampPrior*, 2018.

    Example:
        >>> from latens import VAE
        >>> X = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)).numpy()
        >>> vae = VAE(latents=2, prior=VampPrior(10), epochs=2, random_state=0).fit(X)
        >>> vae.model_.prior.inputs.shape, vae.model_.prior().sample((5,)).shape
        (torch.Size([10, 3]), torch.Size([5, 2]))
    """

    k: int = 500

    def __post_init__(self) -> None:
        check_positive("k", self.k, integer=True)

    def build(self, site: Site) -> PseudoInputs:
        """Pseudo-inputs from the rows of ``site.batch``, for the posterior that stands there."""
        prior = PseudoInputs(*rows_of(self, site), self.k)
        if not _look(prior).has_density:
            raise InputError(f"{self} expects a posterior with a density, such as Normal('element'); it is a point.")
        return prior


@dataclass(frozen=True, repr=False)
class ExemplarPrior(Spec):
    """p(z) = 1/K sum_k N(z; mu(x_k), s^2 I), mu the mean of the posterior, x_k rows of the data, s learned.

    A kernel density over the latents of exemplars. While training, a row that is an exemplar is left out of its own
    prior, lest it be remembered rather than described (unless entries of it are missing, which hides that it is one); a
    fitted model is one density, with all exemplars in it.

    This is the simple version of the paper's: K rows of the first batch (of at most 4096), evenly spread over it, are
    the exemplars for good, and all of them count, where the paper takes all rows and looks for the nearest. A step
    encodes K rows beside those of its batch, and the exemplars are saved with the model.

    Args:
        k: how many exemplars, at least 2. Where there are fewer rows, rows are exemplars more than once.

    Raises:
        InputError: a condition that few rows tell, or a posterior that does not look at x.

    Reference: Norouzi, Fleet and Norouzi, *Exemplar VAE: linking generative models, nearest neighbor retrieval, and
    data augmentation*, 2020.

    Example:
        >>> from latens import VAE
        >>> X = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)).numpy()
        >>> vae = VAE(latents=2, prior=ExemplarPrior(50), epochs=2, random_state=0).fit(X)
        >>> vae.model_.prior.exemplars.shape
        torch.Size([50, 3])
    """

    k: int = 500

    def __post_init__(self) -> None:
        check_positive("k", self.k, integer=True)
        if self.k < 2:
            raise InputError("ExemplarPrior expects k of at least 2: without itself, an exemplar needs another one.")

    def build(self, site: Site) -> ExemplarDistribution:
        """Exemplars from the rows of ``site.batch``, for the posterior that stands there."""
        prior = ExemplarDistribution(*rows_of(self, site), self.k)
        _look(prior)
        return prior


def rows_of(spec: Spec, site: Site) -> tuple[nn.Module, Tensor, Tensor | None]:
    """The posterior, a first batch of rows, and what is given beside them."""
    if site.beside is not None and site.given is None:
        raise InputError(f"{spec} expects rows whose labels are all known; use StandardNormal(), or Free.")
    if site.batch is None or "posterior" not in site.modules:
        raise InputError(f"{spec} stands as the prior of a VAE, whose posterior and first rows it needs.")
    return site.modules["posterior"], site.batch, site.given


@torch.no_grad()
def _look(prior: OfPosteriors) -> Distribution:
    """The components, once each is known to be that of a row."""
    training = prior.posterior.training
    prior.posterior.eval()
    try:
        found = prior.components()
    finally:
        prior.posterior.train(training)
    if len(found.batch_shape) != 1:
        raise InputError(
            f"A prior made of posteriors expects one that looks at x; got batch shape {tuple(found.batch_shape)}."
        )
    return found


@overload
def spread_over(rows: Tensor, k: int) -> Tensor: ...
@overload
def spread_over(rows: Tensor | None, k: int) -> Tensor | None: ...
def spread_over(rows: Tensor | None, k: int) -> Tensor | None:
    """k rows evenly spread over those given, some more than once where there are fewer."""
    if rows is None:
        return None
    return rows[torch.linspace(0, len(rows) - 1, k).round().long()].clone()
