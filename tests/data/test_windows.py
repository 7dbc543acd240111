"""Long recordings cut into windows, each where it says it is."""

import numpy as np
import pytest

from latens.data import Windows, load, windows
from latens.data.sound.files import write_wav
from latens.utils import InputError

X = np.random.default_rng(0).normal(size=(50, 3))


@pytest.mark.parametrize(("length", "hop"), [(8, None), (8, 8), (8, 3), (7, 11), (50, 1)])
@pytest.mark.parametrize("channels", [0, 1, 3])
def test_a_window_holds_the_steps_of_its_name(length, hop, channels):
    recording = X[:, 0] if channels == 0 else X[:, :channels]
    source = windows(recording, length, hop)
    assert len(source) == 1 + (50 - length) // (hop or length)
    assert source.schema.kind == "signal"
    assert source.schema.shape == ((length, 3) if channels == 3 else (length,))
    for name, row in zip(source.names, source.take(np.arange(len(source)))):
        first, last = map(int, name.split("-"))
        np.testing.assert_array_equal(row, recording[first : last + 1].reshape(row.shape))


def test_what_is_left_out_is_told():
    source = windows([X[:20], X[:9], X[:50]], 10, 6)
    assert source.notes == [
        "3 recordings of 79 steps cut into 9 windows of 10, one every 6 steps",
        "the last 8 steps, less than a window, are left out",
        "1 recordings shorter than a window are left out",
    ]
    assert source.names[:3] == ["0:0-9", "0:6-15", "2:0-9"]


def test_files_are_cut_as_arrays_are(tmp_path):
    expected = windows(X, 8, 4)
    np.save(tmp_path / "x.npy", X)
    np.savetxt(tmp_path / "x.csv", X, delimiter=",", header="a,b,c", comments="")
    cut = Windows(8, 4)
    streamed = load(tmp_path / "x.npy", view=cut, memory=0)
    for source in (load(X, view=cut), load(tmp_path / "x.npy", view=cut), load(tmp_path / "x.csv", view=cut), streamed):
        np.testing.assert_allclose(source.take(np.arange(len(source))), expected.take(np.arange(len(expected))))
        assert source.names == expected.names
        assert source.schema.view == cut
    assert not streamed.in_memory


def test_sound_is_cut_with_its_rate(tmp_path):
    write_wav(tmp_path / "a.wav", np.sin(np.arange(100.0)) / 2, 4000)
    source = load(tmp_path / "a.wav", view=Windows(30))
    assert source.schema.view == Windows(30, rate=4000)
    assert source.schema.summary.startswith("windows of 30 steps at 4000 Hz, float32")


def test_each_recording_of_a_folder_is_cut_and_its_folder_is_a_label(tmp_path):
    waves = {"high/a": (np.sin(np.arange(100.0)) / 2, 4000), "low/b": (np.sin(np.arange(65.0) / 3) / 2, 4000)}
    slow = np.sin(2 * np.pi * 100 * np.arange(400) / 8000) / 2
    for name, (wave, rate) in {**waves, "low/c": (slow, 8000)}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_wav(tmp_path / f"{name}.wav", wave, rate)
    (tmp_path / "low" / "empty.wav").write_bytes(b"")
    with pytest.raises(InputError, match=r"low/empty\.wav"):  # one in four
        load(tmp_path, view=Windows(30))
    (tmp_path / "low" / "empty.wav").unlink()
    source = load(tmp_path, view=Windows(30))
    assert source.names[:5] == [f"high/a.wav:{i}-{i + 29}" for i in (0, 30, 60)] + [
        f"low/b.wav:{i}-{i + 29}" for i in (0, 30)
    ]
    assert source.labels.tolist() == ["high"] * 3 + ["low"] * (2 + 6)
    np.testing.assert_allclose(source.X[3], waves["low/b"][0][:30], atol=1e-4)
    halved = np.sin(2 * np.pi * 100 * np.arange(30, 60) / 4000) / 2
    np.testing.assert_allclose(source.X[6], halved, atol=0.01)
    assert source.notes[0] == "1 of 3 recordings resampled from 8000 to 4000 Hz"
    again = load(tmp_path / "low" / "c.wav", schema=source.schema)
    np.testing.assert_array_equal(again.X, source.X[5:])


def test_rows_for_a_model_of_windows_are_cut_unless_they_are_windows_already():
    schema = windows(X, 8, 4).schema
    np.testing.assert_array_equal(load(X, schema=schema).take(np.arange(11)), windows(X, 8, 4).X)
    np.testing.assert_array_equal(load(np.stack([X[:8], X[3:11]]), schema=schema).take(np.arange(2))[1], X[3:11])


WRONG = {
    "too long": (lambda: windows(X, 51), "a window of 51 steps is longer than the longest recording, which has 50"),
    "channels": (lambda: windows([X, X[:, :2]], 8), r"all with the same channels; got \(50, 3\), \(50, 2\)"),
    "no length": (lambda: windows(X, 0), "Windows expects length to be a positive number of steps; got 0"),
    "no hop": (lambda: windows(X, 8, -1), "hop to be a positive number of steps; got -1"),
}


@pytest.mark.parametrize(("make", "said"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_cut_is_refused(make, said):
    with pytest.raises(InputError, match=said):
        make()
