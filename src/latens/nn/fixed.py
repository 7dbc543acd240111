"""Weights that stay as they are for a while."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def fixed(weights: Iterable[nn.Parameter]) -> Iterator[None]:
    """Within this context nothing is computed for the gradients of the weights.

    >>> layer = nn.Linear(2, 1)
    >>> with fixed(layer.parameters()):
    ...     [weight.requires_grad for weight in layer.parameters()]
    [False, False]
    >>> [weight.requires_grad for weight in layer.parameters()]
    [True, True]
    """
    held = [weight for weight in weights if weight.requires_grad]
    for weight in held:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in held:
            weight.requires_grad_(True)
