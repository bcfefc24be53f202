"""The novelty in graphs of lower precision, of a fixed batch, and of other outputs."""

from collections.abc import Sequence
from typing import Any

import novel_graphs
import numpy as np
import pytest
import random_graphs
from fake_tensorrt_onnx import Runner
from novel_graphs import HEAD, KINDS, TENSORS, classifier, of_kind

from legoclf.convert import drift, flavours, fp16, fp16_plan, int8, novelty_rounding, onnx_graph, ranges
from legoclf.convert.novelty import Novelty

pytest.importorskip("onnx")

FLOAT = 1  # TensorProto.FLOAT

#: What makes the novelty of its own.
BRANCHES = {
    "distance": [
        *("centred", "projected", "row", "differences", "squares", "squares_sum", "nearest", "filled"),
        *("within", "off", "residual", "off_squares", "off_squares_sum", "total"),
    ],
    "energy": ["largest", "below", "exponentials", "total", "log", "log_sum_exp", "row"],
}


def branch(kind: str) -> set[str]:
    return {"novelty", *(f"novelty.{name}" for name in BRANCHES[kind])}


def large_energy() -> Any:
    """A classifier with logits of some hundreds, of which FP16 holds quarters."""
    weights, bias = HEAD
    return onnx_graph.attach_onnx_head(
        novel_graphs.onnx_features(), weights * 100, bias, novelty=Novelty("energy")
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_typed_fp16_graph_computes_it_in_fp32(kind: str) -> None:
    typed = fp16.to_fp16(classifier(of_kind(kind)))
    types = fp16.tensor_types(typed)
    assert {types[name] for name in branch(kind)} == {FLOAT}


@pytest.mark.parametrize("kind", KINDS)
def test_in_fp16_it_moves_by_the_rounding_of_the_features_alone(kind: str) -> None:
    model = classifier(of_kind(kind))
    got = random_graphs.run(ranges.emulate_fp16(model), TENSORS, "novelty")
    error = np.abs(got - random_graphs.run(model, TENSORS, "novelty")).max()
    assert 0 < error < 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_the_plan_tells_how_far_it_moves(kind: str) -> None:
    model = classifier(of_kind(kind))
    plan = fp16_plan.plan_fp16(model, list(TENSORS))
    moved = random_graphs.run(ranges.emulate_fp16(model, plan.keep_fp32), TENSORS, "novelty")
    expected = np.abs(moved - random_graphs.run(model, TENSORS, "novelty")).max()
    assert plan.agreement.novelty_difference == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_where_rounding_is_harmless_fp16_is_left_to_the_builder(kind: str) -> None:
    plan = fp16_plan.plan_fp16(classifier(of_kind(kind)), list(TENSORS))
    assert not set(plan.keep_fp32) & branch(kind)


def test_where_rounding_moves_it_too_far_all_its_nodes_stay_fp32() -> None:
    model = large_energy()
    plan = fp16_plan.plan_fp16(model, list(TENSORS), drift_bound=1, probability_bound=1)
    assert branch("energy") | {"head"} <= set(plan.keep_fp32)
    assert plan.reasons["novelty"].startswith("FP16 moves the novelty by 0.")
    fp16.to_fp16(model, plan.keep_fp32)


def scaled(factor: float) -> Novelty:
    """A distance all of whose lengths are so many times as long."""
    centre, projection, prototypes, basis = novel_graphs.distance().arrays()
    return Novelty("distance", centre, projection * factor, prototypes * factor, basis, factor)


def long_vectors() -> Any:
    """A classifier whose projection was not scaled: the squares are beyond FP16's 65504."""
    return classifier(scaled(1e4))


def by_flag(model: Any, keep_fp32: Sequence[str]) -> np.ndarray:
    """The novelty as an engine gives it in which a builder's flag let every other layer be FP16."""
    copy = type(model)()
    copy.CopyFrom(model)
    return Runner(copy, True, keep_fp32, ["novelty"])({"input": TENSORS})["novelty"]


def test_what_the_plan_keeps_makes_an_engine_right_that_is_fp16_by_flag() -> None:
    model = long_vectors()
    expected = random_graphs.run(model, TENSORS, "novelty")
    plan = fp16_plan.plan_fp16(model, list(TENSORS))
    assert np.abs(by_flag(model, ()) - expected).max() > 0.1
    # The features themselves are rounded.
    np.testing.assert_allclose(by_flag(model, plan.keep_fp32), expected, rtol=0.005)


def test_the_bound_decides() -> None:
    model = classifier(of_kind("distance"))
    expected = drift.answers(model, list(TENSORS))
    found = novelty_rounding.novelty_reasons(model, list(TENSORS), expected, bound=1e-7)
    assert branch("distance") <= set(found)


def test_a_classifier_without_novelty_has_nothing_to_keep_for_it() -> None:
    model = classifier(None)
    expected = drift.answers(model, list(TENSORS))
    assert novelty_rounding.novelty_reasons(model, list(TENSORS), expected) == {}
    assert drift.compare(expected, expected).novelty_difference is None


def test_in_fp16_distances_thirty_times_as_long_as_planned_do_not_overflow() -> None:
    """FP16 has ten bits: a thousandth of 30 and more, over a dozen roundings."""
    long = scaled(30)
    rounded = novelty_rounding.rounded(classifier(long), list(fp16.tail_nodes(classifier(long), ["novelty"])))
    got = random_graphs.run(rounded, TENSORS, "novelty")
    np.testing.assert_allclose(got, novel_graphs.expected(long), rtol=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_int8_leaves_it_float(kind: str) -> None:
    model = classifier(of_kind(kind))
    quantised = int8.quantize_int8(model, list(TENSORS))
    nodes = {node.name: node for node in quantised.graph.node}
    made_by = {made: node.op_type for node in quantised.graph.node for made in node.output}
    read = {made_by.get(used) for name in branch(kind) for used in nodes[name].input}
    assert "DequantizeLinear" not in read
    assert [value.name for value in quantised.graph.output] == ["logits", "probabilities", "novelty"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_int8_plan_tells_how_far_it_moves(kind: str) -> None:
    model = classifier(of_kind(kind))
    plan = int8.plan_int8(model, list(TENSORS), list(TENSORS))
    moved = random_graphs.run(plan.model, TENSORS, "novelty")
    expected = np.abs(moved - random_graphs.run(model, TENSORS, "novelty")).max()
    assert plan.agreement.novelty_difference == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fixed_batch_gives_the_same_and_becomes_free_again(kind: str) -> None:
    model = classifier(of_kind(kind))
    expected = random_graphs.run(model, TENSORS, "novelty")
    fixed = flavours.with_batch(model, 2)
    np.testing.assert_allclose(random_graphs.run(fixed, TENSORS[:2], "novelty"), expected[:2], atol=1e-5)
    free = flavours.with_batch(fixed, None)
    np.testing.assert_allclose(random_graphs.run(free, TENSORS, "novelty"), expected, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_jetson_inference_gets_the_graph_without_it(kind: str) -> None:
    flavour, plain = (
        onnx_graph.serialize(flavours.jetson_inference_flavour(classifier(each)))
        for each in (of_kind(kind), None)
    )
    assert flavour == plain
