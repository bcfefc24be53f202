"""The trtexec commands: each release is told what it has, and nothing that it has not."""

import shlex
from typing import Any, List

import pytest

from legoclf.benchmarks.device.trtexec import (
    building_command,
    left_out,
    parse_release,
    timing_command,
)
from legoclf.convert.engine.build import BuildConfig

SIZE = (224, 192)
FP32 = BuildConfig()


def build(version: str, wishes: Any = FP32, onnx: str = "model.onnx", is_dynamic: bool = False) -> List[str]:
    return shlex.split(building_command(onnx, "out.engine", SIZE, wishes, parse_release(version), is_dynamic))


def timing(version: str, batch: int = 1, is_dynamic: bool = False, uses_graph: bool = False) -> List[str]:
    return shlex.split(
        timing_command("a.engine", SIZE, batch, parse_release(version), is_dynamic, uses_graph)
    )


@pytest.mark.parametrize(
    ("text", "is_rtx", "version"),
    [("8.2.1.8", False, (8, 2)), ("10.16.0", False, (10, 16)), ("RTX 1.7.1.116", True, (1, 7))],
)
def test_a_release_is_read_as_an_engines_identity_has_it(text: str, is_rtx: bool, version: Any) -> None:
    assert parse_release(text) == (is_rtx, version)


def test_what_is_no_release_is_refused() -> None:
    with pytest.raises(ValueError, match="no version of TensorRT: ''"):
        parse_release("")


@pytest.mark.parametrize(
    ("version", "workspace", "build_only"),
    [
        ("8.2.1", "--workspace=64", "--buildOnly"),
        ("8.4.1", "--memPoolSize=workspace:64", "--buildOnly"),
        ("8.5.2", "--memPoolSize=workspace:64", "--buildOnly"),
        ("8.6.1", "--memPoolSize=workspace:64", "--skipInference"),
        ("10.3.0", "--memPoolSize=workspace:64", "--skipInference"),
        ("11.1.0", "--memPoolSize=workspace:64", "--skipInference"),
    ],
)
def test_memory_and_the_end_after_building_by_release(version: str, workspace: str, build_only: str) -> None:
    words = build(version, BuildConfig(workspace_mib=64))
    assert words == ["trtexec", "--onnx=model.onnx", "--saveEngine=out.engine", workspace, build_only]


@pytest.mark.parametrize(
    ("version", "onnx", "precision", "flags"),
    [
        ("8.2.1", "model.onnx", "fp32", []),
        ("8.2.1", "model.onnx", "fp16", ["--fp16"]),
        ("8.6.1", "model.fp16.onnx", "fp16", ["--fp16"]),
        ("8.6.1", "model.int8.onnx", "int8", ["--int8"]),
        ("10.3.0", "model.onnx", "fp16", ["--fp16"]),
        ("10.3.0", "model.fp16.onnx", "fp16", ["--stronglyTyped"]),
        ("11.1.0", "model.fp16.onnx", "fp16", []),
        ("11.1.0", "model.int8.onnx", "int8", []),
        ("RTX 1.7.1", "model.fp16.onnx", "fp16", []),
    ],
)
def test_precisions_are_flags_until_the_graph_alone_decides(
    version: str, onnx: str, precision: str, flags: List[str]
) -> None:
    words = build(version, BuildConfig(precision=precision), onnx)
    assert [word for word in words if word in ("--fp16", "--int8", "--stronglyTyped")] == flags


def test_a_graph_of_any_batch_is_told_the_three_shapes_of_the_profile() -> None:
    words = build("10.3.0", BuildConfig(batch=(1, 2, 8)), is_dynamic=True)
    assert [word for word in words if "Shapes" in word] == [
        "--minShapes=input:1x3x224x192",
        "--optShapes=input:2x3x224x192",
        "--maxShapes=input:8x3x224x192",
    ]


def test_a_graph_of_one_batch_is_told_no_shape() -> None:
    assert not [word for word in build("10.3.0") + timing("10.3.0") if "hapes" in word]


def test_layers_that_stay_fp32_are_named_where_trtexec_can_keep_them() -> None:
    wishes = BuildConfig(precision="fp16", keep_fp32=("Conv_4", "Clip_5"))
    assert "--layerPrecisions=Conv_4:fp32,Clip_5:fp32" in build("8.4.1", wishes)
    assert "--precisionConstraints=obey" in build("8.4.1", wishes)
    assert left_out(wishes, parse_release("8.4.1")) == ""
    assert not [word for word in build("8.2.1", wishes) if "recision" in word]
    assert "Conv_4, Clip_5" in left_out(wishes, parse_release("8.2.1"))


def test_every_other_wish_has_its_flag() -> None:
    wishes = BuildConfig(
        precision="fp16",
        optimization_level=5,
        dla_core=1,
        version_compatible=True,
        hardware_compatible=True,
    )
    words = build("10.3.0", wishes)
    assert {
        "--builderOptimizationLevel=5",
        "--useDLACore=1",
        "--allowGPUFallback",
        "--versionCompatible",
        "--hardwareCompatibilityLevel=ampere+",
    } <= set(words)


def test_an_engine_is_timed_at_the_batch_that_was_measured() -> None:
    words = timing("8.5.2", batch=4, is_dynamic=True, uses_graph=True)
    assert words[:3] == ["trtexec", "--loadEngine=a.engine", "--shapes=input:4x3x224x192"]
    assert "--useCudaGraph" in words
    assert "--useCudaGraph" not in timing("8.5.2", uses_graph=False)


@pytest.mark.parametrize(
    ("version", "percentiles"),
    [("8.2.1", "--percentile=99"), ("8.4.1", "--percentile=99"), ("8.5.2", "--percentile=50,90,99")],
)
def test_one_percentile_until_a_release_takes_several(version: str, percentiles: str) -> None:
    assert percentiles in timing(version)


def test_tensorrt_for_rtx_has_a_program_of_its_own() -> None:
    assert timing("RTX 1.7.1")[0] == "tensorrt_rtx"
    assert "--useCudaGraph" not in timing("RTX 1.7.1", uses_graph=True)


def test_a_name_with_a_blank_is_quoted_for_the_shell() -> None:
    line = building_command("my model.onnx", "x.engine", SIZE, FP32, parse_release("10.3.0"), False)
    assert "'--onnx=my model.onnx'" in line
