"""Element-wise work in pieces that fit into the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod

from torch import Tensor

from latens.distributions.base import Shape

LARGEST = 65_536


def blocks(shape: Shape, like: Tensor) -> Iterator[tuple[int | slice, ...]]:
    """Indices that cut a tensor of this shape into blocks of at most 65,536 elements; one block on an accelerator.

    Example:
        >>> import torch
        >>> list(blocks((2, 3, 50_000), torch.zeros(())))[:2]
        [(0, slice(0, 1, None)), (0, slice(1, 2, None))]
    """
    axis = next((i for i in range(len(shape)) if prod(shape[i + 1 :]) <= LARGEST), 0)
    if prod(shape) <= LARGEST or like.device.type != "cpu":
        yield (slice(None),)
        return
    step = max(1, LARGEST // max(1, prod(shape[axis + 1 :])))
    for outer in product(*map(range, shape[:axis])):
        for start in range(0, shape[axis], step):
            yield (*outer, slice(start, start + step))
