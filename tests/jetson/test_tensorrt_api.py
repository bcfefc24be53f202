"""The adapter to TensorRT: which module is taken, what each release has, and what TensorRT says."""

import sys

import fake_tensorrt
import pytest

from legoclf.errors import LegoclfError
from legoclf.jetson import tensorrt_api
from legoclf.jetson.tensorrt_api import TensorRTApi, find_tensorrt
from legoclf.jetson.tensorrt_runtime import NvidiaLog, create

#: has_precision_flags, has_strong_typing, has_optimization_level, has_version_compatibility,
#: has_hardware_compatibility, has_progress
FEATURES = {
    "8.2.1": (True, False, False, False, False, False),
    "8.5.2": (True, False, False, False, False, False),
    "8.6.1": (True, False, True, True, True, False),
    "10.3.0": (True, True, True, True, True, True),
    "10.13.3": (True, True, True, True, True, True),
    "10.16.0": (True, True, True, True, True, True),
    "11.1.0": (False, True, True, True, True, True),
}


@pytest.fixture
def no_tensorrt(monkeypatch):
    for name in tensorrt_api.MODULES:
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize("release", fake_tensorrt.RELEASES)
def test_the_features_of_each_release_are_found(release):
    api = TensorRTApi(fake_tensorrt.fake_tensorrt(release))
    found = (
        api.has_precision_flags,
        api.has_strong_typing,
        api.has_optimization_level,
        api.has_version_compatibility,
        api.has_hardware_compatibility,
        api.has_progress,
    )
    assert found == FEATURES[release]
    assert api.compute_capabilities == []
    assert (api.name, api.version, api.is_rtx) == ("TensorRT " + release, release, False)


def test_tensorrt_goes_before_tensorrt_for_rtx(monkeypatch):
    for name in tensorrt_api.MODULES:
        module = fake_tensorrt.fake_tensorrt("10.3.0")
        module.__name__ = name
        monkeypatch.setitem(sys.modules, name, module)
    assert find_tensorrt().trt is sys.modules["tensorrt"]


@pytest.mark.parametrize("name", ["tensorrt_rtx", "tensorrt_rtx_bindings"])
def test_tensorrt_for_rtx_is_taken_where_it_is_alone(name, no_tensorrt, monkeypatch):
    module = fake_tensorrt.fake_tensorrt("11.1.0")
    module.__name__ = name
    monkeypatch.setitem(sys.modules, name, module)
    api = find_tensorrt()
    assert api.trt is module
    assert api.name == "TensorRT for RTX 11.1.0"
    assert not api.has_timing_cache
    assert not api.has_hardware_compatibility


def test_where_there_is_none_the_mend_is_told(no_tensorrt):
    with pytest.raises(LegoclfError, match="cannot be imported: JetPack brings it.*--system-site-packages"):
        find_tensorrt()


def test_a_tensorrt_that_is_broken_is_told_with_its_cause(no_tensorrt, monkeypatch, tmp_path):
    cause = "libnvinfer.so.8: cannot open shared object file"
    (tmp_path / "tensorrt.py").write_text("raise ImportError({!r})\n".format(cause))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "tensorrt")
    with pytest.raises(LegoclfError, match="tensorrt: " + cause):
        find_tensorrt()


def test_a_module_without_its_library_gives_way_to_the_next(no_tensorrt, monkeypatch, tmp_path):
    (tmp_path / "tensorrt.py").write_text("raise OSError('libcudart.so.12 is not there')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "tensorrt")
    module = fake_tensorrt.fake_tensorrt("11.1.0")
    module.__name__ = "tensorrt_rtx"
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", module)
    assert find_tensorrt().trt is module


@pytest.fixture(params=["8.2.1", "11.1.0"])
def trt(request):
    return fake_tensorrt.fake_tensorrt(request.param)


def test_errors_and_warnings_are_kept_and_every_message_is_shown(trt):
    log = NvidiaLog(trt)
    shown = []
    log.show = shown.append
    severity = trt.ILogger.Severity
    log.logger.log(severity.VERBOSE, "trying tactic 1")
    log.logger.log(severity.WARNING, "little\n memory")
    log.logger.log(severity.WARNING, "little memory")
    log.logger.log(severity.ERROR, "the cause")
    log.logger.log(severity.INTERNAL_ERROR, "what follows\x1b[2J")
    assert log.warnings == ["little memory"]
    assert log.errors == ["the cause", "what follows\\x1b[2J"]
    assert log.reason() == "the cause"
    assert shown[0] == "TensorRT verbose: trying tactic 1"
    assert shown[-1] == "TensorRT internal error: what follows\\x1b[2J"
    assert len(shown) == 5
    log.clear()
    assert (log.errors, log.warnings) == ([], [])


def test_a_failure_to_show_a_message_does_not_reach_tensorrt(trt):
    def fail(line):
        raise BrokenPipeError(line)

    log = NvidiaLog(trt)
    log.show = fail
    log.logger.log(trt.ILogger.Severity.ERROR, "kept all the same")
    assert log.errors == ["kept all the same"]


def test_a_tensorrt_that_does_not_start_says_why(trt):
    log = NvidiaLog(trt)

    def builder(logger):
        logger.log(trt.ILogger.Severity.ERROR, "CUDA initialization failure with error: 35")
        # What pybind11 raises where C++ gives no object: tried on a machine without a driver.
        raise TypeError("pybind11::init(): factory function returned nullptr")

    with pytest.raises(LegoclfError, match="does not start its builder: CUDA initialization failure"):
        create(builder, log)
