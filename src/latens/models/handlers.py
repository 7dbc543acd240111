"""What ``choose(p, q)`` may do, besides drawing and recording."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from torch import Tensor

from latens.distributions import Distribution
from latens.models.base import Choose, Model
from latens.utils.errors import InputError


def sample(model: Model, n: int, *, context: Tensor | None = None) -> Distribution:
    """p(x | z) for n choices z ~ p: draw from it, or take its mean.

    Args:
        n: how many; the batch shape of what is returned is ``(n,)``.
        context: ``(n, C)`` where the model is conditional.
    """

    def choose(p: Distribution, q: Distribution | None) -> Tensor:
        return p.embed(p.sample() if len(p.batch_shape) else p.sample((n,)))

    return model(choose, context=context)


def clamp(values: Sequence[Tensor]) -> Choose:
    """The handler that takes the given values, in order: traversals, editing, decoding.

    Raises:
        ValueError: the model makes more choices than there are values.
    """
    rest = iter(values)

    def choose(p: Distribution, q: Distribution | None) -> Tensor:
        value = next(rest, None)
        if value is None:
            raise ValueError(f"The model makes more choices than the {len(values)} value(s) given.")
        return p.embed(value)

    return choose


class _Chosen(Exception):
    """All choices are made."""


def encode(model: Model, x: Tensor, *, drawn: bool = False, **given: Tensor | None) -> list[Tensor]:
    """What ``locate`` gives, without p(x | z) where the model says how many choices it makes.

    Args:
        model: p(x, z) and q(z | x).
        x: ``(B, *event)``.
        drawn: a draw of the posterior in place of its mean, for models of one choice.
        given: "observed" and "context".
    """
    found: list[Tensor] = []

    def choose(p: Distribution, q: Distribution | None) -> Tensor:
        r = p if q is None else q
        found.append(r.sample((1,) if r.batch_shape else (1, len(x)))[0] if drawn else r.location)
        if len(found) == model.choices:
            raise _Chosen
        return p.embed(found[-1])

    with suppress(_Chosen):
        model(choose, x, **given)
    return found


def locate(model: Model, x: Tensor, **given: Tensor | None) -> tuple[list[Tensor], Distribution]:
    """The posterior mean of each choice, or the location or code that stands for it, ``(B, *)``, and p(x | z) there."""
    means: list[Tensor] = []

    def choose(p: Distribution, q: Distribution | None) -> Tensor:
        means.append((p if q is None else q).location)
        return p.embed(means[-1])

    likelihood = model(choose, x, **given)
    return means, likelihood.sharing(x, given.get("observed"))


def check_spaces(model: Model, x: Tensor, **given: Tensor | None) -> None:
    """Refuses a posterior and a prior whose draws lie in different spaces: no divergence between them is defined.

    Raises:
        InputError: naming both spaces, and the prior that fits.
    """

    def choose(p: Distribution, q: Distribution | None) -> Tensor:
        q = p if q is None else q
        if q.space != p.space:
            raise InputError(
                f"The posterior draws from {q.space.name} and the prior from {p.space.name}: no divergence between the "
                f"two is defined. Use prior={q.space.prior}, or another posterior."
            )
        return p.embed(q.location)

    model(choose, x, **given)
