"""The ONNX graph: a frozen feature graph converted, simplified and named plainly, and its head."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from legoclf.convert.frozen import FEATURES_NAME, INPUT_NAME, check_head, import_tensorflow
from legoclf.convert.graph_def import duplicate
from legoclf.convert.novelty import NOVELTY_NAME, Novelty, onnx_novelty
from legoclf.errors import LegoclfError, missing_package

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, ValueInfoProto
    from tensorflow.core.framework.graph_pb2 import GraphDef

# TensorRT 8.2, the last for the original Nano, parses opsets up to 13; IR 7 is what opset 13 came with.
OPSET = 13
IR_VERSION = 7
LOGITS_NAME = "logits"
PROBABILITIES_NAME = "probabilities"

_BATCH = "batch"
_CONTROL_FLOW = ("If", "Loop", "Scan")
_ROLES = {
    "Conv": ("input", "weight", "bias"),
    "Gemm": ("input", "weight", "bias"),
    "Clip": ("input", "min", "max"),
    "Pad": ("input", "pads", "value"),
    "Reshape": ("input", "shape"),
    "Squeeze": ("input", "axes"),
}


def feature_graph_to_onnx(graph_def: GraphDef) -> ModelProto:
    """Convert what :func:`legoclf.convert.frozen.freeze` gave: ``input`` [N, 3, H, W] to ``features`` [N, D].

    Both are float32, the input RGB in [0, 1], N free. Opset 13, IR 7, batch-norms folded into the
    convolutions before them, nodes named by operator and place. Equal graphs give equal models.

    Raises:
        LegoclfError: a converter is not installed, or the graph has an operator or a control flow that
            cannot be converted.
    """
    model = _slim(_convert(graph_def))
    branching = sorted({node.op_type for node in model.graph.node if node.op_type in _CONTROL_FLOW})
    if branching:
        raise LegoclfError(
            f"the module has control flow ({', '.join(branching)}): an engine takes plain graphs"
        )
    return _renamed(model)


def feature_size(model: ModelProto) -> int:
    """The D of a feature graph's output [N, D]."""
    return int(model.graph.output[0].type.tensor_type.shape.dim[1].dim_value)


def attach_onnx_head(
    model: ModelProto,
    weights: np.ndarray,
    bias: np.ndarray,
    metadata: Mapping[str, str] | None = None,
    novelty: Novelty | None = None,
) -> ModelProto:
    """A classifier: ``input`` [N, 3, H, W] to ``logits`` and ``probabilities``, each [N, C] float32.

    Args:
        model: what :func:`feature_graph_to_onnx` gave; left as it is.
        weights: [D, C] float32.
        bias: [C] float32.
        metadata: strings that travel in the model's ``metadata_props`` (labels, the input contract).
        novelty: what a third output, ``novelty`` [N] float32, gives; None for no such output.

    Raises:
        LegoclfError: weights, bias, novelty and the model's D do not fit each other.
    """
    from onnx import checker, helper, numpy_helper

    check_head(weights, bias)
    if weights.shape[0] != feature_size(model):
        raise LegoclfError(
            f"the head takes {weights.shape[0]} features; this feature vector gives {feature_size(model)}"
        )
    whole = type(model)()
    whole.CopyFrom(model)
    graph = whole.graph
    graph.node.extend(
        [
            helper.make_node("Gemm", [FEATURES_NAME, "head.weight", "head.bias"], [LOGITS_NAME], name="head"),
            helper.make_node("Softmax", [LOGITS_NAME], [PROBABILITIES_NAME], name="softmax", axis=-1),
        ]
    )
    for name, values in (("head.weight", weights), ("head.bias", bias)):
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
    graph.value_info.append(graph.output[0])
    del graph.output[:]
    graph.output.extend(_matrix(name, weights.shape[1]) for name in (LOGITS_NAME, PROBABILITIES_NAME))
    if novelty is not None:
        whole = _with_novelty(whole, novelty, weights.shape[0])
    helper.set_model_props(whole, dict(sorted((metadata or {}).items())))
    checker.check_model(whole, full_check=True)
    return whole


def attach_onnx_softmax(model: ModelProto, metadata: Mapping[str, str] | None = None) -> ModelProto:
    """A classifier of a graph whose ``features`` are logits: ``input`` to ``logits`` and ``probabilities``.

    Args:
        model: what :func:`feature_graph_to_onnx` gave; left as it is.
        metadata: strings that travel in the model's ``metadata_props`` (labels, the input contract).
    """
    from onnx import checker, helper

    whole = type(model)()
    whole.CopyFrom(model)
    graph = whole.graph
    classes = feature_size(model)
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [LOGITS_NAME if name == FEATURES_NAME else name for name in names]
    softmax = helper.make_node("Softmax", [LOGITS_NAME], [PROBABILITIES_NAME], name="softmax", axis=-1)
    graph.node.append(softmax)
    del graph.output[:]
    graph.output.extend(_matrix(name, classes) for name in (LOGITS_NAME, PROBABILITIES_NAME))
    helper.set_model_props(whole, dict(sorted((metadata or {}).items())))
    checker.check_model(whole, full_check=True)
    return whole


def serialize(model: ModelProto) -> bytes:
    """The bytes of a model; equal models give equal bytes."""
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _with_novelty(model: ModelProto, novelty: Novelty, feature_count: int) -> ModelProto:
    from onnx import helper, numpy_helper, shape_inference

    novelty.check_features(feature_count)
    nodes, constants = onnx_novelty(novelty, FEATURES_NAME, LOGITS_NAME)
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(
        numpy_helper.from_array(values, name) for name, values in constants.items()
    )
    model.graph.output.append(helper.make_tensor_value_info(NOVELTY_NAME, 1, [_BATCH]))
    return shape_inference.infer_shapes(model, strict_mode=True)


def _convert(graph_def: GraphDef) -> ModelProto:
    tf = import_tensorflow()
    try:
        import tf2onnx
    except ImportError as error:
        raise missing_package("tf2onnx", "train") from error
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    source = f"{INPUT_NAME}:0"
    try:
        model, _ = tf2onnx.convert.from_graph_def(
            duplicate(graph_def),
            input_names=[source],
            output_names=[f"{FEATURES_NAME}:0"],
            opset=OPSET,
            inputs_as_nchw=[source],
        )
    except (ValueError, RuntimeError, NotImplementedError, tf.errors.OpError) as error:
        # ValueError: also what tf2onnx meets in GELU's constants, which it takes for text (ConvNeXt).
        raise LegoclfError(f"the module cannot be converted to ONNX: {error}") from error
    unknown = sorted({node.op_type for node in model.graph.node if node.domain not in ("", "ai.onnx")})
    if unknown:
        raise LegoclfError(f"the module has operators that ONNX lacks: {', '.join(unknown)}")
    return model


def _slim(model: ModelProto) -> ModelProto:
    try:
        import onnxslim
    except ImportError as error:
        raise missing_package("onnxslim", "train") from error
    return onnxslim.slim(model)


def _renamed(model: ModelProto) -> ModelProto:
    """The same graph with plain names, typed afresh, and nothing of the converters' own left in it."""
    from onnx import checker, helper, shape_inference

    old = model.graph
    names = {old.input[0].name: INPUT_NAME}
    constants = {constant.name: constant for constant in old.initializer}
    nodes, initializers = [], []
    for index, node in enumerate(old.node):
        name = f"{node.op_type}_{index}"
        for place, used in enumerate(node.input):
            if used in constants and used not in names:
                names[used] = f"{name}.{_role(node, place)}"
                initializers.append(_named(constants[used], names[used]))
        for place, made in enumerate(node.output):
            names[made] = f"{name}.out{place}" if place else name
        if old.output[0].name in node.output:
            names[old.output[0].name] = FEATURES_NAME
        nodes.append(_node(node, name, names))
    image = [size.dim_value for size in old.input[0].type.tensor_type.shape.dim[1:]]
    graph = helper.make_graph(
        nodes,
        "feature_vector",
        [helper.make_tensor_value_info(INPUT_NAME, 1, [_BATCH, *image])],
        [_matrix(FEATURES_NAME, feature_size(model))],
        initializers,
    )
    plain = helper.make_model(
        graph,
        producer_name="legoclf",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    plain = shape_inference.infer_shapes(plain, strict_mode=True)
    checker.check_model(plain, full_check=True)
    return plain


def _role(node: NodeProto, place: int) -> str:
    roles = _ROLES.get(node.op_type, ())
    return roles[place] if place < len(roles) else str(place)


def _node(node: NodeProto, name: str, names: dict[str, str]) -> NodeProto:
    copy = type(node)(op_type=node.op_type, name=name)
    # An input or output left out is an empty name and stays one.
    copy.input.extend(names[used] if used else "" for used in node.input)
    copy.output.extend(names[made] if made else "" for made in node.output)
    copy.attribute.extend(sorted(node.attribute, key=lambda attribute: attribute.name))
    return copy


def _named(constant: Any, name: str) -> Any:
    from onnx import numpy_helper

    return numpy_helper.from_array(numpy_helper.to_array(constant), name)


def _matrix(name: str, columns: int) -> ValueInfoProto:
    from onnx import helper

    return helper.make_tensor_value_info(name, 1, [_BATCH, columns])
