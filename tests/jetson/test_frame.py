"""Frames of every format have the size they say, and the colours that OpenCV gives them."""

import numpy as np
import pytest

from legoclf.errors import LegoclfError
from legoclf.jetson import frame as frames
from legoclf.jetson.frame import PIXEL_FORMATS, Frame, image_shape, to_bgr


def random_frame(pixel_format, height=48, width=64):
    image = np.random.RandomState(1).randint(0, 256, image_shape(pixel_format, height, width))
    return Frame(image.astype(np.uint8), pixel_format, 0, 0.0)


@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
def test_a_frame_knows_the_size_of_its_picture(pixel_format):
    frame = random_frame(pixel_format)
    assert (frame.height, frame.width) == (48, 64)


@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
def test_every_format_becomes_bgr_of_the_same_size(pixel_format):
    bgr = to_bgr(random_frame(pixel_format))
    assert (bgr.shape, bgr.dtype) == ((48, 64, 3), np.uint8)


@pytest.mark.parametrize(
    ("pixel_format", "convert"),
    [("BGRx", frames.bgrx_to_bgr), ("NV12", frames.nv12_to_bgr), ("YUYV", frames.yuyv_to_bgr)],
)
def test_without_opencv_the_colours_are_the_same(pixel_format, convert):
    pytest.importorskip("cv2")
    frame = random_frame(pixel_format)
    # One level: OpenCV's vector paths round in 16 bits.
    difference = np.abs(convert(frame.image).astype(int) - to_bgr(frame).astype(int))
    assert difference.max() <= 1


@pytest.mark.parametrize("pixel_format", ["NV12", "YUYV"])
@pytest.mark.parametrize(
    ("yuv", "bgr"),
    [((16, 128, 128), (0, 0, 0)), ((235, 128, 128), (255, 255, 255)), ((81, 90, 240), (0, 0, 254))],
)
def test_black_white_and_red_of_bt601_are_so(pixel_format, yuv, bgr):
    y, u, v = yuv
    if pixel_format == "NV12":
        image = np.array([[y, y], [y, y], [u, v]], np.uint8)
    else:
        image = np.array([[[y, u], [y, v]]], np.uint8)
    convert = frames.nv12_to_bgr if pixel_format == "NV12" else frames.yuyv_to_bgr
    assert np.abs(convert(image).astype(int) - np.array(bgr)).max() <= 1


def test_a_format_that_halves_a_side_needs_it_even():
    with pytest.raises(LegoclfError, match="a NV12 frame of 64x47: its width and height must be even"):
        image_shape("NV12", 47, 64)


def test_an_unknown_format_is_named():
    with pytest.raises(LegoclfError, match="pixel format RGB: expected one of BGR, BGRx, NV12, YUYV"):
        image_shape("RGB", 48, 64)
