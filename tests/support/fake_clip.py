"""A short video for tests, whose frames tell their number by their brightness."""

from typing import Any

import numpy as np
import pytest

#: Levels between one frame and the next: JPEG changes a plain frame by a level or two.
STEP = 8


def write_clip(folder: Any, frames: int = 20, name: str = "clip.avi") -> str:
    """Write up to 31 frames of 64x48 as MJPEG; the path. Skips the test where OpenCV is not installed."""
    cv2 = pytest.importorskip("cv2")
    path = str(folder / name)
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 30.0, (64, 48))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(np.full((48, 64, 3), number * STEP, np.uint8))
    writer.release()
    return path


def number_of(frame: Any) -> int:
    """The number of a frame of the clip, from its first byte."""
    return round(int(frame.image[0, 0, 0]) / STEP)
