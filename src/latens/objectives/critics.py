"""Terms that own a critic: a small network that learns beside the model to tell two kinds of things apart.

With T(u) the critic's output, the contest E_judged[softplus(-T)] + E_reference[softplus(T)] is least where T is the
logarithm of the ratio of both densities. The critic learns from copies that carry no gradient to the model, and within
the term it is frozen: neither loss moves what is the other's.

References: Goodfellow et al., *Generative adversarial nets*, 2014; Sugiyama, Suzuki and Kanamori, *Density-ratio
matching under the Bregman divergence*, 2012.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latens.models import Draw
from latens.nn import MLP, Site, Spec
from latens.nn.fixed import fixed
from latens.objectives.base import Objective
from latens.objectives.players import Players
from latens.objectives.regularisers import mean_of
from latens.utils.errors import InputError
from latens.utils.validation import check_positive

CRITIC = MLP((256, 256), "leaky_relu")


@dataclass(frozen=True, repr=False)
class Adversarial(Objective, ABC):
    """A term whose value a critic gives, which is built once, for the first draw, and learns by ``contest``.

    Args:
        critic: a network specification, or an ``nn.Module`` of your own, which is copied.
        speed: the critic's learning rate, in multiples of the model's.
        steps: of the critic for each step of the model.
    """

    critic: Spec | nn.Module = CRITIC
    speed: float = 1.0
    steps: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.critic, (Spec, nn.Module)):
            raise InputError(f"A critic is a network such as MLP((256, 256)), or an nn.Module; got {self.critic!r}.")
        check_positive("speed", self.speed)
        check_positive("steps", self.steps, integer=True)

    @property
    def identity(self) -> Adversarial:
        """Terms of equal identity share a critic."""
        return self

    @abstractmethod
    def judged(self, draw: Draw) -> Tensor:
        """What the critic is to recognise, with its gradient, ``(K, B, *)``."""

    @abstractmethod
    def reference(self, draw: Draw) -> Tensor:
        """What it is to tell that from, ``(K, B, *)``."""

    @abstractmethod
    def value(self, critic: nn.Module, draw: Draw) -> Tensor:
        """The term by a frozen critic, ``(K, B)``."""

    def __call__(self, draw: Draw) -> Tensor:
        """``(B,)``."""
        critic = draw.critics.get(self.identity)
        if critic is None:
            raise InputError(f"{self} expects the critic that training builds for it; this draw has none.")
        with frozen(critic):
            return draw.expect(self.value(critic, draw))

    def contest(self, critic: nn.Module, draw: Draw) -> Tensor:
        """What the critic minimises, ``()``: E_judged[softplus(-T)] + E_reference[softplus(T)]."""
        with torch.no_grad():
            judged, reference = self.judged(draw).detach(), self.reference(draw).detach()
        right = draw.expect(F.softplus(-logit(critic, judged))) + draw.expect(F.softplus(logit(critic, reference)))
        return right.mean()

    def build(self, draw: Draw) -> nn.Module:
        """A critic for what this draw judges."""
        judged = self.judged(draw).detach().flatten(0, 1)
        return _built(self.critic, judged, 1).to(judged)


@dataclass(frozen=True, repr=False)
class AdversarialTotalCorrelation(Adversarial):
    """E_q[T(z)] ~ KL(q(z) || prod_i q(z_i)), nats: the total correlation of the latents, by a critic's density ratio.

    The critic tells z from draws whose dimensions are permuted over the batch, each on its own. Added with a weight it
    asks for independent factors, whatever the rate: ``ELBO() + 6.0 * AdversarialTotalCorrelation()`` is FactorVAE.

    Args:
        critic, speed, steps: see :class:`Adversarial`.

    Reference: Kim and Mnih, *Disentangling by factorising*, 2018.

    Example:
        >>> from latens.objectives import ELBO
        >>> ELBO() + 6.0 * AdversarialTotalCorrelation(MLP((64,)))
        ELBO() + 6.0 * AdversarialTotalCorrelation(MLP((64,)))
    """

    def judged(self, draw: Draw) -> Tensor:
        """All latents of an example, ``(K, B, L)``."""
        return codes(draw)

    def reference(self, draw: Draw) -> Tensor:
        """The same numbers, each dimension in an order of its own."""
        z = codes(draw).flatten(0, 1)
        return z.gather(0, torch.rand_like(z).argsort(0)).view_as(codes(draw))

    def value(self, critic: nn.Module, draw: Draw) -> Tensor:
        """T(z)."""
        return logit(critic, codes(draw))


@dataclass(frozen=True, repr=False)
class AdversarialMatching(Adversarial):
    """E_q[-log D(z)], nats, D(z) what a critic gives for z being of the prior: pulls q(z) = E_x[q(z | x)] towards p(z).

    The rate pulls each q(z | x) towards the prior; this only all of them together, and needs no density of either:
    ``VAE(posterior=Delta(), objective=Distortion() + AdversarialMatching())`` is an adversarial autoencoder.

    Args:
        critic, speed, steps: see :class:`Adversarial`.

    Reference: Makhzani et al., *Adversarial autoencoders*, 2016.
    """

    def judged(self, draw: Draw) -> Tensor:
        """All latents of an example, ``(K, B, L)``."""
        return codes(draw)

    def reference(self, draw: Draw) -> Tensor:
        """As many draws of the prior."""
        shapes: dict[int, tuple[int, ...]] = {0: draw.latents[0].value.shape[:2], 1: (draw.samples,)}
        priors = [latent.p for latent in draw.latents]
        return _joined([p.sample(shapes.get(len(p.batch_shape), ())) for p in priors], codes(draw).shape)

    def value(self, critic: nn.Module, draw: Draw) -> Tensor:
        """-log D = softplus(T)."""
        return F.softplus(logit(critic, codes(draw)))


@dataclass(frozen=True, repr=False)
class LearnedDistortion(Adversarial):
    """E_q[|f(x) - f(x')|^2 / 2 + realism (-log D(x'))], x' = E[x | z]: a distance between features of a critic.

    The critic tells reconstructions from data; f are its last features, and D what it gives for x' being real. In place
    of a distortion it forgives what the critic does not notice. It is no density of x: a model that learned by it alone
    has no ``score_samples``. The VAE-GAN is ``Players(posterior=LearnedDistortion() + Rate(),
    rest=LearnedDistortion(realism=1.0))``, without the paper's further contest of draws from the prior.

    Args:
        critic, speed, steps: see :class:`Adversarial`; its network gives the features.
        features: their number.
        realism: how much it weighs that the critic takes x' for real; terms that differ in it alone share a critic.

    Reference: Larsen et al., *Autoencoding beyond pixels using a learned similarity metric*, 2016.
    """

    features: int = 64
    realism: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("features", self.features, integer=True)
        check_positive("realism", self.realism, zero=True)

    @property
    def identity(self) -> Adversarial:
        """Realism is no matter of the critic's."""
        return replace(self, realism=0.0)

    def judged(self, draw: Draw) -> Tensor:
        """x', ``(K, B, *event)``."""
        return mean_of(draw.likelihood)

    def reference(self, draw: Draw) -> Tensor:
        """x where it is observed, else x'."""
        x = draw.x if draw.observed is None else torch.where(draw.observed, draw.x, self.judged(draw))
        return x.expand(draw.samples, *draw.x.shape)

    def value(self, critic: nn.Module, draw: Draw) -> Tensor:
        """Distance, and realism."""
        if not isinstance(critic, Judge):
            raise InputError(f"{self} expects its own kind of critic; got {type(critic).__name__}.")
        made, real = (
            critic.features(self.judged(draw).flatten(0, 1)),
            critic.features(self.reference(draw).flatten(0, 1)),
        )
        apart = made.to(draw.x.dtype) - real.to(draw.x.dtype)
        distance = 0.5 * apart.square().flatten(1).sum(1).view(draw.samples, -1)
        if not self.realism:
            return distance
        return distance + self.realism * F.softplus(critic.judge(made).to(draw.x.dtype).view_as(distance))

    def build(self, draw: Draw) -> nn.Module:
        """A network of features, and a linear judge of them."""
        judged = self.judged(draw).detach().flatten(0, 1)
        return Judge(_built(self.critic, judged, self.features), self.features).to(judged)


class Judge(nn.Module):
    """T(u) = w f(u) + b: the critic of a learned distortion, ``(N, *) -> (N, 1)``."""

    def __init__(self, network: nn.Module, features: int) -> None:
        super().__init__()
        self.network, self.head = network, nn.Linear(features, 1)

    def features(self, u: Tensor) -> Tensor:
        """f(u), ``(N, F)``."""
        return F.leaky_relu(self.network(u), 0.2)

    def judge(self, features: Tensor) -> Tensor:
        """w f + b."""
        return self.head(features)

    def forward(self, u: Tensor) -> Tensor:
        """The judgement of u."""
        return self.judge(self.features(u))


def logit(critic: nn.Module, u: Tensor) -> Tensor:
    """T(u), ``(K, B, *) -> (K, B)``."""
    return critic(u.flatten(0, 1)).to(u.dtype).view(u.shape[:2])


def codes(draw: Draw) -> Tensor:
    """All latents of an example as one vector, ``(K, B, L)``.

    Raises:
        InputError: nothing is latent, or latents are integers.
    """
    if not draw.latents:
        raise InputError("This term looks at the latents, and the model has none.")
    values = [latent.real for latent in draw.latents]
    return _joined(values, (*values[0].shape[:2], -1))


def _joined(values: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
    flat = [value.reshape(*shape[:2], -1) for value in values]
    return torch.cat(flat, -1) if len(flat) > 1 else flat[0]


@contextmanager
def frozen(critic: nn.Module) -> Iterator[None]:
    """Within this context nothing moves the critic: no gradient reaches its weights, no pass its buffers."""
    training = critic.training
    critic.eval()
    try:
        with fixed(critic.parameters()):
            yield
    finally:
        critic.train(training)


def adversarial(value: object) -> list[Adversarial]:
    """The identities of all terms with a critic in an objective, or in several players', in order.

    >>> from latens.objectives import ELBO
    >>> adversarial(ELBO() + 6.0 * AdversarialTotalCorrelation())
    [AdversarialTotalCorrelation()]
    """
    own = [value.identity] if isinstance(value, Adversarial) else []
    inner = [getattr(value, item.name) for item in fields(value)] if isinstance(value, Objective | Players) else []
    return list(dict.fromkeys(own + [term for part in inner for term in adversarial(part)]))


def _built(network: Spec | nn.Module, judged: Tensor, numbers: int) -> nn.Module:
    """The network for such things, which gives so many numbers for each."""
    if isinstance(network, Spec):
        return network.build(Site((numbers,), tuple(judged.shape[1:]), judged.cpu()))
    network = copy.deepcopy(network)
    with torch.no_grad():
        out = network.to(judged)(judged[:2])
    if out.shape[0] != len(judged[:2]) or prod(out.shape[1:]) != numbers:
        raise InputError(
            f"{type(network).__name__} as a critic must give {numbers} numbers for each of (N, "
            f"{', '.join(map(str, judged.shape[1:]))}); it gives {tuple(out.shape[1:])}."
        )
    return network
