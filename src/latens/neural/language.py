"""Strings without latents: the language model."""

from __future__ import annotations

import math
from typing import Any, NoReturn

from torch import Tensor

from latens.data import Schema, Source
from latens.distributions import Family
from latens.models import Conditional, Explicit, Model
from latens.neural import defaults
from latens.neural.base import Defaults
from latens.neural.continuation import continued
from latens.neural.explicit import ExplicitDensity
from latens.neural.rows import seed_of
from latens.nn import SequenceNetwork, Site
from latens.training import Schedule
from latens.utils.errors import InputError
from latens.utils.validation import check_positive


class NoCodes(InputError, AttributeError):
    """A density without latents has no codes."""


class LanguageModel(ExplicitDensity, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """log p(x) = sum_t log p(x_t | x_1 .. x_{t-1}), exactly, of strings: a decoder of text without a code.

    What a VAE of text is to be held against: it has the same decoder, and a code beside it. It is trained by maximum
    likelihood.

    What is None is chosen from the data, and ``reasons_`` says why.

    Args:
        network: ``GRU(256, 128)`` or ``Transformer(128, 2, 4)``.
        condition: "y" to learn p(x | y).
        epochs, batch_size, learning_rate, weight_decay, clip, ema, patience, validation_fraction, precision, device,
             random_state, verbose: as for :class:`latens.VAE`.

    Reference: Mikolov et al., *Recurrent neural network based language model*, 2010.

    Example:
        >>> from latens.nn import GRU
        >>> lines = ["to be", "or not to be", "that is"] * 20
        >>> model = LanguageModel(network=GRU(16, 8), epochs=2, random_state=0).fit(lines)
        >>> model.score_samples(["to be", "or"]).shape, len(model.sample(3))
        ((2,), 3)
    """

    def __init__(
        self,
        *,
        network: SequenceNetwork | None = None,
        condition: str | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | Schedule | None = None,
        weight_decay: float = 0.0,
        clip: float | None = 100.0,
        ema: float = 0.999,
        patience: int | None = None,
        validation_fraction: float = 0.1,
        precision: str = "auto",
        device: str | None = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
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
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _set_up(self, source: Source, y: Any = None) -> None:
        if source.schema.tokens is None:
            raise InputError(f"LanguageModel expects text; got {source.schema.summary}. Use a VAE or a Flow.")
        super()._set_up(source, y)

    def _defaults(self, schema: Schema, n: int, settings: dict[str, Any]) -> Defaults:
        network = defaults.network(schema)
        return {"network": lambda: network, **self._pace(schema, n, network.value, settings)}

    def _build(self, site: Site) -> Model:
        density = Conditional(self._family, self.settings_["network"])
        return Explicit(density.build(Site(site.event_shape, events=site.batch, beside=site.beside)))

    @property
    def _family(self) -> Family:
        return defaults.likelihood(self.schema_, 0).value

    @property
    def _parameters(self) -> int:
        return math.prod(self._family.param_shape(self.units_.event_shape))

    def complete(self, X: Any, n: int | None = None, *, y: Any = None, random_state: Any = None) -> list[Any]:
        """Strings that begin as given: one each, written greedily, or n draws of p(x | the beginning), ``(n, rows)``.

        Args:
            X: beginnings.
            n: how many draws; None for the one.
            y: what to condition on, for p(x | y).
            random_state: a seed; None for the estimator's own.
        """
        source = self._source(X)
        if n is not None:
            check_positive("n", n, integer=True)
        context = self._context(y if y is not None else source.labels, len(source))
        seed = self.seed_ if random_state is None else seed_of(random_state)
        return continued(self, self.model_, source, context, n, 1, seed)

    @property
    def transform(self) -> NoReturn:
        """Not there: nothing is latent."""
        raise NoCodes("A LanguageModel has no codes; use a VAE, whose transform gives one for each string.")

    @property
    def _n_features_out(self) -> int:
        raise NoCodes("A LanguageModel has no codes; use a VAE, whose transform gives one for each string.")

    def _decoded(self, z: Tensor, context: Tensor | None) -> NoReturn:
        raise NoCodes("A LanguageModel has no codes; use a VAE, whose inverse_transform decodes them.")
