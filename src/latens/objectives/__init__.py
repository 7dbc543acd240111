"""Pure functions of a draw that add and scale: what training minimises, in nats per example.

``Distortion() + 4.0 * Rate()`` is a value: it prints as written, compares, and is read back from its text. A weight may
be a schedule, a function of training progress.
"""

from latens.objectives.base import Objective, Scaled, Sum
from latens.objectives.bounds import ELBO, ImportanceWeighted, Renyi
from latens.objectives.codes import Commitment
from latens.objectives.critics import AdversarialMatching, AdversarialTotalCorrelation, LearnedDistortion
from latens.objectives.decomposition import DimensionwiseKL, MutualInformation, TotalCorrelation
from latens.objectives.images import MultiscaleSSIM
from latens.objectives.matching import MMD, SlicedWasserstein
from latens.objectives.players import Players
from latens.objectives.regularisers import DIP, GradientPenalty, LatentL2
from latens.objectives.sleep import EUBO, Sleep
from latens.objectives.terms import Capacity, Distortion, FreeBits, Rate

__all__ = [
    "DIP",
    "ELBO",
    "EUBO",
    "MMD",
    "AdversarialMatching",
    "AdversarialTotalCorrelation",
    "Capacity",
    "Commitment",
    "DimensionwiseKL",
    "Distortion",
    "FreeBits",
    "GradientPenalty",
    "ImportanceWeighted",
    "LatentL2",
    "LearnedDistortion",
    "MultiscaleSSIM",
    "MutualInformation",
    "Objective",
    "Players",
    "Rate",
    "Renyi",
    "Scaled",
    "Sleep",
    "SlicedWasserstein",
    "Sum",
    "TotalCorrelation",
]
