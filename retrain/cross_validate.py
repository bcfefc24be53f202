"""K-fold cross-validation of heads: the honest figure for a small data set.

Every image is tested once, by a head that saw neither it nor its group. What a head chooses (its L2)
it chooses on images of its own, never on the tested ones.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from legoclf.errors import LegoclfError
from legoclf.retrain.heads import Features, Head
from legoclf.split import group_of, percentage_of

Trainer = Callable[[Features, Features], Head]

#: Of the images that a fold leaves for learning, one in so many validates: as `--validation_percentage` does.
VALIDATION_SHARE = 9


@dataclass(frozen=True)
class Sample:
    """One image: its path in the data set, its label, and its features float32 [views, D], plain first."""

    relative: str
    label: int
    rows: np.ndarray


@dataclass(frozen=True)
class Pooled:
    """Answers of one head over all folds: ``right`` bool [N], one an image."""

    head: str
    right: np.ndarray

    @property
    def accuracy(self) -> float:
        """Share of the images named right."""
        return float(self.right.mean())

    @property
    def standard_error(self) -> float:
        """Of the accuracy, as of a proportion: sqrt(p (1 - p) / N)."""
        return sqrt(self.accuracy * (1 - self.accuracy) / len(self.right))


def paired_difference(one: Pooled, other: Pooled) -> tuple[float, float]:
    """How much more accurate ``one`` is, and the standard error over the same images, as fractions."""
    difference = one.right.astype(np.float64) - other.right
    return float(difference.mean()), float(difference.std(ddof=1) / sqrt(len(difference)))


def folds_of(samples: Sequence[Sample], folds: int) -> np.ndarray:
    """The fold of each sample, int [N]: by the hash of its path, evenly within each class.

    Groups (equal up to ``_nohash_``) stay together. The order of the samples does not matter.

    Raises:
        LegoclfError: a class has fewer groups than folds.
    """
    groups = sorted({(sample.label, group_of(sample.relative)) for sample in samples}, key=_place)
    place: dict[tuple[int, str], int] = {}
    counted: dict[int, int] = {}
    for label, group in groups:
        place[label, group] = counted.get(label, 0) % folds
        counted[label] = counted.get(label, 0) + 1
    if counted and min(counted.values()) < folds:
        raise LegoclfError(
            f"--cross_validate {folds}: a class has only {min(counted.values())} image(s) or groups of them; "
            "use fewer folds, or add images"
        )
    return np.array([place[sample.label, group_of(sample.relative)] for sample in samples], np.int64)


@dataclass(frozen=True)
class Partition:
    """Which images a fold trains on, validates on and tests: bool [N] each, every image in one."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def partitions(samples: Sequence[Sample], folds: int) -> Iterator[Partition]:
    """A partition for each fold: it is tested, and of the others every ninth image of a class validates.

    Raises:
        LegoclfError: a class has fewer groups than folds.
    """
    fold = folds_of(samples, folds)
    for tested in range(folds):
        validates = _every_ninth(samples, fold != tested)
        yield Partition((fold != tested) & ~validates, validates, fold == tested)


def cross_validate(samples: Sequence[Sample], folds: int, trainers: dict[str, Trainer]) -> list[Pooled]:
    """Test each head on every fold, trained and validated on the others.

    Args:
        folds: K, at least 3.
        trainers: name of each head to how it is trained, from training and validation features.
    """
    right = {name: np.zeros(len(samples), bool) for name in trainers}
    for partition in partitions(samples, folds):
        test = features_of(where(samples, partition.test), views=1)
        validation = features_of(where(samples, partition.validation), views=1)
        train = features_of(where(samples, partition.train), views=None)
        for name, trainer in trainers.items():
            answers = trainer(train, validation).logits(test.rows).argmax(axis=1)
            right[name][partition.test] = answers == test.labels
    return [Pooled(name, answers) for name, answers in right.items()]


def out_of_fold_logits(samples: Sequence[Sample], folds: int, trainer: Trainer) -> np.ndarray:
    """What is said of each image, plain view, by a head trained on the other folds: float32 [N, C].

    Args:
        trainer: makes a head of training features; nothing validates.
    """
    fold = folds_of(samples, folds)
    logits: list[np.ndarray] = [np.zeros(0)] * len(samples)
    for tested in range(folds):
        train = features_of(where(samples, fold != tested), views=None)
        head = trainer(train, Features(train.rows[:0], train.labels[:0]))
        answers = head.logits(features_of(where(samples, fold == tested), views=1).rows)
        for index, answer in zip(np.flatnonzero(fold == tested).tolist(), answers, strict=True):
            logits[index] = answer
    return np.stack(logits)


def smallest_class(samples: Sequence[Sample]) -> int:
    """Images, or groups of them, that the smallest class has; 0 if there is no sample."""
    groups = {(sample.label, group_of(sample.relative)) for sample in samples}
    return min(Counter(label for label, _ in groups).values(), default=0)


def _every_ninth(samples: Sequence[Sample], among: np.ndarray) -> np.ndarray:
    """Every ninth group of each class among some samples, and one at least: bool [N]."""
    wanted: set[tuple[int, str]] = set()
    groups = {(sample.label, group_of(sample.relative)) for sample in where(samples, among)}
    for label in {label for label, _ in groups}:
        own = sorted((group for group in groups if group[0] == label), key=_place)
        wanted.update(own[min(VALIDATION_SHARE, len(own)) - 1 :: VALIDATION_SHARE])
    return among & np.array([(sample.label, group_of(sample.relative)) in wanted for sample in samples])


def _place(group: tuple[int, str]) -> tuple[int, float, str]:
    return group[0], percentage_of(group[1]), group[1]


def where(samples: Sequence[Sample], mask: np.ndarray) -> list[Sample]:
    """The samples at which a mask, bool [N], is true."""
    return [sample for sample, wanted in zip(samples, mask, strict=True) if wanted]


def features_of(samples: Sequence[Sample], views: int | None) -> Features:
    """Rows of samples, at least one, their first ``views`` each; None for all."""
    rows = [sample.rows[:views] for sample in samples]
    labels = [sample.label for sample, kept in zip(samples, rows, strict=True) for _ in kept]
    return Features(np.concatenate(rows), np.array(labels, np.int64))
