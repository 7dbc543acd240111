"""What the estimators with latent variables have in common: a code for each row, and rows from codes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import update_wrapper
from itertools import islice
from types import MethodType
from typing import Any, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from latens.data import Schema, Source
from latens.density import DensityEstimator
from latens.density.tables import framed
from latens.distributions import Distribution, Family, noise, standard_normal
from latens.models import Coder, FittedDistribution, Model, Places, Reprised, check_spaces, clamp, encode, sample
from latens.neural import defaults
from latens.neural.afterwards import check_prior, knows_y, prior_of
from latens.neural.base import Defaults, Network, NeuralDensity
from latens.neural.codes import check_places
from latens.neural.columns import product_of
from latens.neural.completion import check_factorises
from latens.neural.conditions import Covariates
from latens.neural.given import conditional_draws, row_of
from latens.neural.progress import active_units, collapsed
from latens.neural.rows import seed_of
from latens.neural.scoring import rebuilt, seen, squared_error
from latens.neural.task import Task
from latens.nn import Site
from latens.utils.errors import InputError
from latens.utils.random import row_streams
from latens.utils.validation import check_positive


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

    Attributes:
        prior_: the density that ``fit_prior`` fitted; there only then. ``del model.prior_`` brings the first one back.
    """

    _takes_missing = True

    prior_: DensityEstimator
    latents: int | tuple[int, ...] | None
    likelihood: Family | None
    encoder: Network
    decoder: Network

    def _defaults(self, schema: Schema, n: int, settings: dict[str, Any]) -> Defaults:
        paced = defaults.decoder(schema, self.latents).value if self.decoder is None else self.decoder
        return {
            "likelihood": lambda: defaults.likelihood(schema, n),
            "latents": lambda: defaults.latents(schema, n),
            "encoder": lambda: defaults.network(schema, self.latents),
            "decoder": lambda: defaults.decoder(schema, self.latents),
            **self._pace(schema, n, paced, settings),
        }

    @property
    def _family(self) -> Family:
        return self.settings_["likelihood"]

    @property
    def _has_heads(self) -> bool:
        return self.likelihood is None or product_of(self.likelihood) is not None

    @property
    def _parameters(self) -> int:
        return math.prod(self._family.param_shape(self.units_.event_shape))

    @property
    def _coder(self) -> Coder | None:
        posterior = getattr(self, "posterior", None)
        return posterior if isinstance(posterior, Coder) else None

    @property
    def code_classes_(self) -> int | None:
        """How many values each latent takes; None where latents are real numbers."""
        return self._coder.classes if self._coder else None

    @property
    def _latent_shape(self) -> tuple[int, ...]:
        """Of what ``transform`` gives for a row."""
        places, stages = Places(self.settings_["latents"]), self._coder.stages if self._coder else 1
        if not places.on_map:
            return (places.number * stages,)
        return places.size if stages == 1 else (*places.size, stages)

    @property
    def _n_features_out(self) -> int:
        return math.prod(self._latent_shape)

    def _points(self, Z: Any) -> np.ndarray:
        Z, coder = np.asarray(Z), self._coder
        points = super()._points(Z.reshape(len(Z), self._n_features_out) if Z.shape[1:] == self._latent_shape else Z)
        if coder and not ((points >= 0) & (points < coder.classes) & (points == np.rint(points))).all():
            raise InputError(f"Expected codes, whole numbers 0 .. {coder.classes - 1}; got others.")
        return points

    def _set_up(self, source: Source, y: Any = None) -> None:
        """As for every network; a prior that was fitted to other latents is gone."""
        if hasattr(self, "prior_"):
            del self.prior_
        check_places(getattr(self, "posterior", None), self.latents)
        super()._set_up(source, y)

    def _untrained(self, site: Site) -> Model:
        """The model, once it is known that its posterior and its prior lie in one space."""
        model = super()._untrained(site).eval()
        rows = torch.zeros(2, *site.event_shape, device=self._device)
        beside = None if site.beside is None else torch.zeros(2, *site.beside, device=self._device)
        with torch.no_grad(), torch.random.fork_rng():
            check_spaces(model, rows, context=beside)
        return model.train()

    def _finish(self, task: Task, rows: Any) -> None:
        """Sets what has a closed form over all rows, and says so if the latents carry nothing."""
        super()._finish(task, rows)
        if self.settings_["likelihood"].calibrated:
            with torch.no_grad(), torch.random.fork_rng():
                torch.manual_seed(self.seed_)
                task.calibrate(rows, self.settings_["batch_size"])
        if collapsed(self._kept_row):
            warnings.warn(_COLLAPSED.format(self._n_features_out), PosteriorCollapse, stacklevel=5)

    @property
    def active_units_(self) -> int | None:
        """How many latent dimensions have Var_x(E[z | x]) > 0.01; None where that is not known."""
        active = active_units(self._kept_row)
        return None if active is None else active[0]

    @property
    def _kept_row(self) -> dict[str, Any]:
        """The history of the epoch whose weights were kept; empty before the first."""
        rows = self.history_.rows
        return rows[(self.history_.best_epoch or 0) - 1] if rows else {}

    def fit_prior(self, density: DensityEstimator, X: Any, y: Any = None) -> Self:
        """Fits p(z) to the latents of X, one draw of q(z | x) for each row; ``sample`` and scores then use it.

        The latents of data do not fill the prior that a model was trained under: what is drawn between them looks like
        nothing. Any density that is fitted to them closes the gap, also a second VAE. It is kept in ``prior_`` and
        saved with the model, the networks stay as they are, and ``del model.prior_`` brings the first prior back.

        Of a conditional density it is p(z | y): what a code tells of y no prior for all can know, and drawn under
        another y it contradicts the decoder. Of classes, each has a copy of its own, kept in a ``BayesClassifier``; a
        network is told y instead (``condition="y"``); of other densities beside real numbers y, z does not depend on y.

        Args:
            density: any unfitted density of real numbers, of which a copy is fitted.
            X: rows like those fitted.
            y: what they are conditioned on, for p(x | y).

        Raises:
            InputError: no density of real numbers, latents that are codes, or too few rows of a class.

        References:
            Dai and Wipf, *Diagnosing and enhancing VAE models*, 2019, for a second VAE; Ghosh et al., *From variational
            to deterministic autoencoders*, 2020, for codes of an autoencoder.

        Example:
            >>> from latens import VAE, GaussianMixture
            >>> X = np.random.default_rng(0).normal(size=(200, 3))
            >>> vae = VAE(latents=2, epochs=2, random_state=0).fit(X).fit_prior(GaussianMixture(3), X)
            >>> vae.sample(5).shape, vae.score_samples(X).shape, vae.prior_.n_components
            ((5, 3), (200,), 3)
        """
        check_prior(density, self.condition)
        if self.code_classes_ is not None or self.model_.choices != 1 or self.model_.shapes is not None:
            raise InputError(
                "fit_prior expects a model with one latent vector of real numbers; codes and hierarchies learn their "
                "prior with the model, such as VAE(posterior=GumbelSoftmax(10), prior=AutoregressiveCodes())."
            )
        fitted = prior_of(density, self._latents(X, y), self._labels(X, y), isinstance(self.condition_, Covariates))
        if np.any(fitted._masses):
            raise InputError(f"fit_prior expects a density; {fitted} tells masses, and latents are real numbers.")
        self.prior_ = fitted
        return self

    def _labels(self, X: Any, y: Any) -> np.ndarray | None:
        """What each row is conditioned on, None where nothing is."""
        if self.condition_ is None:
            return None
        source = self._source(X)
        context = self._context(source.labels if y is None else y, len(source))
        return None if context is None else self.condition_.decode(context)

    def _latents(self, X: Any, y: Any) -> np.ndarray:
        """A draw of q(z | x) for each row, ``(n, latents)``: a function of the model, the row and the seed."""
        normal = standard_normal(self._origin)
        model = Reprised(self.model_, lambda context: normal)  # which refuses latents that are no real vectors

        def drawn(rows: np.ndarray, x: Tensor, beside: Tensor | None) -> Tensor:
            u, observed, _ = seen(self.units_, x)
            with noise.keyed(row_streams(rows, self.seed_)):
                return _flat(encode(model, u, drawn=True, observed=observed, context=beside))

        return self._map(X, y, drawn).astype(np.float64)

    @property
    def _model(self) -> Model:
        """The model under the prior that was fitted afterwards, where there is one."""
        if not hasattr(self, "prior_"):
            return self.model_
        return Reprised(self.model_, self._fitted_prior)

    def _fitted_prior(self, context: Tensor | None) -> FittedDistribution:
        """The prior that was fitted afterwards, given y where it was fitted so."""
        if context is None or self.condition_ is None or not knows_y(self.prior_):
            return FittedDistribution(self.prior_, self._origin)
        return FittedDistribution(self.prior_, self._origin, self.condition_.decode(context.cpu().numpy()))

    @property
    def _origin(self) -> Tensor:
        return torch.zeros(self.settings_["latents"], device=self._device)

    def _draws(self, k: int) -> int:
        """How many of k draws an example differ: a code that is certain is drawn once."""
        return 1 if self._coder and self._coder.certain else k

    def transform(self, X: Any, y: Any = None) -> np.ndarray:
        """E_q[z | x], the posterior mean of each row, or the location or code that stands for it: ``(n, latents)``.

        A hierarchy gives its levels side by side, from the top; a map of codes is one: ``(n, height, width)``, and of
        several codes at each place ``(n, height, width, stages)``.
        """

        def codes(rows: np.ndarray, x: Tensor, beside: Tensor | None) -> Tensor:
            u, observed, _ = seen(self.units_, x)
            return _flat(encode(self.model_, u, observed=observed, context=beside))

        return self._map(X, y, codes).reshape(-1, *self._latent_shape)

    def _read(self, points: np.ndarray) -> np.ndarray:
        """What the decoder reads of latent points, ``(n, numbers)``: the points, or the vectors of codes."""
        flat = points.reshape(len(points), -1)
        if self._coder is None:
            return flat
        return self.model_.posterior.quantiser.embed(torch.from_numpy(flat).to(self._device)).cpu().numpy()  # type: ignore[operator, union-attr]

    def _decoded(self, z: Tensor, context: Tensor | None) -> np.ndarray:
        return self.units_.located(self.model_(clamp(self._cut(z)), context=context))

    def reconstruct(self, X: Any, y: Any = None) -> Any:
        """E[x | z] at the posterior mean of each row, what passes through the latent space; of text, strings.

        A string is written greedily: the most probable symbol after those written.
        """

        def back(rows: np.ndarray, x: Tensor, beside: Tensor | None) -> Tensor:
            return torch.from_numpy(rebuilt(self.model_, self.units_, x, beside))

        return self._told(self._map(X, y, back))

    def reconstruction_error(self, X: Any, y: Any = None) -> np.ndarray:
        """The mean squared difference of a row to its reconstruction, of what is observed, ``(n,)`` squared units."""
        return self._map(X, y, lambda rows, x, beside: squared_error(self.model_, self.units_, rows, x, beside))

    def sample(
        self,
        n_samples: int = 1,
        random_state: Any = None,
        *,
        y: Any = None,
        mean: bool = False,
        totals: Any = None,
        given: Any = None,
        k: int | None = None,
    ) -> Any:
        """Draws z ~ p(z), then x ~ p(x | z): ``n_samples`` new rows, in the shape, dtype and range of what was fitted.

        Where that was a frame (of pandas, polars or pyarrow) they are one too, with the same columns and their dtypes.

        Args:
            n_samples: how many.
            random_state: a seed; None for the estimator's own.
            y: what to condition on: a class for all, or one each.
            mean: return E[x | z] instead, without the noise of the likelihood: smoother pictures, but no draws of p(x).
            totals: where the likelihood is that of counts given their total, such as ``Multinomial()``, the total of
                all rows or one each; by default each takes one of the rows fitted.
            given: what is known of the rows, ``{"sex": "F", "age": 30}`` or one row with NaN where it is open: draws of
                p(x | given), by importance resampling of z, exact as k grows.
            k: how many draws of z rows are taken from that are given something; 20 for each, and at least 4,000.

        Raises:
            InputError: a column or a category that is not there, or a likelihood of the whole row.
        """
        if given is not None:
            return self._sample_given(n_samples, random_state, y, given, k)
        of = None if totals is None else iter(_totals(totals, n_samples, self._family))

        def draw(n: int, beside: Tensor | None) -> np.ndarray:
            p = self._generate(n, beside)
            if of is not None:
                p = p.of_total(torch.tensor(list(islice(of, n)), device=self._device))  # type: ignore[attr-defined]
            return self.units_.located(p) if mean else self.units_.inverse(p.sample(), drawn=True)

        return self._sample(n_samples, random_state, y, draw)

    def _sample_given(self, n: int, random_state: Any, y: Any, given: Any, k: int | None) -> Any:
        """Draws of p(x | given)."""
        check_is_fitted(self)
        check_positive("n_samples", n, integer=True)
        k = max(4000, 20 * n) if k is None else k
        check_positive("k", k, integer=True)
        if not self.learns_density_:
            raise NoDensity(_LEARNED_DISTORTION)
        row, beside = row_of(self, given), self._context(y, 1)
        check_factorises(self.model_, beside, self._device)
        context = None if beside is None else torch.from_numpy(beside).to(self._device)
        with torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(self.seed_ if random_state is None else seed_of(random_state))
            rows = conditional_draws(self._model, self.units_, row, context, n, k, self._device)
        return framed(self._frame, self.units_._as_given(rows), self.schema_.columns)

    def _drawn(self, n: int, context: Tensor | None) -> Tensor:
        return self._generate(n, context).sample()

    def _generate(self, n: int, context: Tensor | None) -> Distribution:
        """p(x | z) for n draws of z from the prior."""
        return sample(self._model, n, context=context)

    def _cut(self, z: Tensor) -> list[Tensor]:
        """Latent points as the choices the model makes."""
        shapes = self.model_.shapes
        if shapes is None:
            return [z]
        parts = z.split([math.prod(shape) for shape in shapes], 1)
        return [part.unflatten(1, shape) for part, shape in zip(parts, shapes)]


_LEARNED_DISTORTION = (
    "This model has no density p(x): its likelihood learned by a learned distortion alone, which is none. Add "
    "Distortion() to what it minimises, or use reconstruction_error(X) to find outliers."
)


def _totals(totals: Any, n: int, family: Family) -> np.ndarray:
    """The totals of n rows, ``(n,)``."""
    if family.given != "total":
        raise InputError(
            f"totals are for counts given their total, such as Multinomial(); {family} models them itself."
        )
    try:
        found = np.broadcast_to(np.asarray(totals, dtype=np.float64), (n,))
    except (TypeError, ValueError):
        raise InputError(f"totals expects a whole number, or one for each of {n} rows; got {totals!r}.") from None
    if not (np.isfinite(found) & (found >= 0) & (found == np.rint(found))).all():
        raise InputError(f"totals expects whole numbers from 0 on; got {totals!r}.")
    return found


_COLLAPSED = (
    "posterior collapse: 0 of {} latent dimensions carry information. Give the rate less weight early "
    "(objective=Distortion() + Linear(0.0, 1.0, until=0.3) * Rate()), leave some of it free "
    "(Distortion() + FreeBits(0.1)), or let the likelihood learn its scale (Normal('shared'))."
)


def _flat(latents: list[Tensor]) -> Tensor:
    return torch.cat([z.flatten(1) for z in latents], 1)
