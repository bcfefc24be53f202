"""Frames from a camera, a video, a folder of images or memory: :func:`open_source`."""

from typing import Optional

from legoclf.errors import UsageError
from legoclf.jetson.source_base import Source, SourceOptions
from legoclf.jetson.source_uri import parse_source

__all__ = ["Source", "SourceOptions", "open_source"]


def open_source(uri: str, options: Optional[SourceOptions] = None) -> Source:
    """Open the source that a URI names; :mod:`legoclf.jetson.source_uri` says what a URI may be.

    Returns at once: whether a camera answers, the first ``read`` tells.

    Raises:
        UsageError: the URI, or an option, is wrong.
    """
    options = SourceOptions() if options is None else options
    source = parse_source(uri)
    if source.kind == "images":
        from legoclf.jetson.image_source import ImageSource

        return ImageSource(source)
    if source.kind == "synthetic":
        from legoclf.jetson.synthetic import SyntheticSource

        return SyntheticSource(source)
    from legoclf.jetson.backends import BACKENDS
    from legoclf.jetson.gstreamer import build_pipeline
    from legoclf.jetson.process_source import ProcessSource

    if options.backend not in BACKENDS:
        raise UsageError(
            "source backend '{}': expected one of {}".format(options.backend, ", ".join(BACKENDS))
        )
    if source.kind == "gst":
        # What is wrong with the text itself is told at once.
        build_pipeline(source, lambda element: True)
    return ProcessSource(source, options)
