"""NVIDIA's own parser and builder take what legoclf emits: TensorRT for RTX builds without a GPU."""

import pytest

try:
    import tensorrt_rtx_bindings
except (ImportError, OSError) as error:
    pytest.skip("TensorRT for RTX does not load here: {}".format(error), allow_module_level=True)

onnx = pytest.importorskip("onnx", reason="the models are made with the onnx package")
pytest.importorskip("tensorflow", reason="the embedded network is exported by TensorFlow")

import novel_graphs  # noqa: E402
import tiny_onnx  # noqa: E402

from legoclf.convert import fp16, int8, onnx_graph  # noqa: E402
from legoclf.convert.engine.build import BuildConfig, build_engine, needs_typed_fp16  # noqa: E402
from legoclf.convert.engine.onnx_reader import summarise  # noqa: E402
from legoclf.errors import LegoclfError  # noqa: E402
from legoclf.jetson.tensorrt_api import TensorRTApi  # noqa: E402
from legoclf.jetson.tensorrt_layers import float_outputs, layers_of  # noqa: E402

#: Any that TensorRT for RTX knows: an RTX 4090's.
TARGET = BuildConfig(compute_capability="8.9")


@pytest.fixture
def api():
    return TensorRTApi(tensorrt_rtx_bindings)


def lines():
    return [].append


def halved(model_bytes):
    return onnx_graph.serialize(fp16.to_fp16(onnx.load_from_string(model_bytes)))


def weight_bytes(model_bytes):
    return sum(
        onnx.numpy_helper.to_array(each).nbytes
        for each in onnx.load_from_string(model_bytes).graph.initializer
    )


def test_the_embedded_network_builds_for_any_batch(api, onnx_classifier):
    built = build_engine(api, onnx_classifier, TARGET._replace(batch=(1, 4, 8)), lines())
    assert len(built.plan) > weight_bytes(onnx_classifier)
    assert built.notes == []


def test_its_fp16_form_builds_and_is_half_the_size(api, onnx_classifier):
    built = build_engine(api, halved(onnx_classifier), TARGET._replace(precision="fp16"), lines())
    # Half the weights, and 1 MiB at most for the code of the kernels: it was 0.8 MB.
    assert 0 < len(built.plan) - weight_bytes(onnx_classifier) / 2 < 1 << 20


def test_fp16_is_not_built_from_fp32(api, onnx_classifier):
    assert needs_typed_fp16(api)
    with pytest.raises(LegoclfError, match=r"typed for FP32: build from model\.fp16\.onnx"):
        build_engine(api, onnx_classifier, TARGET._replace(precision="fp16"), lines())


def test_its_int8_form_builds(api, onnx_classifier, photos):
    images = list(photos[:2].transpose(0, 3, 1, 2))
    model = onnx_graph.serialize(int8.quantize_int8(onnx.load_from_string(onnx_classifier), images))
    assert build_engine(api, model, TARGET._replace(precision="int8"), lines()).plan


@pytest.mark.parametrize("kind", novel_graphs.KINDS)
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_graph_with_novelty_builds_for_any_batch(api, kind, precision):
    model = onnx_graph.serialize(novel_graphs.classifier(novel_graphs.of_kind(kind)))
    content = halved(model) if precision == "fp16" else model
    built = build_engine(api, content, TARGET._replace(precision=precision, batch=(1, 2, 4)), lines())
    assert built.notes == []


@pytest.mark.parametrize("kind", novel_graphs.KINDS)
def test_the_parser_names_a_layer_after_each_node_of_the_novelty(api, kind):
    model = novel_graphs.classifier(novel_graphs.of_kind(kind))
    build = api.new_build(True)
    assert not build.parse(onnx_graph.serialize(model))
    network = build._network
    layers = {network.get_layer(index).name for index in range(network.num_layers)}
    assert {node.name for node in model.graph.node if node.name.startswith("novelty")} <= layers


def layers_by_node(api, model):
    """The names of the layers that NVIDIA's parser makes of each node; and of all that compute."""
    build = api.new_build(True)
    content = onnx_graph.serialize(model)
    assert not build.parse(content)
    network = build._network
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    outputs = summarise(content).outputs
    found = layers_of(layers, outputs, [name for name, _ in outputs])
    computing = [layer.name for layer in layers if layer.type.name != "CONSTANT" and float_outputs(layer)]
    return {name: [layer.name for layer in its] for name, its in found.items()}, computing


@pytest.mark.parametrize("kind", novel_graphs.KINDS)
def test_every_layer_that_computes_is_of_one_node(api, kind):
    found, computing = layers_by_node(api, novel_graphs.classifier(novel_graphs.of_kind(kind)))
    assert sorted(name for its in found.values() for name in its) == sorted(computing)


def test_a_dense_layer_has_its_product_and_its_bias(api):
    found, _ = layers_by_node(api, novel_graphs.classifier(None))
    assert "head" in found["head"]
    assert len(found["head"]) > 1


def test_a_foreign_operator_is_named_with_its_node(api, onnx_classifier):
    model = onnx.load_from_string(onnx_classifier)
    node = next(node for node in model.graph.node if node.name == "softmax")
    node.op_type, node.domain = "SparkleMax", "org.example"
    del node.attribute[:]
    model.opset_import.append(onnx.helper.make_opsetid("org.example", 1))
    with pytest.raises(LegoclfError) as caught:
        build_engine(api, model.SerializeToString(), TARGET, lines())
    message = str(caught.value)
    assert "node 'softmax' (SparkleMax): " in message
    assert "Plugin not found" in message
    assert "legoclf convert --target" in message
    assert "\n" not in message


def test_a_graph_that_fails_only_in_the_builder_has_nvidias_reason(api, onnx_classifier, monkeypatch):
    # A dynamic batch without a profile parses; that the builder refuses it is told in NVIDIA's words.
    monkeypatch.setattr("legoclf.jetson.tensorrt_api.Build.set_profile", lambda *given: None)
    with pytest.raises(LegoclfError, match="no optimization profile has been defined"):
        build_engine(api, onnx_classifier, TARGET, lines())


@pytest.mark.parametrize("capability", ["8.0", "8.6", "8.9", "12.0", "12.1"])
def test_every_gpu_since_ampere_is_built_for(api, capability):
    config = TARGET._replace(compute_capability=capability)
    assert build_engine(api, tiny_onnx.classifier(), config, lines()).plan


def test_what_turing_lacks_is_told_in_nvidias_words(api):
    # TensorRT for RTX 1.7 has no FP32 matrix product for Turing, which every dense layer in FP32 is.
    with pytest.raises(LegoclfError, match=r"Turing \(SM75\): FP32 GEMM is not supported"):
        build_engine(api, tiny_onnx.classifier(), TARGET._replace(compute_capability="7.5"), lines())


@pytest.mark.parametrize("capability", ["8.7", "9.0", "sm_89"])
def test_a_gpu_it_does_not_know_is_refused_with_those_it_knows(api, capability):
    config = TARGET._replace(compute_capability=capability)
    with pytest.raises(LegoclfError, match=capability + ": it knows 7.5, 8.0"):
        build_engine(api, tiny_onnx.classifier(), config, lines())


@pytest.mark.parametrize("wish", [{"hardware_compatible": True}, {"dla_core": 0, "precision": "fp16"}])
def test_a_wish_it_cannot_grant_is_refused(api, wish):
    model = tiny_onnx.classifier(half="precision" in wish)
    with pytest.raises(LegoclfError, match="leave"):
        build_engine(api, model, TARGET._replace(**wish), lines())


def test_nvidias_log_and_progress_are_passed_on(api):
    shown, steps = [], []
    config = TARGET._replace(verbose=True)
    build_engine(api, tiny_onnx.classifier(), config, shown.append, lambda *step: steps.append(step))
    assert any(line.startswith("TensorRT info: ") for line in shown)
    assert all(1 <= done <= total for _, done, total in steps)
    assert len(steps) > 10


def test_a_failure_to_show_progress_ends_the_build_and_is_raised(api):
    def fail(phase, done, total):
        raise BrokenPipeError("nobody reads")

    with pytest.raises(BrokenPipeError):
        build_engine(api, tiny_onnx.classifier(), TARGET, lines(), fail)


def test_an_engine_that_does_not_load_has_nvidias_reason(api):
    plan = build_engine(api, tiny_onnx.classifier(), TARGET, lines()).plan
    with pytest.raises(LegoclfError, match="Serialization assertion plan.header.size == blobSize failed"):
        api.load_engine(plan[: len(plan) // 2])
