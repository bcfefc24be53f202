"""A layer that was damaged is named, whatever comes before and behind it."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_bundle
from small_bundle import changed_onnx, scale_weights, with_file

from legoclf.bundle import Bundle
from legoclf.convert.artefacts import INT8_MODEL
from legoclf.convert.explain import Explanation, explain, onnx_layers
from legoclf.convert.verify import verify
from legoclf.convert.verify_gates import GOLDEN

NODES = [
    "Conv_0",
    "Clip_1",
    "Conv_2",
    "Clip_3",
    "Conv_4",
    "GlobalAveragePool_5",
    "Squeeze_6",
    "head",
    "softmax",
]

#: A channel that is not dark on the golden images.
LIVE = 2


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return small_bundle.write_bundle(tmp_path_factory.mktemp("bundle") / "small.bundle")


@pytest.fixture
def bundle(whole: Bundle, tmp_path: Path) -> Bundle:
    return Bundle.open(shutil.copytree(whole.path, str(tmp_path / "small.bundle")))


def explained(bundle: Bundle, file: str) -> Explanation:
    comparison = next(one for one in verify(bundle).sets[GOLDEN] if one.path.file == file)
    explanation = explain(bundle, comparison)
    assert explanation is not None
    return explanation


def test_a_whole_fp16_graph_has_all_layers_and_none_at_fault(whole: Bundle) -> None:
    explanation = explained(whole, "model.fp16.onnx")
    assert [layer.name for layer in explanation.layers] == NODES
    assert explanation.first is None
    assert "no layer alone is at fault" in explanation.verdict()


def test_each_layers_own_error_in_fp16_is_that_of_its_rounding(whole: Bundle) -> None:
    """Half a unit in FP16's last place is 2^-11 of a value: no layer's norm can differ by much more."""
    own = {layer.name: layer.own for layer in explained(whole, "model.fp16.onnx").layers}
    assert all(0 < own[name] < 2**-10 for name in ("Conv_0", "Conv_2", "Conv_4"))
    # The final pooling and what follows stay FP32.
    assert max(own[name] for name in ("GlobalAveragePool_5", "head", "softmax")) < 1e-6


@pytest.mark.parametrize("node", ["Conv_0", "Conv_2", "Conv_4", "head"])
@pytest.mark.parametrize("file", ["model.fp16.onnx", "model.int8.onnx"])
def test_the_layer_with_the_scaled_weights_is_named(bundle: Bundle, file: str, node: str) -> None:
    source = file if file == "model.fp16.onnx" else "model.onnx"
    explanation = explained(changed_onnx(bundle, file, scale_weights(node, 1.25), source), file)
    faulty = [layer.name for layer in explanation.layers if layer.own > 0.15]
    assert faulty == [node]
    assert explanation.first is not None
    assert f"{node} (" in explanation.verdict()
    assert "at fault: its own error is 0." in explanation.verdict()


def test_a_quantised_graph_is_joined_by_its_convolutions(bundle: Bundle) -> None:
    import onnx

    from legoclf.convert.int8 import quantize_int8

    model = onnx.load(bundle.file("model.onnx"))
    with np.load(bundle.file("golden.npz")) as golden:
        quantised = quantize_int8(model, list(golden["tensors"]))
    explanation = explained(with_file(bundle, INT8_MODEL, quantised.SerializeToString()), INT8_MODEL)
    assert [layer.name for layer in explanation.layers] == NODES
    # 8 bits over a tensor's range: a few percent of its norm, and no layer is at fault.
    assert max(layer.own for layer in explanation.layers) > 1e-3
    assert explanation.first is None


def test_a_jetson_inference_graph_is_explained_on_normalised_images(bundle: Bundle) -> None:
    import onnx

    from legoclf.convert.flavours import jetson_inference_flavour

    flavour = jetson_inference_flavour(onnx.load(bundle.file("model.onnx")))
    scale_weights("Conv_4", 1.01)(flavour)
    name = "model.jetson-inference.onnx"
    explanation = explained(with_file(bundle, name, flavour.SerializeToString()), name)
    assert explanation.first is not None
    assert explanation.first.name == "Conv_4"


def test_the_error_in_total_reaches_the_layers_behind(bundle: Bundle) -> None:
    explanation = explained(
        changed_onnx(bundle, "model.fp16.onnx", scale_weights("Conv_2", 1.25)), "model.fp16.onnx"
    )
    layers = {layer.name: layer for layer in explanation.layers}
    assert layers["Clip_1"].total < 1e-3
    assert layers["Conv_4"].total > 0.1
    assert layers["Conv_4"].own < 1e-3


def test_one_weight_of_a_channel_is_enough(bundle: Bundle) -> None:
    def change(model: Any) -> None:
        from onnx import numpy_helper

        weights = next(one for one in model.graph.initializer if one.name == "Conv_2.weight")
        values = numpy_helper.to_array(weights).copy()
        values[LIVE, 0, 1, 1] += 1
        weights.CopyFrom(numpy_helper.from_array(values, weights.name))

    explanation = explained(changed_onnx(bundle, "model.fp16.onnx", change), "model.fp16.onnx")
    assert explanation.first is not None
    assert explanation.first.name == "Conv_2"


def test_an_overflow_is_named_with_its_size(bundle: Bundle) -> None:
    import onnx

    from legoclf.convert.fp16 import to_fp16

    large = changed_onnx(bundle, "model.onnx", scale_weights("Conv_4", 5e4))
    large = changed_onnx(large, "model.onnx", scale_weights("head", 1 / 5e4))
    typed = to_fp16(onnx.load(large.file("model.onnx")))
    explanation = explained(with_file(large, "model.fp16.onnx", typed.SerializeToString()), "model.fp16.onnx")
    first = explanation.first
    assert first is not None
    assert (first.name, first.own) == ("Conv_4", np.inf)
    assert first.overflows > 0
    assert (
        f"Conv_4 (Conv) overflows: its largest |activation| is {first.largest:.0f}" in explanation.verdict()
    )


def test_the_largest_activation_is_that_of_the_reference(whole: Bundle) -> None:
    import onnx

    tensor = np.full((3, 32, 32), 0.5, np.float32)
    model = onnx.load(whole.file("model.onnx"))
    layers = onnx_layers(model, model, [np.zeros_like(tensor), tensor])
    exposed = onnx.load(whole.file("model.onnx"))
    exposed.graph.output.add(name="Conv_4").type.tensor_type.elem_type = 1
    import onnxruntime

    session = onnxruntime.InferenceSession(exposed.SerializeToString(), providers=["CPUExecutionProvider"])
    (expected,) = session.run(["Conv_4"], {"input": tensor[None]})
    largest = next(layer.largest for layer in layers if layer.name == "Conv_4")
    assert largest == pytest.approx(np.abs(expected).max(), rel=1e-5)
    assert max(layer.own for layer in layers) == 0


@pytest.mark.parametrize("file", ["frozen_graph.pb", "saved_model/saved_model.pb"])
def test_a_whole_tensorflow_graph_is_joined_by_its_activations(whole: Bundle, file: str) -> None:
    explanation = explained(whole, file)
    assert [layer.operator for layer in explanation.layers] == ["Clip", "Clip", "Gemm"]
    # Another order of float32 sums over a few dozen terms.
    assert max(layer.total for layer in explanation.layers) < 1e-5


def test_the_part_of_a_frozen_graph_that_was_changed_is_named(bundle: Bundle) -> None:
    from legoclf.convert.frozen import import_tensorflow, read_frozen, serialize

    tf = import_tensorflow()
    graph = read_frozen(bundle.file("frozen_graph.pb"))
    constant = next(
        node.attr["value"].tensor
        for node in graph.node
        if node.op == "Const" and list(tf.make_ndarray(node.attr["value"].tensor).shape) == [3, 3, 8, 1]
    )
    constant.CopyFrom(tf.make_tensor_proto(tf.make_ndarray(constant) * 1.1))
    explanation = explained(with_file(bundle, "frozen_graph.pb", serialize(graph)), "frozen_graph.pb")
    assert explanation.first is explanation.layers[1]
    assert explanation.layers[2].own < 1e-5
    assert explanation.layers[2].total > 1e-3
