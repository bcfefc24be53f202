"""The time that one long step takes: a line that counts on a terminal, a log line every 15 s elsewhere."""

import logging
import sys
import threading
import time

from legoclf.errors import printable
from legoclf.progress import SECONDS_BETWEEN_LINES

LOGGER = logging.getLogger(__name__)


class Elapsed:
    """A context manager; call :meth:`tick` about every :attr:`interval_s` seconds.

    Attributes:
        note: how it stands, shown behind the time.
    """

    interval_s = 0.5

    def __init__(self, what: str) -> None:
        self.what = what
        self.note = ""
        self._width = 0
        self._lock = threading.Lock()

    def __enter__(self) -> "Elapsed":
        self._start = self._last_line = time.monotonic()
        self._is_terminal = sys.stderr.isatty()
        return self

    def tick(self) -> None:
        """Show the time, if it is due."""
        now = time.monotonic()
        text = "{}: {:.0f} s".format(self.what, now - self._start)
        if self.note:
            text += " ({})".format(printable(self.note))
        if self._is_terminal:
            with self._lock:
                sys.stderr.write("\r" + text.ljust(self._width))
                sys.stderr.flush()
                self._width = len(text)
        elif now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            LOGGER.info("%s", text)

    def show(self, line: str) -> None:
        """Write a line of somebody else's to standard error."""
        with self._lock:
            self._clear()
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        with self._lock:
            self._clear()
        if kind is None:
            LOGGER.info("%s took %.1f s", self.what, time.monotonic() - self._start)

    def _clear(self) -> None:
        if self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            self._width = 0
