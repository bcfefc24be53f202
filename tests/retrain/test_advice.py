"""The last line of a training says what its figures say; an accuracy that was asked for is insisted on."""

import numpy as np
import pytest

from legoclf.data.dataset import DataSet, ImageItem
from legoclf.errors import LegoclfError, UsageError
from legoclf.retrain import fit_watch
from legoclf.retrain.advice import Facts, advice, check_least_accuracy, require_accuracy
from legoclf.retrain.evaluate import Report, evaluate
from legoclf.retrain.fit_watch import Verdict

LABELS = ["brick", "plate", "slope", "tile"]
DONE = Facts(fine_tuned=True, augmented=True, cross_validated=True)


def report_of(confusion: list[list[int]]) -> Report:
    """The report of test images that were named so: rows are the truth."""
    truth, named = [], []
    for row, counts in enumerate(confusion):
        for column, count in enumerate(counts):
            truth += [row] * count
            named += [column] * count
    logits = 5 * np.eye(len(confusion), dtype=np.float32)[named]
    labels = LABELS[: len(confusion)]
    report = evaluate(logits, np.array(truth), [str(number) for number in range(len(truth))], labels)
    assert report is not None
    return report


def data_set(validation: int = 10) -> DataSet:
    """40 training images of each class, and so many for validation."""
    items = [
        ImageItem(
            f"/{label}/{number}", f"{label}/{number}", index, "validation" if number < validation else "train"
        )
        for index, label in enumerate(LABELS)
        for number in range(40 + validation)
    ]
    return DataSet("/", LABELS, items)


PAIR = report_of([[91, 9, 0, 0], [8, 92, 0, 0], [0, 1, 99, 0], [0, 0, 1, 99]])
SPREAD = report_of([[94, 2, 2, 2], [1, 97, 1, 1], [1, 1, 97, 1], [1, 1, 1, 97]])
PERFECT = report_of([[50, 0], [0, 50]])
FEW = report_of([[8, 1, 1, 0], [0, 9, 0, 1], [1, 0, 9, 0], [0, 1, 0, 9]])


def test_two_classes_that_make_most_mistakes_are_named() -> None:
    line = advice(PAIR, data_set(), DONE)
    assert "more images of 'brick' and 'plate', which are taken for each other in 17 of 19 mistakes" in line


def test_mistakes_that_chance_spreads_name_no_pair() -> None:
    assert "taken for each other" not in advice(SPREAD, data_set(), DONE)


def test_where_nothing_else_is_to_be_said_the_class_found_least_often_is_named() -> None:
    assert "more images of 'brick' (40 to train on): 94 of its 100" in advice(SPREAD, data_set(), DONE)


def test_a_head_that_was_not_fine_tuned_is_told_of_it() -> None:
    assert "--fine_tune" in advice(SPREAD, data_set(), Facts())


def test_a_network_that_cannot_be_fine_tuned_is_not_told_to() -> None:
    assert "--fine_tune" not in advice(SPREAD, data_set(), Facts(can_fine_tune=False))


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (Facts(train_accuracy=1.0), "--fine_tune"),
        (Facts(train_accuracy=1.0, fine_tuned=True), "--random_rotation"),
        (Facts(train_accuracy=0.962, fine_tuned=True), "more images of"),
    ],
)
def test_what_was_learnt_by_heart_is_answered_by_what_was_not_done_yet(facts: Facts, expected: str) -> None:
    assert expected in advice(SPREAD, data_set(), facts)


@pytest.mark.parametrize(
    ("kind", "facts", "expected"),
    [
        (fit_watch.LEARNING, Facts(), "train longer"),
        (fit_watch.UNDERFITTING, Facts(), "learn more"),
        (fit_watch.OVERFITTING, Facts(keeps_best=False), "stop earlier, about 7"),
    ],
)
def test_how_the_training_fitted_comes_first(kind: str, facts: Facts, expected: str) -> None:
    assert expected in advice(PAIR, data_set(), facts, Verdict(kind, 7, f"{kind}: so it was"))


def test_overfitting_that_was_undone_is_no_reason_to_stop_earlier() -> None:
    verdict = Verdict(fit_watch.OVERFITTING, 7, "overfitting")
    assert "stop earlier" not in advice(PAIR, data_set(), Facts(keeps_best=True), verdict)


def test_a_choice_made_by_a_few_validation_images_is_told_of() -> None:
    assert "more validation images" in advice(SPREAD, data_set(validation=1), DONE)


def test_without_mistakes_the_line_says_how_little_that_shows() -> None:
    # Wilson's lower bound of 100 of 100 is 96.3 %.
    assert "96% accuracy or more" in advice(PERFECT, data_set(), DONE)


def test_without_test_images_the_line_asks_for_some() -> None:
    assert "--testing_percentage" in advice(None, data_set(), DONE)


def test_few_test_images_are_said_to_leave_doubt() -> None:
    # Wilson's interval of 35 of 40.
    assert "40 test images show 74% to 95% accuracy only; --cross_validate" in advice(
        FEW, data_set(), Facts()
    )


def test_many_test_images_leave_no_doubt_worth_telling() -> None:
    assert "accuracy only" not in advice(SPREAD, data_set(), Facts())


@pytest.mark.parametrize("report", [PAIR, SPREAD, PERFECT, FEW, None])
def test_advice_is_one_line(report: Report | None) -> None:
    line = advice(report, data_set(), Facts(train_accuracy=1.0))
    assert line.startswith("next: ")
    assert "\n" not in line


def test_an_accuracy_that_is_reached_passes() -> None:
    require_accuracy(SPREAD, SPREAD.accuracy)


def test_an_accuracy_that_is_not_reached_is_refused_with_its_interval() -> None:
    with pytest.raises(LegoclfError, match=r"0\.9625 on 400 .*0\.939 to 0\.977.*nothing was exported"):
        require_accuracy(SPREAD, 0.97)


def test_an_accuracy_cannot_be_asserted_without_test_images() -> None:
    with pytest.raises(LegoclfError, match="no test image to tell by"):
        require_accuracy(None, 0.5)


def test_where_no_accuracy_is_asked_for_any_will_do() -> None:
    require_accuracy(None, None)


@pytest.mark.parametrize("least", [None, 0.0, 0.9, 1.0])
def test_fractions_are_taken(least: float | None) -> None:
    check_least_accuracy(least)


@pytest.mark.parametrize(
    ("least", "mend"), [(92.5, r"0\.925 for 92\.5 %"), (-0.1, "from 0 to 1"), (float("nan"), "nan")]
)
def test_what_is_no_fraction_is_refused_with_the_mend(least: float, mend: str) -> None:
    with pytest.raises(UsageError, match=mend):
        check_least_accuracy(least)
