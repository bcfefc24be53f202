"""Bodies of requests that claim, unpack to, or hide more than they are. Python 3.6."""

import base64
import functools
import json
import struct
import zlib
from typing import Any, Dict, Tuple


def post(body: bytes, kind: str, path: str = "/classify") -> bytes:
    """A request that is in order but for its body."""
    head = "POST {} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n"
    return head.format(path, kind, len(body)).encode("latin-1") + body


@functools.lru_cache(maxsize=2)
def bodies(image: bytes) -> Dict[str, Tuple[str, bytes]]:
    """Bodies that claim, unpack to, or hide more than they are: name, content type, bytes."""
    found = {name: ("application/octet-stream", data) for name, data in image_bombs(image).items()}
    json_kind, form = "application/json", "multipart/form-data; boundary=x"
    part = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n\r\n'
    found.update(
        {
            "json: nested": (json_kind, b'{"images":' + b"[" * 100000),
            "json: empty objects": (json_kind, b'{"images":[' + b"{}," * 300000 + b"{}]}"),
            "json: a long number": (json_kind, b'{"images":[' + b"9" * 300000 + b"]}"),
            "json: no base64": (json_kind, json.dumps({"images": ["!" * 1000, "\ud800"]}).encode("ascii")),
            "json: no image": (json_kind, json.dumps({"images": [_text(b"x" * 5000)] * 9}).encode("ascii")),
            "json: NaN": (json_kind, b'{"images":NaN,"instances":[1e999]}'),
            "form: 100 000 parts": (form, part * 100000 + b"--x--\r\n"),
            "form: line ends": (form, part + b"\r\n" * 500000 + b"\r\n--x--\r\n"),
            "form: no boundary": ("multipart/form-data", part + b"--x--\r\n"),
            "form: a long boundary": ("multipart/form-data; boundary=" + "x" * 9000, part),
            "form: no end": (form, part * 3),
            "form: evil names": (form, _form(EVIL_NAMES, image)),
        }
    )
    return found


EVIL_NAMES = (
    "../../../etc/passwd",
    "/etc/passwd",
    "a\x00b.jpg",
    "\x1b[2J",
    "C:\\x\\y",
    "%2e%2e%2f",
    "x" * 3000,
)


@functools.lru_cache(maxsize=2)
def image_bombs(image: bytes) -> Dict[str, bytes]:
    """Images that claim or unpack to more than anybody could hold, or take long, by name."""
    zeros = _zip(b"\0" * (64 << 20))
    scan = image[image.index(b"\xff\xda") :]
    frame = image.index(b"\xff\xc0")
    huge = bytearray(image)
    huge[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    return {
        "PNG of 60000 x 60000": png(60000, 60000, b""),
        "PNG that unpacks to 64 MB more": png(64, 64, zeros, is_packed=True),
        "PNG with a profile of 64 MB": png(8, 8, b"\0" * 200, [(b"iCCP", b"x\0\0" + zeros)]),
        "PNG with a text of 64 MB": png(8, 8, b"\0" * 200, [(b"zTXt", b"x\0\0" + zeros)]),
        "PNG whose first chunk is no IHDR": _png_hidden(),
        "JPEG of 65535 x 65535": bytes(huge),
        "JPEG that hides its size": _jpeg_hidden(image),
        "JPEG of 100 000 scans": image[:-2] + scan[:12] * 100000 + b"\xff\xd9",
        "JPEG of 100 000 markers": image[:2] + b"\xff\xe1\0\x08Exif\0\0" * 100000 + image[2:],
        "BMP of 30000 x 30000": b"BM"
        + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 30000, 30000, 1, 24, *[0] * 6),
        "WebP of 16383 x 16383": b"RIFF\xff\0\0\0WEBPVP8L\xff\0\0\0/" + struct.pack("<I", 0xFFFFFFF),
        "WebP canvas of 16777216": b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff" * 6,
    }


def png(width: int, height: int, pixels: bytes, chunks: Any = (), is_packed: bool = False) -> bytes:
    """A grey PNG of rows that lie ready, each with its filter byte, packed or not."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = pixels if is_packed else _zip(pixels)
    every = [(b"IHDR", header), *chunks, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*each) for each in every)


def _png_hidden() -> bytes:
    """Where a reader that looks at a fixed place finds 8 x 8, and the decoder 6000 x 6000."""
    text = (b"tEXt", struct.pack(">II", 8, 8) + b"\0" * 5)
    header = (b"IHDR", struct.pack(">IIBBBBB", 6000, 6000, 8, 0, 0, 0, 0))
    every = [text, header, (b"IDAT", _zip(b"\0" * (6001 * 6000))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*each) for each in every)


def _jpeg_hidden(image: bytes) -> bytes:
    """To a careless reader what follows 0xFF00 is a segment; libjpeg finds a frame of 6000 x 6000 in it."""
    frame = image.index(b"\xff\xc0")
    end = frame + 2 + struct.unpack(">H", image[frame + 2 : frame + 4])[0]
    small = image[frame:end]
    large = small[:5] + struct.pack(">HH", 6000, 6000) + small[9:]
    inside = small + b"\xff\xda" + b"\0" * 10
    comment = b"\xff\xfe" + struct.pack(">H", 2 + len(inside))
    trick = b"\xff\0" + struct.pack(">H", 2 + len(large) + len(comment)) + large + comment + inside
    return image[:2] + b"\xff\xe0\0\x02" + trick + image[2:frame] + image[end:]


def _chunk(name: bytes, data: bytes) -> bytes:
    return (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data) & 0xFFFFFFFF)
    )


def _zip(data: bytes) -> bytes:
    return zlib.compress(data, 1)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _form(names: Any, data: bytes) -> bytes:
    head = '--x\r\nContent-Disposition: form-data; name="f"; filename="{}"\r\n\r\n'
    parts = b"".join(head.format(name).encode("utf-8") + data + b"\r\n" for name in names)
    return parts + b"--x--\r\n"
