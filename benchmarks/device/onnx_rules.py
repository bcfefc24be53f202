"""What each ONNX operator does to the shapes of its inputs. Python 3.6.

As https://github.com/onnx/onnx/blob/main/docs/Operators.md tells it.
"""

from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from legoclf.convert.engine.onnx_reader import Node

Shape = Tuple[int, ...]
Numbers = Dict[str, np.ndarray]

_ONE_OUTPUT_OF_THE_INPUTS_SHAPE = (
    "Abs Add And BatchNormalization Cast Ceil Clip DequantizeLinear Div Dropout Elu Equal Erf Exp Floor Gelu "
    "Greater HardSigmoid HardSwish Identity InstanceNormalization LRN LayerNormalization LeakyRelu Less Log "
    "LogSoftmax Max Min Mish Mul Neg Not Or PRelu Pow QuantizeLinear Reciprocal Relu Round Selu Sigmoid Sign "
    "Softmax Softplus Softsign Sqrt Sub Sum Tanh ThresholdedRelu Where"
)
_OF_THE_FIRST_INPUTS_SHAPE = (
    "BatchNormalization Clip DequantizeLinear Dropout InstanceNormalization LayerNormalization QuantizeLinear"
)

#: Operators with one output, of the shape that their inputs have when broadcast.
ELEMENTWISE = frozenset(_ONE_OUTPUT_OF_THE_INPUTS_SHAPE.split())

#: Of those, the ones whose further inputs are parameters by channel or scale, which do not broadcast.
_SHAPED_BY_FIRST = frozenset(_OF_THE_FIRST_INPUTS_SHAPE.split())


def shapes_of(node: Node, inputs: List[Shape], numbers: Numbers) -> Optional[List[Shape]]:
    """The shapes of a node's outputs; None for an operator that is not known.

    Args:
        inputs: the shapes of its inputs; that of one that is left out does not count.
        numbers: the values of integer tensors that are known, by name.

    Raises:
        KeyError, IndexError, ValueError, TypeError: the inputs do not fit the operator.
    """
    if node.operator in ELEMENTWISE:
        shaping = inputs[:1] if node.operator in _SHAPED_BY_FIRST else inputs
        return [broadcast(shaping)] * len(node.outputs)
    rule = _RULES.get(node.operator)
    return None if rule is None else rule(node, inputs, numbers)


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """The shape that these have together (NumPy's rule, which is ONNX's).

    Raises:
        ValueError: they do not fit each other.
    """
    sizes: List[int] = []
    for shape in shapes:
        sizes = [1] * (len(shape) - len(sizes)) + sizes
        for axis in range(1, len(shape) + 1):
            here, other = sizes[-axis], shape[-axis]
            if here != other and 1 not in (here, other):
                raise ValueError("{} do not broadcast".format([list(each) for each in shapes]))
            sizes[-axis] = other if here == 1 else here
    return tuple(sizes)


def count(shape: Sequence[int]) -> int:
    """Elements of a tensor of that shape."""
    product = 1
    for size in shape:
        product *= size
    return product


def _attribute(node: Node, name: str, default: Any) -> Any:
    return node.integers.get(name, default)


def _argument(node: Node, numbers: Numbers, place: int, name: str) -> Optional[List[int]]:
    """Integers that are an attribute in old opsets, and an input in new ones."""
    if name in node.integers:
        return node.integers[name]
    if place < len(node.inputs) and node.inputs[place]:
        return [int(number) for number in numbers[node.inputs[place]].reshape(-1)]
    return None


def _conv(node: Node, inputs: List[Shape], numbers: Numbers) -> List[Shape]:
    image, kernel = inputs[:2]
    return [(image[0], kernel[0], *_windows(node, image[2:], kernel[2:]))]


def _pool(node: Node, inputs: List[Shape], numbers: Numbers) -> List[Shape]:
    image = inputs[0]
    shape = image[:2] + _windows(node, image[2:], tuple(node.integers["kernel_shape"]))
    return [shape] * len(node.outputs)


def _windows(node: Node, sizes: Shape, kernel: Shape) -> Shape:
    """How many windows fit along each axis."""
    count = len(sizes)
    strides, dilations = (_attribute(node, name, [1] * count) for name in ("strides", "dilations"))
    padding = node.texts.get("auto_pad", "NOTSET")
    if padding.startswith("SAME"):
        return tuple(-(-size // stride) for size, stride in zip(sizes, strides))
    pads = [0] * (2 * count) if padding == "VALID" else _attribute(node, "pads", [0] * (2 * count))
    ceil = _attribute(node, "ceil_mode", [0])[0]
    found = []
    for axis in range(count):
        room = sizes[axis] + pads[axis] + pads[axis + count] - dilations[axis] * (kernel[axis] - 1) - 1
        windows = (-(-room // strides[axis]) if ceil else room // strides[axis]) + 1
        # With ceil_mode, a window that would begin beyond the image in the padding behind it is left out.
        if ceil and (windows - 1) * strides[axis] >= sizes[axis] + pads[axis]:
            windows -= 1
        if windows < 1:
            raise ValueError("a window of {} on {}".format(list(kernel), list(sizes)))
        found.append(windows)
    return tuple(found)


def _gemm(node: Node, inputs: List[Shape], numbers: Numbers) -> List[Shape]:
    left, right = inputs[:2]
    rows, inner = left[::-1] if _attribute(node, "transA", [0])[0] else left
    other, columns = right[::-1] if _attribute(node, "transB", [0])[0] else right
    if inner != other:
        raise ValueError("{} by {}".format(list(left), list(right)))
    return [(rows, columns)]


def _matmul(node: Node, inputs: List[Shape], numbers: Numbers) -> List[Shape]:
    left, right = inputs
    if left[-1] != right[-2 if len(right) > 1 else 0]:
        raise ValueError("{} by {}".format(list(left), list(right)))
    if len(right) == 1:
        return [left[:-1]]
    if len(left) == 1:
        return [right[:-2] + right[-1:]]
    return [(*broadcast([left[:-2], right[:-2]]), left[-2], right[-1])]


def _reduce(node: Node, inputs: List[Shape], numbers: Numbers) -> List[Shape]:
    shape = inputs[0]
    axes = _argument(node, numbers, 1, "axes") or range(len(shape))
    gone = {axis % len(shape) for axis in axes}
    if _attribute(node, "keepdims", [1])[0]:
        return [tuple(1 if axis in gone else size for axis, size in enumerate(shape))]
    return [tuple(size for axis, size in enumerate(shape) if axis not in gone)]


def _global_pool(node: Node, inputs: List[Shape], numbers: Numbers) -> List[Shape]:
    return [inputs[0][:2] + (1,) * (len(inputs[0]) - 2)]


def _reshape(node: Node, inputs: List[Shape], numbers: Numbers) -> List[Shape]:
    asked = [int(number) for number in numbers[node.inputs[1]].reshape(-1)]
    if not _attribute(node, "allowzero", [0])[0]:
        asked = [inputs[0][axis] if size == 0 else size for axis, size in enumerate(asked)]
    total, given = count(inputs[0]), count([size for size in asked if size != -1])
    shape = tuple(total // given if size == -1 else size for size in asked)
    if count(shape) != total:
        raise ValueError("{} to {}".format(list(inputs[0]), asked))
    return [shape]


def _flatten(node: Node, inputs: List[Shape], numbers: Numbers) -> List[Shape]:
    axis = _attribute(node, "axis", [1])[0] % (len(inputs[0]) + 1)
    return [(count(inputs[0][:axis]), count(inputs[0][axis:]))]


def _transpose(node: Node, inputs: List[Shape], numbers: Numbers) -> List[Shape]:
    order = _attribute(node, "perm", range(len(inputs[0]))[::-1])
    return [tuple(inputs[0][axis] for axis in order)]


def _squeeze(node: Node, inputs: List[Shape], numbers: Numbers) -> List[Shape]:
    shape = inputs[0]
    axes = _argument(node, numbers, 1, "axes")
    gone = {axis % len(shape) for axis in axes or [axis for axis, size in enumerate(shape) if size == 1]}
    return [tuple(size for axis, size in enumerate(shape) if axis not in gone)]


def _unsqueeze(node: Node, inputs: List[Shape], numbers: Numbers) -> List[Shape]:
    axes = _argument(node, numbers, 1, "axes") or []
    rank = len(inputs[0]) + len(axes)
    new = {axis % rank for axis in axes}
    kept = iter(inputs[0])
    return [tuple(1 if axis in new else next(kept) for axis in range(rank))]


def _concat(node: Node, inputs: List[Shape], numbers: Numbers) -> List[Shape]:
    axis = node.integers["axis"][0] % len(inputs[0])
    rest = {shape[:axis] + shape[axis + 1 :] for shape in inputs}
    if len(rest) > 1:
        raise ValueError("{} do not fit together".format([list(shape) for shape in inputs]))
    joined = sum(shape[axis] for shape in inputs)
    return [(*inputs[0][:axis], joined, *inputs[0][axis + 1 :])]


def _pad(node: Node, inputs: List[Shape], numbers: Numbers) -> List[Shape]:
    pads = _argument(node, numbers, 1, "pads") or []
    rank = len(inputs[0])
    return [tuple(size + pads[axis] + pads[axis + rank] for axis, size in enumerate(inputs[0]))]


def _slice(node: Node, inputs: List[Shape], numbers: Numbers) -> List[Shape]:
    starts, ends = (_argument(node, numbers, place, name) for place, name in ((1, "starts"), (2, "ends")))
    if starts is None or ends is None:
        raise ValueError("where it begins and ends is not known")
    axes = _argument(node, numbers, 3, "axes") or list(range(len(starts)))
    steps = _argument(node, numbers, 4, "steps") or [1] * len(starts)
    shape = list(inputs[0])
    for start, end, axis, step in zip(starts, ends, axes, steps):
        shape[axis] = len(range(*slice(start, end, step).indices(shape[axis])))
    return [tuple(shape)]


def _split(node: Node, inputs: List[Shape], numbers: Numbers) -> List[Shape]:
    shape, parts = inputs[0], len(node.outputs)
    axis = _attribute(node, "axis", [0])[0] % len(shape)
    each = -(-shape[axis] // parts)
    sizes = _argument(node, numbers, 1, "split") or [
        min(each, shape[axis] - each * part) for part in range(parts)
    ]
    return [(*shape[:axis], size, *shape[axis + 1 :]) for size in sizes]


def _shape(node: Node, inputs: List[Shape], numbers: Numbers) -> List[Shape]:
    return [(len(sizes_told(node, inputs[0])),)]


def sizes_told(node: Node, shape: Shape) -> Shape:
    """What a Shape node gives."""
    start, end = _attribute(node, "start", [0])[0], _attribute(node, "end", [len(shape)])[0]
    return shape[start:end]


def _gather(node: Node, inputs: List[Shape], numbers: Numbers) -> List[Shape]:
    axis = _attribute(node, "axis", [0])[0] % len(inputs[0])
    return [inputs[0][:axis] + inputs[1] + inputs[0][axis + 1 :]]


def _constant(node: Node, inputs: List[Shape], numbers: Numbers) -> List[Shape]:
    if "value" in node.tensors:
        return [node.tensors["value"].dims]
    return [(len(node.integers["value_ints"]),) if "value_ints" in node.integers else ()]


_RULES: Dict[str, Callable[[Node, List[Shape], Numbers], List[Shape]]] = {
    "AveragePool": _pool,
    "Concat": _concat,
    "Constant": _constant,
    "Conv": _conv,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "MatMul": _matmul,
    "MaxPool": _pool,
    "Pad": _pad,
    "ReduceL2": _reduce,
    "ReduceMax": _reduce,
    "ReduceMean": _reduce,
    "ReduceMin": _reduce,
    "ReduceProd": _reduce,
    "ReduceSum": _reduce,
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}

#: The operators whose effect on shapes is known here.
KNOWN = ELEMENTWISE | frozenset(_RULES)
