"""What the live loop says of one frame, and that as a record for files and messages."""

import time
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from legoclf.jetson.frame import Frame, wall_time
from legoclf.novelty import json_novelty

#: The answer where no label is likely enough, or what is seen is unlike all that was trained on.
UNKNOWN = "unknown"


class Result(NamedTuple):
    """One frame's answer.

    frame: the frame itself; None for an output that does not look at it.
    sequence: the frame's number, from 0, counting all that the source captured.
    captured_at, answered_at: seconds of :func:`time.monotonic`.
    label: the answer after smoothing; :data:`UNKNOWN` where ``is_unknown``; of the largest object where
        objects are located, and "" where there is none.
    probability: of the label, smoothed; of the likeliest one where ``is_unknown``.
    top: the likeliest labels with their smoothed probabilities, the likeliest first.
    smoothed: float32 [C], the smoothed probabilities; [0] where objects are located.
    tracks: the objects, where they are located, else None.
    counts: of each label so far, where objects are located, else None.
    roi: x, y, width, height of the part of the frame that was looked at; None for all of it.
    steps: milliseconds of each step; None where they are not timed.
    novelty: of this very frame, not smoothed; None where the network gives none, or objects are located.
    is_novel: it is unknown for its novelty, smoothed, whatever the probability.
    """

    frame: Optional[Frame]
    sequence: int
    captured_at: float
    answered_at: float
    label: str
    probability: float
    top: List[Tuple[str, float]]
    is_unknown: bool
    smoothed: np.ndarray
    tracks: Optional[List[Any]] = None
    counts: Optional[Dict[str, int]] = None
    roi: Optional[Tuple[int, int, int, int]] = None
    steps: Optional[Dict[str, float]] = None
    novelty: Optional[float] = None
    is_novel: bool = False

    @property
    def age_ms(self) -> float:
        """Milliseconds from capture to answer."""
        return (self.answered_at - self.captured_at) * 1000.0


def capture_time(result: Result) -> str:
    """When the frame was captured, by the wall clock: ISO 8601 in UTC with milliseconds."""
    at = wall_time(result.captured_at)
    return "{}.{:03d}Z".format(time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)), int(at % 1 * 1000))


def as_record(result: Result) -> Dict[str, Any]:
    """The result as a JSON object; what there is none of is left out.

    ``novelty`` and ``novel`` are the frame's, or, where objects are located, those of each of ``tracks``.
    """
    record: Dict[str, Any] = {
        "sequence": result.sequence,
        "time": capture_time(result),
        "age_ms": round(result.age_ms, 3),
        "label": result.label,
        "probability": round(result.probability, 6),
        "unknown": result.is_unknown,
        "top": [{"label": label, "probability": round(value, 6)} for label, value in result.top],
    }
    if result.novelty is not None:
        record.update(novelty=json_novelty(result.novelty), novel=result.is_novel)
    if result.tracks is not None:
        record["tracks"] = [_track_record(track) for track in result.tracks]
        record["counts"] = result.counts
    if result.steps:
        record["steps_ms"] = {name: round(value, 3) for name, value in result.steps.items()}
    return record


def _track_record(track: Any) -> Dict[str, Any]:
    record = {
        "id": track.id,
        "box": [int(side) for side in track.box],
        "label": track.label,
        "probability": round(float(track.probability), 6),
        "counted": bool(track.counted),
        "newly_counted": bool(track.newly_counted),
    }
    if track.novelty is not None:
        record.update(novelty=json_novelty(track.novelty), novel=bool(track.is_novel))
    return record
