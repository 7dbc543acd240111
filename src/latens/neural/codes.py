"""What cannot be combined with a posterior over codes, said before training."""

from __future__ import annotations

from torch import nn

from latens.distributions import Family
from latens.models import Coder, GumbelSoftmax, unwrapped
from latens.models.codes import classes_of
from latens.nn import Spec
from latens.utils.errors import InputError


def check_codes(posterior: Family | Spec, prior: nn.Module) -> None:
    """Refuses codes inside a wrapper, codes under a prior over real numbers, and the reverse."""
    base, wrappers = unwrapped(posterior)
    if isinstance(base, Coder):
        if wrappers:
            name = type(wrappers[-1]).__name__
            raise InputError(f"{name} transforms real numbers; {base} makes codes. Use it without {name}.")
        base.check(prior)  # type: ignore[arg-type]
    elif classes_of(prior) is not None:
        raise InputError(
            f"{posterior} makes real numbers; got a prior over codes. Use StandardNormal() or Free(Normal('element')), "
            "or a posterior over codes such as GumbelSoftmax(10)."
        )


def check_draws(posterior: Family | Spec, samples: int) -> None:
    """Refuses importance weights whose gradient one-hot codes do not have."""
    if isinstance(posterior, GumbelSoftmax) and posterior.hard and samples > 1:
        raise InputError(
            f"Importance weights need draws with a density and its gradient; {posterior} has one-hot draws. Use "
            f"hard=False, or ELBO()."
        )


def check_places(posterior: Family | Spec | None, latents: int | tuple[int, ...] | None) -> None:
    """Refuses a map of what is no code."""
    if isinstance(latents, (tuple, list)) and not isinstance(posterior, Coder):
        raise InputError(
            f"latents={latents} is a map of codes: use a posterior that makes them, such as VectorQuantised(512), or, "
            "for a map of real numbers, hierarchy=ConvLadder((4,), (64,)); otherwise latents is one whole number."
        )
