"""Curves of the training in TensorBoard."""

from collections.abc import Callable
from pathlib import Path

import pytest

from legoclf.retrain.heads import Evaluation
from legoclf.retrain.seen.summaries import Summaries

Points = Callable[[Path], dict[str, dict[int, float]]]


def test_accuracy_and_cross_entropy_come_back_at_their_steps(tmp_path: Path, read_points: Points) -> None:
    with Summaries(tmp_path) as summaries:
        summaries.add(Evaluation(0, 0.25, 2.0, 0.5, 1.5))
        summaries.add(Evaluation(10, 0.75, 1.0, 0.625, 1.25))
    assert read_points(tmp_path / "train") == {
        "accuracy_1": {0: 0.25, 10: 0.75},
        "cross_entropy_1": {0: 2.0, 10: 1.0},
    }
    assert read_points(tmp_path / "validation") == {
        "accuracy_1": {0: 0.5, 10: 0.625},
        "cross_entropy_1": {0: 1.5, 10: 1.25},
    }


def test_the_learning_rate_has_points_where_it_is_told(tmp_path: Path, read_points: Points) -> None:
    with Summaries(tmp_path) as summaries:
        summaries.add(Evaluation(1, 0.5, 1.0, None, None))
        summaries.add(Evaluation(2, 0.5, 1.0, None, None, learning_rate=0.125))
    assert read_points(tmp_path / "train")["learning_rate"] == {2: 0.125}


def test_without_validation_images_its_folder_has_no_points(tmp_path: Path, read_points: Points) -> None:
    with Summaries(tmp_path) as summaries:
        summaries.add(Evaluation(1, 0.5, 1.0, None, None))
    assert read_points(tmp_path / "validation") == {}


def test_the_points_of_an_earlier_run_stay(tmp_path: Path, read_points: Points) -> None:
    for step in (1, 2):
        with Summaries(tmp_path) as summaries:
            summaries.add(Evaluation(step, 0.5, 1.0, None, None))
    assert read_points(tmp_path / "train")["accuracy_1"] == {1: 0.5, 2: 0.5}


def test_an_infinite_loss_is_a_point(tmp_path: Path, read_points: Points) -> None:
    with Summaries(tmp_path) as summaries:
        summaries.add(Evaluation(1, 0.5, float("inf"), None, None))
    assert read_points(tmp_path / "train")["cross_entropy_1"] == {1: pytest.approx(float("inf"))}
