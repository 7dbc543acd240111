"""One image file to one array of bytes: rotation, transparency, palettes, 16 bits, size."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

Size = tuple[int, int]

_DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_ENOUGH_TO_LOOK = (512, 512)
_GREY = ("L", "1", *_DEEP)


class Probe(NamedTuple):
    """What decoding a file once has told; `extremes` are its values if they are only 0 and 255, else empty."""

    size: Size
    grey: bool
    extremes: frozenset[int]
    rotated: bool
    transparent: bool
    deep: bool
    frames: bool


def probe(path: Path, look: bool) -> Probe:
    """Decode a file wholly, keep nothing of it; look at its pixels only if asked.

    Raises:
        Exception: whatever PIL raises for a file that it cannot read.
    """
    with Image.open(path) as image:
        orientation = image.getexif().get(0x0112, 1)
        size = (image.width, image.height) if orientation in range(5, 9) else (image.height, image.width)
        image.draft(image.mode, _ENOUGH_TO_LOOK)
        image.load()
        flat = opaque(image) if look or image.mode in ("F", "I") else image
        grey = flat.mode in _GREY or (look and _is_grey(flat))
        return Probe(
            size,
            grey,
            _extremes(flat) if look and grey else frozenset(),
            orientation in range(2, 9),
            _is_transparent(image),
            image.mode in _DEEP,
            image.format != "MPO" and getattr(image, "n_frames", 1) > 1,
        )


def decode(path: Path, mode: str, size: Size) -> np.ndarray:
    """The pixels of a file, shape (H, W) for mode "L" and (H, W, 3) for "RGB", as uint8."""
    with Image.open(path) as image:
        image.draft(image.mode, (2 * max(size), 2 * max(size)))  # a JPEG decodes faster at a fraction of its size
        turned = ImageOps.exif_transpose(image)
        return np.asarray(fit(opaque(turned).convert(mode), size))


def fit(image: Image.Image, size: Size) -> Image.Image:
    """The middle of an image in the ratio of `size` = (height, width), brought to it with antialiasing."""
    height, width = size
    if (image.height, image.width) == size:
        return image
    return ImageOps.fit(image, (width, height), method=Image.Resampling.BICUBIC)


def opaque(image: Image.Image) -> Image.Image:
    """An image in 8 bits, grey or RGB, laid on white where it is transparent."""
    if image.mode in _DEEP:
        return _shallow(image)
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers; save them as an array instead")
    if _is_transparent(image):
        grey = image.mode in ("LA", "La")
        layer = image.convert("RGBA")
        flat = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
        return flat.convert("L" if grey else "RGB")
    if image.mode in ("L", "1"):
        return image.convert("L")
    return image.convert("RGB")


def _shallow(image: Image.Image) -> Image.Image:
    """16 bits to 8: v is v16 / 257, rounded."""
    deep = np.asarray(image).astype(np.int64)
    if deep.min() < 0 or deep.max() > 65535:
        raise ValueError("its pixels have more than 16 bits; save them as an array instead")
    return Image.fromarray(((deep + 128) // 257).astype(np.uint8))


def _is_transparent(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def _extremes(image: Image.Image) -> frozenset[int]:
    counts = image.convert("L").histogram()
    return frozenset(value for value in (0, 255) if counts[value]) if not any(counts[1:255]) else frozenset()


def _is_grey(image: Image.Image) -> bool:
    if image.mode == "L":
        return True
    pixels = np.asarray(image)
    return bool(np.array_equal(pixels[..., 0], pixels[..., 1]) and np.array_equal(pixels[..., 1], pixels[..., 2]))
