"""The shape of every tensor of an ONNX graph at one batch size, without the onnx package. Python 3.6.

Integers that a graph works out from shapes (the target of a Reshape) are worked out too. An operator that is
not known is taken at the shape that the file itself tells for its output.
"""

from typing import Callable, Dict, List, NamedTuple, Optional, Set

import numpy as np

from legoclf.benchmarks.device.onnx_rules import Numbers, Shape, shapes_of, sizes_told
from legoclf.convert.engine.onnx_reader import Graph, Node, Value
from legoclf.errors import LegoclfError


class Shapes(NamedTuple):
    """What is known of the tensors, by name.

    dims: their sizes. numbers: the values of integer tensors that could be worked out.
    constants: those that depend on weights alone.
    """

    dims: Dict[str, Shape]
    numbers: Numbers
    constants: Set[str]


def infer_shapes(graph: Graph, batch: int) -> Shapes:
    """Follow the graph from its input.

    Args:
        batch: what the input's first dimension is, where the graph leaves it free.

    Raises:
        LegoclfError: the graph has another batch size or a free size beside it, an operator is not known and
            the file tells no shape for it, or an operator's inputs do not fit it; the text names the node.
    """
    known = Shapes({}, {}, set())
    for weight in graph.weights:
        known.dims[weight.name] = weight.dims
        known.constants.add(weight.name)
        if weight.numbers is not None:
            known.numbers[weight.name] = weight.numbers
    free = [_take_input(value, batch, known) for value in graph.inputs]
    told = {value.name: value for value in graph.values + graph.outputs}
    for node in graph.nodes:
        _take_node(node, known, told, {name: batch for name in free if name is not None})
    return known


def _take_input(value: Value, batch: int, known: Shapes) -> Optional[str]:
    """Note the shape of a graph input; the name of its free first dimension, if it is free."""
    dims = value.dims
    if not dims or not all(isinstance(size, int) and size > 0 for size in dims[1:]):
        raise LegoclfError(
            "the graph's input '{}' is {}: expected [N, 3, H, W] with nothing but N free".format(
                value.name, "of no shape" if dims is None else list(dims)
            )
        )
    first = dims[0]
    is_free = not isinstance(first, int) or first < 1
    if not is_free and first != batch:
        raise LegoclfError(
            "the graph takes {} images at once, not {}; `legoclf convert --batch dynamic:{}` frees it".format(
                first, batch, batch
            )
        )
    known.dims[value.name] = (batch, *(int(size) for size in dims[1:]))
    return str(first) if is_free else None


def _take_node(node: Node, known: Shapes, told: Dict[str, Value], free: Dict[str, int]) -> None:
    try:
        # An input that is left out has the empty name.
        inputs = [known.dims[name] if name else () for name in node.inputs]
        shapes = shapes_of(node, inputs, known.numbers)
    except (KeyError, IndexError, ValueError, TypeError, ZeroDivisionError) as error:
        raise LegoclfError(
            "node '{}' ({}): its shape cannot be told ({}: {})".format(
                node.name, node.operator, type(error).__name__, error
            )
        ) from error
    if shapes is None:
        shapes = [_told(node, told.get(name), free) for name in node.outputs]
    known.dims.update((name, shape) for name, shape in zip(node.outputs, shapes) if name)
    if all(name in known.constants for name in node.inputs if name):
        known.constants.update(node.outputs)
    try:
        numbers = _numbers(node, inputs, known.numbers)
    except (IndexError, ValueError, TypeError):
        numbers = None
    if numbers is not None:
        known.numbers[node.outputs[0]] = np.asarray(numbers, np.int64)


def _told(node: Node, value: Optional[Value], free: Dict[str, int]) -> Shape:
    """The shape that the file tells for the output of an operator that is not known here."""
    dims = None if value is None or value.dims is None else [free.get(str(size), size) for size in value.dims]
    if dims is None or not all(isinstance(size, int) for size in dims):
        raise LegoclfError(
            "node '{}': the operator {} is not known, and the file tells no shape for its output; "
            "onnx.shape_inference.infer_shapes adds it".format(node.name, node.operator)
        )
    return tuple(int(size) for size in dims)


def _numbers(node: Node, inputs: List[Shape], numbers: Numbers) -> Optional[np.ndarray]:
    """The values of a node's output where they follow from shapes and integer constants; else None."""
    if node.operator == "Shape":
        return np.array(sizes_told(node, inputs[0]), np.int64)
    if node.operator == "Constant":
        held = node.tensors.get("value")
        return None if held is None else held.numbers
    if not all(name in numbers for name in node.inputs if name):
        return None
    values = [numbers[name] for name in node.inputs if name]
    if node.operator == "Gather":
        return np.take(values[0], values[1], axis=node.integers.get("axis", [0])[0])
    if node.operator == "Concat":
        return np.concatenate(values, axis=node.integers["axis"][0])
    if node.operator == "Slice" and values[0].ndim == 1:
        step = int(values[4][0]) if len(values) > 4 else 1
        return values[0][int(values[1][0]) : int(values[2][0]) : step]
    if node.operator in _ARITHMETIC:
        return _ARITHMETIC[node.operator](*values)
    if node.operator in ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze"):
        shapes = shapes_of(node, inputs, numbers)
        return None if shapes is None else values[0].reshape(shapes[0])
    return None


_ARITHMETIC: Dict[str, Callable[..., np.ndarray]] = {
    "Add": np.add,
    "Div": np.floor_divide,
    "Mul": np.multiply,
    "Sub": np.subtract,
}
