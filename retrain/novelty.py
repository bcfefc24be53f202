"""Telling what was never trained on: a measure of strangeness for the graphs, and its threshold.

Two measures compete, by how well they tell classes left out of the training from those left in: the energy
of the logits, and a distance in feature space (:mod:`legoclf.retrain.distance`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from legoclf.convert.novelty import Novelty
from legoclf.novelty import NoveltyRule
from legoclf.retrain.cross_validate import (
    Sample,
    features_of,
    folds_of,
    out_of_fold_logits,
    smallest_class,
    where,
)
from legoclf.retrain.distance import distances_left_out, fit_distance, weighted
from legoclf.retrain.heads import Features, Head, softmax
from legoclf.retrain.lbfgs import L2_WITHOUT_VALIDATION, train_lbfgs

#: How much what lies off the subspace that training images fill counts, against the distance within: tried
#: where classes can be left out. On 800 photos of 20 parts the AUROC against 5 others rose by it from 0.82
#: to 0.89 with two classes, from 0.90 to 0.91 with five.
RESIDUAL_WEIGHTS = (0.0, 1.0, 3.0)
_FOR_FEW_CLASSES = 3.0

#: Classes from which on some are left out to choose by, and into how many parts they are divided.
_LEAST_CLASSES, _PARTS = 5, 5

#: Folds that the energy's threshold is taken from: heads are trained without each.
_FOLDS = 10

#: Samples that are looked at: of more, the covariance is no better known.
MOST_SAMPLES = 10_000

#: Name of what the measures are compared with.
PROBABILITY = "largest probability"


@dataclass(frozen=True)
class Fitted:
    """A measure and its rule, and what speaks for it.

    images: known ones that the threshold was taken from, none of which the measure had seen.
    auroc: mean area under the ROC over classes left out, by measure, and of 1 less the largest probability;
        empty where there were too few classes to leave any out.
    """

    novelty: Novelty
    rule: NoveltyRule
    images: int
    auroc: dict[str, float]


@dataclass(frozen=True)
class MeasuredNovelty:
    """A measure, and what it does.

    test_refused: share of the test images that are refused; None without such. The others are of classes
    left out of the training: their names, how many images, the share refused, and the area under the ROC
    between test images and them, by the measure and by 1 less the largest probability.
    """

    fitted: Fitted
    test_refused: float | None
    unknown_labels: tuple[str, ...] = ()
    unknown_images: int = 0
    unknown_refused: float | None = None
    auroc: float | None = None
    auroc_of_probability: float | None = None

    def as_json(self) -> dict[str, object]:
        """The figures for the bundle."""
        record: dict[str, object] = {
            "images": self.fitted.images,
            "auroc_of_classes_left_out": self.fitted.auroc,
            "test_refused": self.test_refused,
        }
        if self.unknown_labels:
            record["unknown"] = {
                "labels": list(self.unknown_labels),
                "images": self.unknown_images,
                "refused": self.unknown_refused,
                "auroc": self.auroc,
                "auroc_of_largest_probability": self.auroc_of_probability,
            }
        return record


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """Probability that something unknown is stranger than something known: area under the ROC.

    Args:
        known, unknown: float [N] and [M], larger is stranger; ties count half.
    """
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([known, unknown]))[len(known) :]
    return float((ranks.sum() - len(unknown) * (len(unknown) + 1) / 2) / (len(known) * len(unknown)))


def fit_novelty(
    samples: Sequence[Sample],
    held_out: Features,
    head: Head,
    classes: int,
    rate: float,
    learnt: bool = False,
) -> Fitted:
    """Choose a measure, fit it on all samples, and find the threshold that refuses a share of known images.

    Args:
        samples: with features of images that were learnt from, the plain view first.
        held_out: of validation images, where the network itself learnt from the samples.
        head: on these features, with the temperature in it: the energy is of its logits.
        rate: the share that may be refused.
        learnt: the network learnt from the samples: its features of them are no measure of others.
    """
    samples = _some(samples)
    l2 = head.how.get("l2", L2_WITHOUT_VALIDATION)
    assert isinstance(l2, float)
    scores = _left_out(samples, classes, l2)
    best = max((name for name in scores if name != PROBABILITY), key=lambda name: scores[name], default=None)
    kind, weight = _measure_of(best)
    plain = features_of(samples, views=1)
    novelty = Novelty("energy")
    if kind == "distance":
        novelty = weighted(fit_distance(plain.rows, plain.labels), weight)
    if learnt and len(held_out):
        known = novelty.of(held_out.rows, head.logits(held_out.rows))
    elif smallest_class(samples) < 2:
        known = novelty.of(plain.rows, head.logits(plain.rows))
    elif kind == "distance":
        known = distances_left_out(plain.rows, plain.labels, novelty)
    elif learnt:  # and heads trained anew on features that know the images tell no more
        known = novelty.of(plain.rows, head.logits(plain.rows))
    else:
        known = novelty.of(plain.rows, _logits_left_out(samples, head, classes, l2))
    return Fitted(novelty, NoveltyRule(kind, threshold_of(known, rate), rate), len(known), scores)


def measure_novelty(
    fitted: Fitted, head: Head, test: np.ndarray, unknown: np.ndarray | None, labels: Sequence[str]
) -> MeasuredNovelty:
    """What a measure does to test images, and to images of classes that were left out.

    Args:
        test, unknown: features float32 [N, D]; None where no class was left out.
        labels: the names of those.
    """
    known = fitted.novelty.of(test, head.logits(test))
    refused = float(fitted.rule.is_novel(known).mean()) if len(known) else None
    measured = MeasuredNovelty(fitted, refused)
    if unknown is None or not len(known):
        return measured
    strange = fitted.novelty.of(unknown, head.logits(unknown))
    doubt = [1 - softmax(head.logits(rows)).max(axis=1) for rows in (test, unknown)]
    return replace(
        measured,
        unknown_labels=tuple(labels),
        unknown_images=len(unknown),
        unknown_refused=float(fitted.rule.is_novel(strange).mean()),
        auroc=auroc(known, strange),
        auroc_of_probability=auroc(*doubt),
    )


def threshold_of(known: np.ndarray, rate: float) -> float:
    """What a share of ``rate`` of known images exceeds: their quantile, float [N] larger being stranger.

    As split conformal prediction has it (Vovk et al., 2005): the ceil((N + 1) (1 - rate))-th smallest,
    so that another image of their like exceeds it with a probability of ``rate`` at most.
    """
    place = min(len(known), int(np.ceil((len(known) + 1) * (1 - rate))))
    return float(np.sort(known)[place - 1])


def _some(samples: Sequence[Sample]) -> Sequence[Sample]:
    """At most MOST_SAMPLES, evenly over all."""
    if len(samples) <= MOST_SAMPLES:
        return samples
    return [samples[index] for index in np.linspace(0, len(samples) - 1, MOST_SAMPLES).astype(int).tolist()]


def _name(weight: float) -> str:
    return f"distance, residual {weight:g}"


def _measure_of(name: str | None) -> tuple[str, float]:
    """The kind and the weight of the residual of a name of _left_out; None stands for too few classes."""
    if name is None:
        return "distance", _FOR_FEW_CLASSES
    if name == "energy":
        return name, 0.0
    return "distance", next(weight for weight in RESIDUAL_WEIGHTS if _name(weight) == name)


def _left_out(samples: Sequence[Sample], classes: int, l2: float) -> dict[str, float]:
    """Mean AUROC by measure, some classes being left out in turn; empty for few classes or images."""
    if classes < _LEAST_CLASSES or smallest_class(samples) < 3:
        return {}
    random = np.random.default_rng(classes)
    parts = np.array_split(random.permutation(classes), _PARTS)
    fold = folds_of(samples, 3)
    found: dict[str, list[float]] = {}
    for number, part in enumerate(parts):
        is_known = np.array([sample.label not in part for sample in samples])
        kept = is_known & (fold != number % 3)
        train = _renumbered(features_of(where(samples, kept), views=1))
        tested = [features_of(where(samples, mask), views=1).rows for mask in (is_known & ~kept, ~is_known)]
        head = train_lbfgs(train, Features(train.rows[:0], train.labels[:0]), classes - len(part), l2=l2)
        logits = [head.logits(rows) for rows in tested]
        found.setdefault(PROBABILITY, []).append(auroc(*(1 - softmax(each).max(axis=1) for each in logits)))
        distance = fit_distance(train.rows, train.labels)
        measures = {_name(weight): weighted(distance, weight) for weight in RESIDUAL_WEIGHTS}
        measures["energy"] = Novelty("energy")
        for name, novelty in measures.items():
            said = [novelty.of(rows, each) for rows, each in zip(tested, logits, strict=True)]
            found.setdefault(name, []).append(auroc(*said))
    return {name: float(np.mean(values)) for name, values in found.items()}


def _logits_left_out(samples: Sequence[Sample], head: Head, classes: int, l2: float) -> np.ndarray:
    """What heads like this one say of each sample, trained without it and its fold: float32 [N, C]."""

    def trainer(train: Features, validation: Features) -> Head:
        return train_lbfgs(train, validation, classes, l2=l2)

    temperature = head.how.get("temperature", 1.0)
    assert isinstance(temperature, float)
    logits = out_of_fold_logits(samples, min(_FOLDS, smallest_class(samples)), trainer)
    return logits / np.float32(temperature)


def _renumbered(features: Features) -> Features:
    """Labels counted from 0 without gaps."""
    return replace(features, labels=np.unique(features.labels, return_inverse=True)[1])
