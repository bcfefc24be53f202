"""The benchmark of inference: its times against sleeps of known length, and the command on a bundle."""

import functools
import itertools
import json
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import fake_cuda
import fake_tensorrt
import numpy as np
import pytest
import tiny_bundle

from legoclf.benchmarks.device import inference_command, peak
from legoclf.benchmarks.device.boards import load_boards
from legoclf.benchmarks.device.inference import Pace, measure, read_frames
from legoclf.benchmarks.device.inference_roofline import Peaks, peaks_of, rooflines
from legoclf.benchmarks.device.memory import MemoryLog, memory_note, resident_mb
from legoclf.benchmarks.device.result import HEADER, Measured, Ratio, Result, Series, load, parse, to_json
from legoclf.benchmarks.device.runtimes import Opened, is_dynamic, open_runtimes, parse_precisions
from legoclf.benchmarks.device.samples import medians
from legoclf.bundle import Bundle
from legoclf.cli import parse as parse_arguments
from legoclf.contract import unit_range_contract
from legoclf.convert.engine.build import BuildConfig, build_engine, needs_typed_fp16
from legoclf.errors import LegoclfError, UsageError
from legoclf.jetson import cuda, runtime_onnx, runtime_tensorrt, tensorrt_api
from legoclf.jetson.device import Device
from legoclf.jetson.engine_identity import EngineIdentity, this_machine
from legoclf.jetson.engine_store import save_engine
from legoclf.jetson.frame import Frame
from legoclf.jetson.runtime import Runtime, Work
from legoclf.jetson.tensorrt_api import TensorRTApi
from legoclf.session import OnnxRuntimeSession

SLEEP_MS = 20.0
LONG_SLEEP_MS = 100.0
FAST = Pace(turns=2, seconds=0.004, warm_up_seconds=0.5)
SMALL = "synthetic://?width=64&height=48&fps=0"


class SleepingRuntime(Runtime):
    """A network whose inference is a sleep: a real :class:`Runtime`, in all but its network.

    Attributes:
        frames: those that were prepared. batches: how many regions each had.
        most_at_once: inferences that ran at the same time.
        timed_ms, bare_ms: how long each sleep was by a clock of its own, of calls whose steps were timed and
            of those of the session alone. On a busy machine a sleep ends late by milliseconds.
    """

    def __init__(self, compute_ms: float = 0.0, prepare_ms: float = 0.0, parallel: int = 1) -> None:
        bundle = Bundle("x.bundle", ["a", "b"], unit_range_contract(4, 4), {}, {}, {})
        super().__init__(bundle, ["probabilities"])
        self.description = "a sleep"
        self.parallel = parallel
        self.frames: List[Frame] = []
        self.batches: List[int] = []
        self.timed_ms: List[float] = []
        self.bare_ms: List[float] = []
        self.most_at_once = 0
        self._running = 0
        self._lock = threading.Lock()
        self._compute_s = compute_ms / 1000
        self._prepare_s = prepare_ms / 1000

    def close(self) -> None:
        pass

    def preprocess(self, frame: Frame) -> np.ndarray:
        return np.zeros((3, 4, 4), np.float32)

    def run_tensor(self, batch: np.ndarray) -> Dict[str, np.ndarray]:
        return self._sleep(batch, self.bare_ms)

    def _sleep(self, batch: np.ndarray, slept_ms: List[float]) -> Dict[str, np.ndarray]:
        started_at = time.monotonic()
        time.sleep(self._compute_s)
        slept_ms.append((time.monotonic() - started_at) * 1000)
        return {"probabilities": np.zeros((len(batch), 2), np.float32)}

    def _prepare(self, frame: Frame, regions: List[Any]) -> Optional[np.ndarray]:
        self.frames.append(frame)
        self.batches.append(len(regions))
        time.sleep(self._prepare_s)
        return np.zeros((len(regions), 3, 4, 4), np.float32)

    def _answer(self, work: Work, steps: Optional[Dict[str, float]]) -> Dict[str, np.ndarray]:
        assert work.tensors is not None
        with self._lock:
            self._running += 1
            self.most_at_once = max(self.most_at_once, self._running)
        started_at = time.perf_counter()
        found = self._sleep(work.tensors, [] if steps is None else self.timed_ms)
        with self._lock:
            self._running -= 1
        if steps is not None:
            steps["compute"] += (time.perf_counter() - started_at) * 1000
        return found


def opened(runtime: Runtime, name: str = "sleep fp32", most: Optional[int] = None) -> Opened:
    return Opened(name, "sleep", "fp32", "model.onnx", runtime, 1, most)


def measured(
    runtimes: Sequence[Opened], batches: Sequence[int] = (1,), pace: Pace = FAST, **options: Any
) -> Measured:
    return measure(runtimes, batches, read_frames(SMALL), pace, **options)


def result_of(found: Measured) -> Result:
    """As another program reads it: with its samples, units and ratios checked."""
    header: Dict[str, Any] = dict.fromkeys(HEADER, "told")
    header.update(cores=2, clocks={}, versions={}, unsteady=[])
    whole = Result("inference", header, found.series, found.ratios, found.facts)
    return parse(json.loads(json.dumps(to_json(whole))), "x.json")


# Times


def test_the_median_of_a_known_sleep_is_right_to_5_per_cent() -> None:
    # Long, for on a busy machine some milliseconds pass between the sleep's end and the clock's.
    runtime = SleepingRuntime(LONG_SLEEP_MS)
    result = result_of(measured([opened(runtime)], pace=Pace(turns=2, seconds=1.2, warm_up_seconds=0.5)))
    for way, slept_ms in (
        ("compute", runtime.timed_ms),
        ("whole", runtime.timed_ms),
        ("bare session", runtime.bare_ms),
    ):
        summary = result.find(way + ", sleep fp32, batch 1").summary
        slept = float(np.median(slept_ms[-summary.samples :]))  # 0.1 more on an idle machine
        assert slept >= LONG_SLEEP_MS
        assert summary.p50 == pytest.approx(slept, rel=0.05)


def test_throughput_is_what_sleeps_of_20_ms_leave() -> None:
    result = result_of(measured([opened(SleepingRuntime(SLEEP_MS))], (1, 4), Pace(1, 0.4, 0.5)))
    for batch in (1, 4):
        rate = result.find("throughput, sleep fp32, batch {}".format(batch)).summary.p50
        # Half of it is left on a machine so busy that each sleep ends 20 ms late.
        assert 0.5 * batch * 1000 / SLEEP_MS < rate <= batch * 1000 / SLEEP_MS


def test_the_steps_add_up_to_the_whole() -> None:
    result = result_of(measured([opened(SleepingRuntime(4.0, prepare_ms=2.0))]))
    whole, preprocess, compute = (
        [sample for turn in result.find(step + ", sleep fp32, batch 1").turns for sample in turn]
        for step in ("whole", "preprocess", "compute")
    )
    assert len(whole) == len(preprocess) == len(compute)
    between = [all_ms - sum(steps) for all_ms, *steps in zip(whole, preprocess, compute)]
    assert min(between) > -1e-3  # the file keeps five digits of a sample
    assert np.median(between) < 1.0  # calls of Python


def test_a_step_that_a_runtime_has_not_has_no_series() -> None:
    found = measured([opened(SleepingRuntime(1.0))])
    assert not [one for one in found.series if one.name.startswith(("h2d", "d2h", "postprocess"))]


def test_the_clocks_own_share_is_told() -> None:
    found = measured([opened(SleepingRuntime(1.0))])
    assert 0 < found.facts["clock_overhead_ms"] < 0.1
    assert any("the clock adds" in note and "% of the shortest step" in note for note in found.facts["notes"])


# Turns, batches, callers


def test_all_configurations_take_turns() -> None:
    order: List[str] = []

    class Noting(SleepingRuntime):
        def __init__(self, name: str) -> None:
            super().__init__(1.0)
            self.name = name

        def run_tensor(self, batch: np.ndarray) -> Dict[str, np.ndarray]:
            order.append(self.name)
            return super().run_tensor(batch)

    found = measured([opened(Noting(name), name) for name in ("a", "b")], pace=FAST._replace(turns=6))
    # Warm-up comes first, one after the other.
    assert [name for name, _ in itertools.groupby(order)] == ["a", "b"] * 7
    assert [len(one.turns) for one in found.series] == [6] * len(found.series)


def test_the_ratio_to_the_first_is_that_of_the_time_for_an_image() -> None:
    runtimes = [opened(SleepingRuntime(4.0), "slow"), opened(SleepingRuntime(2.0), "fast")]
    result = result_of(measured(runtimes, (1, 4)))
    first = medians(result.find("whole, slow, batch 1").turns)
    ratios = {ratio.name: result.ratio(ratio).value for ratio in result.ratios}
    for name, batch in (("slow", 4), ("fast", 1), ("fast", 4)):
        configuration = "{}, batch {}".format(name, batch)
        whole = medians(result.find("whole, " + configuration).turns)
        expected = np.median([mine / batch / its for mine, its in zip(whole, first)])
        found = ratios["time per image, {}, over slow, batch 1".format(configuration)]
        assert found == pytest.approx(expected, rel=1e-4)  # the file keeps five digits of a sample


def test_the_compute_is_compared_with_the_bare_session_and_preprocessing_with_the_whole() -> None:
    found = measured([opened(SleepingRuntime(1.0, prepare_ms=1.0))])
    name = "sleep fp32, batch 1"
    assert found.ratios == [
        Ratio("compute over the bare session, " + name, "compute, " + name, "bare session, " + name, "lower"),
        Ratio("preprocessing, of the whole, " + name, "preprocess, " + name, "whole, " + name, "lower"),
    ]


def test_a_batch_is_so_many_regions_of_a_frame_and_every_call_has_a_new_one() -> None:
    runtime = SleepingRuntime(0.1)
    found = measured([opened(runtime)], (3,))
    assert set(runtime.batches) == {3}
    assert len({id(frame) for frame in runtime.frames}) == len(runtime.frames)
    assert len({frame.sequence for frame in runtime.frames}) > 1
    per_image = [one for one in found.series if one.name == "whole per image, sleep fp32, batch 3"]
    assert [one.unit for one in per_image] == ["ms"]
    assert any("in N regions" in note for note in found.facts["notes"])


def test_a_batch_that_a_network_does_not_take_at_once_is_left_out_and_told() -> None:
    found = measured([opened(SleepingRuntime(0.1), most=2)], (1, 2, 4))
    assert [each["batch"] for each in found.facts["configurations"]] == [1, 2]
    assert found.facts["notes"][0] == "sleep fp32, batch 4: not measured, it takes 1 to 2 at once"


def test_where_no_batch_is_taken_that_is_an_error() -> None:
    with pytest.raises(LegoclfError, match="nothing to measure: .* takes 1 at once; name another --batch"):
        measured([opened(SleepingRuntime(0.1), most=1)], (2, 4))


def test_a_runtime_for_several_callers_is_called_by_as_many_at_batch_1() -> None:
    runtime = SleepingRuntime(2.0, parallel=3)
    result = result_of(measured([opened(runtime)], (1, 2), Pace(2, 0.2, 0.5)))
    assert runtime.most_at_once == 3
    one, three = (
        result.find("throughput{}, sleep fp32, batch 1".format(way)).summary.p50
        for way in ("", ", 3 callers")
    )
    assert three > 1.5 * one  # 3 where nothing else is at work
    with pytest.raises(KeyError):
        result.find("throughput, 3 callers, sleep fp32, batch 2")


def test_what_does_not_settle_makes_the_machine_unsteady() -> None:
    reasons: List[str] = []
    never = Pace(turns=1, seconds=0.004, warm_up_seconds=0.001)
    measured([opened(SleepingRuntime(1.0))], pace=never, unsteady=reasons.append)
    assert reasons == ["sleep fp32, batch 1 had not settled after 0.001 s"]


def test_energy_is_mean_watts_by_the_seconds_of_an_image() -> None:
    def energy(work: Callable[[float], float], seconds: float) -> Tuple[float, Optional[float]]:
        return work(seconds), 5.0

    result = result_of(measured([opened(SleepingRuntime(4.0))], (1, 2), Pace(2, 0.2, 0.5), energy=energy))
    for batch in (1, 2):
        name = ", sleep fp32, batch {}".format(batch)
        assert result.find("power" + name).summary.p50 == 5.0
        rates = [turn[0] for turn in result.find("throughput" + name).turns]
        joules = [turn[0] for turn in result.find("energy per image" + name).turns]
        assert joules == pytest.approx([5.0 * 1000 / rate for rate in rates], rel=1e-4)
    assert any("idle included" in note for note in result.facts["notes"])


def test_a_board_that_does_not_tell_its_watts_has_no_such_series() -> None:
    found = measured([opened(SleepingRuntime(1.0))], energy=lambda work, seconds: (work(seconds), None))
    assert not [one for one in found.series if one.unit in ("W", "mJ")]


def test_frames_of_several_sizes_are_cut_down_to_the_first(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for name, size in (("a.png", (8, 6)), ("b.png", (9, 6))):
        image.new("RGB", size).save(str(tmp_path / name))
    assert [frame.width for frame in read_frames(str(tmp_path))] == [8]


# Memory


def test_memory_is_read_as_the_kernel_tells_it(tmp_path: Path) -> None:
    status = tmp_path / "proc" / "self" / "status"
    status.parent.mkdir(parents=True)
    status.write_text("Name:\tx\nVmHWM:\t  204800 kB\nVmRSS:\t  102400 kB\n", encoding="ascii")
    assert resident_mb(str(tmp_path)) == {"now": 100.0, "peak": 200.0}


def test_memory_that_grows_is_charged_to_what_was_opened() -> None:
    with MemoryLog(with_gpu=False) as memory:
        block = np.ones(64 << 17)  # 64 MiB, touched
        memory.note("a")
        facts = memory.facts()
    assert block[0] == 1
    before, after = facts["before"]["resident"], facts["opened"]["a"]["resident"]
    if before is None:
        pytest.skip("this machine tells no resident set")
    assert after - before == pytest.approx(64, abs=8)  # the allocator's own, and what other threads did
    assert facts["peak"]["resident"] >= after
    assert "with a" in memory_note(facts)


def test_memory_of_the_gpu_is_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    device = fake_cuda.FakeCuda(total_bytes=1 << 30)
    monkeypatch.setattr(cuda, "open_cuda", lambda: device)
    with MemoryLog(with_gpu=True) as memory:
        address = device.allocate(32 << 20)
        memory.note("a")
        device.free(address)
        facts = memory.facts()
    assert facts["before"]["gpu"] == 0
    assert facts["opened"]["a"]["gpu"] == 32


# Flags


@pytest.mark.parametrize("text", ["", "fp32,", "fp64", "fp32,fp32", "auto,fp32"])
def test_precisions_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--precision: got .* expected auto, or some of fp32,fp16,int8"):
        parse_precisions(text)


@pytest.mark.parametrize("text", ["", "0", "1,1", "a", "1,", "-1", "1.5"])
def test_batches_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--batch: got .* expected numbers such as 1,2,4,8"):
        inference_command.parse_batches(text)


def test_short_is_fewer_and_shorter_turns_but_for_what_is_named() -> None:
    def pace(*flags: str) -> Pace:
        return inference_command.pace_of(parse_arguments("benchmark", inference_command, list(flags)))

    assert pace() == (10, 1.0, 10.0)
    assert pace("--short") == (6, 0.3, 3.0)
    assert pace("--short", "--turns", "8") == (8, 0.3, 3.0)


def run(*arguments: str) -> int:
    args = parse_arguments("benchmark", inference_command, list(arguments))
    args.command_line = ["legoclf", "benchmark", *arguments]
    return inference_command.run(args)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--turns", "0"), "--turns: got 0, expected 1 to 1000"),
        (("--seconds", "0"), "--seconds: got 0.0, expected"),
        (("--all_images",), "--all_images says what --image_dir holds"),
    ],
)
def test_flags_that_make_no_sense_are_refused(flags: Tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        run("x.bundle", *flags)


# On a whole bundle


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A bundle without engines; not to be changed."""
    pytest.importorskip("onnx", reason="the bundle is made with onnx")
    pytest.importorskip("onnxruntime", reason="its graphs run in ONNX Runtime")
    return tiny_bundle.write_bundle(tmp_path_factory.mktemp("bundle") / "x.bundle")


@pytest.fixture
def bundle(tmp_path: Path, shared: str) -> Bundle:
    return Bundle.open(tiny_bundle.write_bundle(tmp_path / "own.bundle"))


QUICK = ("--short", "--turns", "1", "--seconds", "0.02", "--source", SMALL, "--no_roofline")


def test_the_command_measures_steps_accuracy_and_memory_of_each_precision(
    shared: str, tmp_path: Path
) -> None:
    image = pytest.importorskip("PIL.Image")
    for label, name in enumerate(tiny_bundle.labels()):
        (tmp_path / "photos" / name).mkdir(parents=True)
        image.fromarray(tiny_bundle.plain(label)).save(str(tmp_path / "photos" / name / "a.png"))
    output = str(tmp_path / "result.json")
    photos = str(tmp_path / "photos")
    flags = ("--backend", "onnxruntime", "--precision", "fp32,fp16", "--batch", "1,2", "--image_dir", photos)
    assert run(shared, *flags, *QUICK, "--output", output) == 0
    result = load(output)
    assert result.kind == "inference"
    for precision in ("fp32", "fp16"):
        accuracy = result.find("accuracy, onnxruntime " + precision)
        assert (accuracy.unit, accuracy.turns) == ("right", [[1.0] * 4])
        for batch in (1, 2):
            name = "onnxruntime {}, batch {}".format(precision, batch)
            assert min(min(turn) for turn in result.find("compute, " + name).turns) > 0
            assert result.find("preprocess, " + name).unit == "ms"
    assert list(result.facts["memory_mb"]["opened"]) == ["onnxruntime fp32", "onnxruntime fp16"]
    notes = "\n".join(result.facts["notes"])
    assert "computes the FP16 graph in FP32" in notes
    assert "accuracy is that of all images of photos, for its training recorded no split" in notes
    assert "trtexec --onnx=model.onnx" in notes
    assert str(tmp_path) not in json.dumps(to_json(result))


def test_the_table_has_every_series_and_the_conditions(
    shared: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(shared, "--backend", "onnxruntime", "--batch", "1", *QUICK) == 0
    text = capsys.readouterr().out
    assert text.startswith("# inference\n")
    assert "| compute, onnxruntime fp32, batch 1 | ms |" in text
    assert "accuracy: not measured, and not recorded by its training" in text


def test_the_roofline_stands_beside_the_compute(
    shared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = functools.partial(peak.measure_peak, turns=1, seconds=0.01)
    monkeypatch.setattr(peak, "measure_peak", quick)
    output = str(tmp_path / "result.json")
    flags = ("--backend", "onnxruntime", "--short", "--turns", "1", "--seconds", "0.02")
    assert run(shared, *flags, "--source", SMALL, "--output", output) == 0
    result = load(output)
    bound = result.facts["roofline"]["onnxruntime fp32, batch 1"]
    compute_ms = result.find("compute, onnxruntime fp32, batch 1").summary.median.value
    assert bound["share"] == pytest.approx(bound["bound_ms"] / compute_ms, rel=1e-3)
    assert bound["precision"] == "fp32"
    assert any(note.startswith("roofline, onnxruntime fp32, batch 1") for note in result.facts["notes"])


ON_A_NANO = {"name": "tensorrt fp16, batch 2", "backend": "tensorrt", "precision": "fp16", "batch": 2}


def test_the_roofline_of_a_board_is_that_at_the_clock_that_was_running(shared: str) -> None:
    nano = load_boards()["jetson-nano"]
    compute = Series("compute, tensorrt fp16, batch 2", "ms", [[2.0], [2.0]])
    highest = nano.figures["gpu_mhz_max"]
    assert highest is not None
    bundle = Bundle.open(shared)
    fast, slow = (
        rooflines(bundle, [ON_A_NANO], [compute], Peaks(None, nano, mhz)) for mhz in (None, highest / 2)
    )
    facts = [found.facts["tensorrt fp16, batch 2"] for found in (fast, slow)]
    assert facts[1]["peak_gflops"] == pytest.approx(facts[0]["peak_gflops"] / 2)
    assert facts[0]["share"] == pytest.approx(facts[0]["bound_ms"] / 2.0)
    assert "at its highest clock" in fast.notes[0]
    assert "at {:.0f} MHz".format(highest / 2) in slow.notes[0]


def test_where_no_peak_is_known_that_is_told(shared: str) -> None:
    compute = Series("compute, tensorrt fp16, batch 2", "ms", [[2.0]])
    found = rooflines(Bundle.open(shared), [ON_A_NANO], [compute], Peaks())
    assert found.facts == {"tensorrt fp16, batch 2": None}
    assert found.notes == ["roofline: no peak is known for tensorrt fp16, batch 2"]


def test_the_board_is_the_one_that_the_device_tree_names_at_the_clock_of_the_header() -> None:
    device = Device("32.7.1", "4.6.1", "NVIDIA Jetson Nano Developer Kit", 3964, 2000, 0, 0, 0)
    found = peaks_of(None, device, {"gpu_max_mhz": 921.6, "gpu_median_mhz": 614.4})
    assert found.board is not None
    assert (found.board.key, found.gpu_mhz) == ("jetson-nano", 614.4)


def test_precisions_of_onnx_runtime_are_those_that_a_cpu_gains_from(shared: str) -> None:
    with ExitStack() as stack:
        found = open_runtimes(Bundle.open(shared), stack, "onnxruntime")
    assert [one.name for one in found] == ["onnxruntime fp32"]


def test_a_precision_that_the_bundle_does_not_hold_is_refused_by_its_file(shared: str) -> None:
    with ExitStack() as stack, pytest.raises(LegoclfError, match="holds no model.int8.onnx"):
        open_runtimes(Bundle.open(shared), stack, "onnxruntime", ["int8"])


def test_each_precision_runs_its_own_graph(shared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    paths: List[str] = []
    real = OnnxRuntimeSession

    def session(path: str, threads: Optional[int]) -> Any:
        paths.append(Path(path).name)
        return real(path, threads)

    monkeypatch.setattr(runtime_onnx, "OnnxRuntimeSession", session)
    with ExitStack() as stack:
        fp32, fp16 = open_runtimes(Bundle.open(shared), stack, "onnxruntime", ["fp32", "fp16"])
    assert paths == [fp32.graph, fp16.graph] == ["model.onnx", "model.fp16.onnx"]
    assert fp16.runtime.description.endswith("model.fp16.onnx (FP16) on the CPU")
    assert (fp32.runtime.is_exact, fp16.runtime.is_exact) == (True, False)


def test_a_graph_of_one_batch_is_not_run_as_several(tmp_path: Path, shared: str) -> None:
    bundle = Bundle.open(tiny_bundle.write_bundle(tmp_path / "one.bundle", batch=1))
    bundle = bundle._replace(provenance={"batch": {"most": 1, "dynamic": False}})
    assert not is_dynamic(bundle)
    with ExitStack() as stack:
        [one] = open_runtimes(bundle, stack, "onnxruntime")
        assert one.takes(1)
        assert not one.takes(2)


# TensorRT


def no_cuda() -> Any:
    raise LegoclfError("no CUDA runtime found")


def test_tensorrt_without_a_gpu_is_one_clear_line(shared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (cuda, runtime_tensorrt):
        monkeypatch.setattr(module, "open_cuda", no_cuda)
    with pytest.raises(LegoclfError, match=r"\Ano CUDA runtime found\Z"):
        run(shared, "--backend", "tensorrt", *QUICK)


class Machine(object):
    """A TensorRT of a release and a GPU; each that opens CUDA gets a device of its own.

    An inference takes ``execute_ms`` of the devices' own clock, by which compute is timed.
    """

    execute_ms = 7.0

    def __init__(self, release: str) -> None:
        self.api = TensorRTApi(fake_tensorrt.fake_tensorrt(release))
        self.devices: List[fake_cuda.FakeCuda] = []

    def open_cuda(self) -> fake_cuda.FakeCuda:
        self.devices.append(fake_cuda.FakeCuda())
        self.devices[-1].execute_ms = self.execute_ms
        return self.devices[-1]

    def build(self, bundle: Bundle, precision: str, batch: Tuple[int, int, int]) -> str:
        """Put an engine that fits this machine into a bundle; its key."""
        half = precision == "fp16" and needs_typed_fp16(self.api)
        graph = tiny_bundle.graph(half=half)
        config = BuildConfig(precision=precision, batch=batch)
        said: List[str] = []
        plan = build_engine(self.api, graph, config, said.append).plan
        onnx_file = "model.fp16.onnx" if half else "model.onnx"
        identity = EngineIdentity(
            onnx_sha256=bundle.files[onnx_file].sha256,
            precision=precision,
            workspace_mib=128,
            batch=batch,
            optimization_level=None,
            dla_core=None,
            version_compatible=False,
            hardware_compatible=False,
            **this_machine(self.api, fake_cuda.FakeCuda())._asdict(),
        )
        return save_engine(bundle.path, identity, plan, {"onnx_file": onnx_file}).key


@pytest.fixture(params=["8.2.1", "10.3.0", "11.1.0"])
def machine(request: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    found = Machine(request.param)
    for module in (cuda, runtime_tensorrt):
        monkeypatch.setattr(module, "open_cuda", found.open_cuda)
    for module in (tensorrt_api, runtime_tensorrt):
        monkeypatch.setattr(module, "find_tensorrt", lambda: found.api)
    yield found
    for device in found.devices:
        device.assert_nothing_leaked()


def test_every_engine_that_fits_is_measured_by_the_gpus_clock(
    machine: Machine, bundle: Bundle, tmp_path: Path
) -> None:
    keys = {precision: machine.build(bundle, precision, (1, 1, 2)) for precision in ("fp32", "fp16")}
    output = str(tmp_path / "result.json")
    assert run(bundle.path, "--batch", "1,2,4", *QUICK, "--output", output) == 0
    result = load(output)
    found = {each["name"]: each for each in result.facts["configurations"]}
    assert list(found) == [
        "tensorrt {}, batch {}".format(precision, batch) for precision in ("fp32", "fp16") for batch in (1, 2)
    ]
    for name, each in found.items():
        assert each["engine"] == keys[each["precision"]]
        assert result.find("compute, " + name).summary.p50 == machine.execute_ms
        assert result.find("d2h, " + name).unit == "ms"
    notes = result.facts["notes"]
    assert "tensorrt fp16, batch 4: not measured, it takes 1 to 2 at once" in notes
    assert list(result.facts["memory_mb"]["opened"]) == ["tensorrt fp32", "tensorrt fp16"]


def test_the_trtexec_commands_are_those_of_the_engine_and_the_release(
    machine: Machine, bundle: Bundle, tmp_path: Path
) -> None:
    key = machine.build(bundle, "fp16", (1, 1, 2))
    output = str(tmp_path / "result.json")
    assert run(bundle.path, "--batch", "1,2", *QUICK, "--output", output) == 0
    build, *timing = load(output).facts["trtexec"]["tensorrt fp16"]["lines"]
    release = machine.api.version
    assert ("--fp16" in build) == (not release.startswith("11"))
    assert ("--workspace=128" in build) == release.startswith("8.2")
    assert "--minShapes=input:1x3x16x16 --optShapes=input:1x3x16x16 --maxShapes=input:2x3x16x16" in build
    assert len(timing) == 2
    for batch, line in zip((1, 2), timing):
        assert line.startswith("trtexec --loadEngine=engines/{}.engine".format(key))
        assert "--shapes=input:{}x3x16x16".format(batch) in line
        assert "--useCudaGraph" in line


def test_a_precision_without_an_engine_is_refused_with_the_command_that_builds_it(
    machine: Machine, bundle: Bundle
) -> None:
    machine.build(bundle, "fp32", (1, 1, 1))
    with pytest.raises(LegoclfError, match="legoclf build-engine .*--precision fp16"):
        run(bundle.path, "--backend", "tensorrt", "--precision", "fp16", *QUICK)


def test_without_an_engine_auto_goes_by_onnx_runtime_and_says_why(
    machine: Machine, bundle: Bundle, tmp_path: Path
) -> None:
    output = str(tmp_path / "result.json")
    assert run(bundle.path, "--batch", "1", *QUICK, "--output", output) == 0
    result = load(output)
    assert [each["backend"] for each in result.facts["configurations"]] == ["onnxruntime"]
    assert any("holds no engine for this machine" in note for note in result.facts["notes"])
