"""What the camera saw with the answers drawn in, as a video file."""

import os
import shutil
from typing import Any, Optional, Tuple

import numpy as np

from legoclf.errors import LegoclfError, missing_package
from legoclf.jetson.frame import to_bgr
from legoclf.jetson.output import Output, OutputContext
from legoclf.jetson.output_files import check_new_file
from legoclf.jetson.overlay import draw
from legoclf.jetson.result import Result

#: FourCC by ending: what every OpenCV can encode, in software too (an Orin Nano has no encoder).
CODECS = {".mp4": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
DEFAULT_FPS = 30.0

#: OpenCV does not tell when a disk is full, and a file cut off there may not play: stop before.
LEAST_FREE_BYTES = 32 << 20

#: A source that was away is not made up for by more than so many seconds of its last picture.
LONGEST_REPEAT_S = 2.0


class Video(Output):
    """Writes frames with :func:`legoclf.jetson.overlay.draw`.

    Of a live source it keeps time: a frame is repeated until the next one was captured, or left out. Of files
    each frame is written once. All frames get the size of the first.
    """

    needs_frame = True
    keeps_all = True
    capacity = 8

    def __init__(self, path: str, fps: float, context: OutputContext) -> None:
        self.name = "video:" + path
        self._path = path
        self._fps = fps
        self._context = context
        self._writer: Optional[Any] = None
        self._size: Optional[Tuple[int, int]] = None
        self._last: Optional[np.ndarray] = None
        self._started_at = 0.0
        self._written = 0

    def __enter__(self) -> "Video":
        try:
            import cv2  # noqa: F401
        except ImportError as error:
            raise missing_package("opencv-python-headless", "train") from error
        ending = os.path.splitext(self._path)[1].lower()
        if ending not in CODECS:
            raise LegoclfError(
                "{}: got the ending {!r}, expected {}".format(self._path, ending, ", ".join(sorted(CODECS)))
            )
        check_new_file(self._path, self._context.overwrite)
        folder = os.path.dirname(self._path) or "."
        if not os.access(folder, os.W_OK):
            raise LegoclfError("{}: the folder {} cannot be written".format(self._path, folder))
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._writer is not None:
            self._writer.release()

    def write(self, result: Result) -> None:
        import cv2

        assert result.frame is not None
        due = self._due(result.captured_at)
        if not due:
            return
        if shutil.disk_usage(os.path.dirname(self._path) or ".").free < LEAST_FREE_BYTES:
            raise LegoclfError("less than {} MiB free on its disk".format(LEAST_FREE_BYTES >> 20))
        picture = draw(to_bgr(result.frame), result)
        if self._writer is None:
            self._open(picture.shape[1], picture.shape[0])
        assert self._writer is not None
        if (picture.shape[1], picture.shape[0]) != self._size:
            picture = cv2.resize(picture, self._size)
        for _ in range(due - 1):
            self._writer.write(self._last)
        self._writer.write(picture)
        self._last = picture
        self._written += due

    def _due(self, captured_at: float) -> int:
        """How many frames are to be written so that the video runs as fast as the world did."""
        if not self._context.is_live:
            return 1
        missing_s = captured_at - self._started_at - self._written / self._fps
        if not self._written or missing_s > LONGEST_REPEAT_S:
            self._started_at = captured_at - self._written / self._fps
            return 1
        return max(0, round(missing_s * self._fps) + 1)

    def _open(self, width: int, height: int) -> None:
        import cv2

        codec = cv2.VideoWriter.fourcc(*CODECS[os.path.splitext(self._path)[1].lower()])
        writer = cv2.VideoWriter(self._path, codec, self._fps, (width, height))
        if not writer.isOpened():
            raise LegoclfError("OpenCV cannot make it here: no encoder for this ending")
        self._writer, self._size = writer, (width, height)
