"""What one run of an ONNX graph takes: FLOPs and bytes, counted from the file without the onnx package.

A multiply-add is 2 FLOPs; a bias is where a sum begins and costs nothing more. Any other arithmetic is one
FLOP for each element of the largest tensor that it touches, an exponential as well as a comparison; what only
moves or retypes data is none. So the count is the least, as a bound wants it. Published "FLOPs" often count
multiply-adds: MobileNetV2-1.0-224 has 300 million (Sandler et al. 2018, table 4).

Bytes are counted in two ways. The least: every weight once, the graph's input and output. Layer by layer:
what a runtime moves that keeps nothing on the chip between layers. A layer there is what runtimes make one
kernel of: a convolution with the element-wise nodes behind it. Views (Reshape, Concat) cost nothing, nor do
changes of type. Weights and activations have the element size of the precision asked for, the graph's input
and output the type that the file declares; single numbers, such as a Clip's limits, are part of the program.

Python 3.6.
"""

from typing import Dict, List, NamedTuple, Sequence, Set, Tuple

from legoclf.benchmarks.device.onnx_rules import ELEMENTWISE, KNOWN, Shape, count
from legoclf.benchmarks.device.onnx_shapes import Shapes, infer_shapes
from legoclf.convert.engine.onnx_reader import Graph, Node, read_graph
from legoclf.errors import LegoclfError

#: Bytes of an element by precision.
ELEMENT_BYTES = {"fp32": 4, "fp16": 2, "int8": 1}

#: By ONNX's number of a type: float, (u)int8, (u)int16, int32, int64, bool, float16, double, bfloat16.
_DECLARED_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 16: 2}

_PRODUCTS = frozenset(["Conv", "Gemm", "MatMul"])
_RESHAPES = frozenset(["Flatten", "Reshape", "Squeeze", "Unsqueeze"])
_VIEWS = _RESHAPES | {"Cast", "Concat", "DequantizeLinear", "Dropout", "Identity", "QuantizeLinear"}
_MOVES = frozenset(["Gather", "Pad", "Slice", "Split", "Transpose"])
#: What a runtime computes in the kernel that made its input. A Softmax must have seen the whole of it first.
_FUSED = (ELEMENTWISE | _MOVES) - {"Softmax", "LogSoftmax", "LayerNormalization", "InstanceNormalization"}


class Layer(NamedTuple):
    """One kernel's work.

    name: of its first node. operators: of all its nodes, in order. shape: of what it writes last.
    bytes: weights, what it reads and what others read of it.
    """

    name: str
    operators: Tuple[str, ...]
    shape: Shape
    multiply_adds: int
    flops: int
    bytes: int


class Cost(NamedTuple):
    """One run of a graph on ``batch`` images.

    least_bytes: weights once, input and output. unknown: operators whose FLOPs were not counted.
    """

    precision: str
    batch: int
    least_bytes: int
    layers: List[Layer]
    unknown: List[str]

    @property
    def multiply_adds(self) -> int:
        """Of convolutions and matrix products."""
        return sum(layer.multiply_adds for layer in self.layers)

    @property
    def flops(self) -> int:
        """Of the whole graph."""
        return sum(layer.flops for layer in self.layers)

    @property
    def layer_bytes(self) -> int:
        """Moved layer by layer."""
        return sum(layer.bytes for layer in self.layers)


def read_cost(path: str, precision: str, batch: int = 1) -> Cost:
    """The cost of the graph in a file; as :func:`count_cost`.

    Raises:
        LegoclfError: as :func:`count_cost`; the text names the file.
    """
    with open(path, "rb") as stream:
        onnx = stream.read()
    try:
        return count_cost(onnx, precision, batch)
    except LegoclfError as error:
        raise LegoclfError("{}: {}".format(path, error)) from error


def count_cost(onnx: bytes, precision: str, batch: int = 1) -> Cost:
    """Count one run.

    Args:
        onnx: the serialised model, one input [N, …].
        precision: a key of ELEMENT_BYTES; the graph need not be stored in it.
        batch: N, where the graph leaves it free.

    Raises:
        LegoclfError: the bytes are no ONNX model, or as :func:`infer_shapes`.
    """
    graph = read_graph(onnx)
    shapes = infer_shapes(graph, batch)
    kernels = _Kernels(graph, shapes)
    for node in graph.nodes:
        kernels.add(node)
    sizes = _byte_sizes(graph, shapes, ELEMENT_BYTES[precision])
    outputs = kernels.roots([value.name for value in graph.outputs])
    ends = {value.name for value in graph.inputs} | outputs
    weights = set().union(*(kernel.weights for kernel in kernels.all))
    return Cost(
        precision,
        batch,
        sum(sizes[name] for name in weights | ends),
        [_layer(kernel, kernels.read | outputs, shapes, sizes) for kernel in kernels.all],
        sorted({node.operator for kernel in kernels.all for node in kernel.nodes} - KNOWN),
    )


class _Kernel(NamedTuple):
    """Nodes that run as one: what they read of others, the weights among it apart, and what they make."""

    nodes: List[Node]
    weights: Set[str]
    reads: Set[str]
    made: List[str]


class _Kernels:
    """Nodes gathered into kernels, each of which depends on earlier ones alone."""

    def __init__(self, graph: Graph, shapes: Shapes) -> None:
        self.all: List[_Kernel] = []
        #: Tensors that a kernel reads which another made.
        self.read: Set[str] = set()
        self._shapes = shapes
        self._place: Dict[str, int] = {}
        self._views: Dict[str, Set[str]] = {}

    def add(self, node: Node) -> None:
        """Put a node where it runs; nodes must come in the graph's order."""
        if all(self._is_known_before(name) for name in node.outputs):
            return
        inputs = self.roots([name for name in node.inputs if name and not self._is_known_before(name)])
        if node.operator in _VIEWS:
            self._views[node.outputs[0]] = inputs
            return
        makers = [self._place[name] for name in inputs if name in self._place]
        if node.operator not in _FUSED or not makers:
            makers = [len(self.all)]
            self.all.append(_Kernel([], set(), set(), []))
        # In the latest of its inputs' kernels: the others are done by then.
        place = max(makers)
        kernel = self.all[place]
        kernel.nodes.append(node)
        kernel.weights.update(name for name in node.inputs if self._is_weight(name))
        kernel.reads.update(name for name in inputs if self._place.get(name) != place)
        self.read.update(kernel.reads)
        kernel.made.extend(name for name in node.outputs if name)
        self._place.update((name, place) for name in node.outputs)

    def roots(self, names: Sequence[str]) -> Set[str]:
        """The tensors that lie in memory behind these, which may be views."""
        return set().union(*(self._views.get(name, {name}) for name in names))

    def _is_known_before(self, name: str) -> bool:
        return name in self._shapes.constants or name in self._shapes.numbers

    def _is_weight(self, name: str) -> bool:
        shapes = self._shapes
        return name in shapes.constants and name not in shapes.numbers and count(shapes.dims[name]) > 1


def _layer(kernel: _Kernel, wanted: Set[str], shapes: Shapes, sizes: Dict[str, int]) -> Layer:
    work = [_work(node, shapes) for node in kernel.nodes]
    moved = kernel.weights | kernel.reads | (wanted & set(kernel.made))
    return Layer(
        kernel.nodes[0].name or kernel.nodes[0].outputs[0],
        tuple(node.operator for node in kernel.nodes),
        shapes.dims[kernel.made[-1]],
        sum(multiply_adds for multiply_adds, _ in work),
        sum(2 * multiply_adds + other for multiply_adds, other in work),
        sum(sizes[name] for name in moved),
    )


def _work(node: Node, shapes: Shapes) -> Tuple[int, int]:
    """Multiply-adds of a node, and FLOPs of any other kind."""
    made = count(shapes.dims[node.outputs[0]])
    if node.operator in _PRODUCTS:
        return made * _terms(node, shapes.dims), 0
    if node.operator in _MOVES or node.operator not in KNOWN:
        return 0, 0
    return 0, max([made] + [count(shapes.dims[name]) for name in node.inputs if name])


def _terms(node: Node, dims: Dict[str, Shape]) -> int:
    """Products in the sum that is one element of the output."""
    left, right = dims[node.inputs[0]], dims[node.inputs[1]]
    if node.operator == "Conv":
        return count(right[1:])
    if node.operator == "Gemm":
        return left[0 if node.integers.get("transA", [0])[0] else 1]
    return left[-1]


def _byte_sizes(graph: Graph, shapes: Shapes, element: int) -> Dict[str, int]:
    sizes = {name: element * count(dims) for name, dims in shapes.dims.items()}
    for value in graph.inputs + graph.outputs:
        sizes[value.name] = _DECLARED_BYTES.get(value.element, element) * count(shapes.dims[value.name])
    return sizes
