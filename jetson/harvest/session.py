"""Taking pictures: the camera's newest frames into a class, at the press of a key or of a button."""

import math
import threading
import time
from typing import Dict, List, NamedTuple, Optional

import numpy as np

from legoclf.errors import check_range
from legoclf.jetson.frame import Frame, to_bgr, wall_time
from legoclf.jetson.harvest.class_folders import ClassFolders, Outcome, Rejected
from legoclf.jetson.harvest.names import Groups
from legoclf.jetson.harvest.pictures import SharpnessGate, reduce_picture, sharpness
from legoclf.jetson.roi import Roi
from legoclf.jetson.source_base import Source

BLURRED = "blurred"
NO_PICTURE = "no picture"

MOST_BURST = 100

#: A frame that is older than this is not what the camera sees now.
STALE_SECONDS = 1.0

#: How long a picture is waited for.
WAIT_SECONDS = 3.0

#: Frames between pictures are measured so often, for the median sharpness.
_MEASURE_SECONDS = 0.1
_READ_SECONDS = 0.2


class CaptureOptions(NamedTuple):
    """How pictures are taken.

    burst: frames that one press takes.
    interval_s: from one to the next.
    min_sharpness: a frame below this share of the median sharpness of the last seconds is blurred; 0 takes
        all.
    keep_duplicates: take near-duplicates too.
    roi: the part of the frame that is kept; None for all.
    """

    burst: int = 5
    interval_s: float = 0.2
    min_sharpness: float = 0.5
    keep_duplicates: bool = False
    roi: Optional[Roi] = None


class CaptureSession(object):
    """Frames come in by :meth:`offer`, from one thread; :meth:`take` may be called by any.

    Args:
        folders: where pictures go.
        frame_time_s: seconds from frame to frame of what is read faster, or slower, than it was taken; None
            for a camera, whose frames come by themselves. Other frames are waited for: :meth:`wait_wanted`.

    Raises:
        UsageError: an option is outside its range.
    """

    def __init__(
        self,
        folders: ClassFolders,
        options: Optional[CaptureOptions] = None,
        frame_time_s: Optional[float] = None,
    ) -> None:
        self.folders = folders
        self.options = CaptureOptions() if options is None else options
        check_range("--burst", self.options.burst, 1, MOST_BURST)
        check_range("--interval_s", self.options.interval_s, 0, 3600)
        check_range("--min_sharpness", self.options.min_sharpness, 0, 1)
        self._frame_time_s = frame_time_s
        self._taking = threading.Lock()
        self._changed = threading.Condition()
        self._newest: Optional[Frame] = None
        self._is_used = True
        self._why_ended = ""
        self._groups = Groups()
        self._gate = SharpnessGate(self.options.min_sharpness)
        self._measured_at = -math.inf

    @property
    def is_live(self) -> bool:
        """Whether frames come by themselves, and only the newest counts."""
        return self._frame_time_s is None

    @property
    def newest(self) -> Optional[Frame]:
        """The newest frame."""
        return self._newest

    def offer(self, frame: Frame) -> None:
        """Take in the newest frame."""
        with self._changed:
            self._newest, self._is_used = frame, False
            at_s = self._at(frame)
            is_due = at_s - self._measured_at >= _MEASURE_SECONDS
            if is_due:
                self._measured_at = at_s
            self._changed.notify_all()
        if is_due and self.options.min_sharpness > 0:
            value = sharpness(reduce_picture(self._part(frame)))
            with self._changed:
                self._gate.add(at_s, value)

    def wait_wanted(self, timeout_s: float) -> bool:
        """Wait until the frame that was offered last is used; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._is_used, timeout_s)

    @property
    def has_ended(self) -> bool:
        """Whether there will be no more frames."""
        return bool(self._why_ended)

    def end(self, why: str) -> None:
        """There will be no more frames; whoever waits for one is told why."""
        with self._changed:
            self._why_ended = why
            self._changed.notify_all()

    def take(self, label: str, burst: Optional[int] = None) -> List[Outcome]:
        """Take pictures of a class, from what the camera sees now on; waits for them.

        Args:
            label: one of the folders' labels.
            burst: how many; None for the option's.

        Returns:
            what became of each, in the order they were taken; the last one says so where no frame came.

        Raises:
            UsageError: there is no such label, or ``burst`` is outside its range.
            LegoclfError: one cannot be written, or the roi does not lie within the frame.
        """
        burst = self.options.burst if burst is None else burst
        check_range("burst", burst, 1, MOST_BURST)
        outcomes: List[Outcome] = []
        with self._taking:
            due_s, group = -math.inf, ""
            for _ in range(burst):
                frame = self._next(due_s)
                if frame is None:
                    outcomes.append(Rejected(NO_PICTURE, self._why_ended or "the camera gives no picture"))
                    break
                when_s = wall_time(frame.captured_at)
                group = group or self._groups.at(self._at(frame), when_s)
                due_s = self._at(frame) + self.options.interval_s
                outcomes.append(self._keep(label, frame, when_s, group))
        return outcomes

    def counts(self) -> Dict[str, Dict[str, int]]:
        """Pictures of each class by set, see :meth:`ClassFolders.counts`."""
        return self.folders.counts()

    def _keep(self, label: str, frame: Frame, when_s: float, group: str) -> Outcome:
        picture = self._part(frame)
        with self._changed:
            least = self._gate.least
        value = sharpness(reduce_picture(picture)) if least is not None else 0.0
        if least is not None and value < least:
            return Rejected(BLURRED, "sharpness {:.0f}, expected {:.0f} or more".format(value, least))
        return self.folders.save(label, picture, when_s, group, self.options.keep_duplicates)

    def _part(self, frame: Frame) -> np.ndarray:
        picture = to_bgr(frame)
        if self.options.roi is None:
            return picture
        x, y, width, height = self.options.roi.pixels(frame.height, frame.width)
        return np.ascontiguousarray(picture[y : y + height, x : x + width])

    def _next(self, due_s: float) -> Optional[Frame]:
        """The first frame at or after a time that was not taken; None where none comes."""
        deadline = time.monotonic() + self.options.interval_s + WAIT_SECONDS
        with self._changed:
            while True:
                frame = None if self._is_used else self._newest
                if frame is not None and self._is_fresh(frame):
                    is_due = self._at(frame) >= due_s
                    if is_due or self._frame_time_s is not None:
                        self._is_used = True
                        self._changed.notify_all()
                    if is_due:
                        return frame
                left_s = deadline - time.monotonic()
                if left_s <= 0 or self._why_ended:
                    return None
                self._changed.wait(left_s)

    def _is_fresh(self, frame: Frame) -> bool:
        return self._frame_time_s is not None or time.monotonic() - frame.captured_at <= STALE_SECONDS

    def _at(self, frame: Frame) -> float:
        if self._frame_time_s is None:
            return frame.captured_at
        return frame.sequence * self._frame_time_s


class CameraReader(object):
    """Reads a source into a session in a thread of its own; a context manager that leaves the source open.

    A camera that is lost is waited for, as sources do.
    """

    def __init__(self, source: Source, session: CaptureSession) -> None:
        self._source = source
        self._session = session
        self._stop = threading.Event()
        self._failure: Optional[Exception] = None
        self._thread = threading.Thread(target=self._read, name="capture reader", daemon=True)

    def __enter__(self) -> "CameraReader":
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def ended(self) -> bool:
        """Whether the source gives no more frames.

        Raises:
            LegoclfError: the source failed.
        """
        if self._failure is not None:
            raise self._failure
        return self._session.has_ended

    def _read(self) -> None:
        try:
            while not self._stop.is_set():
                if not self._source.is_live and not self._session.wait_wanted(_READ_SECONDS):
                    continue
                frame = self._source.read(_READ_SECONDS)
                if frame is not None:
                    self._session.offer(frame)
                elif self._source.ended:
                    break
            self._session.end("the source has ended")
        except Exception as error:  # told by the thread that asks
            self._failure = error
            self._session.end(str(error))


def tell(outcomes: List[Outcome]) -> str:
    """What became of pictures, in a few words: ``3 saved, 2 near-duplicates``."""
    kinds = [each.reason if isinstance(each, Rejected) else "saved" for each in outcomes]
    return ", ".join("{} {}".format(kinds.count(kind), kind) for kind in sorted(set(kinds), key=_saved_first))


def _saved_first(kind: str) -> str:
    return "" if kind == "saved" else kind
