"""What the camera sees with the answers drawn in, in a window."""

import os
import subprocess
import sys

from legoclf.errors import LegoclfError, missing_package
from legoclf.jetson.frame import to_bgr
from legoclf.jetson.output import Output, OutputContext
from legoclf.jetson.overlay import draw
from legoclf.jetson.result import Result

TITLE = "legoclf"
_KEYS_THAT_END = (27, ord("q"))
_ELSEWISE = "leave `--output window` out, or take print, jsonl:- or video:FILE"


class Window(Output):
    """Shows the newest frame; q, Escape or closing it ends the run."""

    name = "window"
    needs_frame = True
    capacity = 1
    idle_s = 0.1

    def __init__(self, context: OutputContext) -> None:
        self._stop = context.stop
        self._is_open = False

    def __enter__(self) -> "Window":
        check_display()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._is_open:
            import cv2

            cv2.destroyWindow(TITLE)

    def write(self, result: Result) -> None:
        import cv2

        assert result.frame is not None
        if self._is_open and cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1:
            self._is_open = False
            self._stop.set()
        if self._stop.is_set():
            return
        if not self._is_open:
            cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL)
            self._is_open = True
        cv2.imshow(TITLE, draw(to_bgr(result.frame), result))
        self.idle()

    def idle(self) -> None:
        import cv2

        if self._is_open and cv2.waitKey(1) & 0xFF in _KEYS_THAT_END:
            self._stop.set()


def check_display() -> None:
    """Make sure that OpenCV can open a window here.

    Raises:
        LegoclfError: it cannot.
    """
    try:
        import cv2
    except ImportError as error:
        raise missing_package("opencv-python", "train") from error
    gui = [
        line.split()[-1] for line in cv2.getBuildInformation().splitlines() if line.strip().startswith("GUI:")
    ]
    if gui == ["NONE"]:
        raise LegoclfError(
            "window: this OpenCV was built without windows (opencv-python-headless); {}".format(_ELSEWISE)
        )
    display = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")
    if sys.platform.startswith("linux") and not display:
        raise LegoclfError("window: there is no display here (DISPLAY is not set); {}".format(_ELSEWISE))
    # In a process of its own: where the display does not answer, Qt ends the process that asked.
    program = "import cv2; cv2.namedWindow('{}'); cv2.waitKey(1)".format(TITLE)
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    if done.returncode:
        raise LegoclfError("window: the display {!r} does not open; {}".format(display or "", _ELSEWISE))
