"""What a fitted model is worth on any data, in nats of the data as the user gave them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from latens.data import Schema, Source, Subset
from latens.distributions import Distribution, Multinomial, Transformed, counted
from latens.distributions.totals import log_factorial
from latens.models import Draw, Latent
from latens.neural import LatentDensity, NeuralDensity, SemiSupervisedVAE
from latens.neural.progress import ACTIVE
from latens.neural.rows import tensor
from latens.neural.scoring import (
    as_fitted,
    block_shape,
    blocks,
    by_block,
    column_errors,
    draws,
    empty,
    seen,
    squared_error,
)
from latens.utils.validation import check_positive

MIXTURE = 5000
"""The most posteriors of which mutual information takes the mixture: every row is scored by each of them."""
DEAR = 500
"""The same of flows, which must be inverted for every pair, and may need a pass of a network for each dimension."""
_ELEMENTS = 1 << 22


@dataclass(frozen=True)
class Evaluation:
    """Figures of a fitted model on n examples; None where a figure does not exist for the model.

    Attributes:
        n: the number of examples.
        measure: "mass" where p(x) is a probability, "density" where it is a density: one is never set beside the other.
        given: what of a row is given and not modelled: where it is its "total", p(x) is p(x | its total) throughout.
        distortion: E_q[-log p(x | z)], nats an example.
        reconstruction_error: mean squared difference to E[x | z] at the posterior mean, squared units of the data.
        column_errors: in its place of a table of several kinds, by the name of each column of numbers the root of the
            mean squared difference, in the column's units (of dates days or seconds).
        wrong_categories: by the name of each column of categories, or of yes and no, the share of another one.
        wrong_symbols: in its place of text, the share of places where another symbol comes back.
        k: draws an example.
        negative_elbo: distortion + rate >= -log p(x), nats an example.
        log_likelihood: E[log 1/k sum_i p(x, z_i) / q(z_i | x)], nats an example, a lower bound of E[log p(x)].
        standard_error: of ``log_likelihood`` as the mean of n examples, nats.
        effective_draws: (sum_i w_i)^2 / sum_i w_i^2, w_i = p(x, z_i) / q(z_i | x), of the median example: of k draws so
            many count. Where it is a few, ``log_likelihood`` is a loose bound; more draws make it tighter.
        bits_per_dimension: -log_likelihood / (D log 2), D numbers an example (on average, where some are missing; of
            text, symbols and ends).
        elbo_bits_per_dimension: negative_elbo / (D log 2).
        rate: E[KL(q(z | x) || p(z))], nats an example.
        rate_per_dimension: the same for each latent dimension, nats.
        active_units: how many latent dimensions have Var_x(E[z | x]) > 0.01.
        mutual_information: I_q(x; z) = E[KL(q(z | x) || q(z))], nats.
        mixture: of how many rows q(z) is made there: the information is at most its logarithm.
        perplexity: of multinomial counts, exp of -log p of each event counted, in the order of a text: the number of
            words among which it is as hard to choose.
    """

    n: int
    measure: str
    given: str | None = None
    distortion: float | None = None
    reconstruction_error: float | None = None
    column_errors: dict[str, float] | None = None
    wrong_categories: dict[str, float] | None = None
    wrong_symbols: float | None = None
    k: int | None = None
    negative_elbo: float | None = None
    log_likelihood: float | None = None
    standard_error: float | None = None
    effective_draws: float | None = None
    bits_per_dimension: float | None = None
    elbo_bits_per_dimension: float | None = None
    rate: float | None = None
    rate_per_dimension: list[float] | None = None
    active_units: int | None = None
    mutual_information: float | None = None
    mixture: int | None = None
    perplexity: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """The figures by name, plain numbers."""
        return asdict(self)


def evaluate(estimator: NeuralDensity, X: Any, y: Any = None, *, k: int | None = None) -> Evaluation:
    """-ELBO = E_q[-log p(x | z)] + KL(q(z | x) || p(z)), log 1/k sum_i p(x, z_i) / q(z_i | x), and what explains them.

    Everything is in the user's units: the log-determinant of the preprocessing is counted. Noise is keyed by the row,
    so the same model, rows and k give the same figures.

    The mutual information takes q(z) to be the equal mixture of the posteriors of these rows (of 5000 evenly spaced
    ones where there are more; of 500 where the posterior is a flow, which must be inverted). It is therefore the
    information between z and *which of the rows* it came from: at most log n, and lower than that of the whole
    population where that is large.

    Args:
        estimator: a fitted VAE or AutoEncoder; of a Flow, which has no latents, log p(x) alone is told, exactly; of a
            SemiSupervisedVAE log p(x) without the label.
        X: rows like those fitted: an array, a path, a ``Source``.
        y: what to condition on, for p(x | y).
        k: draws an example; the estimator's ``score_samples_k`` by default.

    Raises:
        InputError: rows unlike those fitted, or k that is no positive integer.

    References:
        Burda, Grosse and Salakhutdinov, *Importance weighted autoencoders*, 2016, for the bound and the active units;
        Kong, *A note on importance sampling using standardized weights*, 1992, for the effective draws; Hoffman and
        Johnson, *ELBO surgery*, 2016, for the mutual information.

    Example:
        >>> from latens import VAE
        >>> from sklearn.datasets import load_digits
        >>> X = load_digits().images
        >>> figures = evaluate(VAE(latents=4, epochs=2, random_state=0).fit(X), X[:100], k=16)
        >>> figures.n, figures.measure, figures.log_likelihood > -figures.negative_elbo
        (100, 'mass', True)
    """
    check_is_fitted(estimator)
    source = estimator._source(X)
    k = getattr(estimator, "score_samples_k", 1) if k is None else k
    check_positive("k", k, integer=True)
    labels = y if y is not None else source.labels
    if isinstance(estimator, SemiSupervisedVAE):
        figures = _exact(estimator, estimator.score_samples(source, k=k), source)
        errors = estimator._map(source, labels, _Pass(estimator, k).error)
        return replace(figures, k=k, **_rebuilt(estimator.schema_, errors))
    if not isinstance(estimator, LatentDensity):
        return _exact(estimator, estimator.score_samples(source, labels), source)
    k = estimator._draws(k)
    context = estimator._context(labels, len(source))
    found = _Pass(estimator, k).over(source, context)
    figures = _summary(estimator, found, k, len(source))
    return figures if figures.k is None else _informed(figures, estimator, source, context, found.get("z"))


def _exact(estimator: NeuralDensity, scores: np.ndarray, source: Source) -> Evaluation:
    """What is known where nothing is latent."""
    measure, schema = "mass" if estimator.is_mass else "density", estimator.schema_
    if schema.tokens is None:
        return Evaluation(len(scores), measure, **_likelihood(scores, schema.size))
    size = float(np.mean([entries(schema, tensor(rows)).double().mean() for rows in source.batches(len(source))]))
    return Evaluation(len(scores), measure, **_likelihood(scores, size), perplexity=perplexity(scores, size))


def _rebuilt(schema: Schema, squares: np.ndarray) -> dict[str, Any]:
    """How what comes back differs, by the name of the figure.

    Args:
        schema: of the rows.
        squares: what ``column_errors`` gives of a table of several kinds, else what ``squared_error`` does.
    """
    if schema.columns is None:
        return {"reconstruction_error" if schema.tokens is None else "wrong_symbols": float(squares.mean())}
    return dict(zip(("column_errors", "wrong_categories"), errors_of(schema, squares)))


def errors_of(schema: Schema, squares: np.ndarray) -> tuple[dict[str, float], dict[str, float]]:
    """Of columns of numbers the root of the mean; of those of categories the mean; by name, without constants.

    >>> from latens.data.table import Column, schema_of
    >>> schema = schema_of([Column("age", "real"), Column("sex", "category", categories=("F", "M"))])
    >>> errors_of(schema, np.array([[16.0, 1.0], [4.0, 0.0], [np.nan, 0.0], [7.0, 1.0]]))
    ({'age': 3.0}, {'sex': 0.5})
    """
    errors: dict[str, float] = {}
    wrong: dict[str, float] = {}
    for column, known in zip(schema.columns or (), (square[~np.isnan(square)] for square in squares.T)):
        if len(known) and column.kind != "constant" and column.is_named:
            wrong[column.name] = float(known.mean())
        elif len(known) and column.kind != "constant":
            errors[column.name] = float(np.sqrt(known.mean()))
    return errors, wrong


def entries(schema: Schema, x: Tensor) -> Tensor:
    """How many numbers of each row tell of it, ``(B, 1)``: those observed; of text, its symbols and its end."""
    if schema.tokens is not None:
        return counted(x).sum(1, keepdim=True)
    return (~x.isnan()).flatten(1).sum(1, keepdim=True)


def perplexity(scores: np.ndarray, size: float) -> float:
    """exp(-mean log p(x) / size), of strings of so many symbols on average, ends counted.

    >>> round(perplexity(np.log([1 / 8, 1 / 32]), 4.0), 4)
    2.0
    """
    return math.exp(-float(scores.mean()) / size)


def _likelihood(scores: np.ndarray, size: float) -> dict[str, Any]:
    """The mean of log p(x), its error, and the same in bits."""
    return {
        "log_likelihood": float(scores.mean()),
        "standard_error": float(scores.std(ddof=1) / math.sqrt(len(scores))) if len(scores) > 1 else None,
        "bits_per_dimension": float(-scores.mean() / (size * math.log(2.0))),
    }


def _summary(estimator: NeuralDensity, found: dict[str, np.ndarray], k: int, n: int) -> Evaluation:
    common: dict[str, Any] = {
        "n": n,
        "measure": "mass" if estimator.is_mass else "density",
        "given": estimator._family.given or None,
        "distortion": float(found["distortion"].mean()),
        **_rebuilt(estimator.schema_, found["squared_error"]),
    }
    if "log_weight" not in found or not estimator.learns_density_:
        return Evaluation(**common)
    scores, rate = found["log_weight"][:, 0], float(found["rate"].mean())
    if "total" in found:
        words = float(found["total"].sum())
        common["perplexity"] = math.exp((found["orders"].sum() - scores.sum()) / words) if words else None
    size = max(float(found["entries"].mean()), 1.0)
    if estimator.schema_.tokens is not None:
        common["perplexity"] = perplexity(scores, size)
    loss, bits = common["distortion"] + rate, size * math.log(2.0)
    return Evaluation(
        **common,
        k=k,
        negative_elbo=loss,
        **_likelihood(scores, size),
        effective_draws=float(np.median(found["effective_draws"])),
        elbo_bits_per_dimension=loss / bits,
        rate=rate,
        rate_per_dimension=found["rates"].mean(0).tolist() if "rates" in found else None,
        active_units=int((found["mean"].var(0) > ACTIVE).sum()) if n > 1 else None,
    )


class _Pass:
    """One pass over the rows: all terms of each, and how wide each term is."""

    def __init__(self, estimator: NeuralDensity, k: int) -> None:
        self.estimator, self.k = estimator, k
        self.widths: dict[str, int] = {}

    def over(self, source: Source, context: np.ndarray | None) -> dict[str, np.ndarray]:
        """Each term of each row, ``(n, width)``."""
        e = self.estimator
        self.size, self.chunk = block_shape(e.units_, self.k)
        table = by_block(source, e.schema_, context, self.size, e._device, self.block, missing=True)
        ends = np.cumsum(list(self.widths.values()))
        return dict(zip(self.widths, np.split(table, ends[:-1], axis=1)))

    def error(self, rows: np.ndarray, x: Tensor, context: Tensor | None) -> Tensor:
        """How what comes back differs, ``(B, 1)``, or ``(B, d)`` of the columns of a table of several kinds."""
        of = (self.estimator.model_, self.estimator.units_, rows, x, context)
        return squared_error(*of)[:, None] if self.estimator.schema_.columns is None else column_errors(*of)

    def block(self, rows: np.ndarray, x: Tensor, context: Tensor | None) -> Tensor:
        """The terms side by side, ``(B, sum of widths)``."""
        e = self.estimator
        terms: dict[str, Tensor] = {"squared_error": self.error(rows, x, context).to(x.device)}
        terms["entries"] = entries(e.schema_, x).double()
        if isinstance(e._family, Multinomial):
            terms["total"], terms["orders"] = _orders(x)
        for d in draws(e._model, e.units_, rows, x, context, self.k, self.chunk, e.seed_):
            _merge(terms, _terms(d, self.k))
        if "log_weight" in terms:
            terms["effective_draws"] = (2.0 * terms["log_weight"] - terms.pop("log_square")).exp()
            known = (terms["log_weight"] - math.log(self.k)).squeeze(1)
            terms["log_weight"] = known.masked_fill_(empty(e.units_, x), 0.0)[:, None]
        self.widths = {name: t.shape[1] for name, t in terms.items()}
        return torch.cat(list(terms.values()), 1)


def _orders(x: Tensor) -> tuple[Tensor, Tensor]:
    """The total of each row, and the logarithm of how many orders its counts can come in, ``(B, 1)`` each."""
    y = x.double().nan_to_num().flatten(1)
    total = y.sum(1, keepdim=True)
    return total, log_factorial(total) - log_factorial(y).sum(1, keepdim=True)


def _terms(d: Draw, k: int) -> dict[str, Tensor]:
    """What a part of the k draws adds, each ``(B, width)``."""
    share = d.samples / k
    terms = {"distortion": -d.log_likelihood.double().mean(0)[:, None] * share}
    if not all(latent.q.has_density for latent in d.latents):
        return terms
    terms["rate"] = d.rate.double().mean(0)[:, None] * share
    terms["log_weight"] = d.log_weight.double().logsumexp(0)[:, None]
    terms["log_square"] = (2.0 * d.log_weight.double()).logsumexp(0)[:, None]
    terms["mean"] = torch.cat([_by_row(latent, latent.q.location) for latent in d.latents], 1) * share
    factors = [(latent, latent.kl_factors) for latent in d.latents]
    known = [_by_row(latent, f) for latent, f in factors if f is not None]
    if len(known) == len(factors):
        terms["rates"] = torch.cat(known, 1) * share
    if len(d.latents) == 1 and len(d.latents[0].q.batch_shape) == 1 and d.latents[0].q.scores_points:
        terms["z"] = d.latents[0].code[0].flatten(1).double()
    return terms


def _merge(terms: dict[str, Tensor], more: dict[str, Tensor]) -> None:
    for name, term in more.items():
        if name not in terms:
            terms[name] = term
        elif name in ("log_weight", "log_square"):
            terms[name] = torch.logaddexp(terms[name], term)
        elif name != "z":
            terms[name] = terms[name] + term


def _by_row(latent: Latent, t: Tensor) -> Tensor:
    """``(B, *)`` or ``(K, B, *)``, the mean over K, as ``(B, L)``."""
    event = len(latent.q.event_shape)
    rows = t.double().mean(0) if t.ndim - event == 2 else t.double()
    return rows.flatten(1)


def _informed(
    figures: Evaluation, estimator: NeuralDensity, source: Source, context: np.ndarray | None, z: np.ndarray | None
) -> Evaluation:
    """1/n sum_i log q(z_i | x_i) - log 1/n sum_j q(z_i | x_j) beside them, with one z_i ~ q(z | x_i) a row."""
    if z is None:
        return figures
    with torch.inference_mode():
        _, first = next(_posteriors(estimator, Subset(source, np.arange(1)), None if context is None else context[:1]))
    most = DEAR if isinstance(first, Transformed) else MIXTURE
    chosen = np.unique(np.linspace(0, len(source) - 1, min(len(source), most)).astype(np.intp))
    points = torch.from_numpy(z[chosen]).to(estimator._device)
    own = torch.zeros(len(points), dtype=torch.float64, device=points.device)
    mixture = torch.full_like(own, -torch.inf)
    some = None if context is None else context[chosen]
    with torch.inference_mode():
        for indices, q in _posteriors(estimator, Subset(source, chosen), some):
            keep = len(np.unique(indices))
            log_q = _pairs(q, points)[:, :keep]
            own[indices[:keep]] = log_q[indices[:keep], torch.arange(keep)]
            mixture = torch.logaddexp(mixture, log_q.logsumexp(1))
    information = float((own - mixture).mean()) + math.log(len(points))
    return replace(figures, mutual_information=information, mixture=len(points))


def _posteriors(
    estimator: NeuralDensity, source: Source, context: np.ndarray | None
) -> Iterator[tuple[np.ndarray, Distribution]]:
    """q(z | x) of each block of rows, for a model of one choice."""
    e, found = estimator, []

    def choose(p: Distribution, q: Distribution | None) -> Tensor:
        found.append(p if q is None else q)
        return p.embed(found[-1].location)

    for indices in blocks(len(source), e._block):
        x, observed, _ = seen(e.units_, tensor(as_fitted(source.take(indices), e.schema_)).to(e._device))
        beside = None if context is None else torch.from_numpy(context[indices]).to(e._device)
        e.model_(choose, x, observed=observed, context=beside)
        yield indices, found.pop()


def _pairs(q: Distribution, points: Tensor) -> Tensor:
    """log q_j(z_i), ``(points, B)``."""
    size = max(1, _ELEMENTS // (q.batch_shape[0] * points.shape[1]))
    parts = []
    for z in points.float().split(size):
        event = z.reshape(len(z), 1, *q.event_shape)
        parts.append(q.log_prob(event.expand(len(z), *q.batch_shape, *q.event_shape)).double())
    return torch.cat(parts)
