"""Networks that read and write strings of symbols: whole numbers, 0 the end.

Either stands in two places. As an encoder it reads a whole string and gives numbers, like any network. As a decoder it
is *causal*: what it says of a position is a function of the symbols before it, and of the code. Training reads all
positions at once, whose pasts are known; drawing goes from one to the next, with what was read kept as a state.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
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
        logits = self.layer(h)
        return (logits if logits.dtype == torch.float64 else logits.float()).log_softmax(-1)

    def of(self, h: Tensor, x: Tensor) -> Tensor:
        """log p of one symbol each, ``(N, H), (N,) -> (N,)``: what training needs."""
        if self.adaptive:
            return self.layer(h, x).output
        return _at(self(h), x)

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


class _Encoder(nn.Module, ABC):
    """Numbers that tell of a whole string: its last state, and the mean of all, through one linear map."""

    def __init__(self, width: int, site: Site) -> None:
        super().__init__()
        self.last = nn.Linear(2 * width, prod(site.event_shape))
        self.event_shape = site.event_shape

    @abstractmethod
    def states(self, x: Tensor, known: Tensor) -> Tensor:
        """``(B, T)`` and which positions hold symbols or the end -> ``(B, T, H)``."""

    def forward(self, x: Tensor) -> Tensor:
        """``(B, T) -> (B, *event_shape)``."""
        x = x[:, : reach(x)].long()
        end = lengths(x).clamp(max=x.shape[1] - 1)
        known = torch.arange(x.shape[1], device=x.device) <= end[:, None]
        h = self.states(x, known)
        final = h.gather(1, end[:, None, None].expand(-1, 1, h.shape[-1])).squeeze(1)
        mean = (h * known.unsqueeze(-1)).sum(1) / (end + 1).unsqueeze(-1)
        return self.last(torch.cat([final, mean], -1)).unflatten(-1, self.event_shape)


class SequenceNetwork(Spec, ABC):
    """A network of strings: ``build`` makes the one that reads them, ``decoder`` the causal one that writes them."""

    word_dropout: float

    @abstractmethod
    def build(self, site: Site) -> nn.Module:
        """``(B, T)`` symbols to ``(B, *event_shape)``."""

    @abstractmethod
    def decoder(self, symbols: int, length: int, context: int) -> Decoder:
        """A causal network for strings of at most ``length`` symbols, given ``context`` numbers."""

    def symbols(self, site: Site) -> int:
        """Of how many symbols the strings are that are to be read."""
        if site.symbols is None:
            raise InputError(f"{self} reads and writes text; what stands here is numbers. Use MLP((512, 512)).")
        return site.symbols


def _check(spec: Any) -> None:
    check_positive("word_dropout", spec.word_dropout, zero=True)
    if spec.word_dropout >= 1:
        raise InputError(f"word_dropout expects a share from 0 up to, and below, 1; got {spec.word_dropout!r}")


@dataclass(frozen=True, repr=False)
class GRU(SequenceNetwork):
    """h_t = GRU(h_{t-1}, [embedding of x_{t-1}, c]), h_0 = tanh(W c): one recurrent layer.

    Args:
        hidden: the width of h.
        embedding: numbers that stand for a symbol.
        word_dropout: the share of symbols that the decoder is not shown in training.

    Reference: Cho et al., *Learning phrase representations using RNN encoder-decoder*, 2014.

    Example:
        >>> encoder = GRU(16, 8).build(Site((4,), (10,), symbols=30))
        >>> encoder(torch.ones(5, 10)).shape
        torch.Size([5, 4])
        >>> GRU(16, 8).decoder(30, 10, 4)(torch.ones(5, 10).long(), torch.zeros(5, 4)).shape
        torch.Size([5, 10, 16])
    """

    hidden: int = 256
    embedding: int = 128
    word_dropout: float = 0.25

    def __post_init__(self) -> None:
        check_positive("hidden", self.hidden, integer=True)
        check_positive("embedding", self.embedding, integer=True)
        _check(self)

    def build(self, site: Site) -> nn.Module:
        """The encoder."""
        return _RecurrentEncoder(self, site)

    def decoder(self, symbols: int, length: int, context: int) -> Decoder:
        """The decoder."""
        return _RecurrentDecoder(self, symbols, context)


class _RecurrentEncoder(_Encoder):
    def __init__(self, spec: GRU, site: Site) -> None:
        super().__init__(spec.hidden, site)
        self.table = nn.Embedding(spec.symbols(site), spec.embedding)
        self.layer = nn.GRU(spec.embedding, spec.hidden, batch_first=True)

    def states(self, x: Tensor, known: Tensor) -> Tensor:
        return self.layer(self.table(x))[0]


class _RecurrentDecoder(Decoder):
    def __init__(self, spec: GRU, symbols: int, context: int) -> None:
        super().__init__()
        self.word_dropout = spec.word_dropout
        self.table = nn.Embedding(symbols + 1, spec.embedding)
        self.first = nn.Linear(context, spec.hidden) if context else None
        self.layer = nn.GRU(spec.embedding + context, spec.hidden, batch_first=True)
        self.output = Output(spec.hidden, symbols)

    def states(self, before: Tensor, c: Tensor) -> Tensor:
        beside = c.unsqueeze(1).expand(-1, before.shape[1], -1)
        return self.layer(torch.cat([self.table(before), beside], -1), self._state(c))[0]

    def start(self, c: Tensor) -> Any:
        return c, self._state(c)

    def step(self, symbol: Tensor, past: Any) -> tuple[Tensor, Any]:
        c, state = past
        h, state = self.layer(torch.cat([self.table(symbol), c], -1).unsqueeze(1), state)
        return h.squeeze(1), (c, state)

    def _state(self, c: Tensor) -> Tensor:
        if self.first is None:
            return c.new_zeros(1, len(c), self.layer.hidden_size)
        return self.first(c).tanh().unsqueeze(0)


@dataclass(frozen=True, repr=False)
class Transformer(SequenceNetwork):
    """h = layers of x + attention(norm(x)), then x + MLP(norm(x)), of embeddings with positions, and c added to each.

    Args:
        width: of h.
        layers: how many.
        heads: of attention; they divide the width.
        word_dropout: the share of symbols that the decoder is not shown in training.

    Reference: Vaswani et al., *Attention is all you need*, 2017; with norms inside, Xiong et al., 2020.

    Example:
        >>> decoder = Transformer(16, 1, 2).decoder(30, 10, 4)
        >>> decoder(torch.ones(5, 10).long(), torch.zeros(5, 4)).shape
        torch.Size([5, 10, 16])
    """

    width: int = 128
    layers: int = 2
    heads: int = 4
    word_dropout: float = 0.25

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads"):
            check_positive(name, getattr(self, name), integer=True)
        if self.width % self.heads:
            raise InputError(f"Transformer expects heads that divide its width; got {self.heads} of {self.width}.")
        _check(self)

    def build(self, site: Site) -> nn.Module:
        """The encoder."""
        return _AttentiveEncoder(self, site)

    def decoder(self, symbols: int, length: int, context: int) -> Decoder:
        """The decoder."""
        return _AttentiveDecoder(self, symbols, length, context)


class _Block(nn.Module):
    """x + attention(norm(x)), then x + MLP(norm(x))."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.inside, self.outside = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(
        self, x: Tensor, past: tuple[Tensor, Tensor] | None = None, mask: Tensor | None = None, causal: bool = False
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """``(N, T, W)``, and the keys and values of what was read so far."""
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in self.inside(self.before(x)).chunk(3, -1))
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        seen = nn.functional.scaled_dot_product_attention(q, k, v, mask, is_causal=causal)
        x = x + self.outside(seen.transpose(1, 2).flatten(-2))
        return x + self.narrow(nn.functional.gelu(self.wide(self.between(x)))), (k, v)


class _Attention(nn.Module):
    """Blocks over positions."""

    def __init__(self, spec: Transformer, length: int) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.randn(length, spec.width) / math.sqrt(spec.width))
        self.blocks = nn.ModuleList(_Block(spec.width, spec.heads) for _ in range(spec.layers))
        self.norm = nn.LayerNorm(spec.width)

    def forward(self, x: Tensor, *, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        x = x + self.places[: x.shape[1]]
        for block in self.blocks:
            x, _ = block(x, mask=mask, causal=causal)
        return self.norm(x)

    def step(self, x: Tensor, past: list[Any]) -> tuple[Tensor, list[Any]]:
        """One position more, ``(N, W)``."""
        place = 0 if past[0] is None else past[0][0].shape[2]
        x, seen = (x + self.places[place]).unsqueeze(1), []
        for block, known in zip(self.blocks, past):
            x, kept = block(x, known)
            seen.append(kept)
        return self.norm(x).squeeze(1), seen


class _AttentiveEncoder(_Encoder):
    def __init__(self, spec: Transformer, site: Site) -> None:
        super().__init__(spec.width, site)
        self.table = nn.Embedding(spec.symbols(site), spec.width)
        self.layer = _Attention(spec, prod(site.context_shape or ()))

    def states(self, x: Tensor, known: Tensor) -> Tensor:
        return self.layer(self.table(x), mask=known[:, None, None, :])


class _AttentiveDecoder(Decoder):
    def __init__(self, spec: Transformer, symbols: int, length: int, context: int) -> None:
        super().__init__()
        self.word_dropout = spec.word_dropout
        self.table = nn.Embedding(symbols + 1, spec.width)
        self.beside = nn.Linear(context, spec.width, bias=False) if context else None
        self.layer = _Attention(spec, length)
        self.output = Output(spec.width, symbols)

    def states(self, before: Tensor, c: Tensor) -> Tensor:
        return self.layer(self.table(before) + self._told(c).unsqueeze(1), causal=True)

    def start(self, c: Tensor) -> Any:
        return self._told(c), [None] * len(self.layer.blocks)

    def step(self, symbol: Tensor, past: Any) -> tuple[Tensor, Any]:
        told, known = past
        h, known = self.layer.step(self.table(symbol) + told, known)
        return h, (told, known)

    def _told(self, c: Tensor) -> Tensor:
        return c.new_zeros(len(c), self.table.embedding_dim) if self.beside is None else self.beside(c)
