"""Objectives of their own for parts of the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce

from torch import nn

from latens.models import Model
from latens.objectives.base import Objective, Sum
from latens.objectives.bounds import ELBO
from latens.training import Player, WhileGrowing
from latens.utils.errors import InputError
from latens.utils.validation import check_positive
from latens.utils.value import Value

PARTS = ("posterior", "likelihood", "prior")


@dataclass(frozen=True, repr=False)
class Players(Value):
    """min over the weights of each part of its own objective, all at once: theta_i <- Adam(d L_i / d theta_i).

    One pass serves all. The losses of the parts stand in the history as ``posterior_loss`` and so on, that of the rest
    as ``loss``, which is what held-out rows are judged by.

    Args:
        posterior, likelihood, prior: the objective of this part of the model; None for a part of the rest. Of a
            hierarchy posterior and prior are what they do not share; the state that both look at is of the rest.
        rest: the objective of all other weights.
        steps: of the parts named, for each step of the rest: a number, or ``WhileGrowing("mutual_information", 10)``.
            The rest then moves in every tenth step of training, so it takes more epochs to go as far.

    Raises:
        InputError: no part is named, one of them has no weights, or numbers of draws that do not go together.

    References:
        Rainforth et al., *Tighter variational bounds are not necessarily better*, 2018 (PIWAE, below); He et al.,
        *Lagging inference networks and posterior collapse in variational autoencoders*, 2019 (``steps``).

    Example:
        >>> from latens.objectives import ImportanceWeighted
        >>> Players(posterior=ImportanceWeighted(8, 8), rest=ImportanceWeighted(64)).samples
        64
    """

    posterior: Objective | None = field(default=None, kw_only=True)
    likelihood: Objective | None = field(default=None, kw_only=True)
    prior: Objective | None = field(default=None, kw_only=True)
    rest: Objective = field(default=ELBO(), kw_only=True)
    steps: int | WhileGrowing = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        if not any(getattr(self, part) for part in PARTS):
            raise InputError("Players expects an objective for posterior, likelihood or prior beside the rest's.")
        for name in (*PARTS, "rest"):
            value = getattr(self, name)
            if not isinstance(value, Objective) and not (value is None and name != "rest"):
                raise InputError(f"Players expects an objective such as ELBO() as {name}; got {value!r}.")
        if not isinstance(self.steps, WhileGrowing):
            check_positive("steps", self.steps, integer=True)
        self.samples  # noqa: B018  refuses numbers of draws that do not go together

    @property
    def parts(self) -> dict[str, Objective]:
        """The objectives of the parts that are named."""
        return {part: getattr(self, part) for part in PARTS if getattr(self, part) is not None}

    @property
    def losses(self) -> dict[str, Objective]:
        """The objectives by the names of their losses."""
        return {"loss": self.rest, **{f"{part}_loss": own for part, own in self.parts.items()}}

    @property
    def samples(self) -> int:
        """K, the number of draws an example that all need together."""
        return reduce(Sum, self.losses.values()).samples

    def of(self, part: str) -> Objective:
        """What this part of the model minimises."""
        return self.parts.get(part, self.rest)

    def players(self, model: Model) -> list[Player]:
        """Who moves which weights of the model."""
        weights = {part: _weights(model.part(part)) for part in self.parts}
        for part, own in weights.items():
            if not own:
                known = ", ".join(name for name in PARTS if _weights(model.part(name))) or "none of them"
                raise InputError(
                    f"Players has an objective for the {part}, which has no weights of its own here; those that have: "
                    f"{known}."
                )
        taken = {id(w) for own in weights.values() for w in own}
        rest = [w for w in _weights(model) if id(w) not in taken]
        if not rest:
            raise InputError("Players leaves no weights to the rest; name one part fewer.")
        return [Player("loss", rest), *(Player(f"{part}_loss", own, steps=self.steps) for part, own in weights.items())]


def _weights(module: nn.Module | None) -> list[nn.Parameter]:
    return [] if module is None else [w for w in module.parameters() if w.requires_grad]
