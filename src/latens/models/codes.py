"""Posteriors over codes: the encoder gives N integers, which a prior scores and a decoder reads as vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor, nn

from latens.distributions import (
    Categorical,
    Codes,
    Concrete,
    Delta,
    Distribution,
    Elementwise,
    Embedded,
    one_hot,
)
from latens.distributions.base import innermost
from latens.distributions.categorical import CategoricalElement
from latens.models.base import Choose
from latens.models.conditional import Conditional, ConditionalDistribution, FreeDistribution
from latens.models.places import Places
from latens.models.vae import VariationalAutoencoder
from latens.nn import Site, Spec
from latens.training import Schedule, at
from latens.utils.errors import InputError
from latens.utils.validation import check_positive

Shape = tuple[int, ...]


class Quantiser(nn.Module, ABC):
    """From the encoder's numbers to a distribution over codes, and from codes to what the decoder reads."""

    @abstractmethod
    def forward(self, z: Tensor) -> Distribution:
        """q(code) at the encoder's ``(*batch, N', inputs)``."""

    @abstractmethod
    def embed(self, code: Tensor) -> Tensor:
        """The values of codes: ``(*, N) -> (*, V)``."""

    def over(self, p: Distribution) -> Distribution:
        """A prior over codes as the prior of what ``forward`` returns."""
        return Embedded(p, self.embed)

    def absorb(self, q: Distribution) -> None:
        """Follows the draws of a training step, where it has anything that follows them."""


class Coder(Spec, ABC):
    """A posterior over codes, whose network is the encoder: ``VAE(latents=8, posterior=GumbelSoftmax(10))``.

    Attributes:
        classes: C; every code is one of 0 .. C - 1.
        inputs: how many numbers a latent the encoder gives.
        width: how many numbers a latent the decoder reads.
        stages: how many codes a latent has.
        certain: whether each example has one code, so that draws do not differ.
    """

    classes: int
    stages: int = 1
    certain: bool = True

    @property
    @abstractmethod
    def inputs(self) -> int:
        """How many numbers a latent the encoder gives."""

    @property
    @abstractmethod
    def width(self) -> int:
        """How many numbers a latent the decoder reads."""

    @abstractmethod
    def build(self, site: Site) -> Quantiser:
        """The quantiser; ``site.events`` is what the encoder says of a first batch, ``(B, N', inputs)``."""

    def check(self, prior: ConditionalDistribution) -> None:
        """Refuses a prior that is not of these codes."""
        found = classes_of(prior)
        if found is None:
            raise InputError(
                f"{self} makes codes 0 .. {self.classes - 1}, which need a prior over codes: UniformCodes(), "
                f"AutoregressiveCodes() or Free(Categorical({self.classes})); got {type(prior).__name__}."
            )
        if found != self.classes:
            raise InputError(f"{self} makes codes of {self.classes} classes; got a prior over {found}.")


def classes_of(prior: nn.Module) -> int | None:
    """Over how many classes a prior over codes is; None for any other prior."""
    if isinstance(prior, FreeDistribution):
        family = innermost(prior.family)
        return family.n if isinstance(family, Categorical) else None
    found = getattr(prior, "classes", None)
    return found if isinstance(found, int) else None


class CodePosterior(ConditionalDistribution):
    """q(code | x) = quantiser(encoder(x))."""

    def __init__(self, encoder: ConditionalDistribution, quantiser: Quantiser, coder: Coder, places: Places) -> None:
        super().__init__()
        self.encoder, self.quantiser = encoder, quantiser
        self.classes, self.places = coder.classes, places

    def encoded(self, c: Tensor | None, observed: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """What the encoder says, ``(*batch, N', inputs)``."""
        return self.places.vectors(self.encoder(c, observed=observed, context=context).mean)

    def forward(
        self, c: Tensor | None = None, *, observed: Tensor | None = None, context: Tensor | None = None
    ) -> Distribution:
        """q(code | c), with the leading axes of ``c`` as batch shape."""
        return self.quantiser(self.encoded(c, observed, context))


def code_posterior(coder: Coder, network: Spec | nn.Module, places: Places, site: Site) -> CodePosterior:
    """The posterior over ``coder.stages`` codes at each of these places, of what ``site`` is given."""
    encoder = Conditional(Delta(), network).build(replace(site, event_shape=places.shape(coder.inputs)))
    posterior = CodePosterior(encoder, nn.Identity(), coder, places)  # type: ignore[arg-type]
    said = None
    if site.batch is not None:
        encoder.eval()
        with torch.no_grad():
            unknown = None if site.beside is None else torch.zeros(len(site.batch), *site.beside)
            said = posterior.encoded(site.batch, context=unknown if site.given is None else site.given)
        encoder.train()
    n = places.number
    posterior.quantiser = coder.build(Site((n * coder.width,), (n, coder.inputs), events=said))
    return posterior


class CodeAutoencoder(VariationalAutoencoder):
    """p(x) = sum over codes of p(code) p(x | code): a variational autoencoder whose choice is of integers."""

    posterior: CodePosterior

    def chosen(self, choose: Choose, p: Distribution, q: Distribution | None, context: Tensor | None) -> Distribution:
        """p(x | code), the code chosen between p and q, and read as its value."""
        value = choose(self.posterior.quantiser.over(p), q)
        return self.likelihood(self.posterior.places.laid(value), context=context)

    def absorb(self, posteriors: Sequence[Distribution]) -> None:
        """The codebook follows the codes of a training step."""
        self.posterior.quantiser.absorb(posteriors[0])


# -- one-hot codes ------------------------------------------------------------------------------------------------


class OneHotQuantiser(Quantiser):
    """Logits to codes, and codes to one-hot vectors: the module of :class:`GumbelSoftmax`."""

    def __init__(self, classes: int, temperature: float | Schedule, hard: bool) -> None:
        super().__init__()
        self.classes, self.temperature, self.hard = classes, temperature, hard

    @property
    def relaxed(self) -> bool:
        """Whether codes are points of the simplex at the moment."""
        return self.training and not self.hard

    def forward(self, z: Tensor) -> Distribution:
        """q(code) with these logits, ``(*batch, N, C)``."""
        z = z if z.dtype == torch.float64 else z.float()
        return Concrete(z, self.temperature) if self.relaxed else Codes(z, self.temperature)

    def over(self, p: Distribution) -> Distribution:
        """p, relaxed like the posterior."""
        if not self.relaxed:
            return super().over(p)
        element = p.element if isinstance(p, Elementwise) else None
        if not isinstance(element, CategoricalElement):
            raise InputError("Relaxed codes have a density under independent categoricals alone.")
        return Concrete(element.log_probs, self.temperature)

    def embed(self, code: Tensor) -> Tensor:
        """One-hot vectors."""
        return one_hot(code, self.classes)


@dataclass(frozen=True, repr=False)
class GumbelSoftmax(Coder):
    r"""q(c | x) = prod_i Categorical(c_i; softmax(encoder(x)_i)): each latent is one of C classes.

    Draws are argmax(log pi + g) with Gumbel noise g. Their gradient is that of softmax((log pi + g) / t), which is
    biased, less at low temperatures t, where it varies more. KL(q || p) is a sum over the classes, exact, as is its
    gradient. With ``hard=False`` training sees the softmax itself, with its density under the relaxed posterior and
    prior: an exact bound of another, relaxed model, which serves importance weights too. Scores, samples and held-out
    figures are those of the discrete model in any case. Codes are given up easily: let the rate begin light.

    Args:
        classes: C.
        temperature: t, a number or a schedule of training progress, such as ``Linear(1.0, 0.3)``, which is positive.
        hard: whether the decoder is trained on one-hot vectors.

    Reference: Jang, Gu and Poole, *Categorical reparameterization with Gumbel-softmax*, 2017; Maddison, Mnih and Teh,
    *The concrete distribution*, 2017.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> from latens import VAE
        >>> from latens.objectives import Distortion, Rate
        >>> from latens.training import Linear
        >>> X = load_digits().images
        >>> warm = Distortion() + Linear(0.0, 1.0) * Rate()  # keeps the codes in use at first
        >>> vae = VAE(latents=6, posterior=GumbelSoftmax(4), objective=warm, epochs=2, random_state=0).fit(X)
        >>> codes = vae.transform(X)  # the most probable class of each latent
        >>> codes.shape, sorted(set(codes.ravel().tolist())), vae.inverse_transform(codes[:2]).shape
        ((1797, 6), [0.0, 1.0, 2.0, 3.0], (2, 8, 8))
    """

    classes: int
    temperature: float | Schedule = 0.5
    hard: bool = True
    certain = False

    def __post_init__(self) -> None:
        check_classes(self)
        for moment in range(101):
            check_positive("temperature", at(self.temperature, moment / 100))

    @property
    def inputs(self) -> int:
        """C logits."""
        return self.classes

    @property
    def width(self) -> int:
        """C, a one-hot vector."""
        return self.classes

    def build(self, site: Site) -> OneHotQuantiser:
        """Nothing to learn."""
        return OneHotQuantiser(self.classes, self.temperature, self.hard)

    def check(self, prior: ConditionalDistribution) -> None:
        """Refuses a prior without closed form."""
        super().check(prior)
        independent = isinstance(prior, UniformDistribution) or isinstance(getattr(prior, "family", None), Categorical)
        if not independent:
            raise InputError(
                f"{self} needs a prior whose divergence from it is known: UniformCodes() or "
                f"Free(Categorical({self.classes})); got {type(prior).__name__}. A codebook takes any prior over codes."
            )


def check_classes(coder: Coder) -> None:
    """At least two classes."""
    check_positive("classes", coder.classes, integer=True)
    if coder.classes < 2:
        raise InputError(f"{type(coder).__name__} expects at least 2 classes; got {coder.classes}.")


class UniformDistribution(ConditionalDistribution):
    """C^-N for every code: the module of :class:`UniformCodes`."""

    logits: Tensor

    def __init__(self, size: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.register_buffer("logits", torch.zeros(size, classes), persistent=False)

    def forward(
        self, c: Tensor | None = None, *, observed: Tensor | None = None, context: Tensor | None = None
    ) -> Elementwise:
        """All codes alike, batch shape ()."""
        return Elementwise(CategoricalElement(self.logits), 1)


@dataclass(frozen=True, repr=False)
class UniformCodes(Spec):
    """p(code) = C^-N: all codes alike, the prior of codes unless another is given.

    Example:
        >>> site = Site((3,), modules={"posterior": GumbelSoftmax(4).build(Site(()))})
        >>> UniformCodes().build(site)().log_prob(torch.tensor([0.0, 3.0, 1.0])).exp().item()
        0.015625...
    """

    def build(self, site: Site) -> UniformDistribution:
        """No parameters."""
        return UniformDistribution(prod(site.event_shape), posterior_classes(self, site))


def posterior_classes(prior: Spec, site: Site) -> int:
    """C of the posterior that stands already."""
    found = getattr(site.modules.get("posterior"), "classes", None)
    if not isinstance(found, int):
        raise InputError(
            f"{prior} is a prior over codes and needs a posterior that makes them, such as GumbelSoftmax(10); with "
            "continuous latents use StandardNormal()."
        )
    return found
