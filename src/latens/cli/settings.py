"""From the flags of ``latens train`` to an estimator."""

from __future__ import annotations

from typing import Any

from latens import presets
from latens.data import Windows
from latens.data.sound.views import AudioView
from latens.density import ConditionalEstimator, DensityEstimator
from latens.neural import VAE, NeuralDensity
from latens.neural.checks import check_settings
from latens.neural.vocabulary import vocabulary
from latens.utils import InputError
from latens.utils.text import nearest, parse

_WRITTEN = ("objective", "likelihood", "encoder", "decoder", "learning_rate")
"""Parameters that are given as the text of a value."""


def estimator(model: str | None, flags: dict[str, Any]) -> DensityEstimator:
    """The estimator that ``--model`` writes, with the parameters that single flags give.

    Args:
        model: the text of an estimator; a VAE without settings where None.
        flags: parameters by name; those that are None are left as they are, text is read.

    Raises:
        InputError: an unknown name, or a value of another kind than its place takes.

    >>> estimator("AutoEncoder(latents=2)", {"latents": 4, "encoder": "MLP((8,))", "epochs": None})
    AutoEncoder(latents=4, encoder=MLP((8,)), random_state=0)
    >>> estimator("beta_vae(2.0)", {})
    VAE(objective=Distortion() + 2.0 * Rate(), random_state=0)
    >>> estimator("Histogram(bins='scott')", {"epochs": None})
    Histogram(bins='scott')
    """
    found = VAE() if model is None else _read(model)
    if isinstance(found, ConditionalEstimator):
        raise InputError(f"{type(found).__name__} predicts y from x, which is done from Python: {found!r}.fit(X, y)")
    if not isinstance(found, DensityEstimator):
        raise InputError(f"--model expects an estimator, such as VAE(latents=16) or KernelDensity(); got {found!r}")
    known = found.get_params(deep=False)
    for name, value in flags.items():
        if value is None or (name == "random_state" and name not in known):
            continue
        if name not in known:
            hint = nearest(name, known) or "; leave it out"
            raise InputError(f"{flag(name)}: {type(found).__name__} has no {name}{hint}")
        found.set_params(**{name: _value(name, value)})
    if isinstance(found, NeuralDensity):
        check_settings(found.get_params(deep=False), lambda name: flag(name) if name in flags else name)
    if "random_state" in known and found.random_state is None:
        found.set_params(random_state=0)
    return found


def reading(
    size: str | None = None,
    columns: str | None = None,
    kind: str | None = None,
    window: int | None = None,
    hop: int | None = None,
    view: str | None = None,
) -> dict[str, Any]:
    """How data are to be read: what `load` takes, of what was given.

    >>> reading(size="64", columns="height, weight")
    {'size': (64, 64), 'columns': ['height', 'weight']}
    >>> reading(window=256, hop=128), reading(view="LogMel(bands=64)")
    ({'view': Windows(256, 128)}, {'view': LogMel(bands=64)})
    """
    seen = None if view is None else _read(view)
    if seen is not None and not isinstance(seen, AudioView):
        raise InputError(f"--view expects LogMel() or Waveform(); got {view}")
    if window is None and hop is not None:
        raise InputError("--hop is the distance of windows; say how long they are with --window")
    if window is not None:
        if seen is not None:
            raise InputError("--window cuts recordings into pieces, --view has one row of each; give one of them")
        seen = Windows(window, hop)
    found = {"size": image_size(size), "columns": column_names(columns), "kind": kind, "view": seen}
    return {name: value for name, value in found.items() if value is not None}


def column_names(text: str | None) -> list[str] | None:
    """Names of columns from ``height,weight``.

    >>> column_names("height, weight")
    ['height', 'weight']
    """
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def image_size(text: str | None) -> tuple[int, int] | None:
    """Height and width from ``64x48``, or ``64`` for both.

    >>> image_size("64x48"), image_size("64")
    ((64, 48), (64, 64))
    """
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise InputError(f"--size expects HEIGHTxWIDTH in pixels, such as 64x64; got {text!r}")
    return int(parts[0]), int(parts[-1])


def _value(name: str, value: Any) -> Any:
    return _read(value) if name in _WRITTEN and isinstance(value, str) else value


def _read(written: str) -> Any:
    """A value, an estimator or a preset; a bare name is a call without arguments."""
    called = f"{written.strip()}()" if written.strip().isidentifier() else written
    return parse(called, {**vocabulary(), **{name: getattr(presets, name) for name in presets.__all__}})


def flag(name: str) -> str:
    """The flag of a parameter.

    >>> flag("batch_size"), flag("random_state")
    ('--batch-size', '--seed')
    """
    return "--" + {"random_state": "seed"}.get(name, name).replace("_", "-")
