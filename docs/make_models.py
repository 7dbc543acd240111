"""Makes docs/models.md from the presets: ``python docs/make_models.py``."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from latens import Flow, SemiSupervisedVAE, presets
from latens.utils.text import text

PAGE = Path(__file__).parent / "models.md"

HEAD = """# The map of models

> **A VAE is the density composed of a posterior q(z|x), a likelihood p(x|z), a prior p(z) and an objective.**

So a paper is a line. Each function of `latens.presets` returns an estimator; what it does not say is chosen from the
data, and every part can be exchanged for another of its kind:

```python
from sklearn.datasets import load_digits
from latens.models import NormalizingFlow
from latens.presets import beta_vae

X = load_digits().images
vae = beta_vae(2.0, prior=NormalizingFlow(3, "coupling"), epochs=3, random_state=0).fit(X)
```

A prior may also be fitted afterwards, from any density: `vae.fit_prior(GaussianMixture(10), X)`, or a second VAE, which
makes the two-stage VAE (Dai and Wipf, *Diagnosing and enhancing VAE models*, 2019). With `condition="y"` every VAE here
learns p(x | y) (Sohn, Lee and Yan, 2015), NaN is missing (Mattei and Frellsen, *MIWAE*, 2019, is `iwae` on such rows),
and `complete` fills it in.

Codes of images may stand on a map, which convolutions make and read: `vq_vae(latents=(7, 7))`, as in the paper, or
`categorical_vae(latents=(8, 8))`, the discrete VAE of DALL-E (Ramesh et al., 2021). A prior over codes,
`AutoregressiveCodes(Transformer())`, learns along with them and moves no encoder, as if it came afterwards.

At the shell a preset is written as a model is: `latens train digits --model "beta_vae(2.0)"`.

An empty cell is the default: the posterior `Normal('element')`, a likelihood that comes from the data, the prior
`StandardNormal()`, the objective `ELBO()`, whose rate warms up for images and text. This page is made from the
functions (`python docs/make_models.py`).

| preset | paper | posterior | likelihood | prior | objective |
| --- | --- | --- | --- | --- | --- |
"""

PARTS = ("posterior", "likelihood", "prior", "objective")


def names() -> list[str]:
    """The presets, in the order in which they are defined."""
    return sorted(presets.__all__, key=lambda name: inspect.getsourcelines(getattr(presets, name))[1])


def row(name: str) -> str:
    """A line of the table."""
    made = getattr(presets, name)()
    if isinstance(made, Flow):
        parts = ["no code", f"`{text(made)}`, exactly", "", ""]
    elif isinstance(made, SemiSupervisedVAE):
        parts = [
            "q(y given x) q(z given x, y)",
            "p(x given z, y)",
            "p(y) p(z)",
            f"`{text(made.objective)}`, and labels",
        ]
    else:
        parts = [_cell(made, type(made)(), part) for part in PARTS]
        if getattr(made, "hierarchy", None) is not None:
            parts[0] = parts[2] = f"`{text(made.hierarchy)}`"
    cells = [f"`{_call(name)}`", _paper(name), *parts]
    return "| " + " | ".join(cells) + " |"


def _call(name: str) -> str:
    given = [p for p in inspect.signature(getattr(presets, name)).parameters.values() if p.kind is not p.VAR_KEYWORD]
    return f"{name}({', '.join(f'{p.name}={text(p.default)}' for p in given)})"


def _paper(name: str) -> str:
    return " ".join((getattr(presets, name).__doc__ or "").strip().split("\n\n")[0].split()).removesuffix(".")


def _cell(made: Any, default: Any, part: str) -> str:
    known = made.get_params(deep=False)
    if part not in known:
        return "the code is a point" if part == "posterior" and "latents" in known else ""
    value = known[part]
    return "" if text(value) == text(getattr(default, part)) else f"`{text(value)}`"


def page() -> str:
    """The whole page."""
    lines = "\n".join(row(name) for name in names())
    return f"{HEAD}{lines}\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
