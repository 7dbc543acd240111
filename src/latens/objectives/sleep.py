"""What the posterior may learn while p(x, z) sleeps."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from latens.models import Draw
from latens.objectives.base import Objective
from latens.objectives.bounds import ELBO
from latens.objectives.critics import adversarial
from latens.utils.errors import InputError
from latens.utils.validation import check_positive


@dataclass(frozen=True, repr=False)
class EUBO(Objective):
    """log p(x, z) - log q(z | x) of the z that x was made from, nats: the evidence upper bound, which q minimises.

    Of an example that the model makes up, z is a draw of the exact posterior. On average this is
    E_{x ~ p(x)}[log p(x) + KL(p(z | x) || q(z | x))], where the ELBO has E[log p(x) - KL(q(z | x) || p(z | x))]: the
    evidence lies between the two. The posterior that minimises it covers all of p(z | x), where that of the ELBO keeps
    to a part of it: its importance weights are more even, so the likelihood that is estimated with it is closer to the
    truth, while its ELBO is looser.

    Written ``Sleep(EUBO())``, since only the model's own examples tell what they were made from. Alone it refits the
    posterior to a model that is trained, for scoring: ``VAE(encoder=..., decoder=..., objective=Sleep(EUBO()))``.

    Raises:
        InputError: examples that the model has not made up, or a posterior that has no density of its values.

    References:
        Hinton et al., *The wake-sleep algorithm for unsupervised neural networks*, 1995: the sleep phase; Blessing et
        al., *Beyond ELBOs: a large-scale evaluation of variational methods for sampling*, 2024, for the name.

    Example:
        >>> ELBO() + 0.5 * Sleep(EUBO())
        ELBO() + 0.5 * Sleep(EUBO())
    """

    def __call__(self, draw: Draw) -> Tensor:
        """``(B,)``."""
        if draw.origin is None or draw.again is None:
            raise InputError("EUBO expects examples that the model makes up itself; write Sleep(EUBO()).")
        for latent in draw.latents:
            if not latent.q.has_density or latent.quantised is not None:
                raise InputError(
                    f"EUBO expects a posterior with a density of its values, such as Normal('element'); "
                    f"{type(latent.q).__name__} has none."
                )
        return draw.again(draw.origin).log_weight.mean(0)


@dataclass(frozen=True, repr=False)
class Sleep(Objective):
    """E_{x ~ p(x)}[objective of x], nats: of examples that the model makes up itself, ``()``.

    The gradient reaches the posterior alone. A posterior comes to know the training rows by heart and is worse for
    others: the bound is loose, and the likelihood follows. What the model makes up never comes twice. Where the
    objective is the ELBO, the posterior minimises E_{x ~ p(x)}[KL(q(z | x) || p(z | x))]; where it is :class:`EUBO`,
    E_{x ~ p(x)}[KL(p(z | x) || q(z | x))].

    A term of training alone: of held-out rows it is zero. Leave it out where the prior is made of posteriors, as
    ``VampPrior`` and ``ExemplarPrior`` are: what the posterior learns asleep moves p(x, z) too.

    Args:
        objective: of the examples made up; any whose terms have no critic.
        share: how many are made up for each example of the batch.

    Raises:
        InputError: a critic, a share beyond (0, 1], or a model without a posterior that has weights of its own.

    References:
        Zhang, Hayes and Barber, *Generalization gap in amortized inference*, 2022 ("reverse half-asleep"); Hinton et
        al., *The wake-sleep algorithm for unsupervised neural networks*, 1995.

    Example:
        >>> ELBO() + 0.5 * Sleep()
        ELBO() + 0.5 * Sleep()
    """

    objective: Objective = field(default=ELBO())
    share: float = 0.5

    def __post_init__(self) -> None:
        if not isinstance(self.objective, Objective):
            raise InputError(f"Sleep expects an objective such as ELBO(); got {self.objective!r}.")
        if adversarial(self.objective):
            raise InputError(f"Sleep expects an objective whose terms have no critic; got {self.objective}.")
        check_positive("share", self.share)
        if self.share > 1.0:
            raise InputError(f"Sleep expects a share of at most 1 of the batch; got {self.share!r}.")

    def __call__(self, draw: Draw) -> Tensor:
        """``()``."""
        if draw.dream is None:
            return draw.x.new_zeros(())
        with draw.dream(math.ceil(self.share * len(draw.x)), self.objective.samples) as own:
            value = self.objective(own).mean()
        if torch.is_grad_enabled() and not value.requires_grad:
            raise InputError("Sleep expects a posterior with weights of its own, such as Normal('element').")
        return value
