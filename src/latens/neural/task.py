"""What training minimises: an objective of the draw of each batch, with distortion and rate beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from latens.models import Draw, Latent, Model, draw
from latens.neural.units import Units
from latens.objectives import MutualInformation, Objective, Players
from latens.objectives.critics import Adversarial, adversarial
from latens.training import Batch, Batches, Player, WhileGrowing

_FIRST = 256
"""Rows that critics are built for."""
_MOMENTUM = 0.5
"""Of a critic, whose goal moves: with the usual 0.9 the contest goes round in circles (Radford et al., 2016)."""


class Task:
    """The losses of a batch of the user's rows, and their parts, in nats of the user's data.

    Args:
        model: what is trained.
        objective: what is minimised, by all of the model or by each player.
        units: from the user's rows to the model's tensors.
        n_examples: the number of training rows.

    Attributes:
        critics: what terms of the objective own, by term; :meth:`meet` builds them.
        learns_density: whether what the likelihood's weights minimise looks at log p(x | z) at all.
    """

    def __init__(self, model: Model, objective: Objective | Players, units: Units, n_examples: int) -> None:
        self.model, self.objective, self.units, self.n_examples = model, objective, units, n_examples
        self.losses = objective.losses if isinstance(objective, Players) else {"loss": objective}
        self.critics: dict[Adversarial, nn.Module] = {}
        self.learns_density = True
        self.log_volume: Tensor | float = 0.0 if units.by_row else float(units.log_volume())

    def draw(self, batch: Batch, progress: float | Tensor = 1.0) -> Draw:
        """The model's draw of ``(rows,)`` or ``(rows, context)``; NaN is missing where the schema says so."""
        rows, *rest = batch
        observed, log_volume = None, self.log_volume
        if self.units.schema.has_missing:
            x, observed, log_volume = self.units.observe(rows)
        elif self.units.by_row:
            x, log_volume = self.units.told(rows)
        else:
            x = self.units.spread(rows)
        drawn = draw(
            self.model,
            x,
            self.objective.samples,
            observed=observed,
            context=rest[0] if rest else None,
            progress=progress,
            n_examples=self.n_examples,
            log_volume=log_volume,
        )
        drawn.critics = self.critics
        return drawn

    def __call__(self, batch: Batch, progress: float | Tensor) -> Mapping[str, Tensor]:
        """The loss of each player, distortion, rate and the rate of each latent dimension."""
        d = self.draw(batch, progress)
        alone = len(self.losses) == 1
        values = {name: loss.alone(d) if alone else loss(d) for name, loss in self.losses.items()}
        if self.model.training:
            self.model.calibrate(d.seen, d.x, 0.1)
            self.model.absorb([latent.q for latent in d.latents])
        terms = {name: value.mean() if value.ndim else value for name, value in values.items()}
        terms |= {name: term.contest(self.critics[term], d) for name, term in self.contests.items()}
        return {**terms, **measures(d), **(watched(d) if self._watches else {})}

    @property
    def contests(self) -> dict[str, Adversarial]:
        """The terms with a critic, by the names of their critics' losses."""
        return {f"critic{'' if i == 1 else f'_{i}'}_loss": term for i, term in enumerate(self.critics, 1)}

    @property
    def _watches(self) -> bool:
        steps = self.objective.steps if isinstance(self.objective, Players) else 1
        return isinstance(steps, WhileGrowing) and steps.name == "mutual_information"

    def meet(self, rows: Batches, seed: int) -> None:
        """Builds the critics of all terms that own one, for what the first of these rows give them to judge."""
        terms = adversarial(self.objective)
        if terms:
            with torch.random.fork_rng(), torch.no_grad():
                torch.manual_seed(seed)
                self.model.eval()
                first = self.draw(next(rows.sequential(min(len(rows), _FIRST))))
                self.critics = {term: term.build(first) for term in terms}
                first.critics = self.critics
                self._objective_of("likelihood")(first)
            self.learns_density = "log_likelihood" in vars(first)

    def players(self) -> list[Player] | None:
        """Who minimises what; None where the model alone does."""
        if not self.critics and not isinstance(self.objective, Players):
            return None
        critics = [
            Player(name, list(self.critics[term].parameters()), None, term.steps, term.speed, _MOMENTUM)
            for name, term in self.contests.items()
        ]
        return [*players(self.objective, self.model), *critics]

    def _objective_of(self, part: str) -> Objective:
        return self.objective.of(part) if isinstance(self.objective, Players) else self.objective

    def calibrate(self, rows: Batches, size: int) -> None:
        """One exact pass, ``size`` rows at a time: what has a closed form gets the best value over all rows."""
        total = 0.0
        for batch in rows.sequential(size):
            d = self.draw(batch)
            share = float(len(d.x) if d.observed is None else d.observed.sum())
            total += share
            self.model.calibrate(d.seen, d.x, share / max(total, 1.0))


def players(objective: Objective | Players, model: Model) -> list[Player]:
    """Who moves which weights of the model."""
    if isinstance(objective, Players):
        return objective.players(model)
    return [Player("loss", [w for w in model.parameters() if w.requires_grad])]


@torch.no_grad()
def measures(d: Draw) -> dict[str, Tensor]:
    """Distortion, rate, and by dimension the rate and the moments of E[z | x], as far as they are had for little."""
    if not d.latents:
        return {}
    out = {"distortion": d.expect(d.log_likelihood).mean().neg_()}
    if not all(latent.q.has_density for latent in d.latents):
        return out
    if all(latent.kl_factors is not None for latent in d.latents):
        locations = [_rows(latent, latent.q.location) for latent in d.latents]
        out["rate_per_dimension"] = _joined([by_dimension(latent) for latent in d.latents])
        out["rate"] = out["rate_per_dimension"].sum()
        out["mean_per_dimension"] = _joined([location.mean(0) for location in locations])
        out["mean_square_per_dimension"] = _joined([location.square().mean(0) for location in locations])
    else:
        out["rate"] = d.expect(d.rate).mean()
    return out


@torch.no_grad()
def watched(d: Draw) -> dict[str, Tensor]:
    """What players may be paced by beside the measures."""
    return {"mutual_information": MutualInformation()(d).mean()}


def by_dimension(latent: Latent) -> Tensor:
    """The mean KL of each dimension of a latent whose divergence factorises, ``(L,)`` nats."""
    factors = latent.kl_factors
    if factors is None:
        raise ValueError("The divergence of this latent is not known by dimension.")
    return _rows(latent, factors).mean(0)


def _rows(latent: Latent, t: Tensor) -> Tensor:
    """``(B, *)`` or ``(K, B, *)`` numbers of a latent as ``(rows, L)``."""
    return t.reshape(-1, latent.q.event_shape.numel())


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(parts)) if len(parts) > 1 else parts[0]
