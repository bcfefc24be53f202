"""Reading a protocol buffer from its bytes: a Jetson has no onnx package, and protobuf's does not know ONNX.

The encoding: https://protobuf.dev/programming-guides/encoding/.
"""

from typing import Iterator, List, NamedTuple, Optional, Tuple

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Field(NamedTuple):
    """One field of a message.

    integer: of a varint, as an unsigned number of 64 bits; None for any other.
    content: of all that is no varint, its bytes.
    """

    number: int
    integer: Optional[int]
    content: memoryview


def fields(message: memoryview) -> Iterator[Field]:
    """Every field, in the order it was written.

    Raises:
        ValueError, IndexError: the message is damaged or cut short.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        integer, length = None, 0
        if kind == _VARINT:
            integer, at = _varint(message, at)
        elif kind == _BYTES:
            length, at = _varint(message, at)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError("field {} has the unknown type {}".format(number, kind))
        if at + length > len(message):
            raise ValueError("cut short in field {}".format(number))
        yield Field(number, integer, message[at : at + length])
        at += length


def messages(message: memoryview, wanted: int) -> Iterator[memoryview]:
    """The content of every field of that number."""
    return (field.content for field in fields(message) if field.number == wanted)


def texts(message: memoryview, wanted: int) -> List[str]:
    """Every text of that number."""
    return [bytes(content).decode("utf-8", "replace") for content in messages(message, wanted)]


def text(message: memoryview, wanted: int) -> str:
    """The last text of that number, which is the one that counts; empty if there is none."""
    found = texts(message, wanted)
    return found[-1] if found else ""


def integers(message: memoryview, wanted: int) -> List[int]:
    """Every signed integer of that number, packed together or each a field of its own."""
    found = []
    for field in fields(message):
        if field.number != wanted:
            continue
        if field.integer is not None:
            found.append(_signed(field.integer))
            continue
        at = 0
        while at < len(field.content):
            value, at = _varint(field.content, at)
            found.append(_signed(value))
    return found


def integer(message: memoryview, wanted: int, default: int = 0) -> int:
    """The last integer of that number."""
    found = integers(message, wanted)
    return found[-1] if found else default


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


def _signed(value: int) -> int:
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value
