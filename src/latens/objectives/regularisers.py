"""Terms that keep codes, or the decoder, in shape. None of them is in nats, and their weight is a choice."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add

import torch
from torch import Tensor

from latens.distributions import Distribution, noise
from latens.models import Draw, Latent
from latens.objectives.base import Objective
from latens.utils.errors import InputError
from latens.utils.validation import check_choice, check_positive


@dataclass(frozen=True, repr=False)
class DIP(Objective):
    """a sum_{i != j} C_ij^2 + b sum_i (C_ii - 1)^2: the covariance C of the codes is drawn to the identity.

    C is that of the posterior means (kind "I"), or of the draws, Cov[E[z | x]] + E[Var[z | x]] (kind "II"), over the
    batch, that of this process where there are several: a term of the whole batch, ``()``.

    Args:
        kind: "I" or "II".
        off_diagonal: a.
        diagonal: b.

    Raises:
        InputError: a posterior whose moments, or for "II" whose independent dimensions, are not known.

    Reference: Kumar, Sattigeri and Balakrishnan, *Variational inference of disentangled latent concepts from unlabeled
    observations*, 2018.

    Example:
        >>> from latens.objectives import ELBO
        >>> ELBO() + DIP("I", diagonal=100.0)
        ELBO() + DIP('I', diagonal=100.0)
    """

    kind: str = "II"
    off_diagonal: float = 10.0
    diagonal: float = 10.0

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, ("I", "II"))
        check_positive("off_diagonal", self.off_diagonal, zero=True)
        check_positive("diagonal", self.diagonal, zero=True)

    def __call__(self, draw: Draw) -> Tensor:
        """``()``."""
        means = torch.cat([_rows(latent, self._known(latent).mean) for latent in draw.latents], 1)
        centred = means - means.mean(0)
        with torch.autocast(means.device.type, enabled=False):
            covariance = centred.mT @ centred / len(centred)
        variances = covariance.diagonal()
        apart = covariance.square().sum() - variances.square().sum()
        if self.kind == "II":
            spreads = torch.cat([_rows(latent, latent.q.stddev) for latent in draw.latents], 1)
            variances = variances + spreads.square().mean(0)
        return self.off_diagonal * apart + self.diagonal * (variances - 1.0).square().sum()

    def _known(self, latent: Latent) -> Distribution:
        try:
            _ = latent.q.mean
            if self.kind == "II" and latent.q.has_density:
                latent.q.factors(latent.code)
            known = latent.quantised is None
        except NotImplementedError:
            known = False
        if not known:
            raise InputError(
                f"DIP({self.kind!r}) expects a posterior whose moments are known, such as Normal('element'); "
                f"{type(latent.q).__name__} does not tell them. Use another posterior, or MMD()."
            )
        return latent.q


def _rows(latent: Latent, moment: Tensor) -> Tensor:
    """A moment of q(z | x) for every draw of every example, ``(K B, D)``."""
    return moment.expand_as(latent.value).flatten(2).flatten(0, 1)


@dataclass(frozen=True, repr=False)
class LatentL2(Objective):
    """E_q[|z|^2 / 2]: codes stay near the origin.

    Reference: Ghosh et al., *From variational to deterministic autoencoders*, 2020.
    """

    def __call__(self, draw: Draw) -> Tensor:
        """``(B,)``."""
        return draw.expect(reduce(add, [0.5 * z.value.flatten(2).square().sum(-1) for z in draw.latents]))


@dataclass(frozen=True, repr=False)
class GradientPenalty(Objective):
    """E_q[|d E[x | z] / dz|^2], the squared Frobenius norm of the Jacobian: a smooth decoder.

    From one vector of random signs v a draw, since E_v[|v J|^2] = |J|^2; it costs one more pass through the decoder
    and back, and the gradient of that.

    Raises:
        InputError: a likelihood without a mean.

    Reference: Ghosh et al., *From variational to deterministic autoencoders*, 2020.

    Example:
        >>> from latens.objectives import Distortion
        >>> Distortion() + 1e-3 * LatentL2() + 1e-4 * GradientPenalty()
        Distortion() + 0.001 * LatentL2() + 0.0001 * GradientPenalty()
    """

    def __call__(self, draw: Draw) -> Tensor:
        """``(B,)``."""
        if draw.decode is None:
            raise InputError(
                "GradientPenalty expects a draw that can decode other codes; make it by latens.models.draw."
            )
        learns = torch.is_grad_enabled()
        with torch.enable_grad():
            moves = [torch.zeros_like(z.real, requires_grad=True) for z in draw.latents]
            mean = mean_of(draw.decode([z.real + move for z, move in zip(draw.latents, moves)]))
            signs = torch.where(noise.uniform(mean.shape, mean) < 0.5, 1.0, -1.0).to(mean.dtype)
            slopes = torch.autograd.grad(mean, moves, signs, create_graph=learns, materialize_grads=True)
        return draw.expect(reduce(add, [slope.flatten(2).square().sum(-1) for slope in slopes]))


def mean_of(p: Distribution) -> Tensor:
    """E[x | z], ``(K, B, *)``.

    Raises:
        InputError: a distribution that has none.
    """
    try:
        return p.mean
    except NotImplementedError:
        raise InputError(f"Expected a likelihood with a mean; {type(p).__name__} has none.") from None
