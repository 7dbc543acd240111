"""Strings that go on as a model says, from beginnings that are given."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from latens.data import Schema, Source
from latens.models import Draw, Model, clamp
from latens.neural.scoring import block_shape, by_block, draws
from latens.neural.units import Units
from latens.utils.errors import InputError


def continued(
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
    """Strings that begin as given: n draws of p(x | its first symbols) each, ``(n, rows, T)``, or one if n is 0.

    z is one of k draws of q(z | the beginning, as if it were all), with probability w proportional to
    p(beginning, z) / q: exact as k grows. Where n is 0 it is that of the largest w, and the string is written greedily.
    """
    size, chunk = block_shape(units, k)

    def one(rows: np.ndarray, tensor: Tensor, beside: Tensor | None) -> Tensor:
        found = list(draws(model, units, rows, tensor, beside, k, chunk, seed))
        weight = torch.cat([_of_beginning(d) for d in found])  # (K, B)
        if n == 0:
            index = weight.argmax(0, keepdim=True)
        else:
            index = torch.multinomial((weight - weight.amax(0)).exp().T, n, replacement=True).T  # (n, B)
        codes = [torch.cat([d.latents[i].code for d in found]) for i in range(len(found[0].latents))]
        p = model(clamp([_taken(code, index) for code in codes]), context=beside)
        if not hasattr(p, "continued"):
            raise InputError("complete goes on from beginnings with a decoder such as GRU(); this one writes at once.")
        shape = index.shape[: 2 - len(p.batch_shape)]
        x = p.continued(found[0].x.expand(*index.shape, -1), shape, greedy=n == 0)
        return torch.from_numpy(units.inverse(x.flatten(0, 1))).unflatten(0, index.shape).transpose(0, 1)

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return np.moveaxis(by_block(source, schema, context, size, device, one), 1, 0)


def _of_beginning(d: Draw) -> Tensor:
    """log p(first symbols, z) - log q(z), ``(K, B)``: the end is no part of a beginning."""
    factors = d.likelihood.factors(d.x).expand(d.samples, *d.x.shape)
    begun = torch.where(d.x != 0, factors, 0.0).sum(-1)
    return (begun + d.log_prior - d.log_posterior if d.latents else begun).double()


def _taken(value: Tensor, index: Tensor) -> Tensor:
    """value[index[i, b], b], ``(K, B, *) -> (n, B, *)``."""
    wide = index.reshape(*index.shape, *[1] * (value.ndim - 2))
    return value.gather(0, wide.expand(*index.shape, *value.shape[2:]))
