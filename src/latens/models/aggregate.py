"""The aggregate posterior q(z) = 1/N sum_n q(z | x_n), estimated from one batch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from latens.distributions import Distribution
from latens.utils.errors import InputError


def aggregate(
    values: Sequence[Tensor], posteriors: Sequence[Distribution], n_examples: int | None
) -> tuple[Tensor, Tensor]:
    """log q(z), ``(K, B)``, and log q(z_j) of each dimension of all choices, ``(K, B, L)``, nats.

    By stratified sampling: z_i was drawn from q(z | x_i), one of N; the B - 1 others of the batch stand for the N - 1
    others of the data. So q(z_i) = 1/N q(z_i | x_i) + (N - 1)/N mean_{j != i} q(z_i | x_j), which is unbiased, and
    exact where the batch is all the data. It is the mean of the estimate of Chen et al. over all orders of the batch:
    there, the example that comes last is weighted otherwise.

    Args:
        values: the draws of each choice, ``(K, B, *)``.
        posteriors: q(z | x) of each choice, batch shape ``(B,)``.
        n_examples: N; that of the batch if None.

    Raises:
        InputError: posteriors that do not factorise, or that depend on other choices.

    Reference: Chen et al., *Isolating sources of disentanglement in variational autoencoders*, 2018, appendix C.2.

    Example:
        >>> from latens.distributions import Normal
        >>> q = Normal(1.0)(torch.tensor([[-5.0], [5.0]]), (1,))
        >>> aggregate([torch.tensor([[[-5.0], [5.0]]])], [q], None)[0]  # log 1/2 - log(2 pi)/2
        tensor([[-1.6121, -1.6121]])
    """
    terms = torch.cat([_pairs(z, q) for z, q in zip(values, posteriors)], -1)  # (K, B, B, L)
    weights = _log_weights(terms, n_examples)
    return _log_sum(terms.sum(-1) + weights), _log_sum(terms + weights.unsqueeze(-1))


def _pairs(z: Tensor, q: Distribution) -> Tensor:
    """log q(z_id | x_j) of every draw at every example, ``(K, B, B, L)``."""
    if len(q.batch_shape) > 1:
        raise InputError(
            "The aggregate posterior expects choices that depend on x alone, and this model's depend on one another; "
            "use Rate(), or a model of one level."
        )
    try:
        terms = q.factors(z.unsqueeze(2))
    except NotImplementedError:
        raise InputError(
            f"The aggregate posterior expects a density whose dimensions are independent given x, such as "
            f"Normal('element'); {type(q).__name__} has none. Use Rate(), or another posterior."
        ) from None
    return terms.flatten(3).expand(-1, -1, z.shape[1], -1)


def _log_weights(terms: Tensor, n_examples: int | None) -> Tensor:
    """``(B, B)``: 1/N on the diagonal, (N - 1) / (N (B - 1)) elsewhere, in logarithm."""
    size = terms.shape[1]
    if size == 1:
        return terms.new_zeros(1, 1)
    n = max(size, n_examples or 0)
    other = math.log((n - 1) / (n * (size - 1)))
    return torch.eye(size, dtype=terms.dtype, device=terms.device) * (-math.log(n) - other) + other


def _log_sum(terms: Tensor) -> Tensor:
    """log sum exp over the examples; what is below eps^2 of the largest has no gradient, as in ``Draw``."""
    least = terms.detach().amax(2, keepdim=True) + 2.0 * math.log(torch.finfo(terms.dtype).eps)
    return torch.maximum(terms, least).logsumexp(2)
