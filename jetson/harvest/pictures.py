"""How sharp a picture is, and whether it shows what another one shows.

All is measured on a picture reduced by whole blocks of pixels, where a sensor's noise is averaged away. The
reduction goes through OpenCV where it is installed, else through NumPy, and the two are within one level; all
else is the same code.
"""

import collections
from typing import Deque, NamedTuple, Optional, Tuple

import numpy as np

#: The shorter side of the reduced picture is this or more, where the picture has it.
LEAST_SIDE = 120

#: Sharpness is compared with that of the frames of so many seconds, once there are so many.
SHARPNESS_SECONDS = 3.0
SHARPNESS_LEAST_FRAMES = 5

#: Cells of a fingerprint along each side.
CELLS = 8

#: From cell to cell the grey must grow by more than this to count as an edge: on a plain table there is none.
EDGE_LEVELS = 3

#: Two pictures are near-duplicates where no more bits than this differ and no cell's colour by more levels.
MOST_BITS = 4
MOST_LEVELS = 12


class Fingerprint(NamedTuple):
    """What a picture looks like from afar.

    bits: bool [64], the difference hash: whether the grey grows from cell to cell, 8 rows of 8 steps
        (N. Krawetz, "Kind of Like That", 2013), by more than EDGE_LEVELS.
    colours: int16 [192], the mean colour of 8 x 8 cells, BGR, 0-255.
    """

    bits: np.ndarray
    colours: np.ndarray


def reduce_picture(bgr: np.ndarray) -> np.ndarray:
    """The picture reduced by whole blocks: uint8 [h, w, 3]; LEAST_SIDE <= min(h, w) < 2 * LEAST_SIDE.

    Args:
        bgr: uint8 [H, W, 3]. A smaller one is given back as it is.
    """
    height, width = bgr.shape[:2]
    block = min(height, width) // LEAST_SIDE
    if block <= 1:
        return bgr
    rows, columns = height // block, width // block
    whole = bgr[: rows * block, : columns * block]
    try:
        import cv2
    except ImportError:
        return _reduce_numpy(whole, block)
    reduced: np.ndarray = cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)
    return reduced


def _reduce_numpy(whole: np.ndarray, block: int) -> np.ndarray:
    total = np.zeros((whole.shape[0] // block, whole.shape[1] // block, 3), np.uint32)
    for row in range(block):
        for column in range(block):
            total += whole[row::block, column::block]
    return ((total + block * block // 2) // (block * block)).astype(np.uint8)


def _grey(bgr: np.ndarray) -> np.ndarray:
    """Luma of ITU-R BT.601 in 8-bit fixed point: int32 [H, W], 0-255."""
    blue, green, red = (bgr[:, :, channel].astype(np.int32) for channel in range(3))
    return (29 * blue + 150 * green + 77 * red + 128) >> 8


def sharpness(reduced: np.ndarray) -> float:
    """Variance of the Laplacian of the grey picture; more is sharper, 0 is plain.

    J. L. Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy: a comparative study", 2000. In
    bright light a smear of 1/50 of the picture's width halves it or more; in dim light noise adds to it.

    Args:
        reduced: uint8 [H, W, 3], as :func:`reduce_picture` gives it.
    """
    grey = _grey(reduced)
    if min(grey.shape) < 3:
        return 0.0
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * grey[1:-1, 1:-1]).var())


def fingerprint(reduced: np.ndarray) -> Fingerprint:
    """The fingerprint of a picture, uint8 [H, W, 3], as :func:`reduce_picture` gives it."""
    least = CELLS + 1
    if min(reduced.shape[:2]) < least:
        times = -(-least // min(reduced.shape[:2]))
        reduced = reduced.repeat(times, axis=0).repeat(times, axis=1)
    grey = _cells(_grey(reduced)[:, :, None], CELLS, CELLS + 1)[:, :, 0]
    colours = _cells(reduced, CELLS, CELLS)
    bits = grey[:, 1:] - grey[:, :-1] > EDGE_LEVELS
    return Fingerprint(bits.ravel(), colours.round().astype(np.int16).ravel())


def _cells(picture: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The mean of each of rows x columns cells: float64 [rows, columns, channels]."""
    sums = picture.astype(np.float64)
    for axis, count in ((0, rows), (1, columns)):
        edges = np.arange(count + 1) * picture.shape[axis] // count
        shape = [1, 1, 1]
        shape[axis] = count
        sums = np.add.reduceat(sums, edges[:-1], axis=axis) / np.diff(edges).reshape(shape)
    return sums


class Recent(object):
    """The fingerprints of the last pictures, at most ``most`` of them.

    448 bytes each.
    """

    def __init__(self, most: int) -> None:
        self._bits = np.zeros((most, CELLS * CELLS), bool)
        self._colours = np.zeros((most, CELLS * CELLS * 3), np.int16)
        self._added = 0

    def add(self, print_: Fingerprint) -> None:
        """Remember one; the oldest is forgotten where there is no room."""
        at = self._added % len(self._bits)
        self._bits[at], self._colours[at] = print_
        self._added += 1

    def has_near(self, print_: Fingerprint) -> bool:
        """Whether one of them is a near-duplicate."""
        held = min(self._added, len(self._bits))
        differing = (self._bits[:held] != print_.bits).sum(axis=1)
        levels = np.abs(self._colours[:held] - print_.colours)
        return bool(((differing <= MOST_BITS) & (levels <= MOST_LEVELS).all(axis=1)).any())


class SharpnessGate(object):
    """Tells blurred frames by what the same camera gave of the same scene just before.

    How large the variance of the Laplacian is depends on camera, light and scene, so that no fixed number
    serves; motion and a focus that hunts show as a drop against the median of the last seconds.

    Args:
        share: a frame below this share of the median is blurred; 0 takes all.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._seen: Deque[Tuple[float, float]] = collections.deque(maxlen=100)

    def add(self, at_s: float, value: float) -> None:
        """Take a frame's sharpness into the median; ``at_s`` only goes forward."""
        self._seen.append((at_s, value))
        while at_s - self._seen[0][0] > SHARPNESS_SECONDS:
            self._seen.popleft()

    @property
    def least(self) -> Optional[float]:
        """The least sharpness that passes; None while too few frames are known."""
        if self._share <= 0 or len(self._seen) < SHARPNESS_LEAST_FRAMES:
            return None
        return self._share * float(np.median([value for _, value in self._seen]))
