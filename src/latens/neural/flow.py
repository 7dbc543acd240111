"""The normalizing flow as a density estimator."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from torch import Tensor

from latens.data import Schema, Source
from latens.distributions import Family, Normal
from latens.models import Explicit, Model, NormalizingFlow
from latens.neural import defaults
from latens.neural.base import Defaults
from latens.neural.explicit import ExplicitDensity
from latens.nn import MLP, Site
from latens.training import Schedule


class Flow(ExplicitDensity):
    """log p(x) = log N(f(x); 0, I) + log |det df/dx|, exactly, with f a composition of learned bijections.

    f makes the data normal; its inverse makes data of normal noise. It is trained by maximum likelihood. The density is
    with respect to Lebesgue's measure, in the units of the data; values on a lattice are trained on with uniform noise
    of the width of a cell, so that the density there is about the mass of the cell over its volume.

    What is None is chosen from the data, and ``reasons_`` says why.

    Args:
        transforms: how many bijections with a network f is composed of.
        kind: "autoregressive", the more accurate, which draws in one pass for each column; or "coupling", which draws
            in one pass.
        bins: of the rational-quadratic splines; 0 for affine functions: a masked autoregressive flow, or Real NVP.
        network: of each bijection, such as ``MLP((128, 128))``.
        condition: "y" to learn p(x | y).
        epochs, batch_size, learning_rate, weight_decay, clip, ema, patience, validation_fraction, device, random_state,
             verbose: as for :class:`latens.VAE`.

    References:
        Durkan et al., *Neural spline flows*, 2019; Papamakarios, Pavlakou and Murray, *Masked autoregressive flow for
        density estimation*, 2017.

    Example:
        >>> import numpy as np
        >>> angle = np.random.default_rng(0).uniform(0, 6.28, 400)
        >>> X = np.stack([np.cos(angle), np.sin(angle)], 1)
        >>> flow = Flow(epochs=2, random_state=0).fit(X)
        >>> flow.score_samples(X).shape, flow.sample(3).shape, flow.transform(X).shape
        ((400,), (3, 2), (400, 2))
    """

    model_: Explicit
    precision = "float32"

    def __init__(
        self,
        *,
        transforms: int | None = None,
        kind: str = "autoregressive",
        bins: int = 8,
        network: MLP | None = None,
        condition: str | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | Schedule | None = None,
        weight_decay: float = 0.0,
        clip: float | None = 100.0,
        ema: float = 0.999,
        patience: int | None = None,
        validation_fraction: float = 0.1,
        device: str | None = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.transforms = transforms
        self.kind = kind
        self.bins = bins
        self.network = network
        self.condition = condition
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.clip = clip
        self.ema = ema
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _defaults(self, schema: Schema, n: int, settings: dict[str, Any]) -> Defaults:
        network = defaults.flow(schema, n)
        return {
            "transforms": lambda: defaults.transforms(schema),
            "network": lambda: network,
            **self._pace(schema, n, network.value, settings),
        }

    def _set_up(self, source: Source, y: Any = None) -> None:
        super()._set_up(source, y)
        self.units_.cell = self.schema_.step if self.schema_.discrete else 0.0

    def _build(self, site: Site) -> Model:
        spec = NormalizingFlow(self.settings_["transforms"], self.kind, self.bins, self.settings_["network"])
        return Explicit(spec.build(Site(site.event_shape, events=site.batch, beside=site.beside)))

    @property
    def _family(self) -> Family:
        return Normal()

    @property
    def _parameters(self) -> int:
        return self.settings_["transforms"] * self._n_features_out * max(2, 3 * self.bins)

    @property
    def _n_features_out(self) -> int:
        return math.prod(self.schema_.shape)

    def transform(self, X: Any, y: Any = None) -> np.ndarray:
        """f(x) of each row, ``(n, columns)``: independent standard normal numbers, as far as the flow fits the data."""
        return self._map(X, y, lambda rows, x, beside: self._density(beside).to_base(self.units_(x))[0])

    def _decoded(self, z: Tensor, context: Tensor | None) -> np.ndarray:
        return self.units_.inverse(self._density(context).from_base(z)[0])
