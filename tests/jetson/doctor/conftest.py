"""Machines to examine: files as the real ones have them below a folder, and what their packages told.

What is recorded: /etc/nv_tegra_release, memory and swap as in tests/jetson/test_device.py; clocks and
temperature of the tegrastats line of a Nano with JetPack 4.6.1; versions as in NVIDIA's JetPack archive;
nvpmodel.conf of the Nano (nvpmodel_t210_jetson-nano.conf) and the modes of an Orin Nano with MAXN_SUPER; the
name of a sensor as `v4l2-ctl --list-devices` prints it for an IMX219 on a Nano.
"""

import itertools
import os
from fractions import Fraction

import pytest

from legoclf.jetson.device import read_device
from legoclf.jetson.doctor.facts import Facts, Folder
from legoclf.jetson.doctor.packages import Installed
from legoclf.jetson.doctor.probes import MISSING, THERE, Probe
from legoclf.jetson.telemetry import read_telemetry
from legoclf.jetson.v4l2 import Mode

NANO_FILES = {
    "etc/nv_tegra_release": "# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref, EABI: aarch64, "
    "DATE: Sat Feb 19 17:05:08 UTC 2022\n",
    "proc/device-tree/model": "NVIDIA Jetson Nano Developer Kit\0",
    "proc/meminfo": "MemTotal:        4059712 kB\nMemFree:          296324 kB\nMemAvailable:    1921544 kB\n",
    "proc/swaps": "Filename\t\t\t\tType\t\tSize\tUsed\tPriority\n"
    + "".join(
        "/dev/zram{}                              partition\t507460\t48960\t5\n".format(number)
        for number in range(4)
    ),
    "etc/nvpmodel.conf": "# MAXN is the NONE power model to release all constraints\n"
    "< POWER_MODEL ID=0 NAME=MAXN >\nCPU_ONLINE CORE_0 1\n\n"
    "< POWER_MODEL ID=1 NAME=5W >\nCPU_ONLINE CORE_0 1\n",
    "var/lib/nvpmodel/status": "pmode:0000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1224000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq": "1479000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq": "1479000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil\n",
    "sys/class/thermal/thermal_zone0/type": "CPU-therm\n",
    "sys/class/thermal/thermal_zone0/temp": "40000\n",
    "sys/class/thermal/cooling_device0/type": "thermal-cpufreq-0\n",
    "sys/class/thermal/cooling_device0/cur_state": "0\n",
    "dev/video0": "",
    "sys/class/video4linux/video0/name": "vi-output, imx219 6-0010\n",
    "tmp/argus_socket": "",
    "proc/812/comm": "nvargus-daemon\n",
    "dev/nvhost-msenc": "",
}

ORIN_NANO_FILES = dict(
    NANO_FILES,
    **{
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n",
        "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
        "proc/meminfo": "MemTotal:        7802880 kB\nMemAvailable:    5604352 kB\n",
        "etc/nvpmodel.conf": "".join(
            "< POWER_MODEL ID={} NAME={} >\n".format(number, name)
            for number, name in enumerate(["15W", "25W", "MAXN_SUPER", "7W"])
        ),
        "var/lib/nvpmodel/status": "pmode:0002\n",
    },
)
del ORIN_NANO_FILES["dev/nvhost-msenc"]

SYSTEM = "/usr/lib/python3/dist-packages"


def there(**answer):
    return Probe(THERE, "", answer)


NANO_PROBES = {
    "numpy": there(version="1.13.3", path=SYSTEM + "/numpy/__init__.py"),
    "tensorrt": there(
        name="TensorRT 8.2.1.8",
        version="8.2.1.8",
        rtx=False,
        path="/usr/lib/python3.6/dist-packages/tensorrt/__init__.py",
        gpus=[],
    ),
    "cuda": there(
        runtime="10.2",
        driver="10.2",
        path="/usr/local/cuda-10.2/targets/aarch64-linux/lib/libcudart.so.10.2.300",
        code=0,
        words="no error",
        nvrtc="10.2",
        gpu="NVIDIA Tegra X1",
        capability="5.3",
    ),
    "cv2": there(version="4.1.1", path="{root}/system/cv2/python-3.6/cv2.so", gstreamer=True),
    "gstreamer": there(version="1.14.5", missing={}),
    "onnxruntime": Probe(MISSING, "No module named 'onnxruntime'"),
    "pycuda": Probe(MISSING, "No module named 'pycuda'"),
}

ORIN_NANO_PROBES = dict(
    NANO_PROBES,
    tensorrt=there(
        name="TensorRT 10.3.0",
        version="10.3.0",
        rtx=False,
        path="/usr/lib/python3.10/dist-packages/tensorrt/__init__.py",
        gpus=[],
    ),
)

LAPTOP_PROBES = {
    "numpy": there(version="2.4.6", path="/venv/site-packages/numpy/__init__.py"),
    "tensorrt": Probe(MISSING, "none of tensorrt"),
    "cuda": Probe(MISSING, "no CUDA runtime"),
    "cv2": there(version="4.12.0", path="{root}/site/cv2/__init__.py", gstreamer=False),
    "gstreamer": there(version="1.22.0", missing={"nvidia-l4t-gstreamer": ["nvarguscamerasrc", "nvvidconv"]}),
    "onnxruntime": there(version="1.31.1", path="/venv/site-packages/onnxruntime/__init__.py"),
    "pycuda": Probe(MISSING, "No module named 'pycuda'"),
}

WEBCAM_MODES = [
    Mode("YUYV", 640, 480, Fraction(30)),
    Mode("MJPG", 640, 480, Fraction(30)),
    Mode("MJPG", 1280, 720, Fraction(30)),
]


def write_files(root, files):
    for name, text in files.items():
        path = os.path.join(str(root), *name.split("/"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as stream:
            stream.write(text.encode("utf-8"))


def in_root(probe, root):
    """The probe with the machine's root in its paths."""
    answer = {
        key: value.replace("{root}", root) if isinstance(value, str) else value
        for key, value in probe.answer.items()
    }
    return probe._replace(answer=answer)


def modes_of(camera):
    """A driver that has these modes for every device, or refuses with this error."""

    def read(device):
        if isinstance(camera, Exception):
            raise camera
        return camera

    return read


def make(root, files, probes, python, machine, camera=None, paths=(), **fields):
    """The facts of a machine; a file of None is not there."""
    root = str(root)
    write_files(root, {name: text for name, text in files.items() if text is not None})
    told = {name: in_root(probe, root) for name, probe in probes.items()}
    packages = {
        "legoclf": [Installed("0.1.0", "/usr/local/lib/python3.6/dist-packages", "legoclf")],
        "numpy": [Installed(told["numpy"].answer.get("version", "1.19.5"), SYSTEM, "numpy")],
    }
    packages.update(fields.pop("packages", {}))
    facts = Facts(
        root=root,
        device=read_device(root),
        telemetry=read_telemetry(root),
        machine=machine,
        python=python,
        executable="/usr/bin/python3",
        paths=[path.replace("{root}", root) for path in paths],
        is_venv=False,
        sees_system=True,
        encoding="UTF-8",
        environ={},
        program="/usr/local/bin/legoclf",
        nvcc=None,
        packages={
            name: [place._replace(folder=place.folder.replace("{root}", root)) for place in places]
            for name, places in packages.items()
        },
        now=1645290308.0,  # the date in the Nano's release file
        probe=told.__getitem__,
        modes=modes_of([] if camera is None else camera),
        folder=lambda path: Folder("/home/me", 20480, True),
        bundle=None,
    )
    return facts._replace(**fields)


MACHINES = {
    "nano": (NANO_FILES, NANO_PROBES, (3, 6, 9), "aarch64"),
    "orin_nano": (ORIN_NANO_FILES, ORIN_NANO_PROBES, (3, 10, 12), "aarch64"),
    "laptop": ({"proc/meminfo": NANO_FILES["proc/meminfo"]}, LAPTOP_PROBES, (3, 11, 7), "x86_64"),
}


@pytest.fixture
def machines(tmp_path):
    """A function: ``machines(name, files={}, probes={}, **fields)`` gives the facts of one of MACHINES."""
    number = itertools.count()

    def build(name, files=None, probes=None, **fields):
        base_files, base_probes, python, machine = MACHINES[name]
        fields.setdefault("python", python)
        return make(
            tmp_path / str(next(number)),
            dict(base_files, **(files or {})),
            dict(base_probes, **(probes or {})),
            machine=machine,
            **fields,
        )

    return build


@pytest.fixture
def webcam_modes():
    return WEBCAM_MODES
