"""What training minimises: an objective of the draw of each batch, with distortion and rate beside it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from latens.models import Draw, Latent, Model, draw
from latens.neural.units import Units
from latens.objectives import Objective
from latens.training import Batch, Batches


class Task:
    """The loss of a batch of the user's rows, and its parts, in nats of the user's data.

    Args:
        model: what is trained.
        objective: what is minimised.
        units: from the user's rows to the model's tensors.
        n_examples: the number of training rows.
    """

    def __init__(self, model: Model, objective: Objective, units: Units, n_examples: int) -> None:
        self.model, self.objective, self.units, self.n_examples = model, objective, units, n_examples
        self.log_volume: Tensor | float = float(units.log_volume())

    def draw(self, batch: Batch, progress: float | Tensor = 1.0) -> Draw:
        """The model's draw of ``(rows,)`` or ``(rows, context)``; NaN is missing where the schema says so."""
        rows, *rest = batch
        observed, log_volume = None, self.log_volume
        if self.units.schema.has_missing:
            x, observed, log_volume = self.units.observe(rows)
        else:
            x = self.units.spread(rows)
        return draw(
            self.model,
            x,
            self.objective.samples,
            observed=observed,
            context=rest[0] if rest else None,
            progress=progress,
            n_examples=self.n_examples,
            log_volume=log_volume,
        )

    def __call__(self, batch: Batch, progress: float | Tensor) -> Mapping[str, Tensor]:
        """The loss, distortion, rate and the rate of each latent dimension."""
        d = self.draw(batch, progress)
        value = self.objective(d)
        if self.model.training:
            self.model.calibrate(d.seen, d.x, 0.1)
            self.model.absorb([latent.q for latent in d.latents])
        return {"loss": value.mean() if value.ndim else value, **measures(d)}

    def calibrate(self, rows: Batches, size: int) -> None:
        """One exact pass, ``size`` rows at a time: what has a closed form gets the best value over all rows."""
        total = 0.0
        for batch in rows.sequential(size):
            d = self.draw(batch)
            share = float(len(d.x) if d.observed is None else d.observed.sum())
            total += share
            self.model.calibrate(d.seen, d.x, share / max(total, 1.0))


@torch.no_grad()
def measures(d: Draw) -> dict[str, Tensor]:
    """Distortion, rate, and rate by dimension, where the posterior has a density; nothing where nothing is latent."""
    if not d.latents:
        return {}
    out = {"distortion": d.expect(d.log_likelihood).mean().neg_()}
    if not all(latent.q.has_density for latent in d.latents):
        return out
    known = [by_dimension(latent) for latent in d.latents if latent.kl_factors is not None]
    if len(known) == len(d.latents):
        out["rate_per_dimension"] = torch.cat(known) if len(known) > 1 else known[0]
        out["rate"] = out["rate_per_dimension"].sum()
    else:
        out["rate"] = d.expect(d.rate).mean()
    return out


def by_dimension(latent: Latent) -> Tensor:
    """The mean KL of each dimension of a latent whose divergence factorises, ``(L,)`` nats."""
    factors = latent.kl_factors
    if factors is None:
        raise ValueError("The divergence of this latent is not known by dimension.")
    return factors.reshape(-1, latent.q.event_shape.numel()).mean(0)
