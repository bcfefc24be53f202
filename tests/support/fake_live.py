"""What the live loop stands between: a source, a runtime and an output, each as the test steers it."""

import threading
import time
from typing import Any, Callable, List, Optional

import numpy as np

from legoclf.jetson.frame import Frame
from legoclf.jetson.output import Output, OutputContext
from legoclf.jetson.result import Result
from legoclf.jetson.runtime import Answers
from legoclf.jetson.source_base import Source

LABELS = ["a", "b", "c"]


def picture(level: int = 0, height: int = 4, width: int = 6) -> np.ndarray:
    """uint8 [height, width, 3] of one level, read-only as those of sources are."""
    image = np.full((height, width, 3), level, np.uint8)
    image.setflags(write=False)
    return image


def frame(sequence: int = 0, captured_at: float = 0.0, level: int = 0) -> Frame:
    """A small frame."""
    return Frame(picture(level), "BGR", sequence, captured_at)


class FakeCamera(Source):
    """Live: captures when the test says so, and gives the newest."""

    is_live = True

    def __init__(self) -> None:
        super().__init__()
        self.state = "running"
        self._changed = threading.Condition()
        self._newest: Optional[Frame] = None

    def capture(self) -> None:
        """Take one frame."""
        with self._changed:
            self.dropped += self._newest is not None
            self._newest = frame(self.captured, time.monotonic())
            self.captured += 1
            self._changed.notify_all()

    def read(self, timeout_s: float) -> Optional[Frame]:
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self.ended, timeout_s)
            newest, self._newest = self._newest, None
            return newest

    def close(self) -> None:
        with self._changed:
            self.state = "ended"
            self._changed.notify_all()


class FakeFile(Source):
    """Not live: gives so many frames and ends; ``fails_at`` raises instead of that frame."""

    def __init__(self, count: int, fails_at: Optional[int] = None, error: Optional[Exception] = None) -> None:
        super().__init__()
        self._count = count
        self._fails_at = fails_at
        self._error = error

    def read(self, timeout_s: float) -> Optional[Frame]:
        if self.captured == self._fails_at and self._error is not None:
            raise self._error
        if self.captured == self._count:
            self.state = "ended"
            return None
        self.state = "running"
        self.captured += 1
        return frame(self.captured - 1, time.monotonic())

    def close(self) -> None:
        self.state = "ended"


class FakeRuntime(object):
    """Answers with the probabilities that ``answer_of(frame)`` gives, at most ``parallel`` at once.

    Attributes:
        begun: the frames' numbers, in the order in which their inference began.
        most_at_once: inferences that ran at the same time.
    """

    def __init__(self, parallel: int = 1, answer_of: Optional[Callable[[Frame], Any]] = None) -> None:
        self.labels = LABELS
        self.parallel = parallel
        self.begun: List[int] = []
        self.most_at_once = 0
        self._running = 0
        self._lock = threading.Lock()
        self._answer_of = answer_of or (lambda frame: [0.7, 0.2, 0.1])

    def prepare(self, frame: Frame, rois: Any = None) -> Any:
        return frame, rois

    def answer(self, work: Any, timed: bool = False) -> Answers:
        frame, _ = work
        with self._lock:
            self.begun.append(frame.sequence)
            self._running += 1
            self.most_at_once = max(self.most_at_once, self._running)
        try:
            row = np.array([self._answer_of(frame)], np.float32)
        finally:
            with self._lock:
                self._running -= 1
        return Answers(row, {"compute": 1.0} if timed else None)


class Collected(Output):
    """Keeps what it is given; ``before_write(result)`` may wait or raise."""

    name = "collected"
    needs_frame = True

    def __init__(self, before_write: Optional[Callable[[Result], None]] = None) -> None:
        self.results: List[Result] = []
        self.threads: List[str] = []
        self.closed = False
        self._before_write = before_write

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.closed = True

    def write(self, result: Result) -> None:
        if self._before_write is not None:
            self._before_write(result)
        self.results.append(result)
        self.threads.append(threading.current_thread().name)

    @property
    def sequences(self) -> List[int]:
        """The numbers of the frames, in the order they came."""
        return [result.sequence for result in self.results]


class Lines(object):
    """A terminal that keeps its lines."""

    def __init__(self) -> None:
        self.lines: List[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


def context(overwrite: bool = False, is_live: bool = True) -> OutputContext:
    """What outputs are told of a run."""
    return OutputContext(overwrite, is_live, LABELS, threading.Event(), Lines())


def result(
    label: str = "a",
    probability: float = 0.9,
    sequence: int = 0,
    captured_at: float = 100.0,
    tracks: Any = None,
    **fields: Any,
) -> Result:
    """A result, answered 20 ms after its capture."""
    counts = None if tracks is None else {"a": 1, "b": 0}
    made = Result(
        frame(sequence, captured_at),
        sequence,
        captured_at,
        captured_at + 0.02,
        label,
        probability,
        [(label, probability), ("c", 0.05)],
        label == "unknown",
        np.array([probability, 0.05, 0.05], np.float32),
        tracks,
        counts,
    )
    return made._replace(**fields)
