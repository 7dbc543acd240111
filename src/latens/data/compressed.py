"""Files that are compressed, by their endings: read as what they hold."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError)
"""What is raised where a file cannot be read, or ends too soon."""
RATIO = 8
"""A compressed file holds about so many times its bytes."""


def ending(path: Path) -> str:
    """The ending of what a file holds.

    >>> ending(Path("a/table.CSV.gz")), ending(Path("table.csv")), ending(Path("data.gz"))
    ('.csv', '.csv', '')
    """
    packed = path.suffix.lower() in OPENERS
    return (path.with_suffix("") if packed else path).suffix.lower()


def open_bytes(path: Path) -> BinaryIO:
    """The file, to be read as what it holds."""
    return cast(BinaryIO, OPENERS.get(path.suffix.lower(), open)(path, "rb"))


def plain_size(path: Path) -> int:
    """About how many bytes it holds."""
    return path.stat().st_size * (RATIO if path.suffix.lower() in OPENERS else 1)
