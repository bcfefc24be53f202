"""Lint: whether a device's ONNX parser takes a graph, told on the training machine.

What each parser takes stands in ``onnx_operators.json`` (operators and their types, opset) and below (the
restrictions that the same document of onnx-tensorrt gives in words). A graph without findings is one that
NVIDIA documents to be taken. A finding may be stricter than the parser: TensorRT casts DOUBLE to FP32 with a
warning, say; a graph that depends on it is not one to ship.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from legoclf.convert.lint_rules import constant_inputs, half_bounds, restrictions
from legoclf.convert.targets import TARGETS, Target, find_target
from legoclf.errors import LegoclfError, missing_package

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

WHOLE_MODEL = "(the model)"

#: Nodes of one finding that the report names.
_NODES_SHOWN = 3

_STANDARD_DOMAINS = ("", "ai.onnx")
_INT32 = -(2**31), 2**31 - 1
# By ONNX's name of a type, TensorRT's: the others have none.
_TYPE_NAMES = {
    "FLOAT": "FP32", "FLOAT16": "FP16", "BFLOAT16": "BF16", "FLOAT8E4M3FN": "FP8", "INT4": "INT4",
    "INT8": "INT8", "INT32": "INT32", "INT64": "INT64", "UINT8": "UINT8", "BOOL": "BOOL",
}  # fmt: skip
# The type that the table speaks of is that of the first input which may have several; here, another.
_TABLE_TYPE_OF = {"OneHot": "values"}
_KEEPS_CONSTANT = ("Cast", "Constant", "DequantizeLinear", "Identity", "QuantizeLinear")


@dataclass(frozen=True)
class Finding:
    """What a device's parser does not take.

    Attributes:
        node: its name; where it has none, the name of its first output.
        op: its operator, with its domain where that is not ONNX's own.
        what: what is wrong with it.
        mend: what to do about it.
    """

    node: str
    op: str
    what: str
    mend: str


def lint(model: ModelProto, target: str | Target) -> list[Finding]:
    """What the parser of a device does not take of a model, in the order of the graph.

    The graphs inside ``If``, ``Loop`` and ``Scan`` are looked at too. Tensors whose type ONNX cannot tell
    (behind operators of a foreign domain) are passed over.

    Raises:
        UsageError: there is no such target.
        LegoclfError: onnx is not installed, or the model contradicts itself.
    """
    device = find_target(target) if isinstance(target, str) else target
    typed = _with_types(model)
    findings = _versions(typed, device)
    for graph, node in _nodes(typed.graph, _Scope.of(typed.graph)):
        findings.extend(_check_node(node, graph, device, _opset(typed)))
    return findings


def check(model: ModelProto, target: str | Target) -> None:
    """Refuse a model that a device's parser does not take.

    Raises:
        LegoclfError: names the first finding and how many there are.
    """
    findings = lint(model, target)
    if findings:
        name = target if isinstance(target, str) else target.name
        first = findings[0]
        more = f" (the first of {len(findings)} findings)" if len(findings) > 1 else ""
        raise LegoclfError(
            f"{name} does not take {first.node} ({first.op}): {first.what}; {first.mend}{more}"
        )


def report(findings: list[Finding], target: str | Target) -> str:
    """The findings as a text: what the target is, then a line for each, nodes of one finding together."""
    device = find_target(target) if isinstance(target, str) else target
    typing = ", strongly typed" if device.strongly_typed else ""
    head = f"{device.name} ({device.device}: TensorRT {device.tensorrt}, opset {device.opset}{typing})"
    if not findings:
        return f"{head}: takes the graph\n"
    groups: dict[tuple[str, str, str], list[str]] = {}
    for each in findings:
        groups.setdefault((each.op, each.what, each.mend), []).append(each.node)
    lines = [f"  {_some(nodes)} ({op}): {what}; {mend}" for (op, what, mend), nodes in groups.items()]
    count = f"{len(findings)} finding{'s' * (len(findings) > 1)}"
    return "\n".join([f"{head}: {count}", *lines]) + "\n"


def _some(nodes: list[str]) -> str:
    more = f" and {len(nodes) - _NODES_SHOWN} more" if len(nodes) > _NODES_SHOWN else ""
    return ", ".join(nodes[:_NODES_SHOWN]) + more


class _Scope:
    """What a graph's nodes see by name, from the graphs around it too: types, constants, the model's ends."""

    def __init__(self, types: Mapping[str, str], constants: Mapping[str, Any], ends: frozenset[str]) -> None:
        self.types = types
        self.constants = constants
        self.ends = ends

    @classmethod
    def of(cls, graph: GraphProto, outer: _Scope | None = None) -> _Scope:
        from onnx import TensorProto, numpy_helper

        types = dict(outer.types) if outer else {}
        constants = dict(outer.constants) if outer else {}
        names = {number: name for name, number in TensorProto.DataType.items()}
        for value in (*graph.input, *graph.value_info, *graph.output):
            types[value.name] = names.get(value.type.tensor_type.elem_type, "of no known type")
        for tensor in graph.initializer:
            types[tensor.name] = names.get(tensor.data_type, "of no known type")
            constants[tensor.name] = numpy_helper.to_array(tensor)
        for node in graph.node:
            if node.op_type == "Constant" and any(each.name == "value" for each in node.attribute):
                constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
            elif node.op_type in _KEEPS_CONSTANT and all(name in constants for name in node.input if name):
                # Constant too, though not worth computing: most rules ask only whether it is one.
                constants[node.output[0]] = None
        own_ends = frozenset(value.name for value in (*graph.input, *graph.output))
        return cls(types, constants, outer.ends if outer else own_ends)


def _with_types(model: ModelProto) -> ModelProto:
    try:
        from onnx import shape_inference
    except ImportError as error:
        raise missing_package("onnx", "train") from error
    try:
        return shape_inference.infer_shapes(model)
    except (ValueError, RuntimeError, shape_inference.InferenceError) as error:
        cause = str(error).strip().partition("\n")[0]
        raise LegoclfError(f"the ONNX graph contradicts itself: {cause}") from error


def _nodes(graph: GraphProto, scope: _Scope) -> Iterator[tuple[_Scope, NodeProto]]:
    """Each node with the scope it stands in, those of inner graphs after the node that holds them."""
    for node in graph.node:
        yield scope, node
        for attribute in node.attribute:
            inner_graphs = [attribute.g] if attribute.HasField("g") else list(attribute.graphs)
            for inner in inner_graphs:
                yield from _nodes(inner, _Scope.of(inner, scope))


def _opset(model: ModelProto) -> int:
    return max((each.version for each in model.opset_import if each.domain in _STANDARD_DOMAINS), default=1)


def _versions(model: ModelProto, target: Target) -> list[Finding]:
    findings = []
    if _opset(model) > target.opset:
        what = f"TensorRT {target.tensorrt} knows opsets up to {target.opset}"
        mend = f"export it at opset {min(13, target.opset)}"
        findings.append(Finding(WHOLE_MODEL, f"opset {_opset(model)}", what, mend))
    if model.ir_version > target.ir_version:
        what = f"the parser of TensorRT {target.tensorrt} was built with IR {target.ir_version}"
        mend = f"set ir_version to {target.ir_version}, which its opset allows"
        findings.append(Finding(WHOLE_MODEL, f"IR {model.ir_version}", what, mend))
    return findings


def _check_node(node: NodeProto, scope: _Scope, target: Target, opset: int) -> list[Finding]:
    name = node.name or node.output[0]
    if node.domain not in _STANDARD_DOMAINS:
        mend = "write it with ONNX's own operators: a plugin for it would have to be on the device"
        return [Finding(name, f"{node.domain}.{node.op_type}", "is of a domain that TensorRT lacks", mend)]
    taken = target.types(node.op_type)
    if taken is None:
        return [Finding(name, node.op_type, f"TensorRT {target.tensorrt} lacks the operator", _others(node))]
    complaints = [
        *_types(node, scope, target, taken, opset),
        *_wide_constants(node, scope, target),
        *constant_inputs(node, scope.constants, target),
        *half_bounds(node, scope.constants, target),
        *restrictions(node, scope.constants),
    ]
    return [Finding(name, node.op_type, what, mend) for what, mend in complaints]


def _others(node: NodeProto) -> str:
    names = [target.name for target in TARGETS.values() if target.types(node.op_type) is not None]
    takers = f" ({', '.join(names)} {'takes' if len(names) == 1 else 'take'} it)" if names else ""
    return f"write it with other operators, or export at opset 13{takers}"


def _types(
    node: NodeProto, scope: _Scope, target: Target, taken: tuple[str, ...], opset: int
) -> Iterator[tuple[str, str]]:
    """A complaint for each type of the node's data that the table does not list."""
    seen = set()
    for tensor in _data_tensors(node, opset):
        onnx_type = scope.types.get(tensor, "UNDEFINED")
        if onnx_type == "UNDEFINED" or onnx_type in seen:
            continue
        seen.add(onnx_type)
        name = _TYPE_NAMES.get(onnx_type, onnx_type)
        if name == "INT64" and not target.int64:
            name = "INT32"
        if name == "UINT8" and node.op_type == "Cast":
            if not target.uint8_ends:
                yield f"'{tensor}' is UINT8, which TensorRT {target.tensorrt} lacks", "use FP32 or INT32"
            elif tensor not in scope.ends:
                yield f"'{tensor}' is UINT8 inside the graph", "keep UINT8 to the model's inputs and outputs"
        elif name not in taken:
            yield f"'{tensor}' is {onnx_type}; taken are {', '.join(taken)}", f"cast it to {taken[0]} before"
    if node.op_type == "QuantizeLinear":
        stored = _TYPE_NAMES.get(scope.types.get(node.output[0], ""), "")
        quantized = target.types("DequantizeLinear") or ()
        if stored and stored not in quantized:
            yield (
                f"quantises to {stored}; taken are {', '.join(quantized)}",
                "quantise to INT8, symmetrically",
            )


def _data_tensors(node: NodeProto, opset: int) -> list[str]:
    """The tensors of a node that its row of types is about; not shapes, axes, indices or conditions."""
    from onnx import defs

    if not defs.has(node.op_type, opset, ""):
        return []  # from ONNX's early days; TensorRT still has it
    schema = defs.get_schema(node.op_type, opset, "")
    inputs = list(zip(_formals(schema.inputs, len(node.input)), node.input, strict=False))
    outputs = list(zip(_formals(schema.outputs, len(node.output)), node.output, strict=False))
    if node.op_type == "Cast":
        return [name for _, name in (*inputs, *outputs)]
    wanted = _TABLE_TYPE_OF.get(node.op_type)
    several = (
        formal.type_str
        for formal in (*(formal for formal, _ in inputs), *(formal for formal, _ in outputs))
        if (formal.name == wanted if wanted else len(formal.types) > 1)
    )
    chosen = next(several, outputs[0][0].type_str)
    return [name for formal, name in (*inputs, *outputs) if formal.type_str == chosen and name]


def _formals(declared: Any, count: int) -> list[Any]:
    """As many declared parameters as there are actual ones: the last may stand for many."""
    formals = list(declared)[:count]
    return formals + formals[-1:] * (count - len(formals))


def _wide_constants(node: NodeProto, scope: _Scope, target: Target) -> Iterator[tuple[str, str]]:
    """INT64 constants that INT32 cannot hold; the ends of a Slice mean the same when clamped."""
    if target.int64 or node.op_type == "Slice":
        return
    for name in node.input:
        values = scope.constants.get(name)
        if values is None or scope.types.get(name) != "INT64" or not values.size:
            continue
        if values.min() < _INT32[0] or values.max() > _INT32[1]:
            what = f"'{name}' holds an INT64 beyond INT32, to which TensorRT {target.tensorrt} clamps it"
            yield what, "keep the values within INT32"
