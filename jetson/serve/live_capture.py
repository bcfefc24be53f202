"""The page of `legoclf capture`: a camera that is watched and taken from, without a network."""

import argparse
import os
import threading
from typing import Any, Callable, List, Optional

from legoclf.jetson.loop import LoopStatus
from legoclf.jetson.serve.images import BadRequest, Limits
from legoclf.jetson.serve.live_server import LivePage, page_options


class SharedSession(object):
    """A CaptureSession whose frames the page shows, by ``show``, and whose takes are told of.

    Args:
        told: called with a label and its outcomes, by any thread.
    """

    def __init__(self, session: Any, told: Callable[[str, List[Any]], None]) -> None:
        self.show: Callable[[Any], None] = lambda frame: None
        self._session = session
        self._told = told

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def offer(self, frame: Any) -> None:
        """Take in the newest frame."""
        self._session.offer(frame)
        self.show(frame)

    def take(self, label: str, burst: Optional[int] = None) -> List[Any]:
        """As :meth:`CaptureSession.take`."""
        outcomes: List[Any] = self._session.take(label, burst)
        self._told(label, outcomes)
        return outcomes


def capture_page(
    args: argparse.Namespace, session: Any, told: Callable[[str, List[Any]], None]
) -> Optional[LivePage]:
    """The page that the flags of `legoclf capture` ask for, with a SharedSession; None without --serve.

    Args:
        told: called with the label and the outcomes of each take of the page, by any thread.

    Raises:
        UsageError: a flag is wrong.
        LegoclfError: a package is missing.
    """
    options = page_options(args)
    if options is None:
        return None
    shared = SharedSession(session, told)
    title = os.path.basename(os.path.abspath(args.dir))
    page = LivePage(options, title, session.folders.labels, session.folders, shared)
    shared.show = page.output.show_frame
    return page


class StatusWatch(object):
    """Tells five times a second how a source stands that no loop reads; a context manager."""

    def __init__(self, source: Any, on_status: Callable[[Any], None]) -> None:
        self._source = source
        self._on_status = on_status
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="status", daemon=True)

    def __enter__(self) -> "StatusWatch":
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        source = self._source
        while not self._stop.wait(0.2):
            self._on_status(
                LoopStatus(
                    0.0,
                    source.captured,
                    None,
                    source.state,
                    source.reopened,
                    source.last_error,
                    source.dropped,
                    0,
                )
            )


class NothingClassified(object):
    """Where a classifier stands elsewhere."""

    def __init__(self) -> None:
        self.limits = Limits()

    def look(self, images: Any) -> Any:
        """Refuses."""
        raise BadRequest(409, "nothing is classified here: this is `legoclf capture`")

    def answers(self, images: Any, top_k: int) -> Any:
        """Refuses."""
        return self.look(images)
