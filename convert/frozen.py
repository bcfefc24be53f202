"""The frozen TensorFlow graph: a feature module with its variables turned into constants, and its head.

Made by TensorFlow 2, readable by TensorFlow 1.15 too.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from legoclf.convert.graph_def import SCOPE, duplicate, strip_defaults, tidy
from legoclf.convert.novelty import NOVELTY_NAME, Novelty, tensorflow_novelty
from legoclf.errors import LegoclfError, UsageError, missing_package

if TYPE_CHECKING:
    from tensorflow.core.framework.graph_pb2 import GraphDef
    from tensorflow.core.framework.node_def_pb2 import NodeDef

INPUT_NAME = "input"
ALIAS_NAME = "Placeholder"
FEATURES_NAME = "features"
LOGITS_NAME = "logits"
FINAL_TENSOR_NAME = "final_result"

_OWN_NAMES = (INPUT_NAME, ALIAS_NAME, SCOPE, FEATURES_NAME, LOGITS_NAME, NOVELTY_NAME, "head")
_LEGAL_NODE_NAME = re.compile(r"[A-Za-z0-9.]([A-Za-z0-9_./-]*[A-Za-z0-9_.-])?")


def import_tensorflow() -> Any:
    """The tensorflow module, made quiet: errors only, from its C++ and its Python side.

    Raises:
        LegoclfError: TensorFlow is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        with _errors_of_import_only():
            import tensorflow as tf
    except ImportError as error:
        raise missing_package("tensorflow", "train") from error
    for name in ("tensorflow", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return tf


@contextmanager
def _errors_of_import_only() -> Iterator[None]:
    """Hold back what C++ writes to standard error; let it out after all if the block fails.

    On a CPU with AVX512-VNNI TensorFlow 2.21 praises oneDNN there, whatever TF_CPP_MIN_LOG_LEVEL says.
    """
    if "tensorflow" in sys.modules:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def freeze(function: Callable[[Any], Any], height: int, width: int) -> GraphDef:
    """Trace a feature module and freeze it: node ``input`` to node ``features``, constants between.

    Node names are free of the counters that Keras and TensorFlow keep per process, and the nodes stand
    in the order in which the output needs them: equal modules give equal bytes.

    Args:
        function: takes a float32 tensor [N, height, width, 3] (RGB in [0, 1]), gives [N, D] float32.
        height: rows of the input, in pixels.
        width: columns of the input, in pixels.

    Raises:
        LegoclfError: the function does not take such images, or does not give one float32 tensor [N, D].
    """
    tf = import_tensorflow()
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    image = tf.TensorSpec([None, height, width, 3], tf.float32, name=INPUT_NAME)
    try:
        traced = tf.function(function, input_signature=[image], autograph=False).get_concrete_function()
    except (TypeError, ValueError, tf.errors.OpError) as error:
        cause = str(error).strip().partition("\n")[0]
        raise LegoclfError(f"the module does not take images [N, {height}, {width}, 3]: {cause}") from error
    _check_features(traced.structured_outputs)
    frozen = convert_variables_to_constants_v2(traced)
    names = {frozen.inputs[0].op.name: INPUT_NAME, frozen.outputs[0].op.name: FEATURES_NAME}
    return tidy(frozen.graph.as_graph_def(), names)


def image_size(graph_def: GraphDef) -> tuple[int, int]:
    """Height and width, in pixels, of the images that a frozen graph takes."""
    shape = next(node for node in graph_def.node if node.name == INPUT_NAME).attr["shape"].shape
    return int(shape.dim[1].size), int(shape.dim[2].size)


def class_count(graph_def: GraphDef, name: str = FINAL_TENSOR_NAME) -> int:
    """The C of a tensor [N, C] of a frozen graph."""
    tf = import_tensorflow()
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(duplicate(graph_def), name="")
    return int(graph.get_tensor_by_name(f"{name}:0").shape[1])


def attach_head(
    feature_graph_def: GraphDef,
    weights: np.ndarray,
    bias: np.ndarray,
    final_tensor_name: str = FINAL_TENSOR_NAME,
    novelty: Novelty | None = None,
) -> GraphDef:
    """A frozen classifier: ``input:0``, or its alias ``Placeholder:0``, to ``logits:0`` and the softmax.

    The images go through the alias, so that a caller written for retrain.py's graphs can feed either.

    Args:
        feature_graph_def: what :func:`freeze` gave.
        weights: [D, C] float32.
        bias: [C] float32.
        final_tensor_name: the node of the softmax, [N, C] float32.
        novelty: what the node ``novelty``, [N] float32, gives; None for no such node.

    Raises:
        UsageError: final_tensor_name is no legal node name, or taken.
        LegoclfError: weights, bias, novelty and the features do not fit each other.
    """
    check_head(weights, bias)
    if novelty is not None:
        novelty.check_features(weights.shape[0])
    body = [node for node in feature_graph_def.node if node.name != INPUT_NAME]
    check_final_tensor_name(final_tensor_name)
    head = _head_nodes(image_size(feature_graph_def), weights, bias, final_tensor_name, novelty)
    whole = type(feature_graph_def)(versions=feature_graph_def.versions)
    if feature_graph_def.library.function:
        whole.library.CopyFrom(feature_graph_def.library)
    whole.node.extend([head.pop(INPUT_NAME), head.pop(ALIAS_NAME)])
    for node in body:
        copy = whole.node.add()
        copy.CopyFrom(node)
        copy.input[:] = [ALIAS_NAME if name == INPUT_NAME else name for name in node.input]
    del head[FEATURES_NAME]
    whole.node.extend(head.values())
    strip_defaults(whole)
    _check_shapes(whole, weights.shape)
    return whole


def check_final_tensor_name(name: str) -> None:
    """Refuse a name that the softmax of a frozen graph cannot have; needs no TensorFlow.

    Raises:
        UsageError: it is no legal node name, or one that the graph itself uses.
    """
    if not _LEGAL_NODE_NAME.fullmatch(name):
        raise UsageError(
            f"--final_tensor_name '{name}' is no TensorFlow node name: "
            "a letter, digit or '.', then letters, digits and any of _ . / -"
        )
    # TensorFlow tells names apart without regard to case, and a node's name from a scope's.
    if name.partition("/")[0].lower() in {own.lower() for own in _OWN_NAMES}:
        raise UsageError(f"--final_tensor_name '{name}' is one of the graph's own names: choose another")


def check_head(weights: np.ndarray, bias: np.ndarray) -> None:
    """Refuse a head whose weights [D, C] and bias [C] do not fit each other.

    Raises:
        LegoclfError: with both shapes.
    """
    if weights.ndim != 2 or bias.shape != weights.shape[1:]:
        raise LegoclfError(
            f"a head needs weights [D, C] and bias [C]; got weights {weights.shape} and bias {bias.shape}"
        )


def serialize(graph_def: GraphDef) -> bytes:
    """The bytes of a graph; equal graphs give equal bytes."""
    data: bytes = graph_def.SerializeToString(deterministic=True)
    return data


def read_frozen(path: str | Path) -> GraphDef:
    """Read a frozen graph from a file.

    Raises:
        LegoclfError: the file is missing or is no frozen graph.
    """
    import_tensorflow()
    from google.protobuf.message import DecodeError
    from tensorflow.core.framework.graph_pb2 import GraphDef

    graph_def = GraphDef()
    try:
        graph_def.ParseFromString(Path(path).read_bytes())
    except (OSError, DecodeError) as error:
        raise LegoclfError(f"{path} cannot be read as a frozen graph: {error}") from error
    return graph_def


class FrozenGraph:
    """A frozen classifier in a TensorFlow session: open it with ``with``, then call :meth:`probabilities`."""

    def __init__(self, graph: GraphDef | str | Path, final_tensor_name: str = FINAL_TENSOR_NAME) -> None:
        """Load a graph, given as a GraphDef or as the path of one.

        Raises:
            LegoclfError: the file is no frozen graph, or has no tensor of that name.
        """
        tf = import_tensorflow()
        graph_def = read_frozen(graph) if isinstance(graph, (str, Path)) else graph
        if not any(node.name == final_tensor_name for node in graph_def.node):
            raise LegoclfError(
                f"the frozen graph has no tensor '{final_tensor_name}': "
                "pass the --final_tensor_name it was made with"
            )
        self._output = f"{final_tensor_name}:0"
        with tf.Graph().as_default() as imported:
            tf.import_graph_def(duplicate(graph_def), name="")
        self._session = tf.compat.v1.Session(graph=imported)

    def __enter__(self) -> FrozenGraph:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    def probabilities(self, nhwc: np.ndarray) -> np.ndarray:
        """Classify a batch: [N, H, W, 3] float32, RGB in [0, 1], to a new array [N, C] float32."""
        result: np.ndarray = self._session.run(self._output, {f"{INPUT_NAME}:0": nhwc})
        return result


def _check_features(outputs: Any) -> None:
    """Raise unless a traced module gives one float32 tensor [N, D] with N free."""
    if isinstance(outputs, dict):
        shapes = ", ".join(f"{key} {_shape_text(value)}" for key, value in sorted(outputs.items()))
        raise LegoclfError(
            f"the module gives a dict ({shapes}), not one tensor [N, D]: pass a feature-vector module"
        )
    if not hasattr(outputs, "shape"):
        raise LegoclfError(f"the module gives a {type(outputs).__name__}, not one tensor [N, D]")
    if outputs.shape.rank != 2 or outputs.shape[0] is not None or outputs.shape[1] is None:
        raise LegoclfError(
            f"the module gives a tensor of shape {_shape_text(outputs)}; a feature vector is [N, D] "
            "with N free (a module with pooling, saved for any batch size)"
        )
    if outputs.dtype.name != "float32":
        raise LegoclfError(f"the module gives {outputs.dtype.name}; a feature vector is float32")


def _shape_text(tensor: Any) -> str:
    if tensor.shape.rank is None:
        return "[unknown]"
    return str(["N" if size is None else size for size in tensor.shape]).replace("'", "")


def _head_nodes(
    size: tuple[int, int],
    weights: np.ndarray,
    bias: np.ndarray,
    final_tensor_name: str,
    novelty: Novelty | None,
) -> dict[str, NodeDef]:
    """The nodes around a feature graph by name, in order; ``features`` stands for the feature graph's own."""
    tf = import_tensorflow()
    with tf.Graph().as_default() as graph:
        image = tf.compat.v1.placeholder(tf.float32, [None, *size, 3], name=INPUT_NAME)
        tf.identity(image, name=ALIAS_NAME)
        features = tf.compat.v1.placeholder(tf.float32, [None, weights.shape[0]], name=FEATURES_NAME)
        weights_node = tf.constant(weights, tf.float32, name="head/weights")
        bias_node = tf.constant(bias, tf.float32, name="head/bias")
        product = tf.matmul(features, weights_node, name="head/product")
        logits = tf.nn.bias_add(product, bias_node, name=LOGITS_NAME)
        tf.nn.softmax(logits, name=final_tensor_name)
        if novelty is not None:
            tensorflow_novelty(tf, novelty, features, logits)
    return {node.name: node for node in graph.as_graph_def().node}


def _check_shapes(graph_def: GraphDef, weights_shape: tuple[int, ...]) -> None:
    tf = import_tensorflow()
    try:
        with tf.Graph().as_default():
            tf.import_graph_def(duplicate(graph_def), name="")
    except ValueError as error:
        raise LegoclfError(
            f"a head with weights {list(weights_shape)} does not fit this feature vector: {error}"
        ) from error
