"""Gradients through the draws alone: other estimates of the same gradients, with less noise near the optimum.

With z = f(eps, phi) the gradient of E_q[h(z) - log q(z | x)] in phi has two parts: the path, through z, and the score,
the derivative of log q at a fixed z. The score's mean is zero. Left out, what remains is zero for every single draw
where q is the exact posterior (sticking the landing), while the score alone has the variance of the Fisher information.

In a bound of k draws, 1/(1 - alpha) log mean w_i^(1 - alpha), the scores are weighted, by v_i ~ w_i^(1 - alpha), and no
longer vanish; but what they add is, in the mean, a multiple of the path's own gradient. The i-th path then counts
alpha v_i + (1 - alpha) v_i^2 in place of v_i, in phi alone: for alpha = 0 the doubly reparameterised gradient, v_i^2.

Where choices follow one another, q(z_2 | z_1, x) changes with z_1 too, which is part of the path and not of the score.
So the derivatives in all choices are taken at copies of them, which the model is given once more.

References: Roeder, Wu and Duvenaud, *Sticking the landing*, 2017; Tucker et al., *Doubly reparameterized gradient
estimators for Monte Carlo objectives*, 2019; Bauer and Mnih, *Generalized doubly reparameterized gradient estimators*,
2021, for hierarchies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from operator import add

import torch
from torch import Tensor

from latens.models import Draw, Latent
from latens.utils.errors import InputError
from latens.utils.validation import check_choice

GRADIENTS = ("total", "path")


def check_gradient(gradient: str) -> None:
    """One of the two estimators."""
    check_choice("gradient", gradient, GRADIENTS)


def rate(draw: Draw) -> Tensor:
    """The rate of a draw, ``(K, B)``, whose gradient in the posterior is the path's.

    The value stays that of the closed form where there is one.
    """
    drawn = log_posterior(draw) - draw.log_prior
    return draw.rate.detach() + (drawn - drawn.detach())


def log_weight(draw: Draw) -> Tensor:
    """log p(x, z) - log q(z | x), ``(K, B)``, whose gradient in the posterior is the path's."""
    return draw.log_likelihood + draw.log_prior - log_posterior(draw)


def log_posterior(draw: Draw) -> Tensor:
    """log q(z | x), ``(K, B)``, whose gradient reaches q through z alone.

    Raises:
        InputError: z carries no gradient to q.
    """
    for latent in draw.latents:
        if torch.is_grad_enabled() and not latent.q.reparameterised:
            raise InputError(
                f"gradient='path' expects a posterior whose draws carry gradients, such as Normal('element'); "
                f"{type(latent.q).__name__} has none. Use gradient='total'."
            )
    if len(draw.latents) == 1:
        return _of_one(draw.latents[0])
    if not any(_moves(latent.code) for latent in draw.latents):
        return draw.log_posterior.detach()
    along_all = map(along, (latent.code for latent in draw.latents), slopes(draw, joint=False))
    return draw.log_posterior.detach() + reduce(add, along_all)


def _of_one(latent: Latent) -> Tensor:
    if not _moves(latent.code):
        return latent.log_q.detach()
    point = latent.code.detach().requires_grad_()
    log_q = latent.q.log_prob(point)
    (slope,) = torch.autograd.grad(log_q.sum(), point)
    drawn = log_q if latent.drawn_log_q is None else latent.drawn_log_q
    return drawn.detach() + along(latent.code, slope)


def slopes(draw: Draw, *, joint: bool) -> Sequence[Tensor]:
    """The derivatives of log q(z | x), or of the log-weight where ``joint``, in each choice alone, ``(K, B, *)``."""
    points = [latent.code.detach().requires_grad_() for latent in draw.latents]
    if draw.again is None:
        raise InputError("gradient='path' of several choices expects a draw made by latens.models.draw.")
    other = draw.again(points)
    value = other.log_weight if joint else other.log_posterior
    return torch.autograd.grad(value.sum(), points, materialize_grads=True)


def doubly(draw: Draw, weights: Tensor, power: float, alone: bool = False) -> Tensor:
    """0, with the gradient in the posterior by which the doubly reparameterised estimate differs, ``(m, B)``.

    Args:
        draw: of m k draws.
        weights: :func:`log_weight` in groups, ``(m, k, B)``.
        power: 1 - alpha.
        alone: whether all gradient that reaches z is that of the bound. Then it is multiplied where it passes z, in
            place of a backward pass of its own.
    """
    codes = [latent.code for latent in draw.latents]
    if not any(map(_moves, codes)):
        return torch.zeros_like(weights[:, 0])
    u = power * weights.detach()
    v = torch.maximum(u, u.amax(1, keepdim=True) + 2.0 * math.log(torch.finfo(u.dtype).eps)).softmax(1)
    more = power * (v - 1.0)
    if alone and len(codes) == 1:
        factor = (1.0 + more).view(len(codes[0]), -1, *[1] * (codes[0].ndim - 2))
        codes[0].register_hook(lambda slope: factor * slope)
        return torch.zeros_like(weights[:, 0])
    if len(codes) == 1:
        found: Sequence[Tensor] = torch.autograd.grad(weights.sum(), codes, retain_graph=True)
    else:
        found = slopes(draw, joint=True)
    return (v * more * reduce(add, map(along, codes, found)).view_as(weights)).sum(1)


def along(z: Tensor, slope: Tensor) -> Tensor:
    """0, with the gradient ``slope`` in z, both ``(K, B, *)``: ``(K, B)``."""
    return ((z - z.detach()) * slope).flatten(2).sum(-1)


def _moves(z: Tensor) -> bool:
    return z.requires_grad and torch.is_grad_enabled()
