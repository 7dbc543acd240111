"""A fitted density as arrays and text, and back. Nothing in it is ever run.

What ``fit`` left in an estimator is taken apart by kind: numbers go into arrays, everything else is written as the text
of a tree whose branches say what they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from latens.density.base import DensityEstimator
from latens.utils.errors import InputError
from latens.utils.storage import load_notes, load_tensors, save_tensors
from latens.utils.text import parse, text
from latens.utils.value import Value

FILE = "model.safetensors"
CACHE = "_cache"
"""The one attribute that is not kept: what can be computed again from the others."""

Arrays = dict[str, np.ndarray]


def save(density: DensityEstimator, path: str | PathLike[str], notes: Mapping[str, str] | None = None) -> None:
    """Writes a fitted density to ``path``, or to ``path/model.safetensors`` where path is a folder.

    Raises:
        InputError: it holds something that is neither numbers nor text.
    """
    arrays: Arrays = {}
    tree = text(pack(density, "density", arrays))
    versions = json.dumps({name: version(name) for name in ("latens", "numpy")})
    save_tensors(file_of(path), arrays, {"density": tree, "versions": versions, **(notes or {})})


def holds_density(path: str | PathLike[str]) -> bool:
    """Whether this file or folder is one that ``save`` wrote, and no network.

    Raises:
        InputError: no such file, not a model, damaged, or written by a newer version.
    """
    return "density" in load_notes(file_of(path))


def load(path: str | PathLike[str]) -> Any:
    """The density that ``save`` wrote to this file or folder.

    Raises:
        InputError: no such file, not a density, damaged, or written by a newer version.
    """
    arrays, notes = load_tensors(file_of(path))
    if "density" not in notes:
        raise InputError(f"{path} holds no density")
    return restored(notes["density"], arrays, Path(path))


def file_of(path: str | PathLike[str]) -> Path:
    """The file itself, or the model in a folder."""
    return Path(path) / FILE if Path(path).is_dir() else Path(path)


def restored(tree: str, arrays: Arrays, path: Path) -> Any:
    """The density whose tree this is.

    Raises:
        InputError: an array or a name is missing.
    """
    try:
        return unpack(parse(tree, _vocabulary()), arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} does not hold a whole density: {' '.join(str(error).split())[:200]}") from error


def pack(value: Any, name: str, arrays: Arrays) -> tuple:
    """A branch (kind, content); numbers go to ``arrays``, under names that begin with ``name``.

    Example:
        >>> arrays = {}
        >>> pack([1.5, np.arange(2)], "x", arrays), arrays
        (('list', [('plain', 1.5), ('array', 'x.1')]), {'x.1': array([0, 1])})
    """
    if isinstance(value, BaseEstimator):
        return "estimator", *_pack_estimator(value, name, arrays)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        while name in arrays:
            name += "'"
        arrays[name] = value
        return "array", name
    if isinstance(value, np.ndarray) and value.dtype.kind in "OUS":
        return "objects", [pack(item, f"{name}.{i}", arrays) for i, item in enumerate(value.tolist())]
    if isinstance(value, np.dtype):
        return "dtype", value.name
    if isinstance(value, list | tuple):
        return type(value).__name__, [pack(item, f"{name}.{i}", arrays) for i, item in enumerate(value)]
    if isinstance(value, dict):
        places = [f"{name}.{k if isinstance(k, str) else i}" for i, k in enumerate(value)]
        pairs = zip(places, value.items(), strict=True)
        return "dict", [(pack(k, f"{place}.key", arrays), pack(v, place, arrays)) for place, (k, v) in pairs]
    if value is None or isinstance(value, bool | int | float | str | np.generic | Value):
        return "plain", value
    raise InputError(f"{name} is a {type(value).__name__}, which cannot be written to a file of numbers and text.")


def _pack_estimator(density: BaseEstimator, name: str, arrays: Arrays) -> tuple[str, tuple, tuple]:
    if type(density) is not _densities().get(type(density).__name__):
        raise InputError(
            f"{name} is a {type(density).__name__}; only densities without a network can be saved inside another one. "
            "Save it by itself."
        )
    params = density.get_params(deep=False)
    if isinstance(params.get("random_state"), np.random.RandomState):
        params["random_state"] = None
    learned = {key: value for key, value in vars(density).items() if key not in params and key != CACHE}
    parts = [pack(part, f"{name}.{key}", arrays) for key, part in (("set", params), ("fit", learned))]
    return type(density).__name__, parts[0], parts[1]


def unpack(branch: tuple, arrays: Arrays) -> Any:
    """What ``pack`` took apart.

    Raises:
        KeyError: an array or a kind that is not there.
    """
    kind, *content = branch
    return _UNPACK[kind](content[0] if len(content) == 1 else content, arrays)


def _unpack_estimator(content: Any, arrays: Arrays) -> Any:
    name, params, learned = content
    density = _densities()[name](**unpack(params, arrays))
    vars(density).update(unpack(learned, arrays))
    return density


def _objects(content: Any, arrays: Arrays) -> np.ndarray:
    out = np.empty(len(content), dtype=object)
    out[:] = [unpack(item, arrays) for item in content]
    return out


_UNPACK: dict[str, Callable[[Any, Arrays], Any]] = {
    "estimator": _unpack_estimator,
    "array": lambda content, arrays: arrays[content],
    "objects": _objects,
    "dtype": lambda content, arrays: np.dtype(content),
    "list": lambda content, arrays: [unpack(item, arrays) for item in content],
    "tuple": lambda content, arrays: tuple(unpack(item, arrays) for item in content),
    "dict": lambda content, arrays: {unpack(k, arrays): unpack(v, arrays) for k, v in content},
    "plain": lambda content, arrays: content,
}


@cache
def _densities() -> dict[str, type[BaseEstimator]]:
    from latens import density

    named = {name: getattr(density, name) for name in density.__all__}
    return {name: kind for name, kind in named.items() if isinstance(kind, type) and issubclass(kind, BaseEstimator)}


def _vocabulary() -> dict[str, Callable[..., Any]]:
    """The values that a density may hold: those of this room and of the data's."""
    ours = ("latens.density", "latens.data")
    return {kind.__name__: kind for kind in _below(Value) if kind.__module__.startswith(ours)}


def _below(kind: type[Value]) -> list[type[Value]]:
    return [item for sub in kind.__subclasses__() for item in (sub, *_below(sub))]
