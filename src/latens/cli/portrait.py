"""What a report shows of a table: how columns hang together, how well each is told, how near draws come to records."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from latens.data import ArraySource, Schema, Source, Subset
from latens.density import DensityEstimator
from latens.metrics.association import between, levels
from latens.metrics.privacy import Places
from latens.neural import LatentDensity, NeuralDensity
from latens.neural.completion import check_factorises, expected
from latens.neural.rows import split
from latens.neural.scoring import column_errors, square
from latens.utils import InputError

COLUMNS = 24
"""Columns that are shown at most."""
RECORDS, NEIGHBOURS = 1000, 10_000
"""Rows whose nearest record is looked for, and records among which, at most."""
JUDGED, DRAWS = 300, 32
"""Rows of which each column is told, and draws of the latents of each where one is hidden."""


@dataclass(frozen=True)
class Told:
    """How far off a guess of one column is: the root mean square in its units, or the share of wrong categories.

    Attributes:
        column: which.
        is_share: whether it is a share of categories.
        guess: always the mean of the column, or its most frequent category.
        code: what comes back of a row that has passed through the latent space.
        others: what the model says of it, given the other columns; None where it cannot.
    """

    column: int
    is_share: bool
    guess: float
    code: float
    others: float | None


@dataclass(frozen=True)
class Nearest:
    """How far rows lie from the nearest row that was trained on.

    Attributes:
        drawn, held_out: distances, ``(n,)`` each; numbers in standard deviations, 1 between two categories.
    """

    drawn: np.ndarray
    held_out: np.ndarray

    @property
    def share(self) -> float:
        """How often, of a drawn and a held-out row, the drawn one lies nearer; ties count half."""
        below, up_to = (np.searchsorted(np.sort(self.drawn), self.held_out, side).mean() for side in ("left", "right"))
        return float(below + up_to) / 2 / len(self.drawn)


@dataclass(frozen=True)
class Portrait:
    """A table, beside rows that a model draws.

    Attributes:
        columns: those shown, by their places.
        data, draws: how much two of them tell of each other, ``(m, m)`` each.
        told: how well each is told; none where nothing is latent.
        nearest: how near draws come to records; None where no rows were held out.
    """

    columns: list[int]
    data: np.ndarray
    draws: np.ndarray
    told: list[Told]
    nearest: Nearest | None


def portrait(estimator: DensityEstimator, source: Source, rows: np.ndarray, draws: np.ndarray, apart: bool) -> Portrait:
    """Looks at a table.

    Args:
        estimator: fitted.
        source: the rows it was fitted on, or others.
        rows: some of them, ``(n, d)``.
        draws: rows of the model, ``(n, d)``.
        apart: whether some of the source's rows were held out in training.
    """
    schema = source.schema
    columns = [j for j in range(schema.size) if not _is_constant(schema, j)][:COLUMNS]
    held = np.arange(0)
    train = held
    if apart and isinstance(estimator, NeuralDensity):
        train, held = split(len(source), estimator.validation_fraction, estimator.seed_)
    judged = Subset(source, held) if len(held) else source
    return Portrait(
        columns,
        between(levels(schema, rows, rows)[:, columns]),
        between(levels(schema, draws, rows)[:, columns]),
        _told(estimator, judged, columns) if isinstance(estimator, LatentDensity) else [],
        _nearest(source, train, held, draws) if len(held) else None,
    )


def _is_constant(schema: Schema, j: int) -> bool:
    return schema.columns is not None and schema.columns[j].kind == "constant"


def is_named(schema: Schema, j: int) -> bool:
    """Whether a column holds categories, or yes and no."""
    return schema.columns is not None and schema.columns[j].is_named


def _spaced(source: Source, n: int) -> Subset:
    return Subset(source, np.unique(np.linspace(0, len(source) - 1, min(n, len(source))).astype(np.intp)))


def _told(estimator: LatentDensity, judged: Source, columns: list[int]) -> list[Told]:
    """Of each column, on rows that were held out where there are some."""
    some = _spaced(judged, JUDGED)
    rows = some.take(np.arange(len(some))).astype(np.float64)
    others = _from_others(estimator, some, rows, columns)
    back = estimator._map(some, None, lambda *block: column_errors(estimator.model_, estimator.units_, *block))
    found = []
    for j, hidden in zip(columns, others):
        known = rows[:, j][~np.isnan(rows[:, j])]
        if not len(known):
            continue
        named = is_named(estimator.schema_, j)
        guess = 1 - np.unique(known, return_counts=True)[1].max() / len(known) if named else float(known.std())
        found.append(Told(j, named, float(guess), _error(back[:, j], named) or 0.0, _error(hidden, named)))
    return found


def _error(squares: np.ndarray | None, named: bool) -> float | None:
    """The root of the mean square, or the share that is wrong."""
    known = squares if squares is None else squares[~np.isnan(squares)]
    if known is None or not len(known):
        return None
    return float(known.mean() if named else np.sqrt(known.mean()))


def _from_others(
    estimator: LatentDensity, some: Source, rows: np.ndarray, columns: list[int]
) -> list[np.ndarray | None]:
    """The squared error of each column, where it is hidden and told from the others: ``(n,)`` each."""
    nothing: list[np.ndarray | None] = [None] * len(columns)
    if not hasattr(estimator, "complete"):
        return nothing
    context = estimator._context(some.labels, len(some))
    try:
        check_factorises(estimator.model_, context, estimator._device)
    except InputError:
        return nothing
    hidden = np.repeat(rows[None], len(columns), 0)
    for i, j in enumerate(columns):
        hidden[i, :, j] = np.nan
    given = ArraySource(hidden.reshape(-1, rows.shape[1]), kind="table")
    beside = None if context is None else np.tile(context, (len(columns), *[1] * (context.ndim - 1)))
    model = (estimator._model, estimator.units_, estimator.schema_, given, beside)
    found = expected(*model, DRAWS, estimator.seed_, estimator._device).reshape(hidden.shape)
    return [square(estimator.schema_, rows, found[i])[:, j] for i, j in enumerate(columns)]


def _nearest(source: Source, train: np.ndarray, held: np.ndarray, draws: np.ndarray) -> Nearest:
    """Distances to the records, in the spread of all of them."""
    learned, unseen = (
        part.take(np.arange(len(part))).astype(np.float64)
        for part in (_spaced(Subset(source, train), NEIGHBOURS), _spaced(Subset(source, held), RECORDS))
    )
    places, drawn = Places(source.schema, learned), draws[:RECORDS].astype(np.float64)
    return Nearest(places.nearest(drawn, learned), places.nearest(unseen, learned))
