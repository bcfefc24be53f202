"""What an output of the live loop is."""

import threading
from typing import Any, List, NamedTuple, Optional

from legoclf.jetson.result import Result


class OutputContext(NamedTuple):
    """What outputs need to know of the run.

    overwrite: files that exist already may be replaced.
    is_live: the source goes on whether or not it is read; what comes too late is dropped.
    labels: of the bundle.
    stop: to be set by an output that ends the run, as a window does when it is closed.
    terminal: where lines for people go; has ``line(text)``.
    """

    overwrite: bool
    is_live: bool
    labels: List[str]
    stop: threading.Event
    terminal: Any


class Output:
    """Takes results, each in turn; a context manager.

    Entered by the thread that starts the loop, so that what cannot work is told at once; after that all
    calls, the exit too, come from one thread of its own.

    Attributes:
        name: what messages call it.
        needs_frame: :meth:`write` looks at ``result.frame``; elsewhere it is None.
        keeps_all: it is a record: of a file that is read without loss nothing may be dropped.
        capacity: results that wait for it at most.
        idle_s: after so long without a result :meth:`idle` is called, again and again; None for never.
    """

    name = "output"
    needs_frame = False
    keeps_all = False
    capacity = 64
    idle_s: Optional[float] = None

    def __enter__(self) -> "Output":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Nothing to give back."""

    def write(self, result: Result) -> None:
        """Take one result.

        Raises:
            LegoclfError, OSError: it could not be written; the loop goes on, and tries the next one.
            BrokenPipeError: the reader of standard output has gone, which ends the run.
        """
        raise NotImplementedError

    def idle(self) -> None:
        """What is to be done while nothing comes."""
