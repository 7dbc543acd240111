r"""Hierarchies of latents: a ladder, which is the one function of a model with a loop in it.

Features of x are computed once, bottom up. Then a state h, at first a constant, goes down from level L to level 1:

.. math:: z_i \sim p(z_i | h) \text{ or } q(z_i | h, e_i(x)), \qquad h \leftarrow f_i(h + W_i z_i),

and p(x | z) is told by the last state. Since q shares the state with p, the divergence of each level is one of two
normals given all levels above, in closed form. Every map from one state to the next is a residual block whose end
starts small, so that a deep ladder starts as a shallow one; q starts as p.

References:
    Sonderby et al., *Ladder variational autoencoders*, 2016; Vahdat and Kautz, *NVAE*, 2020; Child, *Very deep VAEs
    generalize autoregressive models*, 2021.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import prod

import torch
from torch import Tensor, nn

from latens.distributions import Distribution, Family
from latens.models.base import Choose, Model
from latens.models.conditional import Conditional, NetworkDistribution
from latens.models.topdown import Level, TopDown
from latens.nn import MLP, Conv, Site, Spec, view_of
from latens.nn.activation import activation
from latens.nn.conv import Climb, Size, descent, pyramid
from latens.nn.mlp import check_dropout
from latens.nn.residual import Layer, Residual, convolution
from latens.utils.errors import InputError
from latens.utils.validation import check_positive

Shape = tuple[int, ...]


class Hierarchical(Model):
    """p(x, z_L .. z_1) = p(x | z) prod_i p(z_i | z_L .. z_i+1), with q(z_i | z_L .. z_i+1, x) beside each.

    Args:
        ladder: makes the choices, and returns the numbers that tell p(x | z).
        likelihood: from those numbers to p(x | z).
        shapes: of the choices, in order.
    """

    def __init__(self, ladder: TopDown, likelihood: NetworkDistribution, shapes: Sequence[Shape]) -> None:
        super().__init__()
        self.ladder, self.likelihood = ladder, likelihood
        self.shapes, self.choices = tuple(shapes), len(shapes)

    def forward(
        self, choose: Choose, x: Tensor | None = None, *, observed: Tensor | None = None, context: Tensor | None = None
    ) -> Distribution:
        """p(x | z), each z_i chosen between its p and its q."""
        return self.likelihood(self.ladder(choose, x, observed=observed, context=context))

    def part(self, name: str) -> nn.Module | None:
        """What tells q alone, or the priors alone; the state tells x too, and so is no part."""
        parts = {"posterior": self.ladder.seeing, "prior": self.ladder.priors}
        return nn.ModuleList(parts[name]) if name in parts else None

    def calibrate(self, likelihood: Distribution, x: Tensor, weight: float) -> None:
        """Follows the analytic optimal scale of p(x | z), where it has one."""
        if self.likelihood.family.calibrated:
            self.likelihood.calibrate(likelihood, x, weight)


class Hierarchy(Spec):
    """A hierarchy of latents: builds what chooses, from x ``site.context_shape`` to numbers ``site.event_shape``."""

    latents: tuple[int, ...]
    blocks: int
    activation: str
    residual: bool
    dropout: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "latents", whole_numbers(self, "latents", self.latents))
        check_dropout(self, self.dropout)
        check_positive("blocks", self.blocks, integer=True, zero=True)
        activation(self.activation)

    @abstractmethod
    def shapes(self, event_shape: Shape) -> tuple[Shape, ...]:
        """Of each choice, from the top, for x of this shape."""

    @property
    @abstractmethod
    def network(self) -> Spec:
        """A network of its kind and about its size, by which one chooses how to train."""

    @abstractmethod
    def build(self, site: Site) -> TopDown:
        """Untrained: every q equals its p."""

    def model(self, family: Family, site: Site) -> Hierarchical:
        """The model of x ``site.event_shape``, of which ``site.batch`` is a first batch."""
        if family.support == "symbols":
            raise InputError(f"{self} describes numbers; of text use one vector of latents, as VAE(latents=32) does.")
        x_shape = site.event_shape
        numbers = tuple(family.param_shape(x_shape))
        ladder = self.build(Site(numbers, x_shape, site.batch, beside=site.beside, categories=site.categories))
        likelihood = Conditional(family, nn.Identity()).build(Site(x_shape, numbers, events=site.batch))
        return Hierarchical(ladder, likelihood, self.shapes(x_shape))  # type: ignore[arg-type]

    def _blocks(self, layer: Layer, width: int, levels: int, bottleneck: int = 1) -> list[Residual]:
        gain = (levels * max(1, self.blocks)) ** -0.5
        return [Residual(layer, width, self.activation, gain, self.dropout, bottleneck) for _ in range(self.blocks)]


def whole_numbers(spec: Spec, name: str, values: Sequence[int]) -> tuple[int, ...]:
    """The values as a tuple.

    Raises:
        InputError: there are none, or one is not a positive whole number.
    """
    right = isinstance(values, (tuple, list)) and values
    if not right or not all(isinstance(v, int) and not isinstance(v, bool) and v > 0 for v in values):
        raise InputError(
            f"{type(spec).__name__} expects a tuple of positive whole numbers as {name}, one for each level from the "
            f"data up, such as (32, 16, 8); got {values!r}."
        )
    return tuple(values)


@dataclass(frozen=True, repr=False)
class Ladder(Hierarchy):
    """p(z_L) prod_i p(z_i | z_i+1 .. z_L), each level a vector, the state between them of ``width`` units.

    Args:
        latents: the dimensions of z_1 .. z_L, from the data up.
        width: units of the state.
        features: of x, as many as the state has units if None. What sees x may be larger than what makes it: an
            encoder that learns asleep, ``Sleep()``, has all the rows that it can use.
        dropout: in training, the probability that a number within a block is 0, on both ways.
        blocks: residual blocks a level, on the way up and on the way down.
        activation: inside the blocks.
        residual: whether q tells its difference to p (NVAE), or itself.

    Reference: Sonderby et al., *Ladder variational autoencoders*, 2016; Child, *Very deep VAEs generalize
    autoregressive models on images*, 2021.

    Example:
        >>> from latens.distributions import Bernoulli
        >>> from latens.models import draw
        >>> model = Ladder((8, 4, 2), width=32).model(Bernoulli(), Site(event_shape=(10,)))
        >>> d = draw(model, torch.ones(5, 10), samples=3)
        >>> [z.value.shape[-1] for z in d.latents], d.log_weight.shape, d.rate.abs().max().item()
        ([2, 4, 8], torch.Size([3, 5]), 0.0)
    """

    latents: tuple[int, ...] = (32, 16, 8)
    width: int = 256
    blocks: int = 1
    activation: str = "silu"
    residual: bool = True
    features: int | None = None
    dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("width", self.width, integer=True)
        if self.features is not None:
            check_positive("features", self.features, integer=True)

    def shapes(self, event_shape: Shape) -> tuple[Shape, ...]:
        """Vectors."""
        return tuple((n,) for n in reversed(self.latents))

    @property
    def network(self) -> MLP:
        """A perceptron of this width."""
        return MLP((self.width,) * len(self.latents))

    def build(self, site: Site) -> TopDown:
        """Linear layers."""
        width, depth, x_shape = self.width, len(self.latents), site.context_shape or ()
        view, seen = view_of(site), self.features or width
        first = [nn.Flatten(), nn.Linear(prod(x_shape if view is None else view.shape), seen)]
        stages = [nn.Sequential(*first * (not i), *self._blocks(nn.Linear, seen, depth)) for i in range(depth)]
        levels = []
        for i, shape in zip(reversed(range(depth)), self.shapes(x_shape)):
            blocks, top = self._blocks(nn.Linear, width, depth), i == depth - 1
            manner = self.activation, self.residual, top, (3 / depth) ** 0.5
            levels.append((i, Level(nn.Linear, width, seen, shape, *manner, nn.Identity(), blocks)))
        head = [
            activation(self.activation),
            nn.Linear(width, prod(site.event_shape)),
            nn.Unflatten(1, site.event_shape),
        ]
        return TopDown(view, stages, levels, (width,), nn.Sequential(*head), prod(site.beside or (0,)))


@dataclass(frozen=True, repr=False)
class ConvLadder(Hierarchy):
    """A ladder whose states and latents are images, coarse at the top: for images of any height and width.

    The finest resolution has one place for each patch of pixels, and each further one halves height and width, rounding
    up, as in :class:`~latens.nn.Conv`.

    Args:
        latents: the channels of z at each resolution, from the finest.
        channels: of the state at each resolution.
        features: channels of what is seen of x at each resolution, those of the state if None; see :class:`Ladder`.
        dropout: in training, the probability that a number within a block is 0, on both ways.
        bottleneck: how many times fewer channels there are inside the blocks, as of VDVAE; 1 for blocks of two
            convolutions of all channels. Where there is one, neighbours are seen in the blocks and between resolutions;
            each choice is told place by place. At 2, half of the weights, and about three fifths of the time of a step.
        levels: choices at each resolution.
        blocks: residual blocks a level, on the way up (for each resolution) and on the way down.
        activation: inside the blocks.
        patch: how many times fewer pixels the finest resolution has, in height and in width.
        residual: whether q tells its difference to p (NVAE), or itself.

    Raises:
        InputError: x is no image ``(C, H, W)``, or latents and channels are not equally many.

    Reference: Child, *Very deep VAEs generalize autoregressive models on images*, 2021; Vahdat and Kautz, *NVAE*, 2020.

    Example:
        >>> ConvLadder((1, 2, 4), (16, 32, 32)).shapes((3, 13, 29))
        ((4, 2, 4), (2, 4, 8), (1, 7, 15))
    """

    latents: tuple[int, ...] = (1, 2, 4)
    channels: tuple[int, ...] = (32, 64, 64)
    levels: int = 1
    blocks: int = 1
    activation: str = "silu"
    patch: int = 2
    residual: bool = True
    features: tuple[int, ...] | None = None
    dropout: float = 0.0
    bottleneck: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "channels", whole_numbers(self, "channels", self.channels))
        if self.features is not None:
            object.__setattr__(self, "features", whole_numbers(self, "features", self.features))
        check_positive("levels", self.levels, integer=True)
        check_positive("patch", self.patch, integer=True)
        check_positive("bottleneck", self.bottleneck, integer=True)
        for name, values in (("channels", self.channels), ("features", self.features or self.channels)):
            if len(values) != len(self.latents):
                raise InputError(
                    f"ConvLadder expects latents and {name} for the same resolutions; got {len(self.latents)} and "
                    f"{len(values)}."
                )

    @property
    def network(self) -> Conv:
        """A pyramid of these channels."""
        return Conv(self.channels, self.blocks, self.activation, self.patch)

    def shapes(self, event_shape: Shape) -> tuple[Shape, ...]:
        """Images, ``levels`` of each size."""
        sizes = self._sizes(event_shape)[1:]
        rising = zip(reversed(self.latents), reversed(sizes))
        return tuple((n, *size) for n, size in rising for _ in range(self.levels))

    def _sizes(self, event_shape: Shape) -> list[Size]:
        if len(event_shape) != 3:
            raise InputError(
                f"ConvLadder expects images (channels, height, width); got examples of shape {event_shape}. Use Ladder."
            )
        return pyramid((event_shape[1], event_shape[2]), self.network.strides)

    def build(self, site: Site) -> TopDown:
        """Convolutions of 3 x 3, and beside a bottleneck of 1 x 1."""
        x_shape = site.context_shape or ()
        sizes = self._sizes(x_shape)
        seen, strides, depth = self.features or self.channels, self.network.strides, len(self.channels) * self.levels
        told = partial(convolution, width=1) if self.bottleneck > 1 else convolution
        stages = [
            nn.Sequential(descent(below, width, stride), *self._blocks(convolution, width, depth, self.bottleneck))
            for below, width, stride in zip((x_shape[0], *seen), seen, strides)
        ]
        levels = []
        for n, shape in enumerate(self.shapes(x_shape)):
            i = len(self.channels) - 1 - n // self.levels
            rise = self._rise(i, sizes[i + 1]) if n and n % self.levels == 0 else nn.Identity()
            width, manner = self.channels[i], (self.activation, self.residual, n == 0, (3 / depth) ** 0.5)
            blocks = self._blocks(convolution, width, depth, self.bottleneck)
            levels.append((i, Level(told, width, seen[i], shape, *manner, rise, blocks)))
        climb = Climb(self.channels[0], site.event_shape[0], self.patch, sizes[0])
        head = nn.Sequential(activation(self.activation), climb)
        constant = (self.channels[-1], *sizes[-1])
        made = TopDown(view_of(site), stages, levels, constant, head, prod(site.beside or (0,)))
        return made.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _rise(self, i: int, size: Size) -> nn.Module:
        return nn.Sequential(activation(self.activation), Climb(self.channels[i + 1], self.channels[i], 2, size))
