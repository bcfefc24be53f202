"""A command as a published result may show it."""

import os
import re
import shlex
from typing import Optional, Sequence


def shown_command(words: Sequence[str], home: Optional[str] = None) -> str:
    """The command in one line, quoted for a shell, without what is private.

    A path under the home folder is shown from ``~`` on. Of any other absolute path only the last name is
    kept: results are published, and folders bear the names of people, customers and projects. Devices in
    /dev stay. A user name and password in a URI become ``***``.

    Args:
        words: of the call, its program first.
        home: the home folder; None for this user's.
    """
    home = (os.path.expanduser("~") if home is None else home).rstrip("/")
    return " ".join(_quoted(_shown(word, home)) for word in words)


def _shown(word: str, home: str) -> str:
    word = re.sub(r"([A-Za-z][\w+.-]*://)[^/\s]*@", r"\1***@", word)
    # The path may be the word, spaces and all, or follow --flag= or a scheme without a host, as in file:///…
    place = re.match(r"((?:[^/\s]*=)?(?:[A-Za-z][\w+.-]*://)?)(/.*)", word, flags=re.DOTALL)
    if place is not None:
        return place.group(1) + _shown_path(place.group(2), home)
    # …or stand within it, as in a GStreamer pipeline.
    return re.sub(r"(?<=[\s=,;'\"])/[^\s,;'\"]*", lambda path: _shown_path(path.group(), home), word)


def _shown_path(path: str, home: str) -> str:
    if home and (path == home or path.startswith(home + "/")):
        return "~" + path[len(home) :]
    if path.startswith("/dev/"):
        return path
    return os.path.basename(path.rstrip("/")) or "/"


def _quoted(word: str) -> str:
    """As shlex.quote, but that a ``~`` for the home folder stays out of the quotes."""
    place = re.match(r"((?:[\w-]*=)?~/?)(.*)$", word, flags=re.DOTALL)
    if place is None:
        return shlex.quote(word)
    before, rest = place.groups()
    return before + (shlex.quote(rest) if rest else "")
