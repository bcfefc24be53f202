"""One camera frame, as every source gives it, and its pixels as BGR."""

import time
from typing import Callable, Dict, NamedTuple, Tuple

import numpy as np

from legoclf.errors import LegoclfError

#: What a frame's bytes may mean; ``Frame.image`` has the shape of each.
PIXEL_FORMATS = ("BGR", "BGRx", "NV12", "YUYV")


class Frame(NamedTuple):
    """A frame. Its image is read-only, as several outputs may share it: copy it to draw on it.

    image: uint8, C-contiguous; [H, W, 3] for BGR, [H, W, 4] for BGRx (x is no alpha and means nothing),
        [H * 3 // 2, W] for NV12 (H rows of Y, then H // 2 rows of U and V in turn), [H, W, 2] for YUYV
        (Y, and U or V in turn). Y, U and V are ITU-R BT.601 of limited range, which UVC cameras have
        where they say nothing else (USB Video Class 1.5, 3.9.2.6).
    pixel_format: one of PIXEL_FORMATS.
    sequence: counts the frames that the source captured, from 0; a gap is a frame that was dropped.
    captured_at: time.monotonic(), in seconds, when the frame came out of the source.
    """

    image: np.ndarray
    pixel_format: str
    sequence: int
    captured_at: float

    @property
    def height(self) -> int:
        """Rows of the picture."""
        rows = int(self.image.shape[0])
        return rows * 2 // 3 if self.pixel_format == "NV12" else rows

    @property
    def width(self) -> int:
        """Columns of the picture."""
        return int(self.image.shape[1])


def wall_time(captured_at: float) -> float:
    """When a frame was captured, in seconds of time.time(), of its ``captured_at``.

    Read off anew each time: a Jetson Nano has no clock of its own that runs on, and its time jumps when
    the network tells it.
    """
    return time.time() - (time.monotonic() - captured_at)


def image_shape(pixel_format: str, height: int, width: int) -> Tuple[int, ...]:
    """The shape of ``Frame.image`` for a picture of that format and size.

    Raises:
        LegoclfError: the format is unknown, or cannot have a size that is odd.
    """
    if pixel_format == "BGR":
        return (height, width, 3)
    if pixel_format == "BGRx":
        return (height, width, 4)
    if pixel_format not in PIXEL_FORMATS:
        raise LegoclfError(
            "pixel format {}: expected one of {}".format(pixel_format, ", ".join(PIXEL_FORMATS))
        )
    if width % 2 or (pixel_format == "NV12" and height % 2):
        raise LegoclfError(
            "a {} frame of {}x{}: its width{} must be even".format(
                pixel_format, width, height, " and height" if pixel_format == "NV12" else ""
            )
        )
    return (height * 3 // 2, width) if pixel_format == "NV12" else (height, width, 2)


def to_bgr(frame: Frame) -> np.ndarray:
    """The frame's pixels as BGR, by OpenCV where it is installed, else by NumPy: within one level of it.

    Returns:
        uint8 [H, W, 3], C-contiguous, 0-255. The frame's own image, read-only, where that is BGR.
    """
    if frame.pixel_format == "BGR":
        return frame.image
    try:
        import cv2
    except ImportError:
        return _NUMPY_CONVERSIONS[frame.pixel_format](frame.image)
    codes = {"BGRx": cv2.COLOR_BGRA2BGR, "NV12": cv2.COLOR_YUV2BGR_NV12, "YUYV": cv2.COLOR_YUV2BGR_YUY2}
    converted: np.ndarray = cv2.cvtColor(frame.image, codes[frame.pixel_format])
    return converted


def bgrx_to_bgr(image: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 4] to uint8 [H, W, 3]."""
    return np.ascontiguousarray(image[:, :, :3])


def nv12_to_bgr(image: np.ndarray) -> np.ndarray:
    """uint8 [H * 3 // 2, W] to uint8 [H, W, 3]; each U and V serves four pixels."""
    rows, width = image.shape
    height = rows * 2 // 3
    chroma = image[height:].reshape(height // 2, width // 2, 2).repeat(2, axis=0).repeat(2, axis=1)
    return _yuv_to_bgr(image[:height], chroma[:, :, 0], chroma[:, :, 1])


def yuyv_to_bgr(image: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 2] to uint8 [H, W, 3]; each U and V serves two pixels."""
    chroma = image[:, :, 1]
    return _yuv_to_bgr(image[:, :, 0], chroma[:, 0::2].repeat(2, axis=1), chroma[:, 1::2].repeat(2, axis=1))


def _yuv_to_bgr(luma: np.ndarray, blue: np.ndarray, red: np.ndarray) -> np.ndarray:
    """Limited range to full: ITU-R BT.601-7, 2.5, in 20-bit fixed point as OpenCV has it."""
    level = np.maximum(luma.astype(np.int32) - 16, 0) * 1220542
    blue = blue.astype(np.int32) - 128
    red = red.astype(np.int32) - 128
    channels = (
        level + 2116026 * blue,
        level - 409993 * blue - 852492 * red,
        level + 1673527 * red,
    )
    half = 1 << 19
    return np.stack([((c + half) >> 20).clip(0, 255) for c in channels], axis=2).astype(np.uint8)


_NUMPY_CONVERSIONS: Dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "BGRx": bgrx_to_bgr,
    "NV12": nv12_to_bgr,
    "YUYV": yuyv_to_bgr,
}
