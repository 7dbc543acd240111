"""What the estimators with latent variables have in common: a code for each row, and rows from codes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import update_wrapper
from types import MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latens.data import Schema
from latens.distributions import Distribution, Family
from latens.models import clamp, encode, locate, sample
from latens.neural import defaults
from latens.neural.base import Defaults, Network, NeuralDensity
from latens.neural.progress import active_units
from latens.neural.scoring import seen, squared_error
from latens.neural.task import Task
from latens.utils.errors import InputError


class PosteriorCollapse(UserWarning):
    """The posterior equals the prior in every dimension: z says nothing about x."""


class NoDensity(InputError, AttributeError):
    """What was asked for needs a density that was not learned; ``hasattr`` says so beforehand."""


class Scored:
    """A method that is there where p(x | z) was learned."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self.method = method
        update_wrapper(self, method)  # type: ignore[arg-type]

    def __get__(self, estimator: Any, kind: type | None = None) -> Any:
        if estimator is None:
            return self.method
        if not estimator.learns_density_:
            raise NoDensity(_LEARNED_DISTORTION)
        return MethodType(self.method, estimator)


class LatentDensity(NeuralDensity):
    """A density of rows x told through latents z: p(x) = E_{z ~ p(z)}[p(x | z)].

    NaN is missing: what is said of such a row is said of its observed entries.
    """

    _takes_missing = True

    latents: int | None
    likelihood: Family | None
    encoder: Network
    decoder: Network

    def _defaults(self, schema: Schema, n: int, settings: dict[str, Any]) -> Defaults:
        network = defaults.network(schema)
        return {
            "likelihood": lambda: defaults.likelihood(schema),
            "latents": lambda: defaults.latents(schema, n),
            "encoder": lambda: network,
            "decoder": lambda: network,
            **self._pace(n, network.value, settings),
        }

    @property
    def _family(self) -> Family:
        return self.settings_["likelihood"]

    @property
    def _parameters(self) -> int:
        return math.prod(self._family.param_shape(self.units_.event_shape))

    @property
    def _n_features_out(self) -> int:
        return self.settings_["latents"]

    def _finish(self, task: Task, rows: Any) -> None:
        """Sets what has a closed form over all rows, and says so if the latents carry nothing."""
        super()._finish(task, rows)
        if self.settings_["likelihood"].calibrated:
            with torch.no_grad(), torch.random.fork_rng():
                torch.manual_seed(self.seed_)
                task.calibrate(rows, self.settings_["batch_size"])
        active = self.active_units_
        if active == 0:
            warnings.warn(_COLLAPSED.format(self.settings_["latents"]), PosteriorCollapse, stacklevel=5)

    @property
    def active_units_(self) -> int | None:
        """How many latent dimensions carry more than 0.01 nats on average; None where that is not known."""
        if not self.history_.rows:
            return None
        active = active_units(self.history_.rows[(self.history_.best_epoch or 0) - 1])
        return None if active is None else active[0]

    @property
    def code_classes_(self) -> int | None:
        """How many values each latent takes; None where latents are real numbers."""
        return None

    def transform(self, X: Any, y: Any = None) -> np.ndarray:
        """E_q[z | x], the posterior mean of each row, or the location or code that stands for it: ``(n, latents)``."""

        def codes(rows: np.ndarray, x: Tensor, beside: Tensor | None) -> Tensor:
            u, observed, _ = seen(self.units_, x)
            return _flat(encode(self.model_, u, observed=observed, context=beside))

        return self._map(X, y, codes)

    def _decoded(self, z: Tensor, context: Tensor | None) -> Tensor:
        return self.model_(clamp(self._cut(z)), context=context).mean

    def reconstruct(self, X: Any, y: Any = None) -> np.ndarray:
        """E[x | z] at the posterior mean of each row: what passes through the latent space."""

        def rebuilt(rows: np.ndarray, x: Tensor, beside: Tensor | None) -> Tensor:
            u, observed, _ = seen(self.units_, x)
            means = locate(self.model_, u, observed=observed, context=beside)[1].mean
            return torch.from_numpy(self.units_.inverse(means))

        return self._map(X, y, rebuilt)

    def reconstruction_error(self, X: Any, y: Any = None) -> np.ndarray:
        """The mean squared difference of a row to its reconstruction, of what is observed, ``(n,)`` squared units."""
        return self._map(X, y, lambda rows, x, beside: squared_error(self.model_, self.units_, rows, x, beside))

    def sample(self, n_samples: int = 1, random_state: Any = None, *, y: Any = None, mean: bool = False) -> np.ndarray:
        """Draws z ~ p(z), then x ~ p(x | z): ``n_samples`` new rows, in the shape, dtype and range of what was fitted.

        Args:
            n_samples: how many.
            random_state: a seed; None for the estimator's own.
            y: what to condition on: a class for all, or one each.
            mean: return E[x | z] instead, without the noise of the likelihood: smoother pictures, but no draws of p(x).
        """
        draw = (lambda n, beside: self._generate(n, beside).mean) if mean else self._drawn
        return self._sample(n_samples, random_state, y, draw, drawn=not mean)

    def _drawn(self, n: int, context: Tensor | None) -> Tensor:
        return self._generate(n, context).sample()

    def _generate(self, n: int, context: Tensor | None) -> Distribution:
        """p(x | z) for n draws of z from the prior."""
        return sample(self.model_, n, context=context)

    def _cut(self, z: Tensor) -> list[Tensor]:
        """Latent points as the choices the model makes."""
        return [z]


_LEARNED_DISTORTION = (
    "This model has no density p(x): its likelihood learned by a learned distortion alone, which is none. Add "
    "Distortion() to what it minimises, or use reconstruction_error(X) to find outliers."
)

_COLLAPSED = (
    "posterior collapse: 0 of {} latent dimensions carry information. Give the rate less weight early "
    "(objective=Distortion() + Linear(0.0, 1.0, until=0.3) * Rate()), leave some of it free "
    "(Distortion() + FreeBits(0.1)), or let the likelihood learn its scale (Normal('shared'))."
)


def _flat(latents: list[Tensor]) -> Tensor:
    return torch.cat([z.flatten(1) for z in latents], 1)
