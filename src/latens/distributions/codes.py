r"""Codes: integers that stand for vectors.

A distribution over codes scores and draws integers 0 .. C - 1, ``(*, N)``. What a decoder reads is another thing, the
value, which ``rsample_and_code`` gives beside the code, with a gradient that passes straight through the rounding, and
``embed`` makes of any code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from latens.distributions import noise
from latens.distributions.base import Distribution, Shape
from latens.distributions.categorical import LARGEST, CategoricalElement
from latens.distributions.elementwise import Elementwise


def one_hot(code: Tensor, classes: int) -> Tensor:
    """The unit vectors of codes, side by side: ``(*, N) -> (*, N * classes)``.

    >>> one_hot(torch.tensor([1.0, 0.0]), 2)
    tensor([0., 1., 1., 0.])
    """
    return (code.unsqueeze(-1) == torch.arange(classes, device=code.device)).to(code.dtype).flatten(-2)


def gumbel(shape: Shape, like: Tensor) -> Tensor:
    """-log(-log u), u uniform on (0, 1); always finite."""
    info = torch.finfo(like.dtype)
    return -(-noise.uniform(shape, like).clamp(info.tiny, 1.0 - info.eps / 2).log()).log()


Temperature = float | Tensor | Callable[[Any], Any]
"""A number, or a function of the progress of training; where that is not known, it has come to its end."""


def _settled(temperature: Temperature) -> float | Tensor:
    return temperature(1.0) if callable(temperature) else temperature


class Embedded(Distribution):
    """p(code), and the value that each code stands for.

    Args:
        base: over codes.
        table: from codes to values.
    """

    def __init__(self, base: Distribution, table: Callable[[Tensor], Tensor]) -> None:
        self.base, self.table = base, table
        self.batch_shape, self.event_shape = base.batch_shape, base.event_shape

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(code) in nats."""
        return self.base.log_prob(x)

    def factors(self, x: Tensor) -> Tensor:
        """log p(code_i), where the codes are independent."""
        return self.base.factors(x)

    def rsample(self, shape: Shape = ()) -> Tensor:
        """Codes."""
        return self.base.rsample(shape)

    def embed(self, draw: Tensor) -> Tensor:
        """The values of these codes."""
        return self.table(draw)


def bare(p: Distribution) -> Distribution:
    """p over codes alone."""
    return p.base if isinstance(p, Embedded) else p


class Codes(Elementwise):
    """q(c) = prod_i softmax(logits_i)_{c_i}, with one-hot values whose gradient is that of a softmax.

    Args:
        logits: ``(*batch, N, C)``.
        temperature: of that softmax, or a function of the progress of training.

    Reference: Jang, Gu and Poole, *Categorical reparameterization with Gumbel-softmax*, 2017.

    Example:
        >>> q = Codes(torch.tensor([[0.0, 9.0]], requires_grad=True), 0.5)
        >>> value, code = q.rsample_and_code((2,))
        >>> value.shape, code.shape, value.requires_grad, code.requires_grad
        (torch.Size([2, 2]), torch.Size([2, 1]), True, False)
    """

    def __init__(self, logits: Tensor, temperature: Temperature) -> None:
        super().__init__(CategoricalElement(logits.clamp(-LARGEST, LARGEST)), 1)
        self.log_probs: Tensor = self.element.log_probs  # type: ignore[attr-defined]
        self.temperature = temperature

    def at(self, progress: float | Tensor) -> Codes:
        """At the temperature of that moment."""
        t = self.temperature
        return Codes(self.log_probs, t(progress)) if callable(t) else self

    def rsample_and_code(self, shape: Shape = ()) -> tuple[Tensor, Tensor]:
        """One-hot vectors ``(*shape, *batch, N * C)`` and their codes ``(*shape, *batch, N)``."""
        scores = self.log_probs + gumbel((*shape, *self.log_probs.shape), self.log_probs)
        code = scores.argmax(-1).to(scores.dtype)
        hard = one_hot(code, scores.shape[-1])
        if not scores.requires_grad:
            return hard, code
        soft = (scores / _settled(self.temperature)).softmax(-1).flatten(-2)
        return hard + (soft - soft.detach()), code

    def kl_factors(self, p: Distribution) -> Tensor | None:
        """KL of each code in nats, ``(*batch, N)``."""
        return super().kl_factors(bare(p))

    @property
    def location(self) -> Tensor:
        """The most probable codes."""
        return self.log_probs.argmax(-1).to(self.log_probs.dtype)


class Concrete(Distribution):
    r"""p(z) = prod_i (C-1)! t^(C-1) prod_k (pi_k z_k^(-t-1)) / (sum_k pi_k z_k^-t)^C on simplices: relaxed codes.

    Draws and arguments are y = log z, side by side ``(*, N * C)``: z itself is often smaller than any number there is.
    The density is that of z, by Lebesgue's measure of all but one of its C coordinates.

    Args:
        logits: ``(*batch, N, C)``, log pi up to a constant.
        temperature: t; z comes close to one-hot vectors as it falls to 0. Or a function of the progress of training.

    Reference: Maddison, Mnih and Teh, *The concrete distribution*, 2017.

    Example:
        >>> p = Concrete(torch.zeros(1, 2), 1.0)  # uniform on the segment
        >>> p.log_prob(torch.tensor([0.3, 0.7]).log()).item()
        0.0
    """

    reparameterised = True

    def __init__(self, logits: Tensor, temperature: Temperature) -> None:
        self.log_probs = logits.clamp(-LARGEST, LARGEST).log_softmax(-1)
        self.temperature = temperature
        self.batch_shape = logits.shape[:-2]
        self.event_shape = torch.Size([logits.shape[-2] * logits.shape[-1]])

    def at(self, progress: float | Tensor) -> Concrete:
        """At the temperature of that moment."""
        t = self.temperature
        return Concrete(self.log_probs, t(progress)) if callable(t) else self

    def rsample(self, shape: Shape = ()) -> Tensor:
        """y = log softmax((log pi + Gumbel noise) / t)."""
        scores = self.log_probs + gumbel((*shape, *self.log_probs.shape), self.log_probs)
        return (scores / _settled(self.temperature)).log_softmax(-1).flatten(-2)

    def rsample_and_code(self, shape: Shape = ()) -> tuple[Tensor, Tensor]:
        """z = exp(y), and y, which is what is scored."""
        y = self.rsample(shape)
        return y.exp(), y

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(z) at z = exp(x)."""
        t, n = _settled(self.temperature), self.log_probs.shape[-1]
        y = x.unflatten(-1, self.log_probs.shape[-2:])
        tilted = self.log_probs - t * y
        constant = math.lgamma(n) + (n - 1) * (t.log() if isinstance(t, Tensor) else math.log(t))
        return (constant + (tilted - y).sum(-1) - n * tilted.logsumexp(-1)).sum(-1)

    def embed(self, draw: Tensor) -> Tensor:
        """z = exp(y)."""
        return draw.exp()


class PointCodes(Distribution):
    """All mass at one code of each example: what rounding to a codebook says of it.

    Args:
        code: ``(*batch, N)``.
        value: what the decoder reads, ``(*batch, V)``, with the gradient it is to have.
        inputs: what was rounded, stage by stage.
        commitment: how far that was from what it was rounded to, squared, ``(*batch,)``; None where that is no matter.
    """

    def __init__(
        self, code: Tensor, value: Tensor, inputs: Sequence[Tensor] = (), commitment: Tensor | None = None
    ) -> None:
        self.code, self.value, self.inputs, self.commitment = code, value, inputs, commitment
        self.batch_shape, self.event_shape = code.shape[:-1], code.shape[-1:]

    def log_prob(self, x: Tensor) -> Tensor:
        """0 at the code, -infinity elsewhere."""
        return torch.where((x == self.code).all(-1), 0.0, -torch.inf).to(self.code.dtype)

    def rsample(self, shape: Shape = ()) -> Tensor:
        """The code, ``shape`` times."""
        return self.code.expand(*shape, *self.code.shape)

    def rsample_and_code(self, shape: Shape = ()) -> tuple[Tensor, Tensor]:
        """The value and the code."""
        return self.value.expand(*shape, *self.value.shape), self.rsample(shape)

    def kl_factors(self, p: Distribution) -> Tensor | None:
        """-log p(code_i), where the codes are independent under p; None where they are not."""
        try:
            return -p.factors(self.code)
        except NotImplementedError:
            return None

    @property
    def mean(self) -> Tensor:
        """The code."""
        return self.code

    @property
    def stddev(self) -> Tensor:
        """Zero."""
        return torch.zeros_like(self.code)


class SequentialCodes(Distribution):
    """p(c) = prod_i softmax(f(c)_i)_{c_i}, where f(c)_i sees c_1 .. c_{i-1} alone.

    Args:
        network: f, from codes ``(*sample, *batch, N)`` to logits ``(*sample, *batch, N, C)``.
        size: N; a draw takes as many passes.
        batch_shape: of what the codes are conditioned on.
        like: a tensor of the dtype and on the device that codes are to have.
    """

    def __init__(self, network: Callable[[Tensor], Tensor], size: int, batch_shape: Shape, like: Tensor) -> None:
        self.network, self.like = network, like
        self.batch_shape, self.event_shape = torch.Size(batch_shape), torch.Size([size])

    def log_probs(self, x: Tensor) -> Tensor:
        """log p(c_i = j | c_1 .. c_{i-1}) for every j, ``(*sample, *batch, N, C)``."""
        logits = self.network(x)
        logits = logits if logits.dtype == torch.float64 else logits.float()
        return logits.clamp(-LARGEST, LARGEST).log_softmax(-1)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(c) in nats, in one pass."""
        return self.log_probs(x).gather(-1, x.long().unsqueeze(-1)).squeeze(-1).sum(-1)

    def rsample(self, shape: Shape = ()) -> Tensor:
        """Codes, one after another, without gradients."""
        with torch.no_grad():
            code = self.like.new_zeros((*shape, *self.batch_shape, *self.event_shape))
            for i in range(code.shape[-1]):
                code[..., i] = CategoricalElement(self.log_probs(code)[..., i, :]).sample()
            return code


class CausalCodes(SequentialCodes):
    """The same where the network goes from one code to the next and keeps a state: a draw costs one pass in all.

    Args:
        network: its states at all codes, ``states``; and ``start``, ``step`` and ``output`` of one.
        c: what the codes are conditioned on, ``(*batch, C)``.
        size: N.
    """

    def __init__(self, network: Any, c: Tensor, size: int) -> None:
        super().__init__(self._logits, size, c.shape[:-1], c)
        self.causal, self.c = network, c

    def _logits(self, x: Tensor) -> Tensor:
        """``(*sample, *batch, N, C)``; before the first code stands a 0."""
        batch = torch.broadcast_shapes(x.shape[:-1], self.batch_shape)
        before = torch.nn.functional.pad(x.long()[..., :-1], (1, 0)).expand(*batch, -1).reshape(-1, x.shape[-1])
        h = self.causal.states(before, self.c.expand(*batch, -1).reshape(len(before), -1))
        return self.causal.output(h.flatten(0, 1)).reshape(*batch, x.shape[-1], -1)

    def rsample(self, shape: Shape = ()) -> Tensor:
        """Codes, one after another, without gradients."""
        full = (*shape, *self.batch_shape)
        with torch.no_grad():
            c = self.c.expand(*full, -1).reshape(math.prod(full), -1)
            code, past = torch.zeros(len(c), dtype=torch.long, device=c.device), self.causal.start(c)
            codes = []
            for _ in range(self.event_shape[0]):
                h, past = self.causal.step(code, past)
                logits = self.causal.output(h).clamp(-LARGEST, LARGEST)
                code = CategoricalElement(logits).sample().long()
                codes.append(code)
            return torch.stack(codes, -1).reshape(*full, -1).to(self.like.dtype)
