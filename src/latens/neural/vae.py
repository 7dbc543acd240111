"""The variational autoencoder as a density estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from latens.distributions import Family, Normal
from latens.models import Conditional, Model, StandardNormal, VariationalAutoencoder, unwrapped
from latens.neural.latent import LatentDensity
from latens.neural.scoring import log_likelihood
from latens.nn import Site, Spec
from latens.objectives import ELBO, Objective
from latens.training import Schedule
from latens.utils.validation import check_positive

Network = Spec | nn.Module | None


class VAE(LatentDensity):
    """p(x) = E_{z ~ p(z)}[p(x | z)], learned through its evidence lower bound with a posterior q(z | x).

    What is None is chosen from the data, and ``reasons_`` says why.

    Args:
        latents: the number of latent dimensions.
        posterior: the family of q(z | x); its parameters come from the encoder.
        likelihood: the family of p(x | z); its parameters come from the decoder.
        prior: p(z); StandardNormal() if None.
        objective: what is minimised, such as ``Distortion() + 4.0 * Rate()``.
        encoder, decoder: a network specification, or an ``nn.Module`` of your own, which is copied.
        condition: "y" to learn p(x | y).
        epochs, batch_size, learning_rate: how long, how many rows a step, how large a step (a number or a schedule).
        weight_decay, clip, ema, precision: see :class:`latens.training.Recipe`.
        patience: epochs without a better held-out loss before training stops; 0 to run them all.
        validation_fraction: the share of rows held out to choose the best weights.
        device: "cpu", "cuda" ...; the GPU if there is one.
        random_state: a seed; the same seed on the same machine gives the same bits.
        score_samples_k: draws an example in ``score_samples``.
        verbose: write a line an epoch to the standard error.

    References:
        Kingma and Welling, *Auto-encoding variational Bayes*, 2014.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> X = load_digits().images
        >>> vae = VAE(latents=4, epochs=2, random_state=0).fit(X)
        >>> vae.sample(3).shape, vae.transform(X).shape, vae.score_samples(X[:5]).shape
        ((3, 8, 8), (1797, 4), (5,))
    """

    def __init__(
        self,
        *,
        latents: int | None = None,
        posterior: Family | Spec = Normal("element"),
        likelihood: Family | None = None,
        prior: Spec | None = None,
        objective: Objective = ELBO(),
        encoder: Network = None,
        decoder: Network = None,
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
        score_samples_k: int = 128,
        verbose: bool = False,
    ) -> None:
        self.latents = latents
        self.posterior = posterior
        self.likelihood = likelihood
        self.prior = prior
        self.objective = objective
        self.encoder = encoder
        self.decoder = decoder
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
        self.score_samples_k = score_samples_k
        self.verbose = verbose

    def _objective(self) -> Objective:
        return self.objective

    def _build(self, site: Site) -> Model:
        return build(site, self.settings_, self.posterior, self.prior or StandardNormal())

    def score_samples(self, X: Any, y: Any = None, *, k: int | None = None) -> np.ndarray:
        """log p(x) of each row, ``(n,)`` nats: log 1/k sum_i p(x, z_i) / q(z_i | x), a lower bound in expectation.

        A function of the model, the row and the seed alone: neither order, subset nor batch size moves a bit.

        Args:
            X: rows like those fitted.
            y: what to condition on, for p(x | y).
            k: draws an example; ``score_samples_k`` by default.

        Reference: Burda, Grosse and Salakhutdinov, *Importance weighted autoencoders*, 2016.
        """
        source = self._source(X)
        k = self.score_samples_k if k is None else k
        check_positive("k", k, integer=True)
        context = self._context(y if y is not None else source.labels, len(source))
        return log_likelihood(self.model_, self.units_, self.schema_, source, context, k, self.seed_, self._device)


def build(site: Site, settings: dict[str, Any], posterior: Family | Spec, prior: Spec) -> VariationalAutoencoder:
    """The likelihood, the base posterior, the prior, which may look at both, then what wraps the posterior."""
    z_shape = (settings["latents"],)
    x_shape, beside = site.event_shape, site.beside
    likelihood = Conditional(settings["likelihood"], settings["decoder"]).build(
        Site(x_shape, z_shape, events=site.batch, beside=beside)
    )
    modules: dict[str, nn.Module] = {"likelihood": likelihood}
    base, wrappers = unwrapped(posterior)
    if isinstance(base, Family):
        base = Conditional(base, settings["encoder"])
    inference = Site(z_shape, x_shape, site.batch, modules=modules, beside=beside)
    modules["posterior"] = base.build(inference)
    modules["prior"] = prior.build(Site(z_shape, modules=modules, beside=beside))
    for wrapper in wrappers:
        modules["posterior"] = wrapper.build(inference)
    return VariationalAutoencoder(modules["posterior"], likelihood, modules["prior"])  # type: ignore[arg-type]
