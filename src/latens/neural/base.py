"""What the estimators with a network have in common: from rows to a trained model, and back to rows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from latens.data import Schema, Source, load
from latens.data.frames import is_frame
from latens.data.table import TableSource, as_numbers, named, told
from latens.density import DensityEstimator
from latens.density.tables import framed
from latens.density.validation import read_table
from latens.distributions import AutoregressiveOf, Family
from latens.models import Model
from latens.neural import defaults
from latens.neural.checks import check_settings, device_of
from latens.neural.columns import units_of
from latens.neural.conditions import Condition, Covariates, condition_of
from latens.neural.defaults import Choice
from latens.neural.progress import Lines
from latens.neural.rows import batches, check_rows, detached, filled, is_table, is_text, seed_of, split, tensor, texts
from latens.neural.scoring import block_shape, by_block
from latens.neural.support import check_support
from latens.neural.task import Task
from latens.neural.units import Units
from latens.nn import Site, Spec
from latens.objectives import Objective, Players
from latens.training import Batches, Event, History, Recipe, minimise
from latens.training.parallel import World
from latens.training.replay import replayable
from latens.utils.errors import InputError
from latens.utils.text import text

Network = Spec | nn.Module | None
Listener = Callable[[Event], None]
Defaults = Mapping[str, Callable[[], Choice]]
_FIRST, _NUMBERS = 4096, 1 << 25
"""At most so many rows, and so many numbers, are a first batch."""
_RECORDED = 1 << 22
"""Parameters of the likelihoods of a batch, at most, in a step that is recorded."""


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
        learns_density_: whether p(x | z) was learned; a model of a learned distortion alone has no ``score_samples``.
    """

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

    _takes_missing: ClassVar[bool] = False
    """Whether NaN stands for a missing entry; otherwise it is refused."""

    model_: Model
    units_: Units
    schema_: Schema
    condition_: Condition | Covariates | None
    learns_density_: bool = True

    @abstractmethod
    def _objective(self) -> Objective | Players:
        """What training minimises."""

    @abstractmethod
    def _build(self, site: Site) -> Model:
        """An untrained model of events like ``site.batch``, from ``settings_``."""

    @abstractmethod
    def _defaults(self, schema: Schema, n: int, settings: dict[str, Any]) -> Defaults:
        """The default of each setting that may be left open, by name; ``settings`` holds those before it."""

    @property
    @abstractmethod
    def _family(self) -> Family:
        """The family whose support and measure p(x) has."""

    @property
    def _has_heads(self) -> bool:
        """Whether columns of a table are told each by a head of its own; else its rows are those of an array."""
        return False

    @property
    @abstractmethod
    def _n_features_out(self) -> int:
        """How many numbers ``transform`` gives for a row."""

    @abstractmethod
    def _decoded(self, z: Tensor, context: Tensor | None) -> np.ndarray:
        """What ``inverse_transform`` gives, as rows of numbers."""

    @property
    @abstractmethod
    def _parameters(self) -> int:
        """How many numbers describe p(x) of one example."""

    @property
    def is_mass(self) -> bool:
        """Whether scores are logarithms of probabilities (counting measure), not of densities (Lebesgue's)."""
        return self.units_.is_mass

    # -- fitting ------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:  # type: ignore[override]
        """Learns p(x), or p(x | y) where ``condition="y"``.

        Args:
            X: an array ``(n, d)``, images ``(n, H, W)`` or ``(n, H, W, C)``, a sparse matrix, a frame, strings, a path,
                or a built-in name.
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
        rows = batches(source, train, context, self._device)
        task = self._task(self.model_, rows)
        self.history_: History = minimise(
            self.model_,
            task,
            rows,
            self._recipe(len(train)),
            held_out=batches(source, held_out, context, self._device) if len(held_out) else None,
            checkpoint=checkpoint,
            listener=listener or (Lines() if self.verbose else None),
            device=self._device,
            replay=self._replayable(task),
            draws=task.objective.samples,
            players=task.players(),
            critics=nn.ModuleList(task.critics.values()),
        )
        self.n_iter_ = len(self.history_.rows)
        self.learns_density_ = task.learns_density
        self._finish(task, rows)
        return self

    def _task(self, model: Model, rows: Batches) -> Task:
        """What training on these rows minimises."""
        task = Task(model, self._objective(), self.units_, len(rows))
        task.meet(rows, self.seed_)
        return task

    def _set_up(self, source: Source, y: Any = None) -> None:
        """Everything that is decided before the first step."""
        names = getattr(self, "feature_names_in_", None)
        check_rows(type(self).__name__, source, missing=self._takes_missing, columns=names)
        check_settings(self.get_params(deep=False))
        self.schema_ = source.schema
        if self.schema_.kind == "table":
            self.n_features_in_ = self.schema_.size
        if isinstance(source, TableSource):
            self._frame = source.frame
            if all(isinstance(name, str) for name in source.frame[1]):
                self.feature_names_in_ = np.array(source.schema.features, dtype=object)
        self.seed_ = seed_of(self.random_state)
        if self.random_state is None:
            self.seed_ = World.join(self._device).first(self.seed_)
        self.condition_ = None if self.condition is None else self._condition_of(_given(y, source), len(source))
        self.settings_, self.reasons_ = self._choose(self.schema_, len(source))
        check_support(self.schema_, self._family)
        self.units_ = units_of(source, self._family).to(self._device)

    def _condition_of(self, y: Any, n: int) -> Condition | Covariates:
        """How y becomes numbers."""
        return condition_of(y, n)

    def _choose(self, schema: Schema, n: int) -> tuple[dict[str, Any], dict[str, str]]:
        settings: dict[str, Any] = {}
        reasons: dict[str, str] = {}
        for name, default in self._defaults(schema, n, settings).items():
            settings[name] = given = getattr(self, name)
            if given is None or (isinstance(given, AutoregressiveOf) and given.family is None):
                choice = default()
                settings[name] = choice.value if given is None else replace(given, family=choice.value)
                reasons[name] = choice.why
        return settings, reasons

    def _pace(self, schema: Schema, n: int, network: Any, settings: dict[str, Any]) -> Defaults:
        """How long, in what steps."""
        return defaults.pace(n, network, self.batch_size, settings, typed=schema.columns is not None)

    def _first(self, source: Source, train: np.ndarray, context: np.ndarray | None) -> Site:
        stride = -(-len(train) // max(2, min(_FIRST, _NUMBERS // self.schema_.size)))
        first = train[::stride]
        return self._site(source.take(first), None if context is None else context[first])

    def _site(self, rows: np.ndarray, context: np.ndarray | None) -> Site:
        with torch.random.fork_rng():
            torch.manual_seed(self.seed_)
            x = self._first_batch(rows).cpu()
        beside, given = (None, None) if context is None else (context.shape[1:], torch.from_numpy(context))
        return Site(self.units_.event_shape, None, x, beside=beside, given=given, categories=self.units_.categories)

    def _first_batch(self, rows: np.ndarray) -> Tensor:
        """Rows in the model's units; missing entries are filled with others of their column."""
        if not self.schema_.has_missing:
            return self.units_.spread(tensor(rows).to(self._device))
        return self.units_.observe(tensor(filled(rows, self.seed_)).to(self._device))[0]

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

    def _replayable(self, task: Task) -> bool:
        """Whether a step does the same at every call, and is worth recording: a large one gains little by it.

        While a step is recorded, all that it computes is held: some 150 bytes for each parameter of p(x).
        """
        many = self._parameters * self.settings_["batch_size"] * self._objective().samples > _RECORDED
        return not many and all(map(replayable, (task.model, self.units_, *task.critics.values())))

    def _finish(self, task: Task, rows: Any) -> None:
        """What is left to do once the weights are learned."""
        self.model_.eval()

    # -- using --------------------------------------------------------------------------------------------------

    @abstractmethod
    def transform(self, X: Any, y: Any = None) -> np.ndarray:
        """The latent point of each row: ``(n, latents)``."""

    def inverse_transform(self, Z: Any, y: Any = None) -> Any:
        """The row at each latent point ``(n, latents)``, E[x | z]: in the shape, dtype and range of what was fitted.

        Of text it is a string, written greedily.
        """
        check_is_fitted(self)
        points = self._points(Z)
        context = self._context(y, len(points))
        size = self._block
        out = []
        for start in range(0, len(points), size):
            z = torch.from_numpy(points[start : start + size]).to(self._device)
            beside = None if context is None else torch.from_numpy(context[start : start + size]).to(self._device)
            with torch.inference_mode():
                out.append(self._decoded(z, beside))
        return self._told(np.concatenate(out))

    def _told(self, rows: np.ndarray) -> Any:
        """Rows as they are; strings where numbers stand for text, and the frame where they stand for other cells."""
        if is_text(rows, self.schema_):
            return texts(rows, self.schema_)
        return rows if self.schema_.columns is None else framed(self._frame, rows, self.schema_.columns)

    def sample(self, n_samples: int = 1, random_state: Any = None, *, y: Any = None) -> Any:
        """Draws x ~ p(x): ``n_samples`` new rows, in the shape, dtype and range of what was fitted, or in its frame.

        Args:
            n_samples: how many.
            random_state: a seed; None for the estimator's own.
            y: what to condition on: a class for all, or one each.
        """
        return self._sample(
            n_samples, random_state, y, lambda n, beside: self.units_.inverse(self._drawn(n, beside), drawn=True)
        )

    def _sample(self, n: int, random_state: Any, y: Any, draw: Callable[[int, Tensor | None], np.ndarray]) -> Any:
        """``draw(rows, context)`` block by block, in what held the rows fitted."""
        check_is_fitted(self)
        if not isinstance(n, (int, np.integer)) or n < 1:
            raise InputError(f"sample expects a whole number of rows >= 1; got {n!r}.")
        context = self._context(y, n)
        parts = []
        with torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(self.seed_ if random_state is None else seed_of(random_state))
            for start in range(0, n, self._block):
                end = min(start + self._block, n)
                beside = None if context is None else torch.from_numpy(context[start:end]).to(self._device)
                parts.append(draw(end - start, beside))
        told = self._told(rows := np.concatenate(parts))
        return framed(self._frame, rows) if told is rows else told

    @abstractmethod
    def _drawn(self, n: int, context: Tensor | None) -> Tensor:
        """n draws of p(x), in the model's units."""

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
        tags.input_tags.allow_nan = self._takes_missing
        tags.input_tags.sparse = True
        return tags

    # -- plumbing -----------------------------------------------------------------------------------------------

    def _source(self, X: Any, *, reset: bool = False) -> Source:
        """The rows of X, checked against what was fitted unless ``reset``."""
        if not reset:
            check_is_fitted(self)
        X = detached(X)
        if not reset and self.schema_.kind in ("signal", "words"):
            return told(load(X, schema=self.schema_))
        typed = is_frame(X) and (reset or self.schema_.columns is not None)
        source = load(X, schema=None if reset else self.schema_) if typed or not is_table(X) else None
        if source is not None and reset and not self._has_heads:
            source = as_numbers(source)
        if source is not None and (source.schema.columns is not None or not typed):
            return told(source) if isinstance(source, TableSource) else source
        rows = read_table(self, X, reset=reset)
        fitted = None if reset else self.schema_
        return load(rows) if fitted is None or fitted.columns is None else load(named(rows, fitted), schema=fitted)

    def _map(self, X: Any, y: Any, f: Callable[[np.ndarray, Tensor, Tensor | None], Tensor]) -> np.ndarray:
        source = self._source(X)
        context = self._context(_given(y, source), len(source))
        return by_block(source, self.schema_, context, self._block, self._device, f, missing=self._takes_missing)

    def _context(self, y: Any, n: int) -> np.ndarray | None:
        return None if self.condition_ is None else self.condition_.encode(y, n)

    def _points(self, Z: Any) -> np.ndarray:
        points, size = np.asarray(Z, dtype=np.float32), self._n_features_out
        if points.ndim != 2 or points.shape[1] != size:
            raise InputError(f"Expected latent points (n, {size}); got an array {points.shape}.")
        if not np.isfinite(points).all():
            raise InputError("Expected finite latent points; got NaN or infinity.")
        if not len(points):
            raise InputError("Expected at least one latent point; got none.")
        return points

    @property
    def _block(self) -> int:
        return block_shape(self.units_, 1)[0]

    @property
    def _device(self) -> torch.device:
        return device_of(self.device)


def _given(y: Any, source: Source) -> Any:
    return source.labels if y is None else y
