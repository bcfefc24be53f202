"""What was never trained on is told from what was, at the false-reject rate that was asked for."""

import numpy as np
import pytest

from legoclf.retrain.cross_validate import Sample
from legoclf.retrain.heads import Features, Head, softmax
from legoclf.retrain.lbfgs import train_lbfgs
from legoclf.retrain.novelty import (
    auroc,
    fit_distance,
    fit_novelty,
    measure_novelty,
    threshold_of,
    weighted,
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


def test_what_differs_in_a_direction_in_which_classes_do_not_is_far() -> None:
    """Two classes differ in one direction, and a stranger from both in another: the residual sees it."""
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 40)

    def rows() -> np.ndarray:
        found = random.normal(0, 0.05, (80, 60))
        found[:, :8] += random.normal(0, 1, (80, 8))
        found[:, 0] += 6 * labels
        return found.astype(np.float32)

    strange = rows()
    strange[:, 50] += 1
    plain = fit_distance(rows(), labels)
    zeros = np.zeros((80, 2), np.float32)
    near, far = (
        auroc(each.of(rows(), zeros), each.of(strange, zeros))
        for each in (weighted(plain, 0.0), weighted(plain, 3.0))
    )
    assert far > near + 0.1


def test_a_network_that_learnt_has_its_threshold_from_validation_images(head: Head) -> None:
    held_out = features(10, range(CLASSES), 7)
    fitted = fit_novelty(samples_of(KNOWN), held_out, head, CLASSES, 0.05, learnt=True)
    assert fitted.images == len(held_out)


def test_features_that_are_all_alike_give_finite_numbers() -> None:
    """A network that sees nothing: every image has the same features."""
    alike = Features(np.ones((20, 4), np.float32), np.repeat([0, 1], 10))
    novelty = fit_distance(alike.rows, alike.labels)
    assert np.isfinite(novelty.of(np.ones((3, 4), np.float32) * 2, np.zeros((3, 2), np.float32))).all()


def test_rounding_is_not_scaled_up_to_a_distance() -> None:
    """Features that fill two of four dimensions: what lies off them is rounding, and counts for nothing."""
    random = np.random.default_rng(0)
    flat = (random.normal(0, 1, (60, 2)) @ random.normal(0, 1, (2, 4))).astype(np.float32)
    assert fit_distance(flat, np.repeat([0, 1, 2], 20)).residual_scale == 0


def test_the_threshold_is_a_quantile_that_another_image_exceeds_as_seldom_as_asked() -> None:
    known = np.arange(1.0, 100.0)  # 99 of them: the 95th smallest leaves 4 of 99, and 5 of 100, above
    assert threshold_of(known, 0.05) == 95.0


def test_of_few_images_the_threshold_is_the_largest() -> None:
    assert threshold_of(np.array([3.0, 1.0, 2.0]), 0.05) == 3.0


def test_the_largest_probability_of_these_unknowns_is_high(head: Head) -> None:
    """What this is for: a classifier alone is sure of what it has never seen."""
    assert np.median(softmax(head.logits(UNKNOWN.rows)).max(axis=1)) > 0.5
