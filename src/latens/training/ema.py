"""An exponential moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

STRIDE = 8
"""Steps between two updates, which makes their cost negligible; the decay is raised to this power."""


class Average:
    """a <- a + (1 - d^STRIDE) (w - a) at every STRIDE-th step t, with d = min(decay, (1 + t) / (10 + t)).

    The smaller decay at first lets the average forget the initial weights.

    Args:
        weights: what is averaged.
        decay: per step; 0 for no average.
    """

    def __init__(self, weights: Sequence[Tensor], decay: float) -> None:
        self.weights = list(weights)
        self.decay = decay
        self.averages = [w.detach().clone() for w in self.weights] if decay else []

    def update(self, step: int) -> None:
        """To be called after every step, the first being 1."""
        if self.averages and step % STRIDE == 0:
            decay = min(self.decay, (1 + step) / (10 + step))
            with torch.no_grad():
                torch._foreach_lerp_(self.averages, self.weights, 1 - decay**STRIDE)

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Within this context the weights are their averages; nothing is copied."""
        live = [w.data for w in self.weights]
        for weight, average in zip(self.weights, self.averages):
            weight.data = average
        try:
            yield
        finally:
            for weight, data in zip(self.weights, live, strict=True):
                weight.data = data
