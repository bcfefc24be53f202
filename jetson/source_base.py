"""What every source of frames is: the interface, and how it is to behave."""

from typing import NamedTuple, Optional

from legoclf.jetson.frame import Frame

STATES = ("opening", "running", "lost", "ended")


class SourceOptions(NamedTuple):
    """How a source is to behave; what it is, its URI says.

    stall_timeout_s: a camera that gives no frame for so long is lost: it is torn down and opened again.
    open_timeout_s: the same for the first frame after opening.
    first_delay_s, longest_delay_s: the wait before it is opened again; it doubles with each failure.
    backend: "auto", "gstreamer" or "opencv"; auto is OpenCV only where there is no GStreamer.
    retry_first: a camera that has never given a frame is tried for ever too; otherwise its failure is an
        error, as the URI may be wrong.
    """

    stall_timeout_s: float = 3.0
    open_timeout_s: float = 10.0
    first_delay_s: float = 0.5
    longest_delay_s: float = 10.0
    backend: str = "auto"
    retry_first: bool = False


class Source:
    """Frames, one after the other; a context manager. :meth:`read` may be called by one thread.

    is_live: a camera, of which only the newest frame is given and which never ends; otherwise every frame
        is given, in order, and then it ends.
    captured: how many frames came out of the source. dropped: how many of them were superseded by a newer one
        before they were read.
    reopened: how many times it came back after it was lost.
    last_error: why it was lost last, or what could not be read; empty at first.
    """

    is_live = False

    def __init__(self) -> None:
        self.state = "opening"
        self.captured = 0
        self.dropped = 0
        self.reopened = 0
        self.last_error = ""

    @property
    def ended(self) -> bool:
        """Whether there will be no more frames."""
        return self.state == "ended"

    def read(self, timeout_s: float) -> Optional[Frame]:
        """The newest frame that was not given yet (live), or the next one.

        Returns:
            None where there is none within ``timeout_s`` seconds, and at the end.

        Raises:
            LegoclfError: it cannot be opened; or, of a file, cannot be read on.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the camera; may be called twice, and while another thread reads."""
        raise NotImplementedError

    def __enter__(self) -> "Source":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()
