"""The semi-supervised variational autoencoder as a density estimator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.utils import ClassifierTags, Tags
from torch import Tensor, nn

from latens.data import Schema, Source
from latens.distributions import Family, Normal, OneOf
from latens.models import Conditional, Model, SemiSupervised, VariationalAutoencoder, VectorQuantised, clamp, encode
from latens.neural import defaults
from latens.neural.base import Defaults
from latens.neural.conditions import Labels
from latens.neural.latent import LatentDensity, Scored
from latens.neural.rows import tensor
from latens.neural.scoring import block_shape, by_block, draws, empty, seen
from latens.neural.task import Task
from latens.neural.vae import build_for
from latens.nn import Site, Spec
from latens.objectives import ELBO, Objective, Players
from latens.training import Batch, Batches, Schedule
from latens.utils.errors import InputError
from latens.utils.validation import check_positive

Network = Spec | nn.Module | None


class SemiSupervisedVAE(LatentDensity):
    r"""$p(x, y) = p(y)\, E_{z \sim p(z)}[p(x \mid z, y)]$, learned from rows of which few have a label y.

    A row with a label adds its bound of log p(x, y), a row without one its bound of log p(x), in which every class is
    gone through with mass q(y | x). In every step alpha E[-log q(y | x)] over labelled rows drawn at random is added,
    so that the classifier learns from labels too, however few they are. p(y) is their frequency.

    Args:
        latents: the number of dimensions of z.
        posterior, likelihood, prior, objective: as for :class:`latens.VAE`; q(z | x, y), p(x | z, y), p(z). No codebook
            and no scale in closed form, which would follow classes of no mass.
        alpha: the weight of the labels, nats of a row for each nat of a label.
        encoder, decoder, classifier: a network specification, or an ``nn.Module`` of your own, which is copied.
        epochs, batch_size, learning_rate, weight_decay, clip, ema, patience, validation_fraction, precision, device,
            random_state, verbose: as for :class:`latens.VAE`.
        score_samples_k: draws of z an example, for each class, in ``score_samples``.

    References:
        Kingma, Rezende, Mohamed and Welling, *Semi-supervised learning with deep generative models*, 2014, model M2.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> y[np.arange(150) % 10 > 0] = -1  # scikit-learn's way to say that a label is not known
        >>> model = SemiSupervisedVAE(epochs=2, random_state=0).fit(X, y)
        >>> model.predict_proba(X).shape, model.sample(3, y=1).shape
        ((150, 3), (3, 4))
    """

    model_: SemiSupervised
    condition_: Labels
    condition = "y"

    def __init__(
        self,
        *,
        latents: int | None = None,
        posterior: Family | Spec = Normal("element"),
        likelihood: Family | None = None,
        prior: Spec | None = None,
        objective: Objective | Players = ELBO(),
        alpha: float = 1.0,
        encoder: Network = None,
        decoder: Network = None,
        classifier: Network = None,
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
        score_samples_k: int = 32,
        verbose: bool = False,
    ) -> None:
        self.latents = latents
        self.posterior = posterior
        self.likelihood = likelihood
        self.prior = prior
        self.objective = objective
        self.alpha = alpha
        self.encoder = encoder
        self.decoder = decoder
        self.classifier = classifier
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

    # -- fitting ------------------------------------------------------------------------------------------------

    def _objective(self) -> Objective | Players:
        return self.objective or ELBO()

    def _defaults(self, schema: Schema, n: int, settings: dict[str, Any]) -> Defaults:
        return {**super()._defaults(schema, n, settings), "classifier": lambda: defaults.network(schema)}

    def _condition_of(self, y: Any, n: int) -> Labels:
        return Labels.of(y, n)

    def _build(self, site: Site) -> Model:
        family = self.settings_["likelihood"]
        if family.calibrated:
            raise InputError(
                f"SemiSupervisedVAE expects a likelihood of its own scale, such as Normal('shared'); got {family}, "
                "whose scale would follow classes of no mass."
            )
        if isinstance(self.posterior, VectorQuantised):
            raise InputError(
                f"SemiSupervisedVAE expects codes that follow nothing, such as FiniteScalar((4, 4)); got "
                f"{self.posterior}, whose codebook would follow classes of no mass."
            )
        site = replace(site, given=None)  # of which few are known
        return assemble(build_for(self, site), Conditional(OneOf(), self.settings_["classifier"]), site)

    def _set_up(self, source: Source, y: Any = None) -> None:
        """As for every network; rows with a label are kept for training, held out or not."""
        super()._set_up(source, y)
        context = self.condition_.encode(source.labels if y is None else y, len(source))
        labelled = np.flatnonzero(context.any(1))
        labelled = labelled[:: -(-len(labelled) // _LABELLED)]
        self._labelled = tensor(source.take(labelled)), torch.from_numpy(context[labelled])

    def _task(self, model: Model, rows: Batches) -> Task:
        labelled, known = (t.to(self._device) for t in self._labelled)
        share = known.double().sum(0) + 1.0
        model.log_frequency.copy_((share / share.sum()).log())  # type: ignore[operator]
        size = min(self.settings_["batch_size"], len(known))
        return LabelledTask(model, self._objective(), self.units_, len(rows), labelled, known, self.alpha, size)

    def _finish(self, task: Task, rows: Any) -> None:
        super()._finish(task, rows)
        del self._labelled

    # -- using --------------------------------------------------------------------------------------------------

    @property
    def classes_(self) -> np.ndarray:
        """The classes, in the order of ``predict_proba``."""
        return np.asarray(self.condition_.classes)

    def predict_proba(self, X: Any) -> np.ndarray:
        """q(y | x) of each row: ``(n, classes)``."""

        def one(rows: np.ndarray, x: Tensor, beside: Tensor | None) -> Tensor:
            u, observed, _ = seen(self.units_, x)
            return self.model_.posterior_of_class(u, observed=observed).mean

        source = self._source(X)
        found = by_block(source, self.schema_, None, self._block, self._device, one, missing=True).astype(np.float64)
        return found / found.sum(1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row, ``(n,)``."""
        best = self.predict_proba(X).argmax(1)
        return self.classes_[best]

    @Scored
    def score_samples(self, X: Any, y: Any = None, *, k: int | None = None) -> np.ndarray:
        """log p(x) of each row, ``(n,)`` nats; log p(x, y) of rows with a label, where y is given.

        log sum_y 1/k sum_i p(x, y, z_i) / q(z_i | x, y), a lower bound in expectation, and a function of the model, the
        row and the seed alone.

        Args:
            X: rows like those fitted, NaN where missing.
            y: labels, -1 (or NaN, None) where not known.
            k: draws for each class; ``score_samples_k`` by default.
        """
        source = self._source(X)
        k = self.score_samples_k if k is None else k
        check_positive("k", k, integer=True)
        k = self._draws(k)
        context = self._context(y, len(source))
        classes = self.condition_.size
        size, chunk = block_shape(self.units_, k * classes)
        chunk = max(1, chunk // classes)

        def one(rows: np.ndarray, x: Tensor, beside: Tensor | None) -> Tensor:
            total = torch.full((len(rows),), -torch.inf, dtype=torch.float64, device=x.device)
            for d in draws(self.model_, self.units_, rows, x, beside, k, chunk, self.seed_):
                here = d.log_terms(d.log_weight).double().logsumexp(0)
                total = torch.logaddexp(total, here + np.log(d.samples // classes / k))
            return total if beside is not None else total.masked_fill_(empty(self.units_, x), 0.0)

        return by_block(source, self.schema_, context, size, self._device, one, missing=True)

    def transform(self, X: Any, y: Any = None) -> np.ndarray:
        """E_q[z | x, y] of each row, ``(n, latents)``; where y is not given, at the probabilities of its values."""

        def codes(rows: np.ndarray, x: Tensor, beside: Tensor | None) -> Tensor:
            u, observed, _ = seen(self.units_, x)
            return encode(self.model_, u, observed=observed, context=beside)[1]

        return self._map(X, y, codes).reshape(-1, *self._latent_shape)

    def _decoded(self, z: Tensor, context: Tensor | None) -> np.ndarray:
        if context is None:
            raise InputError(
                f"What a latent point decodes to depends on y: give one of {list(self.condition_.classes)}."
            )
        return self.units_.located(self.model_(clamp([context, z]), context=context))

    def _context(self, y: Any, n: int) -> np.ndarray | None:
        return None if y is None else self.condition_.encode(y, n)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags = ClassifierTags()
        return tags


_LABELLED = 1 << 16
"""At most so many labelled rows are drawn from for the classifier."""


class LabelledTask(Task):
    """The objective, and ``alpha E[-log q(y | x)]`` over labelled rows, of which ``size`` are drawn in every step."""

    def __init__(
        self, model: Model, objective: Objective | Players, units: Any, n_examples: int, *labelled: Any
    ) -> None:
        super().__init__(model, objective, units, n_examples)
        self.rows, self.known, self.alpha, self.size = labelled

    def __call__(self, batch: Batch, progress: float | Tensor) -> Mapping[str, Tensor]:
        """As ``Task``, and the mean of -log q(y | x) as "labels"."""
        out = dict(super().__call__(batch, progress))
        index = torch.randint(len(self.rows), (self.size,), device=self.rows.device)
        rows, known = self.rows.index_select(0, index), self.known.index_select(0, index)
        x, observed = self.units(rows), None
        if self.units.schema.has_missing:
            x, observed, _ = self.units.observe(rows)
        labels = -self.model.posterior_of_class(x, observed=observed).log_prob(known).mean()  # type: ignore[operator]
        return {**out, "loss": out["loss"] + self.alpha * labels, "labels": labels.detach()}


def assemble(inner: VariationalAutoencoder, classifier: Spec, site: Site) -> SemiSupervised:
    """The parts of a conditional VAE with a classifier beside them."""
    (classes,) = site.beside or (0,)
    symbols = getattr(inner.likelihood.family, "symbols", None)
    shown = Site((classes,), site.event_shape, site.batch, categories=site.categories, symbols=symbols)
    q_y = classifier.build(shown)
    return SemiSupervised(q_y, inner, classes)  # type: ignore[arg-type]
