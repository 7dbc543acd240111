"""Whether a training pays for bf16."""

from __future__ import annotations

import torch
from torch import nn

from latens.training.recipe import Precision
from latens.utils.errors import InputError

WORK = {"cpu": 1 << 23, "cuda": 1 << 27}
"""Multiplications in the largest product of a step (largest matrix x rows) from which bf16 is faster."""


def choose(precision: Precision, module: nn.Module, batch_size: int, device: torch.device) -> Precision:
    """ "float32" or "bf16"; "auto" takes bf16 where the hardware has it and the largest product is large enough.

    >>> choose("auto", nn.Linear(4, 4), 32, torch.device("cpu"))
    'float32'
    """
    if precision == "bf16" and device.type not in WORK:
        raise InputError(f'precision="bf16" is known on {sorted(WORK)}; got the device {device}. Use "float32".')
    if precision != "auto":
        return precision
    large = _largest(module) * batch_size >= WORK.get(device.type, 0)
    return "bf16" if large and _has_bf16(device) else "float32"


def _largest(module: nn.Module) -> int:
    return max((p.numel() for p in module.parameters() if p.ndim > 1), default=0)


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return device.type == "cpu" and supported is not None and bool(supported())
