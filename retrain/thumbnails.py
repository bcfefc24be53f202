"""Images made small."""

import numpy as np

from legoclf.errors import ImageError
from legoclf.image import decode_reduced, read_file


def thumbnail(path: str, side: int) -> np.ndarray | None:
    """An image in its proportions, its longer side of at most so many pixels.

    Returns:
        uint8 [height, width, 3], RGB; None if the file cannot be read any more.
    """
    from PIL import Image

    try:
        pixels = decode_reduced(read_file(path), path, side, side)
    except ImageError:
        return None
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((side, side))
    return np.asarray(picture)


def place_centred(canvas: np.ndarray, pixels: np.ndarray) -> None:
    """Put uint8 [h, w, 3] into the middle of uint8 [H, W, 3], in place; it is not the larger either way."""
    height, width, _ = pixels.shape
    top, left = (canvas.shape[0] - height) // 2, (canvas.shape[1] - width) // 2
    canvas[top : top + height, left : left + width] = pixels
