"""Frozen graphs (.pb) of other people's making, of TensorFlow 1 or 2: their input and output found."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legoclf.convert.foreign_output import shape_text
from legoclf.convert.foreign_source import Source, check_image
from legoclf.convert.frozen import import_tensorflow, read_frozen
from legoclf.convert.graph_def import duplicate
from legoclf.errors import LegoclfError, UsageError

if TYPE_CHECKING:
    from tensorflow.core.framework.graph_pb2 import GraphDef


def open_frozen(path: Path, input_tensor: str | None, output_tensor: str | None) -> Source:
    """A classifier in a frozen graph.

    The input is the one placeholder there is; the output is the one floating-point tensor that nothing uses,
    or else the one softmax. Either can be named instead; the input may then be any tensor of the graph, so
    that decoding and resizing before it are left out. ``PlaceholderWithDefault`` takes its default.

    Raises:
        UsageError: a name is not in the graph, or several tensors could be meant and none is named.
        LegoclfError: the file is no frozen graph, or it needs more than the image.
    """
    tf = import_tensorflow()
    graph_def = read_frozen(path)
    if not graph_def.node:
        raise LegoclfError("the file holds no graph; expected a frozen graph (.pb)")
    use_defaults(graph_def)
    with tf.Graph().as_default() as graph:
        try:
            tf.import_graph_def(duplicate(graph_def), name="")
        except (ValueError, tf.errors.OpError) as error:
            cause = str(error).strip().partition("\n")[0]
            raise LegoclfError(f"cannot be read as a frozen graph: {cause}; is the file whole?") from error
    source = _find_input(graph, input_tensor)
    output = _find_output(graph, output_tensor)
    _check_fed(source, output)
    shape = None if source.shape.rank is None else tuple(source.shape)
    height, width = check_image(source.op.name, shape, source.dtype.name)

    def function(image: Any) -> dict[str, Any]:
        [tensor] = tf.graph_util.import_graph_def(
            duplicate(graph_def), {source.name: image}, [output.name], name=""
        )
        return {output.name.removesuffix(":0"): tensor}

    return Source(function, "frozen graph", height, width)


def use_defaults(graph_def: GraphDef) -> None:
    """Let each ``PlaceholderWithDefault`` be its default, in place."""
    for node in graph_def.node:
        if node.op == "PlaceholderWithDefault":
            node.op = "Identity"
            node.attr["T"].CopyFrom(node.attr["dtype"])
            del node.attr["dtype"], node.attr["shape"]


def _find_input(graph: Any, name: str | None) -> Any:
    placeholders = [each.outputs[0] for each in graph.get_operations() if each.type == "Placeholder"]
    if name is not None:
        return _tensor(graph, "--input_tensor", name, placeholders)
    images = [each for each in placeholders if each.shape.rank in (4, None) and each.dtype.is_floating]
    chosen = placeholders if len(placeholders) == 1 else images
    if len(chosen) != 1:
        raise UsageError(
            f"the graph's input is not plain to see: pass --input_tensor NAME, one of {_listed(placeholders)}"
        )
    return chosen[0]


def _find_output(graph: Any, name: str | None) -> Any:
    operations = [each for each in graph.get_operations() if each.type not in ("Const", "Placeholder")]
    ends = [
        tensor
        for each in operations
        for tensor in each.outputs
        if tensor.dtype.is_floating and not tensor.consumers()
    ]
    softmaxes = [each.outputs[0] for each in operations if each.type == "Softmax"]
    if name is not None:
        return _tensor(graph, "--output_tensor", name, [*ends, *softmaxes])
    chosen = ends if len(ends) == 1 else softmaxes
    if len(chosen) != 1:
        raise UsageError(
            f"the graph's output is not plain to see: pass --output_tensor NAME, one of {_listed(ends)}"
        )
    return chosen[0]


def _tensor(graph: Any, flag: str, name: str, candidates: Iterable[Any]) -> Any:
    try:
        return graph.get_tensor_by_name(name if ":" in name else f"{name}:0")
    except (KeyError, ValueError) as error:
        raise UsageError(f"{flag} {name}: not in the graph; candidates are {_listed(candidates)}") from error


def _check_fed(source: Any, output: Any) -> None:
    """Raise where the output needs a placeholder other than the image."""
    seen = {source.op}
    ahead = [output.op]
    while ahead:
        operation = ahead.pop()
        if operation in seen:
            continue
        seen.add(operation)
        if operation.type == "Placeholder":
            raise LegoclfError(
                f"the output '{output.op.name}' needs '{operation.name}' beside the image "
                f"'{source.op.name}': freeze the graph for inference"
            )
        ahead.extend(tensor.op for tensor in operation.inputs)


def _listed(tensors: Iterable[Any]) -> str:
    names = {each.name.removesuffix(":0"): f"{each.dtype.name} {shape_text(each)}" for each in tensors}
    return ", ".join(f"{name} ({what})" for name, what in names.items()) or "none"
