"""Classes of a data set that are kept from training, and offered afterwards as what was never seen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from legoclf.data.dataset import DataSet, ImageItem
from legoclf.errors import UsageError
from legoclf.split import TEST


@dataclass(frozen=True)
class Unknowns:
    """Images of classes that were left out: their names, and every image of them."""

    root: str
    labels: list[str]
    images: list[ImageItem]

    def as_data_set(self) -> DataSet:
        """A data set of them alone, all to be tested."""
        return DataSet(self.root, self.labels, self.images)


def set_apart(dataset: DataSet, names: Sequence[str]) -> tuple[DataSet, Unknowns]:
    """The data set without some of its classes, and those.

    Raises:
        UsageError: there is no such class, or fewer than two would be left.
    """
    missing = [name for name in names if name not in dataset.labels]
    if missing:
        raise UsageError(
            f"--unknown_classes {missing[0]}: there is no such class; there are {', '.join(dataset.labels)}"
        )
    labels = [label for label in dataset.labels if label not in names]
    if len(labels) < 2:
        raise UsageError(
            f"--unknown_classes: {len(labels)} class(es) would be left to train on, not 2 or more"
        )
    unknown = sorted(set(names))
    known_images = _of_labels(dataset, labels)
    unknown_images = [replace(image, split=TEST) for image in _of_labels(dataset, unknown)]
    return replace(dataset, labels=labels, images=known_images), Unknowns(
        dataset.root, unknown, unknown_images
    )


def _of_labels(dataset: DataSet, labels: list[str]) -> list[ImageItem]:
    """The images of some labels, which they count from."""
    place = {dataset.labels.index(label): index for index, label in enumerate(labels)}
    return [
        replace(image, label_index=place[image.label_index])
        for image in dataset.images
        if image.label_index in place
    ]
