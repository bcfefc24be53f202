"""The line across the picture that an object must cross to be counted."""

from typing import NamedTuple

from legoclf.errors import UsageError


class CountLine(NamedTuple):
    """A line across the frame: ``axis`` x or y, at ``position_px`` from the frame's left or upper edge."""

    axis: str
    position_px: float


def parse_count_line(text: str) -> CountLine:
    """A line from its flag: ``x=320`` stands upright, ``y=240`` lies, in pixels of the frame.

    Raises:
        UsageError: it is neither.
    """
    axis, _, position = text.partition("=")
    try:
        position_px = float(position)
    except ValueError:
        position_px = -1.0
    if axis not in ("x", "y") or not 0 <= position_px < float("inf"):
        raise UsageError("--count_line: got {!r}, expected x=PIXELS or y=PIXELS, such as x=320".format(text))
    return CountLine(axis, position_px)
