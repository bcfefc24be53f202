"""The machine and the live loop for the page and for Prometheus, read no oftener than once a second."""

import threading
import time
from typing import Any, Callable, Dict, Generic, List, Optional, TypeVar

from legoclf.jetson.serve.live import LiveView
from legoclf.jetson.serve.metrics import Reading
from legoclf.jetson.telemetry import Telemetry, read_telemetry

T = TypeVar("T")


class Kept(Generic[T]):
    """What ``read`` gives, read again after ``seconds``, whoever asks and however often."""

    def __init__(self, read: Callable[[], T], seconds: float = 1.0) -> None:
        self._read = read
        self._seconds = seconds
        self._lock = threading.Lock()
        self._value: Optional[T] = None
        self._read_at = 0.0

    def __call__(self) -> T:
        with self._lock:
            now = time.monotonic()
            if self._value is None or now - self._read_at >= self._seconds:
                self._value = self._read()
                self._read_at = now
            return self._value

    def forget(self) -> None:
        """Read anew the next time: it has just been changed."""
        with self._lock:
            self._value = None


class Machine(object):
    """How the machine fares; ``root`` is where its file system begins."""

    def __init__(self, root: str = "/") -> None:
        self._telemetry: "Kept[Telemetry]" = Kept(lambda: read_telemetry(root))

    def record(self) -> Dict[str, Any]:
        """What the machine tells, as JSON; what it does not is left out."""
        telemetry = self._telemetry()
        clocks = [cpu.mhz for cpu in telemetry.cpus if cpu.mhz is not None]
        limits = [cpu.max_mhz for cpu in telemetry.cpus if cpu.max_mhz is not None]
        gpu = telemetry.gpu
        record = {
            "temperature_c": telemetry.temperature_c,
            "power_w": telemetry.power_w,
            "power_mode": telemetry.power_mode,
            "cpu_mhz": max(clocks, default=None),
            "cpu_max_mhz": max(limits, default=None),
            "gpu_mhz": None if gpu is None else gpu.mhz,
            "gpu_max_mhz": None if gpu is None else gpu.max_mhz,
            "gpu_load_percent": None if gpu is None else gpu.load_percent,
            "fan_percent": telemetry.fan_percent,
        }
        told: Dict[str, Any] = {name: value for name, value in record.items() if value is not None}
        told["throttled_by"] = list(telemetry.throttled_by)
        return told

    def readings(self) -> List[Reading]:
        """The same for Prometheus, each sensor and core by itself."""
        telemetry = self._telemetry()
        found = [
            Reading("legoclf_temperature_celsius", "gauge", "By sensor.", value, (("sensor", name),))
            for name, value in telemetry.temperatures_c.items()
        ]
        found += [
            Reading("legoclf_rail_watts", "gauge", "By rail of the board.", value, (("rail", name),))
            for name, value in telemetry.rails_w.items()
        ]
        found += [
            Reading(
                "legoclf_cpu_hertz",
                "gauge",
                "The clock of a core.",
                cpu.mhz * 1e6,
                (("core", str(cpu.core)),),
            )
            for cpu in telemetry.cpus
            if cpu.mhz is not None
        ]
        gpu = telemetry.gpu
        plain = (
            ("legoclf_power_watts", "Of the whole board.", telemetry.power_w, 1.0),
            ("legoclf_gpu_hertz", "The clock of the GPU.", None if gpu is None else gpu.mhz, 1e6),
            ("legoclf_gpu_load_ratio", "0 to 1.", None if gpu is None else gpu.load_percent, 0.01),
            (
                "legoclf_throttled",
                "1 while heat slows the machine.",
                float(bool(telemetry.throttled_by)),
                1.0,
            ),
        )
        found += [
            Reading(name, "gauge", text, value * factor)
            for name, text, value, factor in plain
            if value is not None
        ]
        return found


def live_readings(live: LiveView) -> List[Reading]:
    """The loop for Prometheus."""
    status, newest = live.status, live.pictures.newest
    found = [
        Reading("legoclf_source_up", "gauge", "1 while the source gives frames.", float(live.is_up)),
        Reading("legoclf_fps", "gauge", "Answers in the last second.", live.fps),
        Reading(
            "legoclf_streams", "gauge", "Viewers of the live picture.", float(len(live.pictures.viewers))
        ),
    ]
    if newest is not None:
        found.append(
            Reading("legoclf_age_seconds", "gauge", "From capture to answer, newest.", newest.age_ms / 1000.0)
        )
    if status is not None:
        for name, text, value in (
            ("legoclf_frames", "Frames answered.", status.frames),
            ("legoclf_dropped_frames", "Frames that nobody saw.", status.dropped),
            ("legoclf_source_reopened", "Times the source came back.", status.reopened),
            ("legoclf_output_losses", "Results that outputs dropped or lost.", status.output_losses),
        ):
            found.append(Reading(name, "counter", text, float(value)))
    return found
