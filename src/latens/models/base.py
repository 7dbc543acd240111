"""The contract of this room: a model is one function that makes choices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from latens.distributions import Distribution

Choose = Callable[[Distribution, Distribution | None], Tensor]
"""``choose(p, q) -> z``: p is the prior of the choice, q its posterior, None where no x was given."""


class Model(nn.Module, ABC):
    """p(x, z) and q(z | x), told as one function.

    Attributes:
        choices: how many choices it makes, where that is always the same.
        shapes: of one example of each choice, where there are several of them, and always the same.
    """

    choices: int | None = None
    shapes: tuple[tuple[int, ...], ...] | None = None

    @abstractmethod
    def forward(
        self, choose: Choose, x: Tensor | None = None, *, observed: Tensor | None = None, context: Tensor | None = None
    ) -> Distribution:
        """p(x | choices).

        Args:
            choose: makes each choice, in order.
            x: data ``(B, *event)``; None where the model is to generate.
            observed: which entries of x are observed, boolean, in the shape of x; None where all are.
            context: what the density is conditioned on, ``(B, C)``.
        """

    def part(self, name: str) -> nn.Module | None:
        """The "posterior", "likelihood" or "prior", whose weights an objective of their own may move; None without."""
        return getattr(self, name, None)

    def calibrate(self, likelihood: Distribution, x: Tensor, weight: float) -> None:
        """Moves parameters that are best in closed form for p(x | z) and its data by ``weight`` towards them."""

    def absorb(self, posteriors: Sequence[Distribution]) -> None:
        """Lets what is no weight (a codebook) follow the posteriors of a training step."""
