"""What the machine tells of itself, with and without the packages that ask it."""

import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from legoclf.retrain.seen.sensors import open_sensors


class NvmlError(Exception):
    """As NVML raises it where a GPU or a driver lacks something."""


class FakeNvml:
    """Two GPUs by NVML's own names and units: bytes, milliwatts, °C. The second one tells no power."""

    NVMLError = NvmlError
    NVML_TEMPERATURE_GPU = 0

    def __init__(self, driver: bool = True) -> None:
        self.driver = driver
        self.users = 0

    def nvmlInit(self) -> None:
        if not self.driver:
            raise NvmlError("NVML Shared Library Not Found")
        self.users += 1

    def nvmlShutdown(self) -> None:
        self.users -= 1

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetUtilizationRates(self, gpu: int) -> Any:
        return SimpleNamespace(gpu=40 + gpu, memory=7)

    def nvmlDeviceGetMemoryInfo(self, gpu: int) -> Any:
        return SimpleNamespace(used=(gpu + 1) << 30)

    def nvmlDeviceGetPowerUsage(self, gpu: int) -> int:
        if gpu:
            raise NvmlError("Not Supported")
        return 71500

    def nvmlDeviceGetTemperature(self, gpu: int, sensor: int) -> int:
        assert sensor == self.NVML_TEMPERATURE_GPU
        return 60 + gpu


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What ends the use of sensors."""
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Neither package is installed."""
    for name in ("psutil", "pynvml"):
        monkeypatch.setitem(sys.modules, name, None)
    return monkeypatch


def test_processor_and_memory_are_told_in_their_units(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    (cpu,) = open_sensors(stack)
    values = cpu()
    assert 0 <= values["cpu/use_percent"] <= 100
    assert 0 < values["memory/system_percent"] <= 100
    # An interpreter with NumPy takes tens of MiB.
    assert 10 < values["memory/resident_mb"] < 100_000


def test_the_temperature_is_that_of_the_hottest_core(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psutil

    chips = {
        "nvme": [SimpleNamespace(current=80.0)],
        "coretemp": [SimpleNamespace(current=51.0), SimpleNamespace(current=64.5)],
    }
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: chips, raising=False)
    (cpu,) = open_sensors(stack)
    assert cpu()["cpu/temperature_c"] == 64.5


def test_a_machine_that_tells_no_temperature_has_no_line_of_it(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psutil

    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.delattr(psutil, "sensors_temperatures", raising=False)
    (cpu,) = open_sensors(stack)
    assert "cpu/temperature_c" not in cpu()


def test_each_gpu_is_told_in_percent_mib_watts_and_degrees(stack: ExitStack, bare: Any) -> None:
    bare.setitem(sys.modules, "pynvml", FakeNvml())
    (gpus,) = open_sensors(stack)
    assert {tag: value for tag, value in gpus().items() if tag.startswith("gpu_0/")} == {
        "gpu_0/use_percent": 40,
        "gpu_0/memory_mb": 1024,
        "gpu_0/power_w": 71.5,
        "gpu_0/temperature_c": 60,
    }


def test_what_a_gpu_does_not_tell_is_left_out(stack: ExitStack, bare: Any) -> None:
    bare.setitem(sys.modules, "pynvml", FakeNvml())
    (gpus,) = open_sensors(stack)
    told = {tag for tag in gpus() if tag.startswith("gpu_1/")}
    assert told == {"gpu_1/use_percent", "gpu_1/memory_mb", "gpu_1/temperature_c"}


def test_the_driver_is_let_go_at_the_end(bare: Any) -> None:
    nvml = FakeNvml()
    bare.setitem(sys.modules, "pynvml", nvml)
    with ExitStack() as stack:
        open_sensors(stack)
        assert nvml.users == 1
    assert nvml.users == 0


def test_without_a_driver_there_is_no_gpu_and_a_line_for_developers(
    stack: ExitStack, bare: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bare.setitem(sys.modules, "pynvml", FakeNvml(driver=False))
    with caplog.at_level(logging.DEBUG, "legoclf"):
        assert open_sensors(stack) == []
    (line,) = [record for record in caplog.records if "GPU" in record.message]
    assert line.levelno == logging.DEBUG


def test_without_psutil_one_line_says_how_to_get_it(
    stack: ExitStack, bare: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "legoclf"):
        assert open_sensors(stack) == []
    (line,) = caplog.messages
    assert "pip install 'legoclf[seen]'" in line


def test_the_real_nvml_gives_each_gpu_or_none(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pynvml")
    monkeypatch.setitem(sys.modules, "psutil", None)
    tags = {tag for sensor in open_sensors(stack) for tag in sensor()}
    assert all(tag.startswith("gpu_") for tag in tags)
