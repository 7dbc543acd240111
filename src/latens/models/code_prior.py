"""A prior over codes that knows how they go together."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from latens.distributions import CausalCodes, SequentialCodes
from latens.models.codes import posterior_classes
from latens.models.conditional import ConditionalDistribution, join
from latens.nn import MLP, MaskedMLP, SequenceNetwork, Site, Spec
from latens.nn.sequences import Decoder
from latens.utils.errors import InputError

EMBEDDED = 16
"""Numbers that stand for a class, at most, where the network reads it."""


class MaskedCodes(ConditionalDistribution):
    """p(c) = prod_i p(c_i | c_1 .. c_{i-1}), by one masked perceptron: a module of :class:`AutoregressiveCodes`."""

    def __init__(self, size: int, classes: int, network: MLP, context: int) -> None:
        super().__init__()
        self.size, self.classes = size, classes
        self.table = nn.Embedding(classes, min(classes, EMBEDDED))
        width = self.table.embedding_dim
        self.network = MaskedMLP(size, classes, network, context, width)
        last = self.network.layers[-1]
        nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def forward(
        self, c: Tensor | None = None, *, observed: Tensor | None = None, context: Tensor | None = None
    ) -> SequentialCodes:
        """The codes given the context, whose leading axes are the batch shape."""

        def logits(code: Tensor) -> Tensor:
            return self.network(join(self.table(code.long()).flatten(-2), context, 1))

        return SequentialCodes(logits, self.size, () if context is None else context.shape[:-1], self.table.weight)


class WrittenCodes(ConditionalDistribution):
    """The same by a network that goes from one code to the next: another module of :class:`AutoregressiveCodes`."""

    origin: Tensor

    def __init__(self, size: int, classes: int, network: SequenceNetwork, context: int) -> None:
        super().__init__()
        self.size, self.classes = size, classes
        self.network: Decoder = network.decoder(classes, size, context)
        self.register_buffer("origin", torch.zeros(0), persistent=False)
        last = self.network.output.layer
        if isinstance(last, nn.Linear):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(
        self, c: Tensor | None = None, *, observed: Tensor | None = None, context: Tensor | None = None
    ) -> CausalCodes:
        """The codes given the context, whose leading axes are the batch shape."""
        return CausalCodes(self.network, self.origin if context is None else context, self.size)


@dataclass(frozen=True, repr=False)
class AutoregressiveCodes(Spec):
    """p(c) = prod_i p(c_i | c_1 .. c_{i-1}): a prior over codes, learned, which tells which codes go together.

    Each code is one of as many classes as the posterior has. It begins as uniform. Scores take one pass, draws one for
    each code. It learns through ``Rate()``, which the objective needs to hold, and moves no encoder. Codes on a map
    come row by row.

    Args:
        network: a perceptron, which is masked; or ``Transformer()`` or ``GRU()``, which reads one code after another,
            and whose draws cost one step for each: for the many codes of a map. No code is left out (word dropout).

    References:
        Germain et al., *MADE: masked autoencoder for distribution estimation*, 2015; van den Oord, Vinyals and
        Kavukcuoglu, *Neural discrete representation learning*, 2017; Esser, Rombach and Ommer, *Taming transformers for
        high-resolution image synthesis*, 2021.

    Example:
        >>> from latens.models.codebook import FiniteScalar
        >>> site = Site((3,), modules={"posterior": FiniteScalar((4,)).build(Site(()))})
        >>> p = AutoregressiveCodes(MLP((8,))).build(site)()
        >>> p.sample((5,)).shape, round(p.log_prob(torch.zeros(3)).exp().item(), 4)
        (torch.Size([5, 3]), 0.0156)
    """

    network: MLP | SequenceNetwork = MLP((128, 128))

    def build(self, site: Site) -> MaskedCodes | WrittenCodes:
        """A network that says of all codes that they are alike."""
        if not isinstance(self.network, (MLP, SequenceNetwork)):
            raise InputError(f"AutoregressiveCodes expects MLP((128,)), Transformer() or GRU(); got {self.network!r}.")
        context = sum(prod(shape) for shape in (site.context_shape, site.beside) if shape is not None)
        size, classes = prod(site.event_shape), posterior_classes(self, site)
        if isinstance(self.network, MLP):
            return MaskedCodes(size, classes, self.network, context)
        return WrittenCodes(size, classes, self.network, context)
