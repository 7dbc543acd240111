"""The estimators with a network, and the one table of their defaults."""

from latens.neural.autoencoder import AutoEncoder
from latens.neural.base import NeuralDensity, PosteriorCollapse
from latens.neural.saving import load
from latens.neural.vae import VAE

__all__ = ["VAE", "AutoEncoder", "NeuralDensity", "PosteriorCollapse", "load"]
