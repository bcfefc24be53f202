"""A trained network without its last layer, as the two graphs that every feature vector is."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from legoclf.convert import frozen, onnx_graph
from legoclf.data.whole import write_whole
from legoclf.errors import LegoclfError
from legoclf.retrain.feature_vector import FROZEN_FILE, ONNX_FILE, FeatureVector


def feature_vector_of(
    function: Callable[[Any], Any], height: int, width: int, *, name: str, source: str, directory: Path
) -> FeatureVector:
    """Freeze a function of images, convert it to ONNX, and write both graphs into a folder.

    Args:
        function: of a float32 tensor [N, height, width, 3], RGB in [0, 1], to [N, D] float32.
        height, width: of the images, in pixels.
        name, source: of the feature vector; see :class:`FeatureVector`.
        directory: made if it is missing; graphs of before are replaced.

    Raises:
        LegoclfError: the function gives no [N, D] or cannot be converted, or the folder cannot be written.
    """
    graph_def = frozen.freeze(function, height, width)
    model = onnx_graph.feature_graph_to_onnx(graph_def)
    frozen_bytes = frozen.serialize(graph_def)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write_whole(directory / FROZEN_FILE, frozen_bytes)
        write_whole(directory / ONNX_FILE, onnx_graph.serialize(model))
    except OSError as error:
        raise LegoclfError(f"the graphs of {name} cannot be written into {directory}: {error}") from error
    return FeatureVector(
        name=name,
        handle=name,
        source=source,
        identity=hashlib.sha256(frozen_bytes).hexdigest(),
        height=height,
        width=width,
        feature_size=onnx_graph.feature_size(model),
        onnx_path=directory / ONNX_FILE,
        frozen_path=directory / FROZEN_FILE,
    )
