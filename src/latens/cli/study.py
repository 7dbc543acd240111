"""All that a report shows of a fitted model, as arrays and plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn

from latens.cli import summary
from latens.cli.opened import as_rows, unframed
from latens.cli.portrait import Portrait, portrait
from latens.data import LogMel, Schema, Source, Subset
from latens.density import DensityEstimator
from latens.metrics import top_words
from latens.metrics.evaluate import evaluate
from latens.neural import AutoEncoder, LatentDensity, NeuralDensity
from latens.neural.rows import split as split_rows

FOLDS = 5
"""Of cross-validation."""
PAIRS, SAMPLES, DRAWS, MAP_ROWS, TRAVERSED, BAGS = 32, 64, 64, 2000, 8, 8
REACH, STEPS, CELLS = 2.5, 11, 14
RECORDS = 5000
"""Rows of a table, and as many drawn ones, whose columns are compared."""
TOP_WORDS = 12
BETWEEN = 7
"""Strings between two, those included."""
_JUDGED, _FEWEST_JUDGED, _FEWEST_DRAWS = 1000, 64, 16
_EFFORT = {"cpu": 2e11}
"""Multiplications that judging may take; ten times as many elsewhere."""
_VALUES = 1_500_000
"""The most numbers of all pictures of a kind together: large images are shown fewer at a time."""


@dataclass(frozen=True)
class Traversal:
    """Decoded points along one latent dimension, all others held where an example lies.

    Attributes:
        dimension: which.
        rows: what is decoded.
        own_spread: whether steps are of the spread of the codes, around their mean, and not of a standard normal prior.
    """

    dimension: int
    rows: np.ndarray
    own_spread: bool

    @property
    def unit(self) -> str:
        """What steps are measured in, in words."""
        return "its standard deviation over the codes" if self.own_spread else "the prior's standard deviation"


@dataclass(frozen=True)
class Plane:
    """Codes in two dimensions.

    Attributes:
        points: ``(n, 2)``, the posterior means or codes.
        low, high: the ends of what is shown: all points but the farthest few in a thousand.
        names: of the two axes.
        how: where the axes come from, in words.
        decoded: images ``(CELLS * CELLS, ...)`` decoded from the plane, from its upper left to its lower right.
    """

    points: np.ndarray
    low: np.ndarray
    high: np.ndarray
    names: tuple[str, str]
    how: str
    decoded: np.ndarray | None


@dataclass(frozen=True)
class Picture:
    """A drawing with a title and a sentence: the text of an SVG."""

    title: str
    lead: str
    svg: str


@dataclass(frozen=True)
class Study:
    """A model on data: figures, history, and rows to look at."""

    name: str
    kind: str
    about: dict[str, Any]
    figures: dict[str, Any]
    judged_on: str
    n: int
    schema: Schema
    history: list[dict[str, Any]]
    data: np.ndarray
    draws: np.ndarray | None
    means: np.ndarray | None = None
    originals: np.ndarray | None = None
    reconstructions: np.ndarray | None = None
    plane: Plane | None = None
    labels: np.ndarray | None = None
    traversals: list[Traversal] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    compared: list[dict[str, Any]] = field(default_factory=list)
    between: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    topics: list[list[str]] = field(default_factory=list)
    portrait: Portrait | None = None


def examine(estimator: LatentDensity, source: Source, name: str, *, split: bool = True) -> Study:
    """Looks at a model with a latent space from all sides.

    Args:
        estimator: fitted.
        source: the rows it was fitted on, or others.
        name: of the data.
        split: whether some of these rows were held out in training; those are judged then.
    """
    judged, judged_on = judged_rows(estimator, source, split)
    shown = some(judged, _fitting(source.schema, PAIRS))
    rows = shown.take(np.arange(len(shown)))
    means, draws = _drawn(estimator, source.schema)
    text, rebuilt = source.schema.tokens is not None, estimator.reconstruct(shown)
    placed = some(source, MAP_ROWS)
    data = rows
    if source.schema.kind == "table":
        records = some(source, RECORDS)
        data = records.take(np.arange(len(records)))
    return Study(
        name=name,
        kind=type(estimator).__name__,
        about=summary.about(estimator),
        figures=_figures(estimator, judged),
        judged_on=judged_on,
        n=len(source),
        schema=estimator.schema_,
        history=estimator.history_.rows,
        originals=np.array(estimator._told(rows), dtype=object) if text else rows,
        reconstructions=np.array(rebuilt, dtype=object) if text else unframed(source.schema, rebuilt),
        means=means,
        draws=draws,
        plane=_plane(estimator, placed, shown),
        labels=placed.labels,
        traversals=_traversals(estimator, source, placed, shown),
        between=_between(estimator, shown) if text else [],
        data=data,
        notes=source.notes,
        skipped=source.skipped,
        topics=_topics(estimator),
        portrait=portrayed(estimator, source, data, draws, split),
    )


def _topics(estimator: LatentDensity) -> list[list[str]]:
    """The first words of each latent, where words are counted."""
    if estimator.schema_.kind != "words" or estimator._family.given != "total" or estimator.condition_ is not None:
        return []
    return [list(map(str, words)) for words in top_words(estimator, TOP_WORDS)]


def portrayed(
    estimator: DensityEstimator, source: Source, data: np.ndarray, draws: np.ndarray | None, split: bool
) -> Portrait | None:
    """What there is to see of a table of which rows can be drawn."""
    if source.schema.kind != "table" or draws is None:
        return None
    return portrait(estimator, source, data, draws, split)


def judged_rows(estimator: NeuralDensity, source: Source, split: bool) -> tuple[Source, str]:
    if not split:
        return source, "given"
    _, held_out = split_rows(len(source), estimator.validation_fraction, estimator.seed_)
    return (Subset(source, held_out), "held-out") if len(held_out) else (source, "training")


def some(source: Source, n: int) -> Subset:
    """At most n rows, evenly spaced."""
    return Subset(source, np.unique(np.linspace(0, len(source) - 1, min(n, len(source))).astype(np.intp)))


def _figures(estimator: LatentDensity, judged: Source) -> dict[str, Any]:
    """The figures, of fewer rows and draws where a network is slow; how many of both is among the figures."""
    k = getattr(estimator, "score_samples_k", 1)
    affordable = _EFFORT.get(estimator._device.type, 2e12) / multiplications(estimator)
    rows = int(np.clip(affordable / k, _FEWEST_JUDGED, _JUDGED))
    k = int(np.clip(affordable / rows, min(_FEWEST_DRAWS, k), k))
    return evaluate(estimator, some(judged, rows), k=k).as_dict()


def multiplications(estimator: LatentDensity) -> int:
    """How many numbers are multiplied to decode one latent point."""
    total = 0

    def count(module: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal total
        total += module.weight.numel() * output[0].numel() // output.shape[1]  # type: ignore[operator]

    layers = [module for module in estimator.model_.modules() if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d))]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        y = None if estimator.condition_ is None else estimator.condition_.examples(1)
        estimator.inverse_transform(np.zeros((1, estimator._n_features_out)), y)
    finally:
        for hook in hooks:
            hook.remove()
    return max(total, 1)


def _fitting(schema: Schema, most: int) -> int:
    return int(np.clip(_VALUES // schema.size, 8, most)) if schema.axes else most


def _drawn(estimator: LatentDensity, schema: Schema) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Decoder means and true draws from the same latent points; none where there is no prior to draw from."""
    if isinstance(estimator, AutoEncoder) and not hasattr(estimator, "prior_"):
        return None, None
    few = BAGS if schema.kind == "words" else SAMPLES if schema.tokens is not None else None
    n = few or (_fitting(schema, SAMPLES) if schema.axes else RECORDS if schema.kind == "table" else MAP_ROWS)
    y = None if estimator.condition_ is None else estimator.condition_.examples(n)
    seed = estimator.seed_
    means, draws = (as_rows(estimator, estimator.sample(n, seed, y=y, mean=mean)) for mean in (True, False))
    return means, draws


def _plane(estimator: LatentDensity, placed: Subset, shown: Subset) -> Plane | None:
    z = estimator._read(estimator.transform(placed)).astype(np.float64)
    if z.shape[1] < 2:
        return None
    centre, axes, names, how = _axes(z)
    points = (z - centre) @ axes.T
    low, high = np.quantile(points, 0.002, axis=0), np.quantile(points, 0.998, axis=0)
    room = 0.05 * np.maximum(high - low, 1e-9)
    low, high = low - room, high + room
    if estimator.code_classes_ or not _mosaic(placed.schema):
        return Plane(points, low, high, names, how, None)
    middle = (np.arange(CELLS) + 0.5) / CELLS
    x, y = np.meshgrid(low[0] + middle * (high[0] - low[0]), high[1] - middle * (high[1] - low[1]))
    cells = centre + np.stack([x.ravel(), y.ravel()], 1) @ axes
    label = None if shown.labels is None or estimator.condition_ is None else shown.labels[0]
    return Plane(points, low, high, names, how, estimator.inverse_transform(cells, label))


def _mosaic(schema: Schema) -> bool:
    """Whether the plane is shown decoded, as small pictures."""
    return (schema.kind == "image" or isinstance(schema.view, LogMel)) and schema.size <= _VALUES // CELLS**2


def _between(estimator: LatentDensity, shown: Subset) -> list[str]:
    """Strings decoded on the straight line from the code of one to that of another."""
    z = estimator.transform(shown)[[0, -1]]
    y = None if estimator.condition_ is None else estimator.condition_.examples(BETWEEN)
    return estimator.inverse_transform(z[0] + np.linspace(0, 1, BETWEEN)[:, None] * (z[1] - z[0]), y)


def _axes(z: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[str, str], str]:
    """The origin, two orthonormal axes, their names, and where they come from."""
    if z.shape[1] == 2:
        return np.zeros(2), np.eye(2), ("dimension 0", "dimension 1"), "its two dimensions"
    centre = z.mean(0)
    _, s, v = np.linalg.svd(z - centre, full_matrices=False)
    share = s**2 / max(float((s**2).sum()), 1e-30)
    names = (f"first principal component, {share[0]:.0%} of the variance", f"second, {share[1]:.0%}")
    return centre, v[:2], names, f"the two principal components of its {z.shape[1]} dimensions"


def _traversals(estimator: LatentDensity, source: Source, placed: Subset, shown: Subset) -> list[Traversal]:
    if not source.schema.axes or estimator.code_classes_:
        return []
    codes = estimator.transform(placed)
    spread = codes.std(0)
    dimensions = np.argsort(-spread)[: min(TRAVERSED, _fitting(source.schema, 64) // 8 or 1)]
    code = estimator.transform(Subset(shown, np.arange(1)))[0]
    y = None if shown.labels is None or estimator.condition_ is None else shown.labels[0]
    own_spread = isinstance(estimator, AutoEncoder) or estimator.model_.shapes is not None
    out: list[Traversal] = []
    for d in dimensions.tolist():
        if spread[d] < 0.05 and out:
            break
        points = np.repeat(code[None], STEPS, 0)
        steps = np.linspace(-REACH, REACH, STEPS)
        points[:, d] = codes[:, d].mean() + steps * spread[d] if own_spread else steps
        out.append(Traversal(d, estimator.inverse_transform(points, y), own_spread))
    return out
