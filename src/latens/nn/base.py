"""The contract of a specification: a value that builds a module for the place it is put."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from torch import Tensor, nn

from latens.utils.value import Value

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Site:
    """Where a module is to be built: what goes in, what comes out, and what stands there already.

    Attributes:
        event_shape: what the module returns for one example (for a distribution: its event).
        context_shape: what the module is given for one example; None where it is given nothing.
        batch: a first batch of what it will be given, for initialisation that depends on the data; for a prior, which
            is given nothing, of the data themselves.
        events: a first batch of what it will describe.
        modules: the modules already built, by name ("likelihood", "posterior", "prior").
        beside: the shape of the context given beside ``context_shape`` to a conditional density; None without one.
        categories: how many each element of what it is given has, 0 of a number; None where all are numbers.
        given: of the rows of ``batch``, what is given beside them; None where that is not known.
        spread: how large the numbers are that the module will be given, where no first batch tells.
        symbols: where the module is given text, of how many symbols that is; None where it is given numbers.
    """

    event_shape: Shape
    context_shape: Shape | None = None
    batch: Tensor | None = None
    events: Tensor | None = None
    modules: Mapping[str, nn.Module] = field(default_factory=lambda: MappingProxyType({}))
    beside: Shape | None = None
    categories: tuple[int, ...] | None = None
    symbols: int | None = None
    given: Tensor | None = None
    spread: float = 1.0


class Spec(Value, ABC):
    """A frozen dataclass of hyper-parameters that builds a module: ``Spec.build(site) -> nn.Module``."""

    @abstractmethod
    def build(self, site: Site) -> nn.Module:
        """A freshly initialised module for ``site``."""
