"""Between the rows of a table whose columns are of several kinds and the model's tensors: a map for each column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from latens.data import Schema, Source
from latens.data.columns import Column
from latens.distributions import Categorical, Distribution, Family, Product, Spline
from latens.distributions.base import innermost
from latens.distributions.product import Columns
from latens.models.flow import normalising
from latens.neural.cells import Cells, cells, rare
from latens.neural.units import Units, sample_of, units_for
from latens.utils.errors import InputError

SPLINE_BINS = 16


class TableUnits(Units):
    """u_j = f_j(x_j), with log |df_j/dx_j| of each entry: what the model calls x of a table of several kinds.

    - A real column becomes about normal, by a spline through its quantiles that goes on as a straight line.
    - Of a number with a categorical head the model tells the cell (neural/cells.py), whose inside is fixed: whole
      numbers and days have a mass each, real numbers a density, but for spikes, which have a mass: then the density is
      relative to Lebesgue's measure and a point of weight 1 at each spike.
    - Categories and booleans stay as they are; constants are left out, with a mass of 1, and come back.
    - For any other head the numbers are shifted and scaled to its support.

    Args:
        schema: of the rows.
        family: a product, with a head for each column that is no constant.
        arrays: what :func:`fitted` gives.
    """

    by_row = True
    kept: Tensor
    binned: Tensor
    smooth: Tensor
    density: Tensor
    edges: Tensor
    log_inside: Tensor
    decay: Tensor
    centres: Tensor
    starts: Tensor
    step: Tensor
    knots: Tensor
    slopes: Tensor

    def __init__(self, schema: Schema, family: Product, arrays: Mapping[str, np.ndarray]) -> None:
        super().__init__(schema, family, arrays["shift"], arrays["scale"])
        self.columns = varying(schema)
        self.categories = tuple(getattr(head, "n", 0) for head in family.columns)
        pairs = list(zip(family.columns, self.columns))
        for name in ("edges", "log_inside", "decay", "centres", "starts", "step", "knots", "slopes"):
            self.register_buffer(name, torch.as_tensor(arrays[name], dtype=torch.float64))
        places = {
            "kept": [j for j, column in enumerate(schema.columns or ()) if column.kind != "constant"],
            "binned": [j for j, pair in enumerate(pairs) if has_cells(*pair)],
            "smooth": [j for j, pair in enumerate(pairs) if is_smooth(*pair)],
        }
        for name, place in places.items():
            self.register_buffer(name, torch.tensor(place, dtype=torch.long), persistent=False)
        density = torch.where(torch.tensor(family.masses), 0.0, -self.scale.log())
        self.register_buffer("density", density, persistent=False)
        self.register_buffer("filler", torch.tensor([column.low for column in self.columns]).double(), persistent=False)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """``(D,)``, the columns that are no constants."""
        return (len(self.columns),)

    def forward(self, rows: Tensor) -> Tensor:
        """The user's rows ``(B, d)``, complete, in the model's units ``(B, D)``."""
        return self.told(rows)[0]

    def told(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Complete rows in the model's units ``(B, D)``, and their log volume ``(B,)`` nats."""
        x, volume = self._map(rows[:, self.kept].double())
        return x, volume.sum(1).float()

    def observe(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rows with NaN where missing: x with a value of its support there, what is observed, and its log volume."""
        entries = rows[:, self.kept].double()
        missing = entries.isnan()
        x, volume = self._map(torch.where(missing, self.filler, entries))
        return x, ~missing, (volume * ~missing).sum(1).float()

    def _map(self, entries: Tensor) -> tuple[Tensor, Tensor]:
        """f_j(x_j) and log |df_j/dx_j| of each entry, ``(B, D)``."""
        x = (entries - self.shift) / self.scale
        volume = self.density.expand_as(x)
        if len(self.smooth):
            u, log_slope = Spline(self.knots, self.slopes).apply(x[:, self.smooth])
            x = x.index_copy(1, self.smooth, u)
            volume = volume.index_add(1, self.smooth, log_slope)
        if len(self.binned):
            place, log_inside = self._cell(entries[:, self.binned].mT.contiguous())
            x = x.index_copy(1, self.binned, self.starts.gather(1, place).floor().mT)
            volume = volume.index_copy(1, self.binned, log_inside.mT)
        return x.float(), volume

    def _cell(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """The cell of each value, and log p(value | cell), ``(D, B)``."""
        place = torch.searchsorted(self.edges, values, right=True)
        unit = torch.where(self.step > 0, self.step, 1.0)[:, None]
        below = (self.edges[:, :1] - values).clamp(min=0.0) * self.decay[:, :1]
        above = (values - self._last).clamp(min=0.0) * self.decay[:, 1:]
        return place, self.log_inside.gather(1, place) - (below + above) / unit

    @property
    def _last(self) -> Tensor:
        """Where the last cell begins, ``(D, 1)``; columns of fewer cells have edges at infinity."""
        return self.edges.nan_to_num(posinf=-torch.inf).amax(1, keepdim=True)

    def real(self, x: Tensor, *, drawn: bool = False) -> np.ndarray:
        """The model's ``(B, D)`` as the user's rows, ``(B, d)`` float64, each column within the range seen.

        Args:
            x: draws of p(x | z), or its locations.
            drawn: whether they are draws: then a value of its cell is drawn too, else it is the mean of its data.
        """
        return self._rows(self._entries(x.detach().double(), drawn).cpu().numpy(), drawn)

    def _entries(self, x: Tensor, drawn: bool) -> Tensor:
        """The numbers that x ``(B, D)`` stands for, in the user's units."""
        entries = x
        if len(self.smooth):
            u = Spline(self.knots, self.slopes).invert(x[:, self.smooth])[0]
            entries = entries.index_copy(1, self.smooth, u)
        entries = entries * self.scale + self.shift
        if len(self.binned):
            told = x[:, self.binned].mT
            where = (told + torch.rand_like(told) if drawn else told + 0.5).contiguous()
            place = torch.searchsorted(self.starts, where, right=True) - 1
            values = self._inside(place) if drawn else self.centres.gather(1, place)
            entries = entries.index_copy(1, self.binned, values.mT)
        return entries

    def located(self, p: Distribution) -> np.ndarray:
        """E[x | z] of numbers in cells, what stands in the middle for those made normal, the most probable category."""
        entries = self._entries(p.location.double(), drawn=False)
        if isinstance(p, Columns):
            numbers = [j for j in self.binned.tolist() if self.columns[j].categories is None]
            entries[:, numbers] = p.expected(self._means)[:, numbers]
        return self._rows(entries.cpu().numpy(), False)

    @property
    def _means(self) -> list[Tensor | None]:
        """Of each number in cells the mean of what the model tells as one, ``(n,)``; None of other columns."""
        found: list[Tensor | None] = [None] * len(self.columns)
        for j, start, centre in zip(self.binned.tolist(), self.starts, self.centres):
            if self.columns[j].categories is None:
                start, centre = start[start.isfinite()], centre[start.isfinite()]
                told = start.floor()
                share = torch.minimum(torch.cat([start[1:], told[-1:] + 1]), told + 1) - start
                inside = told >= 0
                sums = torch.zeros(2, int(told[-1]) + 1, dtype=torch.float64, device=start.device)
                sums = sums.index_add(1, told[inside].long(), torch.stack([share * centre, share])[:, inside])
                found[j] = sums[0] / sums[1]
        return found

    def moments(self, p: Distribution) -> Tensor:
        """Of one draw of p the numbers in the user's units, and of each category a unit vector."""
        x = p.sample()
        entries = self._entries(x.flatten(0, -2).double(), drawn=False)
        vectors = [one_hot(entries[:, j].round().long(), n).double() for j, n in self._named]
        return torch.cat([entries, *vectors], -1).unflatten(0, x.shape[:-1])

    def of_moments(self, moments: Tensor) -> np.ndarray:
        """The mean of each number, and the most probable category."""
        entries, *shares = moments.split([len(self.columns), *(n for _, n in self._named)], -1)
        entries = entries.clone()
        for (j, _), share in zip(self._named, shares):
            entries[:, j] = share.argmax(-1).double()
        return self._rows(entries.cpu().numpy(), False)

    @property
    def _named(self) -> list[tuple[int, int]]:
        """The columns that hold no numbers, and of how many kinds what they hold is."""
        kinds = [2 if column.kind == "boolean" else len(column.categories or ()) for column in self.columns]
        return [(j, n) for j, n in enumerate(kinds) if n]

    def _inside(self, place: Tensor) -> Tensor:
        """A draw of p(value | cell), ``(D, B)``."""
        unit = torch.where(self.step > 0, self.step, 1.0)[:, None]
        lattice = (self.step > 0)[:, None]
        first, last = place == 0, place == (self.edges < torch.inf).sum(1, keepdim=True)
        lower = self.edges.gather(1, (place - 1).clamp(min=0))
        upper = self.edges.gather(1, place.clamp(max=self.edges.shape[1] - 1))
        count = torch.where(lattice, ((upper - lower) / unit).round(), (upper - lower) / unit)
        decay, u = torch.where(first, self.decay[:, :1], self.decay[:, 1:]), torch.rand_like(lower)
        away = torch.where(first | last, -u.log() / decay, u * count)
        away = torch.where(lattice, away.floor() + 0.5, away) * unit
        spike = ~lattice & (torch.nextafter(lower, upper) == upper)
        return torch.where(first, upper - away, torch.where(spike, lower, lower + away))

    def _rows(self, entries: np.ndarray, drawn: bool) -> np.ndarray:
        """Entries ``(B, D)`` with the constants among them."""
        rows = np.empty((len(entries), self.schema.size))
        rows[:] = [column.low for column in self.schema.columns or ()]
        for j, (place, column) in enumerate(zip(self.kept.tolist(), self.columns)):
            values = entries[:, j]
            if column.is_mass and (drawn or column.categories is not None):
                values = column.low + column.step * np.rint((values - column.low) / column.step)
            named = column.categories
            rows[:, place] = np.clip(values, *((column.low, column.high) if named is None else (0, len(named) - 1)))
        return rows


def varying(schema: Schema) -> tuple[Column, ...]:
    """The columns that are no constants."""
    return tuple(column for column in schema.columns or () if column.kind != "constant")


def has_cells(head: Family, column: Column) -> bool:
    """Whether the head tells the cell of a number; one of categories and booleans, it tells themselves."""
    named = column.categories is not None or column.kind == "boolean"
    return isinstance(head, Categorical) and (bool(column.rare) or not named)


def product_of(family: Family) -> Product | None:
    """The product that a likelihood is, or mixes."""
    inner = innermost(family)
    return inner if isinstance(inner, Product) else None


def units_of(source: Source, family: Family) -> Units:
    """The units in which ``family`` is told about these data."""
    product = product_of(family)
    if product is None or source.schema.columns is None:
        return units_for(source, family)
    return TableUnits(source.schema, product, fitted(source, product))


def restored(schema: Schema, family: Family, arrays: Mapping[str, np.ndarray]) -> Units:
    """The units whose numbers were saved."""
    product = product_of(family)
    if product is None or schema.columns is None:
        return Units(schema, family, arrays["shift"], arrays["scale"])
    return TableUnits(schema, product, arrays)


def is_smooth(head: Family, column: Column) -> bool:
    """Whether the column is made normal by a spline."""
    return head.support == "real"


def fitted(source: Source, family: Product) -> dict[str, np.ndarray]:
    """The arrays of :class:`TableUnits` for these data."""
    schema = source.schema
    rows = sample_of(source)[:, [j for j, c in enumerate(schema.columns or ()) if c.kind != "constant"]]
    columns = varying(schema)
    shift, scale = np.zeros(len(columns)), np.ones(len(columns))
    binned: list[Cells] = []
    splines: list[tuple[Tensor, Tensor]] = []
    for j, (head, column) in enumerate(zip(family.columns, columns)):
        known = rows[:, j][~np.isnan(rows[:, j])]
        if isinstance(head, Categorical) and has_cells(head, column):
            binned.append(_cells(known, head.n, column))
        elif is_smooth(head, column):
            shift[j], scale[j] = _middle(known)
            splines.append(normalising(torch.from_numpy((known - shift[j]) / scale[j])[:, None], SPLINE_BINS))
        else:
            shift[j], scale[j] = _onto(head, column)
    widest = max((len(c.edges) for c in binned), default=0)
    return {
        "shift": shift,
        "scale": scale,
        "edges": _stacked([c.edges for c in binned], widest, np.inf),
        "log_inside": _stacked([c.log_inside for c in binned], widest + 1, -np.inf),
        "starts": _stacked([c.starts for c in binned], widest + 1, np.inf),
        "centres": _stacked([c.centres for c in binned], widest + 1, 0.0),
        "decay": _stacked([c.decay for c in binned], 2, 0.0),
        "step": np.array([c.step for c in binned]),
        "knots": torch.cat([knots for knots, _ in splines]).numpy() if splines else np.zeros((0, 2, SPLINE_BINS + 1)),
        "slopes": torch.cat([slopes for _, slopes in splines]).numpy() if splines else np.zeros((0, SPLINE_BINS + 1)),
    }


def _stacked(rows: Sequence[np.ndarray], width: int, fill: float) -> np.ndarray:
    return np.array([np.pad(row, (0, width - len(row)), constant_values=fill) for row in rows]).reshape(
        len(rows), width
    )


def _cells(known: np.ndarray, n: int, column: Column) -> Cells:
    if column.rare:
        return rare(n, column.rare)
    step = column.step if column.is_mass else 0.0
    low = column.low if column.kind == "count" and column.low == 0 else -np.inf
    return cells(known, n, step, column.spikes, low)


def _middle(known: np.ndarray) -> tuple[float, float]:
    """The median, and half of what the middle two thirds of the data span."""
    if not len(known):
        return 0.0, 1.0
    low, middle, high = np.quantile(known, [0.16, 0.5, 0.84])
    spread = (high - low) / 2 or float(np.std(known))
    return float(middle), spread if spread > 1e-12 * max(abs(middle), 1e-300) else 1.0


def _onto(head: Family, column: Column) -> tuple[float, float]:
    """Shift and scale onto the support of a head."""
    if head.support == "lattice":
        return (column.low + column.high) / 2, (column.high - column.low) / 2
    if head.support in ("unit", "open unit"):
        inside = column.low > 0 and column.high < 1
        margin = 1e-3 * (column.high - column.low)
        return (0.0, 1.0) if inside else (column.low - margin, column.high - column.low + 2 * margin)
    if head.support in ("counts", "classes", "binary"):
        own = column.categories is not None or column.kind == "count"
        return (0.0, 1.0) if own else (column.low, column.step)
    raise InputError(f"A column expects a head such as Normal('element') or Categorical(8); got {head}.")
