"""Batches: the same for the same seed, whole, and as the contract has the images."""

from pathlib import Path

import numpy as np
import pytest
from small_images import batches_of, write_digits, write_stripes

from legoclf.image import read_image
from legoclf.preprocess import fastest_fit, preprocess
from legoclf.retrain.augment import Augmentation


def test_plain_batches_are_what_preprocessing_gives(tmp_path: Path) -> None:
    items = write_stripes(tmp_path, 5, 40)
    with batches_of(items, 28) as batches:
        images = np.concatenate([batch.images for batch in batches.plain(4)])
    for image, item in zip(images, items, strict=True):
        expected = preprocess(read_image(item.path), batches.contract, fastest_fit())
        np.testing.assert_array_equal(image, expected.transpose(1, 2, 0))


@pytest.mark.parametrize("augmentation", [Augmentation(), Augmentation(random_crop=20, random_brightness=10)])
def test_an_epoch_is_the_same_for_the_same_seed_and_no_other(
    augmentation: Augmentation, tmp_path: Path
) -> None:
    items = write_digits(tmp_path, 4, classes=4)
    with batches_of(items, 28, augmentation=augmentation) as batches:
        first, again, other = (next(batches.epoch(number)) for number in (0, 0, 1))
    np.testing.assert_array_equal(first.images, again.images)
    assert not np.array_equal(first.images, other.images)


def test_without_balancing_an_epoch_takes_each_image_once(tmp_path: Path) -> None:
    items = write_digits(tmp_path, 4, classes=4)
    with batches_of(items, 28, 8) as batches:
        labels = np.concatenate([batch.labels for batch in batches.epoch(0)])
    assert np.bincount(labels).tolist() == [4, 4, 4, 4]


def test_weights_make_classes_count_alike(tmp_path: Path) -> None:
    items = write_digits(tmp_path, 8, classes=2)[:12]
    with batches_of(items, 28, 12, balance="weight") as batches:
        batch = next(batches.epoch(0))
    sums = [batch.weights[batch.labels == label].sum() for label in (0, 1)]
    assert sums == pytest.approx([6, 6])


def test_workers_share_a_batch(tmp_path: Path) -> None:
    items = write_digits(tmp_path, 4, classes=4)
    with batches_of(items, 28, 8) as batches:
        whole = next(batches.epoch(0))
        shares = [next(batches.epoch(0, worker, 2)) for worker in (0, 1)]
    np.testing.assert_array_equal(np.concatenate([share.images for share in shares]), whole.images)
