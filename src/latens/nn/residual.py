"""The residual block, of whatever kind of layer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from latens.nn.activation import activation
from latens.nn.mlp import dropped

Layer = Callable[[int, int], nn.Module]
"""(channels in, channels out) -> a linear map with ``weight`` and ``bias``."""


CONVOLUTIONS: dict[int, type[nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d}
"""By the number of axes that have neighbours: 1 for signals, 2 for images."""


def convolution(ins: int, outs: int, axes: int = 2, width: int = 3) -> nn.Module:
    """A convolution of an odd width that keeps every size."""
    return CONVOLUTIONS[axes](ins, outs, width, padding=width // 2)


@torch.no_grad()
def started(layer: nn.Module, gain: float = 0.0) -> nn.Module:
    """The layer with its initial weights times ``gain``, and no bias."""
    layer.weight.mul_(gain)  # type: ignore[operator]
    layer.bias.zero_()  # type: ignore[operator]
    return layer


class Residual(nn.Module):
    """x + W2 a(W1 a(x / |x|)), |x| the root mean square, W2 at ``gain`` times its usual scale.

    What a block adds does not grow with what comes in: without that, one wide step of the weights makes the numbers
    grow from block to block, until nothing is finite. ``gain`` is how far the untrained block is from the identity,
    ``dropout`` the probability that a number W2 reads is 0 in training.

    With a ``bottleneck``, of convolutions alone, there are so many times fewer channels inside the block: W1 is three
    maps, of which the last two see neighbours, and W2 sees none. At 2 that is less than a third of the weights.

    Reference: Zhang and Sennrich, *Root mean square layer normalization*, 2019; He et al., *Deep residual learning for
    image recognition*, 2016 (the bottleneck).

    Example:
        >>> x = torch.randn(5, 8)
        >>> bool((Residual(nn.Linear, 8, "silu")(x) == x).all())
        True
    """

    def __init__(
        self, layer: Layer, channels: int, name: str, gain: float = 0.0, dropout: float = 0.0, bottleneck: int = 1
    ) -> None:
        super().__init__()
        self.activation, self.dropped = activation(name), nn.Sequential(*dropped(dropout))
        if bottleneck == 1:
            self.first, last = layer(channels, channels), layer(channels, channels)
        else:
            inside, place = max(1, channels // bottleneck), partial(layer, width=1)  # type: ignore[call-arg]
            between = activation(name), layer(inside, inside), activation(name), layer(inside, inside)
            self.first, last = nn.Sequential(place(channels, inside), *between), place(inside, channels)
        self.last = started(last, gain)

    def forward(self, x: Tensor) -> Tensor:
        """In the shape that came."""
        return x + self.last(self.dropped(self.activation(self.first(self.activation(normed(x))))))


def normed(x: Tensor) -> Tensor:
    """x / sqrt(|x|^2 + 0.01), |x| the root mean square of each example; smooth where that is 0.

    >>> normed(torch.tensor([[30.0, -40.0], [0.0, 0.0]]))
    tensor([[ 0.8485, -1.1314],
            [ 0.0000,  0.0000]])
    """
    return x * (x.square().mean(tuple(range(1, x.ndim)), keepdim=True) + 0.01).rsqrt()
