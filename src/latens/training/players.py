"""Several players: each has weights of its own, and a loss of its own for them.

A plain training is one player. An adversary, or a posterior that minimises something else than the likelihood does, is
another. Players of the same loss move at once, from one pass through it; others take turns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import groupby, pairwise

import torch
from torch import Tensor, nn

from latens.training.batches import Batch
from latens.training.events import Row
from latens.training.replay import Function
from latens.utils.errors import InputError
from latens.utils.validation import check_positive
from latens.utils.value import Value

Loss = Callable[[Batch, Tensor], Mapping[str, Tensor]]
"""(batch, progress in [0, 1], a () tensor on the host) -> {"loss": the () tensor to minimise, other names: () or (L,)},
means over the batch."""


@dataclass(frozen=True, repr=False)
class WhileGrowing(Value):
    """``steps`` for each step of the others while ``name`` has grown in every epoch, from then on one.

    Args:
        name: a column of the history; that of held-out rows where there is one.
        steps: of the player, for each of those that take one.

    Reference: He et al., *Lagging inference networks and posterior collapse in variational autoencoders*, 2019.

    >>> pace = WhileGrowing("mutual_information", 10)
    >>> [pace([{"mutual_information": v} for v in seen]) for seen in ([], [0.1], [0.1, 0.4], [0.1, 0.4, 0.3])]
    [10, 10, 10, 1]
    """

    name: str
    steps: int = 10

    def __post_init__(self) -> None:
        check_positive("steps", self.steps, integer=True)

    def __call__(self, rows: Sequence[Row]) -> int:
        """The number of steps after these rows of the history."""
        column = f"held_out_{self.name}" if any(f"held_out_{self.name}" in row for row in rows) else self.name
        seen = [row[column] for row in rows if column in row]
        if rows and not seen:
            raise InputError(f"WhileGrowing watches {self.name!r}, which is not in the history: {', '.join(rows[0])}.")
        return self.steps if all(a < b for a, b in pairwise(seen)) else 1  # type: ignore[operator]


@dataclass(frozen=True, eq=False)
class Player:
    """min over ``weights`` of ``loss(batch, progress)[name]``.

    Args:
        name: what its loss is called among the terms.
        weights: what it moves, and no other player does.
        loss: None for that of the whole training. Neighbours of one loss move at once, from one pass through it; who
            comes after them sees their weights as they are then.
        steps: how many it takes while the player with the fewest takes one.
        speed: its learning rate, in multiples of the recipe's.
        momentum: b1 of its Adam; None for the recipe's.
    """

    name: str
    weights: Sequence[nn.Parameter]
    loss: Loss | None = None
    steps: int | WhileGrowing = 1
    speed: float = 1.0
    momentum: float | None = None

    def pace(self, rows: Sequence[Row]) -> int:
        """Its steps after these rows of the history."""
        return self.steps(rows) if isinstance(self.steps, WhileGrowing) else self.steps


Movers = tuple[Player, ...]


class Turn:
    """Players that move at once, from one pass through their loss."""

    def __init__(self, loss: Loss, players: Movers, precision: Callable[[], AbstractContextManager]) -> None:
        self.loss, self.players, self.precision = loss, players, precision
        self.names: list[str] = []
        self.recorded: dict[Movers, Function] = {}

    def __call__(self, movers: Movers, inputs: Sequence[Tensor]) -> tuple[list[list[Tensor]], dict[str, Tensor]]:
        """The gradient of each mover in its weights, and the terms; from a batch and the progress."""
        found = self.recorded[movers](*inputs) if movers in self.recorded else self.slopes(movers, *inputs)
        gradients, start = [], 0
        for player in movers:
            gradients.append(found[start : start + len(player.weights)])
            start += len(player.weights)
        return gradients, dict(zip(self.names, found[start:]))

    def slopes(self, movers: Movers, *inputs: Tensor) -> list[Tensor]:
        """All gradients, then the terms, in one list."""
        with self.precision():
            terms = self.loss(inputs[:-1], inputs[-1])
        self.names = list(terms)
        found: list[Tensor] = []
        for player in movers:
            found += slope(terms[player.name], player.weights, again=player is not movers[-1])
        return [*found, *(term.detach() for term in terms.values())]


def slope(value: Tensor, weights: Sequence[Tensor], again: bool = False) -> list[Tensor]:
    """The gradient in the weights, zero where the value does not depend on them; ``again`` if it is not the last."""
    found = torch.autograd.grad(value, weights, allow_unused=True, retain_graph=again)
    return [torch.zeros_like(w) if g is None else g for w, g in zip(weights, found)]


def turns(loss: Loss, players: Sequence[Player], precision: Callable[[], AbstractContextManager]) -> list[Turn]:
    """The players in their order, neighbours of one loss together."""
    return [Turn(f, tuple(some), precision) for f, some in groupby(players, lambda p: p.loss or loss)]


def rounds(turns: Sequence[Turn], rows: Sequence[Row]) -> list[list[Movers]]:
    """Who moves in each turn, for each step of a round: the busiest in all of them, everybody in the last."""
    most = max(player.pace(rows) for turn in turns for player in turn.players)
    return [[tuple(p for p in turn.players if p.pace(rows) >= most - step) for turn in turns] for step in range(most)]


def check(players: Sequence[Player], trained: Sequence[Tensor], known: Sequence[Tensor]) -> None:
    """Refuses players that share weights, or leave some of the module's to nobody."""
    names = [player.name for player in players]
    if len(set(names)) < len(names):
        raise InputError(f"Each player has a name of its own; got {', '.join(names)}.")
    owners: dict[int, str] = {}
    for player in players:
        if not player.weights:
            raise InputError(f"The player {player.name!r} has no weights to train.")
        for weight in player.weights:
            other = owners.setdefault(id(weight), player.name)
            if other != player.name:
                raise InputError(f"Two players have the same weights: {other!r} and {player.name!r}.")
    if not {id(w) for w in trained} <= owners.keys() <= {id(w) for w in known}:
        raise InputError("Each weight of the module has one player, who moves weights of module and critics only.")
