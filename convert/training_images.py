"""A few images of a data set, spread over its classes, to measure a conversion on."""

from __future__ import annotations

import logging

import numpy as np

from legoclf.bundle import Bundle
from legoclf.data.dataset import DataSet, ImageItem
from legoclf.data.folder import scan_folder
from legoclf.errors import ImageError, LegoclfError
from legoclf.golden import read_golden
from legoclf.image import read_image
from legoclf.preprocess import fastest_fit, preprocess
from legoclf.recorded_split import recorded_split
from legoclf.split import TRAIN

LOGGER = logging.getLogger(__name__)


def training_tensors(bundle: Bundle, image_dir: str | None, count: int) -> list[np.ndarray]:
    """Up to ``count`` training images as the bundle's contract makes them, float32 [3, H, W] each.

    Without a data set the golden images must do, which is said: they are few, and of the test set.

    Raises:
        LegoclfError: the data set has no training image that can be read.
    """
    if image_dir is None:
        LOGGER.info("no --image_dir: FP16 is planned on the bundle's golden images alone")
        return list(read_golden(bundle).tensors)
    dataset = scan_folder(image_dir, **recorded_split(bundle))
    fit = fastest_fit()
    return [preprocess(image, bundle.contract, fit) for image in _read(dataset, count)]


def read_some(image_dir: str, count: int) -> list[np.ndarray]:
    """Up to ``count`` images of a data set, of different classes first; uint8 [H, W, 3] each, RGB."""
    return _read(scan_folder(image_dir), count)


def _read(dataset: DataSet, count: int) -> list[np.ndarray]:
    images: list[np.ndarray] = []
    for item in _by_turns(dataset):
        if len(images) == count:
            break
        try:
            images.append(read_image(item.path))
        except ImageError as error:
            LOGGER.warning("skipped: %s", error)
    if not images:
        raise LegoclfError(f"{dataset.root}: holds no training image that can be read")
    return images


def _by_turns(dataset: DataSet) -> list[ImageItem]:
    """The training images, one of each class, then the next of each."""
    place: dict[int, int] = {}
    keyed = []
    for item in dataset.by_split(TRAIN):
        turn = place.get(item.label_index, 0)
        place[item.label_index] = turn + 1
        keyed.append((turn, item.label_index, item))
    return [item for _, _, item in sorted(keyed, key=lambda each: each[:2])]
