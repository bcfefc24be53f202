"""Pictures as JPEG."""

import io

import numpy as np

from legoclf.errors import LegoclfError, missing_package

#: 4:2:0 at this quality: on real photos a level or two of difference, which augmentation dwarfs.
QUALITY = 95


def encode_jpeg(bgr: np.ndarray, quality: int = QUALITY) -> bytes:
    """A picture as JPEG: by OpenCV where it is installed, else by Pillow.

    Args:
        bgr: uint8 [H, W, 3], BGR, 0-255.
        quality: 0 to 100.

    Raises:
        LegoclfError: neither is installed, or the picture does not fit a JPEG.
    """
    try:
        import cv2
    except ImportError:
        return _encode_pillow(bgr, quality)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise LegoclfError("OpenCV cannot make a JPEG of a picture of {} x {}".format(*bgr.shape[1::-1]))
    return bytes(data.tobytes())


def _encode_pillow(bgr: np.ndarray, quality: int) -> bytes:
    try:
        from PIL import Image
    except ImportError as error:
        raise missing_package("pillow", "train") from error
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(bgr[:, :, ::-1])).save(stream, "JPEG", quality=quality)
    return stream.getvalue()
