"""The variational autoencoder as a density estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from latens.data import Schema
from latens.data.framing import indexed
from latens.distributions import Family, Normal
from latens.models import (
    CodeAutoencoder,
    Coder,
    Conditional,
    Hierarchy,
    Model,
    Places,
    StandardNormal,
    UniformCodes,
    VariationalAutoencoder,
    code_posterior,
    unwrapped,
)
from latens.neural import defaults
from latens.neural.base import Defaults
from latens.neural.codes import check_codes, check_draws
from latens.neural.completion import check_factorises, expected, sampled
from latens.neural.continuation import continued
from latens.neural.latent import LatentDensity, Scored
from latens.neural.rows import seed_of
from latens.neural.scoring import log_likelihood
from latens.neural.units import event_shape
from latens.nn import Site, Spec
from latens.nn.exact import exact
from latens.objectives import Objective, Players
from latens.training import Schedule
from latens.utils.errors import InputError
from latens.utils.validation import check_positive

Network = Spec | nn.Module | None


class VAE(LatentDensity):
    """p(x) = E_{z ~ p(z)}[p(x | z)], learned through its evidence lower bound with a posterior q(z | x).

    What is None is chosen from the data, and ``reasons_`` says why. NaN is missing: the bound is that of the observed
    entries, so that ``ImportanceWeighted(k)`` makes the model of Mattei and Frellsen; ``complete`` fills in the others.

    Args:
        latents: the number of latent dimensions; of codes also the size of a map of them, such as ``(7, 7)``.
        posterior: the family of q(z | x); its parameters come from the encoder.
        likelihood: the family of p(x | z); its parameters come from the decoder.
        prior: p(z); StandardNormal() if None, UniformCodes() for a posterior over codes.
        objective: what is minimised, such as ``Distortion() + 4.0 * Rate()``; ``Players(...)`` for one a part; by
            default ELBO(), of text and images with a rate that warms up.
        encoder, decoder: a network specification, or an ``nn.Module`` of your own, which is copied.
        hierarchy: several levels of latents, such as ``Ladder((32, 16, 8))`` or ``ConvLadder((1, 4), (32, 64))``, in
            place of latents, posterior, prior, encoder and decoder.
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
        Kingma and Welling, *Auto-encoding variational Bayes*, 2014; Mattei and Frellsen, *MIWAE: deep generative
        modelling and imputation of incomplete data sets*, 2019.

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
        latents: int | tuple[int, ...] | None = None,
        posterior: Family | Spec = Normal("element"),
        likelihood: Family | None = None,
        prior: Spec | None = None,
        objective: Objective | Players | None = None,
        encoder: Network = None,
        decoder: Network = None,
        hierarchy: Hierarchy | None = None,
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
        self.hierarchy = hierarchy
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

    def _objective(self) -> Objective | Players:
        return self.settings_["objective"]

    def _defaults(self, schema: Schema, n: int, settings: dict[str, Any]) -> Defaults:
        objective = {"objective": lambda: defaults.objective(schema)}
        if self.hierarchy is None:
            return {**objective, **super()._defaults(schema, n, settings)}
        also = [name for name in ("latents", "prior", "encoder", "decoder") if getattr(self, name) is not None]
        if also or self.posterior != Normal("element"):
            raise InputError(
                f"{self.hierarchy} has latents, posterior, prior and networks of its own; leave out "
                f"{' and '.join(also or ['posterior'])}."
            )
        shapes = self.hierarchy.shapes(event_shape(schema))
        return {
            **objective,
            "likelihood": lambda: defaults.likelihood(schema, n),
            "latents": lambda: defaults.levels(shapes),
            **self._pace(schema, n, self.hierarchy.network, settings),
        }

    def _build(self, site: Site) -> Model:
        if self.hierarchy is not None:
            return self.hierarchy.model(self.settings_["likelihood"], site)
        return build_for(self, site)

    @Scored
    def score_samples(self, X: Any, y: Any = None, *, k: int | None = None) -> np.ndarray:
        """log p(x) of each row, ``(n,)`` nats: log 1/k sum_i p(x, z_i) / q(z_i | x), a lower bound in expectation.

        A function of the model, the row and the seed alone: neither order, subset nor batch size moves a bit. Where
        each row has one code c it is log p(x | c) + log p(c), a lower bound of log p(x) whatever k. Of a row with
        missing entries it is the density of the observed ones, 0 nats if there are none.

        Args:
            X: rows like those fitted, NaN where missing.
            y: what to condition on, for p(x | y).
            k: draws an example; ``score_samples_k`` by default.

        Reference: Burda, Grosse and Salakhutdinov, *Importance weighted autoencoders*, 2016.
        """
        source = self._source(X)
        k = self.score_samples_k if k is None else k
        check_positive("k", k, integer=True)
        k = self._draws(k)
        context = self._context(y if y is not None else source.labels, len(source))
        return log_likelihood(self._model, self.units_, self.schema_, source, context, k, self.seed_, self._device)

    @Scored
    def complete(
        self, X: Any, n: int | None = None, *, y: Any = None, k: int | None = None, random_state: Any = None
    ) -> Any:
        """E[x_m | x_o]: rows whose missing entries (NaN) are filled in, given the observed ones, which do not change.

        A string is taken as the beginning of one, and gone on with: greedily, or in n draws of p(x | the beginning).
        Both are estimated with draws of z weighted by p(x_o, z) / q(z | x_o), and are exact as k grows.

        Args:
            X: rows like those fitted, NaN where missing.
            n: None for the mean; a number for that many draws of p(x_m | x_o) (multiple imputation).
            y: what to condition on, for p(x | y).
            k: draws of z a row; by default ``score_samples_k``, and 20 for each of the n.
            random_state: a seed; None for the estimator's own.

        Returns:
            The shape of X, or ``(n, *X.shape)``, in the type of X; of a table of several kinds a frame, or n of them in
            a list, where the mean of a category is the most probable one.

        Raises:
            InputError: a likelihood of the whole row, such as ``MixtureOf(Normal(), 3, over="event")``.

        References:
            Mattei and Frellsen, *MIWAE: deep generative modelling and imputation of incomplete data sets*, 2019.

        Example:
            >>> X = np.random.default_rng(0).normal(size=(200, 1)) * [1.0, 1.0, -1.0]
            >>> X[::3, 1] = np.nan
            >>> vae = VAE(latents=1, epochs=2, random_state=0).fit(X)
            >>> vae.complete(X).shape, vae.complete(X, n=5).shape
            ((200, 3), (5, 200, 3))
        """
        source = self._source(X)
        k = max(self.score_samples_k, 20 * (n or 0)) if k is None else k
        check_positive("k", k, integer=True)
        if n is not None:
            check_positive("n", n, integer=True)
        context = self._context(y if y is not None else source.labels, len(source))
        seed = self.seed_ if random_state is None else seed_of(random_state)
        if self.schema_.tokens is not None:
            return continued(self, self._model, source, context, n, k, seed)
        check_factorises(self.model_, context, self._device)
        model = (self._model, self.units_, self.schema_, source, context)
        if n is None:
            found = expected(*model, k, seed, self._device)
        else:
            found = sampled(*model, n, k, seed, self._device)
        rows = source.take(np.arange(len(source)))
        filled = np.where(np.isnan(rows), found, rows).astype(rows.dtype)
        if n is None:
            return indexed(self._told(filled), X)
        return filled if self.schema_.columns is None else [indexed(self._told(drawn), X) for drawn in filled]


def build_for(estimator: Any, site: Site) -> VariationalAutoencoder:
    """The model of an estimator with a posterior and an objective, under the usual prior where none is given."""
    posterior = estimator.posterior
    check_draws(posterior, estimator._objective().samples)
    natural = UniformCodes() if isinstance(posterior, Coder) else StandardNormal()
    return build(site, estimator.settings_, posterior, estimator.prior or natural)


def build(site: Site, settings: dict[str, Any], posterior: Family | Spec, prior: Spec) -> VariationalAutoencoder:
    """The likelihood, the base posterior, the prior, which may look at both, then what wraps the posterior."""
    base, wrappers = unwrapped(posterior)
    places, coder = Places(settings["latents"]), base if isinstance(base, Coder) else None
    z_shape, seen = (places.number * (coder.stages if coder else 1),), places.shape(coder.width if coder else 1)
    x_shape, beside = site.event_shape, site.beside
    own = not isinstance(settings["decoder"], Spec)  # reads points as they are
    spread = base.spread(z_shape) if isinstance(base, Family) and not own else 1.0
    likelihood = Conditional(settings["likelihood"], settings["decoder"]).build(
        Site(x_shape, seen, events=site.batch, beside=beside, spread=spread)
    )
    modules: dict[str, nn.Module] = {"likelihood": likelihood}
    inference = Site(
        z_shape,
        x_shape,
        site.batch,
        modules=modules,
        beside=beside,
        given=site.given,
        categories=site.categories,
        symbols=getattr(settings["likelihood"], "symbols", None),
    )
    if isinstance(base, Coder):
        modules["posterior"] = code_posterior(base, settings["encoder"], places, inference)
    else:
        base = Conditional(base, settings["encoder"]) if isinstance(base, Family) else base
        modules["posterior"] = base.build(inference)
    modules["prior"] = prior.build(Site(z_shape, batch=site.batch, modules=modules, beside=beside, given=site.given))
    check_codes(posterior, modules["prior"])
    if not coder and next(modules["prior"].parameters(), None) is not None:  # latents then lie as far out as they like
        exact(modules["posterior"], -1)
        exact(likelihood, 0)
    for wrapper in wrappers:
        modules["posterior"] = wrapper.build(inference)
    kind = CodeAutoencoder if coder else VariationalAutoencoder
    return kind(modules["posterior"], likelihood, modules["prior"])  # type: ignore[arg-type]
