"""What ONNX parsers of TensorRT restrict beside types: attributes, and inputs that must be constants.

Source: the column «Restrictions» of docs/operators.md of onnx-tensorrt (its releases 8.2 to 10.15). Only what
image classifiers can meet is here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from legoclf.convert.targets import Target

if TYPE_CHECKING:
    from onnx import NodeProto

# Operator, place of the input, its name.
_CONSTANTS = {
    **{f"Reduce{kind}": {1: "axes"} for kind in ("Max", "Mean", "Min", "Prod", "Sum", "L1", "L2")},
    "CumSum": {1: "axis"},
    "Slice": {3: "axes"},
    "Squeeze": {1: "axes"},
    "Unsqueeze": {1: "axes"},
}
_CONSTANTS_OF_TABLE = {
    "8.2": {
        "Conv": {1: "W"},
        "ConvTranspose": {1: "W"},
        "InstanceNormalization": {1: "scale", 2: "B"},
        "TopK": {1: "K"},
    },
    "8.5": {"InstanceNormalization": {1: "scale", 2: "B"}, "TopK": {1: "K"}},
}

_RESIZE = {
    "mode": ("nearest", "linear"),
    "coordinate_transformation_mode": (
        "half_pixel", "pytorch_half_pixel", "tf_half_pixel_for_nn", "asymmetric", "align_corners",
    ),
    "nearest_mode": ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil"),
    "antialias": (0,),
    "keep_aspect_ratio_policy": ("stretch",),
}  # fmt: skip

Complaint = tuple[str, str]


def constant_inputs(node: NodeProto, constants: Mapping[str, Any], target: Target) -> Iterator[Complaint]:
    """What is wrong and its mend, for each input that must be a constant of the graph and is none."""
    places = _CONSTANTS.get(node.op_type, {}) | _CONSTANTS_OF_TABLE.get(target.table, {}).get(
        node.op_type, {}
    )
    for place, role in places.items():
        if place < len(node.input) and node.input[place] and node.input[place] not in constants:
            yield f"its {role} '{node.input[place]}' is computed", f"make {role} a constant of the graph"


def half_bounds(node: NodeProto, constants: Mapping[str, Any], target: Target) -> Iterator[Complaint]:
    """What is wrong and its mend, where a Clip has FP16 bounds and the parser takes their bytes for FP32.

    Native FP16 constants came with TensorRT 8.4 (docs/Changelog.md of onnx-tensorrt).
    """
    if node.op_type == "Clip" and target.table == "8.2":
        bounds = [name for name in node.input[1:] if getattr(constants.get(name), "itemsize", 0) == 2]
        if bounds:
            yield (
                f"TensorRT {target.tensorrt} reads its FP16 bound '{bounds[0]}' as FP32",
                "build FP16 from the FP32 graph, by the builder's flag",
            )


def restrictions(node: NodeProto, constants: Mapping[str, Any]) -> Iterator[Complaint]:
    """What is wrong and its mend, for each attribute, input or output of a node that no release takes."""
    from onnx import helper

    attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    rule = _RULES.get(node.op_type)
    if rule is not None:
        yield from rule(node, attributes, constants)


def _batch_normalization(
    node: NodeProto, attributes: dict[str, Any], _: Mapping[str, Any]
) -> Iterator[Complaint]:
    if attributes.get("training_mode", 0) or len(node.output) > 1:
        yield "normalises by the batch at hand (training mode)", "export the model for inference"


def _dropout(node: NodeProto, _: dict[str, Any], constants: Mapping[str, Any]) -> Iterator[Complaint]:
    if len(node.input) > 2 and node.input[2]:
        training = constants.get(node.input[2])
        if training is None or training.any():
            yield "drops values (training mode)", "export the model for inference"


def _pooling(node: NodeProto, attributes: dict[str, Any], _: Mapping[str, Any]) -> Iterator[Complaint]:
    if any(step != 1 for step in attributes.get("dilations", ())):
        yield f"pools with dilations {list(attributes['dilations'])}", "use dilations of 1"
    if node.op_type == "MaxPool" and len(node.output) > 1 and node.output[1]:
        yield "gives Indices, its second output", "use the first output only"


def _quantization(node: NodeProto, _: dict[str, Any], constants: Mapping[str, Any]) -> Iterator[Complaint]:
    if len(node.input) > 2 and node.input[2]:
        zero_point = constants.get(node.input[2])
        if zero_point is None or zero_point.any():
            yield f"its zero point '{node.input[2]}' is no constant 0", "quantise symmetrically"


def _resize(_: NodeProto, attributes: dict[str, Any], __: Mapping[str, Any]) -> Iterator[Complaint]:
    for name, taken in _RESIZE.items():
        value = attributes.get(name, taken[0])
        value = value.decode() if isinstance(value, bytes) else value
        if value not in taken:
            yield f"{name}={value}; taken are {', '.join(map(str, taken))}", f"resize with {name}={taken[0]}"


def _layer_normalization(node: NodeProto, _: dict[str, Any], __: Mapping[str, Any]) -> Iterator[Complaint]:
    if any(node.output[1:]):
        yield "gives Mean or InvStdDev beside Y", "use the first output only"


def _scatter(_: NodeProto, attributes: dict[str, Any], __: Mapping[str, Any]) -> Iterator[Complaint]:
    if attributes.get("reduction", b"none") != b"none":
        yield f"reduction={attributes['reduction'].decode()}", "use reduction=none"


def _loop(node: NodeProto, attributes: dict[str, Any], constants: Mapping[str, Any]) -> Iterator[Complaint]:
    carried = len(node.input) - 2
    if len(node.output) > carried and (not node.input[0] or node.input[0] not in constants):
        yield "stacks as many results as it happens to run", "make its trip count a constant, or unroll it"
    body = attributes["body"]
    for given, made in zip(body.input[2:], body.output[1 : carried + 1], strict=False):
        before, after = (_sizes(value) for value in (given, made))
        if before is not None and after is not None and before != after:
            yield (
                f"'{given.name}' changes its shape from {before} to {after}",
                "keep what is carried in shape",
            )


def _sizes(value: Any) -> list[int | str] | None:
    tensor_type = value.type.tensor_type
    if not tensor_type.HasField("shape"):
        return None
    return [size.dim_param or size.dim_value for size in tensor_type.shape.dim]


_RULES = {
    "AveragePool": _pooling,
    "BatchNormalization": _batch_normalization,
    "DequantizeLinear": _quantization,
    "Dropout": _dropout,
    "LayerNormalization": _layer_normalization,
    "Loop": _loop,
    "LpPool": _pooling,
    "MaxPool": _pooling,
    "QuantizeLinear": _quantization,
    "Resize": _resize,
    "ScatterND": _scatter,
}
