"""A key for each class: from the terminal, or from a window that shows what the camera sees."""

import contextlib
import os
import queue
import sys
import threading
from typing import Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from legoclf.errors import UsageError, printable

END = "q"
REPEAT = " "
KEYS = "123456789abcdefghijklmnoprstuvwxyz"

TITLE = "legoclf capture"
_ESCAPE = "\x1b"
_ENDS = (END, _ESCAPE, "\x03", "\x04")

# BGR.
_WHITE = (255, 255, 255)


class View(NamedTuple):
    """What is shown.

    picture: uint8 [H, W, 3], BGR; None before the first. lines: for people, from the top.
    """

    picture: Optional[np.ndarray]
    lines: List[str]


def keys_of(labels: Sequence[str]) -> Dict[str, str]:
    """Key to label, in the order of the labels.

    Raises:
        UsageError: there are more labels than keys.
    """
    if len(labels) > len(KEYS):
        raise UsageError(
            "--labels: got {} labels, and there are keys for {}; name fewer, or use --label".format(
                len(labels), len(KEYS)
            )
        )
    return dict(zip(KEYS, labels))


class TerminalKeys(object):
    """Keys as they are pressed, from standard input; a context manager that puts the terminal right again.

    Where it is no terminal, each sign that comes in is a key, and none is passed over.
    """

    def __init__(self) -> None:
        self._descriptor = sys.stdin.fileno()
        self.is_terminal = os.isatty(self._descriptor)
        self._pressed: "queue.Queue[str]" = queue.Queue()
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> "TerminalKeys":
        if self.is_terminal:
            # Without termios, on Windows, keys come with Enter.
            with contextlib.suppress(ImportError):
                import termios
                import tty

                before = termios.tcgetattr(self._descriptor)
                tty.setcbreak(self._descriptor)
                self._undo.callback(termios.tcsetattr, self._descriptor, termios.TCSADRAIN, before)
        # A thread of its own that is left behind: a read from a terminal cannot be called off.
        threading.Thread(target=self._read, name="keys", daemon=True).start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._undo.close()

    def poll(self, timeout_s: float) -> str:
        """The next key; "" where none is pressed within the time."""
        try:
            return self._pressed.get(timeout=timeout_s)
        except queue.Empty:
            return ""

    def show(self, view: View) -> None:
        """Nothing: a terminal shows no pictures."""

    def _read(self) -> None:
        while True:
            try:
                chunk = os.read(self._descriptor, 64).decode("utf-8", "ignore")
            except OSError:
                chunk = ""
            if not chunk:
                self._pressed.put(END)
                return
            # What begins with Escape and goes on is an arrow or the like, and no letter of a class.
            if chunk[0] == _ESCAPE and len(chunk) > 1:
                continue
            for sign in chunk:
                self._pressed.put(END if sign in _ENDS else sign)


class WindowKeys(object):
    """Keys that are pressed in a window; a context manager. All calls MUST come from one thread."""

    is_terminal = True

    def __init__(self) -> None:
        self._is_open = False
        self._is_closed = False

    def __enter__(self) -> "WindowKeys":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._is_open:
            import cv2

            cv2.destroyWindow(TITLE)

    def poll(self, timeout_s: float) -> str:
        """The next key; "" where none is pressed within the time; END once the window was closed."""
        import cv2

        if self._is_closed:
            return END
        code = cv2.waitKey(max(1, int(timeout_s * 1000)))
        sign = chr(code & 0xFF) if code >= 0 else ""
        return END if sign in _ENDS else sign

    def show(self, view: View) -> None:
        """Draw the picture with its lines."""
        import cv2

        if view.picture is None:
            return
        if not self._is_open:
            cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL)
            self._is_open = True
        elif cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1:
            self._is_closed = True
            return
        cv2.imshow(TITLE, draw_lines(view.picture, view.lines))


def draw_lines(picture: np.ndarray, lines: Sequence[str]) -> np.ndarray:
    """The picture with text at its left: uint8 [H, W, 3], BGR; the one given stays as it is."""
    import cv2

    canvas = np.array(picture, order="C")
    texts = [_ascii(line) for line in lines]
    step = max(8, min(canvas.shape[0] // 24, canvas.shape[0] // (len(texts) + 1)))
    scale = step / 34.0
    weight = max(1, int(2 * scale))
    widths = [cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, weight)[0][0] for text in texts]
    # Darkened behind the text, so that it can be read on any picture.
    canvas[: len(texts) * step + step // 2, : max(widths, default=0) + step] //= 3
    for row, text in enumerate(texts, 1):
        at = (step // 3, row * step)
        cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, _WHITE, weight, cv2.LINE_AA)
    return canvas


def _ascii(text: str) -> str:
    """OpenCV's fonts have no other signs."""
    return printable(text).encode("ascii", "replace").decode("ascii")
