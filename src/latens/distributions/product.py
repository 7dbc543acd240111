"""Events of unlike columns: a head of its own for each of them, independent given their parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Size, Tensor

from latens.distributions import noise
from latens.distributions.base import Distribution, Family, Shape
from latens.distributions.bounds import HALF, inward
from latens.distributions.categorical import Categorical
from latens.distributions.elementwise import Elementwise, Univariate
from latens.distributions.mixture import MixtureOf
from latens.utils.errors import InputError

LARGEST = 30.0
"""Logits of categories, at most: no exponential of them overflows, so that sums need no search for the largest."""


class _LogShare(torch.autograd.Function):
    """logits_place - log sum exp(logits) of each column; half the passes of its parts.

    ``columns`` (L, D) is 1 where a category belongs to a column. Logits are kept within bounds; out of bounds the
    derivatives are those at the bound, where they lead back in.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, place: Tensor, columns: Tensor) -> Tensor:
        ctx.save_for_backward(logits, place, columns)
        inside = logits.clamp(-LARGEST, LARGEST)
        return inside.gather(-1, place) - (inside.exp() @ columns).log_()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        logits, place, columns = ctx.saved_tensors
        inside = logits.clamp(-LARGEST, LARGEST)
        mass = inside.exp()
        slope = (mass * -((grad / (mass @ columns)) @ columns.mT)).scatter_add(-1, place, grad)
        return inward(slope, logits, -LARGEST, LARGEST), None, None


class UnlikeCategories(Univariate):
    """P(x_j = i) = softmax(logits of column j)_i, columns with numbers of categories of their own side by side.

    Args:
        logits: ``(*batch, n_1 + ... + n_D)``.
        sizes: n_1 ... n_D.

    Example:
        >>> p = UnlikeCategories(torch.zeros(5), (2, 3))
        >>> p.log_prob(torch.tensor([1.0, 0.0])).exp()
        tensor([0.5000, 0.3333])
    """

    def __init__(self, logits: Tensor, sizes: tuple[int, ...]) -> None:
        super().__init__(Size((*logits.shape[:-1], len(sizes))))
        self.logits, self.sizes = logits, sizes
        self.first, self.index, self.columns = _places(sizes, logits.dtype, logits.device)

    def log_prob(self, x: Tensor) -> Tensor:
        """The log mass of the categories with these indices."""
        place = x.long() + self.first
        shape = torch.broadcast_shapes(place.shape[:-1], self.logits.shape[:-1])
        return _LogShare.apply(self.logits.expand(*shape, -1), place.expand(*shape, -1), self.columns)

    @cached_property
    def probabilities(self) -> Tensor:
        """Of every category of every column, ``(*batch, n_1 + ... + n_D)``."""
        mass = self.logits.clamp(-LARGEST, LARGEST).exp()
        return mass / (mass @ self.columns @ self.columns.mT)

    def draw(self, shape: Shape) -> Tensor:
        """The index of the category whose share of [0, 1) holds a uniform draw."""
        ends = self.probabilities.double().cumsum(-1).expand(*shape[:-1], -1).contiguous()
        u = noise.uniform(shape, self.logits).double() + torch.arange(len(self.sizes), device=self.logits.device)
        index = torch.searchsorted(ends, u.contiguous(), right=True) - self.first
        last = torch.tensor(self.sizes, device=index.device) - 1
        return torch.minimum(index.clamp(min=0), last).to(self.logits.dtype)

    @property
    def mean(self) -> Tensor:
        """E[x] of the index: meaningful where categories are ordered."""
        return (self.probabilities * self.index) @ self.columns

    @property
    def variance(self) -> Tensor:
        """The variance of the index."""
        return (self.probabilities * self.index.square()) @ self.columns - self.mean.square()

    @property
    def mode(self) -> Tensor:
        """The most probable category."""
        likely = [part.argmax(-1) for part in self.logits.split(list(self.sizes), -1)]
        return torch.stack(likely, -1).to(self.logits.dtype)


@lru_cache(64)
def _places(sizes: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """The place of the first category of each column, of each category its index, and to which column it belongs."""
    column = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    first = torch.tensor([0, *accumulate(sizes)][:-1])
    index = torch.arange(len(column)) - first[column]
    return first.to(device), index.to(device, dtype), torch.eye(len(sizes))[column].to(device, dtype)


class Columns(Distribution):
    """p(x) = prod_g p_g(x_g), each g some of the columns.

    Args:
        parts: the columns of each g, and their distribution, of batch shape ``(*batch)``.
    """

    def __init__(self, parts: Sequence[tuple[Tensor, Distribution]]) -> None:
        self.parts = tuple(parts)
        self.batch_shape = parts[0][1].batch_shape
        self.event_shape = Size((sum(len(columns) for columns, _ in parts),))

    @property
    def reparameterised(self) -> bool:  # type: ignore[override]
        """Whether ``rsample`` carries gradients to all parameters."""
        return all(p.reparameterised for _, p in self.parts)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, ``(*sample, *batch)``."""
        terms = [p.log_prob(x[..., columns]) for columns, p in self.parts]
        return sum(terms[1:], terms[0])

    def factors(self, x: Tensor) -> Tensor:
        """log p(x_j) in nats, ``(*sample, *batch, D)``."""
        return self._joined([p.factors(x[..., columns]) for columns, p in self.parts])

    def rsample(self, shape: Shape = ()) -> Tensor:
        """A draw ``(*shape, *batch, D)``, with gradients to the parameters of columns that have them."""
        return self._joined([p.rsample(shape) for _, p in self.parts])

    def restrict(self, observed: Tensor) -> Columns:
        """The marginal of the observed columns: the other factors are 0 nats."""
        return Columns([(columns, p.restrict(observed[..., columns])) for columns, p in self.parts])

    @property
    def mean(self) -> Tensor:
        """E[x], ``(*batch, D)``: of a category, of its index."""
        return self._joined([p.mean for _, p in self.parts])

    @property
    def location(self) -> Tensor:
        """The one row that stands for all, ``(*batch, D)``: means, and the most probable categories."""
        return self._joined([_location(p) for _, p in self.parts])

    def expected(self, values: Sequence[Tensor | None]) -> Tensor:
        """E[v_j(x_j)] where categories i stand for numbers v_j(i), the location of other columns, ``(*batch, D)``.

        Args:
            values: for each column ``(n_j,)`` numbers, or None.
        """
        out = self.location.to(torch.promote_types(self.location.dtype, torch.float64))
        for columns, p in self.parts:
            element = getattr(p, "element", None)
            if isinstance(element, UnlikeCategories):
                shares = element.probabilities.split(list(element.sizes), -1)
                for j, share in zip(columns.tolist(), shares):
                    if (told := values[j]) is not None:
                        out[..., j] = share.double() @ told
        return out

    @property
    def stddev(self) -> Tensor:
        """The standard deviation of each column, ``(*batch, D)``."""
        return self._joined([p.stddev for _, p in self.parts])

    def _joined(self, parts: list[Tensor]) -> Tensor:
        """The parts as one event, every column in its place."""
        order = torch.cat([columns for columns, _ in self.parts]).argsort()
        return torch.cat(parts, -1)[..., order]


def _location(p: Distribution) -> Tensor:
    element = getattr(p, "element", None)
    return element.mode if isinstance(element, UnlikeCategories) else p.location


@dataclass(frozen=True, repr=False)
class Product(Family):
    """p(x) = prod_j p_j(x_j): for each column a head, a family of its own, whose numbers stand one after the other.

    Heads that are alike are computed as one, and so are categories, however many a column has: a table costs a few
    operations, not a few for each column. A missing column is integrated out, exactly.

    Args:
        heads: families whose elements are independent, ``Categorical(n)`` for n categories, from the first column on.
        sizes: how many columns each of them is for; one each where it is left out.

    Example:
        >>> from latens.distributions import Normal
        >>> family = Product((Normal("element"), Categorical(4)), (2, 1))
        >>> family.param_shape((3,))
        (8,)
        >>> p = family(torch.zeros(8), (3,))
        >>> p.factors(torch.tensor([0.0, 0.0, 3.0])).exp()
        tensor([0.3989, 0.3989, 0.2500])
    """

    heads: tuple[Family, ...]
    sizes: tuple[int, ...] | None = None
    support = "columns"

    def __post_init__(self) -> None:
        if not isinstance(self.heads, (tuple, list)) or not self.heads:
            raise InputError(f"Product expects a tuple of heads, such as (Normal('element'),); got {self.heads!r}.")
        object.__setattr__(self, "heads", tuple(self.heads))
        for head in self.heads:
            _check_head(head)
        if self.sizes is not None:
            object.__setattr__(self, "sizes", tuple(self.sizes))
            if len(self.sizes) != len(self.heads) or not all(isinstance(n, int) and n > 0 for n in self.sizes):
                raise InputError(
                    f"Product expects a number of columns >= 1 for each of its {len(self.heads)} heads; "
                    f"got {self.sizes}."
                )
        shared = [head for head in self.heads if head.shared_shape((1,)) is not None]
        if len({(head.calibrated, head.power if head.calibrated else 0) for head in shared}) > 1:
            raise InputError(f"Product expects scales that are all learned or all optimal of one kind; got {shared}.")

    @property
    def measure(self) -> str:  # type: ignore[override]
        """That of its heads: "counting" where all columns are countable, "lebesgue" where some are real."""
        return "counting" if all(self.masses) else "lebesgue"

    @property
    def masses(self) -> tuple[bool, ...]:
        """Of which columns p is a probability rather than a density."""
        return tuple(head.measure == "counting" for head in self.columns)

    @property
    def columns(self) -> tuple[Family, ...]:
        """The head of each column."""
        return tuple(head for head, n in zip(self.heads, self._sizes) for _ in range(n))

    @property
    def calibrated(self) -> bool:  # type: ignore[override]
        """Whether the shared scales are set in closed form."""
        return any(head.calibrated for head in self.heads)

    @property
    def power(self) -> int:  # type: ignore[override]
        """That of the heads which are calibrated."""
        return next((head.power for head in self.heads if head.calibrated), 2)

    @property
    def _sizes(self) -> tuple[int, ...]:
        return self.sizes or (1,) * len(self.heads)

    def param_shape(self, event_shape: Shape) -> Shape:
        """The numbers of the first head, then those of the second, and so on."""
        self._check(event_shape)
        return (sum(self._numbers),)

    @property
    def _numbers(self) -> list[int]:
        return [head.param_shape((n,))[0] for head, n in zip(self.heads, self._sizes)]

    def _check(self, event_shape: Shape) -> None:
        if event_shape != (sum(self._sizes),):
            raise InputError(f"{self} expects rows of {sum(self._sizes)} columns; got events of shape {event_shape}.")

    def shared_shape(self, event_shape: Shape) -> Shape | None:
        """The shared parameters of all heads, one after the other."""
        total = sum(_shared_numbers(head, n) for head, n in zip(self.heads, self._sizes))
        return (total,) if total else None

    def centre(self, batch: Tensor) -> Tensor:
        """What is to be added to all parameters: the centres of the heads, and zeros."""
        parts = []
        for head, size, x in zip(self.heads, self._numbers, batch.split(list(self._sizes), -1)):
            centre = head.centre(x)
            known = batch.new_zeros(0) if centre is None else centre.flatten()
            parts.append(torch.cat([known, batch.new_zeros(size - len(known))]))
        return torch.cat(parts)

    def start(self, event_shape: Shape, apart: float = 0.1) -> Tensor:
        """Where the heads begin."""
        return torch.cat([head.start((n,), apart) for head, n in zip(self.heads, self._sizes)])

    def calibrate(self, dist: Any, x: Tensor) -> Tensor | None:
        """The shared scales of all heads that are best for x; None where they are learned."""
        if not self.calibrated:
            return None
        best = [g.family.calibrate(p, x[..., g.columns]) for g, (_, p) in zip(_groups(self, x.device), dist.parts)]
        return torch.stack([scale for scale in best if scale is not None])

    def __call__(
        self, params: Tensor, event_shape: Shape, shared: Tensor | None = None, offset: Tensor | None = None
    ) -> Columns:
        """The heads at these parameters, to which ``offset`` is added."""
        self._check(event_shape)
        params = params.float() if params.dtype in HALF else params
        params = params if offset is None else params + offset
        parts = []
        for group in _groups(self, params.device):
            numbers = params[..., group.params]
            parts.append((group.columns, group.build(numbers, shared)))
        return Columns(parts)


class _Group(NamedTuple):
    """Columns that are computed as one.

    Attributes:
        family: of the columns; of categories, that of the first.
        categories: how many categories each column has; empty where they are none.
        columns, params: which columns, and which parameters in the order in which the family expects them.
        shared: the part of the shared parameters, and its shape; None where there are none.
    """

    family: Family
    categories: tuple[int, ...]
    columns: Tensor
    params: Tensor | slice
    shared: tuple[slice, Shape] | None

    def build(self, numbers: Tensor, shared: Tensor | None) -> Distribution:
        """The distribution of the columns, at their own part of what all heads share."""
        if self.categories:
            return Elementwise(UnlikeCategories(numbers, self.categories), 1)
        own = None
        if shared is not None and self.shared is not None:
            place, shape = self.shared
            own = shared[place].reshape(shape)
        return self.family(numbers, (len(self.columns),), own)


@lru_cache(64)
def _groups(product: Product, device: torch.device) -> tuple[_Group, ...]:
    """Categories of all columns are one group, heads that are alike and share nothing another; others stand alone."""
    kinds: dict[Any, list[tuple[Family, Tensor, Tensor, tuple[slice, Shape] | None]]] = {}
    column = number = common = 0
    for i, (head, n, size) in enumerate(zip(product.heads, product._sizes, product._numbers)):
        shape, length = head.shared_shape((n,)), _shared_numbers(head, n)
        shared = None if shape is None else (slice(common, common + length), shape)
        kind: Any = Categorical if isinstance(head, Categorical) else head if shape is None else i
        grid = torch.arange(number, number + size).reshape(-1, n)  # each row one kind of number, of all columns
        kinds.setdefault(kind, []).append((head, torch.arange(column, column + n), grid, shared))
        column, number, common = column + n, number + size, common + length
    return tuple(_group(kind is Categorical, members, device) for kind, members in kinds.items())


def _group(categories: bool, members: list[Any], device: torch.device) -> _Group:
    heads, columns, grids, shared = zip(*members)
    if categories:
        sizes = tuple(head.n for head, some in zip(heads, columns) for _ in some)
        params = torch.cat([grid.mT.flatten() for grid in grids])
    else:
        sizes, params = (), torch.cat(grids, 1).flatten()
    first, last = int(params[0]), int(params[-1])
    whole = bool((params == torch.arange(first, first + len(params))).all())
    numbers = slice(first, last + 1) if whole else params.to(device)
    return _Group(heads[0], sizes, torch.cat(columns).to(device), numbers, shared[0])


def _shared_numbers(head: Family, n: int) -> int:
    shape = head.shared_shape((n,))
    return 0 if shape is None else torch.Size(shape).numel()


def independent(head: Any) -> bool:
    """Whether this is a family of elements that are independent, each of as many numbers of its own."""
    whole = isinstance(head, MixtureOf) and head.over == "event"
    ordered = not isinstance(head, Family) or isinstance(head, Product) or head.autoregressive
    return not whole and not ordered and head.param_shape((2,))[0] % 2 == 0


def _check_head(head: Any) -> None:
    """Refuses what is no family, or one of whose elements some depend on others."""
    if not independent(head):
        raise InputError(f"Product expects heads whose columns are independent, such as Normal('element'); got {head}.")
