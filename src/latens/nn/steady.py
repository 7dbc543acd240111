"""Linear maps whose every row is computed alike, wherever it stands in a block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

ALIGNED = 4
"""Rows of so many float32 begin on 16 bytes; of others, some processors add up every second one in another order."""


class _Aligned(TorchFunctionMode):
    """y = W x + b with zeros beside x and W up to a multiple of ``ALIGNED``: one sum, in one order for all rows."""

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.linear and args[0].shape[-1] % ALIGNED and args[0].device.type == "cpu":
            room = (0, -args[0].shape[-1] % ALIGNED)
            args = (F.pad(args[0], room), F.pad(args[1], room), *args[2:])
        return func(*args, **(kwargs or {}))


@contextmanager
def steady() -> Iterator[None]:
    """Inference in which a row's numbers do not depend on its place among others.

    >>> rows = torch.randn(1, 6).expand(256, 6).contiguous()
    >>> with steady():
    ...     y = torch.nn.functional.linear(rows, torch.randn(4, 6))
    >>> bool((y == y[0]).all())
    True
    """
    with torch.inference_mode(), _Aligned():
        yield
