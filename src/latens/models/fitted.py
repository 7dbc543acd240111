"""Any density of rows of numbers as the prior of a model that was trained under another one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import Size, Tensor

from latens.density import BayesClassifier, DensityEstimator
from latens.distributions import Distribution
from latens.distributions.base import REAL
from latens.models.base import Choose, Model
from latens.utils.errors import InputError

Shape = tuple[int, ...]


class FittedDistribution(Distribution):
    """p(z), or p(z | y), as a fitted density tells it: it can be drawn and scored, not differentiated.

    Args:
        density: fitted to latents, rows ``(n, L)``.
        like: one event, ``(L,)``, of the dtype and on the device that draws are to have.
        y: what each of a batch is conditioned on, ``(B, ...)``, for a density that was fitted with it: a
            :class:`~latens.BayesClassifier`, which holds one for each class, or a network with ``condition="y"``.

    Example:
        >>> from latens import Histogram
        >>> p = FittedDistribution(Histogram(1).fit(np.array([[0.0], [4.0]])), torch.zeros(1))
        >>> p.log_prob(torch.tensor([[1.0], [9.0]])), p.sample((2, 3)).shape  # -log 4
        (tensor([-1.3863,    -inf]), torch.Size([2, 3, 1]))
    """

    def __init__(self, density: DensityEstimator, like: Tensor, y: np.ndarray | None = None) -> None:
        self.density, self.like, self.y = density, like, y
        self.batch_shape = Size() if y is None else Size([len(y)])
        self.event_shape = like.shape

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(z) in nats, ``(*sample, *batch)``.

        Raises:
            InputError: a gradient is asked for.
        """
        if torch.is_grad_enabled() and x.requires_grad:
            raise InputError(
                f"A fitted prior ({type(self.density).__name__}) serves sampling and scoring, and has no gradient. "
                "Train under a prior that learns: prior=Free(MixtureOf(Normal('element'), 10, over='event'))."
            )
        rows = x.detach().double().reshape(-1, x.shape[-1]).cpu().numpy()
        found = np.empty(len(rows))
        for here, density, given in self._parts(len(rows)):
            found[here] = density.score_samples(rows[here], **given)
        return torch.from_numpy(found).to(x).reshape(x.shape[:-1])

    def rsample(self, shape: Shape = ()) -> Tensor:
        """A draw without gradients, ``(*shape, *batch, L)``, seeded by torch's generator."""
        full = (*shape, *self.batch_shape)
        rng = check_random_state(int(torch.randint(2**31 - 1, ()).item()))
        rows = np.empty((prod(full), *self.event_shape))
        for here, density, given in self._parts(len(rows)):
            rows[here] = np.asarray(density.sample(len(rows[here]), random_state=rng, **given))
        return torch.from_numpy(rows).to(self.like).reshape(*full, *self.event_shape)

    def _parts(self, n: int) -> Iterator[tuple[Any, Any, dict[str, Any]]]:
        """Which of n rows, batch after batch, which density tells them, and what it is given."""
        if self.y is None:
            yield slice(None), self.density, {}
            return
        y = np.resize(self.y, (n, *self.y.shape[1:]))
        if not isinstance(self.density, BayesClassifier):
            yield slice(None), self.density, {"y": y}
            return
        for label, density in zip(self.density.classes_, self.density.densities_):
            if len(here := np.flatnonzero(y == label)):
                yield here, density, {}


class Reprised(Model):
    """The same p(x | z) and q(z | x) under another p(z), for a model of one choice.

    Args:
        model: of which all else is kept.
        prior: gives p(z), or p(z | context).

    Raises:
        InputError: when called, where the posterior draws from another space than that prior.
    """

    choices = 1

    def __init__(self, model: Model, prior: Callable[[Tensor | None], Distribution]) -> None:
        super().__init__()
        self.model, self.prior = model, prior

    def forward(
        self, choose: Choose, x: Tensor | None = None, *, observed: Tensor | None = None, context: Tensor | None = None
    ) -> Distribution:
        """p(x | z), z chosen between the other prior and q(z | x)."""
        prior = self.prior(context)

        def other(p: Distribution, q: Distribution | None) -> Tensor:
            if p.space != prior.space:
                raise InputError(
                    f"The latents of this model lie in {p.space.name}; a prior fitted afterwards is of {REAL.name}."
                )
            return choose(prior, q)

        return self.model(other, x, observed=observed, context=context)
