"""Rows become files: arrays, tables, pictures; each wholly written or not at all."""

from __future__ import annotations

import csv
import errno
import math
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from latens.data.columns import written
from latens.data.files import NAME
from latens.data.schema import Schema
from latens.data.sound.files import write_wav
from latens.data.table import refuse_other_than_numbers
from latens.data.words import bags
from latens.utils.errors import InputError
from latens.utils.storage import atomic, atomic_folder
from latens.utils.text import nearest

SMALLEST = 32
"""Pixels that the shorter side of an image in a grid has at least."""


def write_array(
    path: str | os.PathLike[str], X: np.ndarray, schema: Schema | None = None, names: Sequence[str] | None = None
) -> Path:
    """Write rows in the format that the ending of `path` names.

    ``.npy`` and ``.npz`` hold the numbers as they are, ``.csv`` and ``.parquet`` one line per row, ``.png`` (or
    ``.jpg``, ``.webp``) the one image or a grid of all, ``.wav`` one sound after another, ``.txt`` one bag of words a
    line, and a path without an ending a new folder of one PNG per image, or of one WAV per recording.

    Args:
        path: where to write; the folder above it exists.
        X: rows of numbers, shape (n, ...).
        schema: what one row is, which gives columns their names and pixels their range.
        names: one name per row, kept in tables and ``.npz``, and given to the files of a folder.

    Returns:
        The path written.

    Raises:
        InputError: an unknown ending, pictures asked for of something else than images, or sound of something else
            than recordings.
    """
    X, ending = np.asarray(X), Path(path).suffix.lower()
    if str(path).endswith(("/", os.sep)) or not ending:
        return _write_folder(Path(path), X, schema, names)
    if ending not in _WRITERS:
        hint = nearest(ending, _WRITERS)
        known = ", ".join(_WRITERS)
        raise InputError(f"cannot write {path}: the ending {ending} is none of {known}, or none for a folder{hint}")
    if schema is not None and ending not in (".csv", ".parquet"):
        refuse_other_than_numbers(schema, f"a file {ending}")
    with atomic(path) as temporary:
        _WRITERS[ending](temporary, X, schema, names)
    return Path(path)


def write_strings(path: str | os.PathLike[str], strings: Sequence[str], names: Sequence[str] | None = None) -> Path:
    """Writes strings, one a line of ``.txt``, or as a column of ``.csv``, which keeps the ends of lines inside them.

    Raises:
        InputError: another ending.
    """
    ending = Path(path).suffix.lower()
    if ending not in (".txt", ".csv"):
        raise InputError(f"cannot write text to {path}; its ending is .txt or .csv")
    with atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        if ending == ".txt":
            file.writelines(" ".join(string.splitlines()) + "\n" for string in strings)
        else:
            rows = [[string] for string in strings] if names is None else zip(names, strings)
            csv.writer(file).writerows([["text"] if names is None else [NAME, "text"], *rows])
    return Path(path)


def grid(images: np.ndarray, columns: int | None = None, pad: int = 2) -> np.ndarray:
    """Images side by side on white, row by row.

    Args:
        images: uint8, shape (n, H, W) or (n, H, W, C).
        columns: how many stand in a row; about the square root of n when None.
        pad: white pixels around each.

    Returns:
        uint8, shape (rows * (H + pad) + pad, columns * (W + pad) + pad[, C]).

    Example:
        >>> grid(np.zeros((3, 2, 2), np.uint8), columns=2, pad=1)[:, :4]
        array([[255, 255, 255, 255],
               [255,   0,   0, 255],
               [255,   0,   0, 255],
               [255, 255, 255, 255],
               [255,   0,   0, 255],
               [255,   0,   0, 255],
               [255, 255, 255, 255]], dtype=uint8)
    """
    count, height, width, *channels = images.shape
    columns = columns or max(math.ceil(math.sqrt(count)), 1)
    rows = max(math.ceil(count / columns), 1)
    sheet = np.full((rows * (height + pad) + pad, columns * (width + pad) + pad, *channels), 255, dtype=np.uint8)
    for number, image in enumerate(images):
        top, left = pad + number // columns * (height + pad), pad + number % columns * (width + pad)
        sheet[top : top + height, left : left + width] = image
    return sheet


def to_uint8(images: np.ndarray, schema: Schema | None = None) -> np.ndarray:
    """Pixels in the user's units as bytes: the ends of the range become 0 and 255.

    The range is that of the lattice; [0, 1] for continuous data within it; else the smallest and largest value seen in
    the data, or, without a schema, in `images`.

    >>> to_uint8(np.array([0.0, 8.0, 16.0]), Schema("image", (1, 3), "float64", 0.0, 16.0, 17))
    array([  0, 128, 255], dtype=uint8)
    """
    if images.dtype == np.uint8 and (schema is None or (schema.low, schema.high) == (0, 255)):
        return images
    low, high = (schema.low, schema.high) if schema else (float(np.nanmin(images)), float(np.nanmax(images)))
    if (schema is None or schema.levels is None) and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    unit = (np.nan_to_num(images.astype(np.float64), nan=low) - low) / ((high - low) or 1.0)
    return np.floor(np.clip(unit, 0, 1) * 255 + 0.5).astype(np.uint8)


def _write_folder(path: Path, X: np.ndarray, schema: Schema | None, names: Sequence[str] | None) -> Path:
    if schema is not None and schema.audible:
        with atomic_folder(path) as temporary:
            for name, wave in zip(_file_names(len(X), names, "wav"), schema.view.waveforms(X)):
                write_wav(temporary / name, wave, schema.view.rate)
        return path
    pixels = _pixels(path, X, schema)
    with atomic_folder(path) as temporary:
        for name, image in zip(_file_names(len(pixels), names), pixels):
            Image.fromarray(image).save(temporary / name)
    return path


def _file_names(count: int, names: Sequence[str] | None, ending: str = "png") -> list[str]:
    """The given names as those of files in one folder, numbered where two would be the same.

    >>> _file_names(2, None), _file_names(3, ["cat/1.jpg", "dog/1.jpg", "../1"])
    (['0.png', '1.png'], ['cat_1.png', 'dog_1.png', '1.png'])
    """
    numbers = [str(i).zfill(len(str(count - 1))) for i in range(count)]
    if names is None:
        return [f"{number}.{ending}" for number in numbers]
    stems = [re.sub(r"[^\w.-]+", "_", os.path.splitext(name)[0]).strip("._") for name in names]
    unique = len(set(stems)) == count and all(stems)
    return [f"{stem if unique else f'{number}_{stem}'}.{ending}" for number, stem in zip(numbers, stems)]


def _pixels(path: Path, X: np.ndarray, schema: Schema | None) -> np.ndarray:
    channels = X.shape[3] if X.ndim == 4 else 1
    if X.ndim not in (3, 4) or channels not in (1, 3, 4) or not len(X):
        raise InputError(
            f"cannot write pictures ({path.suffix or 'a folder'}): images have the shape (n, H, W) or "
            f"(n, H, W, 1, 3 or 4); got {X.shape}"
        )
    return to_uint8(X[..., 0] if X.ndim == 4 and channels == 1 else X, schema)


def _write_sound(path: Path, X: np.ndarray, schema: Schema | None, names: Sequence[str] | None) -> None:
    if schema is None or not schema.audible:
        raise InputError("cannot write sound (.wav): these rows are no recordings, or do not know their rate")
    waves, rate = schema.view.waveforms(X), schema.view.rate
    pause = np.zeros((rate // 4, *waves.shape[2:]), waves.dtype)
    write_wav(path, np.concatenate([part for wave in waves for part in (wave, pause)][:-1]), rate)


def _write_picture(path: Path, X: np.ndarray, schema: Schema | None, names: Sequence[str] | None) -> None:
    pixels = _pixels(path, X, schema)
    Image.fromarray(pixels[0] if len(pixels) == 1 else grid(_enlarged(pixels))).save(path)


def _enlarged(images: np.ndarray) -> np.ndarray:
    """Small images by a whole factor, so that a person sees them; each pixel stays one square.

    >>> _enlarged(np.zeros((2, 8, 8), np.uint8)).shape, _enlarged(np.zeros((2, 28, 28), np.uint8)).shape
    ((2, 32, 32), (2, 56, 56))
    """
    factor = math.ceil(SMALLEST / min(images.shape[1:3]))
    return images.repeat(factor, axis=1).repeat(factor, axis=2)


def _write_npy(path: Path, X: np.ndarray, schema: Schema | None, names: Sequence[str] | None) -> None:
    try:
        np.save(path, X, allow_pickle=False)
    except OSError as error:
        if error.errno is not None:
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from None  # numpy tells no number


def _write_npz(path: Path, X: np.ndarray, schema: Schema | None, names: Sequence[str] | None) -> None:
    if names is None:
        np.savez_compressed(path, X=X)
    else:
        np.savez_compressed(path, X=X, names=np.array(names, dtype=np.str_))


def _write_csv(path: Path, X: np.ndarray, schema: Schema | None, names: Sequence[str] | None) -> None:
    from pyarrow import csv

    csv.write_csv(_table(X, schema, names), path)


def _write_text(path: Path, X: np.ndarray, schema: Schema | None, names: Sequence[str] | None) -> None:
    if schema is None or schema.kind != "words" or schema.features is None or X.dtype.kind not in "iu":
        raise InputError(f"cannot write text ({path.suffix}): rows are no bags of words; use .csv or .npy")
    path.write_text("".join(f"{text}\n" for text in bags(X, schema.features)), encoding="utf-8")


def _write_parquet(path: Path, X: np.ndarray, schema: Schema | None, names: Sequence[str] | None) -> None:
    from pyarrow import parquet

    parquet.write_table(_table(X, schema, names), path)


def _table(X: np.ndarray, schema: Schema | None, names: Sequence[str] | None) -> Any:
    import pyarrow

    flat = X.reshape(len(X), -1)
    columns: dict[str, Any] = {name: flat[:, i] for i, name in enumerate(_columns(X, schema))}
    if schema is not None and schema.columns is not None:
        columns = {column.name: written(column, columns[column.name]) for column in schema.columns}
    return pyarrow.table(columns if names is None else {NAME: list(names), **columns})


def _columns(X: np.ndarray, schema: Schema | None) -> list[str]:
    count = math.prod(X.shape[1:])
    if schema is not None and schema.features is not None and len(schema.features) == count:
        return list(schema.features)
    return ["value"] if X.ndim == 1 else [f"x{i}" for i in range(count)]


_Writer = Callable[[Path, np.ndarray, Schema | None, Sequence[str] | None], None]
_WRITERS: dict[str, _Writer] = {
    ".npy": _write_npy,
    ".npz": _write_npz,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
    ".png": _write_picture,
    ".jpg": _write_picture,
    ".webp": _write_picture,
    ".txt": _write_text,
    ".wav": _write_sound,
}
