"""Plots as files, and the point that is marked on a learning curve."""

import pytest
from small_report import HOSTILE, report_of

from legoclf.retrain.heads import Evaluation
from legoclf.retrain.report import Curve
from legoclf.retrain.report.plots import as_png, best_point, draw_confusion, draw_curves


def point(step: int, accuracy: float | None, loss: float | None) -> Evaluation:
    return Evaluation(step, 0.5, 0.7, accuracy, loss)


def test_the_best_point_has_the_highest_validation_accuracy_then_the_lowest_loss() -> None:
    points = [point(1, 0.8, 0.1), point(2, 0.9, 0.5), point(3, 0.9, 0.4), point(4, None, None)]
    best = best_point(points)
    assert best is not None
    assert best.step == 3


def test_without_validation_no_point_is_best() -> None:
    assert best_point([point(1, None, None)]) is None


@pytest.mark.parametrize(
    "points", [[point(0, None, None)], [point(0, 0.5, float("inf")), point(1, 0.5, 0.2)]]
)
def test_a_curve_of_few_or_infinite_points_is_drawn(points: list[Evaluation]) -> None:
    assert as_png(lambda figure: draw_curves(figure, [Curve("p", "epoch", points)])).startswith(b"\x89PNG")


def test_labels_with_formulas_and_other_scripts_are_drawn() -> None:
    report = report_of([0, 1, 2, 3], [0, 1, 2, 2], HOSTILE)
    assert as_png(lambda figure: draw_confusion(figure, report)).startswith(b"\x89PNG")


def test_a_plot_tells_nothing_of_the_program_that_made_it() -> None:
    drawn = as_png(lambda figure: draw_confusion(figure, report_of([0, 1], [0, 1], ["a", "b"])))
    assert b"Software" not in drawn
