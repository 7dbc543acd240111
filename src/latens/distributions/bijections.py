"""Bijections of vectors, each with the logarithm of its Jacobian determinant, and the distributions they make.

For z = f(x) and z ~ p(z), the density of x is p(f(x)) |det df/dx|. Every bijection works on the last axis, gives its
value and log |det| in one pass, and inverts exactly. Parameters are tensors, or a function that gives them from other
elements: what makes a normalising flow.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Size, Tensor

from latens.distributions.base import Distribution, Shape


class Bijection(ABC):
    """y = f(x), one to one, over the last axis."""

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """f(x), ``(*, D)``, and log |det df/dx|, ``(*)``."""

    @abstractmethod
    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """x where f(x) = y, and log |det dx/dy|."""


class Monotone(Bijection):
    """y_i = f_i(x_i), each increasing: the Jacobian is diagonal."""

    @abstractmethod
    def apply(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """f_i(x_i) and log df_i/dx_i, both ``(*, D)``."""

    @abstractmethod
    def invert(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """x_i where f_i(x_i) = y_i, and log dx_i/dy_i."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """f(x) and the sum of the log slopes."""
        y, slope = self.apply(x)
        return y, slope.sum(-1)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse and the sum of its log slopes."""
        x, slope = self.invert(y)
        return x, slope.sum(-1)


class Affine(Monotone):
    """y = exp(log_scale) x + shift.

    Args:
        shift, log_scale: broadcastable to x.

    Example:
        >>> Affine(torch.tensor([1.0]), torch.tensor([0.0])).forward(torch.tensor([2.0]))
        (tensor([3.]), tensor(0.))
    """

    def __init__(self, shift: Tensor, log_scale: Tensor) -> None:
        self.shift, self.log_scale = shift, log_scale

    def apply(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """exp(log_scale) x + shift, and log_scale."""
        return x * self.log_scale.exp() + self.shift, self.log_scale.expand_as(x)

    def invert(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """(y - shift) exp(-log_scale), and -log_scale."""
        return (y - self.shift) * (-self.log_scale).exp(), -self.log_scale.expand_as(y)


class Permutation(Bijection):
    """y_i = x_{order_i}.

    >>> Permutation(torch.tensor([2, 0, 1])).forward(torch.tensor([5.0, 6.0, 7.0]))[0]
    tensor([7., 5., 6.])
    """

    def __init__(self, order: Tensor) -> None:
        self.order = order

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The elements in their new order, and 0."""
        return x[..., self.order], x.new_zeros(x.shape[:-1])

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """The elements in their old order, and 0."""
        return y[..., self.order.argsort()], y.new_zeros(y.shape[:-1])


class LowerUpper(Bijection):
    """y = L U x, with L lower triangular of unit diagonal, and the diagonal of U positive: any mixing, up to an order.

    Args:
        weight: ``(D, D)``: L below the diagonal, U above it, log diag(U) on it.

    Reference: Oliva et al., *Transformation autoregressive networks*, 2018.

    Example:
        >>> f = LowerUpper(torch.tensor([[0.0, 1.0], [2.0, 0.0]]))  # L U = [[1, 1], [2, 3]]
        >>> f.forward(torch.tensor([1.0, 1.0]))
        (tensor([2., 5.]), tensor(0.))
    """

    def __init__(self, weight: Tensor) -> None:
        self.log_diagonal = weight.diagonal()
        self.lower = weight.tril(-1) + torch.eye(len(weight), dtype=weight.dtype, device=weight.device)
        self.upper = weight.triu(1) + self.log_diagonal.exp().diag()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """L U x, and the sum of log diag(U)."""
        return x @ (self.lower @ self.upper).mT, self.log_diagonal.sum().expand(x.shape[:-1])

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """By two triangular systems."""
        rows = y.reshape(-1, y.shape[-1]).mT
        half = torch.linalg.solve_triangular(self.lower, rows, upper=False, unitriangular=True)
        x = torch.linalg.solve_triangular(self.upper, half, upper=True).mT
        return x.reshape(y.shape), -self.log_diagonal.sum().expand(y.shape[:-1])


class Autoregressive(Bijection):
    """y_i = f(x_i; parameters from x_1 .. x_{i-1}): the Jacobian is triangular.

    Forward is one pass; the inverse is D passes, one for each element.

    Args:
        network: from x ``(*, D)`` to a monotone bijection whose i-th element depends on the elements before i alone.

    Reference: Papamakarios, Pavlakou and Murray, *Masked autoregressive flow for density estimation*, 2017.
    """

    def __init__(self, network: Callable[[Tensor], Monotone]) -> None:
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """All elements at once."""
        return self.network(x).forward(x)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """One element after the other."""
        x = torch.zeros_like(y)
        for _ in range(y.shape[-1] - 1):
            x = self.network(x).invert(y)[0]
        return self.network(x).inverse(y)


class Coupling(Bijection):
    """y = (x_1 .. x_s, f(x_{s+1} .. x_D; parameters from x_1 .. x_s)): one pass in both directions.

    Args:
        size: s, how many elements pass unchanged.
        network: from these, ``(*, s)``, to a monotone bijection of the others.

    Reference: Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017.
    """

    def __init__(self, size: int, network: Callable[[Tensor], Monotone]) -> None:
        self.size, self.network = size, network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The first part as it is, the second transformed."""
        first, second = x[..., : self.size], x[..., self.size :]
        y, log_det = self.network(first).forward(second)
        return torch.cat([first, y], -1), log_det

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """The first part as it is, the second transformed back."""
        first, second = y[..., : self.size], y[..., self.size :]
        x, log_det = self.network(first).inverse(second)
        return torch.cat([first, x], -1), log_det


class Composed(Bijection):
    """f_n(... f_2(f_1(x))).

    Args:
        parts: f_1, f_2 ... f_n, in the order they are applied.
    """

    def __init__(self, parts: Sequence[Bijection]) -> None:
        self.parts = tuple(parts)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """From the first to the last."""
        total = x.new_zeros(x.shape[:-1])
        for part in self.parts:
            x, log_det = part.forward(x)
            total = total + log_det
        return x, total

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """From the last to the first."""
        total = y.new_zeros(y.shape[:-1])
        for part in reversed(self.parts):
            y, log_det = part.inverse(y)
            total = total + log_det
        return y, total


class Inverse(Bijection):
    """The inverse of a bijection: what was dear in one direction is dear in the other.

    >>> Inverse(Affine(torch.tensor([1.0]), torch.tensor([0.0]))).forward(torch.tensor([3.0]))[0]
    tensor([2.])
    """

    def __init__(self, bijection: Bijection) -> None:
        self.bijection = bijection

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse of the bijection."""
        return self.bijection.inverse(x)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """The bijection itself."""
        return self.bijection.forward(y)


class Transformed(Distribution):
    """p(x) = p_base(f(x)) |det df/dx|: the distribution of x where f(x) follows the base.

    Its mean has no closed form: the ``location`` that stands for it is that of the base, taken back through f. In one
    dimension, and a base whose mean is its median, it is the median.

    Args:
        base: a distribution over vectors ``(D,)``, with batch shape () or ``batch_shape``.
        bijection: f, from x to the base.
        batch_shape: where f is another for each element of a batch.
        event_shape: of x, D numbers in all; that of the base by default.

    Example:
        >>> from latens.distributions import standard_normal
        >>> p = Transformed(standard_normal(torch.zeros(1)), Affine(torch.tensor([1.0]), torch.zeros(1)))
        >>> p.log_prob(torch.tensor([-1.0])).item()  # the standard normal at 0
        -0.9189...
    """

    reparameterised = True
    scores_draws = True

    def __init__(
        self, base: Distribution, bijection: Bijection, batch_shape: Shape = (), event_shape: Shape | None = None
    ) -> None:
        self.base, self.bijection = base, bijection
        self.batch_shape = Size(batch_shape or base.batch_shape)
        self.event_shape = base.event_shape if event_shape is None else Size(event_shape)

    def to_base(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """f(x), ``(*, D)``, and log |det df/dx|, ``(*)``; in full precision, for half of it is no bijection."""
        with torch.autocast(x.device.type, enabled=False):
            return self.bijection.forward(x.flatten(x.ndim - len(self.event_shape)))

    def from_base(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """x where f(x) = z, ``(*, *event)``, and log |det dx/dz|, ``(*)``."""
        with torch.autocast(z.device.type, enabled=False):
            x, log_det = self.bijection.inverse(z)
        return x.reshape(*z.shape[:-1], *self.event_shape), log_det

    def log_prob(self, x: Tensor) -> Tensor:
        """log p_base(f(x)) + log |det df/dx|."""
        rows = np.broadcast_shapes(x.shape[: x.ndim - len(self.event_shape)], self.batch_shape)
        z, log_det = self.to_base(x.expand(*rows, *self.event_shape))
        return self.base.log_prob(z) + log_det

    def rsample(self, shape: Shape = ()) -> Tensor:
        """A draw of the base, taken back through f."""
        return self.from_base(self.base.rsample(self._of_base(shape)))[0]

    def rsample_and_log_prob(self, shape: Shape = ()) -> tuple[Tensor, Tensor]:
        """A draw and its log density, for one pass back through f."""
        z, log_prob = self.base.rsample_and_log_prob(self._of_base(shape))
        x, log_det = self.from_base(z)
        return x, log_prob - log_det

    @property
    def location(self) -> Tensor:
        """That of the base, taken back through f."""
        location = self.base.location
        return self.from_base(location.expand(*self.batch_shape, *location.shape[-1:]))[0]

    def _of_base(self, shape: Shape) -> Shape:
        return shape if len(self.base.batch_shape) else (*shape, *self.batch_shape)
