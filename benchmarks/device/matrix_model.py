"""An ONNX model of one matrix product, written without the onnx package, for the peak test. Python 3.6."""

import numpy as np

_VARINT, _BYTES = 0, 2
_FLOAT = 1
_IR_VERSION, _OPSET = 7, 13


def matrix_model(weights: np.ndarray) -> bytes:
    """``input`` [N, K] float32 times the weights is ``product`` [N, M].

    Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.

    Args:
        weights: [K, M] float32.
    """
    inner, columns = weights.shape
    tensor = _number(1, inner) + _number(1, columns) + _number(2, _FLOAT)
    tensor += _text(8, "weights") + _field(9, weights.astype("<f4").tobytes())
    node = _text(1, "input") + _text(1, "weights") + _text(2, "product") + _text(4, "MatMul")
    graph = _field(1, node) + _text(2, "product") + _field(5, tensor)
    graph += _field(11, _value("input", inner)) + _field(12, _value("product", columns))
    opset = _text(1, "") + _number(2, _OPSET)
    return _number(1, _IR_VERSION) + _field(7, graph) + _field(8, opset)


def _value(name: str, columns: int) -> bytes:
    """A float32 matrix of any number of rows."""
    shape = _field(1, _text(2, "N")) + _field(1, _number(1, columns))
    return _text(1, name) + _field(2, _field(1, _number(1, _FLOAT) + _field(2, shape)))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode("utf-8"))


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
