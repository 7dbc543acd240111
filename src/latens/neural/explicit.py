"""Densities that a network gives outright, with no latents."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from latens.models import Explicit
from latens.neural.base import NeuralDensity
from latens.objectives import Distortion, Objective


class ExplicitDensity(NeuralDensity):
    """log p(x) as the model's density tells it, exactly; what is minimised is -log p(x)."""

    model_: Explicit

    def _objective(self) -> Objective:
        return Distortion()

    def _density(self, context: Tensor | None) -> Any:
        return self.model_.density(context=context)

    def score_samples(self, X: Any, y: Any = None) -> np.ndarray:
        """log p(x) of each row, ``(n,)`` nats, exactly.

        A function of the model and the row alone: neither order, subset nor batch size moves a bit.

        Args:
            X: rows, or strings, like those fitted.
            y: what to condition on, for p(x | y).
        """

        def one(rows: np.ndarray, tensor: Tensor, beside: Tensor | None) -> Tensor:
            x, volume = self.units_.told(tensor)
            return self._density(beside).log_prob(x).double() + volume

        return self._map(X, y, one)

    def _drawn(self, n: int, context: Tensor | None) -> Tensor:
        density = self._density(context)
        return density.sample(() if len(density.batch_shape) else (n,))
