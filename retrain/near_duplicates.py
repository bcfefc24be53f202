"""Images that are nearly the same on both sides of the split: answers to them may be learnt by heart.

An image is compared as 16x16 pixels in colour, by the correlation with others. Of 800 photos of bricks,
nearly all pairs above SAME_FROM showed one kind of brick in one pose and colour; most copies of a photo that
were scaled to half or saved as JPEG of quality 40 lie above it too.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from legoclf.cores import available_cores
from legoclf.data.dataset import ImageItem
from legoclf.errors import ImageError
from legoclf.image import decode_reduced, read_file
from legoclf.retrain.blas import one_blas_thread
from legoclf.split import TRAIN

SAME_FROM = 0.99

#: Images looked at: some seconds of decoding for each thousand. All that are held out come first.
MAX_IMAGES = 20_000

#: Pixels a side of what is compared, and what a JPEG is decoded to at least.
_SIDE, _DECODED = 16, 64

#: Levels, 0 to 255, by which the pixels of an image must differ at least: plain ones are all alike.
_LEAST_CONTRAST = 4.0

#: Rows of the product of all with all that are held at once.
_BLOCK = 512


@dataclass(frozen=True)
class NearDuplicate:
    """Two images of different sets. likeness: correlation, at most 1. is_copy: their bytes are the same."""

    one: ImageItem
    other: ImageItem
    likeness: float
    is_copy: bool


@dataclass(frozen=True)
class NearDuplicates:
    """The pairs found, the likest first, among so many images looked at."""

    pairs: list[NearDuplicate]
    images: int

    @property
    def held_out(self) -> int:
        """Held-out images that have their like in another set."""
        items = {item.relative: item for pair in self.pairs for item in (pair.one, pair.other)}
        return sum(item.split != TRAIN for item in items.values())


def near_duplicates(items: Sequence[ImageItem], most: int = MAX_IMAGES) -> NearDuplicates:
    """Find pairs of images that lie in different sets and are nearly the same.

    An image that cannot be read is left out. Only so many are looked at, all held-out ones first and training
    images evenly from the rest; the same items give the same pairs.
    """
    chosen = _chosen(items, most)
    with ThreadPoolExecutor(available_cores()) as pool:
        signatures = list(pool.map(_signature, chosen))
    read = [(item, made) for item, made in zip(chosen, signatures, strict=True) if made is not None]
    if not read:
        return NearDuplicates([], 0)
    found = _alike(np.stack([made for _, made in read]), [item.split for item, _ in read])
    pairs = [
        NearDuplicate(read[i][0], read[j][0], likeness, _same_bytes(read[i][0].path, read[j][0].path))
        for i, j, likeness in found
    ]
    # Rounded, so that the last bits of a sum do not decide the order.
    pairs.sort(
        key=lambda pair: (-pair.is_copy, -round(pair.likeness, 4), pair.one.relative, pair.other.relative)
    )
    return NearDuplicates(pairs, len(read))


def _chosen(items: Sequence[ImageItem], most: int) -> list[ImageItem]:
    """Held-out images first, then the training images, of each so many that all are not too many."""
    held_out = _evenly([item for item in items if item.split != TRAIN], most)
    train = [item for item in items if item.split == TRAIN]
    return [*held_out, *_evenly(train, max(0, most - len(held_out)))]


def _evenly(items: Sequence[ImageItem], most: int) -> list[ImageItem]:
    if len(items) <= most:
        return list(items)
    return [items[index * len(items) // most] for index in range(most)]


def _signature(item: ImageItem) -> np.ndarray | None:
    """float32 [768] of length 1 and mean 0; zeros for an image of one colour, None for an unreadable one."""
    from PIL import Image

    try:
        pixels = decode_reduced(read_file(item.path), item.path, _DECODED, _DECODED)
    except ImageError:
        return None
    small = Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.BOX)
    levels = np.asarray(small, np.float32).ravel()
    levels -= levels.mean()
    length = float(np.linalg.norm(levels))
    if length < _LEAST_CONTRAST * np.sqrt(levels.size):
        return np.zeros_like(levels)
    return levels / np.float32(length)


@one_blas_thread
def _alike(signatures: np.ndarray, splits: Sequence[str]) -> list[tuple[int, int, float]]:
    """Pairs of indices, the smaller first, that lie in different sets, and how alike they are."""
    return list(_pairs(signatures, np.unique(splits, return_inverse=True)[1]))


def _pairs(signatures: np.ndarray, places: np.ndarray) -> Iterator[tuple[int, int, float]]:
    for start in range(0, len(signatures), _BLOCK):
        rest = signatures[start:]
        likeness = signatures[start : start + _BLOCK] @ rest.T
        apart = places[start : start + _BLOCK, None] != places[None, start:]
        for i, j in np.argwhere((likeness >= SAME_FROM) & apart).tolist():
            if i < j:
                yield start + i, start + j, min(1.0, float(likeness[i, j]))


def _same_bytes(one: str, other: str) -> bool:
    return read_file(one) == read_file(other)
