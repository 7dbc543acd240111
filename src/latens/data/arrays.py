"""NumPy's own files, never unpickled."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from latens.data.source import ArraySource, Source
from latens.data.sparse import holds_matrix, read_parts
from latens.utils.errors import InputError

DATA_NAMES = ("X", "x", "images", "data")
LABEL_NAMES = ("y", "Y", "labels", "target")


def load_npy(path: Path, memory: int) -> ArraySource:
    """The array of a ``.npy`` file, mapped rather than read when it is larger than `memory` bytes."""
    try:
        X = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"cannot read {path}: {_reason(error)}") from None
    if not isinstance(X, np.ndarray):
        X.close()
        raise InputError(f"cannot read {path}: it is a .npz file by its content")
    return ArraySource(np.array(X) if X.nbytes <= memory else X)


def load_npz(path: Path, member: str | None = None) -> Source:
    """The array ``X``, ``x``, ``images`` or ``data`` of a ``.npz`` file, or its only one, and its labels if any; or the
    sparse matrix whose parts it holds.

    Args:
        path: the file.
        member: the name of the array to take.

    Raises:
        InputError: several arrays could be meant; they are listed.
    """
    try:
        with open(path, "rb") as raw:
            file = np.load(raw, allow_pickle=False)
            if isinstance(file, np.ndarray):
                raise InputError(f"cannot read {path}: it is a .npy file by its content")
            if member is None and holds_matrix(file.files):
                return read_parts(path, file, _labels_of(file, int(file["shape"][0])))
            name = _data_name(path, list(file.files), member)
            X = file[name]
            if not isinstance(X, np.ndarray):
                raise InputError(f"cannot read {path}: '{name}' in it is no array")
            return ArraySource(X, _labels_of(file, len(X), name))
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, MemoryError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot read {path}: {_reason(error)}") from None


def split_member(path: Path) -> tuple[Path, str | None]:
    """``file.npz:name`` in its two parts.

    >>> split_member(Path("a/b.npz:X"))
    (PosixPath('a/b.npz'), 'X')
    """
    name, colon, member = path.name.partition(".npz:")
    return (path.with_name(name + ".npz"), member) if colon and not path.exists() else (path, None)


def _data_name(path: Path, names: list[str], member: str | None) -> str:
    if member is not None:
        if member not in names:
            raise InputError(f"{path} has no array '{member}'; it has {', '.join(names)}")
        return member
    others = [name for name in names if name not in LABEL_NAMES]
    found = next((name for name in DATA_NAMES if name in others), None)
    if found is None and len(others) != 1:
        example = others[0] if others else "name"
        raise InputError(f"{path} holds {', '.join(names) or 'nothing'}; say which array, as in {path}:{example}")
    return found or others[0]


def _labels_of(file: np.lib.npyio.NpzFile, n: int, name: str = "") -> np.ndarray | None:
    for label in LABEL_NAMES:
        if label in file.files and label != name:
            y = file[label]
            return y.reshape(-1) if y.size == n else None
    return None


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "mmap length" in text:
        return "it is shorter than it says it is; was it cut off?"
    if "allow_pickle" in text or "Python objects" in text:
        return "it holds no array of numbers"
    return text[:150] or "it is damaged"
