"""Between the user's rows and the model's tensors: an affine map with its log-determinant, and the layout of images."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from latens.data import Schema, Source, Windows
from latens.distributions import Distribution, Family

_SAMPLE = 50_000
_ELEMENTS = 1 << 23
"""At most so many rows, and so many numbers, tell the mean and the spread."""
_STILL = 0.01
"""The least spread of a step, in that of the whole signal."""


class Units(nn.Module):
    """u = (x - shift) / scale, with log |du/dx| = -sum_i log(scale_i): what the model calls x.

    A lattice of levels becomes [-1, 1], two levels become {0, 1}, counts stay counts, and real numbers are standardised
    (one scale for an image, one for each column of a table, for each step of a signal, or for each channel of windows,
    which may begin anywhere). Images and signals are channels last outside, channels first inside.
    """

    by_row = False
    """Whether the log volume differs from row to row."""

    categories: tuple[int, ...] | None = None
    """Of each element of x how many categories it has, 0 of a number; None where all are numbers."""

    shift: Tensor
    scale: Tensor
    single_shift: Tensor
    single_scale: Tensor
    filler: Tensor

    def __init__(self, schema: Schema, family: Family, shift: np.ndarray, scale: np.ndarray) -> None:
        super().__init__()
        self.schema = schema
        self.is_mass = family.measure == "counting"
        self.given = family.given
        self.cell = 0.0
        self.is_identity = bool(np.all(np.asarray(shift) == 0) and np.all(np.asarray(scale) == 1))
        self.register_buffer("shift", torch.tensor(shift, dtype=torch.float64))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float64))
        self.register_buffer("single_shift", self.shift.float(), persistent=False)
        self.register_buffer("single_scale", self.scale.float(), persistent=False)
        self.register_buffer(
            "filler", self.shift if family.support == "real" else self.shift.new_tensor(schema.low), persistent=False
        )

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one example inside the model: ``(C, H, W)`` for images, ``(C, T)`` for signals, or ``(D,)``."""
        return event_shape(self.schema)

    def forward(self, rows: Tensor) -> Tensor:
        """The user's rows ``(B, *shape)`` in the model's units ``(B, *event_shape)``."""
        if self.is_identity:
            x = rows.float()
        elif rows.dtype == torch.float64:
            x = ((rows - self.shift) / self.scale).float()
        else:
            x = (rows.float() - self.single_shift).div_(self.single_scale)
        return self._arranged(x)

    def _arranged(self, entries: Tensor) -> Tensor:
        """Entries ``(B, *shape)`` as ``(B, *event_shape)``."""
        if not self.schema.axes:
            return entries.flatten(1)
        return entries.movedim(-1, 1) if len(self.schema.shape) > self.schema.axes else entries.unsqueeze(1)

    def observe(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rows with NaN where missing: x with a value of its support there, what is observed, and its log volume.

        Returns:
            ``(B, *event_shape)``, the same in booleans, and ``(B,)`` nats.
        """
        missing = rows.isnan()
        x = self(torch.where(missing, self.filler.to(rows.dtype), rows))
        return x, self._arranged(~missing), self.log_volume(~missing)

    def told(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Complete rows in the model's units, and their log volume, ``()`` or ``(B,)`` nats."""
        return self(rows), self.log_volume()

    def spread(self, rows: Tensor) -> Tensor:
        """As ``forward``, with uniform noise of the width of a cell, where ``cell`` is the distance of two levels.

        A density of values on a lattice could grow without end on it; with noise it tells the mass of each cell.

        Reference: Theis, van den Oord and Bethge, *A note on the evaluation of generative models*, 2016.
        """
        x = self(rows)
        return x + (torch.rand_like(x) - 0.5) * (self.cell / self.single_scale) if self.cell else x

    def inverse(self, x: Tensor, *, drawn: bool = False) -> np.ndarray:
        """The model's ``(B, *event_shape)`` as the user's rows: their shape, dtype and range.

        Args:
            x: draws of p(x | z), or its means.
            drawn: whether they are draws, which lie on the lattice exactly where the data do. Means of counts are real
                numbers: rounded, those of rare words would all be zero.
        """
        rows = self.real(x, drawn=drawn)
        return rows if self.schema.counts and not drawn else self._as_given(rows)

    def located(self, p: Distribution) -> np.ndarray:
        """The one row that stands for each p(x | z), E[x | z] but for what is no number, as ``inverse`` gives rows."""
        return self.inverse(p.location)

    def real(self, x: Tensor, *, drawn: bool = False) -> np.ndarray:
        """As ``inverse``, in double precision whatever the type of the data."""
        x = x.detach().double()
        if self.schema.axes:
            x = x.movedim(1, -1)
        rows = (x.reshape(len(x), *self.schema.shape) * self.scale + self.shift).cpu().numpy()
        if drawn and self.schema.levels:
            low = self.schema.support[0]
            rows = low + self.schema.step * np.rint((rows - low) / self.schema.step)
        return rows

    def moments(self, p: Distribution) -> Tensor:
        """What is averaged over p(x | z), ``(*batch, *)``, to tell E[x]: its mean."""
        return p.mean

    def of_moments(self, moments: Tensor) -> np.ndarray:
        """E[x] in the user's rows, in double precision, of averages of ``moments``."""
        return self.real(moments)

    def _as_given(self, rows: np.ndarray) -> np.ndarray:
        dtype = np.dtype(self.schema.dtype)
        if dtype.kind == "b":
            return rows >= 0.5
        if np.issubdtype(dtype, np.integer):
            info = np.iinfo(dtype)
            rows = np.clip(np.rint(rows), info.min, info.max)
        return rows.astype(dtype)

    def log_volume(self, observed: Tensor | None = None) -> Tensor:
        """log |du/dx| of an example, ``()`` or ``(B,)`` nats; 0 where p(x) is a mass.

        Args:
            observed: which entries count, ``(B, *shape)`` in the user's layout; all by default.
        """
        if self.is_mass:
            return self.scale.new_zeros((), dtype=torch.float32)
        entries = -self.scale.log().expand(self.schema.shape)
        if observed is None:
            return entries.sum().float()
        return (entries.sum() - (entries * ~observed).flatten(1).sum(1)).float()


def event_shape(schema: Schema) -> tuple[int, ...]:
    """The shape of one example inside a model.

    >>> event_shape(Schema("image", (28, 20), "uint8", 0.0, 255.0, 256))
    (1, 28, 20)
    >>> event_shape(Schema("signal", (140, 3), "float64", -1.0, 1.0))
    (3, 140)
    """
    if not schema.axes:
        return (math.prod(schema.shape),)
    return (*(schema.shape[schema.axes :] or (1,)), *schema.shape[: schema.axes])


def units_for(source: Source, family: Family) -> Units:
    """The units in which ``family`` is told about these data."""
    schema = source.schema
    low, high = schema.support
    if family.support == "lattice":
        shift, scale = (low + high) / 2, (high - low) / 2
    elif family.support in ("binary", "counts", "classes", "symbols"):
        shift, scale = (low, schema.step) if schema.levels else (0.0, 1.0)
    elif family.support in ("unit", "open unit"):
        closed = family.support == "unit"
        inside = schema.low >= 0 and schema.high <= 1 if closed else schema.low > 0 and schema.high < 1
        shift, scale = (0.0, 1.0) if inside and schema.levels is None else _inset(schema)
    else:
        return Units(schema, family, *_standard(source))
    return Units(schema, family, np.asarray(shift), np.asarray(scale))


def _inset(schema: Schema) -> tuple[float, float]:
    """Cells of the lattice, or the range with a margin, onto the open unit interval."""
    low, high = schema.support if schema.levels else (schema.low, schema.high)
    margin = schema.step / 2 if schema.levels else 1e-3 * max(high - low, 1e-12)
    return low - margin, high - low + 2 * margin


def _pooled(schema: Schema) -> tuple[int, ...] | None:
    """The axes of rows that have one mean and spread, where not all have.

    On heartbeats a spread for each step was worth 10 nats of held-out log p(x) over one for all.
    """
    if isinstance(schema.view, Windows):
        return tuple(range(len(schema.shape))) if len(schema.shape) > 1 else None
    return (0,) if schema.kind in ("table", "signal") else None


def sample_of(source: Source) -> np.ndarray:
    """Rows ``(m, *shape)`` float64 from all over the source, few enough to be held."""
    sample = min(_SAMPLE, max(1, _ELEMENTS // source.schema.size))
    stride = -(-len(source) // sample)
    return source.take(np.arange(0, len(source), stride)).astype(np.float64)


def _standard(source: Source) -> tuple[np.ndarray, np.ndarray]:
    rows = sample_of(source)
    axis = _pooled(source.schema)
    if axis is not None:
        rows[np.broadcast_to(np.isnan(rows).all(axis, keepdims=True), rows.shape)] = 0.0  # too rare for a sample
    size = np.ldexp(1.0, np.frexp(np.nanmax(np.abs(rows), axis))[1])  # a power of two: rows / size is exact
    shift, scale = np.nanmean(rows / size, axis), np.nanstd(rows / size, axis)
    shift, scale = np.nan_to_num(shift * size), scale * size
    if axis == (0,) and source.schema.kind == "signal":  # a step that hardly moves is not told from one that does not
        scale = np.maximum(scale, _STILL * np.sqrt((np.square(scale) + np.square(shift - shift.mean(0))).mean(0)))
    return shift, np.where(scale > 1e-12 * size, scale, 1.0)
