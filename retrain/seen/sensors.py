"""What the machine is doing: its processor and memory by psutil, NVIDIA's GPUs by NVML. Both are optional."""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

LOGGER = logging.getLogger(__name__)

#: Gives the values of this moment by tag, whose last word is the unit.
Sensor = Callable[[], dict[str, float]]

_MIB = float(1 << 20)

#: The kernel's names of what measures the processor itself: Intel, AMD (two drivers), Arm (two spellings).
_CPU_CHIPS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal")

#: What is asked of a GPU, given NVML and its handle.
_GPU_QUESTIONS: dict[str, Callable[[Any, Any], float]] = {
    "use_percent": lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu,
    "memory_mb": lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).used / _MIB,
    "power_w": lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
    "temperature_c": lambda nvml, gpu: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU),
}


def open_sensors(stack: ExitStack) -> list[Sensor]:
    """The sensors that this machine has, for the thread that calls: psutil counts by thread.

    Args:
        stack: what ends their use.
    """
    return [sensor for sensor in (_open_cpu(), _open_gpus(stack)) if sensor is not None]


def _open_cpu() -> Sensor | None:
    """Use of the whole processor in percent, the resident set of this process in MiB, memory in use."""
    try:
        import psutil
    except ImportError:
        LOGGER.info(
            "psutil is not installed: TensorBoard does not show the use of processor and memory; "
            "pip install 'legoclf[seen]'"
        )
        return None
    process = psutil.Process()
    # Percentages are of the time since the last call; the first one gives nothing but the start.
    psutil.cpu_percent()

    def read() -> dict[str, float]:
        values = {
            "cpu/use_percent": psutil.cpu_percent(),
            "memory/resident_mb": process.memory_info().rss / _MIB,
            "memory/system_percent": psutil.virtual_memory().percent,
        }
        temperature_c = _cpu_temperature_c(psutil)
        return values if temperature_c is None else {**values, "cpu/temperature_c": temperature_c}

    return read


def _cpu_temperature_c(psutil: Any) -> float | None:
    """Of the hottest part of the processor; None where none is told, as on Windows and macOS always."""
    chips = psutil.sensors_temperatures() if hasattr(psutil, "sensors_temperatures") else {}
    for name in _CPU_CHIPS:
        if chips.get(name):
            return max(float(entry.current) for entry in chips[name])
    return None


def _open_gpus(stack: ExitStack) -> Sensor | None:
    """Use in percent, memory in MiB, power and temperature of each GPU, in use by whomever."""
    try:
        import pynvml
    except ImportError:
        LOGGER.debug("nvidia-ml-py is not installed: TensorBoard does not show the use of GPUs")
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        LOGGER.debug("TensorBoard does not show the use of GPUs: %s", error)
        return None
    stack.callback(pynvml.nvmlShutdown)
    gpus = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]

    def read() -> dict[str, float]:
        values = {}
        for index, gpu in enumerate(gpus):
            for name, ask in _GPU_QUESTIONS.items():
                try:
                    values[f"gpu_{index}/{name}"] = float(ask(pynvml, gpu))
                except pynvml.NVMLError:
                    continue  # many a laptop's GPU tells no power, and a MIG slice no use
        return values

    return read
