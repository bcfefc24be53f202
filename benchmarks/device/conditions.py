"""What a benchmark ran under, and whether its figures may be quoted. Python 3.6.

with Watch(args.command_line) as watch:
    series = measure()
header = watch.header()
"""

import collections
import platform
import sys
import time
from types import TracebackType
from typing import Any, Counter, Dict, List, Optional, Sequence, Type

import legoclf
from legoclf.benchmarks.device.conditions_command import shown_command
from legoclf.benchmarks.device.conditions_load import (
    CpuUse,
    Load,
    Quota,
    load_between,
    read_cpu_use,
    read_quota,
)
from legoclf.cores import available_cores
from legoclf.jetson.device import read_device
from legoclf.jetson.telemetry import (
    CpuClock,
    Telemetry,
    active_limiters,
    find_gpu,
    find_limiters,
    hottest,
    read_gpu,
    read_telemetry,
)
from legoclf.jetson.telemetry_energy import EnergyMeter, Sampler
from legoclf.jetson.telemetry_files import read_text

#: Shares of the cores' time, or of a quota's periods, that may go to others unsaid.
_MOST_LOST = 0.05

#: A locked clock that reads this much lower was taken down; less is rounding.
_CLOCK_TOLERANCE = 0.01

#: Of these the version is told where the benchmark has imported them; a header imports nothing.
_LIBRARIES = {
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "tensorrt": "tensorrt",
    "tensorflow": "tensorflow",
    "opencv": "cv2",
    "openvino": "openvino",
    "keras": "keras",
    "scikit-learn": "sklearn",
    "timm": "timm",
    "torch": "torch",
}


class Watch(object):
    """Looks at the machine before, during and after a benchmark; a context manager, for one use.

    A thread wakes once a second and reads a few of the kernel's files, where there is something to read: GPU
    clock, power, what slows the machine down because it is hot. On other machines no thread runs.

    Args:
        command_line: the words of the call, see :func:`shown_command` for what is shown of them.
        root: where the machine's file system begins.
        interval_s: seconds between looks.
    """

    def __init__(self, command_line: Sequence[str], root: str = "/", interval_s: float = 1.0) -> None:
        self._command = shown_command(command_line)
        self._root = root
        self._device = read_device(root)
        self._gpu = find_gpu(root)
        self._limiters = find_limiters(root)
        self._meter = EnergyMeter(root=root)
        self._sampler = Sampler(interval_s, self._look)
        self._is_sampled = self._gpu is not None or bool(self._limiters) or self._meter.is_told
        # The GPU has a table of a few dozen clocks, so this does not grow with time.
        self._gpu_mhz: Counter[float] = collections.Counter()
        self._slowed_by: List[str] = []
        self._noted: List[str] = []
        self._date = ""
        self._before: Optional[Telemetry] = None
        self._after: Optional[Telemetry] = None
        self._use_before: Optional[CpuUse] = None
        self._quota_before: Optional[Quota] = None
        self._quota_after: Optional[Quota] = None
        self._load: Optional[Load] = None

    @property
    def power_w(self) -> Optional[float]:
        """Mean watts of the board over the block; None where it tells none."""
        return self._meter.mean_w

    @property
    def energy_j(self) -> Optional[float]:
        """Joules of the board over the block; None where it tells none."""
        return self._meter.energy_j

    def note_unsteady(self, reason: str) -> None:
        """Add a reason of the benchmark's own, such as a warm-up that did not settle."""
        self._noted.append(reason)

    def __enter__(self) -> "Watch":
        self._date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._before = read_telemetry(self._root)
        self._note_limiters(self._before.throttled_by)
        self._quota_before = read_quota(self._root)
        self._use_before = read_cpu_use(self._root)
        self._meter.sample()
        if self._is_sampled:
            self._sampler.__enter__()
        return self

    def __exit__(
        self,
        error_type: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        if self._is_sampled:
            self._sampler.__exit__(error_type, error, traceback)
        self._meter.sample()
        self._load = load_between(self._use_before, read_cpu_use(self._root))
        self._quota_after = read_quota(self._root)
        self._after = read_telemetry(self._root)
        self._note_limiters(self._after.throttled_by)

    def header(self) -> Dict[str, Any]:
        """The conditions, after the block: the keys of result.HEADER, and these.

        ``temperature_c``: of the hottest sensor at start and end. ``other_work``: shares of the cores' time
        that others and the hypervisor took. ``cpu_quota``: a container's, in cores. ``power_w``. Each is None
        where the machine does not tell it. There is no host name.

        Raises:
            RuntimeError: the block has not ended.
        """
        if self._before is None or self._after is None:
            raise RuntimeError("Watch.header() is there after the block")
        return {
            "device": self._device.model or _cpu_name(self._root),
            "jetpack": self._device.jetpack,
            "l4t": self._device.l4t,
            "cores": available_cores(),
            "cpu_quota": None if self._quota_after is None else self._quota_after.cores,
            "python": platform.python_version(),
            "versions": _versions(),
            "clocks": self._clocks(self._before, self._after),
            "power_mode": self._after.power_mode,
            "power_w": self.power_w,
            "temperature_c": _temperatures(self._before, self._after),
            "other_work": None if self._load is None else dict(self._load._asdict()),
            "date": self._date,
            "command": self._command,
            "unsteady": self._unsteady(self._before, self._after),
        }

    def _look(self) -> None:
        self._meter.sample()
        self._note_limiters(active_limiters(self._limiters))
        mhz = None if self._gpu is None else read_gpu(self._gpu).mhz
        if mhz is not None:
            self._gpu_mhz[mhz] += 1

    def _note_limiters(self, names: Sequence[str]) -> None:
        self._slowed_by += [name for name in names if name not in self._slowed_by]

    def _clocks(self, before: Telemetry, after: Telemetry) -> Dict[str, Any]:
        """CPU clocks over all cores, ``cpu_mhz`` the fastest at the end; ``gpu_median_mhz`` while it ran."""
        gpu = after.gpu
        return {
            "governor": ", ".join(sorted({core.governor for core in before.cpus if core.governor})) or None,
            "cpu_min_mhz": min(_told(core.min_mhz for core in after.cpus), default=None),
            "cpu_max_mhz": max(_told(core.max_mhz for core in after.cpus), default=None),
            "cpu_mhz": max(_told(core.mhz for core in after.cpus), default=None),
            "gpu_min_mhz": None if gpu is None else gpu.min_mhz,
            "gpu_max_mhz": None if gpu is None else gpu.max_mhz,
            "gpu_mhz": None if gpu is None else gpu.mhz,
            "gpu_median_mhz": _median(self._gpu_mhz),
            "note": None if after.cpus else "this machine tells no CPU clock; a virtual machine rarely does",
        }

    def _unsteady(self, before: Telemetry, after: Telemetry) -> List[str]:
        reasons = _lost(self._load) + _cut_short(self._quota_before, self._quota_after)
        reasons += self._unlocked(before)
        if self._slowed_by:
            reasons.append("it was slowed down because it was hot: {}".format(", ".join(self._slowed_by)))
        grown = [
            name
            for name, count in sorted(after.throttle_counts.items())
            if count > before.throttle_counts.get(name, 0)
        ]
        if grown:
            reasons.append("it was throttled meanwhile: {}".format(", ".join(grown)))
        return reasons + self._gpu_fell(before) + self._noted

    def _unlocked(self, before: Telemetry) -> List[str]:
        is_jetson = self._device.l4t is not None
        reasons = []
        unlocked: List[CpuClock] = [core for core in before.cpus if core.is_locked is False]
        if unlocked:
            reasons.append(
                "the CPU clock is not locked: governor {} (run: {})".format(
                    unlocked[0].governor or "unknown",
                    "sudo jetson_clocks" if is_jetson else "sudo cpupower frequency-set -g performance",
                )
            )
        if before.gpu is not None and before.gpu.is_locked is False:
            reasons.append(
                "the GPU clock is not locked" + (" (run: sudo jetson_clocks)" if is_jetson else "")
            )
        return reasons

    def _gpu_fell(self, before: Telemetry) -> List[str]:
        if before.gpu is None or not before.gpu.is_locked or before.gpu.min_mhz is None:
            return []
        lowest = min(self._gpu_mhz, default=before.gpu.min_mhz)
        if lowest >= before.gpu.min_mhz * (1 - _CLOCK_TOLERANCE):
            return []
        return ["the GPU clock fell to {:.0f} MHz, locked at {:.0f}".format(lowest, before.gpu.min_mhz)]


def _lost(load: Optional[Load]) -> List[str]:
    if load is None:
        return []
    reasons = []
    if load.others > _MOST_LOST:
        reasons.append("other work took {:.0%} of the cores".format(load.others).replace("%", " %"))
    if load.stolen > _MOST_LOST:
        reasons.append("the hypervisor took {:.0%} of the cores".format(load.stolen).replace("%", " %"))
    if not reasons and load.others + load.stolen > _MOST_LOST:
        both = "other work and the hypervisor took {:.0%} of the cores".format(load.others + load.stolen)
        reasons.append(both.replace("%", " %"))
    return reasons


def _cut_short(before: Optional[Quota], after: Optional[Quota]) -> List[str]:
    if before is None or after is None or after.periods <= before.periods:
        return []
    share = (after.cut_short - before.cut_short) / float(after.periods - before.periods)
    if share <= _MOST_LOST:
        return []
    text = "the container's quota of {:g} cores stopped it in {:.0f} % of the periods"
    return [text.format(after.cores, 100 * share)]


def _temperatures(before: Telemetry, after: Telemetry) -> Optional[Dict[str, Any]]:
    if before.temperature_c is None and after.temperature_c is None:
        return None
    return {
        "start": before.temperature_c,
        "end": after.temperature_c,
        "sensor": hottest(after.temperatures_c),
    }


def _versions() -> Dict[str, str]:
    found = {"legoclf": legoclf.__version__}
    for name, module in _LIBRARIES.items():
        version = getattr(sys.modules.get(module), "__version__", None)
        if version is not None:
            found[name] = str(version)
    return found


def _cpu_name(root: str) -> str:
    for line in read_text(root + "/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _told(values: Any) -> List[float]:
    return [value for value in values if value is not None]


def _median(counts: Counter[float]) -> Optional[float]:
    """The lower median of values and how often each was seen."""
    half = sum(counts.values()) / 2.0
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= half:
            return value
    return None
