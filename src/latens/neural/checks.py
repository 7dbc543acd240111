"""What the settings of an estimator may be, checked before anything is built from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from latens.distributions import Family
from latens.models import Hierarchy
from latens.models.flow import LAYERS
from latens.nn import MLP, SequenceNetwork, Spec
from latens.objectives import Objective, Players
from latens.training import Schedule, local_device
from latens.utils.errors import InputError
from latens.utils.validation import check_choice, check_positive

Check = Callable[[str, Any], None]

_NETWORK = "a network such as MLP((512, 512)), or an nn.Module"


def check_settings(settings: Mapping[str, Any], call: Callable[[str], str] = str) -> None:
    """Refuses the first setting of the wrong kind or out of its range.

    Args:
        settings: the parameters of an estimator by name.
        call: what a parameter is called where the user gave it.

    >>> check_settings({"latents": 0})
    Traceback (most recent call last):
    latens.utils.errors.InputError: latents must be a positive integer; got 0
    """
    for name, value in settings.items():
        if name in _CHECKS and not (value is None and name in _OPEN):
            _CHECKS[name](call(name), value)


def _a(kind: Any, expected: str) -> Check:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, kind) or isinstance(value, bool):
            shown = f"the class {value.__name__}, without brackets" if isinstance(value, type) else repr(value)
            raise InputError(f"{name} expects {expected}; got {shown}")

    return check


def _number(*, integer: bool = False, zero: bool = False) -> Check:
    return lambda name, value: check_positive(name, value, integer=integer, zero=zero)


def _latents(name: str, value: Any) -> None:
    if isinstance(value, (tuple, list)):
        for n in value or (0,):
            check_positive(f"the size of a map of {name}", n, integer=True)
    else:
        check_positive(name, value, integer=True)


def _rate(name: str, value: Any) -> None:
    _a((int, float, Schedule), "a number or a schedule such as Cosine(0.001)")(name, value)
    if not isinstance(value, Schedule):
        check_positive(name, value)


def _share(name: str, value: Any) -> None:
    check_positive(name, value, zero=True)
    if value >= 1:
        raise InputError(f"{name} expects a number from 0 up to, and below, 1; got {value!r}")


def _precision(name: str, value: Any) -> None:
    check_choice(name, value, ("auto", "float32", "bf16"))


def _condition(name: str, value: Any) -> None:
    if value != "y":
        raise InputError(f'{name} is "y" or left out; got {value!r}')


def device_of(name: str | None) -> torch.device:
    """The device of this name, the best there is if None.

    Raises:
        InputError: it cannot be used here.
    """
    if name is None:
        return local_device()
    try:
        probe = torch.zeros(1, device=name)
        probe.cpu()
        return probe.device
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device={name!r} cannot be used here: {str(error).splitlines()[0]}") from error


_OPEN = {"latents", "likelihood", "prior", "encoder", "decoder", "condition", "epochs", "batch_size"}
_OPEN |= {
    "hierarchy",
    "objective",
    "learning_rate",
    "clip",
    "patience",
    "device",
    "transforms",
    "network",
    "classifier",
}
_CHECKS: dict[str, Check] = {
    "latents": _latents,
    "posterior": _a((Family, Spec), "a family such as Normal('element')"),
    "likelihood": _a(Family, "a likelihood such as Bernoulli() or Normal('shared')"),
    "prior": _a(Spec, "a prior such as StandardNormal()"),
    "objective": _a((Objective, Players), "an objective such as ELBO() or Distortion() + 4.0 * Rate()"),
    "encoder": _a((Spec, nn.Module), _NETWORK),
    "decoder": _a((Spec, nn.Module), _NETWORK),
    "hierarchy": _a(Hierarchy, "a hierarchy of latents such as Ladder((32, 16, 8))"),
    "classifier": _a((Spec, nn.Module), _NETWORK),
    "alpha": _number(zero=True),
    "transforms": _number(integer=True),
    "kind": lambda name, value: check_choice(name, value, tuple(LAYERS)),
    "bins": _number(integer=True, zero=True),
    "network": _a((MLP, SequenceNetwork), "a perceptron such as MLP((128, 128)), or of text GRU()"),
    "condition": _condition,
    "epochs": _number(integer=True),
    "batch_size": _number(integer=True),
    "learning_rate": _rate,
    "weight_decay": _number(zero=True),
    "clip": _number(),
    "ema": _share,
    "patience": _number(integer=True, zero=True),
    "validation_fraction": _share,
    "precision": _precision,
    "device": _a((str, torch.device), 'the name of a device such as "cpu" or "cuda:0"'),
    "score_samples_k": _number(integer=True),
}
