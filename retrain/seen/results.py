"""What a training ends with, in the folder test/ of the TensorBoard logs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from legoclf.retrain.evaluate import Report
from legoclf.retrain.seen.events import EventFile
from legoclf.retrain.seen.graph import without_weights
from legoclf.retrain.seen.pictures import add_pictures
from legoclf.retrain.seen.projector import write_projector

if TYPE_CHECKING:
    from tensorflow.core.framework.graph_pb2 import GraphDef


def write_results(
    directory: Path,
    graph_def: GraphDef,
    report: Report | None,
    rows: np.ndarray | None,
    files: Mapping[str, str],
) -> None:
    """Write the frozen classifier's graph and, of the test images, pictures and points of the projector.

    Args:
        directory: of the logs; what lies there stays, but for the projector's files of an earlier run.
        report: of the test set; None if it is empty.
        rows: float32 [N, D], the feature vectors of the N images of the report, in its order; None leaves the
            projector out.
        files: the file of each image by its path in the data set.

    Raises:
        LegoclfError: the folder cannot be written.
    """
    folder = directory / "test"
    if report is not None and rows is not None:
        # Before the events, with which TensorBoard begins to look for it.
        write_projector(folder, report, rows, files)
    with EventFile(folder) as events:
        events.add_graph(without_weights(graph_def))
        if report is not None:
            add_pictures(events, report, files)
