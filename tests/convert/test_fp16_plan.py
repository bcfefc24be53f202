"""Which layers stay FP32: on networks made to overflow, to drift, and to do neither."""

from typing import Any

import numpy as np
import pytest
import random_graphs

from legoclf.convert import drift, fp16, fp16_plan, ranges
from legoclf.errors import LegoclfError

onnx = pytest.importorskip("onnx")


def changed(model: Any, factors: dict[str, float]) -> Any:
    """The model with weights multiplied by factors, given by the names of the weights."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        if tensor.name in factors:
            values = onnx.numpy_helper.to_array(tensor) * np.float32(factors[tensor.name])
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    return copy


def rescaled(model: Any, factor: float) -> Any:
    """The embedded classifier with Conv_6, which no Clip follows, times the factor; Conv_7 takes it back."""
    return changed(model, {"Conv_6.weight": factor, "Conv_6.bias": factor, "Conv_7.weight": 1 / factor})


@pytest.fixture(scope="module")
def model(classifier_96: bytes) -> Any:
    return onnx.load_from_string(classifier_96)


@pytest.fixture(scope="module")
def tensors(photos_96: np.ndarray) -> list[np.ndarray]:
    return list(photos_96[1:4].transpose(0, 3, 1, 2))


def agreement(model: Any, tensors: list[np.ndarray], keep: Any) -> drift.Agreement:
    """Emulated FP16 against FP32."""
    got = drift.answers(ranges.emulate_fp16(model, keep), tensors)
    return drift.compare(drift.answers(model, tensors), got)


def test_a_network_made_to_overflow_is_caught_and_then_right(model: Any, tensors: list[np.ndarray]) -> None:
    # Conv_6 reaches about 30: times 2500 that is beyond 65504, and no weight of it is.
    overflowing = rescaled(model, 2500)
    broken = agreement(overflowing, tensors, [])
    plan = fp16_plan.plan_fp16(overflowing, tensors)
    assert broken.logit_drift == float("inf")
    assert broken.same_top1 < 1
    assert {"Conv_6", "Conv_7"} <= set(plan.keep_fp32)
    assert "its activation reaches" in plan.reasons["Conv_6"]
    assert "beyond FP16's 65504" in plan.reasons["Conv_6"]
    assert "its input from Conv_6 reaches" in plan.reasons["Conv_7"]
    assert plan.agreement.same_top1 == 1
    assert plan.agreement == agreement(overflowing, tensors, plan.keep_fp32)
    hottest = max(plan.layers, key=lambda layer: layer.share_of_65504)
    assert hottest.node == "Conv_6"
    assert hottest.share_of_65504 > 1


def test_weights_that_do_not_fit_stay_fp32(model: Any, tensors: list[np.ndarray]) -> None:
    plan = fp16_plan.plan_fp16(rescaled(model, 1e4), tensors)
    assert "values of Conv_6.bias are beyond FP16's 65504" in plan.reasons["Conv_6"]
    assert plan.agreement.same_top1 == 1


def test_a_layer_that_comes_too_near_stays_fp32(model: Any, tensors: list[np.ndarray]) -> None:
    hottest = max(ranges.layer_ranges(model, tensors), key=lambda layer: layer.largest)
    limit = hottest.share_of_65504
    assert limit < 0.01
    plan = fp16_plan.plan_fp16(model, tensors, share=0.999 * limit, drift_bound=9, probability_bound=1)
    assert hottest.node in plan.keep_fp32
    assert "too near FP16's 65504" in plan.reasons[hottest.node]
    free = fp16_plan.plan_fp16(model, tensors, share=1.001 * limit, drift_bound=9, probability_bound=1)
    assert free.keep_fp32 == ()


def test_a_layer_whose_terms_cancel_beyond_the_range_stays_fp32() -> None:
    model, (_, cancelling) = random_graphs.with_cancellation(random_graphs.random_classifier(3), 30_000.0)
    plan = fp16_plan.plan_fp16(
        changed(model, {f"{cancelling}.weight": 1.5}), random_graphs.tensors(4), share=1
    )
    # 1.5 * 30000 + 30000: neither what it reads nor what it gives is beyond 65504, but the terms are.
    assert plan.reasons[cancelling].startswith("the terms it sums up reach 7")


def test_a_few_layers_of_the_embedded_network_make_most_of_its_drift(
    model: Any, tensors: list[np.ndarray]
) -> None:
    plan = fp16_plan.plan_fp16(model, tensors, drift_bound=0.006)
    assert plan.before == agreement(model, tensors, [])
    assert plan.before.logit_drift > 0.006
    # On 800 photos of 224x224: three of 98 nodes, 0.022 before and 0.0063 after.
    assert plan.within_bounds
    assert len(plan.keep_fp32) < 10
    assert plan.agreement.same_top1 == 1


@pytest.mark.parametrize("seed", range(3))
def test_layers_that_cancel_are_found(seed: int) -> None:
    model, pair = random_graphs.with_cancellation(random_graphs.random_classifier(seed))
    plan = fp16_plan.plan_fp16(model, random_graphs.tensors(6))
    assert set(pair) <= set(plan.keep_fp32)
    assert "alone makes the logits drift by" in plan.reasons["take_offset"]
    assert plan.before.logit_drift > 5 * plan.agreement.logit_drift
    assert plan.within_bounds


@pytest.mark.parametrize("seed", range(3))
def test_a_network_without_trouble_is_all_fp16(seed: int) -> None:
    model = random_graphs.random_classifier(seed)
    plan = fp16_plan.plan_fp16(model, random_graphs.tensors(6))
    assert plan.keep_fp32 == ()
    assert plan.within_bounds
    assert plan.agreement.same_top1 == 1
    # Six layers, each rounded to 2^-11.
    assert 0 < plan.agreement.logit_drift < 0.003


def test_the_search_ends_where_nothing_helps() -> None:
    model = random_graphs.random_classifier(0)
    measured: list[Any] = []

    def measure(keep: Any) -> drift.Agreement:
        measured.append(set(keep))
        return drift.Agreement(1.0, 0.0, logit_drift=1.0)

    found = drift.keep_most_hurt(
        model, random_graphs.tensors(4), {}, measure, lambda agreement: False, trials=2
    )
    # All in FP16; then two candidates, each alone and with what it reads.
    assert len(measured) == 5
    assert found[0] == {}


def test_a_bound_that_cannot_be_met_is_told() -> None:
    model = random_graphs.random_classifier(0)
    plan = fp16_plan.plan_fp16(model, random_graphs.tensors(4), drift_bound=0.0, trials=1)
    assert not plan.within_bounds


def test_the_search_ends_where_it_is_near_enough() -> None:
    model = random_graphs.random_classifier(0)
    measured: list[Any] = []

    def measure(keep: Any) -> drift.Agreement:
        measured.append(set(keep))
        return drift.Agreement(1.0, 0.0, logit_drift=0.1 if keep else 1.0)

    found = drift.keep_most_hurt(
        model, random_graphs.tensors(4), {}, measure, lambda agreement: agreement.logit_drift < 0.5
    )
    assert len(measured) == 2
    assert set(found[0]) == measured[1]


def test_the_plan_serves_the_converter(model: Any, tensors: list[np.ndarray]) -> None:
    plan = fp16_plan.plan_fp16(rescaled(model, 2500), tensors)
    halves = fp16.half_nodes(model, plan.keep_fp32)
    assert not halves & set(plan.keep_fp32)
    order = [node.name for node in model.graph.node]
    assert list(plan.keep_fp32) == sorted(plan.keep_fp32, key=order.index)
    assert list(plan.reasons) == list(plan.keep_fp32)


def test_infinity_and_nan_agree_with_nothing() -> None:
    logits, probabilities = np.zeros((2, 2), np.float32), np.full((2, 2), 0.5, np.float32)
    logits[:, 0] = 1
    bad = probabilities.copy()
    bad[0] = np.nan
    found = drift.compare(drift.Answers(logits, probabilities), drift.Answers(logits, bad))
    assert found == drift.Agreement(same_top1=0.5, probability_difference=1.0, logit_drift=float("inf"))


def test_drift_is_the_difference_of_the_logits_but_for_their_mean() -> None:
    logits = np.array([[3.0, -3.0], [0.0, 0.0]], np.float32)
    moved = logits + np.array([[5.0, 5.0], [0.3, -0.3]], np.float32)
    probabilities = np.array([[1.0, 0.0], [0.6, 0.4]], np.float32)
    found = drift.compare(drift.Answers(logits, probabilities), drift.Answers(moved, probabilities))
    assert found.logit_drift == pytest.approx(0.1, rel=1e-5)
    assert found.same_top1 == 1


def test_no_image_is_refused(model: Any) -> None:
    with pytest.raises(LegoclfError, match="at least one image"):
        fp16_plan.plan_fp16(model, [])
