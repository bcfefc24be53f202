"""What the camera sees, for those who look: the newest frame as JPEG, one after the other as MJPEG.

Nothing is encoded while nobody looks, and once for all who do. A viewer gets the newest frame whenever it is
ready for one, so that a slow one sees fewer pictures and not older ones, and nobody waits for it.
"""

import collections
import threading
import time
from typing import Callable, Iterator, List, Optional, Tuple

import numpy as np

from legoclf.errors import missing_package
from legoclf.jetson.frame import to_bgr
from legoclf.jetson.jpeg import encode_jpeg
from legoclf.jetson.overlay import draw
from legoclf.jetson.result import Result

#: Pictures a second of one stream; a screen shows no more that an eye would miss here.
MOST_FPS = 15.0

#: Streams at once: each holds one of the server's threads.
MOST_STREAMS = 4

#: The longer side of a stream's pictures, and their quality: what a page shows, at some 60 kB each.
VIEW_SIDE = 960
VIEW_QUALITY = 80

#: Without a new frame the last one is sent again, so that a viewer who is gone is noticed.
REPEAT_SECONDS = 2.0

#: Frames that were asked for by :meth:`Pictures.hold` and can still be named.
MOST_HELD = 4

BOUNDARY = "legoclf-frame"
CONTENT_TYPE = "multipart/x-mixed-replace; boundary=" + BOUNDARY


#: What begins a part. It is sent with the picture before, as Chromium shows that one only once it has read
#: the next part's headers; so these cannot tell a picture's length.
_HEAD = "--{}\r\nContent-Type: image/jpeg\r\n\r\n".format(BOUNDARY).encode("ascii")


class Pictures(object):
    """The newest frame with its answer, and its JPEG; for any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._newest: Optional[Result] = None
        self._is_closed = False
        self._viewers: List[int] = []
        self._held: "collections.OrderedDict[int, Result]" = collections.OrderedDict()
        self._encoding = threading.Lock()
        self._encoded_of = -1
        self._encoded = b""

    @property
    def newest(self) -> Optional[Result]:
        """The newest frame with its answer; None before the first."""
        return self._newest

    @property
    def viewers(self) -> List[int]:
        """The viewer of each open stream, by the number it gave itself."""
        with self._changed:
            return list(self._viewers)

    def show(self, result: Result) -> None:
        """Take in a frame, ``result.frame``, with its answer."""
        with self._changed:
            self._newest = result
            self._changed.notify_all()

    def close(self) -> None:
        """End all streams."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def jpeg(self, result: Result) -> bytes:
        """The frame as a stream shows it: reduced to VIEW_SIDE, with a box around each object if any.

        Raises:
            LegoclfError: no package that encodes JPEG is installed.
        """
        with self._encoding:
            if result.sequence != self._encoded_of:
                assert result.frame is not None
                picture = to_bgr(result.frame)
                if result.tracks is not None:
                    picture = draw(picture, result)
                self._encoded = encode_view(picture)
                self._encoded_of = result.sequence
            return self._encoded

    def hold(self) -> Optional[Result]:
        """The newest frame, kept so that :meth:`held` finds it; the oldest of MOST_HELD is let go."""
        with self._changed:
            result = self._newest
            if result is not None:
                self._held[result.sequence] = result
                while len(self._held) > MOST_HELD:
                    self._held.popitem(last=False)
            return result

    def held(self, sequence: int) -> Optional[Result]:
        """A frame that was held, by its number; None if it is no more."""
        with self._changed:
            return self._held.get(sequence)

    def open_stream(self, viewer: int) -> "Optional[Stream]":
        """A stream, to be closed by the caller; None where there are MOST_STREAMS, or nothing to see."""
        with self._changed:
            if len(self._viewers) >= MOST_STREAMS or self._newest is None or self._is_closed:
                return None
            self._viewers.append(viewer)
        return Stream(self, lambda: self._let_go(viewer))

    def next(self, after: int, timeout_s: float) -> Optional[Result]:
        """The newest frame as soon as it is not number ``after``, or after the time whichever it is.

        Returns:
            None once :meth:`close` was called, or where there is none yet.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not self._is_closed:
                newest = self._newest
                left_s = deadline - time.monotonic()
                if left_s <= 0 or (newest is not None and newest.sequence != after):
                    return newest
                self._changed.wait(left_s)
        return None

    def _let_go(self, viewer: int) -> None:
        with self._changed:
            self._viewers.remove(viewer)


class Stream(object):
    """The body of an MJPEG response: an iterator that a WSGI server closes at its end.

    Attributes:
        sent: the number of the frame that was given last; -1 before the first.
    """

    def __init__(self, pictures: Pictures, let_go: Callable[[], None]) -> None:
        self._pictures = pictures
        self._let_go = let_go
        self.sent = -1
        self._sent_at = 0.0
        self._has_begun = False
        self._is_open = True

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if not self._has_begun:
            self._has_begun = True
            return _HEAD
        wait_s = self._sent_at + 1.0 / MOST_FPS - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        result = self._pictures.next(self.sent, REPEAT_SECONDS)
        if result is None:
            raise StopIteration
        data = self._pictures.jpeg(result)
        self.sent, self._sent_at = result.sequence, time.monotonic()
        return data + b"\r\n" + _HEAD

    def close(self) -> None:
        """Make room for another stream; may be called twice."""
        if self._is_open:
            self._is_open = False
            self._let_go()


def encode_view(bgr: np.ndarray) -> bytes:
    """A picture for a page: reduced to VIEW_SIDE, as JPEG; by OpenCV where it is installed, else by Pillow.

    Args:
        bgr: uint8 [H, W, 3], BGR, 0-255.

    Raises:
        LegoclfError: neither is installed.
    """
    height, width = bgr.shape[:2]
    share = min(1.0, VIEW_SIDE / max(height, width))
    if share < 1.0:
        bgr = _reduced(bgr, (max(1, round(width * share)), max(1, round(height * share))))
    return encode_jpeg(bgr, VIEW_QUALITY)


def _reduced(bgr: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """To ``size``, width and height in pixels, each the mean of those that it stands for."""
    try:
        import cv2
    except ImportError:
        return _reduced_by_pillow(bgr, size)
    reduced: np.ndarray = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
    return reduced


def _reduced_by_pillow(bgr: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    try:
        from PIL import Image
    except ImportError as error:
        raise missing_package("pillow", "train") from error
    # 4 is the box filter; the name of it differs from Pillow to Pillow.
    return np.asarray(Image.fromarray(np.ascontiguousarray(bgr)).resize(size, 4))
