"""The live picture: the newest for everybody, encoded once, for nobody not at all."""

import sys
import threading
import time

import fake_live
import numpy as np
import pytest

from legoclf.image import decode_image
from legoclf.jetson.frame import Frame
from legoclf.jetson.serve import mjpeg
from legoclf.jetson.serve.mjpeg import MOST_HELD, MOST_STREAMS, Pictures, encode_view

pytest.importorskip("cv2", reason="pictures are encoded with OpenCV")

RED = (30, 20, 220)


def shown(sequence, bgr=RED, height=48, width=64):
    """A result with a picture of one colour."""
    image = np.full((height, width, 3), bgr, np.uint8)
    return fake_live.result(sequence=sequence)._replace(frame=Frame(image, "BGR", sequence, 0.0))


@pytest.fixture
def pictures():
    return Pictures()


def test_a_stream_is_parts_each_a_jpeg_followed_at_once_by_the_next_ones_head(pictures):
    head = b"--legoclf-frame\r\nContent-Type: image/jpeg\r\n\r\n"
    pictures.show(shown(7))
    stream = pictures.open_stream(1)
    assert next(stream) == head
    part = next(stream)
    # Chromium shows a picture once it has read the head of the next one.
    assert part.endswith(b"\r\n" + head)
    # JPEG at quality 80: a plain colour is a few levels off.
    pixels = decode_image(part[: -len(head) - 2], "x")
    assert np.abs(pixels.astype(int) - RED[::-1]).max() <= 6


def test_a_slow_viewer_gets_the_newest_frame_and_not_those_before(pictures):
    pictures.show(shown(0))
    stream = pictures.open_stream(1)
    next(stream)
    for sequence in range(1, 6):
        pictures.show(shown(sequence))
    next(stream)
    assert stream.sent == 5


def test_nothing_is_encoded_while_nobody_looks_and_once_for_all_who_do(pictures, monkeypatch):
    encoded = []
    monkeypatch.setattr(mjpeg, "encode_view", lambda bgr: encoded.append(1) or b"jpeg")
    pictures.show(shown(0))
    pictures.show(shown(1))
    assert encoded == []
    streams = [pictures.open_stream(viewer) for viewer in range(3)]
    for stream in streams:
        next(stream)
        next(stream)
    assert encoded == [1]


def test_there_are_so_many_streams_and_one_that_ends_makes_room_once(pictures):
    pictures.show(shown(0))
    streams = [pictures.open_stream(viewer) for viewer in range(MOST_STREAMS)]
    assert pictures.open_stream(99) is None
    streams[2].close()
    streams[2].close()
    assert pictures.viewers == [0, 1, 3]
    assert pictures.open_stream(99) is not None
    assert pictures.open_stream(100) is None


def test_before_the_first_picture_there_is_no_stream(pictures):
    assert pictures.open_stream(1) is None


def test_without_a_new_frame_the_last_one_is_sent_again(pictures, monkeypatch):
    monkeypatch.setattr(mjpeg, "REPEAT_SECONDS", 0.01)
    pictures.show(shown(3))
    stream = pictures.open_stream(1)
    next(stream)
    parts = [next(stream) for _ in range(3)]
    assert parts[0] == parts[1] == parts[2]


def test_a_stream_sends_no_more_pictures_than_the_eye_needs(pictures):
    pictures.show(shown(0))
    stream = pictures.open_stream(1)
    next(stream)
    next(stream)
    pictures.show(shown(1))
    started = time.monotonic()
    next(stream)
    pictures.show(shown(2))
    next(stream)
    # The first may have waited for most of its time before.
    assert time.monotonic() - started >= 1.0 / mjpeg.MOST_FPS


def test_the_end_ends_a_stream_that_waits(pictures):
    pictures.show(shown(0))
    stream = pictures.open_stream(1)
    left = []
    thread = threading.Thread(target=lambda: left.extend(stream))
    thread.start()
    while len(left) < 2:
        time.sleep(0.01)
    pictures.close()
    thread.join(10.0)
    assert not thread.is_alive()
    assert pictures.open_stream(2) is None


def test_a_held_frame_is_found_until_others_were_held_after_it(pictures):
    for sequence in range(MOST_HELD + 1):
        pictures.show(shown(sequence))
        assert pictures.hold().sequence == sequence
    assert pictures.held(0) is None
    assert [pictures.held(sequence).sequence for sequence in range(1, MOST_HELD + 1)] == [1, 2, 3, 4]


def test_a_frame_that_nobody_held_is_not_found(pictures):
    pictures.show(shown(0))
    assert pictures.held(0) is None


def test_the_objects_boxes_are_drawn(pictures):
    from legoclf.jetson.locate import Box
    from legoclf.jetson.tracking import Track

    track = Track(1, Box(10, 12, 30, 20), "a", 0.9, 5, True, False)
    plain = decode_image(pictures.jpeg(shown(0)), "x")
    drawn = decode_image(pictures.jpeg(shown(1)._replace(tracks=[track], counts={"a": 1})), "x")
    assert np.abs(drawn[12:32, 10:40].astype(int) - plain[12:32, 10:40]).max() > 100


@pytest.mark.parametrize("without_opencv", [False, True])
def test_a_large_picture_is_reduced_for_the_page(without_opencv, monkeypatch):
    if without_opencv:
        pytest.importorskip("PIL", reason="Pillow stands in for OpenCV")
        monkeypatch.setitem(sys.modules, "cv2", None)
    image = np.full((1080, 1920, 3), RED, np.uint8)
    pixels = decode_image(encode_view(image), "x")
    assert pixels.shape == (540, 960, 3)
    assert np.abs(pixels.astype(int) - RED[::-1]).max() <= 6
