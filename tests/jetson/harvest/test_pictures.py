"""Which pictures are blurred, and which show the same."""

import sys

import numpy as np
import pytest

from legoclf.jetson.harvest.pictures import (
    LEAST_SIDE,
    SHARPNESS_LEAST_FRAMES,
    SHARPNESS_SECONDS,
    Recent,
    SharpnessGate,
    fingerprint,
    reduce_picture,
    sharpness,
)


def seen(picture):
    return fingerprint(reduce_picture(picture))


def are_near(one, other):
    recent = Recent(1)
    recent.add(seen(one))
    return recent.has_near(seen(other))


def smeared(picture, pixels):
    """What a camera sees that moves sideways by so many pixels."""
    moved = [np.roll(picture, step, axis=1).astype(np.float64) for step in range(pixels)]
    return (sum(moved) / pixels).astype(np.uint8)


def noisy(picture, levels, seed=1):
    noise = np.random.RandomState(seed).normal(0, levels, picture.shape)
    return (picture + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(480, 640), (720, 1280), (487, 641)])
def test_opencv_and_numpy_reduce_alike(size, scene, monkeypatch):
    pytest.importorskip("cv2")
    picture = noisy(scene(1, *size), 20)
    by_opencv = reduce_picture(picture)
    monkeypatch.setitem(sys.modules, "cv2", None)
    by_numpy = reduce_picture(picture)
    assert by_opencv.shape == by_numpy.shape
    # Both are the mean of the same block; they round its half differently.
    assert np.abs(by_opencv.astype(int) - by_numpy).max() <= 1


def test_a_picture_is_reduced_to_the_least_side_or_a_little_more():
    assert min(reduce_picture(np.zeros((1080, 1920, 3), np.uint8)).shape[:2]) == LEAST_SIDE
    assert reduce_picture(np.zeros((239, 300, 3), np.uint8)).shape == (239, 300, 3)


@pytest.mark.parametrize("shape", [(1, 1), (4, 6), (9, 9), (3, 700)])
def test_a_tiny_picture_has_a_fingerprint_and_a_sharpness(shape):
    picture = np.zeros((*shape, 3), np.uint8)
    assert are_near(picture, picture)
    assert sharpness(reduce_picture(picture)) == 0


def test_noise_does_not_make_another_picture(scene):
    # 8 levels are a webcam in a dim room.
    for number in range(10):
        assert are_near(noisy(scene(number), 8, 1), noisy(scene(number), 8, 2))


def test_what_moves_by_a_twentieth_of_the_width_makes_another_picture(scene):
    assert not any(are_near(scene(number), scene(number, shift=16)) for number in range(10))


def test_other_scenes_are_other_pictures(scene):
    pictures = [scene(number) for number in range(20)]
    assert not any(
        are_near(one, other) for index, one in enumerate(pictures) for other in pictures[index + 1 :]
    )


def test_another_colour_of_the_same_grey_makes_another_picture():
    # Both have a luma of 76 of 255, which alone the difference hash sees.
    red, blue = np.zeros((120, 160, 3), np.uint8), np.zeros((120, 160, 3), np.uint8)
    red[:, :, 2], blue[:, :, 0], blue[:, :, 1] = 253, 130, 104
    assert not are_near(red, blue)


def test_the_oldest_picture_is_forgotten_where_there_is_no_room(scene):
    recent = Recent(3)
    for number in range(4):
        recent.add(seen(scene(number)))
    assert [recent.has_near(seen(scene(number))) for number in range(4)] == [False, True, True, True]


def test_motion_shows_as_a_drop_of_sharpness(scene):
    # Edges along the motion stay as they are: sideways, of boxes, about half.
    for number in range(4):
        picture = scene(number, 480, 640)
        sharp, blurred = (
            sharpness(reduce_picture(noisy(each, 2))) for each in (picture, smeared(picture, 20))
        )
        assert blurred < 0.75 * sharp


def test_a_frame_is_blurred_by_the_median_of_the_last_seconds():
    gate = SharpnessGate(0.5)
    for index, value in enumerate([80, 100, 100, 120, 5]):
        gate.add(index * 0.1, value)
    assert gate.least == 50


def test_there_is_no_bound_before_enough_frames_are_known():
    gate = SharpnessGate(0.5)
    for index in range(SHARPNESS_LEAST_FRAMES - 1):
        gate.add(index * 0.1, 100)
    assert gate.least is None


def test_frames_of_another_time_do_not_count():
    gate = SharpnessGate(0.5)
    for index in range(10):
        gate.add(index * 0.1, 100)
    gate.add(10 + SHARPNESS_SECONDS, 1)
    assert gate.least is None


def test_a_share_of_nothing_takes_all():
    gate = SharpnessGate(0.0)
    for index in range(10):
        gate.add(index * 0.1, 100)
    assert gate.least is None
