"""A foreign model's graph brought into the bundle's form: [0, 1] in, logits and softmax out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from legoclf.convert.frozen import (
    ALIAS_NAME,
    FEATURES_NAME,
    INPUT_NAME,
    LOGITS_NAME,
    FrozenGraph,
    class_count,
    freeze,
    image_size,
    import_tensorflow,
)
from legoclf.convert.graph_def import duplicate, strip_defaults
from legoclf.errors import LegoclfError, UsageError

if TYPE_CHECKING:
    from tensorflow.core.framework.graph_pb2 import GraphDef
    from tensorflow.core.framework.node_def_pb2 import NodeDef

#: Mean and standard deviation of ImageNet's colours, RGB in [0, 1], as torchvision's models take them.
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)
#: Mean of ImageNet's colours, BGR in [0, 255], as Caffe's models take them (keras: mode "caffe").
CAFFE_MEAN_BGR = np.array([103.939, 116.779, 123.68], np.float32)

#: Smallest probability that is told apart from 0 where logits are made of probabilities.
_LEAST_PROBABILITY = 1e-12
_KEEPS_VALUES = ("Cast", "ExpandDims", "Identity", "Reshape", "Squeeze")


def _to_caffe(image: Any) -> Any:
    # A 1x1 convolution swaps the colours: a Gather would leave Transposes in the ONNX graph.
    tf = import_tensorflow()
    swap = np.zeros((1, 1, 3, 3), np.float32)
    swap[0, 0, [2, 1, 0], [0, 1, 2]] = 255.0
    bgr = tf.nn.conv2d(image, swap, 1, "VALID", name="input_range/to_bgr_255")
    return tf.nn.bias_add(bgr, -CAFFE_MEAN_BGR, name="input_range/minus_mean")


#: From [N, H, W, 3], RGB in [0, 1], to what a model was trained on, by the name in --input_range.
INPUT_RANGES: dict[str, Callable[[Any], Any]] = {
    "0..1": lambda image: image,
    "-1..1": lambda image: image * 2.0 - 1.0,
    "0..255": lambda image: image * 255.0,
    "imagenet": lambda image: (image - IMAGENET_MEAN) / IMAGENET_STD,
    "caffe": _to_caffe,
}


def output_kind(graph_def: GraphDef, told: str | None) -> str:
    """What a graph's output is: ``softmax``, ``sigmoid``, ``probabilities`` or ``logits``.

    The first two where the graph ends in that operator, whose input then are the logits. The others as told,
    or as seen on an image: values of at least 0 that add up to 1 are probabilities.

    Args:
        graph_def: what :func:`legoclf.convert.frozen.freeze` gave.
        told: ``logits`` or ``probabilities``, or None.

    Raises:
        UsageError: what is told is not so, or there is one output value and nothing tells what it is.
    """
    last = _last(graph_def).op
    if last in ("Softmax", "Sigmoid"):
        if told == "logits":
            raise UsageError(
                f"--output logits: the model ends in a {last.lower()}, so it gives probabilities"
            )
        return last.lower()
    if told is not None:
        return told
    values = _run_once(graph_def)
    if values.shape[1] == 1:
        raise UsageError("the model gives one value and no sigmoid: pass --output logits or probabilities")
    sums_to_one = np.allclose(values.sum(axis=1), 1, atol=1e-3)
    return "probabilities" if sums_to_one and values.min() >= 0 else "logits"


def to_logits(graph_def: GraphDef, kind: str) -> GraphDef:
    """The graph with logits [N, C] as its ``features``, C at least 2.

    Args:
        graph_def: what :func:`legoclf.convert.frozen.freeze` gave.
        kind: what :func:`output_kind` said.

    Raises:
        LegoclfError: a sigmoid over several classes.
    """
    classes = class_count(graph_def, FEATURES_NAME)
    if kind == "sigmoid" and classes > 1:
        raise LegoclfError(
            f"the model ends in a sigmoid over {classes} values, each yes or no for itself; a bundle names "
            "one class: end the model in a softmax, or pass --output_tensor of the values before the sigmoid"
        )
    tf = import_tensorflow()
    values = duplicate(graph_def)
    if kind in ("softmax", "sigmoid"):
        _bypass(_last(values))

    def function(image: Any) -> Any:
        [tensor] = tf.graph_util.import_graph_def(
            duplicate(values), {f"{INPUT_NAME}:0": image}, [f"{FEATURES_NAME}:0"], name=""
        )
        if kind == "probabilities":
            if classes == 1:
                tensor = tf.nn.bias_add(tf.matmul(tensor, [[-1.0, 1.0]], name="pair"), [1.0, 0.0])
            return tf.math.log(tf.maximum(tensor, _LEAST_PROBABILITY))
        if classes == 1:
            # softmax of (0, z) is (1 - sigmoid(z), sigmoid(z))
            return tf.matmul(tensor, [[0.0, 1.0]], name="pair")
        return tensor

    return freeze(function, *image_size(graph_def))


def attach_softmax(graph_def: GraphDef, final_tensor_name: str) -> GraphDef:
    """A frozen classifier: ``input:0``, or its alias ``Placeholder:0``, to ``logits:0`` and the softmax.

    Args:
        graph_def: what :func:`to_logits` gave.
        final_tensor_name: the node of the softmax, [N, C] float32.
    """
    whole = type(graph_def)(versions=graph_def.versions)
    for node in graph_def.node:
        copy = whole.node.add()
        copy.CopyFrom(node)
        copy.input[:] = [ALIAS_NAME if name == INPUT_NAME else name for name in node.input]
        if node.name == INPUT_NAME:
            alias = whole.node.add(name=ALIAS_NAME, op="Identity", input=[INPUT_NAME])
            alias.attr["T"].CopyFrom(node.attr["dtype"])
        if node.name == FEATURES_NAME:
            copy.name = LOGITS_NAME
    end = whole.node.add(name=final_tensor_name, op="Softmax", input=[LOGITS_NAME])
    end.attr["T"].CopyFrom(whole.node[-2].attr["T"])
    strip_defaults(whole)
    return whole


def _last(graph_def: GraphDef) -> NodeDef:
    """The node that computes the output, behind those that only reshape it."""
    by_name = {node.name: node for node in graph_def.node}
    node = by_name[FEATURES_NAME]
    while node.op in _KEEPS_VALUES:
        node = by_name[node.input[0].partition(":")[0]]
    return node


def _bypass(node: NodeDef) -> None:
    node.op = "Identity"


def _run_once(graph_def: GraphDef) -> np.ndarray:
    height, width = image_size(graph_def)
    images = np.random.default_rng(0).random((4, height, width, 3), np.float32)
    with FrozenGraph(graph_def, FEATURES_NAME) as session:
        return session.probabilities(images)
