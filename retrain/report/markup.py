"""Words, figures and pictures as HTML; whatever a file or folder is called, it stays text."""

import base64
import html
import io
from collections.abc import Iterable, Mapping

from legoclf.errors import printable
from legoclf.retrain.thumbnails import thumbnail

#: The longer side of a picture in pixels, and what all in a page may take: the file stays small.
PICTURE_SIDE = 128
MOST_BYTES = 4_000_000


def text(value: object) -> str:
    """A value as text of the page."""
    return html.escape(printable(str(value)))


def percent(share: float | None, places: int = 0) -> str:
    """A fraction as people read it."""
    return "–" if share is None else f"{100 * share:.{places}f} %"


def count(number: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def bar(share: float, kind: str = "") -> str:
    """A bar of so much of its full length; told in words beside it, and so hidden from screen readers."""
    return f'<span class="bar {kind}" aria-hidden=true><i style="width:{100 * share:.1f}%"></i></span>'


def section(name: str, title: str, body: Iterable[str]) -> Iterable[str]:
    """A part of the page with its heading."""
    yield f"<section id={name}><h2>{title}</h2>"
    yield from body
    yield "</section>"


class Pictures:
    """Small pictures of images, each made once, and no more than the page can carry.

    Args:
        files: the file of each image by its path in the data set.
        most_bytes: of all pictures together, as they stand in the page.
    """

    def __init__(self, files: Mapping[str, str], most_bytes: int = MOST_BYTES) -> None:
        self._files = files
        self._left = most_bytes
        self._made: dict[str, str] = {}

    def tag(self, path: str, description: str) -> str:
        """The picture, or nothing where it cannot be read any more or there are enough.

        Args:
            description: what it shows, for those who cannot see it.
        """
        if self._left <= 0 or path not in self._files:
            return ""
        if path not in self._made:
            self._made[path] = small_jpeg(self._files[path])
        source = self._made[path]
        self._left -= len(source)
        return f'<img alt="{text(description)}" src="{source}">' if source else ""


def small_jpeg(path: str) -> str:
    """A small JPEG of an image as a data URI; empty if it cannot be read."""
    from PIL import Image

    pixels = thumbnail(path, PICTURE_SIDE)
    if pixels is None:
        return ""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=80, optimize=True)
    return data_uri("image/jpeg", stream.getvalue())


def smaller(png: bytes) -> str:
    """A PNG file as a JPEG of its size, which takes a tenth, as a data URI."""
    from PIL import Image

    stream = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(stream, "JPEG", quality=80, optimize=True)
    return data_uri("image/jpeg", stream.getvalue())


def data_uri(kind: str, content: bytes) -> str:
    """A file within the page."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
