"""The variational autoencoder: one choice."""

from __future__ import annotations

from torch import Tensor

from latens.distributions import Distribution
from latens.models.base import Choose, Model
from latens.models.conditional import ConditionalDistribution, NetworkDistribution
from latens.models.priors import ExemplarDistribution


class VariationalAutoencoder(Model):
    """p(x, z) = p(z) p(x | z), with q(z | x) beside it.

    Args:
        posterior: q(z | x), a module that returns a distribution over z.
        likelihood: p(x | z).
        prior: p(z).

    Reference: Kingma and Welling, *Auto-encoding variational Bayes*, 2014; Rezende, Mohamed and Wierstra, 2014.
    """

    choices = 1

    def __init__(
        self,
        posterior: ConditionalDistribution,
        likelihood: ConditionalDistribution,
        prior: ConditionalDistribution,
    ) -> None:
        super().__init__()
        self.posterior, self.likelihood, self.prior = posterior, likelihood, prior

    def forward(
        self, choose: Choose, x: Tensor | None = None, *, observed: Tensor | None = None, context: Tensor | None = None
    ) -> Distribution:
        """p(x | z), z chosen between p(z) and q(z | x)."""
        q = None if x is None else self.posterior(x, observed=observed, context=context)
        return self.chosen(choose, self._prior(x, context), q, context)

    def chosen(self, choose: Choose, p: Distribution, q: Distribution | None, context: Tensor | None) -> Distribution:
        """p(x | z), z chosen between this p and this q."""
        return self.likelihood(choose(p, q), context=context)

    def _prior(self, x: Tensor | None, context: Tensor | None) -> Distribution:
        """p(z); while training on its exemplars, for each row without itself."""
        if self.training and x is not None and isinstance(self.prior, ExemplarDistribution):
            return self.prior.without(x)
        return self.prior(context=context)

    def calibrate(self, likelihood: Distribution, x: Tensor, weight: float) -> None:
        """Follows the analytic optimal scale of p(x | z), where it has one."""
        if isinstance(self.likelihood, NetworkDistribution) and self.likelihood.family.calibrated:
            self.likelihood.calibrate(likelihood, x, weight)
