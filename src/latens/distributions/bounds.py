"""Bounds on what a network says, so that no output, not even an infinite one, makes a NaN."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from latens.distributions.base import Shape, split

HALF = (torch.float16, torch.bfloat16)


def inward(slope: Tensor, x: Tensor, low: Any, high: Any) -> Tensor:
    """The derivative of a loss in x, without what would move x further out of its bounds: a step there changes nothing.

    A network that is told to go there goes, with all its numbers, until none of them is finite.

    Example:
        >>> inward(torch.tensor([2.0, -2.0, -2.0]), torch.tensor([9.0, 9.0, 0.0]), -1.0, 1.0)
        tensor([ 2.,  0., -2.])
    """
    return slope.masked_fill((x - x.clamp(low, high)) * slope < 0, 0.0)


class _Bounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, low: Any, high: Any) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bounds = low, high
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return inward(grad, x, *ctx.bounds), None, None


class _Within(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad, None, None


def within(x: Tensor, low: float, high: float) -> Tensor:
    """min(max(x, low), high) with the gradient of x: for bounds that only keep infinities out."""
    return _Within.apply(x, low, high) if x.requires_grad and torch.is_grad_enabled() else x.clamp(low, high)


def _tamed(r: Tensor) -> Tensor:
    return r.clamp(max=0.0).add_(r.clamp(min=0.0).log1p_())


class _Tame(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, r: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(r)
        ctx.bounds = low, high
        return _tamed(r).clamp_(low, high)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (r,) = ctx.saved_tensors
        return inward(grad, _tamed(r), *ctx.bounds) / (r.clamp(min=0.0) + 1.0), None, None


def tame(r: Tensor, low: float, high: float) -> Tensor:
    """log exp(r) below 0 and log(1 + r) above, :func:`bounded`.

    A scale that grows exponentially with what a network says grows out of hand within a few steps of training, and its
    divergence with its square; one that grows in proportion comes back.

    Example:
        >>> tame(torch.tensor([-2.0, 0.0, 1.0]), -10.0, 10.0).exp()  # 1 / e^2, 1, 2
        tensor([0.1353, 1.0000, 2.0000])
    """
    return _Tame.apply(r, low, high)


def bounded(x: Tensor, low: Any, high: Any) -> Tensor:
    """min(max(x, low), high), two numbers or two tensors, whose gradient still pulls an outlying x back in.

    Outside the bounds the gradient of a clamp is zero, so that what strays once never returns. Here only a step
    further out has gradient zero; a step of descent towards the interval keeps its own.

    Example:
        >>> x = torch.tensor([9.0, 9.0], requires_grad=True)
        >>> (bounded(x, -1.0, 1.0) * torch.tensor([2.0, -2.0])).sum().backward()
        >>> x.grad
        tensor([2., 0.])
    """
    return _Bounded.apply(x, low, high) if x.requires_grad and torch.is_grad_enabled() else x.clamp(low, high)


def parameters(params: Tensor, arity: int, event_shape: Shape) -> tuple[Tensor, ...]:
    """:func:`~latens.distributions.base.split` in at least single precision: densities are not for half of one."""
    return split(params.float() if params.dtype in HALF else params, arity, event_shape)
