"""Folders of images: found in order, looked at once, decoded when asked for."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from latens.data.folders import find_files, folder_labels, refuse_unreadable
from latens.data.pixels import Probe, Size, decode, probe
from latens.data.schema import Schema
from latens.data.source import ArraySource, Source, class_names
from latens.utils.errors import InputError

ENDINGS = frozenset(
    f".{name}"
    for name in (
        *("png", "jpg", "jpeg", "jpe", "jfif", "webp", "gif", "bmp", "dib", "tif", "tiff"),
        *("ppm", "pgm", "pbm", "pnm", "avif", "jp2", "tga", "ico"),
    )
)
_BLOCK = 1024

T = TypeVar("T")


class FolderSource(Source):
    """The images below a folder, decoded when they are taken and never held.

    Each file is decoded once to know that it can be. EXIF rotation is applied, transparency is laid on white, 16 bits
    become 8. All images are grey if every file is, else RGB. Where sizes differ, the middle of each image is cut out
    in the ratio of the most common size (the median, if none is common) and resized to it with antialiasing.

    Args:
        path: a folder, searched to any depth, or one file. Hidden files and other endings are passed over.
        size: (height, width), or one number for both, that every image is brought to.
        mode: "L" for grey or "RGB".

    Raises:
        InputError: no images, or more than one in ten cannot be read.
    """

    in_memory = False
    names: list[str]

    def __init__(self, path: str | os.PathLike[str], size: int | Size | None = None, mode: str | None = None) -> None:
        self.path = Path(path)
        self._pool = ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1))
        names = find_files(self.path, ENDINGS)
        probes, self.skipped = self._scan(names)
        refuse_unreadable("images", self.path, len(names), self.skipped, ENDINGS)
        unreadable = {name for name, _ in self.skipped}
        self.names = [name for name in names if name not in unreadable]
        self.size = _check_size(size) or common_size([item.size for item in probes])
        self.mode = mode or ("L" if all(item.grey for item in probes) else "RGB")
        self.notes = _notes(probes, self.size)
        self.labels = folder_labels(self.names)
        shape = self.size if self.mode == "L" else (*self.size, 3)
        levels, step = (2, 255.0) if _is_black_and_white(probes, self.size) else (256, 1.0)
        self.schema = Schema("image", shape, "uint8", 0.0, 255.0, levels, step, classes=class_names(self.labels))

    def __len__(self) -> int:
        return len(self.names)

    def take(self, indices: np.ndarray) -> np.ndarray:
        rows = np.asarray(indices)
        out = np.empty((len(rows), *self.schema.shape), dtype=np.uint8)
        for position, pixels in enumerate(self._map(self._decode, [self.names[i] for i in rows])):
            out[position] = pixels
        return out

    def _decode(self, name: str) -> np.ndarray:
        try:
            return decode(self._file(name), self.mode, self.size)
        except Exception as error:
            raise InputError(f"{self._file(name)} could be read before, but no longer: {_reason(error)}") from None

    def _file(self, name: str) -> Path:
        return self.path / name if self.path.is_dir() else self.path

    def _map(self, function: Callable[[str], T], names: Sequence[str]) -> Iterator[T]:
        for start in range(0, len(names), _BLOCK):
            yield from self._pool.map(function, names[start : start + _BLOCK])

    def _scan(self, names: list[str]) -> tuple[list[Probe], list[tuple[str, str]]]:
        probes: list[Probe] = []
        skipped: list[tuple[str, str]] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            for name, found in zip(names, self._map(_Prober(self._file), names)):
                if isinstance(found, Probe):
                    probes.append(found)
                else:
                    skipped.append((name, found))
        return probes, skipped


class _Prober:
    """Probes files, and stops looking at pixels once colour, and more than black and white, has been seen."""

    def __init__(self, locate: Callable[[str], Path]) -> None:
        self.locate = locate
        self.simple = True

    def __call__(self, name: str) -> Probe | str:
        try:
            found = probe(self.locate(name), self.simple)
        except Exception as error:
            return _reason(error)
        self.simple = self.simple and found.grey
        return found


def load_images(path: Path, *, size: int | Size | None = None, memory: int = 0) -> Source:
    """The images at `path`, in memory when all of them, decoded, fill at most `memory` bytes."""
    folder = FolderSource(path, size)
    if folder.nbytes > memory:
        return folder
    rows = folder.take(np.arange(len(folder)))
    return ArraySource(rows, folder.labels, names=folder.names, skipped=folder.skipped, notes=folder.notes)


def common_size(sizes: Sequence[Size]) -> Size:
    """The most common size if one in ten images has it, else the median height and width.

    >>> common_size([(28, 28), (28, 28), (30, 40)]), common_size([(10 + i, 20) for i in range(11)])
    ((28, 28), (15, 20))
    """
    size, count = Counter(sizes).most_common(1)[0]
    if count >= 0.1 * len(sizes) and (count > 1 or len(sizes) == 1):
        return size
    height, width = np.median(np.array(sizes), axis=0)
    return round(float(height)), round(float(width))


def _is_black_and_white(probes: Sequence[Probe], size: Size) -> bool:
    """Resized images have greys between."""
    seen = frozenset().union(*(item.extremes for item in probes)) if all(item.extremes for item in probes) else ()
    return set(seen) == {0, 255} and all(item.size == size for item in probes)


def _check_size(size: int | Size | None) -> Size | None:
    if size is None:
        return None
    pair = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(pair) != 2 or not all(isinstance(n, int) and 1 <= n <= 65535 for n in pair):
        raise InputError(f"size is a number of pixels or (height, width); got {size!r}")
    return pair


def _notes(probes: Sequence[Probe], size: Size) -> list[str]:
    height, width = size
    told = (
        (sum(item.size != size for item in probes), f"cut to the middle and resized to {height}x{width}"),
        (sum(item.rotated for item in probes), "rotated as their EXIF data say"),
        (sum(item.transparent for item in probes), "laid on white where transparent"),
        (sum(item.deep for item in probes), "reduced from 16 bits to 8"),
        (sum(item.frames for item in probes), "animated; only the first frame is taken"),
    )
    return [f"{count} of {len(probes)} images {what}" for count, what in told if count]


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return "more pixels than are safe to decode"
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image"
    return " ".join(str(error).split())[:100] or type(error).__name__
