"""Folders of files, one an example: found in order, labelled by their folders, few of them unreadable."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from itertools import takewhile
from pathlib import Path, PurePosixPath

import numpy as np

from latens.utils.errors import InputError

MOST_UNREADABLE = 0.1


def find_files(path: Path, endings: Collection[str]) -> list[str]:
    """The files below a folder by their relative names, sorted; each folder is entered once, links included."""
    if path.is_file():
        return [path.name]
    return sorted(_walk(path, "", set(), endings))


def _walk(folder: Path, prefix: str, entered: set[tuple[int, int]], endings: Collection[str]) -> Iterator[str]:
    status = folder.stat()
    if (status.st_dev, status.st_ino) in entered:
        return
    entered.add((status.st_dev, status.st_ino))
    with os.scandir(folder) as entries:
        listed = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in listed:
        if entry.is_dir():
            yield from _walk(folder / entry.name, f"{prefix}{entry.name}/", entered, endings)
        elif os.path.splitext(entry.name)[1].lower() in endings:
            yield prefix + entry.name


def folder_labels(names: Sequence[str]) -> np.ndarray | None:
    """The folder of each file, where all lie in different folders below a common one; else None.

    >>> folder_labels(["train/cat/1.png", "train/dog/a/2.png"]).tolist(), folder_labels(["1.png", "cat/2.png"])
    (['cat', 'dog'], None)
    """
    parts = [PurePosixPath(name).parts[:-1] for name in names]
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(min(parts), max(parts))))
    if any(len(item) == shared for item in parts):
        return None
    return np.array([item[shared] for item in parts])


def refuse_unreadable(
    what: str, path: Path, total: int, skipped: Sequence[tuple[str, str]], endings: Collection[str]
) -> None:
    """Refuses a folder without files, or with too many that cannot be read."""
    if total == 0:
        raise InputError(f"there are no {what} in {path}; endings looked for: {' '.join(sorted(endings))}")
    if total == len(skipped) == 1:
        raise InputError(f"cannot read {path if path.is_file() else path / skipped[0][0]}: {skipped[0][1]}")
    if len(skipped) > MOST_UNREADABLE * total:
        few = "; ".join(f"{name} ({reason})" for name, reason in skipped[:3])
        more = f"; and {len(skipped) - 3} more" if len(skipped) > 3 else ""
        raise InputError(
            f"{len(skipped)} of {total} {what} in {path} cannot be read, more than one in ten: {few}{more}. "
            "Repair or remove them."
        )
