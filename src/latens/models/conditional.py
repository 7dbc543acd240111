"""Distributions whose parameters come from somewhere: a network, free parameters, or nowhere.

Each is written as a value (``Conditional``, ``Free``, ``StandardNormal``) that builds a module whose ``forward``
returns a :class:`~latens.distributions.Distribution`.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from latens.distributions import CausalSymbols, Distribution, Family, Strings, standard_normal
from latens.nn import Decoder, Encoder, SequenceNetwork, Site, Spec, view_of
from latens.utils.errors import InputError

Shape = tuple[int, ...]


class ConditionalDistribution(nn.Module, ABC):
    """A module that returns a distribution: p(event | c)."""

    @abstractmethod
    def forward(
        self, c: Tensor | None = None, *, observed: Tensor | None = None, context: Tensor | None = None
    ) -> Distribution:
        """p(event | c, context), with the leading axes of ``c`` as batch shape."""


def join(c: Tensor, context: Tensor | None, axes: int) -> Tensor:
    """c with the context beside it: more elements of a vector, more constant channels of an image.

    >>> join(torch.zeros(7, 5, 2), torch.ones(5, 3), 1).shape, join(torch.zeros(5, 1, 4, 4), torch.ones(5, 3), 3).shape
    (torch.Size([7, 5, 5]), torch.Size([5, 4, 4, 4]))
    """
    if context is None:
        return c
    wide = context.reshape(*context.shape, *([1] * (axes - 1)))
    return torch.cat([c, wide.expand(*c.shape[:-axes], context.shape[-1], *c.shape[c.ndim - axes + 1 :])], -axes)


def joined(c: Shape, context: Shape | None) -> Shape:
    """The shape of :func:`join`."""
    return c if context is None else (c[0] + context[0], *c[1:])


class _Shared(ConditionalDistribution):
    """A family with its shared parameters: learned, or set by calibration."""

    shared: Tensor | None
    offset: Tensor | None
    totals: Tensor | None

    def __init__(self, family: Family, event_shape: Shape, events: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("offset", None if events is None else family.centre(events))
        self.register_buffer("totals", None if events is None else family.totals(events))
        self.family, self.event_shape = family, event_shape
        start = family.shared_start(event_shape, events)
        if start is not None and not family.calibrated:
            self.shared = nn.Parameter(start)
        else:
            self.register_buffer("shared", start)

    def distribution(self, params: Tensor, settled: bool = False) -> Distribution:
        """The family at these parameters; a calibrated scale follows each batch while training, unless ``settled``."""
        follows = self.family.calibrated and self.training and not settled
        p = self.family(params, self.event_shape, None if follows else self.shared, self.offset)
        return p if self.totals is None else p.drawing(self.totals)  # type: ignore[attr-defined]

    @torch.no_grad()
    def calibrate(self, dist: Distribution, x: Tensor, weight: float = 1.0) -> None:
        """Pools the log-scale that is best for ``x`` with the present one, ``weight`` of it to ``1 - weight``."""
        best = self.family.calibrate(dist, x)
        if best is not None and self.shared is not None:
            power = self.family.power
            pooled = (self.shared * power).exp().lerp((best * power).exp(), weight)
            self.shared.copy_(pooled.log() / power)


class NetworkDistribution(_Shared):
    """p(event | c) = family(network(c)): the module of :class:`Conditional`."""

    def __init__(
        self,
        network: nn.Module,
        family: Family,
        event_shape: Shape,
        c_shape: Shape,
        view: nn.Module | None = None,
        events: Tensor | None = None,
        reads_text: bool = False,
    ) -> None:
        super().__init__(family, event_shape, events)
        self.network, self.reads_text = network, reads_text
        self.view = view
        self.c_shape = c_shape
        self.param_shape = tuple(family.param_shape(event_shape))

    def forward(
        self, c: Tensor | None = None, *, observed: Tensor | None = None, context: Tensor | None = None
    ) -> Distribution:
        """The family at the network's output; leading axes of ``c`` become the batch shape."""
        if c is None:
            raise ValueError("A conditional distribution expects something to condition on; got None.")
        return self.distribution(self._numbers(c, observed, context))

    def settled(self, c: Tensor, context: Tensor | None = None) -> Distribution:
        """The same with a calibrated scale as it stands, so that no event depends on the others of a batch."""
        return self.distribution(self._numbers(c, None, context), settled=True)

    def _numbers(self, c: Tensor, observed: Tensor | None, context: Tensor | None) -> Tensor:
        axes = len(self.c_shape)
        seen = c if self.view is None else self.view(c, observed)
        batch = c.shape[: c.ndim - axes]
        beside = []
        if not self.reads_text:
            seen = join(seen, context, axes)
        elif context is not None and isinstance(self.network, Encoder):
            beside = [context.expand(*batch, -1).flatten(0, -2)]
        params = self.network(seen.flatten(0, len(batch) - 1) if len(batch) != 1 else seen, *beside)
        return params.to(c.dtype).reshape(*batch, *self.param_shape)


class CausalDistribution(ConditionalDistribution):
    """p(x | c) = prod_t p(x_t | x_1 .. x_{t-1}, c), by a network that reads x too: ``Conditional(Strings(n), GRU())``.

    Args:
        network: a specification of the causal network.
        family: which says how many symbols there are.
        length: of a row.
        context: how many numbers c is, with the context beside it.
        events: a first batch, whose frequencies it begins with.
    """

    origin: Tensor

    def __init__(
        self, network: SequenceNetwork, family: Strings, length: int, context: int, events: Tensor | None = None
    ) -> None:
        super().__init__()
        self.family, self.length = family, length
        self.network: Decoder = network.decoder(family.symbols, length, context)
        self.register_buffer("origin", torch.zeros(0), persistent=False)
        if events is not None:
            self.network.output.begin(family.frequencies(events))

    def forward(
        self, c: Tensor | None = None, *, observed: Tensor | None = None, context: Tensor | None = None
    ) -> CausalSymbols:
        """The strings given c and the context, whose leading axes are the batch shape."""
        given = (self.origin if context is None else context) if c is None else join(c, context, 1)
        return CausalSymbols(self.network, given, self.length)

    def settled(self, c: Tensor, context: Tensor | None = None) -> CausalSymbols:
        """The same: nothing follows a batch."""
        return self(c, context=context)


class FreeDistribution(_Shared):
    """p(event), with parameters of its own: the module of :class:`Free`."""

    def __init__(self, family: Family, event_shape: Shape) -> None:
        super().__init__(family, event_shape)
        self.params = nn.Parameter(family.start(event_shape))

    def forward(
        self, c: Tensor | None = None, *, observed: Tensor | None = None, context: Tensor | None = None
    ) -> Distribution:
        """The family at its own parameters, batch shape ()."""
        return self.distribution(self.params)


class FixedNormal(ConditionalDistribution):
    """N(0, I), with no parameter: the module of :class:`StandardNormal`."""

    origin: Tensor

    def __init__(self, event_shape: Shape) -> None:
        super().__init__()
        self.register_buffer("origin", torch.zeros(event_shape), persistent=False)
        self._made: tuple[Tensor, Distribution] | None = None

    def forward(
        self, c: Tensor | None = None, *, observed: Tensor | None = None, context: Tensor | None = None
    ) -> Distribution:
        """N(0, I), batch shape (); made once for each place and precision it is asked for in."""
        if torch.is_inference_mode_enabled():  # what is made there can never meet a gradient again
            return standard_normal(self.origin)
        if self._made is None or self._made[0] is not self.origin:
            self._made = self.origin, standard_normal(self.origin)
        return self._made[1]


@dataclass(frozen=True, repr=False)
class Conditional(Spec):
    """p(event | c) = family(network(c)).

    Args:
        family: the distribution whose parameters the network gives.
        network: a network specification, or an ``nn.Module`` of your own, which is copied, that maps
            ``(B, *context_shape)`` to ``prod(family.param_shape(event_shape))`` numbers an example.

    Example:
        >>> from latens.distributions import Normal
        >>> from latens.nn import MLP
        >>> q = Conditional(Normal("element"), MLP((32,))).build(Site(event_shape=(4,), context_shape=(10,)))
        >>> q(torch.zeros(5, 10)).event_shape
        torch.Size([4])
    """

    family: Family
    network: Spec | nn.Module

    def build(self, site: Site) -> NetworkDistribution | CausalDistribution:
        """A network for ``context_shape`` (and the context beside it) that gives the family's parameters."""
        if isinstance(self.family, Strings) and isinstance(self.network, SequenceNetwork):
            size = sum(prod(shape) for shape in (site.context_shape, site.beside) if shape is not None)
            return CausalDistribution(self.network, self.family, site.event_shape[0], size, site.events)
        params = tuple(self.family.param_shape(site.event_shape))
        c_shape = site.context_shape or ()
        view = view_of(site)
        seen = c_shape if view is None else view.shape
        inside = seen if site.symbols else joined(seen, site.beside)
        network = self.network
        if isinstance(network, Spec):
            _check_reads(network, site)
            beside = site.beside if site.symbols else None
            network = network.build(
                Site(params, inside, site.batch, modules=site.modules, beside=beside, symbols=site.symbols)
            )
        else:
            network = copy.deepcopy(network)
            _check_own(network, inside, params)
        text = site.symbols is not None
        return NetworkDistribution(network, self.family, site.event_shape, c_shape, view, site.events, text)


def _check_reads(network: Spec, site: Site) -> None:
    """Refuses a network of numbers where text is read."""
    if site.symbols is not None and not isinstance(network, SequenceNetwork):
        raise InputError(f"Text is read by a network such as GRU() or Transformer(); got {network}.")


@torch.no_grad()
def _check_own(network: nn.Module, inside: Shape, params: Shape) -> None:
    """Refuses a module of the user's own that does not give as many numbers as the family needs."""
    if not isinstance(network, nn.Module):
        raise InputError(f"A network is a specification such as MLP((512,)), or an nn.Module; got {network!r}.")
    training = network.training
    reference = next(network.parameters(), torch.zeros(()))
    try:
        out = network.eval()(torch.zeros(2, *inside, dtype=reference.dtype, device=reference.device))
    except (RuntimeError, TypeError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{type(network).__name__} does not accept inputs (B, {_csv(inside)}): {first}") from error
    finally:
        network.train(training)
    if out.numel() != 2 * prod(params):
        raise InputError(
            f"{type(network).__name__} must return {prod(params)} numbers an example, {tuple(params)}; "
            f"it returns {tuple(out.shape[1:])} for inputs (B, {_csv(inside)})."
        )


def _csv(shape: Shape) -> str:
    return ", ".join(map(str, shape))


@dataclass(frozen=True, repr=False)
class Free(Spec):
    """p(event), its parameters learned by maximum likelihood: a learned prior.

    ``Free(MixtureOf(Normal("element"), 10, over="event"))`` is the mixture of normals: its components begin apart, with
    equal weights, so that all of them find something to describe, and are evaluated at once, however many they are.

    Example:
        >>> from latens.distributions import Normal
        >>> prior = Free(Normal("element")).build(Site(event_shape=(4,)))
        >>> prior().sample((2,)).shape
        torch.Size([2, 4])
    """

    family: Family

    def build(self, site: Site) -> FreeDistribution:
        """Parameters near zero; the components of a mixture stand apart."""
        return FreeDistribution(self.family, site.event_shape)


@dataclass(frozen=True, repr=False)
class StandardNormal(Spec):
    """p(z) = N(z; 0, I), the classical prior.

    Example:
        >>> StandardNormal().build(Site(event_shape=(2,)))().log_prob(torch.zeros(2)).item()  # -log(2 pi)
        -1.8378...
    """

    def build(self, site: Site) -> FixedNormal:
        """No parameters."""
        return FixedNormal(site.event_shape)
