"""A residual convolutional network for images of any height and width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latens.nn.activation import activation
from latens.nn.base import Shape, Site, Spec
from latens.nn.residual import Residual, convolution
from latens.utils.errors import InputError

Size = tuple[int, int]


@dataclass(frozen=True, repr=False)
class Conv(Spec):
    """Residual blocks on a pyramid of resolutions: image to vector (an encoder) or vector to image (a decoder).

    The first level has one vector for each patch of pixels, and each further level halves height and width, rounding
    up. The decoder climbs the same list of sizes, so that odd, prime and unequal sizes come out exactly as they went
    in. Each block adds to its input two 3 x 3 convolutions, the last of them starting at zero: the untrained network
    is as deep as its pyramid, not as its blocks.

    Args:
        channels: the channels of each level, from the finest.
        blocks: residual blocks a level.
        activation: the activation inside the blocks.
        patch: how many times fewer pixels the first level has, in height and in width. The time of a step is nearly all
            spent on the finest level.
        hidden: units of the layer between the coarsest level and the vector; 0 for none.

    Raises:
        InputError: neither side of the site is an image ``(C, H, W)``.

    Reference: He et al., *Identity mappings in deep residual networks*, 2016; Zhang et al., *Fixup*, 2019.

    Example:
        >>> shapes = (3, 13, 29), (16,)
        >>> encoder = Conv((8, 16)).build(Site(event_shape=shapes[1], context_shape=shapes[0]))
        >>> decoder = Conv((8, 16)).build(Site(event_shape=shapes[0], context_shape=shapes[1]))
        >>> decoder(encoder(torch.zeros(2, *shapes[0]))).shape
        torch.Size([2, 3, 13, 29])
    """

    channels: tuple[int, ...] = (64,)
    blocks: int = 3
    activation: str = "silu"
    patch: int = 4
    hidden: int = 256

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

    @property
    def strides(self) -> tuple[int, ...]:
        """From each level to the one below it; from the image to the first."""
        return (self.patch, *(2 for _ in self.channels[1:]))

    def build(self, site: Site) -> nn.Module:
        """An encoder where the context is an image, a decoder where the event is."""
        if site.context_shape is not None and len(site.context_shape) == 3:
            return _Encoder(self, site.context_shape, site.event_shape)
        if len(site.event_shape) == 3 and site.context_shape is not None:
            return _Decoder(self, site.context_shape, site.event_shape)
        raise InputError(
            f"Conv expects an image (channels, height, width) on one side; got {site.context_shape} -> "
            f"{site.event_shape}. Use MLP for vectors."
        )


def pyramid(size: Size, strides: Sequence[int]) -> list[Size]:
    """Height and width of the image, then of each level, rounded up.

    >>> pyramid((28, 13), (2, 2))
    [(28, 13), (14, 7), (7, 4)]
    """
    sizes = [size]
    for stride in strides:
        height, width = sizes[-1]
        sizes.append((-(-height // stride), -(-width // stride)))
    return sizes


def descent(ins: int, outs: int, stride: int) -> nn.Module:
    """To the next coarser level: a convolution whose patches overlap, for any height and width."""
    return nn.Conv2d(ins, outs, 2 * stride - 1, stride=stride, padding=stride - 1)


def _dense(spec: Conv, ins: int, outs: int) -> nn.Module:
    if not spec.hidden:
        return nn.Linear(ins, outs)
    return nn.Sequential(nn.Linear(ins, spec.hidden), activation(spec.activation), nn.Linear(spec.hidden, outs))


class _Encoder(nn.Module):
    def __init__(self, spec: Conv, image: Shape, out: Shape) -> None:
        super().__init__()
        ins = (image[0], *spec.channels[:-1])
        levels: list[nn.Module] = []
        for a, b, stride in zip(ins, spec.channels, spec.strides):
            levels.append(descent(a, b, stride))
            levels += [Residual(convolution, b, spec.activation) for _ in range(spec.blocks)]
        self.levels = nn.Sequential(*levels, activation(spec.activation)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        height, width = pyramid((image[1], image[2]), spec.strides)[-1]
        self.head = _dense(spec, spec.channels[-1] * height * width, prod(out))
        self.out = out

    def forward(self, x: Tensor) -> Tensor:
        h = self.levels(x.contiguous(memory_format=torch.channels_last))
        return self.head(h.flatten(1)).unflatten(1, self.out)


class Climb(nn.Module):
    """To the next finer level: a convolution to stride**2 times the channels, laid out as pixels, cut to its size."""

    def __init__(self, ins: int, outs: int, stride: int, size: Size) -> None:
        super().__init__()
        self.conv = nn.Conv2d(ins, stride**2 * outs, 3, padding=1)
        self.stride, self.size = stride, size

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.conv(x), self.stride)[..., : self.size[0], : self.size[1]]


class _Decoder(nn.Module):
    def __init__(self, spec: Conv, code: Shape, image: Shape) -> None:
        super().__init__()
        *finer, coarsest = pyramid((image[1], image[2]), spec.strides)
        self.coarsest = (spec.channels[-1], *coarsest)
        self.stem = _dense(spec, prod(code), prod(self.coarsest))
        self.levels = nn.Sequential(*_rising(spec, finer, image[0])).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, z: Tensor) -> Tensor:
        h = self.stem(z.flatten(1)).unflatten(1, self.coarsest)
        return self.levels(h.contiguous(memory_format=torch.channels_last))


def _rising(spec: Conv, finer: Sequence[Size], outs: int) -> list[nn.Module]:
    modules: list[nn.Module] = []
    for level in reversed(range(len(spec.channels))):
        channels = spec.channels[level]
        modules += [Residual(convolution, channels, spec.activation) for _ in range(spec.blocks)]
        modules.append(activation(spec.activation))
        above = spec.channels[level - 1] if level else outs
        modules.append(Climb(channels, above, spec.strides[level], finer[level]))
    return modules
