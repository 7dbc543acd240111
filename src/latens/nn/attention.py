"""A small transformer that reads strings, and writes them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from latens.nn.base import Site
from latens.nn.sequences import Decoder, Encoder, Output, SequenceNetwork, check_word_dropout
from latens.utils.errors import InputError
from latens.utils.validation import check_positive


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
    word_dropout: float = 0.1

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads"):
            check_positive(name, getattr(self, name), integer=True)
        if self.width % self.heads:
            raise InputError(f"Transformer expects heads that divide its width; got {self.heads} of {self.width}.")
        check_word_dropout(self)

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


class _AttentiveEncoder(Encoder):
    def __init__(self, spec: Transformer, site: Site) -> None:
        super().__init__(spec.width, site)
        self.table = nn.Embedding(spec.symbols(site), spec.width)
        self.told = nn.Linear(self.beside, spec.width, bias=False) if self.beside else None
        self.layer = _Attention(spec, prod(site.context_shape or ()))

    def states(self, x: Tensor, known: Tensor, c: Tensor) -> Tensor:
        read = self.table(x) if self.told is None else self.table(x) + self.told(c).unsqueeze(1)
        return self.layer(read, mask=known[:, None, None, :])


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
