"""What the engine builder must know of an ONNX file, read from its bytes: a Jetson has no onnx package.

ONNX is a protocol buffer; the field numbers are those of onnx.proto
(https://github.com/onnx/onnx/blob/main/onnx/onnx.proto), the encoding that of
https://protobuf.dev/programming-guides/encoding/.
"""

from typing import Iterator, List, NamedTuple, Tuple

from legoclf.errors import LegoclfError

_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER = 1, 5
_NODE_NAME, _NODE_OPERATOR = 3, 4
_TENSOR_TYPE = 2
_FLOAT16 = 10

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class OnnxSummary(NamedTuple):
    """Attributes:
    nodes: (name, operator) of each node, in the graph's order.
    half_weights: whether any weight is FP16: the graph is typed for FP16.
    """

    nodes: List[Tuple[str, str]]
    half_weights: bool

    @property
    def quantised(self) -> bool:
        """Whether the graph has Q/DQ pairs: it is typed for INT8."""
        return any(operator == "QuantizeLinear" for _, operator in self.nodes)


def summarise(onnx: bytes) -> OnnxSummary:
    """Read the nodes and the types of the weights.

    Raises:
        LegoclfError: the bytes are no ONNX model, or are cut short.
    """
    nodes = []
    half_weights = False
    try:
        for graph in _messages(memoryview(onnx), _MODEL_GRAPH):
            for node in _messages(graph, _GRAPH_NODE):
                nodes.append((_text(node, _NODE_NAME), _text(node, _NODE_OPERATOR)))
            for tensor in _messages(graph, _GRAPH_INITIALIZER):
                half_weights |= any(
                    number == _TENSOR_TYPE and value == _FLOAT16 for number, value, _ in _fields(tensor)
                )
    except (IndexError, ValueError) as error:
        raise LegoclfError(
            "the ONNX model is damaged ({}); make it again with legoclf convert".format(error)
        ) from error
    if not nodes:
        raise LegoclfError(
            "the ONNX model has no nodes: it is damaged or empty; make it with legoclf convert"
        )
    return OnnxSummary(nodes, half_weights)


def _fields(message: memoryview) -> Iterator[Tuple[int, int, memoryview]]:
    """Number, value (of a varint, else 0) and content (of a length-delimited field, else empty)."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        value, length = 0, 0
        if kind == _VARINT:
            value, at = _varint(message, at)
        elif kind == _BYTES:
            length, at = _varint(message, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError("field {} has the unknown type {}".format(number, kind))
        if at + length > len(message):
            raise ValueError("cut short in field {}".format(number))
        yield number, value, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> Tuple[int, int]:
    """Seven bits a byte, the lowest first; the value, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        shift += 7
        at += 1
        if not byte & 0x80:
            return value, at


def _messages(message: memoryview, wanted: int) -> Iterator[memoryview]:
    return (content for number, _, content in _fields(message) if number == wanted)


def _text(message: memoryview, wanted: int) -> str:
    return b"".join(_messages(message, wanted)).decode("utf-8", "replace")
