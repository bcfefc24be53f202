"""Thumbnails: as small as asked, in proportion, and placed in the middle."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from legoclf.retrain.thumbnails import place_centred, thumbnail


@pytest.mark.parametrize(("size", "shape"), [((80, 40), (16, 32, 3)), ((40, 80), (32, 16, 3))])
def test_the_longer_side_is_what_was_asked_for(
    tmp_path: Path, size: tuple[int, int], shape: tuple[int, ...]
) -> None:
    path = str(tmp_path / "photo.png")
    Image.new("RGB", size).save(path)
    small = thumbnail(path, 32)
    assert small is not None
    assert small.shape == shape


def test_an_image_that_is_small_already_stays_as_it_is(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    path = str(tmp_path / "photo.png")
    Image.fromarray(pixels).save(path)
    np.testing.assert_array_equal(thumbnail(path, 64), pixels)


def test_a_grey_image_has_three_channels(tmp_path: Path) -> None:
    path = str(tmp_path / "photo.png")
    Image.new("L", (30, 20), 90).save(path)
    small = thumbnail(path, 64)
    assert small is not None
    assert (small == 90).all()
    assert small.shape == (20, 30, 3)


@pytest.mark.parametrize("content", [None, b"no image"])
def test_a_file_that_cannot_be_read_has_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "photo.png"
    if content is not None:
        path.write_bytes(content)
    assert thumbnail(str(path), 32) is None


def test_it_is_placed_in_the_middle() -> None:
    canvas = np.zeros((5, 7, 3), np.uint8)
    place_centred(canvas, np.ones((1, 3, 3), np.uint8))
    expected = np.zeros((5, 7, 3), np.uint8)
    expected[2, 2:5] = 1
    np.testing.assert_array_equal(canvas, expected)
