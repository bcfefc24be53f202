"""Frames made in memory, for benchmarks and demonstrations: a bright square that moves over a gradient."""

import math
import threading
import time
from typing import List, Optional

import numpy as np

from legoclf.jetson.frame import Frame, image_shape
from legoclf.jetson.source_base import Source
from legoclf.jetson.source_uri import SourceUri

#: Different pictures there are, which come again and again.
PICTURES = 16


class SyntheticSource(Source):
    """At ``fps`` a camera: the frame of a moment that nobody read is dropped. At fps 0 every read has a new
    frame at once. Frames cost nothing: the pictures are made beforehand, and shared."""

    is_live = True

    def __init__(self, source: SourceUri) -> None:
        super().__init__()
        options = source.options
        self._fps = float(options["fps"])
        self._frames = int(options["frames"])
        self._pixel_format = str(options["format"])
        self._pictures = make_pictures(self._pixel_format, int(options["height"]), int(options["width"]))
        self._closed = threading.Event()
        self._started_at: Optional[float] = None
        self._given = -1

    def read(self, timeout_s: float) -> Optional[Frame]:
        if self._started_at is None:
            self._started_at = time.monotonic()
        sequence = self._given + 1 if not self._fps else self._await_newest(self._started_at, timeout_s)
        if self._closed.is_set() or (self._frames and self._given + 1 >= self._frames):
            self.state = "ended"
            return None
        if sequence is None:
            return None
        if self._frames:
            sequence = min(sequence, self._frames - 1)
        self.state = "running"
        self.dropped += sequence - self._given - 1
        self.captured = sequence + 1
        self._given = sequence
        captured_at = self._started_at + sequence / self._fps if self._fps else time.monotonic()
        return Frame(self._pictures[sequence % PICTURES], self._pixel_format, sequence, captured_at)

    def close(self) -> None:
        self._closed.set()
        self.state = "ended"

    def _await_newest(self, started_at: float, timeout_s: float) -> Optional[int]:
        """The number of the newest frame that was not given, waiting for it; None after the time."""
        next_at = started_at + (self._given + 1) / self._fps
        wait_s = next_at - time.monotonic()
        if wait_s > timeout_s:
            self._closed.wait(timeout_s)
            return None
        if wait_s > 0:
            self._closed.wait(wait_s)
        return max(self._given + 1, math.floor((time.monotonic() - started_at) * self._fps))


def make_pictures(pixel_format: str, height: int, width: int) -> List[np.ndarray]:
    """PICTURES different pictures: uint8, ``image_shape``, read-only.

    Raises:
        LegoclfError: the format cannot have that size.
    """
    shape = image_shape(pixel_format, height, width)
    # Of a frame's bytes and not of its colours, which serves every format: none reads or converts slower.
    rows, columns = np.ogrid[: shape[0], : int(np.prod(shape[1:]))]
    gradient = ((rows * 255 // shape[0] + columns * 128 // (columns.size)) % 256).astype(np.uint8)
    side = max(1, min(shape[0], columns.size) // 4)
    pictures = []
    for index in range(PICTURES):
        picture = gradient.copy()
        top = index * (shape[0] - side) // PICTURES
        left = index * (columns.size - side) // PICTURES
        picture[top : top + side, left : left + side] = 235
        picture = picture.reshape(shape)
        picture.setflags(write=False)
        pictures.append(picture)
    return pictures
