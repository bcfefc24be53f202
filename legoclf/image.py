"""Image files to pixels: RGB, 8 bit, upright, whatever the file stored.

A JPEG goes through simplejpeg, the fastest; everything else, and what simplejpeg cannot take, through Pillow;
where Pillow is not installed, through OpenCV, which is what a Jetson Nano has. For a JPEG all three give the
same pixels where they are built on libjpeg-turbo, as only Pillow wheels before 9 are not. Colour profiles are
not applied, as in retrain.py.
"""

import functools
import os
import warnings
from io import BytesIO
from typing import Any, Callable, Dict, Iterator, Optional, Tuple

import numpy as np

from legoclf.errors import ImageError, LegoclfError, missing_package
from legoclf.image_header import is_complete, read_header, unreadable

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp")
# Listed so that a folder of them is refused by name instead of looking empty.
OTHER_IMAGE_EXTENSIONS = (
    ".gif", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".psd", ".dng", ".cr2", ".nef",
)  # fmt: skip
_SYSTEM_NAMES = ("__MACOSX", "Thumbs.db")

# What libjpeg says when pixels were lost. Its other warnings are harmless: extraneous bytes before the end
# marker (many webcams), odd scan parameters (some phones).
_LOST_PIXELS = ("premature end", "bad Huffman code", "bad arithmetic code", "instead of RST")


def read_image(path: str) -> np.ndarray:
    """Read the image file ``path``; see :func:`decode_image`."""
    return decode_image(read_file(path), path)


def read_file(path: str) -> bytes:
    """The bytes of an image file.

    Raises:
        ImageError: the system does not give them.
    """
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise unreadable(path, error) from error


def decode_image(data: bytes, path: str) -> np.ndarray:
    """Decode a JPEG, PNG, BMP or WebP; of an animation, the first frame.

    Grey, palette, 16-bit (the high byte counts) and CMYK are converted; alpha is laid over white, because the
    colour under a transparent pixel is arbitrary. The EXIF orientation is applied.

    Args:
        data: the bytes of the file.
        path: what errors name.

    Returns:
        uint8 [height, width, 3], RGB, 0-255, C-contiguous.

    Raises:
        ImageError: the data cannot be used; ``reason`` says why.
        LegoclfError: no package that decodes this format is installed.
    """
    header = read_header(data, path)
    pixels = _decode_simplejpeg(data, path) if header.format == "JPEG" else None
    if pixels is None:
        if not is_complete(data, header):
            raise ImageError(path, "truncated")
        pixels = _decode_pillow(data, header.format, path)
    if pixels is None:
        pixels = _decode_opencv(data, header.format, path)
    if pixels is None:
        raise missing_package("pillow", "train")
    return upright(pixels, header.orientation)


def decode_reduced(data: bytes, path: str, height: int, width: int) -> np.ndarray:
    """Decode as :func:`decode_image`, but a large JPEG at half its size or less: faster, and not its exact
    pixels, so for augmented training views only.

    Args:
        data: the bytes of the file.
        path: what errors name.
        height, width: pixels that the result has at least, where the image has them.

    Returns:
        uint8 [height, width, 3], RGB, 0-255, C-contiguous.

    Raises:
        ImageError: the data cannot be used; ``reason`` says why.
    """
    header = read_header(data, path)
    if header.format == "JPEG":
        stored = (width, height) if header.orientation >= 5 else (height, width)
        pixels = _decode_simplejpeg(data, path, stored)
        if pixels is not None:
            return upright(pixels, header.orientation)
    return decode_image(data, path)


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn and mirror uint8 [H, W, 3] as stored into how it was seen; EXIF 2.32, tag 0x0112, values 1-8."""
    if orientation == 1:
        return pixels
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def iter_image_files(folder: str) -> Iterator[str]:
    """The files anywhere below ``folder`` whose extension says image, as paths that begin with ``folder``.

    Sorted by the path relative to ``folder``, written with ``/``. Hidden files and folders, ``__MACOSX`` and
    ``Thumbs.db`` are left out. Links are followed, except a link to a folder that it lies in. Extensions of
    formats that are not read (HEIC, TIFF, ...) count too, so that such files are refused by name and not
    overlooked.

    Raises:
        LegoclfError: a folder cannot be listed.
    """
    for relative in sorted(_walk(folder, "", (os.path.realpath(folder),))):
        yield os.path.join(folder, *relative.split("/"))


def is_image_name(name: str) -> bool:
    """Whether the extension, in whatever case, is one that image files have."""
    return name.lower().endswith(IMAGE_EXTENSIONS + OTHER_IMAGE_EXTENSIONS)


def is_hidden_name(name: str) -> bool:
    """Whether a file or folder of that name is the system's and not the user's."""
    return name.startswith(".") or name in _SYSTEM_NAMES


def _walk(folder: str, prefix: str, ancestors: Tuple[str, ...]) -> Iterator[str]:
    folders = []
    try:
        with os.scandir(folder) as entries:
            # An entry keeps what the system told of its file: none is held longer than it is looked at.
            for entry in entries:
                if is_hidden_name(entry.name):
                    continue
                if _holds(entry.is_dir):
                    folders.append((entry.name, entry.is_symlink()))
                # A dead link is listed, to be reported; a pipe or a device is not, as opening it would wait.
                elif is_image_name(entry.name) and (_holds(entry.is_file) or not os.path.exists(entry.path)):
                    yield prefix + entry.name
    except OSError as error:
        raise LegoclfError("cannot list the folder {}: {}".format(folder, error.strerror)) from error
    for name, is_link in folders:
        path = os.path.join(folder, name)
        real = os.path.realpath(path) if is_link else ancestors[-1] + os.sep + name
        if real not in ancestors:
            for found in _walk(path, prefix + name + "/", (*ancestors, real)):
                yield found


def _holds(question: Callable[[], bool]) -> bool:
    """Whether an entry is what is asked; a link to itself, which the system will not follow, is nothing."""
    try:
        return question()
    except OSError:
        return False


def _decode_simplejpeg(
    data: bytes, path: str, least: Optional[Tuple[int, int]] = None
) -> Optional[np.ndarray]:
    """None where simplejpeg is not installed or this JPEG (CMYK, odd sampling) is not for it.

    least: height and width, as stored, to which it may be reduced; None for the full size.
    """
    try:
        import simplejpeg
    except ImportError:
        return None
    reduction = {"min_height": least[0], "min_width": least[1], "min_factor": 2} if least else {}
    try:
        pixels: np.ndarray = simplejpeg.decode_jpeg(
            data, "RGB", fastdct=False, fastupsample=False, strict=True, **reduction
        )
        return pixels
    except ValueError as error:
        message = str(error)
    if "Premature end of JPEG file" in message:
        raise ImageError(path, "truncated")
    if any(sign in message for sign in _LOST_PIXELS):
        raise ImageError(path, "unreadable: {}".format(message))
    return None


def _decode_pillow(data: bytes, image_format: str, path: str) -> Optional[np.ndarray]:
    """None where Pillow is not installed."""
    try:
        from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin
    except ImportError:
        return None
    _quieten_pillow()
    # The plugins themselves and not Image.open: only the format that was recognised, and without the size
    # warning, as read_header has refused what is too large.
    readers: Dict[str, Callable[[BytesIO], Any]] = {
        "JPEG": JpegImagePlugin.JpegImageFile,
        "PNG": PngImagePlugin.PngImageFile,
        "BMP": BmpImagePlugin.BmpImageFile,
        "WebP": WebPImagePlugin.WebPImageFile,
    }
    try:
        image = readers[image_format](BytesIO(data))
        image.load()
        return _pillow_to_rgb(image)
    except Exception as error:  # on damaged data the plugins raise nearly every built-in type
        message = str(error).lower()
        if "truncated" in message:
            raise ImageError(path, "truncated") from error
        if "max_text" in message or "decompressed data too large" in message:
            raise ImageError(path, "too large: its text or colour profile unpacks to over 1 MB") from error
        raise unreadable(path, error) from error


@functools.lru_cache(maxsize=None)
def _quieten_pillow() -> None:
    """Pillow warns of odd EXIF data, which it is not asked for. Once: catch_warnings is not for threads."""
    warnings.filterwarnings("ignore", module=r"PIL\.")


def _pillow_to_rgb(image: Any) -> np.ndarray:
    if image.mode.startswith("I"):
        grey = (np.array(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return _over_white(np.array(image.convert("RGBA")))
    return np.array(image.convert("RGB"))


def _decode_opencv(data: bytes, image_format: str, path: str) -> Optional[np.ndarray]:
    """None where OpenCV is not installed."""
    try:
        import cv2
    except ImportError:
        return None
    # UNCHANGED keeps alpha; IGNORE_ORIENTATION because upright() turns the picture. A 32-bit BMP has alpha
    # in name only, often 0 everywhere.
    keeps_alpha = image_format in ("PNG", "WebP")
    flags = cv2.IMREAD_UNCHANGED if keeps_alpha else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise unreadable(path, error) from error
    if pixels is None:
        raise ImageError(path, "unreadable: OpenCV cannot decode this {}".format(image_format))
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.ndim == 2:
        return np.repeat(pixels[:, :, None], 3, axis=2)
    if pixels.shape[2] == 4:
        return _over_white(pixels[:, :, [2, 1, 0, 3]])
    return np.ascontiguousarray(pixels[:, :, ::-1])


def _over_white(rgba: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 4] with straight alpha, laid over white: uint8 [H, W, 3]."""
    alpha = rgba[:, :, 3:].astype(np.uint16)
    white = 255 * (255 - alpha)
    return ((rgba[:, :, :3] * alpha + white + 127) // 255).astype(np.uint8)
