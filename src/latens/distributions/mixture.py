"""Mixtures of any family, with weights of their own for each element or for each event; of many normals at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Size, Tensor

from latens.distributions import noise
from latens.distributions.base import Distribution, Family, Shape
from latens.distributions.bounds import HALF, inward
from latens.distributions.elementwise import Elementwise, sum_event
from latens.distributions.location_scale import HALF_LOG_TWO_PI, NormalElement
from latens.utils.errors import InputError

LARGEST = 1e4
FARTHEST = 1e38
"""Squared distances, in scales, at most: twice what single precision can tell as a log density."""
LOG2_E = 1.0 / math.log(2.0)
APART = 0.7
"""How far apart components begin: as far as each is wide, so that all of them find something to describe."""


class _LogMix(torch.autograd.Function):
    """log sum_k exp(logits_k + terms_k) / sum_k exp(logits_k) along an axis.

    Its derivatives are softmaxes; out of bounds those of the bounded logits, where they lead back in.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, terms: Tensor, axis: int) -> Tensor:
        ctx.save_for_backward(logits, terms)
        ctx.axis = axis
        logits = logits.clamp(-LARGEST, LARGEST)
        return (_log_sum(logits + terms, axis) - _log_sum(logits, axis)).squeeze(axis)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        logits, terms = ctx.saved_tensors
        bounded = logits.clamp(-LARGEST, LARGEST)
        grad = grad.unsqueeze(ctx.axis)
        to_terms = (bounded + terms).softmax(ctx.axis) * grad
        to_logits = to_terms - bounded.softmax(ctx.axis) * grad
        to_logits = inward(to_logits.sum_to_size(logits.shape), logits, -LARGEST, LARGEST)
        return to_logits, to_terms.sum_to_size(terms.shape), None


def _log_sum(x: Tensor, axis: int) -> Tensor:
    """log sum exp, by powers of 2: on a CPU, exp is many times slower where single precision is denormal."""
    top = x.amax(axis, keepdim=True)
    return (x - top).mul_(LOG2_E).exp2_().sum(axis, keepdim=True).log_().add_(top)


class Mixture(Distribution):
    """p(x) = sum_k w_k p_k(x), for each element or for the event as a whole.

    Args:
        logits: ``(*batch, k, *event)`` for weights per element, ``(*batch, k)`` for weights per event.
        components: a distribution with batch shape ``(*batch, k)``.
    """

    def __init__(self, logits: Tensor, components: Distribution, observed: Tensor | None = None) -> None:
        self.logits, self.components, self.observed = logits, components, observed
        self.batch_shape, self.event_shape = Size(components.batch_shape[:-1]), components.event_shape
        self.dims, self.space = len(self.event_shape), components.space
        self.per_element = logits.ndim > len(components.batch_shape)
        self.axis = -self.dims - 1

    def factors(self, x: Tensor) -> Tensor:
        """log p(x_i) in nats, ``(*sample, *batch, *event)``, for weights per element."""
        if not self.per_element:
            return super().factors(x)
        terms = self.components.factors(x.unsqueeze(self.axis))
        mixed = _LogMix.apply(self.logits, terms, self.axis)
        return mixed if self.observed is None else mixed * self.observed

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, ``(*sample, *batch)``."""
        if self.per_element:
            return sum_event(self.factors(x), self.dims)
        return _LogMix.apply(self.logits, self.components.log_prob(x.unsqueeze(self.axis)), -1)

    def rsample(self, shape: Shape = ()) -> Tensor:
        """A draw without gradients, ``(*shape, *batch, *event)``."""
        with torch.no_grad():
            ends = self.weights.cumsum(self.axis).narrow(self.axis, 0, self.weights.shape[self.axis] - 1)
            u = noise.uniform((*shape, *self.weights.select(self.axis, 0).shape), self.logits)
            index = (ends <= u.unsqueeze(self.axis)).sum(self.axis, keepdim=True)
            x = self.components.rsample(shape)
            return x.gather(self.axis, index.expand(*x.shape[: self.axis], 1, *self.event_shape)).squeeze(self.axis)

    def restrict(self, observed: Tensor) -> Mixture:
        """The marginal of the observed entries."""
        seen = observed if self.observed is None else observed & self.observed
        wide = observed.unsqueeze(self.axis) if observed.ndim > self.dims else observed
        return Mixture(self.logits, self.components.restrict(wide), seen)

    @property
    def weights(self) -> Tensor:
        """w_k, broadcastable to ``(*batch, k, *event)``."""
        logits = self.logits if self.per_element else self.logits.reshape(*self.logits.shape, *[1] * self.dims)
        return logits.clamp(-LARGEST, LARGEST).softmax(self.axis)

    @property
    def mean(self) -> Tensor:
        """E[x], ``(*batch, *event)``."""
        return (self.weights * self.components.mean).sum(self.axis)

    @property
    def stddev(self) -> Tensor:
        """The spread within the components and between them, ``(*batch, *event)``."""
        within, apart = self.components.stddev, self.components.mean - self.mean.unsqueeze(self.axis)
        return (self.weights * (within.square() + apart.square())).sum(self.axis).sqrt()


class NormalMixture(Mixture):
    """p(x) = sum_k w_k N(x; loc_k, scale_k^2), the scales diagonal: every component at once, by matrix products.

    Args:
        logits: ``(*batch, k)``: each of a batch may weigh the components in its own way.
        components: normal elements with batch shape ``(k,)``.
    """

    components: Elementwise

    def __init__(self, logits: Tensor, components: Elementwise, observed: Tensor | None = None) -> None:
        super().__init__(logits, components, observed)
        self.batch_shape, self.per_element = Size(logits.shape[:-1]), False

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, ``(*sample, *batch)``."""
        loc, log_scale = (t.flatten(1) for t in self._numbers)
        return _LogMix.apply(self.logits, log_normals(x.flatten(x.ndim - self.dims), loc, log_scale), -1)

    @property
    def _numbers(self) -> tuple[Tensor, Tensor]:
        """Locations and log-scales, ``(k, *event)``."""
        element: Any = self.components.element
        return element.loc, element.log_scale.expand_as(element.loc)

    def rsample(self, shape: Shape = ()) -> Tensor:
        """A draw without gradients, ``(*shape, *batch, *event)``: the component first, then the event."""
        with torch.no_grad():
            ends = self.logits.clamp(-LARGEST, LARGEST).softmax(-1).cumsum(-1)[..., :-1]
            u = noise.uniform((*shape, *self.batch_shape), self.logits)
            index = (ends <= u.unsqueeze(-1)).sum(-1)
            loc, log_scale = (t[index] for t in self._numbers)
            return loc.addcmul(log_scale.exp(), noise.normal(loc.shape, loc))

    def restrict(self, observed: Tensor) -> Mixture:
        """The marginal of the observed entries."""
        return Mixture(self.logits, self.components).restrict(observed)


def log_normals(x: Tensor, loc: Tensor, log_scale: Tensor) -> Tensor:
    r"""log N(x; loc_k, diag(scale_k)^2) of every component, ``(*, D) -> (*, k)`` nats.

    $-\frac12 \left(x^2 \cdot s_k^{-2} - 2 x \cdot m_k s_k^{-2} + |m_k / s_k|^2\right)$ + const: two matrix products in
    double precision, in which the terms that cancel leave enough digits, around the mean of the locations; memory is
    that of the result, not D times it.

    Args:
        x: ``(*, D)``.
        loc, log_scale: ``(k, D)``.

    Example:
        >>> x, loc = torch.zeros(5, 3), torch.ones(2, 3)
        >>> log_normals(x, loc, torch.zeros(2, 3))[0]  # -3/2 (1 + log(2 pi))
        tensor([-4.2568, -4.2568])
    """
    centre = loc.detach().double().mean(0)
    at, m, rate = x.double() - centre, loc.double() - centre, (-2.0 * log_scale.double()).exp()
    rates = m * rate
    squares = at.square() @ rate.mT - 2.0 * (at @ rates.mT) + (rates * m).sum(-1)
    volume = (log_scale.double() + HALF_LOG_TWO_PI).sum(-1)
    return (squares.clamp(0.0, FARTHEST) * -0.5 - volume).to(x.dtype)


def mixture(logits: Tensor, components: Distribution) -> Mixture:
    """The mixture of the components along the last batch axis: of many normals at once where that is what they are."""
    normal = type(components) is Elementwise and type(components.element) is NormalElement
    if normal and logits.ndim == len(components.batch_shape) == 1:
        return NormalMixture(logits, components)  # type: ignore[arg-type]
    return Mixture(logits, components)


@dataclass(frozen=True, repr=False)
class MixtureOf(Family):
    """p(x) = sum_k w_k p_k(x), each p_k of the given family.

    Args:
        family: any family whose scale is not "optimal".
        k: how many components.
        over: "element" (each element has its own weights and mixes alone) or "event" (one set of weights, and the
            component is drawn for all elements together).

    Example:
        >>> import torch
        >>> from latens.distributions import DiscretizedLogistic
        >>> family = MixtureOf(DiscretizedLogistic(256), 4)
        >>> family.param_shape((1, 28, 28))  # 4 weights, locations and log-scales
        (12, 28, 28)
        >>> family(torch.zeros(5, 12, 28, 28), (1, 28, 28)).log_prob(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5])
    """

    family: Family
    k: int
    over: str = "element"

    def __post_init__(self) -> None:
        if self.k < 1:
            raise InputError(f"MixtureOf expects at least 1 component; got {self.k}.")
        if self.over not in ("element", "event"):
            raise InputError(f"MixtureOf expects over 'element' or 'event'; got {self.over!r}.")
        if self.family.calibrated:
            raise InputError(f"MixtureOf expects a scale of 'shared' or 'element', or a number; got {self.family}.")
        if self.family.given:
            raise InputError(
                f"MixtureOf expects a family that models all of an event; of {self.family} its total is given."
            )
        if self.family.autoregressive:
            raise InputError(f"MixtureOf expects a family whose elements are independent; got {self.family}.")
        if isinstance(self.family, MixtureOf) and self.family.shared_shape((1,)) is not None:
            raise InputError(f"MixtureOf expects a mixture inside it to share nothing; got {self.family}.")

    @property
    def measure(self) -> str:  # type: ignore[override]
        """That of the family."""
        return self.family.measure

    @property
    def support(self) -> str:  # type: ignore[override]
        """That of the family."""
        return self.family.support

    def param_shape(self, event_shape: Shape) -> Shape:
        """The parameters of each component in turn, then the logits of the weights."""
        inner = self.k * self.family.param_shape(event_shape)[0]
        weights = self.k * (event_shape[0] if self.over == "element" else 1)
        return (inner + weights, *event_shape[1:])

    def shared_shape(self, event_shape: Shape) -> Shape | None:
        """Those of each component."""
        inner = self.family.shared_shape(event_shape)
        return None if inner is None else (self.k, *inner)

    def start(self, event_shape: Shape, apart: float = APART) -> Tensor:
        """Components apart, weights equal: those that begin alike would stay alike."""
        components = [self.family.start(event_shape, apart) for _ in range(self.k)]
        weights = self.param_shape(event_shape)[0] - sum(map(len, components))
        return torch.cat([*components, torch.zeros(weights, *event_shape[1:])])

    def __call__(
        self, params: Tensor, event_shape: Shape, shared: Tensor | None = None, offset: Tensor | None = None
    ) -> Mixture:
        """The mixture with these parameters."""
        dims = len(event_shape)
        params = params.float() if params.dtype in HALF else params
        inner = self.k * self.family.param_shape(event_shape)[0]
        own, logits = params.split((inner, params.shape[-dims] - inner), -dims)
        own = own.unflatten(-dims, (self.k, inner // self.k))
        logits = logits.unflatten(-dims, (self.k, -1))
        if self.over == "event":
            logits = logits.clamp(-LARGEST, LARGEST).flatten(-dims).mean(-1)
        if offset is not None and offset.ndim > dims:
            offset = offset.unsqueeze(-dims - 1)
        return mixture(logits, self.family(own, event_shape, self._of_components(shared, event_shape), offset))

    def _of_components(self, shared: Tensor | None, event_shape: Shape) -> Tensor | None:
        """``(k, *inner)`` with room for the axes of the event that all elements have in common."""
        inner = self.family.shared_shape(event_shape)
        if shared is None or inner is None:
            return None
        return shared.reshape(self.k, *[1] * (len(event_shape) - len(inner)), *inner)
