"""The images of a data set that a bundle was not trained on, with their classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from legoclf.bundle import Bundle
from legoclf.contract import InputContract
from legoclf.data.dataset import DataSet
from legoclf.data.folder import scan_folder
from legoclf.data.layout import some
from legoclf.errors import ImageError, LegoclfError
from legoclf.image import read_image
from legoclf.preprocess import fastest_fit, preprocess
from legoclf.recorded_split import recorded_split
from legoclf.split import clean_label


@dataclass
class HeldOutImages:
    """Images and the index of each one's class among the bundle's labels, None where it is none of them.

    notes: what to know about the choice. skipped: the images that could not be read, when all were asked for.
    """

    contract: InputContract
    items: list[tuple[str, int | None]]
    notes: list[str] = field(default_factory=list)
    skipped: list[ImageError] = field(default_factory=list)

    def examples(self) -> Iterator[tuple[np.ndarray, int | None]]:
        """Each image as the contract makes it, float32 [3, H, W], and its class; one at a time."""
        fit = fastest_fit()
        for path, truth in self.items:
            try:
                yield preprocess(read_image(path), self.contract, fit), truth
            except ImageError as error:
                self.skipped.append(error)


def held_out_images(bundle: Bundle, image_dir: str, split: str = "test") -> HeldOutImages:
    """The images to judge a bundle on.

    Args:
        bundle: with the settings of its split in ``provenance.data_set``; without them every image is taken.
        image_dir: a folder of class folders.
        split: ``test`` or ``all``.

    Raises:
        LegoclfError: there is no such image, or no class folder bears a label of the bundle.
    """
    how = recorded_split(bundle)
    known = bool(how)
    dataset = scan_folder(image_dir, **how)
    notes = []
    if not known:
        notes.append(
            f"the bundle does not tell how its data set was split: all {len(dataset.images)} images of "
            f"{image_dir} count as held out; where it was trained on some of them, the accuracy is too good"
        )
    items = dataset.by_split("test") if known and split == "test" else dataset.images
    if not items:
        raise LegoclfError(f"{image_dir}: has no test image; use --split all")
    classes, unknown = _classes(bundle, dataset)
    if unknown:
        notes.append(
            f"no label of the bundle: {some(map(repr, unknown))}; their images count for no accuracy"
        )
    return HeldOutImages(bundle.contract, [(item.path, classes[item.label_index]) for item in items], notes)


def _classes(bundle: Bundle, dataset: DataSet) -> tuple[list[int | None], list[str]]:
    """For each label of the data set its place among the bundle's; and those that have none."""
    places = {label: place for place, label in enumerate(bundle.labels)}
    classes = [places.get(label, places.get(clean_label(label))) for label in dataset.labels]
    unknown = [label for label, place in zip(dataset.labels, classes, strict=True) if place is None]
    if len(unknown) == len(classes):
        raise LegoclfError(
            f"{dataset.root}: no class folder bears a label of {bundle.path} "
            f"(folders {some(map(repr, unknown))}; labels {some(map(repr, bundle.labels))}): "
            "name the folder that holds the class folders of this bundle's data set"
        )
    return classes, unknown
