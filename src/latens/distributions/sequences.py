"""Strings of symbols: 0 ends one, and what stands after the end is no part of it.

An event is a row ``(T,)`` of whole numbers, and its probability the product of those of its symbols and of its end, as
far as they stand in the row: what comes after the end counts 0 nats, and a string of T symbols needs no end. So the
probabilities of all rows that are strings sum to 1.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np
import torch
from torch import Size, Tensor

from latens.distributions.base import Distribution, Family, Shape
from latens.distributions.bounds import HALF
from latens.distributions.categorical import LARGEST, CategoricalElement
from latens.utils.errors import InputError


class Causal(Protocol):
    """A network whose state at a position is a function of the symbols before it, and of c."""

    def __call__(self, x: Tensor, c: Tensor) -> Tensor:
        """``(N, T), (N, C) -> (N, T', H)``: states, as far as the longest of x and its end reach."""

    def output(self, h: Tensor) -> Tensor:
        """log p of every symbol, ``(N, H) -> (N, V)``; ``output.of(h, x)`` and ``of_any(h, x)`` of one each."""

    def start(self, c: Tensor) -> Any:
        """What is known before the first symbol."""

    def step(self, symbol: Tensor, past: Any) -> tuple[Tensor, Any]:
        """The state after one more symbol, and what is known then."""


def counted(x: Tensor) -> Tensor:
    """Which positions are part of a string: its symbols, and the first 0.

    >>> counted(torch.tensor([[5, 0, 0], [0, 0, 0], [1, 1, 1]])).int()
    tensor([[1, 1, 0],
            [1, 0, 0],
            [1, 1, 1]], dtype=torch.int32)
    """
    before = (x[..., :-1] != 0).cumprod(-1).bool()
    return torch.nn.functional.pad(before, (1, 0), value=True)


class StringDistribution(Distribution):
    """p(x) = prod_t p(x_t | x_1 .. x_{t-1}), up to the first 0."""

    @abstractmethod
    def factors(self, x: Tensor) -> Tensor:
        """log p(x_t | x_1 .. x_{t-1}), ``(*sample, *batch, T)``; 0 after the end."""

    @abstractmethod
    def _written(self, shape: Shape, greedy: bool) -> Tensor:
        """Rows ``(*shape, *batch, T)``: drawn, or the most probable symbol after symbol."""

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) of the string, in nats."""
        return self.factors(x).sum(-1)

    def rsample(self, shape: Shape = ()) -> Tensor:
        """Strings, without gradients; zeros after the end."""
        with torch.no_grad():
            return self._written(shape, False)

    @property
    def location(self) -> Tensor:
        """The string that is found by taking the most probable symbol after each that was taken."""
        with torch.no_grad():
            return self._written((), True)


class IndependentSymbols(StringDistribution):
    """Strings whose symbols do not look at each other: p(x_t | x_1 .. x_{t-1}) = p_t(x_t).

    Args:
        logits: ``(*batch, T, V)``.
    """

    def __init__(self, logits: Tensor) -> None:
        self.symbols = CategoricalElement(logits)
        self.batch_shape, self.event_shape = logits.shape[:-2], logits.shape[-2:-1]

    def factors(self, x: Tensor) -> Tensor:
        return torch.where(counted(x), self.symbols.log_prob(x), 0.0)

    def _written(self, shape: Shape, greedy: bool) -> Tensor:
        log_probs = self.symbols.log_probs
        full = (*shape, *self.batch_shape, *self.event_shape)
        rows = log_probs.argmax(-1).to(log_probs.dtype) if greedy else self.symbols.draw(full)
        return torch.where(counted(rows), rows, 0.0)


class CausalSymbols(StringDistribution):
    """Strings whose symbols follow from those before them, by a causal network.

    Args:
        network: states and log probabilities.
        c: what the strings are conditioned on, ``(*batch, C)``.
        length: T.
    """

    def __init__(self, network: Any, c: Tensor, length: int) -> None:
        self.network, self.c = network, c
        self.batch_shape, self.event_shape = c.shape[:-1], Size([length])

    def factors(self, x: Tensor) -> Tensor:
        """All positions in one pass, ``(*sample, *batch, T)``."""
        batch = np.broadcast_shapes(x.shape[:-1], self.batch_shape)
        rows = x.expand(*batch, -1).reshape(prod(batch), -1).long()
        h = self.network(rows, self.c.expand(*batch, -1).reshape(len(rows), -1))
        seen = rows[:, : h.shape[1]]
        known = self._all(h, seen) if not torch.is_grad_enabled() else self._of_strings(h, seen)
        return torch.nn.functional.pad(known, (0, rows.shape[1] - seen.shape[1])).reshape(*batch, -1).to(self.c.dtype)

    def _of_strings(self, h: Tensor, x: Tensor) -> Tensor:
        """Positions that count alone are asked for: most rows are filled up."""
        part = counted(x)
        out = self.network.output.of(h[part], x[part])
        return torch.zeros(x.shape, dtype=out.dtype, device=x.device).masked_scatter(part, out)

    def _all(self, h: Tensor, x: Tensor) -> Tensor:
        """Every position: how they are computed depends on no other row."""
        out = self.network.output.of_any(h.flatten(0, 1), x.flatten())
        return torch.where(counted(x), out.reshape(x.shape), 0.0)

    def _written(self, shape: Shape, greedy: bool) -> Tensor:
        return self.continued(None, shape, greedy=greedy)

    def continued(self, begun: Tensor | None, shape: Shape = (), *, greedy: bool = False) -> Tensor:
        """Strings that begin as given, up to the first 0, and go on as p says, ``(*shape, *batch, T)``.

        Args:
            begun: ``(*batch, T)``; None to begin with nothing.
            shape: of draws.
            greedy: whether the most probable symbol is taken, or one drawn.
        """
        full = (*shape, *self.batch_shape)
        c = self.c.expand(*full, -1).reshape(prod(full), -1)
        given = None if begun is None else begun.expand(*full, -1).reshape(len(c), -1).long()
        rows = torch.zeros(len(c), self.event_shape[0], dtype=torch.long, device=c.device)
        symbol, past = rows[:, 0], self.network.start(c)
        going = torch.ones_like(symbol, dtype=torch.bool)
        for t in range(rows.shape[1]):
            h, past = self.network.step(symbol, past)
            p = CategoricalElement(self.network.output(h))
            symbol = p.log_probs.argmax(-1) if greedy else p.draw(symbol.shape).long()
            going = going & (symbol != 0)
            if given is not None:
                held = (given[:, : t + 1] != 0).all(1)
                symbol = torch.where(held, given[:, t], symbol)
                going = going | held
            if not going.any():
                break
            rows[:, t] = symbol = symbol * going
        return rows.reshape(*full, -1).to(self.c.dtype)


@dataclass(frozen=True, repr=False)
class Strings(Family):
    """p(x) of a string, symbol after symbol and then its end, 0; what stands after the end does not count.

    With a decoder that reads what was written, ``GRU(...)`` or ``Transformer(...)``, every symbol depends on those
    before it; with any other the symbols are independent once z is known.

    Args:
        symbols: how many there are, the end among them.

    Example:
        >>> p = Strings(3)(torch.zeros(6), (2,))  # two symbols, each of 3
        >>> p.log_prob(torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]])).exp()
        tensor([0.3333, 0.1111, 0.1111])
    """

    symbols: int
    measure = "counting"
    support = "symbols"

    def __post_init__(self) -> None:
        if not isinstance(self.symbols, int) or self.symbols < 2:
            raise InputError(f"Strings expects a whole number of symbols, at least 2; got {self.symbols!r}.")

    def param_shape(self, event_shape: Shape) -> Shape:
        """The logits of the end at each position, then those of symbol 1, and so on."""
        return (self.symbols * event_shape[0], *event_shape[1:])

    def frequencies(self, batch: Tensor) -> Tensor:
        """The logarithm of how often each symbol stands in strings ``(B, T)``, one more each, ``(symbols,)``."""
        shown = batch.long()[counted(batch)]
        return (torch.bincount(shown, minlength=self.symbols) + 1.0).log().log_softmax(0)

    def centre(self, batch: Tensor) -> Tensor:
        """The same frequencies at every position."""
        return self.frequencies(batch).repeat_interleave(batch.shape[-1])

    def __call__(
        self, params: Tensor, event_shape: Shape, shared: Tensor | None = None, offset: Tensor | None = None
    ) -> IndependentSymbols:
        """Independent symbols with these logits."""
        logits = params.float() if params.dtype in HALF else params
        logits = logits if offset is None else logits + offset
        logits = logits.clamp(-LARGEST, LARGEST).unflatten(-1, (self.symbols, event_shape[0]))
        return IndependentSymbols(logits.mT)
