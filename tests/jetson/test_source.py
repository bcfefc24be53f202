"""Sources that need no camera: images, videos, frames from memory; each gives what the interface promises."""

import os
import signal
import sys
import time

import fake_camera
import fake_clip
import numpy as np
import pytest

from legoclf.errors import ImageError, LegoclfError, UsageError
from legoclf.jetson import backends
from legoclf.jetson.backends import open_backend
from legoclf.jetson.process_source import explain
from legoclf.jetson.source import SourceOptions, open_source
from legoclf.jetson.source_uri import parse_source

OPENCV = SourceOptions(backend="opencv")


def read_all(source, timeout_s=20.0):
    """Every frame up to the end."""
    frames = []
    while not source.ended:
        frame = source.read(timeout_s)
        if frame is not None:
            frames.append(frame)
    return frames


@pytest.fixture
def photos(tmp_path):
    """Three images of one colour each, blue, green and red; one that is cut off; a file that is none."""
    cv2 = pytest.importorskip("cv2")
    folder = tmp_path / "photos"
    (folder / "b").mkdir(parents=True)
    for index, name in enumerate(["a.png", "b/c.png", "d.png"]):
        colour = np.zeros((10 + index, 20, 3), np.uint8)
        colour[..., index] = 200
        cv2.imwrite(str(folder / name), colour)
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:60])
    (folder / "notes.txt").write_text("no image")
    return folder


def test_a_folder_gives_every_image_in_order_and_ends(photos):
    with open_source(str(photos)) as source:
        frames = read_all(source)
        assert [frame.image[0, 0].tolist() for frame in frames] == [[200, 0, 0], [0, 200, 0], [0, 0, 200]]
        assert [frame.sequence for frame in frames] == [0, 1, 2]
        assert [frame.height for frame in frames] == [10, 11, 12]
        assert (source.captured, source.dropped, source.state) == (3, 0, "ended")


def test_an_image_of_a_folder_that_cannot_be_read_is_said(photos):
    with open_source(str(photos)) as source:
        read_all(source)
        assert "broken.png: truncated" in source.last_error


def test_one_image_is_a_source_of_one_frame(photos):
    with open_source(str(photos / "d.png")) as source:
        assert len(read_all(source)) == 1


def test_one_image_that_cannot_be_read_is_an_error(photos):
    with open_source(str(photos / "broken.png")) as source, pytest.raises(ImageError, match="truncated"):
        source.read(1.0)


def test_a_folder_without_images_is_an_error_with_what_was_expected(tmp_path):
    with open_source(str(tmp_path)) as source, pytest.raises(LegoclfError, match="there are no images in it"):
        source.read(1.0)


@pytest.mark.parametrize("pause_s", [0.0, 0.05])
def test_a_video_is_read_without_loss_by_a_fast_and_a_slow_reader(tmp_path, pause_s):
    with open_source(fake_clip.write_clip(tmp_path), OPENCV) as source:
        numbers, sequences = [], []
        while not source.ended:
            frame = source.read(20.0)
            if frame is not None:
                numbers.append(fake_clip.number_of(frame))
                sequences.append(frame.sequence)
            time.sleep(pause_s)
        assert numbers == sequences == list(range(20))
        assert (source.captured, source.dropped) == (20, 0)


def test_a_reader_slower_than_the_stall_timeout_is_no_stall(tmp_path):
    options = SourceOptions(backend="opencv", stall_timeout_s=0.2)
    with open_source(fake_clip.write_clip(tmp_path, frames=8), options) as source:
        for expected in range(8):
            assert fake_clip.number_of(source.read(20.0)) == expected
            time.sleep(0.25)


def test_a_video_whose_reading_hangs_is_an_error_in_time(tmp_path):
    options = SourceOptions(backend="opencv", stall_timeout_s=0.5)
    with open_source(fake_clip.write_clip(tmp_path, frames=30), options) as source:
        source.read(20.0)
        os.kill(source.pid, signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(LegoclfError, match=r"clip.avi: no frame for 0\.[5-9] s"):
            read_all(source)
        assert time.monotonic() - started < 3.0


def test_a_video_leaves_nothing_behind(tmp_path):
    path = fake_clip.write_clip(tmp_path)
    before = fake_camera.held()
    with open_source(path, OPENCV) as source:
        read_all(source)
    fake_camera.assert_held(before)


def test_a_file_that_is_no_video_is_named(tmp_path):
    pytest.importorskip("cv2")
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"no video" * 100)
    with open_source(str(path), OPENCV) as source, pytest.raises(LegoclfError, match=r"clip\.mp4"):
        source.read(20.0)


def test_nothing_comes_within_the_time_is_none_and_not_the_end(tmp_path):
    with open_source(fake_clip.write_clip(tmp_path), OPENCV) as source:
        assert source.read(0.0) is None
        assert not source.ended


def test_a_closed_source_gives_no_frame_and_has_ended(tmp_path):
    source = open_source(fake_clip.write_clip(tmp_path), OPENCV)
    source.close()
    source.close()
    while source.read(1.0) is not None:
        pass
    assert source.ended


def test_without_gstreamer_opencv_reads_and_that_is_said(tmp_path, monkeypatch):
    path = fake_clip.write_clip(tmp_path)
    monkeypatch.setattr(backends, "load_gstreamer", missing_library)
    notes = []
    backend = open_backend(parse_source(path), "auto", notes.append)
    assert backend.pull(1.0).height == 48
    backend.close()
    assert notes[0] == "GStreamer is not installed"
    assert notes[1].startswith("OpenCV ")


@pytest.mark.parametrize(
    ("uri", "mend"),
    [
        ("rtsp://cam/x", "needs GStreamer: sudo apt install .*or OpenCV: pip install opencv-python-headless"),
        ("csi://0", "needs GStreamer: sudo apt install gstreamer1.0-plugins-good .*libav$"),
        ("gst://videotestsrc", "needs GStreamer: sudo apt install"),
    ],
)
def test_without_gstreamer_and_opencv_it_is_said_what_to_install(uri, mend, monkeypatch):
    monkeypatch.setattr(backends, "load_gstreamer", missing_library)
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(LegoclfError, match=mend):
        open_backend(parse_source(uri), "auto", [].append)


def test_a_failure_names_the_source_without_its_password():
    source = parse_source("rtsp://admin:secret@cam/x")
    assert explain("no frame for 3.0 s", source) == "source rtsp://admin:***@cam/x: no frame for 3.0 s"


def test_a_csi_camera_that_fails_has_the_cure_for_a_stuck_daemon():
    assert explain("no frame for 3.0 s", parse_source("csi://0")).endswith(
        "its daemon is stuck: sudo systemctl restart nvargus-daemon"
    )


def missing_library():
    raise OSError("libgstreamer-1.0.so.0: cannot open shared object file")


def test_an_unknown_backend_is_named():
    with pytest.raises(UsageError, match="'ffmpeg': expected one of auto, gstreamer, opencv"):
        open_source("csi://0", SourceOptions(backend="ffmpeg"))


def test_a_wrong_pipeline_is_refused_before_anything_starts():
    with pytest.raises(UsageError, match="ends in fakesink"):
        open_source("gst://videotestsrc ! fakesink")


def test_synthetic_frames_come_at_their_rate_and_end():
    with open_source("synthetic://?width=64&height=48&fps=100&frames=20") as source:
        started = time.monotonic()
        frames = read_all(source, 1.0)
        took = time.monotonic() - started
    assert [frame.sequence for frame in frames] == sorted({frame.sequence for frame in frames})
    assert frames[-1].sequence == 19
    # The last of 20 frames is due 19 periods after the first.
    assert took >= 0.19
    assert len(frames) + source.dropped == source.captured == 20


def test_of_synthetic_frames_a_slow_reader_gets_the_newest():
    with open_source("synthetic://?width=64&height=48&fps=200") as source:
        for _ in range(5):
            frame = source.read(1.0)
            # A frame is new for one period; the rest is for a machine that is busy.
            assert time.monotonic() - frame.captured_at < 0.005 + 0.05
            time.sleep(0.1)
        assert source.dropped >= 4 * 15


def test_synthetic_frames_at_rate_0_come_as_fast_as_they_are_read():
    with open_source("synthetic://?width=64&height=48&fps=0&frames=1000") as source:
        frames = read_all(source)
    assert [frame.sequence for frame in frames] == list(range(1000))


@pytest.mark.parametrize("pixel_format", ["BGR", "BGRx", "NV12", "YUYV"])
def test_synthetic_frames_have_the_format_and_size_that_is_asked_for(pixel_format):
    with open_source("synthetic://?width=64&height=48&format=" + pixel_format) as source:
        first, second = source.read(1.0), source.read(1.0)
    assert (first.pixel_format, first.width, first.height) == (pixel_format, 64, 48)
    assert (first.image != second.image).any()


def test_a_wait_for_a_synthetic_frame_ends_after_its_time():
    with open_source("synthetic://?width=64&height=48&fps=1") as source:
        source.read(1.0)
        started = time.monotonic()
        assert source.read(0.1) is None
        assert time.monotonic() - started < 0.5
