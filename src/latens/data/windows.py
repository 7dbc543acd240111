"""Long recordings, cut into rows of one length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from latens.data.sound.views import Windows
from latens.data.source import ArraySource
from latens.utils.errors import InputError


def windows(recordings: Any, length: int, hop: int | None = None, *, rate: int | None = None) -> ArraySource:
    """Signals of ``length`` steps, one every ``hop`` steps of a recording; NaN is missing.

    Args:
        recordings: an array ``(T,)`` or ``(T, C)``, or several of them in a list.
        length: steps of a window.
        hop: steps from one window to the next; ``length`` if None: they do not overlap.
        rate: samples a second, kept for those who would hear or plot them.

    Returns:
        Rows ``(n, length)`` or ``(n, length, C)``, named by the steps that they hold, such as ``128-383``.

    Raises:
        InputError: no recording is as long as a window, or their channels differ.

    Example:
        >>> source = windows(np.arange(10.0), 4, hop=3)
        >>> source.take(np.arange(len(source)))
        array([[0., 1., 2., 3.],
               [3., 4., 5., 6.],
               [6., 7., 8., 9.]])
        >>> source.names
        ['0-3', '3-6', '6-9']
    """
    view = Windows(length, hop, rate)
    step = hop or length
    many = isinstance(recordings, list | tuple) and np.ndim(recordings[0]) > 0
    given = [np.asanyarray(item) for item in (recordings if many else [recordings])]
    shapes = {item.shape[1:] for item in given}
    if len(shapes) != 1 or any(item.ndim not in (1, 2) for item in given):
        raise InputError(f"recordings are (T,) or (T, C), all with the same channels; got {_shapes(given)}")
    kept = [i for i, item in enumerate(given) if len(item) >= length]
    if not kept:
        longest = max(map(len, given))
        raise InputError(f"a window of {length} steps is longer than the longest recording, which has {longest}")
    parts = [np.lib.stride_tricks.sliding_window_view(given[i], length, axis=0, subok=True)[::step] for i in kept]
    parts = [np.moveaxis(part, -1, 1) for part in parts]
    rows = parts[0] if len(parts) == 1 else np.concatenate(parts)
    rows = rows[..., 0] if rows.ndim == 3 and rows.shape[2] == 1 else rows
    names = [
        f"{f'{i}:' if many else ''}{start}-{start + length - 1}"
        for i, part in zip(kept, parts)
        for start in range(0, len(part) * step, step)
    ]
    source = ArraySource(rows, names=names, kind="signal", notes=_notes(given, kept, parts, length, step))
    source.schema = replace(source.schema, view=view)
    return source


def _notes(given: Sequence[np.ndarray], kept: list[int], parts: list[np.ndarray], length: int, step: int) -> list[str]:
    total, count = sum(map(len, given)), sum(map(len, parts))
    left = sum(len(given[i]) - ((len(part) - 1) * step + length) for i, part in zip(kept, parts))
    several = f"{len(given)} recordings" if len(given) > 1 else "one recording"
    notes = [f"{several} of {total:,} steps cut into {count:,} windows of {length}, one every {step} steps"]
    if left:
        notes.append(f"the last {left} steps, less than a window, are left out")
    if len(kept) < len(given):
        notes.append(f"{len(given) - len(kept)} recordings shorter than a window are left out")
    return notes


def _shapes(given: Sequence[np.ndarray]) -> str:
    return ", ".join(str(item.shape) for item in given[:5]) + (" ..." if len(given) > 5 else "")
