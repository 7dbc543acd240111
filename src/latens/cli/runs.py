"""Run folders: what is written before training starts, while it runs, and at its end.

``run.json`` comes first and says all that is needed to start again; ``model.json`` comes last and marks a run as
finished; only then the checkpoint goes.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from latens.data import Source, load
from latens.data.idx import find_idx
from latens.data.images import ENDINGS
from latens.data.load import BUILTINS, _builtin
from latens.density.storage import FILE
from latens.neural import vocabulary
from latens.utils import InputError, write_text
from latens.utils.text import text

FORMAT = 1
_ROWS = 256


class Run:
    """A run folder."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.record_file = self.path / "run.json"
        self.summary_file = self.path / "model.json"
        self.checkpoint = self.path / "checkpoints" / "last.safetensors"
        self.metrics = self.path / "metrics.csv"
        self.samples = self.path / "samples"
        self.report = self.path / "report.html"

    @property
    def exists(self) -> bool:
        return self.record_file.is_file()

    @property
    def finished(self) -> bool:
        return self.summary_file.is_file() and (self.path / FILE).is_file()

    def record(self) -> dict[str, Any]:
        """What ``run.json`` says.

        Raises:
            InputError: no such run, damaged, or written by a newer version.
        """
        if not self.exists:
            raise InputError(f"there is no run at {self.path}: it has no run.json")
        try:
            record = json.loads(self.record_file.read_text(encoding="utf-8"))
            number = int(record["format"])
            missing = {"data", "reading", "fingerprint", "estimator", "device"} - record.keys()
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self.record_file} is damaged ({type(error).__name__}: {error})") from None
        if number > FORMAT:
            raise InputError(f"{self.path} was made by a newer latens (format {number}; this one reads up to {FORMAT})")
        if missing:
            raise InputError(f"{self.record_file} is damaged: it does not say {', '.join(sorted(missing))}")
        return record

    def begin(self, record: dict[str, Any]) -> None:
        """Makes the folder."""
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        self.samples.mkdir(exist_ok=True)
        write_json(self.record_file, record)

    def close(self) -> None:
        """Lets go of what only going on would need, once the run is finished."""
        if self.finished:
            shutil.rmtree(self.checkpoint.parent, ignore_errors=True)

    def command(self) -> str:
        """How to go on."""
        return f"latens train --resume {self.path}"


@contextmanager
def new(path: Path, record: dict[str, Any], *, overwrite: bool) -> Iterator[Run]:
    """A new run folder, removed again if training fails before there is anything to go on from.

    Raises:
        InputError: the folder is there already, and may not be replaced.
    """
    _check_free(path, overwrite)
    made = [item for item in path.parents if not item.exists()]
    old = path.with_name(f".{path.name}-replaced")
    run = Run(path)
    try:
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
            path.rename(old)
        run.begin(record)
        yield run
    except BaseException as error:
        keep = run.finished or run.checkpoint.exists() or (isinstance(error, KeyboardInterrupt) and run.exists)
        if not keep:
            shutil.rmtree(path, ignore_errors=True)
            with suppress(OSError):
                old.rename(path)
            with suppress(OSError):
                for parent in made:
                    parent.rmdir()
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _check_free(path: Path, overwrite: bool) -> None:
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not overwrite:
        raise InputError(
            f"{path} exists already; choose another -o, replace it with --overwrite, or go on with latens train "
            f"--resume {path}"
        )
    if not (path / "run.json").is_file() and not (path / FILE).is_file():
        raise InputError(f"{path} is not a run folder, and --overwrite replaces nothing else; choose another -o")


def default_path(data: str, estimator: Any) -> Path:
    """``runs/<data>-<model>-<date>-<time>``."""
    stem = re.sub(r"[^\w.-]+", "-", Path(data).expanduser().resolve().name.split(".")[0] or "data")
    return Path("runs") / f"{stem}-{type(estimator).__name__.lower()}-{datetime.now():%Y%m%d-%H%M%S}"


def record(
    data: str, reading: dict[str, Any], source: Source, estimator: Any, compared: list[dict[str, Any]]
) -> dict[str, Any]:
    """All that is needed to start the same training again."""
    return {
        "format": FORMAT,
        "data": located(data),
        "reading": text(reading),
        "fingerprint": fingerprint(source),
        "estimator": text(estimator),
        "compared": compared,
        "device": getattr(estimator, "device", None),
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "versions": {name: version(name) for name in ("latens", "torch", "numpy")},
    }


def located(data: str) -> str:
    """A path that holds wherever the tool is started; a built-in name as it is."""
    path = Path(data).expanduser()
    return data if data in BUILTINS and (Run(path).exists or not path.exists()) else str(path.absolute())


def read(data: str, **reading: Any) -> Source:
    """Data by their name, read as `load` is told; a run folder is none, though it may have the name of some.

    Raises:
        InputError: a run folder, or whatever `load` refuses.
    """
    if Run(data).exists and data not in BUILTINS:
        raise InputError(f"{data} is a run folder, not data; give what it was trained on, or other examples")
    if "size" in reading and not holds_pictures(data):
        raise InputError(f"--size is for image files and folders of images; {data} is neither, so leave it out")
    return load(_builtin(data) if Run(data).exists else data, **reading)


def holds_pictures(data: str) -> bool:
    """Whether these are image files, whose size can be chosen; what is not there is left to `load`."""
    path = Path(data).expanduser()
    if path.is_dir() and not Run(data).exists:
        return find_idx(path) is None
    return path.suffix.lower() in ENDINGS or (not path.exists() and data not in BUILTINS)


def notes(source: Source) -> list[str]:
    """What was done to the data, and what could not be read."""
    names = ", ".join(name for name, _ in source.skipped[:5]) + (", ..." if len(source.skipped) > 5 else "")
    skipped = [f"{len(source.skipped)} files could not be read: {names}"] if source.skipped else []
    return [*source.notes, *skipped]


def reread(record: dict[str, Any]) -> Source:
    """The data of a run: a bare name is built in, whatever lies in the folder one stands in."""
    reading = vocabulary.read(record["reading"])
    if record["data"] in BUILTINS:
        return load(_builtin(record["data"]), **reading)
    return read(record["data"], **reading)


def fingerprint(source: Source) -> dict[str, Any]:
    """What tells these data from others: their number, their schema, and a hash of some of the rows."""
    chosen = np.unique(np.linspace(0, len(source) - 1, min(_ROWS, len(source))).astype(int))
    content = hashlib.blake2b(np.ascontiguousarray(source.take(chosen)).tobytes(), digest_size=16)
    if source.labels is not None:
        content.update(repr(source.labels[chosen].tolist()).encode())
    return {"rows": len(source), "schema": text(source.schema), "content": content.hexdigest()}


def check_same(run: Run, source: Source, data: str) -> None:
    """Refuses to go on with other data."""
    then, now = run.record()["fingerprint"], fingerprint(source)
    if then["rows"] != now["rows"]:
        raise InputError(f"{data} has changed since {run.path} began: it had {then['rows']} rows, now {now['rows']}")
    if then != now:
        raise InputError(f"{data} has changed since {run.path} began: its content differs; start a new run")


def write_json(path: Path, content: Any) -> None:
    """Whole or not at all."""
    from latens.cli.screen import plain

    write_text(path, json.dumps(plain(content), ensure_ascii=False, indent=2) + "\n")
