"""Examples as TensorFlow Datasets stores them, and the class folders that they become."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Example = dict[str, Any]

#: Writes examples as TFDS does, and gives the cache that holds them.
Store = Callable[..., Path]


def encoded(random: np.random.Generator, format: str, mode: str = "RGB") -> bytes:  # noqa: A002
    """The file of a random image of 12 x 8 pixels."""
    channels = len(mode)
    pixels = random.integers(0, 256, (8, 12, channels), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(buffer, format)
    return buffer.getvalue()


def files_of(folder: Path) -> list[str]:
    """Relative paths of the images, without the number that each name ends in."""
    return sorted(
        str(path.relative_to(folder)).rpartition("-")[0] + path.suffix
        for path in folder.rglob("*")
        if path.suffix != ".json" and path.is_file()
    )
