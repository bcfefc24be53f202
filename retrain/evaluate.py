"""What a trained head does on held-out images: accuracy with its interval, per class, mistakes."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from legoclf.retrain.heads import accuracy_and_cross_entropy, softmax


@dataclass(frozen=True)
class ClassFigures:
    """One class: fractions, and the images it has in the set. None where there is nothing to divide by.

    f1: harmonic mean of recall and precision, 0 if the class is never named; None without an image.
    """

    label: str
    images: int
    recall: float | None
    precision: float | None
    f1: float | None


@dataclass(frozen=True)
class Mistake:
    """One image named wrong: its path in the data set, how likely the wrong name was, and the true one."""

    path: str
    truth: str
    predicted: str
    probability: float
    truth_probability: float


@dataclass(frozen=True)
class Report:
    """Figures of one held-out set.

    confusion: int [C, C], rows are the truth, columns the prediction. interval: Wilson's 95 % interval
    of the accuracy. cross_entropy: mean, in nats. logits: float32 [N, C], truth: int [N], paths: of the
    N images, relative to the data set.
    """

    labels: list[str]
    images: int
    right: int
    cross_entropy: float
    confusion: np.ndarray
    per_class: list[ClassFigures]
    mistakes: list[Mistake]
    logits: np.ndarray
    truth: np.ndarray
    paths: list[str]

    @property
    def accuracy(self) -> float:
        """Share of the images named right."""
        return self.right / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy."""
        return wilson_interval(self.right, self.images)


def wilson_interval(right: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a proportion (E. B. Wilson, 1927); z = 1.96 makes it the 95 % one."""
    share = right / total
    centre = share + z * z / (2 * total)
    half = z * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def evaluate(
    logits: np.ndarray, truth: np.ndarray, paths: Sequence[str], labels: Sequence[str]
) -> Report | None:
    """Compare logits with the truth.

    Args:
        logits: float32 [N, C].
        truth: int [N], indices into the labels.
        paths: of the N images, relative to the data set.

    Returns:
        the figures; None if the set is empty.
    """
    if not len(truth):
        return None
    predicted = logits.argmax(axis=1)
    probabilities = softmax(logits)
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(confusion, (truth, predicted), 1)
    return Report(
        labels=list(labels),
        images=len(truth),
        right=int(np.trace(confusion)),
        cross_entropy=accuracy_and_cross_entropy(logits, truth)[1],
        confusion=confusion,
        per_class=[_class_figures(confusion, index, label) for index, label in enumerate(labels)],
        mistakes=[
            Mistake(
                paths[i],
                labels[truth[i]],
                labels[predicted[i]],
                float(probabilities[i, predicted[i]]),
                float(probabilities[i, truth[i]]),
            )
            for i in np.flatnonzero(predicted != truth).tolist()
        ],
        logits=logits,
        truth=truth,
        paths=list(paths),
    )


def _class_figures(confusion: np.ndarray, index: int, label: str) -> ClassFigures:
    right = int(confusion[index, index])
    images, named = int(confusion[index].sum()), int(confusion[:, index].sum())
    return ClassFigures(
        label,
        images,
        recall=right / images if images else None,
        precision=right / named if named else None,
        f1=2 * right / (images + named) if images else None,
    )
