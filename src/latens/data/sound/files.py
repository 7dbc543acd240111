"""One file of sound: WAV through scipy, everything else through soundfile, which is an extra."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from latens.utils.errors import InputError

ENDINGS = frozenset((".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au"))
PLAIN = frozenset((".wav", ".wave"))
_LEVELS = {"u1": 2.0**7, "i2": 2.0**15, "i4": 2.0**31, "f4": 1.0, "f8": 1.0}
"""Full scale of each type of sample; 24 bits come in the upper bytes of 32."""
_RUN = 3
"""So many neighbouring samples at full scale are clipped."""


class Sound(NamedTuple):
    """A recording.

    Args:
        samples: ``(n, channels)``, float64, full scale 1.
        rate: samples a second.
        clipped: whether it ran into full scale.
    """

    samples: np.ndarray
    rate: int
    clipped: bool


def read_sound(path: Path) -> Sound:
    """The recording of a file.

    Raises:
        InputError: in one line, why it cannot be read.
    """
    if not os.path.getsize(path):
        raise InputError("it is empty")
    rate, samples = _read_wav(path) if path.suffix.lower() in PLAIN else _read_other(path)
    return sound(samples, rate)


def sound(samples: Any, rate: int) -> Sound:
    """Samples of any type ``(n,)`` or ``(n, channels)`` as a recording.

    >>> sound(np.array([0, 16384, -32768], np.int16), 8000).samples.ravel()
    array([ 0. ,  0.5, -1. ])
    """
    samples = np.asarray(samples)
    full = _LEVELS.get(samples.dtype.str[1:])
    if samples.ndim not in (1, 2) or full is None:
        raise InputError(
            f"a recording is (n,) or (n, channels) floats or integers; got {samples.dtype} {samples.shape}"
        )
    if not samples.size:
        raise InputError("it holds no samples")
    scaled = samples.reshape(len(samples), -1) / full - (1.0 if samples.dtype == np.uint8 else 0.0)
    if not np.isfinite(scaled).all():
        raise InputError("it holds NaN or infinity")
    ceiling = 1.0 - 2.0**-7 if samples.dtype == np.uint8 else 1.0 - 2.0**-15
    return Sound(scaled, int(rate), _has_run(np.abs(scaled) >= ceiling))


def _has_run(high: np.ndarray) -> bool:
    n = len(high) - _RUN + 1
    return n > 0 and bool(np.logical_and.reduce([high[i : i + n] for i in range(_RUN)]).any())


def _read_wav(path: Path) -> tuple[int, np.ndarray]:
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wavfile.WavFileWarning)
            warnings.filterwarnings("error", "Reached EOF prematurely", wavfile.WavFileWarning)
            return wavfile.read(path)
    except wavfile.WavFileWarning:
        raise InputError("it is truncated") from None
    except Exception as error:  # scipy tells damage by errors of many kinds
        reason = " ".join(str(error).split())
        if "Unknown wave file format" in reason:  # compressed
            return _read_other(path)
        with open(path, "rb") as file:
            known = file.read(4) in (b"RIFF", b"RIFX", b"RF64")
        raise InputError(f"it is damaged ({reason[:80]})" if known else "it is no WAV file") from None


def _read_other(path: Path) -> tuple[int, np.ndarray]:
    try:
        import soundfile
    except ImportError:
        raise InputError(
            f'reading {path.suffix} needs the extra "audio": pip install "latens[audio]", or convert it to plain WAV'
        ) from None
    try:
        samples, rate = soundfile.read(path, always_2d=True)
    except (RuntimeError, OSError) as error:
        raise InputError(f"it is damaged or no sound ({' '.join(str(error).split())[-80:]})") from None
    return rate, samples


def write_wav(path: Path | BinaryIO, wave: np.ndarray, rate: int) -> None:
    """A waveform ``(n,)`` or ``(n, channels)`` as 16 bits; one that exceeds full scale 1 is brought down to it."""
    from scipy.io import wavfile

    loudest = max(1.0, float(np.abs(wave).max()))
    wavfile.write(path, rate, np.rint(np.asarray(wave, np.float64) / loudest * 32767.0).astype(np.int16))
