"""How a frame is looked at: as a whole, or object by object. Before the inference and after it."""

import time
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from legoclf.jetson.frame import Frame, to_bgr
from legoclf.jetson.result import UNKNOWN, Result
from legoclf.jetson.roi import Roi
from legoclf.jetson.smoothing import Smoother, SmoothingOptions, top_labels
from legoclf.jetson.workers import Answered, Look


class WholeView(object):
    """The frame, or the roi, is one image: an answer smoothed over time.

    Args:
        labels: of the bundle, in the order of the network's outputs.
        roi: the part to look at; None for all.
        top_k: labels to give.
        frame_time_s: seconds from frame to frame of what is read faster, or slower, than it was filmed; None
            to go by the time of capture.
    """

    def __init__(
        self,
        labels: Sequence[str],
        roi: Optional[Roi],
        smoothing: SmoothingOptions,
        top_k: int,
        frame_time_s: Optional[float] = None,
    ) -> None:
        self._labels = labels
        self._roi = roi
        self._top_k = top_k
        self._frame_time_s = frame_time_s
        self._smoother = Smoother(smoothing)

    @property
    def unknown_below(self) -> float:
        """A likeliest label less probable than this is `unknown`; any thread may set it."""
        return self._smoother.unknown_below

    @unknown_below.setter
    def unknown_below(self, value: float) -> None:
        self._smoother.unknown_below = value

    def look(self, frame: Frame) -> Look:
        """Where to look, for :class:`Workers`."""
        roi = None if self._roi is None else self._roi.pixels(frame.height, frame.width)
        return Look(None if roi is None else [roi], roi)

    def conclude(self, answered: Answered) -> Result:
        """The result of the next frame, in the order of the frames."""
        frame, look, answers = answered
        at_s = frame.captured_at
        if self._frame_time_s is not None:
            at_s = frame.sequence * self._frame_time_s
        is_novel = answers.is_novel is not None and bool(answers.is_novel[0])
        probabilities, index, is_novel = self._smoother.update(answers.probabilities[0], at_s, is_novel)
        top = top_labels(self._labels, probabilities, self._top_k)
        label, probability = (UNKNOWN, top[0][1])
        if index is not None:
            label, probability = self._labels[index], float(probabilities[index])
        return Result(
            frame,
            frame.sequence,
            frame.captured_at,
            time.monotonic(),
            label,
            probability,
            top,
            index is None,
            probabilities,
            roi=look.roi,
            steps=answers.steps or None,
            novelty=None if answers.novelty is None else float(answers.novelty[0]),
            is_novel=is_novel,
        )


class ObjectView(object):
    """Objects on a plain background: located, classified as one batch, followed, and each counted once.

    Args:
        roi: the part to look at; None for all.
        locator, tracker, tally: of :mod:`legoclf.jetson.locate`, ``tracking`` and ``tally``. The locator is
            used by one thread at a time, the others by that which concludes.
    """

    def __init__(self, roi: Optional[Roi], locator: Any, tracker: Any, tally: Any) -> None:
        self._roi = roi
        self._locator = locator
        self._tracker = tracker
        self._tally = tally

    @property
    def unknown_below(self) -> float:
        """An object less probable than this is `unknown`; any thread may set it. Counted ones keep theirs."""
        return float(self._tracker.options.min_probability)

    @unknown_below.setter
    def unknown_below(self, value: float) -> None:
        self._tracker.options = self._tracker.options._replace(min_probability=value)

    def look(self, frame: Frame) -> Look:
        """Where the objects are, for :class:`Workers`."""
        picture = to_bgr(frame)
        roi = None if self._roi is None else self._roi.pixels(frame.height, frame.width)
        x, y, width, height = roi or (0, 0, frame.width, frame.height)
        found = self._locator.find(picture[y : y + height, x : x + width])
        found = type(found)(*([box.moved(x, y) for box in boxes] for boxes in found))
        return Look(found.crops, roi, found)

    def conclude(self, answered: Answered) -> Result:
        """The result of the next frame, in the order of the frames."""
        frame, look, answers = answered
        found = look.found
        assert found is not None
        tracks: List[Any] = self._tracker.update(
            found.boxes, answers.probabilities, answers.is_novel, found.covers, answers.novelty
        )
        self._tally.add(tracks)
        largest = max(tracks, key=lambda track: track.box.width * track.box.height, default=None)
        label, probability = ("", 0.0) if largest is None else (largest.label, float(largest.probability))
        counts: Dict[str, int] = dict(self._tally.counts)
        return Result(
            frame,
            frame.sequence,
            frame.captured_at,
            time.monotonic(),
            label,
            probability,
            [(label, probability)] if label else [],
            label == UNKNOWN,
            np.zeros(0, np.float32),
            tracks,
            counts,
            look.roi,
            answers.steps or None,
            is_novel=largest is not None and largest.is_novel,
        )
