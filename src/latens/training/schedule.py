"""Schedules: values that map the progress of training, 0 at its start and 1 at its end, to a number.

A schedule is called with a Python float and returns one, or with a tensor and returns a tensor of that shape, so that
it may stand for a learning rate and for the weight of an objective alike.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

import torch
from torch import Tensor

from latens.utils.errors import InputError
from latens.utils.value import Value

Number = TypeVar("Number", float, Tensor)


class Schedule(Value, ABC):
    """progress in [0, 1] -> a number."""

    @abstractmethod
    def __call__(self, progress: Number) -> Number:
        """The number at ``progress``: a float for a float, a tensor for a tensor."""


@dataclass(frozen=True, repr=False)
class Constant(Schedule):
    """w(t) = value.

    >>> Constant(0.5)(0.3)
    0.5
    """

    value: float

    def __call__(self, progress: Number) -> Number:
        return 0.0 * progress + self.value


@dataclass(frozen=True, repr=False)
class Linear(Schedule):
    """w(t) = start + (end - start) min(t / until, 1).

    >>> warm_up = Linear(0.0, 1.0, until=0.2)
    >>> warm_up(0.0), warm_up(0.1), warm_up(0.7)
    (0.0, 0.5, 1.0)
    """

    start: float
    end: float
    until: float = 1.0

    def __post_init__(self) -> None:
        _require(0 < self.until <= 1, f"Linear expects 0 < until <= 1; got until={self.until}.")

    def __call__(self, progress: Number) -> Number:
        return self.start + (self.end - self.start) * _clip(progress / self.until)


@dataclass(frozen=True, repr=False)
class Cosine(Schedule):
    """w(t) = final + (peak - final) (1 + cos(pi s)) / 2, s = (t - warmup) / (1 - warmup), after a linear rise from 0.

    Reference: Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts, 2017.

    >>> schedule = Cosine(1e-3, warmup=0.1)
    >>> [round(schedule(t), 7) for t in (0.0, 0.05, 0.1, 0.55, 1.0)]
    [0.0, 0.0005, 0.001, 0.0005, 0.0]
    """

    peak: float
    final: float = 0.0
    warmup: float = 0.0

    def __post_init__(self) -> None:
        _require(0 <= self.warmup < 1, f"Cosine expects 0 <= warmup < 1; got warmup={self.warmup}.")

    def __call__(self, progress: Number) -> Number:
        phase = _clip((progress - self.warmup) / (1 - self.warmup))
        value = self.final + (self.peak - self.final) * 0.5 * (1 + _cos(math.pi * phase))
        return value if self.warmup == 0 else value * _clip(progress / self.warmup)


@dataclass(frozen=True, repr=False)
class Cyclical(Schedule):
    """``cycles`` times: a linear rise from start to end over the first ``ramp`` of the cycle, then end.

    Reference: Fu et al., Cyclical annealing schedule: a simple approach to mitigating KL vanishing, 2019.

    >>> weight = Cyclical(0.0, 1.0, cycles=2)
    >>> [weight(t) for t in (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 1.0)]
    [0.0, 0.5, 1.0, 1.0, 0.0, 0.5, 1.0]
    """

    start: float
    end: float
    cycles: int = 4
    ramp: float = 0.5

    def __post_init__(self) -> None:
        _require(self.cycles >= 1, f"Cyclical expects cycles >= 1; got cycles={self.cycles}.")
        _require(0 < self.ramp <= 1, f"Cyclical expects 0 < ramp <= 1; got ramp={self.ramp}.")

    def __call__(self, progress: Number) -> Number:
        turns = progress * self.cycles
        phase = turns - _floor(turns, self.cycles - 1)
        return self.start + (self.end - self.start) * _clip(phase / self.ramp)


@dataclass(frozen=True, repr=False)
class Sigmoid(Schedule):
    """w(t) = start + (end - start) / (1 + exp(-(t - middle) / width)): a smooth rise, most of it within 6 widths.

    Reference: Bowman et al., Generating sentences from a continuous space, 2016.

    >>> weight = Sigmoid(0.0, 1.0, middle=0.25)
    >>> [round(weight(t), 3) for t in (0.0, 0.25, 0.3, 0.5)]
    [0.007, 0.5, 0.731, 0.993]
    """

    start: float
    end: float
    middle: float = 0.5
    width: float = 0.05

    def __post_init__(self) -> None:
        _require(0 < self.width < math.inf, f"Sigmoid expects a positive, finite width; got width={self.width}.")

    def __call__(self, progress: Number) -> Number:
        risen = 0.5 + 0.5 * _tanh((progress - self.middle) / (2 * self.width))
        return self.start + (self.end - self.start) * risen


@dataclass(frozen=True, repr=False)
class Steps(Schedule):
    """values[i] during the i-th of consecutive spans; ``lengths`` are the spans' lengths, in any unit.

    The schedule of Burda et al., Importance weighted autoencoders, 2016, over 3,280 epochs:

    >>> schedule = Steps(tuple(1e-3 * 10 ** (-i / 7) for i in range(8)), tuple(3**i for i in range(8)))
    >>> schedule(0.0), schedule(0.9999)
    (0.001, 0.0001)
    >>> Steps((1e-3, 1e-4))(0.5)
    0.0001
    """

    values: tuple[float, ...]
    lengths: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        lengths = self.values if self.lengths is None else self.lengths
        _require(len(self.values) > 0, "Steps expects at least one value; got none.")
        _require(
            len(lengths) == len(self.values),
            f"Steps expects one length for each value; got {len(lengths)} lengths for {len(self.values)} values.",
        )

    def __call__(self, progress: Number) -> Number:
        lengths = self.lengths or (1.0,) * len(self.values)
        starts = [end / sum(lengths) for end in accumulate(lengths)][:-1]
        if isinstance(progress, Tensor):
            table = torch.tensor(self.values, dtype=progress.dtype, device=progress.device)
            return table[torch.bucketize(progress, torch.tensor(starts, device=progress.device), right=True)]
        return self.values[sum(progress >= start for start in starts)]


def at(value: float | Schedule, progress: Number) -> Number | float:
    """``value`` itself, or what the schedule says at ``progress``.

    >>> at(0.5, 0.1), at(Linear(0.0, 1.0), 0.1)
    (0.5, 0.1)
    """
    return value(progress) if isinstance(value, Schedule) else value


def _clip(x: Number) -> Number:
    return x.clamp(0.0, 1.0) if isinstance(x, Tensor) else min(max(x, 0.0), 1.0)


def _cos(x: Number) -> Number:
    return torch.cos(x) if isinstance(x, Tensor) else math.cos(x)


def _tanh(x: Number) -> Number:
    return torch.tanh(x) if isinstance(x, Tensor) else math.tanh(x)


def _floor(x: Number, highest: int) -> Number:
    return x.floor().clamp(max=highest) if isinstance(x, Tensor) else float(min(math.floor(x), highest))


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise InputError(message)
