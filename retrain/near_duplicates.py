"""Images that are nearly the same on both sides of the split: answers to them may be learnt by heart.

An image is compared as 16x16 pixels in colour, by the correlation with others. Of 800 photos of bricks,
nearly all pairs above SAME_FROM showed one kind of brick in one pose and colour; most copies of a photo that
were scaled to half or saved as JPEG of quality 40 lie above it too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from legoclf.data.dataset import ImageItem
from legoclf.data.images import each_in_order, same_contents
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

#: Rows that are compared with all at once: the fewer, the fewer of all are near any of them.
_BLOCK = 128

#: Pixels a side of the squares that a bound of the likeness is taken from, and what rounding may do to it.
_COARSE, _SLACK = 4, 1e-4


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
    small = list(each_in_order(_small, [item.path for item in chosen]))
    read = [item for item, pixels in zip(chosen, small, strict=True) if pixels is not None]
    if not read:
        return NearDuplicates([], 0)
    signatures = _signatures(np.stack([pixels for pixels in small if pixels is not None]))
    found = _alike(signatures, [item.split for item in read])
    contents = _contents(sorted({read[index].path for i, j, _ in found for index in (i, j)}))
    pairs = [
        NearDuplicate(one, other, likeness, contents[one.path] == contents[other.path])
        for one, other, likeness in ((read[i], read[j], likeness) for i, j, likeness in found)
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


def _small(path: str) -> np.ndarray | None:
    """uint8 [768], what is compared of an image; None for an unreadable one."""
    from PIL import Image

    try:
        pixels = decode_reduced(read_file(path), path, _DECODED, _DECODED)
    except ImageError:
        return None
    small = Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.BOX)
    return np.frombuffer(small.tobytes(), np.uint8)


def _signatures(small: np.ndarray) -> np.ndarray:
    """float32 [N, 768] of length 1 and mean 0, from uint8 [N, 768]; zeros for an image of one colour."""
    levels = small.astype(np.float32)
    levels -= levels.mean(axis=1, keepdims=True)
    lengths = np.array([np.linalg.norm(row) for row in levels])
    plain = lengths < _LEAST_CONTRAST * np.sqrt(levels.shape[1])
    levels[plain] = 0
    lengths[plain] = 1
    levels /= lengths[:, None]
    return levels


@one_blas_thread
def _alike(signatures: np.ndarray, splits: Sequence[str]) -> list[tuple[int, int, float]]:
    """Pairs of indices, the smaller first, that lie in different sets, and how alike they are."""
    return list(_pairs(signatures, np.unique(splits, return_inverse=True)[1]))


def _pairs(signatures: np.ndarray, places: np.ndarray) -> Iterator[tuple[int, int, float]]:
    coarse = _coarse(signatures)
    for start in range(0, len(signatures), _BLOCK):
        apart = places[start : start + _BLOCK, None] != places[None, start:]
        near = (coarse[start : start + _BLOCK] @ coarse[start:].T >= SAME_FROM - _SLACK) & apart
        rows, columns = (start + np.flatnonzero(near.any(axis=axis)) for axis in (1, 0))
        likeness = signatures[rows] @ signatures[columns].T
        apart = places[rows, None] != places[None, columns]
        for row, column in np.argwhere((likeness >= SAME_FROM) & apart).tolist():
            i, j = int(rows[row]), int(columns[column])
            if i < j:
                yield i, j, min(1.0, float(likeness[row, column]))


def _coarse(signatures: np.ndarray) -> np.ndarray:
    """float32 [N, 49] of signatures [N, 768]: the product of two is no less than that of the signatures.

    They are the means of squares, scaled to keep lengths, and the length of what those leave out: by Cauchy
    and Schwarz, two such rests have a product of that of their lengths at most.
    """
    squares = _SIDE // _COARSE
    shape = (len(signatures), squares, _COARSE, squares, _COARSE, 3)
    means = signatures.reshape(shape).sum(axis=(2, 4)).reshape(len(signatures), -1) / np.float32(_COARSE)
    left = np.square(signatures).sum(axis=1) - np.square(means).sum(axis=1)
    return np.column_stack([means, np.sqrt(left.clip(0))])


def _contents(paths: Sequence[str]) -> dict[str, int]:
    """A number for each file, equal for files of the same bytes; each is read once at most."""
    numbers = {path: number for number, path in enumerate(paths)}
    for group in same_contents(paths):
        numbers.update(dict.fromkeys(group, numbers[group[0]]))
    return numbers
