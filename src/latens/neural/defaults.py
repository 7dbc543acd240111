"""The one table of defaults: from what the data are to how they are modelled.

Every choice comes with its reason, which ``latens check`` and ``latens train`` print.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from latens.data import Column, Schema
from latens.data.sound.views import AudioView
from latens.distributions import (
    Bernoulli,
    Categorical,
    DiscretizedLogistic,
    Family,
    MixtureOf,
    Multinomial,
    NegativeBinomial,
    Normal,
    Product,
    Strings,
)
from latens.nn import GRU, MLP, Conv, SequenceNetwork, Spec, Topics
from latens.nn.conv import Size, pyramid
from latens.objectives import ELBO, Distortion, FreeBits, Rate
from latens.training import Cosine, Linear, Schedule
from latens.utils.errors import InputError

CELLS = 32
"""Into so many cells the values of a long column are put, at most."""


@dataclass(frozen=True)
class Choice:
    """A value and why it was chosen."""

    value: Any
    why: str


def likelihood(schema: Schema, n: int) -> Choice:
    """p(x | z): a mass where the values are levels, a density where they are real."""
    if schema.columns is not None:
        return Choice(_heads(schema.columns, n), "a head for each column, by its kind")
    if schema.tokens is not None:
        return Choice(Strings(schema.tokens.size), f"text: {schema.tokens.name} one after another, then the end")
    if schema.kind == "words":
        return Choice(Multinomial(), "words of documents as long as they are")
    if schema.levels == 2:
        return Choice(Bernoulli(), "two levels")
    if schema.counts:
        return Choice(NegativeBinomial(), "counts without an upper end")
    if schema.levels and schema.kind == "image":
        return Choice(_levels(schema.levels), f"{schema.levels} levels: a mass on each, in any shape")
    if schema.kind == "table":
        return Choice(Normal("element"), "real columns, each with a spread of its own")
    if isinstance(schema.view, AudioView):
        return Choice(Normal("shared"), "recordings: one spread for all, which silence cannot shrink to nothing")
    if schema.kind == "signal":
        return Choice(Normal("element"), "real values, with a spread at each step")
    return Choice(Normal("shared"), "real values; one learned spread for all")


def _heads(columns: Sequence[Column], n: int) -> Family:
    """For each column that is no constant; neighbours that are alike together."""
    heads = [_head(column, n) for column in columns if column.kind != "constant"]
    groups = [(head, len(list(same))) for head, same in groupby(heads)]
    sizes = tuple(size for _, size in groups)
    return Product(tuple(head for head, _ in groups), None if len(groups) == len(heads) else sizes)


def _head(column: Column, n: int) -> Family:
    """Of levels and categories each has a probability; of many levels, cells that hold about as many rows each."""
    if column.kind == "boolean":
        return Categorical(2)
    if column.categories is not None:
        return Categorical(max(2, len(column.categories) - len(column.rare) + bool(column.rare)))
    if not column.is_mass and not column.spikes:
        return MixtureOf(Normal("element"), 3)
    cells = min(CELLS, max(8, round(n**0.5)))
    levels = column.levels or round(column.high - column.low) + 1
    return Categorical(max(2, levels if column.is_mass and levels <= 2 * cells else cells))


def _levels(levels: int) -> Family:
    return MixtureOf(DiscretizedLogistic(levels), 4)


def latents(schema: Schema, n: int) -> Choice:
    """How many latent dimensions; those that are not needed carry no rate.

    Of few images only few dimensions can be learned so well that what lies between the codes is real too: about one
    for every fifty images.
    """
    size = math.prod(schema.shape)
    if schema.kind == "text":
        return Choice(16 if n < 100_000 else 32, f"{n} strings")
    if schema.kind == "words":
        return Choice(max(2, min(20, n // 10)), f"topics of {n} documents")
    real = all(column.kind in ("real", "constant") and not column.spikes for column in schema.columns or ())
    if schema.columns is not None and not real:
        return Choice(max(2, min(32, 2 * size)), f"two for each of {size} columns, and at most 32")
    if schema.kind == "table":
        return Choice(max(2, min(32, (size + 1) // 2)), f"half of {size} columns")
    value = min(16 if size <= 256 else 32 if size <= 1024 else 64, max(8, 2 ** int(math.log2(max(n, 50) / 50))))
    return Choice(value, f"{size} values an example, {n} examples")


def levels(shapes: Sequence[tuple[int, ...]]) -> Choice:
    """How many latent dimensions a hierarchy has."""
    told = " + ".join(map(_by, shapes))
    return Choice(sum(map(math.prod, shapes)), f"{told}, from the top")


def objective(schema: Schema) -> Choice:
    """The bound itself; of text and images with what keeps latents in use.

    A decoder that reads what it has written can do without z, and will, unless z is cheap until it has become useful.
    That of an image gives up units that it could not use at once: by the bound alone, digits are told 2 nats worse.
    """
    if schema.kind == "text":
        value = Distortion() + Linear(0.0, 1.0, until=0.3) * FreeBits(0.25)
        return Choice(value, "the bound, with a rate that grows and is partly free: text would do without z")
    if schema.kind == "image":
        value = Distortion() + Linear(0.0, 1.0, until=0.3) * Rate()
        return Choice(value, "the bound, with a rate that grows: no unit is given up before the decoder can use it")
    return Choice(ELBO(), "the bound of log p(x) itself")


def network(schema: Schema, latents: int | Size | None = None) -> Choice:
    """Convolutions where there is room for them, or latents are a map of the data's axes."""
    if isinstance(latents, tuple) and (schema.kind, len(latents)) in (("image", 2), ("signal", 1)):
        return _to_map(schema.shape[: len(latents)], latents)
    if schema.kind == "text":
        return Choice(GRU(), "text, read and written symbol after symbol")
    if schema.kind == "words":
        return Choice(MLP((256,), dropout=0.3), f"{schema.size} words, of which the encoder learns without some")
    if schema.kind == "image" and min(schema.shape[:2]) >= 12:
        side = min(schema.shape[:2])
        levels = 1 if side <= 40 else 2 if side <= 80 else 3
        spec = Conv((64, 128, 128)[:levels], patch=2 if side < 24 else 4)
        return Choice(spec, f"images of {schema.shape[0]} x {schema.shape[1]}")
    if schema.kind == "signal" and schema.shape[0] >= 16:
        steps = schema.shape[0]
        spec = Conv((32, 64), 2, patch=4 if steps <= 512 else 8 if steps <= 2048 else 16)
        return Choice(spec, f"signals of {steps} steps")
    size = math.prod(schema.shape)
    if schema.columns is not None:
        return Choice(MLP((256,)), f"{size} columns of several kinds")
    width = 512 if size > 32 else 128
    return Choice(MLP((width, width)), f"{size} values an example")


def _to_map(size: Size, places: Size) -> Choice:
    """Convolutions whose coarsest level is as large as the map, in few levels."""
    found: dict[Size, Conv] = {}
    for spec in (Conv((64, 128, 128, 128)[:n], patch=p) for n in range(1, 5) for p in (4, 2, 3, 1, 8)):
        found.setdefault(pyramid(size, spec.strides)[-1], spec)
    if places not in found:
        near = sorted(found, key=lambda other: abs(math.log(math.prod(other) / math.prod(places))))[:3]
        told = [", ".join(map(str, other)) for other in near]
        raise InputError(
            f"convolutions make no map of {_by(places)} of {_by(size)}; use latents=({'), or ('.join(told)}), or an "
            "encoder and a decoder that do."
        )
    return Choice(found[places], f"{_by(size)} to a map of {_by(places)}")


def _by(size: Size) -> str:
    return " x ".join(map(str, size))


def decoder(schema: Schema, latents: int | Size | None = None) -> Choice:
    """The same network as the encoder; of words a mean over topics, which can be read."""
    if schema.kind == "words":
        return Choice(Topics(), "each latent a topic, with words of its own")
    return network(schema, latents)


def flow(schema: Schema, n: int) -> Choice:
    """The network of each bijection of a flow."""
    size = math.prod(schema.shape)
    width = 128 if size <= 32 else 256
    return Choice(MLP((width, width)), f"{size} values an example, {n} examples")


def transforms(schema: Schema) -> Choice:
    """How many bijections a flow is composed of."""
    size = math.prod(schema.shape)
    return Choice(1 if size == 1 else 3, f"{size} values an example")


def batch_size(n: int, spec: Spec | Any, typed: bool = False) -> Choice:
    """Large enough to be quick, small enough for a few hundred steps an epoch."""
    value = 256 if n >= 8192 and typed else 128 if n >= 2048 and not isinstance(spec, Conv) else 64 if n >= 512 else 32
    return Choice(min(value, n), f"{n} examples")


def epochs(n: int, batch: int, spec: Spec | Any, typed: bool = False) -> Choice:
    """A budget of steps, fewer where each costs more, and at least 10 epochs; early stopping may end it sooner."""
    steps = max(3_000, 10_000 // len(spec.channels)) if isinstance(spec, Conv) else 4_000 if typed else 12_000
    steps = 6_000 if isinstance(spec, SequenceNetwork) else 3_000 if isinstance(spec, Topics) else steps
    value = max(20 if typed else 10, min(1000, round(steps * batch / max(n, batch))))
    return Choice(value, f"about {max(1, n // batch) * value} steps")


def learning_rate(spec: Spec | Any, steps: int, typed: bool = False) -> Choice:
    """A rise, then a cosine down to a hundredth; without the rise, the first steps can throw a deep network far.

    Of few steps each has to lead further: at 600 of them perceptrons on digits, cells and tables told held-out rows
    better by 1 to 5 nats with three times the rate, at 2,000 by a little.
    """
    rise = round(min(0.3, max(0.02, 200 / steps)), 3)
    peak = 2e-3 if isinstance(spec, (Conv, SequenceNetwork, Topics)) else 4e-3 if typed else 1e-3
    if isinstance(spec, MLP) and not typed:
        peak = round(peak * min(3.0, max(1.0, (12_000 / steps) ** 0.5)), 4)
    schedule: Schedule = Cosine(peak, round(peak / 100, 6), rise)
    return Choice(schedule, f"rises over the first {100 * rise:g} % of training, then falls to a hundredth")


def patience(epochs: int) -> Choice:
    """Long enough that noise in few held-out rows does not end training."""
    return Choice(max(20, epochs // 5), f"a fifth of {epochs} epochs, and never fewer than 20")


def pace(
    n: int, network: Spec | Any, given: int | None, settings: Mapping[str, Any], *, typed: bool = False
) -> dict[str, Callable[[], Choice]]:
    """Batch size, epochs, learning rate and patience, each once those before it stand in ``settings``."""
    batch = given or batch_size(n, network, typed).value
    return {
        "batch_size": lambda: batch_size(n, network, typed),
        "epochs": lambda: epochs(n, batch, network, typed),
        "learning_rate": lambda: learning_rate(network, settings["epochs"] * max(1, n // batch), typed),
        "patience": lambda: patience(settings["epochs"]),
    }
