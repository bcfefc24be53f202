"""FLOPs and bytes counted from ONNX files: against counts by hand, and a published one."""

import sys
from typing import Any, Dict, List

import numpy as np
import pytest
import tiny_onnx
from few_nodes import graph, zeros

from legoclf.benchmarks.device.onnx_cost import Cost, count_cost, read_cost
from legoclf.errors import LegoclfError

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

FLOAT_BYTES = 4


def node(operator: str, inputs: str, output: str, **attributes: Any) -> Any:
    return helper.make_node(operator, inputs.split(), [output], output, **attributes)


def test_a_convolution_counted_by_hand() -> None:
    conv = node("Conv", "x w b", "y", pads=[1, 1, 1, 1], strides=[2, 2])
    cost = count_cost(graph([conv], [1, 3, 8, 8], {"w": zeros(5, 3, 3, 3), "b": zeros(5)}), "fp32")
    # 5 channels of 4 x 4, each the sum of 3 channels of 3 x 3 products; the bias is where the sum begins.
    assert cost.multiply_adds == 5 * 4 * 4 * 27
    assert cost.flops == 2 * cost.multiply_adds
    image, weights, made = 3 * 8 * 8, 5 * 27 + 5, 5 * 4 * 4
    assert cost.least_bytes == FLOAT_BYTES * (image + weights + made)
    assert cost.layer_bytes == cost.least_bytes


def test_a_depthwise_convolution_counted_by_hand() -> None:
    conv = node("Conv", "x w", "y", pads=[1, 1, 1, 1], group=6)
    cost = count_cost(graph([conv], [1, 6, 8, 8], {"w": zeros(6, 1, 3, 3)}), "fp32")
    assert cost.multiply_adds == 6 * 8 * 8 * 9


@pytest.mark.parametrize("flipped", [0, 1])
def test_a_dense_layer_counted_by_hand(flipped: int) -> None:
    weights = zeros(10, 1280) if flipped else zeros(1280, 10)
    cost = count_cost(
        graph([node("Gemm", "x w", "y", transB=flipped)], ["N", 1280], {"w": weights}), "fp32", 7
    )
    assert cost.multiply_adds == 7 * 1280 * 10


def test_what_is_no_product_is_one_flop_for_each_element_it_touches() -> None:
    nodes = [node("Clip", "x low high", "a"), node("GlobalAveragePool", "a", "y")]
    weights = {"low": np.float32(0), "high": np.float32(6)}
    cost = count_cost(
        graph(nodes, [1, 4, 5, 5], {name: np.array(value) for name, value in weights.items()}), "fp32"
    )
    assert (cost.multiply_adds, cost.flops) == (0, 100 + 100)


def test_what_moves_data_has_no_flops() -> None:
    nodes = [node("Transpose", "x", "a", perm=[0, 3, 1, 2]), node("Pad", "a pads", "y")]
    cost = count_cost(graph(nodes, [1, 4, 4, 3], {"pads": np.array([0, 0, 1, 1] * 2)}), "fp32")
    assert cost.flops == 0


def test_element_wise_nodes_run_in_the_kernel_that_made_their_input() -> None:
    nodes = [
        node("Conv", "x w", "wide"),
        node("Clip", "wide low high", "clipped"),
        node("Conv", "clipped w", "narrow"),
        node("Add", "narrow x", "y"),
    ]
    limits = {"low": np.array(0, np.float32), "high": np.array(6, np.float32)}
    cost = count_cost(graph(nodes, [1, 3, 4, 4], dict(limits, w=zeros(3, 3, 1, 1))), "fp32")
    assert [layer.operators for layer in cost.layers] == [("Conv", "Clip"), ("Conv", "Add")]
    tensor, weights = FLOAT_BYTES * 3 * 4 * 4, FLOAT_BYTES * 9
    # The second reads what the first wrote, and the image once more for the sum.
    assert [layer.bytes for layer in cost.layers] == [2 * tensor + weights, 3 * tensor + weights]
    # The weights that both use lie in memory once.
    assert cost.least_bytes == 2 * tensor + weights


def test_a_tensor_that_another_layer_reads_too_is_written() -> None:
    nodes = [
        node("Conv", "x w", "a"),
        node("Sigmoid", "a", "b"),
        node("GlobalAveragePool", "b", "c"),
        node("Mul", "a c", "y"),
    ]
    cost = count_cost(graph(nodes, [1, 3, 4, 4], {"w": zeros(3, 3, 1, 1)}), "fp32")
    tensor, weights = FLOAT_BYTES * 48, FLOAT_BYTES * 9
    assert [layer.operators for layer in cost.layers] == [("Conv", "Sigmoid"), ("GlobalAveragePool", "Mul")]
    # a and b are written; the mean stays in the kernel, which reads a again and writes the product.
    assert [layer.bytes for layer in cost.layers] == [tensor + weights + 2 * tensor, 2 * tensor + tensor]


def test_views_and_changes_of_type_cost_nothing() -> None:
    plain = [node("Conv", "x w", "a"), node("Relu", "a", "b"), node("Conv", "b w", "y")]
    viewed = [
        node("Conv", "x w", "a"),
        node("Relu", "a", "relu"),
        node("QuantizeLinear", "relu scale zero", "q"),
        node("DequantizeLinear", "q scale zero", "dq"),
        node("Cast", "dq", "cast", to=TensorProto.FLOAT16),
        node("Reshape", "cast shape", "b"),
        node("Conv", "b w", "y"),
    ]
    weights = {"w": zeros(3, 3, 1, 1), "scale": np.array(1, np.float32), "zero": np.array(0, np.int8)}
    weights["shape"] = np.array([1, 3, 4, 4])
    costs = [count_cost(graph(nodes, [1, 3, 4, 4], weights), "int8") for nodes in (plain, viewed)]
    assert costs[0] == costs[1]


def test_a_concatenation_is_read_where_its_parts_lie() -> None:
    nodes = [
        node("Conv", "x w", "a"),
        node("Conv", "x w", "b"),
        node("Concat", "a b", "c", axis=1),
        node("Conv", "c wide", "y"),
    ]
    cost = count_cost(graph(nodes, [1, 3, 4, 4], {"w": zeros(3, 3, 1, 1), "wide": zeros(1, 6, 1, 1)}), "fp32")
    assert [layer.operators for layer in cost.layers] == [("Conv",)] * 3
    assert cost.layers[2].bytes == FLOAT_BYTES * (2 * 48 + 6 + 16)


def test_the_precision_sets_the_size_of_weights_and_activations_but_not_of_input_and_output() -> None:
    nodes = [node("Conv", "x w", "a"), node("Conv", "a w", "y")]
    model = graph(nodes, [1, 3, 4, 4], {"w": zeros(3, 3, 1, 1)})
    model = onnx.load_from_string(model)
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 4, 4]))
    for precision, size in (("fp32", 4), ("fp16", 2), ("int8", 1)):
        cost = count_cost(model.SerializeToString(), precision)
        assert cost.least_bytes == 2 * 4 * 48 + size * 9
        assert cost.layer_bytes == 2 * 4 * 48 + size * (2 * 48 + 2 * 9)


def test_a_batch_multiplies_all_but_the_weights() -> None:
    model = graph(
        [node("Conv", "x w", "a"), node("Relu", "a", "y")], ["N", 3, 4, 4], {"w": zeros(3, 3, 1, 1)}
    )
    one, eight = count_cost(model, "fp32", 1), count_cost(model, "fp32", 8)
    assert eight.flops == 8 * one.flops
    assert eight.least_bytes - 36 == 8 * (one.least_bytes - 36)


@pytest.mark.parametrize("made", [{"half": True}, {"quantized": True}])
def test_a_graph_costs_the_same_however_it_is_typed(made: Dict[str, Any]) -> None:
    plain = count_cost(tiny_onnx.classifier(), "fp16")
    typed = count_cost(tiny_onnx.classifier(**made), "fp16")
    assert (typed.multiply_adds, typed.flops, typed.least_bytes) == (
        plain.multiply_adds,
        plain.flops,
        plain.least_bytes,
    )
    assert typed.layer_bytes == plain.layer_bytes


@pytest.mark.skipif(sys.version_info < (3, 9), reason="random_graphs needs a NumPy that 3.6 has not")
@pytest.mark.parametrize("seed", range(12))
def test_random_classifiers_against_a_count_with_the_onnx_package(seed: int) -> None:
    import random_graphs

    model = random_graphs.random_classifier(seed, batch=2)
    cost = count_cost(model.SerializeToString(), "fp32", 2)
    assert cost.multiply_adds == multiply_adds_by_onnx(model)
    assert cost.layer_bytes >= cost.least_bytes
    assert sum(len(layer.operators) for layer in cost.layers) == sum(
        each.op_type not in ("Flatten", "Squeeze", "Reshape") for each in model.graph.node
    )


def multiply_adds_by_onnx(model: Any) -> int:
    """From the shapes that the onnx package inferred and the weights it reads."""
    values = list(model.graph.value_info) + list(model.graph.output)
    made = {
        value.name: np.prod([dim.dim_value for dim in value.type.tensor_type.shape.dim]) for value in values
    }
    weights = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    total = 0
    for each in model.graph.node:
        if each.op_type == "Conv":
            total += made[each.output[0]] * weights[each.input[1]][0].size
        elif each.op_type == "Gemm":
            total += made[each.output[0]] * len(weights[each.input[1]])
    return int(total)


#: Expansion, channels, repeats, first stride of each stage: Sandler et al. 2018, table 2.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v2() -> bytes:
    """MobileNetV2-1.0-224 with its 1000 classes, laid out by that table, but for its activations."""
    nodes: List[Any] = []
    weights: Dict[str, np.ndarray] = {}
    channels = 3

    def conv(made: int, kernel: int, stride: int = 1, group: int = 1) -> None:
        nonlocal channels
        place = len(nodes)
        weights["w{}".format(place)] = np.zeros((made, channels // group, kernel, kernel), np.int8)
        pads = [kernel // 2] * 4
        inputs = "{} w{}".format("x" if not nodes else nodes[-1].output[0], place)
        nodes.append(node("Conv", inputs, "c{}".format(place), strides=[stride] * 2, pads=pads, group=group))
        channels = made

    conv(32, 3, 2)
    for expansion, made, repeats, first_stride in STAGES:
        for repeat in range(repeats):
            wide = channels * expansion
            if expansion > 1:
                conv(wide, 1)
            conv(wide, 3, first_stride if repeat == 0 else 1, group=wide)
            conv(made, 1)
    conv(1280, 1)
    nodes.append(node("GlobalAveragePool", nodes[-1].output[0], "pool"))
    conv(1000, 1)
    nodes[-1].output[0] = "y"
    return graph(nodes, [1, 3, 224, 224], weights)


def test_mobilenet_v2_has_the_multiply_adds_that_its_paper_tells() -> None:
    # 300 M in table 4, which is rounded to the nearest million or worse.
    assert count_cost(mobilenet_v2(), "fp32").multiply_adds == pytest.approx(300e6, rel=0.005)


@pytest.mark.slow
def test_the_embedded_network_is_that_network_without_its_classes() -> None:
    pytest.importorskip("tensorflow")
    import tf_modules

    cost = read_cost(str(tf_modules.embedded_vector().onnx_path), "fp16")
    assert cost.multiply_adds == count_cost(mobilenet_v2(), "fp16").multiply_adds - 1280 * 1000
    assert cost.unknown == []


def test_an_unknown_operator_moves_its_bytes_and_is_named() -> None:
    nodes = [helper.make_node("Fold", ["x"], ["a"], "fold", domain="of.mine"), node("Relu", "a", "y")]
    model = onnx.load_from_string(graph(nodes, [1, 8], {}, "of.mine"))
    model.graph.value_info.append(helper.make_tensor_value_info("a", TensorProto.FLOAT, [1, 4]))
    cost: Cost = count_cost(model.SerializeToString(), "fp32")
    assert cost.unknown == ["Fold"]
    assert [(layer.operators, layer.flops, layer.bytes) for layer in cost.layers] == [
        (("Fold", "Relu"), 4, FLOAT_BYTES * (8 + 4))
    ]


def test_an_error_names_the_file(tmp_path: Any) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"")
    with pytest.raises(LegoclfError, match=r"broken.onnx: the ONNX model has no nodes"):
        read_cost(str(path), "fp32")
