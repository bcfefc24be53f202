"""The golden check at start-up: what would answer otherwise than training did is stopped, by name."""

import json
import os

import fake_cuda
import fake_kernels
import fake_tensorrt
import novel_bundle
import numpy as np
import pytest
import tiny_bundle

pytest.importorskip("onnx", reason="the graphs are made with onnx")
pytest.importorskip("onnxruntime", reason="the fake TensorRT runs engines in ONNX Runtime")

from legoclf.bundle import Bundle
from legoclf.bundle_update import add_files
from legoclf.contract import InputContract, unit_range_contract
from legoclf.convert.engine.build import BuildConfig, build_engine
from legoclf.errors import BundleError
from legoclf.golden import read_golden
from legoclf.jetson import gpu_preprocess, runtime_tensorrt
from legoclf.jetson.engine_identity import EngineIdentity, this_machine
from legoclf.jetson.engine_store import save_engine
from legoclf.jetson.frame import Frame
from legoclf.jetson.golden_check import GoldenMismatch, network_difference
from legoclf.jetson.runtime import open_runtime
from legoclf.jetson.tensorrt_api import TensorRTApi
from legoclf.session import OnnxRuntimeSession


@pytest.fixture
def bundle(tmp_path):
    return Bundle.open(tiny_bundle.write_bundle(tmp_path / "x.bundle"))


def altered(bundle, **fields):
    """The bundle with other values in the contract of its model.json, as by an editor."""
    path = os.path.join(bundle.path, "model.json")
    with open(path) as stream:
        record = json.load(stream)
    record["input"].update(fields)
    with open(path, "w") as stream:
        json.dump(record, stream)
    return Bundle.open(bundle.path)


def with_golden(bundle, without=(), **arrays):
    """The bundle with another golden.npz, as another legoclf might have written it."""
    with np.load(bundle.file("golden.npz"), allow_pickle=False) as stored:
        found = {name: stored[name] for name in stored.files if name not in without}
    found.update(arrays)
    path = bundle.path + ".npz"
    np.savez_compressed(path, **found)
    with open(path, "rb") as stream:
        return add_files(bundle, {"golden.npz": stream.read()}, {}, {})


@pytest.fixture(scope="session")
def driver(tmp_path_factory):
    return fake_kernels.build_driver(tmp_path_factory.mktemp("driver"))


@pytest.fixture(params=["8.2.1", "10.3.0"])
def device(request, monkeypatch, driver):
    """A GPU with TensorRT and kernels; ``engine(bundle, graph)`` puts an engine into a bundle."""
    api = TensorRTApi(fake_tensorrt.fake_tensorrt(request.param))
    devices = []

    def open_cuda():
        devices.append(fake_cuda.FakeCuda())
        return devices[-1]

    def engine(bundle, graph=None, precision="fp32"):
        graph = tiny_bundle.graph(batch=1) if graph is None else graph
        plan = build_engine(api, graph, BuildConfig(precision=precision), [].append).plan
        facts = this_machine(api, fake_cuda.FakeCuda())
        digest = bundle.files["model.onnx"].sha256
        identity = EngineIdentity(digest, *facts, precision, 128, (1, 1, 1), None, None, False, False)
        save_engine(bundle.path, identity, plan, {"onnx_file": "model.onnx", "chosen": True})

    class Kernels(fake_kernels.CpuKernels):
        def close(self):
            pass

    monkeypatch.setattr(runtime_tensorrt, "open_cuda", open_cuda)
    monkeypatch.setattr(runtime_tensorrt, "find_tensorrt", lambda: api)
    monkeypatch.setattr(gpu_preprocess, "load_kernels", lambda cuda: Kernels(driver, cuda))
    yield engine
    for one in devices:
        one.assert_nothing_leaked()


#: Every field of the contract, altered; what the message must say of it.
ALTERED = [
    ("colour_order", "BGR", "input.colour_order BGR, the golden tensors were made with RGB"),
    ("geometry", "centre-crop", "input.geometry centre-crop, the golden tensors were made with squash"),
    ("geometry", "pad", "input.geometry pad, the golden tensors were made with squash"),
    ("resample", "bilinear", "input.resample bilinear, the golden tensors were made with area"),
    ("scale", 2 / 255, "input.scale 0.0078.*, the golden tensors were made with 0.0039"),
    ("offset", -1.0, "input.offset -1.0, the golden tensors were made with -?0.0"),
    ("offset", 0.02, "input.offset 0.02, the golden tensors were made with -?0.0"),
]


@pytest.mark.parametrize(("field", "value", "words"), ALTERED)
def test_an_altered_contract_is_stopped_by_name_on_onnx_runtime(bundle, field, value, words):
    wrong = altered(bundle, **{field: value})
    with pytest.raises(GoldenMismatch, match="preprocessing: levels differ by .*" + words) as raised:
        open_runtime(wrong, "onnxruntime")
    assert str(raised.value).startswith(bundle.path)
    assert "--no_golden" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("preprocessor", ["cpu", "gpu"])
@pytest.mark.parametrize(("field", "value", "words"), ALTERED)
def test_an_altered_contract_is_stopped_by_name_on_tensorrt(
    device, bundle, preprocessor, field, value, words
):
    device(bundle)
    wrong = altered(bundle, **{field: value})
    with pytest.raises(GoldenMismatch, match=words):
        open_runtime(wrong, "tensorrt", preprocessor=preprocessor)


def test_another_size_of_the_input_is_stopped(bundle):
    with pytest.raises(BundleError, match=r"tensors: got \[4, 3, 16, 16\], expected \[4, 3, 16, 20\]"):
        open_runtime(altered(bundle, width=20), "onnxruntime")


@pytest.mark.parametrize(
    "contract",
    [
        unit_range_contract(16, 16),
        InputContract(16, 12, "BGR", "pad", "bilinear", 2 / 255, -1.0),
        InputContract(20, 16, "RGB", "centre-crop", "area", 1.0, 0.0),
    ],
)
def test_what_was_not_altered_starts_whatever_its_contract(tmp_path, contract):
    whole = Bundle.open(tiny_bundle.write_bundle(tmp_path / "y.bundle", contract=contract))
    with open_runtime(whole, "onnxruntime") as runtime:
        assert runtime.contract == contract


@pytest.mark.parametrize("preprocessor", ["cpu", "gpu"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_engine_that_answers_as_its_graph_starts(device, bundle, preprocessor, precision):
    device(bundle, precision=precision)
    with open_runtime(bundle, "tensorrt", preprocessor=preprocessor) as runtime:
        assert runtime.is_exact is (precision == "fp32")


def test_another_graph_than_the_golden_answers_are_of_is_stopped(bundle):
    other = add_files(bundle, {"model.onnx": changed_graph()}, {}, {})
    with pytest.raises(GoldenMismatch, match=r"ONNX Runtime .*logits differ by .* \(bound 0.001\)"):
        open_runtime(other, "onnxruntime")


@pytest.mark.parametrize(("precision", "judged"), [("fp32", "logits"), ("fp16", "probabilities")])
def test_an_engine_that_answers_otherwise_is_stopped(device, bundle, precision, judged):
    device(bundle, changed_graph(1), precision)
    with pytest.raises(
        GoldenMismatch, match="{} on NVIDIA Tegra X1.*{} differ by".format(precision.upper(), judged)
    ):
        open_runtime(bundle, "tensorrt")


def changed_graph(batch=None):
    """The graph with its labels in another order."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(tiny_bundle.graph(batch=batch))
    for tensor in model.graph.initializer:
        if tensor.name in ("dense", "dense_bias"):
            values = numpy_helper.to_array(tensor)[..., ::-1]
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), tensor.name))
    return model.SerializeToString()


def test_preprocessing_that_reaches_the_network_otherwise_than_it_was_checked_is_stopped(
    device, bundle, monkeypatch
):
    device(bundle)
    real = gpu_preprocess.GpuPreprocessor.prepare_on_device

    def beside(self, frame, roi, target_address, stream):
        """Right for a tensor that is fetched, and wrong where the engine reads."""
        mirrored = frame._replace(image=np.ascontiguousarray(255 - frame.image))
        real(self, frame if stream == self._stream else mirrored, roi, target_address, stream)

    monkeypatch.setattr(gpu_preprocess.GpuPreprocessor, "prepare_on_device", beside)
    with pytest.raises(GoldenMismatch, match="a frame and its tensor get probabilities that differ"):
        open_runtime(bundle, "tensorrt", preprocessor="gpu")


def test_who_asks_for_it_gets_the_answers_all_the_same(bundle):
    wrong = altered(bundle, colour_order="BGR")
    with open_runtime(wrong, "onnxruntime", check_golden=False) as runtime:
        red = Frame(np.ascontiguousarray(tiny_bundle.plain(0)[:, :, ::-1]), "BGR", 0, 0.0)
        assert runtime.labels[runtime.classify(red).probabilities.argmax()] == "blue"


# The bounds


def answers(golden, **changes):
    return dict({"logits": golden.logits.copy(), "probabilities": golden.probabilities.copy()}, **changes)


@pytest.mark.parametrize(
    ("is_exact", "name", "inside", "outside"),
    [(True, "logits", 0.9e-3, 1.1e-3), (False, "probabilities", 0.019, 0.021)],
)
def test_the_bound_of_the_precision_is_held(bundle, is_exact, name, inside, outside):
    golden = read_golden(bundle)
    close, far = (getattr(golden, name) + np.float32(shift) for shift in (inside, -outside))
    assert network_difference(answers(golden, **{name: close}), golden, is_exact) == ""
    assert "{} differ by {}".format(name, outside) in network_difference(
        answers(golden, **{name: far}), golden, is_exact
    )


def test_another_label_is_told_though_the_probabilities_are_close(bundle):
    probabilities = np.full((4, 4), 0.25, np.float32)
    golden = read_golden(bundle)._replace(probabilities=probabilities + np.float32([0.01, 0, 0, 0]))
    found = answers(golden, probabilities=probabilities + np.float32([0, 0.005, 0, 0]))
    assert network_difference(found, golden, is_exact=False).startswith("4 of 4 golden images get another")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["logits", "probabilities"])
@pytest.mark.parametrize("is_exact", [True, False])
def test_an_answer_that_is_no_number_is_told(bundle, value, name, is_exact):
    golden = read_golden(bundle)
    found = answers(golden)
    found[name][2, 1] = value
    assert "differ by inf" in network_difference(found, golden, is_exact)


# The novelty


@pytest.fixture
def novel(tmp_path):
    """A bundle whose graph gives a novelty, with that of the golden images."""
    return with_golden_novelty(Bundle.open(novel_bundle.write_bundle(tmp_path / "novel.bundle")))


def with_golden_novelty(bundle, more=0.0):
    """The bundle with the novelty of its golden images, and so much more, in golden.npz."""
    session = OnnxRuntimeSession(bundle.file("model.onnx"))
    novelty = session.run(read_golden(bundle).tensors, ["novelty"])["novelty"]
    return with_golden(bundle, novelty=novelty + np.float32(more))


def test_a_graph_with_the_golden_novelty_starts(novel):
    assert read_golden(novel).novelty is not None
    with open_runtime(novel, "onnxruntime") as runtime:
        assert runtime.is_exact


def test_another_novelty_than_the_golden_one_is_stopped_in_one_line(novel):
    other = with_golden_novelty(novel, 0.5)
    with pytest.raises(GoldenMismatch, match=r"its novelty differs by .* \(bound 0.001\)") as raised:
        open_runtime(other, "onnxruntime")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_engine_with_the_golden_novelty_starts(device, novel, precision):
    device(novel, novel_bundle.with_novelty(tiny_bundle.graph(batch=1)), precision)
    with open_runtime(novel, "tensorrt") as runtime:
        assert runtime.missing_novelty() == ""


def test_an_fp16_engine_to_which_known_images_are_unknown_is_stopped(device, novel):
    device(novel, novel_bundle.with_novelty(tiny_bundle.graph(batch=1)), "fp16")
    unlike = with_golden(novel, novelty=np.zeros(4, np.float32))
    rule = novel_bundle.RULE._replace(threshold=-1.0)
    with pytest.raises(GoldenMismatch, match="FP16 .*: [1-4] of 4 golden images are unknown that should not"):
        open_runtime(unlike._replace(novelty=novel_bundle.RULE), "tensorrt")
    with open_runtime(unlike._replace(novelty=rule), "tensorrt"):
        pass  # unknown to both


def test_an_engine_without_novelty_is_not_judged_by_it(device, novel):
    device(novel, tiny_bundle.graph(batch=1))
    with open_runtime(novel, "tensorrt", say=[].append) as runtime:
        assert "has no output 'novelty'" in runtime.missing_novelty()


def test_a_novelty_that_is_no_number_is_told(bundle):
    golden = read_golden(bundle)
    found = answers(golden, novelty=np.float32([0, np.nan, 0, 0]))
    assert network_difference(found, golden, True) == "its novelty is not a finite number"


# A golden.npz that cannot be used


@pytest.mark.parametrize("name", ["tensors", "logits", "image_3", "bound_levels_mean", "bound_logits_fp32"])
def test_a_golden_file_that_lacks_an_array_is_told(bundle, name):
    with pytest.raises(BundleError, match="golden.npz: cannot be used: .*{}.*retrain".format(name)):
        open_runtime(with_golden(bundle, without=[name]), "onnxruntime")


def test_golden_answers_for_other_labels_are_told(bundle):
    wrong = with_golden(bundle, logits=np.zeros((4, 7), np.float32))
    with pytest.raises(BundleError, match=r"logits: got \[4, 7\], expected \[4, 4\]"):
        open_runtime(wrong, "onnxruntime")


def test_a_golden_file_without_images_is_told(bundle):
    nothing = np.zeros((0, 4), np.float32)
    tensors = np.zeros((0, 3, 16, 16), np.float32)
    wrong = with_golden(bundle, tensors=tensors, logits=nothing, probabilities=nothing)
    with pytest.raises(BundleError, match="holds no image"):
        open_runtime(wrong, "onnxruntime")


def test_a_bundle_without_golden_images_is_told(bundle):
    path = os.path.join(bundle.path, "model.json")
    with open(path) as stream:
        record = json.load(stream)
    del record["files"]["golden.npz"]
    with open(path, "w") as stream:
        json.dump(record, stream)
    with pytest.raises(BundleError, match="holds no golden.npz.*--no_golden"):
        open_runtime(Bundle.open(bundle.path), "onnxruntime")
