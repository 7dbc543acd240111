"""A residual convolutional network for images of any height and width, and for signals of any length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latens.nn.activation import activation
from latens.nn.base import Shape, Site, Spec
from latens.nn.mlp import check_dropout
from latens.nn.residual import CONVOLUTIONS, Residual, convolution
from latens.utils.errors import InputError

Size = tuple[int, ...]


@dataclass(frozen=True, repr=False)
class Conv(Spec):
    """Residual blocks on a pyramid of resolutions: image to vector (an encoder) or vector to image (a decoder).

    In place of the vector a map may stand, as large as the coarsest level: then no place is mixed with all others, and
    what stands there tells of its surroundings.

    An image ``(C, H, W)`` or a signal ``(C, T)``: convolutions are along as many axes as the site has. The first level
    has one vector for each patch, and each further level halves every axis, rounding up. The decoder climbs the same
    list of sizes, so that odd, prime and unequal sizes come out exactly as they went in. Each block adds to its input
    two convolutions of width 3, the last of them starting at zero: the untrained network is as deep as its pyramid,
    not as its blocks.

    Args:
        channels: the channels of each level, from the finest.
        blocks: residual blocks a level.
        activation: the activation inside the blocks.
        patch: how many times fewer places the first level has, along each axis. The time of a step is nearly all spent
            on the finest level.
        hidden: units of the layer between the coarsest level and the vector; 0 for none.
        dropout: in training, the probability that a number within a block is 0; see :class:`~latens.nn.MLP`.

    Raises:
        InputError: neither side of the site is an image ``(C, H, W)`` or a signal ``(C, T)``, or both are and neither
            is as large as the coarsest level of the other.

    Reference: He et al., *Identity mappings in deep residual networks*, 2016; Zhang et al., *Fixup*, 2019.

    Example:
        >>> shapes = (3, 13, 29), (16,)
        >>> encoder = Conv((8, 16)).build(Site(event_shape=shapes[1], context_shape=shapes[0]))
        >>> decoder = Conv((8, 16)).build(Site(event_shape=shapes[0], context_shape=shapes[1]))
        >>> decoder(encoder(torch.zeros(2, *shapes[0]))).shape
        torch.Size([2, 3, 13, 29])
        >>> Conv((8, 16)).build(Site(event_shape=(2, 101), context_shape=(16,)))(torch.zeros(5, 16)).shape
        torch.Size([5, 2, 101])
        >>> Conv((8, 16)).build(Site(event_shape=(5, 2, 4), context_shape=(3, 13, 29)))(torch.zeros(2, 3, 13, 29)).shape
        torch.Size([2, 5, 2, 4])
    """

    channels: tuple[int, ...] = (64,)
    blocks: int = 3
    activation: str = "silu"
    patch: int = 4
    hidden: int = 256
    dropout: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        if not self.channels or not all(isinstance(c, int) and c > 0 for c in self.channels):
            raise InputError(f"Conv expects at least one positive number of channels; got {self.channels}.")
        if self.patch < 1 or self.blocks < 0 or self.hidden < 0:
            raise InputError(
                f"Conv expects patch >= 1, blocks >= 0 and hidden >= 0; got patch={self.patch}, blocks={self.blocks}, "
                f"hidden={self.hidden}."
            )
        activation(self.activation)
        check_dropout(self, self.dropout)

    @property
    def strides(self) -> tuple[int, ...]:
        """From each level to the one below it; from the data to the first."""
        return (self.patch, *(2 for _ in self.channels[1:]))

    def build(self, site: Site) -> nn.Module:
        """An encoder where the context is an image or a signal, a decoder where the event is."""
        context, event = site.context_shape, site.event_shape
        if context is not None and len(context) == len(event) and len(event) - 1 in CONVOLUTIONS:
            return self._of_maps(context, event)
        if context is not None and len(context) - 1 in CONVOLUTIONS:
            return _Encoder(self, context, event)
        if context is not None and len(event) - 1 in CONVOLUTIONS:
            return _Decoder(self, context, event)
        raise InputError(
            f"Conv expects an image (channels, height, width) or a signal (channels, length) on one side; "
            f"got {context} -> {event}. Use MLP for vectors."
        )

    def _of_maps(self, context: Shape, event: Shape) -> nn.Module:
        """An encoder where the event is as large as the coarsest level of the context, a decoder in the reverse."""
        if (coarsest := pyramid(context[1:], self.strides)[-1]) == event[1:]:
            return _Encoder(self, context, event)
        if pyramid(event[1:], self.strides)[-1] == context[1:]:
            return _Decoder(self, context, event)
        least, most = sorted((context[1:], event[1:]), key=prod)
        raise InputError(
            f"{self} makes a map of {_size(coarsest if most == context[1:] else pyramid(most, self.strides)[-1])} of "
            f"{_size(most)}; got one of {_size(least)}. Change its patch or its levels, or the size of the map."
        )


def _size(size: Size) -> str:
    return " x ".join(map(str, size))


def pyramid(size: Size, strides: Sequence[int]) -> list[Size]:
    """The sizes of the data, then of each level, rounded up.

    >>> pyramid((28, 13), (2, 2))
    [(28, 13), (14, 7), (7, 4)]
    """
    sizes = [size]
    for stride in strides:
        sizes.append(tuple(-(-n // stride) for n in sizes[-1]))
    return sizes


def descent(ins: int, outs: int, stride: int, axes: int = 2) -> nn.Module:
    """To the next coarser level: a convolution whose patches overlap, for any size."""
    return CONVOLUTIONS[axes](ins, outs, 2 * stride - 1, stride=stride, padding=stride - 1)


def _dense(spec: Conv, ins: int, outs: int) -> nn.Module:
    if not spec.hidden:
        return nn.Linear(ins, outs)
    return nn.Sequential(nn.Linear(ins, spec.hidden), activation(spec.activation), nn.Linear(spec.hidden, outs))


def _place_by_place(ins: Shape, outs: Shape) -> nn.Module:
    """One linear map, the same at every place."""
    return CONVOLUTIONS[len(ins) - 1](ins[0], outs[0], 1)


def _laid_out(module: nn.Sequential, axes: int) -> nn.Sequential:
    """Channels last in memory, which is quicker where there are two axes."""
    return module.to(memory_format=torch.channels_last) if axes == 2 else module  # type: ignore[call-overload]


def _contiguous(h: Tensor) -> Tensor:
    return h.contiguous(memory_format=torch.channels_last) if h.ndim == 4 else h.contiguous()


def _blocks(spec: Conv, channels: int, axes: int) -> list[Residual]:
    layer = partial(convolution, axes=axes)
    return [Residual(layer, channels, spec.activation, dropout=spec.dropout) for _ in range(spec.blocks)]


class _Encoder(nn.Module):
    def __init__(self, spec: Conv, data: Shape, out: Shape) -> None:
        super().__init__()
        ins, axes = (data[0], *spec.channels[:-1]), len(data) - 1
        levels: list[nn.Module] = []
        for a, b, stride in zip(ins, spec.channels, spec.strides):
            levels.append(descent(a, b, stride, axes))
            levels += _blocks(spec, b, axes)
        self.levels = _laid_out(nn.Sequential(*levels, activation(spec.activation)), axes)
        coarsest = (spec.channels[-1], *pyramid(data[1:], spec.strides)[-1])
        self.out, self.to_map = out, len(out) == len(data)
        self.head = _place_by_place(coarsest, out) if self.to_map else _dense(spec, prod(coarsest), prod(out))

    def forward(self, x: Tensor) -> Tensor:
        h = self.levels(_contiguous(x))
        return self.head(h) if self.to_map else self.head(h.flatten(1)).unflatten(1, self.out)


class Climb(nn.Module):
    """To the next finer level: a convolution to stride**axes times the channels, laid out in place, cut to its size."""

    def __init__(self, ins: int, outs: int, stride: int, size: Size) -> None:
        super().__init__()
        self.conv = convolution(ins, stride ** len(size) * outs, len(size))
        self.stride, self.size = stride, size

    def forward(self, x: Tensor) -> Tensor:
        if len(self.size) == 1:
            return self.conv(x).unflatten(1, (-1, self.stride)).transpose(2, 3).flatten(2)[..., : self.size[0]]
        return F.pixel_shuffle(self.conv(x), self.stride)[..., : self.size[0], : self.size[1]]


class _Decoder(nn.Module):
    def __init__(self, spec: Conv, code: Shape, data: Shape) -> None:
        super().__init__()
        *finer, coarsest = pyramid(data[1:], spec.strides)
        first = (spec.channels[-1], *coarsest)
        self.coarsest, self.of_map = first, len(code) == len(data)
        self.stem = _place_by_place(code, first) if self.of_map else _dense(spec, prod(code), prod(first))
        self.levels = _laid_out(nn.Sequential(*_rising(spec, finer, data[0])), len(coarsest))

    def forward(self, z: Tensor) -> Tensor:
        h = self.stem(z) if self.of_map else self.stem(z.flatten(1)).unflatten(1, self.coarsest)
        return self.levels(_contiguous(h))


def _rising(spec: Conv, finer: Sequence[Size], outs: int) -> list[nn.Module]:
    modules: list[nn.Module] = []
    for level in reversed(range(len(spec.channels))):
        channels = spec.channels[level]
        modules += _blocks(spec, channels, len(finer[0]))
        modules.append(activation(spec.activation))
        above = spec.channels[level - 1] if level else outs
        modules.append(Climb(channels, above, spec.strides[level], finer[level]))
    return modules
