"""The masked perceptron: a network whose i-th group of outputs sees the inputs before the i-th alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from latens.nn.activation import unit
from latens.nn.mlp import MLP, dropped


class MaskedLinear(nn.Linear):
    """y = (M * W) x + b, with M fixed: what M leaves out cannot be learned."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.to(self.weight.dtype), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The masked map."""
        return nn.functional.linear(x, self.weight * self.mask, self.bias)


class MaskedMLP(nn.Module):
    """h_i = f(context, x_1 .. x_{i-1}): one perceptron, ``size`` groups of outputs, group i blind to x_i and after.

    Every unit has a degree: input i has i, a hidden unit one of 0 .. size - 1, and sees units of degree no larger than
    its own; a unit of output group i sees those of degree below i. The context has degree 0: all may see it.

    Args:
        size: D, the number of inputs.
        outputs: of each group.
        network: its hidden layers.
        context: how many numbers of context stand beside x.
        inputs: how many numbers x_i is.

    Reference: Germain et al., *MADE: masked autoencoder for distribution estimation*, 2015.

    Example:
        >>> MaskedMLP(4, 2, MLP((16,)))(torch.zeros(5, 4)).shape
        torch.Size([5, 4, 2])
    """

    def __init__(
        self,
        size: int,
        outputs: int,
        network: MLP,
        context: int = 0,
        inputs: int = 1,
    ) -> None:
        super().__init__()
        self.size, self.outputs = size, outputs
        degrees = torch.arange(1, size + 1).repeat_interleave(inputs)
        seen = torch.cat([degrees, torch.zeros(context, dtype=torch.long)])
        layers: list[nn.Module] = []
        for width in network.widths:
            degrees = _degrees(width, size, context)
            arity, hidden = unit(network.activation)
            mask = (degrees[:, None] >= seen).repeat(arity, 1)
            layers += [*dropped(network.dropout), MaskedLinear(mask), hidden]
            seen = degrees
        last = torch.arange(1, size + 1).repeat_interleave(outputs)
        self.layers = nn.Sequential(*layers, *dropped(network.dropout), MaskedLinear(last[:, None] > seen))

    def forward(self, x: Tensor) -> Tensor:
        """``(*, D * inputs + context) -> (*, D, outputs)``: x with the context beside it."""
        return self.layers(x).unflatten(-1, (self.size, self.outputs))


def _degrees(width: int, size: int, context: int) -> Tensor:
    """Degrees of hidden units, as even as can be: 0 .. D - 1 with a context, 1 .. D - 1 without."""
    lowest = 0 if context or size == 1 else 1
    return lowest + torch.arange(width) * (size - lowest) // width
