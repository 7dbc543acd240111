import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latens.data import ArraySource, FolderSource, load, pixels
from latens.data import images as images_module
from latens.utils import InputError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (5, 7)).astype(np.uint8)
COLOUR = RNG.integers(0, 256, (5, 7, 3)).astype(np.uint8)
ALPHA = RNG.integers(0, 256, (5, 7)).astype(np.uint8)


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    (array if isinstance(array, Image.Image) else Image.fromarray(array)).save(path, **options)


def only(folder, **options):
    source = FolderSource(folder, **options)
    return source.take(np.arange(len(source)))[0]


def on_white(array):
    a = ALPHA[..., None] / 255
    return array * a + 255 * (1 - a)


def palette():
    image = Image.fromarray(GREY % 4, mode=None).convert("P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 10, 20, 30])
    return image


COLOURS = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [10, 20, 30]])

MODES = {
    "grey": (lambda: Image.fromarray(GREY), GREY, 0),
    "rgb": (lambda: Image.fromarray(COLOUR), COLOUR, 0),
    "grey stored as rgb": (lambda: Image.fromarray(np.repeat(GREY[..., None], 3, 2)), GREY, 0),
    "grey with alpha": (lambda: Image.fromarray(np.dstack([GREY, ALPHA])), on_white(GREY[..., None])[..., 0], 1),
    "rgb with alpha": (lambda: Image.fromarray(np.dstack([COLOUR, ALPHA])), on_white(COLOUR), 1),
    "palette": (palette, COLOURS[GREY % 4], 0),
    "one bit": (lambda: Image.fromarray(GREY > 99), (GREY > 99) * 255, 0),
    "16 bits": (lambda: Image.fromarray(GREY.astype(np.uint16) * 256 + 7), np.rint((GREY * 256.0 + 7) / 257), 0),
}


@pytest.mark.parametrize(("make", "expected", "tolerance"), MODES.values(), ids=MODES)
def test_every_mode_becomes_grey_or_rgb(tmp_path, make, expected, tolerance):
    save(tmp_path / "a.png", make())
    np.testing.assert_allclose(only(tmp_path).astype(int), expected, atol=tolerance)


def test_a_palette_with_a_transparent_colour_is_laid_on_white(tmp_path):
    save(tmp_path / "a.png", palette(), transparency=1)
    expected = np.array([[0, 0, 0], [255, 255, 255], [0, 255, 0], [10, 20, 30]])[GREY % 4]
    np.testing.assert_array_equal(only(tmp_path), expected)


def test_cmyk_becomes_rgb(tmp_path):
    save(tmp_path / "a.tif", Image.new("CMYK", (3, 2), (255, 0, 51, 0)))
    np.testing.assert_array_equal(only(tmp_path), np.broadcast_to([0, 255, 204], (2, 3, 3)))


def test_one_coloured_file_makes_all_rgb(tmp_path):
    save(tmp_path / "a.png", GREY)
    save(tmp_path / "b.png", COLOUR)
    X = FolderSource(tmp_path).take(np.array([1, 0]))
    np.testing.assert_array_equal(X, [COLOUR, np.repeat(GREY[..., None], 3, 2)])


def test_the_mode_may_be_given(tmp_path):
    save(tmp_path / "a.png", COLOUR)
    expected = COLOUR @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(only(tmp_path, mode="L"), expected, atol=1)


TURNS = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.T,
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].T,
    8: lambda x: np.rot90(x, 1),
}


@pytest.mark.parametrize(("orientation", "turn"), TURNS.items())
def test_exif_rotation_is_applied(tmp_path, orientation, turn):
    exif = Image.Exif()
    exif[0x0112] = orientation
    flat = np.kron(GREY[:2, :3], np.ones((8, 8), np.uint8))
    save(tmp_path / "a.jpg", flat, exif=exif, quality=100)
    source = FolderSource(tmp_path)
    assert source.schema.shape == turn(flat).shape
    np.testing.assert_allclose(source.take(np.array([0]))[0].astype(int), turn(flat), atol=2)
    assert any("rotated" in note for note in source.notes) == (orientation > 1)


def test_images_of_another_size_are_cut_in_the_middle_and_resized(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.png", np.zeros((4, 4), np.uint8))
    wide = np.repeat([10, 20, 30, 40], 4).astype(np.uint8)
    save(tmp_path / "wide.png", np.broadcast_to(wide, (8, 16)).copy())
    source = FolderSource(tmp_path)
    assert source.schema.shape == (4, 4)
    middle = source.take(np.array([3]))[0]
    np.testing.assert_allclose(middle[:, [0, 3]], [[20, 30]] * 4, atol=2)
    assert source.notes == ["1 of 4 images cut to the middle and resized to 4x4"]


def test_shrinking_averages(tmp_path):
    save(tmp_path / "a.png", np.tile(np.array([[0, 255], [255, 0]], np.uint8), (32, 32)))
    np.testing.assert_allclose(only(tmp_path, size=4), np.full((4, 4), 127.5), atol=3)


def test_large_jpegs_are_shrunk_to_the_same_picture(tmp_path):
    smooth = np.add.outer(np.linspace(0, 120, 900), np.linspace(0, 120, 600)).astype(np.uint8)
    save(tmp_path / "a.jpg", smooth, quality=95)
    expected = smooth.reshape(30, 30, 20, 30).mean((1, 3))
    np.testing.assert_allclose(only(tmp_path, size=(30, 20)), expected, atol=2)


def test_the_median_size_is_taken_when_none_is_common(tmp_path):
    for i in range(11):
        save(tmp_path / f"{i:02}.png", np.zeros((10 + i, 20 + i), np.uint8))
    assert FolderSource(tmp_path).size == (15, 25)


@pytest.mark.parametrize("size", [0, (3,), (3, -1), 2.5, "big"])
def test_a_wrong_size_is_refused(tmp_path, size):
    save(tmp_path / "a.png", GREY)
    with pytest.raises(InputError, match="size is a number of pixels"):
        FolderSource(tmp_path, size=size)


def test_black_and_white_files_have_two_levels(tmp_path):
    save(tmp_path / "a.png", Image.fromarray(GREY > 99))
    for source in (FolderSource(tmp_path), load(tmp_path)):
        assert (source.schema.levels, source.schema.step, source.schema.high) == (2, 255.0, 255.0)
    assert FolderSource(tmp_path, size=3).schema.levels == 256


def _truncated(path):
    save(path, np.kron(COLOUR, np.ones((9, 9, 1), np.uint8)))
    path.write_bytes(path.read_bytes()[:-200])


def _bomb(path):
    header = b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IEND\xaeB`\x82")


UNREADABLE = {
    "a.png": (lambda path: path.write_text("x,y\n1,2\n"), "not an image"),
    "b.jpg": (_truncated, "truncated"),
    "c.png": (_truncated, "truncated"),
    "d.png": (_bomb, "more pixels than are safe"),
    "e.gif": (lambda path: path.write_bytes(b""), "not an image"),
    "f.png": (lambda path: path.symlink_to("nowhere"), "No such file"),
    "g.tif": (lambda path: save(path, GREY.astype(np.float32)), "floating-point"),
}


@pytest.mark.parametrize(("name", "make", "reason"), [(k, *v) for k, v in UNREADABLE.items()], ids=UNREADABLE)
def test_unreadable_files_are_skipped_by_name(tmp_path, name, make, reason):
    for i in range(9):
        save(tmp_path / f"{i}.png", GREY)
    make(tmp_path / name)
    source = FolderSource(tmp_path)
    assert len(source) == 9
    assert [item for item, _ in source.skipped] == [name]
    assert reason in source.skipped[0][1]
    assert name not in source.names
    np.testing.assert_array_equal(source.take(np.arange(9)), np.broadcast_to(GREY, (9, 5, 7)))


def test_more_than_one_in_ten_unreadable_is_refused(tmp_path):
    for i in range(8):
        save(tmp_path / f"{i}.png", GREY)
    (tmp_path / "broken.png").write_text("x,y")
    said = r"1 of 9 images in .* cannot be read, more than one in ten: broken.png \(not an image\)"
    with pytest.raises(InputError, match=said):
        load(tmp_path)


def test_an_empty_folder_is_told(tmp_path):
    (tmp_path / "notes.md").write_text("hello")
    with pytest.raises(InputError, match="there are no images in"):
        load(tmp_path)


def test_hidden_and_other_files_are_passed_over_and_the_order_is_fixed(tmp_path):
    for name in ("b/2.PNG", "a/10.png", "a/9.png", ".hidden.png", ".cache/1.png", "c.txt"):
        save(tmp_path / name, GREY, format="PNG")
    assert load(tmp_path).names == ["a/10.png", "a/9.png", "b/2.PNG"]


def test_a_folder_that_links_to_itself_is_entered_once(tmp_path):
    save(tmp_path / "a" / "1.png", GREY)
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert FolderSource(tmp_path).names == ["a/1.png"]


LABELS = {
    "classes": (["cat/1.png", "cat/2.png", "dog/1.png"], ["cat", "cat", "dog"]),
    "deep": (["train/cat/x/1.png", "train/dog/1.png"], ["cat", "dog"]),
    "flat": (["1.png", "2.png"], None),
    "one class": (["cat/1.png", "cat/2.png"], None),
    "some at the root": (["1.png", "cat/2.png"], None),
    "alike": (["cat/1.png", "cats/1.png"], ["cat", "cats"]),
}


@pytest.mark.parametrize(("names", "labels"), LABELS.values(), ids=LABELS)
def test_folders_are_labels(tmp_path, names, labels):
    for name in names:
        save(tmp_path / name, GREY)
    source = load(tmp_path)
    assert (None if source.labels is None else source.labels.tolist()) == labels
    assert source.schema.classes == (None if labels is None else tuple(sorted(set(labels))))


def test_a_small_folder_comes_into_memory_and_a_large_one_does_not(tmp_path):
    for i in range(4):
        save(tmp_path / "ab"[i % 2] / f"{i}.png", np.roll(COLOUR, i, 0))
    held, streamed = load(tmp_path), load(tmp_path, memory=4 * COLOUR.size - 1)
    assert isinstance(held, ArraySource)
    assert isinstance(streamed, FolderSource)
    assert (held.in_memory, streamed.in_memory) == (True, False)
    assert held.nbytes == streamed.nbytes == 4 * COLOUR.size
    assert held.names == streamed.names == ["a/0.png", "a/2.png", "b/1.png", "b/3.png"]
    assert held.schema == streamed.schema
    assert held.labels.tolist() == streamed.labels.tolist()
    rows = np.array([3, 0, 0])
    np.testing.assert_array_equal(held.take(rows), [np.roll(COLOUR, 3, 0), COLOUR, COLOUR])
    np.testing.assert_array_equal(streamed.take(rows), held.take(rows))


def test_taking_rows_decodes_those_rows_only(tmp_path, monkeypatch):
    for i in range(20):
        save(tmp_path / f"{i:02}.png", GREY)
    source = FolderSource(tmp_path)
    decoded = []

    def spy(path, mode, size):
        decoded.append(path.name)
        return pixels.decode(path, mode, size)

    monkeypatch.setattr(images_module, "decode", spy)
    source.take(np.array([4, 7, 11]))
    assert sorted(decoded) == ["04.png", "07.png", "11.png"]
    assert not any(isinstance(value, np.ndarray) and value.size > 20 for value in vars(source).values())


def test_a_file_that_vanishes_is_named(tmp_path):
    save(tmp_path / "a.png", GREY)
    source = FolderSource(tmp_path)
    os.remove(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png could be read before, but no longer"):
        source.take(np.array([0]))


def test_one_file_is_one_example(tmp_path):
    save(tmp_path / "a.png", GREY)
    source = load(tmp_path / "a.png")
    np.testing.assert_array_equal(source.take(np.array([0])), [GREY])
    assert source.names == ["a.png"]


def test_only_the_first_frame_of_an_animation_is_taken(tmp_path):
    first, second = Image.fromarray(GREY), Image.fromarray(255 - GREY)
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    np.testing.assert_array_equal(only(tmp_path), GREY)
    assert "animated" in FolderSource(tmp_path).notes[0]


def test_real_faces_written_as_files_come_back(tmp_path):
    path = Path(__file__).parents[3] / "shared" / "data" / "smiles" / "smiles64_1600.npz"
    if not path.exists():
        pytest.skip("no face images here")
    held = np.load(path)
    ends = held["offsets"]
    for i in range(40):
        (tmp_path / f"{i:02}.jpg").write_bytes(held["jpeg"][ends[i] : ends[i + 1]].tobytes())
    source = load(tmp_path)
    expected = [np.asarray(Image.open(tmp_path / name)) for name in source.names]
    np.testing.assert_array_equal(source.take(np.arange(40)), expected)
