"""The monotone rational-quadratic spline: a flexible increasing function that inverts in closed form."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from latens.distributions.bijections import Monotone

STEEPEST = math.log(1e3)
"""Slopes at the knots lie between exp(-STEEPEST) and exp(STEEPEST), as do the ratios of two widths or heights."""


class Spline(Monotone):
    r"""A ratio of two quadratics between each two of K + 1 knots, and a straight line beyond them.

    In a bin of width w, height h, mean slope s = h / w and slopes d_0, d_1 at its ends, at t = (x - x_0) / w:

    .. math:: y = y_0 + h \frac{s t^2 + d_0 t (1 - t)}{s + (d_0 + d_1 - 2 s) t (1 - t)}

    Args:
        knots: ``(*, D, 2, K + 1)``, the abscissae and the ordinates of the knots, both increasing.
        slopes: ``(*, D, K + 1)``, dy/dx at the knots; the first and last are those of the tails.

    Reference: Durkan et al., *Neural spline flows*, 2019; Gregory and Delbourgo, 1982.

    Example:
        >>> identity = Spline.of(torch.zeros(1, 11), bound=3.0)  # 4 bins
        >>> identity.apply(torch.tensor([0.5]))[0]
        tensor([0.5000])
    """

    def __init__(self, knots: Tensor, slopes: Tensor) -> None:
        self.knots, self.slopes = knots, slopes

    @classmethod
    def of(cls, params: Tensor, bound: float) -> Spline:
        """The spline on [-bound, bound] of 3 K - 1 unconstrained numbers ``(*, D, 3 K - 1)``; zeros are the identity.

        It is the identity beyond the bounds. The numbers are the logarithms of K widths, K heights and K - 1 slopes,
        bounded.
        """
        bins = (params.shape[-1] + 1) // 3
        sizes = _bounded(params[..., : 2 * bins], STEEPEST / 2).exp().unflatten(-1, (2, bins))
        ends = sizes @ sizes.new_ones(bins, bins + 1).triu(1)
        knots = ends * (2 * bound / ends[..., -1:]) - bound
        slopes = torch.nn.functional.pad(_bounded(params[..., 2 * bins :], STEEPEST), (1, 1)).exp()
        return cls(knots, slopes)

    def apply(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The spline and the logarithm of its slope."""
        inside, (x0, w, y0, h, d0, d1) = self._bin(x, 0)
        s, t = h / w, (inside - x0) / w
        middle = t * (1 - t)
        below = s + (d0 + d1 - 2 * s) * middle
        y = y0 + h * (s * t.square() + d0 * middle) / below
        log_slope = _log_slope(s, t, middle, below, d0, d1)
        return y + (x - inside) * log_slope.exp(), log_slope

    def invert(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """The stable root of the quadratic of the bin, and minus the logarithm of the slope there."""
        inside, (x0, w, y0, h, d0, d1) = self._bin(y, 1)
        s, up = h / w, inside - y0
        excess = d0 + d1 - 2 * s
        a, b, c = h * (s - d0) + up * excess, h * d0 - up * excess, -s * up
        t = 2 * c / (-b - (b.square() - 4 * a * c).clamp(min=0).sqrt())
        middle = t * (1 - t)
        log_slope = _log_slope(s, t, middle, s + excess * middle, d0, d1)
        return x0 + w * t + (y - inside) * (-log_slope).exp(), -log_slope

    def _bin(self, v: Tensor, axis: int) -> tuple[Tensor, tuple[Tensor, ...]]:
        """v within the knots, and of its bin: left end, width, lower end, height, slope at both ends."""
        knots = self.knots.expand(*v.shape, *self.knots.shape[-2:])
        along = knots[..., axis, :]
        k = (v.unsqueeze(-1) >= along[..., 1:-1]).sum(-1, keepdim=True)
        pair = torch.cat([k, k + 1], -1)
        (x0, x1), (y0, y1) = _ends(knots.gather(-1, pair.unsqueeze(-2).expand(*v.shape, 2, 2)))
        d0, d1 = self.slopes.expand(*v.shape, -1).gather(-1, pair).unbind(-1)
        inside = torch.minimum(torch.maximum(v, along[..., 0]), along[..., -1])
        return inside, (x0, x1 - x0, y0, y1 - y0, d0, d1)


def _ends(corners: Tensor) -> tuple[tuple[Tensor, ...], ...]:
    return tuple(axis.unbind(-1) for axis in corners.unbind(-2))


class _Bounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, bound: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bound = bound
        return x / x.abs().mul_(1 / bound).add_(1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return grad / (x.abs() / ctx.bound + 1).square(), None


def _bounded(logarithm: Tensor, bound: float) -> Tensor:
    """x / (1 + |x| / bound), which lies in (-bound, bound)."""
    return _Bounded.apply(logarithm, bound)


def _log_slope(s: Tensor, t: Tensor, middle: Tensor, below: Tensor, d0: Tensor, d1: Tensor) -> Tensor:
    """log of s^2 (d_1 t^2 + 2 s t (1 - t) + d_0 (1 - t)^2) / below^2."""
    above = d1 * t.square() + 2 * s * middle + d0 * (1 - t).square()
    return (above * (s / below).square()).log()
