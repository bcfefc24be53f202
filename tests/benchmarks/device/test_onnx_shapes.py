"""Shapes followed without the onnx package: the same as its own shape inference finds."""

import sys
from typing import Any, Dict, Tuple

import numpy as np
import pytest
import tiny_onnx
from few_nodes import graph, zeros

from legoclf.benchmarks.device.onnx_shapes import infer_shapes
from legoclf.convert.engine.onnx_reader import read_graph
from legoclf.errors import LegoclfError

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, shape_inference  # noqa: E402


def by_onnx(serialised: bytes, batch: int) -> Dict[str, Tuple[int, ...]]:
    """Every shape that the onnx package infers, with nothing told but the input's."""
    model = onnx.load_from_string(serialised)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    inferred = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    return {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in list(inferred.graph.value_info) + list(inferred.graph.output)
    }


def assert_the_same(serialised: bytes, batch: int) -> None:
    expected = by_onnx(serialised, batch)
    found = infer_shapes(read_graph(serialised), batch).dims
    assert expected
    assert {name: found[name] for name in expected} == expected


def numbers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    "made", [{}, {"half": True}, {"quantized": True}, {"batch": None}, {"batch": None, "opset": 17}]
)
def test_the_tiny_classifiers(made: Dict[str, Any]) -> None:
    assert_the_same(tiny_onnx.classifier(**made), 1 if "batch" not in made else 3)


@pytest.mark.skipif(sys.version_info < (3, 9), reason="random_graphs needs a NumPy that 3.6 has not")
@pytest.mark.parametrize("seed", range(20))
def test_random_classifiers(seed: int) -> None:
    import random_graphs

    assert_the_same(random_graphs.random_classifier(seed).SerializeToString(), 2)
    assert_the_same(random_graphs.random_classifier(seed, batch=4).SerializeToString(), 4)


@pytest.mark.slow
def test_the_embedded_network() -> None:
    pytest.importorskip("tensorflow")
    import tf_modules

    with open(tf_modules.embedded_vector().onnx_path, "rb") as stream:
        assert_the_same(stream.read(), 2)


POOL = {"kernel_shape": [3, 3], "strides": [2, 2]}


@pytest.mark.parametrize("size", [7, 8, 9, 10, 11])
@pytest.mark.parametrize(
    ("operator", "attributes"),
    [
        ("MaxPool", POOL),
        ("MaxPool", dict(POOL, ceil_mode=1)),
        ("MaxPool", dict(POOL, pads=[1, 1, 1, 1])),
        ("MaxPool", {"kernel_shape": [2, 2], "dilations": [2, 3]}),
        ("AveragePool", dict(POOL, pads=[0, 0, 1, 1])),
        ("AveragePool", dict(POOL, auto_pad="SAME_UPPER")),
        ("AveragePool", dict(POOL, auto_pad="VALID")),
        ("Conv", dict(POOL, pads=[0, 1, 2, 3])),
        ("Conv", {"kernel_shape": [3, 3], "dilations": [2, 1], "auto_pad": "SAME_LOWER"}),
        ("Conv", {}),
    ],
)
def test_windows(operator: str, attributes: Dict[str, Any], size: int) -> None:
    inputs = ["x", "w"] if operator == "Conv" else ["x"]
    node = helper.make_node(operator, inputs, ["y"], **attributes)
    assert_the_same(graph([node], [1, 4, size, size + 1], {"w": zeros(6, 4, 3, 3)}), 1)


def test_a_window_that_begins_in_the_padding_behind_the_image_is_left_out() -> None:
    node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[1], strides=[2], pads=[0, 1], ceil_mode=1)
    # 1 and 3 of 4 columns; the window at 5, of padding alone, is none.
    assert infer_shapes(read_graph(graph([node], [1, 1, 4], {})), 1).dims["y"] == (1, 1, 2)


@pytest.mark.parametrize(
    ("operator", "extra", "attributes"),
    [
        ("Gemm", {"w": zeros(24, 5)}, {}),
        ("Gemm", {"w": zeros(5, 24)}, {"transB": 1}),
        ("Gemm", {"w": zeros(2, 5)}, {"transA": 1}),
        ("MatMul", {"w": zeros(24, 5)}, {}),
        ("MatMul", {"w": zeros(24)}, {}),
        ("MatMul", {"w": zeros(6, 24, 5)}, {}),
        ("Add", {"w": zeros(3, 1, 24)}, {}),
        ("Where", {"b": np.zeros((2, 1), np.bool_), "w": zeros(1)}, {}),
        ("Flatten", {}, {"axis": 0}),
        ("Unsqueeze", {"w": numbers(0, -1)}, {}),
        ("ReduceMean", {}, {"axes": [-1], "keepdims": 0}),
        ("ReduceMean", {}, {}),
        ("ReduceSum", {"w": numbers(1)}, {"keepdims": 1}),
        ("Pad", {"w": numbers(0, 1, 2, 3)}, {}),
        ("Slice", {"a": numbers(1), "b": numbers(-2), "c": numbers(1), "d": numbers(3)}, {}),
        ("Slice", {"a": numbers(-1), "b": numbers(-100), "c": numbers(1), "d": numbers(-1)}, {}),
        ("Reshape", {"w": numbers(0, 2, -1)}, {}),
        ("Transpose", {}, {}),
        ("Transpose", {}, {"perm": [1, 0]}),
        ("Concat", {"w": zeros(2, 1)}, {"axis": -1}),
        ("Gather", {"w": numbers(3, 4, 5)}, {"axis": 1}),
        ("HardSigmoid", {}, {}),
    ],
)
def test_operators_on_a_matrix(
    operator: str, extra: Dict[str, np.ndarray], attributes: Dict[str, Any]
) -> None:
    inputs = [name for name in ("x", "a", "b", "c", "d", "w") if name == "x" or name in extra]
    if operator == "Where":
        inputs = ["b", "x", "w"]
    node = helper.make_node(operator, inputs, ["y"], **attributes)
    assert_the_same(graph([node], [2, 24], extra), 2)


@pytest.mark.parametrize("axes", [[2, 3], [-1, -2], None])
def test_squeeze(axes: Any) -> None:
    extra = {} if axes is None else {"w": numbers(*axes)}
    node = helper.make_node("Squeeze", ["x", *extra], ["y"])
    assert_the_same(graph([node], [2, 24, 1, 1], extra), 2)


def test_every_output_of_a_split() -> None:
    split = helper.make_node("Split", ["x", "w"], ["a", "b"], axis=1)
    join = helper.make_node("Concat", ["b", "a"], ["y"], axis=0)
    assert_the_same(graph([split, join], [1, 6], {"w": numbers(3, 3)}), 1)


def test_the_target_of_a_reshape_that_is_worked_out_from_shapes() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "first"], ["count"]),
        helper.make_node("Concat", ["count", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["y"]),
    ]
    model = graph(nodes, ["N", 3, 4, 4], {"first": numbers(0), "rest": numbers(-1)})
    assert infer_shapes(read_graph(model), 5).dims["y"] == (5, 48)


def test_an_unknown_operator_has_the_shape_that_the_file_tells() -> None:
    node = helper.make_node("Fold", ["x"], ["y"], "fold", domain="of.mine")
    model = onnx.load_from_string(graph([node], ["N", 4], {}, "of.mine"))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2]))
    assert infer_shapes(read_graph(model.SerializeToString()), 6).dims["y"] == (6, 2)


def test_an_unknown_operator_of_untold_shape_is_named() -> None:
    node = helper.make_node("Fold", ["x"], ["y"], "fold", domain="of.mine")
    with pytest.raises(LegoclfError, match=r"node 'fold': the operator Fold is not known"):
        infer_shapes(read_graph(graph([node], [1, 4], {}, "of.mine")), 1)


def test_inputs_that_do_not_fit_are_told_with_the_node() -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"], "product")
    with pytest.raises(LegoclfError, match=r"node 'product' \(MatMul\).*\[1, 4\] by \[5, 2\]"):
        infer_shapes(read_graph(graph([node], [1, 4], {"w": zeros(5, 2)})), 1)


def test_another_batch_than_the_graph_is_made_for_is_refused() -> None:
    with pytest.raises(LegoclfError, match="takes 1 images at once, not 4"):
        infer_shapes(read_graph(tiny_onnx.classifier(batch=1)), 4)


def test_a_size_that_is_free_is_refused() -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    with pytest.raises(LegoclfError, match=r"input 'x' is \['N', 3, 'height', 8\]"):
        infer_shapes(read_graph(graph([node], ["N", 3, "height", 8], {})), 1)
