"""The live loop: the newest frame, the answer, at the rate the hardware allows.

All overlaps, each in threads of its own: the source captures; workers prepare frames and classify them; the
thread that calls :meth:`LiveLoop.run` puts the answers in order, smooths them and hands them on; each output
writes.
"""

import threading
import time
from typing import Any, Callable, NamedTuple, Optional

from legoclf.jetson.loop_report import LoopReport, SourceCounts, Statistics
from legoclf.jetson.output_worker import Outputs
from legoclf.jetson.result import Result
from legoclf.jetson.workers import Answered, Workers

_WAIT_SECONDS = 0.1
_STATUS_SECONDS = 0.2


class LoopOptions(NamedTuple):
    """When the loop ends, and what it tells.

    frames: answers to give; None for no end.
    seconds: how long to run; None for no end.
    timed: the runtime times its steps, which costs a little.
    """

    frames: Optional[int] = None
    seconds: Optional[float] = None
    timed: bool = False


class LoopStatus(NamedTuple):
    """How it stands.

    fps: answers a second, lately. last: the last answer, without its frame. state, last_error: the source's.
    dropped: frames that nobody saw. output_losses: results that outputs dropped or lost.
    """

    fps: float
    frames: int
    last: Optional[Result]
    state: str
    reopened: int
    last_error: str
    dropped: int
    output_losses: int


class LiveLoop(object):
    """Classifies what a source gives until it is stopped.

    Args:
        source: open; the caller's to close, after :meth:`run`.
        runtime: the caller's to close, after :meth:`run`.
        view: :class:`legoclf.jetson.views.WholeView` or ``ObjectView``.
        outputs: entered; closed by :meth:`run`.
        on_status: called five times a second by the thread of :meth:`run`.
    """

    def __init__(
        self,
        source: Any,
        runtime: Any,
        view: Any,
        outputs: Outputs,
        options: LoopOptions,
        on_status: Optional[Callable[[LoopStatus], None]] = None,
    ) -> None:
        self._source = source
        self._runtime = runtime
        self._view = view
        self._outputs = outputs
        self._options = options
        self._on_status = on_status
        self._statistics = Statistics()
        self._status_at = 0.0

    def run(self, stop: threading.Event) -> LoopReport:
        """Go on until the frames or seconds are over, the source has ended, or ``stop`` is set.

        Raises:
            LegoclfError: the source cannot go on, or a frame cannot be used.
            BrokenPipeError: the reader of standard output has gone.
        """
        started_at = time.monotonic()
        with Workers(self._source, self._runtime, self._view, self._options.timed) as workers:
            ended_by = self._go(workers, stop, started_at)
            seconds = time.monotonic() - started_at
        self._outputs.close()
        counts = self._source_counts(workers)
        return self._statistics.report(seconds, counts, self._outputs.counts, ended_by)

    def _go(self, workers: Workers, stop: threading.Event, started_at: float) -> str:
        options = self._options
        while not stop.is_set():
            now = time.monotonic()
            if options.seconds is not None and now - started_at >= options.seconds:
                return "seconds"
            answered = workers.next(_WAIT_SECONDS)
            if answered is not None:
                self._hand_on(answered)
                if self._statistics.frames == options.frames:
                    return "frames"
            elif workers.ended:
                return "source"
            self._tell(workers, now)
        return "stop"

    def _hand_on(self, answered: Answered) -> None:
        result = self._view.conclude(answered)
        self._statistics.add(result)
        self._outputs.offer(result)

    def _tell(self, workers: Workers, now: float) -> None:
        if self._on_status is None or now - self._status_at < _STATUS_SECONDS:
            return
        self._status_at = now
        counts = self._source_counts(workers)
        self._on_status(
            LoopStatus(
                self._statistics.recent_fps,
                self._statistics.frames,
                self._statistics.last,
                self._source.state,
                counts.reopened,
                counts.last_error,
                counts.dropped,
                sum(sum(each[1:]) for each in self._outputs.counts.values()),
            )
        )

    def _source_counts(self, workers: Workers) -> SourceCounts:
        source = self._source
        dropped = source.dropped + workers.skipped
        return SourceCounts(source.captured, dropped, source.reopened, source.last_error)
