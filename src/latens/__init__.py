"""latens (Latin: hidden) learns the probability density of your data, and puts it to work.

A density is anything you can ``fit``, ``score_samples`` and ``sample``; a VAE is the density composed of a posterior
q(z|x), a likelihood p(x|z), a prior p(z) and an objective. The names below load when they are first asked for, so
``import latens`` alone is light.

Example:
    >>> import latens
    >>> latens.Histogram(bins=4)
    Histogram(bins=4)
"""

from __future__ import annotations

from importlib import import_module
from os import PathLike
from typing import Any

_ROOM_OF = {
    "AutoEncoder": "neural",
    "BayesClassifier": "density",
    "ConditionalDensity": "density",
    "Flow": "neural",
    "GaussianMixture": "density",
    "Histogram": "density",
    "KernelDensity": "density",
    "LanguageModel": "neural",
    "LogisticRegression": "density",
    "Mixture": "density",
    "Parametric": "density",
    "Regression": "density",
    "SemiSupervisedVAE": "neural",
    "VAE": "neural",
    "compare": "density",
    "two_sample_test": "density",
}

__all__ = [
    "VAE",
    "AutoEncoder",
    "BayesClassifier",
    "ConditionalDensity",
    "Flow",
    "GaussianMixture",
    "Histogram",
    "KernelDensity",
    "LanguageModel",
    "LogisticRegression",
    "Mixture",
    "Parametric",
    "Regression",
    "SemiSupervisedVAE",
    "__version__",
    "compare",
    "load",
    "two_sample_test",
]


def load(path: str | PathLike[str], **options: Any) -> Any:
    """The fitted estimator that ``save`` wrote to this file, or that a run folder holds; nothing in it is ever run.

    Args:
        path: a file, or a run folder.
        options: of a network: ``device``, and what was the user's own (``encoder``, ``tokenizer`` ...), supplied again.

    Raises:
        InputError: no such file, not a model, damaged, or written by a newer version.
    """
    storage = import_module("latens.density.storage")
    if not options and storage.holds_density(path):
        return storage.load(path)
    return import_module("latens.neural").load(path, **options)


def __getattr__(name: str) -> Any:
    if name in _ROOM_OF:
        value = getattr(import_module(f"latens.{_ROOM_OF[name]}"), name)
    elif name == "__version__":
        value = import_module("importlib.metadata").version("latens")
    elif name in _submodules():
        return import_module(f"latens.{name}")
    else:
        raise AttributeError(_unknown(name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *_submodules()])


def _submodules() -> list[str]:
    modules = import_module("pkgutil").iter_modules(__path__)
    return [module.name for module in modules if not module.name.startswith("_")]


def _unknown(name: str) -> str:
    close = import_module("difflib").get_close_matches(name, __dir__(), n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"module 'latens' has no attribute {name!r}.{hint}"
