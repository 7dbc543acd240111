"""What chooses the latents of a hierarchy: features of x bottom up, choices top down."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

import torch
from torch import Tensor, nn

from latens.distributions import Distribution, Normal
from latens.models.base import Choose
from latens.models.conditional import FixedNormal
from latens.nn.activation import activation
from latens.nn.residual import Layer, Residual, started

Shape = tuple[int, ...]
FAMILY = Normal("element")


class Level(nn.Module):
    """One choice z ~ p(z | h) or q(z | h, e), and the state after it.

    Args:
        layer: makes the maps between states.
        width: channels of the state.
        features: channels of what is seen of x.
        shape: of z.
        name: of the activation.
        residual: whether the network of q tells its difference to p.
        top: whether this is the first choice, whose p is the standard normal.
        gain: of the initial weights that add z to the state: with sqrt(3 / L), all L levels add a variance of 1.
        rise: from the state above to one of this level's resolution.
        blocks: what the state goes through after the choice.
    """

    def __init__(
        self,
        layer: Layer,
        width: int,
        features: int,
        shape: Shape,
        name: str,
        residual: bool,
        top: bool,
        gain: float,
        rise: nn.Module,
        blocks: Iterable[Residual],
    ) -> None:
        super().__init__()
        numbers = FAMILY.param_shape(shape)[0]
        self.shape, self.residual = shape, residual
        self.rise, self.activation = rise, activation(name)
        self.prior = FixedNormal(shape) if top else started(layer(width, numbers))
        self.own, self.seen = layer(width, width), layer(features, width)
        self.posterior = started(layer(width, numbers))
        self.merge = started(layer(shape[0], width), gain)
        self.blocks = nn.Sequential(*blocks)

    def forward(self, choose: Choose, h: Tensor, e: Tensor | None, lead: Shape) -> tuple[Tensor, Shape]:
        """The next state ``(N, *)``, and the axes that it lays flat: ``(K, B)`` in a draw, () before any choice."""
        h = self.rise(h)
        a = self.activation(h)
        told = None if isinstance(self.prior, FixedNormal) else self.prior(a)
        p = self.prior() if told is None else self._normal(told, lead)
        z = choose(p, None if e is None else self._posterior(a, e, told, lead))
        lead = tuple(z.shape[: z.ndim - len(self.shape)])
        merged = self.merge(z.reshape(-1, *self.shape))
        return self.blocks(_repeated(h, len(merged)) + merged), lead

    def _posterior(self, a: Tensor, e: Tensor, p_told: Tensor | None, lead: Shape) -> Distribution:
        n = max(len(a), len(e))
        both = _repeated(self.own(a), n) + _repeated(self.seen(self.activation(e)), n)
        told = self.posterior(self.activation(both))
        return self._normal(told + p_told if self.residual and p_told is not None else told, lead or (n,))

    def _normal(self, told: Tensor, lead: Shape) -> Distribution:
        return FAMILY(told.unflatten(0, lead), self.shape)


def _repeated(t: Tensor, n: int) -> Tensor:
    """``(B, *)`` for each of K draws, ``(K * B, *)``; one row is left to broadcast."""
    return t if len(t) in (1, n) else t.expand(n // len(t), *t.shape).flatten(0, 1)


class TopDown(nn.Module):
    """From x to the numbers that tell p(x | z): features bottom up, choices top down. The module of a hierarchy.

    Args:
        view: what is seen of x.
        stages: to the features from those below, the first from x.
        levels: each with the index of the stage whose features it sees, from the top.
        constant: the shape of the first state.
        head: from the last state to numbers.
        context: how many numbers of context there are.
    """

    def __init__(
        self,
        view: nn.Module | None,
        stages: Iterable[nn.Module],
        levels: Sequence[tuple[int, Level]],
        constant: Shape,
        head: nn.Module,
        context: int,
    ) -> None:
        super().__init__()
        self.view, self.stages, self.head = view, nn.ModuleList(stages), head
        self.sees, self.levels = [stage for stage, _ in levels], nn.ModuleList([level for _, level in levels])
        self.constant, self.start = constant, nn.Parameter(torch.zeros(prod(constant)))
        self.told = nn.Linear(context, constant[0], bias=False) if context else None

    def forward(
        self, choose: Choose, x: Tensor | None = None, *, observed: Tensor | None = None, context: Tensor | None = None
    ) -> Tensor:
        """``(*batch, *numbers)``."""
        features = None if x is None else self.features(x, observed)
        h, lead = self._first(context), ()
        for stage, level in zip(self.sees, self.levels):
            h, lead = level(choose, h, None if features is None else features[stage], lead)
        return self.head(h).to(h.dtype).unflatten(0, lead)

    @property
    def seeing(self) -> list[nn.Module]:
        """What tells q: features of x, and what each level makes of them beside its state."""
        levels: list[Level] = list(self.levels)  # type: ignore[arg-type]
        return [self.stages, *(part for level in levels for part in (level.own, level.seen, level.posterior))]

    @property
    def priors(self) -> list[nn.Module]:
        """What tells p at each level, given its state."""
        return [level.prior for level in self.levels]  # type: ignore[misc]

    def features(self, x: Tensor, observed: Tensor | None = None) -> list[Tensor]:
        """What each stage makes of x, from the data up."""
        h = self.view(x, observed) if self.view is not None else x if observed is None else x * observed
        found: list[Tensor] = []
        for stage in self.stages:
            found.append(stage(found[-1] if found else h))
        return found

    def _first(self, context: Tensor | None) -> Tensor:
        h = self.start.view(1, *self.constant)
        if self.told is None or context is None:
            return h
        return h + self.told(context).view(len(context), -1, *[1] * (len(self.constant) - 1))
