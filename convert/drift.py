"""How far a graph of lower precision is from FP32, and which layers rounding hurts most."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from legoclf.convert.fp16 import half_nodes
from legoclf.convert.novelty import NOVELTY_NAME
from legoclf.convert.onnx_graph import LOGITS_NAME, PROBABILITIES_NAME
from legoclf.convert.ranges import PRODUCTS, Activations, halve_inputs, through_half

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_BOOL = 9  # TensorProto.BOOL

#: How many candidates to try at most; each costs one or two runs of all tensors.
TRIALS = 6

#: Images on which the drift by each layer is measured: two runs of each for each layer.
_TRACED = 3

#: A candidate stays FP32 if that takes away at least this share of the drift.
_GAIN = 0.1


class Answers(NamedTuple):
    """What a graph says of N images: float32 [N, C], but the novelty [N]; None if it gives none."""

    logits: np.ndarray
    probabilities: np.ndarray
    novelty: np.ndarray | None = None


@dataclass(frozen=True)
class Agreement:
    """Emulated FP16 against FP32.

    Attributes:
        same_top1: share of the images with the same top-1.
        probability_difference: the largest; 1 where FP16 gives infinity or NaN.
        logit_drift: L2 norm of the difference of all logits over that of the logits, both without each
            image's mean; infinite where FP16 gives infinity or NaN.
        novelty_difference: the largest; infinite where FP16 gives infinity or NaN, None without novelty.
    """

    same_top1: float
    probability_difference: float
    logit_drift: float
    novelty_difference: float | None = None


def keep_most_hurt(
    model: ModelProto,
    tensors: Sequence[np.ndarray],
    reasons: dict[str, str],
    measure: Callable[[Collection[str]], Agreement],
    is_within: Callable[[Agreement], bool],
    trials: int = TRIALS,
) -> tuple[dict[str, str], Agreement, Agreement]:
    """Keep the layers FP32 that rounding hurts most, where that helps, until the graph is within bounds.

    A candidate is a node that multiplies by weights, with the activation behind it, which would not fuse with
    it across a cast; if that does not help, together with what it reads, back to the convolution before it:
    where a result cancels, it is its inputs whose rounding shows.

    Args:
        model: an FP32 classifier.
        tensors: float32 [3, H, W] each.
        reasons: the nodes that stay FP32 already, with the reason.
        measure: how far the graph is from FP32 with the nodes of such names in FP32.
        is_within: whether that is near enough.
        trials: how many candidates to try at most, twice each.

    Returns:
        the reasons of all nodes that stay FP32; how far the graph was, and how far it then is.
    """
    before = agreement = measure(reasons)
    halves = half_nodes(model, reasons)
    candidates = [] if is_within(agreement) else _most_hurt(model, halves, tensors[:_TRACED])
    for node, drift in candidates[:trials]:
        if is_within(agreement):
            break
        why = (
            f"{node} alone makes the logits drift by {drift:.2g} in FP16, {agreement.logit_drift:.2g} in all"
        )
        for group in _groups(model, node):
            candidate = {**{name: why for name in group if name in halves}, **reasons}
            better = measure(candidate)
            if better.logit_drift <= (1 - _GAIN) * agreement.logit_drift:
                reasons, agreement = candidate, better
                break
    return reasons, before, agreement


def answers(model: ModelProto, tensors: Sequence[np.ndarray]) -> Answers:
    """What a model says of tensors [3, H, W], run one by one."""
    outputs = {value.name for value in model.graph.output}
    names = [LOGITS_NAME, PROBABILITIES_NAME, *([NOVELTY_NAME] if NOVELTY_NAME in outputs else [])]
    session = Activations(model, names)
    found = [session.of(tensor) for tensor in tensors]
    return Answers(*(np.concatenate([each[name] for each in found]) for name in names))


def compare(expected: Answers, got: Answers) -> Agreement:
    """How far answers are from those of FP32; infinity and NaN agree with nothing."""
    logits, probabilities, novelty = expected
    rounded_logits, rounded, rounded_novelty = got
    novelty_difference = largest_difference(novelty, rounded_novelty)
    finite = np.isfinite(rounded).all(axis=1) & np.isfinite(rounded_logits).all(axis=1)
    same = finite & (rounded.argmax(axis=1) == probabilities.argmax(axis=1))
    if not finite.all():
        return Agreement(float(same.mean()), 1.0, float("inf"), novelty_difference)
    worst = float(np.abs(rounded - probabilities).max())
    return Agreement(float(same.mean()), worst, _drift(logits, rounded_logits), novelty_difference)


def largest_difference(values: np.ndarray | None, other: np.ndarray | None) -> float | None:
    """Of two novelties [N], infinite where one is not finite; None where there are not two."""
    if values is None or other is None:
        return None
    with np.errstate(invalid="ignore"):
        largest = float(np.abs(other - values).max())
    return largest if np.isfinite(largest) else float("inf")


def _drift(logits: np.ndarray, other: np.ndarray) -> float:
    """:attr:`Agreement.logit_drift` of logits [N, C]."""
    spread = np.linalg.norm(_centred(logits))
    return float(np.linalg.norm(_centred(other - logits)) / spread) if spread else 0.0


def _centred(logits: np.ndarray) -> np.ndarray:
    """Without each image's mean, which the softmax does not see."""
    centred: np.ndarray = logits - logits.mean(axis=1, keepdims=True)
    return centred


def _groups(model: ModelProto, name: str) -> Iterator[set[str]]:
    """A node with the activations behind it; then with what it reads as well, back to the next such node."""
    nodes = {node.name: node for node in model.graph.node}
    maker = {made: node for node in model.graph.node for made in node.output}

    def sources(node: NodeProto) -> list[NodeProto]:
        return [maker[used] for used in node.input if used in maker]

    group = {name}
    for node in model.graph.node:
        read = sources(node)
        if node.op_type not in PRODUCTS and len(read) == 1 and read[0].name in group:
            group.add(node.name)
    yield group
    read = sources(nodes[name])
    while len(read) == 1:
        group = {*group, read[0].name}
        if read[0].op_type in PRODUCTS:
            break
        read = sources(read[0])
    yield group


def _most_hurt(
    model: ModelProto, halves: Collection[str], tensors: Sequence[np.ndarray]
) -> list[tuple[str, float]]:
    """The nodes that multiply by weights, those first whose FP16 alone makes the logits drift most."""
    switched, switches = _with_switches(model, halves)
    activations = Activations(switched, [LOGITS_NAME])
    off = dict.fromkeys(switches.values(), np.array(False))

    def logits(switch: str | None = None) -> np.ndarray:
        on = {} if switch is None else {switch: np.array(True)}
        return np.concatenate([activations.of(tensor, {**off, **on})[LOGITS_NAME] for tensor in tensors])

    exact = logits()
    drifts = {node: _drift(exact, logits(switch)) for node, switch in switches.items()}
    return sorted(drifts.items(), key=lambda item: -item[1])


def _with_switches(model: ModelProto, halves: Collection[str]) -> tuple[ModelProto, dict[str, str]]:
    """The model with, for each of the nodes that multiply by weights, an input that switches it to FP16.

    Such a node then rounds what it reads, its weights and its result.

    Returns:
        the model, and the name of each node's switch, a bool scalar.
    """
    from onnx import helper, numpy_helper

    switched = type(model)()
    switched.CopyFrom(model)
    graph = switched.graph
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes: list[NodeProto] = []
    switches = {}
    for node in model.graph.node:
        exact = type(node)()
        exact.CopyFrom(node)
        nodes.append(exact)
        if node.op_type not in PRODUCTS or node.name not in halves:
            continue
        twin = type(node)()
        twin.CopyFrom(node)
        nodes.extend(halve_inputs(twin, weights, graph))
        made = node.output[0]
        twin.name, twin.output[0], exact.output[0] = f"{node.name}: twin", f"{made}: twin", f"{made}: exact"
        switch = switches[node.name] = f"{node.name}: switch"
        graph.input.append(helper.make_tensor_value_info(switch, _BOOL, []))
        half = f"{made}: half"
        nodes.extend([twin, *through_half(twin.output[0], half)])
        nodes.append(helper.make_node("Where", [switch, half, exact.output[0]], [made], name=switch))
    del graph.node[:]
    graph.node.extend(nodes)
    return switched, switches
