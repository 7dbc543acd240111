"""A prior over codes that knows how they go together."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from torch import Tensor, nn

from latens.distributions import SequentialCodes
from latens.models.codes import posterior_classes
from latens.models.conditional import ConditionalDistribution, join
from latens.nn import MLP, MaskedMLP, Site, Spec

EMBEDDED = 16
"""Numbers that stand for a class, at most, where the network reads it."""


class AutoregressiveDistribution(ConditionalDistribution):
    """p(c) = prod_i p(c_i | c_1 .. c_{i-1}), by one masked perceptron: the module of :class:`AutoregressiveCodes`."""

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


@dataclass(frozen=True, repr=False)
class AutoregressiveCodes(Spec):
    """p(c) = prod_i p(c_i | c_1 .. c_{i-1}): a prior over codes, learned, which tells which codes go together.

    Each code is one of as many classes as the posterior has. It begins as uniform. Scores take one pass, draws one for
    each code. It learns through ``Rate()``, which the objective needs to hold, and moves no encoder.

    Args:
        network: the perceptron, which is masked.

    References:
        Germain et al., *MADE: masked autoencoder for distribution estimation*, 2015; van den Oord, Vinyals and
        Kavukcuoglu, *Neural discrete representation learning*, 2017.

    Example:
        >>> import torch
        >>> from latens.models.codebook import FiniteScalar
        >>> site = Site((3,), modules={"posterior": FiniteScalar((4,)).build(Site(()))})
        >>> p = AutoregressiveCodes(MLP((8,))).build(site)()
        >>> p.sample((5,)).shape, round(p.log_prob(torch.zeros(3)).exp().item(), 4)
        (torch.Size([5, 3]), 0.0156)
    """

    network: MLP = MLP((128, 128))

    def build(self, site: Site) -> AutoregressiveDistribution:
        """A masked perceptron that says of all codes that they are alike."""
        context = sum(prod(shape) for shape in (site.context_shape, site.beside) if shape is not None)
        return AutoregressiveDistribution(prod(site.event_shape), posterior_classes(self, site), self.network, context)
