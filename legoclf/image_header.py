"""What an image file says of itself before a pixel is decoded: format, size, EXIF orientation.

The format is told by content, never by extension. The scan is plain byte reading, a few microseconds for a
JPEG, so that the decoding loop needs no second library to stand a photo upright and no decoder ever sees a
picture too large to hold.
"""

import os
import re
import struct
from typing import NamedTuple, Optional, Tuple

from legoclf.errors import ImageError

# Twice Pillow's MAX_IMAGE_PIXELS (1 GiB / 4 / 3), where Pillow too stops warning and refuses.
MAX_PIXELS = 2 * (1024 * 1024 * 1024 // 4 // 3)

SUPPORTED = "JPEG, PNG, BMP or WebP"
HEAD_BYTES = 65536

EXIF_ORIENTATION_TAG = 0x0112
# Start-of-frame markers of ITU T.81 table B.1: C0-CF without DHT (C4), JPG (C8) and DAC (CC).
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# 0x00 is no marker: decoders go past it (T.81, B.1.1.2), and so could see another frame than this reader.
_JPEG_WITHOUT_LENGTH = frozenset(range(0xD0, 0xD8)) | {0x00, 0x01}
_BMP_HEADER_SIZES = (12, 16, 40, 52, 56, 64, 108, 124)

_OTHER_FORMATS = (
    (re.compile(rb"GIF8[79]a"), "GIF"),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), "TIFF"),
    (re.compile(rb".{4}ftyp(heic|heix|hevc|heim|heis|mif1|msf1)", re.DOTALL), "HEIC"),
    (re.compile(rb".{4}ftypavi[fs]", re.DOTALL), "AVIF"),
    (re.compile(rb"\0\0\0\x0cjP  "), "JPEG 2000"),
    (re.compile(rb"\xff\x0a|\0\0\0\x0cJXL "), "JPEG XL"),
    (re.compile(rb"8BPS"), "PSD"),
    (re.compile(rb"%PDF"), "PDF"),
)
_TEXT = re.compile(rb"(\xef\xbb\xbf)?[\t\n\r\x20-\x7e]{1,64}")


class ImageHeader(NamedTuple):
    """Format name, size in pixels as stored (before turning), EXIF orientation 1-8.

    ``body`` is where the pixel data of a JPEG starts, in bytes; 0 for the other formats.
    """

    format: str
    width: int
    height: int
    orientation: int
    body: int


def read_header(data: bytes, path: str) -> ImageHeader:
    """The header of the image that ``data`` holds, or of one that begins with ``data``.

    Raises:
        ImageError: ``data`` is empty, no image, of a format that is not read, too large, or ends too early.
    """
    if not data:
        raise ImageError(path, "empty file (0 bytes)")
    try:
        header = _parse(data)
    except (struct.error, IndexError):
        raise ImageError(path, "truncated") from None
    if header is None:
        raise ImageError(path, _why_not_an_image(data))
    if header.width <= 0 or header.height <= 0:
        raise ImageError(path, "unreadable: {} x {} pixels".format(header.width, header.height))
    if header.width * header.height > MAX_PIXELS:
        reason = "too large: {} x {} pixels, at most {} million"
        raise ImageError(path, reason.format(header.width, header.height, MAX_PIXELS // 10**6))
    return header


def read_header_of_file(path: str) -> ImageHeader:
    """:func:`read_header` of a file: of its first 64 KiB, and of the rest only where those do not suffice."""
    try:
        with open(path, "rb") as file:
            data = file.read(HEAD_BYTES)
            try:
                return read_header(data, path)
            except ImageError as error:
                if error.reason != "truncated" or os.fstat(file.fileno()).st_size <= HEAD_BYTES:
                    raise
            return read_header(data + file.read(), path)
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: str, error: Exception) -> ImageError:
    """The error for a file that the system or a decoder gave up on, without the path twice."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return ImageError(path, "unreadable: {}".format(" ".join(str(text).split())))


def is_complete(data: bytes, header: ImageHeader) -> bool:
    """Whether the file's own end is there; some decoders fill a missing one with grey and say nothing."""
    if header.format == "JPEG":
        # Inside the pixel data 0xFF is always escaped, and the thumbnail's own end lies before it.
        return data.find(b"\xff\xd9", header.body) >= 0
    if header.format == "PNG":
        return _png_chunk(data, b"IEND") is not None
    if header.format == "WebP":
        return int(struct.unpack_from("<I", data, 4)[0]) + 8 <= len(data)
    return _bmp_is_complete(data, header)


def _parse(data: bytes) -> Optional[ImageHeader]:
    if data[:3] == b"\xff\xd8\xff":
        return _parse_jpeg(data)
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        # Pillow takes IHDR where it comes, so another chunk in its place could claim any size.
        if data[12:16] not in (b"IHDR", b""):
            return None
        width, height = struct.unpack_from(">II", data, 16)
        exif = _png_chunk(data, b"eXIf")
        return ImageHeader("PNG", width, height, exif_orientation(data, *exif) if exif else 1, 0)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _parse_webp(data)
    if data[:2] == b"BM" and data[14:18] and struct.unpack_from("<I", data, 14)[0] in _BMP_HEADER_SIZES:
        old = data[14] == 12
        width, height = struct.unpack_from("<HH" if old else "<ii", data, 18)
        return ImageHeader("BMP", width, abs(height), 1, 0)
    return None


def _parse_jpeg(data: bytes) -> ImageHeader:
    """Walk the segments up to the start of the scan; IndexError where the data ends before it."""
    width = height = 0
    orientation = 1
    at = 2
    while True:
        at = data.find(b"\xff", at)
        if at < 0:
            raise IndexError("no start of scan")
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in _JPEG_WITHOUT_LENGTH:
            at += 2
            continue
        if marker == 0xDA:
            return ImageHeader("JPEG", width, height, orientation, at)
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
        end = at + 2 + (data[at + 2] << 8 | data[at + 3])
        if marker == 0xE1 and data.startswith(b"Exif\0\0", at + 4):
            orientation = exif_orientation(data, at + 10, end)
        at = end


def _parse_webp(data: bytes) -> Optional[ImageHeader]:
    """Size from the first chunk; https://developers.google.com/speed/webp/docs/riff_container."""
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        exif = _riff_chunk(data, b"EXIF") if data[20] & 8 else None
        return ImageHeader("WebP", width, height, exif_orientation(data, *exif) if exif else 1, 0)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return ImageHeader("WebP", width & 0x3FFF, height & 0x3FFF, 1, 0)
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return ImageHeader("WebP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, 1, 0)
    return None


def exif_orientation(data: bytes, start: int, end: int) -> int:
    """The orientation 1-8 in the TIFF structure ``data[start:end]``; 1 where it is missing or damaged."""
    if data.startswith(b"Exif\0\0", start):
        start += 6
    order = {b"II": "<", b"MM": ">"}.get(data[start : start + 2])
    if order is None:
        return 1
    try:
        entry = start + int(struct.unpack_from(order + "I", data, start + 4)[0])
        count = struct.unpack_from(order + "H", data, entry)[0]
        entry += 2
        for at in range(entry, min(entry + 12 * count, end - 11), 12):
            tag, kind = struct.unpack_from(order + "HH", data, at)
            if tag == EXIF_ORIENTATION_TAG:
                # SHORT by the standard; some writers use LONG.
                value = struct.unpack_from(order + ("I" if kind == 4 else "H"), data, at + 8)[0]
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def _png_chunk(data: bytes, name: bytes) -> Optional[Tuple[int, int]]:
    """Start and end of the first chunk of that name."""
    at = 8
    while at + 12 <= len(data):
        length = struct.unpack_from(">I", data, at)[0]
        if data[at + 4 : at + 8] == name:
            return at + 8, at + 8 + length
        at += 12 + length
    return None


def _riff_chunk(data: bytes, name: bytes) -> Optional[Tuple[int, int]]:
    at = 12
    while at + 8 <= len(data):
        length = struct.unpack_from("<I", data, at + 4)[0]
        if data[at : at + 4] == name:
            return at + 8, at + 8 + length
        at += 8 + length + (length & 1)
    return None


def _bmp_is_complete(data: bytes, header: ImageHeader) -> bool:
    offset, header_size = struct.unpack_from("<II", data, 10)
    if header_size == 12:
        depth, compression = struct.unpack_from("<H", data, 24)[0], 0
    else:
        depth, compression = struct.unpack_from("<HI", data, 28)
    if compression not in (0, 3):
        return True  # run lengths: only the decoder can tell
    return bool(offset + (header.width * depth + 31) // 32 * 4 * header.height <= len(data))


def _why_not_an_image(data: bytes) -> str:
    for signature, name in _OTHER_FORMATS:
        if signature.match(data):
            return "format {} is not supported: use {}".format(name, SUPPORTED)
    text = _TEXT.match(data)
    if text and text.end() >= min(len(data), 64):
        return "not an image (starts like text)"
    return "not an image (unknown content)"
