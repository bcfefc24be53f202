"""Which layers can go to FP16: found by measurement on images, each exception with its reason."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from legoclf.convert.drift import TRIALS, Agreement, answers, compare, keep_most_hurt
from legoclf.convert.fp16 import half_nodes, weight_losses
from legoclf.convert.fp16_weights import FP16_LARGEST
from legoclf.convert.novelty_rounding import novelty_reasons
from legoclf.convert.ranges import LayerRange, emulate_fp16, layer_ranges

if TYPE_CHECKING:
    from onnx import ModelProto

#: A tensor that fills more than this share of FP16's range stays FP32: other images may double it.
SHARE = 0.5

#: The largest difference of a probability in FP16 from FP32 (DESIGN.md, section 3).
PROBABILITY_BOUND = 0.02

#: The largest drift of the logits; unlike a probability's it is the same on the images that the head was
#: trained on. MobileNetV2 on 78 photos held out: at 0.023 two changed their top-1, at 0.006 none.
DRIFT_BOUND = 0.01


@dataclass(frozen=True)
class Fp16Plan:
    """What stays FP32, why, and how the rest then does.

    Attributes:
        keep_fp32: names of nodes, in the order of the graph; for :func:`legoclf.convert.fp16.to_fp16`.
        reasons: for each of them, why.
        layers: the largest activation of each layer in FP32.
        notes: what is lost without harm, such as weights that become 0.
        before: emulated FP16 against FP32 with the overflowing layers in FP32 only.
        agreement: the same after the plan.
        within_bounds: whether the plan met the bounds.
    """

    keep_fp32: tuple[str, ...]
    reasons: dict[str, str]
    layers: tuple[LayerRange, ...] = field(repr=False)
    notes: tuple[str, ...]
    before: Agreement
    agreement: Agreement
    within_bounds: bool


def plan_fp16(
    model: ModelProto,
    tensors: Sequence[np.ndarray],
    *,
    share: float = SHARE,
    probability_bound: float = PROBABILITY_BOUND,
    drift_bound: float = DRIFT_BOUND,
    trials: int = TRIALS,
) -> Fp16Plan:
    """Decide by measurement which nodes of a classifier stay FP32.

    First those whose weights do not fit, and those that give or read a tensor that overflows or comes too
    near. Then, while emulated FP16 is beyond a bound, the layers that make the logits drift most, where FP32
    helps (:func:`legoclf.convert.drift.keep_most_hurt`). Of a novelty, all from the features on, if rounding
    there moves it too far (:func:`legoclf.convert.novelty_rounding.novelty_reasons`). The cost grows with
    the number of tensors; 32 to 64 are enough, and they need no label.

    Args:
        model: an FP32 classifier with the outputs logits and probabilities, its tensors typed; N free or 1.
        tensors: float32 [3, H, W] each, as the input contract makes them.
        share: the part of FP16's range that an activation may fill.
        probability_bound: the largest difference of a probability.
        drift_bound: the largest drift of the logits.
        trials: how many candidates to try at most.

    Raises:
        LegoclfError: no tensor, or the FP32 model itself gives infinities or NaN.
    """
    layers = layer_ranges(model, tensors)
    losses = weight_losses(model)
    reasons = _out_of_range(model, layers, share)
    reasons |= {loss.node: str(loss) for loss in losses if not loss.fits}
    expected = answers(model, tensors)

    def measure(keep: Collection[str]) -> Agreement:
        return compare(expected, answers(emulate_fp16(model, keep), tensors))

    def is_within(measured: Agreement) -> bool:
        close = measured.probability_difference <= probability_bound
        return close and measured.logit_drift <= drift_bound

    reasons, before, agreement = keep_most_hurt(model, tensors, reasons, measure, is_within, trials)
    reasons = {**novelty_reasons(model, tensors, expected), **reasons}
    kept = tuple(node.name for node in model.graph.node if node.name in reasons)
    return Fp16Plan(
        keep_fp32=kept,
        reasons={name: reasons[name] for name in kept},
        layers=tuple(layers),
        notes=tuple(f"{loss.node}: {loss}" for loss in losses if loss.fits),
        before=before,
        agreement=agreement,
        within_bounds=is_within(agreement),
    )


def _out_of_range(model: ModelProto, layers: Sequence[LayerRange], share: float) -> dict[str, str]:
    """The nodes that cannot be FP16 for the size of what they give, sum up, or read, with the reason."""
    by_node = {layer.node: layer for layer in layers}
    maker = _makers(model)
    halves = half_nodes(model)
    reasons = {}
    for node in model.graph.node:
        layer = by_node.get(node.name)
        if node.name not in halves or layer is None:
            continue
        read = [by_node[maker[used]] for used in node.input if maker.get(used) in by_node]
        hot = next((each for each in (layer, *read) if each.share_of_65504 > share), None)
        if hot is not None:
            whose = "its activation" if hot is layer else f"its input from {hot.node}"
            verb = "beyond" if hot.share_of_65504 > 1 else "too near"
            reasons[node.name] = f"{whose} reaches {hot.largest:.4g}, {verb} FP16's {FP16_LARGEST:.0f}"
        elif layer.largest_sum > FP16_LARGEST:
            reasons[node.name] = f"the terms it sums up reach {layer.largest_sum:.4g}, beyond FP16's range"
    return reasons


def _makers(model: ModelProto) -> dict[str, str]:
    return {made: node.name for node in model.graph.node for made in node.output}
