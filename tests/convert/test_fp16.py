"""FP16 ONNX: its types, its casts, and what happens to weights that FP16 cannot hold."""

import collections
from typing import Any

import numpy as np
import pytest
import random_graphs

from legoclf.convert import fp16, onnx_graph
from legoclf.convert.fp16_weights import WEIGHT_ERROR
from legoclf.errors import LegoclfError

onnx = pytest.importorskip("onnx")

FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
SEEDS = range(12)


@pytest.fixture(scope="module")
def model(onnx_classifier: bytes) -> Any:
    return onnx.load_from_string(onnx_classifier)


@pytest.fixture(scope="module")
def typed(model: Any) -> Any:
    return fp16.to_fp16(model)


def names(model: Any) -> list[str]:
    return [node.name for node in model.graph.node if node.op_type != "Cast"]


def casts(model: Any) -> list[str]:
    return [node.output[0] for node in model.graph.node if node.op_type == "Cast"]


def weights(model: Any, name: str) -> Any:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def set_weights(model: Any, name: str, values: np.ndarray) -> None:
    weights(model, name).CopyFrom(onnx.numpy_helper.from_array(values, name))


def computed_in(model: Any) -> dict[str, int]:
    """The type of what each node gives, by its name."""
    types = fp16.tensor_types(model)
    return {node.name: types[node.output[0]] for node in model.graph.node if node.op_type != "Cast"}


def test_the_network_computes_in_fp16_between_two_casts(typed: Any) -> None:
    assert casts(typed) == ["Sub_1.fp16", "Clip_98.fp32"]
    in_fp32 = {name for name, kind in computed_in(typed).items() if kind == FLOAT}
    assert in_fp32 == {"Mul_0", "Sub_1", "GlobalAveragePool_99", "Squeeze_100", "head", "softmax"}


def test_inputs_and_outputs_stay_fp32(model: Any, typed: Any) -> None:
    assert list(typed.graph.input) == list(model.graph.input)
    assert list(typed.graph.output) == list(model.graph.output)


def test_nodes_keep_their_names_and_order(model: Any, typed: Any) -> None:
    assert names(typed) == names(model)


def test_weights_and_the_bounds_of_clip_are_fp16(typed: Any) -> None:
    types = collections.Counter(
        weights(typed, used).data_type
        for node in typed.graph.node
        if node.op_type in ("Conv", "Clip")
        for used in node.input[1:]
    )
    assert types == {HALF: 2 * 52 + 2 * 35}
    assert weights(typed, "head.weight").data_type == FLOAT


def test_the_frame_of_the_model_stays(model: Any, typed: Any) -> None:
    assert random_graphs.metadata(typed) == random_graphs.metadata(model)
    assert typed.ir_version == 7
    assert [(each.domain, each.version) for each in typed.opset_import] == [("", 13)]


def test_equal_models_give_equal_bytes(model: Any, typed: Any) -> None:
    before = onnx_graph.serialize(model)
    assert onnx_graph.serialize(fp16.to_fp16(model)) == onnx_graph.serialize(typed)
    assert onnx_graph.serialize(model) == before


def test_nodes_to_keep_stay_fp32_with_casts_at_their_borders_only(model: Any) -> None:
    kept = fp16.to_fp16(model, ["Conv_14", "Clip_15", "Conv_16"])
    assert {computed_in(kept)[name] for name in ("Conv_14", "Clip_15", "Conv_16")} == {FLOAT}
    assert casts(kept) == ["Sub_1.fp16", "Clip_13.fp32", "Conv_16.fp16", "Clip_98.fp32"]
    # Clip_15 shares its bounds with Clips in FP16: both types of them are there.
    assert {weights(kept, used).data_type for used in ("Clip_3.min", "Clip_3.max")} == {FLOAT}
    assert {weights(kept, used).data_type for used in ("Clip_3.min.fp16", "Clip_3.max.fp16")} == {HALF}


def test_a_tensor_that_two_nodes_read_is_cast_once(model: Any) -> None:
    # Conv_11 is read by Conv_12 and, past the branch, by Add_17.
    kept = fp16.to_fp16(model, ["Conv_12", "Add_17"])
    assert casts(kept).count("Conv_11.fp32") == 1


def test_an_output_of_the_graph_that_fp16_makes_is_cast_back() -> None:
    model = random_graphs.random_classifier(0)
    inner = next(node for node in model.graph.node if node.op_type == "Conv").output[0]
    shape = next(value for value in model.graph.value_info if value.name == inner)
    model.graph.output.append(shape)
    typed = fp16.to_fp16(model)
    assert typed.graph.output[-1].type.tensor_type.elem_type == FLOAT
    batch = np.stack(random_graphs.tensors(2))
    expected = random_graphs.run(model, batch, inner)
    # FP16 has 11 bits; a few sums of products of weights and inputs so rounded.
    np.testing.assert_allclose(random_graphs.run(typed, batch, inner), expected, atol=0.02)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_graphs_say_the_same(seed: int) -> None:
    model = random_graphs.random_classifier(seed)
    typed = fp16.to_fp16(model)
    batch = np.stack(random_graphs.tensors(5, seed))
    assert names(typed) == names(model)
    # At most six layers, each rounding to 11 bits; logits of about 5.
    np.testing.assert_allclose(random_graphs.run(typed, batch), random_graphs.run(model, batch), atol=0.02)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_graphs_with_random_nodes_kept_are_sound(seed: int) -> None:
    model = random_graphs.random_classifier(seed)
    rng = np.random.default_rng(seed)
    kept = [name for name in names(model) if rng.random() < 0.4]
    typed = fp16.to_fp16(model, kept)
    types = computed_in(typed)
    assert {types[name] for name in kept} == {FLOAT}
    made = casts(typed)
    assert len(made) == len(set(made))
    by_output = {node.output[0]: node for node in typed.graph.node}
    assert not any(
        node.op_type == "Cast" and node.input[0] in made and by_output[node.input[0]].op_type == "Cast"
        for node in typed.graph.node
    )


def test_weights_beyond_fp16_are_refused_with_their_node(model: Any) -> None:
    large = onnx.ModelProto()
    large.CopyFrom(model)
    values = onnx.numpy_helper.to_array(weights(large, "Conv_4.weight")).copy()
    values[0, 0, 0, 0] = 70_000.0
    set_weights(large, "Conv_4.weight", values)
    with pytest.raises(LegoclfError, match="node Conv_4: 1 values of Conv_4.weight are beyond FP16's 65504"):
        fp16.to_fp16(large)
    assert computed_in(fp16.to_fp16(large, ["Conv_4"]))["Conv_4"] == FLOAT


def test_weights_that_vanish_in_fp16_are_refused_with_their_node(model: Any) -> None:
    small = onnx.ModelProto()
    small.CopyFrom(model)
    values = onnx.numpy_helper.to_array(weights(small, "Conv_6.weight")) * np.float32(1e-9)
    set_weights(small, "Conv_6.weight", values)
    with pytest.raises(LegoclfError, match="node Conv_6: 512 values of Conv_6.weight become 0 in FP16"):
        fp16.to_fp16(small)


def test_single_weights_that_become_zero_are_told(model: Any) -> None:
    losses = {loss.weights: loss for loss in fp16.weight_losses(model)}
    loss = losses["Conv_2.weight"]
    values = onnx.numpy_helper.to_array(weights(model, "Conv_2.weight"))
    assert loss.flushed == np.count_nonzero((values != 0) & (np.abs(values) <= 2.0**-25)) > 0
    assert loss.fits
    assert loss.error < WEIGHT_ERROR


def test_weights_that_are_zero_lose_nothing(model: Any) -> None:
    pruned = onnx.ModelProto()
    pruned.CopyFrom(model)
    values = onnx.numpy_helper.to_array(weights(pruned, "Conv_2.weight")).copy()
    values[np.abs(values) < 1e-3] = 0
    set_weights(pruned, "Conv_2.weight", values)
    assert "Conv_2.weight" not in {loss.weights for loss in fp16.weight_losses(pruned)}


def test_an_unbounded_clip_stays_finite(model: Any) -> None:
    relu = onnx.ModelProto()
    relu.CopyFrom(model)
    set_weights(relu, "Clip_3.max", np.array(np.finfo(np.float32).max, np.float32))
    bound = onnx.numpy_helper.to_array(weights(fp16.to_fp16(relu), "Clip_3.max"))
    assert bound == np.float16(65504)


def test_an_unknown_node_to_keep_is_refused(model: Any) -> None:
    with pytest.raises(LegoclfError, match="no node 'Conv_999'"):
        fp16.to_fp16(model, ["Conv_999"])


def test_an_operator_without_fp16_stays_fp32() -> None:
    model = random_graphs.random_classifier(1)
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    # QuantizeLinear of opset 13 reads FP32 only; its partner gives FP32 only.
    for name, values in (("scale", np.float32(0.1)), ("zero_point", np.int8(0))):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(values), name))
    source, constants = conv.input[0], ["scale", "zero_point"]
    pair = [
        onnx.helper.make_node("QuantizeLinear", [source, *constants], ["q"], name="q"),
        onnx.helper.make_node("DequantizeLinear", ["q", *constants], ["dq"], name="dq"),
    ]
    conv.input[0] = "dq"
    place = list(model.graph.node).index(conv)
    nodes = [*model.graph.node[:place], *pair, *model.graph.node[place:]]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    typed = fp16.to_fp16(model)
    assert computed_in(typed)["dq"] == FLOAT
    assert computed_in(typed)[conv.name] == HALF


def test_nodes_without_names_are_refused(model: Any) -> None:
    nameless = onnx.ModelProto()
    nameless.CopyFrom(model)
    nameless.graph.node[5].name = ""
    with pytest.raises(LegoclfError, match="nodes without a name"):
        fp16.to_fp16(nameless)
