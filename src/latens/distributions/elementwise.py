"""Events whose elements are independent given their parameters."""

from __future__ import annotations

import torch
from torch import Size, Tensor
from torch.distributions import Distribution as Element
from torch.distributions import kl_divergence

from latens.distributions.base import Distribution, Shape


class Elementwise(Distribution):
    """p(x) = prod_i p_i(x_i): one of torch's univariate distributions for each element of the event.

    Args:
        element: a univariate distribution with batch shape ``(*batch, *event)``; made with ``validate_args=False``.
        event_dims: how many of its last axes form the event.
        observed: which entries count, boolean, broadcastable to ``(*batch, *event)``; None for all.

    Example:
        >>> p = Elementwise(torch.distributions.Gumbel(torch.zeros(5, 3), 1.0, validate_args=False), event_dims=1)
        >>> p.batch_shape, p.event_shape, p.log_prob(torch.zeros(5, 3))[0].item()
        (torch.Size([5]), torch.Size([3]), -3.0)
    """

    def __init__(self, element: Element, event_dims: int, observed: Tensor | None = None) -> None:
        shape = element.batch_shape
        cut = len(shape) - event_dims
        self.element, self.observed = element, observed
        self.batch_shape, self.event_shape = Size(shape[:cut]), Size(shape[cut:])

    @property
    def reparameterised(self) -> bool:  # type: ignore[override]
        """Whether ``rsample`` carries gradients to the parameters."""
        return self.element.has_rsample

    def factors(self, x: Tensor) -> Tensor:
        """log p(x_i) in nats, ``(*sample, *batch, *event)``; 0 where x_i is not observed, whatever stands there."""
        if self.observed is None:
            return self.element.log_prob(x)
        x = torch.where(self.observed, x, getattr(self.element, "filler", 0.0))
        return self.element.log_prob(x) * self.observed

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, ``(*sample, *batch)``."""
        return sum_event(self.factors(x), len(self.event_shape))

    def rsample(self, shape: Shape = ()) -> Tensor:
        """A draw ``(*shape, *batch, *event)``, differentiable in the parameters where ``reparameterised``."""
        return self.element.rsample(Size(shape)) if self.element.has_rsample else self.element.sample(Size(shape))

    def restrict(self, observed: Tensor) -> Elementwise:
        """The marginal of the observed entries: the other factors are 0 nats."""
        seen = observed if self.observed is None else observed & self.observed
        return Elementwise(self.element, len(self.event_shape), seen)

    def kl_factors(self, p: Distribution) -> Tensor | None:
        """KL(self || p) per element in nats, ``(*batch, *event)``; None where no closed form is known."""
        if not isinstance(p, Elementwise):
            return None
        try:
            kl = kl_divergence(self.element, p.element)
        except NotImplementedError:
            return None
        return kl if self.observed is None else kl * self.observed

    def entropy(self) -> Tensor:
        """The entropy of each element in nats, ``(*batch, *event)``.

        Raises:
            NotImplementedError: no closed form is known.
        """
        return self.element.entropy()

    @property
    def mean(self) -> Tensor:
        """E[x], ``(*batch, *event)``."""
        return self.element.mean

    @property
    def stddev(self) -> Tensor:
        """The standard deviation of each element, ``(*batch, *event)``."""
        return self.element.stddev


def sum_event(factors: Tensor, event_dims: int) -> Tensor:
    """Sums the last ``event_dims`` axes."""
    return factors.sum(tuple(range(-event_dims, 0))) if event_dims else factors


class Univariate(Element):
    """A univariate element that draws from the library's own noise; its parameters have batch shape ``loc.shape``."""

    arg_constraints = {}  # noqa: RUF012
    has_rsample = False
    filler = 0.0
    """A value in the support, which stands in for what is not observed."""

    def __init__(self, batch_shape: Size) -> None:
        Element.__init__(self, batch_shape, validate_args=False)

    def sample(self, sample_shape: Size | tuple[int, ...] = ()) -> Tensor:  # type: ignore[override]
        """A draw without gradients."""
        with torch.no_grad():
            return self.rsample(sample_shape) if self.has_rsample else self.draw((*sample_shape, *self.batch_shape))

    def draw(self, shape: Shape) -> Tensor:
        """A draw of this full shape, for elements that have no reparameterisation."""
        raise NotImplementedError
