"""The engine builder: every release end to end; every wish granted, noted or refused, none silently."""

import contextlib
import os

import fake_cuda
import fake_tensorrt
import numpy as np
import pytest
import tiny_onnx

onnx = pytest.importorskip("onnx", reason="the models are made with the onnx package")
pytest.importorskip("onnxruntime", reason="the fake TensorRT runs engines in ONNX Runtime")

from legoclf.convert.engine.build import BuildConfig, build_engine, needs_typed_fp16  # noqa: E402
from legoclf.convert.engine.layers import layer_table  # noqa: E402
from legoclf.convert.engine.onnx_reader import summarise  # noqa: E402
from legoclf.errors import LegoclfError, UsageError  # noqa: E402
from legoclf.jetson.tensorrt_api import TensorRTApi  # noqa: E402
from legoclf.jetson.tensorrt_session import TensorRTSession  # noqa: E402

#: A device that grants all that a release can: an Orin NX.
ORIN = {"gpu_name": "Orin", "compute_capability": (8, 7), "dla_cores": 2, "fast_int8": True}

FLAGS = ["8.2.1", "8.5.2", "8.6.1", "10.3.0", "10.13.3", "10.16.0"]


def api_of(release, **settings):
    return TensorRTApi(fake_tensorrt.fake_tensorrt(release, **settings))


@pytest.fixture(params=fake_tensorrt.RELEASES)
def api(request):
    return api_of(request.param)


def build(api, model=None, **wishes):
    return build_engine(api, model or tiny_onnx.classifier(), BuildConfig(**wishes), [].append)


def plan_of(api, model=None, **wishes):
    """What the fake's plan says of how it was built."""
    return fake_tensorrt.read_plan(build(api, model, **wishes).plan)


# Precision


def test_fp32_has_no_lower_precision(api):
    plan = plan_of(api)
    assert not {"FP16", "INT8"} & set(plan.flags)
    assert plan.dtypes == {"input": "FLOAT", "logits": "FLOAT", "probabilities": "FLOAT"}


def test_fp16_is_by_flag_where_there_is_one():
    for release in FLAGS:
        api = api_of(release)
        assert not needs_typed_fp16(api)
        plan = plan_of(api, precision="fp16")
        assert "FP16" in plan.flags
        assert plan.precision == "fp16"


def test_fp16_is_by_the_onnx_where_the_flag_is_gone():
    api = api_of("11.1.0")
    assert needs_typed_fp16(api)
    assert plan_of(api, tiny_onnx.classifier(half=True), precision="fp16").precision == "typed"


def test_fp16_from_fp32_is_refused_where_the_flag_is_gone():
    expected = r"typed for FP16 here, and this one is typed for FP32: build from model\.fp16\.onnx"
    with pytest.raises(LegoclfError, match=expected):
        build(api_of("11.1.0"), precision="fp16")


def test_a_typed_onnx_keeps_its_types_where_a_release_can():
    model = tiny_onnx.classifier(half=True)
    typed = build(api_of("10.3.0"), model, precision="fp16")
    assert fake_tensorrt.read_plan(typed.plan).precision == "typed"
    assert typed.notes == []
    loose = build(api_of("8.6.1"), model, precision="fp16")
    assert "FP16" in fake_tensorrt.read_plan(loose.plan).flags
    assert loose.notes == ["TensorRT 8.6.1 may compute in FP16 what the ONNX model keeps in FP32"]


def test_int8_takes_a_q_dq_onnx(api):
    api.trt.settings.fast_int8 = True
    plan = plan_of(api, tiny_onnx.classifier(quantized=True), precision="int8")
    assert ("INT8" in plan.flags) is api.has_precision_flags
    assert "FP16" not in plan.flags


def test_int8_of_a_half_typed_onnx_computes_the_rest_in_fp16():
    plan = plan_of(api_of("8.5.2"), tiny_onnx.classifier(quantized=True, half=True), precision="int8")
    assert {"FP16", "INT8"} <= set(plan.flags)


@pytest.mark.parametrize(
    ("precision", "made", "expected"),
    [
        ("fp32", {"half": True}, "FP32 here, and this one is typed for FP16: build from model.onnx"),
        ("fp32", {"quantized": True}, "typed for INT8: build from model.onnx"),
        ("int8", {}, "typed for FP32: build from model.int8.onnx"),
        ("fp16", {"quantized": True}, "typed for INT8: build from model.fp16.onnx"),
    ],
)
def test_an_onnx_of_another_precision_is_refused_with_the_file_to_take(api, precision, made, expected):
    with pytest.raises(LegoclfError, match=expected):
        build(api, tiny_onnx.classifier(**made), precision=precision)


def test_a_precision_the_gpu_is_slow_in_is_noted():
    api = api_of("8.2.1", fast_fp16=False)
    assert build(api, precision="fp16").notes == ["this GPU has no fast FP16: expect no gain from it"]
    nano = api_of("8.2.1")
    notes = build(nano, tiny_onnx.classifier(quantized=True), precision="int8").notes
    assert notes == ["this GPU has no fast INT8: expect no gain from it"]


@pytest.mark.parametrize("release", FLAGS)
def test_a_dense_layer_kept_in_fp32_is_so_with_its_bias(release):
    """The parser makes several layers of it, and names one of them after the node."""
    wishes = {"precision": "fp16", "keep_fp32": ("dense",)}
    built = build(api_of(release), **wishes)
    assert built.notes == []
    assert fake_tensorrt.read_plan(built.plan).fp32_layers == ["dense"]


# Workspace, batch


def test_the_workspace_is_limited_the_new_way_and_the_old(api):
    assert plan_of(api, workspace_mib=96).workspace == 96 << 20


def test_layers_have_details_for_the_inspector(api):
    assert plan_of(api).profiling_verbosity in ("DETAILED", "VERBOSE")


def test_a_dynamic_batch_has_its_profile(api):
    plan = plan_of(api, tiny_onnx.classifier(batch=None), batch=(1, 4, 16))
    image = [3, tiny_onnx.SIZE, tiny_onnx.SIZE]
    assert plan.profiles == [{"input": [[1, *image], [4, *image], [16, *image]]}]


def test_a_batch_that_is_built_in_needs_no_profile(api):
    assert plan_of(api, tiny_onnx.classifier(batch=4), batch=(4, 4, 4)).profiles == []


def test_another_batch_than_the_built_in_is_refused():
    with pytest.raises(LegoclfError, match=r"batch 1 built in, and 1\.\.8 is asked for.*dynamic:8"):
        build(api_of("8.2.1"), batch=(1, 2, 8))


def test_a_free_image_size_is_refused():
    model = onnx.load_from_string(tiny_onnx.classifier())
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    with pytest.raises(LegoclfError, match=r"\[1, 3, -1, 16\]: expected a fixed image size"):
        build(api_of("8.2.1"), model.SerializeToString())


# Wishes


def test_the_optimisation_level_is_set_or_noted(api):
    built = build(api, optimization_level=1)
    if api.has_optimization_level:
        assert fake_tensorrt.read_plan(built.plan).optimization_level == 1
        assert built.notes == []
    else:
        assert built.notes == [api.name + " has no optimisation level: it builds with its own"]


@pytest.mark.parametrize(
    ("wish", "granted"),
    [
        ("version_compatible", "has_version_compatibility"),
        ("hardware_compatible", "has_hardware_compatibility"),
    ],
)
def test_compatibility_is_granted_or_refused(api, wish, granted):
    api.trt.settings.compute_capability = (8, 7)
    if getattr(api, granted):
        plan = plan_of(api, **{wish: True})
        assert ("VERSION_COMPATIBLE" in plan.flags) is (wish == "version_compatible")
        assert (plan.hardware_compatibility == "AMPERE_PLUS") is (wish == "hardware_compatible")
    else:
        with pytest.raises(LegoclfError, match=api.name + " cannot build .*-compatible engines"):
            build(api, **{wish: True})


def test_a_dla_takes_what_it_can_and_the_gpu_the_rest(api):
    api.trt.settings.dla_cores = 2
    model = tiny_onnx.classifier(half=needs_typed_fp16(api))
    plan = plan_of(api, model, precision="fp16", dla_core=1)
    assert plan.dla_core == 1
    assert "GPU_FALLBACK" in plan.flags


@pytest.mark.parametrize(("cores", "core"), [(0, 0), (2, 2), (2, -1)])
def test_a_dla_core_that_is_not_there_is_refused(cores, core):
    api = api_of("8.5.2", dla_cores=cores)
    with pytest.raises(
        LegoclfError, match="DLA core {} is asked for; TensorRT 8.5.2 finds {}".format(core, cores)
    ):
        build(api, precision="fp16", dla_core=core)


def test_building_for_another_gpu_is_refused_where_only_tensorrt_for_rtx_can(api):
    with pytest.raises(LegoclfError, match="cannot build for compute capability 8.9: build on the device"):
        build(api, compute_capability="8.9")


@pytest.mark.parametrize(
    "wishes",
    [
        {"precision": "fp8"},
        {"workspace_mib": 0},
        {"batch": (0, 1, 1)},
        {"batch": (2, 1, 4)},
        {"batch": (1, 5, 4)},
        {"optimization_level": 6},
        {"dla_core": 0},
    ],
)
def test_wishes_that_no_release_grants_are_wrong_calls(wishes):
    with pytest.raises(UsageError, match="expected|add --precision"):
        build(api_of("10.3.0", **ORIN), **wishes)


# Timing cache


@pytest.fixture
def cache(tmp_path):
    return str(tmp_path / "of" / "this" / "user" / "timing.cache")


def entries(path):
    with open(path, encoding="utf-8") as file:
        return file.read().count('"') // 2


def test_the_timing_cache_is_kept_and_grows(api, cache):
    assert build(api, timing_cache=cache).notes == []
    first = entries(cache)
    assert build(api, timing_cache=cache).notes == []
    assert entries(cache) == first
    assert build(api, tiny_onnx.classifier(seed=6), timing_cache=cache).notes == []
    assert entries(cache) == first + 1
    assert os.listdir(os.path.dirname(cache)) == ["timing.cache"]


@pytest.mark.parametrize("damage", [b"no cache", b"\0" * 500])
def test_a_damaged_timing_cache_is_noted_and_begun_anew(api, cache, damage):
    os.makedirs(os.path.dirname(cache))
    with open(cache, "wb") as file:
        file.write(damage)
    (note,) = build(api, timing_cache=cache).notes
    assert note.startswith("the timing cache {} is not used (it is damaged".format(cache))
    assert build(api, timing_cache=cache).notes == []


def test_a_timing_cache_of_another_gpu_is_noted_and_begun_anew(cache):
    build(api_of("8.5.2", **ORIN), timing_cache=cache)
    (note,) = build(api_of("8.5.2"), timing_cache=cache).notes
    assert "of another TensorRT or GPU" in note
    assert build(api_of("8.5.2"), timing_cache=cache).notes == []


def test_a_first_timing_cache_is_begun_without_a_note(cache, monkeypatch):
    api = api_of("8.2.1")
    create = api.trt.IBuilderConfig.create_timing_cache

    def warning(config, content):
        api.log.logger.log(api.trt.ILogger.Severity.WARNING, "an empty timing cache")
        return create(config, content)

    monkeypatch.setattr(api.trt.IBuilderConfig, "create_timing_cache", warning)
    assert build(api, timing_cache=cache).notes == []


def test_a_timing_cache_that_cannot_be_replaced_leaves_nothing_beside_it(tmp_path):
    (tmp_path / "timing.cache").mkdir()
    notes = build(api_of("8.2.1"), timing_cache=str(tmp_path / "timing.cache")).notes
    assert "cannot be written" in notes[-1]
    assert os.listdir(str(tmp_path)) == ["timing.cache"]


def test_a_timing_cache_that_cannot_be_kept_is_noted(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    built = build(api_of("8.2.1"), timing_cache=str(tmp_path / "file" / "timing.cache"))
    assert built.plan
    assert [note.split(":")[0].split(" (")[0] for note in built.notes] == [
        "the timing cache {} is not used".format(tmp_path / "file" / "timing.cache"),
        "the timing cache {} cannot be written".format(tmp_path / "file" / "timing.cache"),
    ]


# What fails


def test_a_foreign_operator_is_named_with_its_node(api):
    model = onnx.load_from_string(tiny_onnx.classifier())
    model.graph.node[1].op_type, model.graph.node[1].domain = "SparkleMax", "org.example"
    model.opset_import.append(onnx.helper.make_opsetid("org.example", 1))
    with pytest.raises(LegoclfError) as caught:
        build(api, model.SerializeToString())
    assert "node 'relu6' (SparkleMax): creator && \"Plugin not found" in str(caught.value)
    assert "legoclf convert --target" in str(caught.value)


def test_a_newer_opset_than_the_parser_knows_is_told():
    with pytest.raises(LegoclfError, match="TensorRT 8.2.1 does not take the ONNX model: ONNX opset 17"):
        build(api_of("8.2.1"), tiny_onnx.classifier(opset=17))


@pytest.mark.parametrize("length", [0, 1, 40, 400, -1])
def test_an_onnx_that_is_cut_short_is_refused(api, length):
    with pytest.raises(LegoclfError, match="the ONNX model (is damaged|has no nodes)"):
        build(api, tiny_onnx.classifier()[:length] or b"\0")


def test_a_build_that_fails_has_nvidias_first_reason(api, monkeypatch):
    # An error of the parser's that it got over is not the reason.
    parse = api.trt.OnnxParser.parse

    def grumbling(parser, model):
        api.log.logger.log(api.trt.ILogger.Severity.ERROR, "tried another way")
        return parse(parser, model)

    monkeypatch.setattr(api.trt.OnnxParser, "parse", grumbling)
    api.trt.settings.workspace_needed = 512 << 20
    with pytest.raises(LegoclfError, match="Could not find any implementation for node conv.*--workspace"):
        build(api)


def test_nvidias_warnings_become_notes(monkeypatch):
    api = api_of("8.2.1")
    severity = api.trt.ILogger.Severity
    parse = api.trt.OnnxParser.parse

    def warning(parser, model):
        for line in range(7):
            api.log.logger.log(severity.WARNING, "INT64 weights {}".format(line))
        return parse(parser, model)

    monkeypatch.setattr(api.trt.OnnxParser, "parse", warning)
    notes = build(api).notes
    assert notes[0] == "TensorRT 8.2.1 warns: INT64 weights 0"
    assert notes[-1] == "2 warnings more: --verbose shows them"
    assert len(notes) == 6


def test_nvidias_log_is_passed_on_only_when_verbose(api):
    shown = []
    for verbose in (False, True):
        build_engine(api, tiny_onnx.classifier(), BuildConfig(verbose=verbose), shown.append)
        assert bool(shown) is verbose
        assert api.log.show is None
    assert "TensorRT verbose: Original: 6 layers" in shown


def test_progress_is_told_where_the_release_tells_it(api):
    steps = []
    build_engine(api, tiny_onnx.classifier(), BuildConfig(), [].append, lambda *step: steps.append(step))
    assert steps == ([("Building Engine", done, 6) for done in range(1, 7)] if api.has_progress else [])


# The ONNX reader against the onnx package


@pytest.mark.parametrize("made", [{}, {"half": True}, {"quantized": True}, {"batch": None, "opset": 17}])
def test_the_reader_finds_what_the_onnx_package_finds(made):
    model = tiny_onnx.classifier(**made)
    summary = summarise(model)
    nodes = onnx.load_from_string(model).graph.node
    assert summary.nodes == [(node.name, node.op_type) for node in nodes]
    assert summary.outputs == [(node.name, list(node.output)) for node in nodes]
    assert summary.half_weights is made.get("half", False)
    assert summary.quantised is made.get("quantized", False)


def test_damaged_bytes_never_escape_as_another_error():
    model = tiny_onnx.classifier()
    rng = np.random.RandomState(0)
    for _ in range(300):
        damaged = bytearray(model)
        for at in rng.randint(0, len(model), 3):
            damaged[at] = rng.randint(256)
        with contextlib.suppress(LegoclfError):
            summarise(bytes(damaged))


# Every member that is used is needed


EXPLICIT_BATCH = "NetworkDefinitionCreationFlag.EXPLICIT_BATCH"

#: Members without which the work is done another way that the release has too, and why that is right.
REPLACED = {
    "init_libnvinfer_plugins": "lean runtimes have none; the tiny network uses no plugin",
    EXPLICIT_BATCH: "from 10 on it is accepted and means nothing",
    "ParserError.node_name": "the node's index finds its name in the ONNX, as before 10",
    "Dims.__len__": "tuple() asks for it only to reserve room",
}


def whole_path(trt, folder):
    """Everything the adapter can do, on a device that grants it all: what came of it."""
    api = TensorRTApi(trt)
    cuda = fake_cuda.FakeCuda()
    half = needs_typed_fp16(api)
    steps = []
    cache = os.path.join(str(folder), "timing.cache")
    wishes = BuildConfig(
        precision="fp16",
        batch=(1, 2, 4),
        optimization_level=2,
        dla_core=1,
        keep_fp32=() if half else ("dense",),
        version_compatible=api.has_version_compatibility,
        hardware_compatible=api.has_hardware_compatibility,
        timing_cache=cache,
    )
    built = [
        build_engine(
            api,
            tiny_onnx.classifier(batch=None, half=half),
            wishes,
            [].append,
            lambda phase, done, total: steps.append(done),
        ),
        build(api, tiny_onnx.classifier(quantized=True), precision="int8"),
    ]
    host_code = wishes.version_compatible
    with TensorRTSession(api, built[0].plan, cuda, dla_core=1, host_code=host_code) as session:
        found, times = session.run_timed(tiny_onnx.images(3))
        layers = layer_table(session, tiny_onnx.images(1), runs=1)
    with TensorRTSession(api, built[1].plan, cuda) as session:
        shapes = session.batch_sizes
    try:
        build(api, foreign())
        refusal = ""
    except LegoclfError as error:
        refusal = str(error)
    cuda.assert_nothing_leaked()
    plans = [fake_tensorrt.read_plan(each.plan) for each in built]
    logits = found["logits"].round(3).tolist()
    return (
        [each.notes for each in built],
        plans,
        logits,
        times,
        layers,
        shapes,
        steps,
        refusal,
        os.listdir(str(folder)),
    )


def foreign():
    model = onnx.load_from_string(tiny_onnx.classifier())
    model.graph.node[1].op_type = "SparkleMax"
    return model.SerializeToString()


@pytest.mark.parametrize("release", fake_tensorrt.RELEASES)
def test_no_used_member_can_be_missing_silently(release, tmp_path):
    (tmp_path / "whole").mkdir()
    whole = fake_tensorrt.fake_tensorrt(release, **ORIN)
    expected = whole_path(whole, tmp_path / "whole")
    assert expected[-2].startswith("TensorRT {} does not take the ONNX model: node 'relu6'".format(release))
    assert len(whole.used) > 40
    silent = []
    # The fake makes Dims itself; no code of ours names the class.
    for number, member in enumerate(sorted(whole.used - {"Dims"})):
        folder = tmp_path / str(number)
        folder.mkdir()
        lacking = fake_tensorrt.fake_tensorrt(release, without=[member], **ORIN)
        try:
            if whole_path(lacking, folder) == expected:
                silent.append(member)
        except (LegoclfError, AttributeError, TypeError):
            pass
    replaced = set(REPLACED) - ({EXPLICIT_BATCH} if release.startswith("8.") else set())
    assert [member for member in silent if member not in replaced] == []
