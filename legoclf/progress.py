"""Progress of long work: a bar with rate and time left on a terminal, plain log lines elsewhere."""

import logging
import sys
import time
from typing import Any, Optional

LOGGER = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 15.0


class Progress:
    """Counts finished items and shows them; a context manager.

    On a terminal with tqdm installed it is a bar; otherwise a log line every 15 s and one at the end.

    Args:
        total: how many items there are; None where that is not known.
    """

    def __init__(self, what: str, total: Optional[int], unit: str = "images") -> None:
        self.what = what
        self.total = total
        self.unit = unit
        self.done = 0
        self._bar: Optional[Any] = None

    def __enter__(self) -> "Progress":
        self._start = self._last_line = time.monotonic()
        if sys.stderr.isatty():
            try:
                from tqdm import tqdm
            except ImportError:
                pass
            else:
                self._bar = tqdm(total=self.total, desc=self.what, unit=" " + self.unit, leave=False)
        return self

    @property
    def is_bar(self) -> bool:
        """Whether a bar is shown, and not lines."""
        return self._bar is not None

    def advance(self, count: int = 1, note: str = "") -> None:
        """Add ``count`` finished items; ``note`` tells how it stands, such as ``loss 0.31``."""
        self.done += count
        if self._bar is not None:
            if note:
                self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(count)
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            of = "" if self.total is None else " of {}".format(self.total)
            known = [text for text in (self._pace(), note) if text]
            LOGGER.info("%s: %d%s %s (%s)", self.what, self.done, of, self.unit, ", ".join(known))

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._bar is not None:
            self._bar.close()
        if kind is None and self.done:
            seconds = time.monotonic() - self._start
            LOGGER.info("%s: %d %s in %.1f s", self.what, self.done, self.unit, seconds)

    def _pace(self) -> str:
        rate = self.done / max(time.monotonic() - self._start, 1e-9)
        shown = ("{:.0f}/s" if rate >= 10 else "{:.2g}/s").format(rate)
        if self.total is None:
            return shown
        left = (self.total - self.done) / max(rate, 1e-9)
        time_left = "{:.0f} s".format(left) if left < 120 else "{:.0f} min".format(left / 60)
        return "{}, {} left".format(shown, time_left)
