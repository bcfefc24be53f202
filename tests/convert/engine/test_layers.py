"""The layer table: kinds, precisions and times, as each release's inspector and profiler tell them."""

import json

import fake_cuda
import fake_tensorrt
import pytest
import tiny_onnx

pytest.importorskip("onnxruntime", reason="the fake TensorRT runs engines in ONNX Runtime")

from legoclf.convert.engine.build import BuildConfig, build_engine, needs_typed_fp16
from legoclf.convert.engine.layers import Layer, format_table, layer_table
from legoclf.errors import LegoclfError
from legoclf.jetson.tensorrt_api import TensorRTApi
from legoclf.jetson.tensorrt_session import TensorRTSession


@pytest.fixture(params=fake_tensorrt.RELEASES)
def api(request):
    return TensorRTApi(fake_tensorrt.fake_tensorrt(request.param))


def plan_of(api, precision="fp32"):
    half = precision == "fp16" and needs_typed_fp16(api)
    config = BuildConfig(precision=precision, batch=(1, 2, 4))
    return build_engine(api, tiny_onnx.classifier(batch=None, half=half), config, [].append).plan


def test_a_session_gives_layers_with_times_and_runs_on(api):
    cuda = fake_cuda.FakeCuda()
    with TensorRTSession(api, plan_of(api), cuda) as session:
        before = session.run(tiny_onnx.images(2))["logits"]
        table = layer_table(session, tiny_onnx.images(3), runs=5)
        # The profiler is gone again, and the batch is free again.
        assert (session.run(tiny_onnx.images(2))["logits"] == before).all()
    cuda.assert_nothing_leaked()
    assert [layer.name for layer in table] == ["conv", "relu6", "pool", "flatten", "dense", "softmax"]
    assert table[0].kind == "Convolution"
    # The fake's profiler gives its nth layer n tenths of a millisecond.
    assert [layer.ms for layer in table] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])


def test_an_engine_alone_gives_layers_without_times(api):
    table = layer_table(api.load_engine(plan_of(api)))
    assert {layer.precision for layer in table} == {"fp32"}
    assert {layer.ms for layer in table} == {None}


def test_the_precision_is_that_of_the_engine():
    api = TensorRTApi(fake_tensorrt.fake_tensorrt("8.2.1"))
    assert layer_table(api.load_engine(plan_of(api, "fp16")))[0].precision == "fp16"


class Told:
    """An engine whose inspector gives lines recorded from real ones."""

    def __init__(self, *layers):
        self._layers = layers

    def layers(self):
        return list(self._layers)


@pytest.mark.parametrize(
    ("told", "precision"),
    [
        ("Row major linear FP16 format", "fp16"),  # TensorRT 8.2, pytorch/pytorch pull request 66683
        ("Thirty-two wide channel vectorized row major Int8 format.", "int8"),  # TensorRT 8.2's guide
        ("Half", "fp16"),  # TensorRT 10
        ("Float", "fp32"),
        ("Int8", "int8"),
        ("BFloat16", "bf16"),
        ("N/A due to dynamic shapes", "?"),
    ],
)
def test_the_inspectors_words_for_a_type_are_understood(told, precision):
    layer = {"Name": "conv", "LayerType": "CaskConvolution", "Outputs": [{"Format/Datatype": told}]}
    assert layer_table(Told(layer)) == [Layer("conv", "CaskConvolution", precision, None)]


def test_an_engine_built_without_details_has_names_alone():
    assert layer_table(Told("conv + relu6")) == [Layer("conv + relu6", "?", "?", None)]


def test_a_table_that_cannot_be_read_is_told(monkeypatch):
    api = TensorRTApi(fake_tensorrt.fake_tensorrt("8.2.1"))
    engine = api.load_engine(plan_of(api))
    monkeypatch.setattr(json, "loads", lambda text: {"Bindings": []})
    with pytest.raises(LegoclfError, match="TensorRT 8.2.1's layer table cannot be read"):
        engine.layers()


def test_the_text_has_columns_that_line_up_and_a_total():
    layers = [Layer("conv" * 30, "CaskConvolution", "fp16", 1.25), Layer("softmax", "SoftMaxV2", "fp32", 0.5)]
    lines = format_table(layers)
    assert lines[0].split() == ["layer", "kind", "precision", "ms"]
    assert lines[-1].split() == ["total", "1.750"]
    assert len({len(line) for line in lines}) == 1
    assert lines[1].startswith("convconv")
    assert "…" in lines[1]


def test_the_text_of_layers_without_times_has_no_total():
    assert len(format_table([Layer("conv", "Convolution", "fp32", None)])) == 2
