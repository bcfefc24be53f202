"""Near-duplicates across the split: found where they are, and only there."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from legoclf.data.dataset import ImageItem
from legoclf.retrain.near_duplicates import SAME_FROM, NearDuplicates, near_duplicates


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


def test_another_file_of_the_same_size_is_no_copy(trained_on: ImageItem, tmp_path: Path) -> None:
    """What stands behind the end of a JPEG is no pixel."""
    content = Path(trained_on.path).read_bytes()
    for name, end in (("train.jpg", b"1"), ("test.jpg", b"2")):
        (tmp_path / name).write_bytes(content + end)
    found = near_duplicates([trained_on, ImageItem(str(tmp_path / "test.jpg"), "test.jpg", 0, "test")])
    assert [pair.is_copy for pair in found.pairs] == [False]


def test_the_pairs_are_those_of_all_with_all(tmp_path: Path) -> None:
    """Pictures with noise of all strengths, coarse and fine, so that many pairs lie near the bound."""
    random = np.random.default_rng(0)
    base = np.asarray(picture(1).resize((64, 64)), np.float64)
    levels = []
    for number in range(300):
        step = (1, 4, 16)[number % 3]
        noise = random.normal(0, random.uniform(0, 30), (64 // step, 64 // step, 3))
        noise = noise.repeat(step, axis=0).repeat(step, axis=1)
        levels.append((base + noise).clip(0, 255).astype(np.uint8))
    items = [
        saved(Image.fromarray(image), tmp_path / f"{number:03d}.png", ("train", "test")[number % 2])
        for number, image in enumerate(levels)
    ]
    boxes = [Image.fromarray(image).resize((16, 16), Image.Resampling.BOX) for image in levels]
    likeness = np.corrcoef([np.asarray(box, np.float64).ravel() for box in boxes])
    expected = {
        frozenset((f"{i:03d}.png", f"{j:03d}.png"))
        for i, j in np.argwhere(likeness >= SAME_FROM).tolist()
        if i % 2 != j % 2
    }
    assert 1000 < len(expected) < 20_000
    assert {frozenset(pair) for pair in names(near_duplicates(items))} == expected


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
