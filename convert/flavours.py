"""Flavours of a classifier's ONNX graph: another batch size, and the form that jetson-inference loads."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from legoclf.convert.novelty import NOVELTY_NAME
from legoclf.convert.onnx_graph import PROBABILITIES_NAME
from legoclf.errors import LegoclfError, UsageError

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

JETSON_INFERENCE_INPUT = "input_0"
JETSON_INFERENCE_OUTPUT = "output_0"

#: What imageNet of jetson-inference subtracts from, and divides RGB in [0, 1] by (c/imageNet.cpp).
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_BATCH = "batch"


def with_batch(model: ModelProto, batch: int | None) -> ModelProto:
    """The same graph for batches of a fixed size, or, with None, of any.

    All tensors are typed anew. A Reshape to the old fixed size is freed of it, and a Squeeze without axes
    gets those it has: it would drop a batch of 1 as well.

    Args:
        model: one input [N, 3, H, W], N free or fixed; left as it is.
        batch: N, 1 or more.

    Raises:
        UsageError: batch is less than 1.
        LegoclfError: a node fixes the batch in another way; it is named.
    """
    if batch is not None and batch < 1:
        raise UsageError(f"batch {batch}: expected 1 or more")
    free = _free(model)
    return free if batch is None else _retyped(free, batch)


def jetson_inference_flavour(model: ModelProto) -> ModelProto:
    """A classifier as jetson-inference's imageNet loads it: ``input_0`` to ``output_0``, batch 1.

    imageNet feeds RGB normalised to ImageNet's mean and standard deviation; a Mul and an Add undo that
    before the graph's own first node. The output is the probabilities; a novelty is left out with what only
    it needs. Metadata travels along; the normalisation is added as ``input_normalisation``.

    Args:
        model: ``input`` [N, 3, H, W], RGB in [0, 1], to ``probabilities`` [N, C]; left as it is.

    Raises:
        LegoclfError: the graph has no output ``probabilities``, or not 3 channels.
    """
    from onnx import helper, numpy_helper

    flavour = with_batch(_without_novelty(model), 1)
    graph = flavour.graph
    outputs = {value.name: value for value in graph.output}
    if PROBABILITIES_NAME not in outputs:
        raise LegoclfError(
            f"the model has no output '{PROBABILITIES_NAME}' but {', '.join(outputs)}: "
            "jetson-inference takes a classifier"
        )
    source = graph.input[0]
    if source.type.tensor_type.shape.dim[1].dim_value != len(IMAGENET_MEAN):
        raise LegoclfError("jetson-inference feeds images of 3 channels; the model takes another number")
    scaled = "input_0.scaled"
    first = [
        helper.make_node("Mul", [JETSON_INFERENCE_INPUT, "imagenet.std"], [scaled], name="undo_imagenet_std"),
        helper.make_node("Add", [scaled, "imagenet.mean"], [source.name], name="undo_imagenet_mean"),
    ]
    for name, values in (("imagenet.std", IMAGENET_STD), ("imagenet.mean", IMAGENET_MEAN)):
        constant = np.array(values, np.float32).reshape(1, -1, 1, 1)
        graph.initializer.append(numpy_helper.from_array(constant, name))
    nodes = [*first, *graph.node]
    for node in nodes:
        for names in (node.input, node.output):
            names[:] = [JETSON_INFERENCE_OUTPUT if name == PROBABILITIES_NAME else name for name in names]
    source.name = JETSON_INFERENCE_INPUT
    outputs[PROBABILITIES_NAME].name = JETSON_INFERENCE_OUTPUT
    kept = [value for value in graph.output if value.name == JETSON_INFERENCE_OUTPUT]
    del graph.node[:], graph.output[:]
    graph.node.extend(nodes)
    graph.output.extend(kept)
    normalisation = json.dumps({"mean": IMAGENET_MEAN, "std": IMAGENET_STD})
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    helper.set_model_props(flavour, dict(sorted({**metadata, "input_normalisation": normalisation}.items())))
    return _typed(flavour)


def _without_novelty(model: ModelProto) -> ModelProto:
    """A copy without that output, the nodes that only it needs, and the constants of these alone."""
    copy = type(model)()
    copy.CopyFrom(model)
    graph = copy.graph
    kept = [value for value in graph.output if value.name != NOVELTY_NAME]
    if len(kept) == len(graph.output):
        return copy
    needed = {value.name for value in kept}
    nodes: list[NodeProto] = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed.update(node.input)
            nodes.insert(0, node)
    constants = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:], graph.initializer[:], graph.output[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    graph.output.extend(kept)
    return copy


def _free(model: ModelProto) -> ModelProto:
    """The model for any batch size."""
    old = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    free = _retyped(model, None)
    for node in free.graph.node:
        if node.op_type not in ("Reshape", "Squeeze"):
            continue
        shapes = _shapes(free)
        shape = shapes.get(node.input[0], [])
        if node.op_type == "Squeeze" and len(node.input) < 2:
            _set_constant(free, node, [axis for axis, size in enumerate(shape) if size == 1])
        elif node.op_type == "Reshape" and _keeps_batch(shape, _constant(free, node) or [], old):
            # 0 keeps the size that the input has.
            _set_constant(free, node, [0, *(_constant(free, node) or [])[1:]])
        else:
            continue
        free = _typed(free)
    _check_free(free)
    return free


def _keeps_batch(shape: Sequence[int | str], target: Sequence[int], old: int) -> bool:
    """Whether a Reshape of a batch to the target leaves each image to itself without saying so by a 0."""
    if shape[:1] != [_BATCH] or not target:
        return False
    if target[0] == -1:
        return all(isinstance(size, int) for size in shape[1:]) and math.prod(target[1:]) == math.prod(
            shape[1:]
        )
    return target[0] == old > 0


def _check_free(model: ModelProto) -> None:
    shapes = _shapes(model)
    if all(shapes.get(value.name, [])[:1] == [_BATCH] for value in model.graph.output):
        return
    for node in model.graph.node:
        reads = any(shapes.get(used, [])[:1] == [_BATCH] for used in node.input)
        if reads and not any(shapes.get(made, [])[:1] == [_BATCH] for made in node.output):
            raise LegoclfError(
                f"node {node.name} ({node.op_type}) fixes the batch size: convert the model anew "
                "from a source whose batch is free"
            )
    raise LegoclfError("the model's outputs do not depend on its batch")


def _retyped(model: ModelProto, batch: int | None) -> ModelProto:
    """A copy whose input has N fixed, or free, and whose other tensors follow from it."""
    copy = type(model)()
    copy.CopyFrom(model)
    size = copy.graph.input[0].type.tensor_type.shape.dim[0]
    size.Clear()
    if batch is None:
        size.dim_param = _BATCH
    else:
        size.dim_value = batch
    return _typed(copy)


def _typed(model: ModelProto) -> ModelProto:
    from onnx import checker, shape_inference

    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    typed = shape_inference.infer_shapes(model, strict_mode=True)
    checker.check_model(typed)
    return typed


def _shapes(model: ModelProto) -> dict[str, list[int | str]]:
    """The shape of each tensor that shape inference knows; a free size is its name."""
    graph = model.graph
    return {
        value.name: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.value_info, *graph.output)
    }


def _constant(model: ModelProto, node: NodeProto) -> list[int] | None:
    """The second input of a node, where it is a constant."""
    from onnx import numpy_helper

    for tensor in model.graph.initializer:
        if tensor.name == node.input[1]:
            return [int(size) for size in numpy_helper.to_array(tensor)]
    return None


def _set_constant(model: ModelProto, node: NodeProto, values: list[int]) -> None:
    """Give the node a second input of its own: another node may read the one it had."""
    from onnx import numpy_helper

    name = f"{node.name}.{'axes' if node.op_type == 'Squeeze' else 'free_shape'}"
    model.graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), name))
    node.input[1:] = [name]
    used = {name for each in model.graph.node for name in each.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
