"""Which layers of a TensorRT network come from which node of the ONNX graph.

NVIDIA's parser makes several layers of some nodes, and names one of them after the node. Of a Gemm ``head``
it makes before TensorRT 10 the product ``head``, its constants, and under names like ``(Unnamed Layer* 12)
[ElementWise]`` what reshapes and adds the bias; the product is ``head_0`` where a weight is called ``head``
too (github.com/onnx/onnx-tensorrt: registerLayer in ImporterContext, importers of Gemm in 7.x to 8.6).
Tensors tell what names of layers do not: every output of a node bears its ONNX name, and no tensor between
two layers of a node does.
"""

from typing import Any, Dict, Iterable, List, Sequence, Set, Tuple

#: Types of tensors that a precision can be asked for: a shape, indices and truth values keep theirs.
_FLOATS = ("FLOAT", "HALF")

#: One may serve several nodes, and is stored as who takes it wants it.
_CONSTANT = "CONSTANT"


def layers_of(
    layers: Sequence[Any], nodes: Sequence[Tuple[str, Sequence[str]]], names: Iterable[str]
) -> Dict[str, List[Any]]:
    """The layers of some nodes, but for constants.

    Args:
        layers: all ``ILayer`` of a parsed network.
        nodes: all of the ONNX graph, each one's name and those of its outputs.
        names: of the nodes wanted.

    Returns:
        by name, in the order of the network: those that compute what the node gives from what it takes.
        None where the parser made none of floats.
    """
    makers = _makers(layers)
    bonds = _bonds(layers, makers, {output for _, outputs in nodes for output in outputs})
    found: Dict[str, List[Any]] = {name: [] for name in names}
    for name, outputs in nodes:
        if name in found:
            ends = [makers[output] for output in outputs if output in makers]
            # An Identity after it adds no layer and gives its own name to the tensor that it takes.
            ends = ends or [at for at in set(makers.values()) if layers[at].name == name]
            found[name] += [layers[at] for at in sorted(_reached(ends, bonds))]
    return found


def float_outputs(layer: Any) -> List[int]:
    """The numbers of a layer's outputs that a precision can be asked for."""
    return [at for at in range(layer.num_outputs) if layer.get_output(at).dtype.name in _FLOATS]


def _makers(layers: Sequence[Any]) -> Dict[str, int]:
    """The place of the layer that gives each tensor of floats; constants are left out."""
    return {
        layer.get_output(output).name: at
        for at, layer in enumerate(layers)
        if layer.type.name != _CONSTANT
        for output in float_outputs(layer)
    }


def _bonds(layers: Sequence[Any], makers: Dict[str, int], given: Set[str]) -> List[Set[int]]:
    """For each layer the places of those that it shares a tensor with that no node of the ONNX gives."""
    bonds: List[Set[int]] = [set() for _ in layers]
    for at, layer in enumerate(layers):
        for tensor in filter(None, map(layer.get_input, range(layer.num_inputs))):  # one may be left out
            maker = makers.get(tensor.name)
            if maker is not None and tensor.name not in given:
                bonds[at].add(maker)
                bonds[maker].add(at)
    return bonds


def _reached(ends: Sequence[int], bonds: List[Set[int]]) -> Set[int]:
    """The ends and all that is tied to them."""
    found: Set[int] = set()
    waiting = list(ends)
    while waiting:
        at = waiting.pop()
        if at not in found:
            found.add(at)
            waiting += bonds[at]
    return found
