"""Telling what was never trained on: a measure of strangeness for the graphs, and its threshold.

Two measures compete, by how well they tell classes left out of the training from those left in: the energy
of the logits, and a distance in feature space. That is Mahalanobis' to the nearest class mean (Lee et al., "A
Simple Unified Framework for Detecting Out-of-Distribution Samples", 2018) in the subspace in which classes
differ most (Fisher's), and beside it what of the features lies off the subspace that training images fill
(Wang et al., "ViM", 2022): few classes differ in few directions, and a coin differs from them in others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from legoclf.convert.novelty import Novelty
from legoclf.novelty import NoveltyRule
from legoclf.retrain.cross_validate import (
    Sample,
    Trainer,
    features_of,
    folds_of,
    out_of_fold_logits,
    smallest_class,
    where,
)
from legoclf.retrain.heads import Features, Head, softmax
from legoclf.retrain.lbfgs import L2_WITHOUT_VALIDATION, train_lbfgs

#: Of the within-class covariance, what is replaced by a multiple of the identity: there are fewer images
#: than features.
SHRINKAGE = 0.2

#: Lengths below this share of that of whole features are taken for rounding: scaled up, they would be what
#: the graphs differ by.
LEAST_SHARE = 1e-2

#: Dimensions of the subspace that training images are taken to fill, at most, and a quarter of their number.
FILLED = 32

#: How much what lies off that subspace counts, against the distance within: tried where classes can be left
#: out. On 800 photos of 20 parts the AUROC against 5 others rose by it from 0.82 to 0.89 with two
#: classes, from 0.90 to 0.91 with five.
RESIDUAL_WEIGHTS = (0.0, 1.0, 3.0)
_FOR_FEW_CLASSES = 3.0

#: Classes from which on some are left out to choose by, and into how many parts they are divided.
_LEAST_CLASSES, _PARTS = 5, 5

#: Folds that the threshold is taken from: the more, the nearer are their measures to the one of all images,
#: to which each image is a little less strange.
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


def fit_distance(rows: np.ndarray, labels: np.ndarray) -> Novelty:
    """The distance of features float32 [N, D] with labels int [N], each class with an image or more.

    It is scaled so that a training image lies about 1 from the mean of its class, and that what lies off the
    subspace of training images, which :func:`weighted` makes count more or less, is about 1 too.
    """
    wide = rows.astype(np.float64)
    classes, places = np.unique(labels, return_inverse=True)
    means = np.stack([wide[labels == label].mean(axis=0) for label in classes])
    centre = means.mean(axis=0)
    centred = wide - centre
    reach = _typical_length(centred)
    # In features whitened by this, all directions scatter alike within a class.
    covariance = _shrunk_covariance(wide - means[places], (LEAST_SHARE * reach) ** 2)
    whitening = np.linalg.inv(np.linalg.cholesky(covariance)).T
    dimensions = max(1, len(classes) - 1)
    directions = np.linalg.svd((means - centre) @ whitening, full_matrices=False)[2][:dimensions].T
    projection = whitening @ directions
    prototypes = (means - centre) @ projection
    scale = 1 / max(_typical_length(centred @ projection - prototypes[places]), 1e-12)
    filled = min(FILLED, max(1, len(wide) // 4))
    basis = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :filled]
    typical = _typical_length(centred - centred @ basis @ basis.T)
    return Novelty(
        "distance",
        centre=centre.astype(np.float32),
        projection=(projection * scale).astype(np.float32),
        prototypes=(prototypes * scale).astype(np.float32),
        basis=basis.astype(np.float32),
        residual_scale=1 / typical if typical > LEAST_SHARE * reach else 0.0,
    )


def weighted(novelty: Novelty, weight: float) -> Novelty:
    """The distance with what lies off the subspace of training images counting ``weight`` times as much."""
    return replace(novelty, residual_scale=novelty.residual_scale * float(np.sqrt(weight)))


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

    def fit(features: Features) -> Novelty:
        if kind == "energy":
            return Novelty("energy")
        return weighted(fit_distance(features.rows, features.labels), weight)

    plain = features_of(samples, views=1)
    novelty = fit(plain)
    if learnt and len(held_out):
        known = novelty.of(held_out.rows, head.logits(held_out.rows))
    elif learnt or smallest_class(samples) < 2:
        known = novelty.of(plain.rows, head.logits(plain.rows))
    else:

        def trainer(train: Features, validation: Features) -> Head:
            return train_lbfgs(train, validation, classes, l2=l2)

        known = _out_of_fold(samples, fit, head, trainer if kind == "energy" else None)
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


def _shrunk_covariance(within: np.ndarray, least: float) -> np.ndarray:
    """Covariance [D, D] of differences [N, D] from class means, shrunk towards a multiple of the identity.

    Its trace counts as ``least`` at least, and is never 0.
    """
    covariance: np.ndarray = within.T @ within / len(within)
    level = max(float(np.trace(covariance)), least, 1e-12) / len(covariance)
    covariance *= 1 - SHRINKAGE
    covariance[np.diag_indices_from(covariance)] += SHRINKAGE * level
    return covariance


def _typical_length(vectors: np.ndarray) -> float:
    """Root of the mean square of lengths of vectors [N, k]."""
    return float(np.sqrt(np.mean(np.square(vectors).sum(axis=1))))


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


def _out_of_fold(
    samples: Sequence[Sample],
    fit: Callable[[Features], Novelty],
    head: Head,
    trainer: Trainer | None,
) -> np.ndarray:
    """How strange each sample is to a measure, and a head, of the others: float [N].

    Args:
        trainer: of heads like that one; None for a measure that asks no head.
    """
    folds = min(_FOLDS, smallest_class(samples))
    logits: np.ndarray = np.zeros((len(samples), len(head.bias)), np.float32)
    if trainer is not None:
        temperature = head.how.get("temperature", 1.0)
        assert isinstance(temperature, float)
        logits = out_of_fold_logits(samples, folds, trainer) / np.float32(temperature)
    fold = folds_of(samples, folds)
    known = np.zeros(len(samples))
    for tested in range(folds):
        novelty = fit(features_of(where(samples, fold != tested), views=1))
        rows = features_of(where(samples, fold == tested), views=1).rows
        known[fold == tested] = novelty.of(rows, logits[fold == tested])
    return known


def _renumbered(features: Features) -> Features:
    """Labels counted from 0 without gaps."""
    return replace(features, labels=np.unique(features.labels, return_inverse=True)[1])
