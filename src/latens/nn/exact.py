"""Linear layers that read or tell numbers on a scale of their own, in single precision whatever surrounds them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Exact(nn.Linear):
    """y = W x + b in the precision of W, where autocast would round: in bf16 nothing lies between 1384 and 1392."""

    def forward(self, x: Tensor) -> Tensor:
        """``(*, in) -> (*, out)``."""
        with torch.autocast(x.device.type, enabled=False):
            return F.linear(x.to(self.weight.dtype), self.weight, self.bias)


def exact(network: nn.Module, which: int) -> None:
    """Makes a linear layer of a network exact, in place: the first (0) or the last (-1), where it has any.

    >>> network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> exact(network, -1)
    >>> network
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): ReLU()
      (2): Exact(in_features=3, out_features=1, bias=True)
    )
    """
    layers = [part for part in network.modules() if type(part) is nn.Linear]
    if layers:
        layers[which].__class__ = Exact
