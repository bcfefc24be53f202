"""`legoclf build-engine` end to end: fake TensorRT of every release, real child process, a C stub as CUDA."""

import contextlib
import functools
import importlib
import io
import json
import os
import signal
import subprocess
import sys

import cudart_stub
import fake_tensorrt
import numpy as np
import pytest
import tiny_onnx

from legoclf import cli
from legoclf.bundle import Bundle
from legoclf.bundle_update import update_metrics
from legoclf.bundle_writer import BundleWriter
from legoclf.contract import unit_range_contract
from legoclf.convert.engine import precision, trials
from legoclf.convert.engine.command import timing_cache_path
from legoclf.convert.engine.golden import run_all
from legoclf.golden import read_golden
from legoclf.jetson.cuda import open_cuda
from legoclf.jetson.device import read_device
from legoclf.jetson.engine_identity import this_machine
from legoclf.jetson.engine_store import choose_engine, list_engines, read_plan
from legoclf.jetson.tensorrt_api import find_tensorrt

pytest.importorskip("onnx", reason="the graphs are made with onnx")
pytest.importorskip("onnxruntime", reason="the fake TensorRT runs engines in ONNX Runtime")

RELEASES = fake_tensorrt.RELEASES
TYPED = "11.1.0"  # FP16 by a typed graph alone
FLAGGED = "8.2.1"  # FP16 by a flag

#: Milliseconds of an inference; ``typed``: of any, where the types are the graph's.
FASTER_FP16 = {"fp32": 5.0, "fp16": 1.0, "int8": 5.0, "typed": 1.0}


def write_bundle(path, without=(), batch=1, **graphs):
    """A bundle of tiny graphs with the answers of one; ``fp16``, ``int8`` and ``golden`` replace graphs."""
    files = {
        "model.onnx": tiny_onnx.classifier(batch=batch),
        "model.fp16.onnx": graphs.get("fp16", tiny_onnx.classifier(batch=batch, half=True)),
        "model.int8.onnx": graphs.get("int8", tiny_onnx.classifier(batch=batch, quantized=True)),
    }
    tensors = tiny_onnx.images(5)
    answers = [
        tiny_onnx.run(graphs.get("golden", tiny_onnx.classifier(batch=None)), tensor[None])
        for tensor in tensors
    ]
    with BundleWriter(path) as writer:
        for name, content in files.items():
            if name not in without:
                with open(writer.file(name), "wb") as stream:
                    stream.write(content)
        np.savez_compressed(
            writer.file("golden.npz"),
            **{"image_{}".format(index): np.zeros((16, 16, 3), np.uint8) for index in range(len(tensors))},
            tensors=tensors,
            logits=np.concatenate([answer["logits"] for answer in answers]),
            probabilities=np.concatenate([answer["probabilities"] for answer in answers]),
            bound_levels_max=1.0,
            bound_levels_mean=0.1,
            bound_logits_fp32=1e-3,
            bound_probabilities_fp16=0.02,
        )
        writer.finish(["a", "b", "c", "d"], unit_range_contract(16, 16), {}, {})
    return path


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(str(tmp_path / "x.bundle"))


@pytest.fixture(scope="session")
def cudart(tmp_path_factory):
    return str(cudart_stub.build_stub(tmp_path_factory.mktemp("cudart")))


def prepare(patch, cudart, folder):
    patch.setenv("LEGOCLF_CUDART", cudart)
    patch.setenv("LEGOCLF_CACHE_DIR", str(folder / "cache"))
    # Five runs and no warm-up: here the clock only has to tell 1 ms from 4.
    patch.setattr(trials, "measure", functools.partial(precision.measure, runs=5, warm_up_s=0.0))


@pytest.fixture
def install(tmp_path, cudart, monkeypatch):
    """Installs a release of TensorRT for this process and its children, beside the CUDA of the stub."""
    prepare(monkeypatch, cudart, tmp_path)

    def install(release, **settings):
        site = tmp_path / "site"
        site.mkdir(exist_ok=True)
        fake_tensorrt.write_site(site, release, **dict({"latency_ms": FASTER_FP16}, **settings))
        monkeypatch.syspath_prepend(str(site))
        sys.modules.pop("tensorrt", None)

    yield install
    sys.modules.pop("tensorrt", None)


@pytest.fixture
def build(capsys, caplog):
    """Runs the command: its exit code, standard output, and all that it says beside."""

    def run(*arguments):
        caplog.clear()
        with caplog.at_level("INFO"):
            code = cli.main(["build-engine", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, caplog.text + captured.err

    return run


def files(bundle):
    folder = os.path.join(bundle, "engines")
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def stored(bundle):
    return {engine.identity.precision: engine for engine in list_engines(bundle)[0]}


# Every release


@pytest.fixture(scope="module", params=RELEASES)
def finished(request, tmp_path_factory, cudart):
    """(release, bundle, exit code, output) of FP32, FP16 and INT8 built with one release."""
    folder = tmp_path_factory.mktemp("release")
    bundle = write_bundle(str(folder / "x.bundle"))
    patch = pytest.MonkeyPatch()
    site = folder / "site"
    site.mkdir()
    prepare(patch, cudart, folder)
    fake_tensorrt.write_site(site, request.param, latency_ms=FASTER_FP16)
    patch.syspath_prepend(str(site))
    sys.modules.pop("tensorrt", None)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = cli.main(["build-engine", bundle, "--int8"])
    yield request.param, bundle, code, out.getvalue()
    patch.undo()
    sys.modules.pop("tensorrt", None)


def test_every_precision_is_built_and_passes(finished):
    verdicts = {line.split()[0]: line.split()[5] for line in finished[3].splitlines()[1:4]}
    assert (finished[2], verdicts) == (0, {"fp32": "passed", "fp16": "passed", "int8": "passed"})


def test_each_is_built_from_the_graph_that_the_release_needs(finished):
    release, bundle = finished[:2]
    assert {name: engine.record["onnx_file"] for name, engine in stored(bundle).items()} == {
        "fp32": "model.onnx",
        "fp16": "model.fp16.onnx" if release.startswith(("10.", "11.")) else "model.onnx",
        "int8": "model.int8.onnx",
    }


def fp32_layers(bundle):
    """The layers that each engine of a bundle was told to keep in FP32, by what its identity says of that."""
    return {
        engine.identity.keep_fp32: fake_tensorrt.read_plan(read_plan(engine)).fp32_layers
        for engine in list_engines(bundle)[0]
    }


def test_what_convert_found_to_need_fp32_stays_so_in_fp16_by_flag(bundle, install, build):
    install(FLAGGED)
    assert build(bundle, "--fp16")[0] == 0
    assert fp32_layers(bundle) == {(): []}
    kept = {"model.fp16.onnx": {"kept_fp32": {"conv": "overflows", "relu6": "overflows"}}}
    update_metrics(Bundle.open(bundle), {"conversion": kept})
    code, _, said = build(bundle, "--fp16")
    assert (code, fp32_layers(bundle)[("conv", "relu6")]) == (0, ["conv", "relu6"])
    assert "keep_fp32 (none) -> conv:relu6" in said


def test_a_kept_layer_that_tensorrt_does_not_know_is_told(bundle, install, build):
    install(FLAGGED)
    kept = {"model.fp16.onnx": {"kept_fp32": {"elsewhere": "overflows"}}}
    update_metrics(Bundle.open(bundle), {"conversion": kept})
    assert "no layers named elsewhere" in build(bundle, "--fp16")[2]


def test_the_fastest_is_chosen_and_answers_right_when_loaded_afresh(finished):
    _, bundle, _, out = finished
    medians = {line.split()[0]: float(line.split()[1]) for line in out.splitlines()[1:4]}
    api = find_tensorrt()
    with open_cuda() as cuda:
        chosen = choose_engine(bundle, this_machine(api, cuda))
        golden = read_golden(Bundle.open(bundle))
        with trials.open_session(chosen, api, cuda) as session:
            answers = run_all(session, golden.tensors)
    assert chosen.identity.precision == min(medians, key=medians.get)
    # FP16's and INT8's rounding, through logits of a few units.
    np.testing.assert_allclose(answers["probabilities"], golden.probabilities, atol=0.01)


# Choosing


def test_fp32_is_kept_where_fp16_is_no_faster(bundle, install, build):
    install(FLAGGED, latency_ms={"fp32": 1.0, "fp16": 5.0, "int8": 5.0, "typed": 5.0})
    out = build(bundle)[1]
    assert [line.split()[0] for line in out.splitlines() if "<- chosen" in line] == ["fp32"]


def test_a_faster_engine_that_answers_otherwise_is_not_kept(tmp_path, install, build):
    bundle = write_bundle(str(tmp_path / "x.bundle"), fp16=tiny_onnx.classifier(half=True, seed=9))
    install(TYPED)
    code, out, _ = build(bundle)
    verdicts = {line.split()[0]: line.split()[5] for line in out.splitlines()[1:3]}
    assert (code, verdicts) == (0, {"fp32": "passed", "fp16": "FAILED"})
    assert out.splitlines()[-1].endswith(": fp32, built")


def test_an_engine_that_fails_alone_is_an_error_with_its_figures(tmp_path, install, build):
    bundle = write_bundle(str(tmp_path / "x.bundle"), golden=tiny_onnx.classifier(batch=None, seed=9))
    install(FLAGGED)
    code, _, said = build(bundle, "--fp16")
    assert code == 1
    assert "error: no engine passes (fp16: " in said
    assert "(bound 0.02)); try --precision fp32" in said


def test_an_engine_that_failed_is_never_chosen_later(tmp_path, install, build):
    bundle = write_bundle(str(tmp_path / "x.bundle"), golden=tiny_onnx.classifier(batch=None, seed=9))
    install(FLAGGED)
    build(bundle, "--fp16")
    assert "FAILED" in build(bundle, "--fp16", "--rebuild", "never")[1]


def test_a_greater_bound_lets_an_engine_pass(tmp_path, install, build):
    bundle = write_bundle(str(tmp_path / "x.bundle"), fp16=tiny_onnx.classifier(half=True, scale=1.5))
    install(TYPED)
    assert [build(bundle, "--fp16", *more)[0] for more in ([], ["--probability_bound", "0.9"])] == [1, 0]


def test_the_precision_named_last_is_used_from_then_on(bundle, install, build):
    install(FLAGGED)
    build(bundle)
    build(bundle, "--precision", "fp32")
    with open_cuda() as cuda:
        here = this_machine(find_tensorrt(), cuda)
    assert choose_engine(bundle, here).identity.precision == "fp32"


# Using again, and rebuilding


def test_what_fits_is_used_again(bundle, install, build):
    install(FLAGGED)
    build(bundle)
    before = files(bundle)
    code, out, said = build(bundle)
    assert (code, files(bundle), "building" in said) == (0, before, False)
    assert out.splitlines()[-1].endswith("fp16, used again")


def test_always_builds_in_any_case(bundle, install, build):
    install(FLAGGED)
    build(bundle, "--fp16")
    assert "building the FP16 engine took" in build(bundle, "--fp16", "--rebuild", "always")[2]


def test_never_refuses_where_there_is_none(bundle, install, build):
    install(FLAGGED)
    code, _, said = build(bundle, "--fp16", "--rebuild", "never")
    assert (code, files(bundle)) == (1, [])
    assert "holds no engine for this machine; run `legoclf build-engine" in said


def test_after_an_upgrade_of_tensorrt_it_is_built_anew_and_said_why(bundle, install, build):
    install("8.2.1")
    build(bundle, "--fp16")
    install("8.5.2")
    code, _, said = build(bundle, "--fp16", "--rebuild", "never")
    assert (code, "not for this: tensorrt 8.2.1 -> 8.5.2; run" in said) == (1, True)
    code, _, said = build(bundle, "--fp16")
    assert (code, "tensorrt 8.2.1 -> 8.5.2; building anew" in said) == (0, True)


def test_another_wish_is_another_engine(bundle, install, build):
    install(FLAGGED)
    build(bundle, "--fp16")
    assert "workspace_mib 128 -> 64; building anew" in build(bundle, "--fp16", "--workspace", "64")[2]


def cut(path):
    with open(path, "r+b") as stream:
        stream.truncate(100)


def forge(path):
    with open(path) as stream:
        record = json.load(stream)
    record["identity"]["gpu"] = "Orin"
    with open(path, "w") as stream:
        json.dump(record, stream)


@pytest.mark.parametrize(
    ("extension", "damage", "told"),
    [
        (".engine", cut, "damaged or exchanged"),
        (".json", cut, "is not valid JSON"),
        (".json", forge, "edited by hand"),
        (".json", os.unlink, "has no sidecar"),
    ],
)
def test_a_damaged_engine_is_named_and_built_anew(bundle, install, build, extension, damage, told):
    install(FLAGGED)
    build(bundle, "--fp16")
    damage(os.path.join(bundle, "engines", stored(bundle)["fp16"].key + extension))
    code, _, said = build(bundle, "--fp16")
    assert (code, told in said, "building anew" in said) == (0, True, True), said
    assert build(bundle, "--fp16", "--rebuild", "never")[0] == 0


# Wishes


def test_batches_of_a_dynamic_graph_are_built_verified_and_timed(tmp_path, install, build):
    bundle = write_bundle(str(tmp_path / "x.bundle"), batch=None)
    install("10.3.0")
    _, out, said = build(bundle, "--fp16", "--batch", "1:2:4", "--json")
    engine = json.loads(out)["engines"][0]
    assert (engine["verdict"], engine["timing"]["batch"]) == ("passed", 2), said
    assert stored(bundle)["fp16"].identity.batch == (1, 2, 4)


def test_every_wish_is_in_the_identity(bundle, install, build):
    install("10.3.0", compute_capability=[8, 7], dla_cores=2)
    flags = ["--workspace", "64", "--optimization_level", "5", "--dla", "1", "--version_compatible"]
    assert build(bundle, "--fp16", "--hardware_compatible", *flags)[0] == 0
    identity = stored(bundle)["fp16"].identity
    assert (
        identity.workspace_mib,
        identity.optimization_level,
        identity.dla_core,
        identity.version_compatible,
        identity.hardware_compatible,
    ) == (64, 5, 1, True, True)


def test_the_timing_cache_is_the_users_and_by_tensorrt_and_gpu(bundle, install, build, tmp_path):
    install(FLAGGED)
    build(bundle, "--fp16")
    assert os.listdir(str(tmp_path / "cache" / "timing")) == ["8.2.1_NVIDIA_Tegra_X1.cache"]


def test_no_timing_cache_is_kept_where_that_is_asked_for(bundle, install, build, tmp_path):
    install(FLAGGED)
    build(bundle, "--fp16", "--timing_cache", "")
    assert not (tmp_path / "cache").exists()


def test_a_gpus_name_cannot_leave_the_cache_folder():
    assert os.path.basename(timing_cache_path(None, "8.2.1", "../../x y")) == "8.2.1_.._.._x_y.cache"


def test_layers_are_shown_with_their_times(bundle, install, build):
    install("8.6.1")
    out = build(bundle, "--fp16", "--layers")[1]
    assert [line.split()[0] for line in out.splitlines() if line.startswith(("conv", "total"))] == [
        "conv",
        "total",
    ]


def test_what_tensorrt_says_is_shown_with_verbose(bundle, install, build):
    install(FLAGGED)
    assert "TensorRT " in build(bundle, "--fp16", "--verbose", "--rebuild", "always")[2]


def test_the_only_bundle_here_needs_no_name(bundle, install, build, tmp_path, monkeypatch):
    install(FLAGGED)
    monkeypatch.delenv("LEGOCLF_BUNDLE", raising=False)
    monkeypatch.chdir(tmp_path)
    assert build("--fp16")[0] == 0
    assert "fp16" in stored(bundle)


def test_the_bundle_is_still_whole_afterwards(bundle, install, build):
    install(FLAGGED)
    build(bundle)
    assert "model.onnx" in Bundle.open(bundle).files


# What is missing


def test_a_missing_fp16_graph_is_named_with_the_command_that_makes_it(tmp_path, install, build):
    bundle = write_bundle(str(tmp_path / "x.bundle"), without=["model.fp16.onnx"])
    install(TYPED)
    code, _, said = build(bundle, "--fp16")
    assert (code, files(bundle)) == (1, [])
    assert "holds no model.fp16.onnx" in said
    assert "run `legoclf convert {}` on the training machine".format(bundle) in said


def test_auto_goes_on_with_fp32_where_the_fp16_graph_is_missing(tmp_path, install, build):
    bundle = write_bundle(str(tmp_path / "x.bundle"), without=["model.fp16.onnx"])
    install(TYPED)
    code, out, said = build(bundle)
    assert (code, "holds no model.fp16.onnx" in said) == (0, True)
    assert out.splitlines()[-1].endswith(": fp32, built")


def test_a_bundle_without_golden_images_is_told_before_the_build(tmp_path, install, build):
    with BundleWriter(str(tmp_path / "x.bundle")) as writer:
        with open(writer.file("model.onnx"), "wb") as stream:
            stream.write(tiny_onnx.classifier())
        writer.finish(["a"], unit_range_contract(16, 16), {}, {})
    install(FLAGGED)
    code, _, said = build(str(tmp_path / "x.bundle"), "--fp16")
    assert (code, "holds no golden.npz" in said, "building" in said) == (1, True, False)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--fp16", "--precision", "fp32"], "--fp16 and --precision fp32: name one"),
        (["--int8", "--fp16"], "--int8 adds INT8 to --precision auto; got --precision fp16"),
        (["--batch", "0"], "--batch: got '0'"),
        (["--batch", "4:2:8"], "--batch: got '4:2:8'"),
        (["--batch", "1:2"], "--batch: got '1:2'"),
        (["--workspace", "0"], "--workspace: got 0"),
        (["--layers", "--compute_capability", "8.9"], "--layers times the layers on the GPU"),
        (["--precision", "bf16"], "--precision: invalid choice: 'bf16'"),
    ],
)
def test_a_wrong_call_is_told(bundle, install, build, arguments, told):
    install(FLAGGED)
    code, _, said = build(bundle, *arguments)
    assert (code, told in said) == (2, True), said


def test_building_for_another_gpu_needs_tensorrt_for_rtx(bundle, install, build):
    install(FLAGGED)
    code, _, said = build(bundle, "--fp16", "--compute_capability", "8.9")
    assert (code, "builds only for the GPU that is there" in said) == (1, True), said


# Ends of the build


def test_a_build_killed_for_memory_leaves_nothing_and_tells_how_to_add_swap(bundle, install, build):
    install(FLAGGED, kill_build=True)
    code, _, said = build(bundle, "--fp16")
    assert (code, files(bundle)) == (1, [])
    assert "the build was killed, most likely for want of memory" in said
    assert "sudo fallocate -l 4G /swapfile" in said


def test_a_build_that_fails_leaves_nothing_and_tells_nvidias_reason(bundle, install, build):
    install(FLAGGED, build_fails=True)
    code, _, said = build(bundle, "--fp16")
    assert (code, files(bundle), "builds no engine" in said) == (1, [], True), said


def test_a_bundle_that_cannot_be_written_to_is_told_before_the_build(bundle, install, build):
    install(FLAGGED)
    with open(os.path.join(bundle, "engines"), "w"):
        pass  # root may write anywhere: a file in the folder's place stops it too
    code, _, said = build(bundle, "--fp16")
    assert (code, "engines: cannot be written" in said, "took" in said) == (1, True, False), said


def test_too_little_memory_is_told_before_the_build(bundle, install, build, monkeypatch):
    install(FLAGGED)
    little = read_device()._replace(ram_available_mib=300, swap_free_mib=0)
    monkeypatch.setattr("legoclf.jetson.device.read_device", lambda: little)
    said = build(bundle, "--fp16")[2]
    assert said.index("300 MiB of RAM and 0 MiB of swap were free") < said.index(
        "building the FP16 engine took"
    )


INTERRUPTED = """
import sys
sys.path.insert(0, sys.argv[1])
from legoclf import cli
sys.exit(cli.main(["build-engine", sys.argv[2], "--fp16", "--timing_cache", "", "--verbose"]))
"""


def test_ctrl_c_ends_the_build_and_leaves_nothing(bundle, install, tmp_path):
    install(FLAGGED, build_seconds=60)
    call = [sys.executable, "-c", INTERRUPTED, str(tmp_path / "site"), bundle]
    process = subprocess.Popen(
        call,
        stderr=subprocess.PIPE,
        cwd=str(tmp_path),
        # A shell starts what runs in its background with SIGINT ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    process.stderr.readline()  # the builder's first word: it is at work
    assert len(files(bundle)) == 1
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=20)[1].decode()
    assert (process.returncode, files(bundle)) == (130, [])
    assert "Traceback" not in said


FULL_DISK = """
import resource, signal, sys
sys.path.insert(0, sys.argv[1])
from legoclf import cli
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
sys.exit(cli.main(["build-engine", sys.argv[2], "--fp16", "--timing_cache", ""]))
"""


def test_a_full_disk_is_one_line_and_nothing_half_written(bundle, install, tmp_path):
    """A limit on the size of files stands for the disk's end: the write fails half-way as it does there."""
    install(FLAGGED)
    call = [sys.executable, "-c", FULL_DISK, str(tmp_path / "site"), bundle]
    done = subprocess.Popen(call, stderr=subprocess.PIPE, cwd=str(tmp_path))
    said = done.communicate()[1].decode()
    assert (done.returncode, files(bundle)) == (1, [])
    assert said.splitlines()[-1].startswith("legoclf: error: ")
    assert "File too large" in said.splitlines()[-1]


# Without TensorRT, and what is never imported

#: In front of all else in every Python process: modules that must not be imported, and are not there.
REFUSE = """
import sys

class Refuse(object):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {refused!r}:
            raise ImportError("refused: " + name, name=name)

sys.meta_path.insert(0, Refuse())
"""

COMMAND = """
import sys
from legoclf import cli
sys.exit(cli.main(sys.argv[1:]))
"""

TRAINING = [
    "tensorflow",
    "onnx",
    "onnxruntime",
    "keras",
    "tf2onnx",
    "onnxslim",
    "cv2",
    "PIL",
    "scipy",
    "tqdm",
]
TENSORRT = ["tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"]


def without(tmp_path, refused, *arguments):
    (tmp_path / "sitecustomize.py").write_text(REFUSE.format(refused=refused))
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = dict(os.environ, PYTHONPATH=path, LEGOCLF_CACHE_DIR=str(tmp_path / "cache"))
    done = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "build-engine", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=str(tmp_path),
    )
    out, said = done.communicate()
    return done.returncode, out.decode(), said.decode()


def test_without_tensorrt_one_line_says_where_it_comes_from(bundle, tmp_path):
    code, _, said = without(tmp_path, TENSORRT + TRAINING, bundle, "--fp16")
    assert (code, len(said.splitlines())) == (1, 1)
    assert "TensorRT cannot be imported" in said
    assert "JetPack brings it" in said


@pytest.fixture
def needs_rtx():
    try:
        importlib.import_module("tensorrt_rtx_bindings")
    except ImportError:
        pytest.skip("TensorRT for RTX is not installed here")


@pytest.mark.usefixtures("needs_rtx")
def test_nvidias_own_builder_builds_for_a_gpu_elsewhere_without_any_training_package(bundle, tmp_path):
    """The real TensorRT for RTX, in processes that cannot import TensorFlow, onnx or ONNX Runtime."""
    code, out, said = without(tmp_path, TRAINING, bundle, "--compute_capability", "8.9")
    assert code == 0, said
    assert "neither timed nor verified, for the GPU is not here" in out
    machines = {engine.identity.machine for engine in list_engines(bundle)[0]}
    assert {(machine.gpu, machine.compute_capability) for machine in machines} == {("", "8.9")}
    assert sorted(stored(bundle)) == ["fp16", "fp32"]


@pytest.mark.usefixtures("needs_rtx")
def test_a_gpu_that_tensorrt_for_rtx_does_not_know_is_told_with_those_it_knows(bundle, tmp_path):
    code, _, said = without(tmp_path, TRAINING, bundle, "--compute_capability", "8.7")
    assert (code, "--compute_capability 8.7: TensorRT for RTX" in said, "8.9" in said) == (1, True, True), (
        said
    )


@pytest.mark.usefixtures("needs_rtx")
def test_without_a_gpu_building_for_one_elsewhere_is_offered(bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("LEGOCLF_CUDART", str(tmp_path / "none.so"))
    code, _, said = without(tmp_path, TRAINING, bundle, "--fp16")
    assert (code, "--compute_capability 7.5|8.0" in said) == (1, True), said
