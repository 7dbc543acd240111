"""A recurrent layer that reads strings, and writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from latens.nn.base import Site
from latens.nn.sequences import Decoder, Encoder, Output, SequenceNetwork, check_word_dropout
from latens.utils.validation import check_positive


@dataclass(frozen=True, repr=False)
class GRU(SequenceNetwork):
    """h_t = GRU(h_{t-1}, [embedding of x_{t-1}, c]), h_0 = tanh(W c): one recurrent layer.

    A decoder tells x_t by h_t and c: what z says reaches every symbol without passing through the states.

    Args:
        hidden: the width of h.
        embedding: numbers that stand for a symbol.
        word_dropout: the share of symbols that the decoder is not shown in training.

    References:
        Cho et al., *Learning phrase representations using RNN encoder-decoder*, 2014; Dieng et al., *Avoiding latent
        variable collapse with generative skip models*, 2019, for c beside h.

    Example:
        >>> encoder = GRU(16, 8).build(Site((4,), (10,), symbols=30))
        >>> encoder(torch.ones(5, 10)).shape
        torch.Size([5, 4])
        >>> GRU(16, 8).decoder(30, 10, 4)(torch.ones(5, 10).long(), torch.zeros(5, 4)).shape
        torch.Size([5, 10, 20])
    """

    hidden: int = 256
    embedding: int = 128
    word_dropout: float = 0.1

    def __post_init__(self) -> None:
        check_positive("hidden", self.hidden, integer=True)
        check_positive("embedding", self.embedding, integer=True)
        check_word_dropout(self)

    def build(self, site: Site) -> nn.Module:
        """The encoder."""
        return _RecurrentEncoder(self, site)

    def decoder(self, symbols: int, length: int, context: int) -> Decoder:
        """The decoder."""
        return _RecurrentDecoder(self, symbols, context)


class _RecurrentEncoder(Encoder):
    def __init__(self, spec: GRU, site: Site) -> None:
        super().__init__(spec.hidden, site)
        self.table = nn.Embedding(spec.symbols(site), spec.embedding)
        self.layer = nn.GRU(spec.embedding + self.beside, spec.hidden, batch_first=True)

    def states(self, x: Tensor, known: Tensor, c: Tensor) -> Tensor:
        beside = c.unsqueeze(1).expand(-1, x.shape[1], -1)
        return self.layer(torch.cat([self.table(x), beside], -1))[0]


class _RecurrentDecoder(Decoder):
    def __init__(self, spec: GRU, symbols: int, context: int) -> None:
        super().__init__()
        self.word_dropout = spec.word_dropout
        self.table = nn.Embedding(symbols + 1, spec.embedding)
        self.first = nn.Linear(context, spec.hidden) if context else None
        self.layer = nn.GRU(spec.embedding + context, spec.hidden, batch_first=True)
        self.output = Output(spec.hidden + context, symbols)

    def states(self, before: Tensor, c: Tensor) -> Tensor:
        beside = c.unsqueeze(1).expand(-1, before.shape[1], -1)
        h = self.layer(torch.cat([self.table(before), beside], -1), self._state(c))[0]
        return torch.cat([h, beside], -1)

    def start(self, c: Tensor) -> Any:
        return c, self._state(c)

    def step(self, symbol: Tensor, past: Any) -> tuple[Tensor, Any]:
        c, state = past
        h, state = self.layer(torch.cat([self.table(symbol), c], -1).unsqueeze(1), state)
        return torch.cat([h.squeeze(1), c], -1), (c, state)

    def _state(self, c: Tensor) -> Tensor:
        if self.first is None:
            return c.new_zeros(1, len(c), self.layer.hidden_size)
        return self.first(c).tanh().unsqueeze(0)
