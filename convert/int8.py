"""INT8 ONNX: post-training quantisation to Q/DQ nodes, as TensorRT takes it.

The work is ONNX Runtime's: its histograms, its choice of thresholds, its Q/DQ nodes. Here they are fed one
image at a time, and told what TensorRT needs: zero points of 0, a scale per output channel for weights,
biases left FP32, and a Q/DQ pair for each reader of a tensor. Convolutions are quantised; pooling, the dense
layer and the softmax stay FP32.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from legoclf.convert.drift import TRIALS, Agreement, answers, compare, keep_most_hurt
from legoclf.convert.ranges import Activations
from legoclf.errors import LegoclfError, UsageError, missing_package

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

METHODS = ("percentile", "entropy")

#: INT8 does not come as near to FP32 as FP16: from this drift of the logits on it is left at that.
DRIFT_BOUND = 0.05

#: What the percentile method keeps of a tensor's values, in percent.
PERCENTILE = 99.999

# With ONNX Runtime's 128 bins of activations for 128 of INT8 there is one threshold to choose: the largest.
# Twice as many leave a choice; more take longer and came no nearer to FP32.
_BINS = {"entropy": 256, "percentile": 2048}
_QUANTISED_BINS = 128

_OPTIONS = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "AddQDQPairToWeight": True,
    "QuantizeBias": False,
    # A Conv's result is quantised where the next Conv reads it, behind Clip and Add, which fuse into it.
    "OpTypesToExcludeOutputQuantization": ["Conv"],
}


@dataclass(frozen=True)
class Int8Plan:
    """An INT8 model, what stays FP32 in it, why, and how near it is to FP32.

    Attributes:
        model: the Q/DQ graph.
        keep_fp32: names of nodes, in the order of the graph.
        reasons: for each of them, why.
        before: the fully quantised graph against FP32.
        agreement: the model against FP32.
    """

    model: ModelProto = field(repr=False)
    keep_fp32: tuple[str, ...]
    reasons: dict[str, str]
    before: Agreement
    agreement: Agreement


def quantize_int8(
    model: ModelProto,
    tensors: Sequence[np.ndarray],
    method: str = METHODS[0],
    *,
    keep_fp32: Collection[str] = (),
    percentile: float = PERCENTILE,
) -> ModelProto:
    """Quantise the convolutions of a classifier by what its activations are on images.

    The time grows with the number of tensors, the memory does not: one image's activations are held at a
    time. Equal models and tensors give equal models.

    Args:
        model: FP32, opset 13, its tensors typed; N free or 1; left as it is.
        tensors: float32 [3, H, W] each, as the input contract makes them, from the training images; 64 or
            more.
        method: ``percentile`` cuts off each tensor's largest values, ``entropy`` chooses its range for the
            least loss of information.
        keep_fp32: names of nodes to leave FP32.
        percentile: of the first method, in percent.

    Returns:
        opset 13, IR 7, float32 inputs and outputs, metadata as before.

    Raises:
        UsageError: there is no such method.
        LegoclfError: no tensor, no node of such a name, the model gives infinities or NaN, or onnxruntime is
            not installed.
    """
    known = {node.name for node in model.graph.node}
    for name in keep_fp32:
        if name not in known:
            raise LegoclfError(f"no node '{name}' in the model, which was to stay FP32")
    return _quantised(model, _calibrate(model, tensors, method, percentile), keep_fp32)


def plan_int8(
    model: ModelProto,
    tensors: Sequence[np.ndarray],
    checked: Sequence[np.ndarray],
    method: str = METHODS[0],
    *,
    percentile: float = PERCENTILE,
    drift_bound: float = DRIFT_BOUND,
    trials: int = TRIALS,
) -> Int8Plan:
    """Quantise, but for the layers that rounding hurts most where leaving them FP32 helps.

    Args:
        checked: float32 [3, H, W] each, to measure on; 32 to 64 are enough, and they need no label.
        drift_bound: the drift of the logits from which on no more layers are kept.
        trials: how many candidates to try at most; each costs one run of ``checked``.

    The other arguments and what it raises are those of :func:`quantize_int8`.
    """
    ranges = _calibrate(model, tensors, method, percentile)
    expected = answers(model, checked)

    def measure(keep: Collection[str]) -> Agreement:
        return compare(expected, answers(_quantised(model, ranges, keep), checked))

    reasons, before, agreement = keep_most_hurt(
        model, checked, {}, measure, lambda measured: measured.logit_drift <= drift_bound, trials
    )
    kept = tuple(node.name for node in model.graph.node if node.name in reasons)
    return Int8Plan(
        _quantised(model, ranges, kept), kept, {name: reasons[name] for name in kept}, before, agreement
    )


def _calibrate(model: ModelProto, tensors: Sequence[np.ndarray], method: str, percentile: float) -> Any:
    """ONNX Runtime's TensorsData: the range of each tensor that a convolution reads."""
    if method not in METHODS:
        raise UsageError(f"INT8 calibration '{method}': expected one of {', '.join(METHODS)}")
    if not len(tensors):
        raise LegoclfError("INT8 calibration needs training images; got none")
    calibrate = _quantization().calibrate
    collector = calibrate.HistogramCollector(
        method=method,
        symmetric=False,
        num_bins=_BINS[method],
        num_quantized_bins=_QUANTISED_BINS,
        percentile=percentile,
        scenario="same",
    )
    read = {node.input[0] for node in model.graph.node if node.op_type == "Conv"}
    activations = Activations(model, sorted(read))
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        # The histogram grows by bins of its first width; the widest range first keeps it as long as it is.
        collector.collect(_extremes(activations, tensors))
        for tensor in tensors:
            # Zeros are exact in any range, but so many of them would draw entropy's choice to a narrow one.
            collector.collect({name: values[values != 0] for name, values in activations.of(tensor).items()})
        found = collector.compute_collection_result()
    return calibrate.TensorsData(calibrate.CalibrationMethod[method.capitalize()], found)


def _extremes(activations: Activations, tensors: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """For each tensor between the nodes, its least and its largest value over all images."""
    extremes: dict[str, np.ndarray] = {}
    for tensor in tensors:
        for name, values in activations.of(tensor).items():
            found = np.array([values.min(), values.max()])
            if not np.isfinite(found).all():
                raise LegoclfError(f"tensor {name} is infinite or NaN in FP32 already: train the model anew")
            kept = extremes.get(name, found)
            extremes[name] = np.array([min(kept[0], found[0]), max(kept[1], found[1])])
    return extremes


def _quantised(model: ModelProto, ranges: Any, keep_fp32: Collection[str]) -> ModelProto:
    quantization = _quantization()
    copy = type(model)()
    copy.CopyFrom(model)
    nodes = [node.name for node in model.graph.node if node.op_type == "Conv" and node.name not in keep_fp32]
    if not nodes:
        return copy
    quantizer = quantization.qdq_quantizer.QDQQuantizer(
        copy,
        per_channel=True,
        reduce_range=False,
        weight_qType=quantization.QuantType.QInt8,
        activation_qType=quantization.QuantType.QInt8,
        tensors_range=ranges,
        nodes_to_quantize=nodes,
        nodes_to_exclude=[],
        op_types_to_quantize=["Conv"],
        extra_options=dict(_OPTIONS),
    )
    with _silenced():
        quantizer.quantize_model()
    return _finished(quantizer.model.model, model)


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """ONNX Runtime logs, to everybody's root logger, each scale it adjusts in a channel that is all but 0."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _finished(quantised: ModelProto, model: ModelProto) -> ModelProto:
    """The quantised graph in the FP32 model's frame: its versions, metadata, inputs and outputs."""
    from onnx import checker, shape_inference

    done = type(model)()
    done.CopyFrom(model)
    graph = done.graph
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(_with_own_pairs(_in_order(quantised)))
    graph.initializer.extend(sorted(quantised.graph.initializer, key=lambda tensor: tensor.name))
    done = shape_inference.infer_shapes(done, strict_mode=True)
    checker.check_model(done, full_check=True)
    return done


def _with_own_pairs(nodes: Sequence[NodeProto]) -> Iterator[NodeProto]:
    """The nodes with a Q/DQ pair for each reader of a quantised tensor.

    ONNX Runtime's option for it (DedicatedQDQPair) leaves out the readers that are not quantised, the Adds.
    """
    by_output = {made: node for node in nodes for made in node.output}
    taken: set[str] = set()
    for node in nodes:
        if node.op_type == "QuantizeLinear" or node.op_type == "DequantizeLinear":
            continue
        for place, used in enumerate(node.input):
            dequantise = by_output.get(used)
            if dequantise is None or dequantise.op_type != "DequantizeLinear":
                continue
            pair = [by_output[dequantise.input[0]], dequantise]
            if used in taken:
                pair = [_renamed(each, f"_{node.name}") for each in pair]
                pair[1].input[0] = pair[0].output[0]
                node.input[place] = pair[1].output[0]
            taken.add(used)
            yield from pair
        yield node


def _renamed(node: NodeProto, suffix: str) -> NodeProto:
    copy = type(node)()
    copy.CopyFrom(node)
    copy.name, copy.output[0] = node.name + suffix, node.output[0] + suffix
    return copy


def _in_order(quantised: ModelProto) -> list[NodeProto]:
    """The nodes, each after those it reads from."""
    graph = quantised.graph
    ready = {value.name for value in (*graph.input, *graph.initializer)} | {""}
    waiting: list[NodeProto] = list(graph.node)
    ordered: list[NodeProto] = []
    while waiting:
        late = []
        for node in waiting:
            if set(node.input) <= ready:
                ordered.append(node)
                ready.update(node.output)
            else:
                late.append(node)
        if len(late) == len(waiting):
            raise LegoclfError(f"node {late[0].name} of the quantised graph reads what nothing makes")
        waiting = late
    return ordered


def _quantization() -> Any:
    try:
        from onnxruntime import quantization
    except ImportError as error:
        raise missing_package("onnxruntime", "train") from error
    return quantization
