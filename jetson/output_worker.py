"""The thread and the bounded queue between the live loop and one output."""

import collections
import logging
import threading
from contextlib import ExitStack
from typing import Deque, Dict, List, NamedTuple, Optional

from legoclf.errors import printable
from legoclf.jetson.output import Output
from legoclf.jetson.result import Result

LOGGER = logging.getLogger(__name__)

#: How long the end of a run waits for an output that may lose results; a record is waited for.
CLOSE_SECONDS = 5.0


class OutputCounts(NamedTuple):
    """Results written, dropped because the output was slow, and lost because it failed."""

    written: int
    dropped: int
    failed: int


class OutputWorker:
    """Writes results to one output in a thread of its own; a context manager.

    A queue that is full drops its oldest result, and counts it. An output that is a record, of a source
    that waits, drops nothing: :meth:`offer` waits for it. An output that fails is named once; it is given
    all that follows, and may recover.

    Args:
        is_live: the source goes on whether or not it is read.
        stop: is set where the run is to end.

    Attributes:
        reader_gone: standard output was closed by its reader.
    """

    def __init__(self, output: Output, is_live: bool, stop: threading.Event) -> None:
        self.output = output
        self.reader_gone = False
        self._stop = stop
        self._waits = output.keeps_all and not is_live
        self._queue: Deque[Result] = collections.deque()
        self._changed = threading.Condition()
        self._closing = False
        self._written = self._dropped = self._failed = 0
        self._thread = threading.Thread(target=self._work, name="output " + output.name, daemon=True)

    def __enter__(self) -> "OutputWorker":
        self.output.__enter__()
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(None if self._waits else CLOSE_SECONDS)
        if self._thread.is_alive():
            LOGGER.info("output %s: did not end within %g s; left behind", self.output.name, CLOSE_SECONDS)

    @property
    def counts(self) -> OutputCounts:
        """How many results came to what end."""
        return OutputCounts(self._written, self._dropped, self._failed)

    def offer(self, result: Result) -> None:
        """Hand a result over; waits only where nothing may be lost."""
        if not self.output.needs_frame:
            result = result._replace(frame=None)
        with self._changed:
            while len(self._queue) >= self.output.capacity:
                if not self._waits:
                    self._queue.popleft()
                    self._dropped += 1
                else:
                    self._changed.wait()
            self._queue.append(result)
            self._changed.notify_all()

    def _work(self) -> None:
        try:
            while True:
                with self._changed:
                    if not self._queue and not self._closing:
                        self._changed.wait(self.output.idle_s)
                    result = self._queue.popleft() if self._queue else None
                    self._changed.notify_all()
                    if result is None and self._closing:
                        return
                self._attempt(result)
        finally:
            self._close()

    def _attempt(self, result: Optional[Result]) -> None:
        try:
            if result is None:
                self.output.idle()
            else:
                self.output.write(result)
        except BrokenPipeError:
            self.reader_gone = True
            self._failed += 1
            self._stop.set()
        except Exception as error:  # whatever a driver or a library raises: the loop goes on without it
            if not self._failed:
                LOGGER.info("output %s: %s; going on without it", self.output.name, _reason(error))
            self._failed += 1
        else:
            self._written += result is not None

    def _close(self) -> None:
        try:
            self.output.__exit__(None, None, None)
        except Exception as error:
            LOGGER.info("output %s: %s", self.output.name, _reason(error))
            self._failed += 1


class Outputs(object):
    """Several outputs; a context manager that opens each at once, and may be closed before its end.

    Args:
        is_live, stop: as :class:`OutputWorker` takes them.
    """

    def __init__(self, outputs: List[Output], is_live: bool, stop: threading.Event) -> None:
        self._workers = [OutputWorker(output, is_live, stop) for output in outputs]
        self._undo = ExitStack()

    def __enter__(self) -> "Outputs":
        with ExitStack() as undo:
            for worker in self._workers:
                undo.enter_context(worker)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()

    def offer(self, result: Result) -> None:
        """Hand a result to each."""
        for worker in self._workers:
            worker.offer(result)

    def close(self) -> None:
        """Let each write what waits for it, and end; may be called twice.

        Raises:
            BrokenPipeError: the reader of standard output has gone.
        """
        self._undo.close()
        if any(worker.reader_gone for worker in self._workers):
            raise BrokenPipeError("the reader of standard output has gone")

    @property
    def counts(self) -> Dict[str, OutputCounts]:
        """By the outputs' names; those of the same name together."""
        counts: Dict[str, OutputCounts] = {}
        for worker in self._workers:
            before = counts.get(worker.output.name, OutputCounts(0, 0, 0))
            counts[worker.output.name] = OutputCounts(*(sum(pair) for pair in zip(before, worker.counts)))
        return counts


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return printable(text.strip())
