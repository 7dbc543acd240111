import errno
import os
import stat

import numpy as np
import pytest
from safetensors.numpy import save_file

from latens.utils import InputError, atomic, atomic_folder, load_tensors, save_tensors, write_text

ARRAYS = {
    "float": np.linspace(-1, 1, 7, dtype=np.float32).reshape(7, 1),
    "double": np.array([[np.pi, np.nan], [np.inf, -0.0]]),
    "integers": np.arange(-3, 3),
    "booleans": np.array([True, False]),
    "scalar": np.array(2.5),
    "empty": np.zeros((0, 3), np.uint8),
    "transposed": np.arange(6.0).reshape(2, 3).T,
    "strided": np.arange(10)[::-2],
}


@pytest.fixture
def full_disk(monkeypatch):
    def fail(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)


def names(folder):
    return sorted(item.name for item in folder.iterdir())


def interrupted(writing, name):
    with writing as temporary:
        (temporary / name).write_text("half")
        raise KeyboardInterrupt


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(KeyboardInterrupt):
        interrupted(atomic(tmp_path / "a.txt"), "")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_failed_rename_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    write_text(tmp_path / "a.txt", "old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(PermissionError("no")))
    with pytest.raises(PermissionError):
        write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, full_disk):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(OSError, match="No space left"):
        write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_nothing_stands_at_the_place_until_the_end(tmp_path):
    with atomic(tmp_path / "a.npy") as temporary:
        np.save(temporary, np.arange(3))
        assert not (tmp_path / "a.npy").exists()
        assert temporary.suffix == ".npy"
    assert np.load(tmp_path / "a.npy").tolist() == [0, 1, 2]


def test_a_written_file_has_ordinary_permissions(tmp_path):
    (tmp_path / "plain").write_text("")
    write_text(tmp_path / "ours", "")
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere does not exist"):
        write_text(tmp_path / "nowhere" / "a.txt", "")
    with pytest.raises(InputError, match="is a folder"):
        write_text(tmp_path, "")


def test_a_failed_folder_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        interrupted(atomic_folder(tmp_path / "out"), "1.png")
    assert names(tmp_path) == []


def test_a_folder_takes_the_place_of_an_empty_one_only(tmp_path):
    (tmp_path / "out").mkdir()
    with atomic_folder(tmp_path / "out") as temporary:
        (temporary / "1.png").write_bytes(b"1")
    assert names(tmp_path / "out") == ["1.png"]
    with pytest.raises(InputError, match="exists already"), atomic_folder(tmp_path / "out"):
        pass
    assert names(tmp_path / "out") == ["1.png"]


def test_tensors_come_back_bit_for_bit(tmp_path):
    save_tensors(tmp_path / "m.safetensors", ARRAYS, {"model": "VAE(latents=2)", "names": "é漢\n"})
    arrays, metadata = load_tensors(tmp_path / "m.safetensors")
    assert metadata["model"] == "VAE(latents=2)"
    assert metadata["names"] == "é漢\n"
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        assert arrays[name].shape == array.shape
        assert arrays[name].tobytes() == array.tobytes()


def test_a_failed_save_keeps_the_old_tensors(tmp_path, monkeypatch):
    save_tensors(tmp_path / "m.safetensors", {"a": np.ones(3)}, {})
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("no")))
    with pytest.raises(OSError, match="no"):
        save_tensors(tmp_path / "m.safetensors", {"a": np.zeros(3)}, {})
    assert load_tensors(tmp_path / "m.safetensors")[0]["a"].tolist() == [1, 1, 1]
    assert names(tmp_path) == ["m.safetensors"]


def _truncated(path, keep):
    save_tensors(path, {"a": np.zeros(1000)}, {})
    path.write_bytes(path.read_bytes()[:keep])


def _newer(path):
    save_file({"a": np.zeros(3)}, path, metadata={"format": "latens", "format_version": "2"})


DAMAGED = {
    "missing": (lambda path: None, "there is no model file at"),
    "a folder": (lambda path: path.mkdir(), "there is no model file at"),
    "empty": (lambda path: path.write_bytes(b""), "is no latens model, or it is damaged"),
    "text": (lambda path: path.write_text("hello, world" * 10), "is no latens model, or it is damaged"),
    "huge header": (lambda path: path.write_bytes(b"\xff" * 8 + b"{}"), "is no latens model, or it is damaged"),
    "truncated header": (lambda path: _truncated(path, 20), "is no latens model, or it is damaged"),
    "truncated numbers": (lambda path: _truncated(path, 4000), "is no latens model, or it is damaged"),
    "another's": (lambda path: save_file({"a": np.zeros(3)}, path), "that latens did not write"),
    "newer": (_newer, "written by a newer latens (format 2; this one reads up to 1). Upgrade latens."),
}


@pytest.mark.parametrize(("make", "message"), DAMAGED.values(), ids=DAMAGED)
def test_a_file_that_cannot_be_read_is_told_in_one_line(tmp_path, make, message):
    path = tmp_path / "m.safetensors"
    make(path)
    with pytest.raises(InputError) as caught:
        load_tensors(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_have_the_rights_that_new_files_have(tmp_path):
    (tmp_path / "usual").write_text("")
    save_tensors(tmp_path / "model.safetensors", {"x": np.zeros(3)}, {})
    assert (tmp_path / "model.safetensors").stat().st_mode == (tmp_path / "usual").stat().st_mode


_WRITES_TOO_MUCH = """
import errno, resource, sys
import numpy as np
from latens.utils import save_tensors
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    save_tensors(sys.argv[1], {"a": np.zeros(100_000)}, {})
except OSError as error:
    print(errno.errorcode[error.errno], error.filename)
"""


def test_tensors_that_do_not_fit_are_an_error_of_the_system(fork, tmp_path):
    (tmp_path / "a.latens").write_text("old")
    ran = fork(_WRITES_TOO_MUCH, tmp_path / "a.latens")
    assert ran.wait() == 0, ran.said()
    assert ran.said()[0].split() == ["EFBIG", str(tmp_path / "a.latens")]
    assert (tmp_path / "a.latens").read_text() == "old"
    assert names(tmp_path) == ["a.latens"]
