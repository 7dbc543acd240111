"""The plain autoencoder: a code, and a density of codes fitted afterwards."""

from __future__ import annotations

from typing import Any, NoReturn

from torch import Tensor, nn

from latens.distributions import Delta, Distribution, Family
from latens.models import Model, StandardNormal
from latens.neural.latent import LatentDensity, NoDensity
from latens.neural.vae import build
from latens.nn import Site, Spec
from latens.objectives import Distortion, Objective
from latens.training import Schedule
from latens.utils.errors import InputError

Network = Spec | nn.Module | None


class AutoEncoder(LatentDensity):
    """min E[-log p(x | z = f(x))]: every example has one code, a point.

    An autoencoder compresses, and what it cannot reconstruct is unusual. Its latent space has gaps: what is decoded
    from a gap is not real. It has no density until ``fit_prior`` fits one to its codes; then it samples.

    Args:
        latents: the size of the code.
        likelihood: the family of p(x | z): the distortion is its negative log-likelihood.
        objective: what is minimised: the distortion, and what keeps the codes or the decoder in shape, such as
            ``Distortion() + 0.01 * LatentL2() + 0.01 * GradientPenalty()``. Terms that ask for a density of codes, such
            as ``Rate``, do not apply.
        encoder, decoder: a network specification, or an ``nn.Module`` of your own, which is copied.
        condition, epochs, batch_size, learning_rate, weight_decay, clip, ema, patience, validation_fraction, precision,
            device, random_state, verbose: as for :class:`latens.VAE`.

    References:
        Hinton and Salakhutdinov, *Reducing the dimensionality of data with neural networks*, 2006; Ghosh et al., *From
        variational to deterministic autoencoders*, 2020, for the density fitted afterwards.

    Example:
        >>> from latens import Histogram
        >>> from sklearn.datasets import load_digits
        >>> X = load_digits().images
        >>> model = AutoEncoder(latents=2, epochs=2, random_state=0).fit(X)
        >>> model.fit_prior(Histogram(), X).sample(3).shape
        (3, 8, 8)
    """

    def __init__(
        self,
        *,
        latents: int | None = None,
        likelihood: Family | None = None,
        objective: Objective = Distortion(),
        encoder: Network = None,
        decoder: Network = None,
        condition: str | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | Schedule | None = None,
        weight_decay: float = 0.0,
        clip: float | None = 100.0,
        ema: float = 0.999,
        patience: int | None = None,
        validation_fraction: float = 0.1,
        precision: str = "auto",
        device: str | None = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.latents = latents
        self.likelihood = likelihood
        self.objective = objective
        self.encoder = encoder
        self.decoder = decoder
        self.condition = condition
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.clip = clip
        self.ema = ema
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _objective(self) -> Objective:
        return self.objective or Distortion()

    def _build(self, site: Site) -> Model:
        return build(site, self.settings_, Delta(), StandardNormal())

    @property
    def score_samples(self) -> NoReturn:
        """Not there: a code is a point, which has no density.

        Raises:
            NoDensity: always; ``reconstruction_error`` or a VAE is what you want.
        """
        raise NoDensity(
            "An autoencoder has no density p(x): its codes are points. Use reconstruction_error(X) to find outliers, "
            "or a VAE to score."
        )

    def score(self, X: Any, y: Any = None) -> float:
        """-mean reconstruction error, so that higher is better; not a log-likelihood."""
        return -float(self.reconstruction_error(X, y).mean())

    def _generate(self, n: int, context: Tensor | None) -> Distribution:
        if not hasattr(self, "prior_"):
            raise InputError(
                "An autoencoder samples once a density is fitted to its codes: call fit_prior(GaussianMixture(10), X) "
                "first (from Python), or train a VAE."
            )
        return super()._generate(n, context)
