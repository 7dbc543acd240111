"""All that training changes: tensors on the device and a position in plain numbers; copied, restored, written, read."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from latens.training import rng
from latens.training.adam import Adam
from latens.training.ema import Average
from latens.training.events import Row, TrainingError
from latens.training.parallel import World
from latens.training.players import Player, check
from latens.training.recipe import Recipe
from latens.utils.errors import InputError
from latens.utils.storage import load_tensors, save_tensors


@dataclass
class Position:
    """Where training stands: ``epoch`` epochs and ``step`` steps are done."""

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    factor: float = 1.0
    recoveries: int = 0
    stale: int = 0
    best_epoch: int | None = None
    best_loss: float | None = None
    first_loss: float | None = None
    stopped: str = ""
    meter: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    idle: dict[str, int] = field(default_factory=dict)
    """Steps in which a player did not move, by its name."""

    def copied(self) -> Position:
        """The same, to be changed on its own."""
        return replace(self, rows=list(self.rows), meter=copy.copy(self.meter), idle=dict(self.idle))


@dataclass(frozen=True)
class Snapshot:
    """A state that training can go back to."""

    position: Position
    tensors: dict[str, Tensor]
    rng: dict[str, Tensor]


class State:
    """The module, its players' optimisers, the average of its weights, its best weights, and the position."""

    def __init__(
        self,
        module: nn.Module,
        recipe: Recipe,
        world: World,
        players: Sequence[Player] | None = None,
        critics: nn.Module | None = None,
    ) -> None:
        self.module, self.world = module, world
        self.critics = nn.ModuleList([] if critics is None else [critics])
        self.trained = [p for p in module.parameters() if p.requires_grad]
        if not self.trained:
            raise InputError("Expected a module with weights to train; got none that requires a gradient.")
        self.players = [Player("loss", self.trained)] if players is None else list(players)
        check(self.players, self.trained, [*module.parameters(), *self.critics.parameters()])
        world.broadcast([*self.model().values(), *self.beside().values()])
        self.adams = {player.name: _adam(player, recipe) for player in self.players}
        self.average = Average(self.trained, recipe.ema)
        self.position = Position()
        self.best: dict[str, Tensor] = {}
        self.snapshot: Snapshot | None = None

    def train(self, mode: bool = True) -> None:
        """Sets module and critics to training, or to evaluation."""
        self.module.train(mode)
        self.critics.train(mode)

    def broadcast_buffers(self) -> None:
        """Gives all processes the buffers of the first, which each has filled from its own rows."""
        self.world.broadcast([*self.module.buffers(), *self.critics.buffers()])

    def sit_out(self, players: Iterable[Player]) -> None:
        """Notes a step in which these players did not move."""
        idle = self.position.idle
        idle |= {player.name: idle.get(player.name, 0) + 1 for player in players}

    def skipped(self, steps: int) -> dict[str, int]:
        """How many moves of each player had a gradient that was not finite; waits for the device."""
        idle = self.position.idle
        return {name: adam.skipped(steps - idle.get(name, 0)) for name, adam in self.adams.items()}

    def moves(self) -> bool:
        """Whether the last step of every player was done; waits for the device."""
        return all(adam.moved for adam in self.adams.values())

    def model(self) -> dict[str, Tensor]:
        """Weights and buffers by name."""
        return _named(self.module, "")

    def beside(self) -> dict[str, Tensor]:
        """Those of the critics, which are no part of the model."""
        return _named(self.critics, "critics.")

    def tensors(self) -> dict[str, Tensor]:
        """Everything that is restored together."""
        averages = {f"average.{i}": t for i, t in enumerate(self.average.averages)}
        found = self.model() | self.beside() | averages
        for i, player in enumerate(self.players):
            found |= _moments(self.adams[player.name], f"{player.name}." if i else "")
        return found

    def take_snapshot(self) -> None:
        """Remembers this state; in a single process to the end, even where Ctrl-C comes in between."""
        try:
            self._take_snapshot()
        except KeyboardInterrupt:
            if self.world.size == 1:
                self._take_snapshot()
            raise

    def _take_snapshot(self) -> None:
        previous, self.snapshot = self.snapshot, None
        tensors = _copied(self.tensors(), {} if previous is None else previous.tensors)
        random = {name: self.world.gather(s) for name, s in rng.states(self.world.device).items()}
        self.snapshot = Snapshot(self.position.copied(), tensors, random)

    def restore(self, snapshot: Snapshot) -> None:
        """Goes back to a snapshot."""
        _overwrite(self.tensors(), snapshot.tensors)
        rng.restore({name: s[self.world.rank] for name, s in snapshot.rng.items()}, self.world.device)
        self.position = snapshot.position.copied()

    def undo(self) -> None:
        """Goes back to the last snapshot.

        Raises:
            TrainingError: there is none.
        """
        if self.snapshot is None:
            raise TrainingError("There is no state to go back to.")
        self.restore(self.snapshot)

    def keep_best(self) -> None:
        """Remembers the weights and buffers as the best so far."""
        self.best = _copied(self.model(), self.best)

    def settle(self) -> None:
        """Leaves the module with its best weights; without held-out rows, with their average."""
        if self.best:
            _overwrite(self.model(), self.best)
        elif self.average.averages:
            _overwrite(dict(enumerate(self.trained)), dict(enumerate(self.average.averages)))
        self.broadcast_buffers()

    def write(self, path: Path, fingerprint: Mapping[str, str]) -> None:
        """The snapshot and the best weights as one file."""
        if self.snapshot is None:
            return
        parts = {"state": self.snapshot.tensors, "rng": self.snapshot.rng, "best": self.best}
        arrays = {f"{part}.{name}": _array(t) for part, tensors in parts.items() for name, t in tensors.items()}
        save_tensors(path, arrays, {**fingerprint, "position": json.dumps(asdict(self.snapshot.position))})

    def read(self, path: Path, fingerprint: Mapping[str, str]) -> None:
        """Takes up the state that ``write`` left.

        Raises:
            InputError: it is not the state of this training.
        """
        arrays, metadata = load_tensors(path)
        for name, mine in fingerprint.items():
            if metadata.get(name) != mine:
                raise InputError(
                    f"{path} is the checkpoint of another training: its {name} is {metadata.get(name)}, here it is "
                    f"{mine}. Continue with the same settings, or remove the file."
                )
        parts: dict[str, dict[str, Tensor]] = {"state": {}, "rng": {}, "best": {}}
        for name, array in arrays.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = torch.from_numpy(array)
        self.restore(Snapshot(Position(**json.loads(metadata["position"])), parts["state"], parts["rng"]))
        self.best = {name: t.to(self.world.device) for name, t in parts["best"].items()}


def remove_leftovers(path: Path) -> None:
    """Removes the hidden, half-written files of a process that was killed while it wrote ``path``."""
    for leftover in path.parent.glob(f".{path.stem}-????????{path.suffix}"):
        leftover.unlink(missing_ok=True)


def _adam(player: Player, recipe: Recipe) -> Adam:
    first, second = recipe.betas
    betas = (first if player.momentum is None else player.momentum, second)
    return Adam(player.weights, betas, recipe.eps, recipe.weight_decay, recipe.clip)


def _named(module: nn.Module, prefix: str) -> dict[str, Tensor]:
    weights = {f"{prefix}weight.{name}": p.data for name, p in module.named_parameters()}
    return weights | {f"{prefix}buffer.{name}": b for name, b in module.named_buffers()}


def _moments(adam: Adam, prefix: str) -> dict[str, Tensor]:
    lists = {"first": adam.first, "second": adam.second}
    moments = {f"{prefix}{name}.{i}": t for name, tensors in lists.items() for i, t in enumerate(tensors)}
    return moments | {f"{prefix}adam.steps": adam.steps}


def _copied(tensors: dict[str, Tensor], into: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies of the tensors, in the memory of ``into`` where the shapes are the same."""
    if {name: t.shape for name, t in tensors.items()} != {name: t.shape for name, t in into.items()}:
        return {name: t.detach().clone() for name, t in tensors.items()}
    _overwrite(into, tensors)
    return into


@torch.no_grad()
def _overwrite(into: Mapping[Any, Tensor], tensors: Mapping[Any, Tensor]) -> None:
    for name, tensor in into.items():
        tensor.copy_(tensors[name])


def _array(tensor: Tensor) -> Any:
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
