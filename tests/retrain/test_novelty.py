"""What was never trained on is told from what was, at the false-reject rate that was asked for."""

import numpy as np
import pytest

from legoclf.retrain.cross_validate import Sample
from legoclf.retrain.heads import Features, Head, softmax
from legoclf.retrain.lbfgs import train_lbfgs
from legoclf.retrain.novelty import (
    auroc,
    fit_novelty,
    measure_novelty,
    threshold_of,
)

CLASSES, DIMENSIONS = 8, 24

#: Centres of eight classes to train on.
CENTRES = np.random.default_rng(0).normal(0, 1, (CLASSES, DIMENSIONS))


def features(per_class: int, labels: range, seed: int, far: float = 1.0) -> Features:
    """Clouds about the centres of some classes, or about places so many times as far out."""
    random = np.random.default_rng(seed)
    clouds = [far * CENTRES[label] + random.normal(0, 0.6, (per_class, DIMENSIONS)) for label in labels]
    return Features(np.concatenate(clouds).astype(np.float32), np.repeat(list(labels), per_class))


def samples_of(known: Features) -> list[Sample]:
    return [
        Sample(f"{label}/{index}.jpg", label, row[None])
        for index, (row, label) in enumerate(zip(known.rows, known.labels.tolist(), strict=True))
    ]


NOTHING = Features(np.zeros((0, DIMENSIONS), np.float32), np.zeros(0, np.int64))
KNOWN, TEST = features(30, range(CLASSES), 1), features(60, range(CLASSES), 2)
#: Beyond each class, as seen from the others: a softmax is surer there than of the class itself.
UNKNOWN = features(60, range(CLASSES), 3, far=1.8)


@pytest.fixture(scope="module")
def head() -> Head:
    return train_lbfgs(KNOWN, NOTHING, CLASSES)


def test_the_auroc_is_the_share_of_pairs_in_the_right_order() -> None:
    assert auroc(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == 1.0
    assert auroc(np.array([1.0, 3.0]), np.array([2.0, 4.0])) == 0.75
    assert auroc(np.array([1.0]), np.array([1.0])) == 0.5


def test_unknown_classes_are_told_better_than_by_the_largest_probability(head: Head) -> None:
    fitted = fit_novelty(samples_of(KNOWN), NOTHING, head, CLASSES, 0.05)
    measured = measure_novelty(fitted, head, TEST.rows, UNKNOWN.rows, ["a", "b"])
    assert measured.auroc is not None
    assert measured.auroc_of_probability is not None
    assert measured.auroc > measured.auroc_of_probability + 0.05


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.2])
def test_as_many_known_images_are_refused_as_was_asked_for(rate: float, head: Head) -> None:
    """Of 480 tested and 240 to tell by: the standard error of a share of 20 % is 3.2 points, of 5 % 1.7."""
    fitted = fit_novelty(samples_of(KNOWN), NOTHING, head, CLASSES, rate)
    refused = measure_novelty(fitted, head, TEST.rows, None, []).test_refused
    error = np.sqrt(rate * (1 - rate) * (1 / len(TEST) + 1 / len(KNOWN)))
    assert refused == pytest.approx(rate, abs=2 * error)


def test_as_many_are_refused_where_there_are_more_features_than_images() -> None:
    """Of 2000 tested and 160 to tell by: the standard error is 2.5 points. By what the distance makes of the
    images it was fitted to, 97 % would be refused.
    """
    random = np.random.default_rng(0)
    labels = np.arange(2160) % 4
    rows = 0.5 * random.normal(size=(4, 200))[labels] + random.normal(size=(2160, 200))
    known, new = (
        Features(rows[part].astype(np.float32), labels[part]) for part in np.split(np.arange(2160), [160])
    )
    nothing = Features(known.rows[:0], known.labels[:0])
    trained = train_lbfgs(known, nothing, 4)
    fitted = fit_novelty(samples_of(known), nothing, trained, 4, 0.1)
    refused = measure_novelty(fitted, trained, new.rows, None, []).test_refused
    assert refused == pytest.approx(0.1, abs=0.05)


def test_the_rule_is_the_measure_s_own(head: Head) -> None:
    fitted = fit_novelty(samples_of(KNOWN), NOTHING, head, CLASSES, 0.05)
    assert fitted.rule.kind == fitted.novelty.kind
    assert fitted.rule.false_reject_rate == 0.05


def test_every_measure_that_competed_is_told(head: Head) -> None:
    fitted = fit_novelty(samples_of(KNOWN), NOTHING, head, CLASSES, 0.05)
    assert {"largest probability", "energy", "distance, residual 0"} <= fitted.auroc.keys()


def test_few_classes_have_none_to_leave_out_and_a_distance_all_the_same() -> None:
    few = features(30, range(2), 1)
    fitted = fit_novelty(samples_of(few), NOTHING, train_lbfgs(few, NOTHING, 2), 2, 0.05)
    assert fitted.rule.kind == "distance"
    assert fitted.auroc == {}


def test_a_network_that_learnt_has_its_threshold_from_validation_images(head: Head) -> None:
    held_out = features(10, range(CLASSES), 7)
    fitted = fit_novelty(samples_of(KNOWN), held_out, head, CLASSES, 0.05, learnt=True)
    assert fitted.images == len(held_out)


def test_the_threshold_is_a_quantile_that_another_image_exceeds_as_seldom_as_asked() -> None:
    known = np.arange(1.0, 100.0)  # 99 of them: the 95th smallest leaves 4 of 99, and 5 of 100, above
    assert threshold_of(known, 0.05) == 95.0


def test_of_few_images_the_threshold_is_the_largest() -> None:
    assert threshold_of(np.array([3.0, 1.0, 2.0]), 0.05) == 3.0


def test_the_largest_probability_of_these_unknowns_is_high(head: Head) -> None:
    """What this is for: a classifier alone is sure of what it has never seen."""
    assert np.median(softmax(head.logits(UNKNOWN.rows)).max(axis=1)) > 0.5
