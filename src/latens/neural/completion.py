"""What is missing of a row, given what is observed: p(x_m | x_o) by self-normalised importance sampling."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from latens.data import Schema, Source
from latens.models import Model, clamp, sample
from latens.neural.scoring import block_shape, by_block, by_block_drawn, draws, picked, seen, taken
from latens.neural.units import Units
from latens.utils.errors import InputError


def expected(
    model: Model,
    units: Units,
    schema: Schema,
    source: Source,
    context: np.ndarray | None,
    k: int,
    seed: int,
    device: torch.device,
) -> np.ndarray:
    """sum_i w_i E[x | z_i], z_i ~ q(z | x_o), w_i proportional to p(x_o, z_i) / q(z_i | x_o): ``(n, *shape)`` float64.

    It tends to E[x | x_o] as k grows.

    Reference: Mattei and Frellsen, *MIWAE: deep generative modelling and imputation of incomplete data sets*, 2019.
    """
    size, chunk = block_shape(units, k)

    def one(rows: np.ndarray, tensor: Tensor, beside: Tensor | None) -> Tensor:
        top = torch.full((len(rows),), -torch.inf, dtype=torch.float64, device=device)
        total, mean = torch.zeros_like(top), torch.zeros(())
        for d in draws(model, units, rows, tensor, beside, k, chunk, seed):
            weight = d.log_weight.double()
            before, top = top, torch.maximum(top, weight.amax(0))
            kept, weight = (before - top).exp(), (weight - top).exp()
            total = kept * total + weight.sum(0)
            told = units.moments(d.likelihood).double()
            mean = _wide(kept, told[0]) * mean + (_wide(weight, told) * told).sum(0)
        return torch.from_numpy(units.of_moments(mean / _wide(total, mean)))

    return by_block(source, schema, context, size, device, one, missing=True)


def sampled(
    model: Model,
    units: Units,
    schema: Schema,
    source: Source,
    context: np.ndarray | None,
    n: int,
    k: int,
    seed: int,
    device: torch.device,
) -> np.ndarray:
    """n draws of p(x | z), z one of k draws of q(z | x_o), with probability w_i: ``(n, rows, *shape)`` float64.

    Reference: Rubin, *The calculation of posterior distributions by data augmentation: comment*, 1987, for sampling by
    importance resampling, and for some twenty draws from which to take each.
    """
    size, chunk = block_shape(units, k)

    def one(rows: np.ndarray, tensor: Tensor, beside: Tensor | None) -> Tensor:
        chosen: list[Tensor] = []
        known, observed, _ = seen(units, tensor)
        total = torch.full((len(rows),), -torch.inf, dtype=torch.float64, device=device)
        for d in draws(model, units, rows, tensor, beside, k, chunk, seed):
            weight = d.log_weight.double()
            here = weight.logsumexp(0)
            total = torch.logaddexp(total, here)
            index = picked(weight - here, n)
            found = [taken(latent.code, index) for latent in d.latents]
            fresh = torch.rand(index.shape, device=device) < (here - total).exp()
            chosen = [torch.where(_wide(fresh, new), new, old) for new, old in zip(found, chosen or found)]
        x = model(clamp(chosen), context=beside).sharing(known, observed).sample()  # (n, B, *event)
        return torch.from_numpy(units.real(x.flatten(0, 1), drawn=True)).unflatten(0, x.shape[:2]).transpose(0, 1)

    return by_block_drawn(seed, source, schema, context, size, device, one, missing=True)


def check_factorises(model: Model, context: np.ndarray | None, device: torch.device) -> None:
    """Refuses a likelihood whose entries depend on each other once z is known: E[x | z] would overlook it.

    Or one that has no density of those that are observed.
    """
    with torch.random.fork_rng(), torch.inference_mode():
        p = sample(model, 1, context=None if context is None else torch.from_numpy(context[:1]).to(device))
        p.restrict(torch.ones(p.event_shape, dtype=torch.bool, device=device))
        try:
            p.factors(p.sample())
        except NotImplementedError:
            raise InputError(
                "complete expects entries that are independent given z, as of Normal('element'); got a likelihood of "
                "the whole row. Scores of incomplete rows are exact all the same."
            ) from None


def _wide(t: Tensor, like: Tensor) -> Tensor:
    """t with as many axes as ``like``."""
    return t.reshape(*t.shape, *[1] * (like.ndim - t.ndim))
