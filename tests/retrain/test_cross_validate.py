"""Cross-validation: every image tested once, by a head that did not see it."""

import numpy as np
import pytest

from legoclf.errors import LegoclfError
from legoclf.retrain.cross_validate import Pooled, Sample, cross_validate, folds_of, paired_difference
from legoclf.retrain.heads import Features, Head

CLASSES, IMAGES = 3, 12


def samples(views: int = 2, per_group: int = 1) -> list[Sample]:
    """Images whose features are their own number, so that a trainer can tell which it was given."""
    made = []
    for label in range(CLASSES):
        for index in range(IMAGES):
            number = label * IMAGES + index
            path = f"{label}/{index // per_group}_nohash_{index}.jpg"
            made.append(Sample(path, label, np.full((views, 1), number, np.float32)))
    return made


def test_every_class_is_spread_evenly_over_the_folds() -> None:
    fold = folds_of(samples(), 4).reshape(CLASSES, IMAGES)
    assert [np.bincount(row).tolist() for row in fold] == [[3, 3, 3, 3]] * CLASSES


def test_a_group_is_never_torn() -> None:
    fold = folds_of(samples(per_group=3), 4).reshape(-1, 3)
    assert (fold == fold[:, :1]).all()


def test_the_order_of_the_images_does_not_matter() -> None:
    made = samples()
    assert folds_of(made[::-1], 4).tolist() == folds_of(made, 4)[::-1].tolist()


def test_more_folds_than_a_class_has_images_are_refused() -> None:
    with pytest.raises(LegoclfError, match="has only 12 image"):
        folds_of(samples(), 13)


def test_no_image_is_tested_by_a_head_that_saw_it_and_each_is_tested_once() -> None:
    seen: list[tuple[set[float], set[float]]] = []
    tested: list[float] = []

    class Watching(Head):
        def logits(self, rows: np.ndarray) -> np.ndarray:
            train, validation = seen[-1]
            numbers = set(rows[:, 0].tolist())
            assert not numbers & (train | validation)
            tested.extend(rows[:, 0].tolist())
            return np.zeros((len(rows), CLASSES), np.float32)

    def trainer(train: Features, validation: Features) -> Head:
        seen.append((set(train.rows[:, 0].tolist()), set(validation.rows[:, 0].tolist())))
        assert not seen[-1][0] & seen[-1][1]
        return Watching(np.zeros((1, CLASSES)), np.zeros(CLASSES), {})

    cross_validate(samples(), 4, {"watching": trainer})
    assert sorted(tested) == [float(number) for number in range(CLASSES * IMAGES)]


def test_training_has_all_views_and_validation_the_plain_one() -> None:
    sizes: list[tuple[int, int]] = []

    def trainer(train: Features, validation: Features) -> Head:
        sizes.append((len(train), len(validation)))
        return Head(np.zeros((1, CLASSES), np.float32), np.zeros(CLASSES, np.float32), {})

    cross_validate(samples(views=5), 4, {"counting": trainer})
    # Of 36 images in 4 folds of 9, 27 are left, 9 of each class: one validates, 8 train with 5 views.
    assert sizes == [(120, 3)] * 4


def test_answers_are_pooled_over_the_folds() -> None:
    """A head that always names class 0 is right on its third of the images."""

    def trainer(train: Features, validation: Features) -> Head:
        return Head(np.zeros((1, CLASSES), np.float32), np.array([1, 0, 0], np.float32), {})

    (pooled,) = cross_validate(samples(), 4, {"zero": trainer})
    assert pooled.accuracy == pytest.approx(1 / 3)
    # sqrt(1/3 * 2/3 / 36)
    assert pooled.standard_error == pytest.approx(0.0786, abs=1e-4)


def test_the_paired_error_counts_only_where_the_heads_differ() -> None:
    """Ten images, one of which only the first head names right: +0.1, deviation of one in ten."""
    right = np.array([True] * 8 + [False] * 2)
    better = right.copy()
    better[8] = True
    difference, error = paired_difference(Pooled("a", better), Pooled("b", right))
    assert difference == pytest.approx(0.1)
    assert error == pytest.approx(0.1)
