"""FP16 ONNX: the weights and the compute of a graph in half precision, every tensor with its type.

Builders without an FP16 flag (TensorRT 11, TensorRT for RTX) take the precision of each layer from the types
of the graph. Casts stand only where the precision changes.

The converters at hand do not serve: both clip weights that leave FP16's range. Where a Clip stays FP32,
onnxconverter-common 1.16 mistypes the bounds that it shares with others; ONNX Runtime 1.31's gives nodes out
of order, and a pair of casts between any two neighbours that stay FP32.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from legoclf.convert.fp16_weights import WeightLoss, halved, weight_loss
from legoclf.convert.novelty import NOVELTY_NAME
from legoclf.errors import LegoclfError

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

_FLOAT, _HALF = 1, 10  # TensorProto.FLOAT, TensorProto.FLOAT16
_POOLING = ("GlobalAveragePool", "ReduceMean", "GlobalMaxPool", "AveragePool", "MaxPool")
_SCALING = ("Mul", "Div", "Add", "Sub")


def to_fp16(model: ModelProto, keep_fp32: Collection[str] = ()) -> ModelProto:
    """The same graph with weights and compute in FP16; inputs and outputs stay FP32.

    What scales the input, the final pooling and all that follows it (dense layer, softmax) stay FP32, and so
    do the nodes to keep and those whose operator has no FP16. Node names stay as they are; a cast is named
    after the tensor it makes, ``<tensor>.fp16`` or ``<tensor>.fp32``. Equal models give equal models.

    The parser of TensorRT before 8.4 reads FP16 bounds of a Clip as FP32: there, build FP16 from the FP32
    graph with the builder's flag.

    Args:
        model: FP32, its nodes named; left as it is.
        keep_fp32: names of nodes.

    Raises:
        LegoclfError: there is no node of such a name, the graph has control flow or unnamed nodes, or
            weights do not fit into FP16.
    """
    typed = _typed(model)
    halves = _half_nodes(typed, keep_fp32)
    for loss in _losses(typed, halves):
        if not loss.fits:
            raise LegoclfError(f"node {loss.node}: {loss}; keep this node FP32")
    _Rewriter(typed, halves).rewrite()
    return _finished(typed)


def half_nodes(model: ModelProto, keep_fp32: Collection[str] = ()) -> set[str]:
    """The names of the nodes that :func:`to_fp16` computes in FP16."""
    return _half_nodes(_typed(model), keep_fp32)


def weight_losses(model: ModelProto) -> list[WeightLoss]:
    """The weight tensors of the nodes that can go to FP16 in which values overflow or become 0."""
    typed = _typed(model)
    return list(_losses(typed, _half_nodes(typed, ())))


def tensor_types(model: ModelProto) -> dict[str, int]:
    """The element type (``TensorProto.DataType``) of each tensor that the model's shape inference knows."""
    graph = model.graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input)}
    types.update((value.name, value.type.tensor_type.elem_type) for value in graph.output)
    types.update((tensor.name, tensor.data_type) for tensor in graph.initializer)
    return types


def tail_nodes(model: ModelProto, outputs: Collection[str] | None = None) -> Iterator[str]:
    """Backwards from the outputs, the nodes that make [N, D] tensors, and the pooling they start from.

    What only the novelty needs is all of it, though there are tensors [N, K, k] in between.

    Args:
        model: its tensors typed.
        outputs: names of outputs of the graph; None for all.
    """
    own = _needed(model, {NOVELTY_NAME}) - _needed(
        model, {value.name for value in model.graph.output} - {NOVELTY_NAME}
    )
    ranks = {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in (*model.graph.value_info, *model.graph.output)
    }
    wanted = {value.name for value in model.graph.output} if outputs is None else set(outputs)
    for node in reversed(model.graph.node):
        if not wanted & set(node.output):
            continue
        flat = node.name in own or all(ranks.get(made, 0) <= 2 for made in node.output)
        if flat or node.op_type in _POOLING:
            yield node.name
        if flat:
            wanted.update(node.input)


def _needed(model: ModelProto, outputs: Collection[str]) -> set[str]:
    """The names of the nodes that those outputs need."""
    wanted, found = set(outputs), set()
    for node in reversed(model.graph.node):
        if wanted & set(node.output):
            found.add(node.name)
            wanted.update(node.input)
    return found


def _typed(model: ModelProto) -> ModelProto:
    """A copy with all its tensors typed, its nodes checked to be plain and named."""
    from onnx import shape_inference

    names = [node.name for node in model.graph.node]
    if not all(names) or len(set(names)) < len(names):
        raise LegoclfError("the model has nodes without a name, or two of one name")
    for node in model.graph.node:
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise LegoclfError(f"node {node.name} is control flow ({node.op_type}): FP16 takes plain graphs")
    return shape_inference.infer_shapes(model, strict_mode=True)


def _finished(model: ModelProto) -> ModelProto:
    from onnx import checker, shape_inference

    del model.graph.value_info[:]
    done = shape_inference.infer_shapes(model, strict_mode=True)
    checker.check_model(done, full_check=True)
    return done


def _half_nodes(model: ModelProto, keep_fp32: Collection[str]) -> set[str]:
    known = {node.name for node in model.graph.node}
    for name in keep_fp32:
        if name not in known:
            raise LegoclfError(f"no node '{name}' in the model, which was to stay FP32")
    full = {*keep_fp32, *tail_nodes(model), *_scaling(model)}
    types = tensor_types(model)
    return {node.name for node in model.graph.node if node.name not in full and _has_half(model, node, types)}


def _scaling(model: ModelProto) -> Iterator[str]:
    """The nodes that only scale the input by constants: FP32 sees the levels of 255 exactly."""
    constants = {tensor.name for tensor in model.graph.initializer}
    scaled = {value.name for value in model.graph.input}
    for node in model.graph.node:
        if node.op_type in _SCALING and set(node.input) <= scaled | constants:
            scaled.update(node.output)
            yield node.name


def _has_half(model: ModelProto, node: NodeProto, types: dict[str, int]) -> bool:
    """Whether a node computes floats, and its operator does so in FP16 too."""
    floats_in = [place for place, used in enumerate(node.input) if types.get(used) == _FLOAT]
    floats_out = [place for place, made in enumerate(node.output) if types.get(made) == _FLOAT]
    if not floats_in or node.op_type == "Cast":
        return False
    return any(_allows_half(model, node, place) for place in floats_in) and all(
        _allows_half(model, node, place, "outputs") for place in floats_out
    )


def _allows_half(model: ModelProto, node: NodeProto, place: int, side: str = "inputs") -> bool:
    """Whether the operator's schema allows FP16 at one of its inputs or outputs."""
    from onnx import defs

    opset = next(each.version for each in model.opset_import if each.domain == "")
    if node.domain not in ("", "ai.onnx") or not defs.has(node.op_type, opset, ""):
        return False
    formals = getattr(defs.get_schema(node.op_type, opset, ""), side)
    return "tensor(float16)" in formals[min(place, len(formals) - 1)].types


def _losses(model: ModelProto, halves: set[str]) -> Iterator[WeightLoss]:
    from onnx import numpy_helper

    weights = {tensor.name: tensor for tensor in model.graph.initializer if tensor.data_type == _FLOAT}
    for node in model.graph.node:
        for place, used in enumerate(node.input):
            if node.name not in halves or used not in weights or not _allows_half(model, node, place):
                continue
            values = numpy_helper.to_array(weights[used])
            loss = weight_loss(node, used, values)
            if loss.overflowed or loss.flushed:
                yield loss


class _Rewriter:
    """Gives each node its inputs in its own precision, in place; casts stand before their first use."""

    def __init__(self, model: ModelProto, halves: set[str]) -> None:
        self._model = model
        self._halves = halves
        self._types = tensor_types(model)
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._names: dict[tuple[str, int], str] = {}
        self._nodes: list[NodeProto] = []
        self._halved: dict[str, TensorProto] = {}
        self._full = {
            used
            for node in model.graph.node
            for place, used in enumerate(node.input)
            if self._wanted(node, place) == _FLOAT
        }

    def rewrite(self) -> None:
        graph = self._model.graph
        for value in graph.input:
            self._names[value.name, _FLOAT] = value.name
        outputs = {value.name for value in graph.output}
        for node in graph.node:
            copy = type(node)()
            copy.CopyFrom(node)
            copy.input[:] = [
                self._read(node, place, used) if self._types.get(used) == _FLOAT else used
                for place, used in enumerate(node.input)
            ]
            self._nodes.append(copy)
            self._write(copy, outputs)
        halved_only = self._halved.keys() - self._full
        kept = [tensor for tensor in graph.initializer if tensor.name not in halved_only]
        del graph.node[:], graph.initializer[:]
        graph.node.extend(self._nodes)
        graph.initializer.extend([*kept, *self._halved.values()])

    def _wanted(self, node: NodeProto, place: int) -> int:
        half = node.name in self._halves and _allows_half(self._model, node, place)
        return _HALF if half else _FLOAT

    def _read(self, node: NodeProto, place: int, used: str) -> str:
        """The name under which a node finds a float tensor in the precision that it wants."""
        wanted = self._wanted(node, place)
        if used in self._weights:
            return self._half_weights(node, used) if wanted == _HALF else used
        if (used, wanted) not in self._names:
            self._cast(self._names[used, _HALF + _FLOAT - wanted], wanted, used)
        return self._names[used, wanted]

    def _half_weights(self, node: NodeProto, used: str) -> str:
        from onnx import numpy_helper

        name = f"{used}.fp16" if used in self._full else used
        if used not in self._halved:
            values = halved(node, numpy_helper.to_array(self._weights[used]))
            self._halved[used] = numpy_helper.from_array(values, name)
        return name

    def _write(self, node: NodeProto, outputs: set[str]) -> None:
        """Note what a node makes; an output of the graph that comes out as FP16 is cast back."""
        for place, made in enumerate(node.output):
            if node.name not in self._halves:
                self._names[made, _FLOAT] = made
            elif made in outputs and self._types[made] == _FLOAT:
                node.output[place] = f"{made}.fp16"
                self._names[made, _HALF] = f"{made}.fp16"
                self._cast(f"{made}.fp16", _FLOAT, made, made)
            else:
                self._names[made, _HALF] = made

    def _cast(self, source: str, wanted: int, tensor: str, name: str = "") -> None:
        from onnx import helper

        name = name or f"{tensor}.{'fp16' if wanted == _HALF else 'fp32'}"
        self._nodes.append(helper.make_node("Cast", [source], [name], name=f"Cast.{name}", to=wanted))
        self._names[tensor, wanted] = name
