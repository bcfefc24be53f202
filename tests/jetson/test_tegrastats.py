"""Lines of tegrastats that were recorded on real devices, each with its device, release and source."""

from typing import Optional, Tuple

import pytest

from legoclf.errors import LegoclfError
from legoclf.jetson.tegrastats import Core, RailPower, parse_tegrastats

#: Jetson Nano, JetPack 4.6.1; test data of a public Prometheus exporter.
NANO = (
    "RAM 1923/3964MB (lfb 2x2MB) SWAP 191/1982MB (cached 6MB) IRAM 0/252kB(lfb 252kB) "
    "CPU [5%@1224,4%@1224,3%@1224,6%@1224] EMC_FREQ 0%@1600 GR3D_FREQ 0%@76 APE 25 PLL@37C CPU@40C PMIC@50C "
    "GPU@40C AO@45C thermal@40C POM_5V_IN 1750/1628 POM_5V_GPU 0/0 POM_5V_CPU 366/406"
)

#: Jetson Xavier NX, JetPack 4.x; the same source.
XAVIER_NX_4 = (
    "RAM 5246/7771MB (lfb 7x4MB) SWAP 983/20269MB (cached 280MB) "
    "CPU [47%@1420,23%@1420,32%@1420,22%@1420,31%@1420,96%@1420] EMC_FREQ 2%@1600 GR3D_FREQ 0%@1109 APE 150 "
    "MTS fg 1% bg 9% AO@29C GPU@31.5C PMIC@100C AUX@30C CPU@33.5C thermal@31.35C VDD_IN 6140/5510 "
    "VDD_CPU_GPU_CV 2706/2119 VDD_SOC 1074/1051"
)

#: Jetson Xavier NX, JetPack 5.1.2; the same source.
XAVIER_NX_5 = (
    "07-09-2024 13:31:31 RAM 3168/6851MB (lfb 2x4MB) SWAP 161/3426MB (cached 0MB) "
    "CPU [23%@1397,17%@1192,16%@1190,13%@1190,23%@1190,10%@1190] EMC_FREQ 2%@204 GR3D_FREQ 0%@[114] "
    "VIC_FREQ 115 APE 150 AUX@45C CPU@46.5C thermal@45.6C AO@45C GPU@45.5C PMIC@50C VDD_IN 2763mW/2846mW "
    "VDD_CPU_GPU_CV 650mW/670mW VDD_SOC 650mW/711mW"
)

#: Jetson Orin Nano (MAXN_SUPER), L4T 36.4.3, JetPack 6.2; a public course transcript.
ORIN_NANO = (
    "07-14-2025 10:29:36 RAM 2147/7620MB (lfb 2x4MB) SWAP 1476/3810MB (cached 1MB) "
    "CPU [0%@729,0%@729,0%@729,0%@729,0%@729,0%@729] GR3D_FREQ 0% cpu@47.687C soc2@46.718C soc0@47.468C "
    "gpu@48.625C tj@48.625C soc1@48.25C VDD_IN 4556mW/4556mW VDD_CPU_GPU_CV 483mW/483mW VDD_SOC 1451mW/1451mW"
)

#: Jetson Orin Nano developer kit, L4T 36.x, 2026; test data named real in a public repository.
ORIN_NANO_BUSY = (
    "09-17-2026 02:10:16 RAM 1483/7620MB (lfb 105x4MB) SWAP 253/12002MB (cached 2MB) "
    "CPU [0%@729,0%@729,0%@729,0%@729,0%@729,0%@729] GR3D_FREQ 62%@612 cpu@47.75C soc2@46.718C soc0@47.25C "
    "gpu@50C tj@50C soc1@48.093C VDD_IN 4541mW/4541mW VDD_CPU_GPU_CV 521mW/521mW VDD_SOC 1446mW/1473mW"
)

RECORDED = {
    "Nano, JetPack 4.6.1": NANO,
    "Xavier NX, JetPack 4": XAVIER_NX_4,
    "Xavier NX, JetPack 5.1.2": XAVIER_NX_5,
    "Orin Nano, JetPack 6.2": ORIN_NANO,
    "Orin Nano, L4T 36": ORIN_NANO_BUSY,
}


def test_every_field_of_the_nanos_line_is_read() -> None:
    stats = parse_tegrastats(NANO)
    assert (stats.ram_used_mb, stats.ram_total_mb) == (1923, 3964)
    assert (stats.swap_used_mb, stats.swap_total_mb) == (191, 1982)
    assert stats.cores == [Core(5, 1224), Core(4, 1224), Core(3, 1224), Core(6, 1224)]
    assert (stats.gpu_load_percent, stats.gpu_mhz) == (0, 76)
    assert stats.temperatures_c == {"PLL": 37, "CPU": 40, "PMIC": 50, "GPU": 40, "AO": 45, "thermal": 40}
    assert stats.rails == {
        "POM_5V_IN": RailPower(1750, 1628),
        "POM_5V_GPU": RailPower(0, 0),
        "POM_5V_CPU": RailPower(366, 406),
    }


@pytest.mark.parametrize(
    ("line", "memory"),
    [
        (NANO, (1923, 3964, 191, 1982)),
        (XAVIER_NX_4, (5246, 7771, 983, 20269)),
        (XAVIER_NX_5, (3168, 6851, 161, 3426)),
        (ORIN_NANO, (2147, 7620, 1476, 3810)),
        (ORIN_NANO_BUSY, (1483, 7620, 253, 12002)),
    ],
    ids=list(RECORDED),
)
def test_memory_is_told_by_every_release(line: str, memory: Tuple[int, int, int, int]) -> None:
    stats = parse_tegrastats(line)
    assert (stats.ram_used_mb, stats.ram_total_mb, stats.swap_used_mb, stats.swap_total_mb) == memory


@pytest.mark.parametrize(
    ("line", "gpu"),
    [
        (NANO, (0, 76)),
        (XAVIER_NX_4, (0, 1109)),
        (XAVIER_NX_5, (0, 114)),
        (ORIN_NANO, (0, None)),
        (ORIN_NANO_BUSY, (62, 612)),
    ],
    ids=list(RECORDED),
)
def test_the_gpu_clock_is_read_in_each_of_its_forms(line: str, gpu: Tuple[int, Optional[int]]) -> None:
    stats = parse_tegrastats(line)
    assert (stats.gpu_load_percent, stats.gpu_mhz) == gpu


@pytest.mark.parametrize(
    ("line", "board"),
    [
        (NANO, RailPower(1750, 1628)),
        (XAVIER_NX_4, RailPower(6140, 5510)),
        (XAVIER_NX_5, RailPower(2763, 2846)),
        (ORIN_NANO, RailPower(4556, 4556)),
        (ORIN_NANO_BUSY, RailPower(4541, 4541)),
    ],
    ids=list(RECORDED),
)
def test_the_boards_power_is_its_input_rail(line: str, board: RailPower) -> None:
    stats = parse_tegrastats(line)
    assert stats.board == board
    assert len(stats.rails) == 3


@pytest.mark.parametrize(
    ("line", "sensor"),
    [(NANO, "AO"), (XAVIER_NX_4, "CPU"), (XAVIER_NX_5, "CPU"), (ORIN_NANO, "gpu"), (ORIN_NANO_BUSY, "gpu")],
    ids=list(RECORDED),
)
def test_the_hottest_sensor_is_never_the_pmic_that_always_tells_the_same(line: str, sensor: str) -> None:
    assert parse_tegrastats(line).hottest == sensor


@pytest.mark.parametrize("line", [XAVIER_NX_4, XAVIER_NX_5, ORIN_NANO, ORIN_NANO_BUSY])
def test_six_cores_are_read_with_their_clocks(line: str) -> None:
    cores = parse_tegrastats(line).cores
    assert len(cores) == 6
    assert all(core is not None and core.mhz for core in cores)


def test_temperatures_keep_their_fractions() -> None:
    assert parse_tegrastats(ORIN_NANO).temperatures_c == {
        "cpu": 47.687,
        "soc2": 46.718,
        "soc0": 47.468,
        "gpu": 48.625,
        "tj": 48.625,
        "soc1": 48.25,
    }


def test_a_core_that_is_off_keeps_its_place() -> None:
    # No recorded line has one; the Nano's, with "off" put in as its 5 W mode has it.
    stats = parse_tegrastats(NANO.replace("3%@1224,6%@1224", "off,off"))
    assert stats.cores == [Core(5, 1224), Core(4, 1224), None, None]


@pytest.mark.parametrize("line", list(RECORDED.values()), ids=list(RECORDED))
def test_a_line_cut_off_gives_the_fields_that_it_has(line: str) -> None:
    whole = parse_tegrastats(line)
    for end in range(line.index("MB") + 2, len(line)):
        stats = parse_tegrastats(line[:end])
        assert stats.ram_total_mb == whole.ram_total_mb
        assert set(stats.rails) <= set(whole.rails)


@pytest.mark.parametrize("line", list(RECORDED.values()), ids=list(RECORDED))
def test_a_line_cut_off_before_its_memory_is_refused(line: str) -> None:
    for end in range(line.index("MB") + 2):
        with pytest.raises(LegoclfError):
            parse_tegrastats(line[:end])


@pytest.mark.parametrize("line", ["", "\n", "tegrastats: command not found", "RAM is short", "\x1b[2J"])
def test_what_is_no_line_of_tegrastats_is_named_in_one_line(line: str) -> None:
    with pytest.raises(LegoclfError, match="not a line of tegrastats: expected 'RAM") as caught:
        parse_tegrastats(line)
    assert str(caught.value).isprintable()
