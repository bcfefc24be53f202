"""Mean watts and joules of a stretch of work, from the board's own sensor, read in a thread."""

import threading
import time
from types import TracebackType
from typing import Callable, Optional, Type

from legoclf.jetson.telemetry_power import board_total, find_board_rails, read_rails_w


class Sampler(object):
    """Calls something at an interval in a thread of its own; a context manager.

    The calls come from that thread alone; after the block there are no more.

    Args:
        interval_s: seconds from the end of one call to the next.
        call: must not raise.
    """

    def __init__(self, interval_s: float, call: Callable[[], None]) -> None:
        self._interval_s = interval_s
        self._call = call
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(
        self,
        error_type: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            self._call()


class EnergyMeter(object):
    """Adds up the board's power over time, in sums that do not grow; a context manager.

        with EnergyMeter() as meter:
            work()
        meter.mean_w, meter.energy_j

    It reads at the beginning, at the interval and at the end, and joins the readings by straight lines. The
    sensor itself averages over some milliseconds, so a stretch of less than a second or so is told badly. The
    figures can be read while it runs. On a machine without such a sensor they are None, and no thread runs.

    Args:
        interval_s: seconds between readings; one costs up to a few milliseconds of the sensor's slow bus.
        root: where the machine's file system begins.
        clock: seconds, for tests.
    """

    def __init__(
        self, interval_s: float = 0.2, root: str = "/", clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._rails = find_board_rails(root)
        self._clock = clock
        self._lock = threading.Lock()
        self._sampler = Sampler(interval_s, self.sample)
        self._last_at: Optional[float] = None
        self._last_w = 0.0
        self._joules = 0.0
        self._seconds = 0.0

    @property
    def is_told(self) -> bool:
        """Whether the board has a sensor for its total power."""
        return bool(self._rails)

    @property
    def mean_w(self) -> Optional[float]:
        """Mean watts so far; None where the board tells no power, or before two readings."""
        with self._lock:
            return self._joules / self._seconds if self._seconds > 0 else None

    @property
    def energy_j(self) -> Optional[float]:
        """Joules so far; None where the board tells no power, or before two readings."""
        with self._lock:
            return self._joules if self._seconds > 0 else None

    def sample(self) -> None:
        """Read the sensor once; for a caller with a thread of its own, in place of the ``with`` block."""
        if not self._rails:
            return
        watts = board_total(read_rails_w(self._rails))
        now = self._clock()
        if watts is None:  # the sensor did not answer: the line is drawn to its next reading
            return
        with self._lock:
            if self._last_at is not None:
                self._joules += (self._last_w + watts) / 2.0 * (now - self._last_at)
                self._seconds += now - self._last_at
            self._last_at, self._last_w = now, watts

    def __enter__(self) -> "EnergyMeter":
        self.sample()
        if self._rails:
            self._sampler.__enter__()
        return self

    def __exit__(
        self,
        error_type: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        if self._rails:
            self._sampler.__exit__(error_type, error, traceback)
        self.sample()
