"""The fake TensorRT has what its release has, no more, and refuses what the real bindings refuse."""

import json
import os
from typing import Any, Dict, List, Set

import fake_tensorrt as support
import numpy as np
import pytest
from fake_tensorrt import RELEASES, fake_tensorrt

# The one enum that the real bindings nest in a class.
NESTED = "Severity"

with open(os.path.join(os.path.dirname(support.__file__), "tensorrt_api.json"), encoding="utf-8") as file:
    RECORDED: Dict[str, Any] = json.load(file)["classes"]


def recorded(release: str, name: str) -> Set[str]:
    """The members that the facts list, but for those that Python itself has or that none of ours may call."""
    members = RECORDED[name]["members"].items()
    here = {key for key, entries in members for one in entries if release in one["in"].split()}
    return {key for key in here if not key.startswith("__")}


def names(thing: Any) -> Set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


@pytest.mark.parametrize("release", RELEASES)
def test_a_release_has_the_recorded_classes_and_members(release: str) -> None:
    trt = fake_tensorrt(release)
    for name, entry in RECORDED.items():
        if release not in entry["in"].split():
            assert not hasattr(trt, name), name
        elif entry["kind"] == "class" and name not in ("ILogger", "Logger"):
            assert names(getattr(trt, name)) == recorded(release, name), name
        elif entry["kind"] == "enum" and name != NESTED:
            assert set(getattr(trt, name).__members__) == recorded(release, name), name


@pytest.mark.parametrize(
    ("member", "has"),
    [
        ("ICudaEngine.num_bindings", "8.2.1 8.5.2 8.6.1"),
        ("ICudaEngine.num_io_tensors", "8.5.2 8.6.1 10.3.0 10.13.3 10.16.0 11.1.0"),
        ("IBuilderConfig.max_workspace_size", "8.2.1 8.5.2 8.6.1"),
        ("IBuilderConfig.set_memory_pool_limit", "8.5.2 8.6.1 10.3.0 10.13.3 10.16.0 11.1.0"),
        ("IBuilderConfig.builder_optimization_level", "8.6.1 10.3.0 10.13.3 10.16.0 11.1.0"),
        ("BuilderFlag.FP16", "8.2.1 8.5.2 8.6.1 10.3.0 10.13.3 10.16.0"),
        ("NetworkDefinitionCreationFlag.EXPLICIT_BATCH", "8.2.1 8.5.2 8.6.1 10.3.0 10.13.3 10.16.0"),
        ("NetworkDefinitionCreationFlag.STRONGLY_TYPED", "10.3.0 10.13.3 10.16.0 11.1.0"),
        ("DataType.UINT8", "8.5.2 8.6.1 10.3.0 10.13.3 10.16.0 11.1.0"),
    ],
)
def test_members_come_and_go_when_nvidia_says(member: str, has: str) -> None:
    owner, name = member.split(".")
    found = [one for one in RELEASES if hasattr(getattr(fake_tensorrt(one), owner), name)]
    assert found == has.split()


def make(trt: Any) -> Dict[str, Any]:
    """Objects to misuse, under the names that the expressions below have for them."""
    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
    builder = trt.Builder(logger)
    config, network = builder.create_builder_config(), builder.create_network()
    profile = builder.create_optimization_profile()
    made = {"logger": logger, "builder": builder, "config": config, "network": network, "profile": profile}
    return dict(made, trt=trt, parser=trt.OnnxParser(network, logger), np=np)


MISUSES = [
    ("setattr(config, 'no_such_property', 1)", AttributeError),
    ("setattr(builder, 'num_DLA_cores', 1)", AttributeError),
    ("setattr(network, 'foo', 1)", AttributeError),
    ("config.no_such_method", AttributeError),
    ("trt.no_such_thing", AttributeError),
    ("trt.Severity", AttributeError),
    ("trt.BuilderFlag.NO_SUCH", AttributeError),
    ("config.set_flag(flg=trt.BuilderFlag.TF32)", TypeError),
    ("config.set_flag(trt.BuilderFlag.TF32, 1)", TypeError),
    ("config.set_flag(trt.BuilderFlag.TF32, flag=trt.BuilderFlag.TF32)", TypeError),
    ("config.set_flag()", TypeError),
    ("config.set_flag(6)", TypeError),
    ("config.set_flag(trt.DataType.FLOAT)", TypeError),
    ("builder.create_network(1.0)", TypeError),
    ("builder.create_network(0, 0)", TypeError),
    ("setattr(config, 'DLA_core', 'a')", TypeError),
    ("setattr(config, 'builder_optimization_level', 3.0)", TypeError),
    ("setattr(config, 'profiling_verbosity', 2)", TypeError),
    ("setattr(config, 'progress_monitor', logger)", TypeError),
    ("config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, 1.5)", TypeError),
    ("config.set_memory_pool_limit(0, 1)", TypeError),
    ("profile.set_shape('input', 1, 2, 3)", TypeError),
    ("profile.set_shape('input', (1.5,), (2,), (3,))", TypeError),
    ("parser.parse('text')", TypeError),
    ("parser.parse_from_file(7)", TypeError),
    ("config.create_timing_cache('text')", TypeError),
    ("trt.Builder()", TypeError),
    ("trt.Runtime(1)", TypeError),
    ("trt.Runtime(None)", TypeError),
    ("trt.OnnxParser(network)", TypeError),
    ("trt.IBuilderConfig()", TypeError),
    ("trt.Logger('INFO')", TypeError),
    ("1 << trt.BuilderFlag.TF32", TypeError),
    ("network[99]", IndexError),
    ("trt.Dims((3, 4))[5]", IndexError),
    ("trt.nptype(trt.DataType.BF16)", TypeError),
    ("trt.init_libnvinfer_plugins(logger, 1)", TypeError),
]

MEANT = [
    ("trt.DataType.FLOAT == 0", False),
    ("trt.DataType.FLOAT == trt.DataType(0)", True),
    ("trt.DataType.FLOAT == trt.ProfilingVerbosity(0)", False),
    ("{trt.DataType.HALF: 1}[trt.DataType.HALF]", 1),
    ("1 << int(trt.DataType.INT8)", 4),
    ("trt.DataType.HALF.name", "HALF"),
    ("str(trt.DataType.HALF)", "DataType.HALF"),
    ("repr(trt.DataType.HALF)", "<DataType.HALF: 1>"),
    ("trt.float32.itemsize", 4),
    ("trt.Logger.ERROR == trt.Logger.Severity.ERROR == trt.ILogger.Severity.ERROR", True),
    ("trt.Logger.ERROR < trt.Logger.WARNING", True),
    ("trt.Logger().min_severity", "<Severity.WARNING: 2>"),
    ("trt.Dims((1, 2, 3))[1:]", "(2, 3)"),
    ("list(trt.Dims([3, 4]))", [3, 4]),
    ("trt.Dims([3, 4]) == [3, 4]", True),
    ("trt.volume((2, 3))", 6),
    ("trt.nptype(trt.DataType.HALF)", np.float16),
    ("config.builder_optimization_level", 3),
    ("setattr(config, 'builder_optimization_level', 99) or config.builder_optimization_level", 5),
    ("config.set_flag(flag=trt.BuilderFlag.TF32)", None),
    ("config.get_flag(trt.BuilderFlag.TF32)", True),
    ("config.DLA_core", -1),
    ("setattr(config, 'DLA_core', 0) or config.DLA_core", -1),
    ("setattr(config, 'max_aux_streams', np.int64(2)) or config.max_aux_streams", 2),
    ("config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE)", 64 << 30),
    ("network.num_inputs", 0),
    ("network.get_input(9)", None),
    ("network.builder is builder", True),
    ("builder.logger is logger", True),
    ("bool(profile)", True),
    ("profile.get_shape('none')", []),
    ("profile.set_shape('x', (2,), (1,), (4,)) or bool(profile)", False),
    ("config.add_optimization_profile(profile)", 0),
    ("config.create_timing_cache(b'').serialize().dtype.name", "INT8"),
    ("trt.init_libnvinfer_plugins(logger, '')", True),
]


def real() -> Any:
    """NVIDIA's own bindings, of TensorRT for RTX: they need no GPU for any of this."""
    return pytest.importorskip("tensorrt_rtx_bindings", reason="real bindings to compare with")


def outcome(expression: str, trt: Any) -> Any:
    value = eval(expression, make(trt))
    plain = isinstance(value, (bool, int, str, type, type(None), list))
    return value if plain else repr(value)


@pytest.mark.parametrize(("expression", "error"), MISUSES)
def test_a_misuse_raises_what_pybind11_raises(expression: str, error: Any) -> None:
    with pytest.raises(error):
        outcome(expression, fake_tensorrt("11.1.0"))


@pytest.mark.parametrize(("expression", "error"), MISUSES)
def test_the_real_bindings_raise_the_same(expression: str, error: Any) -> None:
    with pytest.raises(error):
        outcome(expression, real())


@pytest.mark.parametrize(("expression", "value"), MEANT)
def test_values_are_those_of_the_bindings(expression: str, value: Any) -> None:
    assert outcome(expression, fake_tensorrt("11.1.0")) == value


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("expression", "value"), MEANT)
def test_the_real_bindings_give_the_same_values(expression: str, value: Any) -> None:
    assert outcome(expression, real()) == value


@pytest.mark.parametrize("which", ["fake", "real"])
def test_an_interface_must_be_initialised_and_overridden(which: str, capfd: Any) -> None:
    trt = fake_tensorrt("11.1.0") if which == "fake" else real()

    class Forgets(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            pass

    class Lacks(trt.IProgressMonitor):  # type: ignore[misc]
        pass

    with pytest.raises(TypeError, match="must be called when overriding __init__"):
        Forgets()
    assert Lacks().step_complete("build", 1) is False
    told = 'Exception caught in step_complete(): Tried to call pure virtual function "IProgressMonitor::'
    assert told in capfd.readouterr().err


def test_members_left_out_are_gone() -> None:
    trt = fake_tensorrt(
        "8.2.1", without=["ICudaEngine.num_bindings", "BuilderFlag.FP16", "Runtime", "nptype"]
    )
    assert not hasattr(trt.ICudaEngine, "num_bindings")
    assert not hasattr(trt.BuilderFlag, "FP16")
    assert not hasattr(trt, "Runtime")
    assert not hasattr(trt, "nptype")


@pytest.mark.parametrize("member", ["IBuilderConfig.builder_optimization_level", "MemoryPoolType", "foo"])
def test_leaving_out_what_a_release_lacks_is_a_mistake(member: str) -> None:
    with pytest.raises(KeyError):
        fake_tensorrt("8.2.1", without=[member])


def test_what_was_used_is_noted() -> None:
    trt = fake_tensorrt("8.2.1")
    config = trt.Builder(trt.Logger()).create_builder_config()
    config.set_flag(trt.BuilderFlag.FP16)
    config.max_workspace_size = 1 << 20
    used = {"Builder", "Builder.create_builder_config", "BuilderFlag.FP16", "IBuilderConfig.set_flag"}
    assert used | {"IBuilderConfig.max_workspace_size"} <= trt.used


@pytest.mark.parametrize("release", RELEASES)
def test_nptype_of_tensorrt_8_breaks_with_a_new_numpy(release: str) -> None:
    trt = fake_tensorrt(release)
    # NumPy 1.24 took np.bool away, and 2.0 brought it back with another meaning.
    if release.startswith("8.") and not hasattr(np, "bool"):
        with pytest.raises(AttributeError):
            trt.nptype(trt.DataType.FLOAT)
    else:
        assert trt.nptype(trt.DataType.FLOAT) is np.float32


@pytest.mark.parametrize("kind", ["Builder", "Runtime"])
def test_without_a_gpu_nothing_starts(kind: str, capfd: Any) -> None:
    trt = fake_tensorrt("8.5.2", no_gpu=True)
    with pytest.raises(TypeError, match="factory function returned nullptr"):
        getattr(trt, kind)(trt.Logger())
    assert "CUDA initialization failure with error: 35" in capfd.readouterr().err


def test_the_logger_is_quiet_below_its_severity(capfd: Any) -> None:
    trt = fake_tensorrt("8.2.1")
    logger = trt.Logger(trt.Logger.ERROR)
    severities: List[Any] = [trt.Logger.INFO, trt.Logger.WARNING, trt.Logger.ERROR]
    for severity in severities:
        logger.log(severity, "said")
    assert capfd.readouterr().err == "[TRT] [E] said\n"


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(AttributeError, match="gpu_nmae"):
        fake_tensorrt("8.2.1", gpu_nmae="Orin")


def test_an_unknown_release_is_refused_with_those_there_are() -> None:
    with pytest.raises(KeyError, match="8.2.1"):
        fake_tensorrt("9.9.9")
