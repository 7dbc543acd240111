"""Vectors whose elements depend on one another: the normal distribution with a full covariance matrix."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Size, Tensor

from latens.distributions import noise
from latens.distributions.base import Distribution, Family, Shape
from latens.distributions.bounds import HALF, tame, within
from latens.distributions.elementwise import Elementwise
from latens.distributions.location_scale import FARTHEST, HALF_LOG_TWO_PI, LOG_SCALE, NormalElement
from latens.utils.errors import InputError

STEEPEST = 30.0
"""How many conditional standard deviations an element may follow another by: correlations up to 0.9994."""
LARGEST = 1e18
"""How many standard deviations away anything is at most: the square is still a number."""


class FullNormal(Distribution):
    """N(x; loc, S C C^T S): S = diag(scale), and C lower triangular with rows of norm 1, the root of the correlations.

    Args:
        loc, log_scale: ``(*batch, D)``.
        root: C, ``(*batch, D, D)``.
        observed: which entries count, broadcastable to ``(*batch, D)``; the others are independent in C, of scale 1.
    """

    reparameterised = True
    scores_draws = True

    def __init__(self, loc: Tensor, log_scale: Tensor, root: Tensor, observed: Tensor | None = None) -> None:
        self.loc, self.log_scale, self.root, self.observed = loc, log_scale, root, observed
        self.batch_shape, self.event_shape = Size(loc.shape[:-1]), Size(loc.shape[-1:])
        self.log_diagonal = root.diagonal(dim1=-2, dim2=-1).log()

    def log_prob(self, x: Tensor) -> Tensor:
        """-|C^-1 S^-1 (x - loc)|^2 / 2 - log det(S C) - D log(2 pi) / 2."""
        apart = x - self.loc if self.observed is None else torch.where(self.observed, x - self.loc, 0.0)
        return self._of_noise(self._solved(apart * (-self.log_scale).exp()))

    def rsample(self, shape: Shape = ()) -> Tensor:
        """loc + S C e."""
        return self.rsample_and_log_prob(shape)[0]

    def rsample_and_log_prob(self, shape: Shape = ()) -> tuple[Tensor, Tensor]:
        """A draw, and its log density from its noise: no system is solved."""
        e = noise.normal((*shape, *self.loc.shape), self.loc)
        with torch.autocast(e.device.type, enabled=False):
            turned = _rows(self.root @ _columns(e, len(self.batch_shape)), e.shape)
        return self.loc + self.log_scale.exp() * turned, self._of_noise(e)

    def _of_noise(self, e: Tensor) -> Tensor:
        volume = (self.log_scale + self.log_diagonal + HALF_LOG_TWO_PI).sum(-1)
        if self.observed is not None:
            e, unseen = e * self.observed, (~self.observed).to(self.loc.dtype).expand_as(self.loc).sum(-1)
            volume = volume - HALF_LOG_TWO_PI * unseen
        return -0.5 * e.square().sum(-1) - volume

    def _solved(self, x: Tensor) -> Tensor:
        """C^-1 x."""
        with torch.autocast(x.device.type, enabled=False):
            columns = _columns(x, len(self.batch_shape))
            solved = torch.linalg.solve_triangular(self.root, columns, upper=False)
        return _rows(within(solved, -LARGEST, LARGEST), x.shape)

    def kl_factors(self, p: Distribution) -> Tensor | None:
        """KL(q(x_i | x_<i) || p(x_i | x_<i)), averaged over q, ``(*batch, D)``: their sum is KL(q || p), nats."""
        normal = Elementwise(NormalElement(self.loc, self.log_scale), 1)
        if isinstance(p, Elementwise):
            apart = normal.kl_factors(p)
            return None if apart is None else apart - self.log_diagonal
        return p.kl_factors_from(self) if isinstance(p, FullNormal) else None

    def kl_factors_from(self, q: Distribution) -> Tensor | None:
        """The terms of KL(q || self), for a normal q."""
        if isinstance(q, Elementwise) and isinstance(q.element, NormalElement) and q.observed is None:
            q = FullNormal(q.element.loc, q.element.log_scale.expand_as(q.element.loc), _eye(q.element.loc))
        if not isinstance(q, FullNormal) or q.observed is not None or self.observed is not None:
            return None
        ratio = q.log_scale - self.log_scale
        rows = torch.linalg.solve_triangular(self.root, ratio.exp().unsqueeze(-1) * q.root, upper=False)
        apart = torch.linalg.solve_triangular(
            self.root, ((q.loc - self.loc) * (-self.log_scale).exp()).unsqueeze(-1), upper=False
        )
        squares = rows.square().sum(-1) + apart.squeeze(-1).square()
        return 0.5 * (squares - 1.0) - (ratio + q.log_diagonal - self.log_diagonal)

    def restrict(self, observed: Tensor) -> FullNormal:
        """The marginal of the observed entries."""
        seen = observed if self.observed is None else observed & self.observed
        pairs = seen.unsqueeze(-1) & seen.unsqueeze(-2)
        eye = torch.eye(self.loc.shape[-1], dtype=self.root.dtype, device=self.root.device)
        root = torch.linalg.cholesky(torch.where(pairs, self.root @ self.root.mT, eye))
        return FullNormal(self.loc, torch.where(seen, self.log_scale, 0.0), root, seen)

    @property
    def mean(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def stddev(self) -> Tensor:
        """scale."""
        return self.log_scale.exp()

    @property
    def covariance(self) -> Tensor:
        """S C C^T S, ``(*batch, D, D)``."""
        factor = self.log_scale.exp().unsqueeze(-1) * self.root
        return factor @ factor.mT


def _eye(loc: Tensor) -> Tensor:
    return torch.eye(loc.shape[-1], dtype=loc.dtype, device=loc.device).expand(*loc.shape, loc.shape[-1])


def _columns(x: Tensor, batch_dims: int) -> Tensor:
    """``(*sample, *batch, D) -> (*batch, D, S)``: all draws of one matrix side by side."""
    return x.reshape(-1, *x.shape[x.ndim - batch_dims - 1 :]).movedim(0, -1)


def _rows(columns: Tensor, shape: Shape) -> Tensor:
    return columns.movedim(-1, 0).reshape(shape)


@dataclass(frozen=True, repr=False)
class MultivariateNormal(Family):
    """N(x; loc, covariance): a location, a scale for each element, and how each follows those before it.

    The root of the correlation matrix has rows (n_i1, .., n_i(i-1), 1) / norm, so that an element keeps its scale
    whatever its correlations, and zeros are the standard normal. KL(q || p) to a normal of either kind is in closed
    form, and falls apart by the chain rule into what each dimension costs once those before it are known.

    Example:
        >>> q = MultivariateNormal()(torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0]), (2,))
        >>> q.covariance
        tensor([[1.0000, 0.6954],
                [0.6954, 1.0000]])
    """

    def param_shape(self, event_shape: Shape) -> Shape:
        """D locations, D scales (exp(r), or 1 + r above 0), D (D - 1) / 2 numbers of correlation."""
        if len(event_shape) != 1:
            raise InputError(f"MultivariateNormal describes vectors; got events {tuple(event_shape)}. Use Normal().")
        size = event_shape[0]
        return (2 * size + size * (size - 1) // 2,)

    def __call__(
        self, params: Tensor, event_shape: Shape, shared: Tensor | None = None, offset: Tensor | None = None
    ) -> FullNormal:
        """The distribution with these parameters."""
        params = params.float() if params.dtype in HALF else params
        size = event_shape[0]
        loc, scale, follows = params.split([size, size, params.shape[-1] - 2 * size], -1)
        loc = within(loc if offset is None else loc + offset, -FARTHEST, FARTHEST)
        return FullNormal(loc, tame(scale, *LOG_SCALE), _root(follows, size))


def _root(follows: Tensor, size: int) -> Tensor:
    """C: the numbers below the diagonal, softly bounded, 1 on it, and rows brought to norm 1."""
    follows = within(follows, -FARTHEST, FARTHEST)
    below = follows / (1 + follows.abs() / STEEPEST)
    row, column = torch.tril_indices(size, size, -1, device=follows.device)
    flat = follows.new_zeros(*follows.shape[:-1], size * size).index_copy(-1, row * size + column, below)
    rows = flat.unflatten(-1, (size, size)) + torch.eye(size, dtype=follows.dtype, device=follows.device)
    return rows / torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
