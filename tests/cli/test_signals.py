"""Signals and sound at the shell: from files to a run, and from a run to files that play."""

import base64
import io
import re

import numpy as np
import pytest
from scipy.io import wavfile

import latens
from latens.data.sound.files import write_wav
from latens.data.write import write_array
from latens.utils import InputError

TINY = ["--latents", "2", "--encoder", "MLP((8,))", "--decoder", "MLP((8,))", "--epochs", "2"]


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """One long recording of two channels as a table with a line for each step."""
    t = np.arange(900)
    X = np.column_stack([np.sin(t / 5), 20 + np.cos(t / 7)]) + 0.1 * np.random.default_rng(0).normal(size=(900, 2))
    path = tmp_path_factory.mktemp("sensor") / "sensor.csv"
    np.savetxt(path, X, delimiter=",", header="a,b", comments="")
    return path


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """Chirps of two kinds."""
    folder, rng = tmp_path_factory.mktemp("sound"), np.random.default_rng(0)
    t = np.arange(1600) / 8000
    for kind, turn in (("up", 2000.0), ("down", -500.0)):
        (folder / kind).mkdir()
        for i in range(15):
            wave = 0.4 * np.sin(2 * np.pi * (rng.uniform(400, 700) + turn * t) * t) + 0.01 * rng.normal(size=1600)
            write_wav(folder / kind / f"{i}.wav", wave, 8000)
    return folder


def test_a_recording_is_cut_learned_scored_by_window_and_told(recording, tmp_path, call, ask):
    run = tmp_path / "run"
    status, out, err = call("train", recording, "--window", 50, "--hop", 25, "-o", run, *TINY)
    assert status == 0, err
    assert "note: one recording of 900 steps cut into 35 windows of 50, one every 25 steps" in err
    assert "windows of 50 steps in 2 channels" in out
    status, _, err = call("score", run, recording, "-o", tmp_path / "s.csv", "--k", 4)
    assert status == 0, err
    lines = (tmp_path / "s.csv").read_text().splitlines()
    assert [line.split(",")[0].strip('"') for line in lines[1:3]] == ["0-49", "25-74"]
    assert ask("sample", run, "-n", 3, "-o", tmp_path / "x.npy")["shape"] == [3, 50, 2]
    page = (run / "report.html").read_text()
    assert all(word in page for word in ("Originals and reconstructions", "2 channels one above the other", "Samples"))
    assert "<audio" not in page
    assert call("report", run)[0] == 0  # which reads the data again, as they were
    status, _, err = call("sample", run, "-n", 2, "-o", tmp_path / "x.wav")
    assert (status, err[:40]) == (2, "latens: cannot write sound (.wav): these")


def test_sound_is_learned_and_played(spoken, tmp_path, call, ask):
    run = tmp_path / "run"
    status, out, err = call("train", spoken, "-o", run, "--view", "LogMel(bands=20)", *TINY)
    assert status == 0, err
    assert "log-mel spectrograms of 0.2 s at 8000 Hz" in out
    assert "density of log-mel spectrograms, in decibels" in out
    assert ask("sample", run, "-n", 3, "-o", tmp_path / "new")["what"].startswith("decoder means")
    vae = latens.load(run)
    expected = vae.schema_.view.waveforms(vae.sample(3, vae.seed_, mean=True))
    for i in range(3):
        rate, wave = wavfile.read(tmp_path / "new" / f"{i}.wav")
        assert (rate, wave.shape) == (8000, (1600,))
        np.testing.assert_allclose(wave / 32767.0, expected[i] / max(1.0, np.abs(expected[i]).max()), atol=1e-4)
    page = (run / "report.html").read_text()
    assert "Listen" in page
    assert "in the units of log-mel spectrograms" in page
    found = re.findall(r'<audio controls preload="metadata" src="data:audio/wav;base64,([^"]+)"', page)
    assert len(found) == 3 + 3 + 8  # all that was held out, what comes back of it, and samples
    assert wavfile.read(io.BytesIO(base64.b64decode(found[0])))[0] == 8000
    assert wavfile.read(run / "samples" / "means.wav")[0] == 8000


def test_other_recordings_are_brought_to_those_fitted(spoken, tmp_path, call):
    run = tmp_path / "run"
    assert call("train", spoken, "-o", run, "--view", "Waveform(seconds=0.1)", *TINY)[0] == 0
    stereo = np.column_stack([np.sin(np.arange(8000) / 9), np.cos(np.arange(8000) / 9)]) / 3
    write_wav(tmp_path / "a.wav", stereo, 44100)
    status, _, err = call("score", run, tmp_path / "a.wav", "-o", tmp_path / "s.csv", "--k", 2)
    assert status == 0, err
    assert "1 of 1 recordings resampled from 44100 to 8000 Hz" in err
    assert "1 of 1 recordings of several channels, which are averaged" in err
    (tmp_path / "b.wav").write_text("no sound at all, but a text")
    told = (2, f"latens: cannot read {tmp_path}/b.wav: it is no WAV file\n")
    assert call("score", run, tmp_path / "b.wav")[::2] == told


REFUSED = {
    "hop": (["--hop", "5"], "--hop is the distance of windows; say how long they are with --window"),
    "both": (["--window", "5", "--view", "LogMel()"], "give one of them"),
    "view": (["--view", "MLP((8,))"], "--view expects LogMel() or Waveform(); got MLP((8,))"),
    "kind": (["--kind", "sginal"], "did you mean 'signal'"),
    "not sound": (["--view", "LogMel()"], "LogMel() is a view of files of sound"),
}


@pytest.mark.parametrize(("flags", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused_in_one_line(recording, tmp_path, call, flags, said):
    status, out, err = call("train", recording, "-o", tmp_path / "run", *flags)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_sound_of_rows_without_a_rate_is_refused(tmp_path):
    with pytest.raises(InputError, match="no recordings"):
        write_array(tmp_path / "a.wav", np.zeros((2, 9)))
