"""How far FP16 moves a classifier's novelty, where a builder's flag lets every layer be FP16.

A typed FP16 graph computes the novelty in FP32, from its features on (:mod:`legoclf.convert.fp16`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from legoclf.convert.drift import Answers, answers, largest_difference
from legoclf.convert.fp16 import tail_nodes
from legoclf.convert.novelty import NOVELTY_NAME
from legoclf.convert.ranges import halve_inputs, through_half

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

#: The most that rounding may move a novelty; a distance is about 1 to 2 on images like those trained on.
NOVELTY_BOUND = 0.01


def novelty_reasons(
    model: ModelProto, tensors: Sequence[np.ndarray], expected: Answers, bound: float = NOVELTY_BOUND
) -> dict[str, str]:
    """The nodes from the features to the novelty, with the reason, if FP16 there moves it beyond the bound.

    Args:
        model: an FP32 classifier, its tensors typed.
        tensors: float32 [3, H, W] each.
        expected: what the model says of them.
    """
    if expected.novelty is None:
        return {}
    names = list(tail_nodes(model, [NOVELTY_NAME]))
    moved = largest_difference(expected.novelty, answers(rounded(model, names), tensors).novelty)
    if moved is None or moved <= bound:
        return {}
    reason = f"FP16 moves the novelty by {moved:.2g}, and {bound:.2g} is the most"
    return dict.fromkeys(names, reason)


def rounded(model: ModelProto, names: Collection[str]) -> ModelProto:
    """The model with the range and the rounding of FP16 in those nodes, computed in FP32."""
    from onnx import numpy_helper

    copy = type(model)()
    copy.CopyFrom(model)
    graph = copy.graph
    floats = {
        tensor.name: values
        for tensor in graph.initializer
        if (values := numpy_helper.to_array(tensor)).dtype == np.float32
    }
    # Constants that are no floats, and what has been rounded where it was made.
    exact = {tensor.name for tensor in graph.initializer} - floats.keys()
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        if node.name not in names:
            nodes.append(node)
            continue
        halved_node = type(node)()
        halved_node.CopyFrom(node)
        nodes.extend(halve_inputs(halved_node, floats, graph, exact))
        nodes.extend(_with_halved_outputs(halved_node))
        exact.update(node.output)
    del graph.node[:]
    graph.node.extend(nodes)
    return copy


def _with_halved_outputs(node: NodeProto) -> Iterator[NodeProto]:
    outputs = list(node.output)
    node.output[:] = [f"{name}: exact" for name in outputs]
    yield node
    for name in outputs:
        yield from through_half(f"{name}: exact", name)
