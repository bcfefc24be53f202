"""Capturing by the keyboard or by the clock, until it is enough."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable, Dict, List, Optional

from legoclf.errors import LegoclfError, printable
from legoclf.jetson.frame import to_bgr
from legoclf.jetson.harvest.class_folders import Outcome, Rejected
from legoclf.jetson.harvest.keys import END, REPEAT, View
from legoclf.jetson.harvest.session import NO_PICTURE, CameraReader, CaptureSession, tell
from legoclf.split import SPLITS

_POLL_SECONDS = 0.03

#: Called after each take: the label, and what became of the pictures.
Told = Callable[[str, List[Outcome]], None]


def capture_by_keys(
    session: CaptureSession,
    reader: CameraReader,
    keys: Any,
    labels: Dict[str, str],
    stop: threading.Event,
    told: Told,
    failed: Callable[[str], None],
) -> None:
    """Take a burst whenever a key is pressed, until the key to end, the end of the source, or ``stop``.

    Args:
        keys: :class:`TerminalKeys` or ``WindowKeys``, entered.
        labels: key to label.
        told: called after each take, by this thread.
        failed: called with the reason where pictures could not be written; it goes on.

    Raises:
        LegoclfError: the source failed.
    """
    last = ""
    said = "press a key"
    counts = session.counts()
    with ThreadPoolExecutor(1) as pool:
        taking: Optional["Future[List[Outcome]]"] = None
        while not stop.is_set():
            if taking is not None and (taking.done() or not keys.is_terminal):
                said = _conclude(taking, last, told, failed)
                counts = session.counts()
                taking = None
            if taking is None and reader.ended:
                return
            key = keys.poll(_POLL_SECONDS)
            if key == END:
                break
            label = last if key == REPEAT else labels.get(key, "")
            # Of keys that are held down those that come during a take mean nothing.
            if label and taking is None:
                last = label
                taking = pool.submit(session.take, label)
                said = "{}: taking".format(label)
            keys.show(_view(session, labels, counts, said))
        if taking is not None:
            _conclude(taking, last, told, failed)


def _conclude(taking: "Future[List[Outcome]]", label: str, told: Told, failed: Callable[[str], None]) -> str:
    try:
        outcomes = taking.result()
    except LegoclfError as error:
        failed(str(error))
        return str(error)
    told(label, outcomes)
    return "{}: {}".format(label, tell(outcomes))


def _view(
    session: CaptureSession, labels: Dict[str, str], counts: Dict[str, Dict[str, int]], said: str
) -> View:
    frame = session.newest
    lines = [
        "{}  {}  {}".format(key, label, sum(counts.get(label, {}).values())) for key, label in labels.items()
    ]
    lines += ["space repeats, q ends", said]
    return View(None if frame is None else to_bgr(frame), lines)


def capture_by_clock(
    session: CaptureSession,
    reader: CameraReader,
    label: str,
    every_s: float,
    count: Optional[int],
    stop: threading.Event,
    told: Told,
) -> int:
    """Take a picture every so many seconds until ``count`` are saved; how many are.

    Args:
        every_s: by the wall clock for a camera; other sources are read as fast as they can be.
        count: None goes on until the source ends or ``stop``.

    Raises:
        LegoclfError: the source failed, or a picture cannot be written.
    """
    saved = 0
    due_s = time.monotonic()
    while not stop.is_set() and not reader.ended and (count is None or saved < count):
        outcomes = session.take(label, 1)
        saved += sum(isinstance(each, str) for each in outcomes)
        if session.has_ended and _is_missing(outcomes):
            break  # it ended while the picture was waited for
        told(label, outcomes)
        if session.is_live:
            due_s = max(due_s + every_s, time.monotonic())
            stop.wait(due_s - time.monotonic())
    return saved


def _is_missing(outcomes: List[Outcome]) -> bool:
    return all(isinstance(each, Rejected) and each.reason == NO_PICTURE for each in outcomes)


def count_lines(counts: Dict[str, Dict[str, int]]) -> List[str]:
    """A table of the pictures of each class by set."""
    width = max([5] + [len(printable(label)) for label in counts])
    form = "{:<" + str(width) + "} {:>7}" + " {:>10}" * len(SPLITS)
    lines = [form.format("class", "all", *SPLITS)]
    for label, by_split in counts.items():
        numbers = [by_split[split] for split in SPLITS]
        lines.append(form.format(printable(label), sum(numbers), *numbers))
    return lines
