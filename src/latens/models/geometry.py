r"""What the momentum of Hamiltonian dynamics is measured by: the same everywhere, or a metric that follows the data.

With the metric G(z) the momentum has the density N(0, G(z)), and the energy is

.. math:: H(z, \rho) = -\log p(x, z) + \tfrac12 \rho^T G^{-1}(z) \rho - \tfrac12 \log\det G^{-1}(z).

A step of its leapfrog is implicit where the metric depends on z: two equations are solved by repetition. At their
solution the volume stays, |det J| = 1, whatever the step size of each dimension: the halves of a step change it by
det(I + E A) and by 1 / det(I + E A^T), which is the same number.

Reference: Girolami and Calderhead, *Riemann manifold Langevin and Hamiltonian Monte Carlo methods*, 2011.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latens.distributions.bounds import bounded
from latens.models.priors import rows_of, spread_over
from latens.nn import Site, Spec
from latens.utils.errors import InputError
from latens.utils.validation import check_positive

Force = Callable[[Tensor], Tensor]
STRONGEST = 1000.0
"""A force is at most so large in each dimension: steps too long for a posterior then end somewhere, and at no NaN."""
FARTHEST = 80.0
"""Squared distances count up to so much: what is smaller than exp(-80) would be a subnormal number."""
LARGEST = 10.0
"""Of the numbers of a root."""


def held(force: Tensor) -> Tensor:
    """A force within bounds."""
    return force.nan_to_num(0.0, STRONGEST, -STRONGEST).clamp(-STRONGEST, STRONGEST)


class Geometry(ABC):
    """How momenta are drawn, and how they move a point."""

    @abstractmethod
    def momentum(self, z: Tensor, kick: Tensor) -> Tensor:
        """The momentum at z of a standard normal ``kick``."""

    @abstractmethod
    def log_density(self, z: Tensor, rho: Tensor) -> Tensor:
        """log N(rho; 0, G(z)), up to a constant, ``(*lead)``."""

    @abstractmethod
    def step(self, z: Tensor, rho: Tensor, pull: Tensor, size: Tensor, force: Force) -> tuple[Tensor, ...]:
        """z, the momentum and the force after a leapfrog step, and how far its equations are from being solved.

        Args:
            z, rho: where it begins.
            pull: the force at z.
            size: of the step in each dimension.
            force: d log p(x, z) / dz.
        """


class Flat(Geometry):
    """G = I: three shears, and nothing to solve."""

    def momentum(self, z: Tensor, kick: Tensor) -> Tensor:
        return kick

    def log_density(self, z: Tensor, rho: Tensor) -> Tensor:
        return -0.5 * rho.square().sum(-1)

    def step(self, z: Tensor, rho: Tensor, pull: Tensor, size: Tensor, force: Force) -> tuple[Tensor, ...]:
        rho = rho + 0.5 * size * pull
        z = z + size * rho
        pull = force(z)
        return z, rho + 0.5 * size * pull, pull, z.new_zeros(z.shape[:-1])


class Curved(Geometry):
    """G^-1(z) = sum_i R_i R_i^T exp(-|z - c_i|^2 / T^2) + l I.

    Args:
        centres: c_i, ``(k, L)``.
        roots: R_i, ``(k, L, L)``.
        reach: T.
        floor: l.
        repeats: how often an equation is repeated.
    """

    def __init__(self, centres: Tensor, roots: Tensor, reach: float, floor: float, repeats: int) -> None:
        self.centres, self.reach, self.floor, self.repeats = centres, reach, floor, repeats
        self.parts = (roots @ roots.mT).flatten(1)

    def weights(self, z: Tensor) -> Tensor:
        """exp(-|z - c_i|^2 / T^2), ``(*lead, k)``."""
        far = (z.unsqueeze(-2) - self.centres).square().sum(-1) / self.reach**2
        return far.clamp(max=FARTHEST).neg().exp()

    def inverse(self, z: Tensor) -> Tensor:
        """G^-1(z), ``(*lead, L, L)``."""
        size = z.shape[-1]
        summed = F.linear(self.weights(z), self.parts.T).unflatten(-1, (size, size))
        return summed + self.floor * torch.eye(size, dtype=z.dtype, device=z.device)

    def factor(self, z: Tensor) -> Tensor:
        """The lower triangular F of G^-1 = F F^T."""
        return torch.linalg.cholesky_ex(self.inverse(z)).L

    def momentum(self, z: Tensor, kick: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(self.factor(z).mT, kick.unsqueeze(-1), upper=True).squeeze(-1)

    def log_density(self, z: Tensor, rho: Tensor) -> Tensor:
        factor = self.factor(z)
        kick = (factor * rho.unsqueeze(-1)).sum(-2)
        return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1) - 0.5 * kick.square().sum(-1)

    def velocity(self, z: Tensor, rho: Tensor) -> Tensor:
        """G^-1(z) rho = dH / d rho."""
        return (self.inverse(z) * rho.unsqueeze(-2)).sum(-1)

    def slope(self, z: Tensor) -> Force:
        """From rho to the derivative in z of -log N(rho; 0, G(z))."""
        weight = self.weights(z)
        inside = F.linear(torch.cholesky_inverse(self.factor(z)).flatten(-2), self.parts)

        def at(rho: Tensor) -> Tensor:
            squared = F.linear((rho.unsqueeze(-1) * rho.unsqueeze(-2)).flatten(-2), self.parts)
            share = weight * (inside - squared) / self.reach**2
            return held(z * share.sum(-1, keepdim=True) - F.linear(share, self.centres.T))

        return at

    def step(self, z: Tensor, rho: Tensor, pull: Tensor, size: Tensor, force: Force) -> tuple[Tensor, ...]:
        half, slope = 0.5 * size, self.slope(z)
        begun = rho + half * pull
        rho, first = self._solved(lambda r: begun - half * slope(r), begun)
        left = z + half * self.velocity(z, rho)
        z, second = self._solved(lambda y: left + half * self.velocity(y, rho), left + half * self.velocity(z, rho))
        pull = force(z)
        return z, rho + half * (pull - self.slope(z)(rho)), pull, first + second

    def _solved(self, f: Force, x: Tensor) -> tuple[Tensor, Tensor]:
        """x = f(x) by repetition, and how far the last one still moved it."""
        last = x
        for _ in range(self.repeats):
            last, x = x, f(x)
        return x, (x - last).abs().amax(-1)


class ExemplarMetric(nn.Module):
    """The module of :class:`Riemannian`: exemplars x_i, whose posterior means are the centres, and their roots R_i.

    Args:
        rows: the exemplars.
        given: their conditions, or None.
        centres: the posterior means at first, ``(k, L)``.
        spec: reach, floor and repeats.
    """

    exemplars: Tensor
    given: Tensor | None

    def __init__(self, rows: Tensor, given: Tensor | None, centres: Tensor, spec: Riemannian) -> None:
        super().__init__()
        self.spec = spec
        self.register_buffer("exemplars", rows)
        self.register_buffer("given", given)
        k, size = centres.shape
        begin = self._at(centres, torch.zeros(k, size, size)).weights(centres).sum(-1).mean().rsqrt()
        self.roots = nn.Parameter(begin * torch.eye(size).expand(k, size, size).clone())

    def forward(self, posterior: nn.Module) -> Curved:
        """The metric, given the posterior that places the exemplars."""
        centres = posterior(self.exemplars, context=self.given).location
        return self._at(centres, bounded(self.roots, -LARGEST, LARGEST).tril())

    def _at(self, centres: Tensor, roots: Tensor) -> Curved:
        reach = centres.shape[-1] ** 0.5 if self.spec.reach is None else self.spec.reach
        return Curved(centres, roots, reach, self.spec.floor, self.spec.repeats)


@dataclass(frozen=True, repr=False)
class Riemannian(Spec):
    """G^-1(z) = sum_i R_i R_i^T exp(-|z - c_i|^2 / T^2) + l I: steps are long where data are, and short elsewhere.

    The centres c_i are the posterior means of k exemplars, rows of the first batch evenly spread over it; their roots
    R_i are lower triangular and learned. It begins as about the identity where the exemplars are. In the paper all rows
    of a batch are centres while it trains and all data afterwards, and R_i is a network of x_i: here the metric is a
    function of z alone, the same in training and after it, and a network of fixed rows is a table.

    Args:
        k: how many exemplars. A step encodes them beside its own rows.
        reach: T; the root of the number of latents if None, which in the plane is about the paper's.
        floor: l, of G^-1 far from all exemplars.
        repeats: how often each of the two equations of a step is repeated; 3 in the paper. A draw whose equations are
            not solved then counts for less.

    Raises:
        InputError: a condition that few rows tell.

    Reference: Chadebec, Mantoux and Allassonniere, *Geometry-aware Hamiltonian variational auto-encoder*, 2020.

    Example:
        >>> from latens import VAE
        >>> from latens.models import Hamiltonian, Riemannian
        >>> X = torch.randn(100, 3, generator=torch.Generator().manual_seed(0)).numpy()
        >>> posterior = Hamiltonian(steps=2, metric=Riemannian(10))
        >>> vae = VAE(latents=2, posterior=posterior, epochs=2, random_state=0).fit(X)
        >>> vae.model_.posterior.metric.roots.shape, vae.score_samples(X, k=4).shape
        (torch.Size([10, 2, 2]), (100,))
    """

    k: int = 50
    reach: float | None = None
    floor: float = 0.01
    repeats: int = 6

    def __post_init__(self) -> None:
        check_positive("k", self.k, integer=True)
        if self.reach is not None:
            check_positive("reach", self.reach)
        check_positive("floor", self.floor)
        check_positive("repeats", self.repeats, integer=True)

    @torch.no_grad()
    def build(self, site: Site) -> ExemplarMetric:
        """Exemplars from the rows of ``site.batch``, for the posterior that stands there."""
        posterior, batch, beside = rows_of(self, site)
        rows, given = spread_over(batch, self.k), spread_over(beside, self.k)
        training = posterior.training
        centres = posterior.eval()(rows, context=given).location
        posterior.train(training)
        if centres.shape[0] != self.k:
            raise InputError(f"{self} expects a posterior that looks at x; got one that is the same for all rows.")
        return ExemplarMetric(rows, given, centres, self)
