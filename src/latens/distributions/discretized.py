"""8-bit data: a continuous density integrated over the cells of a lattice."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from latens.distributions import noise
from latens.distributions.base import Family, Shape
from latens.distributions.blocks import blocks
from latens.distributions.bounds import inward, parameters
from latens.distributions.elementwise import Elementwise, Univariate
from latens.utils.errors import InputError

BEYOND = 1e6
WIDEST_CELL = 40.0
FARTHEST = 1e3
WIDEST = 3.0
START = -1.5
LOG2_E = 1.0 / math.log(2.0)


class _LogCell(torch.autograd.Function):
    """log(sigmoid(b) - sigmoid(a)) with b = (upper - loc) / scale and a = (lower - loc) / scale.

    sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b)), in which nothing cancels. The log-scale is kept
    above ``narrowest``. The derivatives are found on the way, block by block, while all the parts are still in the
    processor's cache; out of bounds they are those at the bound where they lead back in, else 0.
    """

    @staticmethod
    def forward(ctx: Any, loc: Tensor, log_scale: Tensor, lower: Tensor, upper: Tensor, narrowest: float) -> Tensor:
        shape = np.broadcast_shapes(loc.shape, log_scale.shape, lower.shape)
        given = [t.expand(shape) for t in (loc, log_scale, lower, upper)]
        log_mass, *slopes = (loc.new_empty(shape) for _ in range(3 if any(ctx.needs_input_grad) else 1))
        for block in blocks(shape, loc):
            cell = _Cell(narrowest, *(t[block] for t in given))
            cell.log_mass(log_mass[block])
            for slope, found in zip(slopes, cell.slopes() if slopes else ()):
                slope[block] = found
        ctx.save_for_backward(loc, log_scale, lower, upper, *slopes)
        ctx.narrowest = narrowest
        return log_mass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        loc, log_scale, lower, upper, *slopes = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is asked for
            slopes = _Cell(ctx.narrowest, loc, log_scale, lower, upper).slopes()
        to_loc, to_scale = ((t * grad).sum_to_size(of.shape) for t, of in zip(slopes, (loc, log_scale)))
        to_loc = inward(to_loc, loc, -FARTHEST, FARTHEST)
        return to_loc, inward(to_scale, log_scale, ctx.narrowest, WIDEST), None, None, None


class _Cell:
    """A cell of the lattice, its ends in units of the scale."""

    def __init__(self, narrowest: float, loc: Tensor, log_scale: Tensor, lower: Tensor, upper: Tensor) -> None:
        loc, log_scale = loc.clamp(-FARTHEST, FARTHEST), log_scale.clamp(narrowest, WIDEST)
        self.rate = (log_scale * -LOG2_E).exp2()
        self.a, self.b = (lower - loc) * self.rate, (upper - loc) * self.rate
        self.width = (self.b - self.a).clamp(max=WIDEST_CELL)
        self.gap = -(-self.width).expm1()

    def log_mass(self, out: Tensor) -> None:
        """Writes log(sigmoid(b) sigmoid(-a) gap)."""
        torch.mul(self.b.abs().sigmoid_(), self.gap, out=out)
        out.mul_(self.a.abs().sigmoid_()).log_().add_(self.b.clamp(max=0.0)).sub_(self.a.clamp(min=0.0))

    def slopes(self) -> list[Tensor]:
        """Its derivatives in the location and the log-scale; differentiable themselves."""
        below, above = (-self.b).sigmoid(), self.a.sigmoid()
        to_scale = self.a * above - self.b * below - self.width * (self.gap.reciprocal() - 1.0)
        return [(above - below) * self.rate, to_scale]


class DiscretizedLogisticElement(Univariate):
    """The mass that a logistic density gives to each of ``levels`` cells; the end cells reach to infinity."""

    filler = -1.0

    def __init__(self, raw_loc: Tensor, raw_log_scale: Tensor, levels: int) -> None:
        super().__init__(raw_loc.shape)
        self.raw_loc, self.raw_log_scale, self.levels = raw_loc, raw_log_scale, levels
        self.step = 2.0 / (levels - 1)
        self.narrowest = math.log(self.step) - 3.0

    @property
    def loc(self) -> Tensor:
        """The location of the logistic."""
        return self.raw_loc.clamp(-FARTHEST, FARTHEST)

    @property
    def scale(self) -> Tensor:
        """The scale of the logistic, at least a twentieth of a step."""
        return self.raw_log_scale.clamp(self.narrowest, WIDEST).exp()

    def log_prob(self, x: Tensor) -> Tensor:
        """The log mass of the cell of x."""
        half = 0.5 * self.step
        lower = (x - half).masked_fill_(x < half - 1.0, -BEYOND)
        upper = (x + half).masked_fill_(x > 1.0 - half, BEYOND)
        return _LogCell.apply(self.raw_loc, self.raw_log_scale, lower, upper, self.narrowest)

    def draw(self, shape: Shape) -> Tensor:
        """The level nearest to a draw of the logistic."""
        u = noise.uniform(shape, self.loc).clamp_(min=torch.finfo(self.loc.dtype).tiny)
        x = self.loc + self.scale * (u.log() - torch.log1p(-u))
        return ((x.clamp(-1.0, 1.0) + 1.0) / self.step).round() * self.step - 1.0

    @property
    def mean(self) -> Tensor:
        """E[clip(X, -1, 1)] of the logistic X itself, which is within half a step of the mean over the levels."""
        loc, scale = self.loc, self.scale
        return 1.0 - scale * (softplus((1.0 - loc) / scale) - softplus((-1.0 - loc) / scale))

    @property
    def stddev(self) -> Tensor:
        """The exact standard deviation, at the price of a sum over the levels."""
        loc, rate = self.loc, 1.0 / self.scale
        first, second = torch.zeros_like(loc), torch.zeros_like(loc)
        for level in range(self.levels - 1):
            below = ((level + 0.5) * self.step - 1.0 - loc).mul(rate).sigmoid()
            first, second = first + below, second + (2.0 * level + 1.0) * below
        top = self.levels - 1.0
        mean = top - first  # in steps above the lowest level
        return (top * top - second - mean.square()).clamp(min=0.0).sqrt() * self.step


@dataclass(frozen=True, repr=False)
class DiscretizedLogistic(Family):
    """P(x) = sigmoid((x + d/2 - loc) / scale) - sigmoid((x - d/2 - loc) / scale), d the step between two levels.

    For 8-bit data placed on ``levels`` equally spaced points of [-1, 1]; the end cells take the tails, so that the
    masses sum to 1 exactly.

    Args:
        levels: how many values there are; 256 for bytes.
        scale: "element" (a log-scale for each element, from the network) or "shared" (one for all, learned).

    Reference:
        Salimans, Karpathy, Chen, Kingma, "PixelCNN++" (2017).

    Example:
        >>> p = DiscretizedLogistic(4)(torch.zeros(2), (1,))
        >>> p.log_prob(torch.linspace(-1, 1, 4)[:, None]).exp()
        tensor([0.0480, 0.4520, 0.4520, 0.0480])
    """

    levels: int = 256
    scale: str = "element"
    measure = "counting"
    support = "lattice"

    def __post_init__(self) -> None:
        if self.levels < 2:
            raise InputError(f"DiscretizedLogistic expects at least 2 levels; got {self.levels}.")
        if self.scale not in ("element", "shared"):
            raise InputError(f"DiscretizedLogistic expects scale 'element' or 'shared'; got {self.scale!r}.")

    @property
    def arity(self) -> int:
        """Numbers per element of the event."""
        return 2 if self.scale == "element" else 1

    def param_shape(self, event_shape: Shape) -> Shape:
        """A location for each element, then, for scale="element", a log-scale for each."""
        return (self.arity * event_shape[0], *event_shape[1:])

    def shared_shape(self, event_shape: Shape) -> Shape | None:
        """One log-scale for all where it is "shared"."""
        return () if self.scale == "shared" else None

    def __call__(
        self, params: Tensor, event_shape: Shape, shared: Tensor | None = None, offset: Tensor | None = None
    ) -> Elementwise:
        """The distribution; parameters of 0 are location 0 and scale exp(-1.5), a quarter of the half range."""
        raw = parameters(params, self.arity, event_shape)
        log_scale = raw[1] if self.scale == "element" else shared
        if log_scale is None:
            raise ValueError(f"{self} expects its shared log-scale; got None.")
        return Elementwise(DiscretizedLogisticElement(raw[0], log_scale + START, self.levels), len(event_shape))
