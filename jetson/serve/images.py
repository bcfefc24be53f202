"""The images in a request: one as the body, several as a form or as JSON; decoded within limits."""

import base64
import binascii
import json
from email.parser import HeaderParser
from typing import Any, Dict, List, NamedTuple, Tuple

import numpy as np

from legoclf.errors import ImageError, LegoclfError, printable
from legoclf.image import decode_image
from legoclf.image_header import ImageHeader, read_header

#: Of a progressive JPEG. Encoders make about ten, MozJPEG twenty; each costs a walk through the whole picture
#: however few bytes it has (libjpeg-turbo's "Two Issues with the JPEG Standard", the second).
MOST_SCANS = 64

#: Bytes of the header of a part of a form, and characters of a name that are kept.
_MOST_PART_HEADER = 4096
_MOST_NAME = 200

#: Signs of JSON's structure for each image, and for what may stand around them.
_MOST_SIGNS_EACH = 16
_MOST_SIGNS_BESIDE = 128


class Limits(NamedTuple):
    """What one request may hold.

    body_bytes: of all of it. images: at once. pixels: of one image, decoded; at three bytes each.
    """

    body_bytes: int = 16 * 1024 * 1024
    images: int = 32
    pixels: int = 25 * 1000 * 1000


class BadRequest(LegoclfError):  # noqa: N818
    """A request that cannot be answered; ``status`` is HTTP's, such as 400."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def read_images(content_type: str, body: bytes, limits: Limits) -> List[Tuple[str, bytes]]:
    """Name and bytes of each image in a request's body.

    An ``image/…``, ``application/octet-stream`` or ``application/x-image`` body is one image; a form has one
    in each of its files; JSON has a list of base64 texts in ``images``, or as TensorFlow Serving and
    SageMaker write it, in ``instances``, each a text or {"b64": text}.

    Raises:
        BadRequest: there is none, there are too many, or they cannot be told from the body.
    """
    kind = content_type.partition(";")[0].strip().lower()
    # What curl --data-binary says of any file where it is told nothing.
    one = ("", "application/octet-stream", "application/x-image", "application/x-www-form-urlencoded")
    if kind in one or kind.startswith("image/"):
        if not body:
            raise BadRequest(400, "an empty body: expected an image")
        return [("image", body)]
    if kind == "multipart/form-data":
        return _check_count(_files(content_type, body, limits), limits)
    if kind != "application/json":
        expected = "expected image/jpeg, application/json or multipart/form-data"
        raise BadRequest(415, "Content-Type {}: {}".format(printable(kind[:_MOST_NAME]), expected))
    return [_named(place, item) for place, item in enumerate(_check_count(_listed(body, limits), limits))]


def read_checked_header(name: str, data: bytes, limits: Limits) -> ImageHeader:
    """An image's header, if decoding it takes neither too much memory nor too long.

    Raises:
        BadRequest: it is no image, damaged, or too large.
    """
    try:
        header = read_header(data, name)
    except ImageError as error:
        raise BadRequest(400, str(error)) from error
    if header.width * header.height > limits.pixels:
        raise BadRequest(
            413,
            "{}: {} x {} pixels, at most {:g} million".format(
                name, header.width, header.height, limits.pixels / 1e6
            ),
        )
    # Within a scan 0xFF is followed by 0 or a restart marker, so pixels are not counted.
    if header.format == "JPEG" and data.count(b"\xff\xda") > MOST_SCANS:
        raise BadRequest(400, "{}: a JPEG of more than {} scans".format(name, MOST_SCANS))
    return header


def decode(name: str, data: bytes) -> np.ndarray:
    """An image's pixels, uint8 [H, W, 3], BGR, upright; to be called after :func:`read_checked_header`.

    Raises:
        BadRequest: it is damaged.
    """
    try:
        return _to_bgr(decode_image(data, name))
    except ImageError as error:
        raise BadRequest(400, str(error)) from error


def _to_bgr(rgb: np.ndarray) -> np.ndarray:
    try:
        import cv2
    except ImportError:
        return np.ascontiguousarray(rgb[:, :, ::-1])
    # Ten times as fast as NumPy, which walks against the order in memory.
    bgr: np.ndarray = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    return bgr


def _check_count(images: List[Any], limits: Limits) -> List[Any]:
    if not images:
        raise BadRequest(400, "no image in the request")
    if len(images) > limits.images:
        raise BadRequest(413, "{} images in one request: at most {}".format(len(images), limits.images))
    return images


def _files(content_type: str, body: bytes, limits: Limits) -> List[Tuple[str, bytes]]:
    """Name and bytes of each file of a form (RFC 7578); fields that are no file are left out.

    Not by bottle: it goes through a body line by line, ten seconds for one of 16 MB of line ends, and puts
    large files on the disk.
    """
    boundary = _header("Content-Type: " + content_type).get_boundary()
    if not boundary or len(boundary) > 70:  # RFC 2046, 5.1.1
        raise BadRequest(400, "a form without a boundary in its Content-Type")
    # The first boundary has no line end before it where nothing stands before it.
    mark = b"\r\n--" + boundary.encode("latin-1", "replace")
    most = 2 * limits.images + 2
    parts = (b"\r\n" + body).split(mark, most + 1)[1:]
    if len(parts) > most:
        raise BadRequest(413, "a form of more than {} parts".format(most - 1))
    if not parts or not parts[-1].startswith(b"--"):
        raise BadRequest(400, "a form that does not end")
    found = []
    for place, part in enumerate(parts[:-1]):
        head, blank, data = part.partition(b"\r\n\r\n")
        if not blank or len(head) > _MOST_PART_HEADER:
            raise BadRequest(400, "part {} of the form is damaged".format(place))
        name = _header(head[2:].decode("utf-8", "replace")).get_filename()
        if name is not None:
            found.append((printable(name[:_MOST_NAME]) or "image {}".format(place), data))
    return found


def _header(lines: str) -> Any:
    return HeaderParser().parsestr(lines)


def _listed(body: bytes, limits: Limits) -> List[Any]:
    signs = sum(body.count(sign) for sign in (b"{", b"[", b","))
    # An empty object is two bytes and takes 240: sixteen megabytes of them would take two gigabytes.
    if signs > _MOST_SIGNS_EACH * limits.images + _MOST_SIGNS_BESIDE:
        raise BadRequest(413, "JSON with too many values: at most {} images".format(limits.images))
    try:
        # A number of a million digits would take minutes to read; none is wanted.
        record = json.loads(body.decode("utf-8"), parse_int=_no_number, parse_float=_no_number)
    except (ValueError, RecursionError) as error:
        raise BadRequest(400, "the body is no JSON") from error
    found: Any = None
    if isinstance(record, dict):
        found = record.get("images", record.get("instances"))
    if not isinstance(found, list):
        raise BadRequest(400, 'expected {"images": [base64, ...]} or {"instances": [{"b64": base64}, ...]}')
    return found


def _no_number(text: str) -> None:
    return None


def _named(place: int, item: Any) -> Tuple[str, bytes]:
    name = "image {}".format(place)
    fields: Dict[str, Any] = item if isinstance(item, dict) else {"b64": item}
    text = fields.get("b64")
    if not isinstance(text, str):
        raise BadRequest(400, "{}: expected base64 text".format(name))
    try:
        return name, base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(400, "{}: no base64".format(name)) from error
