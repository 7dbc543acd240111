"""The normal distribution in single passes: functions with gradients written by hand, the locations kept from infinity.

Each takes a third of the passes over its numbers that its formula takes in parts, and a step of training a small model
is mostly such passes.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

FARTHEST = 1e8
HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


class _LogNormal(torch.autograd.Function):
    """log N(x; loc, exp(log_scale)^2)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, loc: Tensor, log_scale: Tensor) -> Tensor:
        ctx.save_for_backward(x, loc, log_scale)
        z = (x - loc.clamp(-FARTHEST, FARTHEST)).mul_(log_scale.neg().exp_())
        return z.square_().mul_(-0.5).sub_(log_scale + HALF_LOG_TWO_PI)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, loc, log_scale = ctx.saved_tensors
        rate = (-log_scale).exp()
        z = (x - loc.clamp(-FARTHEST, FARTHEST)) * rate
        steep = z * grad
        to_x, to_loc, to_scale = ctx.needs_input_grad
        slope = steep * rate if to_x or to_loc else None
        return (
            -slope.sum_to_size(x.shape) if to_x and slope is not None else None,
            slope.sum_to_size(loc.shape) if to_loc and slope is not None else None,
            (steep * z - grad).sum_to_size(log_scale.shape) if to_scale else None,
        )


class _Drawn(torch.autograd.Function):
    """loc + exp(log_scale) e."""

    @staticmethod
    def forward(ctx: Any, loc: Tensor, log_scale: Tensor, e: Tensor) -> Tensor:
        ctx.save_for_backward(log_scale, e)
        ctx.loc_shape = loc.shape
        return torch.addcmul(loc.clamp(-FARTHEST, FARTHEST), log_scale.exp(), e)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        log_scale, e = ctx.saved_tensors
        to_loc, to_scale, _ = ctx.needs_input_grad
        return (
            grad.sum_to_size(ctx.loc_shape) if to_loc else None,
            (grad * e * log_scale.exp()).sum_to_size(log_scale.shape) if to_scale else None,
            None,
        )


class _Divergence(torch.autograd.Function):
    """KL(N(loc, exp(log_scale)^2) || N(centre, exp(log_width)^2))."""

    @staticmethod
    def forward(ctx: Any, loc: Tensor, log_scale: Tensor, centre: Tensor, log_width: Tensor) -> Tensor:
        ctx.save_for_backward(loc, log_scale, centre, log_width)
        apart, log_ratio = _apart(loc, log_scale, centre, log_width)
        return (log_ratio * 2.0).expm1_().addcmul(apart, apart).mul_(0.5).sub_(log_ratio)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        parts = ctx.saved_tensors
        apart, log_ratio = _apart(*parts)
        slope, spread = grad * apart * (-parts[3]).exp(), grad * torch.expm1(log_ratio * 2.0)
        slopes = slope, spread, -slope, -spread - grad * apart.square()
        needed = zip(slopes, parts, ctx.needs_input_grad)
        return tuple(slope.sum_to_size(part.shape) if needs else None for slope, part, needs in needed)


def _apart(loc: Tensor, log_scale: Tensor, centre: Tensor, log_width: Tensor) -> tuple[Tensor, Tensor]:
    distance = loc.clamp(-FARTHEST, FARTHEST) - centre.clamp(-FARTHEST, FARTHEST)
    return distance * (-log_width).exp(), log_scale - log_width


class _DivergenceFromStandard(torch.autograd.Function):
    """KL(N(loc, exp(log_scale)^2) || N(0, 1))."""

    @staticmethod
    def forward(ctx: Any, loc: Tensor, log_scale: Tensor) -> Tensor:
        ctx.save_for_backward(loc, log_scale)
        loc = loc.clamp(-FARTHEST, FARTHEST)
        return (log_scale * 2.0).expm1_().addcmul(loc, loc).mul_(0.5).sub_(log_scale)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        loc, log_scale = ctx.saved_tensors
        return grad * loc.clamp(-FARTHEST, FARTHEST), (grad * torch.expm1(log_scale * 2.0)).sum_to_size(log_scale.shape)


def log_normal(x: Tensor, loc: Tensor, log_scale: Tensor) -> Tensor:
    """log N(x; loc, exp(log_scale)^2) of each number, in nats."""
    return _LogNormal.apply(x, loc, log_scale)


def drawn(loc: Tensor, log_scale: Tensor, e: Tensor) -> Tensor:
    """loc + exp(log_scale) e, of the shape of e."""
    return _Drawn.apply(loc, log_scale, e)


def divergence(loc: Tensor, log_scale: Tensor, centre: Tensor, log_width: Tensor) -> Tensor:
    """KL(N(loc, exp(log_scale)^2) || N(centre, exp(log_width)^2)) of each number, in nats.

    Example:
        >>> divergence(*torch.tensor([1.0, 0.0, 0.0, 0.0]))
        tensor(0.5000)
    """
    return _Divergence.apply(loc, log_scale, centre, log_width)


def divergence_from_standard(loc: Tensor, log_scale: Tensor) -> Tensor:
    """KL(N(loc, exp(log_scale)^2) || N(0, 1)) of each number, in nats."""
    return _DivergenceFromStandard.apply(loc, log_scale)
