"""The reader of ONNX files against the onnx package: the same nodes, attributes, weights and shapes."""

from typing import Any, Dict

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from legoclf.convert.engine.onnx_reader import Graph, read_graph  # noqa: E402
from legoclf.errors import LegoclfError  # noqa: E402


def graph_of(node: Any, weights: Dict[str, np.ndarray], dims: Any = (1, 3, 8, 8)) -> Graph:
    made = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return read_graph(helper.make_model(made).SerializeToString())


def test_attributes_are_read_by_their_kind() -> None:
    node = helper.make_node(
        "Conv", ["x", "w"], ["y"], "c", group=3, pads=[0, 1, 0, 1], auto_pad="NOTSET", beta=0.5
    )
    read = graph_of(node, {}).nodes[0]
    assert (read.name, read.operator, read.inputs, read.outputs) == ("c", "Conv", ["x", "w"], ["y"])
    assert read.integers == {"group": [3], "pads": [0, 1, 0, 1]}
    assert read.texts == {"auto_pad": "NOTSET"}


def test_a_negative_attribute_keeps_its_sign() -> None:
    assert graph_of(helper.make_node("Softmax", ["x"], ["y"], axis=-1), {}).nodes[0].integers == {
        "axis": [-1]
    }


def test_an_input_that_is_left_out_keeps_its_place() -> None:
    assert graph_of(helper.make_node("Clip", ["x", "", "most"], ["y"]), {}).nodes[0].inputs == [
        "x",
        "",
        "most",
    ]


def test_a_constant_of_a_node_is_read() -> None:
    held = numpy_helper.from_array(np.array([2, 3], np.int64), "value")
    tensor = graph_of(helper.make_node("Constant", [], ["y"], value=held), {}).nodes[0].tensors["value"]
    assert tensor.numbers is not None
    assert tensor.numbers.tolist() == [2, 3]


def test_weights_have_their_shapes_and_short_integers_their_values() -> None:
    weights: Dict[str, np.ndarray] = {
        "w": np.zeros((4, 3, 1, 1), np.float16),
        "shape": np.array([[-1, 4]], np.int64),
        "axes": np.array([2], np.int32),
        "long": np.zeros(5000, np.int64),
    }
    read = {
        tensor.name: tensor for tensor in graph_of(helper.make_node("Relu", ["x"], ["y"]), weights).weights
    }
    assert {name: tensor.dims for name, tensor in read.items()} == {
        name: value.shape for name, value in weights.items()
    }
    assert read["w"].element == TensorProto.FLOAT16
    known = {name: tensor.numbers.tolist() for name, tensor in read.items() if tensor.numbers is not None}
    assert known == {"shape": [[-1, 4]], "axes": [2]}


def test_values_that_are_no_raw_bytes_are_read_too() -> None:
    tensor = helper.make_tensor("shape", TensorProto.INT64, [2], [-1, 7])
    assert not tensor.raw_data
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "one", [], [], [tensor])
    numbers = read_graph(helper.make_model(graph).SerializeToString()).weights[0].numbers
    assert numbers is not None
    assert numbers.tolist() == [-1, 7]


def test_a_free_dimension_is_its_name() -> None:
    read = graph_of(helper.make_node("Relu", ["x"], ["y"]), {}, ["batch", 3, 8, 8])
    assert read.inputs[0].dims == ("batch", 3, 8, 8)
    assert read.outputs[0].dims is None


def test_weights_that_old_files_list_among_the_inputs_are_none() -> None:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "one",
        [value("x", TensorProto.FLOAT, [2]), value("w", TensorProto.FLOAT, [2])],
        [value("y", TensorProto.FLOAT, [2])],
        [numpy_helper.from_array(np.zeros(2, np.float32), "w")],
    )
    assert [one.name for one in read_graph(helper.make_model(graph).SerializeToString()).inputs] == ["x"]


def test_what_is_no_onnx_is_refused() -> None:
    with pytest.raises(LegoclfError, match="no nodes"):
        read_graph(b"")
    with pytest.raises(LegoclfError, match="damaged"):
        read_graph(b"\x3a\xff\x01not that long")
