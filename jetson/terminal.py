"""A status line that other lines do not break, and plain lines where there is no terminal."""

import logging
import shutil
import sys
import time
from typing import List, Optional

LOGGER = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 15.0

_CLEAR = "\r\x1b[K"


class Terminal(object):
    """Shows a status on standard error, and lines on standard output; a context manager.

    On a terminal the status is one line at the bottom. Elsewhere it is a log line every 15 s, and one
    whenever what it is about changes.
    """

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._shown = False
        self._last_line_at: Optional[float] = None
        self._last_key = ""
        self._handlers: List[logging.Handler] = []

    def __enter__(self) -> "Terminal":
        if self._is_terminal:
            self._handlers = list(logging.getLogger().handlers)
            for handler in self._handlers:
                handler.addFilter(self._make_room)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        for handler in self._handlers:
            handler.removeFilter(self._make_room)
        self._clear()

    def status(self, text: str, key: str) -> None:
        """Show how it stands; ``key`` is the part whose change is worth a line of its own."""
        if self._is_terminal:
            width = shutil.get_terminal_size().columns
            sys.stderr.write(_CLEAR + text[: width - 1])
            sys.stderr.flush()
            self._shown = True
            return
        now = time.monotonic()
        late = self._last_line_at is None or now - self._last_line_at >= SECONDS_BETWEEN_LINES
        if late or key != self._last_key:
            self._last_line_at, self._last_key = now, key
            LOGGER.info("%s", text)

    def line(self, text: str) -> None:
        """Write a line on standard output, at once."""
        self._clear()
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def _clear(self) -> None:
        if self._shown:
            self._shown = False
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()

    def _make_room(self, record: logging.LogRecord) -> bool:
        self._clear()
        return True
