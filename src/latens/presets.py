"""A model of the literature is one line: a posterior, a likelihood, a prior and an objective, under the paper's name.

Each function names its paper in the first line of its docstring, takes what the paper varies, and passes on every other
setting of the estimator it returns. Nothing is a class of its own, so that any part can be exchanged for another:
``beta_vae(4.0, prior=NormalizingFlow(3, "coupling"))``. The page docs/models.md is made from these functions.

Example:
    >>> beta_vae(2.0, latents=8)
    VAE(latents=8, objective=Distortion() + 2.0 * Rate())
"""

from __future__ import annotations

from typing import Any

from latens.distributions import MixtureOf, Normal
from latens.models import Free, NormalizingFlow
from latens.neural import VAE, AutoEncoder, Flow
from latens.objectives import ELBO, Distortion, FreeBits, ImportanceWeighted, Rate
from latens.training import Cyclical, Linear

__all__ = [
    "annealed_vae",
    "autoencoder",
    "beta_vae",
    "cyclical_vae",
    "flow_prior_vae",
    "free_bits_vae",
    "iwae",
    "masked_autoregressive_flow",
    "mixture_prior_vae",
    "neural_spline_flow",
    "optimal_sigma_vae",
    "real_nvp",
    "sigma_vae",
    "vae",
]


# -- the objective ----------------------------------------------------------------------------------------------------


def vae(**settings: Any) -> VAE:
    """Kingma and Welling, *Auto-encoding variational Bayes*, 2014; Rezende, Mohamed and Wierstra, 2014."""
    return VAE(**{"objective": ELBO(), **settings})


def beta_vae(beta: float = 4.0, **settings: Any) -> VAE:
    """Higgins et al., *beta-VAE: learning basic visual concepts with a constrained variational framework*, 2017."""
    return VAE(**{"objective": Distortion() + beta * Rate(), **settings})


def annealed_vae(until: float = 0.3, **settings: Any) -> VAE:
    """Bowman et al., *Generating sentences from a continuous space*, 2016."""
    return VAE(**{"objective": Distortion() + Linear(0.0, 1.0, until) * Rate(), **settings})


def cyclical_vae(cycles: int = 4, **settings: Any) -> VAE:
    """Fu et al., *Cyclical annealing schedule: a simple approach to mitigating KL vanishing*, 2019."""
    return VAE(**{"objective": Distortion() + Cyclical(0.0, 1.0, cycles) * Rate(), **settings})


def free_bits_vae(nats: float = 0.25, **settings: Any) -> VAE:
    """Kingma et al., *Improved variational inference with inverse autoregressive flow*, 2016."""
    return VAE(**{"objective": Distortion() + FreeBits(nats), **settings})


def iwae(k: int = 5, **settings: Any) -> VAE:
    """Burda, Grosse and Salakhutdinov, *Importance weighted autoencoders*, 2016."""
    return VAE(**{"objective": ImportanceWeighted(k), **settings})


# -- the likelihood ---------------------------------------------------------------------------------------------------


def sigma_vae(**settings: Any) -> VAE:
    """Rybkin, Daniilidis and Levine, *Simple and effective VAE training with calibrated decoders*, 2021."""
    return VAE(**{"likelihood": Normal("shared"), **settings})


def optimal_sigma_vae(**settings: Any) -> VAE:
    """Rybkin, Daniilidis and Levine, 2021, with the scale that is best in closed form."""
    return VAE(**{"likelihood": Normal("optimal"), **settings})


# -- the prior --------------------------------------------------------------------------------------------------------


def mixture_prior_vae(components: int = 10, **settings: Any) -> VAE:
    """Dilokthanakul et al., *Deep unsupervised clustering with Gaussian mixture variational autoencoders*, 2016."""
    return VAE(**{"prior": Free(MixtureOf(Normal("element"), components, over="event")), **settings})


def flow_prior_vae(transforms: int = 3, **settings: Any) -> VAE:
    """Chen et al., *Variational lossy autoencoder*, 2017; Huang et al., *Learnable explicit density*, 2017."""
    return VAE(**{"prior": NormalizingFlow(transforms, "coupling"), **settings})


# -- no density over the code, or no code at all ----------------------------------------------------------------------


def autoencoder(**settings: Any) -> AutoEncoder:
    """Hinton and Salakhutdinov, *Reducing the dimensionality of data with neural networks*, 2006."""
    return AutoEncoder(**settings)


def masked_autoregressive_flow(transforms: int = 5, **settings: Any) -> Flow:
    """Papamakarios, Pavlakou and Murray, *Masked autoregressive flow for density estimation*, 2017."""
    return Flow(**{"transforms": transforms, "bins": 0, **settings})


def real_nvp(transforms: int = 6, **settings: Any) -> Flow:
    """Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017."""
    return Flow(**{"transforms": transforms, "kind": "coupling", "bins": 0, **settings})


def neural_spline_flow(transforms: int = 3, **settings: Any) -> Flow:
    """Durkan et al., *Neural spline flows*, 2019."""
    return Flow(**{"transforms": transforms, **settings})
