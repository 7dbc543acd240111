"""Where base noise comes from: torch's generator in training, a stream keyed by each row at scoring.

Every reparameterised draw of this library asks ``normal`` or ``uniform`` here. Inside ``with keyed(streams):`` row b of
the second axis draws from ``streams[b]`` alone, so that its noise depends on the row and not on its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import torch
from torch import Tensor

_streams: ContextVar[Sequence[np.random.Generator] | None] = ContextVar("latens_noise_streams", default=None)


@contextmanager
def keyed(streams: Sequence[np.random.Generator]) -> Iterator[None]:
    """Within this context, draws of shape ``(K, B, ...)`` take row b's noise from ``streams[b]``."""
    token = _streams.set(streams)
    try:
        yield
    finally:
        _streams.reset(token)


def normal(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Standard normal noise with the dtype and device of ``like``."""
    streams = _streams.get()
    if streams is None:
        return torch.randn(shape, dtype=like.dtype, device=like.device)
    return _stack([s.standard_normal(_row(shape, streams), np.float32) for s in streams], like)


def uniform(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Uniform noise on [0, 1) with the dtype and device of ``like``."""
    streams = _streams.get()
    if streams is None:
        return torch.rand(shape, dtype=like.dtype, device=like.device)
    return _stack([s.random(_row(shape, streams), np.float32) for s in streams], like)


def _row(shape: tuple[int, ...], streams: Sequence[np.random.Generator]) -> tuple[int, ...]:
    if len(shape) < 2 or shape[1] != len(streams):
        raise ValueError(f"Keyed noise expects a shape (K, {len(streams)}, ...); got {tuple(shape)}.")
    return (shape[0], *shape[2:])


def _stack(rows: list[np.ndarray], like: Tensor) -> Tensor:
    return torch.from_numpy(np.stack(rows, axis=1)).to(device=like.device, dtype=like.dtype)
