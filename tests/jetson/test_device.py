"""What machine this is, from files as real machines have them."""

import os

import pytest

from legoclf.jetson.device import Device, jetpack_of, parse_l4t, read_device

#: Jetson Nano, JetPack 4.6.1: zram of half the RAM on four devices, no swap file.
NANO = {
    "etc/nv_tegra_release": "# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref, EABI: aarch64, "
    "DATE: Sat Feb 19 17:05:08 UTC 2022\n",
    "proc/device-tree/model": "NVIDIA Jetson Nano Developer Kit\0",
    "proc/meminfo": "MemTotal:        4059712 kB\nMemFree:          296324 kB\nMemAvailable:    1921544 kB\n"
    "SwapTotal:       2029840 kB\nSwapFree:        1834000 kB\nHugePages_Total:       0\n",
    "proc/swaps": "Filename\t\t\t\tType\t\tSize\tUsed\tPriority\n"
    "/dev/zram0                              partition\t507460\t48960\t5\n"
    "/dev/zram1                              partition\t507460\t48960\t5\n"
    "/dev/zram2                              partition\t507460\t48960\t5\n"
    "/dev/zram3                              partition\t507460\t48960\t5\n",
}


def machine(root, files):
    for name, text in files.items():
        path = os.path.join(str(root), *name.split("/"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as stream:
            stream.write(text.encode("utf-8"))
    return read_device(str(root))


def test_a_nano_is_read_as_it_is(tmp_path):
    assert machine(tmp_path, NANO) == Device(
        l4t="32.7.1",
        jetpack="4.6.1",
        model="NVIDIA Jetson Nano Developer Kit",
        ram_total_mib=3964,
        ram_available_mib=1876,
        swap_total_mib=1982,
        swap_free_mib=1791,
        zram_total_mib=1982,
    )


def test_a_swap_file_is_no_zram(tmp_path):
    swaps = NANO["proc/swaps"] + "/swapfile                               file\t4194300\t0\t-2\n"
    device = machine(tmp_path, dict(NANO, **{"proc/swaps": swaps}))
    assert (device.swap_total_mib, device.zram_total_mib) == (1982 + 4096, 1982)


def test_a_laptop_has_no_l4t_jetpack_or_board(tmp_path):
    device = machine(tmp_path, {"proc/meminfo": "MemTotal: 2048 kB\nMemAvailable: 1024 kB\n"})
    assert device == Device(None, None, None, 2, 1, 0, 0, 0)


def test_a_machine_without_any_of_the_files_is_read_too(tmp_path):
    assert read_device(str(tmp_path)) == Device(None, None, None, None, None, 0, 0, 0)


@pytest.mark.parametrize(
    ("line", "release"),
    [
        ("# R32 (release), REVISION: 6.1, GCID: 27863751, BOARD: t210ref", "32.6.1"),
        ("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic", "36.4.3"),
        ("# R36 (release), REVISION: 3.0, GCID: 36191598, BOARD: generic", "36.3"),
        ("# R35 (release), REVISION: 10, GCID: 1", "35.10"),
        ("something else", None),
        ("", None),
    ],
)
def test_the_release_line_is_understood(line, release):
    assert parse_l4t(line) == release


@pytest.mark.parametrize(
    ("l4t", "jetpack"),
    [
        ("32.6.1", "4.6"),
        ("32.7.6", "4.6.6"),
        ("36.4.3", "6.2"),
        ("36.99", "6.x"),
        ("32.9.9", "4.x"),
        ("99.1", None),
    ],
)
def test_a_release_younger_than_the_table_has_its_major_jetpack(l4t, jetpack):
    assert jetpack_of(l4t) == jetpack
