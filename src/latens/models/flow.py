"""Normalizing flows: a density with no choice to make, exact by the change of variables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log, prod
from statistics import NormalDist

import torch
from torch import Tensor, nn

from latens.distributions import (
    Affine,
    Autoregressive,
    Bijection,
    Composed,
    Coupling,
    Distribution,
    LowerUpper,
    Monotone,
    Permutation,
    Spline,
    Transformed,
)
from latens.models.base import Choose, Model
from latens.models.conditional import ConditionalDistribution, FixedNormal, join
from latens.nn import MLP, MaskedMLP, Site, Spec
from latens.utils.validation import check_choice, check_positive
from latens.utils.value import Value

Shape = tuple[int, ...]
MARGINAL_BINS = 4
NARROWEST = 1e-2
"""The narrowest bin that equal values make, where the spread of the data is about 1."""
STEEPEST_TAIL = 4.0
"""Beyond the data: what was never seen is unlikely, not impossible."""


@dataclass(frozen=True, repr=False)
class Element(Value):
    """The increasing function of one element, from unconstrained numbers: a spline, or affine where it has no bins.

    Args:
        bins: of a spline, which acts on [-bound, bound].
        bound: see ``bins``.
        stretch: an affine function is at most so steep, and at least one by so much.
    """

    bins: int
    bound: float
    stretch: float = 1e3

    @property
    def outputs(self) -> int:
        """How many numbers it takes."""
        return 3 * self.bins - 1 if self.bins else 2

    def __call__(self, params: Tensor) -> Monotone:
        """The function at ``(*, D, outputs)``; zeros are the identity."""
        params = params if params.dtype == torch.float64 else params.float()
        if self.bins:
            return Spline.of(params, self.bound)
        shift, scale = params.unbind(-1)
        return Affine(shift, scale / (1 + scale.abs() / log(self.stretch)))


class Layer(nn.Module):
    """A part of a flow: from the context to a bijection."""

    def forward(self, context: Tensor | None) -> Bijection:
        """The bijection, given ``(*batch, C)`` or nothing."""
        raise NotImplementedError


class AutoregressiveLayer(Layer):
    """Each element transformed as the ones before it, and the context, say."""

    def __init__(self, size: int, context: int, element: Element, network: MLP) -> None:
        super().__init__()
        self.element = element
        self.network = MaskedMLP(size, element.outputs, network, context)
        _start_at_zero(self.network)

    def forward(self, context: Tensor | None) -> Bijection:
        """One pass forward, D passes back."""
        return Autoregressive(lambda x: self.element(self.network(join(x, context, 1))))


class CouplingLayer(Layer):
    """The second half transformed as the first half, and the context, say."""

    def __init__(self, size: int, context: int, element: Element, network: MLP) -> None:
        super().__init__()
        self.element, self.kept = element, size // 2
        self.shape = (size - self.kept, element.outputs)
        self.network = network.build(Site((prod(self.shape),), (self.kept + context,)))
        _start_at_zero(self.network)

    def forward(self, context: Tensor | None) -> Bijection:
        """One pass in both directions."""
        return Coupling(self.kept, lambda x: self.element(self.network(join(x, context, 1)).unflatten(-1, self.shape)))


class Mixing(Layer):
    """The elements in reverse order, then mixed by a matrix that is learned."""

    order: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("order", torch.arange(size).flip(0), persistent=False)
        self.weight = nn.Parameter(torch.zeros(size, size))

    def forward(self, context: Tensor | None) -> Bijection:
        """The same whatever the context."""
        return Composed([Permutation(self.order), LowerUpper(self.weight)])


def normalising(batch: Tensor, bins: int = MARGINAL_BINS) -> tuple[Tensor, Tensor]:
    """Knots ``(D, 2, K + 1)`` and slopes ``(D, K + 1)`` of the splines that make each column normal, from quantiles.

    Args:
        batch: ``(n, D)``, of a spread of about 1.
        bins: K.

    Example:
        >>> x = torch.arange(1000.0)[:, None] / 500  # uniform on [0, 2]
        >>> y, _ = Spline(*normalising(x)).apply(torch.tensor([1.0]))
        >>> round(y.item(), 2)
        0.0
    """
    reach = NormalDist().inv_cdf(1 - 0.5 / max(len(batch), 4))
    y = torch.linspace(-reach, reach, bins + 1, dtype=batch.dtype)
    ranks = (torch.special.ndtr(y) * (len(batch) - 1)).round().long()
    x = batch.sort(0).values[ranks].mT  # (D, K + 1)
    widths = x.diff().clamp(min=NARROWEST)
    x = torch.cat([x[:, :1], x[:, :1] + widths.cumsum(1)], 1)
    steepness = y.diff() / widths
    inner = (steepness[:, 1:] * steepness[:, :-1]).sqrt()
    tails = steepness[:, [0, -1]].clamp(max=STEEPEST_TAIL)
    return torch.stack([x, y.expand_as(x)], 1), torch.cat([tails[:, :1], inner, tails[:, 1:]], 1)


class Marginals(Layer):
    """A spline of its own for each element, which makes its values normal: y = Phi^-1(F(x)), roughly.

    What follows sees neither skew nor heavy tails, and beyond the data the tails go on in proportion.

    Args:
        batch: a first batch, ``(B, D)``, whose quantiles become the knots.
    """

    knots: Tensor
    slopes: Tensor

    def __init__(self, batch: Tensor) -> None:
        super().__init__()
        knots, slopes = normalising(batch.float())
        self.register_buffer("knots", knots)
        self.register_buffer("slopes", slopes)

    def forward(self, context: Tensor | None) -> Bijection:
        """The same whatever the context, and fixed."""
        return Spline(self.knots, self.slopes)


def _start_at_zero(network: nn.Module) -> None:
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)


class FlowDistribution(ConditionalDistribution):
    """p(x | c) = N(f(x; c); 0, I) |det df/dx|: the module of :class:`NormalizingFlow`."""

    def __init__(self, layers: list[Layer], event_shape: Shape) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.base = FixedNormal((prod(event_shape),))
        self.event_shape = event_shape

    def forward(
        self, c: Tensor | None = None, *, observed: Tensor | None = None, context: Tensor | None = None
    ) -> Transformed:
        """The flow at this c; leading axes of what is given become the batch shape."""
        given = context if c is None else join(c, context, 1)
        f = Composed([layer(given) for layer in self.layers])
        return Transformed(self.base(), f, () if given is None else tuple(given.shape[:-1]), self.event_shape)


LAYERS: dict[str, Callable[[int, int, Element, MLP], Layer]] = {
    "autoregressive": AutoregressiveLayer,
    "coupling": CouplingLayer,
}


@dataclass(frozen=True, repr=False)
class NormalizingFlow(Spec):
    """p(x) = N(f(x); 0, I) |det df/dx|, f a composition of learned bijections.

    Args:
        transforms: how many bijections with a network; a learned mixing of the elements stands between each two.
        kind: "autoregressive", the more accurate, which draws in one pass for each element; or "coupling", which draws
            in one pass.
        bins: of the rational-quadratic splines; 0 for affine functions (MAF and RealNVP).
        network: of each bijection; an MLP, since an autoregressive network is masked.
        bound: splines act on [-bound, bound], and are the identity beyond it.

    Reference: Papamakarios et al., *Normalizing flows for probabilistic modeling and inference*, 2021.

    Example:
        >>> p = NormalizingFlow(2, network=MLP((16,))).build(Site(event_shape=(3,)))()
        >>> round(p.log_prob(torch.zeros(3)).item(), 4)  # it begins as the standard normal
        -2.7568
    """

    transforms: int = 3
    kind: str = "autoregressive"
    bins: int = 8
    network: MLP = MLP((128, 128))
    bound: float = 5.0

    def __post_init__(self) -> None:
        check_positive("transforms", self.transforms, integer=True)
        check_choice("kind", self.kind, tuple(LAYERS))
        check_positive("bins", self.bins, integer=True, zero=True)
        check_positive("bound", self.bound)

    def build(self, site: Site) -> FlowDistribution:
        """Starts as the identity, after making each element normal where a first batch of events is known."""
        size, element = prod(site.event_shape), Element(self.bins, self.bound)
        context = sum(prod(shape) for shape in (site.context_shape, site.beside) if shape is not None)
        make = LAYERS[self.kind if size > 1 else "autoregressive"]
        layers: list[Layer] = [] if site.events is None else [Marginals(site.events.flatten(1))]
        for i in range(self.transforms):
            layers += [Mixing(size)] if i and size > 1 else []
            layers.append(make(size, context, element, self.network))
        return FlowDistribution(layers, site.event_shape)


class Explicit(Model):
    """p(x), a density that is told outright: a model that makes no choice.

    Args:
        density: a module that returns p(x | context).
    """

    def __init__(self, density: ConditionalDistribution) -> None:
        super().__init__()
        self.density = density

    def forward(
        self, choose: Choose, x: Tensor | None = None, *, observed: Tensor | None = None, context: Tensor | None = None
    ) -> Distribution:
        """p(x | context), whatever ``choose`` does."""
        return self.density(context=context)
