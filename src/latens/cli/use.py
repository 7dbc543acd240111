"""What a trained model is for: sample, reconstruct, complete, encode, decode, score."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from latens.cli import summary
from latens.cli.opened import as_rows, columns, label_of, log_likelihoods, open_latent, open_model, read_like, unframed
from latens.cli.report.pictures import drawable
from latens.cli.screen import Answer, working
from latens.data import Schema, load, write_array, write_strings
from latens.neural import LatentDensity
from latens.utils import InputError

PICTURES = (".png", ".jpg", ".webp", ".wav", "")
"""What is looked at or heard: of the mean, which has no noise."""
MOST_IN_A_GRID = 400


def sample(
    path: str,
    n: int,
    output: str | None,
    seed: int | None,
    mean: bool | None,
    label: str | None,
    given: str | None = None,
) -> Answer:
    """New examples."""
    estimator = open_model(path)
    out = output or _place("samples", estimator.schema_, n)
    y = label_of(estimator, label, n) if n > 0 else None
    seed = getattr(estimator, "seed_", 0) if seed is None else seed
    if not isinstance(estimator, LatentDensity):
        if mean is not None or given is not None:
            what = "--mean and --noise are" if given is None else "--given is"
            raise InputError(f"{what} for a model that decodes; {path} is a {type(estimator).__name__}")
        with working("drawing"):
            drawn = estimator.sample(n, seed) if y is None else estimator.sample(n, seed, y=y)  # type: ignore[call-arg]
        rows = as_rows(estimator, drawn)
        return _written(out, rows, estimator.schema_, "draws x ~ p(x)", {"mean": False, "seed": seed})
    if given is not None:
        known = _given(given)
        with working("drawing"):
            rows = as_rows(estimator, estimator.sample(n, seed, y=y, given=known))
        return _written(out, rows, estimator.schema_, f"draws x ~ p(x | {given})", {"mean": False, "seed": seed})
    means = (_is_picture(out) and estimator.schema_.tokens is None) if mean is None else mean
    with working("drawing"):
        rows = as_rows(estimator, estimator.sample(n, seed, y=y, mean=means))
    if estimator.schema_.tokens is not None:
        what = "draws of p(x)" if not means else "decoded draws of z, symbol after symbol the most probable"
    elif means:
        what = "decoder means E[x | z]" + ("" if mean else "; --noise shows true draws x ~ p(x | z)")
    else:
        what = "true draws x ~ p(x | z)"
    return _written(out, rows, estimator.schema_, what, {"mean": means, "seed": seed})


def _given(text: str) -> dict[str, Any]:
    """Columns and their values.

    >>> _given('sex=F,age=30,"city=Paris, Texas"')
    {'sex': 'F', 'age': 30.0, 'city': 'Paris, Texas'}
    """
    out: dict[str, Any] = {}
    for part in next(csv.reader([text]), []):
        name, equals, value = part.partition("=")
        if not equals:
            raise InputError(f"--given expects columns and values such as sex=F,age=30; got {part!r}")
        try:
            out[name.strip()] = float(value)
        except ValueError:
            out[name.strip()] = value.strip()
    return out


def reconstruct(path: str, data: str, output: str | None) -> Answer:
    """What passes through the latent space."""
    estimator = open_latent(path, "reconstruct")
    source = read_like(estimator, data)
    out = output or _place("reconstructions", estimator.schema_, len(source))
    with working("reconstructing"):
        rows = estimator.reconstruct(source)
    what = f"E[x | z] at the {summary.code(estimator)['point']}"
    return _written(out, rows, estimator.schema_, what, {}, source.names)


def complete(path: str, data: str, output: str | None, k: int | None) -> Answer:
    """Rows with what is missing filled in."""
    estimator = open_latent(path, "complete")
    if not hasattr(estimator, "complete"):
        raise InputError(f"latens complete needs a density, as of a VAE; {path} is an {type(estimator).__name__}")
    source = read_like(estimator, data)
    out = output or _place("completed", estimator.schema_, len(source))
    with working("completing"):
        rows = estimator.complete(source, k=k)
    return _written(out, rows, estimator.schema_, "missing entries are E[x | what is observed]", {}, source.names)


def encode(path: str, data: str, output: str | None) -> Answer:
    """Posterior means, or codes."""
    estimator = open_latent(path, "encode")
    source = read_like(estimator, data)
    with working("encoding"):
        z = estimator.transform(source).reshape(len(source), -1)
    schema = columns([f"z{i}" for i in range(z.shape[1])])
    what = "posterior means E[z | x]" if summary.code(estimator)["point"] == "posterior mean" else "codes"
    return _written(output or "z.npy", z, schema, what, {}, source.names)


def decode(path: str, points: str, output: str | None, label: str | None) -> Answer:
    """E[x | z] of given points."""
    estimator = open_latent(path, "decode")
    source = load(points)
    z = source.take(np.arange(len(source)))
    out = output or _place("decoded", estimator.schema_, len(z))
    with working("decoding"):
        rows = estimator.inverse_transform(z, label_of(estimator, label, len(z)))
    return _written(out, rows, estimator.schema_, "decoder means E[x | z]", {})


def score(path: str, data: str, output: str | None, k: int | None) -> Answer:
    """log p(x) of each example."""
    estimator = open_model(path)
    source = read_like(estimator, data)
    with working("scoring"):
        scores = log_likelihoods(estimator, source, k)
    out = Path(output or "scores.csv")
    if out.suffix.lower() in PICTURES:
        raise InputError(f"cannot write scores to {out}; its ending is one of .csv, .npy, .npz, .parquet")
    write_array(out, scores[:, None], columns(["log_likelihood"]), source.names)
    lowest = np.argsort(scores)[:5].tolist()
    named = {source.names[i] if source.names else f"row {i}": float(scores[i]) for i in lowest}
    figures = {"mean": scores.mean(), "min": scores.min(), "max": scores.max()}
    data_ = {"output": str(out), "n": len(scores), "unit": "nats", **figures, "lowest": named}
    lines = [(name, f"{value:.2f} nats") for name, value in figures.items()]
    few = ", ".join(f"{name} ({value:.2f})" for name, value in named.items())
    return Answer(
        data_, [*lines, ("least likely", few)], (), [f"wrote {out}: log p(x) of {len(scores)} examples, in nats"]
    )


def _written(
    out: str, rows: Any, schema: Schema, what: str, more: dict[str, Any], names: list[str] | None = None
) -> Answer:
    if schema.tokens is not None:
        return _told(out, list(rows), what, more, names)
    rows = unframed(schema, rows)
    write_array(out, rows, schema, names)
    noun = ("recordings" if schema.audible else "images") if _is_picture(out) else "rows"
    data = {"output": out, "n": len(rows), "shape": list(rows.shape), "what": what, **more}
    return Answer(data, closing=[f"wrote {out}: {len(rows)} {noun}, {what}"])


def _told(out: str, strings: list[str], what: str, more: dict[str, Any], names: list[str] | None) -> Answer:
    """Strings in a file, or, where none is named, on the standard output."""
    what = what if more else "the most probable symbol after those written"
    data = {"output": out or None, "n": len(strings), "what": what, **more}
    if not out:
        return Answer({**data, "strings": strings}, [(string,) for string in strings])
    write_strings(out, strings, names)
    return Answer(data, closing=[f"wrote {out}: {len(strings)} strings, {what}"])


def _place(name: str, schema: Schema, n: int) -> str:
    if schema.audible:
        return name
    if schema.tokens is not None:
        return ""
    if drawable(schema):
        return f"{name}.png" if n <= MOST_IN_A_GRID else f"{name}.npy"
    if schema.kind == "words" and name == "samples":
        return f"{name}.txt"
    return f"{name}.csv" if schema.kind in ("table", "words") else f"{name}.npy"


def _is_picture(out: str) -> bool:
    return Path(out).suffix.lower() in PICTURES or out.endswith("/")
