"""INT8 ONNX: Q/DQ as TensorRT needs it, near to FP32, and its own layers FP32 where INT8 hurts."""

import hashlib
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import random_graphs

from legoclf.convert import drift, int8, onnx_graph
from legoclf.errors import LegoclfError, UsageError

onnx = pytest.importorskip("onnx")

SEEDS = range(8)


def nodes(model: Any, op: str) -> list[Any]:
    return [node for node in model.graph.node if node.op_type == op]


def constants(model: Any) -> dict[str, np.ndarray]:
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def makers(model: Any) -> dict[str, Any]:
    return {made: node for node in model.graph.node for made in node.output}


@pytest.fixture(scope="module")
def quantised() -> Any:
    return int8.quantize_int8(random_graphs.random_classifier(5), random_graphs.tensors(20))


@pytest.mark.parametrize("method", int8.METHODS)
@pytest.mark.parametrize("seed", SEEDS)
def test_random_graphs_say_nearly_the_same(seed: int, method: str) -> None:
    model = random_graphs.random_classifier(seed)
    quantised = int8.quantize_int8(model, random_graphs.tensors(20, seed=100), method)
    batch = np.stack(random_graphs.tensors(10, seed=200))
    # At most six layers of 8 bits; noise images and a head of random weights: much is to be lost.
    np.testing.assert_allclose(random_graphs.run(quantised, batch), random_graphs.run(model, batch), atol=0.1)


@pytest.mark.parametrize("seed", SEEDS)
def test_each_convolution_reads_symmetric_int8(seed: int) -> None:
    model = random_graphs.random_classifier(seed)
    quantised = int8.quantize_int8(model, random_graphs.tensors(8))
    values, made_by = constants(quantised), makers(quantised)
    for conv in nodes(quantised, "Conv"):
        for place, axis in ((0, None), (1, 0)):
            dequantise = made_by[conv.input[place]]
            quantise = made_by[dequantise.input[0]]
            assert (quantise.op_type, dequantise.op_type) == ("QuantizeLinear", "DequantizeLinear")
            assert quantise.input[1:] == dequantise.input[1:]
            zero_point, scale = values[quantise.input[2]], values[quantise.input[1]]
            assert zero_point.dtype == np.int8
            assert not zero_point.any()
            assert (scale > 0).all()
            assert np.size(scale) == (1 if axis is None else len(values[conv.input[2]]))
        assert values[conv.input[2]].dtype == np.float32, "the bias is in the graph as it was"


def test_what_an_add_reads_along_the_branch_is_int8_too() -> None:
    models = (random_graphs.random_classifier(seed) for seed in range(50))
    model = next(model for model in models if any(node.op_type == "Add" for node in model.graph.node))
    quantised = int8.quantize_int8(model, random_graphs.tensors(4))
    made_by = makers(quantised)
    for add in nodes(quantised, "Add"):
        # TensorRT fuses a Conv with the Add behind it where the other input comes from INT8.
        assert {made_by[used].op_type for used in add.input} == {"Conv", "DequantizeLinear"}


def test_each_pair_has_one_reader(quantised: Any) -> None:
    readers = [used for node in quantised.graph.node for used in node.input]
    for node in quantised.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert readers.count(node.output[0]) == 1


def test_nothing_stands_between_a_convolution_and_its_clip(quantised: Any) -> None:
    made_by = makers(quantised)
    assert {made_by[node.input[0]].op_type for node in nodes(quantised, "Clip")} == {"Conv"}


def test_pooling_head_and_softmax_stay_fp32(quantised: Any) -> None:
    made_by = makers(quantised)
    for op in ("GlobalAveragePool", "Gemm", "Softmax"):
        (node,) = nodes(quantised, op)
        assert made_by[node.input[0]].op_type != "DequantizeLinear"
    types = {value.type.tensor_type.elem_type for value in (*quantised.graph.input, *quantised.graph.output)}
    assert types == {onnx.TensorProto.FLOAT}


def test_the_frame_of_the_model_stays(quantised: Any) -> None:
    model = random_graphs.random_classifier(5)
    assert random_graphs.metadata(quantised) == random_graphs.metadata(model)
    assert quantised.ir_version == 7
    assert [(each.domain, each.version) for each in quantised.opset_import] == [("", 13)]
    assert quantised.producer_name == model.producer_name
    assert list(quantised.graph.input) == list(model.graph.input)
    assert list(quantised.graph.output) == list(model.graph.output)
    names = [node.name for node in model.graph.node]
    assert [node.name for node in quantised.graph.node if node.name in names] == names


def test_equal_models_and_images_give_equal_bytes_in_another_process(quantised: Any) -> None:
    code = (
        "import hashlib, random_graphs\n"
        "from legoclf.convert import int8, onnx_graph\n"
        "model = int8.quantize_int8(random_graphs.random_classifier(5), random_graphs.tensors(20))\n"
        "print(hashlib.sha256(onnx_graph.serialize(model)).hexdigest())\n"
    )
    support = os.path.dirname(random_graphs.__file__)
    # Another seed of hashes is another order of sets.
    environment = {**os.environ, "PYTHONPATH": support, "PYTHONHASHSEED": "12345"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    assert done.stdout.strip() == hashlib.sha256(onnx_graph.serialize(quantised)).hexdigest()


def test_it_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    int8.quantize_int8(random_graphs.random_classifier(0), random_graphs.tensors(2))
    assert capfd.readouterr().out == ""


def test_a_much_wider_second_image_does_not_lengthen_the_histogram() -> None:
    model = random_graphs.random_classifier(2)
    tensors = [np.full((3, 12, 12), 0.5 + 1e-7, np.float32), *random_graphs.tensors(3)]
    # The first image's input is near 0 after 2x - 1: by its width the histogram would have millions of bins.
    quantised = int8.quantize_int8(model, tensors, "entropy")
    batch = np.stack(tensors)
    np.testing.assert_allclose(random_graphs.run(quantised, batch), random_graphs.run(model, batch), atol=0.1)


def test_zeros_do_not_narrow_the_range_by_entropy(onnx_classifier: bytes, photos: np.ndarray) -> None:
    model = onnx.load_from_string(onnx_classifier)
    tensors = list(photos[1:5].transpose(0, 3, 1, 2))
    quantised = int8.quantize_int8(model, tensors[:3], "entropy")
    found = drift.compare(drift.answers(model, tensors), drift.answers(quantised, tensors))
    # 0.17; with the zeros of ReLU6 in the histograms 0.25.
    assert found.logit_drift < 0.21


def test_nodes_to_keep_are_not_quantised() -> None:
    model = random_graphs.random_classifier(4)
    first = nodes(model, "Conv")[0]
    quantised = int8.quantize_int8(model, random_graphs.tensors(4), keep_fp32=[first.name])
    kept = next(node for node in quantised.graph.node if node.name == first.name)
    assert kept == first


def test_layers_that_int8_hurts_stay_fp32() -> None:
    model, _ = random_graphs.with_cancellation(random_graphs.random_classifier(1), offset=100.0)
    plan = int8.plan_int8(model, random_graphs.tensors(20), random_graphs.tensors(6, seed=9))
    # What add_offset gives is not quantised for a reader in FP32.
    assert plan.keep_fp32 == ("take_offset",)
    assert plan.agreement.logit_drift < 0.3 * plan.before.logit_drift
    again = int8.quantize_int8(model, random_graphs.tensors(20), keep_fp32=plan.keep_fp32)
    assert onnx_graph.serialize(again) == onnx_graph.serialize(plan.model)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(UsageError, match="'minmax': expected one of percentile, entropy"):
        int8.quantize_int8(random_graphs.random_classifier(0), random_graphs.tensors(1), "minmax")


def test_no_image_is_refused() -> None:
    with pytest.raises(LegoclfError, match="needs training images; got none"):
        int8.quantize_int8(random_graphs.random_classifier(0), [])


def test_an_image_that_gives_nan_is_refused() -> None:
    bad = np.full((3, 12, 12), np.nan, np.float32)
    with pytest.raises(LegoclfError, match=r"tensor [A-Z]\w+ is infinite or NaN"):
        int8.quantize_int8(random_graphs.random_classifier(0), [bad])


def test_an_unknown_node_to_keep_is_refused() -> None:
    with pytest.raises(LegoclfError, match="no node 'Conv_99'"):
        int8.quantize_int8(
            random_graphs.random_classifier(0), random_graphs.tensors(1), keep_fp32=["Conv_99"]
        )
