"""An ONNX file read from its bytes, without the onnx package: nodes, shapes, the types of weights.

ONNX is a protocol buffer; the field numbers are those of onnx.proto
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from typing import Dict, List, NamedTuple, Optional, Tuple, Union

import numpy as np

from legoclf.convert.engine.protobuf import integer, integers, messages, text, texts
from legoclf.errors import LegoclfError

_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER = 1, 5
_GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_VALUE = 11, 12, 13
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_OPERATOR, _NODE_ATTRIBUTE = 1, 2, 3, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_INT, _ATTRIBUTE_STRING, _ATTRIBUTE_TENSOR = 1, 3, 4, 5
_ATTRIBUTE_INTS, _ATTRIBUTE_TYPE = 8, 20
_OF_INT, _OF_STRING, _OF_TENSOR, _OF_INTS = 2, 3, 4, 7
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_INT32, _TENSOR_INT64, _TENSOR_NAME, _TENSOR_RAW = 1, 2, 5, 7, 8, 9
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR, _TENSOR_ELEMENT, _TENSOR_SHAPE, _SHAPE_DIM, _DIM_SIZE, _DIM_NAME = 1, 1, 2, 1, 1, 2

FLOAT, INT32, INT64, FLOAT16 = 1, 6, 7, 10

#: Numbers that an integer tensor may hold to be read: shapes and axes are short.
_MOST_NUMBERS = 1024


class OnnxSummary(NamedTuple):
    """Attributes:
    nodes: (name, operator) of each node, in the graph's order.
    outputs: (name, names of its outputs) of each node, in the same order.
    half_weights: whether any weight is FP16: the graph is typed for FP16.
    """

    nodes: List[Tuple[str, str]]
    outputs: List[Tuple[str, List[str]]]
    half_weights: bool

    @property
    def quantised(self) -> bool:
        """Whether the graph has Q/DQ pairs: it is typed for INT8."""
        return any(operator == "QuantizeLinear" for _, operator in self.nodes)


class Tensor(NamedTuple):
    """A constant; ``element`` is ONNX's number of its type, ``numbers`` the values of a short integer one."""

    name: str
    dims: Tuple[int, ...]
    element: int
    numbers: Optional[np.ndarray]


class Node(NamedTuple):
    """One operator. An input that is left out is the empty name.

    integers: the attributes that are one integer or several; texts, tensors: the others that were read.
    """

    name: str
    operator: str
    inputs: List[str]
    outputs: List[str]
    integers: Dict[str, List[int]]
    texts: Dict[str, str]
    tensors: Dict[str, Tensor]


class Value(NamedTuple):
    """A tensor as the graph declares it; ``dims`` is None where it tells no shape.

    A free dimension is its name, or the empty text.
    """

    name: str
    element: int
    dims: Optional[Tuple[Union[int, str], ...]]


class Graph(NamedTuple):
    """The graph of a model. inputs: without those that are weights. values: shapes told within."""

    nodes: List[Node]
    weights: List[Tensor]
    inputs: List[Value]
    outputs: List[Value]
    values: List[Value]


def summarise(onnx: bytes) -> OnnxSummary:
    """Read the nodes and the types of the weights.

    Raises:
        LegoclfError: the bytes are no ONNX model, or are cut short.
    """
    graph = read_graph(onnx)
    return OnnxSummary(
        [(node.name, node.operator) for node in graph.nodes],
        [(node.name, node.outputs) for node in graph.nodes],
        any(weight.element == FLOAT16 for weight in graph.weights),
    )


def read_graph(onnx: bytes) -> Graph:
    """Read the graph; of the weights all but their values.

    Raises:
        LegoclfError: the bytes are no ONNX model, or are cut short.
    """
    found = Graph([], [], [], [], [])
    try:
        for graph in messages(memoryview(onnx), _MODEL_GRAPH):
            found.nodes.extend(_node(each) for each in messages(graph, _GRAPH_NODE))
            found.weights.extend(_tensor(each) for each in messages(graph, _GRAPH_INITIALIZER))
            for values, number in (
                (found.inputs, _GRAPH_INPUT),
                (found.outputs, _GRAPH_OUTPUT),
                (found.values, _GRAPH_VALUE),
            ):
                values.extend(_value(each) for each in messages(graph, number))
    except (IndexError, ValueError) as error:
        raise LegoclfError(
            "the ONNX model is damaged ({}); make it again with legoclf convert".format(error)
        ) from error
    if not found.nodes:
        raise LegoclfError(
            "the ONNX model has no nodes: it is damaged or empty; make it with legoclf convert"
        )
    # Up to IR 3 the weights stood among the inputs too.
    weights = {weight.name for weight in found.weights}
    return found._replace(inputs=[value for value in found.inputs if value.name not in weights])


def _node(message: memoryview) -> Node:
    node = Node(
        text(message, _NODE_NAME),
        text(message, _NODE_OPERATOR),
        texts(message, _NODE_INPUT),
        texts(message, _NODE_OUTPUT),
        {},
        {},
        {},
    )
    for attribute in messages(message, _NODE_ATTRIBUTE):
        name, kind = text(attribute, _ATTRIBUTE_NAME), integer(attribute, _ATTRIBUTE_TYPE)
        if kind == _OF_INT:
            node.integers[name] = [integer(attribute, _ATTRIBUTE_INT)]
        elif kind == _OF_INTS:
            node.integers[name] = integers(attribute, _ATTRIBUTE_INTS)
        elif kind == _OF_STRING:
            node.texts[name] = text(attribute, _ATTRIBUTE_STRING)
        elif kind == _OF_TENSOR:
            for tensor in messages(attribute, _ATTRIBUTE_TENSOR):
                node.tensors[name] = _tensor(tensor)
    return node


def _tensor(message: memoryview) -> Tensor:
    dims = tuple(integers(message, _TENSOR_DIMS))
    element = integer(message, _TENSOR_TYPE)
    return Tensor(text(message, _TENSOR_NAME), dims, element, _numbers(message, dims, element))


def _numbers(message: memoryview, dims: Tuple[int, ...], element: int) -> Optional[np.ndarray]:
    count = 1
    for size in dims:
        count *= size
    if element not in (INT32, INT64) or count > _MOST_NUMBERS:
        return None
    raw = b"".join(messages(message, _TENSOR_RAW))
    if raw:
        values = np.frombuffer(raw, "<i4" if element == INT32 else "<i8").astype(np.int64)
    else:
        values = np.array(
            integers(message, _TENSOR_INT32 if element == INT32 else _TENSOR_INT64), dtype=np.int64
        )
    # Values that lie in a file beside are not read.
    return values.reshape(dims) if len(values) == count else None


def _value(message: memoryview) -> Value:
    element, dims = 0, None
    for kind in messages(message, _VALUE_TYPE):
        for tensor in messages(kind, _TYPE_TENSOR):
            element = integer(tensor, _TENSOR_ELEMENT)
            for shape in messages(tensor, _TENSOR_SHAPE):
                dims = tuple(_dim(each) for each in messages(shape, _SHAPE_DIM))
    return Value(text(message, _VALUE_NAME), element, dims)


def _dim(message: memoryview) -> Union[int, str]:
    sizes = integers(message, _DIM_SIZE)
    return sizes[-1] if sizes else text(message, _DIM_NAME)
