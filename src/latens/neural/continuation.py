"""Strings that go on as a model says, from beginnings that are given."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from latens.data import Source
from latens.models import Draw, Model, clamp
from latens.neural.base import NeuralDensity
from latens.neural.scoring import block_shape, by_block_drawn, draws, picked, taken
from latens.utils.errors import InputError


def continued(
    estimator: NeuralDensity,
    model: Model,
    source: Source,
    context: np.ndarray | None,
    n: int | None,
    k: int,
    seed: int,
) -> list[Any]:
    """Strings that begin as given: n draws of p(x | its first symbols) each, ``(n, rows)``, or one each if n is None.

    z is one of k draws of q(z | the beginning, as if it were all), with probability w proportional to
    p(beginning, z) / q: exact as k grows. Where n is None it is that of the largest w, and the string is written
    greedily.
    """
    units = estimator.units_
    size, chunk = block_shape(units, k)

    def one(rows: np.ndarray, tensor: Tensor, beside: Tensor | None) -> Tensor:
        found = list(draws(model, units, rows, tensor, beside, k, chunk, seed))
        weight = torch.cat([_of_beginning(d) for d in found])  # (K, B)
        index = weight.argmax(0, keepdim=True) if n is None else picked(weight - weight.amax(0), n)
        codes = [torch.cat([d.latents[i].code for d in found]) for i in range(len(found[0].latents))]
        p = model(clamp([taken(code, index) for code in codes]), context=beside)
        if not hasattr(p, "continued"):
            raise InputError("complete goes on from beginnings with a decoder such as GRU(); this one writes at once.")
        shape = index.shape[: 2 - len(p.batch_shape)]
        x = p.continued(found[0].x.expand(*index.shape, -1), shape, greedy=n is None)
        return torch.from_numpy(units.inverse(x.flatten(0, 1))).unflatten(0, index.shape).transpose(0, 1)

    found = by_block_drawn(seed, source, estimator.schema_, context, size, estimator._device, one)
    return estimator._told(found[0]) if n is None else [estimator._told(drawn) for drawn in found]


def _of_beginning(d: Draw) -> Tensor:
    """log p(first symbols, z) - log q(z), ``(K, B)``: the end is no part of a beginning."""
    factors = d.likelihood.factors(d.x).expand(d.samples, *d.x.shape)
    begun = torch.where(d.x != 0, factors, 0.0).sum(-1)
    return (begun + d.log_prior - d.log_posterior if d.latents else begun).double()
