"""Short-time spectra and mel bands against their definitions, by slow and obvious sums."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import nnls

from latens.data import LogMel
from latens.data.sound import mel

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("window", [8, 12, 256])
def test_squares_of_windows_add_up_to_the_same_everywhere(window):
    hop = window // mel.OVERLAP
    total = np.zeros(20 * hop)
    for start in range(0, len(total) - window + 1, hop):
        total[start : start + window] += mel.hann(window) ** 2
    np.testing.assert_allclose(total[window:-window], mel.SQUARES, rtol=1e-12)


@pytest.mark.parametrize("length", [1, 15, 16, 17, 100])
def test_a_spectrum_is_the_sum_of_its_definition_and_goes_back(length):
    window, hop = 16, 4
    x = RNG.normal(size=(2, length))
    spectra = mel.stft(x, window)
    assert spectra.shape == (2, 1 + length // hop, 9)
    padded = np.pad(x, ((0, 0), (window, 2 * window)))
    for frame in range(spectra.shape[1]):
        piece = padded[:, window + frame * hop - window // 2 :][:, :window] * mel.hann(window)
        for k in range(9):
            expected = piece @ np.exp(-2j * np.pi * k * np.arange(window) / window)
            np.testing.assert_allclose(spectra[:, frame, k], expected, atol=1e-12)
    np.testing.assert_allclose(mel.istft(spectra, window, length), x, atol=1e-12)


@pytest.mark.parametrize(("rate", "window", "bands"), [(8000, 256, 40), (8000, 64, 30), (44100, 1024, 80), (100, 8, 3)])
def test_a_band_is_its_triangle_integrated_over_each_bin(rate, window, bands):
    bank = mel.filterbank(rate, window, bands)
    corners = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + rate / 2 / 700), bands + 2) / 2595) - 1)
    middles = np.arange(window // 2 + 1) * rate / window
    fine = (np.arange(500) + 0.5) / 500 - 0.5
    for low, middle, high, weights in zip(corners, corners[1:], corners[2:], bank):
        at = middles[:, None] + fine * rate / window
        triangle = np.interp(at, [low, middle, high], [0.0, 1.0, 0.0])
        np.testing.assert_allclose(weights, triangle.mean(1), atol=5e-4)
    assert (bank.sum(1) > 0).all()
    between = (middles - rate / window / 2 >= corners[1]) & (middles + rate / window / 2 <= corners[-2])
    np.testing.assert_allclose(bank.sum(0)[between], 1.0, rtol=1e-12)


@pytest.mark.parametrize("frequency", [150.0, 400.0, 1000.0, 3000.0])
def test_a_tone_is_loudest_in_the_band_whose_centre_is_nearest_and_has_its_level(frequency):
    view = LogMel(8000, 0.5).settled(8000, 0.5)
    tone = 0.1 * np.sin(2 * np.pi * frequency * np.arange(view.length) / 8000)
    rows = view.rows(tone[None])[0].astype(np.float64)
    centres = mel.hertz(np.linspace(0, mel.mels(np.array(4000.0)), view.bands + 2))[1:-1]
    middle = rows[10:-10]
    loudest = middle.mean(0).argmax()
    assert abs(mel.mels(centres[loudest]) - mel.mels(frequency)) <= 0.5 * np.diff(mel.mels(centres))[0] + 1e-6
    level = 10 * np.log10((10 ** (middle / 10)).sum(1))
    np.testing.assert_allclose(level, -20.0, atol=0.2)


def test_silence_is_the_floor():
    view = LogMel(8000, 0.1).settled(8000, 0.1)
    np.testing.assert_allclose(view.rows(np.zeros((1, view.length))), -80.0, rtol=1e-6)
    assert np.abs(view.waveforms(np.full((1, *view.shape), -90.0))).max() == 0.0


def test_powers_that_fit_the_bands_are_as_near_as_the_exact_solver_finds_and_never_negative():
    bank = mel.filterbank(8000, 128, 20)
    wanted = np.abs(RNG.normal(size=(4, 65))) @ bank.T * 10.0 ** RNG.uniform(-3, 0, (4, 1))
    errors = [np.linalg.norm(mel.unmel(wanted, bank, steps) @ bank.T - wanted, axis=1) for steps in (0, 1, 10, 300)]
    assert all((later <= earlier + 1e-12).all() for earlier, later in pairwise(errors))
    exact = [nnls(bank.T @ bank + 1e-12 * np.eye(65), row @ bank)[0] for row in wanted]
    best = np.linalg.norm(np.array(exact) @ bank.T - wanted, axis=1)
    assert (mel.unmel(wanted, bank) >= 0).all()
    assert (errors[-1] <= best + 0.01 * np.linalg.norm(wanted, axis=1)).all()


def test_phases_are_found_step_by_step():
    t = np.arange(2000) / 8000
    x = np.sin(2 * np.pi * (300 + 800 * t) * t)[None] * np.hanning(2000)
    wanted = np.abs(mel.stft(x, 128))
    apart = [float(mel.convergence(mel.griffin_lim(wanted, 128, 2000, n), wanted, 128)[0]) for n in (0, 1, 5, 20, 60)]
    assert all(later < earlier for earlier, later in pairwise(apart))
    assert apart[-1] < 0.15
    assert mel.convergence(x, wanted, 128) == 0.0


def test_a_spectrogram_of_the_sound_that_was_found_is_the_spectrogram():
    """Through the bands, to a waveform and back: of the same level in every band that is heard."""
    view = LogMel(8000, 0.25).settled(8000, 0.25)
    t = np.arange(view.length) / 8000
    x = sum(a * np.sin(2 * np.pi * f * t) for a, f in ((0.3, 220.0), (0.2, 660.0), (0.1, 1800.0))) * np.hanning(len(t))
    rows = view.rows(x[None])
    again = view.rows(view.waveforms(rows).astype(np.float64))
    heard = rows > -40
    assert np.abs(again - rows)[heard].mean() < 2.0
    assert abs(np.abs(view.waveforms(rows)).max() / np.abs(x).max() - 1) < 0.35
