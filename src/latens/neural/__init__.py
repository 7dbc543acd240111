"""The estimators with a network, and the one table of their defaults."""

from latens.neural.autoencoder import AutoEncoder
from latens.neural.base import NeuralDensity
from latens.neural.flow import Flow
from latens.neural.language import LanguageModel
from latens.neural.latent import LatentDensity, PosteriorCollapse
from latens.neural.saving import load
from latens.neural.semi import SemiSupervisedVAE
from latens.neural.vae import VAE

__all__ = [
    "VAE",
    "AutoEncoder",
    "Flow",
    "LanguageModel",
    "LatentDensity",
    "NeuralDensity",
    "PosteriorCollapse",
    "SemiSupervisedVAE",
    "load",
]
