"""The multi-layer perceptron."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod

from torch import nn

from latens.nn.activation import unit
from latens.nn.base import Site, Spec
from latens.utils.errors import InputError


@dataclass(frozen=True, repr=False)
class MLP(Spec):
    """h_0 = x, h_i = a(W_i h_{i-1} + b_i), y = W h_n + b: fully connected layers, any shape in, any shape out.

    Args:
        widths: the number of units of each hidden layer; ``()`` is a linear map.
        activation: "relu", "gelu", "silu", "tanh", "elu", "softplus", "leaky_relu", or "gated": each unit a product
            a * sigmoid(b) of two linear maps.
        dropout: in training, the probability that a number a layer reads, of x or of hidden units, is 0; the others are
            1 / (1 - dropout) times as large. An encoder so regularised generalises where rows are few.

    Example:
        >>> import torch
        >>> network = MLP((64,)).build(Site(event_shape=(10,), context_shape=(8, 8)))
        >>> network(torch.zeros(5, 8, 8)).shape
        torch.Size([5, 10])
    """

    widths: tuple[int, ...] = (512, 512)
    activation: str = "relu"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.widths, (tuple, list)):
            raise InputError(f"MLP expects a tuple of widths, such as MLP((512, 512)); got {self.widths!r}.")
        object.__setattr__(self, "widths", tuple(self.widths))
        if not all(isinstance(w, int) and w > 0 for w in self.widths):
            raise InputError(f"MLP expects positive whole numbers of units; got widths={self.widths}.")
        unit(self.activation)
        check_dropout(self, self.dropout)

    def build(self, site: Site) -> nn.Module:
        """Layers ``prod(context_shape) -> widths -> prod(event_shape)``."""
        sizes = (prod(site.context_shape or ()), *self.widths, prod(site.event_shape))
        layers: list[nn.Module] = [] if len(site.context_shape or ()) == 1 else [nn.Flatten()]
        for i, (a, b) in enumerate(pairwise(sizes)):
            arity, hidden = unit(self.activation) if i < len(self.widths) else (1, nn.Identity())
            layers += [*dropped(self.dropout), nn.Linear(a, arity * b), hidden]
        layers = layers[:-1]
        if len(site.event_shape) != 1:
            layers.append(nn.Unflatten(1, site.event_shape))
        return nn.Sequential(*layers)


def check_dropout(spec: Spec, dropout: float) -> None:
    """Refuses what is no probability below 1.

    Raises:
        InputError: naming the network.
    """
    if not 0 <= dropout < 1:
        raise InputError(f"{type(spec).__name__} expects 0 <= dropout < 1; got {dropout!r}.")


def dropped(probability: float) -> list[nn.Module]:
    """The layer that drops with this probability; none where it is 0.

    >>> dropped(0.0), dropped(0.2)
    ([], [Dropout(p=0.2, inplace=False)])
    """
    return [nn.Dropout(probability)] if probability else []
