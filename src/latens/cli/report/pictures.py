"""Images as one sheet, and a sheet as text inside a page."""

from __future__ import annotations

import base64
import io
from html import escape

import numpy as np
from matplotlib import colormaps
from PIL import Image

from latens.data import LogMel, Schema, grid, to_uint8

GAP = 2


def drawable(schema: Schema) -> bool:
    """Whether a picture file can hold one example: images of 1, 3 or 4 channels."""
    return schema.kind == "image" and (len(schema.shape) == 2 or schema.shape[2] in (1, 3, 4))


def pictured(schema: Schema) -> bool:
    """Whether examples are looked at as pictures: images, and spectrograms."""
    return schema.kind == "image" or isinstance(schema.view, LogMel)


def pixels(rows: np.ndarray, schema: Schema) -> np.ndarray:
    """Images in the user's units as RGB bytes ``(n, H, W, 3)``; spectrograms with time to the right, pitch upward."""
    if isinstance(schema.view, LogMel):
        level = (np.swapaxes(rows, 1, 2)[:, ::-1] - schema.low) / ((schema.high - schema.low) or 1.0)
        return (colormaps["magma"](np.clip(level, 0.0, 1.0))[..., :3] * 255 + 0.5).astype(np.uint8)
    shown = to_uint8(rows, schema)
    shown = shown[..., None] if shown.ndim == 3 else shown
    channels = {1: [0, 0, 0], 2: [0, 0, 0]}.get(shown.shape[3], [0, 1, 2])
    return shown[..., channels]


def sheet(images: np.ndarray, columns: int) -> np.ndarray:
    """Images side by side with nothing between them, as RGBA ``(height, width, 4)``."""
    gap = gap_of(images)
    colours = grid(images, columns, gap)
    alpha = 255 - grid(np.zeros(images.shape[:3], np.uint8), columns, gap)
    return np.dstack([colours, alpha])[gap:-gap, gap:-gap]


def gap_of(images: np.ndarray) -> int:
    """Pixels between two images."""
    return max(1, round(min(images.shape[1:3]) / 16))


def figure(images: np.ndarray, columns: int, alt: str, *, widest: int = 720) -> str:
    """An ``<img>`` that holds its own pixels, enlarged where the images are small."""
    image = sheet(images, columns)
    height, width = image.shape[:2]
    cell = min(72, max(28, widest // columns))
    shown = min(widest, round(width / columns * max(1.0, cell / (width / columns))) * columns)
    blocks = " class=pixels" if shown > width else ""
    return (
        f'<img{blocks} src="{uri(image)}" alt="{escape(alt)}" width={shown} height={round(height * shown / width)} '
        'loading="lazy">'
    )


def mosaic(images: np.ndarray, columns: int, alt: str) -> str:
    """An ``<img>`` of images with nothing between them."""
    rows, (height, width) = len(images) // columns, images.shape[1:3]
    sheet = images.reshape(rows, columns, height, width, 3).swapaxes(1, 2).reshape(rows * height, columns * width, 3)
    return f'<img src="{uri(sheet)}" alt="{escape(alt)}" width={sheet.shape[1]} height={sheet.shape[0]} loading="lazy">'


def uri(image: np.ndarray) -> str:
    """A PNG inside text."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
