"""Posteriors made of another posterior: the base is built first, then the prior, then what wraps it."""

from __future__ import annotations

from abc import ABC

from latens.distributions import Family
from latens.nn import Spec


class Wrapped(Spec, ABC):
    """q(z | x) made of a base posterior, such as a flow on a normal one; wrappers may be wrapped in turn.

    ``build`` finds the base it wraps in ``site.modules["posterior"]``, and beside it "likelihood" and "prior": a prior
    that looks at the posterior (VampPrior) sees the innermost base, so that no circle arises.
    """

    base: Family | Spec


def unwrapped(posterior: Family | Spec) -> tuple[Family | Spec, list[Wrapped]]:
    """The innermost base, and what wraps it, from the inside out."""
    layers: list[Wrapped] = []
    while isinstance(posterior, Wrapped):
        layers.insert(0, posterior)
        posterior = posterior.base
    return posterior, layers
