"""What all contenders of the training benchmark train on, and how they take turns."""

import gc
import logging
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from legoclf.benchmarks.device.clock import settled_garbage
from legoclf.benchmarks.device.result import Series
from legoclf.benchmarks.extraction import DISTORTIONS
from legoclf.contract import unit_range_contract
from legoclf.data.folder import DataSet, ImageItem
from legoclf.errors import LegoclfError
from legoclf.retrain.cross_validate import Pooled
from legoclf.retrain.feature_vector import FeatureVector
from legoclf.retrain.features import extract_features, gather
from legoclf.retrain.heads import Features
from legoclf.retrain.settings import Settings
from legoclf.split import SPLITS, TRAIN, VALIDATION

#: Name of a series to its unit and one sample.
Samples = dict[str, tuple[str, float]]


@dataclass(frozen=True)
class Task:
    """What is trained on what.

    features: by split, as legoclf has extracted them; training rows hold all ``views`` views of an image.
    """

    vector: FeatureVector
    dataset: DataSet
    views: int
    features: dict[str, Features]

    @property
    def classes(self) -> int:
        """How many."""
        return len(self.dataset.labels)

    def items(self, split: str) -> list[ImageItem]:
        """The images of one set."""
        return self.dataset.by_split(split)

    @property
    def passes(self) -> int:
        """Through the network, to have all features."""
        return sum(len(features) for features in self.features.values())

    @property
    def learnt_from(self) -> int:
        """Images that a head is fitted on or chosen by."""
        return len(self.items(TRAIN)) + len(self.items(VALIDATION))


class Contender(ABC):
    """One who takes turns.

    note: what the figures mean, a line for people.
    """

    note = ""

    @abstractmethod
    def turn(self) -> Samples:
        """Do the work of one turn."""

    def answers(self) -> Pooled | None:
        """After the turns: which test images it names right; None if that is not its matter."""
        return None


def take_turns(contenders: Sequence[Contender], rounds: int) -> list[Series]:
    """Each in its turn, so often; a sample a turn."""
    units: dict[str, str] = {}
    turns: dict[str, list[list[float]]] = {}
    with settled_garbage():
        for _ in range(rounds):
            for contender in contenders:
                gc.collect()
                for name, (unit, sample) in contender.turn().items():
                    units[name] = unit
                    turns.setdefault(name, []).append([sample])
    return [Series(name, units[name], each) for name, each in turns.items()]


def extract(
    vector: FeatureVector, dataset: DataSet, views: int, scratch: Path
) -> tuple[DataSet, dict[str, Features]]:
    """As `legoclf retrain` does with all four distortions: features by split, and the images that decode."""
    contract = unit_range_contract(vector.width, vector.height)
    settings = Settings(
        dataset.root,
        scratch / "unused.bundle",
        augmentation=DISTORTIONS,
        cache_views=views,
        bottleneck_dir=scratch,
    )
    dataset, rows = extract_features(dataset, vector, contract, settings)
    return dataset, {split: gather(dataset.images, rows, split) for split in SPLITS}


def prepare(vector: FeatureVector, dataset: DataSet, views: int) -> Task:
    """Extract the features that all heads learn from: the untimed first round of legoclf."""
    with tempfile.TemporaryDirectory() as scratch:
        dataset, features = extract(vector, dataset, views, Path(scratch))
    return Task(vector, dataset, views, features)


def some_images(dataset: DataSet, most: int) -> DataSet:
    """The same share of each class and set, at least one image of each there is."""
    share = min(1.0, most / max(1, len(dataset.images)))
    groups: dict[tuple[int, str], list[ImageItem]] = {}
    for item in dataset.images:
        groups.setdefault((item.label_index, item.split), []).append(item)
    kept = {item for group in groups.values() for item in group[: max(1, round(share * len(group)))]}
    return replace(dataset, images=[item for item in dataset.images if item in kept])


def pooled(name: str, scores: np.ndarray, labels: np.ndarray) -> Pooled:
    """Answers by the largest of the scores [N, C]."""
    return Pooled(name, scores.argmax(axis=1) == labels)


def check_tensorflow_decodes(task: Task) -> None:
    """Refuse data sets with images that TensorFlow does not decode.

    Raises:
        LegoclfError: there are some.
    """
    if any(item.path.lower().endswith(".webp") for item in task.dataset.images):
        raise LegoclfError("TensorFlow decodes no WebP, and the data set has some")


@contextmanager
def without_progress() -> Iterator[None]:
    """Leave the lines of a training run unsaid: it is one of many."""
    logger = logging.getLogger("legoclf")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
