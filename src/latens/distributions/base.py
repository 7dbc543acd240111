"""The contract of this room: a distribution over tensors, and a family that makes one from unconstrained numbers.

Shapes follow torch: a distribution has a ``batch_shape`` (independent, differently parametrised copies) and an
``event_shape`` (one draw); ``log_prob(x)`` takes ``(*sample, *batch, *event)``, returns ``(*sample, *batch)`` in nats.
Arguments are never validated inside a step: support is checked once, at fit and at score.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Size, Tensor

from latens.utils.value import Value

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Space:
    """Where draws lie, and so what a density is relative to: of two spaces, no two densities can be set side by side.

    Attributes:
        name: in words.
        prior: the usual prior there, as one writes it.
    """

    name: str
    prior: str


REAL = Space("real vectors", "StandardNormal()")


class Distribution(ABC):
    """p(x) over tensors of ``event_shape``, for each element of ``batch_shape``."""

    batch_shape: Size
    event_shape: Size
    reparameterised: bool = False
    """Whether ``rsample`` carries gradients to the parameters."""

    has_density: bool = True
    """Whether ``log_prob`` exists: a point has none."""

    space: Space = REAL
    """Where draws lie."""

    enumerable: bool = False
    """Whether ``enumerate`` gives every value: a draw then goes through all of them."""

    scores_draws: bool = False
    """Whether the log density of a draw comes with it, cheaper than it could be found afterwards."""

    scores_points: bool = True
    """Whether the log density of any other point can be found too."""

    @abstractmethod
    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, ``(*sample, *batch)``."""

    @abstractmethod
    def rsample(self, shape: Shape = ()) -> Tensor:
        """A draw ``(*shape, *batch, *event)``, differentiable in the parameters where ``reparameterised``."""

    def sample(self, shape: Shape = ()) -> Tensor:
        """A draw without gradients, ``(*shape, *batch, *event)``."""
        with torch.no_grad():
            return self.rsample(shape)

    def rsample_and_log_prob(self, shape: Shape = ()) -> tuple[Tensor, Tensor]:
        """A draw and its log density in one pass; the two calls where nothing cheaper is known."""
        x = self.rsample(shape)
        return x, self.log_prob(x)

    def rsample_and_code(self, shape: Shape = ()) -> tuple[Tensor, Tensor | None]:
        """A draw as a decoder reads it, and what densities score where that is another thing (a code); else None."""
        return self.rsample(shape), None

    def embed(self, draw: Tensor) -> Tensor:
        """A draw as a decoder reads it: itself, unless it is a code."""
        return draw

    def enumerate(self) -> Tensor:
        """Every value, first axis the values, ``(C, *batch, *event)``.

        Raises:
            NotImplementedError: there are too many.
        """
        raise NotImplementedError(f"{type(self).__name__} has more values than can be gone through.")

    def factors(self, x: Tensor) -> Tensor:
        """log p(x_i), element by element, ``(*sample, *batch, *event)``.

        Raises:
            NotImplementedError: the distribution does not factorise over the elements of its event.
        """
        raise NotImplementedError(f"{type(self).__name__} does not factorise over the elements of its event.")

    def restrict(self, observed: Tensor) -> Distribution:
        """The marginal of the observed entries: ``observed`` is boolean, broadcastable to ``(*batch, *event)``.

        Raises:
            NotImplementedError: no such marginal is known in closed form.
        """
        raise NotImplementedError(f"{type(self).__name__} has no closed-form marginal of the observed entries.")

    def at(self, progress: float | Tensor) -> Distribution:
        """The distribution that far in training, in [0, 1]: itself, unless it was told to change (a temperature)."""
        return self

    def sharing(self, x: Tensor, observed: Tensor | None = None) -> Distribution:
        """The distribution of events that share what is given of x and not modelled (its total); most model all.

        Args:
            x: ``(*batch, *event)``.
            observed: which entries of x are known, boolean; None for all.
        """
        return self

    @property
    def mean(self) -> Tensor:
        """E[x], ``(*batch, *event)``."""
        raise NotImplementedError(f"{type(self).__name__} has no mean.")

    @property
    def location(self) -> Tensor:
        """The one draw that stands for all, ``(*batch, *event)``: the mean, unless told, or the most probable code."""
        return self.mean

    @property
    def stddev(self) -> Tensor:
        """The standard deviation of each element, ``(*batch, *event)``."""
        raise NotImplementedError(f"{type(self).__name__} has no standard deviation.")


def kl_factors(q: Distribution, p: Distribution) -> Tensor | None:
    """KL(q || p) per element of the event, ``(*batch, *event)`` in nats; None where no closed form is known."""
    of_q, of_p = getattr(q, "kl_factors", None), getattr(p, "kl_factors_from", None)
    found = None if of_q is None else of_q(p)
    return of_p(q) if found is None and of_p is not None else found


def divergence(q: Distribution, p: Distribution) -> Tensor | None:
    """KL(q || p), ``(*batch)`` in nats; None where no closed form is known."""
    factors = kl_factors(q, p)
    if factors is not None:
        return factors.flatten(factors.ndim - len(q.event_shape)).sum(-1)
    closed_form = getattr(q, "divergence", None)
    return None if closed_form is None else closed_form(p)


class Family(Value, ABC):
    """A map from unconstrained real numbers to a distribution. A value: it holds hyper-parameters only.

    Parameters are laid out along the first axis of the event (the channels of an image), so that a convolution can
    emit them: ``param_shape((C, H, W)) == (arity * C, H, W)`` and ``param_shape((D,)) == (arity * D,)``.
    """

    measure = "lebesgue"
    """The base measure of one entry: "lebesgue" (a density) or "counting" (a mass)."""

    support = "real"
    """"real", "unit" ([0, 1]), "open unit", "binary", "counts", "classes" (0, 1, 2 ...), "lattice" (on [-1, 1]),
    "sphere", "ball", "point" (no density), "symbols" (of strings: 1, 2 ..., and 0 from the end on)."""

    calibrated = False
    """Whether the shared parameters are set in closed form by ``calibrate`` instead of learned."""

    given: str = ""
    """What of an event is given and not modelled, so that its density is a conditional one: "total", or nothing."""

    autoregressive: ClassVar[bool] = False
    """Whether elements depend on those before them, so that a row with missing entries has no closed-form density."""

    power: ClassVar[int] = 2
    """Calibrated log-scales of several batches pool as the mean of exp(power * log_scale)."""

    @abstractmethod
    def param_shape(self, event_shape: Shape) -> Shape:
        """The shape of the numbers one event needs."""

    def shared_shape(self, event_shape: Shape) -> Shape | None:
        """The shape of parameters learned once for all events (a shared scale); None where there are none."""
        return None

    def shared_start(self, event_shape: Shape, batch: Tensor | None = None) -> Tensor | None:
        """The shared parameters to begin with: as a first batch suggests, else zeros; None where there are none."""
        shape = self.shared_shape(event_shape)
        found = None if shape is None or batch is None else self.common(batch)
        return found if found is not None or shape is None else torch.zeros(shape)

    @abstractmethod
    def __call__(
        self, params: Tensor, event_shape: Shape, shared: Tensor | None = None, offset: Tensor | None = None
    ) -> Distribution:
        """The distribution with these parameters, ``(*batch, *param_shape) -> batch_shape == batch``."""

    def centre(self, batch: Tensor) -> Tensor | None:
        """The location parameters that a first batch of events ``(B, *event)`` suggests; None where zero will do.

        Given as ``offset``, they let a network begin at the mean of the data instead of having to find it.
        """
        return None

    def common(self, batch: Tensor) -> Tensor | None:
        """The shared parameters that a first batch of events ``(B, *event)`` suggests; None where zero will do."""
        return None

    def totals(self, batch: Tensor) -> Tensor | None:
        """The totals of a first batch of events, from which draws take theirs; None where totals are modelled."""
        return None

    def start(self, event_shape: Shape, apart: float = 0.1) -> Tensor:
        """Parameters to begin with where no network gives them: near zero, ``apart`` from each other."""
        return apart * torch.randn(self.param_shape(event_shape))

    def spread(self, event_shape: Shape) -> float:
        """How large the numbers of an event are, about: other than 1 where its space keeps them small."""
        return 1.0

    def calibrate(self, dist: Any, x: Tensor) -> Tensor | None:
        """The shared parameters that are best for these data in closed form; None where they are learned."""
        return None


def innermost(family: Family) -> Family:
    """The family that another is made of: of a mixture, that of its components; itself where it is made of none."""
    inner = getattr(family, "family", None)
    return innermost(inner) if isinstance(inner, Family) else family


def split(params: Tensor, arity: int, event_shape: Shape) -> tuple[Tensor, ...]:
    """Cuts ``(*batch, arity * C, *rest)`` into ``arity`` tensors ``(*batch, C, *rest)``.

    >>> [t.shape for t in split(torch.zeros(5, 6, 4, 4), 2, (3, 4, 4))]
    [torch.Size([5, 3, 4, 4]), torch.Size([5, 3, 4, 4])]
    """
    return params.chunk(arity, -len(event_shape)) if arity > 1 else (params,)
