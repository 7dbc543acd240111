"""Whether a training pays for bf16.

On a processor with bf16 instructions a dense network takes 0.8 of the time of float32 where its largest matrix meets
4 million numbers a step (matrix x rows), 0.3 at 30 million, but 1.4 of it at 0.5 million; a convolution takes 0.8 with
32 channels, 0.55 with 64, but 1.6 with 8, at any size of image. A recurrent layer, whose products are small and many,
takes 1.1 to 1.4; of a table of embeddings a few rows are looked up.
"""

from __future__ import annotations

import platform

import torch
from torch import nn

from latens.training.recipe import Precision
from latens.utils.errors import InputError

DENSE = {"cpu": 1 << 22, "cuda": 1 << 27}
"""Entries of the largest matrix times rows of a batch, from which bf16 is faster."""
CONVOLUTION = {"cpu": 1 << 13, "cuda": 1 << 15}
"""Entries of the largest kernel, from which bf16 is faster; it decides for a network with any convolution."""


def choose(precision: Precision, module: nn.Module, rows: int, device: torch.device) -> Precision:
    """The precision to train in; "auto" takes bf16 where the hardware has it and the network is large enough to gain.

    >>> choose("auto", nn.Linear(4, 4), 32, torch.device("cpu"))
    'float32'
    """
    if precision == "bf16" and device.type not in DENSE:
        raise InputError(f'precision="bf16" is for {" and ".join(DENSE)}; got the device {device}. Use "float32".')
    if precision != "auto":
        return precision
    return "bf16" if device.type in DENSE and _gains(module, rows, device.type) and _has_bf16(device) else "float32"


def _gains(module: nn.Module, rows: int, kind: str) -> bool:
    if kind == "cpu" and any(isinstance(part, nn.RNNBase) for part in module.modules()):
        return False
    sizes = {"kernel": 0, "matrix": 0}
    tables = {part.weight for part in module.modules() if isinstance(part, nn.Embedding)}
    for weight in module.parameters():
        if weight.ndim > 1 and weight not in tables:
            shape = "kernel" if weight.ndim > 2 else "matrix"
            sizes[shape] = max(sizes[shape], weight.numel())
    if sizes["kernel"]:
        return sizes["kernel"] >= CONVOLUTION[kind]
    return sizes["matrix"] * rows >= DENSE[kind]


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if platform.machine().lower() in ("x86_64", "amd64"):  # elsewhere "supported" may be slow emulation by float32
        return any(getattr(torch.cpu, f"_is_{unit}_supported", lambda: False)() for unit in ("avx512_bf16", "amx_tile"))
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return supported is not None and bool(supported())
