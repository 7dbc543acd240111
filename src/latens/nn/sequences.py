"""Networks that read and write strings of symbols: whole numbers, 0 the end.

Either stands in two places. As an encoder it reads a whole string and gives numbers, like any network. As a decoder it
is *causal*: what it says of a position is a function of the symbols before it, and of the code. Training reads all
positions at once, whose pasts are known; drawing goes from one to the next, with what was read kept as a state.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from latens.nn.base import Site, Spec
from latens.utils.errors import InputError
from latens.utils.validation import check_positive

FREQUENT, MANY = 1000, 4000
"""Of more symbols than ``MANY``, those after the first ``FREQUENT`` share a smaller output layer."""
_NUMBERS, _BLOCK = 1 << 22, 256
"""Log probabilities that are computed at once, and positions of rare symbols, where no gradient needs them all."""
_STRIDE = 8
"""Rows are cut to a multiple of so many positions."""


def lengths(x: Tensor) -> Tensor:
    """How many symbols stand before the first 0, ``(*, T) -> (*)``.

    >>> lengths(torch.tensor([[5, 3, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]]))
    tensor([2, 0, 4])
    """
    return (x != 0).long().cumprod(-1).sum(-1)


def reaches(x: Tensor) -> Tensor:
    """How many positions hold the symbols and the end of each: a multiple of 8, or all of them, ``(*, T) -> (*)``.

    >>> reaches(torch.tensor([[1] * 20, [1] * 8 + [0] * 12, [1] * 7 + [0] * 13]))
    tensor([20, 16,  8])
    """
    return (-(-(lengths(x) + 1) // _STRIDE) * _STRIDE).clamp(max=x.shape[-1])


def reach(x: Tensor) -> int:
    """That of the longest."""
    return int(reaches(x).max())


class Output(nn.Module):
    """log softmax(W h): exact, and of many symbols in two steps: the frequent ones, then the rest among themselves.

    Reference: Grave et al., *Efficient softmax approximation for GPUs*, 2017.

    Args:
        width: of h.
        symbols: how many there are, the frequent ones first.
    """

    def __init__(self, width: int, symbols: int) -> None:
        super().__init__()
        self.adaptive = symbols > MANY
        self.layer: Any = (
            nn.AdaptiveLogSoftmaxWithLoss(width, symbols, [FREQUENT], head_bias=True)
            if self.adaptive
            else nn.Linear(width, symbols)
        )

    @torch.no_grad()
    def begin(self, log_p: Tensor) -> None:
        """Begins at these log probabilities ``(symbols,)``, about."""
        if self.adaptive:
            rest = log_p[FREQUENT:].logsumexp(0, keepdim=True)
            self.layer.head.bias.copy_(torch.cat([log_p[:FREQUENT], rest]))
        else:
            self.layer.bias.copy_(log_p)

    def forward(self, h: Tensor) -> Tensor:
        """log p of every symbol, ``(N, H) -> (N, symbols)``."""
        if self.adaptive:
            return self.layer.log_prob(h)
        return _log_softmax(self.layer(h))

    def of(self, h: Tensor, x: Tensor) -> Tensor:
        """log p of one symbol each, ``(N, H), (N,) -> (N,)``: what training needs."""
        if not self.adaptive:
            return _at(self(h), x)
        out = _at(_log_softmax(self.layer.head(h)), x.clamp(max=FREQUENT))
        rare = (x >= FREQUENT).nonzero().squeeze(-1)
        return out.index_add(0, rare, _at(_log_softmax(self.layer.tail[0](h[rare])), x[rare] - FREQUENT))

    def of_any(self, h: Tensor, x: Tensor) -> Tensor:
        """The same, a bounded number at a time, and to the bit whatever stands beside: what scores need."""
        wide = FREQUENT + 1 if self.adaptive else self.layer.out_features
        size = max(1, _NUMBERS // wide)
        return torch.cat([self._few(a, b) for a, b in zip(h.split(size), x.split(size))])

    def _few(self, h: Tensor, x: Tensor) -> Tensor:
        if not self.adaptive:
            return _at(self(h), x)
        out = _at(self.layer.head(h).log_softmax(-1), x.clamp(max=FREQUENT))
        rare = (x >= FREQUENT).nonzero().squeeze(-1)
        for here in rare.split(_BLOCK) if len(rare) else ():
            full = torch.cat([here, here[-1:].expand(_BLOCK - len(here))])  # of one shape, so in one order of sums
            rest = _at(self.layer.tail[0](h[full]).log_softmax(-1), x[full] - FREQUENT)
            out[here] += rest[: len(here)]
        return out


def _log_softmax(logits: Tensor) -> Tensor:
    """In at least single precision: log densities are not for half of one."""
    return (logits if logits.dtype == torch.float64 else logits.float()).log_softmax(-1)


def _at(log_p: Tensor, x: Tensor) -> Tensor:
    return log_p.gather(-1, x.unsqueeze(-1)).squeeze(-1)


class Decoder(nn.Module, ABC):
    """p(x_t | x_1 .. x_{t-1}, c) for all t: states of a causal network, and an output layer.

    Attributes:
        table: what stands for each symbol, and last for one that was left out.
        output: from a state to log p of each symbol.
    """

    table: nn.Embedding
    output: Output
    word_dropout: float

    @abstractmethod
    def states(self, before: Tensor, c: Tensor) -> Tensor:
        """The state at every position, ``(N, T)`` symbols before each and ``(N, C)`` -> ``(N, T, H)``."""

    @abstractmethod
    def start(self, c: Tensor) -> Any:
        """What is known before the first symbol."""

    @abstractmethod
    def step(self, symbol: Tensor, past: Any) -> tuple[Tensor, Any]:
        """The state after one more symbol ``(N,)``, ``(N, H)``, and what is known then."""

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """The state at every position of x, ``(N, T) -> (N, T', H)``: it sees what stands before it.

        T' is how far the longest of x reaches. In training some of what was before is left out, so that c is asked for
        it (word dropout).

        Reference: Bowman et al., *Generating sentences from a continuous space*, 2016.
        """
        before = nn.functional.pad(x[:, : reach(x) - 1], (1, 0))
        if self.training and self.word_dropout:
            gone = torch.rand(before.shape, device=x.device) < self.word_dropout
            gone[:, 0] = False
            before = before.masked_fill(gone, self.table.num_embeddings - 1)
        return self.states(before, c)


class Encoder(nn.Module, ABC):
    """Numbers that tell of a whole string: its last state, and the mean of all, through one linear map.

    What stands beside the string, y of q(z | x, y), is beside every symbol.
    """

    def __init__(self, width: int, site: Site) -> None:
        super().__init__()
        self.beside = prod(site.beside or (0,))
        self.last = nn.Linear(2 * width, prod(site.event_shape))
        self.event_shape = site.event_shape

    @abstractmethod
    def states(self, x: Tensor, known: Tensor, c: Tensor) -> Tensor:
        """``(B, T)``, which positions hold symbols or the end, and ``(B, C)`` beside -> ``(B, T, H)``."""

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """``(B, T)``, and ``(B, C)`` where there is a context -> ``(B, *event_shape)``."""
        x = x[:, : reach(x)].long()
        end = lengths(x).clamp(max=x.shape[1] - 1)
        known = torch.arange(x.shape[1], device=x.device) <= end[:, None]
        c = self.last.weight.new_zeros(len(x), self.beside) if context is None else context
        h = self.states(x, known, c)
        final = h.gather(1, end[:, None, None].expand(-1, 1, h.shape[-1])).squeeze(1)
        mean = (h * known.unsqueeze(-1)).sum(1) / (end + 1).unsqueeze(-1)
        return self.last(torch.cat([final, mean], -1)).unflatten(-1, self.event_shape)


class SequenceNetwork(Spec, ABC):
    """A network of strings: ``build`` makes the one that reads them, ``decoder`` the causal one that writes them."""

    word_dropout: float

    @abstractmethod
    def build(self, site: Site) -> nn.Module:
        """``(B, T)`` symbols, and the context beside them, to ``(B, *event_shape)``."""

    @abstractmethod
    def decoder(self, symbols: int, length: int, context: int) -> Decoder:
        """A causal network for strings of at most ``length`` symbols, given ``context`` numbers."""

    def symbols(self, site: Site) -> int:
        """Of how many symbols the strings are that are to be read."""
        if site.symbols is None:
            raise InputError(f"{self} reads and writes text; what stands here is numbers. Use MLP((512, 512)).")
        return site.symbols


def check_word_dropout(spec: SequenceNetwork) -> None:
    """Refuses a share of symbols left out that is none."""
    check_positive("word_dropout", spec.word_dropout, zero=True)
    if spec.word_dropout >= 1:
        raise InputError(f"word_dropout expects a share from 0 up to, and below, 1; got {spec.word_dropout!r}")
