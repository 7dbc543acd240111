"""torch's global generators, lent to training and given back as they were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


def states(device: torch.device) -> dict[str, Tensor]:
    """The states of the generators that draws on ``device`` use, as bytes."""
    found = {"cpu": torch.get_rng_state()}
    return found | {"device": torch.cuda.get_rng_state(device)} if device.type == "cuda" else found


def restore(saved: Mapping[str, Tensor], device: torch.device) -> None:
    """Sets the generators to what ``states`` returned."""
    torch.set_rng_state(saved["cpu"].clone())  # torch ignores where a view begins, and crashes
    if device.type == "cuda" and "device" in saved:
        torch.cuda.set_rng_state(saved["device"].cpu().clone(), device)


@contextmanager
def isolated(device: torch.device, *seed: int) -> Iterator[None]:
    """Within this context draws depend on ``seed`` alone; after it the generators are as they were.

    >>> before = torch.get_rng_state()
    >>> with isolated(torch.device("cpu"), 1, 2):
    ...     first = torch.rand(3)
    >>> with isolated(torch.device("cpu"), 1, 2):
    ...     print(bool((torch.rand(3) == first).all()))
    True
    >>> bool((torch.get_rng_state() == before).all())
    True
    """
    before = states(device)
    restore(_seeded(device, seed), device)
    try:
        yield
    finally:
        restore(before, device)


def _seeded(device: torch.device, seed: tuple[int, ...]) -> dict[str, Tensor]:
    number = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
    fresh = {"cpu": torch.Generator().manual_seed(number).get_state()}
    if device.type == "cuda":
        fresh["device"] = torch.Generator(device).manual_seed(number).get_state()
    return fresh
