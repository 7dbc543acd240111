"""One pass through a model, recorded: all that an objective may look at."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from latens.distributions import Distribution, divergence, kl_factors
from latens.models.aggregate import aggregate
from latens.models.base import Choose, Model
from latens.models.handlers import clamp
from latens.nn.fixed import fixed
from latens.utils.errors import InputError


@dataclass(eq=False)
class Latent:
    """One choice: the value drawn from q, and both densities of it. Shapes ``(K, B, *)``.

    Attributes:
        value: what the decoder reads.
        quantised: what q and p are of where that is not the value: the integers that it stands for, or the logarithm of
            relaxed ones; None where it stands for itself.
    """

    value: Tensor
    q: Distribution
    p: Distribution
    quantised: Tensor | None = None
    drawn_log_q: Tensor | None = field(default=None, repr=False)

    @property
    def code(self) -> Tensor:
        """What p and q score: the value, unless the posterior quantises it."""
        return self.value if self.quantised is None else self.quantised

    @property
    def real(self) -> Tensor:
        """The value of a choice among real numbers.

        Raises:
            InputError: it is a code, which has no place among others and carries no gradient.
        """
        if self.quantised is not None or self.q.enumerable:
            raise InputError(
                f"A term of this objective looks at latents as real numbers; {type(self.q).__name__} draws codes. "
                "Leave it out, or use a posterior such as Normal('element')."
            )
        return self.value

    @cached_property
    def log_q(self) -> Tensor:
        """log q(z | x), ``(K, B)`` nats."""
        return self.q.log_prob(self.code) if self.drawn_log_q is None else self.drawn_log_q

    @cached_property
    def log_p(self) -> Tensor:
        """log p(z), ``(K, B)`` nats."""
        return self.p.log_prob(self.code)

    @cached_property
    def kl_factors(self) -> Tensor | None:
        """KL(q || p) of each dimension, ``(B, *)`` or ``(K, B, *)``; None where it has no closed form."""
        return kl_factors(self.q, self.p)

    @cached_property
    def kl(self) -> Tensor:
        """KL(q || p), ``(K, B)`` nats: in closed form where there is one, else log q - log p."""
        if self.kl_factors is None:
            total = divergence(self.q, self.p)
            return self.log_q - self.log_p if total is None else total.expand(self.value.shape[:2])
        total = self.kl_factors.flatten(self.kl_factors.ndim - len(self.q.event_shape)).sum(-1)
        return total.expand(self.value.shape[:2])


@dataclass(eq=False)
class Draw:
    """K draws of the latents of B examples.

    Attributes:
        x: the data ``(B, *event)`` in the model's units.
        likelihood: p(x | z), batch shape ``(K, B)``.
        latents: the choices, in order.
        samples: K.
        observed: which entries of x count, or None.
        context: what the density is conditioned on, or None.
        progress: how far training is, in [0, 1]; schedules read it.
        n_examples: the number of training examples, for estimates that scale with it.
        log_volume: log |det| of the map from the user's units to the model's, ``()`` or ``(B,)`` nats: added once, so
            that every figure is of the data as they came.
        enumerated: log mass ``(K, B)`` of choices that were enumerated rather than drawn, or None.
        critics: what terms of an objective own beside the model, by term.
        decode: p(x | z) at other values of the choices, for terms that ask how it changes with them.
        again: the draw at other values of the choices, with all densities of them.
        dream: ``(n, K)`` -> a context with a draw for n <= B examples of the model's own, within which all weights but
            the posterior's are fixed; None unless the model is in training.
        origin: of such a draw, the values of the choices that x was made from; None of any other.
    """

    x: Tensor
    likelihood: Distribution
    latents: Sequence[Latent]
    samples: int = 1
    observed: Tensor | None = None
    context: Tensor | None = None
    progress: float | Tensor = 1.0
    n_examples: int | None = None
    log_volume: Tensor | float = 0.0
    enumerated: Tensor | None = field(default=None, repr=False)
    critics: Mapping[Any, nn.Module] = field(default_factory=dict, repr=False)
    decode: Callable[[Sequence[Tensor]], Distribution] | None = field(default=None, repr=False)
    again: Callable[[Sequence[Tensor]], Draw] | None = field(default=None, repr=False)
    dream: Callable[[int, int], AbstractContextManager[Draw]] | None = field(default=None, repr=False)
    origin: Sequence[Tensor] | None = field(default=None, repr=False)

    @cached_property
    def log_mass(self) -> Tensor:
        """The log mass of each draw, ``(K, B)``: -log K for Monte Carlo."""
        if self.enumerated is not None:
            return self.enumerated
        return self.log_likelihood.new_full((), -math.log(self.samples)).expand(self.log_likelihood.shape)

    @cached_property
    def seen(self) -> Distribution:
        """p(x | z) of the observed entries."""
        return self.likelihood if self.observed is None else self.likelihood.restrict(self.observed)

    @cached_property
    def log_likelihood(self) -> Tensor:
        """log p(x | z) of the observed entries, ``(K, B)`` nats."""
        log_prob = self.seen.log_prob(self.x)
        if not self.latents:
            log_prob = log_prob.expand(self.samples, len(self.x))
        return log_prob if isinstance(self.log_volume, float) and not self.log_volume else log_prob + self.log_volume

    @cached_property
    def log_prior(self) -> Tensor:
        """log p(z), ``(K, B)`` nats, summed over the choices."""
        return self._total([z.log_p for z in self.latents])

    @cached_property
    def log_posterior(self) -> Tensor:
        """log q(z | x), ``(K, B)`` nats, summed over the choices."""
        return self._total([z.log_q for z in self.latents])

    @cached_property
    def log_aggregate(self) -> tuple[Tensor, Tensor]:
        """log q(z), ``(K, B)``, and log q(z_j), ``(K, B, L)``, of the posterior of all examples together, nats."""
        return aggregate([z.real for z in self.latents], [z.q for z in self.latents], self.n_examples)

    @cached_property
    def rate(self) -> Tensor:
        """KL(q || p), ``(K, B)`` nats, summed over the choices."""
        return self._total([z.kl for z in self.latents])

    @cached_property
    def log_weight(self) -> Tensor:
        """log p(x, z) - log q(z | x), ``(K, B)`` nats: an unbiased estimate of p(x), in logarithm."""
        return self.log_likelihood + self.log_prior - self.log_posterior

    def _total(self, terms: Sequence[Tensor]) -> Tensor:
        return sum(terms[1:], terms[0]) if terms else torch.zeros_like(self.log_likelihood)

    def expect(self, t: Tensor) -> Tensor:
        """sum_k mass_k t_k, ``(K, B) -> (B,)``; a draw of no mass counts for nothing, whatever t is there."""
        if self.enumerated is None:
            return t.squeeze(0) if self.samples == 1 else t.mean(0)
        mass = self.enumerated.exp()
        return (mass * torch.where(mass > 0, t, torch.zeros_like(t))).sum(0)

    def log_terms(self, t: Tensor) -> Tensor:
        """log mass_k + t_k, ``(K, B)``; -infinity where a draw has no mass, whatever t is there."""
        terms = self.log_mass + t
        return terms if self.enumerated is None else torch.where(self.enumerated > -torch.inf, terms, -torch.inf)

    def log_mean_exp(self, t: Tensor) -> Tensor:
        """log sum_k mass_k exp(t_k), ``(K, B) -> (B,)``.

        A term below eps^2 of the largest counts as eps^2 of it, without gradient: invisible in the sum, while its own
        gradient would be a subnormal number, which costs a processor twenty times as much.
        """
        terms = self.log_terms(t)
        least = terms.detach().amax(0) + 2.0 * math.log(torch.finfo(terms.dtype).eps)
        return torch.maximum(terms, least).logsumexp(0)


def draw(
    model: Model,
    x: Tensor,
    samples: int = 1,
    *,
    observed: Tensor | None = None,
    context: Tensor | None = None,
    progress: float | Tensor = 1.0,
    n_examples: int | None = None,
    log_volume: Tensor | float = 0.0,
) -> Draw:
    """Runs the model on x, drawing each choice from its posterior, and records it.

    One choice may be enumerable (a class): every value of it is gone through, ``samples`` times, and counts with its
    mass; the choices after it are drawn for each value.

    Args:
        x: ``(B, *event)`` in the model's units.
        samples: K, the number of draws an example.
        observed, context, progress, n_examples, log_volume: recorded; see :class:`Draw`.

    Example:
        >>> from latens.distributions import Bernoulli, Normal
        >>> from latens.models import Conditional, StandardNormal, VariationalAutoencoder
        >>> from latens.nn import MLP, Site
        >>> model = VariationalAutoencoder(
        ...     Conditional(Normal("element"), MLP((16,))).build(Site((2,), (6,))),
        ...     Conditional(Bernoulli(), MLP((16,))).build(Site((6,), (2,))),
        ...     StandardNormal().build(Site((2,))),
        ... )
        >>> d = draw(model, torch.ones(5, 6), samples=3)
        >>> d.log_weight.shape, d.rate.shape
        (torch.Size([3, 5]), torch.Size([3, 5]))
    """
    given: dict[str, Any] = {"observed": observed, "context": context, "progress": progress, "n_examples": n_examples}
    drawn = _recorded(model, x, samples, log_volume=log_volume, **given)
    drawn.dream = partial(_dream, model, **given) if model.training else None
    return drawn


def _recorded(
    model: Callable[..., Distribution],
    x: Tensor,
    samples: int,
    *,
    observed: Tensor | None,
    context: Tensor | None,
    progress: float | Tensor,
    n_examples: int | None,
    log_volume: Tensor | float = 0.0,
) -> Draw:
    latents: list[Latent] = []
    mass: list[Tensor] = []

    def choose(p: Distribution, q: Distribution | None) -> Tensor:
        if q is None:
            raise ValueError("A draw expects a posterior for every choice; got None.")
        p, q = p.at(progress), q.at(progress)
        if q.enumerable:
            latents.append(_enumerated(p, q, samples))
            mass.append(latents[-1].log_q - math.log(samples))
            return latents[-1].value
        shapes: dict[int, tuple[int, ...]] = {0: (samples, len(x)), 1: (samples,)}
        latents.append(_drawn(p, q, shapes.get(len(q.batch_shape), ())))
        return latents[-1].value

    def decode(values: Sequence[Tensor]) -> Distribution:
        return model(clamp(values), context=context)

    def again(values: Sequence[Tensor]) -> Draw:
        taken: list[Latent] = []

        def take(p: Distribution, q: Distribution | None) -> Tensor:
            taken.append(Latent(values[len(taken)], q, p))  # type: ignore[arg-type]
            return taken[-1].value

        seen = model(take, x, observed=observed, context=context).sharing(x, observed)
        return Draw(x, seen, taken, samples, observed, context, progress, n_examples, log_volume)

    likelihood = model(choose, x, observed=observed, context=context).sharing(x, observed)
    if len(mass) > 1:
        raise ValueError(f"A draw goes through the values of one choice; this model has {len(mass)} of them.")
    enumerated = mass[0] if mass else None
    k = samples if enumerated is None else len(enumerated)
    recorded = (latents, k, observed, context, progress, n_examples, log_volume, enumerated)
    return Draw(x, likelihood, *recorded, decode=decode, again=again)


@contextmanager
def _dream(model: Model, n: int, samples: int, **given: Any) -> Iterator[Draw]:
    """A draw for n examples that the model makes up, p(x, z) held fixed."""
    given |= {name: given[name][:n] for name in ("observed", "context") if given[name] is not None}
    priors: list[Distribution] = []
    origin: list[Tensor] = []

    def generate(p: Distribution, q: Distribution | None) -> Tensor:
        priors.append(p.at(given["progress"]))
        origin.append(p.embed(priors[-1].sample(() if p.batch_shape else (n,))))
        return origin[-1]

    def asleep(choose: Choose, *args: Any, **kwargs: Any) -> Distribution:
        one = model.choices == 1  # then p is known, and may be made of the posterior's weights
        return model(lambda p, q: choose(priors[0] if one else p, q), *args, **kwargs)

    with torch.no_grad():
        x = model(generate, context=given["context"]).sample()
    part = model.part("posterior")
    moving = {id(weight) for weight in part.parameters()} if part is not None else set()
    with fixed(weight for weight in model.parameters() if id(weight) not in moving):
        drawn = _recorded(asleep, x, samples, **given)
        drawn.origin = [value.unsqueeze(0) for value in origin]
        yield drawn


def _enumerated(p: Distribution, q: Distribution, samples: int) -> Latent:
    """All values of q, one after the other, ``samples`` times."""
    values = q.enumerate()
    return Latent(values.repeat(samples, *[1] * (values.ndim - 1)), q, p)


def _drawn(p: Distribution, q: Distribution, shape: tuple[int, ...]) -> Latent:
    """A draw of q, with its log density where the two come together."""
    if not q.scores_draws:
        value, code = q.rsample_and_code(shape)
        return Latent(value, q, p, code)
    value, log_q = q.rsample_and_log_prob(shape)
    return Latent(value, q, p, drawn_log_q=log_q)
