"""The boards' peaks: found by device tree and clock, each figure with its source."""

from typing import Dict, Optional

import pytest

from legoclf.benchmarks.device.boards import find_board, load_boards

BOARDS = load_boards()


@pytest.mark.parametrize(
    ("model", "gpu_mhz_max", "key"),
    [
        ("NVIDIA Jetson Nano Developer Kit", 921.6, "jetson-nano"),
        ("NVIDIA Jetson Nano Developer Kit", 640, "jetson-nano"),
        ("NVIDIA Jetson Nano 2GB Developer Kit", None, "jetson-nano"),
        ("NVIDIA Jetson Xavier NX Developer Kit", 1109.25, "jetson-xavier-nx"),
        ("NVIDIA Orin Nano Developer Kit", 624.75, "jetson-orin-nano-8gb"),
        ("NVIDIA Jetson Orin Nano Developer Kit", None, "jetson-orin-nano-8gb"),
        # A Super's 15 W mode has the older clock and the older memory rate; its 25 W mode has 918 MHz.
        ("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", 612, "jetson-orin-nano-8gb"),
        (
            "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
            918,
            "jetson-orin-nano-8gb-super",
        ),
        ("NVIDIA Jetson Orin Nano Developer Kit Super", 1020, "jetson-orin-nano-8gb-super"),
        ("NVIDIA Jetson Orin Nano Developer Kit Super", None, "jetson-orin-nano-8gb-super"),
        ("NVIDIA Jetson Orin NX Developer Kit", 918, None),
        ("NVIDIA Jetson AGX Xavier Developer Kit", 1377, None),
        ("Raspberry Pi 5 Model B Rev 1.0", None, None),
        (None, None, None),
    ],
)
def test_a_board_is_found_by_its_device_tree(
    model: Optional[str], gpu_mhz_max: Optional[float], key: Optional[str]
) -> None:
    board = find_board(model, gpu_mhz_max)
    assert (None if board is None else board.key) == key


def test_an_orin_nano_of_4_gb_has_another_gpu_and_is_none() -> None:
    assert find_board("NVIDIA Orin Nano Developer Kit", 624.75, ram_total_mib=3400) is None
    assert find_board("NVIDIA Orin Nano Developer Kit", 624.75, ram_total_mib=7620) is not None


def test_a_nano_of_2_gb_has_the_gpu_of_the_larger_one() -> None:
    assert find_board("NVIDIA Jetson Nano 2GB Developer Kit", ram_total_mib=1972) is not None


@pytest.mark.parametrize("key", BOARDS)
def test_every_figure_tells_where_it_comes_from(key: str) -> None:
    board = BOARDS[key]
    assert board.sources.keys() == board.figures.keys()
    assert all(len(source) > 10 for source in board.sources.values())


@pytest.mark.parametrize(
    ("key", "cores", "multiply_adds"),
    [
        ("jetson-nano", 128, {"fp32": 1, "fp16": 2}),
        ("jetson-xavier-nx", 384, {"fp32": 1, "fp16": 8, "int8": 16}),
        # FP32 in TF32.
        ("jetson-orin-nano-8gb", 1024, {"fp32": 4, "fp16": 8, "int8": 16}),
        ("jetson-orin-nano-8gb-super", 1024, {"fp32": 4, "fp16": 8, "int8": 16}),
    ],
)
def test_the_peaks_are_multiply_adds_a_core_and_clock(
    key: str, cores: int, multiply_adds: Dict[str, int]
) -> None:
    clock_mhz = BOARDS[key].figures["gpu_mhz_max"]
    assert clock_mhz is not None
    for precision, each in multiply_adds.items():
        expected = cores * each * 2 * clock_mhz / 1000
        # NVIDIA's own figures are rounded to two digits.
        assert BOARDS[key].peak_gflops(precision) == pytest.approx(expected, rel=0.03)


def test_the_peak_follows_the_clock_and_the_bandwidth_does_not() -> None:
    nano = BOARDS["jetson-nano"]
    assert nano.peak_gflops("fp16", 460.8) == pytest.approx(236)
    assert nano.bandwidth_gb_s == 25.6


def test_fp32_on_a_gpu_with_tf32_is_multiplied_in_it() -> None:
    orin = BOARDS["jetson-orin-nano-8gb"]
    assert orin.peak_gflops("fp32") == orin.figures["tf32_gflops"]


def test_what_is_not_known_is_none() -> None:
    assert BOARDS["jetson-nano"].peak_gflops("int8") is None
    assert BOARDS["jetson-nano"].peak_gflops("int8", 640) is None
