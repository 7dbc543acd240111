"""Random variables over tensors, without trainable state.

A :class:`Distribution` is p(x) over tensors of one shape: it scores (``log_prob``, in nats), draws, and, where its
elements are independent, scores them one by one (``factors``) and forgets those not observed (``restrict``). A
:class:`Family` is a value such as ``Bernoulli()`` or ``Normal("shared")`` that turns unconstrained numbers, a network's
output, into a distribution. Parameters of zero are a sensible distribution, and no output, however large, makes a NaN.

A family is a mass on a countable set (``measure = "counting"``) or a density over the reals (``"lebesgue"``). The two
are not comparable; :class:`DiscretizedLogistic` is what 8-bit data ask for: a density integrated over each cell.
"""

from latens.distributions.base import REAL, Distribution, Family, Space, divergence, kl_factors, split
from latens.distributions.bijections import (
    Affine,
    Autoregressive,
    Bijection,
    Composed,
    Coupling,
    Inverse,
    LowerUpper,
    Monotone,
    Permutation,
    Transformed,
)
from latens.distributions.binary import Bernoulli
from latens.distributions.categorical import Categorical
from latens.distributions.classes import Classes, OneOf
from latens.distributions.codes import CausalCodes, Codes, Concrete, Embedded, PointCodes, SequentialCodes, one_hot
from latens.distributions.counts import NegativeBinomial, Poisson, ZeroInflated
from latens.distributions.delta import Delta
from latens.distributions.discretized import DiscretizedLogistic
from latens.distributions.elementwise import Elementwise
from latens.distributions.location_scale import Laplace, Normal, StudentT, standard_normal
from latens.distributions.mixture import Mixture, MixtureOf, NormalMixture, log_normals, mixture
from latens.distributions.multivariate import FullNormal, MultivariateNormal
from latens.distributions.neighbours import AutoregressiveOf, Neighbourhood
from latens.distributions.poincare import BallNormal, PoincareNormal, standard_poincare
from latens.distributions.product import Columns, Product
from latens.distributions.residual import Planar, Radial, Sylvester
from latens.distributions.sequences import CausalSymbols, IndependentSymbols, StringDistribution, Strings, counted
from latens.distributions.sphere import SphereNormal, SphereUniform, VonMisesFisher
from latens.distributions.spline import Spline
from latens.distributions.totals import GivenTotal, Multinomial, MultinomialCounts
from latens.distributions.unit import Beta, ContinuousBernoulli

__all__ = [
    "REAL",
    "Affine",
    "Autoregressive",
    "AutoregressiveOf",
    "BallNormal",
    "Bernoulli",
    "Beta",
    "Bijection",
    "Categorical",
    "CausalCodes",
    "CausalSymbols",
    "Classes",
    "Codes",
    "Columns",
    "Composed",
    "Concrete",
    "ContinuousBernoulli",
    "Coupling",
    "Delta",
    "DiscretizedLogistic",
    "Distribution",
    "Elementwise",
    "Embedded",
    "Family",
    "FullNormal",
    "GivenTotal",
    "IndependentSymbols",
    "Inverse",
    "Laplace",
    "LowerUpper",
    "Mixture",
    "MixtureOf",
    "Monotone",
    "Multinomial",
    "MultinomialCounts",
    "MultivariateNormal",
    "NegativeBinomial",
    "Neighbourhood",
    "Normal",
    "NormalMixture",
    "OneOf",
    "Permutation",
    "Planar",
    "PoincareNormal",
    "PointCodes",
    "Poisson",
    "Product",
    "Radial",
    "SequentialCodes",
    "Space",
    "SphereNormal",
    "SphereUniform",
    "Spline",
    "StringDistribution",
    "Strings",
    "StudentT",
    "Sylvester",
    "Transformed",
    "VonMisesFisher",
    "ZeroInflated",
    "counted",
    "divergence",
    "kl_factors",
    "log_normals",
    "mixture",
    "one_hot",
    "split",
    "standard_normal",
    "standard_poincare",
]
