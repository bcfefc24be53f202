"""The options that a source's URI takes, kind by kind."""

import re
from typing import Callable, Dict, List, NamedTuple, Tuple, Union
from urllib.parse import unquote

from legoclf.errors import UsageError, printable
from legoclf.jetson.frame import PIXEL_FORMATS

Value = Union[int, float, str]

#: Of nvvidconv's flip-method: 0 as it is, 1 to 3 turned by quarters against the clock, 4 mirrored left to
#: right, 5 and 7 over a diagonal, 6 top to bottom.
FLIPS = range(8)
TRANSPORTS = ("tcp", "udp", "auto")
CODECS = ("h264", "h265", "mjpeg")


class Option(NamedTuple):
    """An option: its default, what it must be in words, and what reads it or raises ValueError."""

    default: Value
    expected: str
    read: Callable[[str], Value]


def _whole(low: int, high: int) -> Callable[[str], Value]:
    def read(text: str) -> Value:
        # int() also takes "1_000", " 7" and digits of other scripts.
        if not re.match(r"[0-9]{1,9}\Z", text) or not low <= int(text) <= high:
            raise ValueError(text)
        return int(text)

    return read


def _number(low: float, high: float) -> Callable[[str], Value]:
    def read(text: str) -> Value:
        if not re.match(r"[0-9]{1,6}(\.[0-9]{1,6})?\Z", text) or not low <= float(text) <= high:
            raise ValueError(text)
        return float(text)

    return read


def _one_of(names: Tuple[str, ...]) -> Callable[[str], Value]:
    by_lower = {name.lower(): name for name in names}

    def read(text: str) -> Value:
        if text.lower() not in by_lower:
            raise ValueError(text)
        return by_lower[text.lower()]

    return read


def _fourcc(text: str) -> Value:
    if not re.match(r"[A-Za-z0-9]{3,4}\Z", text):
        raise ValueError(text)
    return text.upper().ljust(4)


def _choice(names: Tuple[str, ...], default: str) -> Option:
    return Option(default, "one of " + ", ".join(names), _one_of(names))


def _pixels(default: int) -> Option:
    return Option(default, "16 to 16384", _whole(16, 16384))


def _rate(default: float) -> Option:
    return Option(default, "a rate above 0 and up to 1000", _number(0.001, 1000))


#: 0 and "" stand for "whatever the camera does".
OPTIONS: Dict[str, Dict[str, Option]] = {
    "csi": {
        "width": _pixels(1280),
        "height": _pixels(720),
        "fps": _rate(30.0),
        "flip": Option(0, "nvvidconv's flip-method, 0 to 7", _whole(FLIPS[0], FLIPS[-1])),
        "mode": Option(-1, "a sensor mode, 0 to 31", _whole(0, 31)),
        "format": _choice(("BGRx", "NV12"), "BGRx"),
    },
    "v4l2": {
        "width": _pixels(0),
        "height": _pixels(0),
        "fps": _rate(0.0),
        "format": Option("", "a V4L2 pixel format such as MJPG or YUYV", _fourcc),
    },
    "rtsp": {
        "latency": Option(100, "milliseconds, 0 to 60000", _whole(0, 60000)),
        "transport": _choice(TRANSPORTS, "tcp"),
        "codec": Option("", "one of " + ", ".join(CODECS), _one_of(CODECS)),
    },
    "http": {"timeout": Option(5, "seconds, 1 to 3600", _whole(1, 3600))},
    "synthetic": {
        "width": _pixels(640),
        "height": _pixels(480),
        "fps": Option(30.0, "a rate up to 100000, 0 for as fast as they are read", _number(0, 100000)),
        "format": _choice(PIXEL_FORMATS, "BGR"),
        "frames": Option(0, "how many frames there are, 0 for no end", _whole(0, 999999999)),
    },
}


def split_options(kind: str, uri: str, text: str, mark: str) -> Tuple[str, Dict[str, Value]]:
    """The part before the mark, and the options after it, each read and in its range."""
    target, _, query = text.partition(mark)
    known = OPTIONS[kind]
    options = {name: option.default for name, option in known.items()}
    given: List[str] = []
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        if name not in known:
            raise UsageError(
                "source {}: unknown option '{}'; {} takes {}".format(
                    shown(uri), printable(name), kind, ", ".join(known)
                )
            )
        if name in given:
            raise UsageError("source {}: the option '{}' is there twice".format(shown(uri), name))
        given.append(name)
        try:
            options[name] = known[name].read(unquote(value))
        except ValueError:
            raise UsageError(
                "source {}: {}='{}'; expected {}".format(
                    shown(uri), name, printable(value), known[name].expected
                )
            ) from None
    return target, options


def shown(uri: str) -> str:
    """One line, and stars for the password of any address in it."""
    return printable(re.sub(r"(://[^/@\s:]*:)[^/?#\s]*@", r"\1***@", uri))
