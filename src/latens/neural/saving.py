"""A fitted estimator as one file of numbers and text, and back. Nothing in it is ever run."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from latens.data import Own, Schema
from latens.density.storage import file_of, pack, restored
from latens.neural.base import NeuralDensity
from latens.neural.columns import restored as restored_units
from latens.neural.vocabulary import read
from latens.nn import Site
from latens.training import History
from latens.utils.errors import InputError
from latens.utils.storage import load_tensors, save_tensors
from latens.utils.text import text

_OWN = "own"
_FITTED = ("schema_", "settings_", "reasons_", "seed_", "condition_", "n_iter_", "learns_density_")
_PRIOR, _NETWORK = "prior", "prior_network"
"""Where a fitted prior stands, and where its text does if it is a network."""
_SKLEARN = ("n_features_in_", "feature_names_in_", "_frame")


def save(estimator: NeuralDensity, path: str | Path) -> None:
    """Writes a fitted estimator to ``path``, or to ``path/model.safetensors`` where path is a folder."""
    save_tensors(file_of(path), tensors(estimator), metadata(estimator))


def tensors(estimator: NeuralDensity) -> dict[str, np.ndarray]:
    """All numbers of a fitted estimator, by name."""
    parts: dict[str, nn.Module] = {"model": estimator.model_, "units": estimator.units_}
    named = {f"{part}.{name}": _numpy(t) for part, module in parts.items() for name, t in module.state_dict().items()}
    prior = getattr(estimator, "prior_", None)
    if isinstance(prior, NeuralDensity):
        named |= {f"{_PRIOR}.{name}": array for name, array in tensors(prior).items()}
    elif prior is not None:
        pack(prior, _PRIOR, named)
    return named


def metadata(estimator: NeuralDensity) -> dict[str, str]:
    """All text of a fitted estimator, by name: what it is, how it was made, what its data are."""
    own = foreign(estimator)
    fitted = {name: getattr(estimator, name) for name in _FITTED}
    fitted["settings_"] = {k: None if k in own else v for k, v in estimator.settings_.items()}
    fitted |= {name: _plain(getattr(estimator, name)) for name in _SKLEARN if hasattr(estimator, name)}
    out = {
        "estimator": portable(estimator),
        "fitted": text(fitted),
        "history": json.dumps(_jsonable(vars(estimator.history_))),
        "versions": json.dumps({name: version(name) for name in ("latens", "torch", "numpy")}),
        _OWN: json.dumps(own),
    }
    prior = getattr(estimator, "prior_", None)
    if isinstance(prior, NeuralDensity):
        out[_NETWORK] = json.dumps(_inner(prior))
    elif prior is not None:
        out[_PRIOR] = text(pack(prior, _PRIOR, {}))
    return out


def _inner(prior: NeuralDensity) -> dict[str, str]:
    """All text of a prior that is a network itself."""
    notes = metadata(prior)
    if json.loads(notes[_OWN]):
        raise InputError(f"a prior with a part of your own cannot be saved inside another model; got {prior}.")
    return notes


def portable(estimator: NeuralDensity) -> str:
    """The estimator as text: what is of the user's own is left out, a random state becomes the seed it gave."""
    own = dict.fromkeys(foreign(estimator))
    params = estimator.get_params(deep=False)
    return text(type(estimator)(**{**params, **own, "random_state": estimator.seed_, "device": None}))


def foreign(estimator: NeuralDensity) -> list[str]:
    """The parameters that no text of the library tells: modules of the user's own, and values of their own classes."""
    params = estimator.get_params(deep=False).items()
    return [name for name, value in params if name not in ("random_state", "device") and not _readable(value)]


def _readable(value: Any) -> bool:
    try:
        return not isinstance(value, nn.Module) and text(read(text(value))) == text(value)
    except InputError:
        return False


def load(path: str | Path, *, device: str | None = None, **own: Any) -> Any:
    """The estimator that ``save`` wrote to this file or folder.

    Args:
        path: a file, or a run folder.
        device: where to put it; the GPU if there is one.
        own: what was the user's own, supplied again: an encoder or decoder, whose weights come from the file, a
            tokenizer, or a prior, posterior, likelihood or objective of a class that the library does not know.

    Raises:
        InputError: no such file, not a model, damaged, or written by a newer version.
    """
    return _assembled(*load_tensors(file_of(path)), Path(path), device, own)


def _assembled(
    arrays: dict[str, np.ndarray],
    notes: dict[str, str],
    path: Path,
    device: str | None,
    own: dict[str, Any],
) -> Any:
    try:
        estimator = read(notes["estimator"])
        if not isinstance(estimator, NeuralDensity):
            raise TypeError(f"{notes['estimator'][:80]} is no estimator with a network")
        tokenizer = own.pop("tokenizer", None)
        _supply(estimator, json.loads(notes[_OWN]), own, path)
        estimator.device = device
        for name, value in read(notes["fitted"]).items():
            setattr(estimator, name, np.asarray(value, dtype=object) if name == _SKLEARN[1] else value)
        estimator.schema_ = _with_tokenizer(estimator.schema_, tokenizer, path)
        _rebuild(estimator, arrays, notes, path)
    except (KeyError, TypeError, RuntimeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} does not hold a whole model: {' '.join(str(error).split())[:200]}") from error
    return estimator


def _supply(estimator: NeuralDensity, names: list[str], own: dict[str, Any], path: Path) -> None:
    missing = sorted(set(names) - set(own))
    if missing:
        raise InputError(
            f"{path} was fitted with a part of your own as {' and '.join(missing)}; supply it again: "
            f"load(path, {missing[0]}=...)."
        )
    for name, value in own.items():
        setattr(estimator, name, value)


def _with_tokenizer(schema: Schema, tokenizer: Any, path: Path) -> Schema:
    """The schema with the user's own tokenizer, where it was fitted with one."""
    if not isinstance(schema.tokens, Own):
        return schema
    if tokenizer is None:
        raise InputError(f"{path} reads text through a tokenizer of your own; supply it again: tokenizer=...")
    return replace(schema, tokens=schema.tokens.with_tokenizer(tokenizer))


def _rebuild(estimator: NeuralDensity, arrays: dict[str, np.ndarray], notes: dict[str, str], path: Path) -> None:
    for name, value in estimator.settings_.items():
        if value is None:
            estimator.settings_[name] = getattr(estimator, name)
    estimator.history_ = History(**json.loads(notes["history"]))
    units = _below(arrays, "units")
    estimator.units_ = restored_units(estimator.schema_, estimator._family, units)
    shape = estimator.units_.event_shape
    size = None if estimator.condition_ is None else estimator.condition_.size
    site = Site(shape, None, torch.zeros(2, *shape), categories=estimator.units_.categories)
    if size is not None:
        site = replace(site, beside=(size,), given=torch.zeros(2, size))
    with torch.random.fork_rng():
        model = estimator._build(site)
    model.load_state_dict(_part(arrays, "model"))
    estimator.model_ = model.eval().to(estimator._device)
    estimator.units_.to(estimator._device)
    if _NETWORK in notes:
        estimator.prior_ = _assembled(_below(arrays, _PRIOR), json.loads(notes[_NETWORK]), path, estimator.device, {})
    elif _PRIOR in notes:
        estimator.prior_ = restored(notes[_PRIOR], arrays, path)


def _part(arrays: dict[str, np.ndarray], name: str) -> dict[str, Tensor]:
    return {key: torch.from_numpy(a) for key, a in _below(arrays, name).items()}


def _below(arrays: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    prefix = f"{name}."
    return {key[len(prefix) :]: a for key, a in arrays.items() if key.startswith(prefix)}


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    return _plain(value)


def _numpy(t: Tensor) -> np.ndarray:
    return t.detach().cpu().contiguous().numpy()
