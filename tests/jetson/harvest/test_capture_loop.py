"""Keys in a window, and what goes on where a picture cannot be written."""

import sys
import threading
import time
import types

import fake_live
import pytest

from legoclf.errors import LegoclfError
from legoclf.jetson.harvest.capture_loop import capture_by_keys, count_lines
from legoclf.jetson.harvest.class_folders import ClassFolders
from legoclf.jetson.harvest.keys import WindowKeys
from legoclf.jetson.harvest.session import CameraReader, CaptureOptions, CaptureSession


class Screen(types.ModuleType):
    """OpenCV's windows, without a display: gives the keys of a text, "." being a moment without one."""

    WINDOW_NORMAL, WND_PROP_VISIBLE, FONT_HERSHEY_SIMPLEX, LINE_AA = 0, 4, 0, 16

    def __init__(self, keys):
        super().__init__("cv2")
        self.keys = list(keys)
        self.lines, self.calls, self.visible = [], [], 1.0

    def namedWindow(self, title, flags):
        self.calls.append("opened")

    def destroyWindow(self, title):
        self.calls.append("destroyed")

    def getTextSize(self, text, *rest):
        return (10 * len(text), 10), 2

    def putText(self, canvas, text, *rest):
        self.lines.append(text)

    def imshow(self, title, picture):
        self.calls.append("shown")

    def waitKey(self, ms):
        time.sleep(0.01)
        key = self.keys.pop(0) if self.keys else "."
        return -1 if key == "." else ord(key)

    def getWindowProperty(self, title, name):
        return self.visible


class Moving(fake_live.FakeCamera):
    """Captures at each read, and does not end."""

    def read(self, timeout_s):
        time.sleep(0.002)
        self.capture()
        return super().read(timeout_s)


@pytest.fixture
def capture(tmp_path, monkeypatch):
    """A function that captures by the keys of a screen; what was told, and what failed."""

    def run(screen, folders=None):
        told, failed = [], []
        folders = folders or ClassFolders(str(tmp_path), ["brick", "plate"])
        session = CaptureSession(folders, CaptureOptions(burst=2, interval_s=0.0, keep_duplicates=True))
        with CameraReader(Moving(), session) as reader, WindowKeys() as keys:
            # The reader is at work: from here on the pictures need no OpenCV.
            monkeypatch.setitem(sys.modules, "cv2", screen)
            monkeypatch.setattr("legoclf.jetson.harvest.class_folders.encode_jpeg", lambda picture: b"jpeg")
            labels = {"1": "brick", "2": "plate"}
            capture_by_keys(
                session,
                reader,
                keys,
                labels,
                threading.Event(),
                lambda label, outcomes: told.append((label, len(outcomes))),
                failed.append,
            )
        return told, failed

    return run


def test_a_key_takes_a_burst_and_the_blank_another(capture):
    screen = Screen("." * 5 + "1" + "." * 20 + " " + "." * 20 + "2" + "." * 20 + "q")
    told, failed = capture(screen)
    assert (told, failed) == ([("brick", 2), ("brick", 2), ("plate", 2)], [])
    assert {"1  brick  4", "2  plate  0", "brick: 2 saved"} <= set(screen.lines)
    assert (screen.calls[0], screen.calls[-1]) == ("opened", "destroyed")


def test_the_blank_before_any_label_takes_nothing(capture):
    assert capture(Screen("... ...q")) == ([], [])


def test_a_window_that_is_closed_ends_it(capture):
    screen = Screen("")
    threading.Timer(0.2, lambda: setattr(screen, "visible", 0.0)).start()
    assert capture(screen) == ([], [])


def test_where_a_picture_cannot_be_written_it_says_so_and_goes_on(capture, tmp_path, monkeypatch):
    folders = ClassFolders(str(tmp_path), ["brick", "plate"])
    save = folders.save

    def full(label, *rest):
        if label == "brick":
            raise LegoclfError("brick: cannot be written: No space left on device")
        return save(label, *rest)

    monkeypatch.setattr(folders, "save", full)
    told, failed = capture(Screen("." * 5 + "1" + "." * 20 + "2" + "." * 20 + "q"), folders)
    assert (told, failed) == ([("plate", 2)], ["brick: cannot be written: No space left on device"])


def test_the_table_of_counts_has_a_row_for_each_class():
    lines = count_lines({"brick 2x4": {"train": 8, "validation": 1, "test": 1}})
    assert [line.split() for line in lines] == [
        ["class", "all", "train", "validation", "test"],
        ["brick", "2x4", "10", "8", "1", "1"],
    ]
