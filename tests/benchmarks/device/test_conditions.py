"""The header of a benchmark, and the reasons for which its figures are not to be quoted.

The trees are made, as those of tests/jetson/test_telemetry.py, where their sources are named; the tests at
the end are of the machine that they run on.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import numpy as np
import pytest

import legoclf
from legoclf.benchmarks.device.conditions import Watch
from legoclf.benchmarks.device.result import HEADER
from legoclf.cores import available_cores

Files = Dict[str, str]

_COMMAND = ["legoclf", "benchmark", "bricks.bundle"]
_CPU = "sys/devices/system/cpu/cpu0/cpufreq/"
_GPU = "sys/class/devfreq/57000000.gpu/"
_ALERT = "sys/class/thermal/cooling_device3/"
_INA = "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0/"

#: Jetson Nano, JetPack 4.6.1, after jetson_clocks: each minimum is at its maximum.
NANO: Files = {
    "etc/nv_tegra_release": "# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref, EABI: aarch64\n",
    "proc/device-tree/model": "NVIDIA Jetson Nano Developer Kit\0",
    "sys/class/thermal/thermal_zone1/type": "CPU-therm\n",
    "sys/class/thermal/thermal_zone1/temp": "40000\n",
    "sys/class/thermal/thermal_zone4/type": "PMIC-Die\n",
    "sys/class/thermal/thermal_zone4/temp": "100000\n",
    _ALERT + "type": "gpu-balanced\n",
    _ALERT + "cur_state": "0\n",
    _CPU + "scaling_cur_freq": "1479000\n",
    _CPU + "scaling_min_freq": "1479000\n",
    _CPU + "scaling_max_freq": "1479000\n",
    _CPU + "scaling_governor": "schedutil\n",
    _GPU + "cur_freq": "921600000\n",
    _GPU + "min_freq": "921600000\n",
    _GPU + "max_freq": "921600000\n",
    _INA + "rail_name_0": "POM_5V_IN\n",
    _INA + "in_power0_input": "5000\n",
    "var/lib/nvpmodel/status": "pmode:0000\n",
    "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=MAXN >\n",
}


def put(root: Path, files: Files) -> str:
    for name, text in files.items():
        path = root.joinpath(*name.split("/"))
        os.makedirs(str(path.parent), exist_ok=True)
        path.write_text(text)
    return str(root)


def watched(root: Path, before: Files, during: Optional[Files] = None) -> Dict[str, Any]:
    """The header of a block in which these files change."""
    with Watch(_COMMAND, put(root, before)) as watch:
        put(root, during or {})
    return watch.header()


def unsteady(root: Path, before: Files, during: Optional[Files] = None) -> List[str]:
    reasons = watched(root, before, during)["unsteady"]
    assert isinstance(reasons, list)
    return reasons


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.perf_counter() + 20
    while not condition() and time.perf_counter() < deadline:
        time.sleep(0.005)
    assert condition()


def test_a_locked_and_cool_nano_is_steady(tmp_path: Path) -> None:
    header = watched(tmp_path, NANO, {"sys/class/thermal/thermal_zone1/temp": "52500\n"})
    assert header["unsteady"] == []
    assert header["device"] == "NVIDIA Jetson Nano Developer Kit"
    assert (header["jetpack"], header["l4t"], header["power_mode"]) == ("4.6.1", "32.7.1", "MAXN")
    assert header["temperature_c"] == {"start": 40, "end": 52.5, "sensor": "CPU-therm"}
    clocks = header["clocks"]
    assert (clocks["governor"], clocks["cpu_mhz"], clocks["gpu_max_mhz"]) == ("schedutil", 1479, 921.6)
    assert clocks["note"] is None


def test_the_header_has_all_that_a_result_must_tell(tmp_path: Path) -> None:
    header = watched(tmp_path, NANO)
    assert [name for name in HEADER if name not in header] == []
    assert header["versions"]["legoclf"] == legoclf.__version__
    assert header["versions"]["numpy"] == np.__version__
    assert header["cores"] == available_cores()
    assert time.strptime(header["date"], "%Y-%m-%dT%H:%M:%SZ")


def test_a_header_imports_no_library(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from legoclf.benchmarks.device.conditions import Watch\n"
        "with Watch(['legoclf']) as watch: pass\n"
        "assert set(watch.header()['versions']) <= {'legoclf', 'numpy'}, watch.header()['versions']\n"
        "assert not {'onnxruntime', 'tensorflow', 'tensorrt', 'cv2', 'openvino'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=str(tmp_path))


def test_the_header_names_no_host(tmp_path: Path) -> None:
    host = "workshop-7"
    header = watched(tmp_path, dict(NANO, **{"etc/hostname": host, "proc/sys/kernel/hostname": host}))
    assert host not in str(header)


def test_a_pc_is_named_by_its_processor(tmp_path: Path) -> None:
    cpuinfo = "processor\t: 0\nmodel name\t: Intel(R) Core(TM) i7-1165G7 @ 2.80GHz\n"
    assert watched(tmp_path, {"proc/cpuinfo": cpuinfo})["device"] == "Intel(R) Core(TM) i7-1165G7 @ 2.80GHz"


def test_a_virtual_machine_tells_no_clocks_and_is_not_blamed_for_it(tmp_path: Path) -> None:
    header = watched(tmp_path, {})
    assert header["clocks"].pop("note").startswith("this machine tells no CPU clock")
    assert set(header["clocks"].values()) == {None}
    assert header["unsteady"] == []
    assert (header["temperature_c"], header["power_mode"], header["power_w"]) == (None, None, None)


def test_clocks_that_are_not_locked_are_named_with_the_mend(tmp_path: Path) -> None:
    moving = {_CPU + "scaling_min_freq": "102000\n", _GPU + "min_freq": "76800000\n"}
    assert unsteady(tmp_path, dict(NANO, **moving)) == [
        "the CPU clock is not locked: governor schedutil (run: sudo jetson_clocks)",
        "the GPU clock is not locked (run: sudo jetson_clocks)",
    ]


def test_the_mend_on_a_laptop_is_no_jetsons(tmp_path: Path) -> None:
    laptop = {
        _CPU + "scaling_min_freq": "400000\n",
        _CPU + "scaling_max_freq": "4700000\n",
        _CPU + "scaling_governor": "powersave\n",
    }
    assert unsteady(tmp_path, laptop) == [
        "the CPU clock is not locked: governor powersave (run: sudo cpupower frequency-set -g performance)"
    ]


def test_a_board_that_is_slowed_down_at_the_end_says_so(tmp_path: Path) -> None:
    reasons = unsteady(tmp_path, NANO, {_ALERT + "cur_state": "1\n"})
    assert reasons == ["it was slowed down because it was hot: gpu-balanced"]


def test_a_board_that_was_slowed_down_for_a_while_says_so(tmp_path: Path) -> None:
    seen: List[str] = []
    with Watch(_COMMAND, put(tmp_path, NANO), interval_s=0.01) as watch:
        put(tmp_path, {_ALERT + "cur_state": "1\n"})
        seen = watch._slowed_by
        wait_for(lambda: bool(seen))
        put(tmp_path, {_ALERT + "cur_state": "0\n"})
    assert watch.header()["unsteady"] == ["it was slowed down because it was hot: gpu-balanced"]


@pytest.mark.parametrize(
    ("counter", "others", "cause"),
    [
        ("sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", {}, "heat"),
        (
            "sys/class/hwmon/hwmon3/oc3_event_cnt",
            {"sys/class/hwmon/hwmon3/oc3_throt_en": "1\n"},
            "over-current oc3",
        ),
    ],
)
def test_throttling_that_was_counted_meanwhile_is_named(
    tmp_path: Path, counter: str, others: Files, cause: str
) -> None:
    files = dict(others, **{counter: "27\n"})
    assert unsteady(tmp_path, files, {counter: "28\n"}) == ["it was throttled meanwhile: " + cause]
    assert unsteady(tmp_path, files) == []


def test_a_gpu_that_leaves_its_locked_clock_is_named_and_its_median_told(tmp_path: Path) -> None:
    with Watch(_COMMAND, put(tmp_path, NANO), interval_s=0.005) as watch:
        wait_for(lambda: sum(watch._gpu_mhz.values()) > 20)
        put(tmp_path, {_GPU + "cur_freq": "614400000\n"})
        wait_for(lambda: watch._gpu_mhz[614.4] > 0)
        put(tmp_path, {_GPU + "cur_freq": "921600000\n"})
        enough = 2 * sum(watch._gpu_mhz.values())
        wait_for(lambda: watch._gpu_mhz[921.6] > enough)
    header = watch.header()
    assert header["unsteady"] == ["the GPU clock fell to 614 MHz, locked at 922"]
    assert header["clocks"]["gpu_median_mhz"] == 921.6


def test_a_benchmarks_own_reason_is_kept(tmp_path: Path) -> None:
    with Watch(_COMMAND, put(tmp_path, NANO)) as watch:
        watch.note_unsteady("the warm-up did not settle")
    assert watch.header()["unsteady"] == ["the warm-up did not settle"]


def test_power_is_told_after_the_block(tmp_path: Path) -> None:
    with Watch(_COMMAND, put(tmp_path, NANO)) as watch:
        time.sleep(0.02)
    assert watch.power_w == pytest.approx(5.0)
    assert watch.energy_j is not None
    assert watch.energy_j >= 5.0 * 0.02
    assert watch.header()["power_w"] == watch.power_w


def test_there_is_no_header_before_the_end(tmp_path: Path) -> None:
    with Watch(_COMMAND, str(tmp_path)) as watch, pytest.raises(RuntimeError, match="after the block"):
        watch.header()


def test_a_benchmark_that_fails_is_not_hidden(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Watch(_COMMAND, str(tmp_path)):
        raise ZeroDivisionError


#: Keeps a core at work; ends by itself, should the test be broken off.
_BURN = "import time\nwhile time.process_time() < 20: pass\n"

#: Starts one that burns, in a session of its own, tells its process id, and ends: the burner is then an
#: orphan, and no child of the test, as another user's work would be.
_STRANGER = (
    "import subprocess, sys\n"
    "quiet = subprocess.DEVNULL\n"
    "burner = subprocess.Popen([sys.executable, '-c', {!r}], stdout=quiet, start_new_session=True)\n"
    "print(burner.pid)\n"
).format(_BURN)


@pytest.mark.skipif(not os.path.exists("/proc/stat"), reason="needs Linux's /proc/stat")
def test_work_of_others_on_this_machine_is_named() -> None:
    # As many burners as cores, so that they hold most of the machine whatever else runs on it.
    strangers = []
    try:
        for _ in range(available_cores()):
            program = [sys.executable, "-c", _STRANGER]
            strangers.append(int(subprocess.check_output(program)))
        with Watch(_COMMAND) as watch:
            time.sleep(1.5)
    finally:
        for pid in strangers:
            os.kill(pid, 9)
    header = watch.header()
    assert header["other_work"]["others"] > 0.2
    assert any(reason.startswith("other work took") for reason in header["unsteady"])
