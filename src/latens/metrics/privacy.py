"""Whether rows drawn from a model are nearer to the rows it learned from than they have to be."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.neighbors import NearestNeighbors

from latens.data import Schema, load
from latens.utils.errors import InputError


class NearestRecords(NamedTuple):
    """How near drawn rows are to those learned from; see ``nearest_records``.

    Attributes:
        share: of drawn rows that lie nearer to a training row than to any unseen one; 0.5 is as it should be.
        copies: of drawn rows that equal a training row.
        chance: of drawn rows that equal an unseen row, which nobody has copied.
    """

    share: float
    copies: float
    chance: float


def nearest_records(drawn: Any, train: Any, unseen: Any, *, random_state: int = 0) -> NearestRecords:
    """The share of drawn rows that are nearer to the training rows than to as many unseen ones; ties count half.

    Distances are Euclidean: numbers in standard deviations, and 1 between two categories; what is missing is the mean.
    A share far above 0.5 means that training rows were learned by heart; a share near it is no guarantee for each row.

    Args:
        drawn: rows of a model.
        train: the rows it was trained on, a table or frame.
        unseen: rows like these that it has not seen.
        random_state: of the choice of as many rows from the larger of the two.

    Example:
        >>> X = np.random.default_rng(0).normal(size=(300, 2))
        >>> nearest_records(X[:100], X[:100], X[100:200])  # copies
        NearestRecords(share=1.0, copies=1.0, chance=0.0)
    """
    source = load(train)
    schema = source.schema
    parts = [
        source,
        *(load(part, schema=schema) if schema.columns is not None else load(part) for part in (unseen, drawn)),
    ]
    learned, held, new = (part.take(np.arange(len(part))).astype(np.float64) for part in parts)
    if schema.kind != "table" or held.shape[1:] != learned.shape[1:] or new.shape[1:] != learned.shape[1:]:
        raise InputError("nearest_records expects three tables of the same columns.")
    rng, n = np.random.default_rng(random_state), min(len(learned), len(held))
    learned, held = (rows[rng.choice(len(rows), n, replace=False)] for rows in (learned, held))
    spread, centre = _scales(schema, np.concatenate([learned, held]))
    places = [_placed(schema, rows, spread, centre) for rows in (learned, held, new)]
    near, far = (NearestNeighbors(n_neighbors=1).fit(p).kneighbors(places[2])[0][:, 0] for p in places[:2])
    share = np.mean(near < far) + 0.5 * np.mean(near == far)
    return NearestRecords(float(share), float(np.mean(near == 0)), float(np.mean(far == 0)))


def _scales(schema: Schema, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = np.where(np.isnan(rows).all(0), 0.0, rows)
    spread = np.nanstd(known, 0)
    return np.where(spread > 0, spread, 1.0), np.nanmean(known, 0)


def _placed(schema: Schema, rows: np.ndarray, spread: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Rows as points whose distances are those of the rows."""
    parts = []
    for j in range(rows.shape[1]):
        column = None if schema.columns is None else schema.columns[j]
        if column is None or column.categories is None:
            parts.append((np.where(np.isnan(rows[:, j]), centre[j], rows[:, j])[:, None] - centre[j]) / spread[j])
        else:
            parts.append((rows[:, j, None] == np.arange(len(column.categories))) / np.sqrt(2.0))
    return np.concatenate(parts, 1)
