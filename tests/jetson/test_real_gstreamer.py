"""Cameras through real GStreamer: read, killed, frozen, and back, with nothing gained.

The camera is an RTSP server in another process, or videotestsrc in the capture process itself. Frames come
by way of GStreamer's C library, so any Python will do; tests/system.py installs the libraries.
"""

import base64
import contextlib
import http.server
import os
import signal
import subprocess
import threading
import time

import fake_camera
import fake_clip
import numpy as np
import pytest

from legoclf.errors import LegoclfError
from legoclf.jetson.capture import CaptureProcess
from legoclf.jetson.frame import to_bgr
from legoclf.jetson.process_source import ProcessSource
from legoclf.jetson.source import SourceOptions, open_source
from legoclf.jetson.source_uri import parse_source

#: Impatient, so that the tests are quick.
OPTIONS = SourceOptions(
    stall_timeout_s=1.0, open_timeout_s=5.0, first_delay_s=0.1, longest_delay_s=0.5, backend="gstreamer"
)
#: A camera of 30 frames a second, and one that is faster than any reader.
CAMERA = "gst://videotestsrc is-live=true ! video/x-raw,format=BGR,width=64,height=48,framerate=30/1"
RUSH = "gst://videotestsrc is-live=true ! video/x-raw,format=BGR,width=64,height=48,framerate=500/1"
#: Recovery from a kill: server start, back-off, a new session, its first key frame, on a busy machine.
PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def _gstreamer():
    fake_camera.require_gstreamer("videotestsrc", "videoconvert", "appsink", "decodebin")


def read(source, timeout_s=PATIENCE_S):
    frame = source.read(timeout_s)
    assert frame is not None, (source.state, source.last_error)
    return frame


def await_recovery(source, reopened):
    """Wait for the source to come back once more; its first frame."""
    started = time.monotonic()
    while source.reopened == reopened:
        assert time.monotonic() - started < PATIENCE_S, (source.state, source.last_error)
        source.read(0.05)
    return read(source)


def test_a_camera_is_read_frame_by_frame_none_twice():
    with open_source(CAMERA, OPTIONS) as source:
        frames = [read(source) for _ in range(30)]
        assert source.state == "running"
    numbers = [frame.sequence for frame in frames]
    assert numbers == sorted(set(numbers))
    assert (frames[0].pixel_format, frames[0].image.shape) == ("BGR", (48, 64, 3))
    # 30 a second, whatever the start took.
    assert 0.7 < (frames[-1].captured_at - frames[0].captured_at) / (numbers[-1] - numbers[0]) * 30 < 1.5


def test_of_a_fast_camera_a_slow_reader_gets_the_newest_and_the_rest_is_counted():
    with open_source(RUSH, OPTIONS) as source:
        given, ages = [], []
        read(source)
        for _ in range(10):
            time.sleep(0.1)
            frame = read(source)
            ages.append(time.monotonic() - frame.captured_at)
            given.append(frame.sequence)
        assert source.dropped > 10 * 20
        # Each captured frame was given (11), dropped, or is the newest now.
        assert source.captured - source.dropped - 11 in (0, 1)
    # Two periods of 2 ms; the rest is for a machine that is busy. A queue would be 100 ms deep each time.
    assert sorted(ages)[len(ages) // 2] < 0.004 + 0.02


def test_a_reader_faster_than_the_camera_waits_for_the_next_frame():
    with open_source(CAMERA, OPTIONS) as source:
        read(source)
        nothing = sum(source.read(0.001) is None for _ in range(100))
    assert nothing > 50


def test_frames_have_the_pixels_of_the_camera():
    # 62 pixels of BGR are no multiple of four bytes.
    uri = (
        "gst://videotestsrc is-live=true pattern=solid-color foreground-color=0xff204080 ! "
        "video/x-raw,format=BGR,width=62,height=48"
    )
    with open_source(uri, OPTIONS) as source:
        assert read(source).image.reshape(-1, 3).tolist() == [[0x80, 0x40, 0x20]] * (62 * 48)


def test_a_pipeline_of_another_format_is_converted():
    uri = "gst://videotestsrc is-live=true pattern=white ! video/x-raw,format=I420,width=64,height=48"
    with open_source(uri, OPTIONS) as source:
        bgr = to_bgr(read(source))
    # 235 of limited range is 255; one level for the rounding of a conversion.
    assert bgr.min() >= 254


def encode(path, encoder, frames=40):
    """Write a video of 160x120 with GStreamer."""
    fake_camera.require_gstreamer(encoder.split()[0], "avdec_h264", "qtdemux", "avidemux", "jpegdec")
    pipeline = "videotestsrc num-buffers={} ! video/x-raw,width=160,height=120 ! {} ! filesink location={}"
    subprocess.check_call(["gst-launch-1.0", "-q", *pipeline.format(frames, encoder, path).split()])


def read_all(source):
    frames = []
    while not source.ended:
        frame = source.read(PATIENCE_S)
        if frame is not None:
            frames.append(frame)
    return frames


@pytest.mark.parametrize(
    ("encoder", "name"),
    [("jpegenc ! avimux", 'my "best" 100% clip.avi'), ("x264enc ! mp4mux", "back\\slash 'n clip.mp4")],
)
def test_a_video_is_read_whole_whatever_its_name(tmp_path, encoder, name):
    encode(tmp_path / "clip", encoder)
    os.rename(str(tmp_path / "clip"), str(tmp_path / name))
    with open_source(str(tmp_path / name), OPTIONS) as source:
        frames = read_all(source)
    assert [frame.sequence for frame in frames] == list(range(40))
    assert {frame.image.shape for frame in frames} == {(120, 160, 4)}


def test_opencv_and_gstreamer_read_the_same_pictures(tmp_path):
    fake_camera.require_gstreamer("avidemux", "jpegdec")
    with open_source(fake_clip.write_clip(tmp_path), OPTIONS) as source:
        assert [fake_clip.number_of(frame) for frame in read_all(source)] == list(range(20))


def cut(path):
    with open(str(path), "r+b") as file:
        file.truncate(os.path.getsize(str(path)) * 2 // 3)


def test_a_video_that_is_cut_off_gives_what_is_there(tmp_path):
    encode(tmp_path / "clip.avi", "jpegenc ! avimux")
    cut(tmp_path / "clip.avi")
    with open_source(str(tmp_path / "clip.avi"), OPTIONS) as source:
        # Two thirds of the bytes; the header and the last frame, cut through, count for little.
        assert 20 < len(read_all(source)) < 30


def test_a_video_whose_index_is_cut_off_is_named(tmp_path):
    encode(tmp_path / "clip.mp4", "x264enc ! mp4mux")
    cut(tmp_path / "clip.mp4")
    said = "clip.mp4: GStreamer: This file contains no playable streams"
    with open_source(str(tmp_path / "clip.mp4"), OPTIONS) as source, pytest.raises(LegoclfError, match=said):
        read(source)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("gst://nosuchsrc ! videoconvert", 'no element "nosuchsrc"'),
        ("gst://videotestsrc ! appsink caps=video/x-raw,format=I420", "expected video/x-raw in one of BGR"),
        ("gst://filesrc location=/nowhere ! decodebin", "No such file"),
        ("rtsp://127.0.0.1:9/none", "rtsp://127.0.0.1:9/none: GStreamer: .*onnect"),
        ("csi://0", "GStreamer has no nvarguscamerasrc here, which JetPack brings"),
        ("/dev/video97", "there is no camera /dev/video97: plug it in, or name another"),
    ],
)
def test_a_camera_that_cannot_be_opened_at_first_is_an_error(uri, said):
    fake_camera.require_gstreamer("rtspsrc")
    with open_source(uri, OPTIONS) as source:
        with pytest.raises(LegoclfError, match=said) as error:
            read(source)
        assert "\n" not in str(error.value)
        assert source.ended


def test_a_camera_that_comes_later_is_waited_for_where_that_is_asked():
    camera = fake_camera.FakeCamera()
    with open_source(camera.uri, OPTIONS._replace(retry_first=True)) as source:
        assert source.read(1.0) is None
        assert source.state == "opening"
        fake_camera.wait_until(lambda: "onnect" in source.last_error, 10.0, "the refusal")
        with camera:
            assert read(source).image.shape == (240, 320, 4)


class Mjpeg(http.server.BaseHTTPRequestHandler):
    """A stream of one picture behind a password, as IP cameras have it."""

    def do_GET(self):
        login = base64.b64encode(b"me:my pass").decode()
        if self.headers.get("Authorization") != "Basic " + login:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=part")
        self.end_headers()
        head = "--part\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n".format(
            len(self.server.picture)
        )
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(head.encode() + self.server.picture + b"\r\n")
                time.sleep(0.03)

    def log_message(self, *_):
        """Nothing: the test's output is not for it."""


def test_mjpeg_over_http_is_read_behind_its_password():
    cv2 = pytest.importorskip("cv2")
    fake_camera.require_gstreamer("souphttpsrc", "multipartdemux", "jpegdec")
    server = http.server.HTTPServer(("127.0.0.1", 0), Mjpeg)
    server.picture = cv2.imencode(".jpg", np.full((48, 64, 3), 200, np.uint8))[1].tobytes()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    uri = "http://me:{}@127.0.0.1:{}/video"
    with open_source(uri.format("my%20pass", server.server_port), OPTIONS) as source:
        # JPEG changes a plain picture by a level or two.
        assert np.abs(to_bgr(read(source)).astype(int) - 200).max() <= 2
        assert read(source).sequence > 0
    with open_source(uri.format("guess", server.server_port), OPTIONS) as source:
        with pytest.raises(LegoclfError, match="Unauthorized") as error:
            read(source)
        assert "guess" not in str(error.value)
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("uri", [CAMERA, RUSH])
def test_a_closed_camera_leaves_no_descriptor_thread_or_process(uri):
    before = fake_camera.held()
    for _ in range(3):
        with open_source(uri, OPTIONS) as source:
            read(source)
            pid = source.pid
        assert not fake_camera.is_running(pid)
    fake_camera.assert_held(before)


def resident_mib(pid):
    with open("/proc/{}/status".format(pid)) as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) // 1024


def test_the_capture_process_gives_every_frames_memory_back():
    large = RUSH.replace("width=64,height=48", "width=640,height=480")
    with open_source(large, OPTIONS) as source:
        while source.captured < 50:
            read(source)
        before = resident_mib(source.pid)
        while source.captured < 250:
            read(source)
        # 200 frames are 175 MiB.
        assert resident_mib(source.pid) - before < 20


def test_the_waits_before_a_camera_is_opened_again_double_up_to_the_longest(monkeypatch):
    options = OPTIONS._replace(first_delay_s=0.1, longest_delay_s=0.4, retry_first=True)
    pause, waits = ProcessSource._pause, []

    def noted(self, seconds):
        started = time.monotonic()
        pause(self, seconds)
        waits.append((seconds, time.monotonic() - started))

    monkeypatch.setattr(ProcessSource, "_pause", noted)
    with open_source("gst://filesrc location=/nowhere ! decodebin", options):
        fake_camera.wait_until(lambda: len(waits) >= 4, 20.0, "four waits")
    assert [asked for asked, _ in waits[:4]] == [0.1, 0.2, 0.4, 0.4]
    # The system counts a wait in whole milliseconds.
    assert all(took > asked - 0.002 for asked, took in waits[:4])


def test_a_camera_that_gives_nothing_is_let_go_of_in_order():
    fake_camera.require_gstreamer("valve")
    wake, wake_write = os.pipe()
    source = parse_source("gst://videotestsrc is-live=true ! valve drop=true ! videoconvert")
    process = CaptureProcess(source, "gstreamer")
    assert [list(message) for message in process.receive(PATIENCE_S, wake)] == [["note"]]
    assert process.stop() == 0
    os.close(wake)
    os.close(wake_write)


def test_a_source_that_is_lost_is_closed_without_delay():
    with open_source(CAMERA, OPTIONS._replace(first_delay_s=60.0)) as source:
        read(source)
        os.kill(source.pid, signal.SIGKILL)
        fake_camera.wait_until(lambda: source.state == "lost", 5.0, "the loss is noticed")
        started = time.monotonic()
    assert time.monotonic() - started < 30.0  # of 60 that it would wait


def test_while_a_camera_is_lost_its_state_and_the_reason_can_be_seen():
    with fake_camera.FakeCamera() as camera, open_source(camera.uri, OPTIONS) as source:
        read(source)
        camera.kill()
        fake_camera.wait_until(lambda: source.state == "lost" and source.last_error, 10.0, "it is lost")
        assert source.last_error.startswith("source {}: ".format(camera.uri))
        assert source.read(0.0) is None
        camera.start()
        await_recovery(source, 0)
        assert source.state == "running"


def freeze_capture(source):
    os.kill(source.pid, signal.SIGSTOP)


def kill_capture(source):
    os.kill(source.pid, signal.SIGKILL)


@pytest.mark.parametrize("fail", [kill_capture, freeze_capture])
def test_a_capture_process_that_fails_is_replaced(fail):
    with open_source(CAMERA, OPTIONS) as source:
        last = read(source).sequence
        before = fake_camera.held()
        for count in range(2):
            fail(source)
            frame = await_recovery(source, count)
            assert frame.sequence > last
            last = frame.sequence
        fake_camera.assert_held(before)


def survive(kills, freezes):
    """Kill and freeze a camera; every time it must come back, and nothing be gained."""
    with fake_camera.FakeCamera() as camera, open_source(camera.uri, OPTIONS) as source:
        last = read(source).sequence
        before = fake_camera.held()
        for count in range(kills + freezes):
            if count < kills:
                camera.kill()
                camera.start()
            else:
                camera.freeze()
                fake_camera.wait_until(lambda: source.state == "lost", 10.0, "the stall is noticed")
                camera.thaw()
            frame = await_recovery(source, count)
            assert frame.sequence > last
            last = frame.sequence
        fake_camera.assert_held(before)


def test_a_camera_that_is_killed_or_frozen_comes_back_and_nothing_is_gained():
    survive(kills=2, freezes=2)


@pytest.mark.slow
def test_a_camera_survives_50_kills_and_20_freezes():
    survive(kills=50, freezes=20)
