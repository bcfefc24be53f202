"""FP16 measured honestly: its range and its rounding, on a CPU that computes in FP32.

A CPU runtime computes an FP16 graph in FP32 inside fused regions, where nothing overflows. Here each node's
result goes to FP16 and back before the next one reads it, and the largest activation of each layer is
measured against the largest FP16 number.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from legoclf.convert.fp16 import tensor_types, to_fp16
from legoclf.convert.fp16_weights import FP16_LARGEST, halved
from legoclf.errors import LegoclfError, missing_package

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

_FLOAT, _HALF = 1, 10  # TensorProto.FLOAT, TensorProto.FLOAT16
PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True)
class LayerRange:
    """The largest activation of one node over the tensors that were measured.

    Attributes:
        node: its name.
        op: its operator.
        largest: largest |value| that it gives.
        largest_sum: of a node that sums products or pixels, the largest sum of |terms|: no partial sum is
            larger, in whatever order a kernel adds and even where it does so in FP16, as the original Nano's
            do. Of other nodes, ``largest``.
    """

    node: str
    op: str
    largest: float
    largest_sum: float

    @property
    def share_of_65504(self) -> float:
        """``largest`` over the largest FP16 number; beyond 1 it overflows."""
        return self.largest / FP16_LARGEST


#: An entry for a session: Q and DQ nodes are computed as they stand, in FP32. ONNX Runtime would make integer
#: kernels of them, and those saturate within a sum on CPUs without VNNI: the drift would be the CPU's.
QUANTISED_AS_WRITTEN = ("session.disable_quant_qdq", "1")


class Activations:
    """A model in ONNX Runtime that also gives the tensors between its nodes.

    Args:
        model: one float32 input [N, 3, H, W], N free or 1.
        wanted: names of the tensors to give; None for the graph's outputs.
    """

    def __init__(self, model: ModelProto, wanted: Sequence[str] | None = None) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise missing_package("onnxruntime", "train") from error

        self._wanted = list(wanted or (value.name for value in model.graph.output))
        opened = type(model)()
        opened.CopyFrom(model)
        given = {value.name for value in model.graph.output}
        for name in self._wanted:
            if name not in given:
                opened.graph.output.add(name=name)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry(*QUANTISED_AS_WRITTEN)
        self._session: Any = onnxruntime.InferenceSession(
            opened.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._input = model.graph.input[0].name

    def of(self, tensor: np.ndarray, more: Mapping[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
        """The wanted tensors for one image, float32 [3, H, W], and for what other inputs the model has."""
        return dict(
            zip(
                self._wanted,
                self._session.run(self._wanted, {self._input: tensor[None], **(more or {})}),
                strict=True,
            )
        )


def emulate_fp16(model: ModelProto, keep_fp32: Collection[str] = ()) -> ModelProto:
    """What :func:`legoclf.convert.fp16.to_fp16` makes of an FP32 model, as a graph that a CPU runs honestly.

    See :func:`emulate`. Raises what ``to_fp16`` raises.
    """
    return emulate(to_fp16(model, keep_fp32))


def emulate(typed: ModelProto) -> ModelProto:
    """A typed FP16 graph as one in FP32 that has FP16's range and rounding.

    Weights are rounded to FP16. Each FP16 node computes in FP32, and its result is cast to FP16 and back: as
    hardware does that multiplies FP16 and accumulates FP32. Names of tensors stay; overflow is infinite.
    """
    from onnx import numpy_helper

    types = tensor_types(typed)
    emulated = type(typed)()
    emulated.CopyFrom(typed)
    graph = emulated.graph
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    for tensor in typed.graph.initializer:
        if tensor.data_type == _HALF:
            wide = numpy_helper.to_array(tensor).astype(np.float32)
            graph.initializer.append(numpy_helper.from_array(wide, tensor.name))
        else:
            graph.initializer.append(tensor)
    for node in typed.graph.node:
        graph.node.extend(_emulated(node, types))
    return emulated


def through_half(source: str, made: str) -> Iterator[NodeProto]:
    """The pair of casts that gives ``made``, the tensor ``source`` rounded to FP16, in FP32."""
    from onnx import helper

    half = f"{made}/half"
    yield helper.make_node("Cast", [source], [half], name=f"to_half/{made}", to=_HALF)
    yield helper.make_node("Cast", [half], [made], name=f"from_half/{made}", to=_FLOAT)


def halve_inputs(
    node: NodeProto, weights: Mapping[str, np.ndarray], graph: GraphProto, exact: Collection[str] = ()
) -> list[NodeProto]:
    """Let a node read its inputs with the range and the rounding of FP16, in FP32.

    Args:
        node: renamed inputs are written into it; its name must be its own in the graph.
        weights: float32 constants by name, of any shape; those it reads are rounded here.
        graph: gets the rounded weights as initializers.
        exact: names of inputs that it goes on reading as they are.

    Returns:
        the casts that its other inputs go through, which must stand before it.
    """
    from onnx import numpy_helper

    casts: list[NodeProto] = []
    for place, used in enumerate(list(node.input)):
        if used in exact:
            continue
        node.input[place] = half = f"{node.name}: half of {used}"
        if used in weights:
            wide = halved(node, weights[used]).astype(np.float32)
            graph.initializer.append(numpy_helper.from_array(wide, half))
        else:
            casts.extend(through_half(used, half))
    return casts


def layer_ranges(model: ModelProto, tensors: Iterable[np.ndarray]) -> list[LayerRange]:
    """The largest |activation| of each node that gives floats, in the order of the graph.

    Args:
        model: FP32, its tensors typed; N free or 1.
        tensors: float32 [3, H, W] each, as the input contract makes them; at least one. One image's
            activations are held at a time.

    Raises:
        LegoclfError: no tensor, or the FP32 model itself gives infinities or NaN: the first such node is
            named.
    """
    types = tensor_types(model)
    made = {
        node.output[0]: node
        for node in model.graph.node
        if node.output and types.get(node.output[0]) == _FLOAT
    }
    measured, sums = _with_sums(model)
    activations = Activations(measured, [*made, *sums.values()])
    largest: dict[str, float] = {}
    for tensor in tensors:
        for name, values in activations.of(tensor).items():
            largest[name] = max(largest.get(name, 0.0), _largest(values, made.get(name)))
    if not largest:
        raise LegoclfError("the layers' ranges need at least one image; got none")
    return [
        LayerRange(
            node.name, node.op_type, largest[name], max(largest[name], largest.get(sums.get(name, ""), 0))
        )
        for name, node in made.items()
    ]


def _largest(values: np.ndarray, node: NodeProto | None) -> float:
    largest = float(max(values.max(initial=0.0), -values.min(initial=0.0)))
    if node is not None and not np.isfinite(largest):
        raise LegoclfError(
            f"node {node.name} ({node.op_type}) gives infinity or NaN in FP32 already: train the model anew"
        )
    return largest


def _emulated(node: NodeProto, types: dict[str, int]) -> Iterator[NodeProto]:
    """What stands for one node of the typed graph."""
    from onnx import helper

    if node.op_type == "Cast" and types.get(node.input[0]) in (_FLOAT, _HALF):
        if types[node.output[0]] == _HALF:
            yield from through_half(node.input[0], node.output[0])
        else:
            yield helper.make_node("Identity", node.input, node.output, name=node.name)
        return
    copy = type(node)()
    copy.CopyFrom(node)
    halves = [made for made in node.output if types.get(made) == _HALF]
    copy.output[:] = [f"{made}/raw" if made in halves else made for made in node.output]
    yield copy
    for made in halves:
        yield from through_half(f"{made}/raw", made)


def _with_sums(model: ModelProto) -> tuple[ModelProto, dict[str, str]]:
    """The model with, beside each node that sums, its twin on absolute values; output to twin's output."""
    from onnx import helper, numpy_helper

    measured = type(model)()
    measured.CopyFrom(model)
    graph = measured.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    absolute: dict[str, str] = {}
    sums = {}
    for node in model.graph.node:
        if node.op_type not in PRODUCTS or not all(used in weights for used in node.input[1:]):
            continue
        for used in node.input:
            if used in absolute:
                continue
            absolute[used] = f"|{used}|"
            if used in weights:
                values = np.abs(numpy_helper.to_array(weights[used]))
                graph.initializer.append(numpy_helper.from_array(values, absolute[used]))
            else:
                graph.node.append(helper.make_node("Abs", [used], [absolute[used]]))
        twin = type(node)()
        twin.CopyFrom(node)
        twin.name = sums[node.output[0]] = f"sum of |{node.output[0]}|"
        twin.input[:] = [absolute[used] for used in node.input]
        twin.output[:] = [twin.name]
        graph.node.append(twin)
    return measured, sums
