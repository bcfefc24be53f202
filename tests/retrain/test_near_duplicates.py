"""Near-duplicates across the split: found where they are, and only there."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from legoclf.data.dataset import ImageItem
from legoclf.retrain.near_duplicates import NearDuplicates, near_duplicates


def picture(seed: int) -> Image.Image:
    """Some coarse pattern of its own, as an image of 128x96."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return coarse.resize((128, 96), Image.Resampling.BICUBIC)


def saved(image: Image.Image, path: Path, split: str, quality: int = 95) -> ImageItem:
    image.save(path, quality=quality)
    return ImageItem(str(path), path.name, 0, split)


def names(found: NearDuplicates) -> list[set[str]]:
    return [{pair.one.relative, pair.other.relative} for pair in found.pairs]


@pytest.fixture
def trained_on(tmp_path: Path) -> ImageItem:
    return saved(picture(1), tmp_path / "train.jpg", "train")


def test_other_images_are_no_duplicates(tmp_path: Path) -> None:
    items = [saved(picture(n), tmp_path / f"{n}.jpg", ("train", "test")[n % 2]) for n in range(40)]
    assert near_duplicates(items).pairs == []


@pytest.mark.parametrize("change", ["smaller", "worse", "brighter"])
def test_an_image_that_was_saved_again_is_found(change: str, trained_on: ImageItem, tmp_path: Path) -> None:
    image = picture(1)
    if change == "smaller":
        image = image.resize((64, 48))
    if change == "brighter":
        image = ImageEnhance.Brightness(image).enhance(1.1)
    test = saved(image, tmp_path / "test.jpg", "test", quality=40 if change == "worse" else 95)
    found = near_duplicates([trained_on, test])
    assert names(found) == [{"train.jpg", "test.jpg"}]
    assert not found.pairs[0].is_copy


def test_a_copy_of_a_file_is_named_as_one_and_comes_first(trained_on: ImageItem, tmp_path: Path) -> None:
    shutil.copy(trained_on.path, tmp_path / "z copy.jpg")
    copy = ImageItem(str(tmp_path / "z copy.jpg"), "z copy.jpg", 0, "test")
    again = saved(picture(1), tmp_path / "again.jpg", "test", quality=90)
    found = near_duplicates([trained_on, again, copy])
    assert names(found)[0] == {"train.jpg", "z copy.jpg"}
    assert [pair.is_copy for pair in found.pairs] == [True, False]


def test_of_one_set_they_do_no_harm(trained_on: ImageItem, tmp_path: Path) -> None:
    assert near_duplicates([trained_on, saved(picture(1), tmp_path / "2.jpg", "train")]).pairs == []


def test_the_same_shape_in_another_colour_is_another_image(tmp_path: Path) -> None:
    """In grey the two would be the same."""
    bright = np.zeros((64, 64, 3), np.uint8)
    bright[16:48, 16:48] = (200, 0, 0)
    grey = int(np.asarray(Image.fromarray(bright).convert("L"))[32, 32])
    other = np.zeros_like(bright)
    other[16:48, 16:48] = grey
    items = [
        saved(Image.fromarray(levels), tmp_path / f"{split}.png", split)
        for levels, split in ((bright, "train"), (other, "test"))
    ]
    assert near_duplicates(items).pairs == []


def test_images_of_one_colour_are_left_alone(tmp_path: Path) -> None:
    items = [
        saved(Image.new("RGB", (64, 64), (9, 9, 9)), tmp_path / f"{s}.png", s) for s in ("train", "test")
    ]
    assert near_duplicates(items).pairs == []


def test_an_image_that_is_gone_is_left_out(trained_on: ImageItem, tmp_path: Path) -> None:
    gone = ImageItem(str(tmp_path / "gone.jpg"), "gone.jpg", 0, "test")
    assert near_duplicates([trained_on, gone]).images == 1


def test_of_too_many_the_held_out_ones_are_kept(tmp_path: Path) -> None:
    items = [saved(picture(n), tmp_path / f"{n}.jpg", "train") for n in range(9)]
    items.append(saved(picture(8), tmp_path / "test.jpg", "test", quality=80))
    found = near_duplicates(items, most=4)
    assert found.images == 4
    assert names(near_duplicates(items, most=10)) == [{"8.jpg", "test.jpg"}]


def test_held_out_images_are_counted_once(trained_on: ImageItem, tmp_path: Path) -> None:
    more = [saved(picture(1), tmp_path / f"{n}.jpg", "train") for n in range(3)]
    test = saved(picture(1), tmp_path / "test.jpg", "test", quality=90)
    found = near_duplicates([trained_on, *more, test])
    assert (len(found.pairs), found.held_out) == (4, 1)
