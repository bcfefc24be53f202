"""How the fake TensorRT's parser splits ONNX nodes into layers, and what it calls these and their tensors.

A layer or a tensor that the parser does not register keeps the name that TensorRT gave it. Sources:

* [parser] github.com/onnx/onnx-tensorrt: registerLayer, registerTensor and generateUniqueName in
  ImporterContext; importer of Gemm, convertToTensor and broadcastTensor, 7.2 to 8.6 and main; in its
  docs/Changelog.md of 8.4 "Removed unnecessary reshapes in the GEMM importer function"
* [8.2] a build's log: ``(Unnamed Layer* 4178) [Shuffle]``, ``Gemm_2128`` and its ``(Unnamed Layer* 4179)
  [Fully Connected]_output``, ``(Unnamed Layer* 4183) [Shuffle]``
* [8.5] a calibration cache, for the Gemm ``/fc1/Gemm``: ``(Unnamed Layer* 8) [Constant]_output``,
  ``(Unnamed Layer* 9) [Matrix Multiply]_output``, ``(Unnamed Layer* 10) [Constant]_output``, ``(Unnamed
  Layer* 11) [Shuffle]_output``, ``/fc1/Gemm_output_0``
* [10] the parser of TensorRT for RTX 1.7, tried without a GPU: ``ONNXTRT_Broadcast``, ``head_0``
"""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set

from fake_tensorrt_facts import Facts

_KINDS = {
    "Conv": "CONVOLUTION", "Clip": "ACTIVATION", "Relu": "ACTIVATION", "Sigmoid": "ACTIVATION",
    "MaxPool": "POOLING", "AveragePool": "POOLING", "GlobalAveragePool": "REDUCE", "ReduceMean": "REDUCE",
    "Gemm": "MATRIX_MULTIPLY", "MatMul": "MATRIX_MULTIPLY", "Softmax": "SOFTMAX", "Add": "ELEMENTWISE",
    "Sub": "ELEMENTWISE", "Mul": "ELEMENTWISE", "Div": "ELEMENTWISE", "Reshape": "SHUFFLE",
    "Flatten": "SHUFFLE", "Transpose": "SHUFFLE", "Concat": "CONCATENATION", "Constant": "CONSTANT",
    "QuantizeLinear": "QUANTIZE", "DequantizeLinear": "DEQUANTIZE", "Cast": "CAST",
}  # fmt: skip

#: What TensorRT calls layers of a kind.
_WORDS = {
    "CONSTANT": "Constant",
    "ELEMENTWISE": "ElementWise",
    "FULLY_CONNECTED": "Fully Connected",
    "MATRIX_MULTIPLY": "Matrix Multiply",
    "SHUFFLE": "Shuffle",
}

#: Operators whose constants become layers; those of the others are weights of the layer.
_WITH_CONSTANTS = frozenset(["Add", "Sub", "Mul", "Div", "MatMul"])


class Made(NamedTuple):
    """One layer.

    kind: a member of LayerType, or IDENTITY where the fake knows no better.
    node: the NodeProto that it is of.
    inputs, outputs: names of tensors.
    is_main: an engine tells of it; the node's other layers are fused into it.
    """

    name: str
    kind: str
    node: Any
    inputs: List[str]
    outputs: List[str]
    is_main: bool


def parse(facts: Facts, model: Any) -> List[Made]:
    """The layers that the parser of a release makes of a model, in the order of the network."""
    parser = _Parser(facts, model)
    for node in model.graph.node:
        parser.add_node(node)
    return parser.layers


class _Parser:
    def __init__(self, facts: Facts, model: Any) -> None:
        self.layers: List[Made] = []
        # [parser] before 10, what the helpers of an importer add has TensorRT's own name.
        self._names_all = facts.number >= (10, 0)
        self._connects_fully = facts.number < (8, 4)
        self._ranks = {one.name: len(one.dims) for one in model.graph.initializer}
        self._constants: Dict[str, str] = {}
        self._taken: Set[str] = set()
        self._suffix = 0

    def add_node(self, node: Any) -> None:
        inputs = list(node.input)
        if node.op_type == "Gemm" and all(name in self._ranks for name in inputs[1:]):
            self._add_gemm(node, inputs)
            return
        if node.op_type in _WITH_CONSTANTS:
            inputs = self._with_constants(node, inputs)
        self._add(_KINDS.get(node.op_type, "IDENTITY"), node, inputs, node.name, list(node.output), True)

    def _add_gemm(self, node: Any, inputs: Sequence[str]) -> None:
        output = node.output[0]
        if self._connects_fully and len(inputs) == 3:
            wide = self._add("SHUFFLE", node, inputs[:1], self._helper("ONNXTRT_unsqueezeTensor"))
            found = self._add("FULLY_CONNECTED", node, [wide], node.name, is_main=True)
            self._add("SHUFFLE", node, [found], self._helper("ONNXTRT_squeezeTensor"), [output])
            return
        weights = self._constant(node, inputs[1])
        product_is_last = len(inputs) == 2
        outputs = [output] if product_is_last else None
        product = self._add("MATRIX_MULTIPLY", node, [inputs[0], weights], node.name, outputs, True)
        if not product_is_last:
            bias = self._broadcast(node, inputs[2], 2)
            self._add("ELEMENTWISE", node, [product, bias], self._helper(node.name), [output])

    def _with_constants(self, node: Any, inputs: Sequence[str]) -> List[str]:
        rank = max([self._ranks[name] for name in inputs if name in self._ranks] + [2])
        return [self._broadcast(node, name, rank) if name in self._ranks else name for name in inputs]

    def _broadcast(self, node: Any, weights: str, rank: int) -> str:
        """The tensor of weights, given dimensions in front where they have fewer."""
        tensor = self._constant(node, weights)
        if self._ranks[weights] >= rank:
            return tensor
        return self._add("SHUFFLE", node, [tensor], self._helper("ONNXTRT_Broadcast"))

    def _constant(self, node: Any, weights: str) -> str:
        """The tensor of weights: a layer named like these, one for all nodes that take them."""
        if weights not in self._constants:
            self._constants[weights] = self._add("CONSTANT", node, [], weights)
        return self._constants[weights]

    def _helper(self, name: str) -> str:
        return name if self._names_all else ""

    def _add(
        self,
        kind: str,
        node: Any,
        inputs: Sequence[str],
        registered: str,
        outputs: Optional[List[str]] = None,
        is_main: bool = False,
    ) -> str:
        """Add a layer, under TensorRT's own name where it is not registered; the name of its output."""
        own = "(Unnamed Layer* {}) [{}]".format(len(self.layers), _WORDS.get(kind, kind.title()))
        name = self._unique(registered) if registered else own
        given = ["{}_output".format(name if self._names_all else own)] if outputs is None else outputs
        self.layers.append(Made(name, kind, node, list(inputs), given, is_main))
        return given[0] if given else ""

    def _unique(self, name: str) -> str:
        candidate = name
        while candidate in self._taken:
            candidate = "{}_{}".format(name, self._suffix)
            self._suffix += 1
        self._taken.add(candidate)
        return candidate
