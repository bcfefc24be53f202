"""Where a graph parts from the reference: the error that each layer adds, on the images that differ most.

A layer's own error is what it does wrong on the reference's inputs: it is fed what the reference's layers
gave, so that nothing before it counts. One damaged layer stands out, however far it drags the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from legoclf.bundle import (
    FP16_MODEL,
    FROZEN_GRAPH,
    INT8_MODEL,
    JETSON_INFERENCE_MODEL,
    ONNX_MODEL,
    SAVED_MODEL,
    Bundle,
)
from legoclf.convert.fp16_weights import FP16_LARGEST
from legoclf.convert.frozen import INPUT_NAME, LOGITS_NAME, import_tensorflow, read_frozen
from legoclf.convert.ranges import emulate
from legoclf.convert.verify_compare import Comparison
from legoclf.convert.verify_paths import (
    FP16,
    FP32,
    INT8,
    OnnxGraph,
    TensorFlowGraph,
    for_jetson_inference,
    read_onnx,
    to_nhwc,
)

if TYPE_CHECKING:
    from onnx import ModelProto
    from tensorflow.core.framework.graph_pb2 import GraphDef

#: A layer's own error, relative to what it should give, beyond which it is at fault. Measured on MobileNetV2:
#: rounding to FP16 gives 2e-4 to 2e-3, to 8 bits up to 0.06, another order of FP32 sums below 1e-5.
OWN_ERROR = {FP32: 1e-4, FP16: 1e-2, INT8: 0.15}


@dataclass
class Layer:
    """One layer in both graphs, over all images that were looked at.

    largest: largest |activation| of the reference. overflows: values of the graph's own run that are not
    finite.
    """

    name: str
    operator: str
    largest: float = 0.0
    overflows: int = 0
    _squares: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])

    @property
    def own(self) -> float:
        """The error that this layer adds: L2 norm of the difference over that of the reference's values."""
        return _ratio(self._squares[0], self._squares[2])

    @property
    def total(self) -> float:
        """The same of the graph as it runs, with what the layers before it add."""
        return _ratio(self._squares[1], self._squares[2])

    def add(self, expected: np.ndarray, own: np.ndarray, total: np.ndarray) -> None:
        """Count one image's values: the reference's, and this graph's on its inputs and on its own."""
        self.largest = max(self.largest, float(np.abs(expected).max(initial=0.0)))
        self.overflows += int(np.count_nonzero(~np.isfinite(total)))
        wide = expected.astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            for place, values in enumerate((own - wide, total - wide, wide)):
                self._squares[place] += float(np.square(values, dtype=np.float64).sum())


@dataclass(frozen=True)
class Explanation:
    """The layers of one graph in order, and which is at fault."""

    name: str
    file: str
    family: str
    images: int
    layers: list[Layer]

    @property
    def first(self) -> Layer | None:
        """The first layer at fault; None if none is."""
        return next((layer for layer in self.layers if not layer.own <= OWN_ERROR[self.family]), None)

    def verdict(self) -> str:
        """What is at fault, in a sentence."""
        layer = self.first
        if layer is None:
            worst = sorted(self.layers, key=lambda one: -one.own)[:3]
            named = ", ".join(f"{one.name} ({one.operator}) {one.own:.2g}" for one in worst)
            return (
                f"no layer alone is at fault: errors add up to {max(one.total for one in self.layers):.2g}; "
                f"the largest of single layers: {named}"
            )
        if self.family == FP16 and layer.largest > FP16_LARGEST:
            return (
                f"{layer.name} ({layer.operator}) overflows: its largest |activation| is "
                f"{layer.largest:.0f}, and FP16 ends at {FP16_LARGEST:.0f}"
            )
        return f"{layer.name} ({layer.operator}) is at fault: its own error is {layer.own:.2g}"


def explain(bundle: Bundle, comparison: Comparison) -> Explanation | None:
    """Compare a graph with model.onnx layer by layer, on the images on which their answers differ most.

    ONNX graphs are joined by the names of their nodes. TensorFlow's are joined by their logits and by the
    order of their activations (ReLU, ReLU6), if both graphs have as many, of the same shapes.

    Returns:
        None for what shows no such layers, as an engine.

    Raises:
        LegoclfError: a graph cannot be loaded.
    """
    path = comparison.path
    tensors = [tensor for _, _, tensor in comparison.worst]
    reference = read_onnx(bundle.file(ONNX_MODEL))
    if path.file in (FROZEN_GRAPH, f"{SAVED_MODEL}/saved_model.pb"):
        layers = _tensorflow_layers(reference, _graph_def(bundle.file(path.file)), path.name, tensors)
    elif path.file in (FP16_MODEL, INT8_MODEL, JETSON_INFERENCE_MODEL):
        model = read_onnx(bundle.file(path.file))
        layers = onnx_layers(reference, model, tensors, _given(path.file), is_fp16=path.family == FP16)
    else:
        return None
    return Explanation(path.name, path.file, path.family, len(tensors), layers) if layers else None


def onnx_layers(
    reference: ModelProto,
    other: ModelProto,
    tensors: Sequence[np.ndarray],
    given: Callable[[np.ndarray], np.ndarray] = lambda tensor: tensor,
    is_fp16: bool = False,
) -> list[Layer]:
    """The layers that two graphs share, in the order of the reference.

    Args:
        reference: FP32.
        other: with nodes of the same names.
        tensors: float32 [3, H, W] each, inputs of the reference.
        given: makes the other's input of the reference's, [N, 3, H, W].
        is_fp16: the other is typed FP16, and runs with FP16's range and rounding.
    """
    outputs = {node.name: node.output[0] for node in other.graph.node if node.name and node.output}
    other = emulate(other) if is_fp16 else other
    pairs = _pairs(reference, other, outputs)
    expected_names, names = [pair.expected for pair in pairs], [pair.found for pair in pairs]
    layers = [Layer(pair.name, pair.operator) for pair in pairs]
    graphs = [
        OnnxGraph(_exposed(reference, expected_names), ONNX_MODEL, optimized=False),
        OnnxGraph(_exposed(other, names), "the other graph", optimized=False),
        OnnxGraph(_cut(_exposed(other, names), names), "the other graph", optimized=False),
    ]
    for tensor in tensors:
        expected = graphs[0].run(expected_names, {graphs[0].input: tensor[None]})
        feed = {graphs[1].input: given(tensor[None])}
        total = graphs[1].run(names, feed)
        fed = {_fed(name): values for name, values in zip(names, expected, strict=True)}
        own = graphs[2].run(names, {**feed, **fed})
        for layer, *values in zip(layers, expected, own, total, strict=True):
            layer.add(*values)
    return layers


def _ratio(squares: float, reference: float) -> float:
    if not np.isfinite(squares):
        return inf
    return sqrt(squares / reference) if reference else (inf if squares else 0.0)


def _given(file: str) -> Callable[[np.ndarray], np.ndarray]:
    return for_jetson_inference if file == JETSON_INFERENCE_MODEL else lambda tensor: tensor


class _Pair(NamedTuple):
    """A node of both graphs: name, operator, and the tensor it gives in the reference and in the other."""

    name: str
    operator: str
    expected: str
    found: str


def _pairs(reference: ModelProto, other: ModelProto, outputs: Mapping[str, str]) -> list[_Pair]:
    """The nodes that both graphs have and that give floats of the same shape, in the reference's order."""
    from onnx import TensorProto, shape_inference

    shapes = [
        _float_shapes(shape_inference.infer_shapes(model), TensorProto.FLOAT) for model in (reference, other)
    ]
    return [
        _Pair(node.name, node.op_type, node.output[0], outputs[node.name])
        for node in reference.graph.node
        if node.name in outputs
        and node.output[0] in shapes[0]
        and shapes[0][node.output[0]] == shapes[1].get(outputs[node.name])
    ]


def _float_shapes(model: ModelProto, float_type: int) -> dict[str, tuple[int, ...]]:
    """Of each float tensor that a node makes, the shape but for the batch."""
    return {
        value.name: tuple(size.dim_value for size in value.type.tensor_type.shape.dim[1:])
        for value in (*model.graph.value_info, *model.graph.output)
        if value.type.tensor_type.elem_type == float_type
    }


def _exposed(model: ModelProto, names: Sequence[str]) -> ModelProto:
    """The same graph, with those tensors among its outputs."""
    from onnx import TensorProto, helper

    result = type(model)()
    result.CopyFrom(model)
    present = {value.name for value in model.graph.output}
    result.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names if name not in present
    )
    return result


def _fed(name: str) -> str:
    return f"{name}/reference"


def _cut(model: ModelProto, names: Sequence[str]) -> ModelProto:
    """The graph cut behind those tensors: what read one of them reads a new input instead."""
    from onnx import TensorProto, helper

    cut = set(names)
    for node in model.graph.node:
        node.input[:] = [_fed(name) if name in cut else name for name in node.input]
    model.graph.input.extend(
        helper.make_tensor_value_info(_fed(name), TensorProto.FLOAT, None) for name in names
    )
    return model


def _graph_def(path: str) -> GraphDef:
    """The graph in a frozen graph's file, or in a SavedModel's."""
    if not path.endswith("saved_model.pb"):
        return read_frozen(path)
    import_tensorflow()
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    return SavedModel.FromString(Path(path).read_bytes()).meta_graphs[0].graph_def


def _tensorflow_layers(
    reference: ModelProto, graph_def: GraphDef, name: str, tensors: Sequence[np.ndarray]
) -> list[Layer]:
    """Activations in their order, then the logits; empty where the two graphs do not have the same."""
    activations = [node.name for node in graph_def.node if node.op in ("Relu", "Relu6")]
    twins = [node for node in reference.graph.node if node.op_type in ("Relu", "Clip")]
    if len(activations) != len(twins) or not any(node.name == LOGITS_NAME for node in graph_def.node):
        return []
    names, expected_names = [*activations, LOGITS_NAME], [*(node.output[0] for node in twins), LOGITS_NAME]
    layers = [Layer(name, node.op_type) for name, node in zip(activations, twins, strict=True)]
    layers.append(Layer(LOGITS_NAME, "Gemm"))
    graph = OnnxGraph(_exposed(reference, expected_names), ONNX_MODEL, optimized=False)
    with TensorFlowGraph(graph_def, name) as other:
        for tensor in tensors:
            feed = {INPUT_NAME: to_nhwc(tensor[None])}
            expected = [_as_tensorflow(x) for x in graph.run(expected_names, {graph.input: tensor[None]})]
            total = other.run(names, feed)
            if [x.shape for x in expected] != [x.shape for x in total]:
                return []
            for place, layer in enumerate(layers):
                fed = dict(zip(names[:place], expected[:place], strict=True))
                (own,) = other.run([names[place]], {**feed, **fed})
                layer.add(expected[place], own, total[place])
    return layers


def _as_tensorflow(values: np.ndarray) -> np.ndarray:
    return to_nhwc(values) if values.ndim == 4 else values
