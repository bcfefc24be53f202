"""The capture process: frames come out of shared memory as they went in, and its end gives all back."""

import mmap
import os
import signal
import subprocess
import sys
import time

import fake_camera
import fake_clip
import numpy as np
import pytest

from legoclf.errors import LegoclfError
from legoclf.jetson.capture import Announced, CaptureProcess, take
from legoclf.jetson.capture_worker import SLOTS, SharedMemory
from legoclf.jetson.frame import image_shape
from legoclf.jetson.gstreamer_library import Picture, Plane, default_planes
from legoclf.jetson.source_uri import parse_source


def laid_out(image, planes, heights):
    """The bytes of a picture whose planes are ``heights`` rows each and lie as ``planes`` say."""
    rows = image.reshape(image.shape[0], -1)
    last = planes[-1]
    memory = np.full(last.offset + last.stride * heights[-1], 255, np.uint8)
    first = 0
    for plane, height in zip(planes, heights):
        for row in range(height):
            start = plane.offset + row * plane.stride
            memory[start : start + rows.shape[1]] = rows[first + row]
        first += height
    return memory


def shared(content, before=4096):
    memory = mmap.mmap(-1, before + len(content))
    memory[before:] = content.tobytes()
    return memory


@pytest.mark.parametrize(
    ("pixel_format", "width", "planes"),
    [
        ("BGR", 5, [Plane(0, 16)]),
        ("BGR", 8, [Plane(0, 24)]),
        ("BGRx", 5, [Plane(64, 256)]),
        ("YUYV", 6, [Plane(0, 12)]),
        ("NV12", 6, [Plane(0, 8), Plane(32, 8)]),
        ("NV12", 6, [Plane(0, 64), Plane(1024, 32)]),
    ],
)
def test_a_frame_is_read_as_it_lies_whatever_its_padding(pixel_format, width, planes):
    shape = image_shape(pixel_format, 4, width)
    image = np.random.RandomState(0).randint(0, 255, shape).astype(np.uint8)
    content = laid_out(image, planes, [4, 2] if pixel_format == "NV12" else [4])
    frame = Announced(0, 4096, len(content), pixel_format, width, 4, planes, 0, 0.0)
    assert (take(frame, shared(content)) == image).all()


def test_a_frame_that_was_taken_is_its_own_and_read_only():
    memory = shared(np.zeros(48, np.uint8))
    image = take(Announced(0, 4096, 48, "BGR", 4, 4, [(0, 12)], 0, 0.0), memory)
    memory[4096:] = b"\1" * 48
    assert image.max() == 0
    with pytest.raises(ValueError):
        image[0, 0, 0] = 1


@pytest.mark.parametrize(
    ("pixel_format", "planes"), [("BGR", [(0, 16)]), ("YUYV", [(0, 12)]), ("NV12", [(0, 8), (32, 8)])]
)
def test_gstreamers_rows_begin_at_multiples_of_four(pixel_format, planes):
    assert default_planes(pixel_format, 5, 3) == planes


def test_shared_memory_grows_without_moving_what_stands_in_it(tmp_path):
    with open(str(tmp_path / "memory"), "w+b") as file:
        memory = SharedMemory(file.fileno())

        def write(slot, value, nbytes):
            content = np.full(nbytes, value, np.uint8)
            return memory.write(slot, Picture(content.ctypes.data, nbytes, "BGR", 1, 1, ()))

        small = [write(slot, slot + 1, 5000) for slot in range(SLOTS)]
        large = write(0, 9, 50000)
        content = np.fromfile(str(tmp_path / "memory"), np.uint8)
    for slot in range(1, SLOTS):
        assert (content[small[slot] : small[slot] + 5000] == slot + 1).all()
    assert (content[large : large + 50000] == 9).all()


class Running:
    """A capture process on a clip, and the pipe that would wake its reader."""

    def __init__(self, path):
        self.wake, self.wake_write = os.pipe()
        self.process = CaptureProcess(parse_source(path), "opencv")

    def messages(self, until, timeout_s=20.0):
        """All messages up to the first with the key ``until``."""
        messages = []
        deadline = time.monotonic() + timeout_s
        while not any(until in message for message in messages):
            assert time.monotonic() < deadline
            messages.extend(self.process.receive(1.0, self.wake))
        return messages

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stop()
        os.close(self.wake)
        os.close(self.wake_write)


@pytest.fixture
def clip(tmp_path):
    return fake_clip.write_clip(tmp_path)


def test_a_process_waits_when_all_slots_are_taken(clip):
    with Running(clip) as running:
        frames = [message for message in running.messages("frame") if "frame" in message]
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            frames += [one for one in running.process.receive(0.1, running.wake) if "frame" in one]
        assert sorted(one["frame"]["slot"] for one in frames) == list(range(SLOTS))


def test_a_slot_that_is_given_back_is_written_again(clip):
    with Running(clip) as running:
        seen = []
        while not seen or "end" not in seen[-1]:
            for message in running.process.receive(1.0, running.wake):
                seen.append(message)
                if "frame" in message:
                    running.process.free(message["frame"]["slot"])
        assert [one["frame"]["sequence"] for one in seen if "frame" in one] == list(range(20))


def test_the_pixels_outlive_the_process(clip):
    with Running(clip) as running:
        message = next(one for one in running.messages("frame") if "frame" in one)
        frame, memory = running.process.announced(message["frame"])
    assert (take(frame, memory) == 0).all()


def test_a_process_that_is_killed_is_said_so(clip):
    with Running(clip) as running:
        running.messages("frame")
        os.kill(running.process.pid, signal.SIGKILL)
        with pytest.raises(LegoclfError, match="the capture process was ended by SIGKILL"):
            running.messages("end")


def test_a_process_that_is_stopped_lets_go_in_order(clip):
    wake, wake_write = os.pipe()
    process = CaptureProcess(parse_source(clip), "opencv")
    while not any("frame" in message for message in process.receive(5.0, wake)):
        pass
    assert process.stop() == 0
    os.close(wake)
    os.close(wake_write)


def test_a_process_that_is_frozen_is_ended_and_leaves_nothing(clip):
    before = fake_camera.held()
    with Running(clip) as running:
        running.messages("frame")
        pid = running.process.pid
        os.kill(pid, signal.SIGSTOP)
    assert not fake_camera.is_running(pid)
    fake_camera.assert_held(before)


PROGRAM = """
import sys, time
sys.path[:] = {path!r}
from legoclf.jetson.source import SourceOptions, open_source
source = open_source({uri!r}, SourceOptions(backend="opencv"))
source.read(20.0)
print(source.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_capture_process_ends_with_its_parent_however_that_ends(clip, sign):
    program = PROGRAM.format(path=sys.path, uri=clip)
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # A shell starts what runs in its background with SIGINT ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    pid = int(parent.stdout.readline())
    assert fake_camera.is_running(pid)
    parent.send_signal(sign)
    parent.wait()
    parent.stdout.close()
    fake_camera.wait_until(lambda: not fake_camera.is_running(pid), 5.0, "the capture process ends")


FORKING_PROGRAM = """
import os, sys, time
sys.path[:] = {path!r}
from legoclf.jetson.source import SourceOptions, open_source
source = open_source({uri!r}, SourceOptions(backend="opencv"))
source.read(20.0)
third = os.fork()
if third:
    print(source.pid, third, flush=True)
time.sleep(60)
"""


def test_it_ends_with_its_parent_though_a_third_process_holds_the_socket(clip):
    program = FORKING_PROGRAM.format(path=sys.path, uri=clip)
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    pid, third = (int(number) for number in parent.stdout.readline().split())
    try:
        parent.kill()
        parent.wait()
        fake_camera.wait_until(lambda: not fake_camera.is_running(pid), 5.0, "the capture process ends")
    finally:
        os.kill(third, signal.SIGKILL)
        parent.stdout.close()


def test_ctrl_c_is_the_parents_to_answer(clip):
    with Running(clip) as running:
        running.messages("frame")
        os.kill(running.process.pid, signal.SIGINT)
        time.sleep(0.3)
        assert fake_camera.is_running(running.process.pid)
