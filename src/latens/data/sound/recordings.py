"""Recordings as rows: a folder of files or a list of waveforms, brought to one rate, one channel, one length."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from latens.data.folders import find_files, folder_labels, refuse_unreadable
from latens.data.schema import Schema
from latens.data.sound.files import ENDINGS, Sound, read_sound, sound
from latens.data.sound.views import FLOOR, AudioView, LogMel, Windows
from latens.data.source import ArraySource, Source, class_names
from latens.data.windows import windows
from latens.utils.errors import InputError

MOST_SECONDS = 4.0
_FIT = 0.95
"""The share of recordings that are not cut where the length is chosen."""
_BLOCK = 64
Readers = Sequence[Callable[[], Sound]]
T = TypeVar("T")


class Heard(NamedTuple):
    """What one pass over a recording tells."""

    rate: int
    seconds: float
    channels: int
    clipped: bool
    silent: bool


class Recordings(Source):
    """Recordings, read when they are taken and never held.

    Each is read once to know that it can be. Channels are averaged, rates brought to one by polyphase filtering; what
    is longer than a row is cut at its end, what is shorter ends in silence. `notes` says how many of each there were.

    Args:
        readers: of each recording; called once to look at it, and again to take it.
        names: of each.
        view: what a model sees of them.
        what: where they come from, in words.

    Raises:
        InputError: none, or more than one in ten cannot be read.
    """

    in_memory = False
    names: list[str]

    def __init__(self, readers: Readers, names: Sequence[str], view: AudioView, path: Path) -> None:
        heard, kept, self.skipped = _read(lambda i: _heard(readers[i]()), names, path)
        self.names, self._readers = [names[i] for i in kept], [readers[i] for i in kept]
        self.view = view.settled(common_rate(heard), fitting(heard))
        self.notes = _notes(heard, self.view)
        self.labels = folder_labels(self.names)
        low, high = (10 * math.log10(FLOOR), 10.0) if isinstance(self.view, LogMel) else (-1.0, 1.0)
        self.schema = Schema(
            "signal", self.view.shape, "float32", low, high, classes=class_names(self.labels), view=self.view
        )

    def __len__(self) -> int:
        return len(self.names)

    def take(self, indices: np.ndarray) -> np.ndarray:
        rows = np.asarray(indices)
        out = np.empty((len(rows), *self.schema.shape), np.float32)
        for start in range(0, len(rows), _BLOCK):
            waves = np.stack([self._wave(int(i)) for i in rows[start : start + _BLOCK]])
            out[start : start + _BLOCK] = self.view.rows(waves)
        return out

    def _wave(self, i: int) -> np.ndarray:
        try:
            found = self._readers[i]()
        except (InputError, OSError) as error:
            raise InputError(f"{self.names[i]} could be read before, but no longer: {error}") from None
        return fitted(resampled(found.samples.mean(1), found.rate, self.view.rate or found.rate), self.view.length)


def _read(
    reader: Callable[[int], T], names: Sequence[str], path: Path
) -> tuple[list[T], list[int], list[tuple[str, str]]]:
    """What a reader gives of each recording that can be read, their places, and why others cannot."""
    found, kept, skipped = [], [], []
    for i, name in enumerate(names):
        try:
            found.append(reader(i))
        except (InputError, OSError) as error:
            skipped.append((name, " ".join(str(error).split())))
            continue
        kept.append(i)
    refuse_unreadable("recordings", path, len(names), skipped, ENDINGS)
    return found, kept, skipped


def pieces(path: Path, view: Windows) -> ArraySource:
    """Windows of a sound file, or of each of a folder: at one rate, with their channels; folders are labels.

    Raises:
        InputError: more than one in ten cannot be read, channels differ, or no recording is as long as a window.
    """
    files, names = _files(path)
    sounds, kept, skipped = _read(lambda i: read_sound(files[i]), names, path)
    names = [names[i] for i in kept]
    rate = view.rate or common_rate(sounds)
    waves = [resampled(found.samples, found.rate, rate).astype(np.float32) for found in sounds]
    source = windows(waves if path.is_dir() else waves[0], view.length, view.hop, rate=rate)
    if path.is_dir():
        places = [name.partition(":") for name in source.names or []]
        labels = folder_labels(names)
        source.labels = None if labels is None else labels[[int(i) for i, *_ in places]]
        source.names = [f"{names[int(i)]}:{steps}" for i, _, steps in places]
        source.schema = replace(source.schema, classes=class_names(source.labels))
    source.notes = [*_counted(len(sounds), _other_rates(sounds, rate)), *source.notes]
    source.skipped = skipped
    return source


def _files(path: Path) -> tuple[list[Path], list[str]]:
    """The files of sound of a folder, or the one that this is, and their names."""
    names = find_files(path, ENDINGS)
    return [path / name if path.is_dir() else path for name in names], names


def audio(
    recordings: Any,
    rate: int | None = None,
    *,
    labels: Any = None,
    view: AudioView | None = None,
    memory: int = 512 * 2**20,
) -> Source:
    """Recordings as rows that a model can be fitted to.

    Args:
        recordings: the path of a sound file or of a folder of them, whose folders are labels; or a list of waveforms
            ``(n,)`` or ``(n, channels)`` of any lengths, floats of full scale 1 or integers.
        rate: samples a second of such waveforms.
        labels: one for each of them.
        view: ``LogMel()`` by default, or ``Waveform()``; what they leave open is chosen from the recordings.
        memory: rows are held where all of them fill at most so many bytes.

    Raises:
        InputError: no recordings, more than one in ten that cannot be read, or waveforms without a rate.

    Example:
        >>> t = np.arange(4000) / 8000
        >>> source = audio([np.sin(2 * np.pi * f * t) for f in (200.0, 400.0, 800.0)], 8000)
        >>> source.schema.summary
        'log-mel spectrograms of 0.5 s at 8000 Hz, 63x40, float32, continuous, seen -80 to -2.0...'
    """
    view = LogMel() if view is None else view
    if isinstance(recordings, str | os.PathLike):
        path = Path(recordings).expanduser()
        files, names = _files(path)
        found = Recordings([partial(read_sound, file) for file in files], names, view, path)
    else:
        if rate is None:
            raise InputError("waveforms tell no rate; say how many samples a second they have: audio(waveforms, 8000)")
        listed = list(recordings)
        names = [str(i) for i in range(len(listed))]
        found = Recordings([partial(sound, wave, rate) for wave in listed], names, view, Path("the list"))
    if labels is not None:
        given, kept = np.asarray(labels), set(found.names)
        if given.shape != (len(names),):
            raise InputError(f"there are {len(names)} recordings but labels of shape {given.shape}")
        found.labels = given[[name in kept for name in names]]
        found.schema = replace(found.schema, classes=class_names(found.labels))
    return held(found) if found.nbytes <= memory else found


def held(source: Recordings) -> ArraySource:
    """The same in memory."""
    rows = source.take(np.arange(len(source)))
    out = ArraySource(
        rows, source.labels, names=source.names, kind="signal", skipped=source.skipped, notes=source.notes
    )
    out.schema = replace(out.schema, view=source.view)
    return out


def resampled(wave: np.ndarray, rate: int, to: int) -> np.ndarray:
    """A waveform at another rate, by a polyphase filter that lets no frequency above half of either through."""
    from scipy.signal import resample_poly

    if rate == to:
        return wave
    shared = math.gcd(rate, to)
    return resample_poly(wave, to // shared, rate // shared)


def fitted(wave: np.ndarray, length: int) -> np.ndarray:
    """Cut at its end, or ended by silence.

    >>> fitted(np.array([1.0, 2.0, 3.0]), 2), fitted(np.array([1.0]), 3)
    (array([1., 2.]), array([1., 0., 0.]))
    """
    return np.pad(wave[:length], (0, max(0, length - len(wave))))


def common_rate(heard: Sequence[Heard | Sound]) -> int:
    """The most common rate; of equally common ones the lowest."""
    counts = Counter(item.rate for item in heard)
    return min(counts, key=lambda rate: (-counts[rate], rate))


def fitting(heard: Sequence[Heard]) -> float:
    """Seconds that 19 of 20 recordings fit into, at most 4."""
    return round(min(MOST_SECONDS, float(np.quantile([item.seconds for item in heard], _FIT, method="higher"))), 4)


def _heard(found: Sound) -> Heard:
    samples, rate, clipped = found
    return Heard(rate, len(samples) / rate, samples.shape[1], clipped, not samples.any())


def _notes(heard: Sequence[Heard], view: AudioView) -> list[str]:
    length = view.seconds or 0.0
    room = 0.5 / (view.rate or 1)
    return _counted(
        len(heard),
        _other_rates(heard, view.rate),
        (sum(item.channels > 1 for item in heard), "of several channels, which are averaged"),
        (sum(item.seconds > length + room for item in heard), f"cut to their first {length:.4g} s"),
        (sum(item.seconds < length - room for item in heard), f"ended with silence up to {length:.4g} s"),
        (sum(item.clipped for item in heard), "clipped: they run into full scale"),
        (sum(item.silent for item in heard), "silent throughout"),
    )


def _counted(n: int, *told: tuple[int, str]) -> list[str]:
    return [f"{count} of {n} recordings {what}" for count, what in told if count]


def _other_rates(heard: Sequence[Heard | Sound], rate: int | None) -> tuple[int, str]:
    rates = sorted({item.rate for item in heard} - {rate})
    return sum(item.rate != rate for item in heard), f"resampled from {_listed(rates)} to {rate} Hz"


def _listed(rates: Sequence[int]) -> str:
    return ", ".join(map(str, rates[:3])) + (" ..." if len(rates) > 3 else "")
