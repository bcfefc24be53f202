"""The fake TensorRT builds and runs engines as its release would, on the bytes it is given."""

import ctypes
import json
import os
import signal
import subprocess
import sys
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
import pytest
from cudart_stub import build_stub
from fake_cuda import FakeCuda, FakeCudaError
from fake_tensorrt import RELEASES, fake_tensorrt, read_plan, write_site

onnx = pytest.importorskip("onnx", reason="the fake reads graphs with onnx")
pytest.importorskip("onnxruntime", reason="the fake runs graphs in ONNX Runtime")

import tiny_onnx  # noqa: E402

STRONG = [one for one in RELEASES if not one.startswith("8.")]
WEAK = [one for one in RELEASES if not one.startswith("11.")]
BATCHES = ((1, 3, 16, 16), (2, 3, 16, 16), (4, 3, 16, 16))


class Built(NamedTuple):
    plan: Any
    errors: List[str]


class Messages:
    """A logger of the caller's own, and what it was told."""

    def __init__(self, trt: Any) -> None:
        class Logger(trt.ILogger):  # type: ignore[misc]
            def __init__(self, kept: List[Tuple[str, str]]) -> None:
                super().__init__()
                self.kept = kept

            def log(self, severity: Any, msg: str) -> None:
                self.kept.append((severity.name, msg))

        self.kept: List[Tuple[str, str]] = []
        self.logger = Logger(self.kept)

    def of(self, severity: str) -> List[str]:
        return [text for one, text in self.kept if one == severity]


def network(trt: Any, messages: Messages, model: bytes, strong: bool = False) -> Tuple[Any, Any, Any]:
    """(builder, network, parser) with the model parsed or not."""
    creation = trt.NetworkDefinitionCreationFlag
    flags = [creation.EXPLICIT_BATCH] if hasattr(creation, "EXPLICIT_BATCH") else []
    flags += [creation.STRONGLY_TYPED] if strong else []
    builder = trt.Builder(messages.logger)
    made = builder.create_network(sum(1 << int(flag) for flag in flags))
    parser = trt.OnnxParser(made, messages.logger)
    parser.parse(model)
    return builder, made, parser


def build(
    trt: Any,
    model: bytes,
    flags: Tuple[str, ...] = (),
    shapes: Any = None,
    strong: bool = False,
    **properties: Any,
) -> Built:
    messages = Messages(trt)
    builder, made, parser = network(trt, messages, model, strong)
    assert parser.num_errors == 0, str(parser.get_error(0))
    config = builder.create_builder_config()
    for flag in flags:
        config.set_flag(getattr(trt.BuilderFlag, flag))
    for name, value in properties.items():
        setattr(config, name, value)
    if shapes is not None:
        profile = builder.create_optimization_profile()
        profile.set_shape("input", *shapes)
        config.add_optimization_profile(profile)
    return Built(builder.build_serialized_network(made, config), messages.of("ERROR"))


def load(trt: Any, plan: Any, messages: Optional[Messages] = None) -> Any:
    return trt.Runtime((messages or Messages(trt)).logger).deserialize_cuda_engine(plan)


def sizes(trt: Any, engine: Any, context: Any, batch: np.ndarray) -> Dict[str, Tuple[int, ...]]:
    """Each tensor's shape for this batch, in the engine's order."""
    if hasattr(trt, "TensorIOMode"):
        context.set_input_shape("input", batch.shape)
        tensors = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        return {name: tuple(context.get_tensor_shape(name)) for name in tensors}
    context.set_binding_shape(engine.get_binding_index("input"), batch.shape)
    bindings = range(engine.num_bindings)
    return {engine.get_binding_name(one): tuple(context.get_binding_shape(one)) for one in bindings}


def execute(trt: Any, context: Any, addresses: Dict[str, int], stream: int) -> bool:
    if hasattr(trt, "TensorIOMode"):
        for name, address in addresses.items():
            assert context.set_tensor_address(name, address)
        return bool(context.execute_async_v3(stream))
    return bool(context.execute_async_v2(list(addresses.values()), stream))


def run(trt: Any, plan: Any, batch: np.ndarray, cuda: Optional[FakeCuda] = None) -> Dict[str, np.ndarray]:
    """Every output of a plan, through the fake CUDA, which must have everything back afterwards."""
    cuda = cuda or FakeCuda()
    engine = load(trt, plan)
    context = engine.create_execution_context()
    shapes = sizes(trt, engine, context, batch)
    stream = cuda.create_stream()
    addresses = {name: cuda.allocate(4 * int(np.prod(shape))) for name, shape in shapes.items()}
    outputs = {
        name: cuda.pinned_empty(shape, np.float32) for name, shape in shapes.items() if name != "input"
    }
    cuda.copy_to_device(addresses["input"], batch, stream)
    assert execute(trt, context, addresses, stream)
    for name, array in outputs.items():
        cuda.copy_to_host(array, addresses[name], stream)
    assert all(np.isnan(array).all() for array in outputs.values()), "nothing happens before synchronize"
    cuda.synchronize(stream)
    for address in addresses.values():
        cuda.free(address)
    cuda.destroy_stream(stream)
    cuda.assert_nothing_leaked()
    return outputs


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("reverse", [False, True])
def test_an_engine_answers_as_onnx_runtime_from_the_bytes_it_was_given(release: str, reverse: bool) -> None:
    trt, batch = fake_tensorrt(release, reverse_bindings=reverse), tiny_onnx.images(3)
    model = tiny_onnx.classifier(batch=None)
    answers = run(trt, build(trt, model, shapes=BATCHES).plan, batch)
    expected = tiny_onnx.run(model, batch)
    assert list(answers) == (["probabilities", "logits"] if reverse else ["logits", "probabilities"])
    for name, array in answers.items():
        # The same kernels, with and without ONNX Runtime's fusing: FP32's rounding.
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("release", RELEASES)
def test_a_plan_is_bytes_by_its_buffer_alone(release: str, tmp_path: Any) -> None:
    trt = fake_tensorrt(release)
    plan = build(trt, tiny_onnx.classifier()).plan
    with open(str(tmp_path / "engine"), "wb") as file:
        file.write(plan)
    content = (tmp_path / "engine").read_bytes()
    assert content == bytes(plan) == bytes(memoryview(plan)) == np.frombuffer(plan, np.uint8).tobytes()
    assert plan.nbytes == len(content)
    assert isinstance(plan, trt.IHostMemory)
    with pytest.raises(TypeError):
        len(plan)


@pytest.mark.parametrize("release", RELEASES)
def test_the_parser_wants_explicit_batch_before_10(release: str) -> None:
    trt = fake_tensorrt(release)
    logger = Messages(trt).logger
    parser = trt.OnnxParser(trt.Builder(logger).create_network(), logger)
    parsed = parser.parse(tiny_onnx.classifier())
    assert parsed is not release.startswith("8.")
    assert parsed or "EXPLICIT_BATCH" in parser.get_error(0).desc()


def changed(operator: str, domain: str = "") -> bytes:
    """The tiny classifier with another operator in the place of its pooling."""
    model = onnx.load_model_from_string(tiny_onnx.classifier())
    model.graph.node[2].op_type, model.graph.node[2].domain = operator, domain
    content: bytes = model.SerializeToString()
    return content


def doubled() -> bytes:
    """The tiny classifier computing in FP64."""
    from onnx import TensorProto, helper

    info = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, [1, 4]) for name in ("input", "logits")]
    graph = helper.make_graph(
        [helper.make_node("Relu", ["input"], ["logits"], "relu")], "g", info[:1], info[1:]
    )
    opsets = [helper.make_opsetid("", 13)]
    content: bytes = helper.make_model(graph, opset_imports=opsets).SerializeToString()
    return content


@pytest.mark.parametrize(
    ("model", "code", "node", "told"),
    [
        (lambda: b"garbage", "MODEL_DESERIALIZE_FAILED", -1, "Failed to parse the ONNX model"),
        (lambda: tiny_onnx.classifier()[:200], "MODEL_DESERIALIZE_FAILED", -1, "Failed to parse"),
        (
            lambda: tiny_onnx.classifier(opset=15),
            "UNSUPPORTED_GRAPH",
            -1,
            "opset 15 is newer than this parser's 13",
        ),
        (lambda: changed("Det"), "UNSUPPORTED_NODE", 2, "Plugin not found"),
        (lambda: changed("GlobalAveragePool", "foreign"), "UNSUPPORTED_NODE", 2, "Plugin not found"),
        (doubled, "UNSUPPORTED_NODE", 0, "does not take DOUBLE; it takes FP32, FP16, INT8"),
    ],
)
def test_the_parser_says_what_it_refuses(model: Any, code: str, node: int, told: str) -> None:
    trt = fake_tensorrt("8.2.1")
    messages = Messages(trt)
    _, _, parser = network(trt, messages, model())
    error = parser.get_error(0)
    assert (error.code().name, error.node()) == (code, node)
    assert told in error.desc()
    assert told in messages.of("ERROR")[0]


@pytest.mark.parametrize(
    ("shapes", "told"),
    [
        (None, "no optimization profile has been defined"),
        ((BATCHES[1], BATCHES[0], BATCHES[2]), "MIN<=OPT<=MAX"),
        (tuple((batch, 1, 16, 16) for batch in (1, 2, 4)), "missing dimensions in profile"),
    ],
)
def test_a_free_dimension_needs_a_sound_profile(shapes: Any, told: str) -> None:
    built = build(fake_tensorrt("8.2.1"), tiny_onnx.classifier(batch=None), shapes=shapes)
    assert built.plan is None
    assert told in built.errors[0]


@pytest.mark.parametrize("release", RELEASES)
def test_a_context_without_shapes_does_not_execute(release: str) -> None:
    trt, cuda = fake_tensorrt(release), FakeCuda()
    engine = load(trt, build(trt, tiny_onnx.classifier(batch=None), shapes=BATCHES).plan)
    context, stream = engine.create_execution_context(), cuda.create_stream()
    addresses = {name: cuda.allocate(1 << 14) for name in ("input", "logits", "probabilities")}
    assert execute(trt, context, addresses, stream) is False


@pytest.mark.parametrize("release", RELEASES)
def test_a_shape_outside_the_profile_is_refused(release: str) -> None:
    trt = fake_tensorrt(release)
    context = load(
        trt, build(trt, tiny_onnx.classifier(batch=None), shapes=BATCHES).plan
    ).create_execution_context()
    set_shape = context.set_input_shape if hasattr(context, "set_input_shape") else context.set_binding_shape
    place: Any = "input" if hasattr(context, "set_input_shape") else 0
    assert set_shape(place, (4, 3, 16, 16)) is True
    assert set_shape(place, (5, 3, 16, 16)) is False
    assert set_shape(place, (4, 3, 17, 16)) is False


def test_a_buffer_too_small_for_an_output_is_told() -> None:
    trt, cuda = fake_tensorrt("8.2.1"), FakeCuda()
    context = load(trt, build(trt, tiny_onnx.classifier()).plan).create_execution_context()
    stream, sizes = cuda.create_stream(), {"input": 3072, "logits": 16, "probabilities": 12}
    assert execute(trt, context, {name: cuda.allocate(size) for name, size in sizes.items()}, stream)
    with pytest.raises(FakeCudaError, match="overrun: 16 bytes at offset 0 of a buffer of 12"):
        cuda.synchronize(stream)


@pytest.mark.parametrize("stream", ["never made", "destroyed"])
def test_a_stream_that_is_not_there_is_told(stream: str) -> None:
    trt, cuda = fake_tensorrt("10.3.0"), FakeCuda()
    context = load(trt, build(trt, tiny_onnx.classifier()).plan).create_execution_context()
    addresses = {name: cuda.allocate(3072) for name in ("input", "logits", "probabilities")}
    handle = cuda.create_stream() if stream == "destroyed" else 0
    if stream == "destroyed":
        cuda.destroy_stream(handle)
    with pytest.raises(FakeCudaError, match="no live stream"):
        execute(trt, context, addresses, handle)


def test_a_list_of_bindings_too_short_is_told() -> None:
    trt, cuda = fake_tensorrt("8.2.1"), FakeCuda()
    context = load(trt, build(trt, tiny_onnx.classifier()).plan).create_execution_context()
    with pytest.raises(ValueError, match="2 bindings given, the engine has 3"):
        context.execute_async_v2([1, 2], cuda.create_stream())


@pytest.mark.parametrize(
    "change", ["release", "capability", "first byte", "a middle byte", "cut short", "empty"]
)
def test_a_plan_that_is_not_this_machines_gives_none_and_an_error(change: str) -> None:
    plan = bytearray(build(fake_tensorrt("8.5.2"), tiny_onnx.classifier()).plan)
    here = fake_tensorrt(
        "8.6.1" if change == "release" else "8.5.2",
        compute_capability=(8, 7) if change == "capability" else (5, 3),
    )
    if change.endswith("byte"):
        plan[0 if change == "first byte" else len(plan) // 2] ^= 1
    plan = plan[: {"cut short": 600, "empty": 0}.get(change, len(plan))]
    messages = Messages(here)
    assert load(here, plan, messages) is None
    told = {
        "release": "Serialized Engine Version: 8.5.2",
        "capability": "expecting compute 8.7 got compute 5.3",
    }
    assert told.get(change, "Serialization assertion") in messages.of("ERROR")[0]


def test_another_model_of_the_same_capability_is_warned_of() -> None:
    plan = build(fake_tensorrt("8.5.2"), tiny_onnx.classifier()).plan
    here = fake_tensorrt("8.5.2", gpu_name="NVIDIA Tegra X1 (Shield)")
    messages = Messages(here)
    assert load(here, plan, messages) is not None
    assert "different models of devices" in messages.of("WARNING")[0]


@pytest.mark.parametrize(
    ("later", "allowed", "loads"),
    [("10.13.3", True, True), ("10.13.3", False, False), ("11.1.0", True, False)],
)
def test_a_version_compatible_plan_loads_later_where_allowed(later: str, allowed: bool, loads: bool) -> None:
    plan = build(fake_tensorrt("10.3.0"), tiny_onnx.classifier(), ("VERSION_COMPATIBLE",)).plan
    trt = fake_tensorrt(later)
    runtime = trt.Runtime(Messages(trt).logger)
    runtime.engine_host_code_allowed = allowed
    assert (runtime.deserialize_cuda_engine(plan) is not None) is loads


def test_hardware_compatibility_reaches_other_ampere_gpus_and_needs_one() -> None:
    orin = fake_tensorrt("8.6.1", compute_capability=(8, 7))
    level = orin.HardwareCompatibilityLevel.AMPERE_PLUS
    plan = build(orin, tiny_onnx.classifier(), hardware_compatibility_level=level).plan
    assert load(fake_tensorrt("8.6.1", compute_capability=(8, 9)), plan) is not None
    nano = fake_tensorrt("8.6.1")
    level = nano.HardwareCompatibilityLevel.AMPERE_PLUS
    assert build(nano, tiny_onnx.classifier(), hardware_compatibility_level=level).plan is None


@pytest.mark.parametrize("release", WEAK)
def test_the_fp16_flag_makes_fp16s_precision_seen(release: str) -> None:
    trt, batch = fake_tensorrt(release), tiny_onnx.images()
    model = tiny_onnx.classifier()
    logits = run(trt, build(trt, model, ("FP16",)).plan, batch)["logits"]
    np.testing.assert_array_equal(logits, logits.astype(np.float16))
    difference = np.abs(logits - tiny_onnx.run(model, batch)["logits"]).max()
    # Logits near 2.5, weights of order 2: a few units in FP16's last place.
    assert 1e-4 < difference < 0.02


def outputs_of_conv(trt: Any, model: bytes, flags: Tuple[str, ...], keep: bool = False) -> np.ndarray:
    """The convolution's own output, marked as one of the network's."""
    messages = Messages(trt)
    builder, made, _ = network(trt, messages, model, strong=False)
    config = builder.create_builder_config()
    for flag in flags:
        config.set_flag(getattr(trt.BuilderFlag, flag))
    conv = next(layer for layer in made if layer.name == "conv")
    if keep:
        conv.precision = trt.float32
    made.mark_output(conv.get_output(0))
    engine = load(trt, builder.build_serialized_network(made, config))
    return engine._behaviour.runner({"input": tiny_onnx.images()})["conv_out"]


@pytest.mark.parametrize(
    ("half", "flags", "keep", "overflows"),
    [
        (False, (), False, False),
        (False, ("FP16",), False, True),
        (True, (), False, True),
        (False, ("FP16", "OBEY_PRECISION_CONSTRAINTS"), True, False),
        (False, ("FP16",), True, True),
    ],
)
def test_what_exceeds_fp16_overflows_where_fp16_computes_it(
    half: bool, flags: Tuple[str, ...], keep: bool, overflows: bool
) -> None:
    # 30 000 times the weights: each below 65504, their sums above.
    model = tiny_onnx.classifier(scale=3e4, half=half)
    found = outputs_of_conv(fake_tensorrt("8.2.1"), model, flags, keep)
    assert bool(np.isinf(found).any()) is overflows


def test_fp16_between_two_nodes_overflows_although_the_cpu_computes_in_fp32() -> None:
    from onnx import TensorProto, helper, numpy_helper

    factors = {"large": np.array(3e4, np.float16), "small": np.array(1 / 3e4, np.float16)}
    nodes = [
        helper.make_node("Mul", ["input", "large"], ["between"], "up"),
        helper.make_node("Mul", ["between", "small"], ["logits"], "down"),
    ]
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT16, [1]) for name in ("input", "logits")]
    constants = [numpy_helper.from_array(value, name) for name, value in factors.items()]
    graph = helper.make_graph(nodes, "g", info[:1], info[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 7
    trt = fake_tensorrt("11.1.0")
    engine = load(trt, build(trt, model.SerializeToString()).plan)
    answers = [engine._behaviour.runner({"input": np.array([value])})["logits"][0] for value in (1.0, 3.0)]
    assert np.isfinite(answers).tolist() == [True, False]


@pytest.mark.parametrize("release", STRONG)
def test_a_strongly_typed_network_takes_no_precision_flag(release: str) -> None:
    trt, model = fake_tensorrt(release), tiny_onnx.classifier(half=True)
    assert read_plan(bytes(build(trt, model, strong=True).plan)).precision == "typed"
    if release in WEAK:
        built = build(trt, model, ("FP16",), strong=True)
        assert built.plan is None
        assert "strongly typed" in built.errors[0]


@pytest.mark.parametrize("release", RELEASES)
def test_quantised_graphs_need_the_int8_flag_where_there_is_one(release: str) -> None:
    trt, model, batch = fake_tensorrt(release), tiny_onnx.classifier(quantized=True), tiny_onnx.images()
    plain = build(trt, model)
    if release in WEAK:
        assert plain.plan is None
        assert "int8 is not configured" in plain.errors[0]
        plain = build(trt, model, ("INT8",))
    answers, expected = run(trt, plain.plan, batch), tiny_onnx.run(model, batch)
    # Rounding to INT8 may fall to the other side where fused and unfused sums differ.
    np.testing.assert_allclose(answers["logits"], expected["logits"], atol=0.02)


def test_int8_without_scales_builds_nothing() -> None:
    built = build(fake_tensorrt("8.2.1"), tiny_onnx.classifier(), ("INT8",))
    assert built.plan is None
    assert "no scaling factors" in built.errors[0]


def test_asymmetric_quantisation_is_refused() -> None:
    model = onnx.load_model_from_string(tiny_onnx.classifier(quantized=True))
    zero = next(one for one in model.graph.initializer if one.name == "zero")
    zero.CopyFrom(onnx.numpy_helper.from_array(np.array(3, np.int8), "zero"))
    trt = fake_tensorrt("8.6.1")
    _, _, parser = network(trt, Messages(trt), model.SerializeToString())
    assert "symmetric" in parser.get_error(0).desc()


def test_a_workspace_that_does_not_suffice_is_told_both_ways() -> None:
    for release in ("8.2.1", "10.3.0"):
        trt = fake_tensorrt(release, workspace_needed=64 << 20)
        messages = Messages(trt)
        builder, made, _ = network(trt, messages, tiny_onnx.classifier())
        for megabytes, builds in ((32, False), (64, True)):
            config = builder.create_builder_config()
            if hasattr(config, "max_workspace_size"):
                config.max_workspace_size = megabytes << 20
            else:
                config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, megabytes << 20)
            assert (builder.build_serialized_network(made, config) is not None) is builds
        assert "Could not find any implementation for node" in messages.of("ERROR")[0]


def test_a_timing_cache_learns_and_is_bound_to_release_and_gpu() -> None:
    trt = fake_tensorrt("8.2.1")
    builder, made, _ = network(trt, Messages(trt), tiny_onnx.classifier())
    config = builder.create_builder_config()
    assert config.set_timing_cache(config.create_timing_cache(b""), False)
    assert builder.build_serialized_network(made, config) is not None
    kept = bytes(config.get_timing_cache().serialize())
    assert len(json.loads(kept.decode())["entries"]) == 1

    for other, ignore, taken in (
        (fake_tensorrt("8.2.1"), False, True),
        (fake_tensorrt("8.2.1", gpu_name="Orin"), False, False),
        (fake_tensorrt("8.2.1", gpu_name="Orin"), True, True),
        (fake_tensorrt("8.5.2"), True, False),
    ):
        config = other.Builder(Messages(other).logger).create_builder_config()
        assert config.set_timing_cache(config.create_timing_cache(kept), ignore) is taken


def test_a_damaged_timing_cache_is_an_empty_one_with_a_warning() -> None:
    trt = fake_tensorrt("10.3.0")
    messages = Messages(trt)
    config = trt.Builder(messages.logger).create_builder_config()
    assert config.set_timing_cache(config.create_timing_cache(b"\x00damaged"), False)
    assert "Returning an empty timing cache" in messages.of("WARNING")[0]


@pytest.mark.parametrize("release", RELEASES)
def test_the_inspector_says_as_much_as_the_build_kept(release: str) -> None:
    trt = fake_tensorrt(release)
    for verbosity in (trt.ProfilingVerbosity.LAYER_NAMES_ONLY, trt.ProfilingVerbosity.DETAILED):
        engine = load(trt, build(trt, tiny_onnx.classifier(), profiling_verbosity=verbosity).plan)
        text = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
        first = json.loads(text)["Layers"][0]
        detailed = verbosity == trt.ProfilingVerbosity.DETAILED
        assert (first["Name"] if detailed else first) == "conv"


@pytest.mark.parametrize(("emits", "at_once"), [(True, 6), (False, 0)])
def test_a_profiler_gets_each_layer_at_once_or_when_asked(emits: bool, at_once: int) -> None:
    trt, cuda, told = fake_tensorrt("8.6.1"), FakeCuda(), []

    class Profiler(trt.IProfiler):  # type: ignore[misc]
        def report_layer_time(self, layer_name: str, ms: float) -> None:
            told.append(layer_name)

    context = load(trt, build(trt, tiny_onnx.classifier()).plan).create_execution_context()
    context.profiler, context.enqueue_emits_profile = Profiler(), emits
    addresses = {name: cuda.allocate(3072) for name in ("input", "logits", "probabilities")}
    assert execute(trt, context, addresses, cuda.create_stream())
    assert len(told) == at_once
    context.report_to_profiler()
    assert told[-6:] == ["conv", "relu6", "pool", "flatten", "dense", "softmax"]


@pytest.mark.parametrize("fault", ["says no", "raises"])
def test_a_progress_monitor_can_end_the_build(fault: str, capfd: Any) -> None:
    trt, phases = fake_tensorrt("10.3.0"), []

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def phase_start(self, phase_name: str, parent_phase: Optional[str], num_steps: int) -> None:
            phases.append(num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if fault == "raises":
                raise KeyError("mine")
            return step < 2

        def phase_finish(self, phase_name: str) -> None:
            phases.append(-1)

    built = build(trt, tiny_onnx.classifier(), progress_monitor=Monitor())
    assert built.plan is None
    assert phases == [6, -1]
    assert ("Exception caught in step_complete(): 'mine'" in capfd.readouterr().err) is (fault == "raises")


@pytest.mark.parametrize(
    ("cores", "flags", "told"),
    [
        (0, ("FP16", "GPU_FALLBACK"), "DLA core -1 of 0"),
        (2, ("GPU_FALLBACK",), "supports only FP16 and Int8"),
        (2, ("FP16",), "GPU fallback is not enabled"),
        (2, ("FP16", "GPU_FALLBACK"), None),
    ],
)
def test_a_dla_must_be_there_and_takes_what_it_can(
    cores: int, flags: Tuple[str, ...], told: Optional[str]
) -> None:
    trt = fake_tensorrt("8.5.2", dla_cores=cores)
    built = build(trt, tiny_onnx.classifier(), flags, default_device_type=trt.DeviceType.DLA, DLA_core=0)
    assert (built.plan is None) is (told is not None)
    assert told is None or told in built.errors[0]


def test_a_build_may_fail_as_the_settings_say() -> None:
    built = build(fake_tensorrt("8.2.1", build_fails=True), tiny_onnx.classifier())
    assert built.plan is None
    assert "enginePtr != nullptr" in built.errors[0]


def test_a_context_or_an_execution_may_fail_as_the_settings_say() -> None:
    trt, cuda = fake_tensorrt("10.3.0"), FakeCuda()
    engine = load(trt, build(trt, tiny_onnx.classifier()).plan)
    context = engine.create_execution_context()
    trt.settings.context_fails = trt.settings.execute_fails = True
    assert engine.create_execution_context() is None
    addresses = {name: cuda.allocate(3072) for name in ("input", "logits", "probabilities")}
    assert execute(trt, context, addresses, cuda.create_stream()) is False


def test_an_inference_takes_the_time_that_the_settings_give_its_precision() -> None:
    trt = fake_tensorrt("8.2.1", latency_ms={"fp32": 19.5, "fp16": 17.75})
    clocks = []
    for flags in ((), ("FP16",)):
        cuda = FakeCuda()
        cuda.copy_ms = 0.0
        run(trt, build(trt, tiny_onnx.classifier(), flags).plan, tiny_onnx.images(), cuda)
        clocks.append(cuda.clock_ms)
    assert clocks == [19.5, 17.75]


def test_an_engine_runs_on_the_memory_of_the_c_stub(tmp_path: Any) -> None:
    cudart = ctypes.CDLL(build_stub(tmp_path))
    trt, batch, model = fake_tensorrt("10.3.0"), tiny_onnx.images(), tiny_onnx.classifier()
    context = load(trt, build(trt, model).plan).create_execution_context()
    addresses = {}
    for name, size in (("input", batch.nbytes), ("logits", 16), ("probabilities", 16)):
        at = ctypes.c_void_p()
        assert cudart.cudaMalloc(ctypes.byref(at), ctypes.c_size_t(size)) == 0
        addresses[name] = int(at.value or 0)
    ctypes.memmove(addresses["input"], batch.ctypes.data, batch.nbytes)
    assert execute(trt, context, addresses, 0)
    logits = np.frombuffer((ctypes.c_char * 16).from_address(addresses["logits"]), np.float32)
    # FP32's rounding, fused and unfused.
    np.testing.assert_allclose(logits, tiny_onnx.run(model, batch)["logits"][0], rtol=1e-5, atol=1e-6)


CHILD = """
import sys, tensorrt, tiny_onnx
logger = tensorrt.Logger(tensorrt.Logger.INFO)
builder = tensorrt.Builder(logger)
network = builder.create_network(1 << int(tensorrt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH))
assert tensorrt.OnnxParser(network, logger).parse(tiny_onnx.classifier())
print(tensorrt.__version__, flush=True)
builder.build_serialized_network(network, builder.create_builder_config())
"""


@pytest.mark.parametrize(("kill", "code"), [(False, 0), (True, -signal.SIGKILL)])
def test_a_child_process_gets_the_fake_and_may_be_killed(kill: bool, code: int, tmp_path: Any) -> None:
    write_site(tmp_path, "8.2.1", kill_build=kill)
    environment = dict(os.environ, PYTHONPATH=str(tmp_path))
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    answer, told = child.communicate()
    assert (child.returncode, answer) == (code, "8.2.1\n"), told
    assert "Detected 1 inputs and 2 output network tensors." in told


@pytest.mark.parametrize("kind", ["half", "quantized", "plain"])
def test_the_tiny_classifier_is_as_a_bundle_holds_it(kind: str) -> None:
    options: Dict[str, Any] = {kind: True} if kind != "plain" else {}
    model = onnx.load_model_from_string(tiny_onnx.classifier(batch=None, **options))
    assert (model.ir_version, model.opset_import[0].version) == (7, 13)
    assert [one.name for one in list(model.graph.input) + list(model.graph.output)] == [
        "input",
        "logits",
        "probabilities",
    ]
    answers = tiny_onnx.run(model.SerializeToString(), tiny_onnx.images(2))
    np.testing.assert_allclose(answers["probabilities"].sum(axis=1), 1, rtol=1e-5)
    # 0.05: what FP16 and INT8 may change, of logits up to 7
    exact = tiny_onnx.run(tiny_onnx.classifier(batch=None), tiny_onnx.images(2))["logits"]
    np.testing.assert_allclose(answers["logits"], exact, atol=0.05)
