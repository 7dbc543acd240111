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
from latens.density.classifier import BayesClassifier
from latens.density.comparison import compare
from latens.density.conditional import ConditionalDensity, ConditionalEstimator
from latens.density.family_mixture import Mixture
from latens.density.histogram import Histogram
from latens.density.kernel import KernelDensity
from latens.density.logistic import LogisticRegression
from latens.density.mixture import GaussianMixture
from latens.density.parametric import Parametric
from latens.density.regression import Regression
from latens.density.separation import Separation
from latens.density.two_sample import two_sample_test

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
