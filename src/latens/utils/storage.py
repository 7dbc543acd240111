"""Files that are either wholly there or not at all, and tensors that carry text.

A file is written beside its place under a hidden name, brought to the disk, and renamed: a crash, a full disk or an
interruption leaves what was there before. Tensors are kept in the safetensors format, which holds numbers and text and
nothing that could run.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from latens.utils.errors import InputError

FORMAT = "latens"
FORMAT_VERSION = 1


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path in the folder of `path`, renamed to `path` when the block succeeds and removed when it fails.

    The temporary name keeps the ending, since writers choose their format by it.

    Raises:
        InputError: the folder does not exist, or `path` is a folder.
        OSError: whatever the disk reports; what stood at `path` is untouched.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with atomic(folder / "a.txt") as temporary:
        ...     _ = temporary.write_text("whole")
        >>> [item.name for item in folder.iterdir()]
        ['a.txt']
    """
    path = _writable(Path(path))
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the name of a file")
    temporary = _beside(path)
    try:
        yield temporary
        _flush(temporary)
        temporary.chmod(_usual_mode())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary folder, renamed to `path` when the block succeeds and removed with its content when it fails.

    Raises:
        InputError: the folder above does not exist, or `path` exists and is not an empty folder.
    """
    path = _writable(Path(path))
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise InputError(f"{path} exists already; choose another name or remove it first")
    temporary = _beside(path)
    temporary.mkdir()
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a whole file, or nothing."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | os.PathLike[str], content: str) -> None:
    """Write a whole file in UTF-8, or nothing."""
    write_bytes(path, content.encode())


def save_tensors(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Arrays and text in one safetensors file, marked with the format and its version, or nothing.

    Args:
        path: where the file goes; its folder exists.
        arrays: numbers and booleans of any shape (no objects, no text).
        metadata: text by name; ``format`` and ``format_version`` are added.

    Raises:
        OSError: whatever the disk reports; what stood at `path` is untouched.
    """
    marked = {**metadata, "format": FORMAT, "format_version": str(FORMAT_VERSION)}
    whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    with atomic(path) as temporary:
        try:
            save_file(whole, temporary, metadata=marked)
        except SafetensorError as error:
            code = re.search(r"\(os error (\d+)\)", str(error))
            if code is None:
                raise
            number = int(code[1])
            raise OSError(number, os.strerror(number), str(path)) from None


def load_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays and the text of a file that `save_tensors` wrote.

    Raises:
        InputError: no such file; not this format; truncated; or written by a newer version.
    """
    with _opened(Path(path)) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata())  # noqa: SIM118


def load_notes(path: str | os.PathLike[str]) -> dict[str, str]:
    """The text alone of a file that `save_tensors` wrote.

    Raises:
        InputError: as `load_tensors`.
    """
    with _opened(Path(path)) as file:
        return dict(file.metadata())


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise InputError(f"there is no model file at {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            _check_format(path, dict(file.metadata() or {}))
            yield file
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is no latens model, or it is damaged ({_one_line(error)})") from None


def _check_format(path: Path, metadata: Mapping[str, str]) -> None:
    if metadata.get("format") != FORMAT or not metadata.get("format_version", "").isdecimal():
        raise InputError(f"{path} is a safetensors file that latens did not write")
    version = int(metadata["format_version"])
    if version > FORMAT_VERSION:
        raise InputError(
            f"{path} was written by a newer latens (format {version}; this one reads up to {FORMAT_VERSION}). "
            "Upgrade latens."
        )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


def _writable(path: Path) -> Path:
    if not path.parent.is_dir():
        raise InputError(f"the folder {path.parent} does not exist; make it first")
    return path


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")


def _flush(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _usual_mode() -> int:
    """What the user's own mask leaves of a new file's rights; some writers make theirs private."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
