"""A SavedModel of the frozen classifier, with retrain.py's signature: ``image`` to ``prediction``.

``novelty`` stands beside the prediction where the classifier gives it.

Written as a protocol buffer of one graph, not through ``tf.saved_model.save``: the result has no variables,
no function names with per-process counters and no ``fingerprint.pb``, so that equal graphs give equal bytes.
TensorFlow 2 loads it without a word about the fingerprint; TensorFlow 1.15 and TF Serving load it too.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from legoclf.convert.frozen import FINAL_TENSOR_NAME, INPUT_NAME, class_count, image_size, import_tensorflow
from legoclf.convert.graph_def import strip_defaults
from legoclf.convert.novelty import NOVELTY_NAME
from legoclf.errors import LegoclfError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tensorflow.core.framework.graph_pb2 import GraphDef

SIGNATURE_INPUT = "image"
SIGNATURE_OUTPUT = "prediction"
LABELS_FILE = "labels.txt"


def write_saved_model(
    frozen_graph_def: GraphDef,
    directory: str | Path,
    labels: Sequence[str] | None = None,
    final_tensor_name: str = FINAL_TENSOR_NAME,
) -> None:
    """Write a SavedModel with the tag ``serve`` and the signature ``serving_default``.

    The signature takes ``image``, [N, H, W, 3] float32, RGB in [0, 1], and gives ``prediction``,
    [N, C] float32, probabilities, and ``novelty``, [N] float32, of a graph that has such a node.

    Args:
        frozen_graph_def: what :func:`legoclf.convert.frozen.attach_head` gave.
        directory: made where it is missing; a ``saved_model.pb`` in it is replaced.
        labels: the C class names; one a line in ``assets.extra/labels.txt``, which loaders pass over.
        final_tensor_name: the softmax of the graph.

    Raises:
        LegoclfError: the graph has no node of that name, or the files cannot be written.
    """
    tf = import_tensorflow()
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    nodes = {node.name for node in frozen_graph_def.node}
    if final_tensor_name not in nodes:
        raise LegoclfError(f"the frozen graph has no tensor '{final_tensor_name}' to write as the prediction")
    saved = SavedModel(saved_model_schema_version=1)
    meta_graph = saved.meta_graphs.add(graph_def=frozen_graph_def)
    meta_graph.meta_info_def.tags.append("serve")
    strip_defaults(meta_graph.graph_def)
    meta_graph.meta_info_def.stripped_default_attrs = True
    signature = meta_graph.signature_def["serving_default"]
    signature.method_name = tf.saved_model.PREDICT_METHOD_NAME
    shapes = [
        (signature.inputs[SIGNATURE_INPUT], INPUT_NAME, [None, *image_size(frozen_graph_def), 3]),
        (
            signature.outputs[SIGNATURE_OUTPUT],
            final_tensor_name,
            [None, class_count(frozen_graph_def, final_tensor_name)],
        ),
    ]
    if NOVELTY_NAME in nodes:
        shapes.append((signature.outputs[NOVELTY_NAME], NOVELTY_NAME, [None]))
    for info, name, shape in shapes:
        info.name = f"{name}:0"
        info.dtype = tf.float32.as_datatype_enum
        info.tensor_shape.CopyFrom(tf.TensorShape(shape).as_proto())
    _write(Path(directory), saved.SerializeToString(deterministic=True), labels)


def _write(directory: Path, model: bytes, labels: Sequence[str] | None) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "saved_model.pb").write_bytes(model)
        if labels is not None:
            extra = directory / "assets.extra"
            extra.mkdir(exist_ok=True)
            (extra / LABELS_FILE).write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
    except OSError as error:
        raise LegoclfError(f"{directory}: the SavedModel cannot be written: {error}") from error
