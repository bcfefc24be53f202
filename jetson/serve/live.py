"""What the page shows of the live loop: the newest answer, those before, rate and age over two minutes."""

import collections
import math
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Deque, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from legoclf.errors import printable
from legoclf.jetson.frame import Frame
from legoclf.jetson.output import Output
from legoclf.jetson.result import Result
from legoclf.jetson.serve.mjpeg import Pictures
from legoclf.novelty import json_novelty

if TYPE_CHECKING:
    from legoclf.jetson.loop import LoopStatus

#: Changes of the answer that are remembered.
MOST_CHANGES = 50

#: Samples of the chart: one a second, for two minutes.
MOST_SAMPLES = 120
SAMPLE_SECONDS = 1.0

#: Objects that are told of by name; in a picture of more, the page shows their boxes alone.
MOST_TRACKS = 20


class Change(NamedTuple):
    """The answer became ``label``, at ``at`` of time.monotonic()."""

    at: float
    label: str
    probability: float
    is_unknown: bool


class Sample(NamedTuple):
    """One second: answers a second, mean milliseconds from capture to answer (None without an answer), and
    frames dropped."""

    fps: float
    age_ms: Optional[float]
    dropped: int


class LiveView(Output):
    """Keeps what the page asks for; an output of the loop, and to be given its status.

    Args:
        pictures: shown each frame; closed with the loop's end.
        session: a :class:`legoclf.jetson.harvest.session.CaptureSession` that is offered each frame, or None.
        clock: as time.monotonic().
    """

    name = "page"
    needs_frame = True
    # Taking one is quick: more than this wait only where the machine has no time at all.
    capacity = 4

    def __init__(
        self,
        pictures: Pictures,
        session: Optional[Any] = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pictures = pictures
        self._session = session
        self._lock = threading.Lock()
        self._changes: Deque[Change] = collections.deque(maxlen=MOST_CHANGES)
        self._changed_count = 0
        self._samples: Deque[Sample] = collections.deque(maxlen=MOST_SAMPLES)
        self._sampled_count = 0
        self._ages: Deque[float] = collections.deque(maxlen=1000)
        self._status: Optional["LoopStatus"] = None
        self._state = "opening"
        self._clock = clock
        self._state_since = clock()
        self._sampled_at: Optional[float] = None
        self._sampled: Tuple[int, int] = (0, 0)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._set_state("ended")
        self.pictures.close()

    def write(self, result: Result) -> None:
        if self._session is not None:
            assert result.frame is not None
            self._session.offer(result.frame)
        with self._lock:
            self._ages.append(result.age_ms)
            last = self._changes[-1] if self._changes else None
            if last is None or (last.label, last.is_unknown) != (result.label, result.is_unknown):
                self._changed_count += 1
                self._changes.append(
                    Change(result.captured_at, result.label, result.probability, result.is_unknown)
                )
        self.pictures.show(result)

    def show_frame(self, frame: Frame) -> None:
        """A frame that nobody was asked about."""
        at, nothing = frame.captured_at, np.zeros(0, np.float32)
        self.pictures.show(Result(frame, frame.sequence, at, at, "", 0.0, [], False, nothing))

    def on_status(self, status: "LoopStatus") -> None:
        """Take in how the loop stands; called some times a second, while the source is lost too."""
        self._set_state(status.state)
        now = self._clock()
        with self._lock:
            self._status = status
            if self._sampled_at is None:
                self._sampled_at, self._sampled = now, (status.frames, status.dropped)
            elif now - self._sampled_at >= SAMPLE_SECONDS:
                self._sample(status, now - self._sampled_at)
                self._sampled_at, self._sampled = now, (status.frames, status.dropped)

    @property
    def status(self) -> Optional["LoopStatus"]:
        """How the loop stood last; None before it began."""
        return self._status

    @property
    def is_up(self) -> bool:
        """Whether the source gives frames."""
        return self._state == "running"

    @property
    def fps(self) -> float:
        """Answers in the last whole second."""
        with self._lock:
            return self._samples[-1].fps if self._samples else 0.0

    def record(self, changes_known: int, samples_known: int) -> Dict[str, Any]:
        """What there is to tell, as JSON has it.

        Args:
            changes_known, samples_known: what "next" of "changes" and of "chart" were last; 0 for all.
        """
        newest, now = self.pictures.newest, self._clock()
        with self._lock:
            status = self._status
            changes = _since(self._changes, self._changed_count, changes_known)
            samples = _since(self._samples, self._sampled_count, samples_known)
            source = {
                "state": self._state,
                "seconds": round(now - self._state_since, 1),
                "error": "" if status is None else printable(status.last_error),
                "reopened": 0 if status is None else status.reopened,
                "dropped": 0 if status is None else status.dropped,
            }
            counts = (self._changed_count, self._sampled_count)
        return {
            "source": source,
            "frames": 0 if status is None else status.frames,
            "output_losses": 0 if status is None else status.output_losses,
            "answer": None if newest is None else answer_record(newest, now),
            "changes": {"next": counts[0], "items": [_change_record(each, now) for each in changes]},
            "chart": {
                "next": counts[1],
                "items": [[each.fps, each.age_ms, each.dropped] for each in samples],
            },
        }

    def _set_state(self, state: str) -> None:
        with self._lock:
            if state != self._state:
                self._state, self._state_since = state, self._clock()

    def _sample(self, status: "LoopStatus", seconds: float) -> None:
        frames, dropped = self._sampled
        age_ms = round(math.fsum(self._ages) / len(self._ages), 1) if self._ages else None
        self._ages.clear()
        self._samples.append(
            Sample(round((status.frames - frames) / seconds, 1), age_ms, max(0, status.dropped - dropped))
        )
        self._sampled_count += 1


def answer_record(result: Result, now: float) -> Dict[str, Any]:
    """A frame's answer as JSON; ``now`` is of time.monotonic()."""
    assert result.frame is not None
    record: Dict[str, Any] = {
        "sequence": result.sequence,
        "label": result.label,
        "probability": round(result.probability, 4),
        "unknown": result.is_unknown,
        "top": [{"label": label, "probability": round(value, 4)} for label, value in result.top],
        "age_ms": round(result.age_ms, 1),
        "seconds_ago": round(now - result.captured_at, 2),
        "size": [result.frame.width, result.frame.height],
    }
    if result.novelty is not None:
        record["novelty"] = json_novelty(result.novelty)
    if result.is_novel:
        record["novel"] = True
    if result.roi is not None:
        record["roi"] = [int(side) for side in result.roi]
    if result.tracks is not None:
        record["objects"] = [_object_record(track) for track in result.tracks[:MOST_TRACKS]]
        record["counted"] = {label: count for label, count in (result.counts or {}).items() if count}
    return record


def _object_record(track: Any) -> Dict[str, Any]:
    record: Dict[str, Any] = {"label": track.label, "probability": round(float(track.probability), 4)}
    if track.novelty is not None:
        record["novelty"] = json_novelty(track.novelty)
    if track.is_novel:
        record["novel"] = True
    return record


def _change_record(change: Change, now: float) -> Dict[str, Any]:
    return {
        "label": change.label,
        "probability": round(change.probability, 4),
        "unknown": change.is_unknown,
        "seconds_ago": round(now - change.at, 1),
    }


def _since(kept: "Deque[Any]", count: int, known: int) -> List[Any]:
    """Those of the kept ones that are newer than the ``known`` first of ``count``.

    Whoever knows more than there were knew another run, and gets all.
    """
    new = count - known if 0 <= known <= count else count
    return list(kept)[max(0, len(kept) - new) :]
