"""Files of sound: every depth and rate, and what is wrong with some, each in one line."""

import struct
import sys

import numpy as np
import pytest
from scipy.io import wavfile

from latens.data import LogMel, Waveform, audio, load
from latens.data.sound.files import read_sound, write_wav
from latens.data.sound.recordings import Recordings
from latens.utils import InputError

RNG = np.random.default_rng(0)
RATE = 8000


def tone(frequency=440.0, seconds=0.2, rate=RATE, level=0.5):
    return level * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def pcm24(path, wave, rate=RATE):
    """A file of 24 bits, by hand."""
    whole = np.rint(wave * (2**23 - 1)).astype("<i4")
    content = b"".join(struct.pack("<i", int(v))[:3] for v in whole)
    head = b"RIFF" + struct.pack("<I", 36 + len(content)) + b"WAVEfmt "
    head += struct.pack("<IHHIIHH", 16, 1, 1, rate, rate * 3, 3, 24) + b"data" + struct.pack("<I", len(content))
    path.write_bytes(head + content)


DEPTHS = {
    "8 bits": (lambda path, x: wavfile.write(path, RATE, np.rint(x * 127 + 128).astype(np.uint8)), 1e-2),
    "16 bits": (lambda path, x: wavfile.write(path, RATE, np.rint(x * 32767).astype(np.int16)), 1e-4),
    "24 bits": (pcm24, 1e-6),
    "32 bits": (lambda path, x: wavfile.write(path, RATE, np.rint(x * (2**31 - 1)).astype(np.int32)), 1e-8),
    "float": (lambda path, x: wavfile.write(path, RATE, x.astype(np.float32)), 1e-7),
    "double": (lambda path, x: wavfile.write(path, RATE, x), 1e-15),
}


@pytest.mark.parametrize(("write", "step"), DEPTHS.values(), ids=DEPTHS)
def test_every_depth_has_the_same_full_scale(tmp_path, write, step):
    write(tmp_path / "a.wav", tone())
    samples, rate, clipped = read_sound(tmp_path / "a.wav")
    assert (rate, clipped, samples.shape) == (RATE, False, (1600, 1))
    np.testing.assert_allclose(samples[:, 0], tone(), atol=step)


def test_compressed_files_are_read_with_the_extra_and_named_without_it(tmp_path, monkeypatch):
    soundfile = pytest.importorskip("soundfile")
    for ending in ("flac", "ogg"):
        soundfile.write(tmp_path / f"a.{ending}", tone(seconds=0.5), RATE)
        samples, rate, _ = read_sound(tmp_path / f"a.{ending}")
        assert (rate, samples.shape) == (RATE, (4000, 1))
        assert np.corrcoef(samples[500:3500, 0], tone(seconds=0.5)[500:3500])[0, 1] > 0.99
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(
        InputError, match=r'a\.flac: reading \.flac needs the extra "audio": pip install "latens\[audio\]"'
    ):
        audio(tmp_path / "a.flac")


def folder(path):
    """Tones of two kinds in folders: of other rates and lengths, stereo, clipped, silent."""
    for name, frequency in (("low", 200.0), ("high", 1000.0)):
        (path / name).mkdir()
        for i in range(10):
            write_wav(path / name / f"{i}.wav", tone(frequency, 0.2 + 0.001 * i), RATE)
    write_wav(path / "low" / "10.wav", tone(200.0, 0.2, 16000), 16000)
    write_wav(path / "low" / "11.wav", np.column_stack([tone(200.0), np.zeros(1600)]), RATE)
    wavfile.write(path / "high" / "12.wav", RATE, (np.clip(3 * tone(1000.0), -1, 1) * 32767).astype(np.int16))
    write_wav(path / "high" / "13.wav", np.zeros(1600), RATE)
    write_wav(path / "high" / "14.wav", tone(1000.0, 1.0), RATE)
    return path


def test_a_folder_is_brought_to_one_rate_channel_and_length_and_says_so(tmp_path):
    source = load(folder(tmp_path), view=Waveform())
    assert source.schema.view == Waveform(8000, 0.209)
    assert source.schema.summary.startswith("waveforms of 0.209 s at 8000 Hz, float32")
    assert source.notes == [
        "1 of 25 recordings resampled from 16000 to 8000 Hz",
        "1 of 25 recordings of several channels, which are averaged",
        "1 of 25 recordings cut to their first 0.209 s",
        "22 of 25 recordings ended with silence up to 0.209 s",
        "1 of 25 recordings clipped: they run into full scale",
        "1 of 25 recordings silent throughout",
    ]
    assert source.schema.classes == ("high", "low")
    rows = dict(zip(source.names, source.take(np.arange(25))))
    np.testing.assert_allclose(rows["low/0.wav"][:1600], tone(200.0), atol=1e-4)
    assert not rows["low/0.wav"][1600:].any()
    np.testing.assert_allclose(rows["low/11.wav"][:1600], tone(200.0) / 2, atol=1e-4)
    np.testing.assert_allclose(rows["low/10.wav"][50:1550], tone(200.0)[50:1550], atol=5e-3)
    np.testing.assert_allclose(rows["high/14.wav"], tone(1000.0, 0.209), atol=1e-4)


def test_a_folder_of_sound_is_seen_as_spectrograms_and_streamed_where_it_is_large(tmp_path):
    held, streamed = load(folder(tmp_path)), load(tmp_path, memory=0)
    assert held.schema.view == streamed.schema.view == LogMel(8000, 0.209, 40, 256)
    assert (held.in_memory, streamed.in_memory) == (True, False)
    assert isinstance(streamed, Recordings)
    assert held.schema.shape == (27, 40)
    some = np.array([24, 3, 3])
    np.testing.assert_array_equal(held.take(some), streamed.take(some))
    assert held.labels.tolist() == streamed.labels.tolist()
    again = load(tmp_path / "high" / "14.wav", view=held.schema.view)
    np.testing.assert_array_equal(
        again.take(np.array([0]))[0], held.take(np.array([held.names.index("high/14.wav")]))[0]
    )


def test_waveforms_in_a_list_are_what_their_files_are(tmp_path):
    waves = [tone(300.0, 0.1), tone(600.0, 0.3)]
    for i, wave in enumerate(waves):
        wavfile.write(tmp_path / f"{i}.wav", RATE, wave)
    listed, files = audio(waves, RATE, labels=["a", "b"]), load(tmp_path)
    np.testing.assert_array_equal(listed.take(np.arange(2)), files.take(np.arange(2)))
    assert listed.schema.classes == ("a", "b")
    with pytest.raises(InputError, match=r"waveforms tell no rate; .* audio\(waveforms, 8000\)"):
        audio(waves)
    with pytest.raises(InputError, match=r"there are 2 recordings but labels of shape \(3,\)"):
        audio(waves, RATE, labels=["a", "b", "c"])


def _truncated(path):
    write_wav(path, tone(), RATE)
    path.write_bytes(path.read_bytes()[:-1000])


BAD = {
    "empty": (lambda path: path.write_bytes(b""), "it is empty"),
    "text": (lambda path: path.write_text("once upon a time, there was a file"), "it is no WAV file"),
    "header alone": (lambda path: path.write_bytes(b"RIFF\x24\0\0\0WAVE"), "it is damaged"),
    "truncated": (_truncated, "it is truncated"),
    "no samples": (lambda path: wavfile.write(path, RATE, np.zeros(0, np.int16)), "it holds no samples"),
    "not a number": (lambda path: wavfile.write(path, RATE, np.full(9, np.nan)), "it holds NaN or infinity"),
}


@pytest.mark.parametrize(("write", "said"), BAD.values(), ids=BAD)
def test_a_bad_file_is_one_line_by_itself_and_passed_over_among_many(tmp_path, write, said):
    write(tmp_path / "bad.wav")
    with pytest.raises(InputError, match=rf"^cannot read .*bad\.wav: {said}"):
        load(tmp_path / "bad.wav")
    for i in range(9):
        write_wav(tmp_path / f"{i}.wav", tone(), RATE)
    source = load(tmp_path)
    assert [name for name, why in source.skipped if said in why] == ["bad.wav"]
    assert len(source) == 9


def test_views_are_checked():
    for make, said in (
        (lambda: LogMel(window=6), "multiple of 4"),
        (lambda: LogMel(bands=0), "positive number"),
        (lambda: Waveform(seconds=-1.0), "positive number"),
        (lambda: Waveform(rate=0.5), "whole number of hertz"),
    ):
        with pytest.raises(InputError, match=said):
            make()


def test_a_written_file_has_the_level_and_never_more_than_full_scale(tmp_path):
    write_wav(tmp_path / "a.wav", tone(level=0.25), RATE)
    np.testing.assert_allclose(read_sound(tmp_path / "a.wav").samples[:, 0], tone(level=0.25), atol=1e-4)
    write_wav(tmp_path / "b.wav", 2 * tone(level=1.0), RATE)
    assert np.abs(read_sound(tmp_path / "b.wav").samples).max() <= 1.0
