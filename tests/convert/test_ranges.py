"""FP16 emulated on a CPU: its range and rounding are there, and the layers' largest activations are right."""

from typing import Any

import numpy as np
import pytest
import random_graphs

from legoclf.convert import fp16, ranges
from legoclf.errors import LegoclfError

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

LEVELS = ["ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"]


def chain(*layers: tuple[list[float], list[float]], channels: int = 1) -> Any:
    """Convolutions of 1x1, given by weights [out * in] and biases [out], one after the other, on a 2x2 image.

    A pair of them scales by 1 and is there so that the graph has an activation to compute on.
    """
    nodes, weights, x = [], [], "input"
    for index, (weight, bias) in enumerate(layers):
        shape = (len(bias), len(weight) // len(bias), 1, 1)
        values = {"w": np.reshape(weight, shape), "b": np.array(bias)}
        for role, array in values.items():
            weights.append(onnx.numpy_helper.from_array(array.astype(np.float32), f"c{index}.{role}"))
        inputs = [x, f"c{index}.w", f"c{index}.b"]
        x = f"c{index}"
        nodes.append(onnx.helper.make_node("Conv", inputs, [x], name=x))
    last = len(layers[-1][1])
    graph = onnx.helper.make_graph(
        nodes,
        "chain",
        [onnx.helper.make_tensor_value_info("input", 1, ["batch", channels, 2, 2])],
        [onnx.helper.make_tensor_value_info(x, 1, ["batch", last, 2, 2])],
        weights,
    )
    opset = [onnx.helper.make_opsetid("", 13)]
    model = onnx.helper.make_model(graph, ir_version=7, opset_imports=opset)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def image(*values: float) -> np.ndarray:
    """float32 [C, 2, 2] with one value for each channel."""
    return np.tile(np.array(values, np.float32)[:, None, None], (1, 2, 2))


OVERFLOWING = (([60_000.0], [0.0]), ([4.0], [0.0]), ([1e-4], [0.0]))


@pytest.mark.parametrize("level", LEVELS)
def test_overflow_shows_however_the_runtime_optimises(level: str) -> None:
    emulated = ranges.emulate_fp16(chain(*OVERFLOWING))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    session = onnxruntime.InferenceSession(
        emulated.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    # 60000 * 4 is beyond FP16: infinite, and 24 in FP32.
    assert np.isinf(session.run(None, {"input": image(1.0)[None]})[0]).all()


def test_overflow_shows_as_in_the_reference_of_onnx() -> None:
    from onnx.reference import ReferenceEvaluator

    typed = fp16.to_fp16(chain(*OVERFLOWING))
    batch = image(1.0)[None]
    with np.errstate(over="ignore"):
        expected = ReferenceEvaluator(typed).run(None, {"input": batch})[0]
    got = random_graphs.run(ranges.emulate(typed), batch, "c2")
    np.testing.assert_array_equal(got, expected)


def test_each_result_is_rounded_as_numpy_rounds_to_fp16() -> None:
    model = chain(([0.3333], [0.0]), ([1.7], [0.0]))
    values = np.random.default_rng(0).random((50, 1, 2, 2), np.float32)
    got = random_graphs.run(ranges.emulate_fp16(model), values, "c1")
    first = (values.astype(np.float16).astype(np.float32) * np.float32(np.float16(0.3333))).astype(np.float16)
    second = (first.astype(np.float32) * np.float32(np.float16(1.7))).astype(np.float16)
    np.testing.assert_array_equal(got, second.astype(np.float32))


@pytest.mark.parametrize("seed", range(6))
def test_random_graphs_say_what_the_reference_of_onnx_says_in_fp16(seed: int) -> None:
    from onnx.reference import ReferenceEvaluator

    typed = fp16.to_fp16(random_graphs.random_classifier(seed))
    batch = np.stack(random_graphs.tensors(2, seed))
    expected = ReferenceEvaluator(typed).run(["probabilities"], {"input": batch})[0]
    got = random_graphs.run(ranges.emulate(typed), batch)
    # The reference adds up in FP16 as well: at most six layers of up to 72 terms.
    np.testing.assert_allclose(got, expected, atol=0.01)


def test_nodes_that_stay_fp32_are_not_rounded() -> None:
    model = chain(*OVERFLOWING)
    emulated = ranges.emulate_fp16(model, ["c0", "c1", "c2"])
    got = random_graphs.run(emulated, image(1.0)[None], "c2")
    np.testing.assert_allclose(got, 24.0, rtol=1e-6)


def test_emulation_rounds_the_very_weights_of_the_fp16_graph() -> None:
    emulated = ranges.emulate_fp16(chain(([0.1], [0.7])))
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in emulated.graph.initializer}
    assert weights["c0.w"].item() == np.float32(np.float16(0.1))
    assert weights["c0.b"].item() == np.float32(np.float16(0.7))


def test_the_largest_activation_of_each_layer_over_all_images() -> None:
    model = chain(([2.0], [1.0]), ([-3.0], [0.0]))
    layers = ranges.layer_ranges(model, [image(1.0), image(-4.0), image(0.5)])
    assert [(layer.node, layer.op, layer.largest) for layer in layers] == [
        ("c0", "Conv", 7.0),
        ("c1", "Conv", 21.0),
    ]
    assert layers[1].share_of_65504 == 21.0 / 65504


def test_sums_that_cancel_are_seen_by_their_terms() -> None:
    model = chain(([40_000.0, -40_000.0], [5.0]), channels=2)
    (layer,) = ranges.layer_ranges(model, [image(1.0, 1.0)])
    assert layer.largest == 5.0
    assert layer.largest_sum == 80_005.0


@pytest.mark.parametrize("seed", range(4))
def test_no_sum_is_smaller_than_its_result(seed: int) -> None:
    model = random_graphs.random_classifier(seed)
    layers = ranges.layer_ranges(model, random_graphs.tensors(3))
    assert [layer.node for layer in layers] == [node.name for node in model.graph.node]
    assert all(layer.largest_sum >= layer.largest for layer in layers)
    assert any(layer.largest_sum > layer.largest for layer in layers)


def test_a_model_that_overflows_in_fp32_is_refused_with_its_node() -> None:
    model = chain(([1.0], [0.0]), ([3e38], [0.0]), ([1.0], [0.0]))
    with pytest.raises(LegoclfError, match=r"node c1 \(Conv\) gives infinity or NaN in FP32 already"):
        ranges.layer_ranges(model, [image(10.0)])


def test_a_model_that_gives_nan_is_refused() -> None:
    model = chain(([1.0], [0.0]))
    with pytest.raises(LegoclfError, match="gives infinity or NaN"):
        ranges.layer_ranges(model, [image(1.0), image(float("nan")), image(1.0)])


def test_no_image_is_refused() -> None:
    with pytest.raises(LegoclfError, match="at least one image"):
        ranges.layer_ranges(chain(([1.0], [0.0])), [])


def test_inputs_of_a_node_are_rounded_each_in_its_way() -> None:
    model = chain(([0.1], [0.7]))
    node = model.graph.node.pop()
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    casts = ranges.halve_inputs(node, weights, model.graph)
    model.graph.node.extend([*casts, node])
    third = np.float32(1 / 3)
    got = random_graphs.run(model, image(third)[None], "c0")
    wide = [np.float32(np.float16(value)) for value in (third, 0.1, 0.7)]
    np.testing.assert_allclose(got, wide[0] * wide[1] + wide[2], rtol=1e-6)
    assert abs(got.max() - (third * 0.1 + 0.7)) > 1e-5


def test_inputs_that_are_exact_already_are_read_as_they_are() -> None:
    model = chain(([0.1], [0.7]))
    (node,) = model.graph.node
    assert ranges.halve_inputs(node, {}, model.graph, ["input", "c0.w", "c0.b"]) == []
    assert list(node.input) == ["input", "c0.w", "c0.b"]
