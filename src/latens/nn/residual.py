"""The residual block, of whatever kind of layer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from latens.nn.activation import activation

Layer = Callable[[int, int], nn.Module]
"""(channels in, channels out) -> a linear map with ``weight`` and ``bias``."""


CONVOLUTIONS: dict[int, type[nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d}
"""By the number of axes that have neighbours: 1 for signals, 2 for images."""


def convolution(ins: int, outs: int, axes: int = 2) -> nn.Module:
    """A convolution of width 3 that keeps every size."""
    return CONVOLUTIONS[axes](ins, outs, 3, padding=1)


@torch.no_grad()
def started(layer: nn.Module, gain: float = 0.0) -> nn.Module:
    """The layer with its initial weights times ``gain``, and no bias."""
    layer.weight.mul_(gain)  # type: ignore[operator]
    layer.bias.zero_()  # type: ignore[operator]
    return layer


class Residual(nn.Module):
    """x + W2 a(W1 a(x)), W2 at ``gain`` times its usual scale: how far the untrained block is from the identity.

    Example:
        >>> x = torch.randn(5, 8)
        >>> bool((Residual(nn.Linear, 8, "silu")(x) == x).all())
        True
    """

    def __init__(self, layer: Layer, channels: int, name: str, gain: float = 0.0) -> None:
        super().__init__()
        self.activation = activation(name)
        self.first = layer(channels, channels)
        self.last = started(layer(channels, channels), gain)

    def forward(self, x: Tensor) -> Tensor:
        """In the shape that came."""
        return x + self.last(self.activation(self.first(self.activation(x))))
