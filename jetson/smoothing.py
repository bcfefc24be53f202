"""From one answer a frame to an answer that holds still: averaged over time, with hysteresis, or unknown."""

from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np


class SmoothingOptions(NamedTuple):
    """How answers are smoothed.

    half_life_s: after so long a frame counts half; 0 takes each frame by itself, and then there is no
        hysteresis either.
    margin: by so much another label must lead before the answer changes, 0 to 1.
    hold_s: for so long it must lead.
    unknown_below: a likeliest label less probable than this is no answer; 0 always answers.
    """

    half_life_s: float = 0.3
    margin: float = 0.1
    hold_s: float = 0.1
    unknown_below: float = 0.5


class Smoothed(NamedTuple):
    """probabilities: float32 [C], averaged. label_index: the answer; None for unknown.

    is_novel: it is unknown, and most of what was seen lately was novel.
    """

    probabilities: np.ndarray
    label_index: Optional[int]
    is_novel: bool = False


class Smoother:
    """Averages probabilities exponentially by the clock, whatever the frame rate, and settles on a label.

    The answer changes when another label has led the present one by the margin, without a break, for
    ``hold_s``. "Unknown" takes part as a label that always has ``unknown_below``; it is left, after
    ``hold_s``, as soon as a label is at least that likely.

    A frame that is novel is all for unknown and not for any label, however likely that is: unknown then has
    the share of such frames in the average, if that is more. So each frame has one vote. The novelties
    themselves are not averaged, for they have no common scale: one frame of a wild value (a hand, a blur)
    would outweigh many, and no margin would suit them all.

    Attributes:
        unknown_below: as in the options. Any thread may set it: the next frame is answered by it at once,
            without hysteresis.
    """

    def __init__(self, options: SmoothingOptions) -> None:
        self._options = options if options.half_life_s > 0 else options._replace(margin=0.0, hold_s=0.0)
        self._mean: Optional[np.ndarray] = None
        # What of the mean is not of novel frames.
        self._familiar: np.ndarray = np.empty(0, np.float32)
        self._novel_share = 0.0
        self._at = 0.0
        self._index: Optional[int] = None
        self._challenger: Optional[int] = None
        self._challenged_at: Optional[float] = None
        self.unknown_below = options.unknown_below

    def update(self, probabilities: np.ndarray, at_s: float, is_novel: bool = False) -> Smoothed:
        """Take in one frame.

        Args:
            probabilities: float32 [C].
            at_s: when it was captured, in seconds of any clock that only goes forward.
            is_novel: it is unlike all that was trained on.
        """
        unknown_below = self.unknown_below  # read once: a frame is answered by one threshold
        decides_anew = self._mean is None or unknown_below != self._options.unknown_below
        self._options = self._options._replace(unknown_below=unknown_below)
        if self._mean is None:
            self._mean = np.array(probabilities, np.float32)
            self._familiar = self._mean * np.float32(not is_novel)
            self._novel_share = float(is_novel)
        else:
            weight = self._weight(at_s - self._at)
            self._mean += np.float32(weight) * (probabilities - self._mean)
            self._familiar += np.float32(weight) * ((0 if is_novel else probabilities) - self._familiar)
            self._novel_share += weight * (float(is_novel) - self._novel_share)
        if decides_anew:
            self._index, self._challenged_at = self._leader(), None
        else:
            self._settle(at_s)
        self._at = at_s
        return Smoothed(self._mean.copy(), self._index, self._index is None and self._novel_share > 0.5)

    def _weight(self, passed_s: float) -> float:
        """The share of the newest frame, so that what was before halves every half-life."""
        if self._options.half_life_s <= 0:
            return 1.0
        return 1.0 - 2.0 ** (-max(passed_s, 0.0) / self._options.half_life_s)

    def _leader(self) -> Optional[int]:
        best = int(self._familiar.argmax())
        return best if self._familiar[best] >= self._score(None) else None

    def _score(self, index: Optional[int]) -> float:
        if index is None:
            return max(self._options.unknown_below, self._novel_share)
        return float(self._familiar[index])

    def _settle(self, at_s: float) -> None:
        leader = self._leader()
        margin = 0.0 if self._index is None else self._options.margin
        if leader == self._index or self._score(leader) - self._score(self._index) < margin:
            self._challenged_at = None
            return
        if self._challenged_at is None or leader != self._challenger:
            self._challenger, self._challenged_at = leader, at_s
        if at_s - self._challenged_at >= self._options.hold_s:
            self._index, self._challenged_at = leader, None


def top_labels(labels: Sequence[str], probabilities: np.ndarray, count: int) -> List[Tuple[str, float]]:
    """The likeliest labels of float32 [C] probabilities, the likeliest first; of equals the first."""
    best = (-probabilities).argsort(kind="mergesort")[:count]
    return [(labels[index], float(probabilities[index])) for index in best]
