r"""A model is one function that makes choices, and returns p(x | choices).

The whole variational autoencoder is ``likelihood(choose(prior(), posterior(x)))``. What ``choose(p, q)`` does is the
only thing that varies: :func:`draw` samples q and records, :func:`sample` samples p, :func:`clamp` takes given values.
A hierarchy is the same function with a loop, so that nothing else knows of hierarchies.
"""

from latens.models.base import Choose, Model
from latens.models.code_prior import AutoregressiveCodes
from latens.models.codebook import FiniteScalar, VectorQuantised
from latens.models.codes import CodeAutoencoder, Coder, GumbelSoftmax, UniformCodes, code_posterior
from latens.models.conditional import CausalDistribution, Conditional, ConditionalDistribution, Free, StandardNormal
from latens.models.draw import Draw, Latent, draw
from latens.models.fitted import FittedDistribution, Reprised
from latens.models.flow import Explicit, NormalizingFlow
from latens.models.geometry import Riemannian
from latens.models.hamiltonian import Hamiltonian
from latens.models.handlers import check_spaces, clamp, encode, locate, sample
from latens.models.hierarchical import ConvLadder, Hierarchical, Hierarchy, Ladder
from latens.models.places import Places
from latens.models.posteriors import (
    CouplingFlow,
    InverseAutoregressiveFlow,
    PlanarFlow,
    PosteriorFlow,
    RadialFlow,
    SylvesterFlow,
)
from latens.models.priors import ExemplarPrior, VampPrior
from latens.models.semi import SemiSupervised
from latens.models.spaces import StandardPoincare, UniformSphere
from latens.models.vae import VariationalAutoencoder
from latens.models.wrapped import Wrapped, unwrapped

__all__ = [
    "AutoregressiveCodes",
    "CausalDistribution",
    "Choose",
    "CodeAutoencoder",
    "Coder",
    "Conditional",
    "ConditionalDistribution",
    "ConvLadder",
    "CouplingFlow",
    "Draw",
    "ExemplarPrior",
    "Explicit",
    "FiniteScalar",
    "FittedDistribution",
    "Free",
    "GumbelSoftmax",
    "Hamiltonian",
    "Hierarchical",
    "Hierarchy",
    "InverseAutoregressiveFlow",
    "Ladder",
    "Latent",
    "Model",
    "NormalizingFlow",
    "Places",
    "PlanarFlow",
    "PosteriorFlow",
    "RadialFlow",
    "Reprised",
    "Riemannian",
    "SemiSupervised",
    "StandardNormal",
    "StandardPoincare",
    "SylvesterFlow",
    "UniformCodes",
    "UniformSphere",
    "VampPrior",
    "VariationalAutoencoder",
    "VectorQuantised",
    "Wrapped",
    "check_spaces",
    "clamp",
    "code_posterior",
    "draw",
    "encode",
    "locate",
    "sample",
    "unwrapped",
]
