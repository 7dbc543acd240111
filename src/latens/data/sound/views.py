"""How a recording becomes a row, and a row a recording: values that a `Schema` keeps.

A view that is left open is settled by the recordings it is for; what was chosen is then part of the model, so that
other recordings are brought to the same rate and length.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from latens.data.schema import steps
from latens.data.sound import mel
from latens.utils.errors import InputError
from latens.utils.value import Value

FLOOR = 1e-8
"""The power that is added before the logarithm: 80 dB below a sine of full scale."""
_BLOCK = 32


class View(Value, ABC):
    """What a model sees of recordings.

    Attributes:
        rate: samples a second; None where it is not known.
        measured: what densities and errors are of, in words.
    """

    rate: int | None
    measured: ClassVar[str] = "the data as given"

    @abstractmethod
    def waveforms(self, rows: np.ndarray) -> np.ndarray:
        """Rows as waveforms ``(n, length)`` or ``(n, length, channels)``, full scale 1."""

    @abstractmethod
    def told(self, shape: tuple[int, ...]) -> str:
        """What rows of this shape are, in words."""


@dataclass(frozen=True, repr=False)
class Windows(View):
    """Pieces of long recordings: ``length`` steps, one every ``hop`` of them.

    Args:
        length: steps of a piece.
        hop: steps from one to the next; ``length`` if None: they do not overlap.
        rate: samples a second, where the recordings tell it.

    Example:
        >>> Windows(256, 128).told((256, 3))
        'windows of 256 steps in 3 channels'
    """

    length: int
    hop: int | None = None
    rate: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("length", self.length), ("hop", self.hop)):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise InputError(f"Windows expects {name} to be a positive number of steps; got {value!r}.")

    def waveforms(self, rows: np.ndarray) -> np.ndarray:
        """The rows themselves."""
        return rows

    def told(self, shape: tuple[int, ...]) -> str:
        """Their length and channels."""
        rate = f" at {self.rate} Hz" if self.rate else ""
        return f"windows of {steps(shape)}{rate}"


@dataclass(frozen=True, repr=False)
class AudioView(View):
    """Recordings of one rate and one length.

    Args:
        rate: samples a second; the most common one of the files if None.
        seconds: how long a row is; what 19 of 20 files fit into, at most 4, if None. What is longer is cut, what is
            shorter ends in silence.
    """

    rate: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("rate", "seconds"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and 0 < value < math.inf):
                raise InputError(f"{type(self).__name__} expects {name} to be a positive number; got {value!r}.")
        if self.rate is not None and self.rate != int(self.rate):
            raise InputError(f"{type(self).__name__} expects rate to be a whole number of hertz; got {self.rate!r}.")

    def settled(self, rate: int, seconds: float) -> Self:
        """What is open chosen."""
        return replace(self, rate=self.rate or rate, seconds=self.seconds or seconds)

    @property
    def length(self) -> int:
        """Samples of a row's waveform."""
        return round((self.seconds or 0) * (self.rate or 0))

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of a row."""

    @abstractmethod
    def rows(self, waves: np.ndarray) -> np.ndarray:
        """Waveforms ``(n, length)`` of full scale 1 as rows ``(n, *shape)``, float32."""

    def told(self, shape: tuple[int, ...]) -> str:
        """What it is, how long, and at which rate."""
        return f"{self._noun} of {self.seconds:.4g} s at {self.rate} Hz"

    _noun = ""


@dataclass(frozen=True, repr=False)
class Waveform(AudioView):
    """The samples of a recording, full scale 1.

    Args:
        rate: samples a second; the most common one of the files if None.
        seconds: how long a row is; chosen from the files if None.

    Example:
        >>> Waveform(8000, 0.5).shape
        (4000,)
    """

    _noun = "waveforms"

    @property
    def shape(self) -> tuple[int, ...]:
        """``(length,)``."""
        return (self.length,)

    def rows(self, waves: np.ndarray) -> np.ndarray:
        """As they are."""
        return waves.astype(np.float32)

    def waveforms(self, rows: np.ndarray) -> np.ndarray:
        """As they are."""
        return rows


@dataclass(frozen=True, repr=False)
class LogMel(AudioView):
    """10 log10(M |STFT(x)|^2 + 1e-8): the power in bands of the mel scale over time, in decibels of a full-scale sine.

    Phases are gone: scores and errors are of the spectrogram. ``waveforms`` finds sound that has it.

    Args:
        rate: samples a second; the most common one of the files if None.
        seconds: how long a row is; chosen from the files if None.
        bands: of the mel scale; 40 up to 8000 Hz, 64 up to 16000, 80 above, if None.
        window: samples of a spectrum, a multiple of 4; the power of two next to 32 ms if None.

    Example:
        >>> LogMel(8000, 0.5).settled(8000, 0.5)
        LogMel(8000, 0.5, 40, 256)
        >>> LogMel(8000, 0.5, 40, 256).shape  # a frame every 64 samples
        (63, 40)
    """

    bands: int | None = None
    window: int | None = None

    measured: ClassVar[str] = "log-mel spectrograms, in decibels, without the phases of the sound"
    _noun = "log-mel spectrograms"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bands is not None and not (isinstance(self.bands, int) and self.bands > 0):
            raise InputError(f"LogMel expects bands to be a positive number; got {self.bands!r}.")
        if self.window is not None and not (isinstance(self.window, int) and self.window > 0 and self.window % 4 == 0):
            raise InputError(f"LogMel expects window to be a positive multiple of 4 samples; got {self.window!r}.")

    def settled(self, rate: int, seconds: float) -> Self:
        """What is open chosen."""
        found = super().settled(rate, seconds)
        rate = found.rate or rate
        bands = found.bands or (40 if rate <= 8000 else 64 if rate <= 16000 else 80)
        return replace(found, bands=bands, window=found.window or 2 ** round(math.log2(0.032 * rate)))

    @property
    def shape(self) -> tuple[int, ...]:
        """``(frames, bands)``."""
        return (1 + self.length // (self._window // mel.OVERLAP), self._bands)

    @property
    def _window(self) -> int:
        return self.window or 0

    @property
    def _bands(self) -> int:
        return self.bands or 0

    @property
    def bank(self) -> np.ndarray:
        """The triangles, ``(bands, bins)``."""
        return mel.filterbank(self.rate or 0, self._window, self._bands)

    def rows(self, waves: np.ndarray) -> np.ndarray:
        """Decibels, ``(n, frames, bands)``."""
        out, bank = np.empty((len(waves), *self.shape), np.float32), self.bank
        for start in range(0, len(waves), _BLOCK):
            energies = mel.power(mel.stft(waves[start : start + _BLOCK], self._window)) @ bank.T
            out[start : start + _BLOCK] = 10.0 * np.log10(energies + FLOOR)
        return out

    def told(self, shape: tuple[int, ...]) -> str:
        """What it is, how long, at which rate, and how many frames and bands."""
        return f"{super().told(shape)}, {shape[0]}x{shape[1]}"

    def waveforms(self, rows: np.ndarray) -> np.ndarray:
        """Sound with these spectrograms: powers that fit the bands, then phases that fit the powers."""
        out, bank = np.empty((len(rows), self.length), np.float32), self.bank
        unit = mel.power(np.ones((1, 1, self._window // 2 + 1))).flat[0]
        for start in range(0, len(rows), _BLOCK):
            energies = np.maximum(10.0 ** (rows[start : start + _BLOCK].astype(np.float64) / 10.0) - FLOOR, 0.0)
            magnitudes = np.sqrt(mel.unmel(energies, bank) / unit)
            out[start : start + _BLOCK] = mel.griffin_lim(magnitudes, self._window, self.length)
        return out
