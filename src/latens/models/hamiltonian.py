"""The Hamiltonian posterior: a draw of a base posterior, moved by leapfrog steps along the gradient of log p(x, z).

z_0 ~ q_0(z | x) gets a momentum, moves K steps, and is z_K. A leapfrog step is three shears, each of which adds to one
of position and momentum a function of the other: whatever the function, the volume stays, |det J| = 1. Tempering then
shrinks the momentum by a known factor. So the density of (z_K, rho_K) is known, and with the momentum as a further
latent, of prior N(0, I), p(x, z_K) / q is an unbiased estimate of p(x). That of z_K alone is not known.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from latens.distributions import REAL, Distribution, Family, Normal, noise
from latens.distributions.bounds import bounded
from latens.models.conditional import ConditionalDistribution, NetworkDistribution
from latens.models.geometry import ExemplarMetric, Flat, Geometry, Riemannian, held
from latens.models.wrapped import Wrapped
from latens.nn import Site, Spec
from latens.utils.errors import InputError
from latens.utils.validation import check_choice, check_positive

Shape = tuple[int, ...]
TEMPERINGS = ("fixed", "free", "none")
COOLEST = 3.0
"""-log sqrt(beta_0) is at most so much: momenta begin at most e^3 times as large as they end."""
LOGIT = 12.0
"""Within which the numbers behind step sizes and temperatures stay."""
STRICT = 100.0
"""Nats that a draw loses for each unit by which the equations of its steps are not solved."""


class HamiltonianDistribution(Distribution):
    """z_K of K leapfrog steps from z_0 ~ q_0 with a momentum rho_0 ~ N(0, I / beta_0).

    The log density that comes with a draw is log q_0(z_0) + log N(rho_0; 0, I / beta_0) - log |det J| - log N(rho_K;
    0, I), log |det J| = L log sqrt(beta_0), of L latents: that of z_K and rho_K together, less the momentum's prior.
    Under a metric, G(z_0) and G(z_K) stand in place of I.

    Args:
        base: q_0.
        log_joint: log p(x, z) in nats, ``(*lead, *event) -> lead``; its gradient is the force.
        step: of each dimension, ``event_shape``, positive.
        cooling: what the momentum is multiplied by after each step, ``(K,)``; its product is sqrt(beta_0).
        batch_shape: of x.
        geometry: what momenta are measured by.
    """

    scores_draws = True
    scores_points = False

    def __init__(
        self,
        base: Distribution,
        log_joint: Callable[[Tensor], Tensor],
        step: Tensor,
        cooling: Tensor,
        batch_shape: Shape,
        geometry: Geometry,
    ) -> None:
        self.base, self.log_joint, self.step, self.cooling = base, log_joint, step, cooling
        self.geometry = geometry
        self.batch_shape, self.event_shape = torch.Size(batch_shape), base.event_shape
        self.reparameterised = base.reparameterised

    def log_prob(self, x: Tensor) -> Tensor:
        """Refused: it is an integral over all momenta."""
        raise InputError(
            "A Hamiltonian posterior has no density at a given z, only together with the momentum of a draw: use "
            "gradient='total' and terms that look at draws, such as Rate(), or another posterior."
        )

    def rsample(self, shape: Shape = ()) -> Tensor:
        """z_K, ``(*shape, *batch, *event)``."""
        return self.rsample_and_log_prob(shape)[0]

    def rsample_and_log_prob(self, shape: Shape = ()) -> tuple[Tensor, Tensor]:
        """z_K, and log q in the extended space, as above."""
        lead = (*shape, *self.batch_shape)
        z, log_q = self.base.rsample_and_log_prob(lead[: len(lead) - len(self.base.batch_shape)])
        kick = noise.normal((*lead, *self.event_shape), z)
        rho = self.geometry.momentum(z, kick)
        log_q = log_q + self.geometry.log_density(z, rho)
        z, rho, unsolved = self._leap(z, rho / self.cooling.prod())
        return z, log_q - self.geometry.log_density(z, rho) + STRICT * unsolved

    def leap(self, z: Tensor, rho: Tensor) -> tuple[Tensor, Tensor]:
        """(z_K, rho_K) from (z_0, rho_0); gradients pass through the forces too, where gradients are kept at all."""
        return self._leap(z, rho)[:2]

    def _leap(self, z: Tensor, rho: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same, and how far the equations of the steps are from being solved, added up."""
        keep = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.enable_grad():
            z, rho, step, cooling = map(_plain, (z, rho, self.step, self.cooling))
            unsolved = z.new_zeros(z.shape[:-1])
            force = partial(self._force, keep=keep)
            pull = force(z)
            for c in cooling:
                z, rho, pull, left = self.geometry.step(z, rho, pull, step, force)
                rho, unsolved = c * rho, unsolved + left
        return (z, rho, unsolved) if keep else (z.detach(), rho.detach(), unsolved.detach())

    def _force(self, z: Tensor, keep: bool) -> Tensor:
        """d log p(x, z) / dz, within bounds."""
        z = z if keep and z.requires_grad else z.detach().requires_grad_()
        (force,) = torch.autograd.grad(self.log_joint(z).sum(), z, create_graph=keep)
        return held(force)

    @property
    def location(self) -> Tensor:
        """Where the steps lead from the location of the base without momentum."""
        z = self.base.location.expand(*self.batch_shape, *self.event_shape)
        return self.leap(z, torch.zeros_like(z))[0]


def _plain(t: Tensor) -> Tensor:
    """t, or a copy that may meet gradients where t was made in inference mode."""
    return t.clone() if t.is_inference() else t


class HamiltonianPosterior(ConditionalDistribution):
    """The module of :class:`Hamiltonian`. Likelihood and prior are the model's, held where torch does not look.

    Args:
        base: gives q_0.
        likelihood, prior: p(x | z) and p(z), whose gradient is the force.
        site: where it stands.
        spec: the number of steps, their sizes at the start, and the tempering.
        metric: gives the geometry from the base; None where it is flat.
    """

    def __init__(
        self,
        base: ConditionalDistribution,
        likelihood: NetworkDistribution,
        prior: nn.Module,
        site: Site,
        spec: Hamiltonian,
        metric: ExemplarMetric | None,
    ) -> None:
        super().__init__()
        self.base, self._held, self.metric = base, (likelihood, prior), metric
        self.steps, self.longest, self.axes = spec.steps, spec.longest, len(site.context_shape or ())
        start = math.log(spec.step_size / (spec.longest - spec.step_size))
        self.step_logit = nn.Parameter(torch.full(site.event_shape, start))
        numbers = {"none": 0, "fixed": 1, "free": spec.steps}[spec.tempering]
        self.cooling_logit = nn.Parameter(torch.full((numbers,), -3.0)) if numbers else None

    @property
    def step(self) -> Tensor:
        """The step size of each dimension, between 0 and the longest."""
        return self.longest * bounded(self.step_logit, -LOGIT, LOGIT).sigmoid()

    @property
    def cooling(self) -> Tensor:
        """sqrt(beta_(k-1) / beta_k) of each step, ``(K,)``; beta_K = 1."""
        if self.cooling_logit is None:
            return self.step_logit.new_ones(self.steps)
        heat = COOLEST * bounded(self.cooling_logit, -LOGIT, LOGIT).sigmoid()
        if len(heat) == self.steps:
            return (-heat / self.steps).exp()
        share = torch.linspace(0.0, 1.0, self.steps + 1, dtype=heat.dtype, device=heat.device).square()
        widths = torch.lerp(heat.exp(), torch.ones_like(heat), share)  # 1 / sqrt(beta_k)
        return widths[1:] / widths[:-1]

    def forward(
        self, c: Tensor | None = None, *, observed: Tensor | None = None, context: Tensor | None = None
    ) -> HamiltonianDistribution:
        """The posterior of these x; their leading axes become the batch shape."""
        if c is None:
            raise ValueError("A Hamiltonian posterior expects x; got None.")
        q = self.base(c, observed=observed, context=context)
        if q.space != REAL or not q.has_density:
            what = f"draws from {q.space.name}" if q.space != REAL else "is a point"
            raise InputError(
                f"Hamiltonian moves real vectors that have a density; its base {what}. Use Normal('element')."
            )
        joint = partial(self.log_joint, c, observed=observed, context=context)
        geometry = Flat() if self.metric is None else self.metric(self.base)
        lead = tuple(c.shape[: c.ndim - self.axes])
        return HamiltonianDistribution(q, joint, self.step, self.cooling, lead, geometry)

    def log_joint(self, x: Tensor, z: Tensor, *, observed: Tensor | None, context: Tensor | None) -> Tensor:
        """log p(x | z) of the observed entries + log p(z), nats."""
        x, (observed, context) = _plain(x), (t if t is None else _plain(t) for t in (observed, context))
        likelihood, prior = self._held
        seen = likelihood.settled(z, context)
        seen = seen if observed is None else seen.restrict(observed)
        return seen.log_prob(x) + prior(context=context).log_prob(z)


@dataclass(frozen=True, repr=False)
class Hamiltonian(Wrapped):
    """q(z | x) of z_K, K leapfrog steps of Hamiltonian dynamics from z_0 ~ q_0(z_0 | x), along d log p(x, z) / dz.

    rho <- rho + e/2 d log p(x, z)/dz, z <- z + e rho, rho <- rho + e/2 d log p(x, z)/dz, then rho <- a_k rho. Step
    sizes e, one a dimension, are learned; so is the temperature 1 / beta_0, which lets draws wander before they cool
    down. It needs no further network: what it adds to its base, the model itself says. A draw costs K + 1 gradients of
    log p(x, z), a training step those and their gradients.

    A draw comes with its log density together with its momentum, which makes the evidence lower bound that of the
    paper, importance weights unbiased and ``score_samples`` a lower bound. There is no density at a given z: objectives
    that ask for one (gradient="path", TotalCorrelation) refuse. ``transform`` gives the point to which the steps lead
    from the location of the base without momentum.

    Args:
        base: the posterior that is moved: a family, whose network is the encoder, or a specification.
        steps: K.
        step_size: what e begins at.
        longest: what e may be at most.
        tempering: "fixed" for beta_k between a learned beta_0 and 1 on the paper's quadratic, "free" for a learned a_k
            each, "none" for a_k = 1.
        metric: ``Riemannian()`` for momenta and steps that depend on where z is; None for the same everywhere.

    Raises:
        InputError: a base whose draws are no real vectors or have no density.

    Reference: Caterini, Doucet and Sejdinovic, *Hamiltonian variational auto-encoder*, 2018.

    Example:
        >>> from latens import VAE
        >>> X = torch.randn(100, 3, generator=torch.Generator().manual_seed(0)).numpy()
        >>> vae = VAE(latents=2, posterior=Hamiltonian(steps=2), epochs=2, random_state=0).fit(X)
        >>> vae.model_.posterior.step.shape, vae.score_samples(X, k=4).shape
        (torch.Size([2]), (100,))
    """

    base: Family | Spec = Normal("element")
    steps: int = 3
    step_size: float = 0.05
    longest: float = 0.5
    tempering: str = "fixed"
    metric: Riemannian | None = None

    def __post_init__(self) -> None:
        check_positive("steps", self.steps, integer=True)
        check_positive("step_size", self.step_size)
        check_positive("longest", self.longest)
        check_choice("tempering", self.tempering, TEMPERINGS)
        if not isinstance(self.metric, Riemannian) and self.metric is not None:
            raise InputError(f"Hamiltonian expects Riemannian() or None as metric; got {self.metric!r}.")
        if self.step_size >= self.longest:
            raise InputError(f"Hamiltonian expects step_size < longest; got {self.step_size:g} and {self.longest:g}.")

    def build(self, site: Site) -> HamiltonianPosterior:
        """On the posterior that stands at ``site``, towards the likelihood and the prior there."""
        if not {"posterior", "likelihood", "prior"} <= site.modules.keys():
            raise InputError(f"{self} stands as the posterior of a VAE, whose likelihood and prior it needs.")
        base: ConditionalDistribution = site.modules["posterior"]  # type: ignore[assignment]
        likelihood: NetworkDistribution = site.modules["likelihood"]  # type: ignore[assignment]
        metric = None if self.metric is None else self.metric.build(site)
        return HamiltonianPosterior(base, likelihood, site.modules["prior"], site, self, metric)
