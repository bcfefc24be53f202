"""When to fetch the next frame, so that it is ready just as the inference before it ends."""

from typing import Dict, Optional

# Weights and the multiple of the deviation are those of TCP's retransmission timer (RFC 6298, section 2).
_MEAN_WEIGHT = 1 / 8
_DEVIATION_WEIGHT = 1 / 4
_DEVIATIONS = 4.0

#: What waking a thread takes, about.
_WAKE_S = 0.0002

#: Preparing anew what waits takes a quarter of a core at most.
_REFETCH_PREPARATIONS = 4


class Estimate(object):
    """A mean that follows a duration in seconds, and how far the duration strays from it."""

    def __init__(self) -> None:
        self.mean: Optional[float] = None
        self.deviation = 0.0

    def add(self, seconds: float) -> None:
        """Take in one duration."""
        if self.mean is None:
            self.mean = seconds
            self.deviation = seconds / 2
            return
        self.deviation += _DEVIATION_WEIGHT * (abs(seconds - self.mean) - self.deviation)
        self.mean += _MEAN_WEIGHT * (seconds - self.mean)


class Pace(object):
    """Times the inferences, the preparation of a frame and the source, and says when to fetch the next.

    A frame that is fetched as an inference begins is ready in time, but one inference old when its turn
    comes; one fetched when the inference has ended is new, but its preparation overlaps nothing. Between
    the two lies the moment that costs neither. Where that is not certain, it errs by at most half a frame
    time of the source to the early side. Not safe for threads: its owner holds a lock.

    Args:
        slots: inferences that run at once.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._claimed = 0
        self._began_at: Dict[int, float] = {}
        self._inference = Estimate()
        self._preparation = Estimate()
        self._frame_time = Estimate()
        self._last_frame: Optional[int] = None
        self._last_frame_at = 0.0

    @property
    def is_busy(self) -> bool:
        """Whether no further inference can begin."""
        return len(self._began_at) >= self._slots

    def claimed(self) -> None:
        """A frame is about to be fetched."""
        self._claimed += 1

    def fetched(self, sequence: int, captured_at: float) -> None:
        """It came from the source."""
        if self._last_frame is not None and sequence > self._last_frame:
            self._frame_time.add((captured_at - self._last_frame_at) / (sequence - self._last_frame))
        self._last_frame, self._last_frame_at = sequence, captured_at

    def prepared(self, seconds: float) -> None:
        """It was prepared within so many seconds."""
        self._preparation.add(seconds)

    def began(self, ticket: int, at: float) -> None:
        """Its inference began, at a time in seconds of one clock."""
        self._began_at[ticket] = at

    def ended(self, ticket: int, at: float) -> None:
        """Its inference ended."""
        self._claimed -= 1
        self._inference.add(at - self._began_at.pop(ticket))

    def fetch_at(self) -> Optional[float]:
        """When to fetch the next frame: 0 for at once, None for when something has changed."""
        if self._claimed < self._slots:
            return 0.0
        if not self.is_busy or self._claimed > self._slots or self._inference.mean is None:
            return None
        needed = self._preparation.mean or 0.0
        slack = _WAKE_S + _DEVIATIONS * (self._inference.deviation + self._preparation.deviation)
        if self._frame_time.mean is not None:
            slack = min(slack, self._frame_time.mean / 2)
        return min(self._began_at.values()) + self._inference.mean - needed - slack

    def refetch_after_s(self) -> Optional[float]:
        """How long a frame may wait before a newer one is worth preparing; None if not known."""
        if self._frame_time.mean is None:
            return None
        return max(self._frame_time.mean, _REFETCH_PREPARATIONS * (self._preparation.mean or 0.0))
