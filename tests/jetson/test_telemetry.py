"""Telemetry from trees of files as Jetsons and laptops have them.

The files are made: their paths and forms are those of the devices, by NVIDIA's Developer Guides (r32, r36),
the kernel's Documentation (hwmon/ina3221.rst, cpu-freq, thermal) and listings that owners published.
"""

import os
from pathlib import Path
from typing import Dict, Optional, Union

import pytest

from legoclf.jetson.telemetry import CpuClock, GpuClock, read_telemetry

Files = Dict[str, str]


def tree(root: Path, files: Files) -> str:
    for name, text in files.items():
        path = os.path.join(str(root), *name.split("/"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)
    return str(root)


def zone(number: int, name: str, millidegrees: int) -> Files:
    folder = "sys/class/thermal/thermal_zone{}/".format(number)
    return {folder + "type": name + "\n", folder + "temp": "{}\n".format(millidegrees)}


def cooler(number: int, name: str, state: int) -> Files:
    folder = "sys/class/thermal/cooling_device{}/".format(number)
    return {folder + "type": name + "\n", folder + "cur_state": "{}\n".format(state)}


def core(number: int, mhz: int, least: int, most: int, governor: str) -> Files:
    folder = "sys/devices/system/cpu/cpu{}/cpufreq/".format(number)
    return {
        folder + "scaling_cur_freq": "{}000\n".format(mhz),
        folder + "scaling_min_freq": "{}000\n".format(least),
        folder + "scaling_max_freq": "{}000\n".format(most),
        folder + "scaling_governor": governor + "\n",
    }


def gpu(name: str, hertz: int, least: int, most: int, per_mille: int) -> Files:
    folder = "sys/class/devfreq/{}/".format(name)
    return {
        folder + "cur_freq": "{}\n".format(hertz),
        folder + "min_freq": "{}\n".format(least),
        folder + "max_freq": "{}\n".format(most),
        folder + "device/load": "{}\n".format(per_mille),
    }


def merged(*parts: Files) -> Files:
    files: Files = {}
    for part in parts:
        files.update(part)
    return files


#: The r32 guide's "Power Monitor Information": address 6-0040, rails 0 to 2, in_powerN_input in mW.
_NANO_INA = "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0/"

#: Jetson Nano, L4T 32.7. Zones and PMIC-Die's 100 °C: owners' listings. Cooling devices: its boot messages.
NANO = merged(
    zone(0, "AO-therm", 45000),
    zone(1, "CPU-therm", 40000),
    zone(2, "GPU-therm", 40000),
    zone(3, "PLL-therm", 37000),
    zone(4, "PMIC-Die", 100000),
    zone(5, "thermal-fan-est", 40000),
    cooler(0, "pwm-fan", 2),
    cooler(1, "gpu_scaling", 1),
    cooler(2, "cpu-balanced", 0),
    core(0, 1224, 102, 1479, "schedutil"),
    core(1, 1224, 102, 1479, "schedutil"),
    gpu("57000000.gpu", 76800000, 76800000, 921600000, 115),
    {
        _NANO_INA + "rail_name_0": "POM_5V_IN\n",
        _NANO_INA + "in_power0_input": "1750\n",
        _NANO_INA + "rail_name_1": "POM_5V_GPU\n",
        _NANO_INA + "in_power1_input": "0\n",
        _NANO_INA + "rail_name_2": "POM_5V_CPU\n",
        _NANO_INA + "in_power2_input": "366\n",
        "sys/devices/pwm-fan/cur_pwm": "51\n",
        "var/lib/nvpmodel/status": "pmode:0001\n",
        "etc/nvpmodel.conf": "# MAXN is the NONE power model to release all constraints\n"
        "< POWER_MODEL ID=0 NAME=MAXN >\nCPU_ONLINE CORE_0 1\n"
        "< POWER_MODEL ID=1 NAME=5W >\nCPU_ONLINE CORE_0 1\n< PM_CONFIG DEFAULT=0 >\n",
    },
)

#: ina3221.rst: inN_input in mV, currN_input in mA; 1 to 3 are rails, in7 is a sum of shunts.
_ORIN_INA = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1/"
_ORIN_OC = "sys/class/hwmon/hwmon3/"

#: Jetson Orin Nano, L4T 36. cv0-thermal cannot be read there; cooling devices as owners list them.
ORIN_NANO = merged(
    zone(0, "cpu-thermal", 47687),
    zone(1, "gpu-thermal", 48625),
    zone(2, "cv0-thermal", -256000),
    zone(8, "tj-thermal", 48625),
    cooler(0, "pwm-fan", 1),
    cooler(1, "cpufreq-cpu0", 0),
    cooler(2, "devfreq-17000000.gpu", 0),
    cooler(3, "cpu-throttle-alert", 0),
    cooler(4, "hot-surface-alert", 1),
    gpu("17000000.gpu", 612000000, 306000000, 1020000000, 620),
    {
        _ORIN_INA + "in1_label": "VDD_IN\n",
        _ORIN_INA + "in1_input": "5016\n",
        _ORIN_INA + "curr1_input": "1500\n",
        _ORIN_INA + "in2_label": "VDD_CPU_GPU_CV\n",
        _ORIN_INA + "in2_input": "5016\n",
        _ORIN_INA + "curr2_input": "96\n",
        _ORIN_INA + "in7_label": "sum of shunt voltages\n",
        _ORIN_INA + "in7_input": "3200\n",
        _ORIN_OC + "name": "soctherm_oc\n",
        _ORIN_OC + "oc1_event_cnt": "0\n",
        _ORIN_OC + "oc1_throt_en": "1\n",
        _ORIN_OC + "oc2_event_cnt": "9\n",
        _ORIN_OC + "oc2_throt_en": "0\n",
        _ORIN_OC + "oc3_event_cnt": "27\n",
        _ORIN_OC + "oc3_throt_en": "1\n",
        "sys/class/hwmon/hwmon2/name": "pwmfan\n",
        "sys/class/hwmon/hwmon2/pwm1": "255\n",
        "sys/class/hwmon/hwmon4/rpm": "2140\n",
        "var/lib/nvpmodel/status": "pmode:0002 fmode:fan_mode_quiet\n",
    },
)

#: A laptop with an Intel processor; the kernel's Documentation.
LAPTOP = merged(
    zone(0, "acpitz", 27800),
    zone(1, "acpitz", 29800),
    zone(2, "x86_pkg_temp", 61000),
    cooler(0, "Processor", 0),
    core(0, 1400, 400, 4700, "powersave"),
    core(10, 4700, 400, 4700, "powersave"),
    core(2, 900, 400, 4700, "powersave"),
    {
        "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "4\n",
        "sys/devices/system/cpu/cpu2/thermal_throttle/core_throttle_count": "3\n",
        "sys/class/hwmon/hwmon5/fan1_input": "2700\n",
    },
)


def test_a_nanos_temperatures_are_told_and_the_pmic_is_never_the_hottest(tmp_path: Path) -> None:
    telemetry = read_telemetry(tree(tmp_path, NANO))
    assert telemetry.temperatures_c["PMIC-Die"] == 100
    assert telemetry.temperature_c == 45


def test_a_sensor_without_power_is_left_out(tmp_path: Path) -> None:
    telemetry = read_telemetry(tree(tmp_path, ORIN_NANO))
    assert sorted(telemetry.temperatures_c) == ["cpu-thermal", "gpu-thermal", "tj-thermal"]
    assert telemetry.temperature_c == 48.625


def test_zones_of_one_name_are_all_told(tmp_path: Path) -> None:
    telemetry = read_telemetry(tree(tmp_path, LAPTOP))
    assert telemetry.temperatures_c == {"acpitz": 27.8, "acpitz 2": 29.8, "x86_pkg_temp": 61}


def test_cpu_clocks_come_in_the_order_of_the_cores(tmp_path: Path) -> None:
    telemetry = read_telemetry(tree(tmp_path, LAPTOP))
    assert telemetry.cpus == [
        CpuClock(0, 1400, 400, 4700, "powersave"),
        CpuClock(2, 900, 400, 4700, "powersave"),
        CpuClock(10, 4700, 400, 4700, "powersave"),
    ]


@pytest.mark.parametrize(
    ("clock", "is_locked"),
    [
        (CpuClock(0, 1224, 102, 1479, "schedutil"), False),
        (CpuClock(0, 1479, 1479, 1479, "schedutil"), True),  # as jetson_clocks leaves it
        (CpuClock(0, 4700, 400, 4700, "performance"), True),
        (CpuClock(0, 1479, None, None, "schedutil"), None),
        (GpuClock(76.8, 76.8, 921.6, 0), False),
        (GpuClock(921.6, 921.6, 921.6, 0), True),
        (GpuClock(921.6, None, 921.6, 0), None),
    ],
)
def test_a_clock_is_locked_where_it_cannot_leave_its_maximum(
    clock: Union[CpuClock, GpuClock], is_locked: Optional[bool]
) -> None:
    assert clock.is_locked is is_locked


def test_what_a_core_does_not_tell_is_none(tmp_path: Path) -> None:
    root = tree(tmp_path, {"sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "<unknown>\n"})
    assert read_telemetry(root).cpus == [CpuClock(0, None, None, None, None)]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("57000000.gpu", id="Nano"),
        pytest.param("17000000.gp10b", id="TX2"),
        pytest.param("17000000.gv11b", id="Xavier"),
        pytest.param("17000000.ga10b", id="Orin, JetPack 5"),
        pytest.param("17000000.gpu", id="Orin, JetPack 6"),
        pytest.param("gpu-gpc-0", id="Thor"),
    ],
)
def test_the_gpus_clock_and_load_are_found_on_every_jetson(tmp_path: Path, name: str) -> None:
    others = merged(gpu("13e40000.host1x", 1, 1, 1, 1), gpu("gpu-nvd-0", 2, 2, 2, 2))
    root = tree(tmp_path, merged(others, gpu(name, 612000000, 306000000, 1020000000, 620)))
    assert read_telemetry(root).gpu == GpuClock(612, 306, 1020, 62)


def test_the_power_of_a_nano_is_read_from_its_iio_sensor(tmp_path: Path) -> None:
    telemetry = read_telemetry(tree(tmp_path, NANO))
    assert telemetry.rails_w == {"POM_5V_IN": 1.75, "POM_5V_GPU": 0, "POM_5V_CPU": 0.366}
    assert telemetry.power_w == 1.75


def test_the_power_of_an_orin_is_volts_times_amperes_of_its_hwmon_sensor(tmp_path: Path) -> None:
    telemetry = read_telemetry(tree(tmp_path, ORIN_NANO))
    assert sorted(telemetry.rails_w) == ["VDD_CPU_GPU_CV", "VDD_IN"]  # no sum of shunts
    assert telemetry.power_w == pytest.approx(5.016 * 1.5)


@pytest.mark.parametrize(
    ("files", "mode"),
    [
        (NANO, "5W"),
        (ORIN_NANO, "2"),  # no nvpmodel.conf, as in a container
        (dict(NANO, **{"var/lib/nvpmodel/status": "pmode:0007\n"}), "7"),
        (LAPTOP, None),
    ],
)
def test_the_power_mode_has_its_name_or_else_its_number(
    tmp_path: Path, files: Files, mode: Optional[str]
) -> None:
    assert read_telemetry(tree(tmp_path, files)).power_mode == mode


@pytest.mark.parametrize("files", [NANO, ORIN_NANO, LAPTOP])
def test_a_running_fan_or_a_warning_is_no_throttling(tmp_path: Path, files: Files) -> None:
    assert read_telemetry(tree(tmp_path, files)).throttled_by == []


@pytest.mark.parametrize(
    "name",
    [
        "cpufreq-cpu0",
        "thermal-cpufreq-0",
        "devfreq-17000000.gpu",
        "gpu-throttle-alert",
        "cpu-balanced",
        "emergency-balanced",
        "Processor",
    ],
)
def test_a_cooling_device_that_slows_down_is_named_while_it_is_active(tmp_path: Path, name: str) -> None:
    assert read_telemetry(tree(tmp_path, merged(NANO, cooler(7, name, 1)))).throttled_by == [name]


def test_throttling_is_counted_by_cause(tmp_path: Path) -> None:
    assert read_telemetry(tree(tmp_path, LAPTOP)).throttle_counts == {"heat": 7}


def test_over_current_counts_only_where_it_throttles(tmp_path: Path) -> None:
    counts = read_telemetry(tree(tmp_path, ORIN_NANO)).throttle_counts
    assert counts == {"over-current oc1": 0, "over-current oc3": 27}


@pytest.mark.parametrize(("files", "percent", "rpm"), [(NANO, 20, None), (ORIN_NANO, 100, 2140)])
def test_the_fan_is_told(tmp_path: Path, files: Files, percent: float, rpm: Optional[int]) -> None:
    telemetry = read_telemetry(tree(tmp_path, files))
    assert (telemetry.fan_percent, telemetry.fan_rpm) == (percent, rpm)


def test_a_machine_that_tells_nothing_gives_nothing(tmp_path: Path) -> None:
    telemetry = read_telemetry(str(tmp_path))
    assert telemetry.temperature_c is None
    assert [field for field in telemetry if field not in (None, [], {})] == []


def test_this_machine_is_read_without_an_error() -> None:
    telemetry = read_telemetry()
    assert all(-60 < value < 150 for value in telemetry.temperatures_c.values())
    assert telemetry.power_w is None or telemetry.power_w > 0
