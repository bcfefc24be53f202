"""The threads that take frames, prepare and classify them; answers come out in the order of the frames.

Where several inferences run at once (one core each), a thread does all of a frame. Where one runs at a time
(a GPU), one thread more than that prepares the next frame meanwhile.
"""

import threading
import time
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

from legoclf.jetson.frame import Frame
from legoclf.jetson.pace import Pace

_READ_SECONDS = 0.1

#: Answers that wait to be taken, for each thread.
_WAITING = 2


class Look(NamedTuple):
    """Where to look in a frame: regions (x, y, width, height) in pixels, None for all of it.

    roi: the part the user asked for. found: the objects located, which are then the regions.
    """

    regions: Optional[List[Any]] = None
    roi: Optional[Any] = None
    found: Optional[Any] = None


class Answered(NamedTuple):
    """A frame, where it was looked at, and what the runtime answered."""

    frame: Frame
    look: Look
    answers: Any


class _AbandonedError(Exception):
    """A frame before this one failed, and the run ends there."""


class Workers(object):
    """Classifies what a source gives, in threads of its own; a context manager.

    Of a live source each frame is the newest there was when its preparation began, and that is as late as
    :class:`Pace` finds possible; where the inference before takes longer than expected, a newer frame takes
    the place of the one that waits. Of a source that waits all frames come.

    Args:
        source: has ``read``, ``is_live`` and ``ended``; the caller's to close, afterwards.
        runtime: has ``parallel``, ``prepare`` and ``answer``, for any thread.
        view: has ``look``, which is called by one thread at a time, in the order of the frames.
        timed: the runtime times its steps.

    Attributes:
        skipped: frames that were read and gave way to newer ones.
    """

    def __init__(self, source: Any, runtime: Any, view: Any, timed: bool) -> None:
        self.skipped = 0
        self._source = source
        self._runtime = runtime
        self._view = view
        self._timed = timed
        self._pace = Pace(runtime.parallel)
        # Held to take a frame; the other lock only for moments, and never while something is waited for.
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        self._freed = threading.Condition(self._lock)
        self._done = threading.Condition(self._lock)
        self._results: Dict[int, Union[Answered, BaseException]] = {}
        self._tickets = 0
        self._to_begin = 0
        self._delivered = 0
        self._failed_at: Optional[int] = None
        self._closing = False
        count = max(2, runtime.parallel)
        self._most_waiting = _WAITING * count
        self._threads = [
            threading.Thread(target=self._work, name="worker {}".format(number), daemon=True)
            for number in range(count)
        ]

    def __enter__(self) -> "Workers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        with self._lock:
            self._closing = True
            self._freed.notify_all()
        for thread in self._threads:
            thread.join()

    @property
    def ended(self) -> bool:
        """Whether the source has ended and all answers were taken."""
        with self._lock:
            return self._has_ended()

    def next(self, timeout_s: float) -> Optional[Answered]:
        """The answer to the next frame; None if there is none in time.

        Raises:
            what the source, the view or the runtime raised.
        """
        with self._lock:
            self._done.wait_for(lambda: self._delivered in self._results or self._has_ended(), timeout_s)
            result = self._results.pop(self._delivered, None)
            if result is None:
                return None
            self._delivered += 1
            self._freed.notify_all()
        if isinstance(result, BaseException):
            raise result
        return result

    def _has_ended(self) -> bool:
        return self._closing and self._delivered == self._tickets

    def _work(self) -> None:
        ticket: Optional[int] = None
        try:
            while True:
                with self._turn:
                    frame = self._read() if self._wait_for_turn() else None
                    if frame is None:
                        return
                    ticket = self._new_ticket()
                    began_at = time.monotonic()
                    look = self._view.look(frame)
                self._finish(ticket, self._classify(ticket, frame, look, began_at))
                ticket = None
        except _AbandonedError:
            return
        except BaseException as error:  # raised again by next(), in its turn
            self._fail(self._new_ticket() if ticket is None else ticket, error)

    def _new_ticket(self) -> int:
        with self._lock:
            self._tickets += 1
            return self._tickets - 1

    def _finish(self, ticket: int, result: Answered) -> None:
        with self._lock:
            self._pace.ended(ticket, time.monotonic())
            self._results[ticket] = result
            self._freed.notify_all()
            self._done.notify_all()

    def _fail(self, ticket: int, error: BaseException) -> None:
        with self._lock:
            self._closing = True
            self._failed_at = ticket if self._failed_at is None else min(ticket, self._failed_at)
            self._results[ticket] = error
            self._freed.notify_all()
            self._done.notify_all()

    def _wait_for_turn(self) -> bool:
        """Wait until a frame is to be fetched, and claim it; False if none is any more."""
        with self._lock:
            while not self._closing:
                due_at = self._due_at()
                wait_s = None if due_at is None else due_at - time.monotonic()
                if wait_s is not None and wait_s <= 0:
                    self._pace.claimed()
                    return True
                self._freed.wait(wait_s)
            return False

    def _due_at(self) -> Optional[float]:
        if self._tickets - self._delivered >= self._most_waiting:
            return None
        return self._pace.fetch_at() if self._source.is_live else 0.0

    def _read(self) -> Optional[Frame]:
        """The next frame; None if the source has ended, or none is wanted any more."""
        while not self._closing:
            frame: Optional[Frame] = self._source.read(_READ_SECONDS)
            if frame is not None:
                self._note(frame)
                return frame
            if self._source.ended:
                with self._lock:
                    self._closing = True
                    self._freed.notify_all()
                    self._done.notify_all()
        return None

    def _note(self, frame: Frame) -> None:
        with self._lock:
            self._pace.fetched(frame.sequence, frame.captured_at)

    def _classify(self, ticket: int, frame: Frame, look: Look, began_at: float) -> Answered:
        work = self._runtime.prepare(frame, look.regions)
        with self._lock:
            self._pace.prepared(time.monotonic() - began_at)
        while not self._begins(ticket):
            newer = self._newer()
            if newer is not None:
                frame, look = newer
                work = self._runtime.prepare(frame, look.regions)
        return Answered(frame, look, self._runtime.answer(work, self._timed))

    def _newer(self) -> Optional[Tuple[Frame, Look]]:
        """A frame to take the place of one that waits, if the source has one now."""
        if not self._turn.acquire(False):
            return None
        try:
            frame: Optional[Frame] = self._source.read(0.0)
            if frame is None:
                return None
            self._note(frame)
            self.skipped += 1
            return frame, self._view.look(frame)
        finally:
            self._turn.release()

    def _begins(self, ticket: int) -> bool:
        """Wait for its turn, where no more inferences can begin; False if the frame got old meanwhile."""
        with self._lock:
            while self._pace.is_busy or self._to_begin != ticket:
                if self._failed_at is not None and ticket > self._failed_at:
                    raise _AbandonedError
                gets_old = self._source.is_live and self._pace.is_busy
                if not self._freed.wait(self._pace.refetch_after_s() if gets_old else None):
                    return False
            self._to_begin += 1
            self._pace.began(ticket, time.monotonic())
            self._freed.notify_all()
            return True
