"""log p(x) by importance sampling, as a function of the model, the row and the seed alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latens.data import Schema, Source, validate
from latens.distributions import noise
from latens.models import Draw, Model, draw, locate
from latens.neural.rows import tensor as as_tensor
from latens.neural.units import Units
from latens.nn.sequences import reaches
from latens.nn.steady import steady
from latens.utils.errors import InputError
from latens.utils.random import row_streams

_ELEMENTS = 1 << 21
"""How many numbers a block may decode to at once."""
_WIDTH = 256
"""What an example counts for at least: its network is wider than its few numbers."""
_ROWS = 256
"""Rows of a block at most; four times as many of small networks without convolutions, whose steps are quick to call."""
_DRAWS = 4096
"""How many draws a block of more than 8 rows may hold: the last block is full whatever the data."""


def blocks(n: int, size: int) -> Iterator[np.ndarray]:
    """Indices in blocks of ``size``; the last block is filled up with its own last row."""
    for start in range(0, n, size):
        yield np.minimum(np.arange(start, start + size), n - 1)


def alike(source: Source, size: int) -> Iterator[np.ndarray]:
    """Indices in blocks; strings with others that reach as far, so that what a row meets depends on it alone."""
    if source.schema.tokens is None:
        yield from blocks(len(source), size)
        return
    far = np.concatenate([reaches(as_tensor(rows)).numpy() for rows in source.batches(_DRAWS)])
    for reach in np.unique(far):
        here = np.flatnonzero(far == reach)
        yield from (here[indices] for indices in blocks(len(here), size))


def block_shape(units: Units, samples: int) -> tuple[int, int]:
    """(rows, draws) of a block: a function of the model and the number of samples, never of the data."""
    elements = max(_WIDTH, int(np.prod(units.event_shape)))
    if units.schema.tokens is not None:
        elements = _WIDTH * units.schema.size
    most = _ROWS if units.schema.axes else 4 * _ROWS
    rows = int(np.clip(_ELEMENTS // (8 * elements), 1, np.clip(_DRAWS // samples, 8, most)))
    return rows, int(np.clip(_ELEMENTS // (rows * elements), 1, samples))


def by_block(
    source: Source,
    schema: Schema,
    context: np.ndarray | None,
    size: int,
    device: torch.device,
    f: Callable[[np.ndarray, Tensor, Tensor | None], Tensor],
    *,
    missing: bool = False,
) -> np.ndarray:
    """f(rows, tensor of rows, context) of every block, joined: ``(n, ...)``; rows are checked against ``schema``.

    Where ``missing`` is allowed, rows may hold NaN; such a block is of floating-point numbers.

    All of it has one place from the first block on: results left between large tensors would keep those in memory.
    """
    out: np.ndarray | None = None
    for indices in alike(source, size):
        rows = as_fitted(validate(source.take(indices), schema, missing=missing), schema)
        beside = None if context is None else torch.from_numpy(context[indices]).to(device)
        keep = np.unique(indices)
        with steady():
            found = f(rows, as_tensor(rows).to(device), beside)[: len(keep)].cpu().numpy()
        out = np.empty((len(source), *found.shape[1:]), found.dtype) if out is None else out
        out[keep] = found
    if out is None:
        raise InputError("Expected at least one row; got none.")
    return out


def by_block_drawn(seed: int, *args: Any, **settings: Any) -> np.ndarray:
    """As ``by_block``, of an f that draws ``(B, draws, ...)`` from torch's generator: ``(draws, n, ...)``."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return np.moveaxis(by_block(*args, **settings), 1, 0)


def picked(log_weight: Tensor, n: int) -> Tensor:
    """n of K draws with probability proportional to their weights, ``(K, B) -> (n, B)`` indices."""
    return torch.multinomial(log_weight.exp().T, n, replacement=True).T


def taken(value: Tensor, index: Tensor) -> Tensor:
    """value[index[i, b], b], ``(K, B, *) -> (n, B, *)``."""
    wide = index.reshape(*index.shape, *[1] * (value.ndim - 2))
    return value.gather(0, wide.expand(*index.shape, *value.shape[2:]))


def as_fitted(rows: np.ndarray, schema: Schema) -> np.ndarray:
    """Rows in the type of those fitted; with NaN among them, in the type in which the units would read those."""
    dtype = np.dtype(schema.dtype)
    if rows.dtype.kind == "f" and np.isnan(rows).any():
        dtype = np.dtype(np.float64 if dtype in (np.float64, np.uint64) else np.float32)
    return rows.astype(dtype, copy=False)


def seen(units: Units, rows: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
    """Rows in the model's units, which of their entries are observed (None where all are), and the log volume."""
    if rows.is_floating_point() and rows.isnan().any():
        return units.observe(rows)
    x, volume = units.told(rows)
    return x, None, volume


def draws(
    model: Model, units: Units, rows: np.ndarray, tensor: Tensor, context: Tensor | None, k: int, chunk: int, seed: int
) -> Iterator[Draw]:
    """k draws of each row, ``chunk`` at a time, with noise keyed by the row's content."""
    streams = row_streams(rows, seed)
    x, observed, volume = seen(units, tensor)
    with noise.keyed(streams):
        for start in range(0, k, chunk):
            yield draw(model, x, min(chunk, k - start), observed=observed, context=context, log_volume=volume)


def squared_error(model: Model, units: Units, rows: np.ndarray, tensor: Tensor, context: Tensor | None) -> Tensor:
    """The mean of (x - E[x | z])^2 over the observed entries, at the posterior mean of z, ``(B,)`` squared units.

    Of strings it is the share of places where another symbol comes back, up to the end of the longer of the two.
    """
    back = rebuilt(model, units, tensor, context)
    if units.schema.tokens is not None:
        filled = (rows != 0) | (back != 0)
        return torch.from_numpy((rows != back).sum(1) / filled.sum(1).clip(1))
    difference = (rows.astype(np.float64) - back.astype(np.float64)).reshape(len(rows), -1)
    known = (~np.isnan(difference)).sum(1).clip(1)
    return torch.from_numpy(np.nansum(np.square(difference), 1) / known)


def column_errors(model: Model, units: Units, rows: np.ndarray, tensor: Tensor, context: Tensor | None) -> Tensor:
    """(x_j - E[x_j | z])^2 of each column at the posterior mean of z, ``(B, d)``, NaN where it is missing.

    Of categories, and of yes and no, it is 1 where another one comes back.
    """
    return torch.from_numpy(square(units.schema, rows, rebuilt(model, units, tensor, context)))


def rebuilt(model: Model, units: Units, tensor: Tensor, context: Tensor | None) -> np.ndarray:
    """What passes through the latent space, in the user's rows: E[x | z] at the posterior mean of z."""
    x, observed, _ = seen(units, tensor)
    return units.located(locate(model, x, observed=observed, context=context)[1])


def square(schema: Schema, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The squared difference of each entry ``(n, d)``, NaN where it is missing; 1 between two categories."""
    out = np.square(rows.astype(np.float64) - others.astype(np.float64))
    named = [column.is_named for column in schema.columns or ()]
    return np.where(np.array(named) & (out > 0), 1.0, out) if named else out


def log_likelihood(
    model: Model,
    units: Units,
    schema: Schema,
    source: Source,
    context: np.ndarray | None,
    k: int,
    seed: int,
    device: torch.device,
) -> np.ndarray:
    """log 1/k sum_i p(x, z_i) / q(z_i | x), ``(n,)`` nats: a lower bound of log p(x) in expectation, tight as k grows.

    Reference: Burda, Grosse and Salakhutdinov, *Importance weighted autoencoders*, 2016.
    """
    size, chunk = block_shape(units, k)

    def one(rows: np.ndarray, tensor: Tensor, beside: Tensor | None) -> Tensor:
        total = torch.full((len(rows),), -torch.inf, dtype=torch.float64, device=device)
        for d in draws(model, units, rows, tensor, beside, k, chunk, seed):
            total = torch.logaddexp(total, d.log_weight.double().logsumexp(0))
        return (total - np.log(k)).masked_fill_(empty(units, tensor), 0.0)

    return by_block(source, schema, context, size, device, one, missing=True)


def empty(units: Units, rows: Tensor) -> Tensor:
    """In which rows nothing is left to tell, ``(B,)``: nothing is observed, or the total that is given is 0."""
    flat = rows.flatten(1)
    return ~flat.nan_to_num().any(1) if units.given else flat.isnan().all(1)
