"""Counts 0, 1, 2 ...: Poisson, the negative binomial for those that scatter more, and both with more zeros.

Their means may grow with the size of a row, its exposure: ``Poisson(exposure="total")`` has the mean
N softmax(network), N the total of the row (the library size of a cell, the length of a document).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from latens.distributions.base import Family, Shape
from latens.distributions.bounds import bounded, parameters
from latens.distributions.elementwise import Elementwise, Univariate
from latens.distributions.totals import Exposed, log_factorial, log_means, totals_of
from latens.utils.errors import InputError

LOG_MEAN = (-20.0, 20.0)
LOG_TOTAL = (-10.0, 15.0)
GATE = (-20.0, 20.0)
FIRST_LOG_TOTAL = (-2.5, 5.0)
"""Where the logarithm of a shared r begins: elements that were hardly counted tell next to nothing of it."""


class PoissonElement(Univariate):
    """rate^x exp(-rate) / x!, its sums in double precision: for large counts its terms cancel."""

    def __init__(self, log_rate: Tensor) -> None:
        super().__init__(log_rate.shape)
        self.log_rate = log_rate

    def log_prob(self, x: Tensor) -> Tensor:
        """x log_rate - exp(log_rate) - log x!."""
        y, log_rate = x.double(), self.log_rate.double()
        return (y * log_rate - log_rate.exp() - log_factorial(y)).to(self.log_rate.dtype)

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
        return (_log_choices(y, r) + r * logsigmoid(-logits) + y * logsigmoid(logits)).to(self.log_mean.dtype)

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


class ZeroInflatedElement(Univariate):
    """0 with probability g = sigmoid(gate), else a draw of another element."""

    def __init__(self, element: Univariate, gate: Tensor) -> None:
        super().__init__(element.batch_shape)
        self.element, self.gate = element, gate

    def log_prob(self, x: Tensor) -> Tensor:
        """log (g [x = 0] + (1 - g) p(x)), in double precision."""
        gate = self.gate.double()
        counted = logsigmoid(-gate) + self.element.log_prob(x).double()
        return torch.where(x == 0, torch.logaddexp(logsigmoid(gate), counted), counted).to(self.element.mean.dtype)

    def draw(self, shape: Shape) -> Tensor:
        """A draw of the element, and zeros over it."""
        kept = torch.rand(shape, device=self.gate.device) < (-self.gate).sigmoid()
        return self.element.draw(shape) * kept

    @property
    def mean(self) -> Tensor:
        """(1 - g) m."""
        return (-self.gate).sigmoid() * self.element.mean

    @property
    def variance(self) -> Tensor:
        """(1 - g) (v + g m^2)."""
        return (-self.gate).sigmoid() * (self.element.variance + self.gate.sigmoid() * self.element.mean.square())


class Counted(Family):
    """A family of counts that are independent given their log-means: the first number of each element."""

    measure = "counting"
    support = "counts"
    exposure: str | None
    """"total" where the means of a row are its total times a softmax, else None."""

    arity: int
    """Numbers per element of the event."""

    @abstractmethod
    def element(self, rest: tuple[Tensor, ...], shared: Tensor | None, log_mean: Tensor) -> Univariate:
        """The distribution of single counts with these log-means and other numbers."""

    @property
    def given(self) -> str:  # type: ignore[override]
        """The total, where it is the exposure."""
        return self.exposure or ""

    def param_shape(self, event_shape: Shape) -> Shape:
        """The log-mean of each element (with an exposure, that of its share), then what else the family needs."""
        return (self.arity * event_shape[0], *event_shape[1:])

    def centre(self, batch: Tensor) -> Tensor:
        """The log of the mean of each element, counted with half an event more."""
        return log_means(batch)

    def totals(self, batch: Tensor) -> Tensor | None:
        """Quantiles of the totals of a first batch, where they are the exposure."""
        return totals_of(batch) if self.exposure else None

    def __call__(
        self, params: Tensor, event_shape: Shape, shared: Tensor | None = None, offset: Tensor | None = None
    ) -> Elementwise | Exposed:
        """The distribution with these numbers; ``offset`` is the log of a size factor, or of the shares of a total."""
        first, *rest = parameters(params, self.arity, event_shape)
        first = first if offset is None else first + offset
        element = partial(self.element, tuple(rest), shared)
        if self.exposure:
            return Exposed(first, len(event_shape), element)
        return Elementwise(element(first), len(event_shape))


@dataclass(frozen=True, repr=False)
class Poisson(Counted):
    """P(x) = rate^x exp(-rate) / x!, log rate = network + offset.

    Args:
        exposure: "total" for rate = N softmax(network + offset), N the total of the row; scores are then of a row given
            its exposure, a lower bound of log p(x | N), which is that of :class:`Multinomial`.

    Example:
        >>> import torch
        >>> Poisson()(torch.zeros(1), (1,)).log_prob(torch.tensor([2.0])).exp().item()  # 1 / (2 e)
        0.18393972516059875
    """

    exposure: str | None = None
    arity = 1

    def __post_init__(self) -> None:
        _check_exposure(self)

    def element(self, rest: tuple[Tensor, ...], shared: Tensor | None, log_mean: Tensor) -> Univariate:
        """Poisson counts of these log-rates."""
        return PoissonElement(bounded(log_mean, *LOG_MEAN))


@dataclass(frozen=True, repr=False)
class NegativeBinomial(Counted):
    """A count of mean m and variance m + m^2 / r, log m = network + offset.

    Args:
        dispersion: where log r comes from: "shared" (one for each element of the event, learned once for all events,
            as one for each gene of a cell) or "element" (from the network).
        exposure: "total" for m = N softmax(network + offset), N the total of the row (the library size of a cell);
            scores are then of a row given its exposure, a lower bound of log p(x | N).

    Reference:
        Lopez et al., "Deep generative modeling for single-cell transcriptomics" (2018).

    Example:
        >>> import torch
        >>> p = NegativeBinomial("element")(torch.zeros(2), (1,))  # m = r = 1: geometric, 2^-(x + 1)
        >>> round(p.log_prob(torch.tensor([2.0])).exp().item(), 6)
        0.125
    """

    dispersion: str = "shared"
    exposure: str | None = None

    def __post_init__(self) -> None:
        if self.dispersion not in ("shared", "element"):
            raise InputError(f"NegativeBinomial expects dispersion 'shared' or 'element'; got {self.dispersion!r}.")
        _check_exposure(self)

    @property
    def arity(self) -> int:  # type: ignore[override]
        """Numbers per element of the event."""
        return 2 if self.dispersion == "element" else 1

    def shared_shape(self, event_shape: Shape) -> Shape | None:
        """log r of each element where it is "shared"."""
        return event_shape if self.dispersion == "shared" else None

    def common(self, batch: Tensor) -> Tensor | None:
        """log r of the moments of each element, where it is "shared"."""
        return _log_scatter(batch, bool(self.exposure)) if self.dispersion == "shared" else None

    def element(self, rest: tuple[Tensor, ...], shared: Tensor | None, log_mean: Tensor) -> Univariate:
        """Counts of these log-means, and log r from the network or shared."""
        log_total = rest[0] if self.dispersion == "element" else shared
        if log_total is None:
            raise ValueError(f"{self} expects its shared dispersion; got None.")
        return NegativeBinomialElement(bounded(log_mean, *LOG_MEAN), bounded(log_total, *LOG_TOTAL))


@dataclass(frozen=True, repr=False)
class ZeroInflated(Counted):
    """P(x) = g [x = 0] + (1 - g) p(x): zeros beside those of counts, as of what was there and was not caught.

    Args:
        family: Poisson(...) or NegativeBinomial(...); g of each element comes from the network as well.

    Reference:
        Lambert, "Zero-inflated Poisson regression, with an application to defects in manufacturing" (1992).

    Example:
        >>> import torch
        >>> p = ZeroInflated(Poisson())(torch.zeros(2), (1,))  # g = 1/2, rate 1
        >>> round(p.log_prob(torch.zeros(1)).exp().item(), 4)  # (1 + 1/e) / 2
        0.6839
    """

    family: Poisson | NegativeBinomial

    def __post_init__(self) -> None:
        if not isinstance(self.family, Poisson | NegativeBinomial):
            raise InputError(f"ZeroInflated expects Poisson() or NegativeBinomial(); got {self.family!r}.")

    @property
    def exposure(self) -> str | None:  # type: ignore[override]
        """That of the family."""
        return self.family.exposure

    @property
    def arity(self) -> int:  # type: ignore[override]
        """The family's numbers, then the logit of g."""
        return self.family.arity + 1

    def shared_shape(self, event_shape: Shape) -> Shape | None:
        """That of the family."""
        return self.family.shared_shape(event_shape)

    def common(self, batch: Tensor) -> Tensor | None:
        """That of the family."""
        return self.family.common(batch)

    def element(self, rest: tuple[Tensor, ...], shared: Tensor | None, log_mean: Tensor) -> Univariate:
        """The family's counts, and more zeros."""
        return ZeroInflatedElement(self.family.element(rest[:-1], shared, log_mean), bounded(rest[-1], *GATE))


def _check_exposure(family: Counted) -> None:
    if family.exposure not in (None, "total"):
        raise InputError(f"{type(family).__name__} expects exposure None or 'total'; got {family.exposure!r}.")


def _log_choices(y: Tensor, r: Tensor) -> Tensor:
    """log Gamma(y + r) / (Gamma(r) y!), which is 0 of zeros: on a processor no others are computed."""
    y, r = torch.broadcast_tensors(y, r)
    if y.device.type != "cpu":
        return torch.lgamma(y + r) - torch.lgamma(r) - log_factorial(y)
    at = y.flatten().nonzero().squeeze(-1)  # and not a mask, whose gradient could not be recorded: sizes differ
    many, of = y.flatten()[at], r.flatten()[at]
    found = torch.lgamma(many + of) - torch.lgamma(of) - log_factorial(many)
    return torch.zeros_like(y).flatten().index_put((at,), found).reshape(y.shape)


def _log_scatter(batch: Tensor, exposed: bool) -> Tensor:
    """log 4 r of the moments of each element, ``(B, *event) -> (*event)``: r = sum m^2 / sum ((x - m)^2 - m).

    Four times as much: of what scatters around one mean for all events, a model explains a part. From r = 1 everywhere
    the counts of single cells took some thousand steps to be told as well.
    """
    x = batch.double()
    m = x.mean(0).expand_as(x)
    if exposed:
        totals = x.flatten(1).sum(1)
        m = m * (totals / totals.mean().clamp(min=1e-9)).reshape(-1, *[1] * (x.ndim - 1))
    beyond = ((x - m).square() - m).sum(0)
    r = m.square().sum(0).clamp(min=1e-9) / beyond.clamp(min=1e-9)
    return (4.0 * r).log().clamp(*FIRST_LOG_TOTAL).to(batch.dtype)
