"""The idx format of MNIST's own files, plain or gzipped, with the labels that lie beside them.

The header is two zero bytes, a type, the number of dimensions, and each dimension as four bytes; it is checked against
the size of the file before anything is read.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from latens.data.source import ArraySource
from latens.utils.errors import InputError

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MOST_DIMENSIONS = 8
_DEFLATE_RATIO = 1040


def is_idx(path: Path) -> bool:
    """Whether the file begins as an idx file does."""
    try:
        with _open(path) as file:
            head = file.read(4)
    except (OSError, EOFError, zlib.error):
        return False
    return len(head) == 4 and head[:2] == b"\0\0" and head[2] in _TYPES and 1 <= head[3] <= _MOST_DIMENSIONS


def find_idx(folder: Path) -> Path | None:
    """The idx file of images in a folder; the one for training where there are several."""
    found = sorted(path for path in folder.iterdir() if "idx3" in path.name and path.is_file() and is_idx(path))
    return next((path for path in found if "train" in path.name), found[0] if found else None)


def load_idx(path: Path, memory: int) -> ArraySource:
    """The array of an idx file, and the labels of the file beside it (``images-idx3`` becomes ``labels-idx1``).

    Args:
        path: a file, gzipped or not.
        memory: a plain file of more bytes than this is mapped rather than read.

    Raises:
        InputError: truncated, foreign or absurd in size, or as many labels as there are not images.
    """
    X = read_idx(path, memory)
    beside = _labels_beside(path)
    if beside is None:
        return ArraySource(X, notes=_note(path))
    labels = read_idx(beside, memory)
    if labels.shape != X.shape[:1]:
        raise InputError(f"{path} holds {len(X)} images, but {beside.name} beside it holds {len(labels)} labels")
    return ArraySource(X, labels, notes=_note(path))


def read_idx(path: Path, memory: int) -> np.ndarray:
    """The array of one idx file."""
    try:
        with _open(path) as file:
            dtype, shape = _header(path, file)
            count = math.prod(shape)
            _check_size(path, 4 + 4 * len(shape) + count * dtype.itemsize)
            if path.suffix != ".gz" and count * dtype.itemsize > memory:
                return np.memmap(path, dtype, "r", offset=file.tell(), shape=shape)
            content = file.read(count * dtype.itemsize + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"cannot read {path}: {error}") from None
    if len(content) != count * dtype.itemsize:
        problem = "it is truncated" if len(content) < count * dtype.itemsize else "it is damaged"
        raise InputError(f"{path} does not hold the {count * dtype.itemsize} bytes its header promises: {problem}")
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix == ".gz" else open(path, "rb")


def _header(path: Path, file: BinaryIO) -> tuple[np.dtype, tuple[int, ...]]:
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _TYPES or not 1 <= head[3] <= _MOST_DIMENSIONS:
        raise InputError(f"{path} is no idx file: it begins with {head.hex(' ') or 'nothing'}")
    sizes = file.read(4 * head[3])
    if len(sizes) < 4 * head[3]:
        raise InputError(f"{path} is truncated within its header")
    return np.dtype(_TYPES[head[2]]), struct.unpack(f">{head[3]}I", sizes)


def _check_size(path: Path, expected: int) -> None:
    on_disk = path.stat().st_size
    if path.suffix == ".gz":
        if expected > on_disk * _DEFLATE_RATIO:
            raise InputError(f"{path} claims {expected} bytes, more than its {on_disk} compressed bytes could hold")
    elif expected != on_disk:
        problem = "it is truncated" if on_disk < expected else "it is no idx file, or damaged"
        raise InputError(f"{path} should have {expected} bytes by its header; it has {on_disk}: {problem}")


def _labels_beside(path: Path) -> Path | None:
    name = path.name.replace("images", "labels").replace("idx3", "idx1")
    if name == path.name or "idx3" not in path.name:
        return None
    plain = name.removesuffix(".gz")
    return next((path.with_name(item) for item in (name, plain, plain + ".gz") if path.with_name(item).is_file()), None)


def _note(path: Path) -> list[str]:
    return [f"read {path.name}"]
