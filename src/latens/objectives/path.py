"""Gradients through the draws alone: other estimates of the same gradients, with less noise near the optimum.

With z = f(eps, phi) the gradient of E_q[h(z) - log q(z | x)] in phi has two parts: the path, through z, and the score,
the derivative of log q at a fixed z. The score's mean is zero. Left out, what remains is zero for every single draw
where q is the exact posterior (sticking the landing), while the score alone has the variance of the Fisher information.

In a bound of k draws, 1/(1 - alpha) log mean w_i^(1 - alpha), the scores are weighted, by v_i ~ w_i^(1 - alpha), and no
longer vanish; but what they add is, in the mean, a multiple of the path's own gradient. The i-th path then counts
alpha v_i + (1 - alpha) v_i^2 in place of v_i, in phi alone: for alpha = 0 the doubly reparameterised gradient, v_i^2.

References: Roeder, Wu and Duvenaud, *Sticking the landing*, 2017; Tucker et al., *Doubly reparameterized gradient
estimators for Monte Carlo objectives*, 2019.
"""

from __future__ import annotations

import math
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
    return reduce(add, map(_rate, draw.latents))


def _rate(latent: Latent) -> Tensor:
    drawn = log_posterior(latent) - latent.log_p
    return latent.kl.detach() + (drawn - drawn.detach())


def log_weight(draw: Draw) -> Tensor:
    """log p(x, z) - log q(z | x), ``(K, B)``, whose gradient in the posterior is the path's."""
    return draw.log_likelihood + draw.log_prior - reduce(add, map(log_posterior, draw.latents))


def log_posterior(latent: Latent) -> Tensor:
    """log q(z | x), ``(K, B)``, whose gradient reaches q through z alone.

    Raises:
        InputError: z carries no gradient to q.
    """
    if torch.is_grad_enabled() and not latent.q.reparameterised:
        raise InputError(
            f"gradient='path' expects a posterior whose draws carry gradients, such as Normal('element'); "
            f"{type(latent.q).__name__} has none. Use gradient='total'."
        )
    if not _moves(latent.code):
        return latent.log_q.detach()
    point = latent.code.detach().requires_grad_()
    log_q = latent.q.log_prob(point)
    (slope,) = torch.autograd.grad(log_q.sum(), point)
    drawn = log_q if latent.drawn_log_q is None else latent.drawn_log_q
    return drawn.detach() + along(latent.code, slope)


def doubly(draw: Draw, weights: Tensor, power: float) -> Tensor:
    """0, with the gradient in the posterior by which the doubly reparameterised estimate differs, ``(m, B)``.

    Args:
        draw: of m k draws.
        weights: :func:`log_weight` in groups, ``(m, k, B)``.
        power: 1 - alpha.

    Raises:
        InputError: more than one choice: the scores of a later one depend on the earlier.
    """
    if len(draw.latents) != 1:
        raise InputError(
            f"gradient='path' of a bound of several draws expects a model of one choice; this one makes "
            f"{len(draw.latents)}. Use gradient='total', or ELBO('path')."
        )
    z = draw.latents[0].code
    if not _moves(z):
        return torch.zeros_like(weights[:, 0])
    (slope,) = torch.autograd.grad(weights.sum(), z, retain_graph=True)
    u = power * weights.detach()
    v = torch.maximum(u, u.amax(1, keepdim=True) + 2.0 * math.log(torch.finfo(u.dtype).eps)).softmax(1)
    return (power * v * (v - 1.0) * along(z, slope).view_as(weights)).sum(1)


def along(z: Tensor, slope: Tensor) -> Tensor:
    """0, with the gradient ``slope`` in z, both ``(K, B, *)``: ``(K, B)``."""
    return ((z - z.detach()) * slope).flatten(2).sum(-1)


def _moves(z: Tensor) -> bool:
    return z.requires_grad and torch.is_grad_enabled()
