"""Figures of held-out images, against figures worked out by hand."""

import numpy as np
import pytest

from legoclf.retrain.evaluate import evaluate, wilson_interval

LABELS = ["a", "b", "c"]
#: Truth a a b b; named a b b b. Class c has no image and is never named.
LOGITS = np.array([[5, 0, 0], [1, 3, 0], [0, 4, 0], [0, 4, 0]], np.float32)
REPORT = evaluate(LOGITS, np.array([0, 0, 1, 1]), ["1", "2", "3", "4"], LABELS)


def test_accuracy_is_the_share_of_images_named_right() -> None:
    assert REPORT is not None
    assert (REPORT.right, REPORT.images, REPORT.accuracy) == (3, 4, 0.75)


def test_confusion_has_the_truth_in_rows() -> None:
    assert REPORT is not None
    assert REPORT.confusion.tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]


def test_recall_and_precision_of_each_class_and_none_where_nothing_is_to_divide_by() -> None:
    assert REPORT is not None
    figures = [(f.label, f.images, f.recall, f.precision) for f in REPORT.per_class]
    assert figures == [("a", 2, 0.5, 1.0), ("b", 2, 1.0, 2 / 3), ("c", 0, None, None)]


def test_f1_is_the_harmonic_mean_of_recall_and_precision() -> None:
    assert REPORT is not None
    assert [f.f1 for f in REPORT.per_class] == [pytest.approx(2 / 3), pytest.approx(0.8), None]


def test_a_class_that_is_never_named_has_an_f1_of_zero() -> None:
    report = evaluate(LOGITS[2:], np.array([0, 1]), ["1", "2"], LABELS)
    assert report is not None
    assert report.per_class[0].f1 == 0.0


def test_a_mistake_is_listed_with_what_it_was_taken_for() -> None:
    assert REPORT is not None
    (mistake,) = REPORT.mistakes
    assert (mistake.path, mistake.truth, mistake.predicted) == ("2", "a", "b")
    total = np.exp(3) + np.exp(1) + 1
    assert mistake.probability == pytest.approx(np.exp(3) / total)
    assert mistake.truth_probability == pytest.approx(np.exp(1) / total)


def test_an_empty_set_has_no_figures() -> None:
    assert evaluate(np.zeros((0, 3), np.float32), np.zeros(0, np.int64), [], LABELS) is None


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [
        # From the closed form, worked out by hand to four digits.
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (81, 100, 0.7222, 0.8749),
    ],
)
def test_wilson_interval(right: int, total: int, low: float, high: float) -> None:
    assert wilson_interval(right, total) == pytest.approx((low, high), abs=1e-4)
