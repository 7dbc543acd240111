"""What a model is and how good it is; what data are."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from latens.cli import plain, summary
from latens.cli.opened import as_told, open_model, read_like
from latens.cli.runs import Run, read
from latens.cli.screen import Answer, Line, working
from latens.cli.train import read_again
from latens.data import Source
from latens.data.table import TableSource
from latens.density.storage import file_of
from latens.metrics.evaluate import evaluate as judge
from latens.neural import VAE, LatentDensity, NeuralDensity
from latens.neural.forecast import training_seconds
from latens.utils import InputError, load_tensors
from latens.utils.text import text

MOST_NAMED = 20


def evaluate(path: str, data: str, k: int | None) -> Answer:
    """The figures of a model on any data."""
    estimator = open_model(path)
    source = read_like(estimator, data)
    with working("evaluating"):
        if isinstance(estimator, LatentDensity):
            figures = judge(estimator, source, k=k).as_dict()
        else:
            figures = plain.evaluate(estimator, source, k)
    return Answer(
        {"data": data, **figures},
        [("examples", str(figures["n"])), *summary.figure_lines(figures, estimator.schema_.measured)],
    )


def report(path: str, data: str | None, output: str | None) -> Answer:
    """The report, made again."""
    from latens.cli.looks import examine
    from latens.cli.report import write_report

    if output is not None and Path(output).suffix.lower() not in (".html", ".htm"):
        raise InputError(f"a report is a page; the ending of {output} is not .html")
    estimator, run = open_model(path), Run(path)
    if data is not None:
        source, held_out = read_like(estimator, data), None
    elif run.exists:
        source, held_out = as_told(estimator, read_again(run)), "held out"
    else:
        raise InputError(f"{path} does not say what it was trained on; give DATA as well")
    out = Path(output) if output else run.report if run.path.is_dir() else Path("report.html")
    name = Path(data or run.record()["data"]).name
    compared = run.record().get("compared") if data is None else None
    study = examine(estimator, source, name, compared, split=held_out is not None)
    write_report(out, study)
    lines = [
        ("judged on", summary.judged(study.figures["n"], study.judged_on)),
        *summary.figure_lines(study.figures, study.schema.measured),
    ]
    content = {"report": str(out), "judged_on": study.judged_on, **study.figures}
    return Answer(content, lines, closing=[f"wrote {out}"])


def info(path: str) -> Answer:
    """What a model is, its settings with their reasons, its data and figures."""
    estimator, run = open_model(path), Run(path)
    known = json.loads(run.summary_file.read_text(encoding="utf-8")) if run.summary_file.is_file() else {}
    about = {
        **known,
        **summary.about(estimator),
        "versions": json.loads(load_tensors(file_of(run.path))[1]["versions"]),
    }
    return Answer(about, _info_lines(about))


def _info_lines(about: dict[str, Any]) -> list[Line]:
    history = about["history"]
    lines: list[Line] = [
        ("estimator", about["estimator"]),
        ("data", about.get("data", "not known")),
        ("one example", about["summary"]),
    ]
    if history:
        lines += [("parameters", f"{about['parameters']:,}"), ("training", summary.training(history))]
    for name, value in about["settings"].items():
        why = about["reasons"].get(name)
        lines.append((name.replace("_", " "), value + (f"   (chosen: {why})" if why else "")))
    if about.get("fitted_prior"):
        lines.append(("fitted prior", about["fitted_prior"]))
    lines += summary.figure_lines(about.get("figures", {}), about["schema"]["measured"])
    lines += summary.compared_lines(about.get("compared") or [])
    return [*lines, ("versions", ", ".join(f"{name} {v}" for name, v in about["versions"].items()))]


def check(data: str, reading: dict[str, Any]) -> Answer:
    """What a model would see, what it would choose, and how long its training would take here."""
    with working(f"reading {data}"):
        source = read(data, **reading)
    schema, labels = source.schema, _labels(source)
    content = {"data": data, "n": len(source), **schema.describe(), "labels": labels, "notes": source.notes}
    missing = _missing(source)
    content |= {"missing_entries": missing, "unreadable": dict(source.skipped), **_choices(source)}
    lines: list[Line] = [("examples", str(len(source))), ("one example", schema.summary)]
    if isinstance(source, TableSource):
        content["columns"] = _columns(source)
        lines += [(column["name"], _column_line(column)) for column in content["columns"]]
        if missing:
            lines.append(("missing", "empty cells, and ?, NA, N/A, NaN, null, None"))
    elif schema.features:
        lines.append(("columns", _few(schema.features)))
    if missing and not schema.columns:
        lines.append(("missing", _few([f"{name} {n} ({n / max(len(source), 1):.0%})" for name, n in missing.items()])))
    lines.append(("labels", _few([f"{name} ({n})" for name, n in labels.items()]) if labels else "none"))
    lines += [("note", note) for note in source.notes]
    lines += [("unreadable", f"{name}: {why}") for name, why in source.skipped]
    lines += [(name.replace("_", " "), f"{c['value']}   ({c['why']})") for name, c in content["would_choose"].items()]
    if content["training_seconds"] is not None:
        lines.append(("training", summary.forecast(content["training_seconds"], schema.kind, content["device"])))
    closing = [f"cannot be trained on: {content['problem']}"] if content["problem"] else []
    if schema.kind == "table" and all(column.is_number for column in schema.columns or ()):
        closing.append("densities without a network: latens train DATA --model auto")
    return Answer(content, lines, closing=closing)


def _choices(source: Source) -> dict[str, Any]:
    """What a VAE would choose, and what stands in its way."""
    estimator: NeuralDensity = VAE(random_state=0)
    settings, reasons = estimator._choose(source.schema, max(len(source), 1))
    chosen = {name: {"value": text(settings[name]), "why": reasons[name]} for name in settings}
    about = {"would_choose": chosen, "problem": None, "training_seconds": None, "device": estimator._device.type}
    try:
        estimator._set_up(source)
    except InputError as error:
        return {**about, "problem": str(error)}
    with working("timing a few steps of training"):
        return {**about, "training_seconds": training_seconds(estimator, source)}


def _labels(source: Source) -> dict[str, int] | None:
    return (
        None if source.labels is None else dict(sorted(Counter(map(str, np.asarray(source.labels).tolist())).items()))
    )


def _missing(source: Source) -> dict[str, int] | None:
    """How many rows lack each column, of those that are not complete; of images, how many lack anything."""
    if source.missing is None:
        return None
    if source.schema.kind != "table":
        return {"entries": int(source.missing.sum())}
    return {name: int(n) for name, n in zip(source.schema.names, source.missing) if n}


def _columns(source: TableSource) -> list[dict[str, Any]]:
    """Each column of a table, why it was taken as it was, and the share of its cells that are missing."""
    count = max(len(source), 1)
    gaps = np.zeros(source.schema.size) if source.missing is None else source.missing / count
    why = source.why or [""] * source.schema.size
    described = [column.describe() for column in source.schema.columns or ()]
    return [{**one, "why": reason, "missing": float(gap)} for one, reason, gap in zip(described, why, gaps)]


def _column_line(column: dict[str, Any]) -> str:
    """In words.

    >>> _column_line({"kind": "integer", "values": "17 to 90", "why": "whole numbers", "missing": 0.031})
    'integer    17 to 90, 3.1 % missing   (whole numbers)'
    """
    gaps = f", {column['missing']:.1%}".replace("%", " % missing") if column["missing"] else ""
    return f"{column['kind']:<9}  {column['values']}{gaps}   ({column['why']})"


def _few(names: Any) -> str:
    names = list(names)
    more = f", and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
