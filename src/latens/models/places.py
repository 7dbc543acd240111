"""Where latents of several numbers stand: one after another, or at the places of a map."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from torch import Tensor

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Places:
    """N vectors as a network makes and reads them.

    One after another they are one vector; on a map they are channels, as those of an image or a signal, whose places
    are counted row by row.

    Args:
        latents: N, or the size of the map.

    Example:
        >>> import torch
        >>> places = Places((2, 3))
        >>> places.shape(5), places.vectors(torch.zeros(7, 5, 2, 3)).shape
        ((5, 2, 3), torch.Size([7, 6, 5]))
        >>> Places(6).shape(5)
        (30,)
    """

    latents: int | Shape

    @property
    def on_map(self) -> bool:
        """Whether they have neighbours."""
        return not isinstance(self.latents, int)

    @property
    def size(self) -> Shape:
        """Of the map, or (N,)."""
        return (self.latents,) if isinstance(self.latents, int) else self.latents

    @property
    def number(self) -> int:
        """N."""
        return prod(self.size)

    def shape(self, width: int) -> Shape:
        """Of vectors of ``width`` numbers, where a network makes or reads them."""
        return (width, *self.size) if self.on_map else (self.number * width,)

    def vectors(self, laid: Tensor) -> Tensor:
        """From the shape of a network, ``(*, N, width)``."""
        if self.on_map:
            return laid.flatten(-len(self.size)).mT
        return laid.unflatten(-1, (self.number, -1))

    def laid(self, flat: Tensor) -> Tensor:
        """Vectors side by side, ``(*, N * width)``, in the shape of a network."""
        if self.on_map:
            return flat.unflatten(-1, (self.number, -1)).mT.unflatten(-1, self.size)
        return flat
