"""SIGINT, SIGTERM and SIGHUP as a request to end, so that the camera is given back.

A client that dies holding the camera leaves a Jetson's nvargus-daemon stuck.
"""

import signal
import threading
from typing import Any, Dict, Optional

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class StopSignals(object):
    """Sets an event at the first signal; a context manager, to be entered in the main thread.

    Until :attr:`is_heeded` the first signal raises KeyboardInterrupt as well, for nobody looks at the event
    yet; the second one always does. A signal that is ignored, as under nohup, stays ignored.

    Attributes:
        number: the first signal that came; None before.
        is_heeded: somebody looks at the event.
    """

    def __init__(self, stop: threading.Event) -> None:
        self.number: Optional[int] = None
        self.is_heeded = False
        self._stop = stop
        self._before: Dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        for name in _NAMES:
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def was_interrupted(self) -> bool:
        """Whether it was the user's Ctrl-C, and not a request from the system."""
        return self.number == signal.SIGINT

    def _handle(self, number: int, frame: object) -> None:
        is_first = self.number is None
        if is_first:
            self.number = number
        self._stop.set()
        if not (is_first and self.is_heeded):
            raise KeyboardInterrupt
