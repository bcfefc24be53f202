"""What folders and files are called: labels that are safe as folders, and groups of pictures.

A file is ``<time>-<random>_nohash_<number>.jpg``, with the time in UTC, so that names sort by time. All that
stands before ``_nohash_`` is the group: :mod:`legoclf.split` puts a group as a whole into training,
validation or test.
"""

import os
import re
import time
import unicodedata
from typing import Optional

from legoclf.errors import UsageError, printable
from legoclf.image import is_hidden_name

#: The longest name of a folder that file systems take, in bytes: NAME_MAX of Linux.
MOST_BYTES = 255

#: Pictures of the same scene lie so near in time, or nearer.
GROUP_SECONDS = 2.0

_GROUP = r"[0-9]{8}T[0-9]{9}-[0-9a-f]{8}"
_STEM = re.compile(_GROUP + r"_nohash_[0-9]{3,6}\Z")

#: https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_WINDOWS_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?\Z", re.IGNORECASE)
_WINDOWS_SIGNS = '<>:"/\\|?*'


def check_label(label: str) -> str:
    """The label as a folder's name, in Unicode NFC as retrain has it.

    Raises:
        UsageError: it cannot be a folder on every system, or would spoil the split; the message says why.
    """
    name = unicodedata.normalize("NFC", label)
    reason = _why_unsafe(name)
    if reason is not None:
        shown = printable(name if len(name) <= 60 else name[:60] + "...")
        raise UsageError("label '{}': {}".format(shown, reason))
    return name


def _why_unsafe(name: str) -> Optional[str]:
    try:
        length = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        return "is not valid UTF-8; use other letters"
    if not name.strip():
        return "is empty; name what the pictures show"
    if length > MOST_BYTES:
        return "has {} bytes, and a folder's name {} at most".format(length, MOST_BYTES)
    sign = next((sign for sign in name if sign in _WINDOWS_SIGNS or not sign.isprintable()), None)
    if sign is not None:
        return "has {} in it, which not every system takes in a folder's name; use another".format(
            ascii(sign)
        )
    if is_hidden_name(name):
        return "would be a hidden folder or the system's, which retrain leaves out; begin with another sign"
    if name != name.strip() or name.endswith("."):
        return "begins or ends with a blank, or ends with a dot, which Windows drops from a folder's name"
    if _WINDOWS_DEVICES.match(name):
        return "is the name of a device on Windows; use another"
    if "_nohash_" in name:
        return "has _nohash_ in it, which would put the whole class into one set; leave that out"
    return None


def new_group(when_s: float) -> str:
    """A group's name: the time in seconds since 1970, to the millisecond, and a random part."""
    milliseconds = round(when_s * 1000)
    text = time.strftime("%Y%m%dT%H%M%S", time.gmtime(milliseconds // 1000))
    return "{}{:03d}-{}".format(text, milliseconds % 1000, os.urandom(4).hex())


def stem_of(group: str, number: int) -> str:
    """A file's name without its extension."""
    return "{}_nohash_{:03d}".format(group, number)


def is_stem(text: object) -> bool:
    """Whether a text is such a name, and therefore no path."""
    return isinstance(text, str) and _STEM.match(text) is not None


class Groups(object):
    """Names pictures one after the other; those within GROUP_SECONDS of a group's first are of that group."""

    def __init__(self) -> None:
        self._group = ""
        self._began_at: Optional[float] = None

    def at(self, at_s: float, when_s: float) -> str:
        """The group of a picture.

        Args:
            at_s: when it was taken, in seconds of a clock that only goes forward.
            when_s: the same by the wall clock, in seconds since 1970.
        """
        if self._began_at is None or not 0 <= at_s - self._began_at < GROUP_SECONDS:
            self._group, self._began_at = new_group(when_s), at_s
        return self._group
