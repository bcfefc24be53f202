"""What these tests share: events as TensorFlow itself reads them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def read_events() -> Callable[[Path], list[Any]]:
    """The events of a folder's files, in the order in which TensorBoard reads them."""
    import tensorflow as tf
    from tensorflow.core.util.event_pb2 import Event

    def read(folder: Path) -> list[Any]:
        files = sorted(str(path) for path in folder.glob("events.out.tfevents.*"))
        return [Event.FromString(record.numpy()) for record in tf.data.TFRecordDataset(files)]

    return read


@pytest.fixture(scope="session")
def read_points(read_events: Callable[[Path], list[Any]]) -> Callable[[Path], dict[str, dict[int, float]]]:
    """The scalars of a folder: by tag, by step."""
    import tensorflow as tf

    def read(folder: Path) -> dict[str, dict[int, float]]:
        points: dict[str, dict[int, float]] = {}
        for event in read_events(folder):
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == "scalars"
                points.setdefault(value.tag, {})[event.step] = float(tf.make_ndarray(value.tensor))
        return points

    return read


@pytest.fixture(scope="session")
def read_images(read_events: Callable[[Path], list[Any]]) -> Callable[[Path], dict[str, list[bytes]]]:
    """The images of a folder by tag: width and height as text, then the files."""

    def read(folder: Path) -> dict[str, list[bytes]]:
        images = {}
        for event in read_events(folder):
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == "images"
                images[value.tag] = list(value.tensor.string_val)
        return images

    return read
