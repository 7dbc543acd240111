"""What the estimators with a network have in common: from rows to a trained model, and back to rows."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from latens.data import Schema, Source, load
from latens.density import DensityEstimator
from latens.distributions import Distribution, Family
from latens.models import Model, clamp, locate, sample
from latens.neural import defaults
from latens.neural.checks import check_settings
from latens.neural.conditions import Condition
from latens.neural.progress import Lines, active_units
from latens.neural.rows import batches, check_rows, seed_of, split, tensor
from latens.neural.scoring import block_shape, by_block, squared_error
from latens.neural.support import check_support
from latens.neural.task import Task
from latens.neural.units import Units, units_for
from latens.nn import Site, Spec
from latens.objectives import Objective
from latens.training import Event, History, Recipe, local_device, minimise
from latens.training.parallel import World
from latens.training.replay import replayable
from latens.utils.errors import InputError
from latens.utils.text import text

Network = Spec | nn.Module | None
Listener = Callable[[Event], None]
_FIRST, _NUMBERS = 4096, 1 << 25
"""At most so many rows, and so many numbers, are a first batch."""
_RECORDED = 1 << 22
"""Parameters of the likelihoods of a batch, at most, in a step that is recorded."""


class PosteriorCollapse(UserWarning):
    """The posterior equals the prior in every dimension: z says nothing about x."""


class NeuralDensity(ClassNamePrefixFeaturesOutMixin, TransformerMixin, DensityEstimator):
    """A density with a network: ``fit`` chooses what was left open, builds the model and trains it.

    Attributes:
        model_: the trained torch module, in evaluation mode.
        units_: the map from the user's rows to the model's tensors.
        schema_: what one example is.
        settings_: every choice, the user's and the defaults', by name.
        reasons_: why each default was chosen.
        history_: what training went through.
        n_iter_: the number of epochs.
        seed_: what all draws depend on.
    """

    latents: int | None
    likelihood: Family | None
    encoder: Network
    decoder: Network
    condition: str | None
    epochs: int | None
    batch_size: int | None
    learning_rate: Any
    weight_decay: float
    clip: float | None
    ema: float
    patience: int | None
    validation_fraction: float
    precision: Any
    device: str | None
    random_state: Any
    verbose: bool

    model_: Model
    units_: Units
    schema_: Schema
    condition_: Condition | None

    @abstractmethod
    def _objective(self) -> Objective:
        """What training minimises."""

    @abstractmethod
    def _build(self, site: Site) -> Model:
        """An untrained model of events like ``site.batch``, from ``settings_``."""

    # -- fitting ------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:  # type: ignore[override]
        """Learns p(x), or p(x | y) where ``condition="y"``.

        Args:
            X: an array ``(n, d)``, images ``(n, H, W)`` or ``(n, H, W, C)``, a frame, a path, or a built-in name.
            y: ``(n,)``, what is conditioned on; ignored unless asked for.

        Raises:
            InputError: data that the likelihood cannot describe, or too few of them.
        """
        return self._fit(self._source(X, reset=True), y)

    def _fit(
        self, source: Source, y: Any = None, *, checkpoint: Path | None = None, listener: Listener | None = None
    ) -> Self:
        self._set_up(source, y)
        return self._train(source, y, checkpoint=checkpoint, listener=listener)

    def _train(
        self, source: Source, y: Any = None, *, checkpoint: Path | None = None, listener: Listener | None = None
    ) -> Self:
        """Builds and trains what was set up for these rows."""
        context = self._context(_given(y, source), len(source))
        train, held_out = split(len(source), self.validation_fraction, self.seed_)
        self.model_ = self._untrained(self._first(source, train, context))
        task = Task(self.model_, self._objective(), self.units_, len(train))
        rows = batches(source, train, context, self._device)
        self.history_: History = minimise(
            self.model_,
            task,
            rows,
            self._recipe(len(train)),
            held_out=batches(source, held_out, context, self._device) if len(held_out) else None,
            checkpoint=checkpoint,
            listener=listener or (Lines() if self.verbose else None),
            device=self._device,
            replay=self._replayable(self.model_),
            draws=task.objective.samples,
        )
        self.n_iter_ = len(self.history_.rows)
        self._finish(task, rows)
        return self

    def _set_up(self, source: Source, y: Any = None) -> None:
        """Everything that is decided before the first step."""
        check_rows(type(self).__name__, source)
        check_settings(self.get_params(deep=False))
        self.schema_ = source.schema
        self.seed_ = seed_of(self.random_state)
        if self.random_state is None:
            self.seed_ = World.join(self._device).first(self.seed_)
        self.condition_ = None if self.condition is None else Condition.of(_given(y, source), len(source))
        self.settings_, self.reasons_ = self._choose(self.schema_, len(source))
        check_support(self.schema_, self.settings_["likelihood"])
        self.units_ = units_for(source, self.settings_["likelihood"]).to(self._device)
        self._n_features_out = self.settings_["latents"]

    def _choose(self, schema: Schema, n: int) -> tuple[dict[str, Any], dict[str, str]]:
        network = defaults.network(schema)
        batch = self.batch_size or defaults.batch_size(n, network.value).value
        table = {
            "likelihood": lambda: defaults.likelihood(schema),
            "latents": lambda: defaults.latents(schema, n),
            "encoder": lambda: network,
            "decoder": lambda: network,
            "batch_size": lambda: defaults.batch_size(n, network.value),
            "epochs": lambda: defaults.epochs(n, batch, network.value),
            "learning_rate": lambda: defaults.learning_rate(network.value, settings["epochs"] * max(1, n // batch)),
            "patience": lambda: defaults.patience(settings["epochs"]),
        }
        settings: dict[str, Any] = {}
        reasons: dict[str, str] = {}
        for name, default in table.items():
            settings[name] = getattr(self, name)
            if settings[name] is None:
                choice = default()
                settings[name], reasons[name] = choice.value, choice.why
        return settings, reasons

    def _first(self, source: Source, train: np.ndarray, context: np.ndarray | None) -> Site:
        stride = -(-len(train) // max(2, min(_FIRST, _NUMBERS // self.schema_.size)))
        return self._site(source.take(train[::stride]), context)

    def _site(self, rows: np.ndarray, context: np.ndarray | None) -> Site:
        x = self.units_(tensor(rows).to(self._device)).cpu()
        return Site(self.units_.event_shape, None, x, beside=None if context is None else context.shape[1:])

    def _untrained(self, site: Site) -> Model:
        with torch.random.fork_rng():
            torch.manual_seed(self.seed_)
            return self._build(site).to(self._device)

    def _recipe(self, n: int) -> Recipe:
        return Recipe(
            epochs=self.settings_["epochs"],
            batch_size=min(self.settings_["batch_size"], n),
            learning_rate=self.settings_["learning_rate"],
            weight_decay=self.weight_decay,
            clip=self.clip,
            ema=self.ema,
            patience=self.settings_["patience"] or None,
            precision=self.precision,
            seed=self.seed_,
        )

    def _replayable(self, model: Model) -> bool:
        """Whether a step does the same at every call, and is worth recording: a large one gains little by it.

        While a step is recorded, all that it computes is held: some 150 bytes for each parameter of p(x | z).
        """
        parameters = math.prod(self.settings_["likelihood"].param_shape(self.units_.event_shape))
        many = parameters * self.settings_["batch_size"] * self._objective().samples > _RECORDED
        return not many and replayable(model) and replayable(self.units_)

    def _finish(self, task: Task, rows: Any) -> None:
        """Sets what has a closed form over all rows, and says so if the latents carry nothing."""
        self.model_.eval()
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

    # -- using --------------------------------------------------------------------------------------------------

    def transform(self, X: Any, y: Any = None) -> np.ndarray:
        """E_q[z | x], the posterior mean of each row: ``(n, latents)``."""
        return self._map(X, y, lambda rows, x, beside: _flat(locate(self.model_, self.units_(x), context=beside)[0]))

    def inverse_transform(self, Z: Any, y: Any = None) -> np.ndarray:
        """E[x | z] of each latent point ``(n, latents)``: rows in the shape, dtype and range of what was fitted."""
        check_is_fitted(self)
        points = self._points(Z)
        context = self._context(y, len(points))
        size = self._block
        out = []
        for start in range(0, len(points), size):
            z = torch.from_numpy(points[start : start + size]).to(self._device)
            beside = None if context is None else torch.from_numpy(context[start : start + size]).to(self._device)
            with torch.inference_mode():
                out.append(self.units_.inverse(self.model_(clamp(self._cut(z)), context=beside).mean))
        return np.concatenate(out)

    def reconstruct(self, X: Any, y: Any = None) -> np.ndarray:
        """E[x | z] at the posterior mean of each row: what passes through the latent space."""

        def rebuilt(rows: np.ndarray, x: Tensor, beside: Tensor | None) -> Tensor:
            means = locate(self.model_, self.units_(x), context=beside)[1].mean
            return torch.from_numpy(self.units_.inverse(means))

        return self._map(X, y, rebuilt)

    def reconstruction_error(self, X: Any, y: Any = None) -> np.ndarray:
        """The mean squared difference of each row to its reconstruction, ``(n,)``, in squared units of the data."""
        return self._map(X, y, lambda rows, x, beside: squared_error(self.model_, self.units_, rows, x, beside))

    def sample(self, n_samples: int = 1, random_state: Any = None, *, y: Any = None, mean: bool = False) -> np.ndarray:
        """Draws z ~ p(z), then x ~ p(x | z): ``n_samples`` new rows, in the shape, dtype and range of what was fitted.

        Args:
            n_samples: how many.
            random_state: a seed; None for the estimator's own.
            y: what to condition on: a class for all, or one each.
            mean: return E[x | z] instead, without the noise of the likelihood: smoother pictures, but no draws of p(x).
        """
        check_is_fitted(self)
        if not isinstance(n_samples, (int, np.integer)) or n_samples < 1:
            raise InputError(f"sample expects a whole number of rows >= 1; got {n_samples!r}.")
        context = self._context(y, n_samples)
        seed = self.seed_ if random_state is None else seed_of(random_state)
        with torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(seed)
            starts = range(0, n_samples, self._block)
            parts = [self._sample(min(self._block, n_samples - s), context, s, mean) for s in starts]
        return np.concatenate(parts)

    def _sample(self, n: int, context: np.ndarray | None, start: int, mean: bool) -> np.ndarray:
        beside = None if context is None else torch.from_numpy(context[start : start + n]).to(self._device)
        likelihood = self._generate(n, beside)
        return self.units_.inverse(likelihood.mean if mean else likelihood.sample(), drawn=not mean)

    def _generate(self, n: int, context: Tensor | None) -> Distribution:
        """p(x | z) for n draws of z from the prior."""
        return sample(self.model_, n, context=context)

    def save(self, path: str | Path) -> None:
        """Writes the fitted estimator to one file, or into a folder; ``latens.load`` reads it."""
        from latens.neural.saving import save

        check_is_fitted(self)
        save(self, path)

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        return text(self)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    # -- plumbing -----------------------------------------------------------------------------------------------

    def _source(self, X: Any, *, reset: bool = False) -> Source:
        """The rows of X, checked against what was fitted unless ``reset``."""
        if not reset:
            check_is_fitted(self)
        X = _detached(X)
        if _is_table(X):
            X = validate_data(self, X, reset=reset, dtype="numeric", ensure_all_finite=False, ensure_min_samples=1)
        return load(X)

    def _map(self, X: Any, y: Any, f: Callable[[np.ndarray, Tensor, Tensor | None], Tensor]) -> np.ndarray:
        source = self._source(X)
        context = self._context(_given(y, source), len(source))
        return by_block(source, self.schema_, context, self._block, self._device, f)

    def _context(self, y: Any, n: int) -> np.ndarray | None:
        return None if self.condition_ is None else self.condition_.encode(y, n)

    def _points(self, Z: Any) -> np.ndarray:
        points = np.asarray(Z, dtype=np.float32)
        if points.ndim != 2 or points.shape[1] != self.settings_["latents"]:
            raise InputError(f"Expected latent points (n, {self.settings_['latents']}); got an array {points.shape}.")
        if not np.isfinite(points).all():
            raise InputError("Expected finite latent points; got NaN or infinity.")
        if not len(points):
            raise InputError("Expected at least one latent point; got none.")
        return points

    def _cut(self, z: Tensor) -> list[Tensor]:
        """Latent points as the choices the model makes."""
        return [z]

    @property
    def _block(self) -> int:
        return block_shape(self.units_, 1)[0]

    @property
    def _device(self) -> torch.device:
        if self.device is None:
            return local_device()
        try:
            probe = torch.zeros(1, device=self.device)
            probe.cpu()
            return probe.device
        except (RuntimeError, AssertionError) as error:
            raise InputError(f"device={self.device!r} cannot be used here: {str(error).splitlines()[0]}") from error


_COLLAPSED = (
    "posterior collapse: 0 of {} latent dimensions carry information. Give the rate less weight early "
    "(objective=Distortion() + Linear(0.0, 1.0, until=0.3) * Rate()), leave some of it free "
    "(Distortion() + FreeBits(0.1)), or let the likelihood learn its scale (Normal('shared'))."
)


def _flat(latents: list[Tensor]) -> Tensor:
    return torch.cat([z.flatten(1) for z in latents], 1)


def _given(y: Any, source: Source) -> Any:
    return source.labels if y is None else y


def _is_table(X: Any) -> bool:
    try:
        return not isinstance(X, (str, Path, Source)) and np.asarray(X).ndim <= 2
    except ValueError:
        return False


def _detached(X: Any) -> Any:
    """A tensor as an array; anything else as it is."""
    if not isinstance(X, Tensor):
        return X
    X = X.detach().cpu()
    return (X.float() if X.dtype == torch.bfloat16 else X).numpy()
