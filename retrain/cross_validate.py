"""K-fold cross-validation of heads: the honest figure for a small data set.

Every image is tested once, by a head that saw neither it nor its group. What a head chooses (its L2)
it chooses on a fold of its own, never on the tested one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from legoclf.errors import LegoclfError
from legoclf.retrain.heads import Features, Head
from legoclf.split import group_of, percentage_of

Trainer = Callable[[Features, Features], Head]


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


def cross_validate(samples: Sequence[Sample], folds: int, trainers: dict[str, Trainer]) -> list[Pooled]:
    """Test each head on every fold, validated on the next fold and trained on the others.

    Args:
        folds: K, at least 3.
        trainers: name of each head to how it is trained, from training and validation features.
    """
    fold = folds_of(samples, folds)
    right = {name: np.zeros(len(samples), bool) for name in trainers}
    for tested in range(folds):
        held_out = (tested + 1) % folds
        chosen = fold == tested
        test = _features(_where(samples, chosen), views=1)
        validation = _features(_where(samples, fold == held_out), views=1)
        train = _features(_where(samples, ~chosen & (fold != held_out)), views=None)
        for name, trainer in trainers.items():
            answers = trainer(train, validation).logits(test.rows).argmax(axis=1)
            right[name][chosen] = answers == test.labels
    return [Pooled(name, answers) for name, answers in right.items()]


def _place(group: tuple[int, str]) -> tuple[int, float, str]:
    return group[0], percentage_of(group[1]), group[1]


def _where(samples: Sequence[Sample], mask: np.ndarray) -> list[Sample]:
    return [sample for sample, wanted in zip(samples, mask, strict=True) if wanted]


def _features(samples: Sequence[Sample], views: int | None) -> Features:
    """Rows of samples, their first ``views`` each; None for all."""
    rows = [sample.rows[:views] for sample in samples]
    labels = [sample.label for sample, kept in zip(samples, rows, strict=True) for _ in kept]
    return Features(np.concatenate(rows), np.array(labels, np.int64))
