"""Bounds of -log p(x)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor

from latens.models import Draw
from latens.objectives import path
from latens.objectives.base import Objective
from latens.utils.errors import InputError
from latens.utils.validation import check_positive


@dataclass(frozen=True, repr=False)
class ELBO(Objective):
    """E_q[-log p(x | z)] + KL(q(z | x) || p(z)) >= -log p(x): the negative evidence lower bound, nats.

    From maximum likelihood: log p(x) = log E_q[p(x, z) / q(z | x)] >= E_q[log p(x, z) / q(z | x)], by Jensen's
    inequality; the gap is KL(q(z | x) || p(z | x)). The same as ``Distortion() + Rate()``.

    Args:
        gradient: "total", or "path" (sticking the landing): without the score of q, whose mean is zero. The value is
            the same; the noise of the gradient vanishes where q is the exact posterior. Far from it, early in training,
            the closed form of the rate has the quieter gradient.

    References:
        Kingma and Welling, *Auto-encoding variational Bayes*, 2014; Roeder, Wu and Duvenaud, *Sticking the landing*,
        2017.
    """

    gradient: str = "total"

    def __post_init__(self) -> None:
        path.check_gradient(self.gradient)

    def __call__(self, draw: Draw) -> Tensor:
        """``(B,)``."""
        rate = path.rate(draw) if self.gradient == "path" else draw.rate
        return draw.expect(rate - draw.log_likelihood)


@dataclass(frozen=True, repr=False)
class Renyi(Objective):
    """-E[1/(1 - alpha) log 1/k sum_i w_i^(1 - alpha)], w_i = p(x, z_i) / q(z_i | x), nats.

    alpha = 1 is the evidence lower bound, alpha = 0 the importance weighted one, and the larger alpha, the looser the
    bound. Below 0 it may lie beyond the evidence; alpha = -inf takes the largest weight alone (VR-max), alpha = inf the
    smallest.

    Args:
        alpha: the order of the divergence from q(z | x) to p(z | x) that is minimised as k grows.
        k: the number of draws of one bound.
        m: how many bounds are averaged, k draws each.
        gradient: "total" or "path"; see :class:`ImportanceWeighted`.

    Reference: Li and Turner, *Renyi divergence variational inference*, 2016.

    Example:
        >>> Renyi(0.5, 10), Renyi(-math.inf, 5, 8).samples
        (Renyi(0.5, 10), 40)
    """

    alpha: float
    k: int = 5
    m: int = 1
    gradient: str = "total"

    def __post_init__(self) -> None:
        _check(self)
        if not isinstance(self.alpha, Real) or isinstance(self.alpha, bool) or math.isnan(self.alpha):
            raise InputError(f"Renyi expects a number alpha; got {self.alpha!r}.")
        if math.isinf(self.alpha) and self.gradient == "path":
            raise InputError(f"gradient='path' expects a finite alpha; got {self.alpha!r}.")

    @property
    def samples(self) -> int:
        """k m."""
        return self.k * self.m

    def __call__(self, draw: Draw) -> Tensor:
        """``(B,)``."""
        return _bound(draw, 1.0 - self.alpha, self.k, self.gradient)

    def alone(self, draw: Draw) -> Tensor:
        """``(B,)``."""
        return _bound(draw, 1.0 - self.alpha, self.k, self.gradient, alone=True)


@dataclass(frozen=True, repr=False)
class ImportanceWeighted(Objective):
    """-E[log 1/k sum_i p(x, z_i) / q(z_i | x)] >= -log p(x), nats: a bound that tightens with k.

    The more draws a bound has, the less they tell the encoder: averaging m bounds (MIWAE), or adding some of the ELBO
    (CIWAE: ``0.5 * ELBO() + 0.5 * ImportanceWeighted(50)``), trades some of the tightness for its gradient.

    Args:
        k: the number of draws of one bound.
        m: how many bounds are averaged, k draws each. A draw of more than k m gives an average of more.
        gradient: "total", or "path" (doubly reparameterised; beside other terms, for one more backward pass through
            p(x | z)): the value and the mean of the gradient are the same, and it does not drown in noise as k grows.

    References:
        Burda, Grosse and Salakhutdinov, *Importance weighted autoencoders*, 2016; Rainforth et al., *Tighter
        variational bounds are not necessarily better*, 2018; Tucker et al., *Doubly reparameterized gradient
        estimators for Monte Carlo objectives*, 2019.

    Example:
        >>> ImportanceWeighted(50).samples, ImportanceWeighted(8, 8).samples
        (50, 64)
    """

    k: int = 5
    m: int = 1
    gradient: str = "total"

    def __post_init__(self) -> None:
        _check(self)

    @property
    def samples(self) -> int:
        """k m."""
        return self.k * self.m

    def __call__(self, draw: Draw) -> Tensor:
        """``(B,)``."""
        if self.gradient == "total" and (draw.samples == self.k or draw.enumerated is not None):
            return -draw.log_mean_exp(draw.log_weight)
        return _bound(draw, 1.0, self.k, self.gradient)

    def alone(self, draw: Draw) -> Tensor:
        """``(B,)``."""
        return self(draw) if self.gradient == "total" else _bound(draw, 1.0, self.k, self.gradient, alone=True)


def _bound(draw: Draw, power: float, k: int, gradient: str, alone: bool = False) -> Tensor:
    if gradient == "total":
        return -power_mean(grouped(draw, draw.log_weight, k), power).mean(0)
    weights = grouped(draw, path.log_weight(draw), k)
    bounds = power_mean(weights, power)
    if k > 1 and power != 0:
        bounds = bounds + path.doubly(draw, weights, power, alone)
    return -bounds.mean(0)


def _check(bound: Renyi | ImportanceWeighted) -> None:
    if not isinstance(bound.k, int) or bound.k < 1:
        raise InputError(f"{type(bound).__name__} expects a whole number of samples k >= 1; got {bound.k!r}.")
    check_positive("m", bound.m, integer=True)
    path.check_gradient(bound.gradient)


def grouped(draw: Draw, t: Tensor, k: int) -> Tensor:
    """``(m k, B) -> (m, k, B)``: the draws of each bound.

    Raises:
        InputError: choices that were enumerated, or a number of draws that is no multiple of k.
    """
    if draw.enumerated is not None:
        raise InputError("This bound expects draws, and choices were enumerated; use ELBO() or ImportanceWeighted(k).")
    if draw.samples % k:
        raise InputError(f"A bound of {k} draws expects a multiple of {k} draws; got {draw.samples}.")
    return t.unflatten(0, (draw.samples // k, k))


def power_mean(t: Tensor, power: float) -> Tensor:
    """1/p log 1/k sum_i exp(p t_i) over the second axis; at p = 0 the mean, at p = +-inf the largest or smallest.

    Exact for small p too. A term below eps^2 of the largest has no gradient, as in ``Draw.log_mean_exp``.

    >>> round(power_mean(torch.tensor([[0.0, 1.0, 5.0]]), 1e-12).item(), 4)
    2.0
    """
    if power == 0:
        return t.mean(1)
    top = t.amax(1, keepdim=True) if power > 0 else t.amin(1, keepdim=True)
    if math.isinf(power):
        return top.squeeze(1)
    top = top.detach()
    below = (power * (t - top)).clamp(min=2.0 * math.log(torch.finfo(t.dtype).eps))
    return top.squeeze(1) + below.expm1().mean(1).log1p() / power
