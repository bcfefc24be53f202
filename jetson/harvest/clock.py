"""The clock by which intervals between pictures go."""

from typing import Optional

from legoclf.jetson.source_uri import parse_source

#: A video is read as fast as it can be; it is taken as 30 frames a second.
VIDEO_SECONDS = 1 / 30

#: Images of a folder have nothing to do with each other: each is an hour from the next.
UNRELATED_SECONDS = 3600.0


def frame_time_s(uri: str) -> Optional[float]:
    """Seconds from frame to frame of a source that is no camera; None for a camera, whose own times count.

    Raises:
        UsageError: the URI is wrong.
    """
    source = parse_source(uri)
    if source.is_live:
        return None
    return UNRELATED_SECONDS if source.kind == "images" else VIDEO_SECONDS
