"""Files of events: when they can be read, in which order, and what writing them leaves alone."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from legoclf.errors import LegoclfError
from legoclf.retrain.seen.events import EventFile

Points = Callable[[Path], dict[str, dict[int, float]]]

#: An operation of TensorFlow's runtime would make the second line an error.
_WITHOUT_RUNTIME = """
import sys
from pathlib import Path
import tensorflow as tf
from legoclf.retrain.seen.events import EventFile
with EventFile(Path(sys.argv[1])) as events:
    events.add_scalars(0, {"a": 1.0})
    events.add_graph(tf.compat.v1.GraphDef())
tf.config.threading.set_inter_op_parallelism_threads(1)
"""


def test_a_file_begins_with_its_version(tmp_path: Path, read_events: Callable[[Path], list[Any]]) -> None:
    with EventFile(tmp_path):
        pass
    (event,) = read_events(tmp_path)
    assert event.file_version == "brain.Event:2"


def test_points_can_be_read_while_the_file_grows(tmp_path: Path, read_points: Points) -> None:
    with EventFile(tmp_path) as events:
        events.add_scalars(3, {"a": 0.5, "b": 2.0})
        assert read_points(tmp_path) == {"a": {3: 0.5}, "b": {3: 2.0}}


def test_files_of_one_second_are_read_in_the_order_in_which_they_were_made(
    tmp_path: Path, read_events: Callable[[Path], list[Any]]
) -> None:
    for step in range(12):
        with EventFile(tmp_path) as events:
            events.add_scalars(step, {"a": 1.0})
    steps = [event.step for event in read_events(tmp_path) if event.summary.value]
    assert steps == list(range(12))


def test_writing_does_not_start_the_runtime_of_tensorflow(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_RUNTIME, str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_folder_that_cannot_be_made_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LegoclfError, match="--summaries_dir: .* cannot be written to") as caught:
        EventFile(tmp_path / "file" / "train")
    assert "\n" not in str(caught.value)
