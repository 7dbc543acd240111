"""Several processes that train one module, each on its share of every batch.

Active only under ``torchrun`` (or where the host has initialised torch.distributed). A step costs one all-reduce of
all gradients, laid out as one flat tensor. Everything that decides (stop, recover) is computed from reduced numbers,
so that all processes decide alike.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors


class World:
    """The processes of this training: ``rank`` of ``size``. With one process every method returns what it was given."""

    def __init__(self, device: torch.device, rank: int = 0, size: int = 1) -> None:
        self.device, self.rank, self.size = device, rank, size

    @classmethod
    def join(cls, device: torch.device) -> World:
        """The processes started with this one, if any."""
        if not dist.is_available() or not (dist.is_initialized() or _launched()):
            return cls(device)
        if not dist.is_initialized():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
            atexit.register(_leave)
        return cls(device, dist.get_rank(), dist.get_world_size())

    def average(self, gradients: list[Tensor]) -> list[Tensor]:
        """The mean of the gradients over the processes."""
        if self.size == 1:
            return gradients
        flat = _flatten_dense_tensors(gradients)
        dist.all_reduce(flat)
        return list(_unflatten_dense_tensors(flat.div_(self.size), gradients))

    def sum(self, numbers: np.ndarray) -> np.ndarray:
        """The sum over the processes."""
        if self.size == 1:
            return numbers
        tensor = torch.from_numpy(numbers.copy()).to(self.device)
        dist.all_reduce(tensor)
        return tensor.cpu().numpy()

    def any(self, flag: bool) -> bool:
        """Whether the flag holds on any process."""
        return bool(self.sum(np.array([float(flag)]))[0])

    def gather(self, tensor: Tensor) -> Tensor:
        """The tensors of all processes, along a new first axis."""
        if self.size == 1:
            return tensor[None]
        mine = tensor.to(self.device)
        parts = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(parts, mine)
        return torch.stack(parts).to(tensor.device)

    def first(self, number: int) -> int:
        """The number that the first process has."""
        return int(self.sum(np.array([number if self.rank == 0 else 0]))[0])

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Overwrites the tensors by those of the first process."""
        if self.size > 1:
            with torch.no_grad():
                for tensor in tensors:
                    dist.broadcast(tensor, 0)


def leads() -> bool:
    """Whether this process is the first, the one that writes files and speaks.

    >>> leads()
    True
    """
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank() == 0
    return not _launched() or os.environ["RANK"] == "0"


def local_device() -> torch.device:
    """The accelerator of this process, the CPU where there is none."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) if _launched() else 0)
    return torch.device("cpu")


def _launched() -> bool:
    return {"RANK", "MASTER_ADDR"} <= os.environ.keys() and int(os.environ.get("WORLD_SIZE", "1")) > 1


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
