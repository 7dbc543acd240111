"""Counts 0, 1, 2 ...: Poisson, and the negative binomial for counts that scatter more."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from latens.distributions.base import Family, Shape
from latens.distributions.bounds import bounded, parameters
from latens.distributions.elementwise import Elementwise, Univariate
from latens.utils.errors import InputError

LOG_MEAN = (-20.0, 20.0)
LOG_TOTAL = (-10.0, 15.0)


class PoissonElement(Univariate):
    """rate^x exp(-rate) / x!, its sums in double precision: for large counts its terms cancel."""

    def __init__(self, log_rate: Tensor) -> None:
        super().__init__(log_rate.shape)
        self.log_rate = log_rate

    def log_prob(self, x: Tensor) -> Tensor:
        """x log_rate - exp(log_rate) - log x!."""
        y, log_rate = x.double(), self.log_rate.double()
        return (y * log_rate - log_rate.exp() - torch.lgamma(y + 1.0)).to(self.log_rate.dtype)

    def draw(self, shape: Shape) -> Tensor:
        """torch's Poisson generator."""
        return torch.poisson(self.mean.expand(shape))

    @property
    def mean(self) -> Tensor:
        """The rate."""
        return self.log_rate.exp()

    @property
    def variance(self) -> Tensor:
        """The rate."""
        return self.log_rate.exp()


class NegativeBinomialElement(Univariate):
    """Poisson whose rate is gamma distributed with mean exp(log_mean) and shape ``total`` = exp(log_total)."""

    def __init__(self, log_mean: Tensor, log_total: Tensor) -> None:
        super().__init__(log_mean.shape)
        self.log_mean, self.log_total = log_mean, log_total

    def log_prob(self, x: Tensor) -> Tensor:
        """log of Gamma(x + r) / (Gamma(r) x!) (r / (r + m))^r (m / (r + m))^x, in double precision."""
        y, log_r = x.double(), self.log_total.double()
        r, logits = log_r.exp(), self.log_mean.double() - log_r
        choices = torch.lgamma(y + r) - torch.lgamma(r) - torch.lgamma(y + 1.0)
        return (choices + r * logsigmoid(-logits) + y * logsigmoid(logits)).to(self.log_mean.dtype)

    def draw(self, shape: Shape) -> Tensor:
        """A Poisson draw at a gamma draw of the rate."""
        shapes = self.log_total.exp().expand(shape)
        return torch.poisson(torch._standard_gamma(shapes) / shapes * self.mean)

    @property
    def mean(self) -> Tensor:
        """m."""
        return self.log_mean.exp()

    @property
    def variance(self) -> Tensor:
        """m + m^2 / r."""
        return self.mean + (2.0 * self.log_mean - self.log_total).exp()


@dataclass(frozen=True, repr=False)
class Poisson(Family):
    """P(x) = rate^x exp(-rate) / x!, log rate = network + offset.

    Example:
        >>> import torch
        >>> Poisson()(torch.zeros(1), (1,)).log_prob(torch.tensor([2.0])).exp().item()  # 1 / (2 e)
        0.18393972516059875
    """

    measure = "counting"
    support = "counts"

    def param_shape(self, event_shape: Shape) -> Shape:
        """A log-rate for each element."""
        return event_shape

    def centre(self, batch: Tensor) -> Tensor:
        """The log of the mean of each element, counted with half an event more."""
        return _log_mean(batch)

    def __call__(
        self, params: Tensor, event_shape: Shape, shared: Tensor | None = None, offset: Tensor | None = None
    ) -> Elementwise:
        """The distribution with these log-rates; ``offset`` is the log of a size factor."""
        (log_rate,) = parameters(params, 1, event_shape)
        log_rate = log_rate if offset is None else log_rate + offset
        return Elementwise(PoissonElement(bounded(log_rate, *LOG_MEAN)), len(event_shape))


@dataclass(frozen=True, repr=False)
class NegativeBinomial(Family):
    """A count of mean m and variance m + m^2 / r, log m = network + offset.

    Args:
        dispersion: where log r comes from: "shared" (one for each element of the event, learned once for all events,
            as one for each gene of a cell) or "element" (from the network).

    Reference:
        Lopez et al., "Deep generative modeling for single-cell transcriptomics" (2018).

    Example:
        >>> import torch
        >>> p = NegativeBinomial("element")(torch.zeros(2), (1,))  # m = r = 1: geometric, 2^-(x + 1)
        >>> round(p.log_prob(torch.tensor([2.0])).exp().item(), 6)
        0.125
    """

    dispersion: str = "shared"
    measure = "counting"
    support = "counts"

    def __post_init__(self) -> None:
        if self.dispersion not in ("shared", "element"):
            raise InputError(f"NegativeBinomial expects dispersion 'shared' or 'element'; got {self.dispersion!r}.")

    @property
    def arity(self) -> int:
        """Numbers per element of the event."""
        return 2 if self.dispersion == "element" else 1

    def param_shape(self, event_shape: Shape) -> Shape:
        """A log-mean for each element, then, for dispersion="element", log r for each."""
        return (self.arity * event_shape[0], *event_shape[1:])

    def shared_shape(self, event_shape: Shape) -> Shape | None:
        """log r of each element where it is "shared"."""
        return event_shape if self.dispersion == "shared" else None

    def centre(self, batch: Tensor) -> Tensor:
        """The log of the mean of each element, counted with half an event more."""
        return _log_mean(batch)

    def __call__(
        self, params: Tensor, event_shape: Shape, shared: Tensor | None = None, offset: Tensor | None = None
    ) -> Elementwise:
        """The distribution with these means and dispersions; ``offset`` is the log of a size factor."""
        raw = parameters(params, self.arity, event_shape)
        log_mean = bounded(raw[0] if offset is None else raw[0] + offset, *LOG_MEAN)
        log_total = raw[1] if self.dispersion == "element" else shared
        if log_total is None:
            raise ValueError(f"{self} expects its shared dispersion; got None.")
        return Elementwise(NegativeBinomialElement(log_mean, bounded(log_total, *LOG_TOTAL)), len(event_shape))


def _log_mean(batch: Tensor) -> Tensor:
    return ((batch.sum(0) + 0.5) / (len(batch) + 0.5)).log()
