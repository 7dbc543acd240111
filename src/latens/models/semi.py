"""Rows of which some have a class: the class is a choice like any other, drawn, enumerated or known."""

from __future__ import annotations

import torch
from torch import Tensor

from latens.distributions import Classes, Distribution
from latens.models.base import Choose, Model
from latens.models.conditional import ConditionalDistribution
from latens.models.vae import VariationalAutoencoder


class SemiSupervised(Model):
    r"""$p(y)\, p(z)\, p(x \mid z, y)$, with $q(y \mid x)\, q(z \mid x, y)$ beside it.

    The context is what is known of y: unit vectors ``(B, C)``, zeros where a row has no class. A draw goes through each
    class of a row without one, with mass q(y | x), and has all its mass at the class of a row with one; so that the
    negative evidence lower bound is sum_y q(y | x) (L(x, y) + log q(y | x)) of the former, and L(x, y) of the latter.

    Args:
        classifier: q(y | x), over unit vectors.
        given: q(z | x, y), p(x | z, y) and p(z), as the model of x given y.
        classes: C.

    Reference: Kingma, Rezende, Mohamed and Welling, *Semi-supervised learning with deep generative models*, 2014, M2.
    """

    choices = 2
    log_frequency: Tensor

    def __init__(
        self,
        classifier: ConditionalDistribution,
        given: VariationalAutoencoder,
        classes: int,
    ) -> None:
        super().__init__()
        self.classifier, self.posterior = classifier, given.posterior
        self.likelihood, self.prior = given.likelihood, given.prior
        self._given = (given,)  # whose parts are this model's own
        self.register_buffer("log_frequency", torch.zeros(classes))

    def forward(
        self, choose: Choose, x: Tensor | None = None, *, observed: Tensor | None = None, context: Tensor | None = None
    ) -> Distribution:
        """p(x | z, y), y chosen between p(y) and q(y | x), then z between p(z) and q(z | x, y)."""
        p_y = Classes(self.log_frequency)
        if x is None:
            y, q = choose(p_y if context is None else p_y.given(context), None), None
        else:
            y = choose(p_y, self.posterior_of_class(x, observed=observed, known=context))
            rows = x.expand(*y.shape[:-2], *x.shape)
            q = self.posterior(rows, observed=observed, context=y)
        (given,) = self._given
        return given.chosen(choose, self.prior(context=y), q, y)

    def posterior_of_class(self, x: Tensor, *, observed: Tensor | None = None, known: Tensor | None = None) -> Classes:
        """q(y | x), all its mass at y where that is known."""
        q = self.classifier(x, observed=observed)
        if not isinstance(q, Classes):
            raise TypeError(f"The classifier gives Classes, by the family OneOf(); got {type(q).__name__}.")
        return q if known is None else q.given(known)
