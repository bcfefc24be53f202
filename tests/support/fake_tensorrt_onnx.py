"""The ONNX side of the fake TensorRT: what its parser refuses, and running a graph in ONNX Runtime."""

from typing import Any, Dict, FrozenSet, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np
from fake_tensorrt_facts import Facts

# onnx.TensorProto.DataType, by the names of the parser's table and of tensorrt.DataType
_TABLE = {1: "FP32", 2: "UINT8", 3: "INT8", 6: "INT32", 7: "INT64", 9: "BOOL", 10: "FP16", 16: "BF16"}
DTYPES = {1: "FLOAT", 2: "UINT8", 3: "INT8", 6: "INT32", 7: "INT64", 9: "BOOL", 10: "HALF"}
NUMPY = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "INT32": np.int32,
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "INT64": np.int64,
}

_FLOAT, _HALF = 1, 10

# Operators whose first input does not say which type they compute in.
_SECOND_INPUT = frozenset(["Where"])

_DESERIALIZE = "Assertion failed: model->ParseFromCodedStream(&codedInput): Failed to parse the ONNX model."


class Refusal(NamedTuple):
    """One parser error: member of ErrorCode, text, node's index (-1: none), name, operator, function."""

    code: str
    text: str
    node: int = -1
    name: str = ""
    operator: str = ""
    function: str = "parse"


def load(content: bytes) -> Any:
    """The ModelProto; ValueError where the bytes are none."""
    import onnx

    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's DecodeError, of another class in each version
        raise ValueError(_DESERIALIZE) from error
    if not model.graph.node:
        raise ValueError(_DESERIALIZE)
    return model


def refusals(facts: Facts, model: Any) -> Iterator[Refusal]:
    """Why this release's parser does not take the model; nothing where it does."""
    opsets = {one.domain: one.version for one in model.opset_import}
    opset = opsets.get("", opsets.get("ai.onnx", 1))
    if opset > facts.opset:
        text = "ONNX opset {} is newer than this parser's {}".format(opset, facts.opset)
        yield Refusal("UNSUPPORTED_GRAPH", text, function="importModel")
        return
    unknown = [
        _Node(index, node) for index, node in enumerate(model.graph.node) if not _is_known(facts, node)
    ]
    for node in unknown:
        text = 'creator && "Plugin not found, are the plugin name, version, and namespace correct?"'
        yield node.refusal("UNSUPPORTED_NODE", text, "importFallbackPluginImporter")
    if unknown:
        return
    types = element_types(model)
    for one in model.graph.input:
        if types[one.name] == "UINT8" and facts.number < (8, 5):
            yield Refusal(
                "UNSUPPORTED_GRAPH", "UINT8 network input {}".format(one.name), function="importInput"
            )
    initializers = {one.name: one for one in model.graph.initializer}
    for index, one in enumerate(model.graph.node):
        yield from _node_refusals(facts, _Node(index, one), types, initializers)


class _Node(NamedTuple):
    index: int
    proto: Any

    def refusal(self, code: str, text: str, function: str) -> Refusal:
        return Refusal(code, text, self.index, self.proto.name, self.proto.op_type, function)


def _is_known(facts: Facts, node: Any) -> bool:
    return node.domain in ("", "ai.onnx") and node.op_type in facts.operators


def _node_refusals(
    facts: Facts, node: _Node, types: Dict[str, str], initializers: Dict[str, Any]
) -> Iterator[Refusal]:
    proto = node.proto
    names = proto.input or proto.output
    data = types.get(names[1 if proto.op_type in _SECOND_INPUT else 0], "FP32")
    # Before 10 the parser took INT64 as INT32, with a warning.
    data = "INT32" if data == "INT64" and facts.number < (10, 0) else data
    takes = facts.operators[proto.op_type]
    if data not in takes:
        code = "UNSUPPORTED_NODE_DATATYPE" if facts.number >= (10, 0) else "UNSUPPORTED_NODE"
        text = "{} does not take {}; it takes {}".format(proto.op_type, data, ", ".join(takes))
        yield node.refusal(code, text, "import" + proto.op_type)
    quantizes = proto.op_type in ("QuantizeLinear", "DequantizeLinear") and len(proto.input) > 2
    if quantizes and proto.input[2] in initializers and _not_zero(initializers[proto.input[2]]):
        text = "Assertion failed: shiftIsAllZeros(zeroPoint): TRT only supports symmetric quantization"
        yield node.refusal("INVALID_NODE", text, "QuantDequantLinearHelper")


def _not_zero(tensor: Any) -> bool:
    from onnx import numpy_helper

    return bool(np.any(numpy_helper.to_array(tensor)))


def element_types(model: Any) -> Dict[str, str]:
    """Tensor name → type in the parser's words, of every tensor whose type can be told."""
    from onnx import shape_inference

    graph = shape_inference.infer_shapes(model).graph
    infos = list(graph.input) + list(graph.value_info) + list(graph.output)
    types = {one.name: one.type.tensor_type.elem_type for one in infos}
    types.update({one.name: one.data_type for one in graph.initializer})
    return {name: _TABLE.get(number, "DOUBLE") for name, number in types.items()}


def shapes_and_dtypes(infos: Sequence[Any]) -> List[Tuple[str, List[int], str]]:
    """(name, shape with -1 where free, member of DataType) of graph inputs or outputs."""
    found = []
    for one in infos:
        tensor = one.type.tensor_type
        shape = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim]
        found.append((one.name, shape, DTYPES.get(tensor.elem_type, "FLOAT")))
    return found


class Runner:
    """One engine's graph in ONNX Runtime, with FP16's precision and range where it is FP16.

    Args:
        model: the ModelProto; it is changed.
        half: round weights and every tensor to FP16, as an engine of FP16 kernels does; what exceeds its
            range becomes infinite.
        fp32_layers: nodes that ``half`` leaves alone.
        outputs: tensors wanted; one that is no graph output is made one.
    """

    def __init__(self, model: Any, half: bool, fp32_layers: Sequence[str], outputs: Sequence[str]) -> None:
        import onnxruntime

        _add_outputs(model, outputs)
        _keep_range(model, half, frozenset(fp32_layers))
        self._dtypes = {name: NUMPY[dtype] for name, _, dtype in shapes_and_dtypes(model.graph.input)}
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        providers = ["CPUExecutionProvider"]
        self._session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=providers)
        self._outputs = list(outputs)

    def __call__(self, inputs: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
        """The outputs for inputs of any type; each is cast to the graph's."""
        given = {name: array.astype(self._dtypes[name]) for name, array in inputs.items()}
        return dict(zip(self._outputs, self._session.run(self._outputs, given)))


def _add_outputs(model: Any, names: Sequence[str]) -> None:
    from onnx import helper, shape_inference

    known = {one.name for one in model.graph.output}
    wanted = [name for name in names if name not in known]
    if wanted:
        infos = {one.name: one for one in shape_inference.infer_shapes(model).graph.value_info}
        empty = [helper.make_empty_tensor_value_info(name) for name in wanted if name not in infos]
        model.graph.output.extend([infos[name] for name in wanted if name in infos] + empty)


def _keep_range(model: Any, half: bool, keep: FrozenSet[str]) -> None:
    """Compute in FP32, and round to FP16 every tensor that is FP16, with ``half`` every FP32 one too.

    ONNX Runtime's CPU has hardly any FP16 kernels: left to itself it computes FP16 in FP32 and rounds where
    it likes. Cast, Identity, Cast after each node is what 1.10 and 1.31 both leave alone; without the
    Identity, 1.10 drops the pair even where optimisations are off.
    """
    from onnx import helper

    graph, types = model.graph, element_types(model)
    kept = {name for node in graph.node if node.name in keep for name in node.input}
    for tensor in graph.initializer:
        if tensor.data_type == _HALF or (half and tensor.data_type == _FLOAT and tensor.name not in kept):
            _round_tensor(tensor)
    del graph.value_info[:]
    for one in list(graph.input) + list(graph.output):
        if one.type.tensor_type.elem_type == _HALF:
            one.type.tensor_type.elem_type = _FLOAT
    nodes: List[Any] = []
    for node in graph.node:
        _widen_attributes(node)
        nodes.append(node)
        for index, name in enumerate(node.output):
            rounded = types.get(name) == "FP16" or (
                types.get(name) == "FP32" and half and node.name not in keep
            )
            if rounded:
                node.output[index] = name + "/exact"
                nodes.append(helper.make_node("Cast", [name + "/exact"], [name + "/half"], to=_HALF))
                nodes.append(helper.make_node("Identity", [name + "/half"], [name + "/kept"]))
                nodes.append(helper.make_node("Cast", [name + "/kept"], [name], to=_FLOAT))
    copies = [_copy(node) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _widen_attributes(node: Any) -> None:
    """A Cast to FP16 and an FP16 constant, made FP32; the rounding follows."""
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == _HALF:
            attribute.i = _FLOAT
        if attribute.HasField("t") and attribute.t.data_type == _HALF:
            _round_tensor(attribute.t)


def _round_tensor(tensor: Any) -> None:
    from onnx import numpy_helper

    with np.errstate(over="ignore"):
        rounded = numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
    tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))


def _copy(node: Any) -> Any:
    made = type(node)()
    made.CopyFrom(node)
    return made
