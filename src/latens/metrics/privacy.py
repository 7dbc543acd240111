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
    Give about as many unseen rows as were trained on: of more training rows only as many are looked at, so that copies
    of the others show less.

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
    places = Places(schema, np.concatenate([learned, held]))
    near, far = (places.nearest(new, rows) for rows in (learned, held))
    share = np.mean(near < far) + 0.5 * np.mean(near == far)
    return NearestRecords(float(share), float(np.mean(near == 0)), float(np.mean(far == 0)))


class Places:
    """Rows as points whose distances are those of the rows: numbers in standard deviations, 1 between two categories.

    Args:
        schema: of the rows.
        rows: ``(n, d)`` float64, whose spread is measured; what is missing is the mean.
    """

    def __init__(self, schema: Schema, rows: np.ndarray) -> None:
        known = np.where(np.isnan(rows).all(0), 0.0, rows)
        spread = np.nanstd(known, 0)
        self.schema, self.centre, self.spread = schema, np.nanmean(known, 0), np.where(spread > 0, spread, 1.0)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """The points, ``(n, D)``."""
        parts = []
        for j in range(rows.shape[1]):
            column = None if self.schema.columns is None else self.schema.columns[j]
            if column is None or column.categories is None:
                filled = np.where(np.isnan(rows[:, j]), self.centre[j], rows[:, j])
                parts.append((filled[:, None] - self.centre[j]) / self.spread[j])
            else:
                parts.append((rows[:, j, None] == np.arange(len(column.categories))) / np.sqrt(2.0))
        return np.concatenate(parts, 1)

    def nearest(self, rows: np.ndarray, among: np.ndarray) -> np.ndarray:
        """How far each row lies from the nearest of the others, ``(n,)``."""
        return NearestNeighbors(n_neighbors=1).fit(self(among)).kneighbors(self(rows))[0][:, 0]
