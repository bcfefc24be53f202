"""Whether the model was unsure of a frame, so that the frame would teach it something."""

import collections
from typing import Any, Callable, Deque, NamedTuple, Optional, Tuple

import numpy as np

from legoclf.jetson.result import UNKNOWN, Result

UNKNOWN_REASON = "unknown"
FLICKERING = "flickering"
UNCERTAIN = "uncertain"

#: The second label this near to the first makes the answer uncertain, however likely the first is.
LEAST_MARGIN = 0.2

#: The leading label changing so many times within so many seconds is flicker.
FLICKER_CHANGES = 3
FLICKER_SECONDS = 2.0

Region = Tuple[int, int, int, int]

#: Of an object's box, and the frame's height and width: what the classifier saw of the object.
CropOf = Callable[[Any, int, int], Region]


class Doubt(NamedTuple):
    """Why a frame is worth a label.

    reason: "unknown", "flickering" or "uncertain".
    amount: 0 to 1, 1 less the lead of the likeliest label over the second ("margin sampling", T. Scheffer et
        al., "Active hidden Markov models for information extraction", 2001); 1 for what is novel, of which
        that lead tells nothing.
    label, probability: the likeliest answer.
    region: x, y, width, height of what the classifier saw of the frame; None for all of it.
    """

    reason: str
    amount: float
    label: str
    probability: float
    region: Optional[Region]


class Judge(object):
    """Looks at each result in turn.

    Flicker is measured on the label that leads the probabilities averaged over time, before hysteresis: it
    changes where the answer may still hold still. With ``--smooth_s 0`` that is each frame's own label. Where
    objects are located, each is judged by itself, and flicker is not measured.

    Args:
        below: a likeliest label less probable than this is uncertain, 0 to 1.
        crop_of: what the classifier sees of an object; needed where objects are located.
    """

    def __init__(self, below: float, crop_of: Optional[CropOf] = None) -> None:
        self._below = below
        self._crop_of = crop_of
        self._leader = ""
        self._changes: Deque[float] = collections.deque(maxlen=FLICKER_CHANGES)

    def doubt(self, result: Result, at_s: float) -> Optional[Doubt]:
        """Why this frame is worth a label; None where the model was sure.

        Args:
            at_s: when it was taken, in seconds of a clock that only goes forward.
        """
        if result.tracks is not None:
            return self._doubt_of_objects(result)
        if not result.top:
            return None
        label, probability = result.top[0]
        if self._leader and label != self._leader:
            self._changes.append(at_s)
        self._leader = label
        margin = _margin(result)
        if result.is_unknown:
            reason = UNKNOWN_REASON
        elif self._flickers(at_s):
            reason = FLICKERING
        elif probability < self._below or margin < LEAST_MARGIN:
            reason = UNCERTAIN
        else:
            return None
        amount = 1.0 if result.is_novel else 1.0 - margin
        return Doubt(reason, amount, label, probability, result.roi)

    def _flickers(self, at_s: float) -> bool:
        return len(self._changes) == FLICKER_CHANGES and at_s - self._changes[0] <= FLICKER_SECONDS

    def _doubt_of_objects(self, result: Result) -> Optional[Doubt]:
        """Of several objects in doubt the least sure one; a novel one before all others."""
        doubtful = [
            track
            for track in result.tracks or ()
            if track.label == UNKNOWN or float(track.probability) < self._below
        ]
        if not doubtful or result.frame is None or self._crop_of is None:
            return None
        track = min(doubtful, key=lambda track: (not track.is_novel, float(track.probability)))
        probability = float(track.probability)
        reason = UNKNOWN_REASON if track.label == UNKNOWN else UNCERTAIN
        crop = self._crop_of(track.box, result.frame.height, result.frame.width)
        return Doubt(reason, 1.0 if track.is_novel else 1.0 - probability, track.label, probability, crop)


def _margin(result: Result) -> float:
    """How far the likeliest label leads the second; by the whole row, as one label alone may be given."""
    row = result.smoothed
    if len(row) < 2:
        return float(result.top[0][1])
    second, first = np.partition(row, len(row) - 2)[-2:]
    return float(first - second)
