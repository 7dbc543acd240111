"""Rows to train on, in batches whose order is a function of (seed, epoch) alone.

Every batch of training is full, so that shapes never change: the ``n mod batch_size`` rows at the end of an epoch's
permutation are dropped, and the next epoch's permutation drops others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from latens.utils.errors import InputError

Batch = tuple[Tensor, ...]

_CHUNK_BYTES = 1 << 20


class Source(Protocol):
    """Anything with a length and a way to read given rows; read from several threads at once."""

    def __len__(self) -> int: ...

    def take(self, indices: np.ndarray) -> np.ndarray | tuple[np.ndarray, ...]:
        """The rows at ``indices``, first axis = rows."""
        ...


class Batches(ABC):
    """Rows to train on."""

    @abstractmethod
    def __len__(self) -> int:
        """How many rows there are."""

    @abstractmethod
    def epoch(
        self, batch_size: int, seed: int, epoch: int, start_step: int = 0, rank: int = 0, world: int = 1
    ) -> Iterator[Batch]:
        """The batches of one epoch from ``start_step`` on; of each global batch, the share of process ``rank``."""

    @abstractmethod
    def sequential(self, batch_size: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """All rows in order, the last batch may be short; of these batches, every ``world``-th from ``rank`` on."""

    def to(self, device: torch.device) -> Batches:
        """The same rows, whose batches lie on ``device``."""
        return self


def plan(n: int, batch_size: int, world: int = 1) -> tuple[int, int]:
    """(rows of a batch on each process, steps of an epoch).

    >>> plan(60_000, 128), plan(60_000, 128, 2), plan(50, 128)
    ((128, 468), (64, 468), (50, 1))
    """
    share = min(n, batch_size) // world
    if share == 0:
        raise InputError(
            f"Each of {world} processes needs a row of every batch; got {n} rows in batches of {batch_size}."
        )
    return share, n // (share * world)


def order(n: int, batch_size: int, seed: int, epoch: int, start_step: int, rank: int, world: int) -> np.ndarray:
    """The row indices of one process, ``(steps, rows)``.

    >>> order(6, 2, seed=0, epoch=0, start_step=1, rank=0, world=1).shape
    (2, 2)
    """
    share, steps = plan(n, batch_size, world)
    permutation = np.random.default_rng((seed, epoch)).permutation(n)
    return permutation[: steps * world * share].reshape(steps, world, share)[start_step:, rank]


class ResidentBatches(Batches):
    """Tensors held in memory on the device, in their own dtype: bytes stay bytes until the loss asks for more.

    Args:
        tensors: one or more tensors with the same number of rows.

    Raises:
        InputError: there is no tensor, or they differ in their number of rows.

    >>> batches = ResidentBatches(torch.arange(6), torch.arange(6) * 10)
    >>> [x.tolist() for x, y in batches.sequential(4)]
    [[0, 1, 2, 3], [4, 5]]
    >>> sorted(int(i) for x, y in batches.epoch(2, seed=0, epoch=0) for i in x)
    [0, 1, 2, 3, 4, 5]
    """

    def __init__(self, *tensors: Tensor) -> None:
        lengths = {len(tensor) for tensor in tensors}
        if len(lengths) != 1:
            raise InputError(f"Expected one or more tensors of the same length; got lengths {sorted(lengths)}.")
        self.tensors = tensors

    def __len__(self) -> int:
        return len(self.tensors[0])

    def to(self, device: torch.device) -> ResidentBatches:
        return ResidentBatches(*(tensor.to(device) for tensor in self.tensors))

    def epoch(
        self, batch_size: int, seed: int, epoch: int, start_step: int = 0, rank: int = 0, world: int = 1
    ) -> Iterator[Batch]:
        rows = torch.from_numpy(order(len(self), batch_size, seed, epoch, start_step, rank, world))
        rows = rows.to(self.tensors[0].device, non_blocking=True)
        for some in rows.split(self._chunk(rows.shape[1])):
            flat = some.reshape(-1)
            gathered = [tensor.index_select(0, flat) for tensor in self.tensors]
            yield from zip(*(block.split(rows.shape[1]) for block in gathered), strict=True)

    def sequential(self, batch_size: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        for start in range(rank * batch_size, len(self), world * batch_size):
            yield tuple(tensor[start : start + batch_size] for tensor in self.tensors)

    def _chunk(self, batch_size: int) -> int:
        """How many batches are gathered at once: many small ones, so that a step pays for slicing alone."""
        row = sum(tensor[:1].numel() * tensor.element_size() for tensor in self.tensors)
        return max(1, _CHUNK_BYTES // max(1, row * batch_size))


class StreamingBatches(Batches):
    """Rows read from a source while the previous batches train.

    Args:
        source: has a length and ``take(indices) -> rows``; an error it raises is raised by the loop.
        threads: how many batches are read at the same time.
        ahead: how many batches may wait, which bounds the memory.
        device: where the batches are to lie.

    >>> class Squares:
    ...     def __len__(self):
    ...         return 5
    ...     def take(self, indices):
    ...         return indices**2
    >>> [x.tolist() for (x,) in StreamingBatches(Squares()).sequential(3)]
    [[0, 1, 4], [9, 16]]
    """

    def __init__(self, source: Source, threads: int = 2, ahead: int = 4, device: torch.device | None = None) -> None:
        self.source = source
        self.threads = threads
        self.ahead = ahead
        self.device = torch.device("cpu") if device is None else device

    def __len__(self) -> int:
        return len(self.source)

    def to(self, device: torch.device) -> StreamingBatches:
        return StreamingBatches(self.source, self.threads, self.ahead, device)

    def epoch(
        self, batch_size: int, seed: int, epoch: int, start_step: int = 0, rank: int = 0, world: int = 1
    ) -> Iterator[Batch]:
        yield from self._stream(iter(order(len(self), batch_size, seed, epoch, start_step, rank, world)))

    def sequential(self, batch_size: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        starts = range(rank * batch_size, len(self), world * batch_size)
        yield from self._stream(np.arange(s, min(s + batch_size, len(self))) for s in starts)

    def _stream(self, batches: Iterator[np.ndarray]) -> Iterator[Batch]:
        waiting: deque[Future[Batch]] = deque()
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="latens-batches")
        try:
            for indices in batches:
                waiting.append(pool.submit(self._read, indices))
                if len(waiting) > self.ahead:
                    yield self._send(waiting.popleft().result())
            while waiting:
                yield self._send(waiting.popleft().result())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _read(self, indices: np.ndarray) -> Batch:
        rows = self.source.take(indices)
        arrays = rows if isinstance(rows, tuple) else (rows,)
        tensors = tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)
        return tuple(tensor.pin_memory() for tensor in tensors) if self.device.type == "cuda" else tensors

    def _send(self, batch: Batch) -> Batch:
        return tuple(tensor.to(self.device, non_blocking=True) for tensor in batch)
