r"""Events whose elements depend on their neighbours too, whatever the family of each.

The places of an image or a signal are told one after another, and the channels of a place in turn:

.. math:: p(x) = \prod_i p(x_i | x_{<i}), \qquad \theta_i = \eta_i + f(x_{<i} \text{ near } i, \eta \text{ near } i),

with eta the numbers that a decoder tells of z, to which a small network adds what the neighbours say. That network is
one convolution, blind to what comes after, and two maps place by place; its end starts at zero, so that untrained this
is the family itself. All places are scored in one pass; a draw takes one step for each element, at the cost of its
neighbourhood alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Size, Tensor
from torch.nn import functional as F

from latens.distributions.base import Distribution, Family, Shape
from latens.distributions.product import independent
from latens.utils.errors import InputError
from latens.utils.validation import check_positive

CONVOLVE = {1: F.conv1d, 2: F.conv2d}
"""By the number of axes that have neighbours: 1 for signals, 2 for images."""
NOT_NUMBERS = ("symbols", "sphere", "ball", "point")
"""Supports that are no matter of one element at a time."""


class Weights(NamedTuple):
    """Of the network that tells what the neighbours say; C channels of A numbers each, W hidden units a channel.

    Attributes:
        near: ``(C * W, C + A * C, *window)``: of x, what comes before, and of the decoder's numbers, all around.
        bias: ``(C * W,)``.
        hidden: ``(C, W, W)``.
        hidden_bias: ``(C, W)``.
        out: ``(C, A, W)``.
    """

    near: Tensor
    bias: Tensor
    hidden: Tensor
    hidden_bias: Tensor
    out: Tensor

    @classmethod
    def shapes(cls, event_shape: Shape, numbers: int, reach: int, width: int) -> list[Shape]:
        """Of each, for events that need so many numbers."""
        channels, window = event_shape[0], (2 * reach + 1,) * (len(event_shape) - 1)
        units = channels * width
        inner = (channels, width, width), (channels, width), (channels, numbers // channels, width)
        return [(units, channels + numbers, *window), (units,), *inner]


@lru_cache(32)
def _seen(channels: int, shape: Shape, device: torch.device) -> Tensor:
    """1 where a weight of ``Weights.near`` counts: of x, those on elements before, in order; of the numbers, all."""
    units, inputs, *window = shape
    centre = prod(window) // 2
    with torch.inference_mode(False):  # what is made in that mode can never meet a gradient
        seen = torch.ones(channels, units // channels, inputs, prod(window))
        seen[:, :, :channels, centre:] = 0.0
        for channel in range(channels):
            seen[channel, :, :channel, centre] = 1.0
        return seen.reshape(shape).to(device)


class Neighbourhood(Distribution):
    """p(x) = prod_i p(x_i | those before it and near it).

    Args:
        family: of each element.
        weights: of the network that tells what the neighbours say.
        params: the decoder's numbers, ``(*batch, *param_shape)``.
        event_shape: ``(C, *places)``.
        shared, offset: of the family.
    """

    def __init__(
        self,
        family: Family,
        weights: Weights,
        params: Tensor,
        event_shape: Shape,
        shared: Tensor | None = None,
        offset: Tensor | None = None,
    ) -> None:
        self.family, self.params, self.shared, self.offset = family, params, shared, offset
        self.dims, self.channels = len(event_shape), event_shape[0]
        self.batch_shape, self.event_shape = Size(params.shape[: params.ndim - self.dims]), Size(event_shape)
        near = weights.near
        self.weights = weights._replace(near=near * _seen(self.channels, tuple(near.shape), near.device))
        self.reach = near.shape[-1] // 2

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, ``(*sample, *batch)``, all elements at once."""
        batch = tuple(np.broadcast_shapes(x.shape[: x.ndim - self.dims], self.batch_shape))
        params = self._rows(self.params, batch)
        seen = torch.cat([self._read(self._rows(x, batch)), _bounded(params)], 1)
        h = self._convolved(seen, self.weights.near)
        h = h.movedim(1, -1).unflatten(-1, (self.channels, -1))
        told = torch.stack([self._told(h[..., c, :], c) for c in range(self.channels)], -1).flatten(-2).movedim(-1, 1)
        return self.family(
            (params + told).reshape(*batch, *params.shape[1:]), self.event_shape, self.shared, self.offset
        ).log_prob(x)

    def _rows(self, t: Tensor, batch: Shape) -> Tensor:
        """``(N, C', *places)``, one for each event: of the decoder's numbers, or of x."""
        return t.expand(*batch, *t.shape[-self.dims :]).reshape(-1, *t.shape[-self.dims :])

    def _read(self, x: Tensor) -> Tensor:
        """x as the network sees it: counts can be large."""
        return x.log1p() if self.family.support in ("counts", "classes") else x

    def _convolved(self, seen: Tensor, kernel: Tensor) -> Tensor:
        """``(N, C * W, *places)``; the maps after it are quicker where all channels of a place stand side by side."""
        if self.dims == 3:
            seen = seen.contiguous(memory_format=torch.channels_last)
        return CONVOLVE[self.dims - 1](seen, kernel, self.weights.bias, padding=self.reach)

    def _told(self, h: Tensor, channel: int) -> Tensor:
        """``(*, W) -> (*, A)``: what the hidden units of a channel say, place by place."""
        _, _, hidden, bias, out = self.weights
        h = F.silu(F.linear(F.silu(h), hidden[channel], bias[channel]))
        return F.linear(h, out[channel])

    def rsample(self, shape: Shape = ()) -> Tensor:
        """A draw without gradients, ``(*shape, *batch, *event)``: one element after another."""
        return self._in_turn(shape, lambda p: (p.rsample(),) * 2)

    @property
    def location(self) -> Tensor:
        """The mean of each element, given those before it, of which each was taken at its mean, or near it if whole."""
        whole = self.family.support in ("binary", "counts", "classes")
        return self._in_turn((), lambda p: (p.location.round() if whole else p.location, p.location))

    @torch.no_grad()
    def _in_turn(self, shape: Shape, choose: Callable[[Distribution], tuple[Tensor, Tensor]]) -> Tensor:
        """Events ``(*shape, *batch, *event)``; of each element, in order, what the next ones see, and what is told."""
        batch, channels, places = (*shape, *self.batch_shape), self.channels, self.event_shape[1:]
        params = self._rows(self.params, batch).to(self.weights.near.dtype)
        of_x, of_params = self.weights.near.tensor_split([channels], 1)
        near = of_x.unflatten(0, (channels, -1)).flatten(2)
        around = self._convolved(_bounded(params), of_params).unflatten(1, (channels, -1))
        numbers = params.unflatten(1, (-1, channels))
        before = params.new_zeros(len(params), channels, *(n + 2 * self.reach for n in places))
        x = params.new_zeros(*batch, *self.event_shape)
        for place in product(*map(range, places)):
            window = before[_at(slice(i, i + 2 * self.reach + 1) for i in place)]
            middle = window[_at(self.reach for _ in place)]
            hidden, own, drawn = (t[_at(place)] for t in (around, numbers, x))
            for c in range(channels):
                told = own[:, :, c] + self._told(torch.addmm(hidden[:, c], window.flatten(1), near[c].mT), c)
                seen, shown = choose(self._element(told.reshape(*batch, -1), c, place))
                drawn[..., c] = shown.reshape(batch)
                middle[:, c] = self._read(seen).flatten()
        return x

    def _element(self, own: Tensor, channel: int, place: Shape) -> Distribution:
        """p of one element, of event shape ``(1, ..)``, at its numbers ``(*batch, A)``."""
        ones = [1] * (self.dims - 1)

        def part(t: Tensor | None) -> Tensor | None:
            if t is None or t.ndim < self.dims or t.shape[1 - self.dims :] != self.event_shape[1:]:
                return t
            here = t[_at(place)].unflatten(-1, (-1, self.channels))[..., channel]
            return here.reshape(*here.shape, *ones)

        return self.family(own.reshape(*own.shape, *ones), (1, *ones), part(self.shared), part(self.offset))

    def restrict(self, observed: Tensor) -> Distribution:
        """Refused: what is missing would have to be summed over.

        Raises:
            InputError: always.
        """
        raise whole_rows(self.family)


def whole_rows(family: Family | None) -> InputError:
    """What is said where entries are missing, of ``AutoregressiveOf(family)``."""
    return InputError(
        f"AutoregressiveOf({family}) tells each entry from those before it, and so expects rows without missing "
        f"entries (NaN); for rows with missing entries use {family}."
    )


def _at(place: Iterable[int | slice]) -> Any:
    """The index of a place, the last axes of a tensor."""
    return (..., *place)


def _bounded(params: Tensor) -> Tensor:
    """The decoder's numbers as the network reads them: for a logit, 2 p - 1."""
    return (0.5 * params).tanh()


@dataclass(frozen=True, repr=False)
class AutoregressiveOf(Family):
    """p(x | z) = prod_i p(x_i | x_{<i} near i, z), each factor of the given family: pixels that see their neighbours.

    A decoder whose pixels are independent must tell every detail by z. With this, z is left to tell what cannot be seen
    from nearby, and costs less. The numbers that the decoder tells are as many as the family asks for, so that it goes
    with any decoder and any hierarchy. A draw takes one step for each element.

    Args:
        family: of each element given those before it, such as ``Bernoulli()``, one whose elements are independent; None
            for what the data ask for.
        reach: how far an element sees, along each axis; at 3, the 24 pixels above and before it in a window of 7 x 7.
        width: hidden units of the network that reads them, for each channel.

    Raises:
        InputError: a family whose elements are not independent, or whose scale is "optimal"; events that are neither
            images ``(C, H, W)`` nor signals ``(C, T)``.

    References:
        Gulrajani et al., *PixelVAE: a latent variable model for natural images*, 2017; Chen et al., *Variational lossy
        autoencoder*, 2017: why it should see nearby pixels alone.

    Example:
        >>> from latens.distributions import Bernoulli
        >>> family = AutoregressiveOf(Bernoulli())
        >>> weights = family.shared_start((1, 28, 28))
        >>> p = family(torch.zeros(5, 1, 28, 28), (1, 28, 28), weights)
        >>> round(p.log_prob(torch.ones(5, 1, 28, 28))[0].item(), 2)  # untrained the family: -784 log 2
        -543.43
    """

    family: Family | None = None
    reach: int = 3
    width: int = 16
    autoregressive = True

    def __post_init__(self) -> None:
        check_positive("reach", self.reach, integer=True)
        check_positive("width", self.width, integer=True)
        family = self.family
        if family is not None and (
            not independent(family) or family.support in NOT_NUMBERS or family.calibrated or family.given
        ):
            raise InputError(
                "AutoregressiveOf expects a family of independent elements whose scale is not 'optimal', such as "
                f"Bernoulli() or MixtureOf(DiscretizedLogistic(256), 4); got {family!r}."
            )

    @property
    def _inner(self) -> Family:
        if self.family is None:
            raise InputError(f"{self} expects a family, such as Bernoulli(), where no data say which.")
        return self.family

    @property
    def measure(self) -> str:  # type: ignore[override]
        """That of the family."""
        return self._inner.measure

    @property
    def support(self) -> str:  # type: ignore[override]
        """That of the family."""
        return self._inner.support

    def param_shape(self, event_shape: Shape) -> Shape:
        """That of the family."""
        return self._inner.param_shape(event_shape)

    def centre(self, batch: Tensor) -> Tensor | None:
        """That of the family."""
        return self._inner.centre(batch)

    def start(self, event_shape: Shape, apart: float = 0.1) -> Tensor:
        """Where the family begins."""
        return self._inner.start(event_shape, apart)

    def shared_shape(self, event_shape: Shape) -> Shape:
        """The weights of the network, one after another, then what the family shares."""
        own = self._inner.shared_shape(event_shape)
        return (sum(map(prod, self._shapes(event_shape))) + (0 if own is None else prod(own)),)

    def _shapes(self, event_shape: Shape) -> list[Shape]:
        if len(event_shape) - 1 not in CONVOLVE:
            raise InputError(
                f"{self} expects images (channels, height, width) or signals (channels, steps), which have neighbours; "
                f"got examples of shape {event_shape}. Use {self.family}."
            )
        return Weights.shapes(event_shape, self.param_shape(event_shape)[0], self.reach, self.width)

    def shared_start(self, event_shape: Shape, batch: Tensor | None = None) -> Tensor:
        """Weights drawn at random, those of the last map 0, then what the family begins with."""
        near, bias, hidden, hidden_bias, out = self._shapes(event_shape)
        drawn = torch.randn(near).div(prod(near[1:]) ** 0.5), torch.randn(hidden).div(self.width**0.5)
        parts = [drawn[0], torch.zeros(bias), drawn[1], torch.zeros(hidden_bias), torch.zeros(out)]
        own = self._inner.shared_start(event_shape, batch)
        return torch.cat([part.flatten() for part in [*parts, *([] if own is None else [own])]])

    def __call__(
        self, params: Tensor, event_shape: Shape, shared: Tensor | None = None, offset: Tensor | None = None
    ) -> Neighbourhood:
        """The distribution with these numbers; ``shared`` holds the weights."""
        if shared is None:
            raise ValueError(f"{self} expects the weights that all events share.")
        shapes = self._shapes(tuple(event_shape))
        sizes = [*map(prod, shapes)]
        *weights, own = shared.split([*sizes, len(shared) - sum(sizes)])
        form = self._inner.shared_shape(event_shape)
        return Neighbourhood(
            self._inner,
            Weights(*(part.view(shape) for part, shape in zip(weights, shapes))),
            params,
            tuple(event_shape),
            None if form is None else own.reshape(form),
            offset,
        )
