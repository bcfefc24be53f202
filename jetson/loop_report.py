"""What a run of the live loop came to."""

import collections
from typing import Any, Counter, Deque, Dict, List, NamedTuple, Optional

import numpy as np

from legoclf.errors import printable
from legoclf.jetson.output_worker import OutputCounts
from legoclf.jetson.result import Result

#: Ages and steps are told of so many frames, the last ones.
_REMEMBERED = 10000

#: Frames that the present rate is taken over.
_RATE_FRAMES = 60


class SourceCounts(NamedTuple):
    """Frames captured, and of them those that nobody saw; how often the source was opened again."""

    captured: int
    dropped: int
    reopened: int
    last_error: str


class LoopReport(NamedTuple):
    """A run.

    frames: answered. seconds: from the start of the loop to its end. fps: from the first answer to the last.
    age_ms: median, p95 and max from capture to answer. steps_ms: medians, where they were timed.
    labels: frames by answer; counted: objects by label, where they are located, else None.
    outputs: by name. ended_by: "frames", "seconds", "source" or "stop".
    """

    frames: int
    seconds: float
    fps: float
    age_ms: Dict[str, float]
    steps_ms: Dict[str, float]
    labels: Dict[str, int]
    counted: Optional[Dict[str, int]]
    source: SourceCounts
    outputs: Dict[str, OutputCounts]
    ended_by: str


class Statistics(object):
    """Gathers what the report tells, in bounded memory."""

    def __init__(self) -> None:
        self.frames = 0
        self.last: Optional[Result] = None
        self._first_at: Optional[float] = None
        self._recent: Deque[float] = collections.deque(maxlen=_RATE_FRAMES)
        self._ages: Deque[float] = collections.deque(maxlen=_REMEMBERED)
        self._oldest_ms = 0.0
        self._steps: Deque[Dict[str, float]] = collections.deque(maxlen=_REMEMBERED)
        self._labels: Counter[str] = collections.Counter()

    def add(self, result: Result) -> None:
        """Take in one answer."""
        self.frames += 1
        self.last = result._replace(frame=None)
        if self._first_at is None:
            self._first_at = result.answered_at
        self._recent.append(result.answered_at)
        self._ages.append(result.age_ms)
        self._oldest_ms = max(self._oldest_ms, result.age_ms)
        if result.steps:
            self._steps.append(result.steps)
        if result.tracks is None:
            self._labels[result.label] += 1

    @property
    def recent_fps(self) -> float:
        """Answers a second over the last of them."""
        return _rate(len(self._recent), self._recent[0], self._recent[-1]) if self._recent else 0.0

    def report(
        self, seconds: float, source: SourceCounts, outputs: Dict[str, OutputCounts], ended_by: str
    ) -> LoopReport:
        """The report of a run that took so long and ended so."""
        fps = 0.0
        if self._first_at is not None and self.last is not None:
            fps = _rate(self.frames, self._first_at, self.last.answered_at)
        return LoopReport(
            self.frames,
            seconds,
            fps,
            self._age_ms(),
            self._steps_ms(),
            dict(self._labels),
            None if self.last is None else self.last.counts,
            source,
            outputs,
            ended_by,
        )

    def _age_ms(self) -> Dict[str, float]:
        if not self._ages:
            return {}
        median, late = np.percentile(np.array(self._ages), [50, 95])
        return {"median": float(median), "p95": float(late), "max": self._oldest_ms}

    def _steps_ms(self) -> Dict[str, float]:
        names: List[str] = sorted({name for steps in self._steps for name in steps})
        return {
            name: float(np.median([steps[name] for steps in self._steps if name in steps])) for name in names
        }


def _rate(count: int, first_at: float, last_at: float) -> float:
    return (count - 1) / (last_at - first_at) if count > 1 and last_at > first_at else 0.0


def report_json(report: LoopReport) -> Dict[str, Any]:
    """The report as a JSON object."""
    record: Dict[str, Any] = dict(report._asdict())
    record["source"] = dict(report.source._asdict())
    record["outputs"] = {name: dict(counts._asdict()) for name, counts in report.outputs.items()}
    return record


def report_lines(report: LoopReport) -> List[str]:
    """What a run came to, in lines for people."""
    lines = ["{} frames in {:.1f} s".format(report.frames, report.seconds)]
    if report.frames:
        lines[0] += (
            ": {:.1f} a second; from capture to answer {median:.1f} ms (95 % within {p95:.1f}, all within "
            "{max:.1f} ms)".format(report.fps, **report.age_ms)
        )
    source = report.source
    if source.dropped or source.reopened:
        lines.append(
            "source: {} of {} frames dropped for newer ones, reopened {} times".format(
                source.dropped, source.captured, source.reopened
            )
        )
    if report.steps_ms:
        steps = ("{} {:.2f}".format(name, value) for name, value in report.steps_ms.items())
        lines.append("steps, median ms: " + ", ".join(steps))
    counts = report.labels if report.counted is None else report.counted
    named = sorted(((count, label) for label, count in counts.items() if count), reverse=True)
    if named:
        what = "answers" if report.counted is None else "counted"
        lines.append(
            "{}: {}".format(
                what, ", ".join("{} {}".format(printable(label), count) for count, label in named)
            )
        )
    for name, done in report.outputs.items():
        if done.dropped or done.failed:
            lines.append(
                "output {}: {} written, {} dropped as it was slow, {} lost as it failed".format(name, *done)
            )
    return lines
