"""A bundle at work: a frame in, a label out, by ONNX Runtime and by TensorRT of every release."""

import threading

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
from legoclf.convert.engine.build import BuildConfig, build_engine, needs_typed_fp16
from legoclf.errors import LegoclfError, UsageError
from legoclf.jetson import gpu_preprocess, runtime_onnx, runtime_tensorrt
from legoclf.jetson.device import Device
from legoclf.jetson.engine_identity import EngineIdentity, this_machine
from legoclf.jetson.engine_store import EngineRefused, save_engine
from legoclf.jetson.frame import Frame
from legoclf.jetson.runtime import STEPS, open_runtime
from legoclf.jetson.tensorrt_api import TensorRTApi

LABELS = tiny_bundle.labels()


def frame(label, sequence=0):
    """A camera's frame of one label's colour."""
    return Frame(np.ascontiguousarray(tiny_bundle.plain(label)[:, :, ::-1]), "BGR", sequence, 0.0)


def quarters():
    """A frame of all four labels' colours, and the regions where they are."""
    image = np.empty((40, 60, 3), np.uint8)
    regions = [(0, 0, 30, 20), (30, 0, 30, 20), (0, 20, 30, 20), (30, 20, 30, 20)]
    for label, (x, y, width, height) in enumerate(regions):
        image[y : y + height, x : x + width] = tiny_bundle.plain(label, height, width)[:, :, ::-1]
    return Frame(image, "BGR", 0, 0.0), regions


def names(answers):
    return [LABELS[index] for index in answers.probabilities.argmax(axis=1)]


def in_threads(work, count=2):
    """What ``work(0)``, ``work(1)``, ... gave, each in a thread of its own."""
    results = [None] * count

    def run(index):
        results[index] = work(index)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A bundle without engines; not to be changed."""
    return Bundle.open(tiny_bundle.write_bundle(tmp_path_factory.mktemp("bundle") / "x.bundle"))


@pytest.fixture
def bundle(tmp_path):
    return Bundle.open(tiny_bundle.write_bundle(tmp_path / "x.bundle"))


@pytest.fixture
def said():
    return []


class Machine(object):
    """A TensorRT of a release and a GPU, as this process finds them; each runtime gets a device of its own.

    Attributes:
        devices: those that were opened.
        api: TensorRT.
    """

    def __init__(self, monkeypatch):
        self.devices = []
        self.api = None
        self._patch = monkeypatch
        self._patch.setattr(runtime_tensorrt, "open_cuda", self.open_cuda)
        self._patch.setattr(runtime_tensorrt, "find_tensorrt", lambda: self.api)

    def install(self, release):
        self.api = TensorRTApi(fake_tensorrt.fake_tensorrt(release, reverse_bindings=True))

    def open_cuda(self):
        self.devices.append(fake_cuda.FakeCuda())
        return self.devices[-1]

    def build(self, bundle, precision="fp32", batch=(1, 1, 1), graph=None, **changes):
        """Put an engine into the bundle, with the identity that fits here but for ``changes``."""
        half = precision == "fp16" and needs_typed_fp16(self.api)
        onnx_file = "model.fp16.onnx" if half else "model.onnx"
        if graph is None:
            graph = tiny_bundle.graph(batch=None if batch[0] != batch[2] else batch[0], half=half)
        plan = build_engine(self.api, graph, BuildConfig(precision=precision, batch=batch), [].append).plan
        device = fake_cuda.FakeCuda()
        identity = EngineIdentity(
            onnx_sha256=bundle.files[onnx_file].sha256,
            precision=precision,
            workspace_mib=128,
            batch=batch,
            optimization_level=None,
            dla_core=None,
            version_compatible=False,
            hardware_compatible=False,
            **this_machine(self.api, device)._asdict(),
        )
        record = {"onnx_file": onnx_file, "chosen": True}
        return save_engine(bundle.path, identity._replace(**changes), plan, record)

    def assert_nothing_leaked(self):
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("cuda")]
        for device in self.devices:
            device.assert_nothing_leaked()
            with pytest.raises(fake_cuda.FakeCudaError, match="did not make|after close"):
                device.create_stream()


@pytest.fixture
def machine(monkeypatch):
    machine = Machine(monkeypatch)
    machine.install("8.2.1")
    yield machine
    machine.assert_nothing_leaked()


@pytest.fixture(scope="session")
def driver(tmp_path_factory):
    return fake_kernels.build_driver(tmp_path_factory.mktemp("driver"))


@pytest.fixture
def gpu(machine, monkeypatch, driver):
    """The machine, with a compiler for the preprocessing kernels; says which were launched."""
    launched = []

    class Kernels(fake_kernels.CpuKernels):
        def launch(self, name, *arguments):
            launched.append(name)
            super().launch(name, *arguments)

        def close(self):
            pass

    monkeypatch.setattr(gpu_preprocess, "load_kernels", lambda cuda: Kernels(driver, cuda))
    machine.launched = launched
    return machine


# ONNX Runtime


def test_each_colour_gets_its_name_from_onnx_runtime(shared):
    with open_runtime(shared, "onnxruntime") as runtime:
        assert runtime.labels == LABELS
        assert "ONNX Runtime" in runtime.description
        for label, name in enumerate(LABELS):
            answers = runtime.classify(frame(label))
            assert answers.probabilities.shape == (1, len(LABELS))
            assert answers.probabilities.dtype == np.float32
            assert names(answers) == [name]


def test_regions_are_one_batch_in_their_order(shared):
    picture, regions = quarters()
    with open_runtime(shared, "onnxruntime") as runtime:
        assert names(runtime.classify(picture, regions)) == LABELS
        assert names(runtime.classify(picture, regions[::-1])) == LABELS[::-1]


def test_a_graph_of_batch_one_takes_several_regions(tmp_path):
    picture, regions = quarters()
    bundle = Bundle.open(tiny_bundle.write_bundle(tmp_path / "one.bundle", batch=1))
    with open_runtime(bundle, "onnxruntime") as runtime:
        assert names(runtime.classify(picture, regions)) == LABELS


def test_no_region_gives_no_answer_and_runs_nothing(shared):
    with open_runtime(shared, "onnxruntime") as runtime:
        answers = runtime.classify(frame(0), [], timed=True)
        assert answers.probabilities.shape == (0, len(LABELS))
        assert answers.steps == {}


def test_a_region_outside_the_frame_is_refused(shared):
    with open_runtime(shared, "onnxruntime") as runtime, pytest.raises(UsageError, match="60,0,10,10"):
        runtime.classify(frame(0), [(60, 0, 10, 10)])


def test_answering_what_was_prepared_is_classifying(shared):
    picture, regions = quarters()
    with open_runtime(shared, "onnxruntime") as runtime:
        whole = runtime.classify(picture, regions).probabilities
        assert np.array_equal(runtime.answer(runtime.prepare(picture, regions)).probabilities, whole)


def test_threads_at_once_each_get_the_answers_to_their_own_frames(shared):
    with open_runtime(shared, "onnxruntime", parallel=2) as runtime:
        assert runtime.parallel == 2
        found = in_threads(lambda index: [names(runtime.classify(frame(index))) for _ in range(20)])
    assert found == [[["red"]] * 20, [["green"]] * 20]


def test_no_two_threads_share_a_preprocessor_for_it_keeps_its_frame(shared, monkeypatch):
    class OfOneThread(runtime_onnx.CpuPreprocessor):
        def __init__(self, contract):
            super().__init__(contract)
            self.thread = threading.get_ident()

        def prepare(self, *arguments):
            assert threading.get_ident() == self.thread
            return super().prepare(*arguments)

    monkeypatch.setattr(runtime_onnx, "CpuPreprocessor", OfOneThread)
    with open_runtime(shared, "onnxruntime") as runtime:
        assert in_threads(lambda index: names(runtime.classify(frame(index)))) == [["red"], ["green"]]


def test_steps_are_timed_when_asked_for_and_not_else(shared):
    with open_runtime(shared, "onnxruntime") as runtime:
        assert runtime.classify(frame(0)).steps is None
        steps = runtime.classify(frame(0), timed=True).steps
    assert sorted(steps) == sorted(STEPS)
    assert steps["preprocess"] > 0
    assert steps["compute"] > 0
    assert steps["h2d"] == steps["d2h"] == 0


@pytest.mark.parametrize(("cores", "parallel", "threads"), [(1, 1, 1), (2, 2, 1), (3, 2, 1), (8, 2, 4)])
def test_the_cores_are_shared_out_among_the_frames_at_once(monkeypatch, shared, cores, parallel, threads):
    asked = []
    real = runtime_onnx.OnnxRuntimeSession
    monkeypatch.setattr(runtime_onnx, "available_cores", lambda: cores)
    monkeypatch.setattr(
        runtime_onnx, "OnnxRuntimeSession", lambda path, count: asked.append(count) or real(path, count)
    )
    with open_runtime(shared, "onnxruntime") as runtime:
        assert runtime.parallel == parallel
    assert asked == [threads]


def test_opencv_keeps_to_one_thread_only_while_it_is_open(shared):
    cv2 = pytest.importorskip("cv2")
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        with open_runtime(shared, "onnxruntime"):
            assert cv2.getNumThreads() == 1
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


def test_a_closed_runtime_says_so(shared):
    with open_runtime(shared, "onnxruntime") as runtime:
        pass
    with pytest.raises(LegoclfError, match="closed"):
        runtime.classify(frame(0))


def strange_frame():
    """A frame of no label's colour, which the network calls "red"."""
    return Frame(np.ascontiguousarray(novel_bundle.strange()[:, :, ::-1]), "BGR", 0, 0.0)


@pytest.fixture(scope="module")
def novel(tmp_path_factory):
    """A bundle whose graphs give novelty, with a rule for it; not to be changed."""
    return Bundle.open(novel_bundle.write_bundle(tmp_path_factory.mktemp("novel") / "x.bundle"))


def test_novelty_comes_with_the_probabilities_of_one_inference(novel, monkeypatch):
    with open_runtime(novel, "onnxruntime") as runtime:
        runs = []
        real = runtime._session.run
        monkeypatch.setattr(runtime._session, "run", lambda *args: runs.append(args[1]) or real(*args))
        answers = runtime.classify(strange_frame())
    assert runs == [["probabilities", "novelty"]]
    assert answers.novelty.dtype == np.float32
    assert answers.novelty.tolist() == pytest.approx([3.783], abs=1e-3)
    assert (names(answers), answers.is_novel.tolist()) == (["red"], [True])


def test_each_region_has_its_novelty(novel):
    picture, regions = quarters()
    picture.image[20:, 30:] = novel_bundle.STRANGE[::-1]
    with open_runtime(novel, "onnxruntime") as runtime:
        assert runtime.classify(picture, regions).is_novel.tolist() == [False, False, False, True]
        none = runtime.classify(picture, [])
    assert (none.novelty, none.is_novel) == (None, None)


def test_a_graph_without_novelty_is_not_asked_for_it(shared):
    with open_runtime(shared, "onnxruntime") as runtime:
        answers = runtime.classify(frame(0))
    assert (answers.novelty, answers.is_novel) == (None, None)


def test_without_a_rule_novelty_is_told_and_nothing_is_novel(novel):
    with open_runtime(novel._replace(novelty=None), "onnxruntime") as runtime:
        answers = runtime.classify(strange_frame())
    assert answers.novelty.tolist() == pytest.approx([3.783], abs=1e-3)
    assert answers.is_novel is None


def test_a_rule_for_a_graph_without_novelty_is_worth_a_word(shared, said):
    with open_runtime(shared._replace(novelty=novel_bundle.RULE), "onnxruntime", say=said.append) as runtime:
        assert runtime.classify(strange_frame()).is_novel is None
    [line] = said
    assert line.startswith(runtime.description + ": has no output 'novelty'")


def test_novelty_that_is_not_one_number_an_image_is_refused(tmp_path):
    bundle = Bundle.open(novel_bundle.write_bundle(tmp_path / "x.bundle", shape=[3, 2]))
    with open_runtime(bundle, "onnxruntime", check_golden=False) as runtime, pytest.raises(
        LegoclfError, match=r"output 'novelty' is \[3, 2\] for 1 images, expected \[1\]"
    ):
        runtime.classify(frame(0))


# TensorRT


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("release", fake_tensorrt.RELEASES)
def test_an_engine_with_a_third_output_gives_novelty_too(machine, tmp_path, said, release, precision):
    machine.install(release)
    bundle = Bundle.open(novel_bundle.write_bundle(tmp_path / "x.bundle"))
    half = precision == "fp16" and needs_typed_fp16(machine.api)
    graph = novel_bundle.with_novelty(tiny_bundle.graph(half=half))
    machine.build(bundle, precision, batch=(1, 2, 3), graph=graph)
    picture, regions = quarters()
    picture.image[20:, 30:] = novel_bundle.STRANGE[::-1]
    with open_runtime(bundle, "tensorrt", preprocessor="cpu", say=said.append) as runtime:
        for _ in range(3):  # often enough for a CUDA graph to take over
            answers = runtime.classify(picture, regions)
            assert answers.is_novel.tolist() == [False, False, False, True]
            # FP16 has a step of 1/32 at 60, of which novelty is the difference of two.
            assert answers.novelty.tolist() == pytest.approx([0, 0, 0, 3.783], abs=0.2)
            assert names(answers)[:3] == LABELS[:3]
    assert said == []


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("release", fake_tensorrt.RELEASES)
def test_each_colour_gets_its_name_from_every_release(machine, bundle, said, release, precision):
    machine.install(release)
    machine.build(bundle, precision)
    with open_runtime(bundle, preprocessor="cpu", say=said.append) as runtime:
        assert runtime.description == "{} {} on NVIDIA Tegra X1, preprocessing on the CPU".format(
            machine.api.name, precision.upper()
        )
        assert runtime.parallel == 1
        # Often enough for a CUDA graph to take over.
        for label in (0, 1, 2, 3, 2, 1, 0):
            assert names(runtime.classify(frame(label))) == [LABELS[label]]
    assert said == []


@pytest.mark.parametrize("release", fake_tensorrt.RELEASES)
def test_the_gpu_prepares_frames_where_the_engine_reads_them(gpu, bundle, said, release):
    gpu.install(release)
    gpu.build(bundle)
    with open_runtime(bundle, say=said.append) as runtime:
        assert runtime.description.endswith("preprocessing on the GPU")
        [device] = gpu.devices
        runtime.classify(frame(0))  # of another size than those before: the way up is chosen anew
        for label in (0, 1, 2, 3, 2, 1, 0):
            del gpu.launched[:]
            copied = device.bytes_copied
            assert names(runtime.classify(frame(label))) == [LABELS[label]]
            # The frame goes up, if it is not read where it is, and the probabilities come down: no tensor.
            down = 4 * len(LABELS)
            assert device.bytes_copied - copied in (down, down + frame(label).image.nbytes)
            assert "fit" in gpu.launched
    assert said == []


def test_the_gpu_prepares_half_tensors_for_an_engine_that_reads_them(gpu, bundle):
    import onnx

    model = onnx.load_from_string(tiny_bundle.graph(batch=1))
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    model.graph.node.insert(0, onnx.helper.make_node("Cast", ["input"], ["whole"], "cast", to=1))
    model.graph.node[1].input[0] = "whole"
    gpu.build(bundle, graph=model.SerializeToString())
    with open_runtime(bundle, check_golden=False) as runtime:
        for label in range(4):
            assert names(runtime.classify(frame(label))) == [LABELS[label]]
            assert np.argmax(runtime.run_tensor(runtime.preprocess(frame(label))[None])["logits"]) == label


@pytest.mark.parametrize("preprocessor", ["cpu", "gpu"])
@pytest.mark.parametrize("batch", [(1, 1, 1), (1, 2, 3), (4, 4, 4), (6, 6, 6)])
def test_any_number_of_regions_goes_into_the_batches_an_engine_takes(gpu, bundle, preprocessor, batch):
    picture, regions = quarters()
    gpu.build(bundle, batch=batch)
    with open_runtime(bundle, preprocessor=preprocessor) as runtime:
        for count in (1, 2, 4):
            assert names(runtime.classify(picture, regions[:count])) == LABELS[:count]
        assert runtime.classify(picture, []).probabilities.shape == (0, len(LABELS))


@pytest.mark.parametrize("preprocessor", ["cpu", "gpu"])
def test_any_thread_may_ask_though_one_owns_the_gpu(gpu, bundle, preprocessor):
    gpu.build(bundle)
    with open_runtime(bundle, preprocessor=preprocessor) as runtime:
        found = in_threads(lambda index: [names(runtime.classify(frame(index))) for _ in range(20)])
    assert found == [[["red"]] * 20, [["green"]] * 20]


@pytest.mark.parametrize("preprocessor", ["cpu", "gpu"])
def test_each_step_is_timed_by_the_gpus_clock(gpu, bundle, preprocessor):
    gpu.build(bundle)
    with open_runtime(bundle, preprocessor=preprocessor, check_golden=False) as runtime:
        [device] = gpu.devices
        device.copy_ms, device.execute_ms = 0.5, 7.0
        assert runtime.classify(frame(0)).steps is None
        steps = runtime.classify(frame(1), timed=True).steps
    assert sorted(steps) == sorted(STEPS)
    assert steps["compute"] == 7.0
    assert steps["d2h"] == 0.5  # the probabilities alone
    assert steps["h2d"] == (0.5 if preprocessor == "cpu" else 0.0)
    assert steps["preprocess"] > 0


def test_a_closed_tensorrt_runtime_says_so(machine, bundle):
    machine.build(bundle)
    with open_runtime(bundle) as runtime:
        pass
    with pytest.raises(LegoclfError, match="closed"):
        runtime.classify(frame(0))


def test_an_execution_that_fails_is_told_and_everything_is_given_back(machine, bundle):
    machine.build(bundle)
    with open_runtime(bundle, check_golden=False) as runtime:
        machine.api.trt.settings.execute_fails = True
        with pytest.raises(LegoclfError, match="refuses the execution"):
            runtime.classify(frame(0))


def test_memory_that_runs_out_is_told_and_everything_is_given_back(machine, bundle, monkeypatch):
    machine.build(bundle)
    open_small = lambda: machine.devices.append(fake_cuda.FakeCuda(total_bytes=100)) or machine.devices[-1]  # noqa: E731
    monkeypatch.setattr(runtime_tensorrt, "open_cuda", open_small)
    with pytest.raises(LegoclfError, match="out of memory"):
        open_runtime(bundle, "tensorrt")


# Which of them


def test_without_a_gpu_auto_is_onnx_runtime_and_that_is_not_worth_a_word(machine, shared, said, monkeypatch):
    monkeypatch.setattr(runtime_tensorrt, "open_cuda", no_cuda)
    with open_runtime(shared, say=said.append) as runtime:
        assert runtime.description.startswith("ONNX Runtime")
    assert said == []


def test_on_a_jetson_without_cuda_it_is(machine, shared, said, monkeypatch):
    monkeypatch.setattr(runtime_tensorrt, "open_cuda", no_cuda)
    jetson = Device(*[None] * len(Device._fields))._replace(l4t="32.7.1")
    monkeypatch.setattr("legoclf.jetson.device.read_device", lambda: jetson)
    with open_runtime(shared, say=said.append):
        pass
    assert len(said) == 1
    assert said[0].startswith("no CUDA runtime found")


def no_cuda():
    raise LegoclfError("no CUDA runtime found")


def test_an_engine_that_does_not_fit_is_told_with_the_field_and_the_mend(machine, bundle, said):
    machine.build(bundle, tensorrt="8.0.1.6")
    with open_runtime(bundle, say=said.append) as runtime:
        assert runtime.description.startswith("ONNX Runtime")
        assert names(runtime.classify(frame(2))) == ["blue"]
    [line] = said
    assert "tensorrt 8.0.1.6 -> 8.2.1" in line
    assert "legoclf build-engine" in line
    assert line.endswith(runtime.description)


def test_a_bundle_without_engines_says_how_to_build_one(machine, bundle, said):
    with open_runtime(bundle, say=said.append) as runtime:
        assert runtime.description.startswith("ONNX Runtime")
    assert "legoclf build-engine" in said[0]


def test_where_tensorrt_is_asked_for_an_engine_that_does_not_fit_ends_it(machine, bundle):
    machine.build(bundle, gpu="Orin")
    with pytest.raises(EngineRefused, match="gpu Orin -> NVIDIA Tegra X1"):
        open_runtime(bundle, "tensorrt")


def test_a_precision_asked_for_is_not_replaced_by_the_cpus(machine, bundle):
    machine.build(bundle)
    with pytest.raises(EngineRefused, match="--precision fp16"):
        open_runtime(bundle, precision="fp16")


def test_where_neither_is_to_be_had_one_line_says_why_of_both(machine, bundle, monkeypatch):
    monkeypatch.setattr(runtime_onnx, "OnnxRuntimeSession", no_onnx_runtime)
    with pytest.raises(
        LegoclfError, match="nothing here can run it. TensorRT: .*build-engine.*ONNX Runtime: none"
    ):
        open_runtime(bundle)


def no_onnx_runtime(path, threads):
    raise LegoclfError("none is installed")


def test_a_gpu_that_cannot_compile_leaves_preprocessing_to_the_cpu_and_that_is_said(
    machine, bundle, said, monkeypatch
):
    monkeypatch.setattr(gpu_preprocess, "load_kernels", no_compiler)
    machine.build(bundle)
    with open_runtime(bundle, say=said.append) as runtime:
        assert runtime.description.endswith("preprocessing on the CPU")
        assert names(runtime.classify(frame(1))) == ["green"]
    assert said == ["the CPU prepares frames, for the GPU cannot: no NVRTC"]
    with pytest.raises(LegoclfError, match="no NVRTC"):
        open_runtime(bundle, preprocessor="gpu")


def no_compiler(cuda):
    raise LegoclfError("no NVRTC")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"backend": "cuda"}, "backend: got 'cuda', expected one of auto, tensorrt, onnxruntime"),
        ({"preprocessor": "dla"}, "preprocessor: got 'dla', expected one of auto, gpu, cpu"),
        ({"backend": "onnxruntime", "preprocessor": "gpu"}, "for TensorRT alone"),
        ({"backend": "onnxruntime", "threads": 0}, "threads: got 0, expected 1 or more"),
        ({"backend": "onnxruntime", "parallel": -1}, "parallel: got -1, expected 1 or more"),
    ],
)
def test_a_wrong_call_is_told(shared, flags, message):
    with pytest.raises(UsageError, match=message):
        open_runtime(shared, **flags)
