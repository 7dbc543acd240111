"""Any density of rows of numbers as the prior of a model that was trained under another one."""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from torch import Size, Tensor

from latens.density import DensityEstimator
from latens.distributions import Distribution
from latens.distributions.base import REAL
from latens.models.base import Choose, Model
from latens.utils.errors import InputError

Shape = tuple[int, ...]


class FittedDistribution(Distribution):
    """p(z) as a fitted density tells it: it can be drawn and scored, not differentiated.

    Args:
        density: fitted to latents, rows ``(n, L)``.
        like: one event, ``(L,)``, of the dtype and on the device that draws are to have.

    Example:
        >>> from latens import Histogram
        >>> p = FittedDistribution(Histogram(1).fit(np.array([[0.0], [4.0]])), torch.zeros(1))
        >>> p.log_prob(torch.tensor([[1.0], [9.0]])), p.sample((2, 3)).shape  # -log 4
        (tensor([-1.3863,    -inf]), torch.Size([2, 3, 1]))
    """

    batch_shape = Size()

    def __init__(self, density: DensityEstimator, like: Tensor) -> None:
        self.density, self.like = density, like
        self.event_shape = like.shape

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(z) in nats, ``(*sample,)``.

        Raises:
            InputError: a gradient is asked for.
        """
        if torch.is_grad_enabled() and x.requires_grad:
            raise InputError(
                f"A fitted prior ({type(self.density).__name__}) serves sampling and scoring, and has no gradient. "
                "Train under a prior that learns: prior=Free(MixtureOf(Normal('element'), 10, over='event'))."
            )
        rows = x.detach().double().reshape(-1, x.shape[-1]).cpu().numpy()
        return torch.from_numpy(np.asarray(self.density.score_samples(rows))).to(x).reshape(x.shape[:-1])

    def rsample(self, shape: Shape = ()) -> Tensor:
        """A draw without gradients, ``(*shape, L)``, seeded by torch's generator."""
        seed = int(torch.randint(2**31 - 1, ()).item())
        rows = np.asarray(self.density.sample(prod(shape), random_state=seed))
        return torch.from_numpy(rows).to(self.like).reshape(*shape, *self.event_shape)


class Reprised(Model):
    """The same p(x | z) and q(z | x) under another p(z), for a model of one choice.

    Raises:
        InputError: when called, where the posterior draws from another space than that prior.
    """

    choices = 1

    def __init__(self, model: Model, prior: Distribution) -> None:
        super().__init__()
        self.model, self.prior = model, prior

    def forward(
        self, choose: Choose, x: Tensor | None = None, *, observed: Tensor | None = None, context: Tensor | None = None
    ) -> Distribution:
        """p(x | z), z chosen between the other prior and q(z | x)."""

        def other(p: Distribution, q: Distribution | None) -> Tensor:
            if p.space != self.prior.space:
                raise InputError(
                    f"The latents of this model lie in {p.space.name}; a prior fitted afterwards is of {REAL.name}."
                )
            return choose(self.prior, q)

        return self.model(other, x, observed=observed, context=context)
