"""8-bit data: a continuous density integrated over the cells of a lattice."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from latens.distributions import noise
from latens.distributions.base import Family, Shape
from latens.distributions.bounds import bounded, parameters
from latens.distributions.elementwise import Elementwise, Univariate
from latens.utils.errors import InputError

BEYOND = 1e6
FARTHEST = 1e3
WIDEST = 3.0
START = -1.5
SMALLEST_EXPONENT = -80.0


class _LogCell(torch.autograd.Function):
    """log(sigmoid(b) - sigmoid(a)) with b = (upper - loc) / scale and a = (lower - loc) / scale.

    sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b)), in which nothing cancels.
    """

    @staticmethod
    def forward(ctx: Any, loc: Tensor, log_scale: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
        rate = log_scale.neg().exp_()
        b = (upper - loc).mul_(rate)
        a = (lower - loc).mul_(rate)
        width = b - a
        tail_b = b.abs().neg_().clamp_(min=SMALLEST_EXPONENT).exp_()
        tail_a = a.abs().neg_().clamp_(min=SMALLEST_EXPONENT).exp_()
        gap = width.neg().clamp_(min=SMALLEST_EXPONENT).expm1_().neg_()
        log_mass = gap.div(tail_b + 1.0).div_(tail_a + 1.0).log_()
        log_mass.add_(b.clamp(max=0.0)).sub_(a.clamp(min=0.0))
        ctx.save_for_backward(a, b, tail_a, tail_b, gap, rate)
        ctx.shapes = loc.shape, log_scale.shape
        return log_mass

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        a, b, tail_a, tail_b, gap, rate = ctx.saved_tensors
        below_b = torch.where(b > 0, tail_b, 1.0).div_(tail_b + 1.0)  # sigmoid(-b)
        above_a = torch.where(a < 0, tail_a, 1.0).div_(tail_a + 1.0)  # sigmoid(a)
        to_loc = (above_a - below_b).mul_(rate).mul_(grad)
        per_width = (b - a).mul_((1.0 - gap).div_(gap))
        to_scale = (a * above_a).sub_(b * below_b).sub_(per_width).mul_(grad)
        return to_loc.sum_to_size(ctx.shapes[0]), to_scale.sum_to_size(ctx.shapes[1]), None, None


class DiscretizedLogisticElement(Univariate):
    """The mass that a logistic density gives to each of ``levels`` cells; the end cells reach to infinity."""

    filler = -1.0

    def __init__(self, loc: Tensor, log_scale: Tensor, levels: int) -> None:
        super().__init__(loc.shape)
        self.loc, self.log_scale, self.levels = loc, log_scale, levels

    @property
    def step(self) -> float:
        """The distance between two levels."""
        return 2.0 / (self.levels - 1)

    def log_prob(self, x: Tensor) -> Tensor:
        """The log mass of the cell of x."""
        half = 0.5 * self.step
        lower = (x - half).masked_fill_(x < half - 1.0, -BEYOND)
        upper = (x + half).masked_fill_(x > 1.0 - half, BEYOND)
        return _LogCell.apply(self.loc, self.log_scale, lower, upper)

    def draw(self, shape: Shape) -> Tensor:
        """The level nearest to a draw of the logistic."""
        u = noise.uniform(shape, self.loc).clamp_(min=torch.finfo(self.loc.dtype).tiny)
        x = self.loc + self.log_scale.exp() * (u.log() - torch.log1p(-u))
        return ((x.clamp(-1.0, 1.0) + 1.0) / self.step).round() * self.step - 1.0

    @property
    def mean(self) -> Tensor:
        """E[clip(X, -1, 1)] of the logistic X itself, which is within half a step of the mean over the levels."""
        scale = self.log_scale.exp()
        softplus = torch.nn.functional.softplus
        return 1.0 - scale * (softplus((1.0 - self.loc) / scale) - softplus((-1.0 - self.loc) / scale))

    @property
    def stddev(self) -> Tensor:
        """The exact standard deviation, at the price of a sum over the levels."""
        first, second = torch.zeros_like(self.loc), torch.zeros_like(self.loc)
        rate = (-self.log_scale).exp()
        for level in range(self.levels - 1):
            below = ((level + 0.5) * self.step - 1.0 - self.loc).mul(rate).sigmoid()
            first.add_(below)
            second.add_(below, alpha=2.0 * level + 1.0)
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
        >>> p.log_prob(torch.linspace(-1, 1, 4)[:, None]).exp().sum().item()
        1.0
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
        loc = raw[0].clamp(-FARTHEST, FARTHEST)
        log_scale = bounded(log_scale + START, math.log(2.0 / (self.levels - 1)) - 3.0, WIDEST)
        return Elementwise(DiscretizedLogisticElement(loc, log_scale, self.levels), len(event_shape))
