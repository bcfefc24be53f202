"""What a training ends with, in test/ of the logs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_report import report_of

from legoclf.retrain.seen import write_results

Events = Callable[[Path], list[Any]]

ROWS = np.zeros((2, 3), np.float32)


@pytest.fixture
def graph_def() -> Any:
    """A graph with a node."""
    import tensorflow as tf

    graph_def = tf.compat.v1.GraphDef()
    graph_def.node.add(name="input", op="Placeholder")
    return graph_def


def contents(events: list[Any]) -> list[str]:
    """What each event holds: a graph, or a tag."""
    return ["graph" if event.graph_def else event.summary.value[0].tag for event in events[1:]]


def test_graph_pictures_and_points_lie_in_the_folder_of_the_test_set(
    tmp_path: Path, graph_def: Any, read_events: Events
) -> None:
    write_results(tmp_path, graph_def, report_of([0, 1], [0, 0], ["a", "b"]), ROWS, {})
    assert contents(read_events(tmp_path / "test")) == ["graph", "confusion_matrix"]
    assert (tmp_path / "test" / "projector_config.pbtxt").exists()


def test_the_graph_comes_back_as_it_was(tmp_path: Path, graph_def: Any, read_events: Events) -> None:
    write_results(tmp_path, graph_def, None, None, {})
    (event,) = (event for event in read_events(tmp_path / "test") if event.graph_def)
    assert type(graph_def).FromString(event.graph_def) == graph_def


def test_without_test_images_there_is_the_graph_alone(
    tmp_path: Path, graph_def: Any, read_events: Events
) -> None:
    write_results(tmp_path, graph_def, None, None, {})
    assert contents(read_events(tmp_path / "test")) == ["graph"]


def test_without_feature_vectors_there_is_no_projector(tmp_path: Path, graph_def: Any) -> None:
    write_results(tmp_path, graph_def, report_of([0, 1], [0, 0], ["a", "b"]), None, {})
    assert not (tmp_path / "test" / "projector_config.pbtxt").exists()
