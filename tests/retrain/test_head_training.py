"""What is seen of the default head's training: a curve with validation, and TensorBoard's logs of it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from clusters import NOTHING, clusters

from legoclf.retrain.balance import BALANCES
from legoclf.retrain.head_training import train_head
from legoclf.retrain.heads import Evaluation, Features, Head
from legoclf.retrain.seen import Summaries

SETTINGS: Any = SimpleNamespace(head="lbfgs", balance=BALANCES[0])
DATASET: Any = SimpleNamespace(labels=["a", "b"])
TRAIN, VALIDATION = clusters([20, 20], spread=3.0), clusters([20, 20], spread=3.0, seed=1)


def trained(validation: Features, summaries: Summaries | None = None) -> tuple[Head, list[Evaluation]]:
    features = {"train": TRAIN, "validation": validation}
    vector: Any = None
    head, seen = train_head(SETTINGS, vector, DATASET, features, summaries)
    return head, seen.curve.points


def points_of(folder: Path) -> dict[str, dict[int, float]]:
    """The scalars of a folder of TensorBoard's logs: by tag, by step."""
    import tensorflow as tf

    points: dict[str, dict[int, float]] = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                points.setdefault(value.tag, {})[event.step] = float(tf.make_ndarray(value.tensor))
    return points


def validated(points: list[Evaluation]) -> list[Evaluation]:
    return [point for point in points if point.validation_accuracy is not None]


def test_the_curve_of_the_default_head_has_validation_points_and_not_at_every_iteration() -> None:
    _, points = trained(VALIDATION)
    assert [point.step for point in points] == list(range(1, len(points) + 1))
    assert 3 <= len(validated(points)) < len(points)
    assert all(point.validation_cross_entropy is not None for point in validated(points))


def test_without_validation_images_it_has_none() -> None:
    assert validated(trained(NOTHING)[1]) == []


def test_it_warns_of_no_overfitting_for_it_seeks_the_l2_that_overfits(
    caplog: pytest.LogCaptureFixture,
) -> None:
    trained(clusters([4, 4], spread=6.0, seed=9))
    assert "overfitting" not in caplog.text


def test_tensorboard_shows_the_same_points_and_the_head_last(tmp_path: Path) -> None:
    with Summaries(tmp_path) as summaries:
        _, points = trained(VALIDATION, summaries)
    seen = validated(points)
    for part in ("train", "validation"):
        shown = points_of(tmp_path / part)
        assert sorted(shown["accuracy_1"]) == [*(point.step for point in seen), len(points)]
        for tag, figure in (("accuracy_1", "accuracy"), ("cross_entropy_1", "cross_entropy")):
            expected = [getattr(point, f"{part}_{figure}") for point in seen]
            assert [shown[tag][point.step] for point in seen] == pytest.approx(expected)
