"""Short-time spectra, mel bands, and the way back to a waveform. Waveforms are rows: ``(n, length)``, full scale 1.

A spectrum of ``window`` samples is taken every ``hop = window / 4`` of them, under a Hann window w, with zeros before
and after: frame f is centred at sample f hop, and there are 1 + length // hop. The squares of w at that hop add up to
3/2 everywhere, so that no sample counts more than another.
"""

from __future__ import annotations

import numpy as np

OVERLAP = 4
"""Windows that cover a sample."""
SQUARES = 1.5
"""What the squares of these windows add up to: OVERLAP times 3/8, the mean square of a Hann window."""


def hann(window: int) -> np.ndarray:
    """(1 - cos(2 pi i / window)) / 2, ``(window,)``.

    >>> sum(hann(16).reshape(OVERLAP, -1) ** 2)
    array([1.5, 1.5, 1.5, 1.5])
    """
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)


def stft(waves: np.ndarray, window: int) -> np.ndarray:
    """sum_i w_i x_{f hop + i - window/2} exp(-2 pi i k j / window): ``(n, frames, window / 2 + 1)``, complex."""
    return np.fft.rfft(_framed(waves, window) * hann(window))


def istft(spectra: np.ndarray, window: int, length: int) -> np.ndarray:
    """The waveform ``(n, length)`` whose spectra are nearest: overlapped, weighted by w, divided by the sum of w^2.

    Reference: Griffin and Lim, *Signal estimation from modified short-time Fourier transform*, 1984.
    """
    frames = np.fft.irfft(spectra, window) * hann(window)
    total = _overlapped(frames)
    weight = _overlapped(np.broadcast_to(hann(window) ** 2, (1, *frames.shape[1:])))
    middle = slice(window // 2, window // 2 + length)
    return total[:, middle] / weight[:, middle]


def _framed(waves: np.ndarray, window: int) -> np.ndarray:
    """Pieces of a window every hop, ``(n, frames, window)``."""
    hop, length = window // OVERLAP, waves.shape[1]
    total = length // hop * hop + window
    padded = np.pad(waves, ((0, 0), (window // 2, total - window // 2 - length)))
    return np.lib.stride_tricks.sliding_window_view(padded, window, axis=1)[:, ::hop]


def _overlapped(frames: np.ndarray) -> np.ndarray:
    """The sum of pieces, each a hop after the one before."""
    n, count, window = frames.shape
    parts = frames.reshape(n, count, OVERLAP, window // OVERLAP)
    out = np.zeros((n, count + OVERLAP - 1, window // OVERLAP))
    for i in range(OVERLAP):
        out[:, i : i + count] += parts[:, :, i]
    return out.reshape(n, -1)


def power(spectra: np.ndarray) -> np.ndarray:
    """|X|^2 in units in which all bins of a sine of amplitude a add up to a^2."""
    window = 2 * (spectra.shape[-1] - 1)
    return np.square(np.abs(spectra)) * (8 * OVERLAP / (2 * SQUARES * window**2))


def hertz(mel: np.ndarray) -> np.ndarray:
    """700 (10^(m / 2595) - 1), the frequency of a place on the mel scale.

    >>> hertz(mels(np.array([0.0, 1000.0]))).round(9)
    array([   0., 1000.])
    """
    return 700.0 * np.expm1(np.asarray(mel) * (np.log(10.0) / 2595.0))


def mels(frequency: np.ndarray) -> np.ndarray:
    """2595 log10(1 + f / 700), f in hertz.

    Reference: O'Shaughnessy, *Speech communication*, 1987.
    """
    return np.log1p(np.asarray(frequency) / 700.0) * (2595.0 / np.log(10.0))


def filterbank(rate: int, window: int, bands: int) -> np.ndarray:
    """Triangles over the bins of a spectrum, ``(bands, window / 2 + 1)``: each the mean of its triangle over the bin.

    The corners are evenly spaced on the mel scale from 0 to rate / 2; a triangle rises from the centre before its own
    to 1 and falls to 0 at the next, so that between the first centre and the last all of them add up to 1: no band is
    empty, however narrow, and no power is lost.

    >>> bank = filterbank(8000, 256, 40)
    >>> bank.shape, bool((bank.sum(1) > 0).all()), bank.sum(0)[4:100:40].round(12)
    ((40, 129), True, array([1., 1., 1.]))
    """
    corners = hertz(np.linspace(0.0, mels(np.array(rate / 2.0)), bands + 2))
    step = rate / window
    edges = (np.arange(window // 2 + 2) - 0.5) * step
    rising = _risen(edges, corners[:-1, None], corners[1:, None])  # (bands + 1, bins + 1), the area under each ramp
    return np.maximum(np.diff(rising[:-1] - rising[1:], axis=1) / step, 0.0)


def _risen(x: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The area, up to x, below what rises from 0 at ``low`` to 1 at ``high`` and stays there."""
    inside = np.clip(x, low, high) - low
    return inside**2 / (2 * (high - low)) + np.maximum(x - high, 0.0)


def unmel(energies: np.ndarray, bank: np.ndarray, steps: int = 100) -> np.ndarray:
    """argmin_{P >= 0} |bank P - energies|^2, ``(..., bands)`` to ``(..., bins)``, by steps that keep P positive.

    There are more bins than bands; of all that fit, steps from an even spread find a smooth one, where an exact solver
    would put all power into few bins.

    Reference: Lee and Seung, *Algorithms for non-negative matrix factorization*, 2000: no step makes it worse.
    """
    gram, wanted = bank.T @ bank, energies @ bank
    found = energies @ (bank / bank.sum(1, keepdims=True))
    for _ in range(steps):
        found = found * (wanted / np.maximum(found @ gram, 1e-30))
    return found


def griffin_lim(magnitudes: np.ndarray, window: int, length: int, steps: int = 60) -> np.ndarray:
    """A waveform ``(n, length)`` whose spectra have these magnitudes ``(n, frames, bins)``, as nearly as steps find.

    Each step keeps the phases of the waveform's own spectra and puts the wanted magnitudes in their place; the distance
    never grows. The first phases are random, the same at every call.

    Reference: Griffin and Lim, *Signal estimation from modified short-time Fourier transform*, 1984.
    """
    turns = np.random.default_rng(0).random(magnitudes.shape)
    waves = istft(magnitudes * np.exp(2j * np.pi * turns), window, length)
    for _ in range(steps):
        spectra = stft(waves, window)
        waves = istft(magnitudes * (spectra / np.maximum(np.abs(spectra), 1e-12)), window, length)
    return waves


def convergence(waves: np.ndarray, magnitudes: np.ndarray, window: int) -> np.ndarray:
    """||STFT(x)| - wanted| / |wanted|, ``(n,)``: 0 where the magnitudes are met."""
    apart = np.abs(stft(waves, window)) - magnitudes
    size = np.maximum(np.linalg.norm(magnitudes, axis=(1, 2)), 1e-30)
    return np.linalg.norm(apart, axis=(1, 2)) / size
