"""A network in lines of text: its layers, what they give, and how many parameters they have."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from legoclf.retrain.feature_vector import FeatureVector
from legoclf.retrain.heads import Head


class _Row(NamedTuple):
    layer: str
    kind: str
    shape: str
    trainable: int
    frozen: int


def summary_lines(network: Any, head: Head | None = None) -> list[str]:
    """What --print_model_summary prints.

    Args:
        network: a Keras model, or a feature vector, of which the ONNX graph is read: there batch-norms
            are folded into convolutions, and all is frozen.
        head: what is trained on the features.
    """
    rows = _of_onnx(network.onnx_path) if isinstance(network, FeatureVector) else list(_of_keras(network))
    if head is not None:
        size = head.weights.size + head.bias.size
        rows.append(_Row("head", "Softmax", _shape(["N", len(head.bias)]), size, 0))
    return [*_table(rows), "", *_totals(rows)]


def _of_keras(model: Any) -> Iterable[_Row]:
    for layer in model._flatten_layers(include_self=False, recursive=True):
        if getattr(layer, "layers", None):
            continue  # a network within the network: its layers follow by themselves
        output = getattr(layer, "output", None)
        shape = _shape(["N" if size is None else size for size in output.shape]) if output is not None else ""
        trainable = sum(_size(weight.shape) for weight in layer.trainable_weights)
        frozen = sum(_size(weight.shape) for weight in layer.non_trainable_weights)
        yield _Row(layer.name, type(layer).__name__, shape, trainable, frozen)


def _of_onnx(path: Path) -> list[_Row]:
    import onnx

    graph = onnx.load(str(path)).graph
    shapes = {value.name: _onnx_shape(value) for value in (*graph.value_info, *graph.output)}
    sizes = {constant.name: _size(constant.dims) for constant in graph.initializer}
    return [
        # A constant that several use counts where it is used first.
        _Row(
            node.name,
            node.op_type,
            shapes.get(node.output[0], ""),
            0,
            sum(sizes.pop(name, 0) for name in node.input),
        )
        for node in graph.node
    ]


def _onnx_shape(value: Any) -> str:
    sizes = [size.dim_value or "N" for size in value.type.tensor_type.shape.dim]
    return _shape(sizes)


def _shape(sizes: Sequence[object]) -> str:
    return f"[{', '.join(str(size) for size in sizes)}]"


def _size(shape: Iterable[int]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size


def _table(rows: Sequence[_Row]) -> list[str]:
    cells = [("layer", "kind", "output", "parameters")]
    cells += [(row.layer, row.kind, row.shape, f"{row.trainable + row.frozen:,}") for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    return [
        "  ".join(
            [
                *(text.ljust(width) for text, width in zip(line[:3], widths, strict=False)),
                line[3].rjust(widths[3]),
            ]
        )
        for line in cells
    ]


def _totals(rows: Sequence[_Row]) -> list[str]:
    trainable, frozen = sum(row.trainable for row in rows), sum(row.frozen for row in rows)
    megabytes = 4 * (trainable + frozen) / 1e6
    return [
        f"parameters: {trainable + frozen:,} ({megabytes:,.2f} MB as float32)",
        f"trainable: {trainable:,}; frozen: {frozen:,}",
    ]
