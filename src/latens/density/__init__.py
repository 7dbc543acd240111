"""Densities that need no network, and the face that every density shares.

A density is anything you can ``fit``, ``score_samples`` and ``sample``. Write $p(x)$ for the density of one example $x$
with respect to a base measure: length, area, volume for real numbers (Lebesgue), one per value for discrete ones
(counting). Then for every estimator of this library

- ``score_samples(X)`` is $\\log p(x)$ in nats, one number per example (divide by $d \\log 2$ for bits per dimension);
- ``score(X)`` is their mean, an estimate of the negative cross entropy: on held-out rows it is highest for the true
  density $p^*$, and what it lacks to that maximum is $\\mathrm{KL}(p^* \\| p)$;
- ``sample(n)`` are independent draws from the same $p$: ``score_samples`` and ``sample`` never speak of two densities.

Because the face is one, densities compose: any of them may be fitted on the latents of an autoencoder and serve as its
prior. Nothing in this room imports torch.
"""

from latens.density.base import DensityEstimator
from latens.density.comparison.compare import compare
from latens.density.comparison.two_sample import two_sample_test
from latens.density.conditional.classifier import BayesClassifier
from latens.density.conditional.estimator import ConditionalDensity, ConditionalEstimator
from latens.density.histogram.estimator import Histogram
from latens.density.kernel.estimator import KernelDensity
from latens.density.mixture.gaussian import GaussianMixture
from latens.density.mixture.mixture import Mixture
from latens.density.parametric.estimator import Parametric
from latens.density.regression.linear import Regression
from latens.density.regression.logistic import LogisticRegression
from latens.density.regression.separation import Separation

__all__ = [
    "BayesClassifier",
    "ConditionalDensity",
    "ConditionalEstimator",
    "DensityEstimator",
    "GaussianMixture",
    "Histogram",
    "KernelDensity",
    "LogisticRegression",
    "Mixture",
    "Parametric",
    "Regression",
    "Separation",
    "compare",
    "two_sample_test",
]
