"""Draws of what is open of a row, given the rest: p(x_m | x_o) by importance resampling of the latents.

Half of the proposals come from q(z | x_o) and half from p(z), and all are weighted as draws of that mixture: where the
encoder has never seen so little of a row, the prior still covers what it misses, and no weight exceeds 2 p(x_o | z).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latens.data import Schema
from latens.data.columns import Column, encode
from latens.density.given import known
from latens.distributions import Distribution
from latens.models import Model, clamp
from latens.neural.units import Units
from latens.utils.errors import InputError
from latens.utils.text import nearest

_CHUNK = 4096


def row_of(estimator: Any, given: Any) -> np.ndarray:
    """One row ``(1, *shape)`` float64 of what is given, NaN where it is open.

    Args:
        estimator: a fitted one.
        given: a mapping of columns to values, or a row with NaN where it is open.

    Raises:
        InputError: a column or a category that is not there, nothing given, or nothing left open.
    """
    schema: Schema = estimator.schema_
    if schema.columns is not None and isinstance(given, Mapping):
        row = _typed(schema.columns, given)
    elif schema.kind == "table":
        row = known(estimator, given)[1]
    else:
        row = np.asarray(given, dtype=np.float64)
        if row.shape != schema.shape:
            raise InputError(f"given expects an example of shape {schema.shape}, NaN where open; got {row.shape}.")
    if not np.isnan(row).any() or np.isnan(row).all():
        raise InputError("given expects values for some of a row and leaves others open; got all or none.")
    return row[None]


def _typed(columns: tuple[Column, ...], given: Mapping[Any, Any]) -> np.ndarray:
    import pyarrow

    names = [column.name for column in columns]
    row = np.full(len(columns), np.nan)
    for name, value in given.items():
        if name not in names:
            raise InputError(f"given names the column {name!r}, which was not fitted{nearest(str(name), names)}.")
        column = columns[names.index(name)]
        try:
            numbers, unseen = encode(column, pyarrow.array([_as_told(column, value)]))
        except (pyarrow.ArrowException, TypeError) as error:
            raise InputError(f"the column '{name}' holds {column.values}; got {value!r}.") from error
        if unseen or np.isnan(numbers[0]):
            near = nearest(str(value), map(str, column.categories or ()))
            raise InputError(f"the column '{name}' holds {column.values}; got {value!r}{near}.")
        row[names.index(name)] = numbers[0]
    return row


def _as_told(column: Column, value: Any) -> Any:
    """A number as the category that is written like it; anything else as it is."""
    written = {str(category): category for category in column.categories or ()}
    short = f"{value:g}" if isinstance(value, float) else str(value)
    return written.get(str(value), written.get(short, value))


def conditional_draws(
    model: Model, units: Units, row: np.ndarray, context: Tensor | None, n: int, k: int, device: torch.device
) -> np.ndarray:
    """n draws of p(x | x_o) for one row ``(1, *shape)``, NaN where open: ``(n, *shape)`` float64.

    Args:
        model, units: of the density.
        row: what is given.
        context: ``(1, C)`` of a conditional density.
        n: how many.
        k: how many draws of z they are taken from.
        device: where the model is.
    """
    rows = torch.from_numpy(row).to(device)
    x, observed, _ = units.observe(rows)
    weights: list[Tensor] = []
    codes: list[list[Tensor]] = []
    for prior in (False, True):
        for start in range(0, k // 2, _CHUNK):
            code, log_weight = _proposed(model, x, observed, context, min(_CHUNK, k // 2 - start), prior)
            weights.append(log_weight)
            codes.append(code)
    log_weight = torch.cat(weights).double()
    if not log_weight.isfinite().any():
        raise InputError("what is given has no probability under this model; nothing can be drawn.")
    index = torch.multinomial((log_weight - log_weight.logsumexp(0)).exp(), n, replacement=True)
    chosen = [torch.cat(parts)[index] for parts in zip(*codes)]
    found = []
    for start in range(0, n, _CHUNK):
        z = [part[start : start + _CHUNK] for part in chosen]
        beside = None if context is None else context.expand(len(z[0]), -1)
        found.append(units.real(model(clamp(z), context=beside).sample(), drawn=True))
    return np.where(np.isnan(row), np.concatenate(found), row)


def _proposed(
    model: Model, x: Tensor, observed: Tensor, context: Tensor | None, k: int, prior: bool
) -> tuple[list[Tensor], Tensor]:
    """k draws of every choice, each ``(k, *)``, and log p(x_o, z) - log (q(z | x_o) + p(z)) / 2, ``(k,)`` nats."""
    codes: list[Tensor] = []
    log_p: list[Tensor] = []
    log_q: list[Tensor] = []

    def choose(p: Distribution, q: Distribution | None) -> Tensor:
        if q is None or not q.has_density or not q.scores_points:
            raise InputError("given expects a posterior with a density, such as Normal('element').")
        source = p if prior else q
        value, quantised = source.rsample_and_code({0: (k, 1), 1: (k,)}.get(len(source.batch_shape), ()))
        codes.append(value if quantised is None else quantised)
        log_p.append(p.log_prob(codes[-1]))
        log_q.append(q.log_prob(codes[-1]))
        return p.embed(codes[-1]) if prior else value

    likelihood = model(choose, x, observed=observed, context=context).restrict(observed)
    total_p, total_q = sum(log_p[1:], log_p[0]), sum(log_q[1:], log_q[0])
    log_weight = likelihood.log_prob(x) + total_p - torch.logaddexp(total_p, total_q) + math.log(2.0)
    return [code[:, 0] for code in codes], log_weight[:, 0]
