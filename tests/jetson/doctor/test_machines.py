"""Whole machines, as recorded: each line of their report is what is true of them."""

import pytest

from legoclf.jetson.doctor.check import NOT_HERE, OK
from legoclf.jetson.doctor.checks import CHECKS, run_checks

#: What each line begins with; Jetson Nano, JetPack 4.6.1.
NANO = {
    "legoclf": (OK, "0.1.0, /usr/local/bin/legoclf"),
    "Python": (OK, "3.6.9 (/usr/bin/python3): runs; training takes 3.11 to 3.13"),
    "locale": (OK, "UTF-8"),
    "device": (OK, "NVIDIA Jetson Nano Developer Kit, L4T 32.7.1, JetPack 4.6.1"),
    "NumPy": (OK, "1.13.3 (/usr/lib/python3/dist-packages/numpy)"),
    "TensorRT": (OK, "TensorRT 8.2.1.8, as JetPack 4.6.1 has it"),
    "CUDA": (OK,
     "10.2 (/usr/local/cuda-10.2/targets/aarch64-linux/lib/libcudart.so.10.2.300), NVIDIA Tegra X1, "
             "compute capability 5.3"),
    "CUDA compiler": (OK, "NVRTC 10.2"),
    "PyCUDA": (NOT_HERE, "not needed"),
    "ONNX Runtime": (NOT_HERE, "not needed: TensorRT runs the network here"),
    "OpenCV": (OK, "4.1.1 ("),
    "GStreamer": (OK, "1.14.5, with all plugins"),
    "USB cameras": (NOT_HERE, "no USB camera"),
    "CSI cameras": (OK, "imx219 6-0010 (/dev/video0) by nvargus-daemon"),
    "encoder": (OK, "NVENC (/dev/nvhost-msenc)"),
    "DLA": (NOT_HERE, "this board has none"),
    "memory": (OK,
     "1876 of 3964 MiB of RAM free, 1791 of 1982 MiB of swap (zram, which lies in the RAM itself)"),
    "disk": (OK, "20.0 GiB free in /home/me"),
    "power mode": (OK, "MAXN"),
    "clocks": (OK, "CPU at 1224 of 1479 MHz (schedutil)"),
    "heat": (OK, "40 °C, nothing slows it down"),
    "time": (OK, "2022-02-19 17:05 UTC"),
    "serving": (NOT_HERE, "bottle, waitress, prometheus-client: only the page"),
    "MQTT": (NOT_HERE, "paho-mqtt: only --output mqtt://"),
    "bundle": (NOT_HERE, "none named"),
    "engine": (NOT_HERE, "none named"),
}  # fmt: skip

#: Orin Nano, L4T 36.4.3: where it differs.
ORIN_NANO = dict(
    NANO,
    **{
        "Python": (OK, "3.10.12"),
        "device": (OK, "NVIDIA Jetson Orin Nano Developer Kit, L4T 36.4.3, JetPack 6.2"),
        "TensorRT": (OK, "TensorRT 10.3.0, as JetPack 6.2 has it"),
        "encoder": (NOT_HERE, "this board has no video encoder (NVENC)"),
        "memory": (OK, "5473 of 7620 MiB of RAM free"),
        "power mode": (OK, "MAXN_SUPER"),
    },
)

LAPTOP = dict(
    NANO,
    **{
        "Python": (OK, "3.11.7 (/usr/bin/python3): trains and runs"),
        "device": (NOT_HERE, "no Jetson: x86_64"),
        "NumPy": (OK, "2.4.6"),
        "TensorRT": (NOT_HERE, "none: ONNX Runtime runs the network here"),
        "CUDA": (NOT_HERE, "no libcudart and no NVIDIA driver"),
        "CUDA compiler": (NOT_HERE, "no GPU to compile for"),
        "ONNX Runtime": (OK, "1.31.1"),
        "OpenCV": (OK, "4.12.0"),
        "GStreamer": (OK, "1.22.0, with all plugins"),
        "CSI cameras": (NOT_HERE, "only Jetsons have CSI cameras"),
        "encoder": (NOT_HERE, "no Jetson"),
        "DLA": (NOT_HERE, "no Jetson"),
        "memory": (OK, "1876 of 3964 MiB of RAM free, 0 of 0 MiB of swap"),
        "power mode": (NOT_HERE, "only Jetsons have them"),
        "clocks": (NOT_HERE, "not told"),
        "heat": (NOT_HERE, "no sensor"),
    },
)


@pytest.mark.parametrize("name", [name for name, _ in CHECKS])
@pytest.mark.parametrize(
    ("machine", "expected"), [("nano", NANO), ("orin_nano", ORIN_NANO), ("laptop", LAPTOP)]
)
def test_each_line_is_true_of_a_machine_that_is_as_it_should_be(machines, machine, expected, name):
    facts = machines(machine)
    (check,) = run_checks(facts, tuple(pair for pair in CHECKS if pair[0] == name))
    status, beginning = expected[name]
    assert (check.status, check.what[: len(beginning)]) == (status, beginning)


def test_a_check_that_fails_is_told_and_the_others_go_on(machines):
    def broken(facts):
        raise KeyError("capability")

    first, second = run_checks(machines("laptop"), (("first", broken), CHECKS[1]))
    assert (first.status, first.what) == ("problem", "the check itself failed: KeyError: 'capability'")
    assert second.status == "ok"
