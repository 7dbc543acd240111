"""Means of what the loss returns, gathered without waiting for the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

Mean = float | list[float]
PAGE = 256
"""Batches whose numbers lie together. Each where its batch put it, between tensors of many megabytes, they would keep
the memory around them from being used again."""


class Bad(NamedTuple):
    """The first number that was not finite, or far too large: its name, its value, how many batches went before it."""

    name: str
    value: float
    batch: int


class Meter:
    """Sums of named numbers over batches, weighted by their rows.

    ``add`` copies them to a page on the device; ``flush`` reads the page, all at once, and adds the first number of
    each batch to ``recent``.

    >>> meter = Meter()
    >>> meter.add({"loss": torch.tensor(1.0)}, rows=3)
    >>> meter.add({"loss": torch.tensor(5.0)}, rows=1)
    >>> meter.means()
    {'loss': 2.0}
    """

    def __init__(self) -> None:
        self.names: dict[str, int | None] = {}
        self.sums = np.zeros(0)
        self.rows = 0
        self.batches = 0
        self.bad: Bad | None = None
        self.recent: list[float] = []
        self._page = torch.empty(0)
        self._waiting: list[int] = []

    def add(self, terms: Mapping[str, Tensor], rows: int) -> None:
        """Counts the terms of one batch, each () or (L,)."""
        if not self.names:
            self.names = {name: None if term.ndim == 0 else len(term) for name, term in terms.items()}
            self.sums = np.zeros(sum(size or 1 for size in self.names.values()))
        numbers = [terms[name].detach().reshape(-1) for name in self.names]
        if len(self._page) == 0:
            self._page = torch.empty(PAGE, len(self.sums), device=numbers[0].device)
        torch.cat(numbers, out=self._page[len(self._waiting)])
        self._waiting.append(rows)
        if len(self._waiting) == PAGE:
            self.flush()

    def flush(self) -> None:
        """Reads what has been added since, and notes the first number that was not finite."""
        if not self._waiting:
            return
        table = self._page[: len(self._waiting)].cpu().double().numpy()
        rows = np.array(self._waiting)
        self._inspect(table)
        self.recent += table[:, 0].tolist()
        self.sums = self.sums + rows @ table
        self.rows += int(rows.sum())
        self.batches += len(rows)
        self._waiting.clear()

    def means(self) -> dict[str, Mean]:
        """The mean of each name over all rows added: a number, or a list for a vector."""
        self.flush()
        means, start, result = (self.sums / max(self.rows, 1)).tolist(), 0, {}
        for name, size in self.names.items():
            result[name] = means[start] if size is None else means[start : start + size]
            start += size or 1
        return result

    def state(self) -> dict[str, object]:
        """All of it as plain numbers, for a checkpoint."""
        self.flush()
        return {"names": self.names, "sums": self.sums.tolist(), "rows": self.rows, "batches": self.batches}

    @classmethod
    def restored(cls, state: Mapping) -> Meter:
        """The meter whose ``state`` this was."""
        meter = cls()
        meter.names, meter.sums = dict(state["names"]), np.array(state["sums"])
        meter.rows, meter.batches = state["rows"], state["batches"]
        return meter

    def _inspect(self, table: np.ndarray) -> None:
        if self.bad is not None or np.isfinite(table).all():
            return
        batch = int(np.argmin(np.isfinite(table).all(1)))
        names = [name for name, size in self.names.items() for _ in range(size or 1)]
        wrong = {name: float(v) for name, v in zip(names, table[batch], strict=True) if not np.isfinite(v)}
        name = next((name for name in wrong if name != "loss"), "loss")
        self.bad = Bad(name, wrong[name], self.batches + batch)
