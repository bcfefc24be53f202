"""The ONNX graphs that a bundle holds beside model.onnx, made from it, with what there is to say of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from legoclf.bundle import FP16_MODEL, INT8_MODEL, JETSON_INFERENCE_MODEL, ONNX_MODEL
from legoclf.convert.drift import Agreement
from legoclf.convert.flavours import jetson_inference_flavour, with_batch
from legoclf.convert.fp16 import to_fp16
from legoclf.convert.fp16_plan import plan_fp16
from legoclf.convert.int8 import METHODS, plan_int8
from legoclf.convert.onnx_graph import serialize

if TYPE_CHECKING:
    from onnx import ModelProto

#: Images that FP16 is planned on, and INT8 checked on: enough, by measurement, and a few seconds' work.
PLAN_IMAGES = 48

#: Images that INT8 is calibrated on.
CALIBRATION_IMAGES = 64


@dataclass(frozen=True)
class Artefact:
    """One file of the bundle.

    Attributes:
        name: in the bundle.
        model: the graph.
        seconds: that it took to make.
        record: for model.json, the same in each run.
        lines: what to tell the user of it.
    """

    name: str
    model: ModelProto = field(repr=False)
    seconds: float
    record: dict[str, Any]
    lines: tuple[str, ...] = ()

    @cached_property
    def data(self) -> bytes:
        """The bytes of the file; equal graphs give equal bytes."""
        return serialize(self.model)


def with_batch_size(model: ModelProto, batch: int | None) -> Artefact:
    """model.onnx for a batch of that size, or of any (None)."""
    return _made(ONNX_MODEL, lambda: (with_batch(model, batch), {"batch": batch or "dynamic"}, ()))


def fp16_artefact(model: ModelProto, tensors: Sequence[np.ndarray]) -> Artefact:
    """model.fp16.onnx; the layers that stay FP32 are found by measurement on the tensors.

    Args:
        tensors: float32 [3, H, W] each, as the input contract makes them; :data:`PLAN_IMAGES` are enough.
    """

    def make() -> tuple[ModelProto, dict[str, Any], tuple[str, ...]]:
        plan = plan_fp16(model, tensors)
        hottest = max(plan.layers, key=lambda layer: layer.largest)
        record = {
            "kept_fp32": plan.reasons,
            "largest_activation": {"node": hottest.node, "value": _rounded(hottest.largest)},
            "notes": list(plan.notes),
            "images": len(tensors),
            "same_top1": _rounded(plan.agreement.same_top1),
            "probability_difference": _rounded(plan.agreement.probability_difference),
            "logit_drift": _rounded(plan.agreement.logit_drift),
            **_novelty_record(plan.agreement),
        }
        lines = [
            f"largest activation {hottest.largest:.4g} in {hottest.node}: {hottest.share_of_65504:.1%} of "
            "FP16's 65504",
            *(f"{node} stays FP32: {reason}" for node, reason in plan.reasons.items()),
        ]
        if not plan.within_bounds:
            lines.append("FP16 stays beyond its bounds; build the engine in FP32, or verify and decide")
        return to_fp16(model, plan.keep_fp32), record, tuple(lines)

    return _made(FP16_MODEL, make)


def int8_artefact(
    model: ModelProto, tensors: Sequence[np.ndarray], checked: Sequence[np.ndarray], method: str = METHODS[0]
) -> Artefact:
    """model.int8.onnx with Q/DQ nodes, calibrated on the tensors of training images.

    Args:
        tensors: float32 [3, H, W] each; :data:`CALIBRATION_IMAGES` are enough.
        checked: likewise, to measure on.
        method: ``percentile`` or ``entropy``.
    """

    def make() -> tuple[ModelProto, dict[str, Any], tuple[str, ...]]:
        plan = plan_int8(model, tensors, checked, method)
        record = {
            "method": method,
            "calibration_images": len(tensors),
            "kept_fp32": plan.reasons,
            "same_top1": _rounded(plan.agreement.same_top1),
            "probability_difference": _rounded(plan.agreement.probability_difference),
            **_novelty_record(plan.agreement),
        }
        lines = tuple(f"{node} stays FP32: {reason}" for node, reason in plan.reasons.items())
        return plan.model, record, lines

    return _made(INT8_MODEL, make)


def jetson_inference_artefact(model: ModelProto) -> Artefact:
    """model.jetson-inference.onnx: ``input_0``, normalised as imageNet does, to ``output_0``."""
    return _made(JETSON_INFERENCE_MODEL, lambda: (jetson_inference_flavour(model), {}, ()))


def _made(name: str, make: Callable[[], tuple[ModelProto, dict[str, Any], tuple[str, ...]]]) -> Artefact:
    start = time.perf_counter()
    model, record, lines = make()
    return Artefact(name, model, time.perf_counter() - start, record, lines)


def _novelty_record(agreement: Agreement) -> dict[str, float]:
    difference = agreement.novelty_difference
    return {} if difference is None else {"novelty_difference": _rounded(difference)}


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
