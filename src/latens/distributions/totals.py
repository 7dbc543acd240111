"""Counts of an event whose total is given and not modelled: the multinomial, and rates that grow with a row's exposure.

What is told apart is how a total is shared out, p = softmax(logits) over the event. The total N is that of the event
itself, so densities here are conditional ones, and where entries are missing it is the total of the observed ones and
p is renormalised over them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Size, Tensor

from latens.distributions.base import Distribution, Family, Shape
from latens.distributions.bounds import bounded, parameters
from latens.distributions.elementwise import Univariate, sum_event

QUANTILES = 1024
"""How many totals of a first batch are kept to draw from."""
STEEPEST = 100.0
"""Log proportions differ by no more than twice this."""


class GivenTotal(Distribution):
    """p(x | N), N the sum of x: a distribution of how a total is shared out in proportions softmax(logits).

    Args:
        logits: ``(*batch, *event)``.
        event_dims: how many of its last axes form the event.

    Attributes:
        total: N, ``(*batch)``, once it is known; draws and means are of it.
        totals: those of some events ``(n,)``, of which draws take one each where no total is known.
    """

    def __init__(self, logits: Tensor, event_dims: int) -> None:
        cut = logits.ndim - event_dims
        self.logits = bounded(logits, -STEEPEST, STEEPEST)
        self.batch_shape, self.event_shape = Size(logits.shape[:cut]), Size(logits.shape[cut:])
        self.observed: Tensor | None = None
        self.total: Tensor | None = None
        self.totals: Tensor | None = None

    @property
    def log_proportions(self) -> Tensor:
        """log p of each element in double precision, ``(*batch, *event)``; those of observed elements sum to 1."""
        flat = self.logits.double().flatten(-len(self.event_shape))
        if self.observed is None:
            return flat.log_softmax(-1).reshape(self.logits.shape)
        hidden = ~self.observed.flatten(-len(self.event_shape))
        whole = flat.masked_fill(hidden, -3.0 * STEEPEST).logsumexp(-1, keepdim=True)
        return (flat - whole).reshape(*whole.shape[:-1], *self.event_shape)

    def sharing(self, x: Tensor, observed: Tensor | None = None) -> Self:
        """The same for events of the total of x, ``(*batch, *event)``, or of what is observed of it."""
        made = self if observed is None else self.restrict(observed)
        return made.of_total(sum_event(made.seen(x), len(self.event_shape)))

    def of_total(self, total: Tensor) -> Self:
        """The same for events of this total, ``(*batch)``."""
        made = self._copy()
        made.total = total
        return made

    def drawing(self, totals: Tensor) -> Self:
        """The same, whose draws take one of these totals each."""
        made = self._copy()
        made.totals = totals
        return made

    def restrict(self, observed: Tensor) -> Self:
        """That of the observed entries given their own total."""
        made = self._copy()
        made.observed = observed if self.observed is None else observed & self.observed
        return made

    def seen(self, x: Tensor) -> Tensor:
        """x in double precision, 0 where it is not observed."""
        return (x if self.observed is None else x.masked_fill(~self.observed, 0.0)).double()

    @abstractmethod
    def share_out(self, total: Tensor) -> Tensor:
        """Draws of these totals, ``(*shape, *batch) -> (*shape, *batch, *event)``."""

    def rsample(self, shape: Shape = ()) -> Tensor:
        """Draws ``(*shape, *batch, *event)`` of the given total, or of one of the known ones each."""
        full = (*shape, *self.batch_shape)
        if self.total is not None:
            return self.share_out(self.total.expand(full))
        if self.totals is None:
            raise ValueError(f"{type(self).__name__} draws events of a given total; call sharing(x) or of_total(n).")
        return self.share_out(self.totals[torch.randint(len(self.totals), full, device=self.totals.device)])

    @property
    def mean(self) -> Tensor:
        """E[x | N], ``(*batch, *event)``; at the mean of the known totals where none is given."""
        if self.total is None and self.totals is None:
            raise ValueError(f"{type(self).__name__} has the mean of a given total; call sharing(x) or of_total(n).")
        total = self.totals.double().mean() if self.total is None else self.total  # type: ignore[union-attr]
        return self.expected(self.beside(total)).to(self.logits.dtype)

    @abstractmethod
    def expected(self, total: Tensor) -> Tensor:
        """E[x | N] of totals with as many axes as an event beside them."""

    def beside(self, total: Tensor) -> Tensor:
        """A total with as many axes as an event beside it."""
        return total.reshape(*total.shape, *[1] * len(self.event_shape))

    def _copy(self) -> Self:
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        return made


class MultinomialCounts(GivenTotal):
    """P(x | N) = N! / prod x_i! prod p_i^x_i."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Its logarithm in nats, ``(*sample, *batch)``, its sums in double precision."""
        dims = len(self.event_shape)
        y = self.seen(x)
        orders = log_factorial(sum_event(y, dims)) - sum_event(log_factorial(y), dims)
        return (orders + sum_event(y * self.log_proportions, dims)).to(self.logits.dtype)

    def expected(self, total: Tensor) -> Tensor:
        """N p."""
        return total * self.log_proportions.exp()

    def share_out(self, total: Tensor) -> Tensor:
        """One binomial after the other: x_i of what is left, with p_i of what is left."""
        p = self.log_proportions.exp()
        if self.observed is not None:
            p = p * self.observed
        flat = p.flatten(-len(self.event_shape)).expand(*total.shape, -1)
        rest = flat.flip(-1).cumsum(-1).flip(-1)
        odds = (flat / rest.clamp(min=torch.finfo(rest.dtype).tiny)).clamp(max=1.0)
        left, parts = total.double(), []
        for share in odds.unbind(-1):
            parts.append(torch.binomial(left, share.contiguous()))
            left = left - parts[-1]
        return torch.stack(parts, -1).reshape(*total.shape, *self.event_shape).to(self.logits.dtype)


class Exposed(GivenTotal):
    """prod_i p(x_i), each a count of mean N p_i: a mass of x for the exposure N, which is then taken from x itself.

    Args:
        logits: ``(*batch, *event)``.
        event_dims: how many of its last axes form the event.
        element: the distribution of counts of these log-means ``(*sample, *batch, *event)``.
    """

    def __init__(self, logits: Tensor, event_dims: int, element: Callable[[Tensor], Univariate]) -> None:
        super().__init__(logits, event_dims)
        self.element = element

    def factors(self, x: Tensor) -> Tensor:
        """log p(x_i) in nats, ``(*sample, *batch, *event)``; 0 where x_i is not observed, or nothing was counted."""
        y = self.seen(x)
        total = self.beside(sum_event(y, len(self.event_shape)))
        told = self._of(total).log_prob(y) * (total > 0)
        return (told if self.observed is None else told * self.observed).to(self.logits.dtype)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats for the exposure that is the total of x, ``(*sample, *batch)``."""
        return sum_event(self.factors(x), len(self.event_shape))

    def share_out(self, total: Tensor) -> Tensor:
        """Counts whose own totals scatter around these."""
        total = self.beside(total)
        return (self._of(total).sample() * (total > 0)).to(self.logits.dtype)

    def expected(self, total: Tensor) -> Tensor:
        """The means of the elements."""
        return self._of(total).mean * (total > 0)

    def _of(self, total: Tensor) -> Univariate:
        """The elements for these exposures, ``(*sample, *batch, 1 ...)``."""
        return self.element(total.double().clamp(min=1e-3).log() + self.log_proportions)


@dataclass(frozen=True, repr=False)
class Multinomial(Family):
    """P(x | N) = N! / prod x_i! prod p_i^x_i, p = softmax(network + offset) over the event, N the sum of x.

    What is learned is how a total is shared out, over the words of a document or the genes of a cell, and not how large
    totals are: scores are log p(x | its total), draws take totals of the data.

    Reference:
        Miao, Yu, Blunsom, "Neural variational inference for text processing" (2016).

    Example:
        >>> p = Multinomial()(torch.zeros(3), (3,))
        >>> p.log_prob(torch.tensor([2.0, 0.0, 0.0])).exp().item()  # both of two in the first of three: 1/9
        0.1111...
    """

    measure = "counting"
    support = "counts"
    given = "total"

    def param_shape(self, event_shape: Shape) -> Shape:
        """A logit for each element."""
        return event_shape

    def centre(self, batch: Tensor) -> Tensor:
        """The log of the share of each element, counted with half an event more."""
        return log_means(batch)

    def totals(self, batch: Tensor) -> Tensor:
        """Quantiles of the totals of a first batch."""
        return totals_of(batch)

    def __call__(
        self, params: Tensor, event_shape: Shape, shared: Tensor | None = None, offset: Tensor | None = None
    ) -> MultinomialCounts:
        """The distribution with these logits."""
        (logits,) = parameters(params, 1, event_shape)
        return MultinomialCounts(logits if offset is None else logits + offset, len(event_shape))


def log_factorial(x: Tensor) -> Tensor:
    """log x! of counts in double precision, without gradient.

    On a processor only of those above 1: most counts are zeros, and the log-gamma function would be most of a step.

    >>> log_factorial(torch.tensor([0.0, 1.0, 4.0])).exp().round(decimals=6)
    tensor([ 1.,  1., 24.], dtype=torch.float64)
    """
    x = x.detach().double()
    if x.device.type != "cpu":
        return torch.lgamma(x + 1.0)
    many = x > 1.0
    return torch.zeros_like(x).masked_scatter_(many, torch.lgamma(x.masked_select(many) + 1.0))


def log_means(batch: Tensor) -> Tensor:
    """log of the mean of each element, counted with half an event more, ``(B, *event) -> (*event)``."""
    return ((batch.sum(0) + 0.5) / (len(batch) + 0.5)).log()


def totals_of(batch: Tensor) -> Tensor:
    """Order statistics of the totals of events ``(B, *event)``, evenly spaced: a draw of them is one of a total.

    >>> totals_of(torch.tensor([[1.0, 2.0], [0.0, 1.0]])).unique()
    tensor([1., 3.])
    """
    ordered = batch.flatten(1).sum(1).sort().values
    return ordered[torch.linspace(0, len(ordered) - 1, QUANTILES).round().long()]
