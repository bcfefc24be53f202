"""The board's power, and the energy that is added up from it. The sensors' files are made."""

import os
import time
from pathlib import Path
from typing import Dict, List, Optional

import pytest

from legoclf.jetson.telemetry_energy import EnergyMeter, Sampler
from legoclf.jetson.telemetry_power import board_total


def sensor(root: Path, milliwatts: str) -> str:
    """The original Nano's, as NVIDIA's r32 guide describes it."""
    folder = os.path.join(str(root), "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0")
    os.makedirs(folder, exist_ok=True)
    for name, text in [("rail_name_0", "POM_5V_IN"), ("in_power0_input", milliwatts)]:
        with open(os.path.join(folder, name), "w", encoding="utf-8") as stream:
            stream.write(text + "\n")
    return str(root)


@pytest.mark.parametrize(
    ("rails", "total"),
    [
        ({"POM_5V_IN": 1750, "POM_5V_GPU": 0, "POM_5V_CPU": 366}, 1750),
        ({"VDD_IN": 4556, "VDD_CPU_GPU_CV": 483, "VDD_SOC": 1451}, 4556),
        ({"VDD_GPU_SOC": 1000, "VDD_CPU_CV": 200, "VIN_SYS_5V0": 30, "VDDQ_VDD2_1V8AO": 4}, 1230),
        ({"VDD_GPU_SOC": 1000, "VDD_CPU_CV": 200}, None),
        ({}, None),
    ],
    ids=["Nano", "Xavier NX and Orin Nano", "AGX Orin", "AGX Orin, a rail missing", "none"],
)
def test_the_boards_total_is_its_input_or_the_sum_that_makes_it(
    rails: Dict[str, float], total: Optional[float]
) -> None:
    assert board_total(rails) == total


def metered(root: Path, readings: List[str], times: List[float]) -> EnergyMeter:
    ticks = iter(times)
    meter = EnergyMeter(root=sensor(root, readings[0]), clock=lambda: next(ticks))
    for reading in readings:
        sensor(root, reading)
        meter.sample()
    return meter


def test_energy_is_the_area_under_the_readings(tmp_path: Path) -> None:
    meter = metered(tmp_path, ["2000", "4000", "4000"], [10.0, 12.0, 13.0])
    assert meter.energy_j == pytest.approx(3.0 * 2 + 4.0 * 1)
    assert meter.mean_w == pytest.approx(10.0 / 3)


def test_a_reading_that_fails_is_bridged(tmp_path: Path) -> None:
    meter = metered(tmp_path, ["2000", "", "4000"], [0.0, 1.0, 2.0])
    assert meter.energy_j == pytest.approx(6.0)


def test_one_reading_is_no_energy_yet(tmp_path: Path) -> None:
    meter = metered(tmp_path, ["2000"], [0.0])
    assert (meter.mean_w, meter.energy_j) == (None, None)


def test_without_a_sensor_nothing_is_told(tmp_path: Path) -> None:
    with EnergyMeter(root=str(tmp_path)) as meter:
        pass
    assert not meter.is_told
    assert (meter.mean_w, meter.energy_j) == (None, None)


def test_the_thread_reads_between_start_and_end(tmp_path: Path) -> None:
    # Both ends read 1 W: what is above that, the thread saw in between.
    root = Path(sensor(tmp_path, "1000"))
    started_at = time.perf_counter()
    with EnergyMeter(0.01, str(root)) as meter:
        time.sleep(0.3)
        sensor(root, "3000")
        time.sleep(0.3)
        sensor(root, "1000")
    seconds = time.perf_counter() - started_at
    assert meter.mean_w is not None
    assert meter.energy_j is not None
    assert 1.0 < meter.mean_w < 3.0
    assert meter.energy_j <= meter.mean_w * seconds


def test_no_call_comes_after_the_block() -> None:
    calls: List[float] = []
    with Sampler(0.005, lambda: calls.append(time.perf_counter())):
        while len(calls) < 3:
            time.sleep(0.005)
    ended = len(calls)
    time.sleep(0.05)
    assert len(calls) == ended
