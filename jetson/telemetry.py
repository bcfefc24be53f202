"""How the machine fares, read from its own files: temperatures, clocks, power, throttling, fan.

It runs no other program and needs no rights. What a machine does not tell is None or empty: a laptop has no
power sensor, a virtual machine not even clocks. Where the files lie on a Jetson: GPUs are
``/sys/class/devfreq/`` 57000000.gpu (Nano), 17000000.gp10b (TX2), 17000000.gv11b (Xavier), 17000000.ga10b
(Orin, JetPack 5), 17000000.gpu (Orin, JetPack 6); power modes as NVIDIA's Developer Guide tells.
"""

import os
import re
from typing import Dict, List, NamedTuple, Optional

from legoclf.jetson.telemetry_files import find, read_number, read_scaled, read_text
from legoclf.jetson.telemetry_power import board_total, find_rails, read_rails_w

#: Sensors that always tell the same, 100 °C or 50 °C by release: the Jetsons' PMIC does not measure, it only
#: raises an alarm. Its names in tegrastats and in sysfs.
FIXED_SENSORS = ("PMIC", "PMIC-Die")

#: Tegra tells -256 °C for a sensor in a part of the chip that has no power.
_NO_POWER_C = -256.0

#: GPUs in /sys/class/devfreq; another entry, gpu-nvd-0 of Thor, is its video decoder.
_GPUS = ("*gpu", "*.gp10b", "*.gv11b", "*.ga10b", "gpu-gpc-*")

#: Cooling devices that work by slowing something down. Others do not: a fan; hot-surface-alert, a warning;
#: the voltage limits of the Nano (gpu_scaling, dvfs caps and floors), some of which are on when it is cold.
_LIMITERS = re.compile(
    r"(thermal-)?(cpufreq|devfreq)-.*|.*throttle-alert|(cpu|gpu|aux|emergency)-balanced|tegra-heavy|Processor"
)


class CpuClock(NamedTuple):
    """One core's clock in MHz, its limits, and the governor that moves it between them."""

    core: int
    mhz: Optional[float]
    min_mhz: Optional[float]
    max_mhz: Optional[float]
    governor: Optional[str]

    @property
    def is_locked(self) -> Optional[bool]:
        """Whether it stays at its maximum; None where that is not told."""
        if self.governor == "performance":
            return True
        if self.min_mhz is None or self.max_mhz is None:
            return None
        return self.min_mhz >= self.max_mhz


class GpuClock(NamedTuple):
    """The GPU's clock in MHz and its limits; load in per cent."""

    mhz: Optional[float]
    min_mhz: Optional[float]
    max_mhz: Optional[float]
    load_percent: Optional[float]

    @property
    def is_locked(self) -> Optional[bool]:
        """Whether it cannot move; None where that is not told."""
        if self.min_mhz is None or self.max_mhz is None:
            return None
        return self.min_mhz >= self.max_mhz


class Telemetry(NamedTuple):
    """One reading of everything.

    temperatures_c: degrees Celsius by sensor, sensors that do not measure included (see temperature_c).
    cpus: the cores whose clock is told, empty on most virtual machines.
    gpu: None where no GPU tells its clock here; graphics cards do not.
    rails_w: watts by rail. power_w: of the whole board.
    power_mode: such as MAXN, of nvpmodel.
    throttled_by: what slows the machine down at this moment because it is hot.
    throttle_counts: how often it was slowed down since it was started, by cause.
    fan_percent: of full drive. fan_rpm: of the fastest fan that tells.
    """

    temperatures_c: Dict[str, float]
    cpus: List[CpuClock]
    gpu: Optional[GpuClock]
    rails_w: Dict[str, float]
    power_w: Optional[float]
    power_mode: Optional[str]
    throttled_by: List[str]
    throttle_counts: Dict[str, int]
    fan_percent: Optional[float]
    fan_rpm: Optional[int]

    @property
    def temperature_c(self) -> Optional[float]:
        """Of the hottest sensor that measures."""
        name = hottest(self.temperatures_c)
        return None if name is None else self.temperatures_c[name]


def read_telemetry(root: str = "/") -> Telemetry:
    """Read everything once; ``root`` is where the machine's file system begins."""
    rails_w = read_rails_w(find_rails(root))
    gpu = find_gpu(root)
    return Telemetry(
        temperatures_c=read_temperatures_c(root),
        cpus=read_cpus(root),
        gpu=None if gpu is None else read_gpu(gpu),
        rails_w=rails_w,
        power_w=board_total(rails_w),
        power_mode=read_power_mode(root),
        throttled_by=active_limiters(find_limiters(root)),
        throttle_counts=read_throttle_counts(root),
        fan_percent=_fan_percent(root),
        fan_rpm=_fan_rpm(root),
    )


def hottest(temperatures_c: Dict[str, float]) -> Optional[str]:
    """The hottest sensor by name, FIXED_SENSORS left out; None if there is none."""
    measured = [name for name in temperatures_c if name not in FIXED_SENSORS]
    return max(measured, key=lambda name: temperatures_c[name]) if measured else None


def is_temperature(value_c: float) -> bool:
    """Whether a sensor's answer is one."""
    return value_c > _NO_POWER_C


def read_temperatures_c(root: str = "/") -> Dict[str, float]:
    """By the type of the thermal zone; further zones of one type have a number behind it."""
    found: Dict[str, float] = {}
    for zone in find(root, "sys/class/thermal/thermal_zone*"):
        name = read_text(os.path.join(zone, "type"))
        value = read_scaled(os.path.join(zone, "temp"), 1000.0)
        if not name or value is None or not is_temperature(value):
            continue
        same = sum(known == name or known.startswith(name + " ") for known in found)
        found[name if not same else "{} {}".format(name, same + 1)] = value
    return found


def read_cpus(root: str = "/") -> List[CpuClock]:
    """The clock of each core that has cpufreq."""
    cores = []
    for folder in find(root, "sys/devices/system/cpu/cpu[0-9]*/cpufreq"):
        scaled = {
            name: read_scaled(os.path.join(folder, "scaling_{}_freq".format(name)), 1000.0)
            for name in ("cur", "min", "max")
        }
        cores.append(
            CpuClock(
                core=int(os.path.basename(os.path.dirname(folder))[len("cpu") :]),
                mhz=scaled["cur"],
                min_mhz=scaled["min"],
                max_mhz=scaled["max"],
                governor=read_text(os.path.join(folder, "scaling_governor")) or None,
            )
        )
    return cores


def find_gpu(root: str = "/") -> Optional[str]:
    """The folder in which the GPU tells its clock; None where there is none."""
    for pattern in _GPUS:
        for folder in find(root, "sys/class/devfreq/" + pattern):
            return folder
    return None


def read_gpu(folder: str) -> GpuClock:
    """Read what ``find_gpu`` found; the load stands one level up, per mille."""
    mhz, least, most = (
        read_scaled(os.path.join(folder, name), 1e6) for name in ("cur_freq", "min_freq", "max_freq")
    )
    return GpuClock(mhz, least, most, read_scaled(os.path.join(folder, "device", "load"), 10.0))


def read_power_mode(root: str = "/") -> Optional[str]:
    """The name of nvpmodel's mode, its number where it has no name here; None on what is no Jetson."""
    chosen = re.search(r"pmode:(\d+)", read_text(os.path.join(root, "var/lib/nvpmodel/status")))
    if chosen is None:
        return None
    number = int(chosen.group(1))
    models = re.findall(
        r"^\s*<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>",
        read_text(os.path.join(root, "etc/nvpmodel.conf")),
        flags=re.MULTILINE,
    )
    return {int(model): str(name) for model, name in models}.get(number, str(number))


def find_limiters(root: str = "/") -> List[str]:
    """The folders of the cooling devices that slow the machine down when they are active."""
    return [
        folder
        for folder in find(root, "sys/class/thermal/cooling_device*")
        if _LIMITERS.fullmatch(read_text(os.path.join(folder, "type")))
    ]


def active_limiters(folders: List[str]) -> List[str]:
    """The names of those that are active now."""
    return [
        read_text(os.path.join(folder, "type"))
        for folder in folders
        if (read_number(os.path.join(folder, "cur_state")) or 0) > 0
    ]


def read_throttle_counts(root: str = "/") -> Dict[str, int]:
    """How often the machine was slowed down since its start, by cause; empty where it does not count.

    ``heat``: x86 cores and packages. ``over-current oc1`` to ``oc3``: events of the Jetsons' soctherm_oc
    that are set to throttle. Only the growth of a count says something.
    """
    counts: Dict[str, int] = {}
    for path in find(root, "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count"):
        counts["heat"] = counts.get("heat", 0) + (read_number(path) or 0)
    for path in find(root, "sys/class/hwmon/hwmon*/oc[1-3]_event_cnt"):
        event = os.path.basename(path).split("_")[0]
        does_throttle = read_number(os.path.join(os.path.dirname(path), event + "_throt_en"))
        if does_throttle:
            counts["over-current " + event] = read_number(path) or 0
    return counts


def _fan_percent(root: str) -> Optional[float]:
    """From the pwm-fan of JetPack 4, or the hwmon that calls itself pwmfan since."""
    pwm = read_number(os.path.join(root, "sys/devices/pwm-fan/cur_pwm"))
    for folder in find(root, "sys/class/hwmon/hwmon*"):
        if pwm is None and read_text(os.path.join(folder, "name")) == "pwmfan":
            pwm = read_number(os.path.join(folder, "pwm1"))
    return None if pwm is None else pwm / 255.0 * 100.0


def _fan_rpm(root: str) -> Optional[int]:
    # Jetsons have a tachometer of their own kind, whose file is "rpm".
    speeds = [read_number(path) for path in find(root, "sys/class/hwmon/hwmon*/fan[0-9]*_input")]
    speeds += [read_number(path) for path in find(root, "sys/class/hwmon/hwmon*/rpm")]
    return max((speed for speed in speeds if speed is not None), default=None)
