"""What a network is shown of its input: centred, scaled, counts on a logarithmic scale."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class View(nn.Module):
    """v(x) = (f(x) - shift) / scale, with f(x) = log(1 + x) for large counts and f(x) = x otherwise.

    A network learns fastest from inputs of zero mean and unit variance; the density does not change, since only the
    encoder looks through the view. One shift and scale serve all elements of an image, one each a column of a table.
    Values that are never negative and exceed 16 count as large: a model's other units lie within a few units of zero.

    Args:
        batch: a first batch, ``(B, *shape)``, from which shift and scale are taken.

    Example:
        >>> batch = torch.tensor([[1.0], [3.0]])
        >>> View(batch)(batch).flatten()
        tensor([-1.,  1.])
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, batch: Tensor) -> None:
        super().__init__()
        self.logarithmic = bool(batch.min() >= 0 and batch.max() > 16)
        x = batch.log1p() if self.logarithmic else batch
        axes = (0,) if x.ndim == 2 else tuple(range(x.ndim))
        scale = x.std(axes, correction=0)
        self.register_buffer("shift", x.mean(axes))
        self.register_buffer("scale", torch.where(scale > 1e-6, scale, torch.ones_like(scale)))

    def get_extra_state(self) -> Tensor:
        """Whether it takes logarithms, kept with the weights."""
        return torch.tensor(self.logarithmic)

    def set_extra_state(self, state: Tensor) -> None:
        """Takes up what ``get_extra_state`` gave."""
        self.logarithmic = bool(state)

    def forward(self, x: Tensor) -> Tensor:
        """The centred and scaled input, in the shape that came."""
        return ((x.log1p() if self.logarithmic else x) - self.shift).div_(self.scale)
