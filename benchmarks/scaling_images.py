"""A data set of any number of small images, for the scaling benchmark."""

import io
from pathlib import Path

import numpy as np

CLASSES = 4

#: Different pictures. Enough that a head cannot tell each by itself, and few that they are made in a moment.
PICTURES = 600

#: How far the classes stand apart, and how far their pictures scatter, in levels of 255.
_APART, _SCATTER = 12.0, 40.0

#: What a file takes on disk that is smaller than a block, and what is kept of its features beside the row.
_BLOCK, _KEPT = 4096, 512

#: Of the embedded network; the one made for the run has fewer.
_FEATURES = 1280


def needed_bytes(count: int) -> int:
    """What so many images and their features take on disk, at most."""
    return count * (2 * _BLOCK + 4 * _FEATURES + _KEPT)


def write_images(folder: Path, count: int, size: int) -> None:
    """Write so many JPEGs in class folders, no two of the same bytes.

    The pictures repeat, but each file has its number behind the end of the JPEG, where no decoder looks: the
    features are kept by a file's content, and links to one file would be extracted once.
    """
    pictures = _pictures(min(count, PICTURES), size)
    for label in range(CLASSES):
        (folder / f"class {label}").mkdir(parents=True)
    for number in range(count):
        place = number % len(pictures)
        path = folder / f"class {place % CLASSES}" / f"{number:06d}.jpg"
        path.write_bytes(pictures[place] + number.to_bytes(4, "big"))


def _pictures(count: int, size: int) -> list[bytes]:
    """JPEGs of coarse patterns: each class has one of its own, and noise that all but drowns it."""
    from PIL import Image

    random = np.random.default_rng(0)
    patterns = random.normal(128, _APART, (CLASSES, 4, 4, 3))
    pictures = []
    for number in range(count):
        levels = patterns[number % CLASSES] + random.normal(0, _SCATTER, (4, 4, 3))
        small = Image.fromarray(levels.clip(0, 255).astype(np.uint8))
        data = io.BytesIO()
        small.resize((size, size), Image.Resampling.BICUBIC).save(data, "JPEG", quality=90)
        pictures.append(data.getvalue())
    return pictures
