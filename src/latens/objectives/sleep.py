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
class Sleep(Objective):
    """E_{x ~ p(x)}[objective of x], nats: of examples that the model makes up itself, ``()``.

    The gradient reaches the posterior alone. A posterior comes to know the training rows by heart and is worse for
    others: the bound is loose, and the likelihood follows. What the model makes up never comes twice. Where the
    objective is the ELBO, the same posterior minimises E_{x ~ p(x)}[KL(q(z | x) || p(z | x))].

    A term of training alone: of held-out rows it is zero.

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
